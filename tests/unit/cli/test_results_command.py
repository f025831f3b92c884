"""``leadline results``: what a person and what a script get to see."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result

from leadline.cli.main import cli
from leadline.core.errors import BadInput, LeadlineError, StoreError
from leadline.records.trial import Attempt, Trial
from leadline.store.store import Store
from tests.support.records import fill, make_artifact, make_attempt, make_campaign, make_profile, make_trial

Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def run(home: Path) -> Run:
    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(cli, ["--home", str(home), "results", *arguments], env={"LEADLINE_STORE": None})
        if result.exception and not isinstance(result.exception, SystemExit | LeadlineError):
            raise result.exception
        return result

    return run


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    home.mkdir()
    with Store.open(f"sqlite:///{home / 'store.sqlite'}") as store:
        yield store


def measured(store: Store, name: str = "net", *, serial: str = "pi4", **changes: object) -> tuple[Trial, Attempt]:
    rng = random.Random(f"{name} {serial}")
    campaign, artifact = make_campaign(rng), make_artifact(rng, name)
    trial = make_trial(rng, campaign, serial, artifact)
    attempt = make_attempt(rng, trial, **changes)
    store.save_campaign(campaign)
    store.save_artifact(artifact)
    store.plan([trial])
    store.commit(attempt)
    return trial, attempt


def test_an_empty_store_says_what_to_do_on_standard_error(run: Run) -> None:
    result = run()
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "leadline measure" in result.stderr
    assert json.loads(run("--json").stdout) == []


def test_the_table_shows_median_interval_mean_runs_and_notes(run: Run, store: Store) -> None:
    trials = fill(store)
    lines = run().stdout.splitlines()
    assert lines[0].split() == ["device", "model", "config", "median", "±", "mean", "n", "notes", "trial"]
    assert len(lines) == 1 + len(trials)
    assert [line.split()[-1] for line in lines[1:]] == [trial.id[:8] for trial in trials]
    assert " ms " in lines[1]
    assert " 60 " in lines[1]
    assert "%" in lines[1]
    assert "canary is 4 % slower" in lines[1]
    assert "failed" in lines[4]
    assert "DeviceOffline: pi4: silent for 30 s" in lines[4]
    assert "planned" in lines[5]


def test_devices_are_shown_and_chosen_by_their_name_in_the_lab(run: Run, store: Store, home: Path) -> None:
    fill(store, serials=["0815", "4711"])
    (home / "lab.toml").write_text('[devices.kitchen]\nuri = "ssh://pi@kitchen"\nserial = "0815"\n')
    assert {row["device"] for row in json.loads(run("--json").stdout)} == {"kitchen", None}
    assert {row["serial"] for row in json.loads(run("--json", "--device", "kitchen").stdout)} == {"0815"}
    assert {row["serial"] for row in json.loads(run("--json", "--device", "4711").stdout)} == {"4711"}
    unknown = run("--device", "cellar")
    assert isinstance(unknown.exception, BadInput)
    assert "cellar" in str(unknown.exception)
    assert "kitchen" in str(unknown.exception)


def test_models_are_chosen_by_glob_and_trials_by_time(run: Run, store: Store) -> None:
    measured(store, "mobilenet")
    measured(store, "resnet", started_at=datetime.now(UTC), ended_at=datetime.now(UTC))
    assert [row["model"] for row in json.loads(run("--json", "--model", "mob*").stdout)] == ["mobilenet"]
    assert [row["model"] for row in json.loads(run("--json", "--since", "12h").stdout)] == ["resnet"]
    assert len(json.loads(run("--json", "--since", "2026-01-01").stdout)) == 2
    tomorrow = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
    assert json.loads(run("--json", "--since", tomorrow).stdout) == []


@pytest.mark.parametrize("since", ["yesterday", "7x", "-1d", "2026-13-01", "", "999999w", "\x1b[2J"])
def test_a_time_that_makes_no_sense_is_told(run: Run, since: str) -> None:
    result = run("--since", since)
    assert result.exit_code == 2
    assert "write it like" in result.stderr
    assert "\x1b" not in result.stderr


def test_json_holds_every_number_and_id(run: Run, store: Store) -> None:
    trial, attempt = measured(store)
    [row] = json.loads(run("--json").stdout)
    wall_ns = np.concatenate([b.wall_ns for launch in attempt.launches for b in launch.blocks if not b.warmup])
    assert (row["trial"], row["attempt"], row["sha256"]) == (trial.id, attempt.id, trial.artifact)
    assert row["summary"]["n"] == wall_ns.size
    assert row["summary"]["mean_ns"] == pytest.approx(wall_ns.mean())
    assert row["summary"]["low_ns"] <= row["summary"]["median_ns"] <= row["summary"]["high_ns"]
    assert row["config"]["threads"] == trial.config.threads
    assert row["state"] == "done"


def test_an_interval_without_an_end_is_null_in_json_and_unknown_in_the_table(run: Run, store: Store) -> None:
    _, attempt = measured(store, "many")
    launch = attempt.launches[0]
    block = launch.blocks[1]
    few = msgspec.structs.replace(
        block, wall_ns=block.wall_ns[:3], cpu_ns=block.cpu_ns[:3], switches=block.switches[:3]
    )
    measured(store, "few", launches=0)
    rng = random.Random(5)
    trial = make_trial(rng, store.campaigns()[0], "pi4", store.contents().artifacts[0])
    store.plan([trial])
    lone = msgspec.structs.replace(launch, blocks=(few,))
    store.commit(msgspec.structs.replace(make_attempt(rng, trial), launches=(lone,)))
    row = next(row for row in json.loads(run("--json").stdout) if row["trial"] == trial.id)
    assert row["summary"]["high_ns"] is None
    assert "unknown" in next(line for line in run().stdout.splitlines() if trial.id[:8] in line)


def test_csv_has_a_line_per_trial(run: Run, store: Store) -> None:
    trials = fill(store)
    rows = list(csv.DictReader(io.StringIO(run("--csv").stdout)))
    assert [row["trial"] for row in rows] == [trial.id for trial in trials]
    assert float(rows[0]["summary_median_ns"]) > 0
    assert rows[3]["summary_median_ns"] == ""
    assert rows[3]["error_kind"] == "DeviceOffline"


def test_json_and_csv_together_are_refused(run: Run) -> None:
    assert isinstance(run("--json", "--csv").exception, BadInput)


def test_raw_samples_come_out_as_they_went_in(run: Run, store: Store) -> None:
    trial, attempt = measured(store)
    rows = list(csv.DictReader(io.StringIO(run("--samples", trial.id[:10]).stdout)))
    blocks = [block for launch in attempt.launches for block in launch.blocks]
    assert [int(row["wall_ns"]) for row in rows] == np.concatenate([block.wall_ns for block in blocks]).tolist()
    assert [int(row["cpu_ns"]) for row in rows] == np.concatenate([block.cpu_ns for block in blocks]).tolist()
    assert sum(row["warmup"] == "True" for row in rows) == sum(b.wall_ns.size for b in blocks if b.warmup)
    assert [row["switches"] for row in json.loads(run("--samples", trial.id, "--json").stdout)] == [
        int(row["switches"]) for row in rows
    ]


def test_a_trial_without_samples_and_an_unknown_one_are_told(run: Run, store: Store) -> None:
    waiting = fill(store)[-1]
    result = run("--samples", waiting.id)
    assert result.stdout == ""
    assert "planned and has no samples" in result.stderr
    assert isinstance(run("--samples", "nosuch").exception, StoreError)


def test_names_and_messages_cannot_play_with_the_terminal(run: Run, store: Store) -> None:
    evil = "net\x1b]0;owned\x07\x1b[2J\n[red]x[/red] [/oops] \u202egnp.exe $(reboot)"
    measured(store, evil, serial="pi\x1b[31m", warnings=("hot\x1b[2J",))
    shown = run().stdout
    assert not set(shown) & {"\x1b", "\x07", "\u202e"}
    assert "[red]x[/red] [/oops]" in shown
    assert json.loads(run("--json").stdout)[0]["model"] == evil


def test_what_spoils_a_number_stands_beside_it(run: Run, store: Store) -> None:
    trial, _ = measured(store, output_check="different", warnings=())
    store.save_profile(make_profile(random.Random(1), trial.serial, emulated="qemu"))
    [row] = json.loads(run("--json").stdout)
    assert row["notes"][0] == "outputs: not what the host computes"
    assert row["notes"][-1].startswith("emulated")
    assert "qemu" in row["notes"][-1]


def test_a_capped_trial_whose_warnings_were_left_out_still_says_so(run: Run, store: Store) -> None:
    trial, attempt = measured(store)
    rng = random.Random(8)
    again = make_trial(rng, store.campaigns()[0], "pi4", store.contents().artifacts[0])
    store.plan([again])
    capped = tuple(msgspec.structs.replace(launch, stop="cap") for launch in attempt.launches)
    store.commit(msgspec.structs.replace(make_attempt(rng, again), launches=capped, warnings=()))
    rows = {row["trial"]: row["notes"] for row in json.loads(run("--json").stdout)}
    assert rows[again.id][0].startswith("cap: reached in")
    assert rows[trial.id] == ["canary is 4 % slower"]
