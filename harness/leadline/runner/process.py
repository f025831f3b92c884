"""One launched runner on one device: orders ahead of their answers, and every answer checked."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import msgspec
import numpy as np

from leadline.core.errors import (
    CommandTimeout,
    DeviceError,
    DeviceOffline,
    GarbledOutput,
    LeadlineError,
    ModelRejected,
    WrongAbi,
)
from leadline.core.text import printable
from leadline.core.units import format_ns
from leadline.records.trial import Int64s, OpTime, Ready, Watched
from leadline.rpc.agent import Exit, Line
from leadline.runner.lines import (
    MAX_RUNS,
    BlockLine,
    ErrorLine,
    ProfileLine,
    ReadyLine,
    RunnerLine,
    complaint,
    parse_line,
)

LAUNCH_TIMEOUT_S = 600.0  # slow cards and slow CPUs: loading, packing weights and one inference
_PATIENCE_S = 30.0  # on top of what a block should take
_PATIENCE_FACTOR = 20.0  # of the first inference, which is slower than the rest; a hot device throttles 2–4×
_END_TIMEOUT_S = 10.0
_CLOCK_SLACK = 1.05  # a device's raw clock against ours: crystals agree within 1e-4, emulated ones within 1e-2
_CLOCK_SLACK_NS = 100_000_000


class Talker(Protocol):
    """What is needed of `leadline.rpc.agent.Program`."""

    @property
    def exit(self) -> Exit | None: ...
    def write(self, text: str) -> None: ...
    def line(self, timeout_s: float) -> Line | None: ...
    def kill(self) -> None: ...
    def wait(self, timeout_s: float) -> Exit: ...


class RunnerBlock(msgspec.Struct, frozen=True, eq=False):
    """See `leadline.records.ports.RawBlock`. Arrays of shape (n,)."""

    wall_ns: Int64s
    cpu_ns: Int64s
    switches: Int64s
    watched: Watched


class LineProcess:
    """A `leadline.records.ports.RunnerProcess` that speaks the runner's lines. Made by `launch`."""

    def __init__(
        self, program: Talker, ready: Ready, *, device: str, model: str, monotonic_ns: Callable[[], int]
    ) -> None:
        self.ready = ready
        self._program = program
        self._device = device
        self._model = model
        self._monotonic_ns = monotonic_ns
        self._open: deque[tuple[int, int]] = deque()  # (runs, when ordered)
        self._closed = False

    @classmethod
    def launch(
        cls,
        program: Talker,
        *,
        device: str,
        model: str,
        timeout_s: float = LAUNCH_TIMEOUT_S,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> LineProcess:
        """Wait until the runner has loaded the model and run it once.

        Args: program: just started; it is ended if this fails. device, model: their names, for messages.
        Raises: ModelRejected, WrongAbi, DeviceOffline, CommandTimeout, GarbledOutput.
        """
        talk = _Talk(program, device, model)
        with talk.ending_on_error():
            _, line = talk.next_line(timeout_s, "the model was not ready")
            if not isinstance(line, ReadyLine):
                raise talk.unexpected(line)
        return cls(program, line.record(), device=device, model=model, monotonic_ns=monotonic_ns)

    def request(self, runs: int) -> None:
        if not 1 <= runs <= MAX_RUNS:
            raise ValueError(f"a block has 1 to {MAX_RUNS} inferences, not {runs}")
        self._open.append((runs, self._monotonic_ns()))
        self._program.write(f"run {runs}\n")

    def block(self) -> RunnerBlock:
        runs, ordered_ns = self._open[0]
        talk = _Talk(self._program, self._device, self._model)
        with talk.ending_on_error():
            watched, line = talk.next_line(self._patience_s(runs), f"a block of {runs} inferences did not end")
            if not isinstance(line, BlockLine):
                raise talk.unexpected(line)
            self._open.popleft()
            self._check_block(talk, line, runs, self._monotonic_ns() - ordered_ns)
        return RunnerBlock(
            np.array(line.wall_ns, np.int64),
            np.array(line.cpu_ns, np.int64),
            np.array(line.switches, np.int64),
            watched,
        )

    def profile(self, runs: int) -> tuple[OpTime, ...]:
        if self._open:
            raise RuntimeError("a profile is asked for only when no block is open")
        if not 1 <= runs <= MAX_RUNS:
            raise ValueError(f"a profile has 1 to {MAX_RUNS} inferences, not {runs}")
        talk = _Talk(self._program, self._device, self._model)
        with talk.ending_on_error():
            self._program.write(f"profile {runs}\n")
            _, line = talk.next_line(self._patience_s(runs), f"a profile of {runs} inferences did not end")
            if not isinstance(line, ProfileLine):
                raise talk.unexpected(line)
        return line.ops

    def close(self) -> int | None:
        if not self._closed:
            self._closed = True
            with suppress(DeviceError):
                if not self._open:
                    self._program.write("end\n")
                    with suppress(CommandTimeout, GarbledOutput):
                        self._program.wait(_END_TIMEOUT_S)
                self._program.kill()
                self._program.wait(_END_TIMEOUT_S)
        return self._program.exit.peak_rss_bytes or None if self._program.exit else None

    def _patience_s(self, runs: int) -> float:
        return _PATIENCE_S + _PATIENCE_FACTOR * runs * self.ready.first_ns / 1e9

    def _check_block(self, talk: _Talk, line: BlockLine, runs: int, elapsed_ns: int) -> None:
        lengths = {len(line.wall_ns), len(line.cpu_ns), len(line.switches)}
        if lengths != {runs}:
            raise talk.garbled(f"{sorted(lengths)} values in a block of {runs} inferences")
        total_ns = sum(line.wall_ns)
        if total_ns > _CLOCK_SLACK * elapsed_ns + _CLOCK_SLACK_NS:
            raise talk.garbled(
                f"a block took {format_ns(total_ns)} in all by the device's clock, but {format_ns(elapsed_ns)} by ours"
            )


class _Talk:
    """Listening to a runner, and saying in full what went wrong."""

    def __init__(self, program: Talker, device: str, model: str) -> None:
        self._program = program
        self._device = printable(device)
        self._model = printable(model)

    def next_line(self, timeout_s: float, what: str) -> tuple[Watched, RunnerLine]:
        try:
            line = self._program.line(timeout_s)
        except CommandTimeout:
            raise CommandTimeout(
                f"{self._device}: {self._model}: {what} within {timeout_s:.0f} s; try again with nothing else running"
            ) from None
        if line is None:
            raise self._ended()
        try:
            return line.watched, parse_line(line.text)
        except GarbledOutput as error:
            raise self.garbled(str(error)) from None

    def garbled(self, fact: str) -> GarbledOutput:
        return GarbledOutput(f"{self._device}: {self._model}: {fact}; try again, or another launch of the same model")

    def unexpected(self, line: RunnerLine) -> LeadlineError:
        """The error for a line that does not answer what was ordered."""
        if not isinstance(line, ErrorLine):
            return self.garbled(f"the runner answered out of turn ({type(line).__name__})")
        ended = self._wait()
        why = printable(line.text, 300) + (complaint(ended.stderr) if ended and line.code == "model" else "")
        where = f"{self._device}: {self._model}"
        if line.code == "library":
            return WrongAbi(f"{self._device}: its system cannot load the runtime: {why}; see: leadline device show")
        if line.code == "memory":
            return ModelRejected(f"{where}: more memory is needed than the device has: {why}; try a smaller model")
        if line.code in ("model", "unsupported"):
            return ModelRejected(f"{where}: the runtime cannot run it: {why}; see: leadline model inspect")
        return self.garbled(f"the runner refused an order: {why}")

    def ending_on_error(self) -> EndOnError:
        return EndOnError(self._program)

    def _ended(self) -> LeadlineError:
        """The error for a program that ended without an answer."""
        ended = self._wait()
        where = f"{self._device}: {self._model}"
        if ended is None:
            return DeviceOffline(f"{where}: the runner is gone; try again")
        said = complaint(ended.stderr)
        if ended.signal == signal.SIGKILL:
            return ModelRejected(f"{where}: the device killed the runner (SIGKILL), most likely out of memory{said}")
        if ended.signal is not None:
            return ModelRejected(f"{where}: the runtime crashed ({signal_name(ended.signal)}){said}")
        if ended.code in (126, 127):
            return WrongAbi(f"{self._device}: the runner cannot be started there (exit code {ended.code}){said}")
        return self.garbled(f"the runner ended with exit code {ended.code} and no answer{said}")

    def _wait(self) -> Exit | None:
        with suppress(DeviceError):
            return self._program.wait(_END_TIMEOUT_S)
        return None


class EndOnError:
    """Ends the program on the device if its block fails: its answers would belong to nobody."""

    def __init__(self, program: Talker) -> None:
        self._program = program

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            with suppress(DeviceError):
                self._program.kill()
                self._program.wait(_END_TIMEOUT_S)


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
