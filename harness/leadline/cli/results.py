"""``leadline results``: what has been measured, as a table, JSON or CSV, and the raw samples."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leadline.cli.app import App
from leadline.cli.selection import DEVICE_OPTION, SINCE_OPTION, device_names, serials_of
from leadline.cli.words import describe_config
from leadline.core.errors import BadInput
from leadline.core.text import printable
from leadline.core.units import format_cpu_list, format_ns
from leadline.records.trial import Attempt, Summary
from leadline.stats.flags import flags
from leadline.stats.summary import summarize
from leadline.store.contents import Result
from leadline.store.store import Store

_WIDE = 200  # columns where there is no terminal to ask


@click.command()
@DEVICE_OPTION
@click.option("--model", metavar="GLOB", help="Only models whose name matches, like 'mobilenet*'.")
@SINCE_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every id.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, a line per trial.")
@click.option("--samples", "trial_id", metavar="TRIAL_ID", help="Print every raw sample of this trial, as CSV or JSON.")
@click.pass_obj
def results(
    app: App,
    devices: tuple[str, ...],
    model: str | None,
    since: datetime | None,
    as_json: bool,
    as_csv: bool,
    trial_id: str | None,
) -> None:
    """Show what has been measured.

    Median with its 95 % interval over launches, mean and number of runs; `planned` and `failed` trials are told too.
    A trial's id, or the beginning of it, is in the last column.
    """
    if as_json and as_csv:
        raise BadInput("--json and --csv exclude each other; give one of them")
    with app.store() as store:
        if trial_id is not None:
            _print_samples(store, trial_id, as_json=as_json)
            return
        found = store.results(serials=serials_of(app, store, devices), since=since, model=model)
    show_results(found, names=device_names(app), as_json=as_json, as_csv=as_csv)


def show_results(
    found: Sequence[Result], *, names: Mapping[str, str] | None = None, as_json: bool = False, as_csv: bool = False
) -> None:
    """Print to standard output.

    Args: names: serial → device name; devices without one are shown by serial.
    """
    names = names or {}
    if as_json:
        click.echo(json.dumps([_as_json(result, names) for result in found], indent=1))
    elif as_csv:
        _write_csv([_flat(_as_json(result, names)) for result in found])
    elif not found:
        click.echo("nothing measured yet; try: leadline measure MODEL --device NAME", err=True)
    else:
        console = Console()
        if not console.is_terminal:
            console = Console(width=_WIDE)
        console.print(_table(found, names))


def summary_of(result: Result) -> Summary | None:
    """None: there is no done attempt with timed samples."""
    if result.attempt is None or not any(
        block.wall_ns.size for launch in result.attempt.launches for block in launch.blocks if not block.warmup
    ):
        return None
    return summarize(result.attempt.launches, result.trial.protocol.confidence)


def notes_of(result: Result) -> list[str]:
    """What a reader of the number should know, as ``what: how, and what to do``."""
    notes = []
    attempt = result.attempt
    if attempt is None and result.last is not None and result.last.outcome == "failed":
        notes.append(f"{result.last.error_kind}: {result.last.error}")
    if attempt is not None:
        different = attempt.output_check == "different"
        told = "; ".join(attempt.warnings) or "not what the host computes"
        notes += [f"outputs: {told}"] if different else attempt.warnings
        notes += flags(attempt.launches)
    if result.profile is not None and result.profile.emulated:
        notes.append(f"emulated: {result.profile.emulated}; latency is meaningless here")
    return notes


def _notes_in_short(result: Result) -> str:
    """Why a trial failed, whole; what to know of a result, a word each."""
    notes = [printable(note) for note in notes_of(result)]
    return ", ".join(note.partition(":")[0] for note in notes) if result.attempt else "; ".join(notes)


def _table(found: Sequence[Result], names: Mapping[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("device", "model", "config"):
        table.add_column(heading, overflow="fold")
    for heading in ("median", "±", "mean", "n"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("notes", overflow="fold", ratio=1)
    table.add_column("trial", no_wrap=True)
    for result in found:
        trial = result.trial
        row = [
            printable(names.get(trial.serial, trial.serial)),
            printable(trial.model_name),
            describe_config(trial.config),
            *_numbers(result),
            _notes_in_short(result),
            trial.id[:8],
        ]
        table.add_row(*map(Text, row))  # Text: a name like [red] is a name, not markup
    return table


def _numbers(result: Result) -> tuple[str, str, str, str]:
    summary = summary_of(result)
    if summary is None:
        return result.trial.state, "", "", ""
    reach = max(summary.high_ns - summary.median_ns, summary.median_ns - summary.low_ns)
    relative = f"{reach / summary.median_ns:.1%}" if math.isfinite(reach) else "unknown"
    return format_ns(summary.median_ns), relative, format_ns(summary.mean_ns), str(summary.n)


def _as_json(result: Result, names: Mapping[str, str]) -> dict[str, Any]:
    trial, attempt, last = result.trial, result.attempt, result.last
    summary = summary_of(result)
    config = msgspec.to_builtins(trial.config)
    return {
        "trial": trial.id,
        "campaign": trial.campaign_id,
        "device": names.get(trial.serial),
        "serial": trial.serial,
        "model": trial.model_name,
        "sha256": trial.artifact,
        "flops": result.artifact.flops,
        "config": config | {"cpus": None if trial.config.cpus is None else format_cpu_list(trial.config.cpus)},
        "protocol": trial.protocol.name,
        "state": trial.state,
        "tries": result.tries,
        "summary": None if summary is None else _finite(msgspec.to_builtins(summary)),
        "notes": notes_of(result),
        "output_check": attempt.output_check if attempt else None,
        "attempt": attempt.id if attempt else None,
        "measured_at": attempt.started_at.isoformat() if attempt else None,
        "runtime": attempt.launches[0].ready.runtime if attempt and attempt.launches else None,
        "error_kind": last.error_kind if last else None,
        "error": last.error if last else None,
    }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: an interval without an end ends at null."""
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in values.items()}


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    empty = dict.fromkeys(Summary.__struct_fields__)
    nested = {"config": record["config"], "summary": record["summary"] or empty}
    inner = {f"{outer}_{name}": value for outer, values in nested.items() for name, value in values.items()}
    plain = {name: value for name, value in record.items() if name not in nested}
    return plain | inner | {"notes": "; ".join(record["notes"])}


def _print_samples(store: Store, trial_id: str, *, as_json: bool) -> None:
    trial = store.trial(trial_id)
    rows = [row for attempt in store.attempts([trial.id]) for row in _sample_rows(attempt)]
    if as_json:
        click.echo(json.dumps(rows))
    else:
        _write_csv(rows)
    if not rows:
        click.echo(f"trial {trial.id} is {trial.state} and has no samples", err=True)


def _sample_rows(attempt: Attempt) -> Iterator[dict[str, Any]]:
    for launch in attempt.launches:
        for number, block in enumerate(launch.blocks):
            samples = zip(block.wall_ns.tolist(), block.cpu_ns.tolist(), block.switches.tolist(), strict=True)
            for index, (wall_ns, cpu_ns, switches) in enumerate(samples):
                yield {
                    "attempt": attempt.id,
                    "outcome": attempt.outcome,
                    "launch": launch.index,
                    "block": number,
                    "index": index,
                    "warmup": block.warmup,
                    "wall_ns": wall_ns,
                    "cpu_ns": cpu_ns,
                    "switches": switches,
                }


def _write_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
