"""This machine as a device: ``local:``."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import select
import shutil
import signal
import subprocess
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Self

import platformdirs

from leadline.core.errors import BadInput, CommandTimeout, DeviceOffline, TransferCorrupt
from leadline.core.text import printable
from leadline.rpc.process import StreamedProcess
from leadline.rpc.refusals import refusal
from leadline.rpc.transport import Completed

_CHUNK_BYTES = 2**18
_DRAIN_S = 1.0  # for output still held by something that left the process group on purpose
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126  # as a shell has it


class LocalTransport:
    """See `leadline.rpc.transport.Transport`."""

    uri = "local:"

    def __init__(self, *, name: str) -> None:
        self._name = name
        self._is_open = False
        self._processes: weakref.WeakSet[_LocalProcess] = weakref.WeakSet()
        self._lock = threading.Lock()

    @property
    def default_directory(self) -> str:
        """Below the user's cache folder, ``$XDG_CACHE_HOME``."""
        return str(platformdirs.user_cache_path("leadline") / "device")

    def open(self) -> None:
        self._is_open = True

    def close(self) -> None:
        self._is_open = False
        with self._lock:
            processes = list(self._processes)
        for process in processes:
            process.kill()

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0) -> Completed:
        with self.start(argv) as process:
            feeder = threading.Thread(target=process.feed, args=(stdin,), daemon=True)
            feeder.start()
            try:
                return process.wait(timeout_s=timeout_s)
            except CommandTimeout as error:
                command = printable(" ".join(argv), 80)
                raise CommandTimeout(f"{self._name}: {command}: not done in {timeout_s:g} s; it was ended") from error
            finally:
                process.kill()
                feeder.join()

    def start(self, argv: Sequence[str]) -> StreamedProcess:
        if not self._is_open:
            raise DeviceOffline(f"{self._name}: not connected; open the transport first")
        process = _LocalProcess(_spawn(argv), self._name)
        with self._lock:
            self._processes.add(process)
        return process

    def push(self, local: Path, remote: str, *, executable: bool = False) -> None:
        try:
            _copy(local, Path(remote), mode=0o755 if executable else 0o644, place=self._name)
        except OSError as error:
            if error.filename == str(local):
                raise
            what = f"cannot write {printable(remote)}"
            raise refusal(self._name, what, error.strerror or str(error), directory=os.path.dirname(remote)) from error

    def pull(self, remote: str, local: Path) -> None:
        if not os.path.isfile(remote):
            raise FileNotFoundError(f"{self._name}: {printable(remote)}: no such file")
        try:
            _copy(Path(remote), local, mode=0o644, place=self._name)
        except PermissionError as error:
            if error.filename != remote:
                raise
            what = f"cannot read {printable(remote)}"
            raise refusal(self._name, what, str(error.strerror), directory=os.path.dirname(remote)) from error

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _LocalProcess(StreamedProcess):
    """Ends with its leader: what that leaves of the process group is killed before its pid can be used again."""

    def __init__(self, child: subprocess.Popen[bytes], place: str) -> None:
        super().__init__(place)
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        self._child, self._stdin = child, child.stdin
        self._sinks: dict[int, tuple[IO[bytes], bytearray]] = {
            child.stdout.fileno(): (child.stdout, self._stdout),
            child.stderr.fileno(): (child.stderr, self._stderr),
        }
        self._ended = os.pidfd_open(child.pid)
        self._reaping = threading.Lock()
        self._writing = threading.Lock()
        self._poll = select.poll()
        for descriptor in (*self._sinks, self._ended):
            self._poll.register(descriptor, select.POLLIN)
        self._drain_until: float | None = None  # set once the leader has ended

    def write(self, data: bytes) -> None:
        try:
            with self._writing:
                rest = memoryview(data)
                while rest:
                    rest = rest[self._stdin.write(rest) :]
        except (OSError, ValueError) as error:
            raise DeviceOffline(f"{self._place}: the command has ended or closed its input") from error

    def close_stdin(self) -> None:
        with self._writing, contextlib.suppress(OSError):
            self._stdin.close()

    def kill(self) -> None:
        with self._reaping:
            if self._child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._child.pid, signal.SIGKILL)

    def _fill(self, timeout_s: float) -> None:
        if self._drain_until is not None:
            timeout_s = min(timeout_s, max(0.0, self._drain_until - time.monotonic()))
        ready = self._poll.poll(timeout_s * 1000)
        for descriptor, _events in ready:
            if descriptor == self._ended:
                self._poll.unregister(self._ended)
                self.kill()
                self._drain_until = time.monotonic() + _DRAIN_S
            else:
                self._read(descriptor)
        if self._drain_until is not None and (not self._sinks or time.monotonic() >= self._drain_until):
            with self._reaping:
                code = self._child.wait()
            self._exit_code = code if code >= 0 else 128 - code

    def _read(self, descriptor: int) -> None:
        stream, buffer = self._sinks[descriptor]
        data = os.read(descriptor, _CHUNK_BYTES)
        buffer += data
        if not data:
            self._poll.unregister(descriptor)
            stream.close()
            del self._sinks[descriptor]

    def _release(self) -> None:
        """After `kill`, which makes the wait short."""
        with self._reaping:
            self._child.wait()
        self.close_stdin()
        for stream, _buffer in self._sinks.values():
            stream.close()
        self._sinks.clear()
        if self._ended >= 0:
            os.close(self._ended)
            self._ended = -1


def _spawn(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    if not argv or any("\0" in argument for argument in argv):
        raise BadInput(f"command {list(argv)!r}: empty, or an argument holds a NUL; no device can run it")
    try:
        return _popen(argv)
    except OSError as error:
        # As a shell answers, so that a missing command looks the same on every device.
        code = _NOT_FOUND if error.errno == errno.ENOENT else _NOT_EXECUTABLE
        return _popen(["sh", "-c", 'echo "$1: $2" >&2; exit "$3"', "sh", argv[0], str(error.strerror), str(code)])


def _popen(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)


def _copy(source: Path, target: Path, *, mode: int, place: str) -> None:
    """Copy under a temporary name beside `target`, read back, rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".leadline-{secrets.token_hex(8)}.part")
    try:
        with source.open("rb") as reader, part.open("xb") as writer:
            shutil.copyfileobj(reader, writer, _CHUNK_BYTES)
            reader.seek(0)
            expected = hashlib.file_digest(reader, "sha256").digest()
        with part.open("rb") as written:
            if hashlib.file_digest(written, "sha256").digest() != expected:
                raise TransferCorrupt(
                    f"{place}: {printable(str(target))}: the copy differs from {printable(source.name)}"
                )
        part.chmod(mode)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
