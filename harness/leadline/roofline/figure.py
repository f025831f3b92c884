"""What a roofline plot shows, whoever draws it: roofs as lines, kernels and networks as dots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from leadline.core.errors import BadInput
from leadline.core.text import printable
from leadline.core.units import format_cpu_list
from leadline.records.roofline import KernelType
from leadline.records.trial import RunConfig
from leadline.roofline.fit import Roofline
from leadline.roofline.placement import Placement
from leadline.roofline.specification import Specification

MEANINGLESS = "latency is meaningless here"

_NAME_AT_MOST = 48  # characters of a device's or network's name in a plot
_LEAST_DECADES = 1.0


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One roof: rises with `gbytes` × intensity up to `peak_gops`."""

    name: str  # "L1", "DRAM", a device's name
    gbytes: float
    peak_gops: float
    theoretical: bool = False  # from a specification: drawn dashed

    @property
    def ridge(self) -> float:
        return self.peak_gops / self.gbytes

    def gops(self, intensity: float) -> float:
        return min(self.peak_gops, self.gbytes * intensity)


class Dot(msgspec.Struct, frozen=True, kw_only=True):
    """One measured kernel, or one network."""

    name: str
    intensity: float
    gops: float
    kind: Literal["kernel", "network"]
    line: str  # the roof it stands under
    detail: str = ""  # for whoever points at it


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a plot says."""

    title: str
    subtitle: str
    warning: str | None  # shown where nobody overlooks it
    unit: Literal["FLOP", "op"]
    lines: tuple[Line, ...]  # the highest first
    dots: tuple[Dot, ...] = ()

    @property
    def intensities(self) -> tuple[float, float]:
        """The range of the horizontal axis, op/byte: powers of two around all ridges and dots."""
        found = [line.ridge for line in self.lines] + [dot.intensity for dot in self.dots]
        return 2.0 ** math.floor(math.log2(min(1 / 16, *found)) - 0.01), 2.0 ** math.ceil(
            math.log2(max(64.0, *found)) + 0.01
        )

    @property
    def performances(self) -> tuple[float, float]:
        """The range of the vertical axis, Gop/s."""
        low, _ = self.intensities
        found = [line.gops(low) for line in self.lines] + [dot.gops for dot in self.dots]
        top = max([line.peak_gops for line in self.lines] + [dot.gops for dot in self.dots])
        bottom = min(*found, top / 10**_LEAST_DECADES)
        return bottom / 1.6, top * 2.2


def device_figure(
    name: str,
    roofline: Roofline,
    *,
    dtype: KernelType = "float32",
    placements: Sequence[Placement] = (),
    specifications: Sequence[Specification] = (),
) -> Figure:
    """One device: a roof per memory level, the kernels they were made from, and networks, if given.

    Specifications speak of float32, and are left out for other types.
    Raises: BadInput if nothing of `dtype` was measured.
    """
    types = roofline.of(dtype)
    measured = tuple(
        Line(name=roof.level, gbytes=roof.gbytes.center, peak_gops=types.peak_gops.center) for roof in types.levels
    )
    theoretical = tuple(_theoretical(s) for s in specifications if dtype == "float32")
    kernels = tuple(
        Dot(
            name=f"{point.level} kernel",
            intensity=point.intensity,
            gops=point.best_gops,
            kind="kernel",
            line=point.level,
            detail=f"{point.isa}, {point.working_set_bytes / 1024:,.0f} KiB, {point.best_gbytes:.3g} GB/s",
        )
        for point in types.points
    )
    beside = f" · beside {', '.join(roofline.beside)}" if roofline.beside else ""
    return Figure(
        title=f"{_short(name)} · {dtype}",
        subtitle=f"{describe(roofline.config)} · {types.isa}{beside} · {roofline.taken_at:%Y-%m-%d %H:%M}",
        warning=_warning([(name, roofline.emulated)]),
        unit="op" if dtype == "int8" else "FLOP",
        lines=(*measured, *theoretical),
        dots=kernels + tuple(_network(placement) for placement in placements),
    )


def comparison_figure(
    rooflines: Sequence[tuple[str, Roofline]],
    *,
    dtype: KernelType = "float32",
    specifications: Sequence[Specification] = (),
) -> Figure:
    """Several devices or configurations: the roof of the slowest memory level of each.

    Args: rooflines: with names that tell them apart.
    Raises: BadInput if there are none, names repeat, or nothing of `dtype` was measured on one.
    """
    if not rooflines or len({name for name, _ in rooflines}) != len(rooflines):
        raise BadInput("comparing rooflines: give one sweep at least, and names that tell several apart")
    lines = []
    for name, roofline in rooflines:
        types = roofline.of(dtype)
        slowest = types.level()
        lines.append(
            Line(
                name=f"{_short(name)} {slowest.level}",
                gbytes=slowest.gbytes.center,
                peak_gops=types.peak_gops.center,
            )
        )
    lines.sort(key=lambda line: -line.peak_gops)
    return Figure(
        title=f"Rooflines side by side · {dtype}",
        subtitle=" · ".join(f"{_short(name)}: {describe(roofline.config)}" for name, roofline in rooflines),
        warning=_warning([(name, roofline.emulated) for name, roofline in rooflines]),
        unit="op" if dtype == "int8" else "FLOP",
        lines=(*lines, *(_theoretical(s) for s in specifications if dtype == "float32")),
    )


def describe(config: RunConfig) -> str:
    """``4 threads on cluster big (CPUs 4-7)``."""
    threads = f"{config.threads} thread{'s' if config.threads != 1 else ''}"
    cluster = f" on cluster {printable(config.cluster)}" if config.cluster else ""
    cpus = f"CPUs {format_cpu_list(config.cpus)}" if config.cpus else ""
    return threads + cluster + (f" ({cpus})" if cluster and cpus else f" on {cpus}" if cpus else "")


def _theoretical(spec: Specification) -> Line:
    return Line(
        name=f"{_short(spec.name)} (data sheet)",
        gbytes=spec.memory_gbytes,
        peak_gops=spec.peak_gflops,
        theoretical=True,
    )


def _network(placement: Placement) -> Dot:
    return Dot(
        name=_short(placement.workload.name),
        intensity=placement.intensity,
        gops=placement.gops,
        kind="network",
        line=placement.level,
        detail=f"{placement.workload.latency_ns / 1e6:.3g} ms, {placement.fraction:.0%} of the {placement.level} roof, "
        f"bound by {placement.bound}",
    )


def _warning(devices: Sequence[tuple[str, str | None]]) -> str | None:
    emulated = [(name, why) for name, why in devices if why]
    if not emulated:
        return None
    return "; ".join(f"{_short(name)}: {MEANINGLESS} ({printable(why)})" for name, why in emulated)


def _short(name: str) -> str:
    return printable(name, _NAME_AT_MOST)
