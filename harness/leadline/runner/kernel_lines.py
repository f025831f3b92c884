"""The micro-kernels' lines (docs/agent-protocol.md), checked: one line of text in, one record out."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from leadline.core.errors import GarbledOutput
from leadline.core.text import printable
from leadline.records.roofline import KernelType, MemoryLevel

MAX_TRIES = 100
MAX_GOPS = 1e8  # of all threads: a hundred times the fastest machine with shared memory

Isa = Annotated[str, msgspec.Meta(pattern=r"^[\w.+-]{1,32}$")]  # shown as it is
Speed = Annotated[float, msgspec.Meta(gt=0, le=MAX_GOPS)]  # NaN is no JSON, and no number is beyond infinity
Bytes = Annotated[int, msgspec.Meta(ge=1, le=2**48)]
Cpu = Annotated[int, msgspec.Meta(ge=0, lt=4096)]


class ReadyLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="ready"):
    """The threads are pinned; `points` will follow."""

    version: Annotated[str, msgspec.Meta(max_length=40)]
    points: Annotated[int, msgspec.Meta(ge=0)]
    isas: dict[KernelType, Isa | None]  # what is used for each type asked for; None: the CPU cannot compute it


class PointLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="point"):
    dtype: KernelType
    isa: Isa
    level: MemoryLevel
    working_set_bytes: Bytes
    intensity: Annotated[float, msgspec.Meta(gt=0, le=1e6)]
    gops: Annotated[tuple[Speed, ...], msgspec.Meta(min_length=1, max_length=MAX_TRIES)]
    correct: bool


class EndLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="end"):
    stopped: Literal["time", "cpu"] | None  # why points are missing
    cpu: Cpu | None  # that a thread has lost

    def __post_init__(self) -> None:
        if (self.stopped == "cpu") != (self.cpu is not None):
            raise ValueError(f"stopped by {self.stopped}, CPU {self.cpu}")


class ErrorLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="error"):
    code: str  # arguments · isa · cpu · memory
    text: str


KernelLine = ReadyLine | PointLine | EndLine | ErrorLine
_decoder: msgspec.json.Decoder[KernelLine] = msgspec.json.Decoder(KernelLine)


def parse_line(text: str) -> KernelLine:
    """One line of the kernels' program.

    Raises: GarbledOutput, without the device's name: it is not JSON, not one of the lines, or says what cannot be.
    """
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise GarbledOutput(f"the kernels said {printable(text, 80)!r}: {printable(str(error))}") from None
