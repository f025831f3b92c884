"""Which files tell the conditions, and what they say."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from leadline.device.conditions import read_conditions, watch_paths
from leadline.records.device import Cluster, Profile, Sensor

CPU = "/sys/devices/system/cpu"
ZONE = "/sys/class/thermal/thermal_zone0/temp"
BATTERY = "/sys/class/power_supply/battery"
USB = "/sys/class/power_supply/usb"


def cluster(name: str, *cpus: int, max_khz: int | None = 2_000_000) -> Cluster:
    return Cluster(name=name, cpus=cpus, core=None, capacity=None, min_khz=None, max_khz=max_khz, governor=None)


PHONE = Profile(
    serial="S",
    taken_at=datetime(2026, 1, 1, tzinfo=UTC),
    model="Pixel 6",
    soc=None,
    abi="aarch64",
    features=(),
    os="Android 14",
    os_kind="android",
    kernel=None,
    libc="bionic",
    clusters=(cluster("little", 0, 1, 2, 3), cluster("big", 4, 5)),
    offline_cpus=(),
    caches=(),
    memory_bytes=None,
    thermal=(Sensor(name="BIG", path=ZONE),),
    power=(Sensor(name="battery", path=BATTERY), Sensor(name="usb", path=USB)),
    root=False,
    python=None,
    emulated=None,
    agent_version="x",
)


def but(profile: Profile, **changes: object) -> Profile:
    return msgspec.structs.replace(profile, **changes)


def test_one_cpu_speaks_for_its_cluster() -> None:
    watched = watch_paths(PHONE)
    assert [p for p in watched if p.endswith("scaling_cur_freq")] == [
        f"{CPU}/cpu0/cpufreq/scaling_cur_freq",
        f"{CPU}/cpu4/cpufreq/scaling_cur_freq",
    ]
    assert {"/proc/loadavg", "/proc/meminfo", ZONE, f"{BATTERY}/capacity", f"{USB}/online"} <= set(watched)


def test_x86_cpus_each_have_their_own_frequency_and_few_are_asked() -> None:
    server = but(PHONE, abi="x86_64", clusters=(cluster("all", *range(128)),))
    assert len([p for p in watch_paths(server) if p.endswith("scaling_cur_freq")]) == 16


def test_no_frequencies_are_watched_where_there_is_no_cpufreq() -> None:
    machine = but(PHONE, clusters=(cluster("all", 0, 1, max_khz=None),))
    assert not [p for p in watch_paths(machine) if "cpufreq" in p]


def test_of_many_thermal_zones_the_telling_ones_are_watched() -> None:
    zones = tuple(Sensor(name=f"pa-{n}", path=f"/zone{n}") for n in range(60))
    phone = but(PHONE, thermal=(*zones, Sensor(name="cpu-1-7", path="/cpu")))
    watched = [p for p in watch_paths(phone) if p.startswith(("/zone", "/cpu"))]
    assert len(watched) == 16
    assert watched[0] == "/cpu"


def test_conditions_are_what_the_files_say() -> None:
    files = {
        "/proc/loadavg": "1.25 0.80 0.40 2/300 999\n",
        "/proc/meminfo": "MemTotal: 8000 kB\nMemAvailable:    4000 kB\n",
        ZONE: "41500\n",
        f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "1803000\n",
        f"{CPU}/cpu0/cpufreq/scaling_max_freq": "2000000\n",
        f"{BATTERY}/type": "Battery\n",
        f"{BATTERY}/capacity": "81\n",
        f"{BATTERY}/status": "Charging\n",
        f"{USB}/type": "USB\n",
        f"{USB}/online": "1\n",
    }
    conditions = read_conditions(files, PHONE)
    assert conditions.temps_c == {"BIG": 41.5}
    assert conditions.freqs_khz == {0: 1_803_000}
    assert (conditions.battery_percent, conditions.power_source) == (81.0, "usb")
    assert (conditions.load_1min, conditions.memory_available_bytes) == (1.25, 4000 * 1024)
    assert conditions.throttled is False


def test_what_the_device_does_not_tell_is_unknown() -> None:
    conditions = read_conditions({}, PHONE)
    assert (conditions.temps_c, conditions.freqs_khz) == ({}, {})
    assert {getattr(conditions, f) for f in conditions.__struct_fields__[2:]} == {None}


@pytest.mark.parametrize("garbage", ["", "nan", "inf", "-274000", "1e999", "\x1b[31m", "9" * 400, "-1"])
def test_garbage_is_unknown(garbage: str) -> None:
    conditions = read_conditions(dict.fromkeys(watch_paths(PHONE), garbage), PHONE)
    assert conditions == read_conditions({}, PHONE)


@pytest.mark.parametrize(
    ("supplies", "source"),
    [
        ({f"{BATTERY}/status": "Discharging", f"{USB}/online": "0"}, "battery"),
        ({f"{BATTERY}/status": "Not charging", f"{USB}/online": "1"}, "usb"),
        ({f"{BATTERY}/status": "Discharging", f"{USB}/online": "1"}, "usb"),
        ({f"{BATTERY}/status": "Full", f"{USB}/type": "Mains", f"{USB}/online": "1"}, "mains"),
        ({f"{BATTERY}/status": "Full"}, None),
    ],
)
def test_the_power_source_is_the_charger_that_is_online_else_a_discharging_battery(
    supplies: dict[str, str], source: str | None
) -> None:
    files = {f"{BATTERY}/type": "Battery", f"{USB}/type": "USB_PD"} | supplies
    assert read_conditions(files, PHONE).power_source == source


def test_a_lowered_frequency_limit_is_throttling() -> None:
    assert read_conditions({f"{CPU}/cpu4/cpufreq/scaling_max_freq": "1500000"}, PHONE).throttled is True


@pytest.mark.parametrize(("flags", "throttled"), [("0", False), ("50000", False), ("0x50005", True), ("zzz", None)])
def test_a_raspberry_pi_says_itself_whether_it_throttles_now(flags: str, throttled: bool | None) -> None:
    pi = but(PHONE, model="Raspberry Pi 4 Model B Rev 1.4")
    path = next(p for p in watch_paths(pi) if p.endswith("get_throttled"))
    assert read_conditions({path: flags}, pi).throttled is throttled


def test_zones_in_whole_degrees_are_understood() -> None:
    assert read_conditions({ZONE: "42"}, PHONE).temps_c == {"BIG": 42.0}
