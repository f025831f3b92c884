"""Networks under roofs, and what that says of two devices."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.core.errors import BadInput
from leadline.records.roofline import MemoryLevel
from leadline.roofline.fit import TypeRoofline, fit
from leadline.roofline.placement import Placement, Workload, compare, place
from tests.unit.roofline.sweeps import sweep_of


def roofs(peak_gops: float = 48.0, **gbytes: float) -> TypeRoofline:
    levels: Mapping[MemoryLevel, float] = gbytes or {"L1": 80.0, "L2": 40.0, "DRAM": 5.0}  # type: ignore[assignment]
    return fit(sweep_of(peak_gops=peak_gops, gbytes=levels, tries=1)).of()


def network(name: str = "net", *, mflops: float, mbytes: float, ms: float) -> Workload:
    return Workload(name=name, flops=mflops * 1e6, bytes_moved=mbytes * 1e6, latency_ns=ms * 1e6)


def test_a_network_left_of_the_ridge_is_bound_by_memory() -> None:
    # 100 MFLOP over 50 MB: 2 FLOP/byte, left of 48 / 5 = 9.6; 10 GFLOP/s attainable, 100 MFLOP / 12.5 ms = 8 attained
    found = place(network(mflops=100, mbytes=50, ms=12.5), roofs())
    assert found.intensity == pytest.approx(2.0)
    assert found.gops == pytest.approx(8.0)
    assert (found.level, found.bound) == ("DRAM", "memory")
    assert found.roof_gops == pytest.approx(10.0)
    assert found.fraction == pytest.approx(0.8)
    assert found.predicted_ns == pytest.approx(10e6)


def test_a_network_right_of_the_ridge_is_bound_by_computation() -> None:
    found = place(network(mflops=600, mbytes=30, ms=25), roofs())
    assert (found.level, found.bound) == ("DRAM", "computation")
    assert found.fraction == pytest.approx(0.5)


def test_a_network_far_under_both_roofs_is_bound_by_overhead() -> None:
    assert place(network(mflops=1, mbytes=1, ms=10), roofs()).bound == "overhead"


def test_a_network_that_beats_the_roof_of_dram_stands_under_that_of_a_cache() -> None:
    # 2 FLOP/byte: DRAM allows 10 GFLOP/s, L2 48 (of 80); 20 were attained; L2's ridge is at 1.2
    found = place(network(mflops=100, mbytes=50, ms=5), roofs())
    assert (found.level, found.bound) == ("L2", "computation")
    assert found.roof_gops == pytest.approx(48.0)


def test_a_few_percent_above_a_roof_are_noise() -> None:
    assert place(network(mflops=100, mbytes=50, ms=9.8), roofs()).level == "DRAM"


def test_what_beats_all_roofs_is_shown_as_such() -> None:
    found = place(network(mflops=1000, mbytes=1, ms=10), roofs())
    assert found.level == "L1"
    assert found.fraction == pytest.approx(100 / 48)


@pytest.mark.parametrize(
    "broken",
    [
        {"flops": 0.0},
        {"bytes_moved": 0.0},
        {"latency_ns": math.nan},
        {"latency_ns": -1.0},
        {"flops": math.inf},
    ],
)
def test_what_has_no_place_on_a_roofline_is_refused(broken: dict[str, float]) -> None:
    usual = {"flops": 1.0, "bytes_moved": 1.0, "latency_ns": 1.0}
    [what] = broken
    with pytest.raises(BadInput, match=f"workload net: {what} is .* leave the workload out"):
        place(Workload(name="net", **(usual | broken)), roofs())


QUANTITY = st.floats(1e-3, 1e6)


@given(mflops=QUANTITY, mbytes=QUANTITY, slower=st.floats(1.0, 10.0))
def test_a_network_at_its_roof_attains_all_of_it_and_a_slower_one_its_share(
    mflops: float, mbytes: float, slower: float
) -> None:
    roofline = roofs()
    at_roof = mflops / min(48.0, 5.0 * mflops / mbytes)
    found = place(network(mflops=mflops, mbytes=mbytes, ms=at_roof * slower), roofline)
    assert found.level == "DRAM"
    assert found.fraction == pytest.approx(1.0 / slower)


def at_roofs(device: TypeRoofline, quantities: Mapping[str, tuple[float, float]]) -> list[Placement]:
    """Networks (MFLOP, MB) that attain 80 % of what the roofs of DRAM allow."""
    found = []
    for name, (mflops, mbytes) in quantities.items():
        ms = mflops / device.attainable(mflops / mbytes) / 0.8
        found.append(place(network(name, mflops=mflops, mbytes=mbytes, ms=ms), device))
    return found


FAST, SLOW = roofs(200.0, DRAM=20.0), roofs(50.0, DRAM=4.0)  # ridges at 10 and 12.5


def test_models_bound_by_memory_on_both_devices_are_ordered_alike() -> None:
    models = {f"m{i}": (1.0 + i % 3, 1.0 + i) for i in range(8)}
    found = compare(at_roofs(FAST, models), at_roofs(SLOW, models))
    assert found.condition == "memory"
    assert found.share_alike == 1.0
    assert found.srcc == found.srcc_alike == found.srcc_predicted == pytest.approx(1.0)


def test_models_bound_alike_but_not_all_by_the_same_roof_need_not_be_monotone() -> None:
    # at the roofs: a moves 10 MB in 0.5 and 2.5 ms, b computes 120 MFLOP in 0.6 and 0.4 ms
    other = roofs(300.0, DRAM=4.0)
    models = {"a": (2.0, 10.0), "b": (120.0, 1.0)}
    found = compare(at_roofs(FAST, models), at_roofs(other, models))
    assert found.alike == ("a", "b")
    assert found.condition is None
    assert found.srcc == pytest.approx(-1.0)


def test_models_between_the_two_ridges_are_named_with_their_bounds() -> None:
    models = {"left": (5.0, 1.0), "between": (11.0, 1.0), "right": (20.0, 1.0)}
    found = compare(at_roofs(FAST, models), at_roofs(SLOW, models))
    assert found.alike == ("left", "right")
    assert found.others == (("between", "computation", "memory"),)
    assert found.share_alike == pytest.approx(2 / 3)
    assert found.condition is None


def test_models_that_no_roof_explains_are_not_alike() -> None:
    slow = [place(network("a", mflops=1, mbytes=1, ms=100), roofs())]
    found = compare(slow, slow)
    assert found.others == (("a", "overhead", "overhead"),)
    assert found.condition is None
    assert math.isnan(found.srcc)


def test_only_models_of_both_devices_count() -> None:
    found = compare(at_roofs(FAST, {"a": (1, 1), "b": (2, 1)}), at_roofs(SLOW, {"b": (2, 1), "c": (3, 1)}))
    assert found.models == ("b",)


def test_devices_without_a_model_in_common_cannot_be_compared() -> None:
    with pytest.raises(BadInput, match="no model was measured on both devices"):
        compare(at_roofs(FAST, {"a": (1, 1)}), at_roofs(SLOW, {"b": (2, 1)}))


def test_a_name_must_mean_one_model() -> None:
    twice = at_roofs(FAST, {"a": (1, 1)}) * 2
    with pytest.raises(BadInput, match="same name"):
        compare(twice, twice)
