"""Writing a bundle: what the store holds, as one file that others can check."""

from __future__ import annotations

import io
import os
import shlex
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import polars as pl
from msgspec.structs import replace

from leadline.bundle.anonymize import anonymized
from leadline.bundle.bag import Payload, write_bag
from leadline.bundle.package import BUNDLE_FORMAT, DESCRIPTOR, About, describe, model_path, table_path
from leadline.bundle.tables import tables_of
from leadline.core.errors import BadInput
from leadline.core.text import printable
from leadline.records.trial import Artifact
from leadline.store.contents import Contents
from leadline.store.store import Store


def export_bundle(
    store: Store,
    out: Path,
    *,
    campaign_id: str | None = None,
    serials: Collection[str] | None = None,
    since: datetime | None = None,
    anonymize: bool = False,
    models: bool = False,
    force: bool = False,
) -> Contents:
    """Write a bundle of the trials and sweeps that match, which appears whole or not at all; the same store gives the
    same bytes.

    Args: models: put the model files in; they must still be where they were measured from.
        force: replace `out` if it exists.
    Returns: what the bundle holds.
    Raises: BadInput if nothing matches, `out` exists or cannot be written, or a model file is gone or changed.
    """
    if out.exists() and not force:
        raise _exists(out)
    contents = store.contents(campaign_id=campaign_id, serials=serials, since=since)
    if not contents.trials and not contents.sweeps:
        raise BadInput("nothing to export: no trial and no sweep matches; see what there is: leadline results")
    files = [_model_file(artifact) for artifact in contents.artifacts] if models else []
    contents = _settled(anonymized(contents, store.salt()) if anonymize else contents)
    with _appearing(out, force=force) as stream:
        write_bundle(stream, contents, files, anonymized=anonymize)
    return contents


def write_bundle(out: BinaryIO, contents: Contents, models: Collection[Payload] = (), *, anonymized: bool) -> None:
    """Args: models: files of artifacts that `contents` lists."""
    about = About(bundle_format=BUNDLE_FORMAT, written_by=f"Leadline {version('leadline')}", anonymized=anonymized)
    tables = tables_of(contents)
    payload = {table_path(name): Payload.of(_parquet(table)) for name, table in tables.items()}
    payload |= {model_path(each.sha256): each for each in models}
    files = {path: (each.sha256, each.size_bytes) for path, each in payload.items()}
    payload[DESCRIPTOR] = Payload.of(describe(about, tables, files))
    write_bag(out, payload)


def _parquet(table: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    table.write_parquet(out, compression="zstd", statistics=False)
    return out.getvalue()


def _settled(contents: Contents) -> Contents:
    """Nothing runs inside a bundle: what is under way here was only planned, as far as its readers can know."""
    return replace(
        contents,
        trials=tuple(
            replace(trial, state="planned") if trial.state == "running" else trial for trial in contents.trials
        ),
    )


def _model_file(artifact: Artifact) -> Payload:
    path = Path(artifact.path)
    shown = printable(str(path))
    try:
        payload = Payload.of(path)
    except OSError as error:
        raise BadInput(f"model {shown}: {error.strerror}; put it back, or export without --models") from error
    if payload.sha256 != artifact.sha256:
        raise BadInput(f"model {shown}: has changed since it was measured; put it back, or export without --models")
    return payload


@contextmanager
def _appearing(out: Path, *, force: bool) -> Iterator[BinaryIO]:
    """A stream to a partial file beside `out` that takes its name once it is written to the end and on the disk."""
    partial = out.with_name(f".{uuid4().hex}.partial")
    try:
        with partial.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if force:
            partial.replace(out)
        else:
            _rename_to_new(partial, out)
    except FileExistsError as error:
        raise _exists(out) from error
    except OSError as error:
        folder = shlex.quote(str(out.parent))
        raise BadInput(f"{printable(str(out))}: cannot be written: {error.strerror}; see: ls -ld {folder}") from error
    finally:
        partial.unlink(missing_ok=True)


def _rename_to_new(partial: Path, out: Path) -> None:
    """Raises: FileExistsError, even if `out` came while we were writing."""
    try:
        os.link(partial, out)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if out.exists():
            raise FileExistsError(out) from None
        partial.rename(out)


def _exists(out: Path) -> BadInput:
    return BadInput(f"{printable(str(out))}: exists already; name another file, or replace it with --force")
