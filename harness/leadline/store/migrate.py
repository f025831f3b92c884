"""Bringing a store to this Leadline's schema: creating it, stepping it up, refusing what is newer or not ours."""

from __future__ import annotations

from importlib.metadata import version

import sqlalchemy as sa

from leadline.core.errors import StoreError
from leadline.store.schema import REVISION
from leadline.store.sqlite import writing


def bring_up_to_date(engine: sa.Engine, place: str) -> None:
    """Create or migrate in one transaction, so that a crash leaves the store as it was.

    Raises: StoreError if a newer Leadline wrote this store, or if it is some other program's database.
    """
    with engine.connect() as connection:
        found = _revision(connection, place)
    if found == REVISION:
        return
    with writing(engine) as connection:
        if _revision(connection, place) != REVISION:  # another process may have been faster
            _upgrade(connection)


def _revision(connection: sa.Connection, place: str) -> str | None:
    """The schema of this store; None if it is empty."""
    inspector = sa.inspect(connection)
    if not inspector.has_table("alembic_version"):
        if inspector.get_table_names():
            raise StoreError(f"{place}: is another program's database, not a Leadline store; name another with --store")
        return None
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    if found is not None and found > REVISION:
        raise StoreError(
            f"{place}: has schema {found} of a newer Leadline; this one, {version('leadline')}, knows up to "
            f"{REVISION}; try: pip install --upgrade leadline"
        )
    return found


def _upgrade(connection: sa.Connection) -> None:
    # Imported here: alembic takes a quarter of a second to load, and nearly every run finds nothing to migrate.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "leadline.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, REVISION)
