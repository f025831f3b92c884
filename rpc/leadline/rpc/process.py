"""What the running commands of every stream-like channel share: buffers, lines, deadlines."""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from typing import Self

from leadline.core.errors import CommandTimeout, DeviceOffline, GarbledOutput
from leadline.core.units import format_bytes
from leadline.rpc.transport import MAX_LINE_BYTES, MAX_OUTPUT_BYTES, Completed


class StreamedProcess(ABC):
    """See `leadline.rpc.transport.RemoteProcess`. One thread reads; any thread may write or kill.

    Bytes are taken from the channel only while somebody asks for them: a command that prints faster than we read waits.

    Args: place: how messages start, the device's name.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._searched = 0  # bytes at the start of _stdout that hold no newline
        self._exit_code: int | None = None  # set once ended and every byte is in the buffers

    @abstractmethod
    def _fill(self, timeout_s: float) -> None:
        """Wait at most so long for anything; move what came into the buffers; at the end, set the exit code.

        Raises: DeviceOffline.
        """

    @abstractmethod
    def write(self, data: bytes) -> None: ...

    @abstractmethod
    def close_stdin(self) -> None: ...

    @abstractmethod
    def kill(self) -> None: ...

    @abstractmethod
    def _release(self) -> None:
        """Give back what the ended process holds on the host. Safe to repeat."""

    def read_line(self, *, timeout_s: float) -> bytes:
        deadline = time.monotonic() + timeout_s
        while (line := self._take_line()) is None:
            if self._exit_code is not None:
                return self._take(len(self._stdout))
            self._fill_before(deadline, f"no line of output for {timeout_s:g} s")
        return line

    def read_some(self, *, timeout_s: float) -> bytes:
        """Whatever standard output has next; b"" at the end. Raises: CommandTimeout, DeviceOffline."""
        deadline = time.monotonic() + timeout_s
        while not self._stdout and self._exit_code is None:
            self._fill_before(deadline, f"no output for {timeout_s:g} s")
        return self._take(len(self._stdout))

    def wait(self, *, timeout_s: float) -> Completed:
        deadline = time.monotonic() + timeout_s
        while self._exit_code is None:
            self._fill_before(deadline, f"the command did not end in {timeout_s:g} s")
            if len(self._stdout) + len(self._stderr) > MAX_OUTPUT_BYTES:
                raise GarbledOutput(f"{self._place}: more than {format_bytes(MAX_OUTPUT_BYTES)} of output; not kept")
        stdout = self._take(len(self._stdout))
        return Completed(exit_code=self._exit_code, stdout=stdout, stderr=bytes(self._stderr))

    def feed(self, data: bytes) -> None:
        """Write all of `data` and close; a command that does not want it is no error."""
        with contextlib.suppress(DeviceOffline):  # ended, or cut: `wait` tells which
            self.write(data)
            self.close_stdin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
        self._release()

    def _fill_before(self, deadline: float, otherwise: str) -> None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise CommandTimeout(f"{self._place}: {otherwise}")
        self._fill(left_s)

    def _take_line(self) -> bytes | None:
        found = self._stdout.find(b"\n", self._searched)
        if max(found, len(self._stdout) if found < 0 else 0) >= MAX_LINE_BYTES:
            raise GarbledOutput(f"{self._place}: a line of output is longer than {format_bytes(MAX_LINE_BYTES)}")
        self._searched = len(self._stdout) if found < 0 else 0
        return None if found < 0 else self._take(found + 1)

    def _take(self, count: int) -> bytes:
        taken = bytes(memoryview(self._stdout)[:count])
        del self._stdout[:count]
        self._searched = 0
        return taken
