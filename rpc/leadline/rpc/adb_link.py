"""One device as an adb server sees it: ready, offline, unauthorized or not there, and what to do about it."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator, Sequence
from typing import NoReturn

from leadline.core.errors import DeviceError, DeviceOffline, StableError, Unauthorized
from leadline.core.text import printable
from leadline.rpc.adb_server import AdbServer, AttachedDevice, RefusedByServer

_SETTLE_S = 5.0  # how long a device may take to say who it is after it was attached
_UNSETTLED = ("offline", "connecting", "authorizing", "detached", "host")
_MAX_CONNECTS = 3  # a link that breaks while we look at it is worth another try
_NETWORK_SERIAL = re.compile(r"\S+:\d+")  # of devices that were attached by "adb connect host:port"


class AdbLink:
    """Makes sure that the device is there, and opens streams to its services.

    Args:
        name: the device's name, for messages.
        silence_s: how long the device may take to answer.
    """

    def __init__(self, server: AdbServer, serial: str, *, name: str, silence_s: float) -> None:
        self.server, self.serial = server, serial
        self._name, self._silence_s = printable(name), silence_s
        self._is_network = bool(_NETWORK_SERIAL.fullmatch(serial))

    @property
    def remedy(self) -> str:
        """What the user can do when the device is gone."""
        if self._is_network:
            return f"try: {self.server.adb} connect {self.serial}"
        return f"check cable and screen, then try: {self.server.adb} -s {self.serial} reconnect"

    def attach(self) -> None:
        """Return once the server has the device ready; a device on the network is connected to if need be.

        Raises: DeviceOffline, Unauthorized, GarbledOutput.
        """
        with self._named():
            self.server.start()
        self._settle(is_returning=False)

    def reconnect(self) -> None:
        """Have the server drop its link to a device that does not answer, and make a new one. Raises: as `attach`."""
        if self._is_network:
            self._reconnect_network()
        else:
            with self._named(), contextlib.suppress(RefusedByServer):
                self.server.ask(f"host-serial:{self.serial}:reconnect", timeout_s=self._silence_s)
            time.sleep(1.0)  # the server lists the device as ready for a moment longer
        self._settle(is_returning=True)

    def connect(self, service: str, *, timeout_s: float) -> socket.socket:
        """A stream to a service of the device, which the caller closes.

        Raises: DeviceOffline, Unauthorized, GarbledOutput; StableError if its adb is too old; BadInput if `service` is
            too long.
        """
        try:
            with self._named():
                return self.server.connect(self.serial, service, timeout_s=timeout_s)
        except TimeoutError as error:
            raise DeviceOffline(f"{self._name}: {self.serial}: silent for {timeout_s:g} s; {self.remedy}") from error
        except RefusedByServer as error:
            found, all_devices = self._look()
            if found is None or found.state != "device":
                self._raise_state(found, all_devices)
            if not self._speaks_shell_v2():
                raise StableError(
                    f"{self._name}: {self.serial}: too old (no shell v2); use a phone with Android 7 or newer"
                ) from error
            reason = printable(str(error))  # ready again already
            raise DeviceOffline(f"{self._name}: {self.serial}: {reason}; {self.remedy}") from error

    def _settle(self, *, is_returning: bool) -> None:
        """Wait until the device is ready, as long as it may still become so by itself."""
        deadline = time.monotonic() + _SETTLE_S
        connects = 0
        while True:
            found, all_devices = self._look()
            if found is not None and found.state == "device":
                return
            is_lost = found is None or found.state == "offline"
            may_come = is_returning if found is None else found.state in _UNSETTLED
            if self._is_network and is_lost and connects < _MAX_CONNECTS:
                connects += 1
                may_come = self._reconnect_network()
            if not may_come or time.monotonic() > deadline:
                self._raise_state(found, all_devices)
            time.sleep(0.05)

    def _look(self) -> tuple[AttachedDevice | None, Sequence[AttachedDevice]]:
        with self._named():
            devices = self.server.devices()
        return next((device for device in devices if device.serial == self.serial), None), devices

    def _speaks_shell_v2(self) -> bool:
        try:
            features = self.server.ask(f"host-serial:{self.serial}:features")
        except RefusedByServer:  # it has gone just now
            return True
        return "shell_v2" in features.split(",")

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """What is wrong with the server is told as this device's trouble."""
        try:
            yield
        except RefusedByServer:
            raise
        except DeviceError as error:
            raise type(error)(f"{self._name}: {error}") from error

    def _reconnect_network(self) -> bool:
        """Whether the device took the connection; it may still want to see a key."""
        answer = ""
        for verb in ("disconnect", "connect"):  # "connect" alone leaves an offline device as it is
            with self._named(), contextlib.suppress(RefusedByServer):
                answer = self.server.ask(f"host:{verb}:{self.serial}", timeout_s=self._silence_s)
        return answer.startswith(("connected", "already connected", "failed to authenticate"))

    def _raise_state(self, found: AttachedDevice | None, all_devices: Sequence[AttachedDevice]) -> NoReturn:
        here = f"adb server {self.server.host}:{self.server.port}"
        if found is None:
            others = ", ".join(f"{device.serial} ({device.state})" for device in all_devices) or "no device"
            raise DeviceOffline(f"{self._name}: no {self.serial} on {here}, which has {others}; {self.remedy}")
        if found.state == "unauthorized":
            raise Unauthorized(
                f"{self._name}: {self.serial} does not trust this computer's key; unlock the phone and accept the key, "
                f"then try: {self.server.adb} -s {self.serial} get-state"
            )
        if found.state.startswith("no permissions"):
            raise Unauthorized(
                f"{self._name}: {here} may not open {self.serial}: {found.state}; "
                "try: sudo apt install android-sdk-platform-tools-common"
            )
        raise DeviceOffline(f"{self._name}: {self.serial} is {found.state} on {here}; {self.remedy}")
