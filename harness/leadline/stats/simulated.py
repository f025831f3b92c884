"""Latency series with known properties, to measure how well the statistics of this room do."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from leadline.records.trial import Int64s


def simulate_launches(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    *,
    median_ns: float = 20e6,
    launch_sd: float = 0.015,
    noise_sd: float = 0.01,
    lag1: float = 0.3,
    outliers: float = 0.01,
    worst: float = 70.0,
) -> Int64s:
    """Launches that differ from each other, of samples that resemble their neighbours, with a few far outliers.

    Args:
        shape: (…, launches, runs).
        median_ns: the median of the population of launches, which an interval ought to cover.
        launch_sd: relative standard deviation between the launches' medians.
        noise_sd: relative standard deviation within a launch.
        lag1: autocorrelation of neighbours within a launch, an AR(1) process; in [0, 1).
        outliers: share of samples that are slowed down, by a factor from 1 to `worst`, most of them little.
    Returns: wall times, ns, of the given shape.
    """
    shocks = rng.standard_normal(shape)
    shocks[..., 1:] *= np.sqrt(1.0 - lag1**2)  # the first sample is drawn from the stationary distribution
    within = lfilter([1.0], [1.0, -lag1], shocks, axis=-1)
    between = rng.standard_normal((*shape[:-1], 1))
    slowed = np.where(rng.random(shape) < outliers, worst ** (rng.random(shape) ** 2), 1.0)
    simulated: Int64s = np.rint(median_ns * np.exp(launch_sd * between + noise_sd * within) * slowed).astype(np.int64)
    return simulated
