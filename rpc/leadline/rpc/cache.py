"""A content-addressed cache on the device: what was pushed once stays, within a budget of bytes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from leadline.core.errors import BadInput, TransferCorrupt
from leadline.core.text import printable
from leadline.rpc.refusals import refusal
from leadline.rpc.transport import Transport

_SHA256 = re.compile(r"[0-9a-f]{64}")
_LIST_S = 60.0

# Arguments: folder, hash, size in bytes, "x" or "-". A file of the right size is there: mark it as used now. Else print
# the others, "<last use> <bytes> <hash>" a line; what an interrupted push left is removed after a day.
_FIND = """
cd "$1" 2>/dev/null || exit 1
if [ -f "$2" ] && [ "$(stat -c %s "$2")" = "$3" ]; then
    touch "$2" || exit 74
    if [ "$4" = x ] && [ ! -x "$2" ]; then chmod 755 "$2" || exit 74; fi
    exit 0
fi
find . -name ".leadline-*.part" -mtime +0 -exec rm -f {} \\; 2>/dev/null
for f in *; do [ -f "$f" ] && stat -c "%Y %s %n" "$f"; done
exit 1
"""
_FOUND, _ABSENT = 0, 1


class DeviceCache:
    """Files on one device, named by their SHA-256; the least recently used ones go first.

    Several hosts may share one cache: a file comes under a temporary name, is verified by its hash on the device and
    appears whole or not at all. Files that this object has handed out are never removed by it; make a new one after a
    reconnect, since a device may have lost its files meanwhile.

    Args:
        directory: the device's work folder; files lie in ``<directory>/cache``.
        budget_bytes: what the cache may hold; what one session uses may exceed it.
    """

    def __init__(self, transport: Transport, directory: str, *, budget_bytes: int) -> None:
        self._transport = transport
        self._folder = f"{directory.rstrip('/')}/cache"
        self._budget_bytes = budget_bytes
        self._in_use: set[tuple[str, bool]] = set()

    def ensure(self, local: Path, sha256: str, *, executable: bool = False) -> str:
        """Make sure that the device has `local`, whose hash is `sha256`: one round trip if so, none if asked before.

        Returns: its path on the device.
        Raises: as `Transport.push`; BadInput if `sha256` is no hash; TransferCorrupt if it is not that of the file.
        """
        if not _SHA256.fullmatch(sha256):
            raise BadInput(f"{printable(sha256)}: no SHA-256; expected 64 hexadecimal digits")
        remote = f"{self._folder}/{sha256}"
        if (sha256, executable) in self._in_use:
            return remote
        size = local.stat().st_size
        arguments = [self._folder, sha256, str(size), "x" if executable else "-"]
        done = self._transport.run(["sh", "-c", _FIND, "sh", *arguments], timeout_s=_LIST_S)
        if done.exit_code == _ABSENT:
            with local.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                    raise TransferCorrupt(f"{printable(str(local))}: has changed since its hash was taken; start again")
            self._make_room(_parse(done.stdout), size)
            self._transport.push(local, remote, executable=executable)
        elif done.exit_code != _FOUND:
            raise refusal(self._transport.uri, f"cannot use {printable(remote)}", done.stderr, directory=self._folder)
        self._in_use.add((sha256, executable))
        return remote

    def _make_room(self, entries: Iterable[_Entry], size_bytes: int) -> None:
        kept = {sha256 for sha256, _executable in self._in_use}
        by_use = sorted(entries, key=lambda entry: entry.used_at_s)
        excess = sum(entry.size_bytes for entry in by_use) + size_bytes - self._budget_bytes
        victims = []
        for entry in by_use:
            if excess <= 0:
                break
            if entry.name not in kept:
                victims.append(f"{self._folder}/{entry.name}")
                excess -= entry.size_bytes
        if victims:
            self._transport.run(["rm", "-f", *victims], timeout_s=_LIST_S)


class _Entry(msgspec.Struct, frozen=True):
    used_at_s: int  # the device's clock, seconds since 1970
    size_bytes: int
    name: str


def _parse(listing: bytes) -> list[_Entry]:
    """Lines ``<seconds> <bytes> <hash>``; files that are not ours are left alone."""
    found = re.findall(rb"^(\d+) (\d+) ([0-9a-f]{64})$", listing, re.MULTILINE)
    return [_Entry(int(used_at), int(size), name.decode()) for used_at, size, name in found]
