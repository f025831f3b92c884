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

from leadline.core.errors import DeviceError, DeviceOffline, GarbledOutput
from leadline.core.text import printable
from leadline.rpc.process import StreamedProcess
from leadline.rpc.shell import Location, Supervised

_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)
_PACKET = struct.Struct("<BI")
_MAX_PACKET_BYTES = 2**20  # of adb's payload; nothing larger can be meant
_WRITE_BYTES = 2**16
_READ_BYTES = 2**18
_MAX_PROLOGUE_BYTES = 2**16  # what may come before the supervisor's first line


class AdbProcess(StreamedProcess):
    """See `leadline.rpc.transport.RemoteProcess`.

    Args:
        connection: an open ``shell,v2,raw:`` service.
        place: how messages start, the device's name.
        remedy: the next command when the link is cut.
        end_group: ends a process group over another stream; raises DeviceError, and then sees to it later.
        silence_s: how long the device may take no input before it counts as offline.
    """

    def __init__(
        self,
        connection: socket.socket,
        *,
        place: str,
        remedy: str,
        end_group: Callable[[Location], None],
        silence_s: float,
    ) -> None:
        super().__init__(place)
        self._connection = connection
        self._remedy, self._end_group, self._silence_s = remedy, end_group, silence_s
        self._received = bytearray()  # packets, the last one perhaps in part
        self._location: Location | None = None
        self._gone = False  # nothing more can be sent or will come
        self._writing = threading.RLock()

    def begin(self, supervised: Supervised, timeout_s: float) -> None:
        """Wait until the supervisor has told where the command runs.

        Raises: CommandTimeout, DeviceOffline, GarbledOutput.
        """
        deadline = time.monotonic() + timeout_s
        while (found := supervised.split(bytes(self._stdout))) is None:
            if self._exit_code is not None or len(self._stdout) > _MAX_PROLOGUE_BYTES:
                said = printable(bytes(self._stdout + self._stderr).strip())
                raise GarbledOutput(f"{self._place}: its shell does not run commands but says: {said}; is it a phone?")
            self._fill_before(deadline, f"no command started in {timeout_s:g} s")
        self._location, rest = found
        self._stdout[:] = rest

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), _WRITE_BYTES):
            self._send(_STDIN, data[start : start + _WRITE_BYTES])

    def close_stdin(self) -> None:
        with contextlib.suppress(DeviceOffline):
            self._send(_CLOSE_STDIN, b"")

    def kill(self) -> None:
        try:
            self.end()
        except DeviceError:
            self.abandon()

    def end(self) -> None:
        """End the process group, over another stream: closing this one would only hang up the supervisor.

        Raises: DeviceError if the device cannot be reached; the transport ends the group when it can again.
        """
        location = self.hand_over()
        if location is not None:
            self._end_group(location)

    def hand_over(self) -> Location | None:
        """Where it still runs, for the caller to end it; None if it has ended, or somebody else sees to it."""
        location, self._location = self._location, None
        return location if self._exit_code is None else None

    def abandon(self) -> None:
        """Drop the stream; adbd then hangs up the supervisor. From any thread, safe when dropped."""
        self._gone = True
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)  # wakes whoever waits
        with self._writing:
            self._connection.close()

    def _release(self) -> None:
        self.abandon()

    # -- packets --

    def _fill(self, timeout_s: float) -> None:
        if not self._gone and not _wait(self._connection, select.POLLIN, timeout_s):
            return
        try:
            data = b"" if self._gone else self._connection.recv(_READ_BYTES)
        except OSError:
            data = b""
        if not data:
            self.abandon()
            raise DeviceOffline(f"{self._place}: the link was cut while a command ran; {self._remedy}")
        self._received += data
        while (packet := self._next_packet()) is not None:
            kind, content = packet
            if kind == _STDOUT:
                self._stdout += content
            elif kind == _STDERR:
                self._stderr += content
            else:
                self._exit_code = content[0] if content else 255
                self.abandon()

    def _next_packet(self) -> tuple[int, bytes] | None:
        if len(self._received) < _PACKET.size:
            return None
        kind, length = _PACKET.unpack_from(self._received)
        if kind not in (_STDOUT, _STDERR, _EXIT) or length > _MAX_PACKET_BYTES:
            self.abandon()
            shown = printable(bytes(self._received[:16]))
            raise GarbledOutput(f"{self._place}: answered {shown!r} where a shell packet was due; is its adbd damaged?")
        end = _PACKET.size + length
        if len(self._received) < end:
            return None
        content = bytes(memoryview(self._received)[_PACKET.size : end])
        del self._received[:end]
        return kind, content

    def _send(self, kind: int, data: bytes) -> None:
        deadline = time.monotonic() + self._silence_s
        rest = memoryview(_PACKET.pack(kind, len(data)) + data)
        with self._writing:
            while rest:
                if self._gone or self._exit_code is not None:
                    raise DeviceOffline(f"{self._place}: the command has ended and takes no input; start it again")
                try:
                    if _wait(self._connection, select.POLLOUT, deadline - time.monotonic()):
                        rest = rest[self._connection.send(rest, socket.MSG_DONTWAIT) :]
                        deadline = time.monotonic() + self._silence_s
                        continue
                except BlockingIOError:
                    continue
                except OSError as error:
                    raise DeviceOffline(
                        f"{self._place}: the link was cut while a command ran; {self._remedy}"
                    ) from error
                self.abandon()  # half a packet may have been sent: nothing can follow it
                raise DeviceOffline(f"{self._place}: took no input for {self._silence_s:g} s; {self._remedy}")


def _wait(connection: socket.socket, event: int, timeout_s: float) -> bool:
    """Whether the event (or the end of the stream) came in time."""
    poll = select.poll()
    try:
        poll.register(connection, event)
    except ValueError:  # closed by another thread
        return True
    return bool(poll.poll(max(0.0, timeout_s) * 1000))
