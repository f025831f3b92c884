"""Was the measured thread alone on its CPU? Wall time beyond its CPU time says how long it waited.

What it cannot see: a neighbour on the same core's other hyperthread, a hypervisor, a lowered frequency. Those slow the
thread down while it runs; they show as launches that disagree, hence as a wide interval.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leadline.records.trial import Block, Int64s

# From recorded series (docs/statistics.md, "Contention"): medians of twenty inferences lay 4–10 % above the quietest
# where fewer than a quarter had waited, and up to 120 % where more had. Switches without waiting say little: they only
# tell the causes of waiting apart.
_WAITED = 0.05  # an inference has waited if its wall time exceeds its CPU time by this
_WAITED_SHARE = 0.25  # of the inferences


def waiting(wall_ns: Int64s, cpu_ns: Int64s) -> float:
    """Median over samples of wall time / CPU time of the invoking thread, less one.

    Args: both shape (n,), ns. Samples whose CPU time is 0 (a coarse clock) are left out.
    Returns: ≥ 0, where 0 is undisturbed; nan if no sample is left.
    """
    known = cpu_ns > 0
    if not known.any():
        return float("nan")
    return max(0.0, float(np.median(wall_ns[known] / cpu_ns[known])) - 1.0)


def contention_warning(blocks: Sequence[Block]) -> str | None:
    """A sentence for the user if waiting disturbed these blocks; None if not, or if nothing is known.

    Args: blocks: those to judge together, usually all timed blocks of an attempt; may be empty.
    """
    if not blocks:
        return None
    wall_ns = np.concatenate([block.wall_ns for block in blocks])
    cpu_ns = np.concatenate([block.cpu_ns for block in blocks])
    known = cpu_ns > 0
    waited = int(np.count_nonzero(wall_ns[known] > cpu_ns[known] * (1.0 + _WAITED)))
    if not waited or waited < _WAITED_SHARE * np.count_nonzero(known):
        return None
    fact = f"{waited} of {wall_ns.size} inferences waited more than {_WAITED:.0%} of their CPU time"
    switches = sum(int(block.switches.sum()) for block in blocks)
    if switches >= waited:
        return (
            f"{fact}, with {switches} involuntary context switches: other work shared the CPU; "
            "measure again when the device is idle, or on other CPUs"
        )
    return (
        f"{fact}, but hardly for other work ({switches} involuntary context switches): perhaps for threads on slower "
        "CPUs; measure again with fewer threads, or on one cluster"
    )
