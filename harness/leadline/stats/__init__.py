"""Summaries, stopping rule and comparisons: pure functions on arrays."""
