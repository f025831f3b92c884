"""Reaching devices: transports that move bytes and start commands, and the client of our agent on the device."""
