"""A BagIt bag (RFC 8493) as a zip whose bytes are a pure function of its payload.

Members are stored, not compressed (the tables inside are), in the order of their names, with one fixed time and mode.
So a bag can be written again from what it holds and compared byte by byte, which leaves no byte of the archive, no
header, comment or gap, where a change goes unseen; and nothing in it can be larger than the file itself.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, BinaryIO

import msgspec

BASE = "leadline-bundle"  # the one folder that everything in the zip lies in
CHUNK_BYTES = 2**20

_TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip can tell
_MODE = 0o100644 << 16  # a plain file


class Payload(msgspec.Struct, frozen=True):
    """One file under ``data/``: its bytes, or where they are."""

    source: bytes | Path
    sha256: str
    size_bytes: int

    @classmethod
    def of(cls, source: bytes | Path) -> Payload:
        """Reads the file once to hash it."""
        with _opened(source) as opened:
            sha256, size_bytes = digest(opened)
        return cls(source, sha256, size_bytes)


def digest(stream: IO[bytes]) -> tuple[str, int]:
    """SHA-256 in hex, and the number of bytes, of the rest of `stream`."""
    sha256, size_bytes = hashlib.sha256(), 0
    while chunk := stream.read(CHUNK_BYTES):
        sha256.update(chunk)
        size_bytes += len(chunk)
    return sha256.hexdigest(), size_bytes


def tag_files(payload: Mapping[str, tuple[str, int]]) -> dict[str, bytes]:
    """The files that make a folder a bag.

    Args: payload: path below ``data/`` → SHA-256 in hex, size in bytes.
    """
    total_bytes = sum(size_bytes for _, size_bytes in payload.values())
    tags = {
        "bagit.txt": b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n",
        "bag-info.txt": f"Bag-Software-Agent: Leadline\nPayload-Oxum: {total_bytes}.{len(payload)}\n".encode(),
        "manifest-sha256.txt": _manifest({f"data/{path}": sha256 for path, (sha256, _) in payload.items()}),
    }
    return tags | {
        "tagmanifest-sha256.txt": _manifest({path: hashlib.sha256(tag).hexdigest() for path, tag in tags.items()})
    }


def write_bag(out: BinaryIO, payload: Mapping[str, Payload]) -> None:
    """Args: payload: path below ``data/`` → file."""
    tags = tag_files({path: (each.sha256, each.size_bytes) for path, each in payload.items()})
    members: dict[str, bytes | Path] = {f"{BASE}/{path}": tag for path, tag in tags.items()}
    members |= {f"{BASE}/data/{path}": each.source for path, each in payload.items()}
    with canonical_zip(out) as archive:
        for name in sorted(members):
            with _opened(members[name]) as opened:
                add_member(archive, name, opened, _size(members[name]))


def canonical_zip(out: BinaryIO) -> zipfile.ZipFile:
    return zipfile.ZipFile(out, "w", zipfile.ZIP_STORED)


def add_member(archive: zipfile.ZipFile, name: str, source: IO[bytes], size_bytes: int) -> None:
    head = zipfile.ZipInfo(name, _TIME)
    head.create_system = 3  # Unix, wherever this runs
    head.external_attr = _MODE
    head.file_size = size_bytes  # known ahead, so that the header has one form only
    with archive.open(head, "w") as member:
        shutil.copyfileobj(source, member, CHUNK_BYTES)


def is_plain_file(member: zipfile.ZipInfo) -> bool:
    """Neither a link nor a folder nor anything else with a meaning of its own."""
    return member.external_attr == _MODE and not member.is_dir()


def _manifest(sha256s: Mapping[str, str]) -> bytes:
    # Two spaces, as sha256sum writes and reads it; our names need no escaping.
    return "".join(f"{sha256s[path]}  {path}\n" for path in sorted(sha256s)).encode()


def _opened(source: bytes | Path) -> IO[bytes]:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _size(source: bytes | Path) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def differing(given: Mapping[str, bytes], expected: Mapping[str, bytes]) -> Iterable[str]:
    """The names under which `given` does not hold what is `expected`."""
    return sorted(name for name in given.keys() | expected.keys() if given.get(name) != expected.get(name))
