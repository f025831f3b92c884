"""Sweeps of devices whose roofs are known."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from leadline.records.roofline import KernelPoint, MemoryLevel, Sweep
from leadline.records.trial import RunConfig

GBYTES: Mapping[MemoryLevel, float] = {"L1": 80.0, "L2": 40.0, "DRAM": 5.0}


def kernel(**changes: Any) -> KernelPoint:
    point = KernelPoint(
        dtype="float32", isa="neon", level="L1", working_set_bytes=16_384, intensity=1.0, gops=(10.0,), correct=True
    )
    return msgspec.structs.replace(point, **changes)


def sweep_of(
    *,
    peak_gops: float = 48.0,
    gbytes: Mapping[MemoryLevel, float] = GBYTES,
    tries: int = 5,
    noise: float = 0.0,
    seed: int = 0,
    **changes: Any,
) -> Sweep:
    """Every try lies under the true roofs by an exponential slowdown of mean `noise`."""
    rng = np.random.default_rng(seed)
    points = tuple(
        kernel(
            level=level,
            intensity=intensity,
            gops=tuple((min(peak_gops, wide * intensity) / (1.0 + noise * rng.exponential(size=tries))).tolist()),
        )
        for level, wide in gbytes.items()
        for intensity in (2.0**power for power in range(-4, 7))
    )
    sweep = Sweep(
        id="5eed" * 8,
        serial="pi",
        taken_at=datetime(2026, 11, 22, 8, 30, tzinfo=UTC),
        config=RunConfig(threads=1, cpus=(0,), cluster="all"),
        beside=(),
        points=points,
        agent_version="0.1.0",
        emulated=None,
        warnings=(),
    )
    return msgspec.structs.replace(sweep, **changes)
