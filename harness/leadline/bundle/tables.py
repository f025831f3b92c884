"""The tables of a bundle, made from a store's contents, and the contents made from them.

Both ways are exact: ``tables_of(contents_of(tables))`` gives the same tables, or they were not written by Leadline.
That one comparison is how `leadline.bundle.verify` finds rows that are missing, doubled, out of order or belong to
nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import polars as pl

from leadline.bundle.columns import from_frame, row_of, schema_of, to_frame
from leadline.records.device import Conditions, Profile
from leadline.records.roofline import KernelPoint, Sweep
from leadline.records.trial import (
    Artifact,
    Attempt,
    Block,
    Campaign,
    Int64s,
    Launch,
    OpTime,
    Ready,
    StopReason,
    Summary,
    Trial,
)
from leadline.stats.summary import summarize
from leadline.store.contents import Contents

Tables = Mapping[str, pl.DataFrame]
Key = tuple[str, int]  # attempt id, position of the launch in it


class _Process(msgspec.Struct, frozen=True, kw_only=True):
    """What the table of launches holds of a launch."""

    index: int
    ready: Ready
    peak_rss_bytes: int | None
    stop: StopReason


_LAUNCH = {"attempt_id": pl.String(), "launch": pl.Int64()}
_BLOCK = {**_LAUNCH, "block": pl.Int64()}
_SAMPLES = {name: pl.Int64() for name in ("wall_ns", "cpu_ns", "switches")}

SCHEMAS: Mapping[str, Mapping[str, pl.DataType]] = {
    "devices": schema_of(Profile),
    "campaigns": schema_of(Campaign),
    "models": schema_of(Artifact),
    "trials": schema_of(Trial),
    "attempts": schema_of(Attempt),
    "launches": {**_LAUNCH, **schema_of(_Process)},
    "samples": {**_BLOCK, "index": pl.Int64(), "warmup": pl.Boolean(), **_SAMPLES},
    "conditions": {
        **_BLOCK,
        "warmup": pl.Boolean(),
        "runs": pl.Int64(),
        "recorded": pl.Boolean(),
        **schema_of(Conditions),
    },
    "ops": {**_LAUNCH, **schema_of(OpTime)},
    "summaries": {"attempt_id": pl.String(), **schema_of(Summary)},
    "sweeps": schema_of(Sweep),
    "sweep_points": {"sweep_id": pl.String(), "index": pl.Int64(), **schema_of(KernelPoint)},
}


def tables_of(contents: Contents) -> Tables:
    """Name → table, columns as in `SCHEMAS`, rows in the order of `contents`."""
    launches = [
        (attempt.id, position, launch)
        for attempt in contents.attempts
        for position, launch in enumerate(attempt.launches)
    ]
    blocks = [
        ({"attempt_id": attempt_id, "launch": launch_position, "block": position}, block)
        for attempt_id, launch_position, launch in launches
        for position, block in enumerate(launch.blocks)
    ]
    return {
        "devices": to_frame(contents.profiles, Profile),
        "campaigns": to_frame(contents.campaigns, Campaign),
        "models": to_frame(contents.artifacts, Artifact),
        "trials": to_frame(contents.trials, Trial),
        "attempts": to_frame(contents.attempts, Attempt),
        "launches": _frame(
            "launches", ({"attempt_id": id, "launch": position} | row_of(launch) for id, position, launch in launches)
        ),
        "samples": _samples(blocks),
        "conditions": _frame("conditions", (key | _surroundings(block) for key, block in blocks)),
        "ops": _frame(
            "ops",
            (
                {"attempt_id": id, "launch": position} | row_of(op)
                for id, position, launch in launches
                for op in launch.ops
            ),
        ),
        "summaries": _frame(
            "summaries", ({"attempt_id": each.id} | row_of(summarize(each.launches)) for each in _measured(contents))
        ),
        "sweeps": to_frame(contents.sweeps, Sweep),
        "sweep_points": _frame(
            "sweep_points",
            (
                {"sweep_id": sweep.id, "index": index} | row_of(point)
                for sweep in contents.sweeps
                for index, point in enumerate(sweep.points)
            ),
        ),
    }


def contents_of(tables: Tables) -> Contents:
    """The inverse of `tables_of`. Raises: msgspec.ValidationError, ValueError if a row cannot be a record."""
    blocks = _blocks(tables["conditions"], tables["samples"])
    ops: dict[Key, list[OpTime]] = defaultdict(list)
    for key, op in zip(_keys(tables["ops"]), from_frame(tables["ops"], OpTime), strict=True):
        ops[key].append(op)
    launches: dict[str, list[Launch]] = defaultdict(list)
    for key, process in zip(_keys(tables["launches"]), from_frame(tables["launches"], _Process), strict=True):
        launches[key[0]].append(
            Launch(
                index=process.index,
                ready=process.ready,
                peak_rss_bytes=process.peak_rss_bytes,
                stop=process.stop,
                blocks=tuple(blocks.get(key, ())),
                ops=tuple(ops.get(key, ())),
            )
        )
    points: dict[str, list[KernelPoint]] = defaultdict(list)
    sweep_points = tables["sweep_points"]
    for sweep_id, point in zip(sweep_points["sweep_id"], from_frame(sweep_points, KernelPoint), strict=True):
        points[sweep_id].append(point)
    return Contents(
        campaigns=tuple(from_frame(tables["campaigns"], Campaign)),
        profiles=tuple(from_frame(tables["devices"], Profile)),
        artifacts=tuple(from_frame(tables["models"], Artifact)),
        trials=tuple(from_frame(tables["trials"], Trial)),
        attempts=tuple(
            msgspec.structs.replace(attempt, launches=tuple(launches.get(attempt.id, ())))
            for attempt in from_frame(tables["attempts"], Attempt)
        ),
        sweeps=tuple(
            msgspec.structs.replace(sweep, points=tuple(points.get(sweep.id, ())))
            for sweep in from_frame(tables["sweeps"], Sweep)
        ),
    )


def _frame(name: str, rows: Iterator[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=dict(SCHEMAS[name]), orient="row")


def _measured(contents: Contents) -> Iterator[Attempt]:
    """The attempts that there is a summary of."""
    for attempt in contents.attempts:
        if attempt.outcome == "done" and any(
            block.wall_ns.size for launch in attempt.launches for block in launch.blocks if not block.warmup
        ):
            yield attempt


def _surroundings(block: Block) -> dict[str, Any]:
    nothing = dict.fromkeys(schema_of(Conditions))
    read = nothing if block.conditions is None else row_of(block.conditions)
    return {"warmup": block.warmup, "runs": block.wall_ns.size, "recorded": block.conditions is not None, **read}


def _samples(blocks: Sequence[tuple[dict[str, Any], Block]]) -> pl.DataFrame:
    """One row per inference. There are millions of them: arrays, not rows, all the way."""
    sizes = [block.wall_ns.size for _, block in blocks]
    of_block = np.repeat(np.arange(len(blocks)), sizes)
    heads = pl.DataFrame(
        [{**key, "warmup": block.warmup} for key, block in blocks], schema={**_BLOCK, "warmup": pl.Boolean()}
    )
    columns = heads[of_block].with_columns(
        pl.Series("index", _joined([np.arange(size) for size in sizes])),
        *(pl.Series(name, _joined([getattr(block, name) for _, block in blocks])) for name in _SAMPLES),
    )
    return columns.select(*SCHEMAS["samples"])


def _blocks(conditions: pl.DataFrame, samples: pl.DataFrame) -> dict[Key, list[Block]]:
    """The blocks of each launch; `samples` has `conditions.runs` rows per block, in the same order."""
    blocks: dict[Key, list[Block]] = defaultdict(list)
    arrays = {name: samples[name].to_numpy().astype(np.int64, copy=False) for name in _SAMPLES}
    start = 0
    read = iter(from_frame(conditions.filter("recorded"), Conditions))
    rows = conditions.select("warmup", "runs", "recorded").iter_rows()
    for key, (warmup, runs, recorded) in zip(_keys(conditions), rows, strict=True):
        blocks[key].append(
            Block(
                warmup=warmup,
                conditions=next(read) if recorded else None,
                **{name: array[start : start + runs] for name, array in arrays.items()},
            )
        )
        start += runs
    return blocks


def _keys(frame: pl.DataFrame) -> list[Key]:
    return list(frame.select("attempt_id", "launch").iter_rows())


def _joined(arrays: Sequence[Int64s]) -> Int64s:
    return np.concatenate(arrays) if arrays else np.empty(0, np.int64)
