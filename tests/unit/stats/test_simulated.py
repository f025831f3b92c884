"""The simulated series have the properties that were asked for."""

from __future__ import annotations

import numpy as np
import pytest

from leadline.stats.simulated import simulate_launches


def test_the_same_seed_gives_the_same_series() -> None:
    first, again = (simulate_launches(np.random.default_rng(1), (3, 20)) for _ in range(2))
    assert (first == again).all()


@pytest.mark.parametrize("lag1", [0.0, 0.03, 0.7])
def test_median_spread_and_correlation_are_as_asked(lag1: float) -> None:
    walls = simulate_launches(
        np.random.default_rng(2), (4000, 50), median_ns=5e6, launch_sd=0.02, noise_sd=0.01, lag1=lag1, outliers=0.0
    )
    logs = np.log(walls / 5e6)
    within = logs - logs.mean(axis=1, keepdims=True)
    assert np.median(walls) == pytest.approx(5e6, rel=0.002)
    assert np.sqrt(logs.var()) == pytest.approx(np.hypot(0.02, 0.01), rel=0.03)
    first_and_last = np.log(walls[:, 0] / walls[:, -1]).std()  # the first sample is as scattered as the last
    assert first_and_last == pytest.approx(0.01 * np.sqrt(2), rel=0.05)
    assert (within[:, 1:] * within[:, :-1]).mean() / within.var() == pytest.approx(lag1, abs=0.08)


def test_outliers_reach_as_far_as_asked_and_no_farther() -> None:
    walls = simulate_launches(
        np.random.default_rng(3), (100_000,), median_ns=1e6, launch_sd=0.0, noise_sd=0.0, outliers=0.02, worst=70.0
    )
    assert (walls > 1e6).mean() == pytest.approx(0.02, rel=0.1)
    assert 60e6 < walls.max() <= 70e6
