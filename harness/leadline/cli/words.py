"""How the command line names things, the same in progress lines and in tables."""

from __future__ import annotations

from collections.abc import Sequence

from leadline.core.text import printable
from leadline.core.units import format_cpu_list
from leadline.records.roofline import KernelType
from leadline.records.trial import RunConfig


def describe_config(config: RunConfig) -> str:
    """``1 thread``, ``4 threads on big (CPU 4-7)``, ``2 threads on CPU 0-1, no delegate``."""
    words = f"{config.threads} thread{'s' if config.threads != 1 else ''}"
    if config.cpus is not None:
        where = f"CPU {format_cpu_list(config.cpus)}"
        words += f" on {config.cluster} ({where})" if config.cluster else f" on {where}"
    return words if config.delegate == "xnnpack" else f"{words}, no delegate"


def describe_sweep(config: RunConfig, beside: Sequence[str]) -> str:
    """As `describe_config`, with what ran meanwhile: ``4 threads on big (CPU 4-7), beside busy little``."""
    words = describe_config(config)
    return f"{words}, beside busy {' and '.join(map(printable, beside))}" if beside else words


def format_rate(gops: float, dtype: KernelType) -> str:
    """``16.2 GFLOP/s``; of integers ``64.0 GOP/s``."""
    return f"{three_digits(gops)} {'GOP/s' if dtype == 'int8' else 'GFLOP/s'}"


def three_digits(value: float) -> str:
    """``0.0123``, ``41.4``, ``1234``: three significant digits at least, and no exponent for what is large."""
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"
