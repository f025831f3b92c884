"""Devices behind Google's adb server: ``adb:SERIAL`` and ``adb://server[:port]/SERIAL``."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import socket
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from leadline.core.errors import (
    BadInput,
    CommandTimeout,
    DeviceError,
    DeviceOffline,
    GarbledOutput,
    StableError,
    TransferCorrupt,
)
from leadline.core.text import printable
from leadline.rpc import shell
from leadline.rpc.adb_link import AdbLink
from leadline.rpc.adb_process import AdbProcess
from leadline.rpc.adb_server import DEFAULT_PORT, AdbServer, AttachedDevice, attached_devices
from leadline.rpc.adb_sync import MAX_PATH_BYTES, LinkLost, RefusedByDevice, receive_file, send_file
from leadline.rpc.refusals import refusal
from leadline.rpc.shell import Location, supervise
from leadline.rpc.transport import Completed

__all__ = ["AdbTransport", "AttachedDevice", "attached_devices"]

_URI = re.compile(r"adb://(?P<host>\[[^]\s]+\]|[^\s/:@\[\]]+)(?::(?P<port>\d{1,5}))?/(?P<serial>[^\s/]+)")
_SERIAL = re.compile(r"[^\s/]+")
_CLEANUP_TIMEOUT_S = 5.0  # for ending what was left running
_SLOWEST_HASH_BYTES_PER_S = 2e6

# Run after a push: is what was written what was meant? Then it takes the target's place.
_ADOPT = (
    'LC_ALL=C; export LC_ALL; h=$(sha256sum <"$1") || exit 74; '
    'if [ "${h%% *}" != "$3" ]; then rm -f "$1"; echo "${h%% *}"; exit 65; fi; '
    'mv -f "$1" "$2" || { rm -f "$1"; exit 74; }'
)
_HASH = '[ -f "$1" ] || exit 66; LC_ALL=C; export LC_ALL; h=$(sha256sum <"$1") || exit 74; echo "${h%% *}"'
_TEMPORARY = 'echo "${TMPDIR:-/data/local/tmp}"'


class AdbTransport:
    """See `leadline.rpc.transport.Transport`.

    Args:
        silence_s: how long the device may take to answer or to move a transfer on before it counts as offline.

    Raises: BadInput if the URI is none of adb's.
    """

    def __init__(self, uri: str, *, name: str, silence_s: float = 30.0) -> None:
        self._uri, self._name, self._silence_s = uri, printable(name), silence_s
        server, serial = _parse(uri)
        self._link = AdbLink(server, serial, name=name, silence_s=silence_s)
        self._temporary: str | None = None  # the device's own folder for such things; None: not open
        self._processes: weakref.WeakSet[AdbProcess] = weakref.WeakSet()
        self._orphans: list[Location] = []  # still running on the device when we last heard of it
        self._lock = threading.Lock()

    @property
    def uri(self) -> str:
        return self._uri

    @property
    def default_directory(self) -> str:
        """``/data/local/tmp/leadline``, or below wherever the device's shell puts temporary files ($TMPDIR)."""
        return f"{self._temporary or '/data/local/tmp'}/leadline"

    def open(self) -> None:
        self._link.attach()
        try:
            answer = self._ask(_TEMPORARY, timeout_s=min(self._silence_s, 10.0)).stdout
        except (CommandTimeout, DeviceOffline):
            self._link.reconnect()
            answer = self._ask(_TEMPORARY, timeout_s=self._silence_s).stdout
        folder = answer.decode("utf-8", "surrogateescape").strip().rstrip("/")
        if not folder.startswith("/"):
            raise GarbledOutput(f"{self._name}: its shell answers {printable(answer)!r} to echo; is its adbd damaged?")
        self._temporary = folder
        self._end_orphans()

    def close(self) -> None:
        with self._lock:
            processes, self._processes = list(self._processes), weakref.WeakSet()
            running = [process.hand_over() for process in processes]
            self._orphans += [location for location in running if location is not None]
        if self._temporary is not None:
            with contextlib.suppress(DeviceError):
                self._end_orphans()
        for process in processes:
            process.abandon()
        self._temporary = None

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0) -> Completed:
        deadline = time.monotonic() + timeout_s
        with self._start(argv, timeout_s) as process:
            threading.Thread(target=process.feed, args=(stdin,), daemon=True).start()
            try:
                return process.wait(timeout_s=deadline - time.monotonic())
            except CommandTimeout as error:
                what = f"{self._name}: {printable(' '.join(argv), 80)}"
                try:
                    process.end()
                except DeviceError as lost:
                    raise DeviceOffline(f"{what}: no answer for {timeout_s:g} s, nor to its end; {lost}") from lost
                raise CommandTimeout(f"{what}: did not end in {timeout_s:g} s; it was ended") from error

    def start(self, argv: Sequence[str]) -> AdbProcess:
        return self._start(argv, self._silence_s)

    def push(self, local: Path, remote: str, *, executable: bool = False) -> None:
        what, directory = f"cannot write {printable(remote)}", os.path.dirname(remote)
        part = f"{directory}/.leadline-{secrets.token_hex(8)}.part"
        _check_length(part, remote)
        permissions = 0o755 if executable else 0o644
        sha256 = _sha256(local)  # before it is sent: a file that changes meanwhile is found out
        self._sync(lambda connection: send_file(connection, local, part, permissions=permissions), what, directory)
        timeout_s = self._silence_s + local.stat().st_size / _SLOWEST_HASH_BYTES_PER_S
        done = self.run(["sh", "-c", _ADOPT, "sh", part, remote, sha256], timeout_s=timeout_s)
        if done.exit_code == shell.WRONG_HASH:
            raise TransferCorrupt(f"{self._name}: {printable(remote)}: arrived changed; try again, or another cable")
        if done.exit_code != 0:
            raise refusal(self._name, what, done.stderr, directory=directory)

    def pull(self, remote: str, local: Path) -> None:
        what, directory = f"cannot read {printable(remote)}", os.path.dirname(remote)
        _check_length(remote)
        local.parent.mkdir(parents=True, exist_ok=True)
        part = local.with_name(f".leadline-{secrets.token_hex(8)}.part")
        digest = hashlib.sha256()
        refused: DeviceError | None = None
        try:
            # The device hashes the file while it sends it.
            with self.start(["sh", "-c", _HASH, "sh", remote]) as hashing, part.open("xb") as file:

                def take(data: memoryview) -> None:
                    digest.update(data)
                    file.write(data)

                try:
                    self._sync(lambda connection: receive_file(connection, remote, take), what, directory)
                except StableError as error:  # the hash command says why, in words that do not depend on the adbd
                    refused = error
                done = hashing.wait(timeout_s=10 * self._silence_s)
            if done.exit_code == shell.NOT_FOUND:
                raise FileNotFoundError(f"{self._name}: {printable(remote)}: no such file")
            if done.exit_code != 0:
                raise refusal(self._name, what, done.stderr, directory=directory)
            if refused is not None:
                raise refused
            if digest.hexdigest() != done.stdout.decode("ascii", "replace").strip():
                raise TransferCorrupt(
                    f"{self._name}: {printable(remote)}: arrived changed; try again, or another cable"
                )
            os.replace(part, local)
        finally:
            part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- commands --

    def _start(self, argv: Sequence[str], timeout_s: float) -> AdbProcess:
        supervised = supervise(argv)
        if self._temporary is None:
            raise DeviceOffline(f"{self._name}: not connected; open the transport first")
        process = self._open_shell(supervised.command, timeout_s)
        try:
            process.begin(supervised, timeout_s)
        except BaseException:
            process.abandon()
            raise
        with self._lock:
            self._processes.add(process)
        return process

    def _ask(self, command: str, *, timeout_s: float) -> Completed:
        """Run a short command line of our own, which needs no supervision."""
        with self._open_shell(command, timeout_s) as process:
            return process.wait(timeout_s=timeout_s)

    def _open_shell(self, command: str, timeout_s: float) -> AdbProcess:
        connection = self._link.connect(f"shell,v2,raw:{command}", timeout_s=timeout_s)
        connection.settimeout(None)  # AdbProcess waits by poll
        return AdbProcess(
            connection,
            place=self._name,
            remedy=self._link.remedy,
            end_group=self._end_group,
            silence_s=self._silence_s,
        )

    def _end_group(self, location: Location) -> None:
        """Raises: DeviceError, and then it is ended as soon as the device is back."""
        with self._lock:
            self._orphans.append(location)
        self._end_orphans()

    def _end_orphans(self) -> None:
        with self._lock:
            orphans = list(self._orphans)
        if orphans:
            self._ask(shell.end_groups(orphans), timeout_s=_CLEANUP_TIMEOUT_S)
            with self._lock:
                self._orphans = [location for location in self._orphans if location not in orphans]

    # -- files --

    def _sync(self, transfer: Callable[[socket.socket], None], what: str, directory: str) -> None:
        if self._temporary is None:
            raise DeviceOffline(f"{self._name}: not connected; open the transport first")
        try:
            with self._link.connect("sync:", timeout_s=self._silence_s) as connection:
                transfer(connection)
        except LinkLost as error:
            raise DeviceOffline(f"{self._name}: {what}: {error}; {self._link.remedy}") from error
        except RefusedByDevice as error:
            raise refusal(self._name, what, str(error), directory=directory) from error
        except GarbledOutput as error:
            raise GarbledOutput(f"{self._name}: {what}: {error}") from error


def _parse(uri: str) -> tuple[AdbServer, str]:
    if found := _URI.fullmatch(uri):
        port = int(found["port"] or DEFAULT_PORT)
        if 0 < port < 2**16:
            return AdbServer(found["host"].strip("[]"), port), found["serial"]
    elif uri.startswith("adb:") and _SERIAL.fullmatch(serial := uri.removeprefix("adb:")):
        return AdbServer.default(), serial
    raise BadInput(f"{uri!r}: not the address of an adb device; write adb:SERIAL or adb://server:port/SERIAL")


def _check_length(*remotes: str) -> None:
    for remote in remotes:
        if len(os.fsencode(remote)) > MAX_PATH_BYTES - len(",33261"):
            raise BadInput(f"{printable(remote)}: adb carries no path longer than {MAX_PATH_BYTES} bytes")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
