"""Connecting and logging in over SSH: known host keys only, no passwords, and errors that say what to do."""

from __future__ import annotations

import logging
import shlex
import socket
from pathlib import Path
from typing import Any, NoReturn, cast

import paramiko

from leadline.core.errors import DeviceError, DeviceOffline, HostKeyRefused, Unauthorized
from leadline.core.text import printable
from leadline.rpc.ssh_config import SshTarget

# paramiko logs what it raises, with a stack trace; without a handler Python would print that.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

_KEEPALIVE_S = 5


def log_in(target: SshTarget, *, place: str, timeout_s: float, silence_s: float) -> paramiko.SSHClient:
    """A client that is connected and logged in, through the jump hosts if there are any.

    Args:
        place: how messages start, the device's name.
        timeout_s: for each of reaching the host, its greeting and the login.
        silence_s: after which unacknowledged bytes count as a cut link.
    Raises: DeviceOffline, HostKeyRefused, Unauthorized.
    """
    client = _Client()
    _load_known_hosts(client, target.known_hosts)
    client.set_missing_host_key_policy(_Refuse(target, place))
    try:
        client.connect(
            target.host,
            target.port,
            target.user,
            key_filename=cast(Any, [str(path) for path in target.key_files]),  # the stubs know a single file only
            allow_agent=target.use_agent,
            look_for_keys=False,
            sock=_connect(client, target, place=place, timeout_s=timeout_s, silence_s=silence_s),
            timeout=timeout_s,
            banner_timeout=timeout_s,
            auth_timeout=timeout_s,
            channel_timeout=timeout_s,
            transport_factory=_FastTransport,
        )
    except (paramiko.SSHException, EOFError, OSError, ValueError) as error:
        login_began = _is_logging_in(client)
        client.close()
        _raise_mapped(error, target, place=place, login_began=login_began)
    except DeviceError:
        client.close()
        raise
    transport = client.get_transport()
    assert transport is not None
    transport.set_keepalive(_KEEPALIVE_S)
    return client


class _Client(paramiko.SSHClient):
    """Takes the connection that it goes through with it."""

    def __init__(self) -> None:
        super().__init__()
        self.jump: paramiko.SSHClient | None = None

    def close(self) -> None:
        super().close()
        if self.jump:
            self.jump.close()


class _FastTransport(paramiko.Transport):
    """Prefers the cipher that costs least: 50 MB take 0.14 s of our CPU time, 0.26 s with paramiko's first choice."""

    _preferred_ciphers = (
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "aes128-ctr",
        "aes192-ctr",
        "aes256-ctr",
    )

    def __init__(self, sock: Any, **options: Any) -> None:
        super().__init__(sock, default_window_size=2**22, **options)


class _Refuse(paramiko.MissingHostKeyPolicy):
    def __init__(self, target: SshTarget, place: str) -> None:
        self._target, self._place = target, place

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> NoReturn:
        raise HostKeyRefused(
            f"{self._place}: {hostname} shows an unknown {key.get_name()} host key {key.fingerprint}; "
            f"compare it with the device's own (on it: ssh-keygen -lf /etc/ssh/ssh_host_{_kind(key)}_key.pub), "
            f"then trust it: {_trust(self._target, key)}"
        )


def _connect(
    client: _Client, target: SshTarget, *, place: str, timeout_s: float, silence_s: float
) -> socket.socket | paramiko.Channel:
    """A byte stream to the server."""
    if target.jump:
        client.jump = log_in(target.jump, place=place, timeout_s=timeout_s, silence_s=silence_s)
        transport = client.jump.get_transport()
        assert transport is not None
        return transport.open_channel("direct-tcpip", (target.host, target.port), ("127.0.0.1", 0), timeout=timeout_s)
    stream = socket.create_connection((target.host, target.port), timeout_s)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # without it a command waits 40 ms to be sent
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # with the keepalive this tells a pulled cable from silence; Linux only
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(silence_s * 1000))
    return stream


def _load_known_hosts(client: paramiko.SSHClient, files: tuple[Path, ...]) -> None:
    for path in files:
        if path.is_file():
            client.load_system_host_keys(str(path))


def _is_logging_in(client: paramiko.SSHClient) -> bool:
    """Whether the server is still there and has proven who it is: then what failed is the login."""
    transport = client.get_transport()
    return transport is not None and transport.is_active() and transport.initial_kex_done


def _raise_mapped(error: Exception, target: SshTarget, *, place: str, login_began: bool) -> NoReturn:
    """The one seam where errors of paramiko and the socket become ours."""
    where = f"{place}: {target.known_as}"
    said = printable(getattr(error, "strerror", None) or str(error) or type(error).__name__)
    if isinstance(error, paramiko.BadHostKeyException):
        files = shlex.quote(str(target.known_hosts[0]))
        raise HostKeyRefused(
            f"{where}: its {error.key.get_name()} host key has changed to {error.key.fingerprint}: another device, a "
            f"new system on it, or somebody in between; if you know why, forget the old key, then trust the new one: "
            f"ssh-keygen -f {files} -R {shlex.quote(target.known_as)}; {_trust(target, error.key)}"
        ) from error
    if isinstance(error, paramiko.PasswordRequiredException):
        keys = shlex.join(map(str, target.key_files))
        raise Unauthorized(f"{where}: the key needs its passphrase; unlock it once: ssh-add {keys}") from error
    if login_began and "timeout" not in str(error).lower():
        raise Unauthorized(
            f"{where}: refuses to log in {target.user} ({said}); let it know your key: {target.login('ssh-copy-id')}"
        ) from error
    if isinstance(error, socket.gaierror):
        raise DeviceOffline(f"{where}: no such host name ({said}); try: getent hosts {target.host}") from error
    raise DeviceOffline(f"{where}: cannot connect: {said}; try: {target.login()} true") from error


def _trust(target: SshTarget, key: paramiko.PKey) -> str:
    if target.jump:  # ssh-keyscan cannot jump; ssh asks
        return target.login()
    scan = shlex.join(["ssh-keyscan", "-t", _kind(key), "-p", str(target.port), target.host])
    return f"{scan} >> {shlex.quote(str(target.known_hosts[0]))}"


def _kind(key: paramiko.PKey) -> str:
    """As OpenSSH's tools name it: rsa, ecdsa, ed25519."""
    return key.get_name().removeprefix("ssh-").partition("-")[0]
