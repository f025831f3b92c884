"""``leadline doctor``: what is missing on this machine, and the command that mends it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.text import Text

from leadline.cli.app import App
from leadline.core.errors import LeadlineError
from leadline.core.text import printable
from leadline.device import health
from leadline.device.health import Check
from leadline.records.device import DeviceEntry
from leadline.rpc.adb_server import AdbServer

_SIGNS = {"ok": ("ok     ", "green"), "advice": ("advice ", "yellow"), "missing": ("missing", "red")}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.option(
    "--devices/--no-devices", "with_devices", default=True, help="Log in to the enrolled devices. [default: yes]"
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    help="Seconds for each device.",
)
@click.pass_obj
def doctor(app: App, as_json: bool, with_devices: bool, timeout_s: float) -> None:
    """Say what is missing on this machine, and the command that mends it.

    Ends with exit code 1 if something that is needed is missing; advice does not count.
    """
    checks = []
    for check in _checks(app, with_devices, timeout_s):
        checks.append(check)
        if not as_json:
            _print(check)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(checks), indent=2))
    if any(check.state == "missing" for check in checks):
        sys.exit(1)


def _checks(app: App, with_devices: bool, timeout_s: float) -> Iterator[Check]:
    yield health.check_python()
    yield health.check_disk(app.home.root)
    yield health.check_compiler()
    yield health.check_agents(app.home.cache)
    yield health.check_runtime()
    entries: tuple[DeviceEntry, ...] = ()
    try:
        entries = app.lab().devices
        text = f"{len(entries)} devices in {app.home.lab_file}"
        yield Check(name="lab", state="ok", text=text, mend=None if entries else "leadline device scan")
    except LeadlineError as error:
        yield Check(name="lab", state="missing", text=str(error), mend=f"edit {app.home.lab_file}")
    yield _store(app)
    try:
        uses_adb = any(entry.uri.startswith("adb:") for entry in entries)
        yield from health.check_adb(AdbServer.default(), needed=uses_adb)
    except LeadlineError as error:
        yield Check(name="adb", state="missing", text=str(error))
    yield health.check_ssh(Path("~/.ssh").expanduser(), needed=any(entry.uri.startswith("ssh:") for entry in entries))
    yield from health.check_usb()
    yield from health.check_cpu()
    if with_devices:
        yield from health.check_devices(entries, timeout_s=timeout_s)


def _store(app: App) -> Check:
    try:
        with app.store():
            return Check(name="store", state="ok", text=printable(app.store_url.rpartition("@")[2]))
    except (LeadlineError, OSError) as error:
        return Check(name="store", state="missing", text=str(error))


def _print(check: Check) -> None:
    sign, colour = _SIGNS[check.state]
    console = Console(soft_wrap=True)
    console.print(Text.assemble((sign, colour), f" {check.name}: {printable(check.text, 1000)}"), highlight=False)
    if check.mend:
        console.print(Text.assemble(" " * len(sign), f"   → {printable(check.mend, 1000)}"), highlight=False)
