"""A link: one device, connected, with our agent running on it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from leadline.core.errors import StableError
from leadline.core.text import printable
from leadline.device.identity import SERIAL_PATHS, find_serial, is_address, serial_in_uri
from leadline.device.probe import ask, left_serial, parse_getprop
from leadline.records.device import DeviceEntry
from leadline.rpc.abi import detect_abi
from leadline.rpc.agent import Agent
from leadline.rpc.build import build
from leadline.rpc.cache import DeviceCache
from leadline.rpc.connect import connect
from leadline.rpc.transport import Transport


class Link(msgspec.Struct, frozen=True):
    entry: DeviceEntry
    transport: Transport
    cache: DeviceCache
    agent: Agent


@contextmanager
def open_link(
    entry: DeviceEntry, *, host_cache: Path, progress: Callable[[str], None] = lambda _: None
) -> Iterator[Link]:
    """Connect to an enrolled device, bring our agent there if it is missing, start it; all undone on leaving.

    Args: host_cache: where built agents are kept (`Home.cache`); progress: told what takes long.
    Raises: StableError if another unit answers there; DeviceOffline, Unauthorized, HostKeyRefused, WrongAbi,
        DeviceFull, TransferCorrupt, AgentMismatch …
    """
    with open_unchecked(entry, host_cache=host_cache, progress=progress) as link:
        check_identity(entry, answering_serial(link))
        yield link


@contextmanager
def open_unchecked(
    entry: DeviceEntry, *, host_cache: Path, progress: Callable[[str], None] = lambda _: None
) -> Iterator[Link]:
    """As `open_link`, whoever answers: for enrolment, when there is no serial yet to compare with."""
    with connect(entry.uri, name=entry.name) as transport:
        binary = build("agent", detect_abi(transport), cache=host_cache, progress=progress)
        directory = entry.directory or transport.default_directory
        cache = DeviceCache(transport, directory, budget_bytes=entry.cache_bytes)
        sha256 = hashlib.sha256(binary.read_bytes()).hexdigest()
        remote = cache.ensure(binary, sha256, executable=True)
        with Agent(transport, remote, name=entry.name) as agent:
            yield Link(entry, transport, cache, agent)


def answering_serial(link: Link) -> str:
    """The serial of the unit at the other end, as `probe` would find it.

    No round trip if adb has picked the unit by its serial, one otherwise; one more if adb reaches it by an address, or
    if it tells no serial of its own.
    """
    named = serial_in_uri(link.entry.uri)
    if named is not None and not is_address(named):
        return named
    files = link.agent.read(SERIAL_PATHS)
    props = parse_getprop(ask(link.transport).getprop) if named is not None else {}
    return find_serial(files, props=props, uri_serial=named) or left_serial(link.transport)


def check_identity(entry: DeviceEntry, found: str) -> None:
    """Raises: StableError if `found` is not the enrolled serial: measurements must not mix two units."""
    if found != entry.serial:
        raise StableError(
            f"{entry.name}: another device answers at {entry.uri}: serial {printable(found)}, enrolled is "
            f"{printable(entry.serial)}; if that is meant: leadline device add {entry.uri}"
        )
