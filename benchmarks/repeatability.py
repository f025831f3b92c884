"""Does the default protocol repeat as well as the mean of 1000 runs, at a tenth of the device time?

    python -m benchmarks repeatability

Every network is measured twice with each protocol on this machine, the second time after all the others have had their
first, so that the repeats are independent. The default protocol is measured as sessions do it, the launches of the
networks in turns, and also with each network's launches in a row. Device time is what the runner's processes took:
loading, preparing and every inference, warm-ups included. Repeatability is the difference between the two repeats over
their mean.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from threading import Event

import numpy as np

from benchmarks.tables import print_table
from leadline.campaign.attempt import AttemptRecording, Setting
from leadline.core.clock import SystemClock
from leadline.device.link import open_unchecked
from leadline.device.probe import probe
from leadline.records.device import DeviceEntry
from leadline.records.trial import Artifact, Attempt, Launch, MeasureProtocol, RunConfig, Trial
from leadline.runner.choose import choose_runner
from leadline.search.model.files import sample_models
from leadline.search.space.mobilenet_v2 import SPACE
from leadline.stats.protocols import DEFAULT, PAPER
from leadline.stats.summary import summarize
from tests.support.programs import CACHE

NETWORKS = 10
REPEATS = 2

Attempts = dict[tuple[str, str, int], Attempt]  # how, SHA-256 of the network, repeat


def device_time_s(launch: Launch) -> float:
    """What the device spent on this launch's process, from loading the model on."""
    inferences_ns = sum(int(block.wall_ns.sum()) for block in launch.blocks)
    return (launch.ready.load_ns + launch.ready.prepare_ns + launch.ready.first_ns + inferences_ns) / 1e9


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="leadline-bench-") as folder:
        sampled = sample_models(SPACE, 10 * NETWORKS, seed=100, folder=Path(folder))
        artifacts = sorted(sampled, key=lambda each: each.flops or 0)[:NETWORKS]  # the smallest: minutes, not an hour
        entry = DeviceEntry(name="bench", uri="local:", serial="", directory=f"{folder}/device")
        with open_unchecked(entry, host_cache=CACHE) as link:
            profile = probe(link.transport, link.agent)
            runner = choose_runner(link.agent, link.cache, profile, host_cache=CACHE)

            def recording(artifact: Artifact, protocol: MeasureProtocol, threads: int) -> AttemptRecording:
                trial = Trial(
                    id="bench",
                    campaign_id="bench",
                    serial="bench",
                    artifact=artifact.sha256,
                    model_name=artifact.name,
                    config=RunConfig(threads=threads),
                    protocol=protocol,
                )
                setting = Setting(trial=trial, artifact=artifact, reference=())
                return AttemptRecording(
                    setting, runner, profile, clock=SystemClock(), stop=Event(), on_runs=lambda *_: None
                )

            for threads in (1, len(profile.cpus)):
                attempts: Attempts = {}
                for repeat in range(REPEATS):
                    in_turns = {artifact.sha256: recording(artifact, DEFAULT, threads) for artifact in artifacts}
                    for _ in range(DEFAULT.launches):
                        for each in in_turns.values():
                            each.launch()
                    for sha256, each in in_turns.items():
                        attempts["in turns", sha256, repeat] = each.finish()
                    for artifact in artifacts:
                        in_a_row = recording(artifact, DEFAULT, threads).measure()
                        attempts["in a row", artifact.sha256, repeat] = in_a_row
                        attempts["paper", artifact.sha256, repeat] = recording(artifact, PAPER, threads).measure()
                if failed := [attempt.error for attempt in attempts.values() if attempt.outcome != "done"]:
                    raise RuntimeError(failed[0])
                _print(attempts, artifacts, threads)


def _print(attempts: Attempts, artifacts: list[Artifact], threads: int) -> None:
    rows = []
    paper_s = _device_times(attempts, "paper")
    for label, name, statistic in (
        ("default protocol: median of launches in turns", "in turns", "median_ns"),
        ("the same launches in a row", "in a row", "median_ns"),
        ("1000 runs, mean (the paper's)", "paper", "mean_ns"),
        ("1000 runs, median", "paper", "median_ns"),
    ):
        values = np.array(
            [
                [getattr(summarize(attempts[name, each.sha256, repeat].launches), statistic) for each in artifacts]
                for repeat in range(REPEATS)
            ]
        )
        differences = np.abs(values[1] - values[0]) / values.mean(axis=0)
        times = _device_times(attempts, name)
        rows.append(
            [
                label,
                f"{np.median(times):.2f} s",
                f"1/{np.median(paper_s) / np.median(times):.1f}",
                *(f"{np.quantile(differences, q):.2%}" for q in (0.5, 0.75, 1.0)),
            ]
        )
    title = f"(a) Repeatability: {len(artifacts)} networks measured twice, {threads} thread{'s' * (threads > 1)}"
    headings = ["", "device time a trial", "of the 1000 runs'", "difference, median", "75 %", "worst"]
    print_table(title, headings, rows)


def _device_times(attempts: Attempts, name: str) -> list[float]:
    return [
        sum(device_time_s(launch) for launch in attempt.launches)
        for (protocol, _, _), attempt in attempts.items()
        if protocol == name
    ]
