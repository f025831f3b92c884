"""From what share of waiting inferences on is a median spoiled? Windows of recorded series, sorted by that share.

    python benchmarks/stats_contention.py series.npz

A window is twenty consecutive inferences, as many as a launch of the default protocol times. Its deviation is how far
its median lies above the quietest twentieth of all windows of that model at that number of threads.
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from pathlib import Path

import numpy as np
from stats_series import Series, load

from leadline.stats.interval import Floats

WINDOW, WARMUP = 20, 10
SHARES = (0.0, 0.01, 0.1, 0.25, 0.5, 1.01)
RATES = (0.0, 10.0, 50.0, 100.0, 200.0, np.inf)


def windows(series: Series, threads: int) -> Floats:
    """Shape (n, 3): deviation, share of inferences that waited, involuntary switches per second."""
    by_model: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for (model, used, _), launches in series.items():
        if used != threads:
            continue
        for samples in launches:
            for start in range(WARMUP, len(samples) - WINDOW + 1, WINDOW):
                wall_ns, cpu_ns, switches = samples[start : start + WINDOW].T
                waited = float(np.mean(wall_ns > 1.05 * cpu_ns))
                by_model[model].append((float(np.median(wall_ns)), waited, switches.sum() / wall_ns.sum() * 1e9))
    found = [np.array(rows) for rows in by_model.values()]
    for rows in found:
        rows[:, 0] = rows[:, 0] / np.percentile(rows[:, 0], 5) - 1.0
    return np.concatenate(found)


def table(title: str, deviations: Floats, by: Floats, edges: tuple[float, ...]) -> None:
    print(f"\n| {title} | windows | deviation: median | 90 % |\n|---|--:|--:|--:|")
    for low, high in itertools.pairwise(edges):
        inside = deviations[(by >= low) & (by < high)]
        if inside.size:
            upper = f"below {high:g}" if high < edges[-1] else "and more"
            print(f"| {low:g}, {upper} | {inside.size} | {np.median(inside):.1%} | {np.percentile(inside, 90):.1%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", type=Path, help="as recorded by stats_series.py")
    series = load(parser.parse_args().series)
    for threads in sorted({key[1] for key in series}):
        rows = windows(series, threads)
        few = rows[rows[:, 1] < 0.25]
        print(f"\n## {threads} thread{'s' if threads > 1 else ''}")
        table("share that waited", rows[:, 0], rows[:, 1], SHARES)
        table("switches per second, where less than a quarter waited", few[:, 0], few[:, 2], RATES)


if __name__ == "__main__":
    main()
