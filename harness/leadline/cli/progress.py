"""Showing a session at work, on standard error: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
from typing import Self

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from leadline.cli.words import describe_config
from leadline.core.errors import LeadlineError
from leadline.core.text import printable
from leadline.core.units import format_ns
from leadline.records.device import Profile
from leadline.records.trial import Attempt, Trial
from leadline.stats.flags import flags


class LineProgress:
    """A line per event that a log should keep; safe from several threads. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def note(self, device: str, text: str) -> None:
        self._say(device, text)

    def device_ready(self, device: str, profile: Profile, trials: int, launches: int) -> None:
        what = profile.model or profile.soc or profile.abi
        self._say(device, f"{what}, {len(profile.cpus)} CPUs: {trials} trials of {launches} launches")

    def launch_started(self, device: str, trial: Trial, launch: int) -> None:
        pass

    def runs(self, device: str, trial: Trial, launch: int, runs: int, median_ns: float) -> None:
        pass

    def trial_ended(self, device: str, trial: Trial, attempt: Attempt) -> None:
        self._say(device, f"{_describe(trial)}: {_outcome(attempt)}")

    def device_ended(self, device: str, error: LeadlineError | None) -> None:
        self._say(device, f"ended: {error}" if error else "ended")

    def _say(self, device: str, text: str) -> None:
        with self._lock:
            line = f"{printable(device)}: {printable(text, limit=2000)}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class LiveProgress(LineProgress):
    """A bar per device, above which notes and failures scroll by."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._bars = Progress(
            TextColumn("[bold]{task.fields[device]}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[now]}"),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bars.stop()

    def device_ready(self, device: str, profile: Profile, trials: int, launches: int) -> None:
        super().device_ready(device, profile, trials, launches)
        name = escape(printable(device))
        self._tasks[device] = self._bars.add_task("", total=launches, completed=-1, device=name, now="")

    def launch_started(self, device: str, trial: Trial, launch: int) -> None:
        self._bars.advance(self._tasks[device])  # from -1: what is under way is not completed
        self._now(device, f"{_describe(trial)} · launch {launch + 1}")

    def runs(self, device: str, trial: Trial, launch: int, runs: int, median_ns: float) -> None:
        self._now(device, f"{_describe(trial)} · launch {launch + 1} · {runs} runs · {format_ns(median_ns)}")

    def trial_ended(self, device: str, trial: Trial, attempt: Attempt) -> None:
        if attempt.outcome != "done" or attempt.warnings:
            super().trial_ended(device, trial, attempt)

    def device_ended(self, device: str, error: LeadlineError | None) -> None:
        if error:
            super().device_ended(device, error)
        if device in self._tasks:
            self._bars.advance(self._tasks[device])
            self._now(device, "ended" if error else "done")

    def _now(self, device: str, text: str) -> None:
        self._bars.update(self._tasks[device], now=escape(text))


def watching(console: Console) -> LineProgress:
    """The progress that fits where `console` writes to."""
    return LiveProgress(console) if console.is_terminal else LineProgress(console)


def _describe(trial: Trial) -> str:
    return f"{printable(trial.model_name, limit=40)} · {describe_config(trial.config)}"


def _outcome(attempt: Attempt) -> str:
    if attempt.outcome == "failed":
        return f"failed: {attempt.error}"
    timed = [block.wall_ns for launch in attempt.launches for block in launch.blocks if not block.warmup]
    words: list[str] = [attempt.outcome]
    if timed:
        runs = np.concatenate(timed)
        words.append(f"{format_ns(float(np.median(runs)))} median of {runs.size} runs")
    notes = [*attempt.warnings, *flags(attempt.launches)]
    return ", ".join([*words, *(note.partition(":")[0] for note in notes)])
