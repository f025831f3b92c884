"""A program on a device that says what a test wants it to."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from leadline.rpc.agent import Exit, Line


class ScriptedProgram:
    """Answers with prepared lines, then ends as told."""

    def __init__(
        self,
        lines: Iterable[dict[str, Any] | str | Exception],
        *,
        code: int | None = 0,
        signal: int | None = None,
        stderr: str = "",
    ) -> None:
        self.exit: Exit | None = None
        self.written: list[str] = []
        self.killed = False
        self._lines = list(lines)
        self._exit = Exit(code=code, signal=signal, peak_rss_bytes=4096, cpu_ns=1, stderr=stderr)

    def write(self, text: str) -> None:
        self.written.append(text)

    def line(self, timeout_s: float) -> Line | None:
        if not self._lines:
            self.exit = self._exit
            return None
        line = self._lines.pop(0)
        if isinstance(line, Exception):
            raise line
        return Line(line if isinstance(line, str) else json.dumps(line), {"/sys/temp": "41000"})

    def kill(self) -> None:
        self.killed = True

    def wait(self, timeout_s: float) -> Exit:
        self.exit = self._exit
        return self._exit
