"""What a unit is known by."""

from __future__ import annotations

import pytest

from leadline.device.identity import find_serial, is_address, serial_in_uri

MACHINE_ID = {"/etc/machine-id": "0123456789abcdef0123456789abcdef\n"}
BOARD = {"/proc/device-tree/serial-number": "10000000a1b2c3d4\0"}


def serial(files: dict[str, str], uri_serial: str | None = None, **props: str) -> str | None:
    return find_serial(
        files, props={key.replace("_", "."): value for key, value in props.items()}, uri_serial=uri_serial
    )


def test_adbs_own_serial_goes_first() -> None:
    assert serial(BOARD, "1A2B3C", ro_serialno="OTHER") == "1A2B3C"


def test_a_phone_reached_by_an_address_is_the_same_unit_as_over_usb() -> None:
    assert serial({}, "192.168.1.7:5555", ro_serialno="1A2B3C") == "1A2B3C"


def test_an_address_is_only_the_last_resort() -> None:
    assert serial(MACHINE_ID, "127.0.0.1:6000") != "127.0.0.1:6000"
    assert serial({}, "127.0.0.1:6000") == "127.0.0.1:6000"


@pytest.mark.parametrize("text", ["emulator-5554", "10.0.0.2:5555", "adb-1A2B3C-xyz._adb-tls-connect._tcp"])
def test_addresses_are_told_from_serials(text: str) -> None:
    assert is_address(text)
    assert not is_address("R58M12ABCDE")


def test_a_board_goes_by_the_serial_in_its_device_tree_or_cpuinfo() -> None:
    assert serial(BOARD | MACHINE_ID) == "10000000a1b2c3d4"
    assert serial({"/proc/cpuinfo": "processor\t: 0\n\nSerial\t\t: 00000000deadbeef\n"}) == "00000000deadbeef"


def test_a_machine_id_is_never_shown_itself_and_does_not_change_with_the_user() -> None:
    as_user = serial(MACHINE_ID)
    as_root = serial(MACHINE_ID | {"/sys/class/dmi/id/product_serial": "ABC123\n"})
    assert as_user == as_root
    assert as_user is not None
    assert "0123456789abcdef" not in as_user


@pytest.mark.parametrize("junk", ["", "0", "0000000000000000", "To be filled by O.E.M.", "Default string", "None\n"])
def test_placeholders_of_makers_are_no_serials(junk: str) -> None:
    files = {"/proc/device-tree/serial-number": junk, "/sys/class/dmi/id/product_serial": junk}
    assert serial(files) is None
    assert serial(files | {"/sys/class/dmi/id/product_uuid": "4c4c4544-0033"}) == "4c4c4544-0033"


def test_a_device_with_nothing_but_a_network_card_goes_by_its_permanent_address() -> None:
    net = "/sys/class/net"
    card = {f"{net}/wlan0/address": "2c:aa:8e:01:02:03\n", f"{net}/wlan0/addr_assign_type": "0\n"}
    random = {f"{net}/wlan0/address": "2c:aa:8e:01:02:03\n", f"{net}/wlan0/addr_assign_type": "1\n"}
    local = {f"{net}/docker0/address": "02:42:00:00:00:01\n", f"{net}/docker0/addr_assign_type": "0\n"}
    found = serial(card | local)
    assert found is not None
    assert found.startswith("mac-")
    assert "2c:aa" not in found
    assert serial(random | local) is None


def test_the_serial_in_a_uri_is_adbs() -> None:
    assert serial_in_uri("adb:1A2B") == "1A2B"
    assert serial_in_uri("adb://lab:5037/1A2B") == "1A2B"
    assert serial_in_uri("adb:127.0.0.1:6000") == "127.0.0.1:6000"
    assert serial_in_uri("ssh://pi@pi4") is None
    assert serial_in_uri("local:") is None
