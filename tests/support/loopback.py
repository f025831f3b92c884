"""A device that is this machine: the test looks at its files and processes directly."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path


class LoopbackDevice:
    """The device's side of a transport under test. Subclasses with a link override the switches.

    Args:
        directory: a fresh folder of this test on the device.
        servers: gives the pids of the processes that serve the transport; what they start inherits their limits.
    """

    def __init__(self, directory: Path, servers: Callable[[], Sequence[int]]) -> None:
        self.directory = directory
        self._servers = servers

    def read(self, name: str) -> bytes:
        return (self.directory / name).read_bytes()

    def listing(self, name: str = ".") -> list[str]:
        return sorted(os.listdir(self.directory / name))

    def become_dead(self, pids: Sequence[int], *, patience_s: float = 10.0) -> bool:
        """Whether all these processes are gone (or zombies) by the end of our patience."""
        deadline = time.monotonic() + patience_s
        while any(_alive(pid) for pid in pids):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def wait_for_growth(self, *, patience_s: float = 30.0) -> None:
        """Return once a file below `directory` is being written (is larger than 1 MiB)."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            for path in self.directory.rglob("*"):
                with contextlib.suppress(FileNotFoundError):
                    if path.stat().st_size > 2**20:
                        return
            time.sleep(0.001)
        raise AssertionError("nothing was written")

    @contextlib.contextmanager
    def full_beyond(self, size_bytes: int) -> Iterator[None]:
        """Let no file on the device grow beyond this size, as a quota would."""
        before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in self._servers()}
        for pid, (_soft, hard) in before.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, hard))
        try:
            yield
        finally:
            for pid, limits in before.items():
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)

    def cut(self) -> None:
        """Break the connection in use, as a pulled cable does."""
        raise NotImplementedError

    def go_away(self) -> None:
        """Refuse connections, as a device that is switched off does."""
        raise NotImplementedError

    def come_back(self) -> None:
        raise NotImplementedError

    def freeze(self) -> None:
        """Keep connections open and answer nothing."""
        raise NotImplementedError

    def thaw(self) -> None:
        raise NotImplementedError


def _alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"
