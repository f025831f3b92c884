"""A lab of one's own: the command line with devices enrolled over SSH and ADB."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from tests.support.adb import EmulatedPhone
from tests.support.command_line import CommandLine
from tests.support.sshd import Sshd
from tests.support.tiny_models import conv_net


@pytest.fixture
def phone(adb_device: EmulatedPhone, tmp_path: Path) -> EmulatedPhone:
    """The emulated phone, telling a serial of its own: for Leadline another unit than the machine that it runs on."""
    stand_ins = tmp_path / "phone-bin"
    stand_ins.mkdir()
    (stand_ins / "getprop").write_text("#!/bin/sh\necho '[ro.serialno]: [EMULATED01]'\n")
    (stand_ins / "getprop").chmod(0o755)
    device = adb_device.daemon.device
    adb_device.daemon.device = dataclasses.replace(device, environment={"PATH": f"{stand_ins}:{os.environ['PATH']}"})
    return adb_device


@pytest.fixture
def lab(tmp_path: Path, sshd: Sshd, phone: EmulatedPhone) -> CommandLine:
    """The command with two units enrolled: this machine as ``bench``, over SSH, and ``phone``, over ADB."""
    command = CommandLine(
        tmp_path / "lab",
        {
            "ANDROID_ADB_SERVER_PORT": phone.server.environment["ANDROID_ADB_SERVER_PORT"],
            "HOME": sshd.environment["HOME"],
            "SSH_AUTH_SOCK": "",
        },
    )
    command("device", "add", sshd.uri, "--name", "bench", "--directory", tmp_path / "bench device")
    command("device", "add", phone.uri, "--name", "phone")
    return command


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small network that takes well below a millisecond."""
    path = tmp_path / "small.tflite"
    path.write_bytes(conv_net())
    return path


@pytest.fixture
def slow_model(tmp_path: Path) -> Path:
    """A network of some milliseconds an inference: 1000 of them leave time to break something."""
    path = tmp_path / "slow.tflite"
    path.write_bytes(conv_net(size=192, channels=64))
    return path


@pytest.fixture
def bench_folder(tmp_path: Path) -> Path:
    """Where ``bench`` keeps what was pushed to it."""
    return tmp_path / "bench device"
