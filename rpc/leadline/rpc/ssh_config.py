"""From ``ssh://…`` and ~/.ssh/config to what a connection needs."""

from __future__ import annotations

import getpass
import re
import shlex
from pathlib import Path

import msgspec
import paramiko

from leadline.core.errors import BadInput

_ADDRESS = re.compile(
    r"ssh://(?:(?P<user>[^:@/\s-][^:@/\s]*)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^-@:/\[\]\s][^@:/\[\]\s]*)(?::(?P<port>\d{1,5}))?/?"
)
_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")  # OpenSSH's own, as far as paramiko has them
_SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")


class SshTarget(msgspec.Struct, frozen=True, kw_only=True):
    """One SSH server and how to log in there."""

    host: str
    port: int
    user: str
    key_files: tuple[Path, ...]  # private keys that exist, the most wanted first
    use_agent: bool
    known_hosts: tuple[Path, ...]  # the first is where a new key belongs
    jump: SshTarget | None = None  # the server to connect through

    @property
    def known_as(self) -> str:
        """How known_hosts spells this server."""
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"

    def login(self, command: str = "ssh") -> str:
        """The command line that logs in by hand; shows what is wrong in OpenSSH's own words."""
        through = f"-o ProxyJump={self.jump.user}@{self.jump.host}:{self.jump.port}".split() if self.jump else []
        return shlex.join([command, *through, "-p", str(self.port), f"{self.user}@{self.host}"])


def resolve(uri: str, ssh_directory: Path) -> SshTarget:
    """Look the host up as OpenSSH does: what the URI says wins over ``config``, that over the defaults.

    Raises: BadInput for a malformed URI or config file.
    """
    config = _read(ssh_directory / "config")
    options = _lookup(config, uri, ssh_directory)
    hops = options.get("proxyjump", "none")
    jump: SshTarget | None = None
    for hop in [] if hops.lower() == "none" else hops.split(","):
        # The ProxyJump of a jump host itself is not followed: a chain is written out, and cannot loop.
        address = f"ssh://{hop.strip().removeprefix('ssh://')}"
        jump = _target(address, _lookup(config, address, ssh_directory), ssh_directory, jump)
    return _target(uri, options, ssh_directory, jump)


def _target(uri: str, options: dict[str, str], ssh_directory: Path, jump: SshTarget | None) -> SshTarget:
    address = _parse(uri)
    wanted = [Path(name).expanduser() for name in options.get("identityfile", [])]
    known = [Path(name).expanduser() for name in shlex.split(options.get("userknownhostsfile", ""))]
    return SshTarget(
        host=options["hostname"],
        port=int(address["port"] or options.get("port") or 22),
        user=address["user"] or options.get("user") or getpass.getuser(),
        key_files=tuple(path for path in wanted or [ssh_directory / name for name in _DEFAULT_KEYS] if path.is_file()),
        use_agent=options.get("identitiesonly", "no").lower() != "yes",
        known_hosts=(*(known or [ssh_directory / "known_hosts"]), _SYSTEM_KNOWN_HOSTS),
        jump=jump,
    )


def _parse(uri: str) -> dict[str, str | None]:
    match = _ADDRESS.fullmatch(uri)
    if not match or not 0 < int(match["port"] or 22) < 2**16:
        raise BadInput(f"{uri!r}: no SSH address; write it like ssh://user@host:port")
    return match.groupdict()


def _lookup(config: paramiko.SSHConfig, uri: str, ssh_directory: Path) -> dict[str, str]:
    host = _parse(uri)["host"] or ""
    try:
        options: dict[str, str] = dict(config.lookup(host.strip("[]")))
        int(options.get("port", 22))
        shlex.split(options.get("userknownhostsfile", ""))
    except (paramiko.SSHException, ImportError, KeyError, ValueError) as error:
        raise BadInput(f"{ssh_directory / 'config'}: {host}: {error!r}; see: man ssh_config") from error
    if options.get("proxycommand", "none").lower() != "none" and "proxyjump" not in options:
        raise BadInput(f"{ssh_directory / 'config'}: {host}: ProxyCommand is not supported; write ProxyJump instead")
    return options


def _read(path: Path) -> paramiko.SSHConfig:
    if not path.is_file():
        return paramiko.SSHConfig()
    try:
        return paramiko.SSHConfig.from_path(str(path))
    except (paramiko.SSHException, OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: {error}; see: man ssh_config") from error
