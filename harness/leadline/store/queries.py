"""Reads: each function takes an open connection and gives records, in the store's fixed order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec
import sqlalchemy as sa

from leadline.records.device import Profile
from leadline.records.roofline import Sweep
from leadline.records.trial import Artifact, Attempt, Campaign, Trial
from leadline.store import codec, schema

T = TypeVar("T")

AT_ONCE = 500  # keys in one IN (…): far below every database's limit


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which trials; None: not narrowed."""

    campaign_id: str | None = None
    serials: Collection[str] | None = None
    since: datetime | None = None  # the trial's last attempt ended, or an untried trial was planned, at or after this
    states: Collection[str] | None = None


def pieces(items: Sequence[T], size: int = AT_ONCE) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def trials(connection: sa.Connection, chosen: Selection) -> list[Trial]:
    """By campaign creation, then as planned."""
    trial, campaign, attempt = schema.trial, schema.campaign, schema.attempt
    query = sa.select(trial).join(campaign).order_by(campaign.c.created_at, campaign.c.id, trial.c.position)
    if chosen.campaign_id is not None:
        query = query.where(trial.c.campaign_id == chosen.campaign_id)
    if chosen.serials is not None:
        query = query.where(trial.c.serial.in_(sorted(chosen.serials)))
    if chosen.states is not None:
        query = query.where(trial.c.state.in_(sorted(chosen.states)))
    if chosen.since is not None:
        ended = sa.select(sa.func.max(attempt.c.ended_at)).where(attempt.c.trial_id == trial.c.id).scalar_subquery()
        query = query.where(sa.func.coalesce(ended, campaign.c.created_at) >= codec.instant(chosen.since))
    return [codec.trial_of(row) for row in connection.execute(query).mappings()]


def attempts(connection: sa.Connection, trial_ids: Sequence[str], *, with_samples: bool) -> Iterator[Attempt]:
    """By trial as given, then by start; see `attempts_of`."""
    for some in pieces(trial_ids):
        rows = connection.execute(sa.select(schema.attempt).where(schema.attempt.c.trial_id.in_(some))).mappings().all()
        order = {trial_id: place for place, trial_id in enumerate(some)}
        ordered = sorted(rows, key=lambda row: (order[row["trial_id"]], row["started_at"], row["id"]))
        yield from attempts_of(connection, ordered, with_samples=with_samples)


def attempts_of(connection: sa.Connection, rows: Sequence[sa.RowMapping], *, with_samples: bool) -> Iterator[Attempt]:
    """The attempts of these rows of the table. Without samples their launches have neither blocks nor ops."""
    for some in pieces(rows):
        ids = [row["id"] for row in some]
        launches = _grouped(connection, schema.launch, ids, schema.launch.c.position)
        blocks: dict[str, list[sa.RowMapping]] = {}
        ops: dict[str, list[sa.RowMapping]] = {}
        if with_samples:
            blocks = _grouped(connection, schema.block, ids, schema.block.c.launch, schema.block.c.position)
            ops = _grouped(connection, schema.op_time, ids, schema.op_time.c.launch, schema.op_time.c.position)
        for row in some:
            key = row["id"]
            yield codec.attempt_of(row, launches.get(key, []), blocks.get(key, []), ops.get(key, []))


def _grouped(
    connection: sa.Connection, table: sa.Table, attempt_ids: Sequence[str], *order: sa.Column[int]
) -> dict[str, list[sa.RowMapping]]:
    groups: dict[str, list[sa.RowMapping]] = defaultdict(list)
    query = sa.select(table).where(table.c.attempt_id.in_(attempt_ids)).order_by(*order)
    for row in connection.execute(query).mappings():
        groups[row["attempt_id"]].append(row)
    return groups


def campaigns(connection: sa.Connection) -> list[Campaign]:
    """By creation."""
    query = sa.select(schema.campaign).order_by(schema.campaign.c.created_at, schema.campaign.c.id)
    return [codec.campaign_of(row) for row in connection.execute(query).mappings()]


def profiles(connection: sa.Connection) -> list[Profile]:
    """By serial, then by time."""
    query = sa.select(schema.profile).order_by(schema.profile.c.serial, schema.profile.c.taken_at)
    return [codec.profile_of(row) for row in connection.execute(query).mappings()]


def sweeps(
    connection: sa.Connection, *, serials: Collection[str] | None = None, since: datetime | None = None
) -> list[Sweep]:
    """By time."""
    sweep = schema.sweep
    query = sa.select(sweep).order_by(sweep.c.taken_at, sweep.c.id)
    if serials is not None:
        query = query.where(sweep.c.serial.in_(sorted(serials)))
    if since is not None:
        query = query.where(sweep.c.taken_at >= codec.instant(since))
    return [codec.sweep_of(row) for row in connection.execute(query).mappings()]


def artifacts(connection: sa.Connection, sha256s: Iterable[str] | None = None) -> list[Artifact]:
    """By SHA-256; all of them if none are named."""
    query = sa.select(schema.artifact).order_by(schema.artifact.c.sha256)
    if sha256s is None:
        return [codec.artifact_of(row) for row in connection.execute(query).mappings()]
    return [
        codec.artifact_of(row)
        for some in pieces(sorted(set(sha256s)))
        for row in connection.execute(query.where(schema.artifact.c.sha256.in_(some))).mappings()
    ]
