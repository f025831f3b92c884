"""Logging in to a real OpenSSH server: known host keys only, and errors that say what to do."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leadline.core.errors import BadInput, DeviceOffline, GarbledOutput, HostKeyRefused, Unauthorized
from leadline.rpc.connect import connect
from leadline.rpc.ssh import SshTransport
from tests.support.sshd import Sshd


@pytest.fixture
def reach(sshd: Sshd) -> Callable[..., SshTransport]:
    """A transport to the server, or to what its client's config names; not open."""

    def make(uri: str | None = None, **options: float) -> SshTransport:
        return SshTransport(uri or sshd.uri, name="bench", ssh_directory=sshd.ssh_directory, **options)

    return make


def command_in(message: str) -> list[str]:
    """The words of the command that ends a message."""
    return shlex.split(message.rpartition(": ")[2])


def run_advice(command: str, sshd: Sshd) -> None:
    """Do what a message advises, in a shell of the user."""
    subprocess.run(["sh", "-c", command], env=sshd.environment, check=True, capture_output=True)


class TestHostKeys:
    def test_an_unknown_host_key_is_refused_with_its_fingerprint_and_the_command_that_trusts_it(
        self, sshd: Sshd, reach: Callable[..., SshTransport]
    ) -> None:
        sshd.known_hosts.unlink()
        with pytest.raises(HostKeyRefused, match="bench") as refused:
            reach().open()
        assert sshd.host_fingerprint in str(refused.value)
        assert not sshd.known_hosts.exists()
        run_advice(str(refused.value).partition("trust it: ")[2], sshd)
        with reach() as transport:
            assert transport.run(["true"]).exit_code == 0

    def test_a_changed_host_key_is_refused_with_the_commands_that_forget_and_trust(
        self, sshd: Sshd, reach: Callable[..., SshTransport]
    ) -> None:
        sshd.new_host_key()
        before = sshd.known_hosts.read_text()
        with pytest.raises(HostKeyRefused, match="changed") as refused:
            reach().open()
        assert sshd.host_fingerprint in str(refused.value)
        assert sshd.known_hosts.read_text() == before
        run_advice(str(refused.value).partition("trust the new one: ")[2], sshd)
        with reach() as transport:
            assert transport.run(["true"]).exit_code == 0

    def test_an_open_transport_meets_a_changed_host_key_when_it_reconnects(
        self, sshd: Sshd, reach: Callable[..., SshTransport]
    ) -> None:
        with reach() as transport:
            sshd.new_host_key()
            with pytest.raises(DeviceOffline):
                transport.run(["true"])
            with pytest.raises(HostKeyRefused):
                transport.open()

    def test_hashed_known_hosts_are_read(self, sshd: Sshd, reach: Callable[..., SshTransport]) -> None:
        run_advice(f"ssh-keygen -H -f {shlex.quote(str(sshd.known_hosts))}", sshd)
        assert "127.0.0.1" not in sshd.known_hosts.read_text()
        with reach() as transport:
            assert transport.run(["true"]).exit_code == 0


class TestLogin:
    def test_a_refused_login_names_the_command_that_makes_the_key_known(
        self, sshd: Sshd, reach: Callable[..., SshTransport]
    ) -> None:
        (sshd.root / "authorized_keys").write_text("")
        with pytest.raises(Unauthorized, match="bench") as refused:
            reach().open()
        assert command_in(str(refused.value).rstrip(")")) == [
            "ssh-copy-id",
            "-p",
            str(sshd.port),
            f"{sshd.user}@127.0.0.1",
        ]

    def test_without_any_key_the_login_is_refused(self, sshd: Sshd, reach: Callable[..., SshTransport]) -> None:
        (sshd.ssh_directory / "id_ed25519").unlink()
        with pytest.raises(Unauthorized, match="ssh-copy-id"):
            reach().open()

    def test_a_locked_key_names_the_command_that_unlocks_it(
        self, sshd: Sshd, reach: Callable[..., SshTransport]
    ) -> None:
        key = sshd.ssh_directory / "id_ed25519"
        subprocess.run(["ssh-keygen", "-q", "-p", "-f", str(key), "-P", "", "-N", "secret"], check=True)
        with pytest.raises(Unauthorized, match="ssh-add"):
            reach().open()

    def test_a_key_that_only_the_agent_has_logs_in(
        self, sshd: Sshd, reach: Callable[..., SshTransport], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        agent_socket = str(tmp_path / "agent")
        agent = subprocess.Popen(["ssh-agent", "-D", "-a", agent_socket], stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: os.path.exists(agent_socket))
            monkeypatch.setenv("SSH_AUTH_SOCK", agent_socket)
            subprocess.run(["ssh-add", "-q", str(sshd.ssh_directory / "id_ed25519")], check=True)
            (sshd.ssh_directory / "id_ed25519").unlink()
            with reach() as transport:
                assert transport.run(["true"]).exit_code == 0
        finally:
            agent.kill()
            agent.wait()

    def test_the_ssh_directory_is_found_through_home(self, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(sshd.home))
        with connect(sshd.uri, name="bench") as transport:
            assert transport.run(["echo", "at home"]).stdout == b"at home\n"

    def test_an_account_that_runs_no_commands_is_told(self, sshd: Sshd, reach: Callable[..., SshTransport]) -> None:
        keys = sshd.root / "authorized_keys"
        keys.write_text(f'command="echo this account is not available" {keys.read_text()}')
        with pytest.raises(GarbledOutput, match="this account is not available"):
            reach().open()

    def test_what_a_login_shell_prints_first_is_not_taken_for_output(
        self, sshd: Sshd, reach: Callable[..., SshTransport]
    ) -> None:
        keys = sshd.root / "authorized_keys"
        keys.write_text(f'command="echo Welcome!; eval \\"$SSH_ORIGINAL_COMMAND\\"" {keys.read_text()}')
        with reach() as transport:
            assert transport.run(["echo", "a $HOME 'b'"]).stdout == b"a $HOME 'b'\n"


class TestConfig:
    def test_an_alias_gives_host_port_user_and_key(self, sshd: Sshd, reach: Callable[..., SshTransport]) -> None:
        (sshd.ssh_directory / "id_ed25519").rename(sshd.ssh_directory / "bench key")
        (sshd.ssh_directory / "config").write_text(
            f"Host camera\n HostName 127.0.0.1\n Port {sshd.port}\n User {sshd.user}\n"
            f' IdentityFile "{sshd.ssh_directory}/bench key"\n'
        )
        with reach("ssh://camera") as transport:
            assert transport.run(["true"]).exit_code == 0

    def test_a_jump_host_is_gone_through(self, sshd: Sshd, reach: Callable[..., SshTransport]) -> None:
        (sshd.ssh_directory / "config").write_text(
            f"Host gate\n HostName 127.0.0.1\n Port {sshd.port}\nHost camera\n HostName 127.0.0.1\n Port {sshd.port}\n"
            " ProxyJump gate\n"
        )
        with reach("ssh://camera") as transport:
            assert len(sshd.sessions()) >= 2
            assert transport.run(["cat"], stdin=bytes(2**20)).stdout == bytes(2**20)
        wait_until(lambda: not sshd.sessions())

    def test_an_unknown_key_behind_a_jump_host_is_refused(self, sshd: Sshd, reach: Callable[..., SshTransport]) -> None:
        (sshd.ssh_directory / "config").write_text(
            f"Host gate\n HostName 127.0.0.1\n Port {sshd.port}\nHost camera\n HostName localhost\n Port {sshd.port}\n"
            " ProxyJump gate\n"
        )
        with pytest.raises(HostKeyRefused, match="localhost"):
            reach("ssh://camera").open()

    def test_a_broken_config_is_bad_input(self, sshd: Sshd, reach: Callable[..., SshTransport]) -> None:
        (sshd.ssh_directory / "config").write_bytes(b"Host\nPort \xff\x00 nonsense")
        with pytest.raises(BadInput, match="config"):
            reach().open()


class TestUnreachable:
    def test_a_name_that_does_not_exist_is_offline(self, reach: Callable[..., SshTransport]) -> None:
        with pytest.raises(DeviceOffline, match=r"bench.*getent hosts"):
            reach("ssh://no-such-host.invalid").open()

    def test_a_port_where_nobody_listens_is_offline(self, sshd: Sshd, reach: Callable[..., SshTransport]) -> None:
        sshd.stop()
        with pytest.raises(DeviceOffline, match=r"bench.*refused"):
            reach().open()

    @pytest.mark.parametrize(
        "answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\xff" * 5000, b"SSH-2.0-x\r\n" + b"\xff" * 100]
    )
    def test_a_server_that_speaks_something_else_is_offline(
        self, reach: Callable[..., SshTransport], answer: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        with answering(answer) as port, pytest.raises(DeviceOffline, match="bench"):
            reach(f"ssh://127.0.0.1:{port}", connect_s=5.0).open()

    def test_a_server_that_never_greets_is_offline(self, sshd: Sshd, reach: Callable[..., SshTransport]) -> None:
        sshd.freeze()
        with pytest.raises(DeviceOffline, match="bench"):
            reach(connect_s=1.0).open()
        sshd.thaw()

    def test_a_device_that_freezes_during_a_push_is_offline(
        self, sshd: Sshd, reach: Callable[..., SshTransport], tmp_path: Path
    ) -> None:
        big = tmp_path / "big"
        with big.open("wb") as file:
            file.truncate(500 * 2**20)
        target = sshd.root / "device" / "file"
        with reach(silence_s=2.0) as transport:
            freezer = threading.Thread(target=lambda: (wait_until(lambda: writing(target.parent)), sshd.freeze()))
            freezer.start()
            with pytest.raises(DeviceOffline, match="bench"):
                transport.push(big, str(target))
            freezer.join()
            sshd.thaw()
        assert not target.exists()

    def test_failures_print_nothing(
        self, sshd: Sshd, reach: Callable[..., SshTransport], capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert logging.getLogger("paramiko").handlers, "without one, Python prints paramiko's stack traces"
        with answering(b"garbage\r\n") as port, contextlib.suppress(DeviceOffline):
            reach(f"ssh://127.0.0.1:{port}", connect_s=5.0).open()
        assert capfd.readouterr() == ("", "")


class TestOtherServers:
    def test_dropbear_is_spoken_to_like_openssh(self, sshd: Sshd, tmp_path: Path) -> None:
        """What cameras run: no SFTP, and its own idea of sessions."""
        with dropbear(sshd, tmp_path) as port:
            transport = SshTransport(f"ssh://127.0.0.1:{port}", name="bench", ssh_directory=sshd.ssh_directory)
            with transport:
                assert transport.run(["sh", "-c", "cat; exit 3"], stdin=b"x" * 100_000).exit_code == 3
                with transport.start(["sh", "-c", "sleep 300 & echo $! $$; sleep 300"]) as process:
                    pids = process.read_line(timeout_s=30).split()
                wait_until(lambda: not any(alive(int(pid)) for pid in pids))
                transport.push(Path(sys.executable), f"{tmp_path}/device/python")
                transport.pull(f"{tmp_path}/device/python", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == Path(sys.executable).read_bytes()


@contextlib.contextmanager
def answering(greeting: bytes) -> Iterator[int]:
    """A server that says this to everybody, then hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _address = listener.accept()
                    with connection:
                        connection.sendall(greeting)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextlib.contextmanager
def dropbear(sshd: Sshd, folder: Path) -> Iterator[int]:
    """A dropbear that trusts the same client; its host key is made known to it."""
    home = folder / "dropbear-home"
    (home / ".ssh").mkdir(parents=True)
    shutil.copy(sshd.root / "authorized_keys", home / ".ssh" / "authorized_keys")
    host_key = folder / "dropbear_key"
    made = subprocess.check_output(["dropbearkey", "-t", "ed25519", "-f", str(host_key)], stderr=subprocess.DEVNULL)
    public = next(line for line in made.decode().splitlines() if line.startswith("ssh-ed25519"))
    # It looks for keys in the home folder of the password file alone: give it another one.
    (folder / "passwd").write_text(f"{sshd.user}:x:{os.getuid()}:{os.getgid()}::{home}:/bin/sh\n")
    (folder / "group").write_text(f"{sshd.user}:x:{os.getgid()}:\n")
    environment = {**os.environ, "LD_PRELOAD": "libnss_wrapper.so"}
    environment |= {"NSS_WRAPPER_PASSWD": str(folder / "passwd"), "NSS_WRAPPER_GROUP": str(folder / "group")}
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = ["dropbear", "-F", "-E", "-r", str(host_key), "-p", f"127.0.0.1:{port}", "-P", str(folder / "pid")]
    server = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        sshd.known_hosts.write_text(f"[127.0.0.1]:{port} {' '.join(public.split()[:2])}\n")
        wait_until(lambda: listens(port))
        yield port
    finally:
        server.kill()
        server.wait()


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def writing(folder: Path) -> bool:
    """Whether a file there has begun to grow."""
    with contextlib.suppress(FileNotFoundError):
        return any(path.stat().st_size > 2**20 for path in folder.iterdir())
    return False


def wait_until(condition: Callable[[], bool], patience_s: float = 30.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
