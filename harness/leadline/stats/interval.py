"""An interval, and the one way in which this room makes one: Student's t around a median."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

Floats = npt.NDArray[np.float64]

# Standard error of the median over that of the mean, for many independent normal values (Laplace, 1812). For few the
# true ratio is smaller (three: 1.16, five: 1.20), so that intervals made with it err on the wide side.
_MEDIAN_OVER_MEAN = math.sqrt(math.pi / 2)


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Where a quantity lies: `low` ≤ `center` ≤ `high`, in the unit of what it was made from."""

    low: float
    center: float
    high: float


def around(center: float, half_width: float) -> Interval:
    """`center` ± `half_width`, cut at 0: no latency is negative. Both ≥ 0; `half_width` may be inf."""
    return Interval(low=max(0.0, center - half_width), center=center, high=center + half_width)


def half_width_of_median(values: Floats, confidence: float) -> float:
    """How far the median of `values` may lie from the median of what they were drawn from.

    Args:
        values: shape (n,), n ≥ 1, independent, roughly normal: medians of batches or of launches are.
        confidence: in (0, 1).
    Returns: ≥ 0, in the unit of `values`; inf if n = 1, since one value says nothing about spread.
    Source: Student (1908) with the standard error of the median. Coverage is measured in docs/statistics.md.
    """
    if values.size < 2:
        return math.inf
    return student_t(values.size - 1, confidence) * standard_error_of_median(values)


def standard_error_of_median(values: Floats) -> float:
    """√(π/2) · s / √n, in the unit of `values`; shape (n,), n ≥ 2, independent and roughly normal."""
    return _MEDIAN_OVER_MEAN * float(np.std(values, ddof=1)) / math.sqrt(values.size)


def student_t(degrees: float, confidence: float) -> float:
    """The two-sided critical value: a share `confidence` of Student's t with `degrees` > 0 lies inside ± this."""
    return float(stdtrit(degrees, (1.0 + confidence) / 2.0))
