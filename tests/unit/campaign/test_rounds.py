"""Trials in rounds: whose launch comes when, and what is committed, whatever ends it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from leadline.campaign.attempt import Setting
from leadline.campaign.plan import new_campaign, plan_trials
from leadline.campaign.progress import Silent
from leadline.campaign.rounds import ROUND, measure_in_rounds
from leadline.core.clock import FakeClock
from leadline.core.errors import DeviceOffline, ModelRejected
from leadline.records.trial import RunConfig, Trial
from leadline.runner.fake import FakeFault, FakeRunner
from leadline.stats.protocols import DEFAULT
from leadline.store.store import Store
from tests.support.records import make_artifact, make_profile

RNG = random.Random(0)
PROFILE = make_profile(RNG, "serial")


class Diary(Silent):
    """Remembers which trial's which launch began, in order, and may do something then."""

    def __init__(self) -> None:
        self.launches: list[tuple[str, int]] = []
        self.at_launch: Callable[[int], None] = lambda number: None

    def launch_started(self, device: str, trial: Trial, launch: int) -> None:
        self.launches.append((trial.model_name, launch))
        self.at_launch(len(self.launches))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path}/store.sqlite") as opened:
        yield opened


def plan(store: Store, count: int) -> list[Setting]:
    campaign = new_campaign("night", FakeClock().now())
    artifacts = [make_artifact(RNG, f"net{number}") for number in range(count)]
    store.save_campaign(campaign)
    store.save_profile(PROFILE)
    for artifact in artifacts:
        store.save_artifact(artifact)
    trials = plan_trials(campaign, PROFILE, artifacts, [RunConfig(threads=1)], DEFAULT)
    store.plan(trials)
    return [
        Setting(trial=trial, artifact=artifact, reference=()) for trial, artifact in zip(trials, artifacts, strict=True)
    ]


def measure(
    store: Store, settings: list[Setting], diary: Diary, runner: FakeRunner | None = None, stop: Event | None = None
) -> None:
    measure_in_rounds(
        settings,
        runner or FakeRunner(),
        PROFILE,
        device="pi4",
        store=store,
        progress=diary,
        clock=FakeClock(),
        stop=stop or Event(),
    )


def outcomes(store: Store) -> list[tuple[str, list[tuple[str, int]]]]:
    """By trial: its state, and outcome and number of launches of each attempt."""
    return [
        (trial.state, [(attempt.outcome, len(attempt.launches)) for attempt in store.attempts([trial.id])])
        for trial in store.trials()
    ]


def test_launches_of_the_trials_alternate(store: Store) -> None:
    diary = Diary()
    measure(store, plan(store, 3), diary)
    assert diary.launches == [(f"net{trial}", launch) for launch in range(3) for trial in range(3)]
    assert outcomes(store) == [("done", [("done", 3)])] * 3


def test_many_trials_are_taken_a_round_at_a_time_so_that_little_is_under_way(store: Store) -> None:
    diary = Diary()
    measure(store, plan(store, ROUND + 1), diary)
    assert diary.launches[-3:] == [(f"net{ROUND}", launch) for launch in range(3)]
    assert outcomes(store) == [("done", [("done", 3)])] * (ROUND + 1)


def test_a_model_that_is_rejected_does_not_stop_the_others(store: Store) -> None:
    runner = FakeRunner(faults=[FakeFault(ModelRejected("net0: unsupported"))])
    measure(store, plan(store, 2), Diary(), runner)
    assert outcomes(store) == [("failed", [("failed", 0)]), ("done", [("done", 3)])]


def test_a_lost_device_keeps_every_sample_and_leaves_the_rest_planned(store: Store) -> None:
    runner, diary = FakeRunner(), Diary()
    settings = plan(store, ROUND + 2)

    def pull_the_cable(number: int) -> None:
        if number == ROUND + 2:  # the second launch of the second trial
            runner._faults.append((FakeFault(DeviceOffline("pi4: silent")), [1]))

    diary.at_launch = pull_the_cable
    with pytest.raises(DeviceOffline):
        measure(store, settings, diary, runner)
    told = outcomes(store)
    assert told[0] == ("planned", [("interrupted", 2)])
    assert told[1] == ("failed", [("failed", 1)])
    assert told[2:ROUND] == [("planned", [("interrupted", 1)])] * (ROUND - 2)
    assert told[ROUND:] == [("planned", [])] * 2


def test_a_stop_keeps_what_is_done_of_every_trial_under_way(store: Store) -> None:
    diary, stop = Diary(), Event()

    def press_ctrl_c(number: int) -> None:
        if number == 8:  # the third trial has had two of its three launches, and begins its last
            stop.set()

    diary.at_launch = press_ctrl_c
    measure(store, plan(store, 3), diary, stop=stop)
    assert outcomes(store) == [
        ("done", [("done", 3)]),
        ("planned", [("interrupted", 3)]),
        ("planned", [("interrupted", 2)]),
    ]
