"""libLiteRt.so for a device: out of the ai-edge-litert wheel that is installed here, or the one for the device's CPU.

Every device runs the very version that this host has, so that latencies compare and outputs can be checked.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.util
import io
import re
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

from leadline.core.errors import LeadlineError, WrongAbi
from leadline.core.text import printable
from leadline.rpc.abi import ElfHeader

_PACKAGE = "ai-edge-litert"
_MEMBER = "ai_edge_litert/libLiteRt.so"
_MACHINES = {"x86_64": 62, "aarch64": 183}  # ELF e_machine
_PLATFORMS = {"x86_64": "manylinux_2_27_x86_64", "aarch64": "manylinux_2_27_aarch64"}
ABIS = tuple(_PLATFORMS)
_DOWNLOAD_S = 600.0


def runtime_version() -> str:
    """The version of the runtime on this host, and so on every device."""
    return metadata.version(_PACKAGE)


def find_library(abi: str, *, host_cache: Path) -> Path:
    """The path of libLiteRt.so for `abi`, fetched from the package registry if this host has another CPU.

    Raises: WrongAbi if there is none for `abi`; LeadlineError if the registry does not give it.
    """
    if abi not in ABIS:
        raise WrongAbi(f"there is no {_PACKAGE} for {abi}, only for {' and '.join(ABIS)}")
    package = importlib.util.find_spec("ai_edge_litert")
    for folder in (package.submodule_search_locations or ()) if package else ():
        installed = Path(folder) / "libLiteRt.so"
        if installed.is_file() and _is_for(abi, installed):
            return installed
    kept = host_cache / "litert" / runtime_version() / abi / "libLiteRt.so"
    if not kept.is_file():
        try:
            _fetch(abi, kept)
        except OSError as error:
            raise unwritable(host_cache, error) from error
    return kept


def unwritable(host_cache: Path, error: OSError) -> LeadlineError:
    """The error for a cache folder of the host that is full or read-only."""
    why = error.strerror or str(error)
    return LeadlineError(
        f"{printable(str(host_cache))}: cannot be written: {why}; try: LEADLINE_HOME=FOLDER leadline …"
    )


def required_versions(library: Path) -> dict[str, tuple[int, ...]]:
    """The newest version of each versioned system interface that a library asks for: ``{"GLIBC": (2, 34), …}``.

    Read from its symbol version names; a library names none that it does not need.
    """
    needed: dict[str, tuple[int, ...]] = {}
    for name, digits in re.findall(rb"\0(GLIBC|GLIBCXX)_(\d+(?:\.\d+)+)(?=\0)", library.read_bytes()):
        version = tuple(int(part) for part in digits.split(b"."))
        needed[name.decode()] = max(version, needed.get(name.decode(), (0,)))
    return needed


def _is_for(abi: str, library: Path) -> bool:
    with library.open("rb") as file:
        header = ElfHeader.parse(file.read(64))
    return header is not None and header.machine == _MACHINES[abi]


def _fetch(abi: str, kept: Path) -> None:
    """Download the wheel for `abi`, check the library in it and put it at `kept`, all or nothing."""
    version = runtime_version()
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".fetch-") as folder:
        wheel = _download(abi, version, Path(folder))
        try:
            library = _extract(wheel)
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise LeadlineError(f"{wheel.name}: not a sound {_PACKAGE} wheel: {error}; try again") from error
        fresh = Path(folder) / "libLiteRt.so"
        fresh.write_bytes(library)
        if not _is_for(abi, fresh):
            raise LeadlineError(f"{wheel.name}: its library is not for {abi}; try again")
        fresh.replace(kept)


def _download(abi: str, version: str, folder: Path) -> Path:
    wanted = f"{_PACKAGE}=={version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--only-binary=:all:", "--no-deps", "--platform", _PLATFORMS[abi], "--dest", str(folder), wanted]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_DOWNLOAD_S, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise LeadlineError(
            f"the package registry did not give {wanted} for {abi} in {_DOWNLOAD_S:g} s; try again later"
        ) from None
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        said = printable((done.stderr.strip().splitlines() or [b"no wheel"])[-1])
        raise LeadlineError(
            f"the runtime for {abi} could not be fetched: {said}; try: "
            f"pip download --only-binary=:all: --no-deps --platform {_PLATFORMS[abi]} {wanted}"
        )
    return wheels[0]


def _extract(wheel: Path) -> bytes:
    """The library's bytes, compared with the digest in the wheel's own RECORD."""
    with zipfile.ZipFile(wheel) as archive:
        library = archive.read(_MEMBER)
        record = f"{_PACKAGE.replace('-', '_')}-{runtime_version()}.dist-info/RECORD"
        digests = {row[0]: row[1] for row in csv.reader(io.StringIO(archive.read(record).decode())) if len(row) > 1}
    digest = base64.urlsafe_b64encode(hashlib.sha256(library).digest()).rstrip(b"=").decode()
    if digests[_MEMBER] != f"sha256={digest}":
        raise ValueError("the library is not the one that its RECORD names")
    return library
