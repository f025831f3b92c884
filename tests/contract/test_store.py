"""What a store promises, whatever database is under it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta, timezone
from itertools import count
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadline.core.errors import BadInput, StoreError
from leadline.records.device import Conditions
from leadline.records.trial import Artifact, Block, Campaign, Launch, OpTime, Trial
from leadline.store.store import Store
from tests.support.records import (
    START,
    fill,
    make_artifact,
    make_attempt,
    make_campaign,
    make_launch,
    make_profile,
    make_ready,
    make_sweep,
    make_trial,
    same,
)

int64s = st.lists(st.tuples(*3 * [st.integers(-(2**63), 2**63 - 1)]), max_size=5)
texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=30)
maybe_floats = st.none() | st.floats()
examples = count()  # hypothesis repeats itself; the ids of records in one store may not


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'store.sqlite'}") as store:
        yield store


@pytest.fixture
def rng() -> random.Random:
    return random.Random(1)


def planned(store: Store, rng: random.Random, count: int = 1) -> list[Trial]:
    campaign, artifact = make_campaign(rng), make_artifact(rng)
    store.save_campaign(campaign)
    store.save_artifact(artifact)
    trials = [make_trial(rng, campaign, "pi4", artifact) for _ in range(count)]
    store.plan(trials)
    return trials


def test_a_fresh_store_is_empty(store: Store) -> None:
    assert store.trials() == []
    assert store.profiles() == []
    assert store.campaigns() == []
    assert list(store.attempts()) == []
    assert store.results() == []
    assert store.sweeps() == []
    assert store.latest_profile("pi4") is None
    assert store.artifact("00") is None


def test_every_record_comes_back_as_it_went_in(store: Store, rng: random.Random) -> None:
    profile, campaign, artifact = make_profile(rng, "pi4"), make_campaign(rng), make_artifact(rng)
    trial = make_trial(rng, campaign, "pi4", artifact)
    attempt = make_attempt(rng, trial)
    store.save_profile(profile)
    store.save_campaign(campaign)
    store.save_artifact(artifact)
    store.plan([trial])
    store.commit(attempt)
    assert store.latest_profile("pi4") == profile
    assert store.campaigns() == [campaign]
    assert store.artifact(artifact.sha256) == artifact
    assert store.trial(trial.id) == msgspec.structs.replace(trial, state="done")
    assert same(list(store.attempts()), [attempt])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    samples=int64s,
    warmup=st.booleans(),
    error=st.none() | texts,
    warnings=st.lists(texts, max_size=2),
    temps=st.dictionaries(texts, st.floats(), max_size=3),
    freqs=st.dictionaries(st.integers(0, 4096), st.integers(0, 2**62), max_size=3),
    battery=maybe_floats,
    throttled=st.none() | st.booleans(),
    number=st.floats(),
)
def test_any_attempt_survives_the_round_trip(
    store: Store, seed, samples, warmup, error, warnings, temps, freqs, battery, throttled, number
) -> None:
    rng = random.Random(f"{seed} {next(examples)}")
    trial = planned(store, rng)[0]
    wall_ns, cpu_ns, switches = np.array(samples, np.int64).reshape(-1, 3).T
    conditions = Conditions(
        temps_c=temps, freqs_khz=freqs, battery_percent=battery, power_source=error, load_1min=number,
        memory_available_bytes=None, throttled=throttled,
    )  # fmt: skip
    block = Block(warmup=warmup, wall_ns=wall_ns, cpu_ns=cpu_ns, switches=switches, conditions=conditions)
    ready = make_ready(rng)
    print_of_nan = msgspec.structs.replace(ready.fingerprints[0], mean=number, head=(number, 0.5))
    launch = Launch(
        index=rng.randint(0, 9),
        ready=msgspec.structs.replace(ready, fingerprints=(print_of_nan,)),
        peak_rss_bytes=None,
        stop="interrupted",
        blocks=(block, block),
        ops=(OpTime(index=3, name=error or "", delegated=False, median_ns=number, runs=1),),
    )
    attempt = make_attempt(rng, trial, error=error, warnings=tuple(warnings), launches=0)
    attempt = msgspec.structs.replace(attempt, launches=(launch, make_launch(rng)))
    store.commit(attempt)
    assert same(list(store.attempts([trial.id])), [attempt])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(seed=st.integers(0, 2**32), name=texts, model=st.none() | texts)
def test_names_may_hold_any_character(store: Store, seed: int, name: str, model: str | None) -> None:
    rng = random.Random(f"{seed} {next(examples)}")
    campaign = make_campaign(rng, name=name, versions={name: name})
    artifact = make_artifact(rng, name, path=f"/models/{name}")
    trial = make_trial(rng, campaign, name, artifact)
    profile = make_profile(rng, f"{name}{campaign.id}", model=model)
    store.save_campaign(campaign)
    store.save_artifact(artifact)
    store.save_profile(profile)
    store.plan([trial])
    assert campaign in store.campaigns()
    assert store.artifact(artifact.sha256) == artifact
    assert store.trials(campaign_id=campaign.id, serials=[name]) == [trial]
    assert store.latest_profile(profile.serial) == profile


def test_a_name_that_is_not_text_is_refused_before_anything_is_written(store: Store, rng: random.Random) -> None:
    for name in ("caf\udce9", "a\0b"):
        with pytest.raises(BadInput, match="not valid UTF-8"):
            store.save_artifact(make_artifact(rng, name))
    assert store.contents().artifacts == ()


def test_a_message_that_is_not_text_never_costs_the_measurement(store: Store, rng: random.Random) -> None:
    trial = planned(store, rng)[0]
    store.commit(make_attempt(rng, trial, "failed", error="said \udcff\0", warnings=("\udc80",)))
    [attempt] = store.attempts()
    assert attempt.error == r"said \udcff\x00"
    assert attempt.warnings == (r"\udc80",)


def test_an_instant_keeps_its_moment_and_sorts_whatever_its_zone(store: Store, rng: random.Random) -> None:
    tokyo = timezone(timedelta(hours=9))
    early = make_campaign(rng, created_at=START.astimezone(tokyo))
    late = make_campaign(rng, created_at=START + timedelta(microseconds=1))
    store.save_campaign(late)
    store.save_campaign(early)
    assert [campaign.created_at for campaign in store.campaigns()] == [START, START + timedelta(microseconds=1)]


def test_every_probe_is_kept_and_the_latest_is_found(store: Store, rng: random.Random) -> None:
    old = make_profile(rng, "pi4", taken_at=START)
    new = make_profile(rng, "pi4", taken_at=START + timedelta(days=1))
    store.save_profile(new)
    store.save_profile(old)
    store.save_profile(old)
    assert store.latest_profile("pi4") == new
    assert store.profiles() == [old, new]


def test_saving_an_artifact_again_moves_it_and_keeps_what_was_known(store: Store, rng: random.Random) -> None:
    known = make_artifact(rng, flops=7, parameters=None)
    store.save_artifact(known)
    store.save_artifact(msgspec.structs.replace(known, path="/elsewhere", flops=None, parameters=3))
    assert store.artifact(known.sha256) == msgspec.structs.replace(known, path="/elsewhere", parameters=3)


def test_another_campaign_of_the_same_id_is_refused(store: Store, rng: random.Random) -> None:
    campaign = make_campaign(rng)
    store.save_campaign(campaign)
    store.save_campaign(campaign)
    with pytest.raises(StoreError, match="another name"):
        store.save_campaign(Campaign(id=campaign.id, name="other", created_at=START, versions={}))
    assert store.campaigns() == [campaign]


def test_a_plan_is_kept_whole_and_in_order(store: Store, rng: random.Random) -> None:
    trials = planned(store, rng, 20)
    more = [msgspec.structs.replace(trials[0], id=f"{number:032x}") for number in range(5)]
    store.plan(more)
    assert store.trials() == trials + more


def test_a_plan_that_cannot_be_kept_whole_leaves_nothing(store: Store, rng: random.Random) -> None:
    trials = planned(store, rng, 2)
    fresh = msgspec.structs.replace(trials[0], id="f" * 32)
    with pytest.raises(StoreError, match="nothing was written"):
        store.plan([fresh, trials[1]])
    with pytest.raises(StoreError, match="nothing was written"):
        store.plan([fresh, msgspec.structs.replace(fresh, id="e" * 32, artifact="unknown")])
    assert store.trials() == trials


@pytest.mark.parametrize(("outcome", "state"), [("done", "done"), ("failed", "failed"), ("interrupted", "planned")])
def test_an_attempt_moves_its_trial_on(store: Store, rng: random.Random, outcome, state) -> None:
    trial = planned(store, rng)[0]
    store.start(trial.id)
    assert store.trial(trial.id).state == "running"
    store.commit(make_attempt(rng, trial, outcome))
    assert store.trial(trial.id).state == state


def test_a_trial_that_a_crash_left_running_may_start_again(store: Store, rng: random.Random) -> None:
    trial = planned(store, rng)[0]
    store.start(trial.id)
    store.start(trial.id)
    assert store.trial(trial.id).state == "running"


def test_a_finished_trial_never_changes(store: Store, rng: random.Random) -> None:
    trial = planned(store, rng)[0]
    kept = make_attempt(rng, trial)
    store.commit(kept)
    with pytest.raises(StoreError, match="never changes"):
        store.commit(make_attempt(rng, trial, "failed"))
    with pytest.raises(StoreError, match="never changes"):
        store.start(trial.id)
    assert same(list(store.attempts()), [kept])
    assert store.trial(trial.id).state == "done"


def test_a_failed_trial_may_be_tried_again_and_both_attempts_are_kept(store: Store, rng: random.Random) -> None:
    trial = planned(store, rng)[0]
    first = make_attempt(rng, trial, "failed", started_at=START)
    second = make_attempt(rng, trial)
    store.commit(first)
    store.commit(second)
    assert same(list(store.attempts()), [first, second])
    assert store.trial(trial.id).state == "done"


def test_an_attempt_at_an_unknown_trial_is_refused(store: Store, rng: random.Random) -> None:
    trial = make_trial(rng, make_campaign(rng), "pi4", make_artifact(rng))
    with pytest.raises(StoreError, match="knows no trial"):
        store.commit(make_attempt(rng, trial))
    with pytest.raises(StoreError, match="knows no trial"):
        store.start(trial.id)
    assert list(store.attempts()) == []


def test_an_attempt_that_cannot_be_kept_whole_leaves_nothing(store: Store, rng: random.Random) -> None:
    one, two = planned(store, rng, 2)
    first = make_attempt(rng, one)
    store.commit(first)
    with pytest.raises(StoreError):
        store.commit(msgspec.structs.replace(make_attempt(rng, two), id=first.id))
    too_big = make_launch(rng, peak_rss_bytes=2**64)
    with pytest.raises(StoreError):
        store.commit(msgspec.structs.replace(make_attempt(rng, two), launches=(make_launch(rng), too_big)))
    assert store.trial(two.id).state == "planned"
    assert same(list(store.attempts()), [first])


def test_samples_can_be_left_out(store: Store, rng: random.Random) -> None:
    trial = planned(store, rng)[0]
    attempt = make_attempt(rng, trial)
    store.commit(attempt)
    [quick] = store.attempts([trial.id], with_samples=False)
    bare = tuple(msgspec.structs.replace(launch, blocks=(), ops=()) for launch in attempt.launches)
    assert same(quick, msgspec.structs.replace(attempt, launches=bare))


def test_trials_are_found_by_campaign_device_state_and_time(store: Store) -> None:
    trials = fill(store, 1)
    others = fill(store, 2, serials=["cam"])
    known = {trial.id: trial for trial in store.trials()}
    assert len(known) == len(trials) + len(others)
    assert {trial.id for trial in store.trials(campaign_id=others[0].campaign_id)} == {trial.id for trial in others}
    assert {trial.serial for trial in store.trials(serials=["cam", "pi4"])} == {"cam", "pi4"}
    assert [trial.id for trial in store.trials(serials=["phone 7"], states=["failed"])] == [trials[3].id]
    last = {attempt.trial_id: attempt.ended_at for attempt in store.attempts()}
    since = sorted(last.values())[-2]
    assert {trial.id for trial in store.trials(since=since)} == {key for key, ended in last.items() if ended >= since}
    planned_at = min(campaign.created_at for campaign in store.campaigns())
    assert len(store.trials(since=planned_at)) == len(known)
    assert store.trials(serials=[]) == []


def test_a_trial_is_found_by_the_beginning_of_its_id(store: Store, rng: random.Random) -> None:
    trials = planned(store, rng, 3)
    assert store.trial(trials[1].id[:8]) == trials[1]
    with pytest.raises(StoreError, match="several"):
        store.trial("")
    for unknown in ("nosuch", "%", "_" * 32):
        with pytest.raises(StoreError, match="no such trial"):
            store.trial(unknown)


def test_results_join_the_last_done_attempt_with_model_and_device(store: Store, rng: random.Random) -> None:
    trials = fill(store)
    results = store.results()
    assert [result.trial.id for result in results] == [trial.id for trial in trials]
    done, failed, waiting = results[0], results[3], results[4]
    assert (done.tries, failed.tries, waiting.tries) == (2, 1, 0)
    attempts = {attempt.trial_id: attempt for attempt in store.attempts() if attempt.outcome == "done"}
    assert same(done.attempt, attempts[done.trial.id])
    assert failed.attempt is None
    assert failed.last is not None
    assert failed.last.error_kind == "DeviceOffline"
    assert waiting.last is None
    assert done.profile == store.latest_profile("pi4")
    assert isinstance(done.artifact, Artifact)
    assert [result.trial.model_name for result in store.results(model="net 1")] == ["net 1"] * 2
    assert store.results(model="NET*") == []


def test_a_result_shows_the_device_as_it_was_when_measured(store: Store, rng: random.Random) -> None:
    trial = planned(store, rng)[0]
    before = make_profile(rng, "pi4", taken_at=START)
    store.save_profile(before)
    store.save_profile(make_profile(rng, "pi4", taken_at=START + timedelta(days=300)))
    store.commit(make_attempt(rng, trial, started_at=START + timedelta(days=1)))
    assert [result.profile for result in store.results()] == [before]


def test_many_threads_commit_without_losing_anything(store: Store, rng: random.Random) -> None:
    trials = planned(store, rng, 40)
    attempts = [make_attempt(rng, trial) for trial in trials]

    def measure(place: int) -> None:
        store.start(trials[place].id)
        assert store.trial(trials[place].id).state == "running"
        store.commit(attempts[place])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(measure, range(40)))
    assert {trial.state for trial in store.trials()} == {"done"}
    assert same(list(store.attempts()), attempts)


def test_a_reader_that_stops_half_way_holds_nothing_up(store: Store, rng: random.Random) -> None:
    trials = planned(store, rng, 60)
    for trial in trials[:55]:
        store.commit(make_attempt(rng, trial, "failed"))
    for _ in range(30):
        next(store.attempts())
    store.commit(make_attempt(rng, trials[55], "failed"))
    assert len(list(store.attempts())) == 56


def test_a_sweep_comes_back_as_it_went_in(store: Store, rng: random.Random) -> None:
    sweep = make_sweep(rng, "pi4 'a'\n", warnings=("CPU 5 went offline", ""), emulated="no such silicon")
    store.save_sweep(sweep)
    assert store.sweeps() == [sweep]


def test_a_sweep_never_changes(store: Store, rng: random.Random) -> None:
    sweep = make_sweep(rng, "pi4")
    store.save_sweep(sweep)
    store.save_sweep(sweep)
    with pytest.raises(StoreError, match=f"sweep {sweep.id}: is in the store already"):
        store.save_sweep(msgspec.structs.replace(sweep, points=sweep.points[1:]))
    assert store.sweeps() == [sweep]


def test_sweeps_are_found_by_device_and_time_and_stand_in_the_order_of_time(store: Store, rng: random.Random) -> None:
    sweeps = [make_sweep(rng, serial, taken_at=START + timedelta(hours=hour)) for hour, serial in enumerate("abab")]
    for sweep in reversed(sweeps):
        store.save_sweep(sweep)
    assert store.sweeps() == sweeps
    assert store.sweeps(serials=["b"]) == [sweeps[1], sweeps[3]]
    assert store.sweeps(serials=["b"], since=START + timedelta(hours=3)) == [sweeps[3]]
    assert store.sweeps(serials=[]) == []


def test_a_warning_that_is_not_text_never_costs_the_sweep(store: Store, rng: random.Random) -> None:
    store.save_sweep(make_sweep(rng, "pi4", warnings=("\udcff\0",)))
    [sweep] = store.sweeps()
    assert sweep.warnings == (r"\udcff\x00",)


def test_a_copy_of_one_campaign_holds_no_sweeps_and_one_of_a_device_holds_its_own(
    store: Store, rng: random.Random
) -> None:
    trials = fill(store)
    store.save_profile(make_profile(rng, "camera"))
    alone = make_sweep(rng, "camera")
    store.save_sweep(alone)
    assert store.contents().sweeps == tuple(store.sweeps())
    assert store.contents(campaign_id=trials[0].campaign_id).sweeps == ()
    contents = store.contents(serials=["camera"])
    assert contents.sweeps == (alone,)
    assert [profile.serial for profile in contents.profiles] == ["camera"]
    assert store.contents(since=alone.taken_at + timedelta(days=900)).sweeps == ()


def test_what_one_store_holds_another_takes_in_whole(store: Store, tmp_path: Path) -> None:
    fill(store)
    contents = store.contents()
    with Store.open(f"sqlite:///{tmp_path / 'other.sqlite'}") as other:
        merged = other.merge(contents)
        assert same(other.contents(), contents)
        again = other.merge(contents)
        assert same(other.contents(), contents)
    assert (merged.campaigns, merged.profiles, merged.artifacts, merged.trials, merged.attempts) == (1, 2, 2, 5, 5)
    assert merged.sweeps == 4
    assert set(msgspec.structs.asdict(again).values()) == {0}


def test_a_narrowed_copy_holds_all_that_its_trials_refer_to(store: Store) -> None:
    fill(store, 1)
    others = fill(store, 2, serials=["cam"])
    contents = store.contents(serials=["cam"])
    assert [campaign.id for campaign in contents.campaigns] == [others[0].campaign_id]
    assert [profile.serial for profile in contents.profiles] == ["cam"]
    assert {artifact.sha256 for artifact in contents.artifacts} == {trial.artifact for trial in others}
    assert {attempt.trial_id for attempt in contents.attempts} <= {trial.id for trial in contents.trials}


def test_a_later_copy_moves_trials_on_and_an_earlier_one_never_back(store: Store, tmp_path: Path) -> None:
    rng = random.Random(3)
    trial = planned(store, rng)[0]
    store.commit(make_attempt(rng, trial, "interrupted"))
    early = store.contents()
    store.commit(make_attempt(rng, trial))
    late = store.contents()
    with Store.open(f"sqlite:///{tmp_path / 'other.sqlite'}") as other:
        other.merge(early)
        other.merge(late)
        other.merge(early)
        assert same(other.contents(), late)


@pytest.mark.parametrize("what", ["artifact", "trial", "sample", "second result", "sweep"])
def test_a_copy_that_contradicts_the_store_changes_nothing(store: Store, rng: random.Random, what: str) -> None:
    fill(store)
    before = store.contents()
    campaign = make_campaign(rng)
    artifacts, trials, attempts = list(before.artifacts), list(before.trials), list(before.attempts)
    sweeps = list(before.sweeps)
    if what == "artifact":
        artifacts[0] = msgspec.structs.replace(artifacts[0], size_bytes=artifacts[0].size_bytes + 1)
    elif what == "trial":
        trials[0] = msgspec.structs.replace(trials[0], serial="other")
    elif what == "sample":
        launch = attempts[0].launches[0]
        block = launch.blocks[1]
        changed = msgspec.structs.replace(block, wall_ns=block.wall_ns + 1)
        launch = msgspec.structs.replace(launch, blocks=(launch.blocks[0], changed, *launch.blocks[2:]))
        attempts[0] = msgspec.structs.replace(attempts[0], launches=(launch, *attempts[0].launches[1:]))
    elif what == "sweep":
        point = msgspec.structs.replace(sweeps[0].points[0], correct=False)
        sweeps[0] = msgspec.structs.replace(sweeps[0], points=(point, *sweeps[0].points[1:]))
    else:
        attempts.append(make_attempt(rng, trials[0]))
    contents = msgspec.structs.replace(
        before,
        campaigns=(campaign, *before.campaigns),
        artifacts=tuple(artifacts),
        trials=tuple(trials),
        attempts=tuple(attempts),
        sweeps=tuple(sweeps),
    )
    with pytest.raises(StoreError, match="in the store already"):
        store.merge(contents)
    assert same(store.contents(), before)


def test_each_store_has_a_secret_of_its_own(store: Store, tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path / 'other.sqlite'}") as other:
        assert store.salt() == store.salt() != other.salt()
        assert len(store.salt()) == 64
