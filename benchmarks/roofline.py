"""How near to the machine do our micro-kernels come, beside another tool that measures the same?

    python -m benchmarks roofline

`likwid-bench` (Debian: likwid), hand-written assembly, in turn with ours, a try each in a process of its own; the best
of all tries counts, as a roof is what can be reached. Both count the same bytes for the same access:

*update*  loads and stores every element in place: likwid's `update_sp`; ours with one multiplication and addition of
          each, 0.25 FLOP/byte. Not on L1: likwid's does not compute, and there arithmetic is what takes the time.
*copy*    loads one array and stores another, without counting what a store loads by itself: likwid's `copy`; ours with
          a multiplication and addition for every fourth vector, 1/16 FLOP/byte.

Peaks are fused multiplications and additions on data in L1.

Then the time of whole sweeps, as `leadline roofline run` takes them.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.tables import print_table
from leadline.core.clock import SystemClock
from leadline.device.probe import probe
from leadline.records.device import Profile
from leadline.records.roofline import KernelPoint, PlannedLevel, Sweep, SweepPlan
from leadline.records.trial import RunConfig
from leadline.roofline.plan import plan_sweep
from leadline.rpc.agent import Agent
from leadline.rpc.cache import DeviceCache
from leadline.rpc.local import LocalTransport
from leadline.runner.kernels import measure_sweep
from tests.support.programs import CACHE, built

TRIES = 10  # of both
TRY_S = 0.02  # what one of ours takes
PROMISE_S = 20.0  # of a whole sweep
COPY, UPDATE, PEAK = 1 / 16, 1 / 4, 64.0  # operations per byte

_LIKWID_TESTS = {  # peak, update, copy
    "avx512f": ("peakflops_sp_avx512_fma", "update_sp_avx512", "copy_avx512"),
    "avx2+fma": ("peakflops_sp_avx_fma", "update_sp_avx", "copy_avx"),
    "sse2": ("peakflops_sp_sse", "update_sp_sse", "copy_sse"),
}


class Bench(msgspec.Struct, frozen=True):
    agent: Agent
    cache: DeviceCache
    profile: Profile

    def sweep(self, config: RunConfig, plan: SweepPlan) -> Sweep:
        return measure_sweep(
            self.agent, self.cache, self.profile, config, plan, host_cache=CACHE, device="bench", clock=SystemClock()
        )


class Case(msgspec.Struct, frozen=True):
    """One row: what both measure. Speeds are 1e9 FLOP or bytes a second."""

    name: str
    unit: str
    level: PlannedLevel
    intensity: float  # of ours
    likwid_test: int  # which of `_LIKWID_TESTS`


def main() -> None:
    with _bench() as bench:
        cores = list(dict.fromkeys([1, len(bench.profile.cpus)]))
        beside = [row for count in cores for row in _beside(bench, count)]
        sweeps = [_whole_sweep(bench, count) for count in cores]
    title = f"(e) Roofs beside likwid-bench, float32, best of {TRIES} tries"
    print_table(title, ["cores", "roof", "unit", "Leadline", "likwid-bench", "ratio"], beside)
    print_table("(f) A whole sweep of one configuration", ["cores", "points", "time", "promise"], sweeps)


@contextmanager
def _bench() -> Iterator[Bench]:
    with (
        tempfile.TemporaryDirectory(prefix="leadline-bench-") as folder,
        LocalTransport(name="bench") as transport,
        Agent(transport, str(built("agent")), name="bench") as agent,
    ):
        profile = probe(transport, agent, clock=SystemClock())
        yield Bench(agent, DeviceCache(transport, str(Path(folder) / "device"), budget_bytes=2**30), profile)


def _beside(bench: Bench, cores: int) -> list[list[str]]:
    config = RunConfig(threads=cores, cpus=bench.profile.cpus[:cores])
    cases = list(_cases(plan_sweep(bench.profile, config)))
    ours, theirs = [0.0] * len(cases), [0.0] * len(cases)
    for _ in range(TRIES):
        for i, case in enumerate(cases):
            point = _ours(bench, case, config)
            ours[i] = max(ours[i], point.best_gops if case.unit == "GFLOP/s" else point.best_gbytes)
            test = _LIKWID_TESTS[point.isa][case.likwid_test]  # x86 only
            theirs[i] = max(theirs[i], _likwid(test, case, cores, expected=ours[i]))
    return [
        [str(cores), case.name, case.unit, f"{mine:.1f}", f"{other:.1f}", f"{mine / other:.2f}"]
        for case, mine, other in zip(cases, ours, theirs, strict=True)
    ]


def _ours(bench: Bench, case: Case, config: RunConfig) -> KernelPoint:
    """One try."""
    plan = SweepPlan(
        dtypes=("float32",),
        levels=(msgspec.structs.replace(case.level, most_intensity=case.intensity),),
        intensities=(case.intensity,),
        tries=1,
        seconds_at_most=PROMISE_S,
        notes=(),
    )
    [point] = bench.sweep(config, plan).points
    return point


def _cases(plan: SweepPlan) -> Iterator[Case]:
    yield Case("peak", "GFLOP/s", plan.levels[0], PEAK, 0)
    for level in plan.levels:
        if level.level != "L1":
            yield Case(f"{level.level} update", "GB/s", level, UPDATE, 1)
        yield Case(f"{level.level} copy", "GB/s", level, COPY, 2)


def _likwid(test: str, case: Case, cores: int, *, expected: float) -> float:
    """One try on the first `cores` CPUs, in the case's unit."""
    size = case.level.working_set_bytes * cores
    a_pass = size * (7.5 if case.unit == "GFLOP/s" else 2 if test.startswith("update") else 1)  # FLOP, or bytes moved
    passes = max(10, round(TRY_S * expected * 1e9 / a_pass))  # 10 at least, says likwid-bench
    argv = ["likwid-bench", "-t", test, "-W", f"N:{size}B:{cores}", "-i", str(passes)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    [speed] = re.findall(
        r"^MFlops/s:\s+([\d.]+)" if case.unit == "GFLOP/s" else r"^MByte/s:\s+([\d.]+)", done.stdout, re.M
    )
    return float(speed) / 1e3


def _whole_sweep(bench: Bench, cores: int) -> list[str]:
    config = RunConfig(threads=cores, cpus=bench.profile.cpus[:cores])
    start_s = time.monotonic()
    sweep = bench.sweep(config, plan_sweep(bench.profile, config))
    return [str(cores), str(len(sweep.points)), f"{time.monotonic() - start_s:.1f} s", f"{PROMISE_S:.0f} s"]
