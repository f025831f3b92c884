"""From the spelling of an address to the transport, and what ssh_config adds."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from leadline.core.errors import BadInput
from leadline.rpc.adb import AdbTransport
from leadline.rpc.connect import connect
from leadline.rpc.local import LocalTransport
from leadline.rpc.ssh import SshTransport
from leadline.rpc.ssh_config import resolve


def test_each_address_has_its_transport_and_none_is_opened() -> None:
    assert isinstance(connect("local:", name="me"), LocalTransport)
    assert isinstance(connect("ssh://pi@no-such-host.invalid", name="pi4"), SshTransport)
    assert isinstance(connect("adb:ABC123", name="phone"), AdbTransport)
    assert isinstance(connect("adb://127.0.0.1:5037/ABC123", name="phone"), AdbTransport)


@pytest.mark.parametrize("uri", ["", "local", "local:x", "ftp://host", "pi4", "/dev/ttyUSB0", "$(id)", "ssh", "LOCAL:"])
def test_anything_else_is_bad_input(uri: str) -> None:
    with pytest.raises(BadInput, match="pi4"):
        connect(uri, name="pi4")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("ssh://pi@host", ("host", 22, "pi")),
        ("ssh://host:2222", ("host", 2222, getpass.getuser())),
        ("ssh://Host.Local/", ("Host.Local", 22, getpass.getuser())),
        ("ssh://a.b@[fe80::1%eth0]:22", ("fe80::1%eth0", 22, "a.b")),
    ],
)
def test_an_ssh_address_gives_host_port_and_user(tmp_path: Path, uri: str, expected: tuple[str, int, str]) -> None:
    target = resolve(uri, tmp_path)
    assert (target.host, target.port, target.user) == expected


@pytest.mark.parametrize(
    "uri",
    ["ssh://", "ssh:host", "ssh://host:0", "ssh://host:65536", "ssh://host:x", "ssh://-oProxyCommand=x", "ssh://a b",
     "ssh://host/path", "ssh://-l@host", "ssh://user:password@host", "ssh://ho\nst"],
)  # fmt: skip
def test_a_malformed_ssh_address_is_bad_input(tmp_path: Path, uri: str) -> None:
    with pytest.raises(BadInput, match="SSH address"):
        resolve(uri, tmp_path)


def test_the_address_wins_over_the_config(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("Host pi4\n HostName 10.0.0.4\n Port 2200\n User pi\n")
    by_config, by_address = resolve("ssh://pi4", tmp_path), resolve("ssh://root@pi4:22", tmp_path)
    assert (by_config.host, by_config.port, by_config.user) == ("10.0.0.4", 2200, "pi")
    assert (by_address.host, by_address.port, by_address.user) == ("10.0.0.4", 22, "root")


def test_only_keys_that_exist_are_tried_and_named_ones_replace_the_usual(tmp_path: Path) -> None:
    for name in ("id_rsa", "id_ed25519", "lab"):
        (tmp_path / name).touch()
    assert resolve("ssh://pi4", tmp_path).key_files == (tmp_path / "id_ed25519", tmp_path / "id_rsa")
    (tmp_path / "config").write_text(f"Host *\n IdentityFile {tmp_path}/lab\n IdentityFile {tmp_path}/absent\n")
    assert resolve("ssh://pi4", tmp_path).key_files == (tmp_path / "lab",)


def test_the_agent_is_asked_unless_only_named_keys_may_be_used(tmp_path: Path) -> None:
    assert resolve("ssh://pi4", tmp_path).use_agent
    (tmp_path / "config").write_text("Host pi4\n IdentitiesOnly yes\n")
    assert not resolve("ssh://pi4", tmp_path).use_agent


def test_jump_hosts_are_chained_in_order(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("Host pi4\n ProxyJump me@first:2201,second\nHost second\n Port 2202\n User you\n")
    target = resolve("ssh://pi4", tmp_path)
    assert target.jump is not None
    assert target.jump.jump is not None
    assert (target.jump.host, target.jump.port, target.jump.user) == ("second", 2202, "you")
    assert (target.jump.jump.host, target.jump.jump.port, target.jump.jump.user) == ("first", 2201, "me")
    assert target.jump.jump.jump is None


@pytest.mark.parametrize("line", ["ProxyJump a b", "ProxyJump -x", "ProxyCommand nc %h %p", "Port many"])
def test_what_we_cannot_follow_in_the_config_is_bad_input(tmp_path: Path, line: str) -> None:
    (tmp_path / "config").write_text(f"Host pi4\n {line}\n")
    with pytest.raises(BadInput):
        resolve("ssh://pi4", tmp_path)
