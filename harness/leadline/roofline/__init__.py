"""Roofs: what to measure, what the measurements say of a device, and where networks stand under them."""
