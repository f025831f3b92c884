"""The daemon against a host that the test plays itself, packet by packet."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from leadline.emulator.adbd import Daemon, Device
from leadline.emulator.adbd.packet import AUTH, CLSE, CNXN, OKAY, OPEN, WRTE, Packet, pack, receive
from tests.support.loopback import LoopbackDevice

BANNER = b"host::features=shell_v2,cmd"


class Host:
    """One connection of an adb server, spoken by hand."""

    def __init__(self, port: int, version: int = 0x01000001) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.checked = version < 0x01000001
        self.send(CNXN, version, 2**20, BANNER, checked=True)

    def send(self, command: int, arg0: int, arg1: int, payload: bytes = b"", *, checked: bool | None = None) -> None:
        is_checked = self.checked if checked is None else checked
        self.socket.sendall(pack(command, arg0, arg1, payload, checked=is_checked) + payload)

    def receive(self, *, checked: bool | None = None) -> Packet:
        return receive(self.socket, checked=self.checked if checked is None else checked)

    def expect(self, command: int) -> Packet:
        packet = self.receive()
        assert packet.command == command, packet
        return packet

    def open(self, service: str) -> int:
        """Open a service as our stream 9; the device's number for it."""
        self.send(OPEN, 9, 0, service.encode() + b"\0")
        return self.expect(OKAY).arg0

    def read_all(self, remote: int) -> bytes:
        """Everything the device writes until it closes."""
        data = b""
        while (packet := self.receive()).command != CLSE:
            if packet.command == WRTE:
                data += packet.payload
                self.send(OKAY, 9, remote)
        return data

    def is_dropped(self) -> bool:
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(Device(serial="X", directory=str(tmp_path), model="Test Phone"))
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture
def host(daemon: Daemon) -> Iterator[Host]:
    host = Host(daemon.port)
    host.receive(checked=True)
    with host.socket:
        yield host


def test_the_banner_carries_the_model_the_features_and_a_checksum(daemon: Daemon) -> None:
    host = Host(daemon.port)
    with host.socket:
        answer = host.receive(checked=True)
    assert (answer.command, answer.arg0, answer.arg1) == (CNXN, 0x01000001, 2**20)
    banner = bytes(answer.payload)
    assert banner.startswith(b"device::ro.product.name=")
    assert b"ro.product.model=Test Phone;" in banner
    assert b"features=shell_v2,cmd,stat_v2,ls_v2" in banner


def test_an_old_host_gets_and_owes_checksums(daemon: Daemon) -> None:
    host = Host(daemon.port, version=0x01000000)
    with host.socket:
        host.receive(checked=True)
        host.send(OPEN, 9, 0, b"exec:echo hello\0", checked=True)
        remote = host.expect(OKAY).arg0  # verified by `receive`
        assert host.read_all(remote) == b"hello\n"
        host.send(OPEN, 9, 0, b"exec:echo hello\0", checked=False)
        assert host.is_dropped()


def test_a_service_that_does_not_exist_is_closed(host: Host) -> None:
    host.send(OPEN, 9, 0, b"no-such-service:\0")
    refused = host.expect(CLSE)
    assert (refused.arg0, refused.arg1) == (0, 9)


def test_a_port_that_nobody_listens_on_is_closed_without_ever_being_ready(host: Host) -> None:
    host.send(OPEN, 9, 0, b"tcp:1\0")
    refused = host.expect(CLSE)
    assert (refused.arg0, refused.arg1) == (0, 9)


def test_the_device_writes_again_only_after_an_okay(host: Host) -> None:
    remote = host.open("exec:printf one; sleep 0.2; printf two")
    assert bytes(host.expect(WRTE).payload) == b"one"
    host.socket.settimeout(0.6)
    with pytest.raises(TimeoutError):
        host.receive()
    host.socket.settimeout(20)
    host.send(OKAY, 9, remote)
    assert bytes(host.expect(WRTE).payload) == b"two"


def test_a_service_that_does_not_read_makes_the_host_wait(host: Host) -> None:
    remote = host.open("exec:sleep 60")
    host.send(WRTE, 9, remote, bytes(2**20))  # fills the command's pipe
    host.expect(OKAY)
    host.socket.settimeout(2)
    for _ in range(4):
        host.send(WRTE, 9, remote, bytes(2**20))
        host.expect(OKAY)
    host.send(WRTE, 9, remote, bytes(2**20))
    with pytest.raises(TimeoutError):
        host.expect(OKAY)


def test_shell_v2_separates_streams_and_ends_with_the_exit_code(host: Host) -> None:
    remote = host.open("shell,v2,raw:echo out; echo err >&2; exit 3")
    data, packets = host.read_all(remote), {}
    while data:
        kind, length = struct.unpack_from("<BI", data)
        packets[kind] = packets.get(kind, b"") + data[5 : 5 + length]
        data = data[5 + length :]
    assert packets == {1: b"out\n", 2: b"err\n", 3: b"\x03"}


def test_shell_v1_mixes_streams_and_tells_no_exit_code(host: Host) -> None:
    assert host.read_all(host.open("shell:echo out; echo err >&2; exit 3")) == b"out\nerr\n"


def test_a_closed_stream_hangs_up_the_command_but_not_what_it_started(host: Host, daemon: Daemon) -> None:
    directory = Path(daemon.device.directory)
    remote = host.open("shell,v2,raw:trap 'echo hup >hup; exit' HUP; (sleep 0.5; echo alive >child) & echo x; wait")
    host.expect(WRTE)
    host.send(CLSE, 9, remote)
    wait_for_file(directory / "hup")
    wait_for_file(directory / "child")


def test_stop_ends_even_what_has_left_its_session(host: Host, daemon: Daemon, tmp_path: Path) -> None:
    host.open("exec:setsid sleep 300 & echo $!")
    pid = int(bytes(host.expect(WRTE).payload))
    daemon.stop()
    assert LoopbackDevice(tmp_path, servers=()).become_dead([pid])


def test_garbage_drops_the_connection_and_the_daemon_lives_on(daemon: Daemon, host: Host) -> None:
    host.socket.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert host.is_dropped()
    again = Host(daemon.port)
    with again.socket:
        assert again.receive(checked=True).command == CNXN


def test_streams_that_do_not_exist_are_closed_or_ignored(host: Host) -> None:
    host.send(OKAY, 9, 777)
    host.send(CLSE, 9, 777)
    host.send(WRTE, 9, 777, b"anyone?")
    assert host.expect(CLSE).arg1 == 9


def test_a_host_without_a_key_cannot_open_anything(tmp_path: Path) -> None:
    daemon = Daemon(Device(serial="X", directory=str(tmp_path), needs_auth=True))
    daemon.start()
    try:
        host = Host(daemon.port)
        with host.socket:
            question = host.receive(checked=True)
            assert (question.command, question.arg0, len(question.payload)) == (AUTH, 1, 20)
            host.send(AUTH, 2, 0, b"no signature", checked=True)
            second = host.receive(checked=True)
            assert second.payload != question.payload
            host.send(OPEN, 9, 0, b"shell:id\0", checked=True)
            assert host.is_dropped()
    finally:
        daemon.stop()


def wait_for_file(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} never came"
        time.sleep(0.01)
