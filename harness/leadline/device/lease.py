"""Leases: one process, and one thread of it, holds a device on this host.

A lease is an advisory lock (flock) on a file named after the device's serial. The kernel drops it when its holder dies,
however it dies, so that nothing has ever to be cleaned up. The file says who holds it.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import os
import re
import shlex
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from leadline.core.clock import Clock, SystemClock
from leadline.core.errors import DeviceBusy, StoreError

_POLL_S = 0.2


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a device."""

    pid: int
    host: str
    user: str
    since: datetime
    purpose: str  # "leadline measure …"

    def __str__(self) -> str:
        where = "" if self.host == socket.gethostname() else f" on {self.host}"
        return f"process {self.pid} of {self.user}{where} since {self.since:%Y-%m-%d %H:%M:%S} UTC ({self.purpose})"

    @property
    def end_command(self) -> str:
        """The command that ends the holder in good order: it gets the signal that Ctrl-C sends."""
        kill = f"kill -INT {self.pid}"
        return kill if self.host == socket.gethostname() else shlex.join(["ssh", self.host, kill])


@contextmanager
def lease(
    folder: Path,
    serial: str,
    *,
    purpose: str,
    wait_s: float = 0.0,
    on_wait: Callable[[Holder], None] = lambda _: None,
    clock: Clock | None = None,
) -> Iterator[Holder]:
    """Hold the device `serial` while the ``with`` block runs.

    Args:
        folder: where leases lie (`Home.leases`); made if missing.
        wait_s: how long to wait for another holder, ≥ 0; 0 does not wait.
        on_wait: called when waiting starts and whenever the holder changes.
    Raises: DeviceBusy after `wait_s`, saying who holds it and how to end that; StoreError: `folder` cannot be written.
    """
    clock = clock or SystemClock()
    descriptor = _open(folder, serial)
    try:
        _acquire(descriptor, serial, wait_s, on_wait, clock)
        me = Holder(
            pid=os.getpid(), host=socket.gethostname(), user=_user(), since=clock.now(), purpose=_one_line(purpose)
        )
        _sign(descriptor, me)
        try:
            yield me
        finally:
            _sign(descriptor, None)
    finally:
        os.close(descriptor)  # drops the lock


def lease_file(folder: Path, serial: str) -> Path:
    """A serial may hold any character, a file name may not: readable part, then a digest."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", serial)[:40]
    return folder / f"{readable}-{hashlib.sha256(serial.encode(errors='surrogateescape')).hexdigest()[:16]}.lease"


def _open(folder: Path, serial: str) -> int:
    path = lease_file(folder, serial)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}; look at: ls -ld {folder}") from None


def _acquire(descriptor: int, serial: str, wait_s: float, on_wait: Callable[[Holder], None], clock: Clock) -> None:
    deadline_s = clock.monotonic_s() + wait_s
    told: Holder | None = None
    while not _locked(descriptor):
        other = _signed(descriptor)
        left_s = deadline_s - clock.monotonic_s()
        if left_s <= 0:
            raise DeviceBusy(_busy(serial, other))
        if other is not None and other != told:
            told = other
            on_wait(other)
        clock.sleep(min(_POLL_S, left_s))


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(descriptor: int, me: Holder | None) -> None:
    os.ftruncate(descriptor, 0)
    if me is not None:
        os.pwrite(descriptor, msgspec.json.encode(me), 0)


def _signed(descriptor: int) -> Holder | None:
    try:
        return msgspec.json.decode(os.pread(descriptor, 64 * 1024, 0), type=Holder)
    except msgspec.MsgspecError:  # empty or half written: the holder is just coming or going
        return None


def _busy(serial: str, other: Holder | None) -> str:
    if other is None:
        return f"{serial}: another process holds this device; try again"
    return f"{serial}: held by {other}; wait for it, or end it with: {other.end_command}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return str(os.getuid())


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:200]
