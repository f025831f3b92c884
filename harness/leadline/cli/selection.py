"""Options that commands share for saying which measurements are meant: ``--device`` and ``--since``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import click

from leadline.cli.app import App
from leadline.core.text import printable
from leadline.store.store import Store

_AGO = re.compile(r"(\d{1,6})\s*([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Moment(click.ParamType[datetime]):
    """An ISO date or time (local unless it says otherwise), or how long ago: 30m, 12h, 7d, 2w."""

    name = "when"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        try:
            if ago := _AGO.fullmatch(text):
                return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            return datetime.fromisoformat(text).astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{printable(text)!r} is no time; write it like 2026-03-01, 2026-03-01T18:30 or 7d", param, ctx)


DEVICE_OPTION = click.option(
    "--device", "devices", multiple=True, help="Only of this device (name or serial); may be repeated."
)
SINCE_OPTION = click.option("--since", type=Moment(), help="Only trials last tried since then: 2026-03-01, 12h, 7d …")


def serials_of(app: App, store: Store, devices: Sequence[str]) -> list[str] | None:
    """The serials of the devices meant, by their name in the lab or by the serial of a stored profile; None: all.

    Raises: BadInput that lists the devices there are.
    """
    if not devices:
        return None
    lab = app.lab()
    named = {entry.name: entry.serial for entry in lab.devices}
    stored = {profile.serial for profile in store.profiles()} - set(named)
    return [name if name in stored else lab.device(name).serial for name in devices]


def device_names(app: App) -> dict[str, str]:
    """Serial → name, for the devices of the lab."""
    return {entry.serial: entry.name for entry in app.lab().devices}
