"""From a .tflite file of the user's to the `Artifact` that is measured, checked before anything is sent anywhere."""

from __future__ import annotations

import hashlib
import mmap
import stat
from pathlib import Path

from leadline.core.errors import BadInput
from leadline.core.text import printable
from leadline.core.tflite import verify
from leadline.records.trial import Artifact


def artifact_from_file(path: Path | str) -> Artifact:
    """Check that `path` is a whole .tflite model and name it by its content.

    Weights are read once, to hash them, and never held in memory.

    Raises: BadInput naming the file and what is wrong with it.
    """
    path = Path(path)
    shown = printable(str(path))
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise BadInput(f"{shown}: the name is not UTF-8, and could not be kept with the results; rename it") from None
    try:
        size_bytes = _checked_size(path, shown)  # first: opening a pipe would wait for its writer
        with path.open("rb") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as data:
                verify(data, str(path))
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"{shown}: {error.strerror or error}; give a .tflite file") from error
    return Artifact(sha256=sha256, name=path.name, path=str(path.absolute()), size_bytes=size_bytes)


def _checked_size(path: Path, shown: str) -> int:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise BadInput(f"{shown}: not a regular file; give a .tflite file")
    if status.st_size == 0:
        raise BadInput(f"{shown}: the file is empty; copy or convert it anew")
    return status.st_size
