"""The store: everything measured, every attempt committed once and whole."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Self

import msgspec
import sqlalchemy as sa

from leadline.core.errors import StoreError
from leadline.core.text import printable
from leadline.records.device import Profile
from leadline.records.roofline import Sweep
from leadline.records.trial import Artifact, Attempt, Campaign, Trial
from leadline.store import codec, merge, queries, reports, schema, sqlite
from leadline.store.contents import Contents, Merged, Result
from leadline.store.migrate import bring_up_to_date
from leadline.store.queries import Selection

_STATE_AFTER = {"done": "done", "failed": "failed", "interrupted": "planned"}


class Store:
    """Records in, records out; every method raises StoreError with the store's place, the fact and the next command.

    Safe to share between threads: each call takes a connection of its own, and writers of this process queue. Other
    processes may read at any time and write in turn; who waits longer than 30 s is told so.
    """

    def __init__(self, engine: sa.Engine, place: str) -> None:
        self._engine = engine
        self._place = place
        self._writing = threading.Lock()

    @classmethod
    def open(cls, url: str) -> Store:
        """Open, and create or migrate where needed.

        Args: url: SQLAlchemy's, ``sqlite:///relative.sqlite``, ``sqlite:////absolute.sqlite``.
        Raises: StoreError: no such folder, no permission, not a store, locked, of a newer Leadline …
        """
        engine, place = _engine(url)
        store = cls(engine, place)
        try:
            with store._mapped():
                bring_up_to_date(engine, place)
                if engine.dialect.name == "sqlite":
                    sqlite.prefer_wal(engine)
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Safe to call twice."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # devices, models, campaigns

    def save_profile(self, profile: Profile) -> None:
        """Keep a probe's findings; earlier ones stay."""
        row = codec.profile_row(profile)
        with self._write() as connection:
            merge.add(connection, schema.profile, row)

    def latest_profile(self, serial: str) -> Profile | None:
        of_device = sa.select(schema.profile).where(schema.profile.c.serial == serial)
        with self._read() as connection:
            row = connection.execute(of_device.order_by(schema.profile.c.taken_at.desc()).limit(1)).mappings().first()
            return None if row is None else codec.profile_of(row)

    def profiles(self) -> list[Profile]:
        """All that were ever saved, by serial and time."""
        with self._read() as connection:
            return queries.profiles(connection)

    def save_artifact(self, artifact: Artifact) -> None:
        """Keep what is known of a model file; of one already known, the name, the path and any newly known facts."""
        row = codec.artifact_row(artifact)
        known = {name: value for name, value in row.items() if value is not None}
        with self._write() as connection:
            if merge.find(connection, schema.artifact, row) is None:
                connection.execute(sa.insert(schema.artifact), row)
            else:
                same = schema.artifact.c.sha256 == artifact.sha256
                connection.execute(sa.update(schema.artifact).where(same).values(known))

    def artifact(self, sha256: str) -> Artifact | None:
        with self._read() as connection:
            return next(iter(queries.artifacts(connection, [sha256])), None)

    def save_campaign(self, campaign: Campaign) -> None:
        row = codec.campaign_row(campaign)
        with self._write() as connection:
            merge.add(connection, schema.campaign, row)

    def campaigns(self) -> list[Campaign]:
        """By creation."""
        with self._read() as connection:
            return queries.campaigns(connection)

    # trials and attempts

    def plan(self, trials: Sequence[Trial]) -> None:
        """Add new trials, all or none, behind those that their campaigns have. Campaigns and artifacts come first."""
        with self._write() as connection:
            for trial in trials:
                position = merge.next_position(connection, trial.campaign_id)
                connection.execute(sa.insert(schema.trial), codec.trial_row(trial, position))

    def start(self, trial_id: str) -> None:
        """Mark as running; a trial that a crash left running may be started again, a finished one may not."""
        with self._write() as connection:
            self._unfinished(connection, trial_id)
            _set_state(connection, trial_id, "running")

    def commit(self, attempt: Attempt) -> None:
        """Keep an attempt with all its samples, and move its trial on, in one durable transaction.

        Raises: StoreError if the trial is unknown or done already; then nothing has changed.
        """
        rows = codec.attempt_rows(attempt)
        with self._write() as connection:
            self._unfinished(connection, attempt.trial_id)
            merge.insert_attempt(connection, rows)
            _set_state(connection, attempt.trial_id, _STATE_AFTER[attempt.outcome])

    def trials(
        self,
        *,
        campaign_id: str | None = None,
        serials: Collection[str] | None = None,
        since: datetime | None = None,
        states: Collection[str] | None = None,
    ) -> list[Trial]:
        """By campaign, then as planned.

        Args: since: tried last, or planned if never tried, at or after this.
        """
        chosen = Selection(campaign_id=campaign_id, serials=serials, since=since, states=states)
        with self._read() as connection:
            return queries.trials(connection, chosen)

    def trial(self, id: str) -> Trial:
        """The trial whose id is, or unambiguously begins with, `id`. Raises: StoreError if there is not just one."""
        begins = schema.trial.c.id.startswith(id, autoescape=True)
        with self._read() as connection:
            rows = connection.execute(sa.select(schema.trial).where(begins).limit(2)).mappings().all()
            if len(rows) != 1:
                fact = "no such trial" if not rows else "several trials begin so"
                raise StoreError(f"trial {printable(id)!r}: {fact}; list them: leadline results --json")
            return codec.trial_of(rows[0])

    def attempts(self, trial_ids: Sequence[str] | None = None, *, with_samples: bool = True) -> Iterator[Attempt]:
        """The attempts of these trials, or of all, by trial as given, then by start.

        Args: with_samples: if not, launches come without blocks and ops, much faster.
        """
        if trial_ids is None:
            trial_ids = [trial.id for trial in self.trials()]
        for some in queries.pieces(trial_ids, 50):  # a few at a time: a reader that dawdles holds no connection
            with self._read() as connection:
                found = list(queries.attempts(connection, some, with_samples=with_samples))
            yield from found

    def results(
        self,
        *,
        campaign_id: str | None = None,
        serials: Collection[str] | None = None,
        since: datetime | None = None,
        model: str | None = None,
    ) -> list[Result]:
        """Every trial that matches, with what came of it; ordered as `trials`.

        Args: model: glob over the model's name, case matters.
        """
        chosen = Selection(campaign_id=campaign_id, serials=serials, since=since)
        with self._read() as connection:
            return reports.results(connection, chosen, model)

    # rooflines

    def save_sweep(self, sweep: Sweep) -> None:
        """Keep a sweep whole; it never changes. Raises: StoreError if another of this id is there."""
        row = codec.sweep_row(sweep)
        with self._write() as connection:
            merge.add(connection, schema.sweep, row)

    def sweeps(self, *, serials: Collection[str] | None = None, since: datetime | None = None) -> list[Sweep]:
        """By time.

        Args: since: taken at or after this.
        """
        with self._read() as connection:
            return queries.sweeps(connection, serials=serials, since=since)

    # bundles

    def contents(
        self,
        *,
        campaign_id: str | None = None,
        serials: Collection[str] | None = None,
        since: datetime | None = None,
    ) -> Contents:
        """A consistent copy of the trials that match and of all they refer to, and of the sweeps that match unless a
        campaign is asked for; of everything if nothing is asked."""
        with self._read() as connection:
            return reports.contents(connection, Selection(campaign_id=campaign_id, serials=serials, since=since))

    def merge(self, contents: Contents) -> Merged:
        """Add what is new, in one transaction. Raises: StoreError, with nothing changed, if anything contradicts."""
        with self._write() as connection:
            return merge.merge(connection, contents)

    def salt(self) -> str:
        """The secret of this store that makes its anonymous names stable and unguessable."""
        with self._read() as connection:
            row = merge.find(connection, schema.setting, {"name": "salt"})
            assert row is not None, "the first migration writes it"
            return str(row["value"])

    # the seam to the database

    def _unfinished(self, connection: sa.Connection, trial_id: str) -> None:
        row = merge.find(connection, schema.trial, {"id": trial_id})
        if row is None:
            raise StoreError(f"{self._place}: knows no trial {printable(trial_id)}; plan it first")
        if row["state"] == "done":
            raise StoreError(
                f"{self._place}: trial {trial_id} is finished and never changes; plan a new one to repeat it"
            )

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with self._mapped(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        with self._writing, self._mapped(), sqlite.writing(self._engine) as connection:
            yield connection

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """Foreign errors become StoreError here and nowhere else."""
        try:
            yield
        except sa.exc.IntegrityError as error:
            raise StoreError(f"{self._place}: refused: {error.orig}; nothing was written") from error
        except sa.exc.DBAPIError as error:
            raise StoreError(f"{self._place}: {self._explained(error.orig)}") from error
        except sqlite3.Error as error:
            raise StoreError(f"{self._place}: {self._explained(error)}") from error
        except (sa.exc.SQLAlchemyError, OverflowError) as error:
            raise StoreError(f"{self._place}: {error}") from error
        except (msgspec.MsgspecError, ValueError) as error:
            raise StoreError(
                f"{self._place}: holds a row that cannot be read ({error}); restore it from a bundle"
            ) from error

    def _explained(self, error: object) -> str:
        file = sqlite.file_of(self._engine.url)
        if isinstance(error, sqlite3.Error) and file is not None:
            return sqlite.explain(error, file)
        return str(error).strip()


def _engine(url: str) -> tuple[sa.Engine, str]:
    """The engine, and the name that messages call the store by, without any password."""
    example = "write it like sqlite:////path/of/store.sqlite"
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise StoreError(f"store {printable(url)!r}: is not a database URL; {example}") from error
    place = f"store {printable(parsed.render_as_string(hide_password=True))}"
    try:
        if parsed.get_backend_name() != "sqlite":
            return sa.create_engine(parsed), place
    except (sa.exc.ArgumentError, ModuleNotFoundError) as error:
        raise StoreError(f"{place}: no driver for this database ({error}); {example}") from error
    file = sqlite.file_of(parsed)
    if file is None:
        raise StoreError(f"{place}: would be forgotten at the end; {example}")
    place = f"store {printable(str(file))}"
    if sqlite.is_foreign(file):
        raise StoreError(f"{place}: {sqlite.NOT_A_STORE}")
    return sqlite.create_engine(parsed), place


def _set_state(connection: sa.Connection, trial_id: str, state: str) -> None:
    connection.execute(sa.update(schema.trial).where(schema.trial.c.id == trial_id).values(state=state))
