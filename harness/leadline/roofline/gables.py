"""The Gables model: a roofline for a system on a chip whose parts share a memory.

Source: Mark D. Hill and Vijay Janapa Reddi, "Gables: A Roofline Model for Mobile SoCs", HPCA 2019; below "the paper".
Its symbols: IP[i] is a part (a CPU cluster, GPU, DSP), Ppeak the peak of IP[0], A_i·Ppeak that of IP[i], B_i its
bandwidth, Bpeak that of the shared memory, f_i the share of the work that IP[i] does, I_i its operations per byte.
Per operation of the whole work, all parts working at once (base model, N IPs):

    C_i = f_i / (A_i·Ppeak)      D_i = f_i / I_i      T_IP[i] = max(D_i / B_i, C_i)      T_memory = ΣD_i / Bpeak
    Pattainable = 1 / max(T_IP[0], …, T_IP[N−1], T_memory)

and equally, as scaled rooflines, min over i of min(B_i·I_i, A_i·Ppeak) / f_i and Bpeak·Iavg, Iavg = 1 / Σ(f_i / I_i).

Extensions of the paper, each off unless given:
    memory-side cache      T_memory = Σ(m_i·D_i) / Bpeak, where m_i is the share of IP[i]'s bytes that miss the cache
    interconnect           T_bus[j] = Σ over the IPs on bus j of D_i / Bbus[j]
    serialized work        only one IP works at a time: Pattainable = 1 / ΣT'_IP[i],
                           T'_IP[i] = max(C_i, D_i / B_i, m_i·D_i / Bpeak, and D_i / Bbus[j] of its buses)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from leadline.core.errors import BadInput

_SUM_TOLERANCE = 1e-6  # of the work fractions
_TIE = 1e-9  # roofs that are this close bind together


class Ip(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the chip that can compute."""

    name: str
    kind: str = "cpu"  # "cpu" | "gpu" | "dsp" | whatever else there is
    acceleration: float  # A_i: its peak over that of the first, > 0
    gbytes: float  # B_i, 1e9 bytes/s, > 0


class Bus(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the interconnect."""

    name: str
    gbytes: float  # 1e9 bytes/s, > 0
    ips: tuple[str, ...]  # whose traffic goes over it


class Soc(msgspec.Struct, frozen=True, kw_only=True):
    """A system on a chip, as Gables sees it."""

    name: str
    peak_gops: float  # Ppeak: of the first IP, 1e9 operations/s, > 0
    memory_gbytes: float  # Bpeak: of the shared memory, 1e9 bytes/s, > 0
    ips: tuple[Ip, ...]
    buses: tuple[Bus, ...] = ()
    emulated: str | None = None  # why speeds mean nothing; None: real hardware
    notes: tuple[str, ...] = ()  # where the numbers come from


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What one IP does of the whole work."""

    ip: str
    fraction: float  # f_i of all operations, in [0, 1]
    intensity: float  # I_i, operations per byte moved, > 0
    miss_ratio: float = 1.0  # m_i: share of its bytes that a memory-side cache does not hold, in [0, 1]


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """One roof over the whole work."""

    name: str  # "little computation", "little bandwidth", "memory", "bus noc"
    gops: float  # what the whole work attains under this roof alone, 1e9 operations/s; inf: does not bound


class Attainable(msgspec.Struct, frozen=True, kw_only=True):
    """What the whole work attains."""

    gops: float  # Pattainable, 1e9 operations/s
    binding: tuple[str, ...]  # names of the roofs that bind; several if the design is balanced
    bounds: tuple[Bound, ...]  # all roofs, the lowest first; serialized: of each IP's part of the time
    average_intensity: float  # Iavg, operations per byte


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a change of one parameter does."""

    parameter: str
    old: float
    new: float
    before: Attainable
    after: Attainable

    @property
    def speedup(self) -> float:
        return self.after.gops / self.before.gops


def attainable(soc: Soc, works: Sequence[Work], *, serialized: bool = False) -> Attainable:
    """Pattainable of the work on the chip, and which roofs bind.

    Args:
        works: at most one per IP; IPs without one stay idle. Fractions sum to 1.
        serialized: one IP works at a time, as in the paper's extension; else all at once.
    Raises: BadInput naming what is wrong with the chip or the work.
    """
    parts = _checked(soc, works)
    bytes_per_op = {work.ip: work.fraction / work.intensity for work in works}  # D_i
    times = _serialized(soc, parts, bytes_per_op) if serialized else _concurrent(soc, parts, bytes_per_op)
    total = math.fsum(times.values()) if serialized else max(times.values())
    slowest = max(times.values())
    bounds = sorted((Bound(name=n, gops=1.0 / t if t > 0 else math.inf) for n, t in times.items()), key=_order)
    return Attainable(
        gops=1.0 / total,
        binding=tuple(bound.name for bound in bounds if 1.0 / bound.gops >= slowest * (1.0 - _TIE)),
        bounds=tuple(bounds),
        average_intensity=1.0 / math.fsum(bytes_per_op.values()),
    )


def what_if(soc: Soc, works: Sequence[Work], parameter: str, value: float, *, serialized: bool = False) -> Change:
    """What changes if `parameter` had `value`.

    Args: parameter: ``memory`` (GB/s) · ``peak`` (Gop/s, of all IPs in proportion) · ``IP.peak`` (Gop/s) ·
        ``IP.bandwidth`` (GB/s) · ``IP.intensity`` (op/byte) · ``IP.miss`` (0…1) · ``IP.fraction`` (0…1; the others
        share the rest in proportion) · ``bus.NAME`` (GB/s).
    Raises: BadInput if there is no such parameter, or the value is out of its range.
    """
    before = attainable(soc, works, serialized=serialized)
    values = parameters(soc, works)
    if parameter not in values:
        raise BadInput(f"what-if {parameter!r}: there is no such parameter; use one of {', '.join(values)}")
    changed_soc, changed_works = _changed(soc, works, parameter, value)
    after = attainable(changed_soc, changed_works, serialized=serialized)
    return Change(parameter=parameter, old=values[parameter], new=value, before=before, after=after)


def parameters(soc: Soc, works: Sequence[Work]) -> dict[str, float]:
    """Everything that `what_if` can change, with its value now."""
    values = {"memory": soc.memory_gbytes, "peak": soc.peak_gops}
    for ip in soc.ips:
        values[f"{ip.name}.peak"] = ip.acceleration * soc.peak_gops
        values[f"{ip.name}.bandwidth"] = ip.gbytes
    for work in works:
        values[f"{work.ip}.fraction"] = work.fraction
        values[f"{work.ip}.intensity"] = work.intensity
        values[f"{work.ip}.miss"] = work.miss_ratio
    return values | {f"bus.{bus.name}": bus.gbytes for bus in soc.buses}


def _changed(soc: Soc, works: Sequence[Work], parameter: str, value: float) -> tuple[Soc, Sequence[Work]]:
    replace = msgspec.structs.replace
    if parameter == "memory":
        return replace(soc, memory_gbytes=value), works
    if parameter == "peak":
        return replace(soc, peak_gops=value), works
    if parameter.startswith("bus."):
        name = parameter.removeprefix("bus.")
        buses = tuple(replace(bus, gbytes=value) if bus.name == name else bus for bus in soc.buses)
        return replace(soc, buses=buses), works
    name, _, what = parameter.rpartition(".")
    if what in ("peak", "bandwidth"):
        change = {"acceleration": value / soc.peak_gops} if what == "peak" else {"gbytes": value}
        return replace(soc, ips=tuple(replace(ip, **change) if ip.name == name else ip for ip in soc.ips)), works
    if what == "fraction":
        return soc, _with_fraction(works, name, value)
    field = {"intensity": "intensity", "miss": "miss_ratio"}[what]
    return soc, tuple(replace(work, **{field: value}) if work.ip == name else work for work in works)


def _with_fraction(works: Sequence[Work], ip: str, fraction: float) -> tuple[Work, ...]:
    rest = math.fsum(work.fraction for work in works if work.ip != ip)
    if rest <= 0.0 and fraction != 1.0:
        raise BadInput(f"what-if {ip}.fraction: no other IP has work to take or give; name the work of another IP too")
    scale = (1.0 - fraction) / rest if rest > 0.0 else 0.0
    replace = msgspec.structs.replace
    return tuple(replace(w, fraction=fraction if w.ip == ip else w.fraction * scale) for w in works)


def _concurrent(soc: Soc, parts: Sequence[tuple[Ip, Work]], bytes_per_op: Mapping[str, float]) -> dict[str, float]:
    """Roof → seconds per 1e9 operations of the whole work (the paper's T). Base model, memory-side cache, buses."""
    times: dict[str, float] = {}
    for ip, work in parts:
        times[f"{ip.name} computation"] = work.fraction / (ip.acceleration * soc.peak_gops)
        times[f"{ip.name} bandwidth"] = bytes_per_op[ip.name] / ip.gbytes
    times["memory"] = math.fsum(work.miss_ratio * bytes_per_op[work.ip] for _, work in parts) / soc.memory_gbytes
    for bus in soc.buses:
        times[f"bus {bus.name}"] = math.fsum(bytes_per_op.get(name, 0.0) for name in bus.ips) / bus.gbytes
    return times


def _serialized(soc: Soc, parts: Sequence[tuple[Ip, Work]], bytes_per_op: Mapping[str, float]) -> dict[str, float]:
    """The roof that binds each IP while it works alone → its share of the time (the paper's T'_IP[i])."""
    times: dict[str, float] = {}
    for ip, work in parts:
        own = {
            f"{ip.name} computation": work.fraction / (ip.acceleration * soc.peak_gops),
            f"{ip.name} bandwidth": bytes_per_op[ip.name] / ip.gbytes,
            f"{ip.name} memory": work.miss_ratio * bytes_per_op[ip.name] / soc.memory_gbytes,
        }
        for bus in soc.buses:
            if ip.name in bus.ips:
                own[f"{ip.name} bus {bus.name}"] = bytes_per_op[ip.name] / bus.gbytes
        roof = max(own, key=lambda name: own[name])
        times[roof] = own[roof]
    return times


def _order(bound: Bound) -> tuple[float, str]:
    return bound.gops, bound.name


def _checked(soc: Soc, works: Sequence[Work]) -> list[tuple[Ip, Work]]:
    """Each IP that has work, with it. Raises: BadInput."""
    place = f"Gables model of {soc.name}"
    ips = {ip.name: ip for ip in soc.ips}
    if not ips or len(ips) != len(soc.ips):
        raise BadInput(f"{place}: IPs need different names, and there must be one at least; name them apart")
    _require_positive(place, "the peak", soc.peak_gops)
    _require_positive(place, "the memory's bandwidth", soc.memory_gbytes)
    for ip in soc.ips:
        _require_positive(place, f"{ip.name}'s acceleration", ip.acceleration)
        _require_positive(place, f"{ip.name}'s bandwidth", ip.gbytes)
    for bus in soc.buses:
        _require_positive(place, f"bus {bus.name}'s bandwidth", bus.gbytes)
        if stray := set(bus.ips) - set(ips):
            raise BadInput(f"{place}: bus {bus.name} serves {sorted(stray)}, which is no IP; use {sorted(ips)}")
    if len({work.ip for work in works}) != len(works) or not works:
        raise BadInput(f"{place}: give the work of each IP once, and of one IP at least; IPs are {sorted(ips)}")
    for work in works:
        if work.ip not in ips:
            raise BadInput(f"{place}: there is no IP {work.ip!r} to work; use one of {sorted(ips)}")
        _require_positive(place, f"the intensity of {work.ip}'s work", work.intensity)
        _require_share(place, f"the fraction of work of {work.ip}", work.fraction)
        _require_share(place, f"the miss ratio of {work.ip}", work.miss_ratio)
    total = math.fsum(work.fraction for work in works)
    if abs(total - 1.0) > _SUM_TOLERANCE:
        raise BadInput(f"{place}: fractions of work sum to {total:g}; change them so that they sum to 1")
    return [(ips[work.ip], work) for work in works]


def _require_positive(place: str, what: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise BadInput(f"{place}: {what} is {value!r}; give a positive number")


def _require_share(place: str, what: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise BadInput(f"{place}: {what} is {value!r}; give a number from 0 to 1")
