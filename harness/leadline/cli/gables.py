"""``leadline roofline gables``: what a whole chip attains when its clusters share work and memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from leadline.cli.app import App
from leadline.cli.roof_tables import finite, print_table
from leadline.cli.selection import serials_of
from leadline.cli.words import format_rate, three_digits
from leadline.core.errors import BadInput
from leadline.core.text import printable
from leadline.records.roofline import KernelType
from leadline.roofline.figure import MEANINGLESS
from leadline.roofline.fit import TYPES
from leadline.roofline.gables import Attainable, Change, Soc, Work, attainable, parameters, what_if
from leadline.roofline.measured import measured_soc

_INTENSITIES = tuple(4.0**power for power in range(-2, 4))  # 1/16 … 64


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the chip attains with one mix of work, and what changes would do."""

    works: tuple[Work, ...]
    attainable: Attainable
    changes: tuple[Change, ...]


@click.command()
@click.argument("device")
@click.option(
    "--fractions",
    metavar="CLUSTER=SHARE,…",
    help="What each cluster does of the work, like big=0.7,little=0.3.  [default: in proportion to their peaks]",
)
@click.option(
    "--intensity",
    metavar="N|CLUSTER=N,…",
    help="Operations per byte, of all or of each cluster.  [default: a table from 1/16 to 64]",
)
@click.option(
    "--what-if",
    "changes",
    multiple=True,
    metavar="PARAMETER=VALUE",
    help="Also with this changed, like memory=20 (GB/s), memory=2x, big.peak=40, little.intensity=1; may be repeated.",
)
@click.option("--serialized", is_flag=True, help="One cluster works at a time, instead of all at once.")
@click.option("--dtype", type=click.Choice(TYPES), default="float32", show_default=True, help="Type of number.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def gables(
    app: App,
    device: str,
    fractions: str | None,
    intensity: str | None,
    changes: tuple[str, ...],
    serialized: bool,
    dtype: KernelType,
    as_json: bool,
) -> None:
    """Model DEVICE as Gables does: each cluster's roofs, and the memory that they share, all as measured.

    Says what the chip attains when its clusters work at once, what bounds it, and what a change would bring. From
    sweeps of every cluster alone and beside the busy others, or of all cores.

    Source: Hill and Reddi, "Gables: A Roofline Model for Mobile SoCs", HPCA 2019.
    """
    with app.store() as store:
        [serial] = serials_of(app, store, [device]) or [device]
        sweeps = store.sweeps(serials=[serial])
    usable = [sweep for sweep in sweeps if any(point.dtype == dtype for point in sweep.points)]
    soc = measured_soc(usable, name=device, dtype=dtype)
    shares = _shares(soc, fractions)
    answers = []
    for intensities in _intensities(list(shares), intensity):
        works = tuple(Work(ip=name, fraction=share, intensity=intensities[name]) for name, share in shares.items())
        answers.append(
            Answer(
                works=works,
                attainable=attainable(soc, works, serialized=serialized),
                changes=tuple(_change(soc, works, text, serialized=serialized) for text in changes),
            )
        )
    if as_json:
        click.echo(json.dumps(_json(soc, answers), indent=1))
    else:
        _print(soc, shares, answers, dtype)


def _shares(soc: Soc, text: str | None) -> dict[str, float]:
    """IP → its share of the work. In proportion to their peaks, all IPs compute equally long."""
    if text is None:
        total = sum(ip.acceleration for ip in soc.ips)
        return {ip.name: ip.acceleration / total for ip in soc.ips}
    return _named_numbers(text, "--fractions", "big=0.7,little=0.3")


def _intensities(names: Sequence[str], text: str | None) -> list[dict[str, float]]:
    """IP → intensity, for every row of the answer."""
    if text is None:
        return [dict.fromkeys(names, intensity) for intensity in _INTENSITIES]
    if "=" not in text:
        return [dict.fromkeys(names, _number(text, "--intensity", "8"))]
    given = _named_numbers(text, "--intensity", "big=8,little=1")
    if missing := [name for name in names if name not in given]:
        raise BadInput(f"--intensity {printable(text)!r}: says nothing of {', '.join(missing)}; give it for all")
    return [given]


def _change(soc: Soc, works: Sequence[Work], text: str, *, serialized: bool) -> Change:
    parameter, equals, value = text.rpartition("=")
    if not equals:
        raise BadInput(f"--what-if {printable(text)!r}: is no PARAMETER=VALUE; write it like memory=20 or memory=2x")
    if value.endswith("x"):
        old = parameters(soc, works).get(parameter, 1.0)  # of a parameter that is not there `what_if` lists the others
        return what_if(soc, works, parameter, old * _number(value[:-1], "--what-if", "2x"), serialized=serialized)
    return what_if(soc, works, parameter, _number(value, "--what-if", "20"), serialized=serialized)


def _named_numbers(text: str, option: str, example: str) -> dict[str, float]:
    """``big=0.7,little=0.3`` → numbers by name. Raises: BadInput."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = part.strip().rpartition("=")
        if not equals or name in found:
            raise BadInput(f"{option} {printable(text)!r}: give each cluster once, like {example}")
        found[name] = _number(value, option, example)
    return found


def _number(text: str, option: str, example: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"{option}: {printable(text)!r} is no number; write it like {example}") from None


def _print(soc: Soc, shares: dict[str, float], answers: Sequence[Answer], dtype: KernelType) -> None:
    rows = [
        (
            ip.name,
            format_rate(ip.acceleration * soc.peak_gops, dtype),
            f"{three_digits(ip.gbytes)} GB/s",
            three_digits(ip.acceleration),
            f"{shares.get(ip.name, 0.0):.0%}",
        )
        for ip in soc.ips
    ]
    header = ("cluster", "peak", "bandwidth", "acceleration", "share of work")
    print_table(header, [*rows, ("memory", "", f"{three_digits(soc.memory_gbytes)} GB/s", "", "")], right=header[1:])
    for note in soc.notes:
        click.echo(printable(note))
    if soc.emulated:
        click.echo(f"emulated: {MEANINGLESS} ({printable(soc.emulated)})")
    click.echo()
    changes = [
        f"{change.parameter} {three_digits(change.old)} → {three_digits(change.new)}" for change in answers[0].changes
    ]
    print_table(
        ("intensity", "attainable", "bound by", *changes),
        [
            (
                f"{three_digits(answer.attainable.average_intensity)} op/byte",
                format_rate(answer.attainable.gops, dtype),
                ", ".join(answer.attainable.binding),
                *(f"{format_rate(each.after.gops, dtype)} ({three_digits(each.speedup)}×)" for each in answer.changes),
            )
            for answer in answers
        ],
        right=("intensity", "attainable", *changes),
    )


def _json(soc: Soc, answers: Sequence[Answer]) -> dict[str, Any]:
    return {
        "soc": msgspec.to_builtins(soc),
        "answers": [
            {
                "works": msgspec.to_builtins(answer.works),
                **_attainable_json(answer.attainable),
                "what_if": [
                    {
                        "parameter": each.parameter,
                        "old": each.old,
                        "new": each.new,
                        "speedup": each.speedup,
                        **_attainable_json(each.after),
                    }
                    for each in answer.changes
                ],
            }
            for answer in answers
        ],
    }


def _attainable_json(found: Attainable) -> dict[str, Any]:
    return {
        "gops": found.gops,
        "binding": list(found.binding),
        "bounds": [{"name": bound.name, "gops": finite(bound.gops)} for bound in found.bounds],
        "average_intensity": found.average_intensity,
    }
