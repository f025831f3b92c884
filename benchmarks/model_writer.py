"""How long does a network take to write? Prints a table; the promise is 30 ms a network.

    python benchmarks/model_writer.py [--networks 30] [--rounds 5]

Every case is timed in turn within a round, so that a noisy neighbour meets all of them. "new seed" draws fresh weights
for every network, "same seed" is what `leadline model sample` does.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from leadline.core.tflite import load_schema
from leadline.search.model.files import save_model
from leadline.search.model.inspect import inspect_file
from leadline.search.model.writer import write_model
from leadline.search.space.mobilenet_v2 import SPACE
from leadline.search.space.network import Network

PROMISE_MS = 30.0

Case = tuple[str, Sequence[Network], Callable[[Network], object]]


def time_cases(cases: Sequence[Case], rounds: int) -> dict[str, list[float]]:
    """Wall milliseconds of every call, by case."""
    times_ms: dict[str, list[float]] = {name: [] for name, _, _ in cases}
    for _ in range(rounds):
        for name, networks, call in cases:
            for network in networks:
                start_ns = time.perf_counter_ns()
                call(network)
                times_ms[name].append((time.perf_counter_ns() - start_ns) / 1e6)
    return times_ms


def main(argv: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(argv)

    rng = np.random.default_rng(0)
    architectures = [SPACE.sample(rng) for _ in range(options.networks)]
    networks = [SPACE.network(a) for a in architectures]
    blocks = SPACE.block_table()[: options.networks]
    seeds = itertools.count(1)
    load_schema()
    with tempfile.TemporaryDirectory() as folder:
        paths = (Path(folder) / f"{number}.tflite" for number in itertools.count())
        read = Path(folder) / "read.tflite"
        save_model(networks[0], read)

        def save(network: Network) -> None:
            path = next(paths)
            save_model(network, path)
            path.unlink()  # inside the timing: some tens of microseconds

        cases: list[Case] = [
            ("float32, same seed", networks, write_model),
            ("float32, new seed", networks, lambda n: write_model(n, seed=next(seeds))),
            ("float32, same seed, to disk, hashed", networks, save),
            ("int8, same seed", networks, lambda n: write_model(n, dtype="int8")),
            ("float32, one block", blocks, write_model),
            ("inspect a float32 file", networks[:1], lambda _: inspect_file(read)),
        ]
        times_ms = time_cases(cases, options.rounds)

    base = statistics.median(times_ms[cases[0][0]])
    print(f"{'':36} {'median':>9} {'95 %':>9} {'to first':>9} {'promise':>9} {'calls':>6}")
    for name, values in times_ms.items():
        median = statistics.median(values)
        high = float(np.percentile(values, 95))
        share = f"{median / PROMISE_MS:.0%}"
        print(f"{name:36} {median:6.2f} ms {high:6.2f} ms {median / base:8.2f}× {share:>9} {len(values):6}")


if __name__ == "__main__":
    main(sys.argv[1:])
