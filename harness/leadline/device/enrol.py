"""Enrolling a device: reach it, probe it, write it into lab.toml."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from leadline.core.errors import BadInput
from leadline.device.identity import serial_in_uri
from leadline.device.lab import Lab, check_name
from leadline.device.link import open_unchecked
from leadline.device.probe import probe
from leadline.records.device import DeviceEntry, Profile


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    entry: DeviceEntry
    profile: Profile
    change: Literal["added", "updated", "unchanged"]
    before: DeviceEntry | None = None  # what lab.toml said of this unit


def enrol(
    lab: Lab,
    uri: str,
    *,
    name: str | None = None,
    tags: Sequence[str] = (),
    directory: str | None = None,
    host_cache: Path,
    progress: Callable[[str], None] = lambda _: None,
) -> Enrolment:
    """Probe what answers at `uri` and enter it into the lab. A unit that is there already, known by its serial, keeps
    its entry, and takes the new URI and what else is given.

    Args: name: None: made from the model; tags, directory: empty, None: as before, or the defaults.
    Raises: BadInput if the name is taken by another unit; else as `open_link` and `probe`.
    """
    if name is not None:
        check_name(name)
    if directory is not None and not directory.startswith("/"):
        raise BadInput(f"--directory {directory!r}: must be an absolute path on the device")
    probing = DeviceEntry(name=name or uri, uri=uri, serial="", directory=directory)
    with open_unchecked(probing, host_cache=host_cache, progress=progress) as link:
        profile = probe(link.transport, link.agent, uri_serial=serial_in_uri(uri))
    before = lab.by_serial(profile.serial)
    if before is None:
        entry = DeviceEntry(
            name=name or suggest_name(profile, [other.name for other in lab.devices]),
            uri=uri,
            serial=profile.serial,
            tags=tuple(dict.fromkeys(tags)),
            directory=directory,
        )
        lab.add(entry)
        return Enrolment(entry=entry, profile=profile, change="added")
    if name is not None and name != before.name:
        raise BadInput(
            f"{uri}: this unit is enrolled as {before.name!r} (serial {before.serial}); "
            f"to give it another name, first: leadline device remove -- {shlex.quote(before.name)}"
        )
    entry = msgspec.structs.replace(
        before,
        uri=uri,
        tags=tuple(dict.fromkeys((*before.tags, *tags))),
        directory=directory or before.directory,
    )
    if entry != before:
        lab.update(entry)
    return Enrolment(entry=entry, profile=profile, change="unchanged" if entry == before else "updated", before=before)


def suggest_name(profile: Profile, taken: Collection[str]) -> str:
    """A short unused name out of the model, else the SoC, else the ABI: ``raspberry-pi-4``, ``pixel-6-2``."""
    words = re.sub(r"(?i)\b(rev|revision|model b|google|inc|corporation)\b\.?( [\d.]+)?", " ", profile.model or "")
    slug = _slug(words) or _slug(profile.soc or "") or profile.abi
    numbered = (slug if n == 1 else f"{slug}-{n}" for n in range(1, len(taken) + 2))
    return next(name for name in numbered if name not in taken)


def _slug(text: str) -> str:
    words = re.findall(r"[a-z0-9]+", text.lower())
    return "-".join(words)[:24].strip("-")
