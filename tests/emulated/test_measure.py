"""First light, as a person would do it: enrol, measure, look, export, check."""

from __future__ import annotations

import zipfile
from pathlib import Path

import polars as pl
import pytest

from tests.support.adb import EmulatedPhone
from tests.support.command_line import CommandLine
from tests.support.sshd import Sshd
from tests.support.tiny_models import conv_net

ODD_NAMES = [
    "with space.tflite",
    "quote'\".tflite",
    "semi;colon$(touch pwned).tflite",
    "new\nline.tflite",
    "-dash.tflite",
]


def test_quickstart_measures_and_leaves_a_bundle_that_verifies(leadline: CommandLine) -> None:
    done = leadline("quickstart", "-n", "2", "-o", "out.zip")
    assert "SRCC of FLOPs" in done.stdout
    assert "verified" in done.stdout
    results = leadline.json("results")
    assert len(results) == 4
    assert {result["state"] for result in results} == {"done"}
    assert {result["output_check"] for result in results} <= {"equal", "close"}
    assert {result["config"]["threads"] for result in results} >= {1}
    leadline("bundle", "verify", "out.zip")


@pytest.fixture(params=["local", "ssh", "adb"])
def device(request: pytest.FixtureRequest, lab: CommandLine) -> str:
    """The name of a device that hangs on this transport."""
    if request.param == "local":
        lab("device", "add", "local:")
    return "phone" if request.param == "adb" else "bench"


def test_a_model_is_measured_over_every_transport_and_computes_what_the_host_computes(
    lab: CommandLine, device: str, model: Path
) -> None:
    (result,) = lab.json("measure", model, "--device", device, "--threads", "1")
    assert result["state"] == "done"
    assert result["device"] == device
    assert result["output_check"] in ("equal", "close")
    assert result["runtime"].startswith("LiteRT")
    summary = result["summary"]
    assert summary["launches"] == 3
    assert 0 < summary["min_ns"] <= summary["median_ns"] <= summary["p95_ns"]


@pytest.mark.parametrize("device", ["ssh", "adb"], indirect=True)
def test_names_reach_devices_and_results_unchanged_whatever_they_hold(
    lab: CommandLine, device: str, tmp_path: Path
) -> None:
    folder = tmp_path / "odd names"
    folder.mkdir()
    for number, name in enumerate(ODD_NAMES):
        (folder / name).write_bytes(conv_net(seed=number))
    results = lab.json("measure", "--device", device, "--threads", "1", "--launches", "1", "--", *folder.iterdir())
    assert sorted(result["model"] for result in results) == sorted(ODD_NAMES)
    assert {result["state"] for result in results} == {"done"}
    assert not list(tmp_path.rglob("pwned"))


def test_devices_are_measured_at_the_same_time_and_travel_in_one_bundle(
    lab: CommandLine, model: Path, tmp_path: Path
) -> None:
    lab("measure", model, "--device", "bench", "--device", "phone", "--threads", "1", "--threads", "all")
    lab("bundle", "export", "night.zip")
    lab("bundle", "verify", "night.zip")

    other = CommandLine(tmp_path / "elsewhere")
    other("bundle", "import", lab.folder / "night.zip")
    ours, theirs = lab.json("results"), other.json("results")
    assert [result["summary"] for result in ours] == [result["summary"] for result in theirs]
    assert {result["serial"] for result in theirs} == {device["serial"] for device in lab.json("device", "list")}
    other("bundle", "export", "again.zip")
    assert (other.folder / "again.zip").read_bytes() == (lab.folder / "night.zip").read_bytes()


def test_a_cluster_and_a_cpu_set_are_where_the_threads_run(lab: CommandLine, model: Path) -> None:
    results = lab.json("measure", model, "--device", "bench", "--cluster", "all", "--threads", "1")
    results += lab.json("measure", model, "--device", "bench", "--cpus", "0", "--threads", "all")
    assert results[0]["config"]["cluster"] == "all"
    assert results[1]["config"] == {"threads": 1, "cpus": "0", "cluster": None, "delegate": "xnnpack"}


def test_every_op_is_timed_on_request_and_its_delegate_is_known(lab: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "partly.tflite"
    path.write_bytes(conv_net(size=128, channels=32, undelegated=True))
    lab("measure", path, "--device", "bench", "--threads", "1", "--ops")
    lab("bundle", "export", "ops.zip")
    lab("bundle", "show", "ops.zip")
    launches, ops = _table(lab.folder / "ops.zip", "launches"), _table(lab.folder / "ops.zip", "ops")
    assert launches["ready_op_count"].unique().to_list() == [3]
    assert launches["ready_delegated_ops"].unique().to_list() == [2]
    assert sorted(ops["delegated"].to_list()).count(False) == 1
    assert ops["median_ns"].max() > 0  # the profiler counts microseconds: the smallest ops may take none


def test_the_paper_protocol_runs_a_thousand_times_in_one_process(lab: CommandLine, model: Path) -> None:
    (result,) = lab.json("measure", model, "--device", "phone", "--threads", "1", "--protocol", "paper")
    assert (result["summary"]["n"], result["summary"]["launches"]) == (1000, 1)


def test_raw_samples_can_be_had_back(lab: CommandLine, model: Path) -> None:
    (result,) = lab.json("measure", model, "--device", "bench", "--threads", "1")
    samples = lab.json("results", "--samples", result["trial"])
    timed = sorted(sample["wall_ns"] for sample in samples if not sample["warmup"])
    assert len(timed) == result["summary"]["n"]
    assert timed[0] == result["summary"]["min_ns"]


def test_a_device_is_known_again_by_its_serial_over_another_transport(lab: CommandLine, sshd: Sshd) -> None:
    before = {device["name"]: device["serial"] for device in lab.json("device", "list")}
    lab("device", "add", "local:")
    after = {device["name"]: device for device in lab.json("device", "list")}
    assert {name: device["serial"] for name, device in after.items()} == before
    assert after["bench"]["uri"] == "local:"


def test_without_a_terminal_progress_is_plain_lines_on_standard_error(
    lab: CommandLine, model: Path, phone: EmulatedPhone
) -> None:
    done = lab("measure", model, "--device", "phone", "--threads", "1")
    assert "\x1b[" not in done.stdout + done.stderr
    assert "phone: small.tflite · 1 thread: done" in done.stderr


def _table(bundle: Path, name: str) -> pl.DataFrame:
    with zipfile.ZipFile(bundle) as archive:
        (member,) = [member for member in archive.namelist() if member.endswith(f"/{name}.parquet")]
        return pl.read_parquet(archive.read(member))
