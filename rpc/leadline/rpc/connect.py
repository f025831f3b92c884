"""From a URI of lab.toml to the transport that speaks to it."""

from __future__ import annotations

from leadline.core.errors import BadInput
from leadline.rpc.transport import Transport


def connect(uri: str, *, name: str) -> Transport:
    """The transport, not yet open, for ``local:``, ``ssh://[user@]host[:port]``, ``adb:SERIAL`` or
    ``adb://server[:port]/SERIAL``.

    Args: name: the device's, for messages.
    Raises: BadInput.
    """
    # Imported when used: paramiko and adbutils take longer to load than a local measurement takes to start.
    if uri == "local:":
        from leadline.rpc.local import LocalTransport

        return LocalTransport(name=name)
    if uri.startswith("ssh:"):
        from leadline.rpc.ssh import SshTransport

        return SshTransport(uri, name=name)
    if uri.startswith("adb:"):
        from leadline.rpc.adb import AdbTransport

        return AdbTransport(uri, name=name)
    raise BadInput(
        f"{name}: {uri!r} is no device address; write local:, ssh://user@host:port, adb:SERIAL or adb://server:port/SERIAL"
    )
