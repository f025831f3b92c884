"""What identifies a unit, whatever port, address or user it is reached by."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from leadline.device.cpus import parse_cpuinfo
from leadline.device.texts import Files, cleaned, matching, text_of

_NET = "/sys/class/net"

SERIAL_PATHS = (
    "/proc/device-tree/serial-number",
    "/sys/devices/soc0/serial_number",
    "/proc/cpuinfo",
    "/etc/machine-id",
    "/var/lib/dbus/machine-id",
    "/sys/class/dmi/id/product_serial",
    "/sys/class/dmi/id/product_uuid",
    f"{_NET}/*/address",
    f"{_NET}/*/addr_assign_type",
)

# what makers leave in when they do not number their boards
_PLACEHOLDERS = re.compile(
    r"(.)\1*|0123456789(abcdef)?|1234567890?|none|unknown|default string|not specified|not applicable|n/a|"
    r"to be filled by o\.?e\.?m\.?|system serial number|03000200-0400-0500-0006-000700080009",
    re.IGNORECASE,
)

# an address that adb spells like a serial: it names a port, and another unit may answer there tomorrow
_ADB_ADDRESS = re.compile(r"emulator-\d+|\S+:\d+|.*\._adb[-\w]*\._tcp.*")


def find_serial(files: Files, *, props: Mapping[str, str], uri_serial: str | None) -> str | None:
    """The first that means something: adb's serial; Android's; the board's, from device tree, SoC or /proc/cpuinfo; a
    digest of the machine-id; the DMI serial or UUID; a digest of the first permanent MAC address; adb's address.

    The machine-id goes before DMI, which only root may read: a unit must not change its name with the user.

    Args: uri_serial: what the transport's URI calls the unit, if it does (adb). None: it does not.
    """
    if uri_serial is not None and not is_address(uri_serial):
        return uri_serial
    board = (
        props.get("ro.serialno"),
        props.get("ro.boot.serialno"),
        text_of(files, "/proc/device-tree/serial-number"),
        text_of(files, "/sys/devices/soc0/serial_number"),
        parse_cpuinfo(files.get("/proc/cpuinfo", "")).get(None, "Serial"),
    )
    machine_id = text_of(files, "/etc/machine-id", "/var/lib/dbus/machine-id")
    hidden = f"machine-{_digest(machine_id)}" if machine_id and re.fullmatch(r"[0-9a-f]{32}", machine_id) else None
    dmi = (text_of(files, f"/sys/class/dmi/id/product_{key}") for key in ("serial", "uuid"))
    found = (_meaningful(text) for text in (*board, hidden, *dmi))
    return next((serial for serial in found if serial), None) or _mac(files) or uri_serial


def serial_in_uri(uri: str) -> str | None:
    """What ``adb:SERIAL`` and ``adb://server:port/SERIAL`` call the unit; None for other transports."""
    if not uri.startswith("adb:"):
        return None
    return uri.rpartition("/")[2] if uri.startswith("adb://") else uri.removeprefix("adb:")


def is_address(adb_serial: str) -> bool:
    """Whether what adb calls a serial is a network address or a port: ``192.168.1.7:5555``, ``emulator-5554``."""
    return _ADB_ADDRESS.fullmatch(adb_serial) is not None


def _meaningful(raw: str | None) -> str | None:
    text = cleaned(raw)
    return None if text is None or _PLACEHOLDERS.fullmatch(text.strip()) else text


def _mac(files: Files) -> str | None:
    """A permanent address (addr_assign_type 0, not locally administered): a USB network stick may still move."""
    for name, _, text in matching(files, rf"{_NET}/([^/]+)/address"):
        octets = text.strip().lower()
        permanent = files.get(f"{_NET}/{name}/addr_assign_type", "").strip() == "0"
        if permanent and re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", octets):
            first = int(octets[:2], 16)
            if not first & 0b11 and octets != "00:00:00:00:00:00":
                return f"mac-{_digest(octets)}"
    return None


def _digest(secret: str) -> str:
    """machine-id(5) asks not to spread the id itself; neither should MAC addresses travel in bundles."""
    return hashlib.sha256(f"leadline:{secret}".encode()).hexdigest()[:16]
