"""The Gables model of a chip out of its measured sweeps: clusters alone, and together."""

from __future__ import annotations

import math
from collections.abc import Sequence

from leadline.core.errors import BadInput
from leadline.core.text import printable
from leadline.records.roofline import KernelType, Sweep
from leadline.roofline.fit import Roofline, fit
from leadline.roofline.gables import Ip, Soc


def measured_soc(sweeps: Sequence[Sweep], *, name: str, dtype: KernelType = "float32") -> Soc:
    """Gables' parameters as measured: every cluster's peak and DRAM bandwidth alone, and the shared memory's bandwidth
    from sweeps in which all clusters moved data at once.

    The first IP, whose peak is Ppeak, is the slowest cluster: accelerations are ≥ 1. The shared bandwidth is the larger
    of what the clusters' sweeps beside all others add up to, and what a sweep over all CPUs reached; and never less
    than what one cluster reached alone, since that went through the same memory. Of several sweeps of a kind, the one
    with most threads counts, then the latest.

    Args:
        sweeps: of one device, in any order; those that are of no use here are passed over.
        name: the device's, for messages.
    Raises: BadInput if no cluster was measured, or the shared memory was not, of a chip with several clusters.
    """
    here = printable(name)
    if len(serials := {sweep.serial for sweep in sweeps}) > 1:
        raise BadInput(f"{here}: sweeps of {len(serials)} devices were given; choose those of one")
    alone = _by_cluster([sweep for sweep in sweeps if not sweep.beside])
    if not alone:
        raise BadInput(f"{here}: no cluster was measured alone; try: leadline roofline run --device {here}")
    fits = {cluster: fit(sweep) for cluster, sweep in alone.items()}
    order = sorted(fits, key=lambda cluster: (_peak(fits[cluster], dtype), cluster))
    memory_gbytes, note = _shared(here, sweeps, {cluster: alone[cluster] for cluster in order}, fits, dtype)
    return Soc(
        name=here,
        peak_gops=_peak(fits[order[0]], dtype),
        memory_gbytes=memory_gbytes,
        ips=tuple(
            Ip(
                name=cluster,
                acceleration=_peak(fits[cluster], dtype) / _peak(fits[order[0]], dtype),
                gbytes=_dram(here, fits[cluster], dtype),
            )
            for cluster in order
        ),
        emulated=next((sweep.emulated for sweep in alone.values() if sweep.emulated), None),
        notes=(note, "threads: " + ", ".join(f"{cluster} {alone[cluster].config.threads}" for cluster in order)),
    )


def _by_cluster(sweeps: Sequence[Sweep]) -> dict[str, Sweep]:
    """Cluster → its sweep that counts."""
    chosen: dict[str, Sweep] = {}
    for sweep in sorted(sweeps, key=lambda s: (s.config.threads, s.taken_at)):
        if sweep.config.cluster is not None:
            chosen[sweep.config.cluster] = sweep
    return chosen


def _shared(
    here: str, sweeps: Sequence[Sweep], alone: dict[str, Sweep], fits: dict[str, Roofline], dtype: KernelType
) -> tuple[float, str]:
    """Bpeak in GB/s, and where it comes from."""
    fastest = max(fits, key=lambda cluster: _dram(here, fits[cluster], dtype))
    found = [(_dram(here, fits[fastest], dtype), f"memory: as cluster {fastest} reached it alone")]
    beside = _by_cluster([s for s in sweeps if s.beside and {s.config.cluster, *s.beside} >= set(alone)])
    if set(beside) >= set(alone):
        together = math.fsum(_dram(here, fit(beside[cluster]), dtype) for cluster in alone)
        found.append((together, f"memory: sum over clusters {', '.join(alone)}, each measured beside all others"))
    cpus = {cpu for sweep in alone.values() for cpu in sweep.config.cpus or ()}
    everywhere = [
        s
        for s in sweeps
        if not s.beside
        and s.config.cluster is None
        and s.config.threads >= len(cpus)
        and (s.config.cpus is None or set(s.config.cpus) >= cpus)
    ]
    if everywhere:
        latest = fit(max(everywhere, key=lambda s: s.taken_at))
        found.append((_dram(here, latest, dtype), f"memory: as {latest.config.threads} threads on all CPUs reached it"))
    if len(found) == 1 and len(alone) > 1:
        raise BadInput(
            f"{here}: clusters {', '.join(alone)} were measured alone, but never together, so that their shared memory "
            f"is not known; try: leadline roofline run --device {here} --cores all"
        )
    return max(found)


def _peak(roofline: Roofline, dtype: KernelType) -> float:
    return roofline.of(dtype).peak_gops.center


def _dram(here: str, roofline: Roofline, dtype: KernelType) -> float:
    """GB/s. Raises: BadInput if DRAM was not measured."""
    types = roofline.of(dtype)
    if types.levels[-1].level != "DRAM":
        raise BadInput(
            f"{here}: sweep {roofline.sweep_id[:8]} has no DRAM points ({dtype}), which a Gables model is made from; "
            f"measure again: leadline roofline run --device {here}"
        )
    return types.levels[-1].gbytes.center
