"""How much a series of correlated samples is worth."""

from __future__ import annotations

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from leadline.records.trial import Int64s
from leadline.stats.interval import Floats


def autocovariance(values: Floats) -> Floats:
    """Autocovariance at lags 0 … n − 1 with divisor n, by FFT.

    Args: values: shape (n,), n ≥ 1, in order.
    Returns: shape (n,), the values' unit squared.
    """
    n = values.size
    spectrum = rfft(values - values.mean(), next_fast_len(2 * n, real=True))
    covariance: Floats = irfft(np.abs(spectrum) ** 2, next_fast_len(2 * n, real=True))[:n] / n
    return covariance


def effective_size(values: Floats) -> float:
    """How many independent samples would know the mean of `values` equally well.

    Args: values: shape (n,), n ≥ 1, in order.
    Returns: in (0, n]; n if the values are constant, and where neighbours repel each other.
    Source: Geyer (1992), "Practical Markov chain Monte Carlo", initial positive sequence estimator.
    """
    n = values.size
    covariance = autocovariance(values)
    if covariance[0] <= np.finfo(np.float64).eps * max(1.0, float(values @ values) / n):
        return float(n)
    pairs = covariance[: n - n % 2].reshape(-1, 2).sum(axis=1)  # Geyer's Γ: positive for as long as it can be trusted
    negative = np.flatnonzero(pairs <= 0.0)
    kept = pairs[: negative[0]] if negative.size else pairs
    inflation = (2.0 * float(kept.sum()) - float(covariance[0])) / float(covariance[0])
    return n / max(1.0, inflation)


def effective_size_for_median(wall_ns: Int64s) -> float:
    """How many independent samples would know the median of `wall_ns` equally well.

    The error of a median depends on how long the series stays on one side of it, not on how far outliers fly: a single
    sample of 70 times the median hides all correlation from an estimate on the raw values.

    Args: wall_ns: shape (n,), n ≥ 1, any unit, in order.
    Returns: in (0, n].
    Source: Vehtari, Gelman, Simpson, Carpenter, Bürkner (2021), "Rank-normalization, folding, and localization",
        section 4.3: the effective size for a quantile is that of the indicator of being below it.
    """
    return effective_size((wall_ns <= np.median(wall_ns)).astype(np.float64))
