"""A running command over adb's shell, version 2: one stream that carries input, output, errors and the exit code.

Source: the layout documented in AOSP packages/modules/adb/shell_protocol.h: one byte of kind, four of length
(little-endian), then the data.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Self

from leadline.core.errors import CommandTimeout, DeviceError, DeviceOffline, GarbledOutput
from leadline.rpc.shell import Location, Supervised
from leadline.rpc.transport import MAX_LINE_BYTES, Completed

_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)
_PACKET = struct.Struct("<BI")
_MAX_PACKET_BYTES = 2**20  # of adb's payload; nothing larger can be meant
_WRITE_BYTES = 2**16
_MAX_PROLOGUE_BYTES = 2**16  # what may come before the supervisor's first line
MAX_OUTPUT_BYTES = 64 * 2**20  # of either stream, held for whoever reads it
READ_AHEAD_BYTES = 2 * MAX_LINE_BYTES  # of standard output, while somebody reads it line by line


class AdbProcess:
    """See `leadline.rpc.transport.RemoteProcess`. A thread takes what the device sends; any thread may write.

    Args:
        connection: an open ``shell,v2,raw:`` service.
        supervised: what runs there; None: something short that needs no ending.
        place: how messages start, the device's name.
        remedy: the next command when the link is cut.
        end_group: ends a process group over another stream; raises DeviceError, and then sees to it later.
        silence_s: how long the device may take no input before it counts as offline.
        held_bytes: how much output is taken before somebody reads it: `READ_AHEAD_BYTES` or `MAX_OUTPUT_BYTES`.
    """

    def __init__(
        self,
        connection: socket.socket,
        supervised: Supervised | None,
        *,
        place: str,
        remedy: str,
        end_group: Callable[[Location], None],
        silence_s: float,
        held_bytes: int,
    ) -> None:
        self._connection, self._supervised = connection, supervised
        self._place, self._remedy, self._silence_s = place, remedy, silence_s
        self._end_group = end_group
        self._held_bytes = held_bytes
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._searched = 0  # bytes at the start of _stdout that hold no newline
        self._location: Location | None = None
        self._exit_code: int | None = None
        self._failure: DeviceOffline | GarbledOutput | None = None
        self._at_end = False
        self._closed = False
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        connection.settimeout(None)
        threading.Thread(target=self._receive, name=f"adb output of {place}", daemon=True).start()

    # -- input --

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), _WRITE_BYTES):
            self._send(_STDIN, data[start : start + _WRITE_BYTES], self._silence_s)

    def close_stdin(self) -> None:
        with contextlib.suppress(DeviceOffline):
            self._send(_CLOSE_STDIN, b"", self._silence_s)

    def feed(self, data: bytes, *, deadline: float) -> None:
        """Write all of `data` and close; a command that does not read it is no error.

        Raises: CommandTimeout at `deadline` (time.monotonic).
        """
        for start in range(0, len(data), _WRITE_BYTES):
            left_s = deadline - time.monotonic()
            try:
                self._send(_STDIN, data[start : start + _WRITE_BYTES], left_s)
            except DeviceOffline:
                if time.monotonic() >= deadline:
                    raise CommandTimeout(f"{self._place}: did not take its input in time") from None
                return  # ended; `wait` tells how
        self.close_stdin()

    # -- output --

    def read_line(self, *, timeout_s: float) -> bytes:
        with self._changed:
            if not self._changed.wait_for(lambda: self._find_line() is not None or self._at_end, timeout_s):
                raise CommandTimeout(f"{self._place}: no line of output for {timeout_s:g} s")
            end = self._find_line()
            if end is None:
                self._raise_failure()
                end = len(self._stdout)
            if end > MAX_LINE_BYTES:
                raise GarbledOutput(f"{self._place}: a line of output longer than {MAX_LINE_BYTES} bytes")
            line = bytes(self._stdout[:end])
            del self._stdout[:end]
            self._searched = 0
            self._changed.notify_all()
            return line

    def wait(self, *, timeout_s: float) -> Completed:
        with self._changed:
            self._held_bytes = MAX_OUTPUT_BYTES
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._at_end, timeout_s):
                raise CommandTimeout(f"{self._place}: the command did not end in {timeout_s:g} s")
            self._raise_failure()
            assert self._exit_code is not None
            return Completed(exit_code=self._exit_code, stdout=bytes(self._stdout), stderr=bytes(self._stderr))

    # -- the end --

    @property
    def location(self) -> Location | None:
        """Where it still runs, as far as is known; None once it has ended by itself or before it has started."""
        with self._changed:
            return None if self._exit_code is not None else self._location

    def kill(self) -> None:
        self.end()

    def end(self) -> bool:
        """End the process group over another stream, since closing this one only hangs up the supervisor.

        Returns: False if the device could not be reached; the transport ends the group when it can again.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._location is not None or self._at_end or self._closed, self._silence_s)
        location = self.location
        if location is None or self._closed:
            return self._at_end
        try:
            self._end_group(location)
        except DeviceError:
            self.abandon()  # adbd hangs up the supervisor, which ends the group
            return False
        return True

    def abandon(self) -> None:
        """Drop the stream. Safe when dropped."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()
        self.abandon()

    # -- packets --

    def _send(self, kind: int, data: bytes, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        rest = memoryview(_PACKET.pack(kind, len(data)) + data)
        with self._writing:
            while rest:
                with self._changed:
                    if self._at_end or self._closed:
                        raise self._failure_or(
                            DeviceOffline(f"{self._place}: the command has ended; it takes no input")
                        )
                if not _writable(self._connection, min(0.25, max(0.0, deadline - time.monotonic()))):
                    if time.monotonic() >= deadline:
                        self.abandon()  # half a packet may be sent: nothing can follow it
                        raise DeviceOffline(f"{self._place}: took no input for {timeout_s:g} s; {self._remedy}")
                    continue
                try:
                    rest = rest[self._connection.send(rest, socket.MSG_DONTWAIT) :]
                except BlockingIOError:
                    continue
                except OSError as error:
                    raise self._cut() from error

    def _receive(self) -> None:
        try:
            with contextlib.closing(self._connection), self._connection.makefile("rb", buffering=2**18) as stream:
                while header := stream.read(_PACKET.size):
                    if len(header) < _PACKET.size:
                        break
                    kind, length = _PACKET.unpack(header)
                    if kind not in (_STDOUT, _STDERR, _EXIT) or length > _MAX_PACKET_BYTES:
                        raise GarbledOutput(
                            f"{self._place}: answered no shell packet: {header!r}; is its adbd damaged?"
                        )
                    data = stream.read(length)
                    if len(data) < length:
                        break
                    self._take(kind, data)
        except OSError:
            pass
        except GarbledOutput as error:
            self._failure = error
        with self._changed:
            if self._exit_code is None and self._failure is None:
                self._failure = self._cut()
            self._at_end = True
            self._changed.notify_all()

    def _take(self, kind: int, data: bytes) -> None:
        with self._changed:
            if kind == _EXIT:
                self._exit_code = data[0] if data else 255
            elif kind == _STDERR:
                self._stderr += data
                if len(self._stderr) > MAX_OUTPUT_BYTES:
                    raise GarbledOutput(f"{self._place}: more than {MAX_OUTPUT_BYTES} bytes of errors")
            else:
                self._stdout += data
                if self._location is None and self._supervised is not None:
                    self._find_location(self._supervised)
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._closed or len(self._stdout) <= self._held_bytes or self._is_full())
                if self._is_full():
                    raise GarbledOutput(f"{self._place}: more than {MAX_OUTPUT_BYTES} bytes of output")
            self._changed.notify_all()

    def _is_full(self) -> bool:
        return len(self._stdout) > MAX_OUTPUT_BYTES

    def _find_location(self, supervised: Supervised) -> None:
        found = supervised.split(bytes(self._stdout))
        if found:
            self._location, rest = found
            self._stdout = bytearray(rest)
        elif len(self._stdout) > _MAX_PROLOGUE_BYTES:
            raise GarbledOutput(f"{self._place}: its shell prints instead of running the command")

    def _find_line(self) -> int | None:
        """Where the first line ends, or where it has become too long; None while it is still growing."""
        if self._location is None:
            return None
        found = self._stdout.find(b"\n", self._searched)
        if found >= 0:
            return found + 1
        self._searched = len(self._stdout)
        return self._searched if self._searched > MAX_LINE_BYTES else None

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _failure_or(self, error: DeviceOffline) -> DeviceOffline:
        return self._failure if isinstance(self._failure, DeviceOffline) else error

    def _cut(self) -> DeviceOffline:
        return DeviceOffline(f"{self._place}: the link was cut while a command ran; {self._remedy}")


def _writable(connection: socket.socket, timeout_s: float) -> bool:
    poll = select.poll()
    try:
        poll.register(connection, select.POLLOUT)
    except (ValueError, OSError):  # closed by the receiving thread
        return True
    return bool(poll.poll(timeout_s * 1000))
