"""Google's real adb server and our ADB daemon on loopback ports, as fixtures."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import adbutils
import pytest

from leadline.emulator.adbd import Daemon, Device, Faults
from leadline.rpc.adb_server import AdbServer, RefusedByServer

PATIENCE_S = 20.0


class PrivateAdbServer:
    """A running adb server with keys of its own that looks for no devices by itself."""

    def __init__(self, port: int, home: Path) -> None:
        self.port = port
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("ADB_", "ANDROID_"))},
            "HOME": str(home),
            "ANDROID_ADB_SERVER_PORT": str(port),
            "ANDROID_ADB_LOG_PATH": str(home / "adb.log"),
            "ADB_LOCAL_TRANSPORT_MAX_PORT": "5554",  # no scan of localhost's 5555 to 5585
            "ADB_MDNS": "0",
            "ADB_USB": "0",
            "ADB_EMU": "0",
        }

    def adb(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Google's own client, talking to this server."""
        command = [adbutils.adb_path(), *arguments]
        return subprocess.run(command, env=self.environment, input=stdin, capture_output=True, timeout=PATIENCE_S * 3)

    def state_of(self, serial: str) -> str | None:
        devices = AdbServer("127.0.0.1", self.port).devices()
        return next((device.state for device in devices if device.serial == serial), None)

    def wait_for(self, serial: str, state: str | None) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (found := self.state_of(serial)) != state:
            assert time.monotonic() < deadline, f"{serial} is {found}, not {state}"
            time.sleep(0.02)


class EmulatedPhone:
    """An ADB daemon in a thread of this process, attached to the private server."""

    def __init__(self, server: PrivateAdbServer, daemon: Daemon) -> None:
        self.server, self.daemon = server, daemon
        self.directory = Path(daemon.device.directory)  # its $TMPDIR: what /data/local/tmp is on a phone

    @property
    def serial(self) -> str:
        """As the server lists it."""
        return f"127.0.0.1:{self.daemon.port}"

    @property
    def uri(self) -> str:
        return f"adb://127.0.0.1:{self.server.port}/{self.serial}"

    @property
    def faults(self) -> Faults:
        return self.daemon.faults

    def attach(self) -> None:
        """Have the server connect, whatever comes of it."""
        AdbServer("127.0.0.1", self.server.port).ask(f"host:connect:{self.serial}", timeout_s=PATIENCE_S)

    def adb(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Google's own client, talking to this device."""
        return self.server.adb("-s", self.serial, *arguments, stdin=stdin)

    def stop(self) -> None:
        self.daemon.stop()
        with contextlib.suppress(RefusedByServer):  # never connected, or dropped by the server itself
            AdbServer("127.0.0.1", self.server.port).ask(f"host:disconnect:{self.serial}", timeout_s=PATIENCE_S)


@contextlib.contextmanager
def running_adb_server(home: Path) -> Iterator[PrivateAdbServer]:
    """A real adb server on a free port, ended with the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = PrivateAdbServer(listener.getsockname()[1], home)
        environment = {key: value for key, value in server.environment.items() if key != "ANDROID_ADB_SERVER_PORT"}
        process = subprocess.Popen(
            [adbutils.adb_path(), "-L", f"acceptfd:{listener.fileno()}", "nodaemon", "server"],
            env=environment, pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        yield server
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="session")
def adb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateAdbServer]:
    with running_adb_server(tmp_path_factory.mktemp("adb-home")) as server:
        yield server


@pytest.fixture
def adb_device(adb_server: PrivateAdbServer, tmp_path: Path) -> Iterator[EmulatedPhone]:
    """An emulated phone that is attached and ready."""
    phone = _start(adb_server, tmp_path, needs_auth=False)
    try:
        phone.attach()
        adb_server.wait_for(phone.serial, "device")
        yield phone
    finally:
        phone.stop()


@pytest.fixture
def locked_adb_device(adb_server: PrivateAdbServer, tmp_path: Path) -> Iterator[EmulatedPhone]:
    """An emulated phone that asks for keys and trusts none, not attached yet."""
    phone = _start(adb_server, tmp_path, needs_auth=True)
    phone.faults.refuse_auth = True
    try:
        yield phone
    finally:
        phone.stop()


def _start(server: PrivateAdbServer, tmp_path: Path, *, needs_auth: bool) -> EmulatedPhone:
    directory = tmp_path / ("locked-phone" if needs_auth else "phone")
    directory.mkdir()
    daemon = Daemon(Device(serial="EMULATED01", directory=str(directory), needs_auth=needs_auth))
    daemon.start()
    return EmulatedPhone(server, daemon)
