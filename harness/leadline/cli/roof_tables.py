"""Rooflines as tables and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leadline.cli.roofs import PlacedNetwork
from leadline.cli.words import describe_config, describe_sweep, format_rate, three_digits
from leadline.core.text import printable
from leadline.core.units import format_cpu_list, format_ns
from leadline.records.roofline import KernelType
from leadline.records.trial import RunConfig
from leadline.roofline.figure import MEANINGLESS
from leadline.roofline.fit import Roofline, TypeRoofline
from leadline.roofline.specification import Specification
from leadline.stats.interval import Interval

_WIDE = 200  # columns where there is no terminal to ask


def print_roofs(rooflines: Sequence[Roofline]) -> None:
    """Every roof with its interval and ridge point; below it what a reader should know of them."""
    rows: list[tuple[str, ...]] = []
    for roofline in rooflines:
        config = describe_sweep(roofline.config, roofline.beside)
        for types in roofline.types:
            peak = types.peak_gops
            rows.append((config, types.dtype, f"computation ({types.isa})", format_rate(peak.center, types.dtype),
                         _spread(peak), ""))  # fmt: skip
            config = ""
            rows += [
                ("", "", level.level, f"{three_digits(level.gbytes.center)} GB/s", _spread(level.gbytes),
                 f"{three_digits(level.ridge)} {_operation(types.dtype)}/byte")
                for level in types.levels
            ]  # fmt: skip
    print_table(("config", "type", "roof", "best", "95 %", "ridge"), rows, right=("best", "95 %", "ridge"))
    print_notes(rooflines)


def print_notes(rooflines: Iterable[Roofline]) -> None:
    """To standard output, since a table without them would be misread."""
    rooflines = list(rooflines)
    for why in dict.fromkeys(roofline.emulated for roofline in rooflines if roofline.emulated):
        click.echo(f"emulated: {MEANINGLESS} ({printable(why)})")
    for roofline in rooflines:
        for note in (*roofline.warnings, *roofline.left_out):
            click.echo(f"{describe_sweep(roofline.config, roofline.beside)}: {printable(note)}")


def print_networks(placed: Sequence[PlacedNetwork]) -> None:
    if not placed:
        click.echo("no network was measured on this device; try: leadline measure MODEL --device NAME", err=True)
        return
    rows = [
        (
            each.placement.workload.name,
            describe_config(each.config),
            format_ns(each.placement.workload.latency_ns),
            f"{three_digits(each.placement.intensity)} {_operation(each.dtype)}/byte",
            format_rate(each.placement.gops, each.dtype),
            f"{each.placement.fraction:.0%} of {each.placement.level}",
            each.placement.bound,
        )
        for each in placed
    ]
    header = ("network", "config", "median", "intensity", "attained", "of its roof", "bound by")
    print_table(header, rows, right=("median", "intensity", "attained", "of its roof"))


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in header:
        aligned = title in right
        table.add_column(title, justify="right" if aligned else "left", no_wrap=aligned, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))  # Text: a name like [red] is a name, not markup
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDE
    console.print(table)


def device_json(serial: str, rooflines: Sequence[Roofline]) -> dict[str, Any]:
    return {
        "serial": serial,
        "emulated": next((roofline.emulated for roofline in rooflines if roofline.emulated), None),
        "rooflines": [roofline_json(roofline) for roofline in rooflines],
    }


def roofline_json(roofline: Roofline) -> dict[str, Any]:
    return {
        "sweep": roofline.sweep_id,
        "taken_at": roofline.taken_at.isoformat(),
        "config": config_json(roofline.config),
        "beside": list(roofline.beside),
        "types": [_type_json(types) for types in roofline.types],
        "notes": [*roofline.warnings, *roofline.left_out],
    }


def network_json(each: PlacedNetwork) -> dict[str, Any]:
    workload = each.placement.workload
    return {
        "model": workload.name,
        "sha256": each.sha256,
        "config": config_json(each.config),
        "sweep": each.roofline.sweep_id,
        "dtype": each.dtype,
        "flops": workload.flops,
        "bytes_moved": workload.bytes_moved,
        "median_ns": workload.latency_ns,
        "intensity": each.placement.intensity,
        "gops": each.placement.gops,
        "level": each.placement.level,
        "roof_gops": each.placement.roof_gops,
        "fraction": each.placement.fraction,
        "bound": each.placement.bound,
        "predicted_ns": each.placement.predicted_ns,
    }


def specification_json(specification: Specification) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(specification)
    return plain | {"ridge": specification.ridge}


def config_json(config: RunConfig) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(config)
    return plain | {"cpus": None if config.cpus is None else format_cpu_list(config.cpus)}


def finite(value: float) -> float | None:
    """JSON has neither infinity nor nan: what is not known is null."""
    return value if math.isfinite(value) else None


def _type_json(types: TypeRoofline) -> dict[str, Any]:
    return {
        "dtype": types.dtype,
        "isa": types.isa,
        "peak_gops": _interval_json(types.peak_gops),
        "levels": [
            {
                "level": level.level,
                "gbytes": _interval_json(level.gbytes),
                "ridge": level.ridge,
                "working_set_bytes": level.working_set_bytes,
            }
            for level in types.levels
        ],
        "points": [msgspec.to_builtins(point) for point in types.points],
    }


def _interval_json(interval: Interval) -> dict[str, float | None]:
    return {"low": finite(interval.low), "best": interval.center, "high": finite(interval.high)}


def _spread(interval: Interval) -> str:
    if not math.isfinite(interval.high):
        return "unknown"
    return f"{three_digits(interval.low)} – {three_digits(interval.high)}"


def _operation(dtype: KernelType) -> str:
    return "OP" if dtype == "int8" else "FLOP"
