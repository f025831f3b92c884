"""Ports: ``tcp:`` (the host's ``adb forward`` ends here) and ``reverse:`` (the device's ports that lead to the host).

Source: AOSP packages/modules/adb/SERVICES.TXT, and ``host:forward`` there for the shape of ``reverse:forward``.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from .stream import Stream, StreamClosed

if TYPE_CHECKING:
    from .link import Link

_CONNECT_TIMEOUT_S = 10.0
_READ_BYTES = 2**16


def serve_tcp(_link: Link, stream: Stream, address: str) -> None:
    """Join the stream to ``PORT`` of this device, or to ``PORT:HOST`` as seen from it."""
    port, _, host = address.partition(":")
    if not port.isdecimal():
        return
    with socket.create_connection((host or "127.0.0.1", int(port)), timeout=_CONNECT_TIMEOUT_S) as connection:
        connection.settimeout(None)
        stream.accept()
        _join(stream, connection)


def serve_reverse(link: Link, stream: Stream, request: str) -> None:
    """Add, list and remove the ports of this device that lead to the host."""
    reversed_ports = link.daemon.reversed_ports
    verb, _, argument = request.partition(":")
    if verb == "forward":
        here, _, there = argument.removeprefix("norebind:").partition(";")
        _reverse(link, stream, here, there, rebind=not argument.startswith("norebind:"))
    elif verb == "list-forward":
        text = "".join(f"{link.daemon.device.serial} {here} {there}\n" for here, there in reversed_ports.items())
        stream.write(_counted(text))
    elif verb == "killforward":
        if reversed_ports.remove(argument):
            stream.write(b"OKAY")
        else:
            stream.write(b"FAIL" + _counted(f"listener '{argument}' not found"))
    elif verb == "killforward-all":
        reversed_ports.clear()
        stream.write(b"OKAY")
    else:
        stream.write(b"FAIL" + _counted(f"unknown request {request!r}"))


def _reverse(link: Link, stream: Stream, here: str, there: str, *, rebind: bool) -> None:
    kind, _, port = here.partition(":")
    if kind != "tcp" or not port.isdecimal() or not there:
        stream.write(b"FAIL" + _counted(f"cannot reverse {here!r} to {there!r}"))
        return
    try:
        bound = link.daemon.reversed_ports.add(link, int(port), there, rebind=rebind)
    except OSError as error:
        stream.write(b"FAIL" + _counted(f"cannot bind listener: {error.strerror}"))
        return
    stream.write(b"OKAY" + (_counted(str(bound)) if port == "0" else b""))


class ReversedPorts:
    """The listening sockets of ``reverse:``, by their spec ``tcp:PORT``."""

    def __init__(self) -> None:
        self._listeners: dict[str, tuple[socket.socket, str]] = {}
        self._lock = threading.Lock()

    def add(self, link: Link, port: int, there: str, *, rebind: bool) -> int:
        """Listen on `port` (0: any free one) and lead to `there`, a destination on the host. Returns the port.

        Raises: OSError if it is taken.
        """
        with self._lock:
            known = self._listeners.get(f"tcp:{port}")
            if known is not None and not rebind:
                raise FileExistsError(17, "already bound")
            if known is not None:
                self._listeners[f"tcp:{port}"] = (known[0], there)
                return port
            listener = socket.create_server(("127.0.0.1", port))
            bound = int(listener.getsockname()[1])
            self._listeners[f"tcp:{bound}"] = (listener, there)
        link.daemon.spawn(f"reverse tcp:{bound}", lambda: self._accept(link, listener, f"tcp:{bound}"))
        return bound

    def items(self) -> list[tuple[str, str]]:
        with self._lock:
            return [(here, there) for here, (_, there) in self._listeners.items()]

    def remove(self, here: str) -> bool:
        with self._lock:
            known = self._listeners.pop(here, None)
        if known is None:
            return False
        with contextlib.suppress(OSError):
            known[0].shutdown(socket.SHUT_RDWR)  # wakes accept
        known[0].close()
        return True

    def clear(self) -> None:
        for here in dict(self.items()):
            self.remove(here)

    def _accept(self, link: Link, listener: socket.socket, here: str) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            there = dict(self.items()).get(here, "")
            link.daemon.spawn(f"reverse {here}", lambda c=connection, t=there: _lead(link, c, t))  # type: ignore[misc]


def _lead(link: Link, connection: socket.socket, there: str) -> None:
    with connection, contextlib.suppress(StreamClosed, OSError):
        stream = link.open(there)
        try:
            _join(stream, connection)
        finally:
            stream.close()


def _join(stream: Stream, connection: socket.socket) -> None:
    """Carry bytes both ways until either side closes."""

    def to_host() -> None:
        with contextlib.suppress(StreamClosed, OSError):
            while data := connection.recv(_READ_BYTES):
                stream.write(data)
        stream.close()

    def end() -> None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    stream.at_end(end)
    carrier = threading.Thread(target=to_host, daemon=True)
    carrier.start()
    with contextlib.suppress(StreamClosed, OSError):
        while True:
            connection.sendall(stream.read())
    end()
    carrier.join()


def _counted(text: str) -> bytes:
    """A text behind its length in four hexadecimal digits."""
    data = text.encode()
    return b"%04x" % len(data) + data
