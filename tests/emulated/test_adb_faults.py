"""The adb transport against a phone on which everything goes wrong, one thing at a time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from leadline.core.errors import (
    CommandTimeout,
    DeviceFull,
    DeviceOffline,
    GarbledOutput,
    StableError,
    TransferCorrupt,
    Unauthorized,
)
from leadline.emulator.adbd import Daemon, Device
from leadline.rpc.adb import AdbTransport, attached_devices
from tests.support.adb import EmulatedPhone, PrivateAdbServer
from tests.support.loopback import LoopbackDevice

MIB = 2**20


@pytest.fixture
def phone(adb_device: EmulatedPhone) -> EmulatedPhone:
    return adb_device


@pytest.fixture
def transport(phone: EmulatedPhone) -> Iterator[AdbTransport]:
    with AdbTransport(phone.uri, name="bench", silence_s=2.0) as transport:
        yield transport


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(16 * MIB))
    return path


def test_the_default_folder_is_where_the_phone_keeps_temporary_files(
    transport: AdbTransport, phone: EmulatedPhone
) -> None:
    assert transport.default_directory == f"{phone.directory}/leadline"
    assert AdbTransport("adb:X", name="x").default_directory == "/data/local/tmp/leadline"


# -- while pushing --


def test_a_phone_gone_while_pushing_is_offline_and_leaves_nothing(
    transport: AdbTransport, phone: EmulatedPhone, big: Path
) -> None:
    (phone.directory / "file").write_bytes(b"old")
    phone.faults.cut_push_after_bytes = 5 * MIB
    with pytest.raises(DeviceOffline, match=rf"bench: cannot write .*; try: adb -P \d+ connect {phone.serial}"):
        transport.push(big, f"{phone.directory}/file")
    assert (phone.directory / "file").read_bytes() == b"old"
    transport.open()
    transport.push(big, f"{phone.directory}/file")
    assert (phone.directory / "file").read_bytes() == big.read_bytes()
    assert os.listdir(phone.directory) == ["file"]


def test_a_full_phone_is_told_from_a_phone_that_may_not_be_written(
    transport: AdbTransport, phone: EmulatedPhone, big: Path
) -> None:
    phone.faults.free_bytes = 3 * MIB
    with pytest.raises(DeviceFull, match=r"bench: cannot write .*No space left"):
        transport.push(big, f"{phone.directory}/file")
    phone.faults.free_bytes = None
    with pytest.raises(StableError, match=r"bench: cannot write /proc/x/file: .*; name another folder") as error:
        transport.push(big, "/proc/x/file")
    assert not isinstance(error.value, DeviceFull)
    assert os.listdir(phone.directory) == []


def test_one_flipped_bit_in_a_push_is_found_and_nothing_is_left(
    transport: AdbTransport, phone: EmulatedPhone, big: Path
) -> None:
    phone.faults.corrupt_pushes = True
    with pytest.raises(TransferCorrupt, match="bench"):
        transport.push(big, f"{phone.directory}/file")
    assert os.listdir(phone.directory) == []


def test_one_flipped_bit_in_a_pull_is_found_and_nothing_is_left(
    transport: AdbTransport, phone: EmulatedPhone, tmp_path: Path
) -> None:
    (phone.directory / "file").write_bytes(os.urandom(MIB))
    phone.faults.corrupt_pulls = True
    with pytest.raises(TransferCorrupt, match="bench"):
        transport.pull(f"{phone.directory}/file", tmp_path / "pulled" / "file")
    assert os.listdir(tmp_path / "pulled") == []


def test_a_phone_frozen_while_pushing_does_not_hang_the_host(
    transport: AdbTransport, phone: EmulatedPhone, big: Path
) -> None:
    phone.faults.bytes_per_s = 4 * MIB
    threading.Timer(0.5, phone.faults.freeze, (600,)).start()
    with pytest.raises(DeviceOffline, match="bench: cannot write"):
        transport.push(big, f"{phone.directory}/file")


def test_a_slow_link_is_slow_but_whole(transport: AdbTransport, phone: EmulatedPhone, tmp_path: Path) -> None:
    phone.faults.bytes_per_s = MIB / 2
    small = tmp_path / "small"
    small.write_bytes(os.urandom(MIB))
    transport.push(small, f"{phone.directory}/file")
    assert (phone.directory / "file").read_bytes() == small.read_bytes()


def test_a_file_that_is_not_there_on_the_host_says_so(transport: AdbTransport, phone: EmulatedPhone) -> None:
    with pytest.raises(FileNotFoundError):
        transport.push(Path("/no/such/file"), f"{phone.directory}/file")


# -- while running --


def test_a_phone_that_goes_away_while_a_command_runs_is_offline(transport: AdbTransport, phone: EmulatedPhone) -> None:
    threading.Timer(0.5, phone.faults.go_offline).start()
    with pytest.raises(DeviceOffline, match="bench: the link was cut while a command ran"):
        transport.run(["sleep", "300"], timeout_s=60)


def test_a_reboot_ends_everything_and_open_finds_the_phone_again(transport: AdbTransport, phone: EmulatedPhone) -> None:
    process = transport.start(["sh", "-c", "echo $$; sleep 300"])
    pid = int(process.read_line(timeout_s=20))
    phone.adb("reboot")
    with pytest.raises(DeviceOffline):
        process.wait(timeout_s=20)
    process.kill()
    assert LoopbackDevice(phone.directory, servers=()).become_dead([pid])
    deadline = time.monotonic() + 30
    while True:
        try:
            transport.open()
            break
        except DeviceOffline:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert transport.run(["echo", "back"]).stdout == b"back\n"


def test_a_frozen_phone_is_silent_not_a_hang(transport: AdbTransport, phone: EmulatedPhone) -> None:
    phone.faults.freeze(600)
    with pytest.raises((CommandTimeout, DeviceOffline), match=r"bench: .*1 s"):
        transport.run(["true"], timeout_s=1.0)
    with pytest.raises(DeviceOffline, match="bench"):
        transport.open()


def test_a_phone_that_freezes_while_a_command_runs_is_offline_since_nothing_can_be_ended(
    transport: AdbTransport, phone: EmulatedPhone
) -> None:
    threading.Timer(0.5, phone.faults.freeze, (600,)).start()
    with pytest.raises((DeviceOffline, CommandTimeout), match="bench"):
        transport.run(["sleep", "300"], timeout_s=1.5)


def test_what_could_not_be_ended_on_a_frozen_phone_is_ended_once_it_answers(
    transport: AdbTransport, phone: EmulatedPhone
) -> None:
    process = transport.start(["sh", "-c", "trap '' HUP; echo $$; sleep 300"])
    pid = int(process.read_line(timeout_s=20))
    phone.faults.freeze(600)
    process.kill()
    phone.faults.thaw()
    transport.open()
    assert LoopbackDevice(phone.directory, servers=()).become_dead([pid])


def test_garbage_in_place_of_shell_packets_is_garbled_output(transport: AdbTransport, phone: EmulatedPhone) -> None:
    phone.faults.garble_shell = True
    with pytest.raises(GarbledOutput, match=r"bench: answered .*garbage.* where a shell packet was due"):
        transport.run(["true"])
    phone.faults.garble_shell = False
    assert transport.run(["echo", "fine"]).stdout == b"fine\n"


def test_garbage_on_the_link_is_offline_and_open_mends_it(transport: AdbTransport, phone: EmulatedPhone) -> None:
    with transport.start(["sleep", "300"]) as process:
        phone.faults.garble_link()
        with pytest.raises(DeviceOffline, match="bench"):
            process.wait(timeout_s=20)
    transport.open()
    assert transport.run(["echo", "back"]).stdout == b"back\n"


# -- while opening --


def test_a_phone_that_has_not_accepted_the_key_is_unauthorized_with_what_to_do(
    locked_adb_device: EmulatedPhone, adb_server: PrivateAdbServer
) -> None:
    locked_adb_device.attach()
    adb_server.wait_for(locked_adb_device.serial, "unauthorized")
    transport = AdbTransport(locked_adb_device.uri, name="bench")
    with pytest.raises(Unauthorized, match=r"bench: .*unlock the phone and accept the key, then try: adb -P"):
        transport.open()
    locked_adb_device.daemon.accept_keys()
    adb_server.wait_for(locked_adb_device.serial, "device")
    with transport:
        assert transport.run(["echo", "in"]).stdout == b"in\n"


def test_a_phone_whose_port_is_closed_is_offline(phone: EmulatedPhone) -> None:
    phone.faults.go_offline()
    phone.server.wait_for(phone.serial, "offline")
    with pytest.raises(DeviceOffline, match=rf"bench: .*try: adb -P \d+ connect {phone.serial}"):
        AdbTransport(phone.uri, name="bench").open()


def test_a_serial_that_is_not_attached_is_told_with_those_that_are(phone: EmulatedPhone) -> None:
    uri = f"adb://127.0.0.1:{phone.server.port}/NOTHERE"
    with pytest.raises(DeviceOffline, match=rf"bench: no NOTHERE on .* which has .*{phone.serial} \(device\)"):
        AdbTransport(uri, name="bench").open()


def test_a_phone_older_than_shell_v2_is_told_so(phone: EmulatedPhone, tmp_path: Path) -> None:
    daemon = Daemon(Device(serial="OLD", directory=str(tmp_path), features=("cmd",)))
    daemon.start()
    old = EmulatedPhone(phone.server, daemon)
    try:
        with pytest.raises(StableError, match=r"bench: .*too old .*Android 7"):
            AdbTransport(old.uri, name="bench").open()
    finally:
        old.stop()


def test_a_network_phone_that_the_server_has_forgotten_is_connected_to_again(phone: EmulatedPhone) -> None:
    phone.adb("disconnect", phone.serial)
    with AdbTransport(phone.uri, name="bench") as transport:
        assert transport.run(["echo", "back"]).stdout == b"back\n"


def test_the_server_of_the_environment_is_used_when_the_address_names_none(
    phone: EmulatedPhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(phone.server.port))
    with AdbTransport(f"adb:{phone.serial}", name="bench") as transport:
        assert transport.run(["echo", "hello"]).stdout == b"hello\n"


def test_attached_devices_tells_state_and_model(phone: EmulatedPhone, locked_adb_device: EmulatedPhone) -> None:
    locked_adb_device.attach()
    phone.server.wait_for(locked_adb_device.serial, "unauthorized")
    found = {device.serial: device for device in attached_devices("127.0.0.1", phone.server.port)}
    assert (found[phone.serial].state, found[phone.serial].model) == ("device", "Emulated_Phone")
    assert (found[locked_adb_device.serial].state, found[locked_adb_device.serial].model) == ("unauthorized", None)
