"""Where libLiteRt.so comes from, and what it asks of a system."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import platform
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leadline.core.errors import LeadlineError, WrongAbi
from leadline.runner import library
from leadline.runner.library import find_library, required_versions, runtime_version

HERE = platform.machine()
ELSEWHERE = {"x86_64": "aarch64", "aarch64": "x86_64"}[HERE]
MACHINES = {"x86_64": 62, "aarch64": 183}


def elf(abi: str, *, names: bytes = b"\0GLIBC_2.34\0GLIBC_2.4\0GLIBCXX_3.4.30\0") -> bytes:
    return b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HH", 3, MACHINES[abi]) + bytes(44) + names


def wheel(folder: Path, content: bytes, *, digest: str | None = None) -> None:
    right = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    version = runtime_version()
    with zipfile.ZipFile(folder / f"ai_edge_litert-{version}-cp311-cp311-any.whl", "w") as archive:
        archive.writestr("ai_edge_litert/libLiteRt.so", content)
        row = f"ai_edge_litert/libLiteRt.so,sha256={digest or right},{len(content)}\n"
        archive.writestr(f"ai_edge_litert-{version}.dist-info/RECORD", row)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Path], None], int], list[list[str]]]:
    """Makes pip put what the test wants into the download folder, and records what it was asked."""

    def arrange(put: Callable[[Path], None], code: int = 0) -> list[list[str]]:
        asked: list[list[str]] = []

        def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
            asked.append(command)
            put(Path(command[command.index("--dest") + 1]))
            return subprocess.CompletedProcess(command, code, b"", b"ERROR: No matching distribution\x1b[31m")

        monkeypatch.setattr(library.subprocess, "run", run)
        return asked

    return arrange  # type: ignore[return-value]


def test_this_machine_s_library_is_the_installed_one(tmp_path: Path) -> None:
    found = find_library(HERE, host_cache=tmp_path)
    package = importlib.util.find_spec("ai_edge_litert")
    assert package is not None
    assert package.submodule_search_locations
    assert found.parent == Path(package.submodule_search_locations[0])
    assert not list(tmp_path.iterdir())


def test_another_cpu_s_library_is_fetched_once_in_the_same_version(tmp_path: Path, registry: Any) -> None:
    asked = registry(lambda folder: wheel(folder, elf(ELSEWHERE)))
    first = find_library(ELSEWHERE, host_cache=tmp_path)
    assert first.read_bytes() == elf(ELSEWHERE)
    assert find_library(ELSEWHERE, host_cache=tmp_path) == first
    assert len(asked) == 1
    assert f"ai-edge-litert=={runtime_version()}" in asked[0]
    assert any(ELSEWHERE in word for word in asked[0])
    assert os.listdir(first.parent) == ["libLiteRt.so"]


def test_a_registry_that_does_not_answer_is_told_with_the_command_to_try(tmp_path: Path, registry: Any) -> None:
    registry(lambda folder: None, 1)
    with pytest.raises(LeadlineError, match="No matching distribution") as caught:
        find_library(ELSEWHERE, host_cache=tmp_path)
    assert "pip download" in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "put",
    [
        pytest.param(lambda folder: wheel(folder, elf(ELSEWHERE), digest="AAAA"), id="not what RECORD names"),
        pytest.param(lambda folder: wheel(folder, elf(HERE)), id="for another CPU"),
        pytest.param(lambda folder: (folder / "x.whl").write_bytes(b"PK not a zip"), id="not a zip"),
        pytest.param(lambda folder: zipfile.ZipFile(folder / "x.whl", "w").close(), id="empty"),
    ],
)
def test_an_unsound_wheel_leaves_nothing_behind(tmp_path: Path, registry: Any, put: Callable[[Path], None]) -> None:
    registry(put)
    with pytest.raises(LeadlineError):
        find_library(ELSEWHERE, host_cache=tmp_path)
    assert not list(tmp_path.rglob("*.so"))
    assert not list(tmp_path.rglob("*.whl"))


@pytest.mark.parametrize("abi", ["armv7", "mipsel", "riscv64"])
def test_there_is_no_library_for_other_cpus(tmp_path: Path, abi: str) -> None:
    with pytest.raises(WrongAbi, match=abi):
        find_library(abi, host_cache=tmp_path)


def test_the_newest_required_version_of_each_interface_is_found(tmp_path: Path) -> None:
    path = tmp_path / "library.so"
    path.write_bytes(elf("aarch64"))
    assert required_versions(path) == {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 30)}


def test_the_installed_library_runs_on_this_system(tmp_path: Path) -> None:
    needed = required_versions(find_library(HERE, host_cache=tmp_path))["GLIBC"]
    here = tuple(int(part) for part in os.confstr("CS_GNU_LIBC_VERSION").split()[1].split("."))  # type: ignore[union-attr]
    assert (2, 17) <= needed <= here
