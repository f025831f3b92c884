"""Showing sweeps under way, on standard error: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from leadline.cli.words import describe_sweep, format_rate
from leadline.core.text import printable
from leadline.records.device import Profile
from leadline.records.roofline import KernelPoint, Sweep

if TYPE_CHECKING:
    from leadline.campaign.sweeping import SweepSetup


class SweepLines:
    """A line per event that a log should keep. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def note(self, device: str, text: str) -> None:
        self._console.print(f"{printable(device)}: {text}", markup=False, highlight=False, soft_wrap=True)

    def device_ready(self, device: str, profile: Profile, sweeps: int) -> None:
        meaningless = ", emulated: latency is meaningless here" if profile.emulated else ""
        model = printable(profile.model or "unknown model")
        self.note(device, f"{model}, {len(profile.cpus)} CPUs, {sweeps} sweeps{meaningless}")

    def sweep_started(self, device: str, setup: SweepSetup, number: int) -> None: ...

    def point(self, device: str, point: KernelPoint) -> None: ...

    def sweep_ended(self, device: str, sweep: Sweep) -> None:
        fastest = max(sweep.points, key=lambda point: point.best_gops, default=None)
        told = "no points" if fastest is None else f"{len(sweep.points)} points, up to {_rate(fastest)}"
        self.note(device, f"{describe_sweep(sweep.config, sweep.beside)}: {told}")
        for warning in sweep.warnings:
            self.note(device, f"warning: {printable(warning)}")


class SweepBars(SweepLines):
    """A bar that counts sweeps, above which notes scroll by."""

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
        self._task: TaskID | None = None
        self._sweep = ""
        self._points = 0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bars.stop()

    def device_ready(self, device: str, profile: Profile, sweeps: int) -> None:
        super().device_ready(device, profile, sweeps)
        self._task = self._bars.add_task("", total=sweeps, device=escape(printable(device)), now="")

    def sweep_started(self, device: str, setup: SweepSetup, number: int) -> None:
        self._sweep = describe_sweep(setup.config, [cluster.name for cluster in setup.beside])
        self._points = 0
        self._now(self._sweep)

    def point(self, device: str, point: KernelPoint) -> None:
        self._points += 1
        self._now(f"{self._sweep} · {self._points} points · {point.level} · {_rate(point)}")

    def sweep_ended(self, device: str, sweep: Sweep) -> None:
        super().sweep_ended(device, sweep)
        if self._task is not None:
            self._bars.advance(self._task)

    def _now(self, text: str) -> None:
        if self._task is not None:
            self._bars.update(self._task, now=escape(text))


def watching_sweeps(console: Console) -> SweepLines:
    """The progress that fits where `console` writes to."""
    return SweepBars(console) if console.is_terminal else SweepLines(console)


def _rate(point: KernelPoint) -> str:
    return f"{point.dtype} {format_rate(point.best_gops, point.dtype)}"
