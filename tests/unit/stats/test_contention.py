"""The alarm for other work on the measured CPUs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leadline.records.trial import Block
from leadline.stats.contention import contention_warning, waiting
from tests.unit.stats.launches import a_block

RUNS = 20
WALL_NS = 20_000_000


def block(*, waited: int, wait: float = 0.5, switches: int = 0) -> Block:
    """`waited` of RUNS inferences took `wait` longer than their CPU time."""
    cpu_ns = np.full(RUNS, WALL_NS)
    cpu_ns[:waited] = round(WALL_NS / (1 + wait))
    counts = np.zeros(RUNS, np.int64)
    counts[0] = switches
    return a_block(np.full(RUNS, WALL_NS), cpu_ns=cpu_ns, switches=counts)


def test_an_undisturbed_attempt_is_not_warned_of() -> None:
    assert contention_warning([block(waited=0), block(waited=0)]) is None


def test_a_few_inferences_that_waited_do_not_move_a_median_and_are_not_warned_of() -> None:
    assert contention_warning([block(waited=4)]) is None


def test_a_quarter_of_inferences_that_waited_is_warned_of() -> None:
    warning = contention_warning([block(waited=5)])
    assert warning is not None
    assert "5 of 20 inferences waited more than 5%" in warning


def test_waiting_is_judged_over_all_blocks_together() -> None:
    assert contention_warning([block(waited=8)]) is not None
    assert contention_warning([block(waited=8), block(waited=1), block(waited=0)]) is None


def test_waiting_of_a_few_percent_is_noise() -> None:
    assert contention_warning([block(waited=RUNS, wait=0.04)]) is None


def test_involuntary_switches_say_that_other_work_shared_the_cpu() -> None:
    warning = contention_warning([block(waited=6, switches=6)])
    assert warning is not None
    assert "6 involuntary context switches: other work shared the CPU" in warning


def test_waiting_without_switches_is_blamed_on_the_other_threads() -> None:
    warning = contention_warning([block(waited=6, switches=5)])
    assert warning is not None
    assert "threads on slower CPUs" in warning


def test_switches_without_waiting_are_not_warned_of() -> None:
    """Recorded medians with many switches and little waiting were as good as any."""
    assert contention_warning([block(waited=4, switches=10_000)]) is None


def test_a_clock_that_gives_no_cpu_time_says_nothing_of_waiting() -> None:
    silent = a_block(np.full(RUNS, WALL_NS), cpu_ns=np.zeros(RUNS))
    assert contention_warning([silent]) is None
    assert math.isnan(waiting(silent.wall_ns, silent.cpu_ns))


def test_no_block_gives_no_warning() -> None:
    assert contention_warning([]) is None
    assert contention_warning([a_block([])]) is None


def test_samples_without_cpu_time_are_left_out_of_the_median() -> None:
    assert waiting(np.array([120, 120, 500]), np.array([100, 100, 0])) == pytest.approx(0.2)


def test_clocks_that_disagree_by_a_hair_do_not_make_waiting_negative() -> None:
    assert waiting(np.array([99_999]), np.array([100_000])) == 0.0
