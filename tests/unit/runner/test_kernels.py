"""What a sweep makes of what the kernels' program says: a whole sweep, a short one with a warning, or an error."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from leadline.core.clock import FakeClock
from leadline.core.errors import BadInput, CommandTimeout, GarbledOutput, StableError, WrongAbi
from leadline.records.device import Cluster
from leadline.records.roofline import KernelPoint, PlannedLevel, Sweep, SweepPlan
from leadline.records.trial import RunConfig
from leadline.rpc.agent import Agent
from leadline.rpc.cache import DeviceCache
from leadline.runner.kernels import intensities_of, measure_sweep
from tests.support.bench import profile_of_bench
from tests.support.programs import CACHE, host_abi
from tests.support.scripted import ScriptedProgram

PLAN = SweepPlan(
    dtypes=("float32", "int8"),
    levels=(
        PlannedLevel(level="L1", working_set_bytes=16384, most_intensity=64),
        PlannedLevel(level="DRAM", working_set_bytes=2**20, most_intensity=1),
    ),
    intensities=(0.25, 64.0),
    tries=2,
    seconds_at_most=5,
    notes=("L2 unknown",),
)
READY = {"event": "ready", "version": "abc", "points": 3, "isas": {"float32": "neon", "int8": None}}
POINT: dict[str, Any] = {
    "event": "point",
    "dtype": "float32",
    "isa": "neon",
    "level": "L1",
    "working_set_bytes": 16384,
    "intensity": 0.25,
    "gops": [1.5, 2],
    "correct": True,
}
POINTS = [POINT, {**POINT, "intensity": 64}, {**POINT, "level": "DRAM", "working_set_bytes": 2**20}]
END: dict[str, Any] = {"event": "end", "stopped": None, "cpu": None}


class ScriptedAgent:
    """Starts one program, which says prepared lines."""

    hello = SimpleNamespace(version="test")

    def __init__(self, program: ScriptedProgram) -> None:
        self.program = program
        self.argv: list[str] = []

    def start(self, argv: list[str]) -> ScriptedProgram:
        self.argv = argv
        return self.program


class NoCache:
    def ensure(self, local: Path, sha256: str, *, executable: bool = False) -> str:
        return "/device/kernels"


def swept(
    *lines: dict[str, Any] | str | Exception, plan: SweepPlan = PLAN, config: RunConfig | None = None, **options: Any
) -> tuple[Sweep, ScriptedAgent]:
    end = {name: options.pop(name) for name in ("code", "signal", "stderr") if name in options}
    agent = ScriptedAgent(ScriptedProgram(lines, **end))
    try:
        sweep = measure_sweep(
            cast(Agent, agent),
            cast(DeviceCache, NoCache()),
            profile_of_bench(abi=host_abi(), cpus=(0, 1, 2, 3)),
            config or RunConfig(threads=1),
            plan,
            host_cache=CACHE,
            device="pi\x1b4",
            clock=FakeClock(),
            **options,
        )
    except Exception:
        assert agent.program.killed or not agent.argv
        raise
    return sweep, agent


def test_a_whole_sweep_is_told_point_by_point() -> None:
    told: list[KernelPoint] = []
    sweep, agent = swept(READY, *POINTS, END, on_point=told.append)
    assert sweep.points == tuple(told)
    assert [(point.level, point.intensity, point.best_gops) for point in told] == [
        ("L1", 0.25, 2),
        ("L1", 64, 2),
        ("DRAM", 0.25, 2),
    ]
    assert sweep.warnings == ("L2 unknown",)
    assert sweep.config == RunConfig(threads=1, cpus=(0,))
    assert (sweep.serial, sweep.beside, sweep.agent_version) == ("bench", (), "test")
    assert agent.argv == [
        "/device/kernels",
        "--cpus=0",
        "--dtypes=float32,int8",
        "--levels=L1:16384:64,DRAM:1048576:1",
        "--intensities=0.25,64.0",
        "--tries=2",
        "--seconds=5",
    ]


def test_clusters_beside_share_a_working_set_as_large_as_the_measured_one() -> None:
    little = Cluster(name="little", cpus=(2, 3), core=None, capacity=None, min_khz=None, max_khz=None, governor=None)
    sweep, agent = swept(READY, *POINTS, END, config=RunConfig(threads=1, cpus=(0,)), beside=[little], isa="neon")
    assert agent.argv[-3:] == ["--isa=neon", "--beside=2,3", f"--beside-bytes={2**19}"]
    assert sweep.beside == ("little",)
    with pytest.raises(BadInput, match="CPUs 2 cannot be measured and kept busy"):
        swept(config=RunConfig(threads=1, cpus=(2,)), beside=[little])
    cached = msgspec.structs.replace(PLAN, levels=PLAN.levels[:1])
    with pytest.raises(BadInput, match="nothing keeps its memory busy"):
        swept(plan=cached, config=RunConfig(threads=1, cpus=(0,)), beside=[little])


def test_intensities_are_those_that_kernels_can_make() -> None:
    plan = msgspec.structs.replace(PLAN, intensities=(0.01, 0.07, 0.3, 1, 3, 1000))
    assert intensities_of(plan) == (1 / 16, 1 / 4, 1, 4, 64)


def test_more_threads_than_cpus_are_refused() -> None:
    with pytest.raises(BadInput, match="5 threads needs as many CPUs, but has 0-3"):
        swept(config=RunConfig(threads=5))
    with pytest.raises(BadInput, match="0 threads"):
        swept(config=RunConfig(threads=0))


def test_a_plan_without_points_is_refused() -> None:
    with pytest.raises(BadInput, match="no points"):
        swept(plan=msgspec.structs.replace(PLAN, levels=()))


def test_a_cpu_that_goes_away_keeps_the_points_until_then() -> None:
    sweep, _ = swept(READY, *POINTS[:2], {**END, "stopped": "cpu", "cpu": 5})
    assert len(sweep.points) == 2
    assert sweep.warnings[1:] == ("CPU 5 went away during the sweep: the last 1 of 3 points are missing",)


def test_a_cpu_that_goes_away_at_once_is_an_error() -> None:
    with pytest.raises(StableError, match="CPU 5 went away before anything"):
        swept(READY, {**END, "stopped": "cpu", "cpu": 5})


def test_time_that_runs_out_keeps_the_points_until_then() -> None:
    sweep, _ = swept(READY, POINT, {**END, "stopped": "time"})
    assert sweep.warnings[1:] == ("the sweep took longer than 5 s: the last 2 of 3 points are missing",)


def test_a_wrong_result_is_kept_and_told() -> None:
    sweep, _ = swept(READY, POINT, {**POINTS[1], "correct": False}, POINTS[2], END)
    assert [point.correct for point in sweep.points] == [True, False, True]
    assert sweep.warnings[1:] == ("1 of 3 points computed something wrong: the CPU or its memory is faulty",)


GARBAGE: list[tuple[str, list[dict[str, Any] | str]]] = [
    ("no JSON", ["hello"]),
    ("escapes", ["\x1b[2J"]),
    ("NaN", [READY, json.dumps({**POINT, "gops": [1, float("nan")]})]),
    ("infinity", [READY, json.dumps({**POINT, "gops": [1, 2]}).replace("[1, 2]", "[1, 1e999]")]),
    ("a negative speed", [READY, {**POINT, "gops": [1, -1]}]),
    ("no speed", [READY, {**POINT, "gops": [1, 0]}]),
    ("an absurd speed", [READY, {**POINT, "gops": [1, 1e9]}]),
    ("a try too few", [READY, {**POINT, "gops": [1]}]),
    ("another type", [READY, {**POINT, "dtype": "float64"}]),
    ("another instruction set", [READY, {**POINT, "isa": "c"}]),
    ("another level", [READY, {**POINT, "level": "DRAM"}]),
    ("another intensity", [READY, {**POINT, "intensity": 0.5}]),
    ("a working set larger than asked for", [READY, {**POINT, "working_set_bytes": 16385}]),
    ("an empty working set", [READY, {**POINT, "working_set_bytes": 0}]),
    ("a point twice", [READY, POINT, POINT]),
    ("a point too many", [READY, *POINTS, POINT]),
    ("a point before it is ready", [POINT]),
    ("ready twice", [READY, READY]),
    ("another number of points", [{**READY, "points": 4}]),
    ("types not asked for", [{**READY, "isas": {"float32": "neon"}}]),
    ("an instruction set that acts on the terminal", [{**READY, "isas": {"float32": "\x1b[2J", "int8": None}}]),
    ("an end too early", [READY, POINT, END]),
    ("out of time with nothing missing", [READY, *POINTS, {**END, "stopped": "time"}]),
    ("a lost CPU without its number", [READY, POINT, {**END, "stopped": "cpu"}]),
    ("an end without a beginning", [END]),
    ("nothing more", [READY, POINT]),
    ("an unknown complaint", [{"event": "error", "code": "mood", "text": "no"}]),
]


@pytest.mark.parametrize("lines", [lines for _, lines in GARBAGE], ids=[name for name, _ in GARBAGE])
def test_what_is_no_sweep_is_garbled_output(lines: list[dict[str, Any] | str]) -> None:
    with pytest.raises(GarbledOutput) as caught:
        swept(*lines)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "kind"), [("isa", WrongAbi), ("cpu", StableError), ("memory", StableError), ("arguments", GarbledOutput)]
)
def test_complaints_are_told_by_their_kind(code: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="the reason") as caught:
        swept({"event": "error", "code": code, "text": "the reason"})
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("end", "kind", "match"),
    [
        ({"code": None, "signal": 9}, StableError, "out of memory"),
        ({"code": None, "signal": 4}, WrongAbi, "cannot run the kernels"),
        ({"code": 127}, WrongAbi, "cannot run the kernels"),
        ({"code": None, "signal": 11}, GarbledOutput, "SIGSEGV"),
        ({"code": 1, "stderr": "oops"}, GarbledOutput, "exit code 1.*oops"),
    ],
)
def test_an_early_end_is_told_by_its_cause(end: dict[str, Any], kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match):
        swept(READY, POINT, **end)


def test_silence_is_a_time_out() -> None:
    with pytest.raises(CommandTimeout, match=r"a point was not measured within 65 s"):
        swept(READY, POINT, CommandTimeout("quiet"))
