"""Records to rows and back, without loss: a row is a dict of column values of `leadline.store.schema`."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
import numpy as np
import sqlalchemy as sa

from leadline.core.errors import BadInput
from leadline.core.text import printable
from leadline.records.device import Conditions, Profile
from leadline.records.roofline import Sweep
from leadline.records.trial import (
    Artifact,
    Attempt,
    Block,
    Campaign,
    Int64s,
    Launch,
    MeasureProtocol,
    OpTime,
    Ready,
    RunConfig,
    Trial,
)

Row = sa.RowMapping
T = TypeVar("T")


class AttemptRows(msgspec.Struct, frozen=True):
    """An attempt, spread over its four tables; each list in order."""

    attempt: dict[str, Any]
    launches: list[dict[str, Any]]
    blocks: list[dict[str, Any]]
    ops: list[dict[str, Any]]


def instant(moment: datetime) -> str:
    """Aware time → sortable text in UTC, with microseconds."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def document(value: Any) -> str:
    """Any record → one line of plain ASCII JSON; numbers that JSON lacks become "nan", "inf" and "-inf"."""
    plain = msgspec.to_builtins(value, str_keys=True)
    try:
        return json.dumps(plain, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return json.dumps(_spelled(plain), separators=(",", ":"), allow_nan=False)


def from_document(text: str, type: type[T]) -> T:
    """The inverse of `document`. Lax, so that "nan" reads as a float again."""
    return msgspec.convert(json.loads(text), type, strict=False)


def storable(text: str, what: str) -> str:
    """`text` if every database can hold it. Raises: BadInput."""
    if "\0" in text or not _encodable(text):
        raise BadInput(f"{what} {printable(text)!r}: holds bytes that are not valid UTF-8; rename it and try again")
    return text


def profile_row(record: Profile) -> dict[str, Any]:
    return {
        "serial": storable(record.serial, "serial"),
        "taken_at": instant(record.taken_at),
        "document": document(record),
    }


def profile_of(row: Row) -> Profile:
    return from_document(row["document"], Profile)


def artifact_row(record: Artifact) -> dict[str, Any]:
    storable(record.name, "model")
    storable(record.path, "model file")
    storable(record.architecture or "", "architecture")
    return msgspec.structs.asdict(record)


def artifact_of(row: Row) -> Artifact:
    return Artifact(**row)


def campaign_row(record: Campaign) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": storable(record.name, "campaign"),
        "created_at": instant(record.created_at),
        "versions": document(record.versions),
    }


def campaign_of(row: Row) -> Campaign:
    return Campaign(
        id=row["id"],
        name=row["name"],
        created_at=datetime.fromisoformat(row["created_at"]),
        versions=from_document(row["versions"], dict[str, str]),
    )


def trial_row(record: Trial, position: int) -> dict[str, Any]:
    return {
        "id": record.id,
        "campaign_id": record.campaign_id,
        "position": position,
        "serial": storable(record.serial, "serial"),
        "artifact": record.artifact,
        "model_name": storable(record.model_name, "model"),
        "config": document(record.config),
        "protocol": document(record.protocol),
        "state": record.state,
    }


def trial_of(row: Row) -> Trial:
    columns = {name: row[name] for name in Trial.__struct_fields__}
    columns["config"] = from_document(row["config"], RunConfig)
    columns["protocol"] = from_document(row["protocol"], MeasureProtocol)
    return Trial(**columns)


def attempt_rows(record: Attempt) -> AttemptRows:
    """Free texts (error, warnings) keep every character a database can hold; others are written as escapes, since a
    strange message must never cost a measurement."""
    return AttemptRows(
        attempt={
            "id": record.id,
            "trial_id": record.trial_id,
            "started_at": instant(record.started_at),
            "ended_at": instant(record.ended_at),
            "outcome": record.outcome,
            "error_kind": record.error_kind,
            "error": None if record.error is None else _escaped(record.error),
            "runner": record.runner,
            "agent_version": record.agent_version,
            "output_check": record.output_check,
            "warnings": document([_escaped(warning) for warning in record.warnings]),
        },
        launches=[
            {
                "attempt_id": record.id,
                "position": position,
                "index": launch.index,
                "ready": document(launch.ready),
                "peak_rss_bytes": launch.peak_rss_bytes,
                "stop": launch.stop,
            }
            for position, launch in enumerate(record.launches)
        ],
        blocks=[
            {
                "attempt_id": record.id,
                "launch": launch_position,
                "position": position,
                "warmup": block.warmup,
                "wall_ns": _blob(block.wall_ns),
                "cpu_ns": _blob(block.cpu_ns),
                "switches": _blob(block.switches),
                "conditions": None if block.conditions is None else document(block.conditions),
            }
            for launch_position, launch in enumerate(record.launches)
            for position, block in enumerate(_even(launch.blocks))
        ],
        ops=[
            {
                "attempt_id": record.id,
                "launch": launch_position,
                "position": position,
                "index": op.index,
                "name": _escaped(op.name),
                "delegated": op.delegated,
                "median_ns": None if math.isnan(op.median_ns) else op.median_ns,
                "runs": op.runs,
            }
            for launch_position, launch in enumerate(record.launches)
            for position, op in enumerate(launch.ops)
        ],
    )


def attempt_of(row: Row, launches: Sequence[Row], blocks: Sequence[Row], ops: Sequence[Row]) -> Attempt:
    """Args: the rows of this attempt, each list ordered by (launch, position)."""
    columns = {name: row[name] for name in Attempt.__struct_fields__ if name != "launches"}
    columns["started_at"] = datetime.fromisoformat(row["started_at"])
    columns["ended_at"] = datetime.fromisoformat(row["ended_at"])
    columns["warnings"] = from_document(row["warnings"], tuple[str, ...])
    columns["launches"] = tuple(
        Launch(
            index=launch["index"],
            ready=from_document(launch["ready"], Ready),
            peak_rss_bytes=launch["peak_rss_bytes"],
            stop=launch["stop"],
            blocks=tuple(_block_of(block) for block in blocks if block["launch"] == launch["position"]),
            ops=tuple(_op_of(op) for op in ops if op["launch"] == launch["position"]),
        )
        for launch in launches
    )
    return Attempt(**columns)


def sweep_row(record: Sweep) -> dict[str, Any]:
    """Warnings keep every character a database can hold, as those of an attempt."""
    warnings = tuple(_escaped(warning) for warning in record.warnings)
    return {
        "id": record.id,
        "serial": storable(record.serial, "serial"),
        "taken_at": instant(record.taken_at),
        "document": document(msgspec.structs.replace(record, warnings=warnings)),
    }


def sweep_of(row: Row) -> Sweep:
    return from_document(row["document"], Sweep)


def _block_of(row: Row) -> Block:
    return Block(
        warmup=row["warmup"],
        wall_ns=_array(row["wall_ns"]),
        cpu_ns=_array(row["cpu_ns"]),
        switches=_array(row["switches"]),
        conditions=None if row["conditions"] is None else from_document(row["conditions"], Conditions),
    )


def _op_of(row: Row) -> OpTime:
    return OpTime(
        index=row["index"],
        name=row["name"],
        delegated=row["delegated"],
        median_ns=math.nan if row["median_ns"] is None else row["median_ns"],
        runs=row["runs"],
    )


def _even(blocks: Sequence[Block]) -> Sequence[Block]:
    for block in blocks:
        if not block.wall_ns.shape == block.cpu_ns.shape == block.switches.shape or block.wall_ns.ndim != 1:
            raise ValueError("a block's arrays have different shapes")
    return blocks


def _blob(samples: Int64s) -> bytes:
    return samples.astype("<i8", casting="safe").tobytes()


def _array(blob: bytes) -> Int64s:
    return np.frombuffer(blob, "<i8").astype(np.int64, copy=False)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _spelled(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _spelled(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(item) for item in value]
    return value
