"""Reading the small texts that kernels put into files, when any of them may be missing or garbage."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from leadline.core.errors import BadInput
from leadline.core.units import parse_cpu_list

Files = Mapping[str, str]  # path on the device → its text, as the agent read it

_LONGEST_TEXT = 200
_MOST_CPUS = 4096


def text_of(files: Files, *paths: str) -> str | None:
    """One line of printable text from the first of `paths` that holds some: device tree strings end in NUL, and
    anything may hold control characters."""
    return next((text for path in paths if (text := cleaned(files.get(path)))), None)


def cleaned(raw: str | None) -> str | None:
    """The printable characters up to the first NUL, blanks squeezed, cut at 200; None if there are none."""
    words = "".join(c if c.isprintable() else " " for c in (raw or "").partition("\0")[0]).split()
    return " ".join(words)[:_LONGEST_TEXT].strip() or None


def number_of(files: Files, path: str, *, low: int, high: int) -> int | None:
    """A whole number in [low, high]; None for anything else."""
    return number(files.get(path), low=low, high=high)


def number(raw: str | None, *, low: int, high: int) -> int | None:
    match = re.fullmatch(r"\s*(-?\d{1,18})\s*", raw or "", re.ASCII)
    return int(match[1]) if match and low <= int(match[1]) <= high else None


def cpus_of(files: Files, path: str) -> tuple[int, ...] | None:
    """A kernel's CPU list, ``0-3,6`` or ``0 1 2 3``; None if there is none or it makes no sense."""
    listed = ",".join(files.get(path, "").split())
    if any(len(digits) > 4 or int(digits) >= _MOST_CPUS for digits in re.findall(r"\d+", listed, re.ASCII)):
        return None
    try:
        return parse_cpu_list(listed) or None
    except BadInput:
        return None


def matching(files: Files, pattern: str) -> Iterator[tuple[str, str, str]]:
    """(group, path, text) of every file whose whole path matches `pattern`, in the natural order of its one group."""
    found = [(match[1], path, text) for path, text in files.items() if (match := re.fullmatch(pattern, path))]
    return iter(sorted(found, key=lambda item: [int(p) if p.isdecimal() else p for p in re.split(r"(\d+)", item[0])]))
