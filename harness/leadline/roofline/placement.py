"""Networks and layers under a device's roofs, and what that says of two devices' agreement on their order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from leadline.core.errors import BadInput
from leadline.core.text import printable
from leadline.records.roofline import MemoryLevel
from leadline.roofline.fit import TypeRoofline
from leadline.stats.rank import srcc

BoundBy = Literal["memory", "computation", "overhead"]

# Below a tenth of what its intensity allows, neither roof explains a latency: calls, copies, waiting, or a kernel that
# uses neither vector units nor caches well do.
_EXPLAINED = 0.1

# Bandwidths and latencies are known to a few percent. What exceeds a level's roof by more was not served by that level.
_ABOVE_ROOF = 1.05


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """A network or a layer, as it ran on one device."""

    name: str
    flops: float  # operations of one inference, 2 × multiply-accumulates, > 0
    bytes_moved: float  # weights and activations read and written once, > 0
    latency_ns: float  # of one inference, > 0


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Where a workload stands under the roofs of one device."""

    workload: Workload
    intensity: float  # operations per byte
    gops: float  # attained, 1e9 operations/s
    level: MemoryLevel  # the slowest memory that can have served it this fast
    roof_gops: float  # attainable at this intensity from that level
    fraction: float  # attained / attainable; above 1 only if it beats the fastest level's roof
    bound: BoundBy
    predicted_ns: float  # at the roof of DRAM (the slowest level measured): what a roofline alone would say


class Monotonicity(msgspec.Struct, frozen=True, kw_only=True):
    """How far two rooflines explain that two devices order models alike."""

    models: tuple[str, ...]  # that both devices ran
    alike: tuple[str, ...]  # those bound by the same roof on both devices
    others: tuple[tuple[str, BoundBy, BoundBy], ...]  # the rest: name, bound on the first, on the second
    condition: BoundBy | None  # the one roof that bounds all models on both devices: then monotone; None: no such roof
    srcc: float  # of the measured latencies; nan if they are constant, or fewer than two models
    srcc_alike: float  # of those of the models bound alike
    srcc_predicted: float  # of the latencies at the roofs: what the rooflines would have foretold

    @property
    def share_alike(self) -> float:
        return len(self.alike) / len(self.models)


def place(workload: Workload, roofline: TypeRoofline) -> Placement:
    """Place a workload under the roofs of the device, threads and number type that it ran with.

    Bytes are counted as if every layer read and wrote memory. If a cache kept them, the workload beats the roof of
    DRAM; then it stands under that of the slowest level that it does not beat.

    Raises: BadInput if a quantity is not a positive number.
    """
    here = f"workload {printable(workload.name)}"
    for what in ("flops", "bytes_moved", "latency_ns"):
        value = getattr(workload, what)
        if not (value > 0 and math.isfinite(value)):
            raise BadInput(f"{here}: {what} is {value!r}, which has no place on a roofline; leave the workload out")
    intensity = workload.flops / workload.bytes_moved
    gops = workload.flops / workload.latency_ns
    fitting = [r for r in roofline.levels if gops <= _ABOVE_ROOF * roofline.attainable(intensity, r.level)]
    level = (fitting or roofline.levels[:1])[-1]
    roof_gops = roofline.attainable(intensity, level.level)
    fraction = gops / roof_gops
    side: BoundBy = "memory" if intensity < level.ridge else "computation"
    return Placement(
        workload=workload,
        intensity=intensity,
        gops=gops,
        level=level.level,
        roof_gops=roof_gops,
        fraction=fraction,
        bound=side if fraction >= _EXPLAINED else "overhead",
        predicted_ns=workload.flops / roofline.attainable(intensity),
    )


def compare(first: Sequence[Placement], second: Sequence[Placement]) -> Monotonicity:
    """Whether two devices must order the same models alike, as far as their rooflines tell.

    The MonoNAS paper's appendix explains monotone latencies so: where memory bounds a model on both devices, both
    latencies are its bytes over a bandwidth; where computation does, both are its operations over a peak; so both
    devices order such models by the same quantity. Strictly this needs one roof for all models (`condition`): a
    memory-bound and a computation-bound model may still change places if the devices' ridges differ.

    Args: models are matched by name; those that only one device ran are left out.
    Source: Lu, Yang, Jiang, Shi, Ren (2022), "One Proxy Device Is Enough for Hardware-Aware Neural Architecture
        Search", SIGMETRICS, appendix.
    Raises: BadInput if a name occurs twice on a device, or no model ran on both.
    """
    a, b = _by_name(first), _by_name(second)
    models = tuple(name for name in a if name in b)
    if not models:
        raise BadInput("comparing rooflines: no model was measured on both devices; measure the same models on both")
    alike = tuple(name for name in models if a[name].bound == b[name].bound != "overhead")
    bounds = {a[name].bound for name in models}
    return Monotonicity(
        models=models,
        alike=alike,
        others=tuple((name, a[name].bound, b[name].bound) for name in models if name not in alike),
        condition=next(iter(bounds)) if len(alike) == len(models) and len(bounds) == 1 else None,
        srcc=_srcc(a, b, models, "latency"),
        srcc_alike=_srcc(a, b, alike, "latency"),
        srcc_predicted=_srcc(a, b, models, "predicted"),
    )


def _by_name(placements: Sequence[Placement]) -> dict[str, Placement]:
    named = {placement.workload.name: placement for placement in placements}
    if len(named) != len(placements):
        raise BadInput("comparing rooflines: two models of one device have the same name; rename one of them")
    return named


def _srcc(
    a: dict[str, Placement], b: dict[str, Placement], names: Sequence[str], which: Literal["latency", "predicted"]
) -> float:
    if len(names) < 2:
        return math.nan
    if which == "latency":
        return srcc([a[n].workload.latency_ns for n in names], [b[n].workload.latency_ns for n in names])
    return srcc([a[n].predicted_ns for n in names], [b[n].predicted_ns for n in names])
