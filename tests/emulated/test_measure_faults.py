"""What goes wrong while measuring: told clearly, nothing lost, nothing left running."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.adb import EmulatedPhone
from tests.support.command_line import CommandLine
from tests.support.programs import device_programs, finish, nothing_runs_in, wait_for, wait_until_gone
from tests.support.sshd import Sshd
from tests.support.tiny_models import conv_net, custom_op_net

LONG = ("--protocol", "paper", "--max-runs", "100000")  # longer than any test takes


def start_measuring(lab: CommandLine, model: Path, device: str, folder: Path) -> subprocess.Popen[str]:
    """Start a long measurement and return once agent and runner run on the device."""
    process = lab.start("measure", model, "--device", device, "--threads", "1", *LONG)
    wait_for(lambda: len(device_programs(folder)) >= 2 or process.poll() is not None)
    assert process.poll() is None, process.stderr.read() if process.stderr else ""
    return process


def states(lab: CommandLine) -> list[tuple[str, str | None]]:
    return [(result["state"], result["error_kind"]) for result in lab.json("results")]


# -- the device goes --


def test_a_phone_unplugged_while_it_measures(lab: CommandLine, phone: EmulatedPhone, slow_model: Path) -> None:
    process = start_measuring(lab, slow_model, "phone", phone.directory)
    phone.faults.go_offline()
    code, stderr = finish(process)
    assert code == 4
    assert "phone" in stderr
    assert states(lab) == [("failed", "DeviceOffline")]
    nothing_runs_in(phone.directory)


def test_an_ssh_session_cut_while_it_measures(
    lab: CommandLine, sshd: Sshd, slow_model: Path, bench_folder: Path
) -> None:
    process = start_measuring(lab, slow_model, "bench", bench_folder)
    sshd.stop()
    code, _ = finish(process)
    assert code == 4
    assert states(lab) == [("failed", "DeviceOffline")]
    nothing_runs_in(bench_folder)


def test_a_phone_unplugged_while_a_model_is_pushed(lab: CommandLine, phone: EmulatedPhone, tmp_path: Path) -> None:
    big = tmp_path / "big.tflite"
    big.write_bytes(conv_net(channels=100_000))
    lab("measure", _small(tmp_path), "--device", "phone", "--threads", "1")  # agent and runtime are there now
    phone.faults.cut_push_after_bytes = 1_000_000
    done = lab("measure", big, "--device", "phone", "--threads", "1", exit_code=4)
    assert "phone" in done.stderr
    assert ("failed", "DeviceOffline") in states(lab)
    assert not list(phone.directory.rglob("*.partial*"))


def test_a_disk_that_is_full_on_the_device(lab: CommandLine, phone: EmulatedPhone, tmp_path: Path) -> None:
    big = tmp_path / "big.tflite"
    big.write_bytes(conv_net(channels=100_000))
    lab("measure", _small(tmp_path), "--device", "phone", "--threads", "1")
    phone.faults.free_bytes = 1000
    lab("measure", big, "--device", "phone", "--threads", "1", exit_code=4)
    assert ("failed", "DeviceFull") in states(lab)


def test_one_device_lost_does_not_stop_the_other(lab: CommandLine, phone: EmulatedPhone, slow_model: Path) -> None:
    phone.faults.go_offline()
    done = lab("measure", slow_model, "--device", "phone", "--device", "bench", "--threads", "1", exit_code=4)
    assert "phone" in done.stderr
    assert states(lab) == [("done", None)]


# -- the host goes --


@pytest.mark.parametrize("device", ["bench", "phone"])
def test_killing_the_host_leaves_nothing_running_on_the_device(
    lab: CommandLine, phone: EmulatedPhone, bench_folder: Path, slow_model: Path, device: str
) -> None:
    folder = phone.directory if device == "phone" else bench_folder
    process = start_measuring(lab, slow_model, device, folder)
    running = device_programs(folder)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until_gone(*running)
    lab("measure", _small(lab.folder), "--device", device, "--threads", "1")


def test_ctrl_c_ends_after_the_block_at_hand_and_keeps_what_is_done(
    lab: CommandLine, slow_model: Path, bench_folder: Path
) -> None:
    small = _small(lab.folder)
    never_precise = ("--launches", "1", "--half-width", "0.0001", "--max-runs", "5000")
    process = lab.start("measure", small, slow_model, "--device", "bench", "--threads", "1", *never_precise)
    wait_for(lambda: len(device_programs(bench_folder)) >= 2)
    wait_for(lambda: ("running", None) in states(lab)[1:] or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    code, stderr = finish(process)
    assert code == 130, stderr
    assert states(lab) == [("done", None), ("planned", None)], stderr
    nothing_runs_in(bench_folder)


# -- somebody else is there --


def test_a_second_process_is_told_who_holds_the_device(lab: CommandLine, slow_model: Path, bench_folder: Path) -> None:
    first = start_measuring(lab, slow_model, "bench", bench_folder)
    done = lab("measure", slow_model, "--device", "bench", "--wait", "0", exit_code=4)
    assert f"process {first.pid}" in done.stderr
    assert f"kill -INT {first.pid}" in done.stderr
    first.send_signal(signal.SIGINT)
    finish(first)


def test_a_second_process_waits_its_turn(lab: CommandLine, slow_model: Path, bench_folder: Path) -> None:
    first = start_measuring(lab, slow_model, "bench", bench_folder)
    second = lab.start("measure", _small(lab.folder), "--device", "bench", "--threads", "1")
    assert second.stderr is not None
    while "waiting" not in (line := second.stderr.readline()):
        assert line, "the second process ended without waiting"
    assert f"process {first.pid}" in line
    first.send_signal(signal.SIGINT)
    finish(first)
    code, _ = finish(second)
    assert code == 0


# -- the user's input --


def test_an_unknown_device_lists_the_known_ones(lab: CommandLine, model: Path) -> None:
    done = lab("measure", model, "--device", "pixel", exit_code=2)
    assert "bench" in done.stderr
    assert "phone" in done.stderr


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"this is no model, but it is long enough to be read as one", "not a .tflite"),
        (conv_net()[:-100], "truncated"),
    ],
    ids=["empty", "text", "truncated"],
)
def test_a_file_that_is_no_whole_model_is_refused_before_anything_is_measured(
    lab: CommandLine, tmp_path: Path, content: bytes, told: str
) -> None:
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(content)
    done = lab("measure", _small(tmp_path), bad, "--device", "bench", exit_code=2)
    assert "bad.tflite" in done.stderr
    assert states(lab) == []


def test_a_model_with_an_op_that_no_runtime_knows_names_the_op(lab: CommandLine, tmp_path: Path) -> None:
    odd = tmp_path / "odd.tflite"
    odd.write_bytes(custom_op_net("FancyOp"))
    done = lab("measure", odd, "--device", "bench", exit_code=4)
    assert "odd.tflite" in done.stderr
    assert "FancyOp" in done.stderr
    assert states(lab) == []


def test_a_changed_host_key_is_refused_with_the_command_that_trusts_it(
    lab: CommandLine, sshd: Sshd, model: Path
) -> None:
    sshd.new_host_key()
    done = lab("measure", model, "--device", "bench", "--threads", "1", exit_code=4)
    assert sshd.host_fingerprint in done.stderr
    assert "ssh-keygen" in done.stderr
    assert f"-R '[127.0.0.1]:{sshd.port}'" in done.stderr


def test_a_store_that_cannot_be_written_stops_before_anything_is_measured(lab: CommandLine, model: Path) -> None:
    for file in lab.home.glob("store.sqlite*"):
        file.unlink()
    (lab.home / "store.sqlite").mkdir()
    done = lab("measure", model, "--device", "bench", exit_code=3)
    assert "store.sqlite" in done.stderr


def _small(folder: Path) -> Path:
    path = folder / "tiny.tflite"
    path.write_bytes(conv_net())
    return path
