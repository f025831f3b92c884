"""CPUs, clusters and caches out of /proc/cpuinfo and /sys/devices/system/cpu."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Hashable

import msgspec

from leadline.device.cores import arm_core, split_midr
from leadline.device.texts import Files, cleaned, cpus_of, matching, number, number_of, text_of
from leadline.records.device import Cache, Cluster

_CPU = "/sys/devices/system/cpu"

CPU_PATHS = (
    "/proc/cpuinfo",
    f"{_CPU}/online",
    f"{_CPU}/present",
    "/sys/devices/cpu_core/cpus",  # the two kinds of core of a hybrid x86
    "/sys/devices/cpu_atom/cpus",
    f"{_CPU}/cpu[0-9]*/cpu_capacity",
    f"{_CPU}/cpu[0-9]*/regs/identification/midr_el1",
    f"{_CPU}/cpufreq/policy*/related_cpus",
    f"{_CPU}/cpufreq/policy*/cpuinfo_min_freq",
    f"{_CPU}/cpufreq/policy*/cpuinfo_max_freq",
    f"{_CPU}/cpufreq/policy*/scaling_governor",
    f"{_CPU}/cpu[0-9]*/cpufreq/related_cpus",  # kernels before 4.3 have no policy folders
    f"{_CPU}/cpu[0-9]*/cpufreq/cpuinfo_min_freq",
    f"{_CPU}/cpu[0-9]*/cpufreq/cpuinfo_max_freq",
    f"{_CPU}/cpu[0-9]*/cpufreq/scaling_governor",
    f"{_CPU}/cpu[0-9]*/cache/index*/level",
    f"{_CPU}/cpu[0-9]*/cache/index*/type",
    f"{_CPU}/cpu[0-9]*/cache/index*/size",
    f"{_CPU}/cpu[0-9]*/cache/index*/coherency_line_size",
    f"{_CPU}/cpu[0-9]*/cache/index*/shared_cpu_list",
)

_KHZ = {"low": 1_000, "high": 20_000_000}


class CpuInfo(msgspec.Struct, frozen=True):
    """/proc/cpuinfo: what it says of each CPU, and what it says once for all."""

    each: dict[int, dict[str, str]]
    common: dict[str, str]

    def get(self, cpu: int | None, key: str) -> str | None:
        """Of CPU `cpu` (None: of any), else of all."""
        own = self.each.get(cpu, {}) if cpu is not None else next(iter(self.each.values()), {})
        return cleaned(own.get(key)) or cleaned(self.common.get(key))


def parse_cpuinfo(text: str) -> CpuInfo:
    """Every architecture writes `processor : N` at the head of a CPU's lines; what stands before the first, or after
    a blank line without such a head, is said of all."""
    each: dict[int, dict[str, str]] = {}
    common: dict[str, str] = {}
    here = common
    for line in text.splitlines():
        key, colon, value = (part.strip() for part in line.partition(":"))
        if not line.strip():
            here = common
        elif key == "processor" and (cpu := number(value, low=0, high=4095)) is not None:
            here = each.setdefault(cpu, {})
        elif colon:
            here.setdefault(key, value)
    return CpuInfo(each, common)


def online_cpus(files: Files, info: CpuInfo) -> tuple[int, ...]:
    return cpus_of(files, f"{_CPU}/online") or tuple(sorted(info.each))


def offline_cpus(files: Files) -> tuple[int, ...]:
    present = cpus_of(files, f"{_CPU}/present") or ()
    return tuple(sorted({*present} - {*(cpus_of(files, f"{_CPU}/online") or present)}))


def core_name(files: Files, info: CpuInfo, cpu: int) -> str | None:
    """``Cortex-A72``, ``AMD EPYC``, ``MIPS 24Kc V5.5``; None if the kernel does not tell."""
    midr = text_of(files, f"{_CPU}/cpu{cpu}/regs/identification/midr_el1")
    if midr and re.fullmatch(r"0x[0-9a-fA-F]{1,16}", midr):
        return arm_core(*split_midr(int(midr, 16)))
    implementer, part = info.get(cpu, "CPU implementer"), info.get(cpu, "CPU part")
    if implementer and part and all(re.fullmatch(r"0x[0-9a-fA-F]{1,4}", t) for t in (implementer, part)):
        return arm_core(int(implementer, 16), int(part, 16))
    return info.get(cpu, "model name") or info.get(cpu, "cpu model") or info.get(cpu, "uarch")


def find_clusters(files: Files, info: CpuInfo, usable: Collection[int]) -> tuple[Cluster, ...]:
    """The clusters that hold a usable CPU, slowest first, with their usable CPUs.

    CPUs of one frequency domain are a cluster. Where every CPU has a domain of its own (servers), or where there is no
    cpufreq (virtual machines), CPUs that cannot be told apart by core, capacity and frequencies are one; on x86, CPUs
    of one kind of core, since favoured cores differ in nothing but their top frequency.
    Names are given before CPUs are left out, so that `big` means the same whatever a process may use.
    """
    online = sorted({*online_cpus(files, info), *usable})
    folders = {cpu: f"{_CPU}/cpu{cpu}/cpufreq" for cpu in online} | _policies(files)
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for cpu in online:
        groups[_group(files, info, cpu, folders[cpu])].append(cpu)
    clusters = sorted(
        (_cluster(files, info, tuple(cpus), [folders[cpu] for cpu in cpus]) for cpus in groups.values()),
        key=lambda c: (c.capacity or 0, c.max_khz or 0, c.cpus),
    )
    named = zip(_names(len(clusters)), clusters, strict=True)
    kept = ((name, cluster, tuple(cpu for cpu in cluster.cpus if cpu in usable)) for name, cluster in named)
    return tuple(msgspec.structs.replace(cluster, name=name, cpus=cpus) for name, cluster, cpus in kept if cpus)


def find_caches(files: Files, usable: Collection[int]) -> tuple[Cache, ...]:
    """Every data, instruction and unified cache that a usable CPU has, once, by level."""
    found: dict[tuple[int, str, tuple[int, ...]], Cache] = {}
    for index, path, text in matching(files, rf"{_CPU}/(cpu\d+/cache/index\d+)/size"):
        folder = path.removesuffix("/size")
        cpu = int(index.partition("/")[0].removeprefix("cpu"))
        level = number_of(files, f"{folder}/level", low=1, high=9)
        kind = (text_of(files, f"{folder}/type") or "").lower()
        size = _cache_bytes(text)
        shared = cpus_of(files, f"{folder}/shared_cpu_list") or (cpu,)
        cpus = tuple(c for c in shared if c in usable)
        if cpu in usable and level and size and kind in ("data", "instruction", "unified"):
            line = number_of(files, f"{folder}/coherency_line_size", low=1, high=4096)
            found[level, kind, cpus] = Cache(level=level, kind=kind, size_bytes=size, line_bytes=line, cpus=cpus)
    return tuple(found[key] for key in sorted(found))


def _group(files: Files, info: CpuInfo, cpu: int, folder: str) -> Hashable:
    if info.get(cpu, "vendor_id") is not None:  # only x86 writes it
        kinds = ("core", "atom")
        return next((k for k in kinds if cpu in (cpus_of(files, f"/sys/devices/cpu_{k}/cpus") or ())), "x86")
    domain = cpus_of(files, f"{folder}/related_cpus") or ()
    if len(domain) > 1:
        return "domain", domain
    frequencies = (_khz(files, folder, "min"), _khz(files, folder, "max"))
    return "kind", core_name(files, info, cpu), _capacity(files, cpu), frequencies


def _cluster(files: Files, info: CpuInfo, cpus: tuple[int, ...], folders: Collection[str]) -> Cluster:
    governors = {text_of(files, f"{folder}/scaling_governor") for folder in folders}
    return Cluster(
        name="",
        cpus=cpus,
        core=next((name for cpu in cpus if (name := core_name(files, info, cpu))), None),
        capacity=max((c for cpu in cpus if (c := _capacity(files, cpu))), default=None),
        min_khz=min((k for folder in folders if (k := _khz(files, folder, "min"))), default=None),
        max_khz=max((k for folder in folders if (k := _khz(files, folder, "max"))), default=None),
        governor=governors.pop() if len(governors) == 1 else None,
    )


def _names(count: int) -> list[str]:
    if count < 2:
        return ["all"] * count
    middle = ["mid"] if count == 3 else [f"mid{i}" for i in range(1, count - 1)]
    return ["little", *middle, "big"]


def _policies(files: Files) -> dict[int, str]:
    """CPU → the cpufreq policy folder that governs it."""
    policies = matching(files, rf"{_CPU}/cpufreq/policy(\d+)/related_cpus")
    return {cpu: path.removesuffix("/related_cpus") for _, path, _ in policies for cpu in cpus_of(files, path) or ()}


def _khz(files: Files, folder: str, which: str) -> int | None:
    return number_of(files, f"{folder}/cpuinfo_{which}_freq", **_KHZ)


def _capacity(files: Files, cpu: int) -> int | None:
    return number_of(files, f"{_CPU}/cpu{cpu}/cpu_capacity", low=1, high=1024)


def _cache_bytes(text: str) -> int | None:
    """``32K`` → 32768; None for zero, garbage and more than 4 GiB."""
    match = re.fullmatch(r"\s*(\d{1,9})([KM]?)\s*", text, re.ASCII)
    size = int(match[1]) * {"": 1, "K": 2**10, "M": 2**20}[match[2]] if match else 0
    return size if 0 < size <= 4 * 2**30 else None
