"""What the agent says, checked: one line of bytes in, one record out. The lines are those of docs/agent-protocol.md."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

import msgspec

from leadline.core.errors import GarbledOutput
from leadline.core.text import printable

PROTOCOL = 1

Natural = Annotated[int, msgspec.Meta(ge=0)]
Word = Annotated[str, msgspec.Meta(pattern=r"^[\w.+-]{1,64}$")]  # shown as it is


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Who answered. The CPUs are those online and allowed to the agent."""

    protocol: int
    version: Word  # a hash of the agent's sources
    abi: Word
    pid: Natural
    uid: Natural
    cpus: tuple[Natural, ...]
    hwcap: Natural  # AT_HWCAP and AT_HWCAP2 of getauxval(3)
    hwcap2: Natural
    features: tuple[Word, ...]  # x86 only, named as in /proc/cpuinfo


class Line(msgspec.Struct, frozen=True):
    """One line of a program's standard output, without its newline."""

    text: str
    watched: Mapping[str, str]  # path → text of the watched files, read right after the line; unreadable ones missing


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """How a program ended: either `code` or `signal` is None."""

    code: Annotated[int, msgspec.Meta(ge=0, le=255)] | None
    signal: Annotated[int, msgspec.Meta(ge=1, le=127)] | None
    peak_rss_bytes: Natural
    cpu_ns: Natural  # user + system time, with its children
    stderr: str  # the last 8 KiB


class Refusal(msgspec.Struct, frozen=True):
    """Why a request was not obeyed."""

    code: str  # protocol · bad-request · busy · not-found · exec · no-cpu · internal
    text: str


class Answer(msgspec.Struct, frozen=True):
    id: int | None  # None: the request was one without an id, or could not be read
    ok: msgspec.Raw | None
    error: Refusal | None


_NOTHING = msgspec.Raw()


class _Incoming(msgspec.Struct, frozen=True, kw_only=True):
    id: Natural | None = None
    ok: msgspec.Raw = _NOTHING
    error: Refusal | None = None
    event: Literal["line", "exit"] | None = None


class _LineEvent(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    watched: dict[str, str]
    truncated: bool = False


_T = TypeVar("_T")


def parse(data: bytes, *, name: str) -> Answer | Line | Exit:
    """One line of the agent on the device called `name`, which is printable.

    Raises: GarbledOutput: it is not one of the protocol's lines, or a program's line was longer than 1 MiB.
    """
    incoming = decode(data, _Incoming, name=name)
    ok = incoming.ok if bytes(incoming.ok) else None
    if sum(part is not None for part in (ok, incoming.error, incoming.event)) != 1:
        raise garbled(data, "neither an answer nor an event", name=name)
    if incoming.event == "exit":
        return decode(data, Exit, name=name)
    if incoming.event == "line":
        line = decode(data, _LineEvent, name=name)
        if line.truncated:
            raise garbled(line.text.encode(), "the program printed a line of more than 1 MiB", name=name)
        return Line(line.text, line.watched)
    if ok is not None and incoming.id is None:
        raise garbled(data, "an answer without an id", name=name)
    return Answer(incoming.id, ok, incoming.error)


def decode(data: bytes | msgspec.Raw, kind: type[_T], *, name: str) -> _T:
    """`data` as a `kind`. Raises: GarbledOutput."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise garbled(bytes(data), str(error), name=name) from None


def garbled(data: bytes, why: str, *, name: str) -> GarbledOutput:
    return GarbledOutput(
        f"{name}: the device does not speak the agent's protocol ({printable(why)}): {printable(data.rstrip(), 120)}; "
        f"try: leadline device probe {shlex.quote(name)}"
    )
