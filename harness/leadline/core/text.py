"""Showing text that came from elsewhere: file names, device output."""

from __future__ import annotations


def printable(text: str | bytes, limit: int = 200) -> str:
    """`text` with everything escaped that a terminal would act on (control characters, ANSI escapes, bidi marks), cut
    at `limit` characters: what messages and tables show of names and of device output."""
    decoded = text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in decoded[: limit + 1])
    return shown if len(shown) <= limit else shown[:limit] + "…"
