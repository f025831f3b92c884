"""The agent program itself, spoken to in raw lines: docs/agent-protocol.md."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import built, wait_until_gone

MIB = 2**20


class RawAgent:
    """The agent at the end of two pipes."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [built("agent")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def ask(self, **request: Any) -> None:
        self.send(json.dumps(request).encode() + b"\n")

    def next(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def hello(self, silence_s: float = 60) -> Any:
        self.ask(id=1, op="hello", protocol=1, silence_s=silence_s)
        return self.next()

    def refusal(self, data: bytes) -> tuple[Any, str]:
        """The id and the code of the error that answers these bytes."""
        self.send(data)
        answer = self.next()
        return answer["id"], answer["error"]["code"]

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def agent() -> Iterator[RawAgent]:
    agent = RawAgent()
    yield agent
    agent.close()


@pytest.fixture
def greeted(agent: RawAgent) -> RawAgent:
    agent.hello()
    return agent


def test_hello_tells_who_answers(agent: RawAgent) -> None:
    ok = agent.hello()["ok"]
    assert (ok["protocol"], ok["pid"], ok["uid"]) == (1, agent.process.pid, os.getuid())
    assert ok["cpus"] == sorted(os.sched_getaffinity(0))
    known = set(Path("/proc/cpuinfo").read_text().replace("\n", " ").split(" "))
    assert set(ok["features"]) <= known
    assert ("avx2" in ok["features"]) == (ok["abi"] == "x86_64" and "avx2" in known)


def test_another_protocol_version_is_refused_and_the_agent_leaves(agent: RawAgent) -> None:
    agent.ask(id=1, op="hello", protocol=2, silence_s=30)
    assert agent.next()["error"]["code"] == "protocol"
    assert agent.process.wait(60) == 2


def test_hello_comes_first_and_once(agent: RawAgent) -> None:
    assert agent.refusal(b'{"id":1,"op":"read","paths":[]}\n') == (1, "protocol")
    agent.hello()
    assert agent.refusal(b'{"id":2,"op":"hello","protocol":1,"silence_s":1}\n') == (2, "protocol")


@pytest.mark.parametrize("silence", ["0", "-1", "1e9", "1e999", '"30"', "null", "[]"])
def test_a_silence_that_makes_no_sense_is_refused(agent: RawAgent, silence: str) -> None:
    assert agent.refusal(b'{"id":1,"op":"hello","protocol":1,"silence_s":%s}\n' % silence.encode()) == (
        1,
        "bad-request",
    )


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"id":1,"op":"read","paths":["/proc/uptime"]',
        b'{"id":1,"op":"read","paths":["/proc/uptime]}',
        b'{"id":1,"op":"ping"} x',
        b'{"id":1 "op":"ping"}',
        b'{"id":1,}',
        b"[1,]",
        b'{1:"op"}',
        b"{'op':'ping'}",
        b'{"op":NaN}',
        b'{"op":Infinity}',
        b'{"op":-}',
        b'{"op":01}',
        b'{"op":1.}',
        b'{"op":1e}',
        b'{"op":0x10}',
        b'{"op":tru}',
        b'{"op":"\\x41"}',
        b'{"op":"\\u12"}',
        b'{"op":"\\ud800"}',
        b'{"op":"\\ud800\\u0041"}',
        b'{"op":"\\udc00"}',
        b'{"op":"a\tb"}',
        b'{"op":"ping\\',
        b'{"op":"pi\0ng"}',
        b'\0{"op":"ping"}',
        b'{"op":"ping"}\0',
        b'{"op":"\xff\xfe"}',
        b'{"op":"\xc0\xaf"}',  # overlong
        b'{"op":"\xed\xa0\x80"}',  # a surrogate
        b'{"op":"\xf4\x90\x80\x80"}',  # beyond U+10FFFF
        b'{"op":"\xe2\x82"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" + b"0," * 100_000 + b"0]",
        b"9" * 100_000,
        b"null",
        b"[]",
        b"1",
        b'"ping"',
        b"{}",
        b'{"id":1}',
        b'{"id":-1,"op":"bye"}',
        b'{"id":1.5,"op":"bye"}',
        b'{"id":1e400,"op":"bye"}',
        b'{"id":99999999999999999999,"op":"bye"}',
        b'{"id":"1","op":"bye"}',
        b'{"op":"bye"}',
        b'{"op":["bye"],"id":1}',
        b'{"op":"by\\u0000e","id":1}',
        b'{"op":"dance","id":1}',
        b'{"op":"read","id":1}',
        b'{"op":"read","id":1,"paths":"/proc/uptime"}',
        b'{"op":"read","id":1,"paths":[1]}',
        b'{"op":"read","id":1,"paths":["/proc/uptime\\u0000"]}',
        b'{"op":"start","id":1}',
        b'{"op":"start","id":1,"argv":[]}',
        b'{"op":"start","id":1,"argv":[""]}',
        b'{"op":"start","id":1,"argv":["true",null]}',
        b'{"op":"start","id":1,"argv":["true","\\u0000"]}',
        b'{"op":"start","id":1,"argv":["true"],"env":{"":"x"}}',
        b'{"op":"start","id":1,"argv":["true"],"env":{"A=B":"x"}}',
        b'{"op":"start","id":1,"argv":["true"],"env":{"A\\u0000":"x"}}',
        b'{"op":"start","id":1,"argv":["true"],"env":{"A":1}}',
        b'{"op":"start","id":1,"argv":["true"],"env":["A"]}',
        b'{"op":"start","id":1,"argv":["true"],"cpus":[]}',
        b'{"op":"start","id":1,"argv":["true"],"cpus":[-1]}',
        b'{"op":"start","id":1,"argv":["true"],"cpus":[8192]}',
        b'{"op":"start","id":1,"argv":["true"],"cpus":[0.5]}',
        b'{"op":"start","id":1,"argv":["true"],"cpus":"0"}',
        b'{"op":"start","id":1,"argv":["true"],"watch":["/a",1]}',
        b'{"op":"start","id":1,"argv":["true"],"watch":[' + b'"/a",' * 256 + b'"/a"]}',
        b'{"op":"input"}',
        b'{"op":"input","text":1}',
    ],
    ids=lambda line: repr(line[:40]),
)
def test_a_request_that_makes_no_sense_is_refused_and_the_next_one_answered(greeted: RawAgent, line: bytes) -> None:
    _id, code = greeted.refusal(line + b"\n")
    assert code == "bad-request"
    greeted.ask(id=7, op="read", paths=[])
    assert greeted.next() == {"id": 7, "ok": {"files": {}}}


def test_a_request_that_can_be_read_is_refused_under_its_own_id(greeted: RawAgent) -> None:
    assert greeted.refusal(b'{"op":"dance","id":12}\n') == (12, "bad-request")


def test_requests_longer_than_a_mebibyte_are_refused_once_and_skipped(greeted: RawAgent) -> None:
    greeted.send(b'{"op":"' + b"x" * 20 * MIB)
    greeted.send(b'"}\n')
    assert greeted.next() == {"id": None, "error": {"code": "bad-request", "text": "request longer than 1 MiB"}}
    greeted.ask(id=2, op="bye")
    assert greeted.next() == {"id": 2, "ok": {}}


def test_mangled_requests_never_end_the_agent(greeted: RawAgent) -> None:
    rng = random.Random(1)
    good = b'{"id":3,"op":"read","paths":["/proc/uptime","\\u00e9\\ud83d\\ude00"],"x":[1,-2.5e3,true,null,{}]}'
    for number in range(2000):
        bad = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(bad))
            bad[at : at + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 3))
        bad = bytearray(bad.replace(b"\n", b" "))
        greeted.send(bytes(bad) + b'\n{"id":%d,"op":"read","paths":[]}\n' % (10**6 + number))
        while (answer := greeted.next())["id"] != 10**6 + number:
            assert answer.keys() in ({"id", "ok"}, {"id", "error"})


def test_escapes_in_requests_mean_what_json_says(greeted: RawAgent, tmp_path: Path) -> None:
    file = tmp_path / 'é😀 "\\/\b\f\n\r\t'.replace("/", "")
    file.write_text("found")
    ascii_only = json.dumps({"id": 2, "op": "read", "paths": [str(file).replace("\\", "\\\\")]}, ensure_ascii=True)
    greeted.send(ascii_only.encode() + b"\n")
    assert greeted.next()["ok"]["files"] == {str(file): "found"}


def test_read_expands_globs_and_leaves_out_what_cannot_be_read(greeted: RawAgent, tmp_path: Path) -> None:
    for name in ("a1", "a2", "b1"):
        (tmp_path / name).write_text(name)
    os.mkfifo(tmp_path / "a3")  # would block
    (tmp_path / "a4").mkdir()
    patterns = [f"{tmp_path}/b*", f"{tmp_path}/a*", f"{tmp_path}/a1", f"{tmp_path}/none", "/dev/zero", "", "["]
    greeted.ask(id=2, op="read", paths=patterns)
    assert list(greeted.next()["ok"]["files"].items()) == [(f"{tmp_path}/{name}", name) for name in ("a1", "a2", "b1")]


def test_read_cuts_long_files_and_replaces_what_is_no_utf8(greeted: RawAgent, tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"x" * 70_000)
    (tmp_path / "odd").write_bytes(b'a\0b\xffc\xc3\xa9\x1b[0m"\\\x7f\xe2\x82')
    greeted.ask(id=2, op="read", paths=[f"{tmp_path}/*"])
    files = greeted.next()["ok"]["files"]
    assert files[f"{tmp_path}/long"] == "x" * 65_536
    assert files[f"{tmp_path}/odd"] == 'a\0b\ufffdcé\x1b[0m"\\\x7f\ufffd\ufffd'


def test_read_refuses_an_answer_that_would_be_too_long(greeted: RawAgent, tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / str(number)).write_bytes(b"x" * 65_536)
    assert greeted.refusal(json.dumps({"id": 2, "op": "read", "paths": [f"{tmp_path}/*"]}).encode() + b"\n") == (
        2,
        "bad-request",
    )


def test_a_host_that_does_not_read_makes_nothing_grow(greeted: RawAgent) -> None:
    greeted.ask(id=2, op="start", argv=["yes", "x" * 1000], watch=["/proc/cpuinfo"])
    greeted.next()
    for _ in range(1000):
        greeted.ask(id=3, op="read", paths=["/proc/cpuinfo", "/proc/meminfo"])
    # It has stopped: what it wants to say is in the pipe, and in a backlog of at most a few MiB.
    status = Path(f"/proc/{greeted.process.pid}/status").read_text()
    peak_kib = int(status.partition("VmHWM:")[2].split()[0])
    assert peak_kib < 16 * 1024
    while greeted.next().get("id") != 3:
        pass
    greeted.ask(id=4, op="kill")
    while (message := greeted.next()).get("event") != "exit":
        pass
    assert message["signal"] == signal.SIGKILL


def test_a_host_that_reads_late_misses_nothing(greeted: RawAgent, tmp_path: Path) -> None:
    (tmp_path / "big").write_text("x" * 60_000)
    greeted.ask(id=2, op="start", argv=["sh", "-c", "seq 100000; echo done >&2"])
    for number in range(3, 300):
        greeted.ask(id=number, op="read", paths=[str(tmp_path / "big")])
    messages = [greeted.next() for _ in range(298 + 100_000 + 1)]
    assert [message["id"] for message in messages if "id" in message] == list(range(2, 300))
    events = [message for message in messages if "event" in message]
    assert [event["text"] for event in events[:-1]] == [str(number) for number in range(1, 100_001)]
    assert events[-1]["event"] == "exit"
    assert events[-1]["stderr"] == "done\n"


def test_requests_that_waited_for_a_slow_host_are_obeyed_once_it_reads(greeted: RawAgent, tmp_path: Path) -> None:
    (tmp_path / "big").write_text("x" * 60_000)
    for number in range(2, 300):
        greeted.ask(id=number, op="read", paths=[str(tmp_path / "big")])
    assert [greeted.next()["id"] for _ in range(298)] == list(range(2, 300))


def test_a_line_of_100_megabytes_is_cut_off_and_takes_no_memory(greeted: RawAgent) -> None:
    script = "head -c 100000000 /dev/zero | tr '\\0' z; echo; echo after"
    greeted.ask(id=2, op="start", argv=["sh", "-c", script])
    greeted.next()
    assert greeted.next() == {"event": "line", "text": "z" * 4096, "truncated": True, "watched": {}}
    assert greeted.next()["text"] == "after"
    assert greeted.next()["code"] == 0
    status = Path(f"/proc/{greeted.process.pid}/status").read_text()
    assert int(status.partition("VmHWM:")[2].split()[0]) < 16 * 1024


@pytest.mark.parametrize(("count", "whole"), [(MIB, True), (MIB + 1, False)])
def test_a_line_may_have_one_mebibyte(greeted: RawAgent, count: int, whole: bool) -> None:
    greeted.ask(id=2, op="start", argv=["sh", "-c", f"head -c {count} /dev/zero | tr '\\0' z"])
    greeted.next()
    line = greeted.next()
    assert line.get("truncated", False) is not whole
    assert len(line["text"]) == (count if whole else 4096)


def test_a_line_of_control_characters_counts_as_it_is_sent(greeted: RawAgent) -> None:
    greeted.ask(id=2, op="start", argv=["head", "-c", str(MIB // 2), "/dev/zero"])
    greeted.next()
    assert greeted.next() == {"event": "line", "text": "\0" * 4096, "truncated": True, "watched": {}}


def test_a_program_that_does_not_read_its_input_is_told_of(greeted: RawAgent) -> None:
    greeted.ask(id=2, op="start", argv=["sleep", "1000"])
    greeted.next()
    for _ in range(40):
        greeted.ask(op="input", text="x" * 60_000)
    answer = greeted.next()
    assert (answer["id"], answer["error"]["code"]) == (None, "busy")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_end_the_agent_and_its_program(greeted: RawAgent, number: signal.Signals) -> None:
    greeted.ask(id=2, op="start", argv=["sleep", "1000"])
    pid = greeted.next()["ok"]["pid"]
    greeted.process.send_signal(number)
    assert greeted.process.wait(60) == 128 + number
    wait_until_gone(pid)


def test_the_end_of_input_ends_the_agent_and_its_program_after_the_last_answer(greeted: RawAgent) -> None:
    greeted.ask(id=2, op="start", argv=["sleep", "1000"])
    greeted.ask(id=3, op="read", paths=[])
    assert greeted.process.stdin is not None
    greeted.process.stdin.close()
    pid = greeted.next()["ok"]["pid"]
    assert greeted.next()["id"] == 3
    assert greeted.process.wait(60) == 0
    wait_until_gone(pid)
    greeted.process.stdin = None


def test_a_closed_output_ends_the_agent_and_its_program(greeted: RawAgent) -> None:
    greeted.ask(id=2, op="start", argv=["sleep", "1000"])
    pid = greeted.next()["ok"]["pid"]
    assert greeted.process.stdout is not None
    greeted.process.stdout.close()
    assert greeted.process.wait(60) == 1
    wait_until_gone(pid)
    greeted.process.stdout = None


def test_a_silent_host_is_left(agent: RawAgent) -> None:
    agent.hello(silence_s=0.3)
    agent.ask(id=2, op="start", argv=["sleep", "1000"])
    pid = agent.next()["ok"]["pid"]
    assert agent.process.wait(60) == 1
    wait_until_gone(pid)


def test_a_host_that_pings_is_not_silent_even_while_it_does_not_read(agent: RawAgent) -> None:
    agent.hello(silence_s=2)
    agent.ask(id=2, op="start", argv=["yes"])
    for _ in range(20):
        agent.ask(op="ping")
        with pytest.raises(subprocess.TimeoutExpired):
            agent.process.wait(0.2)


def test_killing_the_agent_ends_its_program(greeted: RawAgent) -> None:
    greeted.ask(id=2, op="start", argv=["sleep", "1000"])
    pid = greeted.next()["ok"]["pid"]
    greeted.process.kill()
    wait_until_gone(pid)


def test_bye_ends_the_program_before_it_is_answered(greeted: RawAgent) -> None:
    greeted.ask(id=2, op="start", argv=["sleep", "1000"])
    pid = greeted.next()["ok"]["pid"]
    greeted.ask(id=3, op="bye")
    assert greeted.next() == {"id": 3, "ok": {}}
    assert not Path(f"/proc/{pid}").exists()
    assert greeted.process.wait(60) == 0
