"""The interval holds the truth as often as it says, on series that misbehave as recorded ones do."""

from __future__ import annotations

import numpy as np
import pytest

from leadline.stats.simulated import simulate_launches
from leadline.stats.summary import interval_over_launches

TRUTH_NS = 20e6
ATTEMPTS = 1500


def coverage(walls: np.ndarray, confidence: float = 0.95) -> float:
    intervals = [interval_over_launches(list(attempt), confidence) for attempt in walls]
    return float(np.mean([interval.low <= TRUTH_NS <= interval.high for interval in intervals]))


@pytest.mark.parametrize("lag1", [0.03, 0.7])
@pytest.mark.parametrize("launch_sd", [0.01, 0.02])
@pytest.mark.parametrize("noise_sd", [0.005, 0.03])
@pytest.mark.parametrize("launches", [2, 3, 5])
def test_the_interval_over_launches_covers_the_median_of_all_launches(
    launches: int, noise_sd: float, launch_sd: float, lag1: float
) -> None:
    walls = simulate_launches(
        np.random.default_rng(7),
        (ATTEMPTS, launches, 20),
        median_ns=TRUTH_NS,
        launch_sd=launch_sd,
        noise_sd=noise_sd,
        lag1=lag1,
        outliers=0.02,
        worst=70.0,
    )
    assert 0.945 <= coverage(walls) <= 0.995


def test_a_lower_confidence_covers_less_often() -> None:
    walls = simulate_launches(np.random.default_rng(8), (ATTEMPTS, 3, 20), median_ns=TRUTH_NS)
    assert 0.78 <= coverage(walls, confidence=0.8) <= 0.88


@pytest.mark.parametrize(("runs", "lag1"), [(20, 0.03), (20, 0.3), (100, 0.3), (100, 0.7), (1000, 0.03), (1000, 0.7)])
def test_the_interval_of_one_launch_covers_that_launchs_own_median(runs: int, lag1: float) -> None:
    walls = simulate_launches(
        np.random.default_rng(9), (ATTEMPTS, 1, runs), median_ns=TRUTH_NS, launch_sd=0.0, lag1=lag1, outliers=0.02
    )
    assert 0.94 <= coverage(walls) <= 0.99


def test_twenty_strongly_correlated_samples_of_one_launch_promise_a_little_too_much() -> None:
    """A known limit, told in docs/statistics.md: five batches cannot show a correlation that outlasts a batch."""
    walls = simulate_launches(
        np.random.default_rng(10), (ATTEMPTS, 1, 20), median_ns=TRUTH_NS, launch_sd=0.0, lag1=0.7, outliers=0.0
    )
    assert 0.88 <= coverage(walls) <= 0.94


def test_an_interval_of_one_launch_does_not_know_of_other_launches() -> None:
    """Why the default protocol launches three times."""
    walls = simulate_launches(np.random.default_rng(11), (ATTEMPTS, 1, 1000), median_ns=TRUTH_NS, launch_sd=0.02)
    assert coverage(walls) < 0.3
