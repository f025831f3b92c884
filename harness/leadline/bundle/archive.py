"""Reading a zip that a stranger sent: only members that a bundle may have, only as large as the file itself."""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from leadline.bundle.bag import BASE, CHUNK_BYTES, add_member, canonical_zip, digest, is_plain_file, tag_files
from leadline.bundle.package import DESCRIPTOR, table_path
from leadline.bundle.tables import SCHEMAS
from leadline.core.errors import BadInput
from leadline.core.text import printable

TAGS = frozenset(tag_files({}))
NEEDED = TAGS | {f"data/{path}" for path in (DESCRIPTOR, *map(table_path, SCHEMAS))}
SMALL_BYTES = 64 * 2**20  # no descriptor or manifest is larger

_MODEL = re.compile(r"data/models/[0-9a-f]{64}\.tflite")
# What zipfile raises on archives that are damaged or made to hurt.
_BROKEN = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
    KeyError,
    OverflowError,
    OSError,
)


class Archive:
    """The members of one opened bundle by their path in the bag. `problems` first: read only if there are none."""

    def __init__(self, file: IO[bytes], zip_file: zipfile.ZipFile, size_bytes: int) -> None:
        self.size_bytes = size_bytes  # of the archive
        self._file = file
        self._zip = zip_file

    def problems(self) -> list[str]:
        """What in the table of contents no bundle has. Nothing is read for it that could be large."""
        infos = self._zip.infolist()
        problems = [problem for info in infos if (problem := self._refused(info))]
        names = [info.filename.removeprefix(f"{BASE}/") for info in infos]
        problems += [f"{_shown(name)}: is in it twice" for name, times in sorted(Counter(names).items()) if times > 1]
        problems += [f"{name}: is missing" for name in sorted(NEEDED - set(names))]
        if not problems and sum(info.file_size for info in infos) > self.size_bytes:
            problems.append("claims to hold more than its own size")
        return problems

    def sizes(self) -> dict[str, int]:
        return {info.filename.removeprefix(f"{BASE}/"): info.file_size for info in self._zip.infolist()}

    def digests(self) -> dict[str, tuple[str, int]]:
        """Path in the bag → SHA-256 in hex, size in bytes, as they really are. Raises: Damaged, naming every file."""
        found: dict[str, tuple[str, int]] = {}
        damaged: list[str] = []
        for name in self.sizes():
            try:
                with self._member(name) as member:
                    found[name] = digest(member)
            except Damaged as error:
                damaged += error.problems
        if damaged:
            raise Damaged(*damaged)
        return found

    def read(self, name: str, limit: int | None = None) -> bytes:
        """Raises: Damaged, also if there are more than `limit` bytes."""
        with self._member(name) as member:
            content = member.read() if limit is None else member.read(limit + 1)
        if limit is not None and len(content) > limit:
            raise Damaged(f"{name}: is larger than any bundle's")
        return content

    def first_difference(self) -> int | None:
        """The first byte in which the archive is not what Leadline writes for its members; None: there is none."""
        with tempfile.TemporaryFile() as rewritten:
            with canonical_zip(rewritten) as archive:
                for name, size_bytes in sorted(self.sizes().items()):
                    with self._member(name) as member:
                        add_member(archive, f"{BASE}/{name}", member, size_bytes)
            rewritten.seek(0)
            self._file.seek(0)
            return _first_difference(self._file, rewritten)

    @contextmanager
    def _member(self, name: str) -> Iterator[IO[bytes]]:
        try:
            with self._zip.open(f"{BASE}/{name}") as member:
                yield member
        except _BROKEN as error:
            raise Damaged(f"{printable(name)}: cannot be read ({printable(str(error))})") from error

    def _refused(self, info: zipfile.ZipInfo) -> str | None:
        name = info.filename.removeprefix(f"{BASE}/")
        if not info.filename.startswith(f"{BASE}/") or not (name in NEEDED or _MODEL.fullmatch(name)):
            return f"{_shown(info.filename)}: is no file of a bundle"
        if not is_plain_file(info):
            return f"{name}: is a link or otherwise not a plain file"
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            return f"{name}: is compressed, which no bundle's files are"
        return None


class Damaged(Exception):
    """Members cannot be read to their end; each problem says which and why."""

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Raises: BadInput if there is no such file or it is no zip."""
    shown = printable(str(path))
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadInput(
            f"{shown}: cannot be read: {error.strerror}; name a file that leadline bundle export wrote"
        ) from error
    with file:
        try:
            zip_file = zipfile.ZipFile(file)
        except _BROKEN as error:
            raise BadInput(
                f"{shown}: is no bundle, or only a part of one ({error}); get it again from its source"
            ) from error
        with zip_file:
            yield Archive(file, zip_file, path.stat().st_size)


def _first_difference(one: IO[bytes], other: IO[bytes]) -> int | None:
    position = 0
    while True:
        left, right = one.read(CHUNK_BYTES), other.read(CHUNK_BYTES)
        if left != right:
            pairs = zip(left, right, strict=False)
            return position + next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right)))
        if not left:
            return None
        position += len(left)


def _shown(name: str) -> str:
    return repr(printable(name))
