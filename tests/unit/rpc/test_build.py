"""Building the device programs, with the real compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from leadline.core.errors import BadInput, LeadlineError, WrongAbi
from leadline.rpc import build as builder
from leadline.rpc.build import build, build_prebuilt, prebuilt_key, sources_folder
from tests.support.programs import CACHE, built, host_abi

ROOT = Path(__file__).parents[3]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Without any program, but with a compiler that is warm."""
    built("agent")
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "zig").symlink_to(CACHE / "zig")
    return folder


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sources, to be changed."""
    folder = tmp_path / "sources"
    shutil.copytree(sources_folder(), folder)
    monkeypatch.setattr(builder, "_SOURCE_FOLDERS", (folder,))
    return folder


def test_the_first_build_is_told_and_the_second_found(cache: Path) -> None:
    told: list[str] = []
    first = build("agent", host_abi(), cache=cache, progress=told.append)
    assert first.read_bytes()[:4] == b"\x7fELF"
    assert os.access(first, os.X_OK)
    assert len(told) == 1
    assert f"building agent for {host_abi()}" in told[0]
    assert build("agent", host_abi(), cache=cache, progress=told.append) == first
    assert len(told) == 1


def test_the_agent_is_static_and_small(cache: Path) -> None:
    program = build("agent", host_abi(), cache=cache)
    assert b"ld-linux" not in program.read_bytes()
    assert b"libc.so" not in program.read_bytes()
    assert program.stat().st_size < 200_000


def test_many_at_once_build_it_once(cache: Path) -> None:
    told: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: build("agent", host_abi(), cache=cache, progress=told.append), range(4)))
    assert len(set(paths)) == 1
    assert len(told) == 1
    assert sorted(p.suffix for p in (cache / "programs").iterdir()) == ["", ".lock"]


def test_a_changed_source_or_header_is_built_anew(cache: Path, sources: Path) -> None:
    first = build("agent", host_abi(), cache=cache)
    for name in ("files.c", "program.h"):
        with (sources / name).open("a") as file:
            file.write("/* changed */\n")
        assert build("agent", host_abi(), cache=cache) != first


def test_a_file_that_the_program_does_not_include_changes_nothing(cache: Path, sources: Path) -> None:
    first = build("agent", host_abi(), cache=cache)
    (sources / "seeded.h").write_text("")
    assert build("agent", host_abi(), cache=cache) == first


def test_a_compile_error_is_told_in_the_compilers_words_and_leaves_nothing(cache: Path, sources: Path) -> None:
    with (sources / "files.c").open("a") as file:
        file.write("int broken(void) { return nonsense; }\n")
    with pytest.raises(LeadlineError, match=r"(?s)cannot build agent for .*files\.c.*undeclared identifier 'nonsense'"):
        build("agent", host_abi(), cache=cache)
    assert [p.suffix for p in (cache / "programs").iterdir()] == [".lock"]


def test_an_unknown_abi_or_program_is_told_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(WrongAbi, match=r"agent .*sparc\\n.*known: x86_64, aarch64, armv7, armv6, mipsel, riscv64"):
        build("agent", "sparc\n", cache=tmp_path)
    with pytest.raises(WrongAbi, match=r"litert-runner .*armv6; known: x86_64, aarch64"):
        build("litert-runner", "armv6", cache=tmp_path)
    with pytest.raises(BadInput, match="agent, kernels, litert-runner"):
        build("spy", "x86_64", cache=tmp_path)


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LeadlineError, match=r"file/cache: cannot keep the built agent.*LEADLINE_HOME"):
        build("agent", host_abi(), cache=tmp_path / "file" / "cache")


def test_without_a_compiler_the_package_to_install_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise builder.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(builder.metadata, "version", missing)
    with pytest.raises(LeadlineError, match="pip install ziglang"):
        build("agent", host_abi(), cache=cache)


def test_prebuilt_programs_are_used_while_their_sources_are_the_same(
    cache: Path, sources: Path, tmp_path: Path
) -> None:
    folder, name = tmp_path / "prebuilt", f"agent-{host_abi()}"
    shipped, key = build_prebuilt(folder, [name], cache=cache)
    assert key == prebuilt_key(shipped)
    nowhere = tmp_path / "file" / "cache"
    (tmp_path / "file").write_text("")
    assert build("agent", host_abi(), cache=nowhere, prebuilt=folder) == shipped
    with (sources / "agent.c").open("a") as file:
        file.write("/* changed */\n")
    assert build("agent", host_abi(), cache=cache, prebuilt=folder).parent == cache / "programs"
    assert build_prebuilt(folder, [name], cache=cache) == [shipped, key]
    assert build("agent", host_abi(), cache=nowhere, prebuilt=folder) == shipped


FIND = """
import sys
from pathlib import Path
from leadline.rpc.build import build, sources_folder
print(build("agent", sys.argv[1], cache=Path("/dev/null/nowhere")), sources_folder())
"""


def test_a_wheel_carries_the_sources_and_what_was_asked_for_prebuilt(tmp_path: Path) -> None:
    abi = host_abi()
    built("agent")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "LEADLINE_PREBUILT": f"agent-{abi}"},
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    rpc = tmp_path / "installed" / "leadline" / "rpc"
    assert (rpc / "agent_sources" / "litert.c").is_file()
    found = subprocess.run(
        [sys.executable, "-c", FIND, abi],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        check=True,
        capture_output=True,
        text=True,
    )
    assert found.stdout.split() == [str(rpc / "prebuilt" / f"agent-{abi}"), str(rpc / "agent_sources")]
