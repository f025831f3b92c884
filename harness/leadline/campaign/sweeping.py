"""Sweeps: what a device can do at most, measured by micro-kernels under several run configurations in one session."""

from __future__ import annotations

from functools import partial
from typing import Literal, Protocol

import msgspec

from leadline.core.clock import Clock
from leadline.core.errors import BadInput
from leadline.core.home import Home
from leadline.core.text import printable
from leadline.device.lease import Holder, lease
from leadline.device.link import open_link
from leadline.device.probe import probe
from leadline.records.device import Cluster, DeviceEntry, Profile
from leadline.records.roofline import KernelPoint, KernelType, Sweep, SweepPlan
from leadline.records.trial import RunConfig
from leadline.roofline.plan import plan_sweep
from leadline.runner.kernels import measure_sweep
from leadline.store.store import Store

Scope = Literal["1", "cluster", "all"]
_QUICK_SECONDS = 5.0
SCOPES: tuple[Scope, ...] = ("1", "cluster", "all")


class SweepOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What to sweep on a device, in words that the device turns into its own numbers."""

    scopes: tuple[Scope, ...] = SCOPES
    beside: bool = True  # with "cluster": also each cluster while the others keep the memory busy, for Gables
    dtypes: tuple[KernelType, ...] = ()  # (): all that the device can
    quick: bool = False  # fewer points


class SweepSetup(msgspec.Struct, frozen=True, kw_only=True):
    """One sweep to take."""

    config: RunConfig
    beside: tuple[Cluster, ...] = ()  # kept busy meanwhile


class SweepProgress(Protocol):
    """What a session of sweeps tells while it works. The command line shows it; tests record it."""

    def note(self, device: str, text: str) -> None:
        """Something slow begins or a person should know."""
        ...

    def device_ready(self, device: str, profile: Profile, sweeps: int) -> None: ...

    def sweep_started(self, device: str, setup: SweepSetup, number: int) -> None:
        """`number` counts from 1 to the `sweeps` of `device_ready`."""
        ...

    def point(self, device: str, point: KernelPoint) -> None: ...

    def sweep_ended(self, device: str, sweep: Sweep) -> None:
        """It is in the store."""
        ...


class SweepHost(msgspec.Struct, frozen=True, kw_only=True):
    """What a session of sweeps needs on the host."""

    home: Home
    store: Store
    clock: Clock
    progress: SweepProgress
    lease_wait_s: float


def measure_sweeps(order: SweepOrder, entry: DeviceEntry, host: SweepHost) -> list[Sweep]:
    """Hold the device and sweep it. Each sweep is in the store, whole, before the next begins.

    Returns: the sweeps taken.
    Raises: DeviceError if the device cannot be reached or is lost; BadInput if the order does not fit it. Whatever
        ends it early, Ctrl-C included, the sweeps that were whole by then are in the store.
    """

    def waiting(holder: Holder) -> None:
        host.progress.note(entry.name, f"waiting: {holder}")

    def note(text: str) -> None:
        host.progress.note(entry.name, text)

    with (
        lease(
            host.home.leases,
            entry.serial,
            purpose="leadline roofline run",
            wait_s=host.lease_wait_s,
            on_wait=waiting,
            clock=host.clock,
        ),
        open_link(entry, host_cache=host.home.cache, progress=note) as link,
    ):
        profile = probe(link.transport, link.agent, serial=entry.serial, clock=host.clock)
        host.store.save_profile(profile)
        planned = [(setup, _plan(profile, setup, order, device=entry.name)) for setup in plan_setups(profile, order)]
        possible = [(setup, plan) for setup, plan in planned if not setup.beside or _reaches_memory(plan)]
        if len(possible) < len(planned):
            note("no sweeps beside busy clusters: its caches hold all the memory that may be used")
        host.progress.device_ready(entry.name, profile, len(possible))
        sweeps = []
        for number, (setup, plan) in enumerate(possible, start=1):
            host.progress.sweep_started(entry.name, setup, number)
            sweep = measure_sweep(
                link.agent,
                link.cache,
                profile,
                setup.config,
                plan,
                host_cache=host.home.cache,
                beside=setup.beside,
                device=entry.name,
                clock=host.clock,
                on_point=partial(host.progress.point, entry.name),
                progress=note,
            )
            host.store.save_sweep(sweep)
            sweeps.append(sweep)
            host.progress.sweep_ended(entry.name, sweep)
        return sweeps


def plan_setups(profile: Profile, order: SweepOrder) -> list[SweepSetup]:
    """The sweeps that an order means on one device, each once: on one cluster "all" is the cluster, and a cluster of
    one CPU has one thread. One thread runs on the last CPU of its cluster: the first serves most interrupts."""
    setups: list[SweepSetup] = []
    several = len(profile.clusters) > 1
    if "1" in order.scopes:
        setups += [SweepSetup(config=_on(cluster, cluster.cpus[-1:])) for cluster in profile.clusters]
    if "cluster" in order.scopes or ("all" in order.scopes and not several):
        setups += [SweepSetup(config=_on(cluster, cluster.cpus)) for cluster in profile.clusters]
    if "all" in order.scopes and several:
        setups.append(SweepSetup(config=RunConfig(threads=len(profile.cpus), cpus=profile.cpus)))
    if "cluster" in order.scopes and several and order.beside:
        setups += [
            SweepSetup(
                config=_on(cluster, cluster.cpus),
                beside=tuple(other for other in profile.clusters if other.name != cluster.name),
            )
            for cluster in profile.clusters
        ]
    return list({(setup.config.cpus, setup.beside): setup for setup in setups}.values())


def _on(cluster: Cluster, cpus: tuple[int, ...]) -> RunConfig:
    return RunConfig(threads=len(cpus), cpus=cpus, cluster=cluster.name)


def _reaches_memory(plan: SweepPlan) -> bool:
    return any(level.level == "DRAM" for level in plan.levels)


def _plan(profile: Profile, setup: SweepSetup, order: SweepOrder, *, device: str) -> SweepPlan:
    """Raises: BadInput if the device has no instructions for a type that was asked for."""
    plan = plan_sweep(profile, setup.config)
    missing = [dtype for dtype in order.dtypes if dtype not in plan.dtypes]
    if missing:
        raise BadInput(
            f"{printable(device)}: no instructions for {', '.join(missing)}; it can do: {', '.join(plan.dtypes)}"
        )
    plan = msgspec.structs.replace(plan, dtypes=order.dtypes or plan.dtypes)
    if order.quick:
        plan = msgspec.structs.replace(plan, intensities=plan.intensities[::2], seconds_at_most=_QUICK_SECONDS)
    return plan
