"""``leadline model``: sample networks of a space, look into .tflite files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leadline.core.errors import BadInput
from leadline.core.text import printable
from leadline.core.units import format_bytes, format_count
from leadline.records.trial import Artifact, TensorInfo
from leadline.search.model.files import sample_models
from leadline.search.model.inspect import ModelReport, inspect_file
from leadline.search.space.registry import SPACES, find_space


@click.group()
def model() -> None:
    """Sample networks of a space, look into .tflite files."""


@model.command()
@click.argument("space", metavar="SPACE", type=click.Choice(list(SPACES)))
@click.option("-n", "--count", type=click.IntRange(1, 100_000), default=8, show_default=True, help="How many networks.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same files.")
@click.option(
    "-o", "--output", "folder", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to fill."
)
@click.option("--int8", is_flag=True, help="Full-integer quantized instead of float32.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def sample(space: str, count: int, seed: int, folder: Path, int8: bool, as_json: bool) -> None:
    """Draw networks of a search space and write them as .tflite files with random weights.

    Spaces: mobilenet_v2, the space of the MonoNAS paper. Files that are there already are left alone if they are the
    same, and never overwritten if they are not.
    """
    found = find_space(space)
    artifacts = tuple(sample_models(found, count, seed=seed, folder=folder, dtype="int8" if int8 else "float32"))
    if as_json:
        _print_json(artifacts)
    else:
        _print_artifacts(artifacts)


@model.command()
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--ops", is_flag=True, help="Also list every op.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every op.")
def inspect(files: tuple[Path, ...], ops: bool, as_json: bool) -> None:
    """Show inputs, outputs, ops, FLOPs, parameters and bytes moved of any .tflite file.

    FLOPs are 2 × multiply-accumulates of one inference. Bytes moved are the inputs, constants and outputs of every op,
    once each. Files that cannot be read are named after the others have been shown.
    """
    reports, problems = [], []
    for file in files:
        try:
            reports.append(inspect_file(file))
        except BadInput as error:
            problems.append(str(error))
    if as_json:
        _print_json(reports)
    else:
        for report in reports:
            _print_report(report, ops=ops)
    if problems:
        raise BadInput("\n".join(problems))


def _print_json(items: Sequence[Artifact | ModelReport]) -> None:
    """ASCII only: names may hold anything, undecodable bytes included."""
    click.echo(json.dumps(msgspec.to_builtins(items), indent=2))


def _print_artifacts(artifacts: Iterable[Artifact]) -> None:
    rows = [
        (a.path, _count(a.flops), _count(a.parameters), format_bytes(a.size_bytes), a.sha256[:12]) for a in artifacts
    ]
    _print_table(("file", "FLOPs", "parameters", "size", "SHA-256"), rows)


def _print_report(report: ModelReport, *, ops: bool) -> None:
    counts = report.counts
    unknown = sorted({op.name for op in report.ops if op.counts.flops is None})
    lines = [("SHA-256", report.sha256), ("size", format_bytes(report.size_bytes)), ("made by", report.description)]
    if report.architecture is not None:
        lines.append(("architecture", report.architecture))
    lines += [("input", _describe(tensor)) for tensor in report.inputs]
    lines += [("output", _describe(tensor)) for tensor in report.outputs]
    lines += [
        ("FLOPs", _count(counts.flops) + (f" (not told by {', '.join(unknown)})" if unknown else "")),
        ("parameters", _count(counts.parameters)),
        ("bytes moved", "unknown" if counts.bytes_moved is None else format_bytes(counts.bytes_moved)),
        (f"{len(report.ops)} ops", ", ".join(f"{count} {name}" for name, count in report.op_counts.items())),
    ]
    click.echo(printable(report.path, limit=1000))
    for name, value in lines:
        click.echo(f"  {name:<13} {printable(value, limit=2000)}")
    if ops:
        rows = [
            (str(op.index), op.name, _shape(op.output_shape), _count(op.counts.flops), _count(op.counts.parameters),
             "unknown" if op.counts.bytes_moved is None else format_bytes(op.counts.bytes_moved))
            for op in report.ops
        ]  # fmt: skip
        _print_table(("op", "name", "output", "FLOPs", "parameters", "bytes moved"), rows)


def _print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Text to the left and numbers to the right; as wide as it needs to be where nobody folds it."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title in header:
        left = title in ("file", "name", "SHA-256")
        table.add_column(title, justify="left" if left else "right", no_wrap=title != "file", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell, limit=1000)) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 1000
    console.print(table)


def _describe(tensor: TensorInfo) -> str:
    return f"{tensor.name}: {tensor.dtype} {_shape(tensor.shape)}"


def _shape(shape: tuple[int, ...] | None) -> str:
    if shape is None:
        return "none"
    return "×".join(map(str, shape)) if shape else "scalar"


def _count(count: int | None) -> str:
    return "unknown" if count is None else format_count(count)
