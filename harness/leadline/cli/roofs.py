"""What the roofline commands gather: a device's roofs from its sweeps, its networks from its trials."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from leadline.cli.app import App
from leadline.cli.results import summary_of
from leadline.cli.selection import serials_of
from leadline.cli.words import describe_config
from leadline.core.errors import BadInput
from leadline.core.text import printable
from leadline.records.device import Cluster
from leadline.records.roofline import KernelType
from leadline.records.trial import Artifact, RunConfig
from leadline.roofline.fit import Roofline, TypeRoofline, fit
from leadline.roofline.placement import Placement, Workload, place
from leadline.search.model.inspect import ModelReport, inspect_file
from leadline.store.store import Store

_DTYPES: dict[str, KernelType] = {"float16": "float16", "int8": "int8", "uint8": "int8"}  # others count as float32


class Roofs(msgspec.Struct, frozen=True, kw_only=True):
    """One device, as far as its sweeps tell."""

    name: str  # as it was asked for
    serial: str
    rooflines: tuple[Roofline, ...]  # the latest of every configuration and type; alone before beside others
    problems: tuple[str, ...]  # why a sweep gave no roofline

    @property
    def alone(self) -> list[Roofline]:
        return [roofline for roofline in self.rooflines if not roofline.beside]


class PlacedNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """A network where it stands under the roofs of the configuration it was measured with."""

    sha256: str
    config: RunConfig  # of the trial
    roofline: Roofline
    dtype: KernelType
    placement: Placement


class Networks(msgspec.Struct, frozen=True, kw_only=True):
    placed: tuple[PlacedNetwork, ...]
    problems: tuple[str, ...]  # why others are not


def roofs_of(app: App, store: Store, device: str) -> Roofs:
    """Args: device: a name of the lab, or a serial of the store. Raises: BadInput if it has no roofs."""
    [serial] = serials_of(app, store, [device]) or [device]
    problems: list[str] = []
    merged: dict[tuple[int, tuple[int, ...] | None, tuple[str, ...]], Roofline] = {}
    for sweep in store.sweeps(serials=[serial]):
        key = (sweep.config.threads, sweep.config.cpus, sweep.beside)
        try:
            merged[key] = _over(fit(sweep), merged.get(key))
        except BadInput as error:
            problems.append(str(error))
    if not merged:
        why = f" ({problems[-1]})" if problems else ""
        raise BadInput(
            f"{printable(device)}: no roofline of it was measured{why}; try: leadline roofline run --device NAME"
        )
    rooflines = sorted(merged.values(), key=lambda each: (each.beside != (), each.config.threads))
    return Roofs(name=device, serial=serial, rooflines=tuple(rooflines), problems=tuple(problems))


def _over(newer: Roofline, older: Roofline | None) -> Roofline:
    """The newer one, and what only the older one has: a sweep may measure one type of number alone."""
    known = {each.dtype for each in newer.types}
    kept = tuple(each for each in older.types if each.dtype not in known) if older else ()
    return msgspec.structs.replace(newer, types=(*newer.types, *kept))


def roofline_for(
    config: RunConfig, rooflines: Iterable[Roofline], dtype: KernelType, clusters: Sequence[Cluster] = ()
) -> Roofline | None:
    """The roofs over what runs with `config`: measured alone, with as many threads, on its CPUs or others of their
    clusters; the highest if several fit, since an unpinned thread runs on the fastest core."""
    alike = {cpu for cluster in clusters if set(cluster.cpus) & set(config.cpus or ()) for cpu in cluster.cpus}
    fitting = [
        roofline
        for roofline in rooflines
        if not roofline.beside
        and roofline.config.threads == config.threads
        and (config.cpus is None or set(roofline.config.cpus or ()) <= {*config.cpus, *alike})
        and type_of(roofline, dtype) is not None
    ]
    return max(fitting, key=lambda roofline: roofline.of(dtype).peak_gops.center, default=None)


def type_of(roofline: Roofline, dtype: KernelType) -> TypeRoofline | None:
    return next((each for each in roofline.types if each.dtype == dtype), None)


def networks_of(store: Store, roofs: Roofs) -> Networks:
    """The networks measured on the device, each by its last result of a configuration, under that one's roofs."""
    latest = {
        (result.artifact.sha256, result.trial.config): result
        for result in store.results(serials=[roofs.serial])
        if summary_of(result) is not None
    }
    names = _distinct_names([result.artifact for result in latest.values()])
    reports: dict[str, ModelReport | str] = {}
    placed, problems = [], []
    for (sha256, config), result in latest.items():
        report = reports.setdefault(sha256, _report(result.artifact))
        summary = summary_of(result)
        if isinstance(report, str) or summary is None:
            problems.append(str(report))
            continue
        dtype = _DTYPES.get(report.inputs[0].dtype, "float32") if report.inputs else "float32"
        clusters = result.profile.clusters if result.profile else ()
        roofline = roofline_for(config, roofs.rooflines, dtype, clusters)
        if roofline is None:
            problems.append(f"{names[sha256]}: no {dtype} roofs of {describe_config(config)}, as it was measured")
            continue
        workload = Workload(
            name=names[sha256],
            flops=report.counts.flops or 0,
            bytes_moved=report.counts.bytes_moved or 0,
            latency_ns=summary.median_ns,
        )
        try:
            placement = place(workload, roofline.of(dtype))
        except BadInput as error:
            problems.append(str(error))
            continue
        placed.append(PlacedNetwork(sha256=sha256, config=config, roofline=roofline, dtype=dtype, placement=placement))
    return Networks(placed=tuple(placed), problems=tuple(dict.fromkeys(problems)))


def _report(artifact: Artifact) -> ModelReport | str:
    """What is in a model's file, since the store knows no bytes moved; or why that cannot be known."""
    try:
        report = inspect_file(Path(artifact.path))
    except BadInput as error:
        return str(error)
    if report.sha256 != artifact.sha256:
        return f"{printable(artifact.path)}: has changed since it was measured"
    return report


def _distinct_names(artifacts: Sequence[Artifact]) -> dict[str, str]:
    """SHA-256 → name, with a piece of the SHA-256 behind where several models have one name."""
    names = {artifact.sha256: printable(artifact.name) for artifact in artifacts}
    taken = list(names.values())
    return {sha256: name if taken.count(name) == 1 else f"{name} {sha256[:8]}" for sha256, name in names.items()}
