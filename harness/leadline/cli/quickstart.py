"""``leadline quickstart``: the main job from end to end, on the machine at hand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadline.cli.app import App

if TYPE_CHECKING:
    from leadline.store.contents import Result

_SPACE = "mobilenet_v2"
_LEASE_WAIT_S = 600.0


@click.command()
@click.option("-n", "--networks", type=click.IntRange(2), default=8, show_default=True, help="How many to sample.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Which ones.")
@click.option(
    "-o",
    "--bundle",
    "out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the bundle goes.  [default: ./leadline-quickstart-<campaign>.zip]",
)
@click.pass_obj
def quickstart(app: App, networks: int, seed: int, out: Path | None) -> None:
    """Measure networks of the MonoNAS MobileNet-V2 space on this machine, at one thread and on all CPUs, and export a
    bundle that others can check."""
    from leadline.bundle.export import export_bundle
    from leadline.bundle.verify import verify_bundle
    from leadline.campaign.session import Order
    from leadline.cli.measuring import measure_with_progress
    from leadline.cli.results import show_results
    from leadline.cli.selection import device_names
    from leadline.device.enrol import enrol
    from leadline.search.model.files import sample_models
    from leadline.search.space.registry import find_space
    from leadline.stats.protocols import DEFAULT

    app.home.make()
    _step(1, "enrolling this machine")
    enrolment = enrol(app.lab(), "local:", host_cache=app.home.cache, progress=_tell)
    _tell(f"{enrolment.entry.name} ({enrolment.change} in {app.home.lab_file})")
    _step(2, f"sampling {networks} networks of {_SPACE}, seed {seed}")
    folder = app.home.root / "models" / _SPACE
    artifacts = tuple(sample_models(find_space(_SPACE), networks, seed=seed, folder=folder))
    _tell(str(folder))
    _step(3, "measuring each at 1 thread and on all CPUs")
    order = Order(artifacts=artifacts, threads=(1, None), protocol=DEFAULT)
    with app.store() as store:
        ended = measure_with_progress(app, store, order, [enrolment.entry], name="quickstart", wait_s=_LEASE_WAIT_S)
        results = store.results(campaign_id=ended.campaign.id)
        show_results(results, names=device_names(app))
        click.echo(_rank_agreement(results))
        ended.raise_if_unfinished()
        _step(4, "exporting a bundle and verifying it")
        out = out or Path(f"leadline-quickstart-{ended.campaign.id[:8]}.zip")
        export_bundle(store, out, campaign_id=ended.campaign.id)
    verification = verify_bundle(out)
    assert verification.ok, verification.problems
    click.echo(f"bundle: {out} ({verification.size_bytes} bytes, verified)")
    click.echo(
        "\nWhat next:\n"
        f"  leadline bundle show {out}\n"
        f"  leadline measure YOUR.tflite --device {enrolment.entry.name}\n"
        "  leadline device add ssh://pi@raspberrypi.local   or   adb:SERIAL (see: leadline device scan)\n"
        "  leadline results --json",
        err=True,
    )


def _rank_agreement(results: Sequence[Result]) -> str:
    """How far FLOPs alone would have told the order of these networks, per configuration."""
    from leadline.cli.results import summary_of
    from leadline.cli.words import describe_config
    from leadline.stats.rank import srcc

    columns: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for result in results:
        summary = summary_of(result)
        if summary is not None and result.artifact.flops is not None:
            columns[describe_config(result.trial.config)].append((result.artifact.flops, summary.median_ns))
    return "\n".join(
        f"SRCC of FLOPs with latency over {len(pairs)} networks, {config}: {srcc(*zip(*pairs, strict=True)):.3f}"
        for config, pairs in columns.items()
        if len(pairs) >= 2
    )


def _step(number: int, what: str) -> None:
    click.echo(f"[{number}/4] {what}", err=True)


def _tell(what: str) -> None:
    click.echo(f"      {what}", err=True)
