"""What `measure` and `quickstart` share: run an order on devices while showing it, and say how it ended."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec
from rich.console import Console

from leadline.campaign.plan import new_campaign
from leadline.campaign.session import Host, Order, measure_devices
from leadline.cli.app import App
from leadline.cli.progress import watching
from leadline.core.clock import SystemClock
from leadline.core.errors import LeadlineError
from leadline.core.text import printable
from leadline.records.device import DeviceEntry
from leadline.records.trial import Campaign
from leadline.store.store import Store


class Unfinished(LeadlineError):
    """Some trials have no result; what was measured is in the store."""

    exit_code = 4


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a campaign ended."""

    campaign: Campaign
    interrupted: bool
    problems: tuple[str, ...]  # a sentence each; empty: every trial has its result

    def raise_if_unfinished(self) -> None:
        """Raises: KeyboardInterrupt after Ctrl-C, Unfinished naming every problem."""
        if self.interrupted:
            raise KeyboardInterrupt
        if self.problems:
            raise Unfinished("; ".join(self.problems))


def measure_with_progress(
    app: App, store: Store, order: Order, entries: Sequence[DeviceEntry], *, name: str, wait_s: float
) -> Ended:
    """Measure, showing progress on standard error."""
    clock = SystemClock()
    campaign = new_campaign(name, clock.now())
    stop = threading.Event()
    with watching(Console(stderr=True)) as progress:
        host = Host(home=app.home, store=store, clock=clock, progress=progress, stop=stop, lease_wait_s=wait_s)
        failures = measure_devices(campaign, order, entries, host)
    trials = store.trials(campaign_id=campaign.id)
    problems = [f"{printable(device)} could not be measured to the end" for device in failures]
    if failed := sum(trial.state == "failed" for trial in trials):
        problems.append(f"{failed} of {len(trials)} trials failed; see: leadline results --json")
    return Ended(campaign=campaign, interrupted=stop.is_set(), problems=tuple(problems))
