"""Emulated devices to develop and test against."""
