"""How fast do files reach a device, beside what comes with the transport?

    python -m benchmarks push

50 MB of noise to this machine over loopback. Ours are whole pushes: a temporary name, the bytes, their SHA-256 computed
on the device and compared, the rename. `scp` and `adb push` only copy. All cases in turn within a round.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.devices import Loopback, loopback
from benchmarks.tables import print_table
from leadline.rpc.adb import AdbTransport
from leadline.rpc.ssh import SshTransport
from leadline.rpc.transport import Transport

SIZE_BYTES = 50_000_000
ROUNDS = 7


def main() -> None:
    with loopback() as servers:
        noise = servers.folder / "noise"
        noise.write_bytes(os.urandom(SIZE_BYTES))
        with (
            SshTransport(servers.sshd.uri, name="ssh", ssh_directory=servers.sshd.ssh_directory) as ssh,
            AdbTransport(servers.adb_uri, name="adb") as adb,
        ):
            cases = {
                "Leadline over SSH": _pusher(ssh, noise, servers.folder / "by-ssh"),
                "scp": _scp(servers, noise),
                "Leadline over ADB": _pusher(adb, noise, servers.folder / "by-adb"),
                "adb push": _adb_push(servers, noise),
            }
            times_s: dict[str, list[float]] = {name: [] for name in cases}
            for round_number in range(ROUNDS + 1):  # the first warms up
                for name, push in cases.items():
                    start_s = time.monotonic()
                    push()
                    if round_number:
                        times_s[name].append(time.monotonic() - start_s)
    medians_s = {name: statistics.median(times) for name, times in times_s.items()}
    beside = {"Leadline over SSH": "scp", "Leadline over ADB": "adb push"}
    rows = [
        [
            name,
            f"{median_s:.2f} s",
            f"{SIZE_BYTES / 1e6 / median_s:.0f} MB/s",
            f"{medians_s[beside[name]] / median_s:.2f} × {beside[name]}" if name in beside else "",
        ]
        for name, median_s in medians_s.items()
    ]
    print_table(
        f"(d) Pushing 50 MB, median of {ROUNDS}; ours with the SHA-256 on the device",
        ["", "time", "throughput", "throughput beside"],
        rows,
    )


def _pusher(transport: Transport, file: Path, remote: Path) -> Callable[[], None]:
    return lambda: transport.push(file, str(remote))


def _scp(servers: Loopback, file: Path) -> Callable[[], None]:
    sshd = servers.sshd
    options = ["-q", "-P", str(sshd.port), "-i", str(sshd.ssh_directory / "id_ed25519")]
    options += ["-o", f"UserKnownHostsFile={sshd.known_hosts}", "-o", "IdentitiesOnly=yes"]
    command = ["scp", *options, str(file), f"{sshd.user}@127.0.0.1:{servers.folder}/by-scp"]
    return lambda: _run(command)


def _adb_push(servers: Loopback, file: Path) -> Callable[[], None]:
    def push() -> None:
        done = servers.adb_server.adb("-s", servers.adb_serial, "push", str(file), str(servers.folder / "by-adb-push"))
        done.check_returncode()

    return push


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
