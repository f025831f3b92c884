"""The adb transport over Google's real adb server and our ADB daemon."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from leadline.rpc.adb import AdbTransport
from tests.contract.transport_contract import LinkContract, TransportContract
from tests.support.adb import EmulatedPhone
from tests.support.loopback import LoopbackDevice


class LoopbackPhone(LoopbackDevice):
    def __init__(self, phone: EmulatedPhone) -> None:
        super().__init__(phone.directory / "work", servers=())
        self.directory.mkdir()
        self._faults = phone.faults

    @contextlib.contextmanager
    def full_beyond(self, size_bytes: int) -> Iterator[None]:
        self._faults.free_bytes = size_bytes
        try:
            yield
        finally:
            self._faults.free_bytes = None

    def cut(self) -> None:
        self._faults.cut()

    def go_away(self) -> None:
        self._faults.go_offline()

    def come_back(self) -> None:
        self._faults.come_back()

    def freeze(self) -> None:
        self._faults.freeze(600)

    def thaw(self) -> None:
        self._faults.thaw()


class TestAdbTransport(TransportContract, LinkContract):
    @pytest.fixture
    def device(self, adb_device: EmulatedPhone) -> LoopbackDevice:
        return LoopbackPhone(adb_device)

    @pytest.fixture
    def transport(self, adb_device: EmulatedPhone, device: LoopbackDevice) -> Iterator[AdbTransport]:
        with AdbTransport(adb_device.uri, name="bench") as transport:
            yield transport
