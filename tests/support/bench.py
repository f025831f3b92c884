"""This machine as a device named "bench", with a real agent: what runner tests run on. Import the fixtures you use."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from leadline.records.device import Cluster, Profile
from leadline.rpc.agent import Agent
from leadline.rpc.cache import DeviceCache
from leadline.rpc.local import LocalTransport
from tests.support.programs import built


class Bench(msgspec.Struct, frozen=True):
    agent: Agent
    cache: DeviceCache
    profile: Profile


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with (
        LocalTransport(name="bench") as transport,
        Agent(transport, str(built("agent")), name="bench") as agent,
    ):
        profile = profile_of_bench(abi=agent.hello.abi, cpus=agent.hello.cpus)
        yield Bench(agent, DeviceCache(transport, str(tmp_path / "device"), budget_bytes=2**30), profile)


def profile_of_bench(
    *,
    abi: str,
    cpus: tuple[int, ...] = (0,),
    libc: str | None = None,
    os_kind: str = "linux",
    python: str | None = "3.11.2",
) -> Profile:
    """What a probe would find on this machine, in as far as runners care."""
    cluster = Cluster(name="all", cpus=cpus, core=None, capacity=None, min_khz=None, max_khz=None, governor=None)
    return Profile(
        serial="bench",
        taken_at=datetime(2026, 1, 1, tzinfo=UTC),
        model=None,
        soc=None,
        abi=abi,
        features=(),
        os="Debian GNU/Linux 12 (bookworm)",
        os_kind=os_kind,
        kernel=None,
        libc=libc or " ".join(platform.libc_ver()),
        clusters=(cluster,),
        offline_cpus=(),
        caches=(),
        memory_bytes=None,
        thermal=(),
        power=(),
        root=False,
        python=python,
        emulated=None,
        agent_version="test",
    )
