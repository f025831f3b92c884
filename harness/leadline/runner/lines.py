"""The runner's lines (docs/agent-protocol.md), checked: one line of text in, one record out, nothing taken on trust."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from leadline.core.errors import GarbledOutput
from leadline.core.text import printable
from leadline.records.trial import Fingerprint, OpTime, Ready, TensorInfo

HOUR_NS = 3600 * 10**9
MAX_RUNS = 10_000  # per block: its line stays far below the agent's 1 MiB
MAX_PROFILE_OPS = 4_096

Time = Annotated[int, msgspec.Meta(ge=0, le=HOUR_NS)]
PositiveTime = Annotated[int, msgspec.Meta(ge=1, le=HOUR_NS)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31)]


class ReadyLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="ready"):
    runtime: Annotated[str, msgspec.Meta(max_length=100)]
    load_ns: Time
    prepare_ns: Time
    first_ns: PositiveTime
    op_count: Count | None
    delegated_ops: Count | None
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    fingerprints: tuple[Fingerprint, ...]

    def __post_init__(self) -> None:
        if len(self.fingerprints) != len(self.outputs):
            raise ValueError(f"{len(self.fingerprints)} fingerprints for {len(self.outputs)} outputs")
        if self.delegated_ops is not None and (self.op_count is None or self.delegated_ops > self.op_count):
            raise ValueError(f"{self.delegated_ops} of {self.op_count} ops are delegated")
        for fingerprint in self.fingerprints:
            if not all(map(math.isfinite, (fingerprint.mean, fingerprint.rms, *fingerprint.head))):
                raise ValueError("a fingerprint is not finite")

    def record(self) -> Ready:
        return Ready(**{field: getattr(self, field) for field in Ready.__struct_fields__})


class BlockLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="block"):
    wall_ns: list[PositiveTime]
    cpu_ns: list[Time]
    switches: list[Count]


class ProfileLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="profile"):
    ops: Annotated[tuple[OpTime, ...], msgspec.Meta(max_length=MAX_PROFILE_OPS)]

    def __post_init__(self) -> None:
        for op in self.ops:
            if not 0 <= op.median_ns <= HOUR_NS or op.runs < 1 or op.index < 0:
                raise ValueError(f"op {op.index} took {op.median_ns} ns, median of {op.runs}")


class ErrorLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="error"):
    code: str  # model · library · memory · unsupported · order
    text: str


class ProbeLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="probe"):
    """Only from the Python script: which runtime it would use."""

    runtime: Annotated[str, msgspec.Meta(max_length=100)]


RunnerLine = ReadyLine | BlockLine | ProfileLine | ErrorLine | ProbeLine
_decoder: msgspec.json.Decoder[RunnerLine] = msgspec.json.Decoder(RunnerLine)


def parse_line(text: str) -> RunnerLine:
    """One line of a runner.

    Raises: GarbledOutput, without the device's name: it is not JSON (NaN is not), not one of the lines, or says what
        cannot be: a time that is negative, zero or beyond an hour, more delegated ops than ops …
    """
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise GarbledOutput(f"the runner said {printable(text, 80)!r}: {printable(str(error))}") from None


def complaint(stderr: str) -> str:
    """What the runtime itself complained of on standard error, ready to be appended to a message; may be empty."""
    lines = [line.strip() for line in stderr.splitlines()]
    told = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")] or [
        line for line in lines[-1:] if line
    ]
    return f": {printable('; '.join(told[:3]), 300)}" if told else ""
