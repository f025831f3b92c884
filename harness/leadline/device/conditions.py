"""What surrounds a block of samples: which files to watch, and what they mean."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from leadline.device.sensors import celsius
from leadline.device.texts import Files, number, number_of, text_of
from leadline.records.device import Cluster, Conditions, Profile
from leadline.records.trial import Watched

_CPU = "/sys/devices/system/cpu"
_PI_THROTTLED = "/sys/devices/platform/soc/soc:firmware/get_throttled"
_MOST_SENSORS = 16  # phones have up to a hundred zones, some of which ask a modem and take milliseconds to answer
_MOST_X86_CPUS = 16  # asking an idle x86 CPU for its frequency wakes it
_TELLING = re.compile(r"cpu|soc|pkg|cluster|big|mid|lit|apc|core|k10|skin|shell|quiet|batt|gpu|xo|ddr", re.IGNORECASE)
_THROTTLED_NOW = 0b1111  # under-voltage, frequency capped, throttled, soft temperature limit


def watch_paths(profile: Profile) -> tuple[str, ...]:
    """The files that tell a device's conditions, few enough to be read after every block."""
    temps = sorted(profile.thermal, key=lambda sensor: _TELLING.search(sensor.name) is None)[:_MOST_SENSORS]
    raspberry = (_PI_THROTTLED,) if "raspberry pi" in (profile.model or "").lower() else ()
    return (
        "/proc/loadavg",
        "/proc/meminfo",
        *(sensor.path for sensor in temps),
        *(
            f"{_CPU}/cpu{cpu}/cpufreq/scaling_{which}_freq"
            for cluster in profile.clusters
            if cluster.max_khz  # else there is no cpufreq
            for cpu in _own_frequency(cluster, profile)
            for which in ("cur", "max")
        ),
        *(f"{supply.path}/{key}" for supply in profile.power for key in ("type", "online", "status", "capacity")),
        *raspberry,
    )


def read_conditions(files: Watched, profile: Profile) -> Conditions:
    """What the watched files say. A file that is missing or makes no sense leaves its field None or its key out."""
    temps = {sensor.name: celsius(files.get(sensor.path)) for sensor in profile.thermal}
    freqs = {cpu: _khz(files, cpu, "cur") for cluster in profile.clusters for cpu in _own_frequency(cluster, profile)}
    return Conditions(
        temps_c={name: temp for name, temp in temps.items() if temp is not None},
        freqs_khz={cpu: khz for cpu, khz in freqs.items() if khz is not None},
        battery_percent=_battery_percent(files, profile),
        power_source=_power_source(files, profile),
        load_1min=_load(files.get("/proc/loadavg", "")),
        memory_available_bytes=memory_bytes(files, "MemAvailable"),
        throttled=_throttled(files, profile),
    )


def memory_bytes(files: Files, key: str) -> int | None:
    """One line of /proc/meminfo, in bytes."""
    match = re.search(rf"^{key}:\s+(\d{{1,15}}) kB$", files.get("/proc/meminfo", ""), re.MULTILINE | re.ASCII)
    return int(match[1]) * 1024 or None if match else None


def _own_frequency(cluster: Cluster, profile: Profile) -> tuple[int, ...]:
    """One CPU speaks for its cluster; x86 CPUs each for themselves."""
    return cluster.cpus[:_MOST_X86_CPUS] if profile.abi == "x86_64" else cluster.cpus[:1]


def _khz(files: Files, cpu: int, which: str) -> int | None:
    return number_of(files, f"{_CPU}/cpu{cpu}/cpufreq/scaling_{which}_freq", low=1_000, high=20_000_000)


def _battery_percent(files: Files, profile: Profile) -> float | None:
    percents = (
        number_of(files, f"{supply.path}/capacity", low=0, high=100)
        for supply in profile.power
        if text_of(files, f"{supply.path}/type") == "Battery"
    )
    return next((float(percent) for percent in percents if percent is not None), None)


def _power_source(files: Files, profile: Profile) -> str | None:
    """Chargers say whether they are online; a discharging battery says that none is."""
    kinds = {supply.path: text_of(files, f"{supply.path}/type") or "" for supply in profile.power}
    online = [kind for path, kind in kinds.items() if number(files.get(f"{path}/online"), low=1, high=2)]
    if "Mains" in online:
        return "mains"
    if any(kind.startswith(("USB", "Wireless")) for kind in online):
        return "usb"
    states = {text_of(files, f"{path}/status") for path, kind in kinds.items() if kind == "Battery"}
    return "battery" if "Discharging" in states else None


def _throttled(files: Files, profile: Profile) -> bool | None:
    """Whether the device is held below its top speed now: by its firmware (Raspberry Pi), or by a lowered frequency
    limit, which is how thermal governors slow a cluster down. None: it does not tell."""
    signs = list(_limits(files, profile))
    flags = re.fullmatch(r"(?:0x)?([0-9a-fA-F]{1,8})", files.get(_PI_THROTTLED, "").strip())
    if flags:
        signs.append(int(flags[1], 16) & _THROTTLED_NOW != 0)
    return any(signs) if signs else None


def _limits(files: Files, profile: Profile) -> Iterable[bool]:
    for cluster in profile.clusters:
        limits = [limit for cpu in _own_frequency(cluster, profile) if (limit := _khz(files, cpu, "max"))]
        if limits and cluster.max_khz:
            yield max(limits) < cluster.max_khz


def _load(text: str) -> float | None:
    try:
        load = float(text.split()[0])
    except (IndexError, ValueError):
        return None
    return load if math.isfinite(load) and 0 <= load < 1e6 else None
