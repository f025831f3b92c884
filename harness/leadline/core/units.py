"""Reading and writing quantities: bytes, durations, CPU lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from leadline.core.errors import BadInput


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """The kernel's list format, ``0-3,6`` → ``(0, 1, 2, 3, 6)``, sorted and unique; an empty text is no CPU.

    Raises: BadInput on anything else.
    """
    cpus: set[int] = set()
    for part in filter(None, (p.strip() for p in text.strip().split(","))):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise BadInput(f"CPU list {text!r}: {part!r} is neither a CPU nor a range; write it like 0-3,6")
        cpus.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(cpus))


def format_cpu_list(cpus: Iterable[int]) -> str:
    """The inverse of `parse_cpu_list`: ``(0, 1, 2, 3, 6)`` → ``0-3,6``."""
    ranges: list[tuple[int, int]] = []
    for cpu in sorted(set(cpus)):
        if ranges and cpu == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], cpu)
        else:
            ranges.append((cpu, cpu))
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)


def format_ns(ns: float) -> str:
    """A duration with three significant digits: ``812 ns``, ``4.21 ms``, ``1.08 s``."""
    return _scaled(ns, (("ns", 1.0), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)))


def format_bytes(count: float) -> str:
    """A size in binary units with three significant digits: ``57.3 KiB``."""
    return _scaled(count, (("B", 1.0), ("KiB", 2.0**10), ("MiB", 2.0**20), ("GiB", 2.0**30)))


def format_count(count: float) -> str:
    """A number in thousands with three significant digits: ``509 M``, ``1.02 G``, ``7``."""
    return _scaled(count, (("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12))).rstrip()


def _scaled(value: float, units: Sequence[tuple[str, float]]) -> str:
    name, factor = next(((n, f) for n, f in reversed(units) if abs(value) >= f), units[0])
    scaled = value / factor
    digits = 0 if abs(scaled) >= 100 or factor == 1.0 else 1 if abs(scaled) >= 10 else 2
    return f"{scaled:.{digits}f} {name}"
