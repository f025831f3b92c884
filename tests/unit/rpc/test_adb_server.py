"""Talking to an adb server that is absent, silent, or something else; and reading what it lists."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from leadline.core.errors import BadInput, DeviceOffline, GarbledOutput
from leadline.rpc.adb import AdbTransport, _parse, attached_devices
from leadline.rpc.adb_server import AdbServer, AttachedDevice


@contextmanager
def server_that_answers(answer: bytes, *, then_closes: bool = True) -> Iterator[AdbServer]:
    """Whatever is asked; a connection that asks nothing is closed."""
    open_connections = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            open_connections.append(connection)
            try:
                if connection.recv(65536):
                    connection.sendall(answer)
            except OSError:
                continue
            if then_closes:
                connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield AdbServer("127.0.0.1", listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in open_connections:
                connection.close()


def listing(text: str) -> bytes:
    return b"OKAY%04x" % len(text.encode()) + text.encode()


def test_devices_are_read_with_their_state_and_model() -> None:
    text = (
        "R58M12ABCDE            device usb:1-2 product:beyond1lteeea model:SM_G973F device:beyond1 transport_id:3\n"
        "emulator-5554          offline transport_id:9\n"
        "0123456789ABCDEF       no permissions (user in plugdev group; are your udev rules wrong?); see "
        "[http://developer.android.com/tools/device.html] usb:1-4 transport_id:5\n"
        "192.168.1.7:5555       unauthorized transport_id:2\n"
    )
    with server_that_answers(listing(text)) as server:
        phone, offline, forbidden, stranger = attached_devices(server.host, server.port)
    assert phone == AttachedDevice(serial="R58M12ABCDE", state="device", model="SM_G973F")
    assert offline == AttachedDevice(serial="emulator-5554", state="offline", model=None)
    assert forbidden.state.startswith("no permissions (user in plugdev group")
    assert forbidden.state.endswith("[http://developer.android.com/tools/device.html]")
    assert stranger == AttachedDevice(serial="192.168.1.7:5555", state="unauthorized", model=None)


def test_nothing_attached_is_an_empty_list() -> None:
    with server_that_answers(listing("")) as server:
        assert attached_devices(server.host, server.port) == []


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"OKAYzzzz", b"OKAY-001", b"\x00\x01\x02\x03", b"OKAY\xff\xff\xff\xff"],
)
def test_another_program_on_the_port_is_recognized(answer: bytes) -> None:
    with server_that_answers(answer) as server, pytest.raises(GarbledOutput, match="another program"):
        attached_devices(server.host, server.port)


@pytest.mark.parametrize("answer", [b"", b"OK", b"OKAY", b"OKAY0010short"])
def test_a_server_that_closes_too_early_is_offline(answer: bytes) -> None:
    with server_that_answers(answer) as server, pytest.raises(DeviceOffline, match="kill-server"):
        attached_devices(server.host, server.port)


def test_a_server_that_never_answers_does_not_hang_us() -> None:
    with server_that_answers(b"", then_closes=False) as server, pytest.raises(DeviceOffline, match="timed out"):
        attached_devices(server.host, server.port, timeout_s=0.3)


def test_a_server_elsewhere_that_does_not_answer_is_not_started_here() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    transport = AdbTransport(f"adb://127.0.0.2:{port}/X", name="bench")  # 127.0.0.2 counts as another machine
    with pytest.raises(DeviceOffline, match=rf"bench: adb server 127\.0\.0\.2:{port}: .*try, on 127\.0\.0\.2: adb -a"):
        transport.open()


def test_a_server_that_cannot_be_started_gives_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("ADBUTILS_ADB_PATH", "/bin/false")
    with pytest.raises(DeviceOffline, match="could not be started"):
        attached_devices("127.0.0.1", port)
    monkeypatch.setenv("ADBUTILS_ADB_PATH", "/no/such/adb")
    with pytest.raises(DeviceOffline, match="could not be started"):
        attached_devices("127.0.0.1", port)


def test_a_local_server_is_started_when_none_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {"HOME": str(tmp_path), "ADB_USB": "0", "ADB_MDNS": "0", "ADB_EMU": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ADB_LOCAL_TRANSPORT_MAX_PORT", "5554")
    monkeypatch.setenv("ANDROID_ADB_LOG_PATH", str(tmp_path / "adb.log"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    try:
        assert attached_devices("127.0.0.1", port) == []
    finally:
        with pytest.raises(DeviceOffline):
            AdbServer("127.0.0.1", port).ask("host:kill")  # it closes without an answer


def test_the_environment_names_the_default_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANDROID_ADB_SERVER_PORT", raising=False)
    monkeypatch.delenv("ANDROID_ADB_SERVER_ADDRESS", raising=False)
    assert AdbServer.default() == AdbServer("127.0.0.1", 5037)
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "6001")
    assert AdbServer.default() == AdbServer("127.0.0.1", 6001)
    for wrong in ("port", "0", "65536", "-1"):
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", wrong)
        with pytest.raises(BadInput, match="ANDROID_ADB_SERVER_PORT"):
            AdbServer.default()


@pytest.mark.parametrize(
    "uri",
    [
        "adb:",
        "adb: X",
        "adb:X Y",
        "adb:X/Y",
        "adb:X\n",
        "adb://",
        "adb://host",
        "adb://host/",
        "adb:///X",
        "adb://host:0/X",
        "adb://host:65536/X",
        "adb://host:x/X",
        "adb://host:1/X/Y",
        "adb://host:1/X;reboot Y",
        "ssh://host",
        "",
    ],
)
def test_what_is_no_adb_address_is_bad_input(uri: str) -> None:
    with pytest.raises(BadInput, match="adb:SERIAL"):
        AdbTransport(uri, name="bench")


def test_addresses_name_server_and_serial() -> None:
    assert _parse("adb://lab/R58") == (AdbServer("lab", 5037), "R58")
    assert _parse("adb://lab:6000/192.168.1.7:5555") == (AdbServer("lab", 6000), "192.168.1.7:5555")
    assert _parse("adb://[::1]:6000/R58") == (AdbServer("::1", 6000), "R58")
    assert _parse("adb:192.168.1.7:5555")[1] == "192.168.1.7:5555"


def test_commands_for_the_user_name_the_server() -> None:
    assert AdbServer().adb == "adb"
    assert AdbServer("127.0.0.1", 6000).adb == "adb -P 6000"
    assert AdbServer("lab", 6000).adb == "adb -H lab -P 6000"
