"""Which protocol finds the same latency twice for the least device time? Replays protocols on recorded series.

    python benchmarks/stats_protocols.py series.npz

Visits are independent repeats of one another: each protocol measures each model from the series of each visit, and is
charged for every inference that it would have run, the first and the warm-up included.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
from stats_series import SHORT, Series, load

from leadline.records.trial import Int64s, MeasureProtocol
from leadline.stats.compare import repeatability
from leadline.stats.protocols import DEFAULT, PAPER, custom
from leadline.stats.stopping import block_size, is_precise, is_steady


class Measured(msgspec.Struct, frozen=True):
    """What a protocol found in one visit, and at what price."""

    median_ns: float
    mean_ns: float
    inferences: int
    device_ns: int


def measure_launch(samples: Int64s, protocol: MeasureProtocol) -> tuple[Int64s, int]:
    """Wall times that the protocol takes from a launch, and how many inferences it ran with first and warm-up."""
    wall_ns = samples[:, 0]
    start = 1
    while start - 1 < protocol.max_warmup and not is_steady(wall_ns[1:start], protocol.batch):
        start += min(protocol.batch, protocol.max_warmup - (start - 1))
    step = block_size(float(np.median(wall_ns[:start])), protocol)
    runs = protocol.max_runs if protocol.half_width is None else protocol.min_runs
    while runs < protocol.max_runs and not is_precise(wall_ns[start : start + runs], protocol):
        runs = min(runs + step, protocol.max_runs)
    return wall_ns[start : start + runs], min(start + runs, wall_ns.size)


def measure(launches: tuple[Int64s, ...], protocol: MeasureProtocol) -> Measured:
    found = [measure_launch(samples, protocol) for samples in launches]
    return Measured(
        median_ns=float(np.median([np.median(timed) for timed, _ in found])),
        mean_ns=float(np.concatenate([timed for timed, _ in found]).mean()),
        inferences=sum(ran for _, ran in found),
        device_ns=sum(int(samples[:ran, 0].sum()) for samples, (_, ran) in zip(launches, found, strict=True)),
    )


def choices(launches: list[Int64s], protocol: MeasureProtocol) -> Iterator[tuple[Int64s, ...]]:
    """The ways in which a visit can stand for one attempt: the long launch, or consecutive short ones."""
    if protocol.max_runs + protocol.max_warmup >= SHORT:
        yield (launches[0],)
        return
    # The long launch's beginning is one more short launch.
    short = [*launches[1:], launches[0][:SHORT]]
    for first in range(len(short) - protocol.launches + 1):
        yield tuple(short[first : first + protocol.launches])


def replay(series: Series) -> None:
    for threads in sorted({key[1] for key in series}):
        names = sorted({name for name, t, _ in series if t == threads})
        print(f"\n## {len(names)} networks, {threads} thread{'s' if threads > 1 else ''}\n")
        print("| protocol | quantity | inferences | device time | repeatability: median | 75 % | 90 % |")
        print("|---|---|--:|--:|--:|--:|--:|")
        paper_ns = 0.0
        for label, protocol, quantity in candidates():
            differences, inferences, device_ns = pairs(series, names, threads, protocol, quantity)
            paper_ns = paper_ns or float(np.median(device_ns))
            print(
                f"| {label} | {quantity} | {np.mean(inferences):.0f} | 1/{paper_ns / np.median(device_ns):.1f} "
                f"| {np.median(differences):.2%} | {np.percentile(differences, 75):.2%} "
                f"| {np.percentile(differences, 90):.2%} |"
            )


def pairs(
    series: Series, names: list[str], threads: int, protocol: MeasureProtocol, quantity: str
) -> tuple[list[float], list[int], list[int]]:
    """Relative difference of every pair of repeats of every network; inferences and device time of every attempt."""
    differences: list[float] = []
    inferences: list[int] = []
    device_ns: list[int] = []
    for name in names:
        visits = [launches for (n, t, _), launches in series.items() if (n, t) == (name, threads)]
        measured = [[measure(chosen, protocol) for chosen in choices(launches, protocol)] for launches in visits]
        for attempt in itertools.chain(*measured):
            inferences.append(attempt.inferences)
            device_ns.append(attempt.device_ns)
        for one, other in itertools.combinations(measured, 2):
            for a, b in itertools.product(one, other):
                differences.append(repeatability([getattr(a, quantity)], [getattr(b, quantity)]))
    return differences, inferences, device_ns


def candidates() -> Iterator[tuple[str, MeasureProtocol, str]]:
    yield "paper: 1 × 1000", PAPER, "mean_ns"
    yield "paper: 1 × 1000", PAPER, "median_ns"
    yield "default", DEFAULT, "median_ns"
    yield "default", DEFAULT, "mean_ns"
    for launches, batch, warmup, least, most in (
        (1, 4, 8, 68, 68),
        (2, 4, 8, 32, 32),
        (3, 3, 9, 9, 18),
        (3, 3, 9, 18, 18),
        (3, 4, 4, 20, 24),
        (3, 4, 8, 16, 20),
        (3, 5, 10, 15, 20),
        (4, 3, 6, 12, 15),
        (5, 3, 6, 9, 12),
        (5, 4, 4, 12, 12),
    ):
        protocol = custom(launches=launches, batch=batch, max_warmup=warmup, min_runs=least, max_runs=most)
        yield f"{launches} × (≤ {warmup} + {least}…{most}), batches of {batch}", protocol, "median_ns"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", type=Path, help="as recorded by stats_series.py")
    replay(load(parser.parse_args().series))


if __name__ == "__main__":
    main()
