"""How much correlated samples are worth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from leadline.stats.autocorrelation import autocovariance, effective_size, effective_size_for_median
from leadline.stats.simulated import simulate_launches


@given(hnp.arrays(np.float64, st.integers(1, 70), elements=st.floats(-1e3, 1e3)))
def test_the_fast_autocovariance_is_the_defining_sum(values: np.ndarray) -> None:
    n, centered = values.size, values - values.mean()
    defined = [float(centered[: n - lag] @ centered[lag:]) / n for lag in range(n)]
    assert autocovariance(values) == pytest.approx(np.array(defined), abs=1e-6)


@pytest.mark.parametrize("lag1", [0.0, 0.3, 0.7, 0.9])
def test_an_ar1_series_is_worth_what_theory_says(lag1: float) -> None:
    rng, n = np.random.default_rng(5), 20_000
    series = np.log(simulate_launches(rng, (20, n), launch_sd=0.0, lag1=lag1, outliers=0.0).astype(np.float64))
    theory = n * (1 - lag1) / (1 + lag1)
    assert np.mean([effective_size(values) for values in series]) == pytest.approx(theory, rel=0.08)


@pytest.mark.parametrize("lag1", [0.03, 0.5, 0.7])
def test_the_size_for_the_median_predicts_how_far_medians_scatter(lag1: float) -> None:
    """Independent normal samples of that number scatter as far as the correlated ones did."""
    rng, n = np.random.default_rng(6), 400
    series = simulate_launches(rng, (4000, n), launch_sd=0.0, noise_sd=0.01, lag1=lag1, outliers=0.0)
    scattered = np.std(np.median(series, axis=1)) / 20e6
    size = float(np.mean([effective_size_for_median(wall_ns) for wall_ns in series[:400]]))
    assert scattered == pytest.approx(0.01 * np.sqrt(np.pi / 2 / size), rel=0.1)


def test_far_outliers_do_not_hide_the_correlation_from_the_size_for_the_median() -> None:
    series = simulate_launches(np.random.default_rng(7), (5000,), launch_sd=0.0, lag1=0.8, outliers=0.0)
    spiked = series.copy()
    spiked[::50] *= 70
    assert effective_size(spiked.astype(np.float64)) > 0.8 * spiked.size
    assert effective_size_for_median(spiked) == pytest.approx(effective_size_for_median(series), rel=0.3)


def test_a_constant_series_and_one_that_alternates_are_worth_their_length() -> None:
    assert effective_size(np.full(50, 0.1)) == 50
    assert effective_size(np.array([1.0, 2.0] * 25)) == 50
    assert effective_size_for_median(np.full(1, 7)) == 1


@given(hnp.arrays(np.int64, st.integers(1, 200), elements=st.integers(1, 10**12)))
def test_the_size_is_positive_and_never_above_the_number_of_samples(wall_ns: np.ndarray) -> None:
    assert 0 < effective_size_for_median(wall_ns) <= wall_ns.size
