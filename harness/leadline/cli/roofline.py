"""``leadline roofline``: what devices can do at most, and how far networks are from it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
from rich.console import Console

from leadline.cli import roof_tables as tables
from leadline.cli.app import App
from leadline.cli.gables import gables
from leadline.cli.roof_comparison import compare_devices, comparison_json, print_comparison
from leadline.cli.roofs import Networks, Roofs, networks_of, roofs_of, type_of
from leadline.core.errors import BadInput
from leadline.core.text import printable
from leadline.records.roofline import KernelType
from leadline.roofline.figure import Figure, comparison_figure, device_figure
from leadline.roofline.fit import TYPES, Roofline, fit
from leadline.roofline.specification import Specification, known
from leadline.roofline.terminal import draw

if TYPE_CHECKING:
    from leadline.campaign.sweeping import Scope

_DTYPE = click.option(
    "--dtype", type=click.Choice(TYPES), default="float32", show_default=True, help="Type of number to show."
)
_SPECS = click.option(
    "--spec",
    "specs",
    multiple=True,
    metavar="NAME|PEAK,GBYTES",
    help="Also draw theoretical roofs: of a known device like samsung-s5e, or GFLOP/s and GB/s; may be repeated.",
)
_CHARTS = {
    kind: click.option(
        f"--{kind}", type=click.Path(path_type=Path, dir_okay=False), help=f"Write the plot as {kind.upper()}."
    )
    for kind in ("svg", "png", "html")
}
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


Command = TypeVar("Command", bound=Callable[..., None])


def _chart_options(command: Command) -> Command:
    for option in reversed(_CHARTS.values()):
        command = option(command)
    return command


@click.group()
def roofline() -> None:
    """Measure rooflines, and see networks under them.

    A roofline says how many operations per second a device can do at most, given how many of them a program does for
    each byte that it moves: up to the ridge point memory bounds it, from there on computation does.
    """


roofline.add_command(gables)


@roofline.command()
@click.option("--device", required=True, help="Name of an enrolled device.")
@click.option(
    "--cores",
    "scopes",
    multiple=True,
    type=click.Choice(["1", "cluster", "all"]),
    help="One thread on each cluster, all cores of each cluster, all cores; may be repeated.  [default: all three]",
)
@click.option(
    "--dtype", "dtypes", multiple=True, type=click.Choice(TYPES), help="May be repeated.  [default: what the CPU has]"
)
@click.option(
    "--beside/--no-beside",
    default=True,
    help="With `cluster`: also each cluster while the others keep the memory busy, for Gables.  [default: beside]",
)
@click.option("--quick", is_flag=True, help="Fewer points: rougher roofs in a few seconds each.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0),
    default=600.0,
    show_default=True,
    help="Seconds to wait for a device that another process holds.",
)
@_JSON
@click.pass_obj
def run(
    app: App,
    device: str,
    scopes: tuple[Scope, ...],
    dtypes: tuple[KernelType, ...],
    beside: bool,
    quick: bool,
    wait_s: float,
    as_json: bool,
) -> None:
    """Sweep a device with micro-kernels and keep every try.

    Each sweep takes 20 s at most and is kept as soon as it is whole. Ctrl-C ends the one at hand and keeps the others.
    """
    from leadline.campaign.sweeping import SCOPES, SweepHost, SweepOrder, measure_sweeps
    from leadline.cli.sweep_progress import watching_sweeps
    from leadline.core.clock import SystemClock

    entry = app.lab().device(device)
    order = SweepOrder(scopes=scopes or SCOPES, beside=beside, dtypes=dtypes, quick=quick)
    app.home.make()
    with app.store() as store, watching_sweeps(Console(stderr=True)) as progress:
        host = SweepHost(home=app.home, store=store, clock=SystemClock(), progress=progress, lease_wait_s=wait_s)
        sweeps = measure_sweeps(order, entry, host)
    rooflines = [fit(sweep) for sweep in sweeps]
    if as_json:
        click.echo(json.dumps({"device": entry.name, **tables.device_json(entry.serial, rooflines)}, indent=1))
    else:
        tables.print_roofs(rooflines)


@roofline.command()
@click.argument("device")
@click.option("--networks", is_flag=True, help="Also place the networks that were measured on the device.")
@_DTYPE
@click.option(
    "--cores",
    type=click.Choice(["1", "all"]),
    default="all",
    show_default=True,
    help="Draw the roofs of one thread, or of the most that were measured.",
)
@click.option("--cluster", help="Draw the roofs of this cluster.  [default: the fastest, or all]")
@_SPECS
@_chart_options
@_JSON
@click.pass_obj
def show(
    app: App,
    device: str,
    networks: bool,
    dtype: KernelType,
    cores: str,
    cluster: str | None,
    specs: tuple[str, ...],
    svg: Path | None,
    png: Path | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Show the roofs of DEVICE (a name of the lab, or a serial): a table, and a plot.

    Each roof is the best that was measured; the interval says where the best of another sweep would lie.
    """
    theoretical = [_specification(text) for text in specs]
    with app.store() as store:
        roofs = roofs_of(app, store, device)
        placed = networks_of(store, roofs) if networks else Networks(placed=(), problems=())
    drawn = _drawn(roofs, dtype, cores=cores, cluster=cluster)
    figure = device_figure(
        device,
        drawn,
        dtype=dtype,
        placements=[
            each.placement for each in placed.placed if each.roofline.sweep_id == drawn.sweep_id and each.dtype == dtype
        ],
        specifications=theoretical,
    )
    for problem in (*roofs.problems, *placed.problems):
        click.echo(problem, err=True)
    _write(figure, svg=svg, png=png, html=html)
    if as_json:
        told = {"device": device, **tables.device_json(roofs.serial, roofs.rooflines)}
        told["specifications"] = [tables.specification_json(each) for each in theoretical]
        told["networks"] = [tables.network_json(each) for each in placed.placed]
        click.echo(json.dumps(told, indent=1))
        return
    tables.print_roofs(roofs.rooflines)
    click.echo()
    click.echo(draw(figure, columns=min(shutil.get_terminal_size().columns, 120)), nl=False)
    if networks:
        click.echo()
        tables.print_networks(placed.placed)


@roofline.command()
@click.argument("one")
@click.argument("other")
@_DTYPE
@_SPECS
@_chart_options
@_JSON
@click.pass_obj
def compare(
    app: App,
    one: str,
    other: str,
    dtype: KernelType,
    specs: tuple[str, ...],
    svg: Path | None,
    png: Path | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Compare the roofs of two devices, and say whether they must order networks alike.

    The condition is that of the MonoNAS paper's appendix: a network that the same roof bounds on both devices, memory
    or computation, takes times in the same order on both. It is evaluated over the models measured on both.
    """
    theoretical = [_specification(text) for text in specs]
    if one == other:
        raise BadInput(f"{printable(one)}: is the same device twice; name two")
    with app.store() as store:
        roofs = (roofs_of(app, store, one), roofs_of(app, store, other))
        networks = (networks_of(store, roofs[0]), networks_of(store, roofs[1]))
    for problem in [text for each in (*roofs, *networks) for text in each.problems]:
        click.echo(problem, err=True)
    comparisons = compare_devices(roofs, networks, dtype)
    figure = comparison_figure(
        [(each.name, _drawn(each, dtype)) for each in roofs],
        dtype=dtype,
        specifications=theoretical,
    )
    _write(figure, svg=svg, png=png, html=html)
    if as_json:
        click.echo(json.dumps([comparison_json(each) for each in comparisons], indent=1))
        return
    for each in comparisons:
        print_comparison(each)
        click.echo()
    click.echo(draw(figure, columns=min(shutil.get_terminal_size().columns, 120)), nl=False)


def _drawn(roofs: Roofs, dtype: KernelType, *, cores: str = "all", cluster: str | None = None) -> Roofline:
    """The roofline to draw. Raises: BadInput that lists the clusters there are."""
    chosen = [
        each
        for each in roofs.alone
        if type_of(each, dtype)
        and (cores == "all" or each.config.threads == 1)
        and cluster in (None, each.config.cluster)
    ]
    if not chosen:
        clusters = sorted({each.config.cluster for each in roofs.alone if each.config.cluster})
        what = "1 thread" if cores == "1" else "any threads"
        where = f" on cluster {printable(cluster)!r}" if cluster else ""
        raise BadInput(
            f"{printable(roofs.name)}: no {dtype} roofs of {what}{where} were measured alone; its clusters are "
            f"{', '.join(map(printable, clusters)) or 'not known'}; try: leadline roofline run --device NAME"
        )
    return max(chosen, key=lambda each: (each.config.threads, each.of(dtype).peak_gops.center))


def _write(figure: Figure, **files: Path | None) -> None:
    """Args: files: kind → where to, None: not asked for."""
    from leadline.roofline.chart import save_chart

    for kind, path in files.items():
        if path is None:
            continue
        if path.suffix.lower() != f".{kind}":
            raise BadInput(f"--{kind} {printable(str(path))}: is no name of such a file; end it in .{kind}")
        save_chart(figure, path)
        click.echo(f"wrote {printable(str(path))}", err=True)


def _specification(text: str) -> Specification:
    peak, comma, gbytes = text.partition(",")
    if not comma:
        return known(text)
    try:
        values = float(peak), float(gbytes)
    except ValueError:
        values = (0.0, 0.0)
    if not all(0 < value < float("inf") for value in values):
        raise BadInput(f"--spec {printable(text)!r}: is no pair of positive numbers, GFLOP/s and GB/s, like 40.6,14.93")
    return Specification(name=text, peak_gflops=values[0], memory_gbytes=values[1], source="given with --spec")
