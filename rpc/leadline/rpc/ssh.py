"""Devices that run an SSH server: ``ssh://[user@]host[:port]``."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import paramiko

from leadline.core.errors import CommandTimeout, DeviceError, DeviceOffline, TransferCorrupt
from leadline.core.text import printable
from leadline.rpc import shell
from leadline.rpc.refusals import refusal
from leadline.rpc.ssh_config import resolve
from leadline.rpc.ssh_login import log_in
from leadline.rpc.ssh_process import SshProcess
from leadline.rpc.transport import Completed

_CHUNK_BYTES = 2**18
_CLEANUP_S = 5.0  # for ending a command; a device that does not manage that counts as offline
# dropbear 2022.82 to 2024.85 now and then closes a channel that was opened right after another command's end; see
# https://github.com/mkj/dropbear/issues/173 and pull request 326. The supervisor starts nothing on a closed channel.
_CHANNEL_TRIES = 5
_HASH_S = 120.0  # for hashing a large file on a slow device


class SshTransport:
    """See `leadline.rpc.transport.Transport`. Needs a POSIX shell and sha256sum on the device, no SFTP.

    Args:
        ssh_directory: holds config, keys and known_hosts; None: ``~/.ssh``.
        connect_s: for each of reaching the device, its greeting and the login.
        silence_s: how long the device may leave bytes unanswered before it counts as offline.
    """

    def __init__(
        self,
        uri: str,
        *,
        name: str,
        ssh_directory: Path | None = None,
        connect_s: float = 10.0,
        silence_s: float = 30.0,
    ) -> None:
        self._uri, self._name = uri, name
        self._ssh_directory = ssh_directory
        self._connect_s, self._silence_s = connect_s, silence_s
        self._client: paramiko.SSHClient | None = None
        self._default_directory: str | None = None
        self._processes: weakref.WeakSet[SshProcess] = weakref.WeakSet()
        self._orphans: set[shell.Location] = set()  # still running on the device when we last heard of it
        self._lock = threading.RLock()

    @property
    def uri(self) -> str:
        return self._uri

    @property
    def default_directory(self) -> str:
        if self._default_directory is None:
            raise DeviceOffline(f"{self._name}: not connected; open the transport first")
        return self._default_directory

    def open(self) -> None:
        with self._lock:
            if self._is_connected():
                return self._end_orphans()
            self._drop()
            target = resolve(self._uri, self._ssh_directory or Path.home() / ".ssh")
            self._client = log_in(target, place=self._name, timeout_s=self._connect_s, silence_s=self._silence_s)
            try:
                self._end_orphans()
                self._default_directory = self._default_directory or self._find_default_directory()
            except BaseException:
                self._drop()
                raise

    def close(self) -> None:
        with self._lock:
            if self._is_connected():
                self._adopt_running()
                with contextlib.suppress(DeviceError):
                    self._end_orphans()
            self._drop()

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0) -> Completed:
        deadline = time.monotonic() + timeout_s
        with self._start(argv, timeout_s) as process:
            threading.Thread(target=process.feed, args=(stdin,), daemon=True).start()
            try:
                return process.wait(timeout_s=max(0.0, deadline - time.monotonic()))
            except CommandTimeout as error:
                process.end()
                command = printable(" ".join(argv), 80)
                raise CommandTimeout(f"{self._name}: {command}: not done in {timeout_s:g} s; it was ended") from error

    def start(self, argv: Sequence[str]) -> SshProcess:
        return self._start(argv, self._silence_s)

    def push(self, local: Path, remote: str, *, executable: bool = False) -> None:
        with local.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            with self.start(shell.receive(remote, sha256, executable=executable)) as process:
                try:
                    while chunk := file.read(_CHUNK_BYTES):
                        process.write(chunk)
                except DeviceOffline:
                    if process.is_running:
                        raise
                process.close_stdin()  # also if it gave up: `wait` tells why
                done = process.wait(timeout_s=_HASH_S)
        if done.exit_code == shell.WRONG_HASH:
            raise TransferCorrupt(
                f"{self._name}: {printable(remote)}: what arrived is not {printable(str(local))}; retry"
            )
        if done.exit_code != 0:
            what = f"cannot write {printable(remote)}"
            raise refusal(self._name, what, done.stderr, directory=os.path.dirname(remote))

    def pull(self, remote: str, local: Path) -> None:
        local.parent.mkdir(parents=True, exist_ok=True)
        part = local.with_name(f".leadline-{secrets.token_hex(8)}.part")
        try:
            with part.open("xb") as file, self.start(shell.send(remote)) as process:
                expected = process.read_line(timeout_s=_HASH_S).strip()
                digest = hashlib.sha256()
                while chunk := process.read_some(timeout_s=self._silence_s):
                    digest.update(chunk)
                    file.write(chunk)
                done = process.wait(timeout_s=self._silence_s)
            if done.exit_code == shell.NOT_FOUND:
                raise FileNotFoundError(f"{self._name}: {printable(remote)}: no such file")
            if done.exit_code != 0:
                what = f"cannot read {printable(remote)}"
                raise refusal(self._name, what, done.stderr, directory=os.path.dirname(remote))
            if digest.hexdigest().encode() != expected:
                raise TransferCorrupt(f"{self._name}: {printable(remote)}: arrived changed; retry")
            os.replace(part, local)
        finally:
            part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- the link --

    def _is_connected(self) -> bool:
        transport = self._client.get_transport() if self._client else None
        return transport is not None and transport.is_active()

    def _drop(self) -> None:
        """Forget the connection, but not what still runs over it."""
        with self._lock:
            if self._client is not None:
                self._adopt_running()
                self._processes.clear()
                self._client.close()
                self._client = None

    @contextlib.contextmanager
    def _mapped(self) -> Iterator[None]:
        """The one seam where errors of an open connection become ours."""
        try:
            yield
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._lost(str(error) or type(error).__name__) from error

    def _lost(self, fact: str) -> DeviceOffline:
        return DeviceOffline(f"{self._name}: {self._uri}: {fact}; try: leadline device probe {self._name}")

    def _channel(self, command: str, timeout_s: float) -> paramiko.Channel:
        """Start a command line on the device; its streams are open."""
        with self._lock:
            transport = self._client.get_transport() if self._client else None
        if transport is None:
            raise DeviceOffline(f"{self._name}: not connected; open the transport first")
        with self._mapped():
            for _ in range(_CHANNEL_TRIES - 1):
                with contextlib.suppress(_ChannelClosed):
                    return self._exec(transport, command, timeout_s)
            return self._exec(transport, command, timeout_s)

    def _exec(self, transport: paramiko.Transport, command: str, timeout_s: float) -> paramiko.Channel:
        channel = transport.open_session(timeout=timeout_s)
        channel.settimeout(self._silence_s)
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            channel.close()

        with _after(timeout_s, expire):  # exec_command waits for the server without a limit of its own
            try:
                channel.exec_command(os.fsencode(command))
            except paramiko.SSHException as error:
                if transport.is_active() and not expired.is_set():
                    raise _ChannelClosed(str(error)) from error
                raise
        return channel

    def _start(self, argv: Sequence[str], timeout_s: float) -> SshProcess:
        supervised = shell.supervise(argv)
        patience_s = max(timeout_s, _CLEANUP_S)  # a command can be ended only once we know where it runs
        channel = self._channel(supervised.command, patience_s)
        process = SshProcess(channel, place=self._name, lost=self._lost, end_groups=self._end_groups)
        process.begin(supervised, timeout_s=patience_s)
        with self._lock:
            self._processes.add(process)
        return process

    # -- ending what runs on the device --

    def _end_groups(self, locations: Sequence[shell.Location]) -> None:
        """Kill the process groups over a channel of its own. If that fails they are ended at the next `open`."""
        self._orphans.update(locations)
        with contextlib.closing(self._channel(shell.end_groups(locations), _CLEANUP_S)) as channel:
            if not channel.status_event.wait(_CLEANUP_S) or channel.exit_status != 0:
                raise self._lost(f"silent for {_CLEANUP_S:g} s")
        self._orphans.difference_update(locations)

    def _end_orphans(self) -> None:
        if self._orphans:
            self._end_groups(list(self._orphans))

    def _adopt_running(self) -> None:
        self._orphans.update(process.location for process in self._processes if process.is_running)

    def _find_default_directory(self) -> str:
        done = self.run(shell.default_directory(), timeout_s=self._silence_s)
        directory = done.stdout.decode("utf-8", "surrogateescape").removesuffix("\n")
        if done.exit_code != 0 or not directory.startswith("/"):
            raise refusal(self._name, "no folder can be written to", done.stderr, directory="/tmp")
        return directory


class _ChannelClosed(paramiko.SSHException):
    """The server closed a channel before it had started the command, and kept the connection."""


@contextlib.contextmanager
def _after(seconds: float, action: Callable[[], object]) -> Iterator[None]:
    """Do this if the block is not left in time."""
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
