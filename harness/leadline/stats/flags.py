"""What a reader of a result should know besides the number, derived from the samples and their conditions."""

from __future__ import annotations

from collections.abc import Sequence

from leadline.records.trial import Launch
from leadline.stats.contention import contention_warning


def flags(launches: Sequence[Launch]) -> list[str]:
    """Each as ``what: how, and what to do``; none for a precise, undisturbed measurement."""
    timed = [block for launch in launches for block in launch.blocks if not block.warmup and block.wall_ns.size]
    found: list[str] = []
    if capped := sum(launch.stop == "cap" for launch in launches):
        found.append(f"cap: reached in {capped} of {len(launches)} launches before the asked precision")
    if contention := contention_warning(timed):
        found.append(f"contention: {contention}")
    if throttled := sum(bool(block.conditions and block.conditions.throttled) for block in timed):
        found.append(f"throttled: in {throttled} of {len(timed)} blocks the device held its frequencies down; cool it")
    return found
