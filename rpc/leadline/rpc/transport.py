"""The Transport protocol: moves bytes to a device and starts commands on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

import msgspec


class Completed(msgspec.Struct, frozen=True, kw_only=True):
    """A command that ended by itself."""

    exit_code: int  # 128 + signal if a signal ended it
    stdout: bytes
    stderr: bytes


class RemoteProcess(Protocol):
    """A running command whose streams are open. Leaving its ``with`` block ends the whole process group."""

    def write(self, data: bytes) -> None:
        """Send to standard input. Raises: DeviceOffline if the link or the process is gone."""
        ...

    def read_line(self, *, timeout_s: float) -> bytes:
        """The next line of standard output with its newline; b"" at the end of the stream.

        Raises: CommandTimeout if none came in time (the process goes on); DeviceOffline if the link is cut;
            GarbledOutput if a line is longer than `MAX_LINE_BYTES`.
        """
        ...

    def close_stdin(self) -> None: ...

    def wait(self, *, timeout_s: float) -> Completed:
        """Wait for the end; the `Completed` holds what `read_line` has not taken. Raises as `read_line`."""
        ...

    def kill(self) -> None:
        """End the whole process group on the device. Safe on an ended process and on a cut link."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...


MAX_LINE_BYTES = 4 * 2**20
MAX_OUTPUT_BYTES = 64 * 2**20  # of one command, held on the host; more raises GarbledOutput


class Transport(Protocol):
    """One channel to one device. The constructor does no I/O; every method maps foreign errors to ``core.errors``.

    Paths on the device are absolute and may hold any character but NUL.
    """

    @property
    def uri(self) -> str:
        """How lab.toml spells this channel."""
        ...

    @property
    def default_directory(self) -> str:
        """The work folder when lab.toml names none; known once open."""
        ...

    def open(self) -> None:
        """Connect; safe when open. After a cut, opens anew.

        Raises: DeviceOffline, Unauthorized, HostKeyRefused.
        """
        ...

    def close(self) -> None:
        """Disconnect and end every process started over this channel. Safe when closed."""
        ...

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0) -> Completed:
        """Run a command to its end; arguments reach it unchanged, whatever they hold.

        Raises: CommandTimeout after ending its whole process group on the device; DeviceOffline.
        """
        ...

    def start(self, argv: Sequence[str]) -> RemoteProcess:
        """Start a command with open streams."""
        ...

    def push(self, local: Path, remote: str, *, executable: bool = False) -> None:
        """Copy a file to the device: under a temporary name, verified there by SHA-256, then renamed over `remote`.
        Missing folders are made.

        Raises: TransferCorrupt, DeviceFull, DeviceOffline; nothing is left at `remote` that was not there before.
        """
        ...

    def pull(self, remote: str, local: Path) -> None:
        """Copy a file from the device, verified and renamed likewise.

        Raises: FileNotFoundError, TransferCorrupt, DeviceOffline.
        """
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...
