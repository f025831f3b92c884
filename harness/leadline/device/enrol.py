"""Enrolling a device: reach it, probe it, write it into lab.toml."""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

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
            name=name or suggest_name(profile, uri, [other.name for other in lab.devices]),
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


def suggest_name(profile: Profile, uri: str, taken: Collection[str]) -> str:
    """A short unused name: this machine's host name, else out of the model, the SSH host, the SoC or the ABI:
    ``raspberry-pi-4``, ``google-pixel-6-2``."""
    here = socket.gethostname().partition(".")[0] if uri == "local:" else ""
    model = re.sub(r"(?i)\b(rev(ision)?|model [a-z]|inc|corporation)\b\.?( [\d.]+)?", " ", profile.model or "")
    host = (urlsplit(uri).hostname or "") if uri.startswith("ssh:") else ""
    candidates = (_slug(text) for text in (here, model, host, profile.soc or "", profile.abi))
    slug = next((slug for slug in candidates if slug), "device")
    numbered = (slug if n == 1 else f"{slug}-{n}" for n in range(1, len(taken) + 2))
    return next(name for name in numbered if name not in taken)


def _slug(text: str) -> str:
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))[:24].strip("-")
