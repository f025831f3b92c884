"""Seeded inputs and fingerprints on the host: the very functions that run on devices with Python.

Their C twin is ``rpc/agent/seeded.h``; tests hold the two together. Defined in docs/agent-protocol.md.
"""

from leadline.runner.device_script import NOT_FINITE, SKETCH_ELEMENTS, fingerprint, seeded_input, splitmix64

__all__ = ["NOT_FINITE", "SKETCH_ELEMENTS", "fingerprint", "seeded_input", "splitmix64"]
