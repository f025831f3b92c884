"""Google's adb server on this or another host: what is attached to it, and services of the devices.

A request is its length in four hexadecimal digits and a text; the answer starts with OKAY or FAIL.
Source: AOSP packages/modules/adb/OVERVIEW.TXT and SERVICES.TXT. adbutils brings the adb program; its own connection
class has no time-out on reading and starts a local server for whatever host does not answer, so it is not used here.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess

import msgspec

from leadline.core.errors import BadInput, DeviceOffline, GarbledOutput, StableError
from leadline.core.text import printable

DEFAULT_PORT = 5037
_CONNECT_TIMEOUT_S = 5.0
_START_TIMEOUT_S = 30.0
_MAX_REQUEST_BYTES = 0xFFFF
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
_DEVICE_LINE = re.compile(r"(?P<serial>\S+)\s+(?P<state>\S.*?)(?P<facts>(?:\s+\w+:\S*)*)\s*")


class AttachedDevice(msgspec.Struct, frozen=True, kw_only=True):
    serial: str
    state: str  # "device" (ready) · "offline" · "unauthorized" · "authorizing" · "recovery" · "no permissions …" …
    model: str | None  # "Pixel_6", known only while the device is ready


class RefusedByServer(StableError):
    """The server answered FAIL; the text is its reason. `AdbLink` finds out what is behind it."""


class AdbServer(msgspec.Struct, frozen=True):
    """Where an adb server listens."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    timeout_s: float = 10.0  # for a question that the server answers by itself

    @classmethod
    def default(cls) -> AdbServer:
        """``$ANDROID_ADB_SERVER_ADDRESS`` and ``$ANDROID_ADB_SERVER_PORT``, else 127.0.0.1:5037, as adb itself does.

        Raises: BadInput if the port is no port.
        """
        host = os.environ.get("ANDROID_ADB_SERVER_ADDRESS") or "127.0.0.1"
        port = os.environ.get("ANDROID_ADB_SERVER_PORT") or str(DEFAULT_PORT)
        if not port.isdecimal() or not 0 < int(port) < 2**16:
            raise BadInput(f"ANDROID_ADB_SERVER_PORT is {port!r}: not a port; unset it or give a number below 65536")
        return cls(host, int(port))

    @property
    def is_local(self) -> bool:
        return self.host in _LOCAL_HOSTS

    @property
    def adb(self) -> str:
        """How a user calls adb so that it talks to this server."""
        words = ["adb"]
        if not self.is_local:
            words.append(f"-H {self.host}")
        if self.port != DEFAULT_PORT:
            words.append(f"-P {self.port}")
        return " ".join(words)

    def start(self) -> None:
        """Make sure that the server answers; start it if it is on this machine and does not run.

        Raises: DeviceOffline.
        """
        try:
            self._connect().close()
        except OSError as error:
            if not self.is_local:
                raise DeviceOffline(
                    f"adb server {self.host}:{self.port}: {error.strerror or error}; "
                    f"try, on {self.host}: adb -a -P {self.port} start-server"
                ) from error
            self._launch()

    def devices(self) -> list[AttachedDevice]:
        """What is attached, whatever its state. Raises: DeviceOffline, GarbledOutput."""
        lines = self.ask("host:devices-l").splitlines()
        return [_parse_device(match) for line in lines if (match := _DEVICE_LINE.fullmatch(line))]

    def ask(self, request: str, *, timeout_s: float | None = None) -> str:
        """A request to the server itself, and its whole answer.

        Raises: RefusedByServer, DeviceOffline, GarbledOutput.
        """
        try:
            with self._connect() as connection:
                connection.settimeout(timeout_s or self.timeout_s)
                _request(connection, request)
                return _receive_counted(connection)
        except OSError as error:
            raise self._silent(error) from error

    def connect(self, serial: str, service: str, *, timeout_s: float) -> socket.socket:
        """A stream to a service of the device; the caller closes it. Its time-out is still `timeout_s`.

        Raises: TimeoutError if the device does not answer; RefusedByServer, DeviceOffline, GarbledOutput; BadInput if
            the request is longer than adb allows.
        """
        with contextlib.ExitStack() as undo:
            try:
                connection = undo.enter_context(self._connect())
                connection.settimeout(self.timeout_s)
                _request(connection, f"host:tport:serial:{serial}")
                _receive_exactly(connection, 8)  # the server's number for the device
            except OSError as error:
                raise self._silent(error) from error
            try:
                connection.settimeout(timeout_s)
                _request(connection, service)
            except TimeoutError:
                raise
            except OSError as error:  # how a server puts it when the device goes away in between
                raise RefusedByServer(f"closed the stream: {error.strerror or error}") from error
            undo.pop_all()
        return connection

    def _connect(self) -> socket.socket:
        connection = socket.create_connection((self.host, self.port), timeout=_CONNECT_TIMEOUT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _silent(self, error: OSError) -> DeviceOffline:
        return DeviceOffline(
            f"adb server {self.host}:{self.port}: {error.strerror or error}; try: {self.adb} kill-server, then again"
        )

    def _launch(self) -> None:
        """Start the server in its own session, so that a Ctrl-C meant for us does not end it."""
        import adbutils  # takes longer to import than a device to answer, and is needed only here

        command = [adbutils.adb_path(), "-P", str(self.port), "start-server"]
        place = f"adb server {self.host}:{self.port}"
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_START_TIMEOUT_S, start_new_session=True
            )
        except (OSError, adbutils.AdbError, subprocess.TimeoutExpired) as error:
            raise DeviceOffline(f"{place}: could not be started: {error}; try: {self.adb} start-server") from error
        if done.returncode != 0:
            reason = printable(done.stderr.strip() or done.stdout.strip(), 400)
            raise DeviceOffline(f"{place}: could not be started: {reason}; try: {self.adb} start-server")


def attached_devices(
    host: str = "127.0.0.1", port: int = DEFAULT_PORT, *, timeout_s: float = 10.0
) -> list[AttachedDevice]:
    """What hangs on an adb server, which is started if it is on this machine. Never hangs.

    Raises: DeviceOffline if the server does not answer; GarbledOutput.
    """
    server = AdbServer(host, port, timeout_s)
    server.start()
    return server.devices()


def _parse_device(match: re.Match[str]) -> AttachedDevice:
    facts = dict(fact.split(":", 1) for fact in match["facts"].split())
    return AttachedDevice(serial=match["serial"], state=match["state"], model=facts.get("model"))


def _request(connection: socket.socket, text: str) -> None:
    """Send one request and take its OKAY. Raises: RefusedByServer, GarbledOutput, OSError."""
    data = text.encode("utf-8", "surrogateescape")
    if len(data) > _MAX_REQUEST_BYTES:
        raise BadInput(
            f"adb: a command line of {len(data)} bytes; at most {_MAX_REQUEST_BYTES} pass: send a file instead"
        )
    connection.sendall(b"%04x" % len(data) + data)
    answer = _receive_exactly(connection, 4)
    if answer == b"FAIL":
        raise RefusedByServer(_receive_counted(connection))
    if answer != b"OKAY":
        raise GarbledOutput(
            f"adb server: answered {printable(answer)!r} instead of OKAY; does another program use its port?"
        )


def _receive_counted(connection: socket.socket) -> str:
    count = _receive_exactly(connection, 4)
    if not set(count) <= set(b"0123456789abcdefABCDEF"):
        raise GarbledOutput(f"adb server: {printable(count)!r} is no length; does another program use its port?")
    return _receive_exactly(connection, int(count, 16)).decode("utf-8", "replace")


def _receive_exactly(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionResetError(104, "closed the connection")
        data += piece
    return bytes(data)
