"""Which service answers an OPEN.

Source: AOSP packages/modules/adb/SERVICES.TXT, "LOCAL SERVICES".
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .files import serve_files
from .shell import serve_exec, serve_shell
from .sockets import serve_reverse, serve_tcp
from .stream import Stream, StreamClosed

if TYPE_CHECKING:
    from .link import Link

Service = Callable[["Link", Stream, str], None]


def serve(link: Link, stream: Stream, name: str) -> None:
    """Answer an OPEN of `name`, from the first OKAY to the last CLSE; runs in a thread of its own."""
    service = _find(name, link.daemon.device.features)
    with contextlib.suppress(StreamClosed, OSError):
        try:
            if service is not None:
                kind, arguments = service
                if kind is not serve_tcp:  # which answers only once it is connected
                    stream.accept()
                kind(link, stream, arguments)
        finally:
            stream.close()


def _find(name: str, features: Sequence[str]) -> tuple[Service, str] | None:
    for prefix, service in _SERVICES.items():
        is_known = prefix != "shell," or "shell_v2" in features  # came with Android 7
        if is_known and name.startswith(prefix):
            return service, name[len(prefix) :]
    return None


def _serve_reboot(link: Link, stream: Stream, _kind: str) -> None:
    stream.close()
    link.daemon.faults.reboot()


_SERVICES: dict[str, Service] = {
    "shell,": serve_shell,
    "shell:": lambda link, stream, command: serve_shell(link, stream, f":{command}"),
    "exec:": serve_exec,
    "sync:": serve_files,
    "tcp:": serve_tcp,
    "reverse:": serve_reverse,
    "reboot:": _serve_reboot,
}
