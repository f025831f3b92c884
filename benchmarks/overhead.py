"""How much does the harness add to what the device does?

    python -m benchmarks overhead

A session of cached trials on this machine, over every transport. Overhead is the session's wall time that no runner
process spent loading, preparing or inferring, over the number of trials; opening the session (connecting, probing,
starting the agent) is part of it and also shown alone. Every round measures all transports in turn.
"""

from __future__ import annotations

import statistics
import threading
import time

from benchmarks.devices import Loopback, loopback
from benchmarks.repeatability import device_time_s
from benchmarks.tables import print_table
from leadline.campaign.plan import new_campaign
from leadline.campaign.progress import Silent
from leadline.campaign.session import Host, Order, measure_devices
from leadline.core.clock import SystemClock
from leadline.core.home import Home
from leadline.device.enrol import enrol
from leadline.device.lab import Lab
from leadline.device.link import open_link
from leadline.records.device import DeviceEntry
from leadline.search.model.files import save_model
from leadline.search.space.mobilenet_v2 import SPACE
from leadline.stats.protocols import DEFAULT
from leadline.store.store import Store
from tests.support.programs import CACHE

TRIALS = 8
ROUNDS = 5
PROMISES_S = {"local": 0.15, "ssh": 0.5, "adb": 0.5}


def main() -> None:
    with loopback() as servers:
        home = Home(servers.folder / "home")
        home.make()
        home.cache.rmdir()
        home.cache.symlink_to(CACHE)  # device programs are built once per checkout
        entries = _entries(servers)
        overheads: dict[str, list[float]] = {name: [] for name in entries}
        openings: dict[str, list[float]] = {name: [] for name in entries}
        blocks = SPACE.block_table()[:TRIALS]
        artifacts = tuple(
            save_model(block, servers.folder / "models" / f"{i}.tflite") for i, block in enumerate(blocks)
        )
        order = Order(artifacts=artifacts, threads=(1,), protocol=DEFAULT)
        with Store.open(home.store_url) as store:
            for round_number in range(ROUNDS + 1):  # the first fills the caches
                for name, entry in entries.items():
                    overhead_s, opening_s = _session(order, entry, home, store)
                    if round_number:
                        overheads[name].append(overhead_s)
                        openings[name].append(opening_s)
    rows = [
        [
            name,
            f"{statistics.median(overheads[name]) * 1e3:.0f} ms",
            f"{max(overheads[name]) * 1e3:.0f} ms",
            f"{PROMISES_S[name] * 1e3:.0f} ms",
            f"{statistics.median(openings[name]) * 1e3:.0f} ms",
        ]
        for name in entries
    ]
    title = f"(b) Harness overhead a trial, model and agent cached, {TRIALS} trials a session, {ROUNDS} sessions"
    print_table(title, ["transport", "median", "worst", "promise", "of a session: opening it"], rows)


def _entries(servers: Loopback) -> dict[str, DeviceEntry]:
    """A lab each: over every transport it is the same unit."""
    uris = {"local": "local:", "ssh": servers.sshd.uri, "adb": servers.adb_uri}
    return {
        name: enrol(
            Lab.load(servers.folder / f"{name}.toml"),
            uri,
            name=name,
            directory=str(servers.folder / f"device {name}"),
            host_cache=servers.folder / "home" / "cache",
        ).entry
        for name, uri in uris.items()
    }


def _session(order: Order, entry: DeviceEntry, home: Home, store: Store) -> tuple[float, float]:
    """Overhead a trial and the time to open a session, seconds."""
    start_s = time.monotonic()
    with open_link(entry, host_cache=home.cache):
        opening_s = time.monotonic() - start_s
    clock = SystemClock()
    host = Host(home=home, store=store, clock=clock, progress=Silent(), stop=threading.Event(), lease_wait_s=0)
    campaign = new_campaign("overhead", clock.now())
    start_s = time.monotonic()
    failures = measure_devices(campaign, order, [entry], host)
    wall_s = time.monotonic() - start_s
    if failures:
        raise failures[entry.name]
    trials = [trial.id for trial in store.trials(campaign_id=campaign.id)]
    busy_s = sum(device_time_s(launch) for attempt in store.attempts(trials) for launch in attempt.launches)
    return (wall_s - busy_s) / len(trials), opening_s
