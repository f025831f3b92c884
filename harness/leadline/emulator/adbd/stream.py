"""One stream of a link: a service on our side, a socket of the host on the other.

Source: AOSP packages/modules/adb/protocol.txt, OPEN, OKAY, WRTE and CLSE: whoever writes waits for an OKAY before
writing again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from .packet import CLSE, OKAY, WRTE, Bytes

READ_AHEAD_BYTES = 4 * 2**20  # more than this may not lie unread before the host must wait


class StreamClosed(Exception):
    """The host has closed this stream, or the link is gone."""


class Sender(Protocol):
    """What a stream needs of its link."""

    max_payload: int

    def send(self, command: int, arg0: int, arg1: int, payload: Bytes = b"") -> None: ...
    def forget(self, stream: Stream) -> None: ...


class Stream:
    """Read and write from any thread. `write` is whole: payloads of two threads never mix."""

    def __init__(self, link: Sender, local_id: int, remote_id: int) -> None:
        self.local_id, self.remote_id = local_id, remote_id  # remote_id is 0 until the host has answered our OPEN
        self._at_end: Callable[[], None] = lambda: None
        self._link = link
        self._inbox: deque[memoryview] = deque()
        self._unread_bytes = 0
        self._owes_okay = False
        self._may_write = remote_id != 0
        self._accepted = remote_id == 0  # the host's OPEN is answered; there is none to answer if we open
        self._closed = False
        self._changed = threading.Condition()
        self._writing = threading.Lock()

    # The service's side.

    def accept(self) -> None:
        """Answer the host's OPEN: the service is there. Raises: StreamClosed."""
        self._accepted = True
        self._link.send(OKAY, self.local_id, self.remote_id)

    def read(self) -> memoryview:
        """The next bytes, at least one. Raises: StreamClosed once all is read and no more can come."""
        with self._changed:
            self._changed.wait_for(lambda: self._inbox or self._closed)
            if not self._inbox:
                raise StreamClosed
            data = self._inbox.popleft()
            self._unread_bytes -= len(data)
            owes, self._owes_okay = self._owes_okay, False
        if owes:
            self._link.send(OKAY, self.local_id, self.remote_id)
        return data

    def write(self, data: Bytes) -> None:
        """Send all of `data`. Raises: StreamClosed."""
        rest = memoryview(data)
        with self._writing:
            while rest:
                with self._changed:
                    self._changed.wait_for(lambda: self._may_write or self._closed)
                    if self._closed:
                        raise StreamClosed
                    self._may_write = False
                piece, rest = rest[: self._link.max_payload], rest[self._link.max_payload :]
                self._link.send(WRTE, self.local_id, self.remote_id, piece)

    def close(self) -> None:
        """Tell the host that no more will come or be read, or that its OPEN is refused. Safe when closed."""
        if self._end():
            self._link.forget(self)
            self._link.send(CLSE, self.local_id if self._accepted else 0, self.remote_id)

    def at_end(self, call: Callable[[], None]) -> None:
        """Have `call` called once, when the stream ends; at once if it has ended already."""
        with self._changed:
            if not self._closed:
                self._at_end = call
                return
        call()

    # The link's side.

    def deliver(self, data: memoryview) -> None:
        """Take a WRTE. An empty one is only acknowledged."""
        with self._changed:
            if self._closed:
                return
            if data:
                self._inbox.append(data)
                self._unread_bytes += len(data)
            self._owes_okay = self._unread_bytes > READ_AHEAD_BYTES
            owes_later = self._owes_okay
            self._changed.notify_all()
        if not owes_later:
            self._link.send(OKAY, self.local_id, self.remote_id)

    def acknowledge(self, remote_id: int) -> None:
        """Take an OKAY: the host has opened its side, or wants more."""
        with self._changed:
            self.remote_id = remote_id
            self._may_write = True
            self._changed.notify_all()

    def hang_up(self) -> None:
        """The host has closed its side, or the link is gone; what has come can still be read."""
        self._end()

    def wait_opened(self) -> None:
        """Wait until the host has answered our OPEN. Raises: StreamClosed if it refused."""
        with self._changed:
            self._changed.wait_for(lambda: self._may_write or self._closed)
            if self._closed:
                raise StreamClosed

    def _end(self) -> bool:
        with self._changed:
            if self._closed:
                return False
            self._closed = True
            self._changed.notify_all()
        self._at_end()
        return True


class StreamReader:
    """Takes exact counts of bytes out of a stream without copying them."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._rest = memoryview(b"")

    def some(self, at_most: int) -> memoryview:
        """Between one and `at_most` bytes. Raises: StreamClosed."""
        if not self._rest:
            self._rest = self._stream.read()
        taken, self._rest = self._rest[:at_most], self._rest[at_most:]
        return taken

    def exactly(self, count: int) -> bytes:
        """`count` bytes. Raises: StreamClosed."""
        parts = bytearray()
        while len(parts) < count:
            parts += self.some(count - len(parts))
        return bytes(parts)
