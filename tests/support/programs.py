"""The device programs, built for tests once per checkout, and looking after the processes that they start."""

from __future__ import annotations

import time
from pathlib import Path

from leadline.rpc.abi import detect_abi
from leadline.rpc.build import build
from leadline.rpc.local import LocalTransport

CACHE = Path(__file__).parents[2] / "build" / "cache"  # where `make wheel` keeps its own; not in git


def host_abi() -> str:
    with LocalTransport(name="host") as transport:
        return detect_abi(transport)


def built(program: str, abi: str | None = None) -> Path:
    """`program` for `abi`, by default this machine's."""
    return build(program, abi or host_abi(), cache=CACHE)


def is_running(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_until_gone(*pids: int, within_s: float = 60.0) -> None:
    """Fails the test if one of them still runs by then; generous, so that a busy machine fails no test."""
    until_s = time.monotonic() + within_s
    while running := [pid for pid in pids if is_running(pid)]:
        assert time.monotonic() < until_s, f"still running: {running}"
        time.sleep(0.01)
