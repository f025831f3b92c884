"""Rooflines as a person would measure them: sweep, look, export, and what goes wrong on the way."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from leadline.campaign import sweeping
from leadline.campaign.sweeping import SweepHost, SweepOrder, measure_sweeps
from leadline.cli.main import cli
from leadline.core.clock import SystemClock
from leadline.core.errors import BadInput, DeviceOffline
from leadline.core.home import Home
from leadline.records.device import Cache, Cluster, DeviceEntry, Profile
from leadline.records.roofline import KernelPoint, Sweep
from leadline.store.store import Store
from tests.support.adb import EmulatedPhone
from tests.support.command_line import CommandLine
from tests.support.programs import (
    CACHE,
    built,
    device_programs,
    finish,
    nothing_runs_in,
    wait_for,
)
from tests.support.sshd import Sshd

QUICK = ("--quick", "--dtype", "float32")


@pytest.fixture(autouse=True)
def _kernels() -> None:
    built("kernels")


@pytest.fixture(params=["local", "ssh", "adb"])
def device(request: pytest.FixtureRequest, lab: CommandLine) -> str:
    """The name of a device that hangs on this transport."""
    if request.param == "local":
        lab("device", "add", "local:")
    return "phone" if request.param == "adb" else "bench"


def sweeps_of(lab: CommandLine, device: str) -> list[Any]:
    shown = lab.json("roofline", "show", device)["rooflines"]
    assert isinstance(shown, list)
    return shown


def test_a_sweep_over_every_transport_finds_roofs(lab: CommandLine, device: str) -> None:
    told = lab.json("roofline", "run", "--device", device, "--cores", "1", *QUICK)
    assert told["device"] == device
    [roofline] = told["rooflines"]
    assert roofline["config"]["threads"] == 1
    [types] = roofline["types"]
    assert types["dtype"] == "float32"
    assert types["levels"][0]["level"] == "L1"
    assert all(point["correct"] for point in types["points"])
    peak = types["peak_gops"]
    assert 0 < peak["low"] <= peak["best"]
    assert sweeps_of(lab, device) == told["rooflines"]


def test_one_thread_and_all_cores_are_swept_by_default_and_networks_stand_below(
    lab: CommandLine, model: Path, tmp_path: Path
) -> None:
    done = lab("roofline", "run", "--device", "bench", *QUICK)
    assert "ridge" in done.stdout
    assert "\x1b[" not in done.stdout + done.stderr
    lab("measure", model, "--device", "bench", "--threads", "1", "--launches", "1")
    shown = lab("roofline", "show", "bench", "--networks", "--svg", "roofs.svg")
    assert "small.tflite" in shown.stdout
    assert "<svg" in (lab.folder / "roofs.svg").read_text()
    cpus = len(os.sched_getaffinity(0))
    threads = {roofline["config"]["threads"] for roofline in sweeps_of(lab, "bench")}
    assert threads == {1, cpus}
    assert lab.json("results")[0]["state"] == "done"


def test_sweeps_travel_in_bundles_and_are_shown_elsewhere(lab: CommandLine, tmp_path: Path) -> None:
    for device in ("bench", "phone"):
        lab("roofline", "run", "--device", device, "--cores", "1", *QUICK)
    lab("bundle", "export", "roofs.zip")
    lab("bundle", "verify", "roofs.zip")
    other = CommandLine(tmp_path / "elsewhere")
    other("bundle", "import", lab.folder / "roofs.zip")
    serials = {entry["name"]: entry["serial"] for entry in lab.json("device", "list")}
    for name, serial in serials.items():
        assert sweeps_of(other, serial) == sweeps_of(lab, name)
    other("bundle", "export", "again.zip")
    assert (other.folder / "again.zip").read_bytes() == (lab.folder / "roofs.zip").read_bytes()
    compared = lab.json("roofline", "compare", "bench", "phone")
    assert compared[0]["cores"] == "1 thread"
    assert other("roofline", "gables", serials["phone"]).stdout


def test_gables_of_a_machine_with_one_cluster_needs_no_second_one(lab: CommandLine) -> None:
    lab("roofline", "run", "--device", "bench", "--cores", "all", *QUICK)
    asked = lab.json("roofline", "gables", "bench", "--intensity", "4", "--what-if", "memory=2x")
    [answer] = asked["answers"]
    assert answer["gops"] > 0
    assert answer["what_if"][0]["speedup"] >= 1.0


# -- odd devices --


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SweepHost]:
    """A home of its own, in this process, so that what a probe finds can be changed."""
    home = Home(tmp_path / "home")
    home.root.mkdir()
    home.cache.symlink_to(CACHE)
    home.make()
    with Store.open(home.store_url) as store:
        yield SweepHost(home=home, store=store, clock=SystemClock(), progress=Recording(), lease_wait_s=0.0)


class Recording:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.on_point: Callable[[int], None] = lambda number: None
        self.points = 0

    def note(self, device: str, text: str) -> None:
        self.notes.append(text)

    def device_ready(self, device: str, profile: Profile, sweeps: int) -> None:
        self.notes.append(f"{sweeps} sweeps")

    def sweep_started(self, device: str, setup: object, number: int) -> None:
        self.notes.append(f"sweep {number}")

    def point(self, device: str, point: KernelPoint) -> None:
        self.points += 1
        self.on_point(self.points)

    def sweep_ended(self, device: str, sweep: Sweep) -> None:
        self.notes.append(f"{len(sweep.points)} points")


def local(tmp_path: Path) -> DeviceEntry:
    return DeviceEntry(name="odd", uri="local:", serial="odd", directory=str(tmp_path / "odd device"))


def probing(monkeypatch: pytest.MonkeyPatch, change: Callable[[Profile], Profile]) -> None:
    """Have the probe find something else on this machine, and take it for the enrolled unit."""
    probe = sweeping.probe
    monkeypatch.setattr(sweeping, "probe", lambda *args, **options: change(probe(*args, **options)))
    monkeypatch.setattr("leadline.device.link.check_identity", lambda entry, found: None)


def test_a_device_without_cache_information_is_swept_and_the_sweep_says_so(
    host: SweepHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probing(monkeypatch, lambda profile: msgspec.structs.replace(profile, caches=()))
    [sweep] = measure_sweeps(SweepOrder(scopes=("1",), quick=True), local(tmp_path), host)
    assert {point.level for point in sweep.points} == {"L1", "DRAM"}
    assert any("caches unknown" in warning for warning in sweep.warnings)
    assert host.store.sweeps() == [sweep]


def test_a_device_of_two_clusters_gives_gables_a_shared_memory_that_was_measured(
    host: SweepHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
    clusters = tuple(
        Cluster(name=name, cpus=(cpu,), core=None, capacity=None, min_khz=None, max_khz=None, governor=None)
        for name, cpu in (("little", first), ("big", last))
    )
    probing(monkeypatch, lambda profile: msgspec.structs.replace(profile, clusters=clusters))
    sweeps = measure_sweeps(SweepOrder(quick=True, dtypes=("float32",)), local(tmp_path), host)
    told = [(sweep.config.cluster, sweep.config.threads, sweep.beside) for sweep in sweeps]
    assert told == [("little", 1, ()), ("big", 1, ()), (None, 2, ()), ("little", 1, ("big",)), ("big", 1, ("little",))]
    arguments = ["--home", str(host.home.root), "roofline", "gables", "odd", "--intensity", "1", "--json"]
    asked = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    soc = json.loads(asked.stdout)["soc"]
    assert {ip["name"] for ip in soc["ips"]} == {"little", "big"}
    assert soc["memory_gbytes"] > 0


def test_a_device_whose_caches_hold_its_memory_is_not_swept_beside_busy_clusters(
    host: SweepHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))

    def small(profile: Profile) -> Profile:
        clusters = tuple(
            msgspec.structs.replace(profile.clusters[0], name=name, cpus=(cpu,))
            for name, cpu in (("little", first), ("big", last))
        )
        caches = tuple(
            Cache(level=1, kind="data", size_bytes=2**25, line_bytes=64, cpus=cluster.cpus) for cluster in clusters
        )
        return msgspec.structs.replace(profile, clusters=clusters, caches=caches, memory_bytes=2**27)

    probing(monkeypatch, small)
    order = SweepOrder(scopes=("cluster",), quick=True, dtypes=("float32",))
    sweeps = measure_sweeps(order, local(tmp_path), host)
    assert [(sweep.config.cluster, sweep.beside) for sweep in sweeps] == [("little", ()), ("big", ())]
    assert isinstance(host.progress, Recording)
    assert "no sweeps beside busy clusters: its caches hold all the memory that may be used" in host.progress.notes


def test_a_process_that_may_use_one_cpu_sweeps_once(lab: CommandLine) -> None:
    lab("device", "add", "local:")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        told = lab.json("roofline", "run", "--device", "bench", *QUICK)
    finally:
        os.sched_setaffinity(0, before)
    [roofline] = told["rooflines"]
    assert (roofline["config"]["threads"], roofline["config"]["cpus"]) == (1, str(max(before)))


def test_an_emulated_device_is_marked_as_one(host: SweepHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probing(monkeypatch, lambda profile: msgspec.structs.replace(profile, emulated="only a test"))
    [sweep] = measure_sweeps(SweepOrder(scopes=("1",), quick=True, dtypes=("float32",)), local(tmp_path), host)
    assert sweep.emulated == "only a test"


def test_a_type_that_the_cpu_has_no_instructions_for_is_refused_before_anything_is_measured(
    host: SweepHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probing(monkeypatch, lambda profile: msgspec.structs.replace(profile, features=()))
    with pytest.raises(BadInput, match="odd: no instructions for int8, float16; it can do: float32"):
        measure_sweeps(SweepOrder(dtypes=("int8", "float16")), local(tmp_path), host)
    assert host.store.sweeps() == []


# -- what goes wrong --


def test_a_phone_unplugged_in_mid_sweep_leaves_no_half_sweep(lab: CommandLine, phone: EmulatedPhone) -> None:
    process = lab.start("roofline", "run", "--device", "phone", "--cores", "1")
    wait_for(lambda: len(device_programs(phone.directory)) >= 2 or process.poll() is not None)
    phone.faults.go_offline()
    code, stderr = finish(process)
    assert code == 4, stderr
    assert "phone" in stderr
    assert "leadline roofline run" in lab("roofline", "show", "phone", exit_code=2).stderr
    nothing_runs_in(phone.directory)


def test_an_ssh_session_cut_in_mid_sweep_leaves_no_half_sweep(lab: CommandLine, sshd: Sshd, bench_folder: Path) -> None:
    process = lab.start("roofline", "run", "--device", "bench", "--cores", "1")
    wait_for(lambda: len(device_programs(bench_folder)) >= 2 or process.poll() is not None)
    sshd.stop()
    code, _ = finish(process)
    assert code == 4
    lab("roofline", "show", "bench", exit_code=2)
    nothing_runs_in(bench_folder)


def test_ctrl_c_keeps_the_sweeps_that_are_whole(lab: CommandLine, bench_folder: Path) -> None:
    lab("roofline", "run", "--device", "bench", "--cores", "1", *QUICK)
    process = lab.start("roofline", "run", "--device", "bench", "--cores", "1", "--cores", "all")
    wait_for(lambda: len(device_programs(bench_folder)) >= 2 or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    code, stderr = finish(process)
    assert code == 130, stderr
    assert len(sweeps_of(lab, "bench")) == 1
    nothing_runs_in(bench_folder)


def test_a_sweep_is_kept_before_the_next_begins(
    host: SweepHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probing(monkeypatch, lambda profile: profile)
    assert isinstance(host.progress, Recording)
    order = SweepOrder(scopes=("1", "all"), quick=True, dtypes=("float32",))

    def unplug(number: int) -> None:
        if host.store.sweeps():
            raise DeviceOffline("odd: silent")

    host.progress.on_point = unplug
    with pytest.raises(DeviceOffline):
        measure_sweeps(order, local(tmp_path), host)
    [sweep] = host.store.sweeps()
    assert sweep.config.threads == 1


def test_killing_the_host_leaves_nothing_running_on_the_device(lab: CommandLine, bench_folder: Path) -> None:
    process = lab.start("roofline", "run", "--device", "bench", "--cores", "1")
    wait_for(lambda: len(device_programs(bench_folder)) >= 2 or process.poll() is not None)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    nothing_runs_in(bench_folder)


def test_a_second_process_waits_its_turn_or_is_told_who_holds_the_device(lab: CommandLine, bench_folder: Path) -> None:
    first = lab.start("roofline", "run", "--device", "bench", "--cores", "1")
    wait_for(lambda: len(device_programs(bench_folder)) >= 2 or first.poll() is not None)
    refused = lab("roofline", "run", "--device", "bench", "--wait", "0", exit_code=4)
    assert f"process {first.pid}" in refused.stderr
    second = lab.start("roofline", "run", "--device", "bench", "--cores", "1", *QUICK)
    assert second.stderr is not None
    while "waiting" not in (line := second.stderr.readline()):
        assert line, "the second process ended without waiting"
    first.send_signal(signal.SIGINT)
    finish(first)
    code, stderr = finish(second)
    assert code == 0, stderr


def test_an_unknown_device_lists_the_known_ones(lab: CommandLine) -> None:
    refused = lab("roofline", "run", "--device", "pixel", exit_code=2)
    assert "bench" in refused.stderr
    assert "phone" in refused.stderr
