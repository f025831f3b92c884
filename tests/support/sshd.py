"""A real OpenSSH server on a loopback port, as fixtures.

`sshd` serves the current user with a key of its own; `sshd.ssh_directory` is what `SshTransport` takes, and
`sshd.environment` is what a command line gets so that ``~/.ssh`` is that folder.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

_SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin") or "/usr/sbin/sshd"


class Sshd:
    """One server with its own host key and one client identity that it trusts.

    Args: root: an empty folder: server files, the client's home, the device's cache.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        self.ssh_directory = self.home / ".ssh"
        self.user = getpass.getuser()
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"ssh://{self.user}@127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """For a command line that shall find this server's key and the client's identity below ``~/.ssh``."""
        return {**os.environ, "HOME": str(self.home), "SSH_AUTH_SOCK": ""}

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start on a free port, or on the same one again; return once it listens."""
        if not self.ssh_directory.exists():
            self._make_identity()
        for _ in range(20):
            # Below the kernel's ephemeral range, where nobody's outgoing connection lands between two starts.
            self.port = self.port or random.randrange(20_000, 32_000)
            if self._listens():
                self.trust()
                return
            self.port = 0
        raise RuntimeError(f"no sshd: {self.log()}")

    def stop(self) -> None:
        """End the server and every session, as if the device were switched off."""
        if self._process is None:
            return
        self._signal([*self.sessions(), self.pid], signal.SIGKILL)
        self._process.wait()
        self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def new_host_key(self) -> None:
        """Answer with another host key from now on, which the client does not know."""
        known = self.known_hosts.read_text()
        self.stop()
        self._make_host_key()
        self.start()
        self.known_hosts.write_text(known)

    def kill_sessions(self) -> None:
        """Cut every connection; what they started goes on. The server accepts new ones."""
        self._signal(self.sessions(), signal.SIGKILL)

    def freeze(self) -> None:
        """Keep every connection open, accept new ones, and answer nothing."""
        self._signal([self.pid, *self.sessions()], signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal([*self.sessions(), self.pid], signal.SIGCONT)

    def sessions(self) -> list[int]:
        """pids of the server's processes that serve connections; not the commands they run."""
        found, parents = [], {self.pid}
        for pid, parent, command in sorted(_processes()):
            if parent in parents and command.startswith("sshd"):
                parents.add(pid)
                found.append(pid)
        return found

    # -- keys --

    @property
    def known_hosts(self) -> Path:
        return self.ssh_directory / "known_hosts"

    @property
    def host_fingerprint(self) -> str:
        """As ``ssh-keygen -lf`` prints it: ``SHA256:…``."""
        listing = subprocess.check_output(["ssh-keygen", "-lf", str(self.root / "host_key.pub")], text=True)
        return listing.split()[1]

    def trust(self) -> None:
        """Let the client know the host key."""
        key = " ".join((self.root / "host_key.pub").read_text().split()[:2])
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {key}\n")

    def log(self) -> str:
        return (self.root / "sshd.log").read_text(errors="replace")

    def _make_identity(self) -> None:
        self.ssh_directory.mkdir(parents=True, mode=0o700)
        (self.root / "device-home").mkdir()
        _make_key(self.ssh_directory / "id_ed25519")
        shutil.copy(self.ssh_directory / "id_ed25519.pub", self.root / "authorized_keys")
        self._make_host_key()

    def _make_host_key(self) -> None:
        for path in (self.root / "host_key", self.root / "host_key.pub"):
            path.unlink(missing_ok=True)
        _make_key(self.root / "host_key")

    # -- the process --

    def _listens(self) -> bool:
        config = self.root / "sshd_config"
        # The device's home is not the developer's: no files are left there, and no ~/.bashrc slows every command down.
        config.write_text(
            f"""
            ListenAddress 127.0.0.1:{self.port}
            HostKey "{self.root}/host_key"
            AuthorizedKeysFile "{self.root}/authorized_keys"
            PidFile none
            StrictModes no
            UsePAM no
            PasswordAuthentication no
            KbdInteractiveAuthentication no
            PermitRootLogin prohibit-password
            Subsystem sftp internal-sftp
            SetEnv HOME="{self.root}/device-home"
            """
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd as root refuses to start without it
        with (self.root / "sshd.log").open("wb") as log:
            command = [_SSHD, "-D", "-e", "-f", str(config)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)
        while self._process.poll() is None:
            if "Server listening" in self.log():
                return True
            time.sleep(0.005)
        self._process = None
        return False

    @staticmethod
    def _signal(pids: Sequence[int], number: signal.Signals) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _make_key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], check=True)


def _processes() -> Iterator[tuple[int, int, str]]:
    """pid, parent and command name of every process."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                head, _, rest = (entry / "stat").read_text().rpartition(")")
                yield int(entry.name), int(rest.split()[1]), head.partition("(")[2]


@pytest.fixture
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A server of one test's own, that it may stop, freeze and give another key."""
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    server.start()
    yield server
    server.stop()
