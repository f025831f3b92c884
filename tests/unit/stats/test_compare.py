"""Did two measurements find the same latency?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from leadline.core.errors import BadInput
from leadline.stats.compare import relative_difference, repeatability
from leadline.stats.simulated import simulate_launches
from tests.unit.stats.launches import launches_of


def flat(*medians: int) -> list:
    """Launches whose samples are all the same."""
    return launches_of([[median] * 8 for median in medians])


def test_the_difference_is_that_of_the_medians_over_launches() -> None:
    assert relative_difference(flat(99, 100, 300), flat(108, 110, 111)).center == pytest.approx(0.10)
    assert relative_difference(flat(100, 100), flat(50, 50)).center == pytest.approx(-0.5)


def test_the_interval_is_welchs_on_logarithms_widened_for_medians() -> None:
    before, after = [100, 103, 101], [104, 109, 111, 106, 107]
    welch = stats.ttest_ind(np.log(after), np.log(before), equal_var=False).confidence_interval(0.9)
    half = math.sqrt(math.pi / 2) * (welch.high - welch.low) / 2
    center = math.log(107 / 101)
    found = relative_difference(flat(*before), flat(*after), 0.9)
    assert found.low == pytest.approx(math.expm1(center - half))
    assert found.high == pytest.approx(math.expm1(center + half))


def test_swapping_the_sides_inverts_the_ratio() -> None:
    one, other = flat(100, 103, 101), flat(120, 118, 125)
    forth, back = relative_difference(one, other), relative_difference(other, one)
    assert (1 + forth.low) * (1 + back.high) == pytest.approx(1)
    assert (1 + forth.center) * (1 + back.center) == pytest.approx(1)


@pytest.mark.parametrize(("before", "after"), [(3, 3), (3, 5), (5, 1)])
def test_two_measurements_of_the_same_differ_significantly_no_more_often_than_promised(before: int, after: int) -> None:
    walls = simulate_launches(np.random.default_rng(3), (1000, before + after, 20), outliers=0.02)
    found = [relative_difference(launches_of(a[:before]), launches_of(a[before:])) for a in walls]
    missed = np.mean([not interval.low <= 0 <= interval.high for interval in found])
    assert 0.003 <= missed <= 0.06


def test_a_difference_larger_than_launches_scatter_is_found() -> None:
    walls = simulate_launches(np.random.default_rng(4), (200, 6, 20), launch_sd=0.01)
    found = [relative_difference(launches_of(a[:3]), launches_of(a[3:] * 1.1)) for a in walls]
    assert np.mean([interval.low > 0 for interval in found]) > 0.9


def test_a_single_launch_is_taken_to_scatter_as_the_other_side_does() -> None:
    found = relative_difference(flat(100, 102, 104), flat(102))
    half = stats.t.ppf(0.975, 2) * math.sqrt(math.pi / 2 * np.var(np.log([100, 102, 104]), ddof=1) * (1 / 3 + 1))
    assert found.high == pytest.approx(math.expm1(half))


def test_single_launches_on_both_sides_say_nothing() -> None:
    found = relative_difference(flat(100), flat(110))
    assert (found.low, found.high) == (-1.0, math.inf)
    assert found.center == pytest.approx(0.1)


def test_launches_without_scatter_give_an_interval_without_width() -> None:
    found = relative_difference(flat(100, 100), flat(110, 110))
    assert found.low == found.center == found.high == pytest.approx(0.1)


def test_a_hopeless_scatter_is_an_infinite_interval_not_an_overflow() -> None:
    found = relative_difference(flat(1, 10**18), flat(1, 10**18), 0.999)
    assert (found.low, found.high) == (-1.0, math.inf)


def test_an_attempt_without_samples_cannot_be_compared() -> None:
    with pytest.raises(BadInput, match="no timed sample"):
        relative_difference([], flat(100))


def test_repeatability_is_the_median_relative_difference_over_networks() -> None:
    assert repeatability([100, 200, 300], [101, 200, 330]) == pytest.approx(2 / 201)
    assert repeatability([5], [5]) == 0
    assert repeatability([1, 2], [2, 3]) == repeatability([2, 3], [1, 2])


@pytest.mark.parametrize(
    ("first", "second"),
    [([], []), ([1, 2], [1]), ([[1]], [[1]]), ([1], [0]), ([1], [-1]), ([math.nan], [1]), ([1], [math.inf])],
    ids=str,
)
def test_repeats_that_cannot_be_paired_are_refused(first: list, second: list) -> None:
    with pytest.raises(BadInput, match="repeatability"):
        repeatability(first, second)
