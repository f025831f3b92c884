"""Theoretical roofs: what a data sheet promises, to be drawn beside what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from leadline.core.errors import BadInput


class Cores(msgspec.Struct, frozen=True, kw_only=True):
    """Equal cores of a specification."""

    count: int
    flops_per_cycle: float  # float32, of one core; 2 for every lane that multiplies and adds in a cycle
    ghz: float


class Specification(msgspec.Struct, frozen=True, kw_only=True):
    """Theoretical roofs of all cores of a device, for float32."""

    name: str
    peak_gflops: float
    memory_gbytes: float
    source: str

    @property
    def ridge(self) -> float:
        """FLOP per byte."""
        return self.peak_gflops / self.memory_gbytes

    def attainable(self, intensity: float) -> float:
        """GFLOP/s at `intensity` FLOP per byte: Williams et al. (2009)."""
        return min(self.peak_gflops, self.memory_gbytes * intensity)


def peak_gflops(cores: Sequence[Cores]) -> float:
    """Σ cores × FLOP per cycle × GHz. Raises: BadInput if there are none, or a quantity is not positive."""
    for group in cores:
        _require_positive("cores", group.count, group.flops_per_cycle, group.ghz)
    if not cores:
        raise BadInput("specification: no cores are given; give count, FLOP per cycle and GHz of one kind at least")
    return math.fsum(group.count * group.flops_per_cycle * group.ghz for group in cores)


def memory_gbytes(bus_bits: int, megatransfers: float) -> float:
    """Width of all channels together × transfers: 1e9 bytes/s.

    Args: megatransfers: 1e6 transfers/s; twice the clock of a DDR memory (LPDDR4-3200: 3200).
    Raises: BadInput if either is not positive.
    """
    _require_positive("memory", bus_bits, megatransfers)
    return bus_bits / 8 * megatransfers / 1e3


def specification(name: str, *, cores: Sequence[Cores], bus_bits: int, megatransfers: float) -> Specification:
    """Roofs out of a data sheet's figures. Raises: BadInput as `peak_gflops` and `memory_gbytes`."""
    shown = " + ".join(f"{c.count} × {c.flops_per_cycle:g} FLOP/cycle × {c.ghz:g} GHz" for c in cores)
    return Specification(
        name=name,
        peak_gflops=peak_gflops(cores),
        memory_gbytes=memory_gbytes(bus_bits, megatransfers),
        source=f"{shown}; {bus_bits} bit × {megatransfers:g} MT/s",
    )


def known(name: str) -> Specification:
    """Raises: BadInput that lists the names there are."""
    if name in KNOWN:
        return KNOWN[name]
    raise BadInput(f"specification {name!r} is not known; use one of {', '.join(KNOWN)}, or give its figures")


def _require_positive(what: str, *values: float) -> None:
    for value in values:
        if not (value > 0 and math.isfinite(value)):
            raise BadInput(f"specification: {value!r} among the figures of its {what}; give positive numbers")


KNOWN: Mapping[str, Specification] = MappingProxyType(
    {
        "samsung-s5e": Specification(
            name="Samsung Galaxy Tab S5e",
            peak_gflops=40.6,
            memory_gbytes=14.93,  # 32 bit at 3733 MT/s
            source="Lu et al. (2022), SIGMETRICS, Table 1",
        ),
    }
)
"""By the name that commands use. Only devices whose figures have a source that we could check."""
