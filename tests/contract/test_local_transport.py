"""The transport contract on this machine itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from leadline.rpc.local import LocalTransport
from tests.contract.device_cache_contract import DeviceCacheContract
from tests.contract.transport_contract import TransportContract
from tests.support.loopback import LoopbackDevice


@pytest.fixture
def transport(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalTransport]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "device-cache"))
    with LocalTransport(name="bench") as transport:
        yield transport


@pytest.fixture
def device(tmp_path: Path) -> LoopbackDevice:
    (tmp_path / "device").mkdir()
    return LoopbackDevice(tmp_path / "device", lambda: [os.getpid()])


class TestLocalTransport(TransportContract):
    pass


class TestDeviceCacheOverLocal(DeviceCacheContract):
    pass
