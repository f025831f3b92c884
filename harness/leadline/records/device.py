"""What is known of a device: where it is (`DeviceEntry`), what it is (`Profile`), what surrounds it (`Conditions`)."""

from __future__ import annotations

from datetime import datetime

import msgspec


class DeviceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One device of lab.toml: a name, and how to reach it."""

    name: str
    uri: str  # local: · ssh://user@host:port · adb:SERIAL · adb://server:port/SERIAL
    serial: str  # what identifies the unit, whatever port it hangs on
    tags: tuple[str, ...] = ()
    directory: str | None = None  # work folder on the device; None: the transport's default
    cache_bytes: int = 2 * 2**30  # budget of the content-addressed cache on the device


class Cache(msgspec.Struct, frozen=True, kw_only=True):
    level: int  # 1, 2, 3 …
    kind: str  # "data" | "instruction" | "unified"
    size_bytes: int
    line_bytes: int | None
    cpus: tuple[int, ...]  # the CPUs that share it


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """CPUs that share a frequency domain; an *IP* in the Gables sense."""

    name: str  # "all" if there is one; else "little" … "mid" … "big" by rising capacity
    cpus: tuple[int, ...]
    core: str | None  # "Cortex-A55", None: unknown
    capacity: int | None  # the kernel's cpu_capacity: the fastest core of the device has 1024
    min_khz: int | None
    max_khz: int | None
    governor: str | None


class Sensor(msgspec.Struct, frozen=True, kw_only=True):
    name: str  # as the kernel names it: "cpu-thermal", "battery"
    path: str  # the file that holds the reading


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What a probe found on a device. None: not known."""

    serial: str
    taken_at: datetime
    model: str | None  # "Raspberry Pi 4 Model B Rev 1.4"
    soc: str | None  # "BCM2711", "Tensor G2"
    abi: str  # x86_64 · aarch64 · armv7 · armv6 · mipsel · riscv64
    features: tuple[str, ...]  # the kernel's CPU flags, sorted
    os: str  # "Debian GNU/Linux 12 (bookworm)", "Android 14"
    os_kind: str  # "linux" | "android"
    kernel: str | None
    libc: str | None  # "glibc 2.36", "musl", "bionic"
    clusters: tuple[Cluster, ...]  # of the CPUs that are online and that we may use
    offline_cpus: tuple[int, ...]
    caches: tuple[Cache, ...]
    memory_bytes: int | None
    thermal: tuple[Sensor, ...]  # millidegrees Celsius
    power: tuple[Sensor, ...]  # /sys/class/power_supply entries; path is the supply's folder
    root: bool  # may set governors and frequencies
    python: str | None  # "3.11.2" if the device has a python3
    emulated: str | None  # why latencies of this device mean nothing; None: real hardware
    agent_version: str

    @property
    def cpus(self) -> tuple[int, ...]:
        return tuple(sorted(cpu for cluster in self.clusters for cpu in cluster.cpus))


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What surrounded a block of samples. None and missing keys: the device does not tell."""

    temps_c: dict[str, float]  # by sensor name
    freqs_khz: dict[int, int]  # by CPU
    battery_percent: float | None
    power_source: str | None  # "battery" | "mains" | "usb"
    load_1min: float | None
    memory_available_bytes: int | None
    throttled: bool | None
