"""Thermal zones and power supplies."""

from __future__ import annotations

from collections import Counter

from leadline.device.texts import Files, cleaned, matching, number, text_of
from leadline.records.device import Sensor

_ZONE = "/sys/class/thermal/thermal_zone"
_HWMON = "/sys/class/hwmon/hwmon"
_SUPPLY = "/sys/class/power_supply"

SENSOR_PATHS = (
    f"{_ZONE}*/type",
    f"{_ZONE}*/temp",
    f"{_HWMON}*/name",
    f"{_HWMON}*/temp1_input",
    f"{_SUPPLY}/*/type",
    f"{_SUPPLY}/*/scope",
)

_CPU_CHIPS = {"coretemp", "k10temp", "zenpower"}  # x86 CPUs that may have no thermal zone


def find_thermal(files: Files) -> tuple[Sensor, ...]:
    """Every zone that gives a believable temperature now; CPU sensors of hwmon if there is no zone.

    Zones of the same type are told apart by their number: names are keys in `Conditions.temps_c`.
    """
    zones = [
        (text_of(files, f"{_ZONE}{n}/type") or f"thermal_zone{n}", path, n)
        for n, path, text in matching(files, rf"{_ZONE}(\d+)/temp")
        if celsius(text) is not None
    ] or [
        (name, path, n)
        for n, path, text in matching(files, rf"{_HWMON}(\d+)/temp1_input")
        if (name := text_of(files, f"{_HWMON}{n}/name")) in _CPU_CHIPS and celsius(text) is not None
    ]
    doubled = Counter(name for name, _, _ in zones)
    return tuple(Sensor(name=name if doubled[name] == 1 else f"{name}#{n}", path=path) for name, path, n in zones)


def find_power(files: Files) -> tuple[Sensor, ...]:
    """The supplies of the device itself, without the batteries of mice and headsets (scope "Device")."""
    return tuple(
        Sensor(name=cleaned(name) or "supply", path=path.removesuffix("/type"))
        for name, path, _ in matching(files, rf"{_SUPPLY}/([^/]+)/type")
        if (text_of(files, f"{_SUPPLY}/{name}/scope") or "System") != "Device"
    )


def celsius(raw: str | None) -> float | None:
    """A zone's text in °C; None for what cannot be: −40 to 150 °C can, but 0 and −1 are what switched-off sensors say.

    The kernel promises millidegrees; some vendors' zones give whole degrees, told by numbers up to 150.
    """
    value = number(raw, low=-40_000, high=150_000)
    if value is None or -150 <= value <= 0:
        return None
    return float(value) if 0 < value <= 150 else value / 1000
