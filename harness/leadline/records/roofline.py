"""What micro-kernels measured on a device: points under its roofs."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from leadline.records.trial import RunConfig

KernelType = Literal["float32", "float16", "int8"]
MemoryLevel = Literal["L1", "L2", "L3", "DRAM"]


class KernelPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One micro-kernel over one working set. Operations are FLOP for floating point, and for int8 what a dot product
    counts: a multiplication and an addition each."""

    dtype: KernelType
    isa: str  # the instructions used: "avx512f", "avx2+fma", "neon", "dotprod", "c" …
    level: MemoryLevel  # where the working set fits
    working_set_bytes: int  # of all threads together
    intensity: float  # operations per byte moved, > 0
    gops: tuple[float, ...]  # 1e9 operations/s of every try, all threads together, > 0
    correct: bool  # the kernel's result was what it must be

    @property
    def best_gops(self) -> float:
        return max(self.gops)

    @property
    def best_gbytes(self) -> float:
        """1e9 bytes/s."""
        return self.best_gops / self.intensity


class PlannedLevel(msgspec.Struct, frozen=True, kw_only=True):
    """A memory level to measure, and how."""

    level: MemoryLevel
    working_set_bytes: int  # of each thread
    most_intensity: float  # operations per byte beyond which a pass over the working set would take too long


class SweepPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep measures: every type at every level at every intensity up to the level's `most_intensity`."""

    dtypes: tuple[KernelType, ...]
    levels: tuple[PlannedLevel, ...]  # from the fastest to DRAM
    intensities: tuple[float, ...]  # operations per byte, rising; a kernel takes the nearest that it can make
    tries: int  # of each point
    seconds_at_most: float  # of the whole sweep on the device
    notes: tuple[str, ...]  # what the plan had to assume: "caches unknown: …"


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """All points of one run configuration on one device, measured in one go."""

    id: str  # UUID, hex
    serial: str  # the device's
    taken_at: datetime
    config: RunConfig  # threads and CPUs; `cluster` by name if it was one
    beside: tuple[str, ...]  # clusters that were kept busy with DRAM traffic meanwhile, for Gables; () alone
    points: tuple[KernelPoint, ...]
    agent_version: str
    emulated: str | None  # why speeds mean nothing; None: real hardware
    warnings: tuple[str, ...]  # "CPU 5 went offline", …
