"""The names that devices get when nobody gives them one, and who may answer at an address."""

from __future__ import annotations

import random

import pytest

from leadline.core.errors import StableError
from leadline.device.enrol import suggest_name
from leadline.device.link import check_identity
from leadline.records.device import DeviceEntry
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
    check_identity(entry, None)
    with pytest.raises(StableError, match=r"pi: another device answers at ssh://pi: serial B, enrolled is A"):
        check_identity(entry, "B")
