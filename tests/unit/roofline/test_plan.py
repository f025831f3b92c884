"""What a sweep measures on devices of all kinds."""

from __future__ import annotations

import random
from itertools import accumulate
from operator import mul
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.core.errors import BadInput
from leadline.records.device import Cache, Cluster, Profile
from leadline.records.roofline import SweepPlan
from leadline.records.trial import RunConfig
from leadline.roofline.plan import plan_sweep
from tests.support.records import make_profile

KIB, MIB, GIB = 2**10, 2**20, 2**30


def cache(level: int, size: int, *cpus: int, kind: str = "unified") -> Cache:
    return Cache(level=level, kind=kind, size_bytes=size, line_bytes=64, cpus=cpus)


def device(cpus: int = 4, **changes: Any) -> Profile:
    cluster = Cluster(
        name="all", cpus=tuple(range(cpus)), core=None, capacity=None, min_khz=None, max_khz=None, governor=None
    )
    usual = {"model": "board", "clusters": (cluster,), "offline_cpus": (), "memory_bytes": 4 * GIB, "features": ()}
    return make_profile(random.Random(0), "pi", **(usual | changes))


PI_4 = device(
    caches=(
        *(cache(1, 32 * KIB, cpu, kind="data") for cpu in range(4)),
        *(cache(1, 48 * KIB, cpu, kind="instruction") for cpu in range(4)),
        cache(2, MIB, 0, 1, 2, 3),
    )
)


def sets(plan: SweepPlan) -> dict[str, int]:
    return {level.level: level.working_set_bytes for level in plan.levels}


def test_one_thread_has_the_shared_cache_for_itself() -> None:
    plan = plan_sweep(PI_4, RunConfig(threads=1, cpus=(0,)))
    assert sets(plan) == {"L1": 16 * KIB, "L2": 512 * KIB, "DRAM": 32 * MIB}
    assert plan.notes == ()


def test_threads_divide_the_shared_cache_and_the_memory() -> None:
    plan = plan_sweep(PI_4, RunConfig(threads=4))
    assert sets(plan) == {"L1": 16 * KIB, "L2": 128 * KIB, "DRAM": 8 * MIB}


def test_threads_on_separate_clusters_do_not_share_their_caches() -> None:
    caches = (*(cache(1, 32 * KIB, cpu) for cpu in range(4)), cache(2, 512 * KIB, 0, 1), cache(2, 512 * KIB, 2, 3))
    plan = plan_sweep(device(caches=caches), RunConfig(threads=2, cpus=(0, 2)))
    assert sets(plan)["L2"] == 256 * KIB


def test_unlike_cores_get_the_set_that_fits_the_smallest() -> None:
    caches = (cache(1, 32 * KIB, 0), cache(1, 64 * KIB, 1), cache(2, 512 * KIB, 0, 1))
    assert sets(plan_sweep(device(2, caches=caches), RunConfig(threads=2)))["L1"] == 16 * KIB


def test_dram_is_four_times_the_last_level_cache() -> None:
    caches = (cache(1, 32 * KIB, 0, 1), cache(2, MIB, 0, 1), cache(3, 32 * MIB, 0, 1))
    plan = plan_sweep(device(2, caches=caches, memory_bytes=24 * GIB), RunConfig(threads=1))
    assert sets(plan) == {"L1": 16 * KIB, "L2": 512 * KIB, "L3": 16 * MIB, "DRAM": 128 * MIB}


def test_a_camera_of_64_mb_is_asked_for_an_eighth_of_its_memory() -> None:
    caches = (cache(1, 32 * KIB, 0, kind="data"),)
    plan = plan_sweep(device(1, caches=caches, memory_bytes=64 * MIB, abi="mipsel"), RunConfig(threads=1))
    assert sets(plan) == {"L1": 16 * KIB, "DRAM": 8 * MIB}


def test_a_share_of_l3_that_is_hardly_more_than_l2_is_left_out_with_a_note() -> None:
    caches = (
        *(cache(1, 64 * KIB, cpu, kind="data") for cpu in range(4)),
        *(cache(2, 512 * KIB, cpu) for cpu in range(4)),
        cache(3, 2 * MIB, 0, 1, 2, 3),
    )
    plan = plan_sweep(device(caches=caches), RunConfig(threads=4))
    assert list(sets(plan)) == ["L1", "L2", "DRAM"]
    [note] = plan.notes
    assert note.startswith("L3 left out: a thread's share of 512 KiB is too close to the faster cache's 512 KiB")
    assert "L3" in sets(plan_sweep(device(caches=caches), RunConfig(threads=1)))


def test_a_level_that_only_some_cpus_tell_of_is_left_out_with_a_note() -> None:
    caches = (cache(1, 32 * KIB, 0), cache(1, 32 * KIB, 1), cache(2, 256 * KIB, 1))
    plan = plan_sweep(device(2, caches=caches), RunConfig(threads=2))
    assert list(sets(plan)) == ["L1", "DRAM"]
    assert plan.notes == ("L2 left out: not known of CPUs 0",)


def test_a_device_that_tells_nothing_of_caches_gets_an_l1_and_a_dram_set_and_a_note() -> None:
    plan = plan_sweep(device(caches=()), RunConfig(threads=1))
    assert sets(plan) == {"L1": 8 * KIB, "DRAM": 32 * MIB}
    assert plan.notes == ("caches unknown: L1 taken as 16.0 KiB, L2 and L3 left out",)


def test_instruction_caches_hold_no_data() -> None:
    plan = plan_sweep(device(caches=(cache(1, 32 * KIB, 0, kind="instruction"),)), RunConfig(threads=1, cpus=(0,)))
    assert plan.notes[0].startswith("caches unknown")


def test_memory_that_is_unknown_is_used_sparingly_and_told() -> None:
    plan = plan_sweep(device(caches=PI_4.caches, memory_bytes=None), RunConfig(threads=1))
    assert sets(plan)["DRAM"] == 32 * MIB
    assert plan.notes == ("memory unknown: 32.0 MiB of it are used",)


def test_caches_too_large_for_the_memory_that_may_be_used_are_told_of() -> None:
    caches = (cache(3, 256 * MIB, 0),)
    plan = plan_sweep(device(1, caches=caches, memory_bytes=16 * GIB), RunConfig(threads=1))
    assert sets(plan)["DRAM"] == 512 * MIB
    assert "only 2.0 times the last-level cache" in plan.notes[0]
    small = plan_sweep(device(1, caches=caches, memory_bytes=GIB), RunConfig(threads=1))
    assert "DRAM" not in sets(small)
    assert small.notes[-1].startswith("DRAM left out: the caches hold all of the 128 MiB")


@pytest.mark.parametrize(
    ("abi", "features", "dtypes"),
    [
        ("aarch64", ("asimd", "fp"), ("float32",)),
        ("aarch64", ("asimd", "asimddp", "asimdhp"), ("float32", "float16", "int8")),
        ("aarch64", ("asimdhp",), ("float32", "float16")),
        ("aarch64", ("i8mm",), ("float32", "int8")),
        ("x86_64", ("avx2", "fma"), ("float32",)),
        ("x86_64", ("avx512_vnni", "avx512f"), ("float32", "int8")),
        ("x86_64", ("avx512_fp16", "avx_vnni"), ("float32", "float16", "int8")),
        ("armv7", ("asimddp", "asimdhp", "neon"), ("float32",)),  # a 64-bit CPU that runs a 32-bit system
        ("mipsel", (), ("float32",)),
        ("riscv64", (), ("float32",)),
    ],
)
def test_types_are_those_that_the_cpu_says_it_has(abi: str, features: tuple[str, ...], dtypes: tuple[str, ...]) -> None:
    assert plan_sweep(device(abi=abi, features=features), RunConfig(threads=1)).dtypes == dtypes


def test_intensities_reach_from_a_sixteenth_to_64_but_less_far_over_large_sets() -> None:
    plan = plan_sweep(PI_4, RunConfig(threads=1))
    assert (plan.intensities[0], plan.intensities[-1]) == (1 / 16, 64)
    most = {level.level: level.most_intensity for level in plan.levels}
    assert most == {"L1": 64, "L2": 64, "DRAM": 8}


def test_a_cpu_without_floating_point_is_given_less_to_do() -> None:
    plan = plan_sweep(device(1, abi="mipsel", memory_bytes=64 * MIB, caches=()), RunConfig(threads=1))
    assert [level.most_intensity for level in plan.levels] == [64, 1]


def test_an_offline_cpu_cannot_be_measured() -> None:
    with pytest.raises(BadInput, match="board: CPUs 0-3 can be used, CPUs 5 are offline; choose others"):
        plan_sweep(device(offline_cpus=(5,)), RunConfig(threads=1, cpus=(5,)))


def test_a_cpu_that_does_not_exist_cannot_be_measured() -> None:
    with pytest.raises(BadInput, match="CPUs 5,9 are not there"):
        plan_sweep(device(offline_cpus=(5,)), RunConfig(threads=1, cpus=(0, 5, 9)))


@pytest.mark.parametrize("config", [RunConfig(threads=0), RunConfig(threads=5), RunConfig(threads=2, cpus=(1, 1))])
def test_every_thread_needs_a_cpu(config: RunConfig) -> None:
    with pytest.raises(BadInput, match="a CPU for each thread"):
        plan_sweep(device(), config)


def test_an_emulated_device_that_shows_its_hosts_caches_is_not_filled_up() -> None:
    caches = (cache(1, 32 * KIB, 0), cache(2, MIB, 0), cache(3, 256 * MIB, 0))
    plan = plan_sweep(device(1, caches=caches, memory_bytes=512 * MIB), RunConfig(threads=1))
    assert list(sets(plan)) == ["L1", "L2"]
    assert plan.notes[0] == (
        "L3 left out: 1 working sets of 128 MiB are more than the 64.0 MiB that may be used of the memory"
    )


def test_a_device_with_no_level_left_is_refused() -> None:
    with pytest.raises(BadInput, match=r"board: nothing can be measured with its caches and memory .*probe the device"):
        plan_sweep(device(1, caches=(cache(3, 256 * MIB, 0),), memory_bytes=64 * MIB), RunConfig(threads=1))


@given(
    cpus=st.integers(1, 12),
    threads=st.integers(1, 12),
    memory=st.one_of(st.none(), st.integers(16 * MIB, 64 * GIB)),
    sizes=st.lists(st.integers(4, 64), max_size=4).map(lambda steps: list(accumulate(steps, mul))),
)
def test_whatever_the_device_sets_grow_from_level_to_level_and_fit_into_its_memory(
    cpus: int, threads: int, memory: int | None, sizes: list[int]
) -> None:
    threads = min(threads, cpus)
    caches = tuple(cache(level, size * KIB, *range(cpus)) for level, size in enumerate(sizes, start=1))
    plan = plan_sweep(device(cpus, caches=caches, memory_bytes=memory), RunConfig(threads=threads))
    found = list(sets(plan).values())
    assert found == sorted(found)
    assert all(size > 0 for size in found)
    if "DRAM" in sets(plan) and memory is not None:
        assert sets(plan)["DRAM"] * threads <= memory / 8
    for level in plan.levels[:-1] if "DRAM" in sets(plan) else plan.levels:
        if caches:
            assert 2 * level.working_set_bytes * threads <= caches[int(level.level[1]) - 1].size_bytes
