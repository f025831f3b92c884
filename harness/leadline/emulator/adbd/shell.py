"""Commands: ``shell:``, ``shell,v2,raw:``, ``shell,v2,pty:`` and ``exec:``.

Source: AOSP packages/modules/adb/SERVICES.TXT ("shell"), and the packet layout documented in shell_protocol.h: one byte
of kind, four of length (little-endian), then the data. Without a pty a command is only hung up (SIGHUP) when its stream
closes, and what it has started in the background lives on, as on a phone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import threading
from typing import TYPE_CHECKING

from .stream import Stream, StreamClosed, StreamReader

if TYPE_CHECKING:
    from .link import Link

STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN, WINDOW_SIZE = range(6)
PACKET = struct.Struct("<BI")
_READ_BYTES = 2**16


def serve_shell(link: Link, stream: Stream, arguments: str) -> None:
    """Run ``[v2,][TERM=…,][raw|pty]:COMMAND``; no command is an interactive shell."""
    options, _, command = arguments.partition(":")
    asked = options.split(",")
    pty = "pty" in asked or ("raw" not in asked and not command)
    _Session(link, stream, command, framed="v2" in asked, pty=pty).run()


def serve_exec(link: Link, stream: Stream, command: str) -> None:
    """Run COMMAND with bare streams; its errors go the way of its output."""
    _Session(link, stream, command, framed=False, pty=False).run()


class _Session:
    """One command and the threads that carry its output; the caller's thread carries its input."""

    def __init__(self, link: Link, stream: Stream, command: str, *, framed: bool, pty: bool) -> None:
        self._link, self._stream, self._framed, self._pty = link, stream, framed, pty
        self._argv = [*link.daemon.device.shell, "-c", command] if command else [*link.daemon.device.shell]
        self._hangup_read, self._hangup_write = os.pipe()  # readable as soon as the stream has ended
        self._child: subprocess.Popen[bytes]

    def run(self) -> None:
        self._stream.at_end(lambda: os.close(self._hangup_write))
        stdin, outputs = self._start()
        pumps = [threading.Thread(target=self._pump, args=output, daemon=True) for output in outputs]
        for pump in pumps:
            pump.start()
        finisher = threading.Thread(target=self._finish, args=(pumps,), daemon=True)
        finisher.start()
        try:
            self._feed(stdin)
        except StreamClosed:
            self._child.send_signal(signal.SIGHUP)
        finally:
            finisher.join()
            os.close(self._hangup_read)

    def _start(self) -> tuple[list[int], list[tuple[int, int]]]:
        """Start the child. Returns its standard input (an empty list once closed), and (packet kind, descriptor)s."""
        device = self._link.daemon.device
        environment = self._link.daemon.child_environment()
        if self._pty:
            terminal, child_end = os.openpty()
            self._child = subprocess.Popen(
                self._argv, stdin=child_end, stdout=child_end, stderr=child_end, cwd=device.directory, env=environment,
                start_new_session=True,
            )  # fmt: skip
            os.close(child_end)
            return [terminal], [(STDOUT, os.dup(terminal))]
        stderr = subprocess.PIPE if self._framed else subprocess.STDOUT
        self._child = subprocess.Popen(
            self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, cwd=device.directory,
            env=environment, start_new_session=True,
        )  # fmt: skip
        child = self._child
        outputs = [
            (kind, os.dup(pipe.fileno())) for kind, pipe in ((STDOUT, child.stdout), (STDERR, child.stderr)) if pipe
        ]
        assert child.stdin is not None
        stdin = os.dup(child.stdin.fileno())
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()
        os.set_blocking(stdin, False)
        return [stdin], outputs

    # Input.

    def _feed(self, stdin: list[int]) -> None:
        reader = StreamReader(self._stream)
        try:
            while True:
                if not self._framed:
                    self._write(stdin, reader.some(_READ_BYTES))
                    continue
                kind, length = PACKET.unpack(reader.exactly(PACKET.size))
                if kind == STDIN:
                    while length:
                        data = reader.some(length)
                        length -= len(data)
                        self._write(stdin, data)
                    continue
                data = memoryview(reader.exactly(length))
                if kind == CLOSE_STDIN and stdin and not self._pty:
                    os.close(stdin.pop())
                elif kind == WINDOW_SIZE and stdin and self._pty:
                    self._resize(stdin[0], bytes(data))
        finally:
            if stdin:
                os.close(stdin.pop())

    def _write(self, stdin: list[int], data: memoryview) -> None:
        while data and stdin:
            if self._hangup_read in select.select([self._hangup_read], stdin, [])[0]:
                raise StreamClosed
            try:
                data = data[os.write(stdin[0], data) :]
            except BlockingIOError:
                continue
            except OSError:  # the command reads no more
                os.close(stdin.pop())

    def _resize(self, terminal: int, text: bytes) -> None:
        """``ROWSxCOLUMNS,WIDTHxHEIGHT`` in cells and pixels."""
        with contextlib.suppress(ValueError, struct.error, OSError):
            numbers = [int(n) for part in text.rstrip(b"\0").split(b",") for n in part.split(b"x")]
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("<4H", *numbers))

    # Output.

    def _pump(self, kind: int, source: int) -> None:
        try:
            while self._hangup_read not in (select.select([self._hangup_read, source], [], [])[0]):
                data = os.read(source, _READ_BYTES)
                if not data:
                    return
                self._send(kind, data)
        except (OSError, StreamClosed):  # EIO: the terminal's last user is gone
            return
        finally:
            os.close(source)

    def _send(self, kind: int, data: bytes) -> None:
        if self._link.daemon.faults.garble_shell:
            self._stream.write(b"\xa5garbage" * 4)
        else:
            self._stream.write(PACKET.pack(kind, len(data)) + data if self._framed else data)

    def _finish(self, pumps: list[threading.Thread]) -> None:
        for pump in pumps:
            pump.join()
        code = self._child.wait()
        with contextlib.suppress(StreamClosed):
            if self._framed:
                self._send(EXIT, bytes((code if code >= 0 else 128 - code,)))
            self._stream.close()
