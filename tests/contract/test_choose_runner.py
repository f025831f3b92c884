"""Which runner a device gets, on this machine with profiles of others."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
import pytest

from leadline.core.errors import WrongAbi
from leadline.records.device import Profile
from leadline.records.ports import Runner
from leadline.runner.choose import choose_runner, library_obstacle
from tests.support.bench import Bench, bench, profile_of_bench
from tests.support.programs import CACHE, host_abi

__all__ = ["bench"]


def chosen(bench: Bench, profile: Profile) -> Runner:
    return choose_runner(bench.agent, bench.cache, profile, host_cache=CACHE, device="pi")


@pytest.fixture
def our_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """``python3`` of the device is the Python that runs this test. Before `bench`, whose agent inherits it."""
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable), prepend=os.pathsep)


@pytest.fixture
def no_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``python3`` of the device sees the standard library only."""
    bare = tmp_path / "bin" / "python3"
    bare.parent.mkdir()
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setenv("PATH", str(bare.parent), prepend=os.pathsep)


def test_glibc_linux_gets_litert(bench: Bench) -> None:
    assert chosen(bench, bench.profile).name == "litert"


@pytest.mark.parametrize(
    "change", [{"libc": "glibc 2.17"}, {"libc": "musl"}, {"libc": None}, {"abi": "armv7"}], ids=str
)
def test_where_the_library_cannot_run_python_does(our_python: None, bench: Bench, change: dict[str, str]) -> None:
    profile = msgspec.structs.replace(bench.profile, **change)
    assert chosen(bench, profile).name == "litert-python"


def test_where_neither_runs_the_error_names_both_and_the_remedy(no_python: None, bench: Bench) -> None:
    profile = msgspec.structs.replace(bench.profile, abi="armv7")
    with pytest.raises(WrongAbi) as caught:
        chosen(bench, profile)
    message = str(caught.value)
    assert message.startswith("pi: ")
    assert "armv7" in message
    assert "numpy" in message
    assert "pip install" in message


def test_a_device_without_python_is_not_asked_for_it(bench: Bench) -> None:
    profile = msgspec.structs.replace(bench.profile, abi="mipsel", python=None)
    with pytest.raises(WrongAbi, match="no python3"):
        chosen(bench, profile)


def test_android_is_told_what_is_possible_now(bench: Bench) -> None:
    profile = msgspec.structs.replace(bench.profile, os_kind="android", libc="bionic", python=None)
    with pytest.raises(WrongAbi, match="Android"):
        chosen(bench, profile)


def test_the_c_library_decides_not_the_name_of_the_system(bench: Bench) -> None:
    assert chosen(bench, msgspec.structs.replace(bench.profile, os_kind="android")).name == "litert"


@pytest.mark.parametrize(
    ("libc", "fact"),
    [("glibc 2.17", "needs glibc"), ("musl", "musl"), ("glibc new", "glibc new"), ("bionic", "bionic")],
)
def test_an_obstacle_is_told_with_what_the_device_has(tmp_path: Path, libc: str, fact: str) -> None:
    obstacle = library_obstacle(profile_of_bench(abi=host_abi(), libc=libc), host_cache=tmp_path)
    assert obstacle
    assert fact in obstacle


@pytest.mark.parametrize("libc", ["glibc 2.99", "glibc 3.0", "glibc 2.41-rpi"])
def test_newer_systems_are_no_obstacle(tmp_path: Path, libc: str) -> None:
    assert library_obstacle(profile_of_bench(abi=host_abi(), libc=libc), host_cache=tmp_path) is None
