"""The shell snippets, run by the shells that devices have."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from pathlib import Path

import pytest

from leadline.core.errors import BadInput
from leadline.rpc import shell

SHELLS = {"dash": ["dash"], "ash": ["busybox", "sh"], "mksh": ["mksh"], "bash": ["bash"]}
ODD = ["a b", "it's", 'say "hi"', "new\nline", "$(id)", "`id`", "-n", "--", "\\", "*", "!!", "é", ""]


@pytest.fixture(params=SHELLS)
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """A device whose ``sh`` is this one, and with busybox's tools if it is busybox's."""
    tools = tmp_path / "bin"
    tools.mkdir()
    words = SHELLS[request.param]
    if words[0] == "busybox":
        for name in ("sh", "cat", "sha256sum", "mkdir", "mv", "rm", "chmod", "setsid", "grep", "id", "stat", "touch"):
            (tools / name).symlink_to("/bin/busybox")
    else:
        (tools / "sh").symlink_to(f"/bin/{words[0]}")
    return {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "LC_ALL": "C"}


def run(command: str, environment: dict[str, str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["sh", "-c", command], env=environment, input=stdin, capture_output=True, timeout=60)


def test_arguments_streams_and_exit_code_pass_through(environment: dict[str, str]) -> None:
    script = 'printf "[%s]" "$@"; cat; echo err >&2; exit 5'
    supervised = shell.supervise(["sh", "-c", script, "sh", *ODD])
    done = run(supervised.command, environment, b"input")
    found = supervised.split(done.stdout)
    assert found
    assert found[1].decode() == "".join(f"[{word}]" for word in ODD) + "input"
    assert (done.stderr, done.returncode) == (b"err\n", 5)


def test_a_signal_is_told_as_128_plus_its_number(environment: dict[str, str]) -> None:
    assert run(shell.supervise(["sh", "-c", "kill -SEGV $$"]).command, environment).returncode == 128 + 11


def test_the_group_can_be_ended_and_nothing_else_is(environment: dict[str, str]) -> None:
    supervised = shell.supervise(["sh", "-c", "sleep 300 & sleep 300"])
    with subprocess.Popen(["sh", "-c", supervised.command], env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout
        found = supervised.split(process.stdout.readline())
        assert found
        where = found[0]
        bystander = shell.Location("leadline-0123", os.getpid(), os.getpgrp())  # as after a reused pid
        assert run(shell.end_groups([bystander, where]), environment).returncode == 0
        assert process.wait(timeout=30) == 128 + 9
        assert group_ends(where.group)


def test_a_hung_up_supervisor_ends_the_group(environment: dict[str, str]) -> None:
    supervised = shell.supervise(["sh", "-c", "sleep 300 & sleep 300"])
    with subprocess.Popen(["sh", "-c", supervised.command], env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout
        found = supervised.split(process.stdout.readline())
        assert found
        os.kill(found[0].supervisor, 1)
        assert process.wait(timeout=30) == 128 + 1
        assert group_ends(found[0].group)


def test_the_command_does_not_start_if_nobody_listens(environment: dict[str, str], tmp_path: Path) -> None:
    supervised = shell.supervise(["touch", str(tmp_path / "started")])
    reader, writer = os.pipe()
    os.close(reader)
    subprocess.run(["sh", "-c", supervised.command], env=environment, stdout=writer, stderr=subprocess.DEVNULL)
    os.close(writer)
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 5000])
def test_a_file_is_received_if_its_hash_is_right(environment: dict[str, str], tmp_path: Path, content: bytes) -> None:
    target = tmp_path / "new $(id)" / "-file\n"
    argv = shell.receive(str(target), hashlib.sha256(content).hexdigest(), executable=True)
    done = run(shell.script(argv[2], *argv[4:]), environment, content)
    assert (done.returncode, done.stderr) == (0, b"")
    assert target.read_bytes() == content
    assert target.stat().st_mode & 0o777 == 0o755
    assert os.listdir(target.parent) == [target.name]


def test_a_file_with_another_hash_is_refused_and_leaves_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    argv = shell.receive(str(tmp_path / "dir" / "file"), "0" * 64, executable=False)
    assert run(shell.script(argv[2], *argv[4:]), environment, b"other").returncode == shell.WRONG_HASH
    assert os.listdir(tmp_path / "dir") == []


def test_a_folder_that_cannot_be_made_says_why(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    argv = shell.receive(str(tmp_path / "file" / "below"), "0" * 64, executable=False)
    done = run(shell.script(argv[2], *argv[4:]), environment, b"other")
    assert done.returncode == shell.WRITE_FAILED
    assert b"mkdir" in done.stderr


def test_a_file_is_sent_after_its_hash(environment: dict[str, str], tmp_path: Path) -> None:
    source = tmp_path / "a\n$(id)"
    source.write_bytes(b"content\0")
    argv = shell.send(str(source))
    done = run(shell.script(argv[2], *argv[4:]), environment)
    assert done.stdout == hashlib.sha256(b"content\0").hexdigest().encode() + b"\ncontent\0"
    argv = shell.send(str(tmp_path / "absent"))
    assert run(shell.script(argv[2], *argv[4:]), environment).returncode == shell.NOT_FOUND


def test_the_default_directory_is_the_users_cache_or_the_next_that_is_writable(
    environment: dict[str, str], tmp_path: Path
) -> None:
    argv = shell.default_directory()
    command = shell.script(argv[2], *argv[4:])
    for variable in ("XDG_CACHE_HOME", "HOME"):
        environment.pop(variable, None)
    assert run(command, {**environment, "HOME": str(tmp_path)}).stdout.decode() == f"{tmp_path}/.cache/leadline\n"
    (tmp_path / "blocked").touch()
    elsewhere = run(command, {**environment, "HOME": str(tmp_path / "blocked")}).stdout.decode().strip()
    assert elsewhere.endswith(f"/leadline-{os.getuid()}")
    Path(elsewhere).rmdir()


@pytest.mark.parametrize("argv", [[], ["a\0b"], ["a", "\0"]])
def test_what_no_device_can_run_is_bad_input(argv: list[str]) -> None:
    with pytest.raises(BadInput):
        shell.supervise(argv)


def test_what_comes_before_the_first_line_is_dropped() -> None:
    supervised = shell.supervise(["true"])
    assert supervised.split(b"Welcome!\n" + supervised.token.encode() + b" 1") is None
    found = supervised.split(b"Welcome!\n" + supervised.token.encode() + b" 12 34\noutput\n")
    assert found == (shell.Location(supervised.token, 12, 34), b"output\n")


def group_ends(group: int, patience_s: float = 10.0) -> bool:
    """Whether no process of the group lives (zombies aside) by the end of our patience."""
    deadline = time.monotonic() + patience_s
    while any(member == group for member in _live_groups()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _live_groups() -> list[int]:
    groups = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX":
            groups.append(int(fields[2]))
    return groups
