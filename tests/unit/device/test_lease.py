"""One process, and one thread of it, holds a device."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from leadline.core.clock import FakeClock, SystemClock
from leadline.core.errors import DeviceBusy, StoreError
from leadline.device.lease import Holder, lease, lease_file

HOLD = """
import sys
from pathlib import Path
from leadline.device.lease import lease
with lease(Path(sys.argv[1]), sys.argv[2], purpose="leadline measure\\n\\x1b[31m m.tflite"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(folder: Path, serial: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lease until its input closes."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), serial], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_free_device_is_held_at_once_and_given_back(tmp_path: Path) -> None:
    for _ in range(2):
        with lease(tmp_path / "leases", "S", purpose="test") as holder:
            assert holder.pid == os.getpid()


def test_a_second_process_is_told_who_holds_it_and_how_to_end_that(tmp_path: Path) -> None:
    with (
        held_elsewhere(tmp_path, "S") as other,
        pytest.raises(DeviceBusy) as caught,
        lease(tmp_path, "S", purpose="test"),
    ):
        pytest.fail("held twice")
    message = str(caught.value)
    assert message.startswith("S: held by process ")
    assert f"kill -INT {other.pid}" in message
    assert "leadline measure" in message
    assert message.isprintable()


def test_waiting_ends_when_the_holder_is_done_and_says_so_once(tmp_path: Path) -> None:
    told: list[Holder] = []
    with held_elsewhere(tmp_path, "S") as other:
        assert other.stdin is not None

        def end_the_other(holder: Holder) -> None:
            told.append(holder)
            assert other.stdin is not None
            other.stdin.close()

        with lease(tmp_path, "S", purpose="test", wait_s=60, on_wait=end_the_other):
            assert [holder.pid for holder in told] == [other.pid]


def test_a_killed_holder_leaves_the_device_free(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path, "S") as other:
        other.kill()
        other.wait()
        with lease(tmp_path, "S", purpose="test") as holder:
            assert holder.pid == os.getpid()


def test_waiting_is_given_up_after_the_time_asked_for(tmp_path: Path) -> None:
    clock = FakeClock()
    with (
        lease(tmp_path, "S", purpose="first"),
        pytest.raises(DeviceBusy, match="first"),
        lease(tmp_path, "S", purpose="second", wait_s=3600, clock=clock),
    ):
        pytest.fail("held twice")
    assert clock.monotonic_s() == pytest.approx(3600)


def test_threads_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    inside = 0
    most = 0

    def work() -> None:
        nonlocal inside, most
        with lease(tmp_path, "S", purpose="thread", wait_s=60):
            inside += 1
            most = max(most, inside)
            SystemClock().sleep(0.01)
            inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, inside) == (1, 0)


def test_different_devices_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with lease(tmp_path, "A", purpose="a"), lease(tmp_path, "B", purpose="b"), lease(tmp_path, "a", purpose="c"):
        pass


@pytest.mark.parametrize(
    "serial", ["../../x", "/", "a b", "$(x)", "-rf", "ü\n", "192.168.1.7:5555", "x" * 5000, "a/b", "", "\udcff"]
)
def test_any_serial_has_a_file_of_its_own_in_the_folder(tmp_path: Path, serial: str) -> None:
    with lease(tmp_path / "leases", serial, purpose="test"):
        pass
    (file,) = (tmp_path / "leases").iterdir()
    assert file == lease_file(tmp_path / "leases", serial)
    assert lease_file(tmp_path, serial) != lease_file(tmp_path, serial + "_")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"), lease(tmp_path / "file", "S", purpose="test"):
        pass


def test_a_lease_ends_with_an_error_inside_it(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), lease(tmp_path, "S", purpose="test"):
        raise RuntimeError
    with lease(tmp_path, "S", purpose="test"):
        pass
