"""One attempt over the fake runner: what it holds, whatever ends it."""

import random
from collections.abc import Callable
from threading import Event
from typing import Any

import msgspec

from leadline.campaign.attempt import AttemptRecording, Setting
from leadline.core.clock import FakeClock
from leadline.core.errors import DeviceOffline, ModelRejected
from leadline.records.trial import Fingerprint, RunConfig, Trial
from leadline.runner.fake import FakeBehaviour, FakeFault, FakeRunner
from leadline.stats.protocols import DEFAULT, PAPER, fixed
from tests.support.records import make_artifact, make_profile

RNG = random.Random(0)
PROFILE = make_profile(RNG, "serial")
ARTIFACT = make_artifact(RNG)
TEMPERATURE = "/sys/class/thermal/thermal_zone0/temp"


def fake_output(byte: str = "00") -> tuple[Fingerprint, ...]:
    return (Fingerprint(sha256=byte * 32, size=1000, mean=0.001, rms=0.03, head=(0.1,) * 64),)


def setting(**changes: Any) -> Setting:
    trial = Trial(
        id="t",
        campaign_id="c",
        serial="serial",
        artifact=ARTIFACT.sha256,
        model_name=ARTIFACT.name,
        config=RunConfig(threads=1),
        protocol=changes.pop("protocol", DEFAULT),
    )
    return Setting(trial=trial, artifact=ARTIFACT, reference=changes.pop("reference", fake_output()), **changes)


def record(
    runner: FakeRunner,
    asked: Setting | None = None,
    *,
    stop: Event | None = None,
    on_runs: Callable[[int, int, float], None] = lambda *_: None,
) -> AttemptRecording:
    return AttemptRecording(
        asked or setting(), runner, PROFILE, clock=FakeClock(), stop=stop or Event(), on_runs=on_runs
    )


def test_a_done_attempt_holds_every_launch_with_its_samples_and_memory() -> None:
    attempt = record(FakeRunner()).measure()
    assert attempt.outcome == "done"
    assert [launch.index for launch in attempt.launches] == [0, 1, 2]
    for launch in attempt.launches:
        assert launch.peak_rss_bytes == 20 * 2**20
        assert sum(block.wall_ns.size for block in launch.blocks if not block.warmup) >= DEFAULT.min_runs
    assert attempt.runner == "fake"
    assert attempt.agent_version == PROFILE.agent_version


def test_the_paper_protocol_is_one_launch_of_a_thousand_runs() -> None:
    (launch,) = record(FakeRunner(), setting(protocol=PAPER)).measure().launches
    assert sum(block.wall_ns.size for block in launch.blocks if not block.warmup) == 1000
    assert launch.stop == "fixed"


def test_every_block_carries_the_conditions_read_right_after_it() -> None:
    runner = FakeRunner(FakeBehaviour(watched={TEMPERATURE: "41500\n"}))
    attempt = record(runner).measure()
    for launch in attempt.launches:
        for block in launch.blocks:
            assert block.conditions is not None
            assert block.conditions.temps_c == {"cpu-thermal": 41.5}


def test_equal_outputs_are_said_to_be_equal() -> None:
    assert record(FakeRunner()).measure().output_check == "equal"


def test_a_device_that_computes_something_else_is_reported_with_the_difference() -> None:
    other = msgspec.structs.replace(fake_output()[0], sha256="ff" * 32, mean=5.0)
    attempt = record(FakeRunner(), setting(reference=(other,))).measure()
    assert attempt.output_check == "different"
    assert any("not what the host computes" in warning for warning in attempt.warnings)


def test_without_a_reference_outputs_stay_unchecked() -> None:
    assert record(FakeRunner(), setting(reference=())).measure().output_check == "unchecked"


def test_a_device_lost_in_the_second_launch_leaves_a_failed_attempt_with_what_was_measured() -> None:
    lost = DeviceOffline("pi4: silent for 30 s")
    blocks_of_one_launch = len(record(FakeRunner()).measure().launches[0].blocks)
    runner = FakeRunner(faults=[FakeFault(lost, block=blocks_of_one_launch + 1)])
    recording = record(runner)
    attempt = recording.measure()
    assert (attempt.outcome, attempt.error_kind, attempt.error) == ("failed", "DeviceOffline", "pi4: silent for 30 s")
    assert recording.error is lost
    assert [launch.stop == "interrupted" for launch in attempt.launches] == [False, True]
    assert len(attempt.launches[1].blocks) == 1


def test_a_model_that_cannot_be_loaded_leaves_a_failed_attempt_without_samples() -> None:
    attempt = record(FakeRunner(faults=[FakeFault(ModelRejected("net: op FOO is not supported"))])).measure()
    assert attempt.outcome == "failed"
    assert attempt.launches == ()


def test_a_stop_keeps_what_is_done_and_starts_no_further_launch() -> None:
    stop = Event()

    def after_first_launch(launch: int, runs: int, median_ns: float) -> None:
        if launch == 1:
            stop.set()

    attempt = record(FakeRunner(), setting(protocol=fixed(200)), stop=stop, on_runs=after_first_launch).measure()
    assert attempt.outcome == "interrupted"
    assert [launch.index for launch in attempt.launches] == [0, 1]
    assert attempt.launches[0].stop == "fixed"
    assert attempt.launches[1].stop == "interrupted"
    assert attempt.launches[1].blocks


def test_a_stop_that_comes_after_the_last_block_loses_nothing() -> None:
    stop = Event()

    def at_the_end(launch: int, runs: int, median_ns: float) -> None:
        if runs == PAPER.max_runs:
            stop.set()

    assert record(FakeRunner(), setting(protocol=PAPER), stop=stop, on_runs=at_the_end).measure().outcome == "done"


def test_ops_are_timed_in_a_launch_of_their_own_that_adds_no_samples() -> None:
    attempt = record(FakeRunner(), setting(per_op=True)).measure()
    assert attempt.outcome == "done"
    assert len(attempt.launches) == DEFAULT.launches + 1
    assert len(attempt.launches[-1].ops) == 10
    assert attempt.launches[-1].blocks == ()
    assert all(launch.ops == () for launch in attempt.launches[:-1])
