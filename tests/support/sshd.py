"""A real OpenSSH server on a loopback port, as fixtures."""
