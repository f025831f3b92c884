"""Fitting roofs to the points of a sweep."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.core.errors import BadInput
from leadline.roofline.fit import fit, interval_of_best
from tests.unit.roofline.sweeps import kernel, sweep_of


def test_an_ideal_device_gets_exactly_its_roofs_and_ridges() -> None:
    roofline = fit(sweep_of(peak_gops=48.0, gbytes={"L1": 80.0, "L2": 40.0, "DRAM": 5.0})).of("float32")
    assert roofline.peak_gops.center == pytest.approx(48.0)
    assert [(roof.level, roof.gbytes.center, roof.ridge) for roof in roofline.levels] == [
        ("L1", pytest.approx(80.0), pytest.approx(0.6)),
        ("L2", pytest.approx(40.0), pytest.approx(1.2)),
        ("DRAM", pytest.approx(5.0), pytest.approx(9.6)),
    ]


def test_bandwidth_is_the_best_over_all_intensities() -> None:
    points = (
        kernel(level="DRAM", intensity=0.0625, gops=(0.25, 0.26)),  # 4.16 GB/s
        kernel(level="DRAM", intensity=0.25, gops=(1.25, 1.2)),  # 5 GB/s: more work, yet more bytes
        kernel(level="DRAM", intensity=16.0, gops=(30.0, 31.0)),
    )
    [roof] = fit(sweep_of(points=points)).of().levels
    assert roof.gbytes.center == pytest.approx(5.0)


def test_each_type_has_its_own_roofs() -> None:
    points = (kernel(gops=(10.0,)), kernel(dtype="int8", isa="dotprod", gops=(40.0,)))
    roofline = fit(sweep_of(points=points))
    assert [(types.dtype, types.isa, types.peak_gops.center) for types in roofline.types] == [
        ("float32", "neon", 10.0),
        ("int8", "dotprod", 40.0),
    ]
    with pytest.raises(BadInput, match="float16 was measured; use one of float32, int8"):
        roofline.of("float16")


def test_levels_that_were_not_measured_are_missing_and_nothing_else_is() -> None:
    roofline = fit(sweep_of(gbytes={"DRAM": 5.0})).of()
    assert [roof.level for roof in roofline.levels] == ["DRAM"]
    assert roofline.attainable(2.0) == pytest.approx(10.0)
    with pytest.raises(BadInput, match="L2 was not measured; use one of DRAM"):
        roofline.attainable(2.0, "L2")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"correct": False, "gops": (1e6,)}, "its result was wrong"),
        ({"gops": ()}, "it was not tried"),
        ({"gops": (1.0, math.nan)}, "gave nan Gop/s"),
        ({"gops": (-1.0,)}, "gave -1.0 Gop/s"),
        ({"gops": (math.inf,)}, "gave inf Gop/s"),
        ({"intensity": 0.0}, "intensity is 0.0"),
        ({"intensity": math.nan}, "intensity is nan"),
    ],
)
def test_points_that_say_nothing_are_left_out_and_named(changes: dict[str, Any], reason: str) -> None:
    roofline = fit(sweep_of(points=(kernel(gops=(10.0, 9.0)), kernel(level="L2", **changes))))
    assert [roof.level for roof in roofline.of().levels] == ["L1"]
    assert roofline.of().peak_gops.center == 10.0
    [name] = roofline.left_out
    assert name.startswith("float32 L2 at ")
    assert reason in name


def test_a_sweep_without_any_usable_point_is_refused() -> None:
    with pytest.raises(
        BadInput, match=r"sweep 5eed5eed: none of its 1 points .* result was wrong; measure again: lead"
    ):
        fit(sweep_of(points=(kernel(correct=False),)))
    with pytest.raises(BadInput, match="none of its 0 points"):
        fit(sweep_of(points=()))


def test_a_slower_memory_that_came_out_faster_is_told() -> None:
    [warning] = fit(sweep_of(gbytes={"L1": 40.0, "L2": 60.0}, warnings=())).warnings
    assert "L2 came out faster than L1 (60.0 and 40.0 GB/s)" in warning


def test_what_the_sweep_warned_of_stays_said() -> None:
    roofline = fit(sweep_of(warnings=("CPU 5 went offline",), emulated="qemu"))
    assert roofline.warnings == ("CPU 5 went offline",)
    assert roofline.emulated == "qemu"


@pytest.mark.parametrize("intensity", [0.0, -1.0, math.nan, math.inf])
def test_no_roof_is_told_for_an_impossible_intensity(intensity: float) -> None:
    with pytest.raises(BadInput, match="not a positive number of operations per byte"):
        fit(sweep_of()).of().attainable(intensity)


SPEED = st.floats(1e-3, 1e5)


@given(peak=SPEED, gbytes=SPEED, faster=st.floats(1.0, 100.0), intensity=st.floats(1e-4, 1e4))
def test_attainable_never_falls_with_peak_bandwidth_or_intensity(
    peak: float, gbytes: float, faster: float, intensity: float
) -> None:
    def at(peak_gops: float, wide: float, op_per_byte: float) -> float:
        return fit(sweep_of(peak_gops=peak_gops, gbytes={"DRAM": wide}, tries=1)).of().attainable(op_per_byte)

    base = at(peak, gbytes, intensity) * (1 - 1e-9)
    assert at(peak * faster, gbytes, intensity) >= base
    assert at(peak, gbytes * faster, intensity) >= base
    assert at(peak, gbytes, intensity * faster) >= base


@given(seed=st.integers(0, 2**32), noise=st.floats(0.0, 0.5))
def test_no_measured_point_lies_above_its_roof_and_the_ridge_is_where_roofs_meet(seed: int, noise: float) -> None:
    roofline = fit(sweep_of(noise=noise, seed=seed)).of()
    for point in roofline.points:
        assert point.best_gops <= roofline.attainable(point.intensity, point.level) * (1 + 1e-12)
    for roof in roofline.levels:
        assert roof.gbytes.center * roof.ridge == pytest.approx(roofline.peak_gops.center)
        assert roof.gbytes.low <= roof.gbytes.center <= roof.gbytes.high


def test_a_single_try_says_nothing_of_others() -> None:
    interval = interval_of_best([[10.0]])
    assert (interval.low, interval.center, interval.high) == (0.0, 10.0, math.inf)


def test_five_tries_are_bounded_by_the_second_smallest_and_nineteen_gaps() -> None:
    # C(5 + 2 − 1, 5) / C(10, 5) = 6 / 252 = 2.4 % ≤ 2.5 %, but C(7, 5) / C(10, 5) = 21 / 252 = 8.3 % is not
    interval = interval_of_best([[9.0, 9.5, 9.8, 9.9, 10.0], [7.0, 7.0]])
    assert interval.low == 9.5
    assert interval.high == pytest.approx(10.0 + 19 * 0.1)


def test_equal_tries_leave_no_doubt() -> None:
    interval = interval_of_best([[10.0] * 5])
    assert interval.low == interval.center == interval.high == 10.0


def test_the_best_of_a_repeat_lies_in_the_interval_as_often_as_promised() -> None:
    rng = np.random.default_rng(20261122)

    def sweep() -> np.ndarray[Any, np.dtype[np.float64]]:
        return 100.0 / (1.0 + 0.02 * rng.exponential(size=(6, 5)))  # six intensities beyond the ridge, five tries each

    held = 0
    for _ in range(2000):
        interval = interval_of_best(sweep().tolist())
        held += interval.low <= sweep().max() <= interval.high
    assert held / 2000 >= 0.95
