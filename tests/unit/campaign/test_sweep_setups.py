"""Which sweeps an order means on a device."""

from __future__ import annotations

import random

from leadline.campaign.sweeping import SCOPES, Scope, SweepOrder, plan_setups
from leadline.records.device import Cluster, Profile
from tests.support.records import make_profile


def cluster(name: str, *cpus: int) -> Cluster:
    return Cluster(name=name, cpus=cpus, core=None, capacity=None, min_khz=None, max_khz=None, governor=None)


def device(*clusters: Cluster) -> Profile:
    return make_profile(random.Random(1), "d", clusters=clusters)


PHONE = device(cluster("little", 0, 1, 2, 3), cluster("mid", 4, 5), cluster("big", 7))
PI = device(cluster("all", 0, 1, 2, 3))


def swept(profile: Profile, *scopes: Scope, beside: bool = True) -> list[tuple[int, tuple[int, ...], str | None, str]]:
    """threads, CPUs, cluster, clusters kept busy"""
    setups = plan_setups(profile, SweepOrder(scopes=scopes, beside=beside))
    return [
        (
            setup.config.threads,
            setup.config.cpus or (),
            setup.config.cluster,
            " ".join(other.name for other in setup.beside),
        )
        for setup in setups
    ]


def test_one_thread_runs_on_the_last_cpu_of_each_cluster() -> None:
    assert swept(PHONE, "1") == [(1, (3,), "little", ""), (1, (5,), "mid", ""), (1, (7,), "big", "")]


def test_each_cluster_is_swept_alone_and_beside_the_busy_others() -> None:
    assert swept(PHONE, "cluster") == [
        (4, (0, 1, 2, 3), "little", ""),
        (2, (4, 5), "mid", ""),
        (1, (7,), "big", ""),
        (4, (0, 1, 2, 3), "little", "mid big"),
        (2, (4, 5), "mid", "little big"),
        (1, (7,), "big", "little mid"),
    ]


def test_the_busy_others_can_be_left_out() -> None:
    assert len(swept(PHONE, "cluster", beside=False)) == 3


def test_all_cores_are_of_no_cluster() -> None:
    assert swept(PHONE, "all") == [(7, (0, 1, 2, 3, 4, 5, 7), None, "")]


def test_everything_together_takes_no_sweep_twice() -> None:
    everything = swept(PHONE, *SCOPES)
    assert len(everything) == len(set(everything)) == 3 + 2 + 1 + 3  # big has one CPU: one thread is all of it


def test_the_only_cluster_is_all_cores_and_has_nobody_beside() -> None:
    assert swept(PI, *SCOPES) == [(1, (3,), "all", ""), (4, (0, 1, 2, 3), "all", "")]
    assert swept(PI, "all") == swept(PI, "cluster") == [(4, (0, 1, 2, 3), "all", "")]
    assert swept(PI, "1") == [(1, (3,), "all", "")]


def test_a_device_of_one_cpu_is_swept_once() -> None:
    assert swept(device(cluster("all", 0)), *SCOPES) == [(1, (0,), "all", "")]
