"""The devices that benchmarks run on: this machine, directly and over loopback SSH and ADB."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import msgspec

from tests.support.adb import PrivateAdbServer, running_adb_server
from tests.support.sshd import Sshd


class Loopback(msgspec.Struct, frozen=True):
    """This machine behind real servers on loopback ports."""

    folder: Path
    sshd: Sshd
    adb_server: PrivateAdbServer
    adb_serial: str

    @property
    def adb_uri(self) -> str:
        return f"adb://127.0.0.1:{self.adb_server.port}/{self.adb_serial}"


@contextmanager
def loopback() -> Iterator[Loopback]:
    """An OpenSSH server, and Google's adb server with our ADB daemon in a process of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leadline-bench-")))
        sshd = Sshd(folder / "sshd")
        sshd.root.mkdir()
        sshd.start()
        stack.callback(sshd.stop)
        stack.enter_context(patch.dict(os.environ, sshd.environment))  # ~/.ssh knows the server's key and has ours
        server = stack.enter_context(running_adb_server(folder))
        phone = folder / "phone"
        phone.mkdir()
        command = [sys.executable, "-m", "leadline.emulator.adbd", "--serial", "BENCH", "--directory", str(phone)]
        daemon = subprocess.Popen([*command, "--control"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        stack.callback(daemon.wait)
        assert daemon.stdin is not None
        assert daemon.stdout is not None
        stack.callback(daemon.stdin.close)  # the daemon ends with its control line
        serial = re.findall(r"127\.0\.0\.1:\d+", daemon.stdout.readline())[0]
        server.adb("connect", serial)
        server.wait_for(serial, "device")
        yield Loopback(folder, sshd, server, serial)
