"""How often does the 95 % interval hold the truth, and how near are repeats? Simulated launches, seeds fixed.

python benchmarks/stats_coverage.py
"""

from __future__ import annotations

import itertools

import numpy as np

from leadline.records.trial import Int64s
from leadline.stats.compare import repeatability
from leadline.stats.protocols import DEFAULT, PAPER
from leadline.stats.simulated import simulate_launches
from leadline.stats.stopping import is_precise
from leadline.stats.summary import interval_over_launches

MEDIAN_NS = 20e6
REPEATS = 4000
HEADER = """\
| launches × runs | launch sd | noise sd | lag-1 | outliers | coverage | ± |
|---|--:|--:|--:|--:|--:|--:|"""


def main() -> None:
    print(
        f"{REPEATS} attempts a row; ±: half the interval, median over attempts. Truth: the median over all launches.\n"
    )
    print(HEADER)
    several = itertools.product((3, 5), (0.01, 0.02), (0.005, 0.03), (0.03, 0.7), (0.0, 0.02))
    for launches, launch_sd, noise_sd, lag1, outliers in several:
        row(launches, DEFAULT.max_runs, launch_sd, noise_sd, lag1, outliers)
    print("\nTruth: the median of the one launch, run forever.\n")
    print(HEADER)
    for runs, lag1, outliers in itertools.product(
        (DEFAULT.max_runs, 100, PAPER.max_runs), (0.03, 0.3, 0.7), (0.0, 0.02)
    ):
        row(1, runs, 0.0, 0.01, lag1, outliers)
    stopped_early()
    repeated()


def row(launches: int, runs: int, launch_sd: float, noise_sd: float, lag1: float, outliers: float) -> None:
    attempts = simulate_launches(
        np.random.default_rng(1),
        (REPEATS, launches, runs),
        median_ns=MEDIAN_NS,
        launch_sd=launch_sd,
        noise_sd=noise_sd,
        lag1=lag1,
        outliers=outliers,
    )
    covered, half = coverage([list(attempt) for attempt in attempts])
    print(
        f"| {launches} × {runs} | {launch_sd:.1%} | {noise_sd:.1%} | {lag1:.2f} | {outliers:.0%} "
        f"| {covered:.1%} | {half:.2%} |"
    )


def coverage(attempts: list[list[Int64s]]) -> tuple[float, float]:
    """Share of attempts whose interval holds MEDIAN_NS, and the intervals' median relative half-width."""
    intervals = [interval_over_launches(walls, 0.95) for walls in attempts]
    covered = np.mean([interval.low <= MEDIAN_NS <= interval.high for interval in intervals])
    return float(covered), float(np.median([interval.high / interval.center - 1.0 for interval in intervals]))


def stopped_early() -> None:
    """Stopping when the interval looks narrow picks the launches that look narrower than they are: by how much?"""
    print("\nOne launch, stopped by the default protocol's rule at ±1 %; lag-1 0.3, 1 % outliers.\n")
    print("| noise sd | runs, mean | stopped before the cap | error of the launch's median, 68 % of launches within |")
    print("|--:|--:|--:|--:|")
    for noise_sd in (0.002, 0.005, 0.01, 0.02, 0.05):
        launches = simulate_launches(
            np.random.default_rng(2), (REPEATS, DEFAULT.max_runs), median_ns=MEDIAN_NS, launch_sd=0.0, noise_sd=noise_sd
        )
        stopped = [stop(wall_ns) for wall_ns in launches]
        runs = np.array([wall_ns.size for wall_ns in stopped])
        errors = [abs(np.median(wall_ns) / MEDIAN_NS - 1.0) for wall_ns in stopped]
        early = np.mean(runs < DEFAULT.max_runs)
        print(f"| {noise_sd:.1%} | {runs.mean():.1f} | {early:.0%} | {np.percentile(errors, 68):.2%} |")


def repeated() -> None:
    """Quiet machines, which a noisy one cannot be made into. No outliers: nothing is kinder to a mean."""
    print("\nDifference between two repeats, median over networks; lag-1 0.3, no outliers.\n")
    print("| launch sd | noise sd | default: median | inferences | paper: mean | paper: median |")
    print("|--:|--:|--:|--:|--:|--:|")
    for launch_sd, noise_sd in itertools.product((0.001, 0.005, 0.02), (0.002, 0.01, 0.03)):
        rng = np.random.default_rng(3)
        kind = {"launch_sd": launch_sd, "noise_sd": noise_sd, "outliers": 0.0}
        short = simulate_launches(rng, (2, 1000, DEFAULT.launches, DEFAULT.max_runs), **kind)
        long = simulate_launches(rng, (2, 1000, PAPER.max_runs), **kind)
        taken = [[[stop(wall_ns) for wall_ns in attempt] for attempt in repeat] for repeat in short]
        medians = [[np.median([np.median(wall_ns) for wall_ns in attempt]) for attempt in repeat] for repeat in taken]
        timed = np.mean([sum(wall_ns.size for wall_ns in attempt) for repeat in taken for attempt in repeat])
        warm = DEFAULT.launches * (1 + 2 * DEFAULT.batch)
        print(
            f"| {launch_sd:.1%} | {noise_sd:.1%} | {repeatability(*medians):.2%} | {timed + warm:.0f} "
            f"| {repeatability(*long.mean(axis=2)):.2%} | {repeatability(*np.median(long, axis=2)):.2%} |"
        )


def stop(wall_ns: Int64s) -> Int64s:
    """The samples that the default protocol would have taken of this launch."""
    runs = DEFAULT.min_runs
    while runs < DEFAULT.max_runs and not is_precise(wall_ns[:runs], DEFAULT):
        runs = min(runs + DEFAULT.batch, DEFAULT.max_runs)
    return wall_ns[:runs]


if __name__ == "__main__":
    main()
