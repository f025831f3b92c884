"""Taking in what another store exported: adds what is new, accepts what is the same, refuses what contradicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from leadline.core.errors import StoreError
from leadline.core.text import printable
from leadline.records.trial import Artifact, Attempt, Trial
from leadline.store import codec, schema
from leadline.store.contents import Contents, Merged

_PROGRESS = {"planned": 0, "running": 0, "failed": 1, "done": 2}


def merge(connection: sa.Connection, contents: Contents) -> Merged:
    """Within the caller's transaction. Raises: StoreError at the first contradiction; the caller rolls back."""
    finished = _finished(connection)
    return Merged(
        campaigns=sum(add(connection, schema.campaign, codec.campaign_row(each)) for each in contents.campaigns),
        profiles=sum(add(connection, schema.profile, codec.profile_row(each)) for each in contents.profiles),
        artifacts=sum(_add_artifact(connection, each) for each in contents.artifacts),
        trials=sum(_add_trial(connection, each) for each in contents.trials),
        attempts=sum(_add_attempt(connection, each, finished) for each in contents.attempts),
        sweeps=sum(add(connection, schema.sweep, codec.sweep_row(each)) for each in contents.sweeps),
    )


def add(connection: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> bool:
    """Insert `row` unless it is there; returns whether it was new. Raises: StoreError if another is there."""
    found = find(connection, table, row)
    if found is None:
        connection.execute(sa.insert(table), dict(row))
        return True
    differing = [name for name in row if found[name] != row[name]]
    if differing:
        raise _contradiction(table.name, str(row[next(iter(table.primary_key)).name]), differing)
    return False


def find(connection: sa.Connection, table: sa.Table, key: Mapping[str, Any]) -> sa.RowMapping | None:
    """The row of `table` whose primary key `key` holds."""
    same = (column == key[column.name] for column in table.primary_key)
    return connection.execute(sa.select(table).where(*same)).mappings().one_or_none()


def next_position(connection: sa.Connection, campaign_id: str) -> int:
    """Where the next trial of a campaign stands."""
    last = sa.select(sa.func.max(schema.trial.c.position)).where(schema.trial.c.campaign_id == campaign_id)
    found = connection.execute(last).scalar_one()
    return 0 if found is None else found + 1


def insert_attempt(connection: sa.Connection, rows: codec.AttemptRows) -> None:
    connection.execute(sa.insert(schema.attempt), rows.attempt)
    for table, many in ((schema.launch, rows.launches), (schema.block, rows.blocks), (schema.op_time, rows.ops)):
        if many:
            connection.execute(sa.insert(table), many)


def _add_artifact(connection: sa.Connection, artifact: Artifact) -> bool:
    """Name and path may differ, since they are what one host calls the file; what is known of its content may not."""
    row = codec.artifact_row(artifact)
    found = find(connection, schema.artifact, row)
    if found is None:
        connection.execute(sa.insert(schema.artifact), row)
        return True
    facts = ("size_bytes", "flops", "parameters", "architecture")
    differing = [name for name in facts if None not in (found[name], row[name]) and found[name] != row[name]]
    if differing:
        raise _contradiction("artifact", artifact.sha256, differing)
    return False


def _add_trial(connection: sa.Connection, trial: Trial) -> bool:
    found = find(connection, schema.trial, {"id": trial.id})
    if found is None:
        row = codec.trial_row(trial, next_position(connection, trial.campaign_id))
        connection.execute(sa.insert(schema.trial), row)
        return True
    row = codec.trial_row(trial, found["position"])
    differing = [name for name in row if name != "state" and found[name] != row[name]]
    if differing:
        raise _contradiction("trial", trial.id, differing)
    if _PROGRESS[trial.state] > _PROGRESS[found["state"]]:
        connection.execute(sa.update(schema.trial).where(schema.trial.c.id == trial.id).values(state=trial.state))
    return False


def _finished(connection: sa.Connection) -> set[str]:
    return set(connection.execute(sa.select(schema.trial.c.id).where(schema.trial.c.state == "done")).scalars())


def _add_attempt(connection: sa.Connection, attempt: Attempt, finished: set[str]) -> bool:
    rows = codec.attempt_rows(attempt)
    if find(connection, schema.attempt, rows.attempt) is None:
        if attempt.trial_id in finished:
            raise _contradiction("trial", attempt.trial_id, ["attempt, and is finished"])
        insert_attempt(connection, rows)
        return True
    add(connection, schema.attempt, rows.attempt)
    for table, many in ((schema.launch, rows.launches), (schema.block, rows.blocks), (schema.op_time, rows.ops)):
        here = sa.select(table).where(table.c.attempt_id == attempt.id)
        order = [column for column in table.primary_key if column.name != "attempt_id"]
        found = [dict(row) for row in connection.execute(here.order_by(*order)).mappings()]
        if found != many:
            raise _contradiction("attempt", attempt.id, [f"{table.name} rows"])
    return False


def _contradiction(what: str, key: str, differing: list[str]) -> StoreError:
    return StoreError(
        f"{what} {printable(key)}: is in the store already, with another {', '.join(differing)}; nothing was written; "
        "to keep both, use a store of its own: leadline --store sqlite:///other.sqlite …"
    )
