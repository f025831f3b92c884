"""The names that devices get when nobody gives them one, and who may answer at an address."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from leadline.core.errors import StableError
from leadline.device.enrol import suggest_name
from leadline.device.link import check_identity
from leadline.device.probe import left_serial
from leadline.records.device import DeviceEntry
from leadline.rpc.local import LocalTransport
from tests.support.records import make_profile


@pytest.mark.parametrize(
    ("model", "uri", "taken", "name"),
    [
        ("Raspberry Pi 4 Model B Rev 1.4", "ssh://pi@10.0.0.7", [], "raspberry-pi-4"),
        ("Google Pixel 6", "adb:X", ["google-pixel-6", "google-pixel-6-2"], "google-pixel-6-3"),
        (None, "ssh://root@camera.lan:2222", [], "camera-lan"),
        ("\x1b[31m☃", "ssh://root@camera", [], "31m"),
        ("x" * 300, "adb:X", [], "x" * 24),
    ],
)
def test_a_name_is_short_plain_and_unused(model: str | None, uri: str, taken: list[str], name: str) -> None:
    profile = make_profile(random.Random(0), "S", model=model, soc="SoC 1")
    assert suggest_name(profile, uri, taken) == name


def test_a_phone_without_a_model_goes_by_its_chip() -> None:
    assert suggest_name(make_profile(random.Random(0), "S", model=None, soc="MSM8953"), "adb:X", []) == "msm8953"
    assert suggest_name(make_profile(random.Random(0), "S", model="☃", soc=None, abi="armv7"), "adb:X", []) == "armv7"


def test_only_the_enrolled_unit_or_one_without_a_serial_may_answer() -> None:
    entry = DeviceEntry(name="pi", uri="ssh://pi", serial="A")
    check_identity(entry, "A")
    with pytest.raises(StableError, match=r"pi: another device answers at ssh://pi: serial B, enrolled is A"):
        check_identity(entry, "B")


def test_a_unit_without_a_serial_of_its_own_gets_one_that_stays(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    with LocalTransport(name="bare") as transport:
        first = left_serial(transport, [nowhere, str(tmp_path)])
        assert re.fullmatch(r"left-[0-9a-f]{16}", first)
        assert left_serial(transport, [str(tmp_path), nowhere]) == first


def test_where_none_can_be_left_the_way_to_give_one_is_told(tmp_path: Path) -> None:
    with LocalTransport(name="bare") as transport, pytest.raises(StableError, match="/etc/machine-id"):
        left_serial(transport, [str(tmp_path / "nowhere")])
