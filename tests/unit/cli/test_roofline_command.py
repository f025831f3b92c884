"""``leadline roofline``: what it shows of stored sweeps, what goes where, and what it refuses."""

from __future__ import annotations

import json
import random
import xml.etree.ElementTree as ET
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result

from leadline.cli.main import cli
from leadline.core.errors import BadInput, LeadlineError
from leadline.records.trial import Block, RunConfig
from leadline.search.model.inspect import inspect_file
from leadline.store.store import Store
from tests.support.records import (
    make_artifact,
    make_attempt,
    make_campaign,
    make_launch,
    make_profile,
    make_sweep,
    make_trial,
)
from tests.support.tiny_models import conv_net

Run = Callable[..., Result]
ONE = RunConfig(threads=1, cpus=(3,), cluster="all")
ALL = RunConfig(threads=4, cpus=(0, 1, 2, 3), cluster="all")
ONE_BIG = RunConfig(threads=1, cpus=(5,), cluster="big")
LITTLE = RunConfig(threads=2, cpus=(0, 1), cluster="little")
BIG = RunConfig(threads=4, cpus=(2, 3, 4, 5), cluster="big")
EVERY = RunConfig(threads=6, cpus=(0, 1, 2, 3, 4, 5))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A Pi of one cluster, fully swept; a phone of two, too, each alone, beside the other, and together; a camera
    that was only enrolled."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "lab.toml").write_text(
        '[devices.pi]\nuri = "ssh://pi@pi"\nserial = "0815"\n'
        '[devices.phone]\nuri = "adb:4711"\nserial = "4711"\n'
        '[devices.camera]\nuri = "ssh://root@camera"\nserial = "0000"\n'
    )
    rng = random.Random(1)
    with open_store(home) as store:
        phone = make_profile(rng, "4711")
        pi = make_profile(
            rng, "0815", clusters=(msgspec.structs.replace(phone.clusters[0], name="all", cpus=ALL.cpus),)
        )
        store.save_profile(phone)
        store.save_profile(pi)
        store.save_sweep(make_sweep(rng, "0815", config=ONE))
        store.save_sweep(
            make_sweep(rng, "0815", config=ALL, peak_gops={"float32": 60.0}, gbytes={"L1": 240.0, "DRAM": 12.0})
        )
        fast = {"L1": 128.0, "L2": 64.0}
        for sweep in (
            make_sweep(rng, "4711", config=ONE_BIG, peak_gops={"float32": 32.0}, gbytes={**fast, "DRAM": 12.0}),
            make_sweep(rng, "4711", config=LITTLE, peak_gops={"float32": 16.0}, gbytes={**fast, "DRAM": 8.0}),
            make_sweep(rng, "4711", config=BIG, peak_gops={"float32": 128.0}, gbytes={**fast, "DRAM": 20.0}),
            make_sweep(rng, "4711", config=EVERY, peak_gops={"float32": 140.0}, gbytes={**fast, "DRAM": 21.0}),
            make_sweep(rng, "4711", config=LITTLE, beside=("big",), gbytes={"DRAM": 6.0}),
            make_sweep(rng, "4711", config=BIG, beside=("little",), gbytes={"DRAM": 18.0}),
        ):
            store.save_sweep(sweep)
    return home


def open_store(home: Path) -> Store:
    return Store.open(f"sqlite:///{home / 'store.sqlite'}")


@pytest.fixture
def run(home: Path) -> Run:
    def run(*arguments: str | Path) -> Result:
        result = CliRunner().invoke(
            cli, ["--home", str(home), "roofline", *map(str, arguments)], env={"LEADLINE_STORE": None}
        )
        if result.exception and not isinstance(result.exception, SystemExit | LeadlineError):
            raise result.exception
        return result

    return run


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.exception
    return json.loads(result.stdout)


def measured(home: Path, folder: Path, serial: str, config: RunConfig, median_ns: dict[int, float]) -> None:
    """Put networks in the store that took so long, by the number of their channels."""
    rng = random.Random(f"{serial}{config.threads}")
    with open_store(home) as store:
        campaign = make_campaign(rng)
        store.save_campaign(campaign)
        for channels, wall_ns in median_ns.items():
            path = folder / f"{channels}.tflite"
            path.write_bytes(conv_net(channels=channels))
            artifact = make_artifact(
                rng, f"net {channels}", sha256=sha256(path.read_bytes()).hexdigest(), path=str(path), size_bytes=1,
                flops=None, parameters=None, architecture=None,
            )  # fmt: skip
            trial = make_trial(rng, campaign, serial, artifact, config=config)
            walls = np.full(30, int(wall_ns))
            block = Block(warmup=False, wall_ns=walls, cpu_ns=walls, switches=walls * 0, conditions=None)
            store.save_artifact(artifact)
            store.plan([trial])
            launches = tuple(msgspec.structs.replace(make_launch(rng, each), blocks=(block,)) for each in range(3))
            store.commit(msgspec.structs.replace(make_attempt(rng, trial, launches=0), launches=launches))


# -- show --


def test_show_lists_every_roof_with_its_interval_and_ridge_point(run: Run) -> None:
    done = run("show", "pi")
    assert done.exit_code == 0
    assert "4 threads on all (CPU 0-3)" in done.stdout
    [line] = [line for line in done.stdout.splitlines() if line.split()[:2] == ["DRAM", "12"]]
    assert " – " in line
    assert "5 FLOP/byte" in line  # 60 GFLOP/s over 12 GB/s
    assert "64 GOP/s" in done.stdout  # of integers no FLOP
    assert "ridge at 5 FLOP/byte" in done.stdout  # the plot, of all cores
    assert done.stderr == ""


def test_a_device_that_is_not_in_the_lab_is_shown_by_its_serial(run: Run, home: Path) -> None:
    (home / "lab.toml").unlink()
    assert told(run("show", "0815", "--json"))["serial"] == "0815"


def test_json_tells_every_try_beside_the_roofs(run: Run) -> None:
    shown = told(run("show", "pi", "--json", "--spec", "samsung-s5e", "--spec", "48,12.8"))
    one, everywhere = shown["rooflines"]
    assert one["config"] == {"threads": 1, "cpus": "3", "cluster": "all", "delegate": "xnnpack"}
    [types] = everywhere["types"]
    assert types["peak_gops"]["low"] <= types["peak_gops"]["best"] <= types["peak_gops"]["high"]
    assert max(max(point["gops"]) for point in types["points"]) == types["peak_gops"]["best"]
    assert [level["level"] for level in types["levels"]] == ["L1", "DRAM"]
    assert [each["peak_gflops"] for each in shown["specifications"]] == [40.6, 48.0]
    assert shown["networks"] == []


def test_one_try_leaves_an_interval_without_an_end(run: Run, home: Path) -> None:
    sweep = make_sweep(random.Random(2), "0000")
    once = msgspec.structs.replace(sweep.points[0], gops=(1.0,))
    with open_store(home) as store:
        store.save_sweep(msgspec.structs.replace(sweep, points=(once,)))
    [roofline] = told(run("show", "camera", "--json"))["rooflines"]
    assert roofline["types"][0]["peak_gops"] == {"low": 0.0, "best": 1.0, "high": None}
    assert "unknown" in run("show", "camera").stdout


def test_the_latest_sweep_of_a_configuration_counts_type_by_type(run: Run, home: Path) -> None:
    rng = random.Random(3)
    with open_store(home) as store:
        [old] = [sweep for sweep in store.sweeps(serials=["0815"]) if sweep.config == ONE]
        later = msgspec.structs.replace(old, taken_at=old.taken_at.replace(year=2030))
        store.save_sweep(
            msgspec.structs.replace(
                make_sweep(rng, "0815", config=ONE, peak_gops={"float32": 99.0}), taken_at=later.taken_at
            )
        )
    one, _ = told(run("show", "pi", "--json"))["rooflines"]
    assert {types["dtype"]: round(types["peak_gops"]["best"]) for types in one["types"]} == {"float32": 99, "int8": 64}


def test_the_plot_goes_to_files(run: Run, tmp_path: Path) -> None:
    svg, png, html = (tmp_path / f"roof.{kind}" for kind in ("svg", "png", "html"))
    done = run("show", "pi", "--svg", svg, "--png", png, "--html", html)
    assert done.exit_code == 0
    assert str(svg) in done.stderr
    assert ET.fromstring(svg.read_text()).tag.endswith("svg")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "<html" in html.read_text()


@pytest.mark.parametrize(("name", "fact"), [("roof.png", "end it in .svg"), ("no such/roof.svg", "No such file")])
def test_a_file_that_cannot_be_written_is_told(run: Run, tmp_path: Path, name: str, fact: str) -> None:
    refused = run("show", "pi", "--svg", tmp_path / name)
    assert isinstance(refused.exception, BadInput)
    assert fact in str(refused.exception)


def test_one_thread_of_one_cluster_can_be_drawn(run: Run) -> None:
    assert "1 thread on cluster big" in run("show", "phone", "--cores", "1").stdout
    assert "2 threads on cluster little" in run("show", "phone", "--cluster", "little").stdout
    assert "6 threads on CPUs 0-5" in run("show", "phone").stdout
    refused = run("show", "phone", "--cluster", "mid")
    assert isinstance(refused.exception, BadInput)
    assert "its clusters are big, little" in str(refused.exception)


def test_an_emulated_device_is_marked_wherever_its_speeds_are_shown(run: Run, home: Path) -> None:
    emulated = make_sweep(random.Random(4), "0000", config=ALL, emulated="QEMU TCG", warnings=("CPU 2\x1b[2J went",))
    with open_store(home) as store:
        store.save_sweep(emulated)
    mark = "latency is meaningless here"
    for command in (("show", "camera"), ("compare", "pi", "camera"), ("gables", "camera")):
        assert mark in run(*command).stdout
    assert told(run("show", "camera", "--json"))["emulated"] == "QEMU TCG"
    assert told(run("gables", "camera", "--json"))["soc"]["emulated"] == "QEMU TCG"
    shown = run("show", "camera").stdout
    assert "\x1b" not in shown
    assert r"CPU 2\x1b[2J went" in shown


@pytest.mark.parametrize(
    ("spec", "fact"), [("pixel-99", "is not known"), ("40,", "no pair"), ("-1,2", "no pair"), ("nan,1", "no pair")]
)
def test_a_specification_that_means_nothing_is_refused(run: Run, spec: str, fact: str) -> None:
    refused = run("show", "pi", "--spec", spec)
    assert isinstance(refused.exception, BadInput)
    assert fact in str(refused.exception)


@pytest.mark.parametrize("command", [("show", "camera"), ("compare", "pi", "camera"), ("gables", "camera")])
def test_a_device_without_sweeps_is_told_with_the_command_that_takes_them(run: Run, command: tuple[str, ...]) -> None:
    refused = run(*command)
    assert isinstance(refused.exception, BadInput)
    assert "leadline roofline run --device" in str(refused.exception)


def test_an_unknown_device_lists_the_known_ones(run: Run) -> None:
    for command in (("show", "pixel"), ("gables", "pixel"), ("run", "--device", "pixel")):
        refused = run(*command)
        assert isinstance(refused.exception, BadInput)
        assert "'pi', 'phone', 'camera'" in str(refused.exception)


def test_a_sweep_without_a_usable_point_hides_no_other(run: Run, home: Path) -> None:
    sweep = make_sweep(random.Random(5), "0815", config=ALL)
    wrong = tuple(msgspec.structs.replace(point, correct=False) for point in sweep.points)
    with open_store(home) as store:
        store.save_sweep(msgspec.structs.replace(sweep, points=wrong, taken_at=sweep.taken_at.replace(year=2030)))
    done = run("show", "pi")
    assert done.exit_code == 0
    assert "its result was wrong" in done.stderr


# -- networks --


def test_networks_stand_under_the_roofs_of_the_configuration_they_were_measured_with(
    run: Run, home: Path, tmp_path: Path
) -> None:
    measured(home, tmp_path, "0815", RunConfig(threads=1), {4: 1e6})
    measured(home, tmp_path, "0815", RunConfig(threads=4), {8: 1e6})
    one, everywhere = told(run("show", "pi", "--networks", "--json"))["networks"]
    sweeps = [each["sweep"] for each in told(run("show", "pi", "--json"))["rooflines"]]
    assert [one["sweep"], everywhere["sweep"]] == sweeps
    assert one["gops"] == one["flops"] / 1e6
    assert one["intensity"] == one["flops"] / one["bytes_moved"]
    assert one["bound"] == "overhead"  # so small a network in a millisecond
    shown = run("show", "pi", "--networks").stdout
    assert "net 4" in shown
    assert "A net 8" in shown  # in the plot's legend: measured on all cores


def test_a_network_pinned_to_another_cpu_of_the_cluster_stands_under_the_same_roofs(
    run: Run, home: Path, tmp_path: Path
) -> None:
    measured(home, tmp_path, "0815", RunConfig(threads=1, cpus=(0,)), {4: 1e6})
    [network] = told(run("show", "pi", "--networks", "--json"))["networks"]
    assert network["config"]["cpus"] == "0"
    measured(home, tmp_path, "4711", RunConfig(threads=1, cpus=(0,)), {4: 1e6})
    assert "no float32 roofs of 1 thread on CPU 0" in run("show", "phone", "--networks").stderr


def test_networks_that_cannot_be_placed_are_named_with_the_reason(run: Run, home: Path, tmp_path: Path) -> None:
    measured(home, tmp_path, "0815", RunConfig(threads=3), {4: 1e6})
    measured(home, tmp_path, "0815", RunConfig(threads=1), {8: 1e6, 16: 1e6, 32: 1e6})
    (tmp_path / "8.tflite").unlink()
    (tmp_path / "16.tflite").write_bytes(conv_net(channels=17))
    done = run("show", "pi", "--networks")
    assert done.exit_code == 0
    assert "net 4: no float32 roofs of 3 threads" in done.stderr
    assert "8.tflite: cannot be read" in done.stderr
    assert "16.tflite: has changed since" in done.stderr
    assert "net 32" in done.stdout


# -- compare --


def test_roofs_stand_side_by_side(run: Run) -> None:
    done = run("compare", "pi", "phone")
    assert done.exit_code == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["DRAM", "8", "GB/s", "12", "GB/s", "1.5"] in lines  # one thread, on the phone's fastest cluster
    assert ["DRAM", "12", "GB/s", "21", "GB/s", "1.75"] in lines
    assert "no model was measured on both" in done.stdout


def test_models_that_one_roof_bounds_on_both_devices_must_be_ordered_alike(
    run: Run, home: Path, tmp_path: Path
) -> None:
    """Latencies at nine tenths of the peak, on both."""
    for serial, peak_gops in (("0815", 16.0), ("4711", 32.0)):
        slower = {channels: flops(tmp_path, channels) / peak_gops / 0.9 for channels in (4, 8, 16)}
        measured(home, tmp_path, serial, RunConfig(threads=1), slower)
    one, _ = told(run("compare", "pi", "phone", "--json"))
    assert one["cores"] == "1 thread"
    assert [each["model"] for each in one["models"]] == ["net 4", "net 8", "net 16"]
    assert one["monotonicity"]["condition"] == "computation"
    assert one["monotonicity"]["srcc"] == pytest.approx(1.0)
    assert "computation bounds all of them on both: one order is expected" in run("compare", "pi", "phone").stdout


def test_models_that_different_roofs_bound_are_named(run: Run, home: Path, tmp_path: Path) -> None:
    for serial, slowdown in (("0815", 1.1), ("4711", 100.0)):
        slower = {channels: flops(tmp_path, channels) / 16.0 * slowdown for channels in (4, 8)}
        measured(home, tmp_path, serial, RunConfig(threads=1), slower)
    done = run("compare", "pi", "phone").stdout
    assert "the condition for one order does not hold: 0 of them are bound by the same roof on both" in done
    assert "net 4: computation on pi, overhead on phone" in done


def flops(folder: Path, channels: int) -> int:
    path = folder / f"count {channels}.tflite"
    path.write_bytes(conv_net(channels=channels))
    counted = inspect_file(path).counts.flops
    assert counted is not None
    return counted


def test_a_device_is_not_compared_with_itself(run: Run) -> None:
    assert "the same device twice" in str(run("compare", "pi", "pi").exception)


def test_types_that_one_device_lacks_are_told(run: Run) -> None:
    refused = run("compare", "pi", "phone", "--dtype", "float16")
    assert isinstance(refused.exception, BadInput)
    assert "float16" in str(refused.exception)


# -- gables --


def test_gables_answers_from_what_was_measured(run: Run) -> None:
    asked = told(run("gables", "phone", "--fractions", "big=0.5,little=0.5", "--intensity", "2", "--json"))
    soc = asked["soc"]
    assert {ip["name"]: round(ip["gbytes"]) for ip in soc["ips"]} == {"little": 8, "big": 20}
    assert soc["memory_gbytes"] == pytest.approx(24.0, rel=0.05)  # 6 + 18, each beside the other: more than 21
    [answer] = asked["answers"]
    assert answer["gops"] == pytest.approx(32.0, rel=0.05)  # 8 GB/s × 2 OP/byte for half of the work
    assert answer["binding"][0].startswith("little")


def test_gables_without_an_intensity_is_a_table(run: Run) -> None:
    answers = told(run("gables", "phone", "--json"))["answers"]
    assert [answer["average_intensity"] for answer in answers] == pytest.approx([1 / 16, 1 / 4, 1, 4, 16, 64])
    assert answers[-1]["gops"] == pytest.approx(144.0, rel=0.05)  # both clusters at their peaks
    assert "bound by" in run("gables", "phone").stdout


def test_gables_says_what_a_change_would_bring(run: Run) -> None:
    asked = ("gables", "phone", "--fractions", "big=0.5,little=0.5", "--intensity", "1.5")
    [answer] = told(run(*asked, "--what-if", "little.bandwidth=2x", "--what-if", "memory=1", "--json"))["answers"]
    wider, narrower = answer["what_if"]
    assert wider["new"] == 2 * wider["old"]
    assert 1.0 < wider["speedup"] <= 2.0
    assert narrower["binding"] == ["memory"]
    assert narrower["gops"] == pytest.approx(1.5)  # 1 GB/s × 1.5 OP/byte
    assert "(1.33×)" in run(*asked, "--what-if", "little.bandwidth=2x").stdout


def test_one_cluster_at_a_time_takes_longer(run: Run) -> None:
    at_once, in_turn = (told(run("gables", "phone", "--intensity", "1", *more, "--json"))["answers"][0]["gops"]
                        for more in ((), ("--serialized",)))  # fmt: skip
    assert in_turn < at_once


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        (("--fractions", "big"), "give each cluster once"),
        (("--fractions", "big=1,big=0"), "give each cluster once"),
        (("--fractions", "big=half"), "is no number"),
        (("--fractions", "big=0.7"), "sum to 0.7"),
        (("--fractions", "huge=1"), "huge"),
        (("--intensity", "lots"), "is no number"),
        (("--intensity", "big=1"), "says nothing of little"),
        (("--intensity", "0"), "positive"),
        (("--intensity", "nan"), "positive"),
        (("--what-if", "memory"), "PARAMETER=VALUE"),
        (("--what-if", "memory=-1"), "positive"),
        (("--what-if", "gpu.peak=1"), "no such parameter"),
        (("--what-if", "gpu.peak=2x"), "no such parameter"),
        (("--dtype", "float16"), "no cluster was measured"),
    ],
)
def test_questions_that_make_no_sense_are_refused(run: Run, options: tuple[str, str], fact: str) -> None:
    refused = run("gables", "phone", *options)
    assert isinstance(refused.exception, BadInput)
    assert fact in str(refused.exception)
    assert refused.stdout == ""


def test_a_shared_memory_that_was_never_measured_is_told_with_the_command(run: Run, home: Path) -> None:
    with open_store(home) as store:
        for config in (LITTLE, BIG):
            store.save_sweep(make_sweep(random.Random(config.threads), "0000", config=config))
    refused = run("gables", "camera")
    assert isinstance(refused.exception, BadInput)
    assert "never together" in str(refused.exception)
    assert "leadline roofline run --device" in str(refused.exception)


@pytest.mark.parametrize("command", [[], ["run"], ["show"], ["compare"], ["gables"]])
def test_every_command_has_help(run: Run, command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) > 6
