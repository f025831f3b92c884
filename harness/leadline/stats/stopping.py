"""When a launch is warm, when it knows enough, and how many inferences to order at a time.

These run on the host between the blocks of a measurement, so each call is kept below 0.1 ms.
"""

from __future__ import annotations

import math

import numpy as np

from leadline.records.trial import Int64s, MeasureProtocol
from leadline.stats.interval import Floats, Interval, around, half_width_of_median

# Long enough that ordering and reporting a block, during which nothing runs, hardly shows in device time; short enough
# that temperatures and frequencies, which are read after each block, are read often.
_BLOCK_NS = 50e6

# A batch whose median is this much below the one before says that the device is still getting faster.
_STILL_FALLING = 0.02


def median_interval(wall_ns: Int64s, batch: int, confidence: float) -> Interval:
    """The median of batch medians with its interval, for one launch.

    Batches absorb what makes single samples treacherous: neighbours in time resemble each other, and a few are many
    times slower than the rest. Samples beyond the last full batch are left out.

    Args:
        wall_ns: shape (n,), ns, > 0, in order of execution.
        batch: consecutive samples per batch, ≥ 1.
        confidence: in (0, 1).
    Returns: ns; [0, inf) while there are fewer than two batches, with center 0 while there is no sample at all.
    """
    medians = batch_medians(wall_ns, batch)
    if not medians.size:
        return around(float(np.median(wall_ns)) if wall_ns.size else 0.0, math.inf)
    return around(float(np.median(medians)), half_width_of_median(medians, confidence))


def batch_medians(wall_ns: Int64s, batch: int) -> Floats:
    """Medians of consecutive full batches: shape (n,) → (n // batch,), same unit."""
    count = wall_ns.size // batch
    medians: Floats = np.median(wall_ns[: count * batch].reshape(count, batch), axis=1)
    return medians


def is_precise(wall_ns: Int64s, protocol: MeasureProtocol) -> bool:
    """Whether a launch's timed samples meet the protocol's half-width.

    Args: wall_ns: shape (n,), ns, timed samples of one launch in order; warm-ups excluded.
    Returns: False below `min_runs`, and always if the protocol asks for a fixed number of runs.
    """
    if protocol.half_width is None or wall_ns.size < protocol.min_runs:
        return False
    interval = median_interval(wall_ns, protocol.batch, protocol.confidence)
    return interval.high - interval.center <= protocol.half_width * interval.center


def is_steady(wall_ns: Int64s, batch: int) -> bool:
    """Whether a launch has warmed up: its last batch is not faster than the one before it.

    Only falling latencies mean warming up (caches, page faults, rising frequencies). Rising ones mean that somebody
    disturbs or that the device gets hot, which no further warm-up mends.

    Args: wall_ns: shape (n,), ns, the launch's warm-ups so far, in order; the first inference of the process excluded.
    Returns: False with fewer than two batches.
    """
    if wall_ns.size < 2 * batch:
        return False
    before, last = batch_medians(wall_ns[-2 * batch :], batch)
    return bool(last >= before * (1.0 - _STILL_FALLING))


def block_size(pace_ns: float, protocol: MeasureProtocol) -> int:
    """How many inferences to order in one block: whole batches that last 50 ms or longer together.

    Args: pace_ns: one inference, ns, > 0.
    Returns: a multiple of `batch`, or `max_runs` if that is fewer.
    """
    batches = max(1, math.ceil(_BLOCK_NS / (max(pace_ns, 1.0) * protocol.batch)))
    return min(batches * protocol.batch, protocol.max_runs)
