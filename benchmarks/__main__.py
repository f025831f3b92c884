"""``python -m benchmarks [NAME…]``: print the tables of docs/benchmarks.md, measured here and now."""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = ("repeatability", "overhead", "model_writer", "push", "roofline")


def main(names: list[str]) -> None:
    if unknown := set(names) - set(BENCHMARKS):
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(BENCHMARKS)}")
    for name in names or BENCHMARKS:
        importlib.import_module(f"benchmarks.{name}").main()


main(sys.argv[1:])
