"""What the cache on a device promises, over any transport; fixtures as for the transport contract."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from leadline.core.errors import BadInput, DeviceFull, TransferCorrupt
from leadline.rpc.cache import DeviceCache
from leadline.rpc.transport import Completed, Transport
from tests.contract.transport_contract import make_file
from tests.support.loopback import LoopbackDevice

ROOMY = 2**30


class Counting:
    """A transport that counts what goes over it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.runs = 0
        self.pushes = 0

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        self.runs += 1
        return self._transport.run(argv, **options)

    def push(self, local: Path, remote: str, **options: Any) -> None:
        self.pushes += 1
        self._transport.push(local, remote, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class DeviceCacheContract:
    @pytest.fixture
    def counting(self, transport: Transport) -> Counting:
        return Counting(transport)

    @pytest.fixture
    def new_cache(self, counting: Counting, device: LoopbackDevice) -> Callable[..., DeviceCache]:
        """A cache as a new session has it."""

        def make(budget_bytes: int = ROOMY) -> DeviceCache:
            return DeviceCache(counting, str(device.directory), budget_bytes=budget_bytes)

        return make

    def test_a_file_is_pushed_once_and_found_by_later_sessions(
        self, new_cache: Callable[..., DeviceCache], counting: Counting, device: LoopbackDevice, tmp_path: Path
    ) -> None:
        local, sha256 = make_model(tmp_path, b"model")
        assert new_cache().ensure(local, sha256) == f"{device.directory}/cache/{sha256}"
        assert new_cache().ensure(local, sha256) == f"{device.directory}/cache/{sha256}"
        assert device.read(f"cache/{sha256}") == b"model"
        assert counting.pushes == 1

    def test_a_file_that_is_there_takes_one_round_trip_and_none_the_second_time(
        self, new_cache: Callable[..., DeviceCache], counting: Counting, tmp_path: Path
    ) -> None:
        local, sha256 = make_model(tmp_path, b"model")
        new_cache().ensure(local, sha256)
        counting.runs = 0
        cache = new_cache()
        cache.ensure(local, sha256)
        assert counting.runs == 1
        cache.ensure(local, sha256)
        assert (counting.runs, counting.pushes) == (1, 1)

    def test_a_file_of_another_size_is_replaced(
        self, new_cache: Callable[..., DeviceCache], device: LoopbackDevice, tmp_path: Path
    ) -> None:
        local, sha256 = make_model(tmp_path, b"model")
        new_cache().ensure(local, sha256)
        (device.directory / "cache" / sha256).write_bytes(b"mod")  # as a power cut may leave it
        new_cache().ensure(local, sha256)
        assert device.read(f"cache/{sha256}") == b"model"

    def test_an_executable_can_be_executed_even_if_it_was_cached_as_data(
        self, new_cache: Callable[..., DeviceCache], transport: Transport, tmp_path: Path
    ) -> None:
        local, sha256 = make_model(tmp_path, b"#!/bin/sh\necho it runs\n")
        cache = new_cache()
        remote = cache.ensure(local, sha256)
        assert transport.run([remote]).exit_code == 126
        assert cache.ensure(local, sha256, executable=True) == remote
        assert transport.run([remote]).stdout == b"it runs\n"

    def test_beyond_the_budget_the_least_recently_used_files_go(
        self, new_cache: Callable[..., DeviceCache], device: LoopbackDevice, tmp_path: Path
    ) -> None:
        models = [make_model(tmp_path, bytes([number]) * 1000) for number in range(4)]
        for number, (local, sha256) in enumerate(models[:3]):
            new_cache(3500).ensure(local, sha256)
            os.utime(device.directory / "cache" / sha256, (1000 + number, 1000 + number))
        new_cache(3500).ensure(*models[0])  # a use, the latest by now
        new_cache(3500).ensure(*models[3])
        assert set(device.listing("cache")) == {models[number][1] for number in (0, 2, 3)}

    def test_what_a_session_uses_stays_even_beyond_the_budget(
        self, new_cache: Callable[..., DeviceCache], device: LoopbackDevice, tmp_path: Path
    ) -> None:
        models = [make_model(tmp_path, bytes([number]) * 1000) for number in range(3)]
        cache = new_cache(1500)
        for model in models:
            cache.ensure(*model)
        assert set(device.listing("cache")) == {sha256 for _local, sha256 in models}

    def test_files_that_are_not_ours_stay(
        self, new_cache: Callable[..., DeviceCache], device: LoopbackDevice, tmp_path: Path
    ) -> None:
        foreign = {"notes", "-rf", "a b", "$(id)", "new\nline", ".hidden"}
        for name in foreign:
            make_file(device.directory / "cache" / name, bytes(1000))
        local, sha256 = make_model(tmp_path, b"model")
        new_cache(10).ensure(local, sha256)
        assert set(device.listing("cache")) == {*foreign, sha256}

    def test_what_interrupted_pushes_left_is_removed_after_two_days(
        self, new_cache: Callable[..., DeviceCache], device: LoopbackDevice, tmp_path: Path
    ) -> None:
        old = make_file(device.directory / "cache" / ".leadline-old.part", b"half")
        make_file(device.directory / "cache" / ".leadline-new.part", b"ha")
        os.utime(old, (1000, 1000))
        local, sha256 = make_model(tmp_path, b"model")
        new_cache().ensure(local, sha256)
        assert set(device.listing("cache")) == {".leadline-new.part", sha256}

    def test_hosts_that_share_a_cache_do_not_corrupt_it(
        self, new_cache: Callable[..., DeviceCache], device: LoopbackDevice, tmp_path: Path
    ) -> None:
        models = [make_model(tmp_path, os.urandom(100_000)) for _ in range(4)]

        def use() -> None:
            cache = new_cache(250_000)
            for model in models:
                cache.ensure(*model)

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for name in device.listing("cache"):
            assert hashlib.sha256(device.read(f"cache/{name}")).hexdigest() == name

    def test_a_file_that_is_not_what_its_hash_says_is_refused(
        self, new_cache: Callable[..., DeviceCache], device: LoopbackDevice, tmp_path: Path
    ) -> None:
        local, _sha256 = make_model(tmp_path, b"model")
        other = hashlib.sha256(b"other").hexdigest()
        with pytest.raises(TransferCorrupt, match="changed since"):
            new_cache().ensure(local, other)
        assert not (device.directory / "cache" / other).exists()

    @pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "$(id)", "0" * 63])
    def test_a_name_that_is_no_hash_is_refused(
        self, new_cache: Callable[..., DeviceCache], tmp_path: Path, name: str
    ) -> None:
        local, _sha256 = make_model(tmp_path, b"model")
        with pytest.raises(BadInput, match="SHA-256"):
            new_cache().ensure(local, name)

    def test_a_full_device_is_told_and_can_be_used_once_there_is_room(
        self, new_cache: Callable[..., DeviceCache], device: LoopbackDevice, tmp_path: Path
    ) -> None:
        local, sha256 = make_model(tmp_path, os.urandom(3 * 2**20))
        cache = new_cache()
        with device.full_beyond(2**20), pytest.raises(DeviceFull):
            cache.ensure(local, sha256)
        assert device.listing("cache") == []
        cache.ensure(local, sha256)
        assert device.listing("cache") == [sha256]


def make_model(folder: Path, content: bytes) -> tuple[Path, str]:
    """A file on the host, and its hash."""
    sha256 = hashlib.sha256(content).hexdigest()
    return make_file(folder / "host" / f"{sha256[:8]}.tflite", content), sha256
