"""From raw samples to the numbers people quote."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from leadline.core.errors import BadInput
from leadline.stats.simulated import simulate_launches
from leadline.stats.summary import launch_medians, summarize
from tests.unit.stats.launches import a_block, a_launch, launches_of

some_walls = st.lists(
    hnp.arrays(np.int64, st.integers(1, 60), elements=st.integers(10_000, 10_000_000_000)), min_size=1, max_size=5
)


def simulated(*shape: int, seed: int = 0) -> np.ndarray:
    return simulate_launches(np.random.default_rng(seed), shape)


def test_the_median_is_that_of_the_launches_medians_so_that_one_odd_launch_does_not_move_it() -> None:
    summary = summarize(launches_of([[100, 102, 104, 900], [110, 110, 110], [5000] * 50]))
    assert summary.median_ns == 110
    assert (summary.n, summary.launches) == (57, 3)


def test_mean_minimum_and_percentile_are_over_all_samples() -> None:
    walls = simulated(3, 20)
    summary = summarize(launches_of(walls))
    assert summary.mean_ns == pytest.approx(walls.mean())
    assert summary.min_ns == walls.min()
    assert summary.p95_ns == pytest.approx(np.percentile(walls, 95))


def test_warm_up_and_launches_without_timed_samples_are_left_out() -> None:
    warm = a_block([9_000_000] * 4, warmup=True)
    timed = [a_block([100] * 8), a_block([100] * 4)]
    profiled = a_launch(a_block([], warmup=False))
    summary = summarize([a_launch(warm, *timed), profiled, a_launch(warm)])
    assert (summary.n, summary.launches, summary.median_ns, summary.mean_ns) == (12, 1, 100, 100)


def test_the_interval_is_a_t_interval_over_launch_medians_where_these_scatter_most() -> None:
    walls = [[100] * 20, [104] * 20, [102] * 20]
    summary = summarize(launches_of(walls))
    expected = stats.t.ppf(0.975, df=2) * math.sqrt(math.pi / 2) * stats.sem([100, 104, 102])
    assert summary.high_ns - summary.median_ns == pytest.approx(expected)
    assert summary.median_ns - summary.low_ns == pytest.approx(expected)


def test_launches_that_agree_by_luck_do_not_make_a_narrow_interval() -> None:
    noisy = [90, 110] * 2 + [80, 120] * 2 + [100] * 4 + [70, 110] * 2 + [95, 130] * 2
    lucky = summarize(launches_of([noisy, noisy, noisy]))
    assert lucky.high_ns > lucky.median_ns
    assert lucky.low_ns < lucky.median_ns


def test_one_launch_of_one_batch_knows_nothing_of_its_spread() -> None:
    summary = summarize(launches_of([[100, 101, 102]]))
    assert (summary.low_ns, summary.high_ns) == (0.0, math.inf)


def test_identical_samples_have_an_interval_of_no_width() -> None:
    summary = summarize(launches_of([[100] * 20] * 3))
    assert (summary.low_ns, summary.median_ns, summary.high_ns) == (100, 100, 100)
    assert summary.effective_n == 60


def test_switches_are_summed_and_contention_is_what_the_median_inference_waited() -> None:
    blocks = [a_block([110] * 9, cpu_ns=[100] * 9, switches=[1, 0, 2] * 3), a_block([900], cpu_ns=[100], switches=[7])]
    summary = summarize([a_launch(*blocks)])
    assert summary.switches == 16
    assert summary.contention == pytest.approx(0.1)


def test_an_attempt_without_a_timed_sample_cannot_be_summarized() -> None:
    for nothing in ([], [a_launch()], [a_launch(a_block([1, 2], warmup=True))], [a_launch(a_block([]))]):
        with pytest.raises(BadInput, match="no timed sample"):
            summarize(nothing)
        with pytest.raises(BadInput, match="no timed sample"):
            launch_medians(nothing)


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.5, 95.0, math.nan])
def test_a_confidence_out_of_range_is_refused(confidence: float) -> None:
    with pytest.raises(BadInput, match="between 0 and 1"):
        summarize(launches_of([[1, 2, 3]]), confidence)


@given(some_walls)
def test_every_summary_is_ordered_and_within_its_samples(walls: list[np.ndarray]) -> None:
    summary = summarize(launches_of(walls))
    assert 0 <= summary.low_ns <= summary.median_ns <= summary.high_ns
    assert summary.min_ns <= summary.median_ns <= max(wall.max() for wall in walls)
    assert summary.min_ns <= summary.p95_ns
    assert 0 < summary.effective_n <= summary.n == sum(wall.size for wall in walls)
    assert summary.contention == 0


@given(some_walls, st.integers(2, 1000))
def test_a_device_n_times_slower_has_every_number_n_times_as_large(walls: list[np.ndarray], factor: int) -> None:
    once, slower = summarize(launches_of(walls)), summarize(launches_of([wall * factor for wall in walls]))
    for name in ("median_ns", "low_ns", "high_ns", "mean_ns", "min_ns", "p95_ns"):
        assert getattr(slower, name) == pytest.approx(getattr(once, name) * factor, rel=1e-9, abs=1e-3), name
    assert slower.effective_n == pytest.approx(once.effective_n)


@given(some_walls, st.randoms(use_true_random=False))
def test_the_order_of_launches_does_not_matter(walls: list[np.ndarray], random: st.DataObject) -> None:
    shuffled = list(walls)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    once, again = summarize(launches_of(walls)), summarize(launches_of(shuffled))
    for name in once.__struct_fields__:
        assert getattr(again, name) == pytest.approx(getattr(once, name)), name


@given(some_walls, st.floats(0.5, 0.9), st.floats(0.91, 0.999))
def test_more_confidence_never_makes_a_narrower_interval(walls: list[np.ndarray], less: float, more: float) -> None:
    narrow, wide = summarize(launches_of(walls), less), summarize(launches_of(walls), more)
    assert wide.low_ns <= narrow.low_ns
    assert narrow.high_ns <= wide.high_ns
