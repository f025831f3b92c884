"""From what was asked (models, devices, threads, CPUs) to trials."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from uuid import uuid4

from leadline.core.errors import BadInput
from leadline.core.units import format_cpu_list
from leadline.records.device import Profile
from leadline.records.trial import Artifact, Campaign, MeasureProtocol, RunConfig, Trial

_VERSIONED = ("leadline", "ai-edge-litert", "numpy", "ziglang", "adbutils", "paramiko")


def new_campaign(name: str, created_at: datetime) -> Campaign:
    versions = {package: version(package) for package in _VERSIONED}
    return Campaign(
        id=uuid4().hex, name=name, created_at=created_at, versions={"python": platform.python_version(), **versions}
    )


def resolve_config(
    profile: Profile,
    *,
    device: str,
    threads: int | None,
    cluster: str | None = None,
    cpus: Sequence[int] | None = None,
    delegate: str = "xnnpack",
) -> RunConfig:
    """Turn words into numbers on one device.

    Args:
        threads: None means all CPUs of the chosen set.
        cluster, cpus: at most one of them; neither means every CPU, not pinned.
    Raises: BadInput naming what the device has instead.
    """
    if cluster is not None:
        chosen = next((c.cpus for c in profile.clusters if c.name == cluster), None)
        if chosen is None:
            names = ", ".join(f"{c.name} ({format_cpu_list(c.cpus)})" for c in profile.clusters)
            raise BadInput(f"{device}: no cluster {cluster!r}; it has: {names}")
    else:
        chosen = tuple(sorted(set(cpus))) if cpus else None
    if chosen is not None and (missing := set(chosen) - set(profile.cpus)):
        raise BadInput(
            f"{device}: no CPU {format_cpu_list(missing)} to run on; it offers {format_cpu_list(profile.cpus)}"
        )
    available = len(chosen if chosen is not None else profile.cpus)
    count = available if threads is None else threads
    if not 1 <= count <= available:
        raise BadInput(f"{device}: {count} threads on {available} CPUs; ask for 1 to {available}, or all")
    return RunConfig(threads=count, cpus=chosen, cluster=cluster, delegate=delegate)


def plan_trials(
    campaign: Campaign,
    profile: Profile,
    artifacts: Sequence[Artifact],
    configs: Sequence[RunConfig],
    protocol: MeasureProtocol,
) -> list[Trial]:
    """Every artifact under every configuration, each pair once; configurations alternate: drift hides in none."""
    distinct_artifacts = {artifact.sha256: artifact for artifact in artifacts}.values()
    distinct_configs = list({(c.threads, c.cpus, c.delegate): c for c in configs}.values())
    return [
        Trial(
            id=uuid4().hex,
            campaign_id=campaign.id,
            serial=profile.serial,
            artifact=artifact.sha256,
            model_name=artifact.name,
            config=config,
            protocol=protocol,
        )
        for artifact in distinct_artifacts
        for config in distinct_configs
    ]
