"""Compiling the device programs of ``rpc/agent`` with zig, for whatever ABI is at hand.

A released wheel carries them prebuilt and needs no compiler; from a checkout each is built on first use and cached
under the hash of its sources, flags and compiler.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path

import msgspec

from leadline.core.errors import BadInput, LeadlineError, WrongAbi
from leadline.core.text import printable


class Recipe(msgspec.Struct, frozen=True):
    """How one program is compiled."""

    sources: tuple[str, ...]
    targets: Mapping[str, tuple[str, ...]]  # ABI → what zig needs to know of it
    flags: tuple[str, ...]
    libraries: tuple[str, ...] = ()


# Every Arm target is hard-float; MIPS cameras have no floating-point unit, so that mipsel is soft-float.
_STATIC = {
    "x86_64": ("-target", "x86_64-linux-musl"),
    "aarch64": ("-target", "aarch64-linux-musl"),
    "armv7": ("-target", "arm-linux-musleabihf", "-mcpu=generic+v7a+vfp3d16"),
    "armv6": ("-target", "arm-linux-musleabihf", "-mcpu=arm1176jzf_s"),
    "mipsel": ("-target", "mipsel-linux-musleabi"),
    "riscv64": ("-target", "riscv64-linux-musl"),
}
# Debian 10 and later; libLiteRt.so itself asks for more.
_GLIBC = {
    "x86_64": ("-target", "x86_64-linux-gnu.2.28"),
    "aarch64": ("-target", "aarch64-linux-gnu.2.28"),
}
_COMMON = ("-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-s")
_SMALL = ("-Os", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections")

RECIPES: Mapping[str, Recipe] = {
    "agent": Recipe(
        ("agent.c", "features.c", "files.c", "json.c", "program.c", "spawn.c"), _STATIC, (*_COMMON, *_SMALL, "-static")
    ),
    "kernels": Recipe(
        (
            *("kernels.c", "kernels_team.c", "kernels_state.c", "features.c", "json.c"),
            *("kernels_x86.c", "kernels_arm.c", "kernels_neon.S", "kernels_c.c"),  # each empty on other CPUs
        ),
        _STATIC,
        (*_COMMON, "-O2", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "-static"),
        ("-lm", "-lpthread"),
    ),
    "litert-runner": Recipe(("litert.c",), _GLIBC, (*_COMMON, "-O2"), ("-ldl", "-lm", "-lpthread")),
}

_HERE = Path(__file__).parent
_PREBUILT = _HERE / "prebuilt"
_SOURCE_FOLDERS = (_HERE / "agent_sources", _HERE.parent.parent / "agent")  # in a wheel, in a checkout


def build(
    program: str, abi: str, *, cache: Path, progress: Callable[[str], None] = lambda _: None, prebuilt: Path = _PREBUILT
) -> Path:
    """The path of an executable of `program` for `abi`, made if there is none yet. Safe to call from many processes.

    Args: program: "agent" or "litert-runner"; cache: a folder of ours for what can be made again; progress: told
        about a build, which takes a minute or two the first time for an ABI.
    Raises: BadInput: no such program; WrongAbi: there is none for this ABI; LeadlineError: the compiler refuses.
    """
    command = _compile_arguments(program, abi)
    sources = _sources_key(program, command)
    shipped = prebuilt / f"{program}-{abi}"
    with suppress(FileNotFoundError):
        if prebuilt_key(shipped).read_text() == sources and shipped.is_file():
            return shipped
    cache = cache.absolute()
    built = cache / "programs" / f"{program}-{abi}-{_key(sources, _zig_version())}"
    if built.is_file():
        return built
    try:
        built.parent.mkdir(parents=True, exist_ok=True)
        with _lock(built.with_name(f"{program}-{abi}.lock")):
            if not built.is_file():  # nobody made it while we waited
                progress(f"building {program} for {abi} (once; a minute or two if it is the first for this ABI)")
                _compile([*command, *_identity(abi, sources)], built, cache=cache, what=f"{program} for {abi}")
    except OSError as error:
        raise LeadlineError(
            f"{cache}: cannot keep the built {program}: {error.strerror}; try: LEADLINE_HOME=FOLDER leadline …"
        ) from error
    return built


def programs() -> tuple[str, ...]:
    """Every program for every ABI, as ``agent-armv7``."""
    return tuple(f"{program}-{abi}" for program, recipe in RECIPES.items() for abi in recipe.targets)


def build_prebuilt(
    folder: Path, names: Iterable[str], *, cache: Path, progress: Callable[[str], None] = lambda _: None
) -> list[Path]:
    """Fill `folder` with some of `programs`, each beside the hash of its sources: what a released wheel carries.

    Returns: the files to carry. Raises: as `build`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    carried = []
    for name in names:
        program, _dash, abi = name.rpartition("-")
        built = build(program, abi, cache=cache, progress=progress, prebuilt=folder)
        shipped = folder / name
        if built != shipped:
            shipped.write_bytes(built.read_bytes())
            shipped.chmod(0o755)
            prebuilt_key(shipped).write_text(_sources_key(program, _compile_arguments(program, abi)))
        carried += [shipped, prebuilt_key(shipped)]
    return carried


def prebuilt_key(shipped: Path) -> Path:
    """The file beside a prebuilt program that says what it was built from."""
    return shipped.with_name(f"{shipped.name}.key")


def sources_folder() -> Path:
    """Where the C sources are. Raises: LeadlineError: nowhere, the installation is broken."""
    for folder in _SOURCE_FOLDERS:
        if (folder / "agent.c").is_file():
            return folder
    raise LeadlineError(
        f"{_HERE}: the device programs' sources are missing; try: python -m pip install --force-reinstall leadline"
    )


def _compile_arguments(program: str, abi: str) -> list[str]:
    recipe = RECIPES.get(program)
    if recipe is None:
        raise BadInput(f"no device program is called {printable(program)}; there are: {', '.join(RECIPES)}")
    target = recipe.targets.get(abi)
    if target is None:
        raise WrongAbi(f"{program} cannot be built for {printable(abi)}; known: {', '.join(recipe.targets)}")
    return [*target, *recipe.flags, *recipe.sources, *recipe.libraries]


def _identity(abi: str, sources: str) -> list[str]:
    """What the program is told about itself."""
    return [f'-DAGENT_ABI="{abi}"', f'-DAGENT_VERSION="{sources[:12]}"']


def _sources_key(program: str, command: list[str]) -> str:
    """Hash of the flags, and of the compiled files with every file of ours that they include."""
    folder = sources_folder()
    texts: dict[str, str] = {}
    waiting = list(RECIPES[program].sources)
    while waiting:
        name = waiting.pop()
        if name not in texts:
            texts[name] = (folder / name).read_text("utf-8")
            waiting += re.findall(r'^#include "([^"]+)"', texts[name], re.MULTILINE)
    return _key(*command, *(part for item in sorted(texts.items()) for part in item))


def _key(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()[:32]


def _zig_version() -> str:
    try:
        return metadata.version("ziglang")
    except metadata.PackageNotFoundError:
        raise LeadlineError(
            "the zig compiler is missing, which builds the device programs; try: python -m pip install ziglang"
        ) from None


def _compile(arguments: list[str], built: Path, *, cache: Path, what: str) -> None:
    zig = cache / "zig"
    with tempfile.TemporaryDirectory(dir=built.parent, prefix=".build-") as work:
        output = Path(work) / "program"
        done = subprocess.run(
            [sys.executable, "-m", "ziglang", "cc", *arguments, "-o", str(output)],
            cwd=sources_folder(),
            env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(zig / "global"), "ZIG_LOCAL_CACHE_DIR": str(zig / "local")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        if done.returncode != 0 or not output.is_file():
            said = "\n".join(done.stderr.strip().splitlines()[-20:]) or f"nothing, with exit code {done.returncode}"
            raise LeadlineError(f"cannot build {what}; zig cc said:\n{said}\ntry: rm -r {zig}")
        output.chmod(0o755)
        output.replace(built)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """One process at a time; given back by the kernel if the process dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
