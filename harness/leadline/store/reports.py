"""Reads that join: what `leadline results` shows and what a bundle holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase

import sqlalchemy as sa

from leadline.records.device import Profile
from leadline.store import queries, schema
from leadline.store.contents import Contents, Result
from leadline.store.queries import Selection


def results(connection: sa.Connection, chosen: Selection, model: str | None) -> list[Result]:
    trials = [
        trial for trial in queries.trials(connection, chosen) if model is None or fnmatchcase(trial.model_name, model)
    ]
    artifacts = {each.sha256: each for each in queries.artifacts(connection, {trial.artifact for trial in trials})}
    profiles: dict[str, list[Profile]] = defaultdict(list)
    for profile in queries.profiles(connection):
        profiles[profile.serial].append(profile)
    tries: dict[str, list[sa.RowMapping]] = defaultdict(list)
    attempt = schema.attempt
    for ids in queries.pieces([trial.id for trial in trials]):
        query = sa.select(attempt).where(attempt.c.trial_id.in_(ids)).order_by(attempt.c.started_at, attempt.c.id)
        for row in connection.execute(query).mappings():
            tries[row["trial_id"]].append(row)
    done = [next((row for row in reversed(rows) if row["outcome"] == "done"), None) for rows in tries.values()]
    measured = queries.attempts_of(connection, [row for row in done if row is not None], with_samples=True)
    attempts = {each.trial_id: each for each in measured}
    last = queries.attempts_of(connection, [rows[-1] for rows in tries.values()], with_samples=False)
    latest = {each.trial_id: each for each in last}
    return [
        Result(
            trial=trial,
            artifact=artifacts[trial.artifact],
            profile=_as_measured(profiles[trial.serial], latest[trial.id].started_at if trial.id in latest else None),
            attempt=attempts.get(trial.id),
            last=latest.get(trial.id),
            tries=len(tries[trial.id]) if trial.id in tries else 0,
        )
        for trial in trials
    ]


def contents(connection: sa.Connection, chosen: Selection) -> Contents:
    trials = queries.trials(connection, chosen)
    everything = chosen == Selection()
    campaign_ids = {trial.campaign_id for trial in trials}
    # A sweep is of no campaign, so that who asks for one campaign gets none.
    sweeps = [] if chosen.campaign_id else queries.sweeps(connection, serials=chosen.serials, since=chosen.since)
    serials = {trial.serial for trial in trials} | {sweep.serial for sweep in sweeps}
    return Contents(
        campaigns=tuple(each for each in queries.campaigns(connection) if everything or each.id in campaign_ids),
        profiles=tuple(each for each in queries.profiles(connection) if everything or each.serial in serials),
        artifacts=tuple(queries.artifacts(connection, None if everything else {trial.artifact for trial in trials})),
        trials=tuple(trials),
        attempts=tuple(queries.attempts(connection, [trial.id for trial in trials], with_samples=True)),
        sweeps=tuple(sweeps),
    )


def _as_measured(profiles: Sequence[Profile], moment: datetime | None) -> Profile | None:
    """The last of `profiles` (rising in time) taken by `moment`; the first there is if all are younger."""
    if not profiles:
        return None
    before = [profile for profile in profiles if moment is None or profile.taken_at <= moment]
    return before[-1] if before else profiles[0]
