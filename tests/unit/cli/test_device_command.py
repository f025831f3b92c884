"""``leadline device``, as a user runs it, on this machine, over SSH and with adb."""

from __future__ import annotations

import json
import os
import re

import pytest

from leadline.device.lab import Lab
from leadline.device.lease import lease
from tests.support.adb import EmulatedPhone
from tests.support.command_line import CommandLine
from tests.support.sshd import Sshd

ODD_NAMES = ["my pi", "-n", "--json", "a;b", "$(touch pwned)", 'it\'s "odd"', "Bürö ☃"]


def enrolled(leadline: CommandLine) -> list[str]:
    return [entry.name for entry in Lab.load(leadline.lab_file).devices]


def test_this_machine_is_enrolled_listed_shown_probed_and_removed(leadline: CommandLine) -> None:
    said = leadline("device", "add", "local:", "--name", "desk", "--tag", "lab", "--tag", "x86")
    assert "added desk at local:" in said.stderr
    assert "cluster all" in said.stdout
    (entry,) = json.loads(leadline("device", "list", "--json").stdout)
    assert (entry["name"], entry["uri"], entry["tags"]) == ("desk", "local:", ["lab", "x86"])
    shown = json.loads(leadline("device", "show", "desk", "--json").stdout)
    usable = sorted(os.sched_getaffinity(0))
    assert sorted(cpu for cluster in shown["profile"]["clusters"] for cpu in cluster["cpus"]) == usable
    assert shown["profile"]["serial"] == entry["serial"]
    assert entry["serial"] in leadline("device", "probe", "lab").stdout
    assert "removed 'desk'" in leadline("device", "remove", "desk").stderr
    assert json.loads(leadline("device", "list", "--json").stdout) == []


def test_a_name_is_made_up_if_none_is_given(leadline: CommandLine) -> None:
    leadline("device", "add", "local:")
    (name,) = enrolled(leadline)
    assert re.fullmatch(r"[a-z0-9-]+", name)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_work_everywhere(leadline: CommandLine, name: str) -> None:
    leadline("device", "add", "local:", f"--name={name}")
    assert enrolled(leadline) == [name]
    assert name in leadline("device", "probe", "--", name).stdout
    leadline("device", "remove", "--", name)
    assert enrolled(leadline) == []


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31mred", ""])
def test_names_with_control_characters_are_refused(leadline: CommandLine, name: str) -> None:
    said = leadline("device", "add", "local:", f"--name={name}", exit_code=2)
    assert "device name" in said.stderr
    assert "\x1b" not in said.stderr
    assert not leadline.lab_file.exists()


def test_an_unknown_device_is_refused_with_the_known_names(leadline: CommandLine) -> None:
    leadline("device", "add", "local:", "--name", "desk")
    for command in (["show"], ["probe"], ["remove"]):
        said = leadline("device", *command, "desc", exit_code=2)
        assert "'desc' is not a device" in said.stderr
        assert "'desk'" in said.stderr
        assert "leadline device add URI" in said.stderr


def test_an_address_that_is_none_is_refused(leadline: CommandLine) -> None:
    assert "ssh://user@host:port" in leadline("device", "add", "http://x", exit_code=2).stderr
    assert "absolute path" in leadline("device", "add", "local:", "--directory", "x", exit_code=2).stderr
    assert not leadline.lab_file.exists()


def test_a_broken_lab_file_is_named_with_its_line_and_left_alone(leadline: CommandLine) -> None:
    leadline.lab_file.write_text("[devices.a\n")
    said = leadline("device", "list", exit_code=2)
    assert str(leadline.lab_file) in said.stderr
    assert "line 1" in said.stderr
    leadline("device", "add", "local:", exit_code=2)
    assert leadline.lab_file.read_text() == "[devices.a\n"


def test_the_same_unit_over_another_way_takes_the_new_uri_and_keeps_its_name(leadline: CommandLine, sshd: Sshd) -> None:
    leadline("device", "add", "local:", "--name", "desk", "--tag", "a")
    sshd.trust()
    environment = {key: sshd.environment[key] for key in ("HOME", "SSH_AUTH_SOCK")}
    said = leadline("device", "add", sshd.uri, "--tag", "b", env=environment)
    assert "was enrolled already" in said.stderr
    (entry,) = Lab.load(leadline.lab_file).devices
    assert (entry.name, entry.uri, entry.tags) == ("desk", sshd.uri, ("a", "b"))
    assert "enrolled as 'desk'" in leadline("device", "add", "local:", "--name", "other", exit_code=2).stderr


def test_a_phone_is_enrolled_through_adb(leadline: CommandLine, adb_device: EmulatedPhone) -> None:
    said = leadline("device", "add", adb_device.uri, "--name", "phone")
    assert f"added phone at {adb_device.uri}" in said.stderr
    assert "cluster all" in leadline("device", "probe", "phone").stdout


def test_another_unit_at_an_enrolled_address_is_refused(leadline: CommandLine) -> None:
    leadline("device", "add", "local:", "--name", "desk")
    (entry,) = Lab.load(leadline.lab_file).devices
    leadline.lab_file.write_text(leadline.lab_file.read_text().replace(entry.serial, "OTHER"))
    said = leadline("device", "probe", "desk", exit_code=4)
    assert "another device answers at local:" in said.stderr
    assert entry.serial in said.stderr
    assert "OTHER" in said.stderr
    assert "leadline device add local:" in said.stderr


def test_a_device_that_another_process_holds_is_not_probed_and_the_holder_is_named(leadline: CommandLine) -> None:
    leadline("device", "add", "local:", "--name", "desk")
    (entry,) = Lab.load(leadline.lab_file).devices
    with lease(leadline.home / "leases", entry.serial, purpose="a long night"):
        said = leadline("device", "probe", "--all", exit_code=4)
    assert f"held by process {os.getpid()}" in said.stderr
    assert "a long night" in said.stderr


def test_one_unreachable_device_does_not_keep_the_others_from_being_probed(leadline: CommandLine) -> None:
    leadline("device", "add", "local:", "--name", "desk")
    with leadline.lab_file.open("a") as file:
        file.write('\n[devices.gone]\nuri = "ssh://127.0.0.1:1"\nserial = "gone"\n')
    said = leadline("device", "probe", "--all", exit_code=4)
    assert "desk at local:" in said.stdout
    assert "gone" in said.stderr


def test_probe_wants_names_or_all_and_not_both(leadline: CommandLine) -> None:
    leadline("device", "probe", exit_code=2)
    leadline("device", "probe", "x", "--all", exit_code=2)


def test_a_device_that_was_never_probed_says_how_to_probe_it(leadline: CommandLine) -> None:
    leadline.lab_file.write_text('[devices."-x"]\nuri = "local:"\nserial = "S"\n')
    assert "leadline device probe -- -x" in leadline("device", "show", "--", "-x", exit_code=2).stderr


def test_scan_finds_this_machine_phones_and_ssh_hosts_and_how_to_add_them(
    leadline: CommandLine, adb_device: EmulatedPhone
) -> None:
    (leadline.user / ".ssh").mkdir()
    (leadline.user / ".ssh/config").write_text("Host pi4 pi5\n  User pi\nHost *\n  Port 22\n")
    environment = {"ANDROID_ADB_SERVER_PORT": str(adb_device.server.port)}
    found = {item["uri"]: item for item in json.loads(leadline("device", "scan", "--json", env=environment).stdout)}
    phone = f"adb:{adb_device.serial}"
    assert {"local:", "ssh://pi4", "ssh://pi5", phone} <= set(found)
    assert "ssh://*" not in found
    assert (found["local:"]["state"], found["ssh://pi4"]["state"], found[phone]["state"]) == (
        "ready",
        "not asked",
        "ready",
    )
    assert found[phone]["add"] == f"leadline device add {phone}"
    assert phone in leadline("device", "scan", env=environment).stdout


def test_scan_goes_on_where_the_ssh_configuration_cannot_be_read(
    leadline: CommandLine, adb_device: EmulatedPhone
) -> None:
    (leadline.user / ".ssh").mkdir()
    (leadline.user / ".ssh/config").write_bytes(b"\xff\xfe")
    said = leadline("device", "scan", env={"ANDROID_ADB_SERVER_PORT": str(adb_device.server.port)})
    assert ".ssh/config: cannot be read" in said.stderr
    assert "local:" in said.stdout


def test_scan_with_ssh_says_which_hosts_answer(leadline: CommandLine, sshd: Sshd, adb_device: EmulatedPhone) -> None:
    sshd.trust()
    config = sshd.ssh_directory / "config"
    before = config.read_text() if config.exists() else ""
    config.write_text(
        f"{before}\nHost bench\n  HostName 127.0.0.1\n  Port {sshd.port}\nHost gone\n  HostName 127.0.0.1\n  Port 1\n"
    )
    environment = {key: sshd.environment[key] for key in ("HOME", "SSH_AUTH_SOCK")}
    environment["ANDROID_ADB_SERVER_PORT"] = str(adb_device.server.port)
    said = leadline("device", "scan", "--ssh", "--json", env=environment)
    states = {item["uri"]: item["state"] for item in json.loads(said.stdout)}
    assert (states["ssh://bench"], states["ssh://gone"]) == ("ready", "DeviceOffline")
