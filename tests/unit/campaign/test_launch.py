"""One launch: warm-up, blocks, and the reasons to stop. A scripted process stands in for the device."""

from collections import deque
from threading import Event

import numpy as np
import pytest

from leadline.campaign.launch import measure_launch
from leadline.records.trial import Int64s, MeasureProtocol, Ready, StopReason

READY = Ready(
    runtime="script",
    load_ns=1,
    prepare_ns=1,
    first_ns=10_000_000,
    op_count=1,
    delegated_ops=1,
    inputs=(),
    outputs=(),
    fingerprints=(),
)


class ScriptedProcess:
    """Answers requests from one long series of wall times, in order."""

    def __init__(self, wall_ns: Int64s) -> None:
        self.ready = READY
        self.series = wall_ns
        self.position = 0
        self.open: deque[int] = deque()
        self.most_open = 0
        self.taken: list[tuple[bool, int]] = []

    def request(self, runs: int) -> None:
        assert runs >= 1
        self.open.append(runs)
        self.most_open = max(self.most_open, len(self.open))

    def take(self, warmup: bool) -> Int64s:
        runs = self.open.popleft()
        block = self.series[self.position : self.position + runs]
        self.position += runs
        self.taken.append((warmup, runs))
        return block

    @property
    def timed(self) -> int:
        return sum(runs for warmup, runs in self.taken if not warmup)

    @property
    def warmups(self) -> int:
        return sum(runs for warmup, runs in self.taken if warmup)


def protocol(half_width: float | None, *, min_runs: int = 20, max_runs: int = 100) -> MeasureProtocol:
    return MeasureProtocol(
        name="custom", launches=1, batch=5, min_runs=min_runs, max_runs=max_runs, max_warmup=20, half_width=half_width
    )


def launch(process: ScriptedProcess, asked: MeasureProtocol, stop: Event | None = None) -> StopReason:
    return measure_launch(process, asked, process.take, stop or Event())


def steady(n: int = 10_000, spread: float = 0.001) -> Int64s:
    noise = np.random.default_rng(0).normal(1.0, spread, n)
    return (10_000_000 * noise).astype(np.int64)


def test_a_quiet_device_needs_the_fewest_runs() -> None:
    process = ScriptedProcess(steady())
    assert launch(process, protocol(0.01)) == "precise"
    assert process.timed == 20


def test_a_noisy_device_is_measured_up_to_the_cap_and_that_is_said() -> None:
    process = ScriptedProcess(steady(spread=0.5).clip(1))
    assert launch(process, protocol(0.001)) == "cap"
    assert process.timed == 100


def test_without_an_asked_precision_exactly_the_cap_is_run() -> None:
    process = ScriptedProcess(steady())
    assert launch(process, protocol(None, max_runs=1000)) == "fixed"
    assert process.timed == 1000


def test_warm_up_ends_when_steady_and_at_its_cap_when_never() -> None:
    quiet = ScriptedProcess(steady())
    launch(quiet, protocol(0.01))
    assert 0 < quiet.warmups < 20

    falling = np.concatenate([np.geomspace(1e9, 1e7, 20), np.full(1000, 1e7)]).astype(np.int64)
    cooling = ScriptedProcess(falling)
    launch(cooling, protocol(0.01))
    assert cooling.warmups == 20


def test_warm_up_blocks_come_first_and_are_marked() -> None:
    process = ScriptedProcess(steady())
    launch(process, protocol(0.01))
    marks = [warmup for warmup, _ in process.taken]
    assert marks == sorted(marks, reverse=True)


def test_the_next_order_is_given_before_the_answer_is_taken_but_never_more_than_two() -> None:
    process = ScriptedProcess(steady())
    launch(process, protocol(None, max_runs=1000))
    assert process.most_open == 2


@pytest.mark.parametrize("half_width", [0.01, None])
def test_no_request_stays_open_at_the_end(half_width: float | None) -> None:
    process = ScriptedProcess(steady())
    launch(process, protocol(half_width))
    assert not process.open


def test_a_stop_ends_the_launch_after_the_block_at_hand() -> None:
    stop = Event()
    process = ScriptedProcess(steady())

    def take_and_stop(warmup: bool) -> Int64s:
        if not warmup:
            stop.set()
        return process.take(warmup)

    reason = measure_launch(process, protocol(None, max_runs=1000), take_and_stop, stop)
    assert reason == "interrupted"
    assert sum(not warmup for warmup, _ in process.taken) == 1
