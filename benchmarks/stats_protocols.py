"""Which protocol finds the same latency twice for the least device time? Replays protocols on recorded series.

    python benchmarks/stats_protocols.py record -o series.npz MODEL.tflite MODEL.tflite …
    python benchmarks/stats_protocols.py replay series.npz

`record` visits every model several times; a visit is one long process (1000 inferences and its warm-up) and some short
ones, at one thread and at all. `replay` treats the visits as independent repeats of one another: each protocol measures
each model from the series of each visit, and is charged for every inference that it would have run.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from leadline.records.trial import Int64s, MeasureProtocol
from leadline.stats.compare import repeatability
from leadline.stats.protocols import DEFAULT, PAPER, custom
from leadline.stats.stopping import block_size, is_precise, is_steady

# Inferences per process: those of the paper's protocol, and enough for a launch of any candidate.
LONG, SHORT = 1 + PAPER.max_warmup + PAPER.max_runs, 80

Series = dict[
    tuple[str, int, int], list[Int64s]
]  # (model, threads, visit) → wall_ns of the long launch, then the short


def record(models: list[Path], out: Path, visits: int, launches: int) -> None:
    arrays: dict[str, Int64s] = {}
    for visit, model, threads in itertools.product(range(visits), models, sorted({1, os.cpu_count() or 1})):
        for launch, runs in enumerate([LONG] + [SHORT] * launches):
            command = [sys.executable, __file__, "launch", str(model), str(threads), str(runs)]
            told = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
            arrays[f"{model.stem}/{threads}/{visit}/{launch}"] = np.frombuffer(told, np.int64).reshape(runs, 3)
        print(f"visit {visit + 1}/{visits} {model.stem} at {threads} threads", file=sys.stderr)
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]


def launch(model: str, threads: int, runs: int) -> None:
    """One process: wall ns, CPU ns and involuntary switches of each inference, to standard output as raw int64."""
    from ai_edge_litert.interpreter import Interpreter  # slow to import, and needed by this child only

    interpreter = Interpreter(model_path=model, num_threads=threads)
    interpreter.allocate_tensors()
    for tensor in interpreter.get_input_details():
        values = np.random.default_rng(0).uniform(-1, 1, tensor["shape"]).astype(tensor["dtype"])
        interpreter.set_tensor(tensor["index"], values)
    samples = np.empty((runs, 3), np.int64)
    for index in range(runs):
        switches = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
        cpu_ns = time.thread_time_ns()
        wall_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        interpreter.invoke()
        samples[index, 0] = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) - wall_ns
        samples[index, 1] = time.thread_time_ns() - cpu_ns
        samples[index, 2] = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw - switches
    sys.stdout.buffer.write(samples.tobytes())


class Measured(msgspec.Struct, frozen=True):
    """What a protocol found in one visit, and at what price."""

    median_ns: float
    mean_ns: float
    inferences: int
    device_ns: int


def measure_launch(wall_ns: Int64s, protocol: MeasureProtocol) -> tuple[Int64s, int]:
    """The timed samples that the protocol takes from a launch, and how many it ran with first and warm-up."""
    start = 1
    while start - 1 < protocol.max_warmup and not is_steady(wall_ns[1:start], protocol.batch):
        start += min(protocol.batch, protocol.max_warmup - (start - 1))
    step = block_size(float(np.median(wall_ns[:start])), protocol)
    runs = protocol.max_runs if protocol.half_width is None else protocol.min_runs
    while runs < protocol.max_runs and not is_precise(wall_ns[start : start + runs], protocol):
        runs = min(runs + step, protocol.max_runs)
    return wall_ns[start : start + runs], min(start + runs, wall_ns.size)


def measure(launches: tuple[Int64s, ...], protocol: MeasureProtocol) -> Measured:
    found = [measure_launch(wall_ns, protocol) for wall_ns in launches]
    return Measured(
        median_ns=float(np.median([np.median(timed) for timed, _ in found])),
        mean_ns=float(np.concatenate([timed for timed, _ in found]).mean()),
        inferences=sum(ran for _, ran in found),
        device_ns=sum(int(wall[:ran].sum()) for wall, (_, ran) in zip(launches, found, strict=True)),
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


def replay(path: Path) -> None:
    series = load(path)
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


def load(path: Path) -> Series:
    series: dict[tuple[str, int, int], dict[int, Int64s]] = {}
    with np.load(path) as arrays:
        for key in arrays.files:
            name, threads, visit, index = key.rsplit("/", 3)
            samples: npt.NDArray[np.int64] = arrays[key]
            series.setdefault((name, int(threads), int(visit)), {})[int(index)] = samples[:, 0]
    return {key: [launches[i] for i in sorted(launches)] for key, launches in series.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    orders = parser.add_subparsers(dest="order", required=True)
    recorder = orders.add_parser("record", help="run models and keep their latencies")
    recorder.add_argument("models", nargs="+", type=Path)
    recorder.add_argument("-o", "--out", type=Path, required=True)
    recorder.add_argument("--visits", type=int, default=2)
    recorder.add_argument("--launches", type=int, default=4, help="short ones per visit")
    orders.add_parser("replay", help="measure recorded series by many protocols").add_argument("series", type=Path)
    child = orders.add_parser("launch")
    child.add_argument("model")
    child.add_argument("threads", type=int)
    child.add_argument("runs", type=int)
    asked = parser.parse_args()
    if asked.order == "record":
        record(asked.models, asked.out, asked.visits, asked.launches)
    elif asked.order == "replay":
        replay(asked.series)
    else:
        launch(asked.model, asked.threads, asked.runs)


if __name__ == "__main__":
    main()
