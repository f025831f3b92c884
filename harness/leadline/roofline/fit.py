"""The hierarchical roofline of a sweep: one roof of computation per type, one roof of bandwidth per memory level.

Model: Williams, Waterman, Patterson (2009), "Roofline: an insightful visual performance model for multicore
architectures"; one bandwidth per cache level as in Ilic, Pratas, Sousa (2014), "Cache-aware roofline model".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
import numpy as np

from leadline.core.errors import BadInput
from leadline.records.roofline import KernelPoint, KernelType, MemoryLevel, Sweep
from leadline.records.trial import RunConfig
from leadline.stats.interval import Floats, Interval

LEVELS: tuple[MemoryLevel, ...] = ("L1", "L2", "L3", "DRAM")
TYPES: tuple[KernelType, ...] = ("float32", "float16", "int8")

# How often a repeat's best may lie below the interval, where order statistics allow no smaller risk than this the
# smallest try is its end; and how far above the best the interval ends, in gaps between best and second best.
_RISK_BELOW = 0.025
_GAPS_ABOVE = 19.0

_FASTER_THAN_LEVEL_ABOVE = 1.1  # beyond noise: then a working set was not where it should have been


class LevelRoof(msgspec.Struct, frozen=True, kw_only=True):
    """The bandwidth of one memory level."""

    level: MemoryLevel
    gbytes: Interval  # 1e9 bytes/s; center: the best that was measured
    ridge: float  # operations per byte from which the computation bounds, not this level
    working_set_bytes: int  # of all threads, of the best point


class TypeRoofline(msgspec.Struct, frozen=True, kw_only=True):
    """The roofs for one type of number."""

    dtype: KernelType
    isa: str  # of the point that reached the peak
    peak_gops: Interval  # 1e9 operations/s; center: the best that was measured
    levels: tuple[LevelRoof, ...]  # from L1 to DRAM, those that were measured
    points: tuple[KernelPoint, ...]  # that the roofs were made from

    def level(self, level: MemoryLevel | None = None) -> LevelRoof:
        """One roof; None: that of the slowest level measured. Raises: BadInput if the level was not measured."""
        if level is None:
            return self.levels[-1]
        for roof in self.levels:
            if roof.level == level:
                return roof
        known = ", ".join(roof.level for roof in self.levels)
        raise BadInput(f"{self.dtype} roofline: {level} was not measured; use one of {known}")

    def attainable(self, intensity: float, level: MemoryLevel | None = None) -> float:
        """The most operations per second, 1e9, at `intensity` operations per byte moved from `level`.

        Source: Williams et al. (2009): min(peak, bandwidth × intensity).
        Raises: BadInput if intensity is not a positive number, or the level was not measured.
        """
        if not (intensity > 0 and math.isfinite(intensity)):
            raise BadInput(f"roofline: intensity {intensity!r} is not a positive number of operations per byte")
        return min(self.peak_gops.center, self.level(level).gbytes.center * intensity)


class Roofline(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep says of its device."""

    sweep_id: str
    serial: str
    taken_at: datetime
    config: RunConfig
    beside: tuple[str, ...]  # clusters kept busy with DRAM traffic meanwhile
    types: tuple[TypeRoofline, ...]
    left_out: tuple[str, ...]  # points that were not used, and why
    emulated: str | None  # why speeds mean nothing; None: real hardware
    warnings: tuple[str, ...]

    def of(self, dtype: KernelType = "float32") -> TypeRoofline:
        """Raises: BadInput if nothing of this type was measured."""
        for roofline in self.types:
            if roofline.dtype == dtype:
                return roofline
        known = ", ".join(roofline.dtype for roofline in self.types)
        raise BadInput(f"sweep {self.sweep_id[:8]}: nothing of type {dtype} was measured; use one of {known}")


def fit(sweep: Sweep) -> Roofline:
    """Fit the roofs under which all correct points lie.

    Bandwidth of a level is the best over all its intensities, since the kernels with the fewest operations are not
    always those that move bytes fastest; the peak is the best over all levels and intensities.

    Raises: BadInput if no point can be used.
    """
    reasons = [(point, _unusable(point)) for point in sweep.points]
    left_out = tuple(f"{_name(point)}: {reason}" for point, reason in reasons if reason)
    usable = [point for point, reason in reasons if not reason]
    if not usable:
        why = f", the first because {left_out[0]}" if left_out else ""
        raise BadInput(
            f"sweep {sweep.id[:8]}: none of its {len(sweep.points)} points can be used{why}; "
            "measure again: leadline roofline run"
        )
    groups = [(dtype, tuple(p for p in usable if p.dtype == dtype)) for dtype in TYPES]
    types = tuple(_type_roofline(dtype, points) for dtype, points in groups if points)
    return Roofline(
        sweep_id=sweep.id,
        serial=sweep.serial,
        taken_at=sweep.taken_at,
        config=sweep.config,
        beside=sweep.beside,
        types=types,
        left_out=left_out,
        emulated=sweep.emulated,
        warnings=(*sweep.warnings, *_inversions(types)),
    )


def interval_of_best(tries: Sequence[Sequence[float]]) -> Interval:
    """The best of all tries, with the interval in which the best of a repeat of all of them would lie (95 %).

    Below: all new tries of the best point stay under its k-th smallest old one with probability
    C(n + k − 1, n) / C(2n, n), as ranks of exchangeable values are; the largest k with at most 2.5 % is taken.
    Above: 19 gaps between the best and the second best of all, which a repeat exceeds with 2.5 % if speeds have a
    limit that they reach with positive density, and which holds that limit itself with 95 %.

    Args: tries: per point, all ≥ 0, any unit, at least one.
    Returns: [0, inf) if there was a single try, which says nothing of others.
    Source: David and Nagaraja (2003), "Order statistics", section 7.3 (below); Robson and Whitlock (1964),
        "Estimation of a truncation point" (above). Coverage is measured in tests and told in docs/roofline.md.
    """
    best = max(tries, key=max)
    pooled = np.sort(np.concatenate([np.asarray(own, np.float64) for own in tries]))
    if pooled.size < 2:
        return Interval(low=0.0, center=float(pooled[-1]), high=math.inf)
    return Interval(
        low=_low_of_best(np.sort(np.asarray(best, np.float64))),
        center=float(pooled[-1]),
        high=float(pooled[-1] + _GAPS_ABOVE * (pooled[-1] - pooled[-2])),
    )


def _low_of_best(tries: Floats) -> float:
    """Args: tries: of one point, sorted, shape (n,). Returns: 0 if n = 1."""
    n = tries.size
    if n == 1:
        return 0.0
    risks = [math.comb(n + k - 1, n) / math.comb(2 * n, n) for k in range(1, n + 1)]
    allowed = sum(risk <= _RISK_BELOW for risk in risks)
    return float(tries[max(0, allowed - 1)])


def _type_roofline(dtype: KernelType, points: tuple[KernelPoint, ...]) -> TypeRoofline:
    fastest = max(points, key=lambda point: point.best_gops)
    peak = interval_of_best([point.gops for point in points])
    groups = [(level, [point for point in points if point.level == level]) for level in LEVELS]
    levels = tuple(_level_roof(level, own, peak.center) for level, own in groups if own)
    return TypeRoofline(dtype=dtype, isa=fastest.isa, peak_gops=peak, levels=levels, points=points)


def _level_roof(level: MemoryLevel, points: Sequence[KernelPoint], peak_gops: float) -> LevelRoof:
    gbytes = interval_of_best([[gops / point.intensity for gops in point.gops] for point in points])
    best = max(points, key=lambda point: point.best_gbytes)
    return LevelRoof(
        level=level, gbytes=gbytes, ridge=peak_gops / gbytes.center, working_set_bytes=best.working_set_bytes
    )


def _unusable(point: KernelPoint) -> str | None:
    """Why a point says nothing about speed; None if it does."""
    if not point.correct:
        return "its result was wrong"
    if not (point.intensity > 0 and math.isfinite(point.intensity)):
        return f"its intensity is {point.intensity!r}"
    if not point.gops:
        return "it was not tried"
    if not all(gops > 0 and math.isfinite(gops) for gops in point.gops):
        return f"a try of it gave {next(g for g in point.gops if not (g > 0 and math.isfinite(g)))!r} Gop/s"
    return None


def _name(point: KernelPoint) -> str:
    return f"{point.dtype} {point.level} at {point.intensity:g} op/byte ({point.isa})"


def _inversions(types: Iterable[TypeRoofline]) -> list[str]:
    """Slower levels that came out faster."""
    found = []
    for roofline in types:
        for upper, lower in zip(roofline.levels, roofline.levels[1:], strict=False):
            if lower.gbytes.center > _FASTER_THAN_LEVEL_ABOVE * upper.gbytes.center:
                found.append(
                    f"{roofline.dtype}: {lower.level} came out faster than {upper.level} "
                    f"({lower.gbytes.center:.1f} and {upper.gbytes.center:.1f} GB/s): measure again when idle"
                )
    return found
