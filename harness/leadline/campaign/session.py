"""A session: one unbroken hold of one device, on which trials are planned and measured."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from leadline.campaign.attempt import Setting
from leadline.campaign.plan import plan_trials, resolve_config
from leadline.campaign.progress import Progress
from leadline.campaign.rounds import measure_in_rounds
from leadline.core.clock import Clock
from leadline.core.errors import LeadlineError
from leadline.core.home import Home
from leadline.device.lease import Holder, lease
from leadline.device.link import open_link
from leadline.device.probe import probe
from leadline.records.device import DeviceEntry, Profile
from leadline.records.ports import Runner
from leadline.records.trial import Artifact, Campaign, Fingerprint, MeasureProtocol
from leadline.runner.choose import choose_runner
from leadline.runner.reference import reference_fingerprints
from leadline.store.store import Store


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure on every device, in words that each device turns into its own numbers."""

    artifacts: tuple[Artifact, ...]
    threads: tuple[int | None, ...]  # None: all CPUs of the chosen set
    protocol: MeasureProtocol
    cluster: str | None = None
    cpus: tuple[int, ...] | None = None
    delegate: str = "xnnpack"
    per_op: bool = False


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """What sessions share on the host: where things are kept, who watches, and the word to stop."""

    home: Home
    store: Store
    clock: Clock
    progress: Progress
    stop: threading.Event
    lease_wait_s: float


def measure_devices(
    campaign: Campaign, order: Order, entries: Sequence[DeviceEntry], host: Host
) -> dict[str, LeadlineError]:
    """Measure `order` on all devices at once, a session each. Every attempt is in the store when this returns.

    Setting ``host.stop`` ends every session after its block at hand.

    Returns: by device name, the error that ended its session early.
    Raises: ModelRejected if this machine cannot run a model either; StoreError. Nothing is measured then.
    """
    references = _references(order.artifacts, host)
    host.store.save_campaign(campaign)
    for artifact in order.artifacts:
        host.store.save_artifact(artifact)
    failures: dict[str, LeadlineError] = {}

    def hold(entry: DeviceEntry) -> None:
        try:
            run_session(campaign, order, entry, references, host)
        except LeadlineError as error:
            failures[entry.name] = error
        host.progress.device_ended(entry.name, failures.get(entry.name))

    _all_at_once([partial(hold, entry) for entry in entries], host.stop)
    return failures


def run_session(
    campaign: Campaign,
    order: Order,
    entry: DeviceEntry,
    references: Mapping[str, tuple[Fingerprint, ...]],
    host: Host,
) -> None:
    """Hold the device, plan its trials, measure them.

    Raises: DeviceError if the device cannot be reached or is lost: the trials that were not tried stay planned.
        BadInput if the order does not fit the device.
    """

    def waiting(holder: Holder) -> None:
        host.progress.note(entry.name, f"waiting: {holder}")

    def note(text: str) -> None:
        host.progress.note(entry.name, text)

    with (
        lease(
            host.home.leases,
            entry.serial,
            purpose=campaign.name,
            wait_s=host.lease_wait_s,
            on_wait=waiting,
            clock=host.clock,
        ),
        open_link(entry, host_cache=host.home.cache, progress=note) as link,
    ):
        profile = probe(link.transport, link.agent, serial=entry.serial, clock=host.clock)
        host.store.save_profile(profile)
        runner = choose_runner(
            link.agent, link.cache, profile, host_cache=host.home.cache, device=entry.name, progress=note
        )
        _measure_trials(campaign, order, entry.name, profile, runner, references, host)


def _measure_trials(
    campaign: Campaign,
    order: Order,
    device: str,
    profile: Profile,
    runner: Runner,
    references: Mapping[str, tuple[Fingerprint, ...]],
    host: Host,
) -> None:
    configs = [
        resolve_config(
            profile, device=device, threads=threads, cluster=order.cluster, cpus=order.cpus, delegate=order.delegate
        )
        for threads in order.threads
    ]
    trials = plan_trials(campaign, profile, order.artifacts, configs, order.protocol)
    host.store.plan(trials)
    launches = sum(trial.protocol.launches + order.per_op for trial in trials)
    host.progress.device_ready(device, profile, len(trials), launches)
    artifacts = {artifact.sha256: artifact for artifact in order.artifacts}
    settings = [
        Setting(
            trial=trial,
            artifact=artifacts[trial.artifact],
            reference=references[trial.artifact],
            per_op=order.per_op,
        )
        for trial in trials
    ]
    measure_in_rounds(
        settings,
        runner,
        profile,
        device=device,
        store=host.store,
        progress=host.progress,
        clock=host.clock,
        stop=host.stop,
    )


def _references(artifacts: Sequence[Artifact], host: Host) -> dict[str, tuple[Fingerprint, ...]]:
    """The host's own outputs of every model, computed before any device is timed: this work shall disturb no sample."""
    host.progress.note("this host", f"running {len(artifacts)} models once each, to know what they compute")
    return {
        artifact.sha256: reference_fingerprints(Path(artifact.path), sha256=artifact.sha256, host_cache=host.home.cache)
        for artifact in artifacts
    }


def _all_at_once(jobs: Sequence[Callable[[], None]], stop: threading.Event) -> None:
    """Run every job in its own thread and wait for all.

    The first Ctrl-C sets `stop` and goes on waiting; the second leaves at once: the threads are daemons, and agents
    on the devices leave by themselves when their input closes.
    """
    # Events, not Thread.join: an interrupted join takes the thread for ended (CPython issue 90882).
    ended = [threading.Event() for _ in jobs]
    unexpected: list[BaseException] = []

    def run(job: Callable[[], None], done: threading.Event) -> None:
        try:
            job()
        except BaseException as error:
            unexpected.append(error)
        finally:
            done.set()

    for job, done in zip(jobs, ended, strict=True):
        threading.Thread(target=run, args=(job, done), daemon=True).start()
    try:
        for done in ended:
            done.wait()
    except KeyboardInterrupt:
        stop.set()
        for done in ended:
            done.wait()
    if unexpected:
        raise unexpected[0]
