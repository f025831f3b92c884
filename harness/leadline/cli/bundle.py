"""``leadline bundle``: measurements as one file that others can check."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from leadline.cli.app import App
from leadline.cli.selection import DEVICE_OPTION, SINCE_OPTION, serials_of
from leadline.core.text import printable
from leadline.core.units import format_bytes

_FILE = click.argument("file", type=click.Path(path_type=Path))


@click.group()
def bundle() -> None:
    """Export, verify, import and show measurement bundles.

    A bundle is a BagIt bag in a zip: Parquet tables that any tool can read, and a manifest that `sha256sum -c` checks.
    """


@bundle.command()
@click.argument("out", type=click.Path(path_type=Path))
@DEVICE_OPTION
@SINCE_OPTION
@click.option("--anonymize", is_flag=True, help="Hash serials and campaign names; leave out host paths and messages.")
@click.option("--models", is_flag=True, help="Put the model files in.")
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
@click.pass_obj
def export(
    app: App,
    out: Path,
    devices: tuple[str, ...],
    since: datetime | None,
    anonymize: bool,
    models: bool,
    force: bool,
) -> None:
    """Write what the store holds, or a part of it, to OUT. The same store gives the same bytes."""
    from leadline.bundle.export import export_bundle

    with app.store() as store:
        contents = export_bundle(
            store,
            out,
            serials=serials_of(app, store, devices),
            since=since,
            anonymize=anonymize,
            models=models,
            force=force,
        )
    size = format_bytes(out.stat().st_size)
    counts = f"{len(contents.trials)} trials, {len(contents.attempts)} attempts, {len(contents.sweeps)} sweeps, {size}"
    click.echo(f"{printable(str(out))}: {counts}; check it with: leadline bundle verify", err=True)


@bundle.command()
@_FILE
@click.pass_context
def verify(context: click.Context, file: Path) -> None:
    """Check FILE to the last byte; exits with 1 and names every problem if it is not whole and consistent."""
    from leadline.bundle.verify import verify_bundle

    verification = verify_bundle(file)
    for problem in verification.problems:
        click.echo(problem)
    if verification.problems:
        click.echo(f"{printable(str(file))}: {len(verification.problems)} problems; do not use it", err=True)
        context.exit(1)
    click.echo(f"{printable(str(file))}: whole and consistent")


@bundle.command(name="import")
@_FILE
@click.pass_obj
def import_(app: App, file: Path) -> None:
    """Verify FILE and add to the store what it does not have. Importing twice changes nothing."""
    from leadline.bundle.importing import import_bundle

    with app.store() as store:
        merged = import_bundle(store, file)
    new = (
        f"{merged.trials} trials, {merged.attempts} attempts, {merged.profiles} profiles, {merged.artifacts} models, "
        f"{merged.sweeps} sweeps"
    )
    click.echo(f"{printable(str(file))}: new in the store: {new}", err=True)


@bundle.command()
@_FILE
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def show(context: click.Context, file: Path, as_json: bool) -> None:
    """Say what is in FILE. Checks it on the way; exits with 1 if anything is wrong."""
    from leadline.bundle.overview import overview
    from leadline.bundle.verify import verify_bundle

    verification = verify_bundle(file)
    told = overview(verification)
    if as_json:
        click.echo(json.dumps(told, indent=1))
    else:
        for name, value in told.items():
            for line in value if isinstance(value, list) else [value]:
                click.echo(f"{name.replace('_', ' '):16}{_words(line)}")
    context.exit(1 if verification.problems else 0)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(each)}" for name, each in value.items() if each is not None)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "unknown" if value is None else printable(str(value))
