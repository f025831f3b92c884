"""A device that does not keep to the agent's protocol: scripts in the agent's place, over the real transport."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leadline.core.errors import AgentMismatch, DeviceOffline, GarbledOutput, LeadlineError, WrongAbi
from leadline.rpc.agent import Agent
from leadline.rpc.local import LocalTransport

HELLO = (
    '{"id":1,"ok":{"protocol":1,"version":"abc","abi":"armv7","pid":1,"uid":0,"cpus":[0],"hwcap":0,'
    '"hwcap2":0,"features":[]}}'
)
STARTED = '{"id":2,"ok":{"pid":77}}'

Impostor = Callable[..., Agent]


@pytest.fixture
def impostor(tmp_path: Path) -> Iterator[Impostor]:
    """Makes an agent out of the lines that it will say, one for each request, whatever the request is."""
    with LocalTransport(name="cam 1") as transport:

        def make(*lines: bytes | str, then: str = "read -r farewell") -> Agent:
            script = ["#!/bin/sh"]
            for number, line in enumerate(lines):
                said = tmp_path / f"line{number}"
                said.write_bytes(line.encode() if isinstance(line, str) else line)
                script.append(f"read -r request && cat '{said}'")
            binary = tmp_path / "agent"
            binary.write_text("\n".join([*script, then, ""]))
            binary.chmod(0o755)
            return Agent(transport, str(binary), name="cam 1")

        yield make


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"Welcome to BusyBox\n",
        b"\x1b[31mred\x1b[0m\n",
        b"\x00\x01\xff\n",
        b"[]\n",
        b"{}\n",
        b'{"id":1}\n',
        b'{"id":1,"ok":NaN}\n',
        b'{"id":1,"ok":{},"error":{"code":"busy","text":""}}\n',
        b'{"id":1,"ok":{}}\n',
        b'{"id":"1","ok":{}}\n',
        b'{"id":-1,"ok":{}}\n',
        b'{"id":2,"ok":{}}\n',
        b'{"ok":{}}\n',
        b'{"event":"line","text":"x","watched":{}}\n',
        b'{"event":"dance"}\n',
        b"[" * 100_000 + b"\n",
        b'{"id":1,"ok":' + b"[" * 100_000 + b"\n",
        b"x" * (5 * 2**20) + b"\n",
        HELLO.replace("0}", "NaN}").encode().replace(b'"uid":0', b'"uid":NaN') + b"\n",
        HELLO.replace('"cpus":[0]', '"cpus":[-1]').encode() + b"\n",
        HELLO.replace('"abc"', '"\\u001b[0m"').encode() + b"\n",
        HELLO.replace('"pid":1', '"pid":1e400').encode() + b"\n",
    ],
    ids=lambda line: repr(line[:40]),
)
def test_what_is_no_answer_to_hello_is_garbled_output(impostor: Impostor, line: bytes) -> None:
    with pytest.raises(GarbledOutput, match="cam 1: ") as caught:
        impostor(line).open()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "event",
    [
        '{"event":"line","text":1,"watched":{}}',
        '{"event":"line","text":"x"}',
        '{"event":"line","text":"x","watched":{"a":NaN}}',
        '{"event":"line","text":"x","watched":[]}',
        '{"event":"line","text":"\\u001b[2J","watched":{},"truncated":true}',
        '{"event":"exit","code":null}',
        '{"event":"exit","code":0,"signal":null,"peak_rss_bytes":-1,"cpu_ns":0,"stderr":""}',
        '{"event":"exit","code":0,"signal":null,"peak_rss_bytes":0,"cpu_ns":1e99,"stderr":""}',
        '{"event":"exit","code":256,"signal":null,"peak_rss_bytes":0,"cpu_ns":0,"stderr":""}',
        '{"id":2,"ok":{}}',
        '{"id":3,"ok":{}}',
    ],
)
def test_what_is_no_event_is_garbled_output(impostor: Impostor, event: str) -> None:
    with impostor(HELLO + "\n", f"{STARTED}\n{event}\n") as agent:
        program = agent.start(["x"])
        with pytest.raises(GarbledOutput, match="cam 1: ") as caught:
            program.line(60)
        assert str(caught.value).isprintable()


def test_events_after_the_exit_are_garbled_output(impostor: Impostor) -> None:
    ended = '{"event":"exit","code":0,"signal":null,"peak_rss_bytes":0,"cpu_ns":0,"stderr":""}'
    line = '{"event":"line","text":"late","watched":{}}'
    with impostor(HELLO + "\n", f"{STARTED}\n{ended}\n{line}\n") as agent:
        program = agent.start(["x"])
        assert program.line(60) is None
        with pytest.raises(GarbledOutput, match="a program that does not run"):
            agent.read([])


@pytest.mark.parametrize(
    "answer",
    [HELLO.replace('"protocol":1', '"protocol":3'), '{"id":1,"error":{"code":"protocol","text":"it speaks 3, not 1"}}'],
)
def test_another_protocol_version_is_told_with_both_versions_and_the_mending_command(
    impostor: Impostor, answer: str
) -> None:
    with pytest.raises(AgentMismatch, match=r"cam 1: .*3.*1.*leadline device probe 'cam 1'"):
        impostor(answer + "\n").open()


@pytest.mark.parametrize(
    ("then", "error", "why"),
    [
        ("echo 'Segmentation fault' >&2; exit 139", DeviceOffline, "exit code 139.*Segmentation fault"),
        ("printf '{\"id\":1,'", DeviceOffline, "exit code 0"),
        ("exit 132", WrongAbi, "cannot run there"),
        ("exit 126", WrongAbi, "cannot run there"),
        ("echo 'sh: agent: Exec format error' >&2; exit 1", WrongAbi, "Exec format error"),
    ],
)
def test_an_agent_that_ends_before_it_answers_is_told_why(
    impostor: Impostor, then: str, error: type[LeadlineError], why: str
) -> None:
    with pytest.raises(error, match=f"cam 1: .*{why}"):
        impostor(then=then).open()


def test_a_binary_of_another_cpu_is_a_wrong_abi(tmp_path: Path) -> None:
    binary = tmp_path / "agent"
    binary.write_bytes(b"\x7fELF\x01\x02\x01" + bytes(9) + b"\0\x02\0\x15" + bytes(44))  # big-endian PowerPC
    binary.chmod(0o755)
    with LocalTransport(name="cam 1") as transport, pytest.raises(WrongAbi, match=r"cam 1: .*Exec format error"):
        Agent(transport, str(binary), name="cam 1").open()


def test_a_failed_opening_leaves_no_ping_behind(impostor: Impostor) -> None:
    before = set(threading.enumerate())
    agent = impostor("nonsense\n")
    with pytest.raises(GarbledOutput):
        agent.open()
    assert set(threading.enumerate()) == before
    agent.close()


def test_an_unasked_error_is_raised(impostor: Impostor) -> None:
    told = '{"id":null,"error":{"code":"busy","text":"the program does not \\u001b read"}}'
    with impostor(HELLO + "\n", f"{STARTED}\n{told}\n") as agent:
        program = agent.start(["x"])
        with pytest.raises(LeadlineError, match=r"cam 1: the agent refuses to input: the program does not \\x1b read"):
            program.line(60)


def test_a_device_name_cannot_act_on_the_terminal(tmp_path: Path) -> None:
    binary = tmp_path / "agent"
    binary.write_text("#!/bin/sh\nread -r request; echo nonsense\n")
    binary.chmod(0o755)
    with LocalTransport(name="x") as transport, pytest.raises(GarbledOutput) as caught:
        Agent(transport, str(binary), name="a\n\x1b[31m$(id)").open()
    assert str(caught.value).isprintable()
    assert r"leadline device probe 'a\n\x1b[31m$(id)'" in str(caught.value)
