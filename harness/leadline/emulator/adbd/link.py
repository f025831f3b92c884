"""One TCP connection to a host: handshake, then packets to and from streams.

Source: AOSP packages/modules/adb/protocol.txt.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import struct
import threading
from typing import TYPE_CHECKING

from . import keys
from .packet import (
    AUTH,
    CLSE,
    CNXN,
    MAX_PAYLOAD_BYTES,
    OKAY,
    OPEN,
    VERSION,
    VERSION_WITH_CHECKSUMS,
    WRTE,
    Bytes,
    Packet,
    ProtocolError,
    pack,
    receive,
)
from .services import serve
from .stream import Stream, StreamClosed

if TYPE_CHECKING:
    from .daemon import Daemon


class Link:
    """Serves one host until either side cuts the connection."""

    def __init__(self, daemon: Daemon, connection: socket.socket) -> None:
        self.daemon = daemon
        self.max_payload = 4096  # of the oldest hosts; the handshake tells
        self._connection = connection
        self._version = VERSION_WITH_CHECKSUMS
        self._token: bytes | None = None  # what the host is to sign; None: nothing asked
        self._offered_key: keys.PublicKey | None = None
        self._online = False
        self._streams: dict[int, Stream] = {}
        self._ids = itertools.count(1)
        self._sending = threading.Lock()
        self._streams_lock = threading.Lock()

    def run(self) -> None:
        """Serve until the connection ends."""
        try:
            while True:
                packet = receive(self._connection, checked=self._version < VERSION)
                self.daemon.faults.delay(len(packet.payload))
                self._take(packet)
        except (OSError, ProtocolError, StreamClosed):
            pass
        finally:
            self.cut()
            with self._streams_lock:
                streams = list(self._streams.values())
                self._streams.clear()
            for stream in streams:
                stream.hang_up()
            self._connection.close()

    def cut(self) -> None:
        """Drop the connection at once, whatever is under way. Safe when cut."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def open(self, destination: str) -> Stream:
        """Ask the host to connect to `destination` (a reversed port). Raises: StreamClosed if it refuses."""
        with self._streams_lock:
            stream = Stream(self, next(self._ids), 0)
            self._streams[stream.local_id] = stream
        self.send(OPEN, stream.local_id, 0, destination.encode() + b"\0")
        stream.wait_opened()
        return stream

    def send(self, command: int, arg0: int, arg1: int, payload: Bytes = b"") -> None:
        """Send one packet. Raises: StreamClosed if the connection is gone."""
        data = memoryview(payload)
        checked = self._version < VERSION
        self.daemon.faults.delay(len(data))
        try:
            with self._sending:
                self._connection.sendall(pack(command, arg0, arg1, data, checked=checked))
                if data:
                    self._connection.sendall(data)
        except OSError as error:
            raise StreamClosed from error

    def forget(self, stream: Stream) -> None:
        with self._streams_lock:
            self._streams.pop(stream.local_id, None)

    def send_garbage(self) -> None:
        """Send bytes that are no packet."""
        with contextlib.suppress(OSError), self._sending:
            self._connection.sendall(b"\xa5garbage" * 64)

    def accept_offered_key(self) -> None:
        """The person at the phone taps "allow"."""
        if self._offered_key is not None and not self._online:
            self.daemon.known_keys.append(self._offered_key)
            with contextlib.suppress(StreamClosed):
                self._go_online()

    # Taking packets.

    def _take(self, packet: Packet) -> None:
        if packet.command == CNXN:
            self._version = min(packet.arg0, VERSION)
            self.max_payload = min(packet.arg1, MAX_PAYLOAD_BYTES)
            self._ask_token() if self.daemon.device.needs_auth else self._go_online()
        elif packet.command == AUTH:
            self._authenticate(packet)
        elif not self._online:
            raise ProtocolError("a host that is not authorized opens streams")
        elif packet.command == OPEN:
            self._open(packet)
        else:
            self._take_for_stream(packet)

    def _take_for_stream(self, packet: Packet) -> None:
        remote_id, local_id = packet.arg0, packet.arg1
        with self._streams_lock:
            stream = self._streams.get(local_id)
        if stream is None:
            if packet.command == WRTE:
                self.send(CLSE, 0, remote_id)
        elif packet.command == WRTE:
            stream.deliver(packet.payload)
        elif packet.command == OKAY:
            stream.acknowledge(remote_id)
        elif packet.command == CLSE:
            self.forget(stream)
            stream.hang_up()

    def _open(self, packet: Packet) -> None:
        service = bytes(packet.payload).rstrip(b"\0").decode(errors="surrogateescape")
        with self._streams_lock:
            stream = Stream(self, next(self._ids), packet.arg0)
            self._streams[stream.local_id] = stream
        self.daemon.spawn(f"service {service[:40]}", lambda: serve(self, stream, service))

    # The handshake.

    def _ask_token(self) -> None:
        self._token = os.urandom(keys.TOKEN_BYTES)
        self.send(AUTH, keys.TOKEN, 0, self._token)

    def _authenticate(self, packet: Packet) -> None:
        if packet.arg0 == keys.SIGNATURE:
            signature, token = bytes(packet.payload), self._token or b""
            if token and any(keys.signed_by(key, token, signature) for key in self.daemon.known_keys):
                self._go_online()
            else:
                self._ask_token()  # the host tries its next key, then offers its public one
        elif packet.arg0 == keys.PUBLIC_KEY:
            try:
                self._offered_key = keys.parse_public_key(bytes(packet.payload))
            except (ValueError, struct.error) as error:
                raise ProtocolError(str(error)) from error
            if not self.daemon.faults.refuse_auth:
                self.accept_offered_key()

    def _go_online(self) -> None:
        self._token = None
        banner = self.daemon.device.banner().encode()
        self._online = True  # before the host hears of it: its first OPEN may come at once
        self.send(CNXN, VERSION, MAX_PAYLOAD_BYTES, banner)
