"""The Gables model, against the paper's worked examples, by hand, and by what must hold for all chips.

The worked examples are Figure 6a–6d of Hill and Reddi (HPCA 2019), one chip of two IPs made better step by step: Ppeak
40 Gop/s, A_1 = 5, B_0 = 6 GB/s, B_1 = 15 GB/s; the paper's results are 40, 1.3, 2 and 160 Gop/s. Each is recomputed
here by hand from the equations.
"""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.core.errors import BadInput
from leadline.roofline.gables import Bus, Ip, Soc, Work, attainable, parameters, what_if

TWO_IPS = Soc(
    name="the paper's",
    peak_gops=40.0,
    memory_gbytes=10.0,
    ips=(Ip(name="cpu", acceleration=1.0, gbytes=6.0), Ip(name="gpu", kind="gpu", acceleration=5.0, gbytes=15.0)),
)


def work(fraction: float, cpu_intensity: float, gpu_intensity: float) -> list[Work]:
    return [
        Work(ip="cpu", fraction=1.0 - fraction, intensity=cpu_intensity),
        Work(ip="gpu", fraction=fraction, intensity=gpu_intensity),
    ]


def with_memory(gbytes: float) -> Soc:
    return msgspec.structs.replace(TWO_IPS, memory_gbytes=gbytes)


def test_figure_6a_all_work_on_the_cpu_attains_its_peak() -> None:
    # f = 0, I_0 = 8: min(6·8, 40) = 40; memory 10·8 = 80
    found = attainable(TWO_IPS, work(0.0, 8.0, 0.1))
    assert found.gops == pytest.approx(40.0)
    assert found.binding == ("cpu computation",)


def test_figure_6b_work_without_reuse_on_the_accelerator_is_bound_by_memory() -> None:
    # f = 0.75, I_1 = 0.1: Iavg = 1 / (0.25/8 + 0.75/0.1) = 0.13278; memory 10·0.13278 = 1.3278
    found = attainable(TWO_IPS, work(0.75, 8.0, 0.1))
    assert found.gops == pytest.approx(10.0 / (0.25 / 8 + 0.75 / 0.1))
    assert round(found.gops, 1) == 1.3
    assert found.binding == ("memory",)
    assert found.average_intensity == pytest.approx(0.13278, rel=1e-4)


def test_figure_6c_more_memory_bandwidth_moves_the_bound_to_the_accelerators_own() -> None:
    # Bpeak = 30: memory 30·0.13278 = 3.98; gpu min(15·0.1, 200) / 0.75 = 2
    found = attainable(with_memory(30.0), work(0.75, 8.0, 0.1))
    assert found.gops == pytest.approx(2.0)
    assert found.binding == ("gpu bandwidth",)


def test_figure_6d_reuse_on_the_accelerator_makes_a_balanced_design() -> None:
    # I_1 = 8, Bpeak = 20: cpu 40 / 0.25 = 160; gpu min(15·8, 200) / 0.75 = 160; memory 20·8 = 160
    found = attainable(with_memory(20.0), work(0.75, 8.0, 8.0))
    assert found.gops == pytest.approx(160.0)
    assert set(found.binding) == {"cpu computation", "gpu bandwidth", "memory"}


def test_a_memory_side_cache_takes_its_hits_off_the_shared_memory_only() -> None:
    # 6b with m_1 = 0.2: memory 10 / (0.25/8 + 0.2·7.5) = 6.53; now the gpu's own bandwidth binds at 2
    works = [Work(ip="cpu", fraction=0.25, intensity=8.0), Work(ip="gpu", fraction=0.75, intensity=0.1, miss_ratio=0.2)]
    found = attainable(TWO_IPS, works)
    bounds = {bound.name: bound.gops for bound in found.bounds}
    assert bounds["memory"] == pytest.approx(10.0 / (0.25 / 8 + 0.2 * 7.5))
    assert found.gops == pytest.approx(2.0)
    assert found.binding == ("gpu bandwidth",)


def test_a_bus_carries_the_traffic_of_the_ips_on_it() -> None:
    # 6d, both over a bus of 12 GB/s: 12·8 = 96
    soc = msgspec.structs.replace(with_memory(20.0), buses=(Bus(name="noc", gbytes=12.0, ips=("cpu", "gpu")),))
    found = attainable(soc, work(0.75, 8.0, 8.0))
    assert found.gops == pytest.approx(96.0)
    assert found.binding == ("bus noc",)


def test_serialized_work_adds_the_times_of_the_ips() -> None:
    # 6d: cpu 0.25/40 = 0.00625; gpu max(0.75/200, 0.75/8/15, 0.75/8/20) = 0.00625; together 0.0125: 80
    found = attainable(with_memory(20.0), work(0.75, 8.0, 8.0), serialized=True)
    assert found.gops == pytest.approx(80.0)
    assert set(found.binding) == {"cpu computation", "gpu bandwidth"}


def test_serialized_work_is_held_by_the_shared_memory_too() -> None:
    # Bpeak 10: gpu max(…, 0.75/8/10) = 0.009375; cpu 0.00625
    found = attainable(TWO_IPS, work(0.75, 8.0, 8.0), serialized=True)
    assert found.gops == pytest.approx(1 / (0.009375 + 0.00625))
    assert found.binding == ("gpu memory",)


def test_what_if_says_how_much_faster_and_which_roof_binds_then() -> None:
    change = what_if(TWO_IPS, work(0.75, 8.0, 0.1), "memory", 30.0)
    assert change.old == 10.0
    assert change.after.binding == ("gpu bandwidth",)
    assert change.speedup == pytest.approx(2.0 / 1.3278, rel=1e-4)


@pytest.mark.parametrize(
    ("parameter", "value", "gops"),
    [
        ("peak", 80.0, 160.0),  # both peaks double: bandwidths bind as before
        ("cpu.peak", 20.0, 80.0),
        ("gpu.bandwidth", 7.5, 80.0),
        ("gpu.intensity", 4.0, 80.0),
        ("gpu.miss", 0.5, 160.0),
        ("cpu.fraction", 0.5, 80.0),  # 40 / 0.5
        ("gpu.fraction", 0.5, 80.0),  # leaves the other half to the cpu
        ("memory", 10.0, 80.0),
    ],
)
def test_every_parameter_can_be_changed(parameter: str, value: float, gops: float) -> None:
    change = what_if(with_memory(20.0), work(0.75, 8.0, 8.0), parameter, value)
    assert change.after.gops == pytest.approx(gops)


def test_what_if_lists_the_parameters_there_are() -> None:
    soc = msgspec.structs.replace(TWO_IPS, buses=(Bus(name="noc", gbytes=12.0, ips=("cpu",)),))
    works = work(0.75, 8.0, 8.0)
    for parameter, value in parameters(soc, works).items():
        assert what_if(soc, works, parameter, value).speedup == pytest.approx(1.0)
    with pytest.raises(BadInput, match=r"'speed'.*memory.*bus\.noc"):
        what_if(soc, works, "speed", 1.0)


def test_a_share_of_work_cannot_change_if_no_other_ip_may_take_the_rest() -> None:
    with pytest.raises(BadInput, match="no other IP"):
        what_if(TWO_IPS, [Work(ip="cpu", fraction=1.0, intensity=1.0)], "cpu.fraction", 0.5)


POSITIVE = st.floats(1e-3, 1e4)


@st.composite
def chips(draw: st.DrawFn) -> tuple[Soc, list[Work]]:
    count = draw(st.integers(1, 5))
    ips = tuple(Ip(name=f"ip{i}", acceleration=draw(POSITIVE), gbytes=draw(POSITIVE)) for i in range(count))
    shares = [draw(st.floats(0.01, 1.0)) for _ in ips]
    works = [
        Work(ip=ip.name, fraction=share / math.fsum(shares), intensity=draw(POSITIVE))
        for ip, share in zip(ips, shares, strict=True)
    ]
    bus = Bus(name="bus", gbytes=draw(POSITIVE), ips=tuple(ip.name for ip in ips if draw(st.booleans())))
    return Soc(name="chip", peak_gops=draw(POSITIVE), memory_gbytes=draw(POSITIVE), ips=ips, buses=(bus,)), works


@given(peak=POSITIVE, own=POSITIVE, memory=POSITIVE, intensity=POSITIVE)
def test_one_ip_alone_is_a_roofline(peak: float, own: float, memory: float, intensity: float) -> None:
    soc = Soc(name="one", peak_gops=peak, memory_gbytes=memory, ips=(Ip(name="cpu", acceleration=1.0, gbytes=own),))
    works = [Work(ip="cpu", fraction=1.0, intensity=intensity)]
    expected = min(peak, min(own, memory) * intensity)
    assert attainable(soc, works).gops == pytest.approx(expected)
    assert attainable(soc, works, serialized=True).gops == pytest.approx(expected)


@given(chip=chips(), serialized=st.booleans())
def test_the_order_of_ips_and_works_does_not_matter(chip: tuple[Soc, list[Work]], serialized: bool) -> None:
    soc, works = chip
    turned = msgspec.structs.replace(soc, ips=soc.ips[::-1])
    before, after = (attainable(s, w, serialized=serialized) for s, w in ((soc, works), (turned, works[::-1])))
    assert after.gops == pytest.approx(before.gops)


@given(chip=chips(), factor=st.floats(1.0, 100.0), serialized=st.booleans(), data=st.data())
def test_a_faster_part_never_slows_the_chip(
    chip: tuple[Soc, list[Work]], factor: float, serialized: bool, data: st.DataObject
) -> None:
    soc, works = chip
    values = {n: v for n, v in parameters(soc, works).items() if not n.endswith((".fraction", ".miss"))}
    parameter = data.draw(st.sampled_from(sorted(values)))
    change = what_if(soc, works, parameter, values[parameter] * factor, serialized=serialized)
    assert 1.0 - 1e-9 <= change.speedup <= factor * (1 + 1e-9)


@given(chip=chips())
def test_working_at_once_is_never_slower_than_one_after_the_other(
    chip: tuple[Soc, list[Work]],
) -> None:
    soc, works = chip
    assert attainable(soc, works).gops >= attainable(soc, works, serialized=True).gops * (1 - 1e-9)


@given(chip=chips())
def test_the_whole_attains_exactly_its_lowest_roof(chip: tuple[Soc, list[Work]]) -> None:
    soc, works = chip
    found = attainable(soc, works)
    assert found.gops == pytest.approx(found.bounds[0].gops)
    assert found.bounds[0].name in found.binding


@pytest.mark.parametrize(
    ("works", "message"),
    [
        ([], "the work of each IP once"),
        (work(0.75, 8.0, 8.0) * 2, "the work of each IP once"),
        ([Work(ip="npu", fraction=1.0, intensity=1.0)], "no IP 'npu' to work; use one of"),
        ([Work(ip="cpu", fraction=0.9, intensity=1.0)], "sum to 0.9; change them"),
        (work(1.25, 8.0, 8.0), "fraction of work of cpu is -0.25; give a number from 0 to 1"),
        (work(math.nan, 8.0, 8.0), "is nan; give a number from 0 to 1"),
        (work(0.5, 0.0, 8.0), "intensity of cpu's work is 0.0; give a positive number"),
        (work(0.5, math.inf, 8.0), "is inf; give a positive number"),
        ([Work(ip="cpu", fraction=1.0, intensity=1.0, miss_ratio=1.5)], "miss ratio of cpu is 1.5"),
    ],
)
def test_impossible_work_is_refused(works: list[Work], message: str) -> None:
    with pytest.raises(BadInput, match=r"^Gables model of the paper's: .*" + message):
        attainable(TWO_IPS, works)


@pytest.mark.parametrize(
    "broken",
    [
        {"peak_gops": 0.0},
        {"memory_gbytes": math.nan},
        {"ips": ()},
        {"ips": (Ip(name="cpu", acceleration=-1.0, gbytes=1.0),)},
        {"ips": (Ip(name="cpu", acceleration=1.0, gbytes=0.0),)},
        {"ips": TWO_IPS.ips * 2},
        {"buses": (Bus(name="noc", gbytes=0.0, ips=("cpu",)),)},
        {"buses": (Bus(name="noc", gbytes=1.0, ips=("npu",)),)},
    ],
)
def test_impossible_chips_are_refused(broken: dict[str, object]) -> None:
    with pytest.raises(BadInput, match=r"^Gables model of the paper's: "):
        attainable(msgspec.structs.replace(TWO_IPS, **broken), [Work(ip="cpu", fraction=1.0, intensity=1.0)])
