"""The session: what is measured on which device, in which order, and when it is enough."""
