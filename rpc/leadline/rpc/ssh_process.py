"""A running command over one SSH channel."""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Callable, Sequence

import paramiko

from leadline.core.errors import DeviceError, DeviceOffline, GarbledOutput
from leadline.core.text import printable
from leadline.rpc.process import StreamedProcess
from leadline.rpc.shell import Location, Supervised

_READ_BYTES = 2**22  # all there can be: paramiko moves what is left behind
_DRAIN_S = 1.0  # for output still held by something that left the process group on purpose
_MAX_PROLOGUE_BYTES = 2**16  # what a login shell's start-up file may print
_SLICE_S = 0.25  # the longest that a change goes unseen which wakes nobody
_LINK_END_S = 1.0  # paramiko closes the channels of a cut link before it says that the link is cut


class SshProcess(StreamedProcess):
    """See `leadline.rpc.transport.RemoteProcess`.

    Args:
        channel: runs a supervised command line.
        lost: the error for a link that is cut.
        end_groups: kills process groups over another channel; raises DeviceError.
    """

    def __init__(
        self,
        channel: paramiko.Channel,
        *,
        place: str,
        lost: Callable[[str], DeviceOffline],
        end_groups: Callable[[Sequence[Location]], None],
    ) -> None:
        super().__init__(place)
        self._channel = channel
        self._lost = lost
        self._end_groups = end_groups
        self._location: Location | None = None
        self._drain_until: float | None = None  # set once the command has ended
        self._input_closed = False
        self._poll = select.poll()
        self._poll.register(channel.fileno(), select.POLLIN)

    def begin(self, supervised: Supervised, *, timeout_s: float) -> None:
        """Wait until the command has started. Raises: DeviceOffline, GarbledOutput."""
        deadline = time.monotonic() + timeout_s
        try:
            while not (found := supervised.split(bytes(self._stdout))):
                if self._exit_code is not None or len(self._stdout) > _MAX_PROLOGUE_BYTES:
                    said = printable(bytes(self._stderr or self._stdout).strip()) or "nothing"
                    raise GarbledOutput(f"{self._place}: its login shell runs no commands, it says: {said}")
                if time.monotonic() > deadline:
                    raise self._lost(f"silent for {timeout_s:g} s")
                self._fill(deadline - time.monotonic())
        except BaseException:
            self._channel.close()
            raise
        self._location, rest = found
        self._stdout[:] = rest

    @property
    def location(self) -> Location:
        assert self._location is not None
        return self._location

    @property
    def is_running(self) -> bool:
        """As far as we know: on a cut link, what ran then."""
        return self._location is not None and self._channel.exit_status < 0

    def write(self, data: bytes) -> None:
        if self._input_closed:
            raise DeviceOffline(f"{self._place}: the command's input is closed")
        try:
            self._channel.sendall(data)
        except TimeoutError as error:
            raise self._lost("the command takes no input") from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._gone() from error

    def close_stdin(self) -> None:
        self._input_closed = True
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            self._channel.shutdown_write()

    def kill(self) -> None:
        with contextlib.suppress(DeviceError):
            self.end()

    def end(self) -> None:
        """As `kill`, but raises DeviceOffline if the device cannot be told; it is told when it answers again."""
        if self.is_running:
            self._end_groups([self.location])

    def _release(self) -> None:
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            self._channel.close()

    def _fill(self, timeout_s: float) -> None:
        channel = self._channel
        if channel.closed and not channel.recv_ready() and not channel.recv_stderr_ready() and channel.exit_status < 0:
            if self._link_is_cut():
                raise self._gone()
            self._exit_code = 128 + 9  # somebody killed the supervisor, too
            return
        at_end = channel.eof_received or channel.closed
        if at_end:  # no more bytes wake us, only the exit code
            channel.status_event.wait(min(timeout_s, _SLICE_S))
        else:
            self._poll.poll(min(timeout_s, _SLICE_S) * 1000)
        if channel.recv_ready():
            self._stdout += channel.recv(_READ_BYTES)
        elif channel.recv_stderr_ready():
            self._stderr += channel.recv_stderr(_READ_BYTES)
        elif channel.exit_status >= 0:
            self._drain_until = self._drain_until or time.monotonic() + _DRAIN_S
            if at_end or time.monotonic() > self._drain_until:
                self._exit_code = channel.exit_status

    def _gone(self) -> DeviceOffline:
        if self._link_is_cut():
            return self._lost("the link was cut")
        return DeviceOffline(f"{self._place}: the command has ended or closed its input")

    def _link_is_cut(self) -> bool:
        transport = self._channel.get_transport()
        deadline = time.monotonic() + _LINK_END_S
        while self._channel.exit_status < 0 and transport.is_active() and time.monotonic() < deadline:
            time.sleep(0.01)
        return not transport.is_active()
