"""The seam to SQLite: whatever is true of it alone."""

from __future__ import annotations

import contextlib
import shlex
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

LOCK_WAIT_S = 30.0
NOT_A_STORE = "is not a Leadline store (not a SQLite database); name another file with --store"
_WRITES = "leadline_writes"  # execution option of connections that will write


def create_engine(url: sa.URL) -> sa.Engine:
    """An engine whose transactions are real, durable and checked."""
    connect_args = {} if "timeout" in url.query else {"timeout": LOCK_WAIT_S}
    engine = sa.create_engine(url, connect_args=connect_args)
    sa.event.listen(engine, "connect", _set_up)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _set_up(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # Python's own transactions leave DDL outside; _begin opens real ones
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA synchronous=FULL")  # what was committed survives a power cut


def _begin(connection: sa.Connection) -> None:
    # A reader that turns writer half-way fails at once if someone else wrote meanwhile; a writer from the start waits.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextlib.contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection inside a transaction that may write; commits at the end, rolls back on an error."""
    with engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
        yield connection


def is_foreign(file: Path) -> bool:
    """Whether `file` holds something that is no database. SQLite itself would overwrite a file below 512 bytes."""
    try:
        with file.open("rb") as opened:
            return opened.read(16) not in (b"", b"SQLite format 3\0")
    except OSError:
        return False  # not there, or not ours to read: opening it will say so


def prefer_wal(engine: sa.Engine) -> None:
    """Write-ahead logging, so that readers and a writer do not wait for each other; remembered by the file.

    A store that cannot change now (read-only, in use) works without."""
    connection = engine.raw_connection()
    try:
        if connection.cursor().execute("PRAGMA journal_mode").fetchone() != ("wal",):
            with contextlib.suppress(sqlite3.OperationalError):
                connection.cursor().execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()


def file_of(url: sa.URL) -> Path | None:
    """The file that `url` names; None for a database in memory."""
    name = url.database or ""
    if name.startswith("file:"):
        name = name.removeprefix("file:").partition("?")[0]
    return None if name in ("", ":memory:") or url.query.get("mode") == "memory" else Path(name)


def explain(error: sqlite3.Error, file: Path) -> str:
    """What happened and what to do next, for the errors that users meet."""
    name, folder = shlex.quote(str(file)), shlex.quote(str(file.parent))
    code = getattr(error, "sqlite_errorname", None) or ""
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"locked by another process; see which: fuser -v {name}"
    if code.startswith("SQLITE_READONLY"):
        return f"may not be written; try: chmod u+w {name} {folder}"
    if code == "SQLITE_NOTADB":
        return NOT_A_STORE
    if code == "SQLITE_FULL" or code.startswith("SQLITE_IOERR"):
        return f"the disk is full or failing ({error}); see: df -h {folder}"
    if code.startswith("SQLITE_CORRUPT"):
        return f"is damaged; save what can be read: sqlite3 {name} .recover"
    if code.startswith("SQLITE_CANTOPEN") and not file.parent.is_dir():
        return f"its folder does not exist; try: mkdir -p {folder}"
    if code.startswith("SQLITE_CANTOPEN") and file.is_dir():
        return "is a folder; name a file with --store"
    return f"{error}; see: ls -l {name}"
