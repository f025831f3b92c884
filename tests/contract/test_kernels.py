"""Sweeps of the real kernels on this machine, through a real agent."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from leadline.core.clock import SystemClock
from leadline.core.errors import StableError, WrongAbi
from leadline.records.device import Cluster
from leadline.records.roofline import KernelPoint, KernelType, PlannedLevel, Sweep, SweepPlan
from leadline.records.trial import RunConfig
from leadline.rpc import build as builder
from leadline.rpc.build import build, sources_folder
from leadline.runner.kernel_lines import ErrorLine, PointLine, parse_line
from leadline.runner.kernels import measure_sweep
from tests.support.bench import Bench, bench
from tests.support.programs import CACHE, built, host_abi

__all__ = ["bench"]

INTENSITIES = tuple(2.0**power for power in range(-4, 7))


def plan(*dtypes: KernelType, seconds: float = 60) -> SweepPlan:
    return SweepPlan(
        dtypes=dtypes or ("float32",),
        levels=(
            PlannedLevel(level="L1", working_set_bytes=16384, most_intensity=64),
            PlannedLevel(level="DRAM", working_set_bytes=2**20 + 12345, most_intensity=1),
        ),
        intensities=INTENSITIES,
        tries=2,
        seconds_at_most=seconds,
        notes=(),
    )


def slow_plan() -> SweepPlan:
    """So slow that a test on a busy machine can meddle before it ends."""
    return msgspec.structs.replace(plan(), tries=50)


def swept(bench: Bench, plan: SweepPlan, *, threads: int = 1, **options: object) -> Sweep:
    return measure_sweep(
        bench.agent,
        bench.cache,
        bench.profile,
        RunConfig(threads=threads),
        plan,
        host_cache=CACHE,
        device="bench",
        clock=SystemClock(),
        **options,  # type: ignore[arg-type]
    )


def isas() -> list[tuple[KernelType, str]]:
    """What this machine's CPU has, said by the kernels as they refuse something else."""
    found: list[tuple[KernelType, str]] = []
    dtypes: tuple[KernelType, ...] = ("float32", "float16", "int8")
    for dtype in dtypes:
        line = parse_line(refusal("--isa=abacus", dtypes=dtype))
        assert isinstance(line, ErrorLine)
        assert line.code == "isa"
        names = line.text.partition("this CPU has ")[2]
        found += [(dtype, name) for name in names.split(", ") if names != "no instructions for it"]
    return found


def refusal(*more: str, dtypes: str = "float32") -> str:
    """The one line that the program says to these arguments."""
    arguments = [
        f"--cpus={min(os.sched_getaffinity(0))}",
        f"--dtypes={dtypes}",
        "--levels=L1:16384:64",
        "--intensities=1",
    ]
    done = subprocess.run([built("kernels"), *arguments, *more], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    [line] = done.stdout.splitlines()
    return line


def test_every_instruction_set_of_this_machine_computes_correctly(bench: Bench) -> None:
    available = isas()
    assert "float32" in dict(available)
    for dtype, isa in available:
        sweep = swept(bench, plan(dtype), isa=isa)
        assert sweep.warnings == ()
        assert all(point.correct for point in sweep.points)
        assert {point.isa for point in sweep.points} == {isa}
        assert [(point.level, point.intensity) for point in sweep.points] == [
            *(("L1", intensity) for intensity in INTENSITIES),
            *(("DRAM", intensity) for intensity in INTENSITIES if intensity <= 1),
        ]


def test_work_that_is_left_out_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built("kernels")  # the compiler is warm
    (tmp_path / "zig").symlink_to(CACHE / "zig")
    shutil.copytree(sources_folder(), tmp_path / "sources")
    template = tmp_path / "sources" / "kernels_template.h"
    whole = template.read_text()
    template.write_text(whole.replace("x + blocks * UNROLL", "x + (blocks - 1) * UNROLL"))
    assert template.read_text() != whole
    monkeypatch.setattr(builder, "_SOURCE_FOLDERS", (tmp_path / "sources",))
    lazy = build("kernels", host_abi(), cache=tmp_path)
    arguments = [
        f"--cpus={min(os.sched_getaffinity(0))}",
        "--dtypes=float32",
        "--levels=L1:16384:64",
        "--intensities=0.125,0.25,64",
    ]
    done = subprocess.run([lazy, *arguments], capture_output=True, text=True, timeout=60, check=True)
    points = [line for line in map(parse_line, done.stdout.splitlines()) if isinstance(line, PointLine)]
    assert [(point.intensity, point.correct) for point in points] == [(0.125, True), (0.25, False), (64, False)]


def test_working_sets_are_nearly_as_large_as_planned_and_never_larger(bench: Bench) -> None:
    for point in swept(bench, plan()).points:
        wanted = 16384 if point.level == "L1" else 2**20 + 12345
        assert 0.9 * wanted < point.working_set_bytes <= wanted


def test_all_cores_have_a_working_set_each(bench: Bench) -> None:
    threads = len(bench.agent.hello.cpus)
    sweep = swept(bench, plan(), threads=threads)
    assert sweep.config.cpus == bench.profile.cpus
    assert all(point.correct for point in sweep.points)
    assert sweep.points[0].working_set_bytes == 16384 * threads


def test_more_arithmetic_for_each_byte_gives_more_operations(bench: Bench) -> None:
    points = swept(bench, plan()).points
    assert points[0].best_gops < points[10].best_gops
    assert points[0].best_gbytes > points[10].best_gbytes


def test_time_that_runs_out_keeps_what_was_measured(bench: Bench) -> None:
    sweep = swept(bench, plan(seconds=0.01))
    assert 1 <= len(sweep.points) < 16
    [warning] = sweep.warnings
    assert "took longer than 0.01 s" in warning


def test_an_instruction_set_that_the_cpu_lacks_is_refused_with_those_that_it_has(bench: Bench) -> None:
    with pytest.raises(WrongAbi, match="float32 cannot be computed with abacus here; this CPU has "):
        swept(bench, plan(), isa="abacus")
    with pytest.raises(WrongAbi, match="int8 cannot be computed"):
        swept(bench, plan("int8"), isa="c")


def test_a_cpu_that_is_not_there_is_named(bench: Bench) -> None:
    with pytest.raises(StableError, match="CPU 4001 is offline, forbidden or missing"):
        measure_sweep(
            bench.agent,
            bench.cache,
            bench.profile,
            RunConfig(threads=1, cpus=(4001,)),
            plan(),
            host_cache=CACHE,
            device="bench",
            clock=SystemClock(),
        )


def test_working_sets_beyond_the_memory_are_refused() -> None:
    line = parse_line(refusal("--levels=L1:16384:64,DRAM:1e14:1"))
    assert isinstance(line, ErrorLine)
    assert line.code == "memory"


@pytest.mark.parametrize(
    "argument",
    [
        "--cpus=",
        "--cpus=0,",
        "--cpus=-1",
        "--cpus=0;1",
        "--cpus=1.5",
        "--cpus=nan",
        "--cpus=99999",
        "--dtypes=float64",
        "--dtypes=",
        "--levels=L1:64:1",
        "--levels=L1:nan:1",
        "--levels=L1",
        "--levels=L1:16384",
        "--levels=LLLLLLLLLLLLLLLLL1:16384:1",
        "--levels=X:16384:1",
        "--intensities=3",
        "--intensities=128",
        "--intensities=0",
        "--intensities=nan",
        "--intensities=" + ",".join(["1"] * 100),
        "--tries=0",
        "--tries=101",
        "--seconds=-1",
        "--seconds=inf",
        "--beside=0",
        "--nonsense",
        "word",
    ],
)
def test_arguments_that_make_no_sense_are_refused(argument: str) -> None:
    line = parse_line(refusal(argument))
    assert isinstance(line, ErrorLine)
    assert line.code == "arguments"


def threads_of(bench: Bench) -> list[int]:
    """The kernels' threads, the main one included; none if they have ended."""
    agent = bench.agent.hello.pid
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    tasks = [task for pid in pids if parent(pid) == agent for task in Path(f"/proc/{pid}/task").glob("*")]
    return [int(task.name) for task in tasks]


def parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return None


def test_a_cpu_that_goes_away_during_the_sweep_is_told_and_the_points_before_are_kept(bench: Bench) -> None:
    def take_away(_: KernelPoint) -> None:
        for thread in threads_of(bench):  # what the kernel does to threads whose CPU goes offline
            os.sched_setaffinity(thread, os.sched_getaffinity(0))

    sweep = swept(bench, slow_plan(), on_point=take_away)
    assert 1 <= len(sweep.points) < 16
    [warning] = sweep.warnings
    assert f"CPU {bench.profile.cpus[0]} went away during the sweep" in warning


def test_cpus_beside_work_while_others_are_measured(bench: Bench) -> None:
    last = bench.profile.cpus[-1]
    other = Cluster(name="other", cpus=(last,), core=None, capacity=None, min_khz=None, max_khz=None, governor=None)
    busy_ticks: list[int] = []

    def look(_: KernelPoint) -> None:
        busy_ticks.extend(ticks(thread) for thread in threads_of(bench) if os.sched_getaffinity(thread) == {last})
        if len(busy_ticks) > 1 and busy_ticks[-1] > busy_ticks[0]:
            raise KeyboardInterrupt  # seen enough

    with pytest.raises(KeyboardInterrupt):
        swept(bench, slow_plan(), beside=[other], on_point=look)
    sweep = swept(bench, plan(), beside=[other])
    assert sweep.beside == ("other",)
    assert all(point.correct for point in sweep.points)


def ticks(thread: int) -> int:
    """CPU time that a thread has used, in units of the kernel's."""
    fields = Path(f"/proc/{thread}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_cpu_beside_that_is_not_there_is_named(bench: Bench) -> None:
    ghost = Cluster(name="ghost", cpus=(4001,), core=None, capacity=None, min_khz=None, max_khz=None, governor=None)
    with pytest.raises(StableError, match="CPU 4001 is offline"):
        swept(bench, plan(), beside=[ghost])


def test_a_sweep_that_its_caller_gives_up_is_ended_on_the_device(bench: Bench) -> None:
    def interrupt(_: KernelPoint) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        swept(bench, plan(), on_point=interrupt)
    assert bench.agent.start(["true"]).wait(60.0).code == 0
