"""Google's own adb client against our daemon: it must not be able to tell the difference from a phone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.adb import EmulatedPhone, PrivateAdbServer


def test_devices_lists_the_phone_with_its_model(adb_device: EmulatedPhone) -> None:
    lines = adb_device.server.adb("devices", "-l").stdout.decode().splitlines()
    line = next(line for line in lines if line.startswith(adb_device.serial))
    assert "device product:emulated model:Emulated_Phone" in line


def test_shell_gives_both_streams_and_the_exit_code(adb_device: EmulatedPhone) -> None:
    done = adb_device.adb("shell", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")


def test_shell_passes_standard_input_on(adb_device: EmulatedPhone) -> None:
    assert adb_device.adb("shell", "cat; echo end", stdin=b"some\ninput").stdout == b"some\ninputend\n"


def test_a_command_ended_by_a_signal_exits_as_a_shell_would_say(adb_device: EmulatedPhone) -> None:
    assert adb_device.adb("shell", "kill -KILL $$").returncode == 128 + 9


def test_a_terminal_is_given_to_who_asks_for_one(adb_device: EmulatedPhone) -> None:
    assert adb_device.adb("shell", "-tt", "test -t 0 && test -t 1 && echo terminal").stdout == b"terminal\r\n"
    assert adb_device.adb("shell", "test -t 1 || echo none").stdout == b"none\n"


def test_commands_start_in_the_phones_own_folder(adb_device: EmulatedPhone) -> None:
    folder = str(adb_device.directory).encode()
    assert adb_device.adb("shell", "pwd; echo $TMPDIR; echo $HOME").stdout.split() == [folder] * 3


def test_exec_out_is_binary_clean(adb_device: EmulatedPhone) -> None:
    (adb_device.directory / "data").write_bytes(everything := bytes(range(256)) * 100)
    assert adb_device.adb("exec-out", "cat data").stdout == everything


def test_a_tree_is_pushed_and_pulled_whole(adb_device: EmulatedPhone, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a b" / "ü").mkdir(parents=True)
    (tree / "a b" / "big").write_bytes(os.urandom(3_000_000))
    (tree / "a b" / "ü" / "empty").write_bytes(b"")
    (tree / "run").write_text("#!/bin/sh\n")
    (tree / "run").chmod(0o755)
    pushed = adb_device.adb("push", f"{tree}/.", f"{adb_device.directory}/copy/")
    assert pushed.returncode == 0, pushed.stderr
    assert os.access(adb_device.directory / "copy" / "run", os.X_OK)
    pulled = adb_device.adb("pull", f"{adb_device.directory}/copy", str(tmp_path / "back"))
    assert pulled.returncode == 0, pulled.stderr
    files = sorted(path.relative_to(tree) for path in tree.rglob("*") if path.is_file())
    assert [(tmp_path / "back" / file).read_bytes() for file in files] == [(tree / file).read_bytes() for file in files]


def test_ls_tells_mode_and_size(adb_device: EmulatedPhone) -> None:
    (adb_device.directory / "file").write_bytes(bytes(1000))
    (adb_device.directory / "file").chmod(0o640)
    line = next(s for s in adb_device.adb("ls", str(adb_device.directory)).stdout.splitlines() if s.endswith(b" file"))
    mode, size = (int(word, 16) for word in line.split()[:2])
    assert (mode, size) == (0o100640, 1000)


def test_pulling_what_is_not_there_fails(adb_device: EmulatedPhone, tmp_path: Path) -> None:
    done = adb_device.adb("pull", f"{adb_device.directory}/absent", str(tmp_path / "copy"))
    assert done.returncode != 0
    assert b"No such file" in done.stdout + done.stderr


def test_pushing_where_nobody_may_write_gives_the_reason(adb_device: EmulatedPhone, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(2_000_000))
    done = adb_device.adb("push", str(tmp_path / "file"), "/proc/leadline")
    assert done.returncode != 0
    assert b"couldn't create file" in done.stdout + done.stderr
    assert adb_device.adb("shell", "echo alive").stdout == b"alive\n"


def test_a_forwarded_port_leads_into_the_device(adb_device: EmulatedPhone) -> None:
    with EchoServer() as port:
        local = int(adb_device.adb("forward", "tcp:0", f"tcp:{port}").stdout)
        assert talk(local, b"through the device") == b"through the device"
        listed = adb_device.adb("forward", "--list").stdout.decode()
        assert f"{adb_device.serial} tcp:{local} tcp:{port}" in listed


def test_a_reversed_port_leads_back_to_the_host(adb_device: EmulatedPhone) -> None:
    with EchoServer() as port:
        remote = int(adb_device.adb("reverse", "tcp:0", f"tcp:{port}").stdout)
        assert talk(remote, b"back to the host") == b"back to the host"
        assert f"tcp:{remote} tcp:{port}" in adb_device.adb("reverse", "--list").stdout.decode()
        refused = adb_device.adb("reverse", "--no-rebind", f"tcp:{remote}", "tcp:1")
        assert refused.returncode != 0
        assert adb_device.adb("reverse", "--remove", f"tcp:{remote}").returncode == 0
        assert adb_device.adb("reverse", "--list").stdout.strip() == b""
        with pytest.raises(ConnectionRefusedError):
            talk(remote, b"anyone?")
        assert adb_device.adb("reverse", "--remove", f"tcp:{remote}").returncode != 0


def test_a_phone_that_does_not_know_the_key_is_unauthorized_until_it_is_accepted(
    locked_adb_device: EmulatedPhone, adb_server: PrivateAdbServer
) -> None:
    locked_adb_device.attach()
    adb_server.wait_for(locked_adb_device.serial, "unauthorized")
    assert b"unauthorized" in locked_adb_device.adb("shell", "true").stderr
    locked_adb_device.daemon.accept_keys()
    adb_server.wait_for(locked_adb_device.serial, "device")
    assert locked_adb_device.adb("shell", "echo in").stdout == b"in\n"


def test_a_key_once_accepted_signs_in_without_asking_again(
    locked_adb_device: EmulatedPhone, adb_server: PrivateAdbServer
) -> None:
    locked_adb_device.attach()
    locked_adb_device.daemon.accept_keys()
    adb_server.wait_for(locked_adb_device.serial, "device")
    locked_adb_device.faults.refuse_auth = True
    locked_adb_device.adb("disconnect", locked_adb_device.serial)
    locked_adb_device.attach()
    adb_server.wait_for(locked_adb_device.serial, "device")
    assert len(locked_adb_device.daemon.known_keys) == 1


def test_the_program_serves_obeys_orders_and_ends_with_its_input(adb_server: PrivateAdbServer, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "leadline.emulator.adbd", "--directory", str(tmp_path), "--control"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        serial = program.stdout.readline().split()[2].rstrip(",")
        assert adb_server.adb("connect", serial).returncode == 0
        adb_server.wait_for(serial, "device")
        program.stdin.write("offline\nfly away\n")
        program.stdin.flush()
        assert program.stdout.readline() == "ok\n"
        assert program.stdout.readline().startswith("not understood: 'fly away'; orders: bytes-per-s, corrupt-pulls, ")
        adb_server.wait_for(serial, "offline")
        program.stdin.close()
        assert program.wait(timeout=20) == 0
    adb_server.adb("disconnect", serial)


class EchoServer:
    """A port that answers each connection with what it is sent, until the block ends."""

    def __enter__(self) -> int:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        return int(self._listener.getsockname()[1])

    def __exit__(self, *exc: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                while data := connection.recv(4096):
                    connection.sendall(data)


def talk(port: int, message: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(message)
        answer = b""
        while len(answer) < len(message):
            data = connection.recv(4096)
            if not data:
                break
            answer += data
    return answer
