"""The host's side of the agent, with the real agent over a real transport."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from leadline.core.errors import (
    BadInput,
    CommandTimeout,
    DeviceBusy,
    DeviceOffline,
    GarbledOutput,
    StableError,
    WrongAbi,
)
from leadline.core.units import parse_cpu_list
from leadline.rpc.agent import Agent, Line
from leadline.rpc.local import LocalTransport
from tests.support.programs import built, host_abi, is_running, wait_until_gone

LONG_S = 60.0


@pytest.fixture
def transport() -> Iterator[LocalTransport]:
    with LocalTransport(name="bench") as transport:
        yield transport


@pytest.fixture
def agent(transport: LocalTransport) -> Iterator[Agent]:
    with Agent(transport, str(built("agent")), name="bench") as agent:
        yield agent


def output(agent: Agent, *argv: str, **options: object) -> list[str]:
    """Every line that a program prints."""
    program = agent.start(argv, **options)  # type: ignore[arg-type]
    lines = []
    while (line := program.line(LONG_S)) is not None:
        lines.append(line.text)
    return lines


def test_the_agent_introduces_itself(agent: Agent) -> None:
    assert agent.hello.protocol == 1
    assert agent.hello.abi == host_abi()
    assert len(agent.hello.version) == 12
    assert set(agent.hello.cpus) == os.sched_getaffinity(0)


def test_files_are_read_by_glob(agent: Agent) -> None:
    files = agent.read(["/proc/sys/kernel/ostyp*", "/nowhere"])
    assert files == {"/proc/sys/kernel/ostype": "Linux\n"}


def test_a_program_talks_with_the_host(agent: Agent) -> None:
    program = agent.start(["cat"])
    program.write("first é\n")
    program.write("x" * 500_000 + "\n")
    assert program.line(LONG_S) == Line("first é", {})
    assert program.line(LONG_S) == Line("x" * 500_000, {})
    assert program.exit is None
    program.kill()
    assert program.line(LONG_S) is None
    assert program.exit is not None
    assert program.exit.signal == signal.SIGKILL
    program.kill()  # nothing happens


def test_watched_files_are_read_after_each_line(agent: Agent, tmp_path: Path) -> None:
    sensor, gone = tmp_path / "tem*p", tmp_path / "gone"  # no glob here
    sensor.write_text("1\n")
    program = agent.start(["cat"], watch=[str(sensor), str(gone)])
    for reading in ("41000\n", "42000\n"):
        sensor.write_text(reading)
        program.write("go\n")
        assert program.line(LONG_S) == Line("go", {str(sensor): reading})


def test_arguments_and_environment_arrive_unchanged(agent: Agent) -> None:
    odd = ["", " a  b ", "it's", '"', "$(id)", ";", "-n", "*", "é😀", "\\", "\x1b[0m"]
    assert output(agent, "printf", "%s\\n", *odd) == odd
    assert output(agent, "sh", "-c", 'echo "$A$B"', env={"A": "a; b", "B": "=c"}) == ["a; b=c"]


def test_a_name_that_no_device_could_hold_is_bad_input(agent: Agent) -> None:
    for name in ("a\0b", "\udcff"):
        with pytest.raises(BadInput):
            agent.start(["echo", name])
    assert output(agent, "echo", "alive") == ["alive"]


def test_the_end_of_a_program_is_told_in_full(agent: Agent) -> None:
    script = "import os, sys; x = bytearray(50_000_000); sys.stderr.write('e' * 20_000 + 'last'); os._exit(7)"
    ended = agent.start([sys.executable, "-c", script]).wait(LONG_S)
    assert (ended.code, ended.signal) == (7, None)
    assert ended.stderr == "e" * (8192 - 4) + "last"
    assert 50_000_000 < ended.peak_rss_bytes < 500_000_000
    assert 0 < ended.cpu_ns < 60e9


def test_a_crash_is_told_by_its_signal(agent: Agent) -> None:
    ended = agent.start(["sh", "-c", "kill -SEGV $$"]).wait(LONG_S)
    assert (ended.code, ended.signal) == (None, signal.SIGSEGV)


def test_pinned_means_pinned(agent: Agent) -> None:
    for cpus in ([max(agent.hello.cpus)], list(agent.hello.cpus)):
        lines = output(agent, "cat", "/proc/self/status", cpus=cpus)
        allowed = next(line.split()[1] for line in lines if line.startswith("Cpus_allowed_list:"))
        assert parse_cpu_list(allowed) == tuple(sorted(cpus))


def test_a_cpu_that_is_offline_is_refused_with_those_that_are_online(agent: Agent) -> None:
    absent = max(agent.hello.cpus) + 1
    for cpus in ([absent], [agent.hello.cpus[0], absent]):
        with pytest.raises(StableError, match=r"bench: .* offline.* online are 0"):
            agent.start(["true"], cpus=cpus)


def test_a_program_that_cannot_be_executed_is_refused(agent: Agent, tmp_path: Path) -> None:
    with pytest.raises(WrongAbi, match=r"bench: .*missing: No such file"):
        agent.start([str(tmp_path / "missing")])
    (tmp_path / "data").write_bytes(b"\x7fELF\0\0\0")
    (tmp_path / "data").chmod(0o755)
    with pytest.raises(WrongAbi, match="Exec format error"):
        agent.start([str(tmp_path / "data")])


def test_one_program_runs_at_a_time(agent: Agent) -> None:
    first = agent.start(["sleep", "1000"])
    with pytest.raises(DeviceBusy, match=str(first.pid)):
        agent.start(["true"])
    first.kill()
    first.wait(LONG_S)
    assert agent.start(["true"]).wait(LONG_S).code == 0


def test_a_program_that_says_nothing_times_out_and_goes_on(agent: Agent) -> None:
    program = agent.start(["cat"])
    with pytest.raises(CommandTimeout, match=r"bench: no line of cat within 0\.05 s"):
        program.line(0.05)
    with pytest.raises(CommandTimeout, match="no end of cat"):
        program.wait(0.05)
    program.write("still here\n")
    assert program.line(LONG_S) == Line("still here", {})


def test_answers_and_lines_do_not_get_mixed_up(agent: Agent) -> None:
    program = agent.start(["seq", "20000"])
    for _ in range(20):
        assert agent.read(["/proc/sys/kernel/ostype"]) == {"/proc/sys/kernel/ostype": "Linux\n"}
    lines = []
    while (line := program.line(LONG_S)) is not None:
        lines.append(line.text)
    assert lines == [str(number) for number in range(1, 20001)]


def test_a_line_of_100_megabytes_is_garbled_output_and_the_agent_lives(agent: Agent) -> None:
    program = agent.start(["sh", "-c", r"printf '\033[31m'; head -c 100000000 /dev/zero; echo; cat"])
    with pytest.raises(GarbledOutput, match=r"bench: .*1 MiB.*\\x1b\[31m\\x00\\x00"):
        program.line(LONG_S)
    program.kill()
    assert program.wait(LONG_S).signal == signal.SIGKILL
    assert output(agent, "echo", "alive") == ["alive"]


def test_a_long_silent_program_outlives_the_silence_limit(transport: LocalTransport) -> None:
    with Agent(transport, str(built("agent")), name="bench", silence_s=1.0) as agent:
        program = agent.start(["cat"])
        time.sleep(3)
        program.write("awake\n")
        assert program.line(LONG_S) == Line("awake", {})


FAMILY = "trap '' HUP TERM; sleep 1001 & echo $!; (sleep 1002 & echo $!); setsid sleep 1003 & echo $!; wait"


def family(agent: Agent) -> list[int]:
    """A program with a child, an orphan, and one that has left its session; all of their pids."""
    program = agent.start(["sh", "-c", FAMILY])
    pids = [program.pid]
    for _ in range(3):
        line = program.line(LONG_S)
        assert line is not None
        pids.append(int(line.text))
    assert all(is_running(pid) for pid in pids)
    return pids


def test_kill_ends_the_whole_family(agent: Agent) -> None:
    pids = family(agent)
    assert agent._program is not None
    agent._program.kill()
    agent._program.wait(LONG_S)
    wait_until_gone(*pids)


def test_what_an_ended_program_leaves_behind_is_ended(agent: Agent) -> None:
    program = agent.start(["sh", "-c", "sleep 1001 & echo $!; setsid sleep 1002 & echo $!"])
    lines = [program.line(LONG_S), program.line(LONG_S)]
    assert program.line(LONG_S) is None
    wait_until_gone(*(int(line.text) for line in lines if line))


def test_closing_ends_the_whole_family_and_the_agent(transport: LocalTransport) -> None:
    agent = Agent(transport, str(built("agent")), name="bench")
    agent.open()
    pids = [agent.hello.pid, *family(agent)]
    agent.close()
    agent.close()
    wait_until_gone(*pids)


def test_an_agent_opens_again_after_it_was_closed(transport: LocalTransport) -> None:
    agent = Agent(transport, str(built("agent")), name="bench")
    with agent:
        old = agent.start(["cat"])
    with agent:
        assert output(agent, "echo", "again") == ["again"]
        with pytest.raises(DeviceOffline, match="cat was left"):
            old.line(LONG_S)
    with pytest.raises(DeviceOffline):
        agent.read(["/proc/uptime"])


def test_killing_the_agent_ends_its_program_and_is_told(agent: Agent) -> None:
    program = agent.start(["sleep", "1000"])
    os.kill(agent.hello.pid, signal.SIGKILL)
    with pytest.raises(DeviceOffline, match=r"bench: the agent has gone \(exit code 137\)"):
        program.line(LONG_S)
    wait_until_gone(program.pid)
    program.kill()
    agent.close()


HOST = """
import sys, time
from leadline.rpc.agent import Agent
from leadline.rpc.local import LocalTransport
binary, silence_s, script = sys.argv[1:]
transport = LocalTransport(name="bench")
with transport, Agent(transport, binary, name="bench", silence_s=float(silence_s)) as agent:
    program = agent.start(["sh", "-c", script])
    print(agent.hello.pid, program.pid, *(program.line(60).text for _ in range(3)), flush=True)
    time.sleep(1000)
"""


@pytest.mark.parametrize(("how", "silence_s"), [(signal.SIGKILL, 1000), (signal.SIGSTOP, 1)])
def test_a_host_that_vanishes_leaves_nothing_running(how: signal.Signals, silence_s: int) -> None:
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, str(built("agent")), str(silence_s), FAMILY], stdout=subprocess.PIPE, text=True
    )
    try:
        assert host.stdout is not None
        pids = [int(pid) for pid in host.stdout.readline().split()]
        assert len(pids) == 5
        assert all(is_running(pid) for pid in pids)
        host.send_signal(how)
        wait_until_gone(*pids)
    finally:
        host.kill()
        host.communicate()
