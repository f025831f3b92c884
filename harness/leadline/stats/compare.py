"""Did two measurements find the same latency?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from leadline.core.errors import BadInput
from leadline.records.trial import Launch
from leadline.stats.interval import Floats, Interval, standard_error_of_median, student_t
from leadline.stats.summary import launch_medians


def relative_difference(before: Sequence[Launch], after: Sequence[Launch], confidence: float = 0.95) -> Interval:
    """How much slower `after` is than `before`: 0.1 = 10 % slower, −0.5 = twice as fast.

    The medians over launches are compared; the interval comes from how much launches differ. If it holds 0, launches
    differ by so much that the two may be the same. A side of one launch is taken to scatter as the other side does.

    Args: before, after: the launches of one attempt each. confidence: in (0, 1).
    Returns: `low` ≥ −1; [−1, inf) if both sides have a single launch, which says nothing about other launches.
    Raises: BadInput if a side has no timed sample.
    Source: Welch (1947) on logarithms of launch medians; standard error of medians as in `leadline.stats.interval`.
    """
    a, b = np.log(launch_medians(before)), np.log(launch_medians(after))
    center = float(np.median(b) - np.median(a))
    half = _half_width(a, b, confidence)
    return Interval(low=math.expm1(center - half), center=math.expm1(center), high=_expm1(center + half))


def repeatability(first_ns: npt.ArrayLike, second_ns: npt.ArrayLike) -> float:
    """How far two independent repeats of the same measurements lie apart, typically.

    Args: both shape (n_networks,), n ≥ 1, > 0, the same networks in the same order.
    Returns: median over networks of |a − b| / ((a + b) / 2), in [0, 2).
    Raises: BadInput if shapes differ or a value is not a positive number.
    """
    a, b = np.asarray(first_ns, np.float64), np.asarray(second_ns, np.float64)
    if a.ndim != 1 or a.shape != b.shape or not a.size:
        raise BadInput(f"repeatability: shapes {a.shape} and {b.shape}; give two vectors of the same networks")
    if not (np.isfinite(a).all() and np.isfinite(b).all() and (a > 0).all() and (b > 0).all()):
        raise BadInput("repeatability: a latency is missing or not positive; leave out networks that were not measured")
    return float(np.median(2.0 * np.abs(a - b) / (a + b)))


def _half_width(a: Floats, b: Floats, confidence: float) -> float:
    """Half the interval of the difference of medians; shapes (n,), (m,); inf if n = m = 1."""
    known = [standard_error_of_median(side) for side in (a, b) if side.size > 1]
    if not known:
        return math.inf
    if len(known) == 1:
        several = max(a.size, b.size)
        return student_t(several - 1, confidence) * known[0] * math.sqrt(1.0 + several)
    variances = [error**2 for error in known]
    if not any(variances):
        return 0.0
    parts = zip(variances, (a.size - 1, b.size - 1), strict=True)
    degrees = sum(variances) ** 2 / sum(variance**2 / own for variance, own in parts)
    return student_t(degrees, confidence) * math.sqrt(sum(variances))


def _expm1(value: float) -> float:
    """`math.expm1`, but inf where it would overflow."""
    return math.expm1(value) if value < 700.0 else math.inf
