"""When a launch is warm, when it knows enough, and how much to order at a time."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from leadline.stats.protocols import DEFAULT, PAPER, custom, fixed
from leadline.stats.simulated import simulate_launches
from leadline.stats.stopping import batch_medians, block_size, is_precise, is_steady, median_interval

walls = hnp.arrays(np.int64, st.integers(0, 80), elements=st.integers(1, 10_000_000_000))


def ns(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@given(walls, st.integers(1, 12))
def test_batch_medians_are_numpys_medians_of_the_full_batches(wall_ns: np.ndarray, batch: int) -> None:
    full = [wall_ns[i : i + batch] for i in range(0, wall_ns.size - batch + 1, batch)]
    assert batch_medians(wall_ns, batch).tolist() == [np.median(values) for values in full]


def test_the_interval_is_a_t_interval_of_batch_medians_with_the_standard_error_of_a_median() -> None:
    wall_ns = ns(100, 101, 102, 110, 111, 112, 104, 105, 106, 999)
    interval = median_interval(wall_ns, 3, 0.9)
    expected = stats.t.ppf(0.95, df=2) * math.sqrt(math.pi / 2) * stats.sem([101, 111, 105])
    assert interval.center == 105
    assert interval.low == pytest.approx(105 - expected)
    assert interval.high == pytest.approx(105 + expected)


@pytest.mark.parametrize("wall_ns", [ns(), ns(5), ns(5, 6, 7, 8, 9)])
def test_fewer_than_two_batches_say_nothing_of_spread(wall_ns: np.ndarray) -> None:
    interval = median_interval(wall_ns, 4, 0.95)
    assert (interval.low, interval.high) == (0.0, math.inf)


@given(walls, st.integers(1, 12), st.floats(0.5, 0.9), st.floats(0.91, 0.999))
def test_more_confidence_never_makes_a_narrower_interval(
    wall_ns: np.ndarray, batch: int, less: float, more: float
) -> None:
    narrow, wide = median_interval(wall_ns, batch, less), median_interval(wall_ns, batch, more)
    assert wide.low <= narrow.low <= narrow.center <= narrow.high <= wide.high


@pytest.mark.parametrize(("spread", "precise"), [(0.0, True), (0.99, True), (1.01, False), (10.0, False)])
def test_a_launch_is_precise_when_its_interval_is_within_one_percent(spread: float, precise: bool) -> None:
    """Four batches, two below and two above: how far they may lie apart follows from Student's t by hand."""
    allowed = 0.01 / (stats.t.ppf(0.975, df=3) * math.sqrt(math.pi / 2) / math.sqrt(4) * math.sqrt(4 / 3))
    wall_ns = np.repeat(20e6 * (1 + spread * allowed * np.array([-1, 1, -1, 1])), 3).astype(np.int64)
    assert is_precise(wall_ns, DEFAULT) is precise


@given(walls, st.integers(2, 1000))
def test_whether_a_launch_is_precise_does_not_depend_on_the_unit(wall_ns: np.ndarray, factor: int) -> None:
    interval = median_interval(wall_ns, DEFAULT.batch, DEFAULT.confidence)
    assume(abs(interval.high - 1.01 * interval.center) > 1e-6 * interval.center)  # rounding decides on the very limit
    assert is_precise(wall_ns, DEFAULT) == is_precise(wall_ns * factor, DEFAULT)


def test_a_quiet_launch_is_precise_at_the_least_number_of_runs_and_not_before() -> None:
    wall_ns = simulate_launches(np.random.default_rng(0), (1000,), launch_sd=0.0, noise_sd=0.001)
    assert not is_precise(wall_ns[: DEFAULT.min_runs - 1], DEFAULT)
    assert is_precise(wall_ns[: DEFAULT.min_runs], DEFAULT)


def test_a_launch_of_growing_noise_is_not_precise() -> None:
    wall_ns = simulate_launches(np.random.default_rng(0), (DEFAULT.max_runs,), launch_sd=0.0, noise_sd=0.2)
    assert not is_precise(wall_ns, DEFAULT)


def test_single_far_outliers_do_not_keep_a_launch_from_being_precise() -> None:
    wall_ns = np.full(DEFAULT.min_runs, 20_000_000)
    wall_ns[:: DEFAULT.batch] *= 70
    assert is_precise(wall_ns, DEFAULT)


def test_a_wider_target_stops_no_later() -> None:
    for seed in range(50):
        wall_ns = simulate_launches(np.random.default_rng(seed), (DEFAULT.max_runs,), launch_sd=0.0)
        if is_precise(wall_ns, DEFAULT):
            assert is_precise(wall_ns, msgspec.structs.replace(DEFAULT, half_width=0.02))


def test_a_fixed_number_of_runs_never_stops_for_precision() -> None:
    assert not is_precise(np.full(1000, 20_000_000), PAPER)
    assert not is_precise(np.full(30, 20_000_000), fixed(30))


@pytest.mark.parametrize(
    ("wall_ns", "steady"),
    [
        (ns(), False),
        (ns(30, 20, 20, 20), False),
        (ns(30, 20, 20, 20, 20, 20, 20), False),
        (ns(300, 290, 280, 270, 260, 250, 240, 230), False),
        (ns(300, 200, 200, 200, 201, 199, 200, 202), True),
        (ns(200, 201, 199, 200, 199, 198, 199, 198), True),
        (ns(200, 200, 200, 200, 300, 300, 300, 300), True),
        (ns(200, 200, 200, 200, 200, 9000, 200, 200), True),
        (ns(900, 800, 700, 600, 200, 200, 200, 200, 200, 200, 200, 200), True),
    ],
    ids=[
        "no sample",
        "one batch",
        "not quite two batches",
        "falling",
        "only the first was slow",
        "falling by less than noise",
        "rising is no warm-up",
        "an outlier is no trend",
        "fell once and stays",
    ],
)
def test_a_launch_is_warm_when_its_last_batch_is_not_faster_than_the_one_before(
    wall_ns: np.ndarray, steady: bool
) -> None:
    assert is_steady(wall_ns, 4) is steady


def test_most_undisturbed_launches_are_steady_at_once() -> None:
    launches = simulate_launches(np.random.default_rng(0), (500, 8), launch_sd=0.0, noise_sd=0.005)
    assert np.mean([is_steady(wall_ns, 4) for wall_ns in launches]) > 0.98


@given(st.floats(1.0, 1e12), st.integers(1, 40), st.integers(2, 500))
def test_a_block_is_whole_batches_that_last_50_ms_or_all_that_may_run(pace_ns: float, batch: int, batches: int) -> None:
    protocol = custom(batch=batch, min_runs=batch, max_runs=batch * batches)
    size = block_size(pace_ns, protocol)
    assert size % batch == 0
    assert batch <= size <= protocol.max_runs
    assert size * pace_ns >= 50e6 * (1 - 1e-9) or size == protocol.max_runs
    assert (size - batch) * pace_ns < 50e6


def test_a_clock_that_says_zero_does_not_break_the_block_size() -> None:
    assert block_size(0.0, DEFAULT) == DEFAULT.max_runs
