"""``leadline doctor``: what it looks at, and when it fails."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest

from leadline.device import health
from leadline.rpc.adb_server import AdbServer
from tests.support.adb import EmulatedPhone, PrivateAdbServer
from tests.support.command_line import CommandLine
from tests.support.sshd import Sshd


def test_a_working_machine_is_fine_and_every_check_says_something(leadline: CommandLine) -> None:
    checks = json.loads(leadline("doctor", "--json").stdout)
    states = {check["name"]: check["state"] for check in checks}
    assert {"python", "home", "zig", "agents", "LiteRT", "lab", "store", "adb", "adb server", "ssh keys", "cpu"} <= set(
        states
    )
    assert "missing" not in states.values()
    assert all(check["text"].isprintable() and check["text"] for check in checks)


def test_lines_show_the_command_that_mends(leadline: CommandLine) -> None:
    said = leadline("doctor")
    assert said.stderr == ""
    assert "ok      python: " in said.stdout
    assert "→ ssh-keygen -t ed25519" in said.stdout


def test_enrolled_devices_are_reached_all_at_once_unless_asked_not_to(leadline: CommandLine) -> None:
    leadline("device", "add", "local:", "--name", "desk")
    assert "desk answers at local:" in leadline("doctor").stdout
    with leadline.lab_file.open("a") as file:
        file.write('\n[devices.gone]\nuri = "ssh://127.0.0.1:1"\nserial = "gone"\n')
    failed = leadline("doctor", exit_code=1).stdout
    assert "desk answers" in failed
    assert "missing device: gone" in failed
    assert "gone" not in leadline("doctor", "--no-devices", exit_code=1).stdout


def test_a_device_that_accepts_and_then_says_nothing_is_not_waited_for(leadline: CommandLine, sshd: Sshd) -> None:
    sshd.trust()
    leadline.lab_file.write_text(f'[devices.mute]\nuri = "{sshd.uri}"\nserial = "S"\n')
    environment = {key: sshd.environment[key] for key in ("HOME", "SSH_AUTH_SOCK")}
    sshd.freeze()
    try:
        said = leadline("doctor", "--timeout", "0.5", exit_code=1, env=environment)
    finally:
        sshd.thaw()
    assert "mute: no answer" in said.stdout


def test_a_broken_lab_file_and_store_are_missing_and_the_rest_is_still_checked(leadline: CommandLine) -> None:
    leadline.lab_file.write_text("[devices.a\n")
    (leadline.home / "store.sqlite").write_text("no database" * 1000)
    said = leadline("doctor", exit_code=1).stdout
    assert "missing lab: " in said
    assert "missing store: " in said
    assert "cpu: " in said


def test_adb_is_needed_only_by_those_who_have_enrolled_a_phone(leadline: CommandLine) -> None:
    assert "advice  adb server: no adb server answers" in leadline("doctor", "--no-devices").stdout
    leadline.lab_file.write_text('[devices.p]\nuri = "adb:X"\nserial = "X"\n')
    assert "missing adb server: " in leadline("doctor", "--no-devices", exit_code=1).stdout


def test_phones_that_cannot_be_used_yet_are_named(
    adb_server: PrivateAdbServer, locked_adb_device: EmulatedPhone
) -> None:
    locked_adb_device.attach()
    adb_server.wait_for(locked_adb_device.serial, "unauthorized")
    checks = health.check_adb(AdbServer("127.0.0.1", adb_server.port), needed=True)
    (locked,) = [check for check in checks if locked_adb_device.serial in check.text]
    assert (locked.state, locked.mend) == ("advice", "unlock its screen and accept this computer's key")


def test_an_old_python_a_full_disk_and_missing_packages_are_told_with_what_mends_them(tmp_path: Path) -> None:
    def not_installed(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    checks = [
        health.check_python((3, 10, 4)),
        health.check_disk(tmp_path / "not" / "there", least_bytes=2**62),
        health.check_compiler(not_installed),
        health.check_runtime("leadline_no_such_package"),
        health.check_ssh(tmp_path, needed=True),
    ]
    assert [check.state for check in checks] == ["missing"] * 5
    assert all(check.mend for check in checks)


@pytest.mark.parametrize(("mode", "state"), [(None, "missing"), (0o600, "ok")])
def test_a_phone_on_usb_that_may_not_be_opened_is_told(tmp_path: Path, mode: int | None, state: str) -> None:
    unit = tmp_path / "sys/bus/usb/devices/1-2"
    interface = unit.with_name("1-2:1.1")
    for folder, facts in (
        (unit, {"busnum": "1", "devnum": "7", "product": "Pixel 6"}),
        (interface, {"bInterfaceClass": "ff", "bInterfaceSubClass": "42", "bInterfaceProtocol": "01"}),
    ):
        folder.mkdir(parents=True)
        for name, text in facts.items():
            (folder / name).write_text(text + "\n")
    if mode is not None:
        node = tmp_path / "dev/bus/usb/001/007"
        node.parent.mkdir(parents=True)
        node.touch(mode)
    (check,) = health.check_usb(tmp_path / "sys", tmp_path / "dev")
    assert check.state == state
    assert "Pixel 6" in check.text


def test_what_makes_times_wander_is_advice_with_the_command_against_it(tmp_path: Path) -> None:
    cpu = tmp_path / "sys/devices/system/cpu"
    (cpu / "cpufreq/policy0").mkdir(parents=True)
    (cpu / "cpufreq/policy0/scaling_governor").write_text("powersave\n")
    (cpu / "intel_pstate").mkdir()
    (cpu / "intel_pstate/no_turbo").write_text("0\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("flags\t: fpu hypervisor\n")
    checks = health.check_cpu(tmp_path / "sys", tmp_path / "proc")
    assert [check.state for check in checks] == ["advice"] * 3
    assert all(check.mend for check in checks)
    assert [check.state for check in health.check_cpu(tmp_path / "none", tmp_path / "none")] == ["ok"]
