"""The fake runner: the same seed gives the same samples, and its knobs do what they say."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from leadline.core.errors import BadInput, DeviceOffline
from leadline.records.trial import Artifact, RunConfig
from leadline.runner.fake import FakeBehaviour, FakeFault, FakeRunner

ARTIFACT = Artifact(sha256="00" * 32, name="net", path="/nowhere", size_bytes=1)
CONFIG = RunConfig(threads=1)


def samples(behaviour: FakeBehaviour, runs: int, seed: int = 0) -> npt.NDArray[np.int64]:
    process = FakeRunner(behaviour, seed=seed).launch(ARTIFACT, CONFIG)
    process.request(runs)
    return process.block().wall_ns


def test_the_same_seed_gives_the_same_samples() -> None:
    assert np.array_equal(samples(FakeBehaviour(), 100), samples(FakeBehaviour(), 100))
    assert not np.array_equal(samples(FakeBehaviour(), 100), samples(FakeBehaviour(), 100, seed=1))


def test_samples_do_not_depend_on_how_they_are_cut_into_blocks() -> None:
    process = FakeRunner(seed=3).launch(ARTIFACT, CONFIG)
    for runs in (10, 90):
        process.request(runs)
    together = np.concatenate([process.block().wall_ns, process.block().wall_ns])
    assert np.array_equal(together, samples(FakeBehaviour(), 100, seed=3))


def test_median_noise_and_autocorrelation_are_as_asked() -> None:
    behaviour = FakeBehaviour(median_ns=1e6, noise=0.02, autocorrelation=0.6, launch_noise=0)
    logs = np.log(samples(behaviour, 20_000))
    assert np.median(logs) == pytest.approx(math.log(1e6), abs=2e-3)
    assert logs.std() == pytest.approx(0.02, rel=0.05)
    assert np.corrcoef(logs[:-1], logs[1:])[0, 1] == pytest.approx(0.6, abs=0.03)


def test_drift_and_warmup_change_the_pace() -> None:
    calm = {"noise": 0.0, "launch_noise": 0.0, "median_ns": 1e6}
    assert samples(FakeBehaviour(drift=0.1, **calm), 1001)[-1] == pytest.approx(1e6 * math.exp(0.1), rel=1e-3)
    warming = samples(FakeBehaviour(warmup=0.5, **calm), 100)
    assert warming[0] == pytest.approx(1e6 * math.exp(0.5), rel=1e-3)
    assert warming[-1] == pytest.approx(1e6, rel=1e-3)


def test_launches_differ() -> None:
    runner = FakeRunner(FakeBehaviour(noise=0.0, launch_noise=0.05))
    medians = []
    for _ in range(200):
        process = runner.launch(ARTIFACT, CONFIG)
        process.request(1)
        medians.append(int(process.block().wall_ns[0]))
    assert np.log(medians).std() == pytest.approx(0.05, rel=0.2)


def test_contention_shows_between_wall_and_cpu_time() -> None:
    process = FakeRunner(FakeBehaviour(contention=0.25)).launch(ARTIFACT, CONFIG)
    process.request(10)
    block = process.block()
    assert block.wall_ns / block.cpu_ns == pytest.approx(np.full(10, 1.25), rel=1e-5)
    assert block.switches.sum() > 0


def test_a_fault_comes_at_its_block_and_as_often_as_asked() -> None:
    runner = FakeRunner(faults=[FakeFault(DeviceOffline("pulled"), block=1)])
    process = runner.launch(ARTIFACT, CONFIG)
    for _ in range(3):
        process.request(5)
    process.block()
    with pytest.raises(DeviceOffline, match="pulled"):
        process.block()
    assert process.block().wall_ns.size == 5


def test_a_launch_can_fail_twice_and_then_work() -> None:
    runner = FakeRunner(faults=[FakeFault(DeviceOffline("rebooting"), times=2)])
    for _ in range(2):
        with pytest.raises(DeviceOffline):
            runner.launch(ARTIFACT, CONFIG)
    assert runner.launch(ARTIFACT, CONFIG).ready.runtime == "fake 1"


def test_watched_files_are_answered_if_known() -> None:
    runner = FakeRunner(FakeBehaviour(watched={"/temp": "41000"}))
    process = runner.launch(ARTIFACT, CONFIG, watch=["/temp", "/unknown"])
    process.request(1)
    assert process.block().watched == {"/temp": "41000"}


def test_a_profile_needs_a_profiled_launch_and_adds_up() -> None:
    runner = FakeRunner(FakeBehaviour(median_ns=1e6))
    with pytest.raises(BadInput):
        runner.launch(ARTIFACT, CONFIG).profile(3)
    ops = runner.launch(ARTIFACT, CONFIG, profile=True).profile(3)
    assert sum(op.median_ns for op in ops) == pytest.approx(1e6)
