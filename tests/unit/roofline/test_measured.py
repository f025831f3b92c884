"""A Gables model out of measured sweeps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from leadline.core.errors import BadInput
from leadline.records.roofline import Sweep
from leadline.records.trial import RunConfig
from leadline.roofline.gables import Work, attainable
from leadline.roofline.measured import measured_soc
from tests.unit.roofline.sweeps import sweep_of

LITTLE, BIG = (0, 1, 2, 3), (4, 5)


def cluster(
    name: str, cpus: tuple[int, ...], peak: float, dram: float, *, beside: tuple[str, ...] = (), **changes: Any
) -> Sweep:
    config = RunConfig(threads=len(cpus), cpus=cpus, cluster=name)
    gbytes: Any = {"L1": 100.0, "DRAM": dram}
    return sweep_of(peak_gops=peak, gbytes=gbytes, config=config, beside=beside, **changes)


ALONE = [cluster("little", LITTLE, 40.0, 6.0), cluster("big", BIG, 80.0, 9.0)]
TOGETHER = [
    cluster("little", LITTLE, 40.0, 4.0, beside=("big",)),
    cluster("big", BIG, 80.0, 7.0, beside=("little",)),
]


def test_each_cluster_becomes_an_ip_with_what_it_reached_alone() -> None:
    soc = measured_soc(ALONE + TOGETHER, name="phone")
    assert soc.peak_gops == pytest.approx(40.0)
    assert [(ip.name, ip.acceleration, ip.gbytes) for ip in soc.ips] == [
        ("little", pytest.approx(1.0), pytest.approx(6.0)),
        ("big", pytest.approx(2.0), pytest.approx(9.0)),
    ]


def test_the_shared_memory_is_what_the_clusters_reach_together() -> None:
    soc = measured_soc(ALONE + TOGETHER, name="phone")
    assert soc.memory_gbytes == pytest.approx(11.0)
    assert soc.notes == (
        "memory: sum over clusters little, big, each measured beside all others",
        "threads: little 4, big 2",
    )


def test_a_sweep_over_all_cpus_measures_the_shared_memory_too() -> None:
    everywhere = sweep_of(peak_gops=110.0, gbytes={"DRAM": 12.0}, config=RunConfig(threads=6))
    soc = measured_soc([*ALONE, everywhere], name="phone")
    assert soc.memory_gbytes == pytest.approx(12.0)
    assert soc.notes[0] == "memory: as 6 threads on all CPUs reached it"


def test_the_shared_memory_is_never_slower_than_what_one_cluster_got_out_of_it() -> None:
    everywhere = sweep_of(gbytes={"DRAM": 8.0}, config=RunConfig(threads=6))
    soc = measured_soc([*ALONE, everywhere], name="phone")
    assert soc.memory_gbytes == pytest.approx(9.0)
    assert soc.notes[0] == "memory: as cluster big reached it alone"


def test_a_shared_memory_that_was_not_measured_is_not_assumed() -> None:
    with pytest.raises(
        BadInput, match=r"phone: clusters little, big were .* never together.*run --device phone --cores"
    ):
        measured_soc(ALONE, name="phone")
    with pytest.raises(BadInput, match="never together"):
        measured_soc([*ALONE, TOGETHER[0]], name="phone")


def test_a_chip_of_one_cluster_needs_no_more_than_that_cluster() -> None:
    soc = measured_soc([cluster("all", (0, 1), 40.0, 6.0)], name="pi")
    assert (soc.memory_gbytes, len(soc.ips)) == (pytest.approx(6.0), 1)
    assert attainable(soc, [Work(ip="all", fraction=1.0, intensity=2.0)]).gops == pytest.approx(12.0)


def test_of_several_sweeps_of_a_cluster_most_threads_count_and_then_the_latest() -> None:
    one_thread = msgspec.structs.replace(cluster("all", (0,), 99.0, 9.0), taken_at=datetime(2027, 1, 1, tzinfo=UTC))
    later = msgspec.structs.replace(cluster("all", (0, 1), 41.0, 6.0), taken_at=datetime(2026, 12, 1, tzinfo=UTC))
    soc = measured_soc([later, one_thread, cluster("all", (0, 1), 40.0, 6.0)], name="pi")
    assert soc.peak_gops == pytest.approx(41.0)


def test_a_chip_that_was_emulated_says_so() -> None:
    soc = measured_soc([cluster("all", (0,), 1.0, 1.0, emulated="qemu")], name="cam")
    assert soc.emulated == "qemu"


def test_without_any_cluster_there_is_no_chip() -> None:
    with pytest.raises(BadInput, match="pi: no cluster was measured alone; try: leadline roofline run --device pi"):
        measured_soc([], name="pi")


def test_sweeps_of_two_devices_make_no_chip() -> None:
    with pytest.raises(BadInput, match="sweeps of 2 devices"):
        measured_soc([ALONE[0], msgspec.structs.replace(ALONE[1], serial="other")], name="pi")


def test_a_cluster_without_dram_points_is_not_enough() -> None:
    sweep = sweep_of(gbytes={"L1": 10.0}, config=RunConfig(threads=1, cpus=(0,), cluster="all"))
    with pytest.raises(BadInput, match=r"has no DRAM points \(float32\).* measure again"):
        measured_soc([sweep], name="pi")
