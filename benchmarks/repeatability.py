"""Does the default protocol repeat as well as the mean of 1000 runs, at a tenth of the device time?

    python -m benchmarks repeatability

Every network is measured twice with each protocol on this machine, the second time after all the others have had their
first, so that the repeats are independent. Device time is what the runner's processes took: loading, preparing and
every inference, warm-ups included. Repeatability is the difference between the two repeats over their mean.
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

NETWORKS = 12
REPEATS = 2


def device_time_s(launch: Launch) -> float:
    """What the device spent on this launch's process, from loading the model on."""
    inferences_ns = sum(int(block.wall_ns.sum()) for block in launch.blocks)
    return (launch.ready.load_ns + launch.ready.prepare_ns + launch.ready.first_ns + inferences_ns) / 1e9


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="leadline-bench-") as folder:
        artifacts = list(sample_models(SPACE, NETWORKS, seed=100, folder=Path(folder)))
        entry = DeviceEntry(name="bench", uri="local:", serial="", directory=f"{folder}/device")
        with open_unchecked(entry, host_cache=CACHE) as link:
            profile = probe(link.transport, link.agent)
            runner = choose_runner(link.agent, link.cache, profile, host_cache=CACHE)

            def measure(artifact: Artifact, protocol: MeasureProtocol, threads: int) -> Attempt:
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
                recording = AttemptRecording(
                    setting, runner, profile, clock=SystemClock(), stop=Event(), on_runs=lambda *_: None
                )
                attempt = recording.measure()
                if recording.error:
                    raise recording.error
                return attempt

            for threads in (1, len(profile.cpus)):
                attempts = {
                    (protocol.name, artifact.sha256, repeat): measure(artifact, protocol, threads)
                    for repeat in range(REPEATS)
                    for artifact in artifacts
                    for protocol in (DEFAULT, PAPER)
                }
                _print(attempts, artifacts, threads)


def _print(attempts: dict[tuple[str, str, int], Attempt], artifacts: list[Artifact], threads: int) -> None:
    rows = []
    paper_s = _device_times(attempts, PAPER.name)
    for label, name, statistic in (
        ("default protocol, median", DEFAULT.name, "median_ns"),
        ("1000 runs, mean (paper)", PAPER.name, "mean_ns"),
        ("1000 runs, median", PAPER.name, "median_ns"),
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


def _device_times(attempts: dict[tuple[str, str, int], Attempt], name: str) -> list[float]:
    return [
        sum(device_time_s(launch) for launch in attempt.launches)
        for (protocol, _, _), attempt in attempts.items()
        if protocol == name
    ]
