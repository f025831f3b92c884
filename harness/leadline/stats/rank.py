"""Agreement of two orders: do two devices, or a device and a formula, rank networks alike?"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

from leadline.core.errors import BadInput
from leadline.stats.interval import Floats


def srcc(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Spearman's rank correlation coefficient.

    Args: both shape (n,), n ≥ 2, any unit, the same networks in the same order.
    Returns: in [−1, 1]; nan if either is constant.
    Raises: BadInput if shapes differ, fewer than two values, or a value is not finite.
    Source: Spearman (1904), average ranks for ties; scipy.stats.spearmanr.
    """
    first, second = _paired(x, y)
    if _constant(first) or _constant(second):
        return math.nan
    return float(stats.spearmanr(first, second).statistic)


def kendall_tau(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Kendall's tau-b; arguments, result and errors as `srcc`.

    Source: Kendall (1945), with the correction for ties; scipy.stats.kendalltau.
    """
    first, second = _paired(x, y)
    if _constant(first) or _constant(second):
        return math.nan
    return float(stats.kendalltau(first, second).statistic)


def _paired(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Floats, Floats]:
    first, second = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if first.ndim != 1 or first.shape != second.shape or first.size < 2:
        raise BadInput(
            f"rank correlation: shapes {first.shape} and {second.shape}; "
            "give two vectors of the same networks, two or more"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise BadInput("rank correlation: a value is missing or infinite; leave out networks that were not measured")
    return first, second


def _constant(values: Floats) -> bool:
    return bool((values == values[0]).all())
