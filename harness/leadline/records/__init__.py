"""What travels between rooms: frozen records, and the ports (Protocols) that rooms meet at. No behaviour, no I/O."""
