"""Two devices side by side: their roofs, and whether they must order networks alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import click
import msgspec

from leadline.cli.roof_tables import finite, print_notes, print_table, roofline_json
from leadline.cli.roofs import Networks, PlacedNetwork, Roofs, type_of
from leadline.cli.words import describe_config, format_rate, three_digits
from leadline.core.errors import BadInput
from leadline.core.text import printable
from leadline.records.roofline import KernelType
from leadline.roofline.fit import Roofline
from leadline.roofline.placement import BoundBy, Monotonicity, Placement, compare

Cores = Literal["1 thread", "all cores"]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two devices, both on one thread or both on as many as were measured."""

    cores: Cores
    devices: tuple[str, str]
    dtype: KernelType
    rooflines: tuple[Roofline, Roofline]
    models: dict[str, str]  # those measured on both: SHA-256 → name
    monotonicity: Monotonicity | None  # of `models`, by SHA-256; None: there are none


def compare_devices(
    roofs: tuple[Roofs, Roofs], networks: tuple[Networks, Networks], dtype: KernelType
) -> list[Comparison]:
    """One thread, then all cores, as far as both devices have them. Raises: BadInput if there is neither."""
    found = []
    kinds: tuple[Cores, ...] = ("1 thread", "all cores")
    for cores in kinds:
        one, other = (_roofline(each, cores, dtype) for each in roofs)
        if one is None or other is None:
            continue
        placed = (_placed(networks[0], one, dtype), _placed(networks[1], other, dtype))
        common = [sha256 for sha256 in placed[0] if sha256 in placed[1]]
        found.append(
            Comparison(
                cores=cores,
                devices=(roofs[0].name, roofs[1].name),
                dtype=dtype,
                rooflines=(one, other),
                models={sha256: placed[0][sha256].placement.workload.name for sha256 in common},
                monotonicity=compare(
                    [_named(placed[0][sha256]) for sha256 in common], [_named(placed[1][sha256]) for sha256 in common]
                )
                if common
                else None,
            )
        )
    if not found:
        lacking = next((each for each in roofs if not _roofline(each, "all cores", dtype)), None)
        what = f"{printable((lacking or roofs[0]).name)}: {dtype} roofs of the same kind as the other's"
        raise BadInput(f"{what} were not measured; try: leadline roofline run --device NAME")
    return found


def print_comparison(comparison: Comparison) -> None:
    one, other = (roofline.of(comparison.dtype) for roofline in comparison.rooflines)
    configs = [describe_config(roofline.config) for roofline in comparison.rooflines]
    rows = [
        ("", *configs, ""),
        _row("computation", one.peak_gops.center, other.peak_gops.center, comparison.dtype),
    ]
    for level in one.levels:
        theirs = next((each for each in other.levels if each.level == level.level), None)
        if theirs is not None:
            rows.append(_row(level.level, level.gbytes.center, theirs.gbytes.center, None))
    rows.append(("ridge", *(f"{three_digits(types.levels[-1].ridge)} op/byte" for types in (one, other)), ""))
    names = [printable(name) for name in comparison.devices]
    print_table(
        (comparison.cores, *names, f"{names[1]} / {names[0]}"), rows, right=(*names, f"{names[1]} / {names[0]}")
    )
    print_notes(comparison.rooflines)
    for line in _verdict(comparison):
        click.echo(line)


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    found = comparison.monotonicity
    return {
        "cores": comparison.cores,
        "dtype": comparison.dtype,
        "devices": [
            {"device": name, "serial": roofline.serial, "emulated": roofline.emulated, **roofline_json(roofline)}
            for name, roofline in zip(comparison.devices, comparison.rooflines, strict=True)
        ],
        "models": [{"sha256": sha256, "model": name} for sha256, name in comparison.models.items()],
        "monotonicity": None
        if found is None
        else {
            "condition": found.condition,
            "alike": list(found.alike),
            "others": [{"sha256": sha256, "bound": list(bounds)} for sha256, *bounds in found.others],
            "share_alike": found.share_alike,
            "srcc": finite(found.srcc),
            "srcc_alike": finite(found.srcc_alike),
            "srcc_predicted": finite(found.srcc_predicted),
        },
    }


def _roofline(roofs: Roofs, cores: Cores, dtype: KernelType) -> Roofline | None:
    """One thread of the fastest core, or the most threads that were measured."""
    fitting = [
        each for each in roofs.alone if type_of(each, dtype) and (cores == "all cores" or each.config.threads == 1)
    ]
    return max(fitting, key=lambda each: (each.config.threads, each.of(dtype).peak_gops.center), default=None)


def _placed(networks: Networks, roofline: Roofline, dtype: KernelType) -> dict[str, PlacedNetwork]:
    """By SHA-256, the latest: what one device calls a model another may call otherwise."""
    return {
        each.sha256: each
        for each in networks.placed
        if each.roofline.sweep_id == roofline.sweep_id and each.dtype == dtype
    }


def _named(placed: PlacedNetwork) -> Placement:
    replace = msgspec.structs.replace
    return replace(placed.placement, workload=replace(placed.placement.workload, name=placed.sha256))


def _row(roof: str, one: float, other: float, dtype: KernelType | None) -> tuple[str, str, str, str]:
    shown = [format_rate(value, dtype) if dtype else f"{three_digits(value)} GB/s" for value in (one, other)]
    return roof, shown[0], shown[1], three_digits(other / one)


def _verdict(comparison: Comparison) -> list[str]:
    found = comparison.monotonicity
    if found is None:
        return [f"{comparison.cores}: no model was measured on both; try: leadline measure MODEL --device NAME"]
    models = f"{len(found.models)} models measured on both"
    if found.condition is None:
        counted = f"{len(found.alike)} of them are bound by the same roof on both"
        first = f"{comparison.cores}: {models}: the condition for one order does not hold: {counted}"
    else:
        first = f"{comparison.cores}: {models}: {found.condition} bounds all of them on both: one order is expected"
    lines = [first, f"  SRCC {_srcc(found.srcc)} of latencies, {_srcc(found.srcc_alike)} of those bound alike, "
             f"{_srcc(found.srcc_predicted)} foretold by the roofs alone"]  # fmt: skip
    return lines + [
        f"  {comparison.models[sha256]}: {_bounds(comparison.devices, (one, other))}"
        for sha256, one, other in found.others
    ]


def _bounds(devices: Sequence[str], bounds: tuple[BoundBy, BoundBy]) -> str:
    return ", ".join(f"{bound} on {printable(device)}" for device, bound in zip(devices, bounds, strict=True))


def _srcc(value: float) -> str:
    return "unknown" if finite(value) is None else f"{value:.3f}"
