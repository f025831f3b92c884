"""What to measure on a device: types from its CPU flags, working sets from its caches."""

from __future__ import annotations

from collections.abc import Iterable

from leadline.core.errors import BadInput
from leadline.core.text import printable
from leadline.core.units import format_bytes, format_cpu_list
from leadline.records.device import Cache, Profile
from leadline.records.roofline import KernelType, MemoryLevel, PlannedLevel, SweepPlan
from leadline.records.trial import RunConfig

INTENSITIES = tuple(2.0**power for power in range(-4, 7))  # 1/16 … 64 operations per byte

_TRIES = 5  # the best of five is what a roof is made from, and a repeat finds it again: docs/roofline.md
_SECONDS_AT_MOST = 20.0

_CACHE_LEVELS: tuple[MemoryLevel, ...] = ("L1", "L2", "L3")
_SHARE_USED = 2  # a working set takes a half of its thread's share, to leave room for stack, code and neighbours
_BEYOND_LEVEL_BELOW = 1.5  # a set this much larger than the faster cache's share can hardly be served by that cache

_DRAM_OVER_CACHE = 4  # times the last-level cache, so that at most a quarter of a pass could be served by it
_DRAM_LEAST = 32 * 2**20  # of all threads: also beyond the system-level caches of phones, which no kernel shows
_DRAM_MOST = 512 * 2**20
_MEMORY_PART = 8  # of the device's memory at most an eighth, so that nothing is swapped out or killed

_UNKNOWN_L1 = 16 * 2**10  # if no cache is known: every CPU that runs Linux has this much
_UNKNOWN_MEMORY = 256 * 2**20

# A pass over a working set is the shortest measurement. These many operations take a fast CPU 10 ms, a slow one half a
# second; where there are no vector instructions, or floating point is done in software, far fewer must do.
_OPERATIONS_PER_PASS = 2.0**28
_OPERATIONS_PER_PASS_SLOW = 2.0**23
_SLOW_ABIS = frozenset({"mipsel", "armv6"})

_FLOAT16_FLAGS = {"aarch64": {"asimdhp"}, "x86_64": {"avx512_fp16"}}
_INT8_FLAGS = {"aarch64": {"asimddp", "i8mm"}, "x86_64": {"avx512_vnni", "avx_vnni"}}


def plan_sweep(profile: Profile, config: RunConfig) -> SweepPlan:
    """The sweep for one run configuration on one device.

    Levels that cannot be told apart (a thread's share of L3 no larger than its L2), or that are not known, are left
    out, with a note.

    Raises: BadInput if the configuration asks for CPUs that are not there, or for more threads than CPUs, or if no
        level is left.
    """
    cpus = _used_cpus(profile, config)
    bound = min(_DRAM_MOST, (profile.memory_bytes or _UNKNOWN_MEMORY) // _MEMORY_PART)
    levels, notes = _cache_levels(profile, cpus, config.threads, bound)
    dram, dram_notes = _dram(profile, cpus, config.threads, bound)
    most = _OPERATIONS_PER_PASS_SLOW if profile.abi in _SLOW_ABIS else _OPERATIONS_PER_PASS
    if dram:
        levels.append(("DRAM", dram))
    if not levels:
        raise BadInput(
            f"{_device(profile)}: nothing can be measured with its caches and memory "
            f"({'; '.join([*notes, *dram_notes])}); probe the device again, or choose other CPUs"
        )
    return SweepPlan(
        dtypes=_dtypes(profile),
        levels=tuple(
            PlannedLevel(level=level, working_set_bytes=size, most_intensity=_most_intensity(size, most))
            for level, size in levels
        ),
        intensities=INTENSITIES,
        tries=_TRIES,
        seconds_at_most=_SECONDS_AT_MOST,
        notes=(*notes, *dram_notes),
    )


def _used_cpus(profile: Profile, config: RunConfig) -> tuple[int, ...]:
    """The CPUs that threads may run on. Raises: BadInput."""
    here = f"{_device(profile)}: CPUs {format_cpu_list(profile.cpus) or 'none'} can be used"
    cpus = profile.cpus if config.cpus is None else config.cpus
    if absent := [cpu for cpu in cpus if cpu not in profile.cpus]:
        offline = [cpu for cpu in absent if cpu in profile.offline_cpus]
        what = "offline" if len(offline) == len(absent) else "not there"
        raise BadInput(f"{here}, CPUs {format_cpu_list(absent)} are {what}; choose others, or probe the device again")
    if not 1 <= config.threads <= len(set(cpus)):
        raise BadInput(
            f"{here}, of which the sweep may use {len(set(cpus))}, but {config.threads} threads are asked for; "
            "a roof needs a CPU for each thread, and one thread at least"
        )
    return tuple(sorted(set(cpus)))


def _device(profile: Profile) -> str:
    return printable(profile.model or profile.serial)


def _dtypes(profile: Profile) -> tuple[KernelType, ...]:
    flags = set(profile.features)
    float16: tuple[KernelType, ...] = ("float16",) if flags & _FLOAT16_FLAGS.get(profile.abi, set()) else ()
    int8: tuple[KernelType, ...] = ("int8",) if flags & _INT8_FLAGS.get(profile.abi, set()) else ()
    return ("float32", *float16, *int8)


def _cache_levels(
    profile: Profile, cpus: tuple[int, ...], threads: int, bound: int
) -> tuple[list[tuple[MemoryLevel, int]], list[str]]:
    """Cache levels with the working set of each thread, bytes, from the fastest; and notes on what is not as usual.

    Args: bound: bytes that may be used of the memory, by all threads together.
    """
    if not _data_caches(profile.caches, cpus):
        assumed = format_bytes(_UNKNOWN_L1)
        return [("L1", _UNKNOWN_L1 // _SHARE_USED)], [f"caches unknown: L1 taken as {assumed}, L2 and L3 left out"]
    levels: list[tuple[MemoryLevel, int]] = []
    notes: list[str] = []
    below = 0
    for number, level in enumerate(_CACHE_LEVELS, start=1):
        caches = [cache for cache in _data_caches(profile.caches, cpus) if cache.level == number]
        if not caches:
            continue
        if bare := set(cpus) - {cpu for cache in caches for cpu in cache.cpus}:
            notes.append(f"{level} left out: not known of CPUs {format_cpu_list(bare)}")
            continue
        share = min(cache.size_bytes // _sharers(cache, cpus, threads) for cache in caches)
        if share // _SHARE_USED < _BEYOND_LEVEL_BELOW * below:
            notes.append(
                f"{level} left out: a thread's share of {format_bytes(share)} is too close to the faster cache's "
                f"{format_bytes(below)} to tell them apart"
            )
            continue
        if share // _SHARE_USED * threads > bound:
            notes.append(
                f"{level} left out: {threads} working sets of {format_bytes(share // _SHARE_USED)} are more than the "
                f"{format_bytes(bound)} that may be used of the memory"
            )
            continue
        levels.append((level, _whole_pages(share // _SHARE_USED)))
        below = share
    return levels, notes


def _dram(profile: Profile, cpus: tuple[int, ...], threads: int, bound: int) -> tuple[int | None, list[str]]:
    """The working set of each thread, bytes, that no cache can hold; None if the memory is too small for one."""
    caches = _data_caches(profile.caches, cpus)
    held = max(
        (sum(c.size_bytes for c in caches if c.level == level) for level in {c.level for c in caches}), default=0
    )
    total = min(max(_DRAM_LEAST, _DRAM_OVER_CACHE * held), bound)
    if total <= held:
        return None, [f"DRAM left out: the caches hold all of the {format_bytes(total)} that may be used of the memory"]
    notes = []
    if profile.memory_bytes is None:
        notes.append(f"memory unknown: {format_bytes(total)} of it are used")
    if total < _DRAM_OVER_CACHE * held:
        notes.append(
            f"DRAM: its working set of {format_bytes(total)} is only {total / held:.1f} times the last-level cache, "
            "which may serve a part of it"
        )
    return _whole_pages(total // threads), notes


def _data_caches(caches: Iterable[Cache], cpus: tuple[int, ...]) -> list[Cache]:
    """Those that hold data and serve one of `cpus`."""
    return [cache for cache in caches if cache.kind != "instruction" and set(cache.cpus) & set(cpus)]


def _sharers(cache: Cache, cpus: tuple[int, ...], threads: int) -> int:
    """How many threads at most share `cache`, wherever on `cpus` the threads are put."""
    return min(threads, len(set(cache.cpus) & set(cpus)))


def _whole_pages(size: int) -> int:
    return size // 4096 * 4096 if size >= 4096 else size


def _most_intensity(size: int, operations: float) -> float:
    """The highest of the planned intensities at which a pass over `size` bytes stays below `operations`."""
    return max((i for i in INTENSITIES if i * size <= operations), default=INTENSITIES[0])
