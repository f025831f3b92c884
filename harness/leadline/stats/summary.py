"""From an attempt's raw samples to the numbers that people quote."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from leadline.core.errors import BadInput
from leadline.records.trial import Block, Int64s, Launch, Summary
from leadline.stats.autocorrelation import effective_size_for_median
from leadline.stats.contention import waiting
from leadline.stats.interval import Floats, Interval, around, half_width_of_median, standard_error_of_median, student_t
from leadline.stats.stopping import batch_medians

# Launches are cut into few long batches, so that these hardly depend on each other, but of short launches into batches
# of _SMALLEST_BATCH, below which a batch median no longer absorbs an outlier.
_BATCHES = 10
_SMALLEST_BATCH = 4


def summarize(launches: Sequence[Launch], confidence: float = 0.95) -> Summary:
    """Summarize the timed samples of one attempt. Launches without any (a per-op profile) are left out.

    The interval is for the latency that further launches of this model on this device would scatter around. It is
    made from the launches' medians, because launches differ by more than their own samples show, and is never narrower
    than what the samples within launches allow. With one launch it can only speak of that launch.

    Args: confidence: of the interval, in (0, 1).
    Raises: BadInput if there is no timed sample, or `confidence` is out of range.
    """
    if not 0.0 < confidence < 1.0:
        raise BadInput(f"confidence {confidence:g} is not between 0 and 1; use for example 0.95")
    timed = _timed(launches)
    walls = [np.concatenate([block.wall_ns for block in blocks]) for blocks in timed]
    blocks = [block for launch in timed for block in launch]
    wall_ns = np.concatenate(walls)
    interval = interval_over_launches(walls, confidence)
    return Summary(
        n=wall_ns.size,
        launches=len(walls),
        median_ns=interval.center,
        low_ns=interval.low,
        high_ns=interval.high,
        confidence=confidence,
        mean_ns=float(wall_ns.mean()),
        min_ns=float(wall_ns.min()),
        p95_ns=float(np.percentile(wall_ns, 95)),
        effective_n=sum(effective_size_for_median(wall) for wall in walls),
        contention=waiting(wall_ns, np.concatenate([block.cpu_ns for block in blocks])),
        switches=sum(int(block.switches.sum()) for block in blocks),
    )


def launch_medians(launches: Sequence[Launch]) -> Floats:
    """The median of each launch that has timed samples, ns, shape (n_launches,).

    Raises: BadInput if there is none.
    """
    return np.array([np.median(np.concatenate([block.wall_ns for block in blocks])) for blocks in _timed(launches)])


def interval_over_launches(walls: Sequence[Int64s], confidence: float) -> Interval:
    """The median of the launches' medians, with its interval.

    Args: walls: one array per launch, ≥ 1, each shape (n_i,), n_i ≥ 1, timed samples in ns, in order of execution.
    Returns: ns; [0, inf) if one launch of fewer than two batches is all there is.
    """
    medians = np.array([float(np.median(wall)) for wall in walls])
    within = _half_width_within(walls, confidence)
    if len(walls) == 1:
        return around(float(medians[0]), within)
    # Few launches may agree by luck; their own samples say how well they can have known at best.
    floor = within if math.isfinite(within) else 0.0
    return around(float(np.median(medians)), max(half_width_of_median(medians, confidence), floor))


def _half_width_within(walls: Sequence[Int64s], confidence: float) -> float:
    """How far the launches' mean median may lie from what the same launches, run forever, would give.

    Returns: ns; inf if no launch has two batches. Launches of fewer are left out.
    """
    batched = [batch_medians(wall, max(_SMALLEST_BATCH, math.ceil(wall.size / _BATCHES))) for wall in walls]
    known = [medians for medians in batched if medians.size > 1]
    if not known:
        return math.inf
    variance = sum(standard_error_of_median(medians) ** 2 for medians in known) / len(known) ** 2
    return student_t(sum(medians.size - 1 for medians in known), confidence) * math.sqrt(variance)


def _timed(launches: Sequence[Launch]) -> list[list[Block]]:
    """Per launch that has any, its blocks that are not warm-up and hold a sample."""
    timed = [[block for block in launch.blocks if not block.warmup and block.wall_ns.size] for launch in launches]
    if not any(timed):
        raise BadInput(
            "nothing to summarize: the attempt has no timed sample; see its error in: leadline results --json"
        )
    return [blocks for blocks in timed if blocks]
