"""``leadline measure``: models × devices × configurations, measured now."""

from __future__ import annotations

from pathlib import Path

import click

from leadline.cli.app import App
from leadline.core.errors import BadInput
from leadline.core.text import printable
from leadline.core.units import parse_cpu_list
from leadline.records.device import DeviceEntry


class ThreadCount(click.ParamType[int | None]):
    """A number of threads, or ``all`` (None): as many as the chosen CPUs."""

    name = "N|all"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        text = str(value)
        if text == "all":
            return None
        if not text.isdecimal() or int(text) < 1:
            self.fail(f"{text!r} is neither a number of threads nor 'all'", param, ctx)
        return int(text)


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--device", "devices", multiple=True, help="Name or tag of an enrolled device; may be repeated.")
@click.option(
    "--threads",
    multiple=True,
    type=ThreadCount(),
    metavar="N|all",
    help="Threads; may be repeated.  [default: 1 and all]",
)
@click.option("--cluster", help="Pin to the CPUs of this cluster, as `leadline device show` names it: big, little …")
@click.option("--cpus", help="Pin to these CPUs, like 0-3,6.")
@click.option("--delegate", type=click.Choice(["xnnpack", "none"]), default="xnnpack", show_default=True)
@click.option(
    "--protocol",
    type=click.Choice(["default", "paper"]),
    default="default",
    show_default=True,
    help="default: several launches, each until its median is known to ±1 %; paper: the mean of 1000 runs.",
)
@click.option("--launches", type=click.IntRange(1, 1000), help="Process launches per trial instead of the protocol's.")
@click.option(
    "--half-width",
    type=click.FloatRange(0.0001, 1),
    help="Precision asked for instead of the protocol's, 0.01 is ±1 %.",
)
@click.option(
    "--max-runs", type=click.IntRange(1, 10**6), help="Cap of timed runs per launch instead of the protocol's."
)
@click.option("--ops", is_flag=True, help="Also time every op, in a launch of its own.")
@click.option("--name", default="measure", show_default=True, help="What to call this campaign.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0),
    default=600.0,
    show_default=True,
    help="Seconds to wait for a device that another process holds.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@click.pass_obj
def measure(
    app: App,
    models: tuple[Path, ...],
    devices: tuple[str, ...],
    threads: tuple[int | None, ...],
    cluster: str | None,
    cpus: str | None,
    delegate: str,
    protocol: str,
    launches: int | None,
    half_width: float | None,
    max_runs: int | None,
    ops: bool,
    name: str,
    wait_s: float,
    as_json: bool,
) -> None:
    """Measure MODELS (.tflite files) on devices and keep every sample.

    Ctrl-C ends after the block at hand and keeps what is done; a second Ctrl-C leaves at once.
    """
    from leadline.campaign.session import Order
    from leadline.cli.measuring import measure_with_progress
    from leadline.cli.results import show_results
    from leadline.cli.selection import device_names
    from leadline.search.model.inspect import inspect_file
    from leadline.stats.protocols import DEFAULT, PAPER, custom

    if cluster and cpus:
        raise BadInput("--cluster and --cpus both say where to run; give one of them")
    asked = PAPER if protocol == "paper" else DEFAULT
    if launches or half_width or max_runs:
        asked = custom(asked, launches=launches, half_width=half_width, max_runs=max_runs)
    order = Order(
        artifacts=tuple(inspect_file(path).artifact() for path in models),
        threads=threads or (1, None),
        protocol=asked,
        cluster=cluster,
        cpus=parse_cpu_list(cpus) if cpus else None,
        delegate=delegate,
        per_op=ops,
    )
    entries = _chosen(app, devices)
    with app.store() as store:
        ended = measure_with_progress(app, store, order, entries, name=name, wait_s=wait_s)
        show_results(store.results(campaign_id=ended.campaign.id), names=device_names(app), as_json=as_json)
    ended.raise_if_unfinished()


def _chosen(app: App, devices: tuple[str, ...]) -> tuple[DeviceEntry, ...]:
    """The devices asked for; the only one there is if none was named."""
    lab = app.lab()
    if devices:
        return lab.select(devices)
    if len(lab.devices) == 1:
        return lab.devices
    names = ", ".join(printable(entry.name) for entry in lab.devices)
    raise BadInput(
        f"--device: which of {names}?" if names else "no device is enrolled; try: leadline device add local:"
    )
