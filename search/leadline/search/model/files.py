"""Writing models to disk: whole or not at all, and never over something else."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from leadline.core.errors import BadInput
from leadline.core.text import printable
from leadline.records.trial import Artifact
from leadline.search.model.counts import network_counts
from leadline.search.model.weights import DType
from leadline.search.model.writer import write_model
from leadline.search.space.base import Space
from leadline.search.space.network import Network


def save_model(network: Network, path: Path, *, seed: int = 0, dtype: DType = "float32") -> Artifact:
    """Write `network` to `path`; missing folders are made. A file that already holds the same bytes is left alone.

    Raises: BadInput if `path` holds something else, or cannot be written.
    """
    data = write_model(network, seed=seed, dtype=dtype)
    try:
        _write_once(path, data)
    except OSError as error:
        raise BadInput(f"{printable(str(path))}: cannot be written: {error.strerror}; choose another folder") from None
    counts = network_counts(network, element_bytes=4 if dtype == "float32" else 1)
    return Artifact(
        sha256=hashlib.sha256(data).hexdigest(),
        name=path.name,
        path=str(path),
        size_bytes=len(data),
        flops=counts.flops,
        parameters=counts.parameters,
        architecture=network.architecture,
    )


def sample_models(
    space: Space[Any], count: int, *, seed: int, folder: Path, dtype: DType = "float32"
) -> Iterator[Artifact]:
    """Write `count` networks drawn from `space`, one after the other.

    The same seed gives the same files; the first of them do not depend on `count`. They are called
    ``<space>-seed<seed>-<number>[-int8].tflite``, numbered from 0.

    Raises: BadInput as `save_model`, or for a negative seed.
    """
    if seed < 0:
        raise BadInput(f"seed {seed}: must be 0 or greater")
    rng = np.random.default_rng(seed)
    suffix = "" if dtype == "float32" else f"-{dtype}"
    for number in range(count):
        network = space.network(space.sample(rng))
        yield save_model(
            network, folder / f"{space.name}-seed{seed}-{number:03}{suffix}.tflite", seed=seed, dtype=dtype
        )


def _write_once(path: Path, data: bytes) -> None:
    if path.exists():
        if path.read_bytes() != data:
            raise BadInput(f"{printable(str(path))}: holds something else; move it away or choose another folder")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.chmod(partial, 0o666 & ~_umask())
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
