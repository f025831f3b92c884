"""The device programs, built for tests once per checkout, and looking after the processes that they start."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from leadline.rpc.abi import detect_abi
from leadline.rpc.build import build
from leadline.rpc.local import LocalTransport

PATIENCE_S = 60.0  # generous, so that a busy machine fails no test
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


def wait_until_gone(*pids: int, within_s: float = PATIENCE_S) -> None:
    """Fails the test if one of them still runs by then."""
    until_s = time.monotonic() + within_s
    while running := [pid for pid in pids if is_running(pid)]:
        assert time.monotonic() < until_s, f"still running: {running}"
        time.sleep(0.01)


def device_programs(work_folder: Path) -> list[int]:
    """pids of what runs out of a device's work folder: agent and runner."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                program = os.readlink(entry / "exe")
            except OSError:
                continue
            if program.startswith(f"{work_folder}/") and is_running(int(entry.name)):
                found.append(int(entry.name))
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert "Traceback" not in stderr
    return process.returncode, stderr


def nothing_runs_in(folder: Path) -> None:
    wait_until_gone(*device_programs(folder))
