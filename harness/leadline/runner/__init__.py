"""Artifact in, samples out: the backends that execute a model on a device."""
