"""Sweeps of micro-kernels: what a device can do at most, by our C program on it."""

from __future__ import annotations

import math
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from leadline.core.clock import Clock
from leadline.core.errors import (
    BadInput,
    CommandTimeout,
    DeviceError,
    GarbledOutput,
    LeadlineError,
    StableError,
    WrongAbi,
)
from leadline.core.text import printable
from leadline.core.units import format_cpu_list
from leadline.records.device import Cluster, Profile
from leadline.records.roofline import KernelPoint, KernelType, MemoryLevel, Sweep, SweepPlan
from leadline.records.trial import RunConfig
from leadline.rpc.agent import Agent
from leadline.rpc.build import build
from leadline.rpc.cache import DeviceCache
from leadline.runner.kernel_lines import EndLine, ErrorLine, KernelLine, PointLine, ReadyLine, parse_line
from leadline.runner.lines import complaint
from leadline.runner.litert import sha256_of
from leadline.runner.process import EndOnError, Talker, signal_name

LEAST_INTENSITY, MOST_INTENSITY = 1 / 16, 64.0  # of the kernels, which exist for the powers of two between
LEAST_BYTES = 4096  # of a working set: two blocks of the widest vectors

_PATIENCE_S = 60.0  # on top of what the sweep may take: slow CPUs touch and check memory slowly
_END_TIMEOUT_S = 10.0


def measure_sweep(
    agent: Agent,
    cache: DeviceCache,
    profile: Profile,
    config: RunConfig,
    plan: SweepPlan,
    *,
    host_cache: Path,
    beside: Sequence[Cluster] = (),
    device: str,
    clock: Clock,
    on_point: Callable[[KernelPoint], None] = lambda _: None,
    isa: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Sweep:
    """Measure every point of `plan` with one thread on each of the first `config.threads` CPUs of `config`.

    A CPU that goes offline, or time that runs out, ends the sweep early: the points until then are kept, and a warning
    says so. Types that the CPU cannot compute have no points.

    Args:
        beside: clusters to keep busy with DRAM traffic meanwhile, with a working set as large as the plan's, divided
            among their CPUs; none of these is measured.
        device: its name, for messages.
        on_point: told of every point as it comes.
        isa: the instructions to use, one of `KernelPoint.isa`; None: the best that the CPU has for each type.
        progress: told about builds.
    Raises: BadInput: the plan cannot be measured so; WrongAbi: the CPU lacks `isa`, or cannot run our program;
        StableError: a CPU is offline, or memory is short; GarbledOutput, CommandTimeout, DeviceOffline.
    """
    cpus = _cpus(profile, config, device=device)
    binary = build("kernels", profile.abi, cache=host_cache, progress=progress)
    remote = cache.ensure(binary, sha256_of(binary), executable=True)
    argv = [remote, *_arguments(plan, cpus, _busy(plan, cpus, beside, device=device), isa=isa, device=device)]
    taken_at = clock.now()
    program = agent.start(argv)
    with EndOnError(program):
        talk = _Conversation(program, device=device, plan=plan)
        points, warnings = _follow(talk, plan, threads=len(cpus), on_point=on_point)
        program.wait(_END_TIMEOUT_S)
    return Sweep(
        id=uuid.uuid4().hex,
        serial=profile.serial,
        taken_at=taken_at,
        config=msgspec.structs.replace(config, cpus=cpus),
        beside=tuple(cluster.name for cluster in beside),
        points=points,
        agent_version=agent.hello.version,
        emulated=profile.emulated,
        warnings=(*plan.notes, *warnings),
    )


def intensities_of(plan: SweepPlan) -> tuple[float, ...]:
    """The nearest that the kernels can make, rising, each once."""
    possible = (2.0 ** round(math.log2(intensity)) for intensity in plan.intensities)
    return tuple(sorted({min(max(intensity, LEAST_INTENSITY), MOST_INTENSITY) for intensity in possible}))


# ---- asking ----


class _Busy(msgspec.Struct, frozen=True):
    """Threads that keep memory busy."""

    cpus: tuple[int, ...]
    bytes_each: int


def _cpus(profile: Profile, config: RunConfig, *, device: str) -> tuple[int, ...]:
    cpus = profile.cpus if config.cpus is None else config.cpus
    if not 1 <= config.threads <= len(set(cpus)):
        raise BadInput(
            f"{printable(device)}: a sweep of {config.threads} threads needs as many CPUs, but has "
            f"{format_cpu_list(cpus) or 'none'}; see: leadline device show"
        )
    return tuple(sorted(set(cpus)))[: config.threads]


def _busy(plan: SweepPlan, cpus: Sequence[int], beside: Sequence[Cluster], *, device: str) -> _Busy | None:
    if not beside:
        return None
    busy = tuple(sorted({cpu for cluster in beside for cpu in cluster.cpus}))
    if shared := set(busy) & set(cpus):
        raise BadInput(f"{printable(device)}: CPUs {format_cpu_list(shared)} cannot be measured and kept busy at once")
    dram = [level.working_set_bytes for level in plan.levels if level.level == "DRAM"]
    if not dram or not busy:
        raise BadInput(
            f"{printable(device)}: nothing keeps its memory busy: "
            + ("its clusters have no CPU" if dram else "its caches hold all that may be used")
            + "; measure its clusters alone"
        )
    return _Busy(busy, max(dram[0] * len(cpus) // len(busy), LEAST_BYTES))


def _arguments(plan: SweepPlan, cpus: Sequence[int], busy: _Busy | None, *, isa: str | None, device: str) -> list[str]:
    intensities = intensities_of(plan)
    if not (plan.dtypes and plan.levels and intensities):
        raise BadInput(f"{printable(device)}: the plan of its sweep has no points")
    levels = [f"{level.level}:{_bytes(level.working_set_bytes)}:{level.most_intensity!r}" for level in plan.levels]
    values = {
        "--cpus": ",".join(map(str, cpus)),
        "--dtypes": ",".join(plan.dtypes),
        "--levels": ",".join(levels),
        "--intensities": ",".join(map(repr, intensities)),
        "--tries": str(plan.tries),
        "--seconds": repr(plan.seconds_at_most),
    }
    if isa is not None:
        values["--isa"] = isa
    if busy is not None:
        values |= {"--beside": ",".join(map(str, busy.cpus)), "--beside-bytes": str(busy.bytes_each)}
    return [f"{name}={value}" for name, value in values.items()]


def _bytes(working_set_bytes: int) -> int:
    return max(working_set_bytes, LEAST_BYTES)


# ---- listening ----


def _follow(
    talk: _Conversation, plan: SweepPlan, *, threads: int, on_point: Callable[[KernelPoint], None]
) -> tuple[tuple[KernelPoint, ...], list[str]]:
    """The points, and what is to be said of them."""
    ready = talk.next_line("the kernels were not ready")
    if not isinstance(ready, ReadyLine):
        raise talk.unexpected(ready)
    if set(ready.isas) != set(plan.dtypes):
        raise talk.garbled(f"the kernels are ready for {', '.join(sorted(ready.isas))}")
    expected = list(_expected(plan, ready.isas))
    if ready.points != len(expected):
        raise talk.garbled(f"the kernels want to measure {ready.points} points instead of {len(expected)}")
    points: list[KernelPoint] = []
    while not isinstance(line := talk.next_line("a point was not measured"), EndLine):
        if not isinstance(line, PointLine):
            raise talk.unexpected(line)
        if len(points) == len(expected):
            raise talk.garbled("the kernels tell of a point too many")
        points.append(_point(talk, line, expected[len(points)], plan, threads=threads))
        on_point(points[-1])
    if line.cpu is not None and not points:
        raise StableError(f"{talk.device}: CPU {line.cpu} went away before anything was measured; choose other CPUs")
    missing = len(expected) - len(points)
    if bool(missing) != (line.stopped is not None):
        raise talk.garbled(f"the kernels ended with {missing} points missing, {line.stopped or 'not'} stopped")
    return tuple(points), list(_warnings(points, line, missing, plan))


class _Expected(msgspec.Struct, frozen=True):
    dtype: KernelType
    isa: str
    level: MemoryLevel
    intensity: float
    most_bytes: int  # of each thread


def _expected(plan: SweepPlan, isas: Mapping[KernelType, str | None]) -> Iterator[_Expected]:
    """The points in the order in which the program measures them."""
    for dtype in plan.dtypes:
        isa = isas[dtype]
        for level in plan.levels if isa is not None else ():
            for intensity in intensities_of(plan):
                if intensity <= level.most_intensity:
                    assert isa is not None
                    yield _Expected(dtype, isa, level.level, intensity, _bytes(level.working_set_bytes))


def _point(talk: _Conversation, line: PointLine, expected: _Expected, plan: SweepPlan, *, threads: int) -> KernelPoint:
    found = (line.dtype, line.isa, line.level, line.intensity)
    if found != (expected.dtype, expected.isa, expected.level, expected.intensity):
        raise talk.garbled(f"the kernels measured {found} out of turn")
    if line.working_set_bytes > expected.most_bytes * threads:
        raise talk.garbled(f"a working set of {line.working_set_bytes} bytes is larger than was asked for")
    if len(line.gops) != plan.tries:
        raise talk.garbled(f"{len(line.gops)} tries of a point instead of {plan.tries}")
    return KernelPoint(**{field: getattr(line, field) for field in KernelPoint.__struct_fields__})


def _warnings(points: Sequence[KernelPoint], end: EndLine, missing: int, plan: SweepPlan) -> Iterator[str]:
    lost = f"the last {missing} of {len(points) + missing} points are missing"
    if end.stopped == "cpu":
        yield f"CPU {end.cpu} went away during the sweep: {lost}"
    if end.stopped == "time":
        yield f"the sweep took longer than {plan.seconds_at_most:g} s: {lost}"
    if wrong := sum(not point.correct for point in points):
        yield f"{wrong} of {len(points)} points computed something wrong: the CPU or its memory is faulty"


class _Conversation:
    """Listening to the program, and saying in full what went wrong."""

    def __init__(self, program: Talker, *, device: str, plan: SweepPlan) -> None:
        self.device = printable(device)
        self._program = program
        self._timeout_s = plan.seconds_at_most + _PATIENCE_S

    def next_line(self, what: str) -> KernelLine:
        try:
            line = self._program.line(self._timeout_s)
        except CommandTimeout:
            raise CommandTimeout(
                f"{self.device}: {what} within {self._timeout_s:.0f} s; try again with nothing else running"
            ) from None
        if line is None:
            raise self._ended()
        try:
            return parse_line(line.text)
        except GarbledOutput as error:
            raise self.garbled(str(error)) from None

    def garbled(self, fact: str) -> GarbledOutput:
        return GarbledOutput(f"{self.device}: {fact}; try again")

    def unexpected(self, line: KernelLine) -> LeadlineError:
        """The error for a line that does not belong here."""
        if not isinstance(line, ErrorLine):
            return self.garbled(f"the kernels answered out of turn ({type(line).__name__})")
        why = f"{self.device}: {printable(line.text, 300)}"
        if line.code == "isa":
            return WrongAbi(f"{why}; sweep without choosing instructions")
        if line.code == "cpu":
            return StableError(f"{why}; choose other CPUs, see: leadline device probe")
        if line.code == "memory":
            return StableError(f"{why}; end other programs there, or sweep fewer CPUs")
        return self.garbled(f"the kernels refuse ({printable(line.code, 20)}): {printable(line.text)}")

    def _ended(self) -> LeadlineError:
        with suppress(DeviceError):
            self._program.wait(_END_TIMEOUT_S)
        ended = self._program.exit
        if ended is None:
            return CommandTimeout(f"{self.device}: the kernels said no more and did not end; try again")
        said = complaint(ended.stderr)
        if ended.signal == signal.SIGKILL:
            return StableError(f"{self.device}: the device killed the kernels, most likely out of memory{said}")
        if ended.signal in (signal.SIGILL, signal.SIGFPE) or ended.code in (126, 127):
            return WrongAbi(f"{self.device}: its CPU cannot run the kernels{said}; see: leadline device probe")
        how = f"exit code {ended.code}" if ended.signal is None else signal_name(ended.signal)
        return self.garbled(f"the kernels ended early ({how}){said}")
