"""The daemon: listens for hosts and keeps what all their links share."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .faults import Faults
from .keys import PublicKey
from .link import Link
from .sockets import ReversedPorts

FEATURES = ("shell_v2", "cmd", "stat_v2", "ls_v2", "fixed_push_mkdir", "sendrecv_v2")
REBOOT_S = 1.0
_MARK = "LEADLINE_ADBD"  # in the environment of every command, so that all of them can be found again


@dataclass(frozen=True)
class Device:
    """What the daemon pretends to be."""

    serial: str
    directory: str  # commands start here; also HOME and TMPDIR (``/data/local/tmp`` on a phone)
    name: str = "emulated"
    model: str = "Emulated_Phone"
    shell: Sequence[str] = ("/bin/sh",)
    environment: Mapping[str, str] = field(default_factory=dict)  # beside the daemon's own
    needs_auth: bool = False
    features: Sequence[str] = FEATURES

    def banner(self) -> str:
        """The identity that CNXN carries: ``device::PROPERTIES;features=…``."""
        properties = {"name": self.name, "model": self.model, "device": self.name}
        text = "".join(f"ro.product.{key}={value};" for key, value in properties.items())
        return f"device::{text}features={','.join(self.features)}"


class Daemon:
    """Serves hosts from `start` to `stop`. One device; any number of hosts."""

    def __init__(self, device: Device, *, port: int = 0, known_keys: Sequence[PublicKey] = ()) -> None:
        self.device = device
        self.port = port  # 0 until `start` has found a free one
        self.known_keys = list(known_keys)
        self.reversed_ports = ReversedPorts()
        self.faults = Faults()
        self.faults.cut = self._cut
        self.faults.garble_link = self._garble_link
        self.faults.go_offline = self._go_offline
        self.faults.come_back = self.start
        self.faults.reboot = self._reboot
        self._mark = uuid.uuid4().hex
        self._links: set[Link] = set()
        self._listener: socket.socket | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Listen on 127.0.0.1. Raises: OSError if the port is taken. Safe when started."""
        with self._lock:
            if self._listener is not None:
                return
            self._listener = listener = socket.create_server(("127.0.0.1", self.port))
            self.port = int(listener.getsockname()[1])
        self.spawn("accept", lambda: self._accept(listener))

    def stop(self) -> None:
        """Stop listening, cut all links, end every process that a host has started. Safe when stopped."""
        self.faults.thaw()
        self._go_offline()
        self.reversed_ports.clear()
        self._end_processes()

    def accept_keys(self) -> None:
        """The person at the phone taps "allow" for every host that is waiting, and for those that come."""
        self.faults.refuse_auth = False
        for link in self._current_links():
            link.accept_offered_key()

    def child_environment(self) -> dict[str, str]:
        """The environment of a command: as on a phone, HOME, TMPDIR and the prompt's name are the device's."""
        device = self.device
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": device.directory,
            "TMPDIR": device.directory,
            "HOSTNAME": device.name,
            **device.environment,
            _MARK: self._mark,
        }

    def spawn(self, name: str, work: Callable[[], None]) -> None:
        """Run `work` in a thread that does not keep the program alive."""
        threading.Thread(target=work, name=f"adbd {self.device.serial}: {name}", daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = Link(self, connection)
            with self._lock:
                self._links.add(link)
            self.spawn("link", lambda link=link: self._serve(link))  # type: ignore[misc]

    def _serve(self, link: Link) -> None:
        try:
            link.run()
        finally:
            with self._lock:
                self._links.discard(link)

    def _current_links(self) -> list[Link]:
        with self._lock:
            return list(self._links)

    def _cut(self) -> None:
        for link in self._current_links():
            link.cut()

    def _garble_link(self) -> None:
        for link in self._current_links():
            link.send_garbage()

    def _go_offline(self) -> None:
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes accept
            listener.close()
        self._cut()

    def _reboot(self) -> None:
        self.stop()
        timer = threading.Timer(REBOOT_S, self.start)
        timer.daemon = True
        timer.start()

    def _end_processes(self) -> None:
        """SIGKILL whatever carries our mark in its environment, however deep below a command it was started."""
        mark = f"{_MARK}={self._mark}".encode()
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                with contextlib.suppress(OSError):
                    if mark in (folder / "environ").read_bytes().split(b"\0"):
                        os.kill(int(folder.name), signal.SIGKILL)
