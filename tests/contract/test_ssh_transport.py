"""The transport contract over a real OpenSSH server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from leadline.rpc.ssh import SshTransport
from tests.contract.device_cache_contract import DeviceCacheContract
from tests.contract.transport_contract import LinkContract, TransportContract
from tests.support.loopback import LoopbackDevice
from tests.support.sshd import Sshd


class SshDevice(LoopbackDevice):
    def __init__(self, server: Sshd) -> None:
        super().__init__(server.root / "device", lambda: [server.pid, *server.sessions()])
        self.directory.mkdir()
        self._server = server

    def cut(self) -> None:
        self._server.kill_sessions()

    def go_away(self) -> None:
        self._server.stop()

    def come_back(self) -> None:
        self._server.start()

    def freeze(self) -> None:
        self._server.freeze()

    def thaw(self) -> None:
        self._server.thaw()


@pytest.fixture
def device(sshd: Sshd) -> SshDevice:
    return SshDevice(sshd)


@pytest.fixture
def transport(sshd: Sshd, device: SshDevice) -> Iterator[SshTransport]:
    with SshTransport(sshd.uri, name="bench", ssh_directory=sshd.ssh_directory) as transport:
        yield transport


class TestSshTransport(TransportContract, LinkContract):
    pass


class TestDeviceCacheOverSsh(DeviceCacheContract):
    pass
