"""ADB packets as bytes. Expected bytes are spelled from AOSP's protocol.txt, not from our code."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from leadline.emulator.adbd import packet


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    host, device = socket.socketpair()
    with host, device:
        yield host, device


def test_a_header_is_six_little_endian_words_ending_in_the_inverted_command() -> None:
    header = packet.pack(packet.CNXN, 0x01000001, 4096, b"abc", checked=True)
    assert header == b"CNXN" + struct.pack("<4I", 0x01000001, 4096, 3, 97 + 98 + 99) + bytes(b ^ 0xFF for b in b"CNXN")


def test_a_checksum_is_left_out_when_both_sides_are_new_enough() -> None:
    header = packet.pack(packet.WRTE, 1, 2, b"abc", checked=False)
    assert struct.unpack("<6I", header)[4] == 0


def test_a_packet_may_arrive_in_pieces(ends: tuple[socket.socket, socket.socket]) -> None:
    host, device = ends
    whole = packet.pack(packet.OPEN, 7, 0, b"shell:\0", checked=True) + b"shell:\0"
    host.sendall(whole[:5])
    host.sendall(whole[5:30])
    host.sendall(whole[30:])
    received = packet.receive(device, checked=True)
    assert (received.command, received.arg0, received.arg1) == (packet.OPEN, 7, 0)
    assert bytes(received.payload) == b"shell:\0"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((packet.OPEN, 0, 0, 0, 0, packet.OPEN), "no ADB packet"),
        ((0x12345678, 0, 0, 0, 0, 0x12345678 ^ 0xFFFFFFFF), "no ADB packet"),
        ((packet.WRTE, 0, 0, 2**20 + 1, 0, packet.WRTE ^ 0xFFFFFFFF), "payload"),
        ((packet.WRTE, 0, 0, 0, 5, packet.WRTE ^ 0xFFFFFFFF), "checksum"),
    ],
)
def test_what_the_protocol_does_not_allow_is_refused(
    ends: tuple[socket.socket, socket.socket], words: tuple[int, ...], why: str
) -> None:
    host, device = ends
    host.sendall(struct.pack("<6I", *words))
    with pytest.raises(packet.ProtocolError, match=why):
        packet.receive(device, checked=True)


def test_a_connection_that_ends_inside_a_packet_is_told(ends: tuple[socket.socket, socket.socket]) -> None:
    host, device = ends
    host.sendall(packet.pack(packet.WRTE, 1, 2, b"abcdef", checked=False) + b"abc")
    host.close()
    with pytest.raises(ConnectionError):
        packet.receive(device, checked=False)
