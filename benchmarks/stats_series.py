"""Records real latency series, for the other stats benchmarks to replay.

    python benchmarks/stats_series.py -o series.npz MODEL.tflite MODEL.tflite …

Visits every model several times; a visit is one long process (1000 inferences and its warm-up) and some short ones, at
one thread and at all. Ten networks of 20 ms take 20 minutes: the point is that time passes between visits.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from leadline.records.trial import Int64s
from leadline.stats.protocols import PAPER

# Inferences per process: those of the paper's protocol, and enough for a launch of any other.
LONG, SHORT = 1 + PAPER.max_warmup + PAPER.max_runs, 80

# (model, threads, visit) → launches, the long one first; each (runs, 3): wall ns, CPU ns, involuntary switches.
Series = dict[tuple[str, int, int], list[Int64s]]


def load(path: Path) -> Series:
    series: Series = {}
    with np.load(path) as arrays:
        for key in arrays.files:  # in the order in which they were saved
            name, threads, visit, _ = key.rsplit("/", 3)
            series.setdefault((name, int(threads), int(visit)), []).append(arrays[key])
    return series


def record(models: list[Path], out: Path, visits: int, launches: int) -> None:
    arrays: dict[str, Int64s] = {}
    todo = list(itertools.product(range(visits), models, sorted({1, os.cpu_count() or 1})))
    for visit, model, threads in todo:
        for launch, runs in enumerate([LONG] + [SHORT] * launches):
            command = [sys.executable, __file__, "--launch", str(threads), str(runs), str(model)]
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("series.npz"))
    parser.add_argument("--visits", type=int, default=2)
    parser.add_argument("--launches", type=int, default=4, help="short ones per visit")
    parser.add_argument("--launch", type=int, nargs=2, metavar=("THREADS", "RUNS"), help="be one launch of one model")
    asked = parser.parse_args()
    if asked.launch:
        launch(str(asked.models[0]), *asked.launch)
    else:
        record(asked.models, asked.out, asked.visits, asked.launches)


if __name__ == "__main__":
    main()
