"""Spaces of networks, the models written from them, and what is learned from their latencies. Knows no device."""
