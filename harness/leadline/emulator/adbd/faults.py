"""What may be broken on purpose: each switch is a plain attribute or method, and a word on the control line."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable


class Faults:
    """Switches that tests turn from any thread while the daemon serves. Everything is whole at first."""

    def __init__(self) -> None:
        self.refuse_auth = False  # nobody taps "allow" on the phone's screen
        self.cut_push_after_bytes: int | None = None  # cut the link once a push has brought this many bytes
        self.corrupt_pushes = False  # flip one bit of every file that is pushed
        self.corrupt_pulls = False  # flip one bit of every file that is pulled
        self.free_bytes: int | None = None  # what pushes may still write before the disk is full
        self.bytes_per_s: float | None = None  # a slow link, either direction
        self.garble_shell = False  # shells answer bytes that are no shell packets
        self.cut: Callable[[], None] = lambda: None  # cut all links now; the host may connect again
        self.garble_link: Callable[[], None] = lambda: None  # send bytes that are no packets on all links
        self.go_offline: Callable[[], None] = lambda: None  # cut all links and accept no more
        self.come_back: Callable[[], None] = lambda: None  # accept links again
        self.reboot: Callable[[], None] = lambda: None  # end every process, be away for a moment, come back
        self._thawed = threading.Event()
        self._thawed.set()
        self._thaw_timer: threading.Timer | None = None

    def freeze(self, seconds: float) -> None:
        """Neither read nor write on any link for a while: a hung phone, a pulled antenna."""
        self.thaw()
        self._thawed.clear()
        self._thaw_timer = threading.Timer(seconds, self._thawed.set)
        self._thaw_timer.daemon = True
        self._thaw_timer.start()

    def thaw(self) -> None:
        """End a `freeze` early."""
        if self._thaw_timer is not None:
            self._thaw_timer.cancel()
        self._thawed.set()

    # What the daemon asks.

    def delay(self, byte_count: int) -> None:
        """Called before every packet that is sent and after every one that is received."""
        self._thawed.wait()
        if self.bytes_per_s is not None:
            time.sleep(byte_count / self.bytes_per_s)

    def take_space(self, byte_count: int) -> bool:
        """Reserve disk for a push; False if the disk is full."""
        if self.free_bytes is None:
            return True
        if byte_count > self.free_bytes:
            return False
        self.free_bytes -= byte_count
        return True

    # The control line.

    def obey(self, line: str) -> str:
        """Do what one control line says and answer in one line: ``ok``, or what was not understood."""
        try:
            word, *values = shlex.split(line)
            self._orders()[word](*values)
        except (KeyError, ValueError, TypeError):
            return f"not understood: {line.strip()!r}; orders: {', '.join(sorted(self._orders()))}"
        return "ok"

    def _orders(self) -> dict[str, Callable[..., None]]:
        def setting(name: str, parse: Callable[[str], object]) -> Callable[[str], None]:
            return lambda text: setattr(self, name, None if text == "off" else parse(text))

        def switch(name: str) -> Callable[[str], None]:
            return lambda text: setattr(self, name, {"on": True, "off": False}[text])

        return {
            "cut": self.cut,
            "cut-push-after": setting("cut_push_after_bytes", int),
            "freeze": lambda seconds: self.freeze(float(seconds)),
            "thaw": self.thaw,
            "offline": self.go_offline,
            "online": self.come_back,
            "reboot": self.reboot,
            "refuse-auth": switch("refuse_auth"),
            "corrupt-pushes": switch("corrupt_pushes"),
            "corrupt-pulls": switch("corrupt_pulls"),
            "garble-link": self.garble_link,
            "garble-shell": switch("garble_shell"),
            "free-bytes": setting("free_bytes", int),
            "bytes-per-s": setting("bytes_per_s", float),
        }
