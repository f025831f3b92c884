"""ADB packets: a header of six little-endian words, then the payload.

Source: AOSP packages/modules/adb/protocol.txt, "protocol overview and basics".
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

CNXN = int.from_bytes(b"CNXN", "little")
AUTH = int.from_bytes(b"AUTH", "little")
OPEN = int.from_bytes(b"OPEN", "little")
OKAY = int.from_bytes(b"OKAY", "little")
WRTE = int.from_bytes(b"WRTE", "little")
CLSE = int.from_bytes(b"CLSE", "little")
HANDSHAKE = (CNXN, AUTH)  # carry checksums whatever the versions
COMMANDS = frozenset((CNXN, AUTH, OPEN, OKAY, WRTE, CLSE))

Bytes = bytes | bytearray | memoryview

VERSION_WITH_CHECKSUMS = 0x01000000
VERSION = 0x01000001  # from this version on, payloads carry no checksum once both sides have said CNXN
MAX_PAYLOAD_BYTES = 2**20

HEADER = struct.Struct("<6I")


class ProtocolError(Exception):
    """The other side sent what the protocol does not allow; the connection is dropped."""


class Packet(NamedTuple):
    command: int
    arg0: int
    arg1: int
    payload: memoryview


def checksum(payload: Bytes) -> int:
    """The sum of all bytes, modulo 2^32. (The documentation calls it a CRC; it is none.)"""
    return sum(memoryview(payload)) & 0xFFFFFFFF


def pack(command: int, arg0: int, arg1: int, payload: Bytes = b"", *, checked: bool) -> bytes:
    """The header that announces `payload`, which is to be sent right behind it."""
    check = checksum(payload) if checked or command in HANDSHAKE else 0
    return HEADER.pack(command, arg0, arg1, memoryview(payload).nbytes, check, command ^ 0xFFFFFFFF)


def receive_into(connection: socket.socket, buffer: memoryview) -> None:
    """Fill `buffer`. Raises: ConnectionError at the end of the stream."""
    while buffer:
        count = connection.recv_into(buffer)
        if not count:
            raise ConnectionResetError("the host closed the connection")
        buffer = buffer[count:]


def receive(connection: socket.socket, *, checked: bool) -> Packet:
    """Wait for the next packet; verify its checksum if `checked`, and always during the handshake.

    Raises: ProtocolError; ConnectionError at the end of the stream.
    """
    header = bytearray(HEADER.size)
    receive_into(connection, memoryview(header))
    command, arg0, arg1, length, check, magic = HEADER.unpack(header)
    if magic != command ^ 0xFFFFFFFF or command not in COMMANDS:
        raise ProtocolError(f"no ADB packet: {bytes(header)!r}")
    if length > MAX_PAYLOAD_BYTES:
        raise ProtocolError(f"payload of {length} bytes; the protocol allows {MAX_PAYLOAD_BYTES}")
    payload = memoryview(bytearray(length))
    receive_into(connection, payload)
    if (checked or command in HANDSHAKE) and check != checksum(payload):
        raise ProtocolError(f"checksum is {check:#x}, payload sums to {checksum(payload):#x}")
    return Packet(command, arg0, arg1, payload)
