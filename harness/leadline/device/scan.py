"""What could be enrolled: this machine, what hangs on adb servers, the hosts of ~/.ssh/config."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import paramiko

from leadline.core.errors import BadInput, LeadlineError
from leadline.core.text import printable
from leadline.device.lab import Lab
from leadline.rpc.adb_server import AdbServer, attached_devices
from leadline.rpc.connect import connect

_ADB_HELP = {
    "unauthorized": "unlock the device and accept this computer's key",
    "authorizing": "unlock the device and accept this computer's key",
    "offline": "unplug it and plug it in again",
}


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that could be a device."""

    uri: str
    state: str  # "ready" · "not asked" · an adb state · why it cannot be reached
    note: str | None = None  # model, or what to do
    enrolled_as: str | None = None

    @property
    def add_command(self) -> str:
        return shlex.join(["leadline", "device", "add", self.uri])


def scan(lab: Lab, *, ssh_config: Path, contact_ssh: bool = False) -> tuple[list[Found], list[str]]:
    """Everything found, and a sentence for each place that could not be asked.

    Args: contact_ssh: also log in to the hosts of `ssh_config`; else only their names are listed.
    """
    found = [Found(uri="local:", state="ready", note="this machine")]
    problems: list[str] = []
    hosts: list[str] = []
    try:
        found += scan_adb(AdbServer.default())
    except LeadlineError as error:
        problems.append(str(error))
    try:
        hosts = ssh_hosts(ssh_config)
    except BadInput as error:
        problems.append(str(error))
    found += _contact(hosts) if contact_ssh else [Found(uri=f"ssh://{host}", state="not asked") for host in hosts]
    return [_named(lab, item) for item in found], problems


def scan_adb(server: AdbServer) -> list[Found]:
    """Raises: DeviceOffline if the server does not answer."""
    prefix = "adb:" if server == AdbServer.default() else f"adb://{server.host}:{server.port}/"
    return [
        Found(
            uri=prefix + device.serial,
            state="ready" if device.state == "device" else printable(device.state),
            note=_ADB_HELP.get(device.state) or (printable(device.model) if device.model else None),
        )
        for device in attached_devices(server.host, server.port)
    ]


def ssh_hosts(config: Path) -> list[str]:
    """The names of the Host lines, without patterns. A missing file has none. Raises: BadInput."""
    try:
        names = paramiko.SSHConfig.from_path(str(config)).get_hostnames()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, paramiko.SSHException, ValueError) as error:
        raise BadInput(f"{config}: cannot be read: {error}") from None
    return sorted(name for name in names if not set(name) & set("*?!"))


def _contact(hosts: Sequence[str]) -> list[Found]:
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(_try_ssh, hosts))


def _try_ssh(host: str) -> Found:
    uri = f"ssh://{host}"
    try:
        with connect(uri, name=host):
            return Found(uri=uri, state="ready")
    except LeadlineError as error:
        return Found(uri=uri, state=error.kind, note=str(error))


def _named(lab: Lab, item: Found) -> Found:
    name = next((entry.name for entry in lab.devices if entry.uri == item.uri), None)
    return msgspec.structs.replace(item, enrolled_as=name)
