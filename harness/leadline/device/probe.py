"""Probing: what a device is, read from files that the agent fetches, interpreted on the host.

`interpret` is a pure function, so that it can be tested on recorded devices.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from leadline.core.clock import Clock, SystemClock
from leadline.core.errors import StableError
from leadline.device.conditions import memory_bytes
from leadline.device.cpus import (
    CPU_PATHS,
    CpuInfo,
    find_caches,
    find_clusters,
    offline_cpus,
    online_cpus,
    parse_cpuinfo,
)
from leadline.device.emulation import EMULATION_PATHS, find_emulation
from leadline.device.identity import SERIAL_PATHS, find_serial
from leadline.device.sensors import SENSOR_PATHS, find_power, find_thermal
from leadline.device.texts import Files, cleaned, text_of
from leadline.records.device import Profile

if TYPE_CHECKING:
    from leadline.rpc.agent import Agent, Hello
    from leadline.rpc.transport import Transport

_DMI = "/sys/class/dmi/id"
_SOC = "/sys/devices/soc0"
_TREE = "/proc/device-tree"

PROBE_PATHS: tuple[str, ...] = tuple(
    dict.fromkeys(
        (
            *CPU_PATHS,
            *SERIAL_PATHS,
            *EMULATION_PATHS,
            *SENSOR_PATHS,
            "/proc/meminfo",
            "/proc/sys/kernel/osrelease",
            "/etc/os-release",
            "/usr/lib/os-release",
            f"{_TREE}/model",
            f"{_TREE}/compatible",
            f"{_DMI}/sys_vendor",
            f"{_DMI}/product_name",
            f"{_SOC}/machine",
            f"{_SOC}/soc_id",
        )
    )
)

# One round trip for all that only commands can tell; what a device does not have leaves its part empty.
_SCRIPT = """getprop 2>/dev/null
echo; echo --leadline--
getconf GNU_LIBC_VERSION 2>/dev/null || ldd --version 2>&1 | head -n 2
echo; echo --leadline--
python3 -V 2>/dev/null
"""


# Where every user of a unit finds what another one left there, also after a reboot.
_COMMON_FOLDERS = ("/data/local/tmp", "/var/tmp")
_LEAVE_SERIAL = (
    'for d; do [ -s "$d/leadline-serial" ] && exec cat "$d/leadline-serial"; done; umask 022; '
    'for d; do tr -d - </proc/sys/kernel/random/uuid >"$d/leadline-serial" && exec cat "$d/leadline-serial"; done'
)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What commands on the device said; an empty text is a command it does not have."""

    getprop: str = ""
    libc: str = ""
    python: str = ""


def probe(
    transport: Transport,
    agent: Agent,
    *,
    serial: str | None = None,
    uri_serial: str | None = None,
    clock: Clock | None = None,
) -> Profile:
    """Ask a device what it is, in two round trips.

    Args:
        serial: the serial it is enrolled under, if it is known to be that unit.
        uri_serial: what the transport's URI calls the unit (adb); used if `serial` is None.
    Raises: StableError if neither tells a serial nor the device does; DeviceOffline, CommandTimeout, GarbledOutput.
    """
    files = agent.read(PROBE_PATHS)
    told = ask(transport)
    props = parse_getprop(told.getprop)
    serial = serial or find_serial(files, props=props, uri_serial=uri_serial) or left_serial(transport)
    return interpret(files, agent.hello, serial=serial, told=told, taken_at=(clock or SystemClock()).now())


def left_serial(transport: Transport, folders: Sequence[str] = _COMMON_FOLDERS) -> str:
    """The random serial that we leave with a unit that tells none: a container, a bare system.

    Args: folders: on the device, where to look for it and to leave it; the first that can be written.
    Raises: StableError if there is none and none can be left.
    """
    done = transport.run(["sh", "-c", _LEAVE_SERIAL, "sh", *folders])
    left = done.stdout.decode("utf-8", "replace").strip()
    if not re.fullmatch(r"[0-9a-f]{32}", left):
        raise StableError(
            f"{transport.uri}: tells no serial number: none in its device tree, DMI or network cards; and none "
            f"could be left in {' or '.join(folders)}; "
            "give it one with, as root there: tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id"
        )
    return f"left-{left[:16]}"


def ask(transport: Transport) -> Told:
    """Run the commands that tell what no file does."""
    done = transport.run(["sh", "-c", _SCRIPT], timeout_s=20)
    parts = done.stdout.decode("utf-8", "replace").replace("\r\n", "\n").split("\n--leadline--\n")
    return Told(getprop=parts[0], libc=parts[1], python=parts[2]) if len(parts) == 3 else Told()


def interpret(files: Files, hello: Hello, *, serial: str, told: Told, taken_at: datetime) -> Profile:
    """What the files and commands mean. Pure. What is missing is None or left out, garbage likewise.

    Args: files: path → text, of `PROBE_PATHS`.
    """
    info = parse_cpuinfo(files.get("/proc/cpuinfo", ""))
    props = parse_getprop(told.getprop)
    android = "ro.build.version.release" in props
    online = online_cpus(files, info)
    usable = tuple(cpu for cpu in hello.cpus if not online or cpu in online) or tuple(hello.cpus) or online
    clusters = find_clusters(files, info, usable)
    return Profile(
        serial=serial,
        taken_at=taken_at,
        model=_model(files, info, props),
        soc=_soc(files, info, props),
        abi=hello.abi,
        features=_features(info, hello),
        os=f"Android {props['ro.build.version.release']}" if android else _os(files),
        os_kind="android" if android else "linux",
        kernel=text_of(files, "/proc/sys/kernel/osrelease"),
        libc="bionic" if android else _libc(told.libc),
        clusters=clusters,
        offline_cpus=offline_cpus(files),
        caches=find_caches(files, usable),
        memory_bytes=memory_bytes(files, "MemTotal"),
        thermal=find_thermal(files),
        power=find_power(files),
        root=hello.uid == 0,
        python=_python(told.python),
        emulated=find_emulation(files, info, abi=hello.abi, cores=tuple(c.core for c in clusters), props=props),
        agent_version=hello.version,
    )


def parse_getprop(text: str) -> dict[str, str]:
    """``[ro.product.model]: [Pixel 6]`` lines; empty values are left out."""
    pairs = re.findall(r"^\[([^\]\n]+)\]: \[(.*)\]\r?$", text, re.MULTILINE)
    return {key: value for key, raw in pairs if (value := cleaned(raw))}


def _model(files: Files, info: CpuInfo, props: Mapping[str, str]) -> str | None:
    if model := props.get("ro.product.model"):
        return _with_maker(props.get("ro.product.manufacturer"), model)
    if model := text_of(files, f"{_TREE}/model"):
        return model
    if model := text_of(files, f"{_DMI}/product_name"):
        return _with_maker(text_of(files, f"{_DMI}/sys_vendor"), model)
    return (
        text_of(files, f"{_SOC}/machine")
        or info.get(None, "Model")
        or info.get(None, "machine")
        or info.get(None, "system type")
        or info.get(None, "Hardware")
    )


def _with_maker(maker: str | None, model: str) -> str:
    return model if maker is None or model.lower().startswith(maker.lower()) else f"{maker} {model}"


def _soc(files: Files, info: CpuInfo, props: Mapping[str, str]) -> str | None:
    """The chip. A device tree names it last: ``raspberrypi,4-model-b``, ``brcm,bcm2711``; /proc/cpuinfo's Hardware is
    the last resort, since every Raspberry Pi says BCM2835 there."""
    compatible = [part for part in files.get(f"{_TREE}/compatible", "").split("\0") if part.strip()]
    tree = cleaned(compatible[-1].rpartition(",")[2]) if compatible else None
    return (
        props.get("ro.soc.model")
        or text_of(files, f"{_SOC}/soc_id")
        or (tree.upper() if tree else None)
        or props.get("ro.board.platform")
        or info.get(None, "Hardware")
        or info.get(None, "system type")
        or info.get(None, "model name")
    )


def _features(info: CpuInfo, hello: Hello) -> tuple[str, ...]:
    own = next(iter(info.each.values()), {}) | info.common
    listed = next((own[key] for key in ("flags", "Features", "ASEs implemented") if own.get(key)), "")
    return tuple(sorted({*listed.split()} or {*hello.features}))


def _os(files: Files) -> str:
    text = files.get("/etc/os-release") or files.get("/usr/lib/os-release") or ""
    for key in ("PRETTY_NAME", "NAME"):
        if match := re.search(rf"^{key}=(['\"]?)(.*?)\1\s*$", text, re.MULTILINE):
            return cleaned(match[2]) or "Linux"
    return "Linux"


def _libc(text: str) -> str | None:
    if match := re.search(r"\bmusl\b.*(?:\n\s*Version (\d[\w.]*))?", text):
        return f"musl {match[1]}" if match[1] else "musl"
    match = re.search(r"(?:glibc|GLIBC|GNU libc).*?(\d+\.\d+(?:\.\d+)?)\s*$", text, re.MULTILINE)
    return f"glibc {match[1]}" if match else None


def _python(text: str) -> str | None:
    match = re.match(r"\s*Python (\d+\.\d+\.\d+\S*)", text)
    return cleaned(match[1]) if match else None
