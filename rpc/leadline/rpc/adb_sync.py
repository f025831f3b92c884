"""Files over adb's ``sync:`` service.

Source: AOSP packages/modules/adb/SYNC.TXT. adbutils' own push sends 4 KiB pieces, drops the device's reason for a
failure and can wait for ever; here pieces are the largest that the protocol allows, and every wait has an end.
"""

from __future__ import annotations

import select
import socket
import stat
import struct
from collections.abc import Callable
from io import FileIO
from pathlib import Path

from leadline.core.errors import GarbledOutput
from leadline.core.text import printable

MAX_PATH_BYTES = 1024
_CHUNK_BYTES = 2**16
_CHUNKS_AT_ONCE = 16
_MAX_IN_FLIGHT_BYTES = 16 * 2**20  # what host, server and link may still hold when everything is sent
_SLOWEST_LINK_BYTES_PER_S = 1e5
_PACKET = struct.Struct("<4sI")


class LinkLost(Exception):
    """The stream ended or fell silent before its time."""


class RefusedByDevice(Exception):
    """The device answered FAIL; the text is its reason."""


def send_file(connection: socket.socket, local: Path, remote: str, *, permissions: int) -> None:
    """Write `local` at `remote`; missing folders are made by the device. The connection's time-out bounds every step.

    Raises: RefusedByDevice, LinkLost, GarbledOutput; OSError if `local` cannot be read.
    """
    target = f"{remote},{stat.S_IFREG | permissions}".encode("utf-8", "surrogateescape")
    with local.open("rb", buffering=0) as file:
        _send_all(connection, memoryview(_PACKET.pack(b"SEND", len(target)) + target))
        frames = memoryview(bytearray(_CHUNKS_AT_ONCE * (_PACKET.size + _CHUNK_BYTES)))
        try:
            while filled := _fill(file, frames):
                _send_all(connection, frames[:filled])
                if _readable(connection):  # nothing is due before DONE but a refusal
                    break
            else:
                mtime_s = int(local.stat().st_mtime) & 0xFFFFFFFF
                _send_all(connection, memoryview(_PACKET.pack(b"DONE", mtime_s)))
        except LinkLost:  # perhaps after a refusal
            if not _readable(connection):
                raise
        in_flight = min(file.tell(), _MAX_IN_FLIGHT_BYTES)
    connection.settimeout((connection.gettimeout() or 0.0) + in_flight / _SLOWEST_LINK_BYTES_PER_S)
    _receive_status(connection)


def receive_file(connection: socket.socket, remote: str, take: Callable[[memoryview], None]) -> None:
    """Give the content of `remote` to `take`, piece by piece; a piece is valid only during the call.

    Raises: RefusedByDevice, LinkLost, GarbledOutput, and what `take` raises.
    """
    target = remote.encode("utf-8", "surrogateescape")
    _send_all(connection, memoryview(_PACKET.pack(b"RECV", len(target)) + target))
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    while True:
        kind, length = _receive_packet(connection)
        if kind == b"DONE":
            return
        if kind == b"FAIL":
            raise RefusedByDevice(_receive_text(connection, length))
        if kind != b"DATA" or length > _CHUNK_BYTES:
            raise GarbledOutput(
                f"answered {printable(kind)!r} {length} in place of a file's data; is its adbd damaged?"
            )
        _receive_into(connection, buffer[:length])
        take(buffer[:length])


def _fill(file: FileIO, frames: memoryview) -> int:
    """Fill `frames` with DATA packets from the file; the number of bytes to send, 0 at its end."""
    filled = 0
    for _ in range(_CHUNKS_AT_ONCE):
        start = filled + _PACKET.size
        count = file.readinto(frames[start : start + _CHUNK_BYTES])
        if not count:
            break
        _PACKET.pack_into(frames, filled, b"DATA", count)
        filled = start + count
    return filled


def _receive_status(connection: socket.socket) -> None:
    kind, length = _receive_packet(connection)
    if kind == b"FAIL":
        raise RefusedByDevice(_receive_text(connection, length))
    if kind != b"OKAY":
        raise GarbledOutput(f"answered {printable(kind)!r} after a file; is its adbd damaged?")


def _receive_packet(connection: socket.socket) -> tuple[bytes, int]:
    header = bytearray(_PACKET.size)
    _receive_into(connection, memoryview(header))
    kind, length = _PACKET.unpack(header)
    return kind, length


def _receive_text(connection: socket.socket, length: int) -> str:
    text = bytearray(min(length, _CHUNK_BYTES))
    _receive_into(connection, memoryview(text))
    return text.decode("utf-8", "replace")


def _receive_into(connection: socket.socket, buffer: memoryview) -> None:
    while buffer:
        try:
            count = connection.recv_into(buffer)
        except TimeoutError as error:
            raise LinkLost(f"silent for {connection.gettimeout():g} s") from error
        except OSError as error:
            raise LinkLost("the link was cut") from error
        if not count:
            raise LinkLost("the link was cut")
        buffer = buffer[count:]


def _send_all(connection: socket.socket, data: memoryview) -> None:
    """As `socket.sendall`, but the time-out bounds each step, not the whole: slow links may take their time."""
    while data:
        try:
            data = data[connection.send(data) :]
        except TimeoutError as error:
            raise LinkLost(f"took nothing for {connection.gettimeout():g} s") from error
        except OSError as error:
            raise LinkLost("the link was cut") from error


def _readable(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
