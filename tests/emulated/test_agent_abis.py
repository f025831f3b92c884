"""The agent built for other CPUs, run by qemu-user (Debian: qemu-user-static)."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from leadline.core.errors import WrongAbi
from leadline.rpc.abi import ElfHeader
from leadline.rpc.agent import Agent, Line
from leadline.rpc.local import LocalTransport
from tests.support.programs import built, wait_until_gone

QEMU = {"aarch64": "aarch64", "armv7": "arm", "armv6": "arm", "mipsel": "mipsel", "riscv64": "riscv64"}
CPU = {"armv7": "cortex-a7", "armv6": "arm1176", "mipsel": "24Kc"}  # the oldest that we mean to run on


@pytest.fixture(params=QEMU)
def agent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Agent]:
    abi = request.param
    program = built("agent", abi)
    cpu = f"-cpu {CPU[abi]}" if abi in CPU else ""
    binary = tmp_path / abi
    binary.write_text(f"#!/bin/sh\nexec qemu-{QEMU[abi]}-static {cpu} '{program}'\n")
    binary.chmod(0o755)
    with LocalTransport(name=abi) as transport, Agent(transport, str(binary), name=abi, silence_s=120) as agent:
        yield agent


def test_the_agent_works_on_every_cpu_that_it_is_built_for(agent: Agent, request: pytest.FixtureRequest) -> None:
    abi = request.node.callspec.params["agent"]
    assert agent.hello.abi == abi
    assert (agent.hello.hwcap != 0) == (abi != "mipsel")  # MIPS32 names its extensions in /proc/cpuinfo only
    assert agent.read(["/proc/sys/kernel/ostyp*"]) == {"/proc/sys/kernel/ostype": "Linux\n"}

    program = agent.start(["cat"], cpus=[agent.hello.cpus[0]], watch=["/proc/sys/kernel/ostype"], env={"A": "é"})
    program.write('"é" 12.5e-3\n')
    assert program.line(120) == Line('"é" 12.5e-3', {"/proc/sys/kernel/ostype": "Linux\n"})
    program.kill()
    ended = program.wait(120)
    assert (ended.code, ended.signal) == (None, signal.SIGKILL)
    wait_until_gone(program.pid)

    with pytest.raises(WrongAbi, match="No such file"):
        agent.start(["/missing"])
    ended = agent.start(["sh", "-c", "echo oops >&2; exit 3"]).wait(120)
    assert (ended.code, ended.stderr) == (3, "oops\n")


@pytest.mark.parametrize(
    ("abi", "header"),
    [
        ("aarch64", ElfHeader(183, 64, True)),
        ("armv7", ElfHeader(40, 32, True)),
        ("armv6", ElfHeader(40, 32, True)),
        ("mipsel", ElfHeader(8, 32, True)),
        ("riscv64", ElfHeader(243, 64, True)),
    ],
)
def test_every_agent_is_built_for_what_it_says(abi: str, header: ElfHeader) -> None:
    program = built("agent", abi).read_bytes()
    assert ElfHeader.parse(program) == header
    assert len(program) < 200_000
