"""The store as a SQLite file: what can be wrong with the file, and what survives a crash."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from leadline.core.errors import StoreError
from leadline.store.schema import REVISION, metadata
from leadline.store.store import Store
from tests.support.records import fill, make_attempt, make_profile, make_sweep, make_trial, same


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a store's file.sqlite"


def url(file: Path, **query: str) -> str:
    return sa.URL.create("sqlite", database=str(file), query=query).render_as_string()


def test_the_migrations_lead_to_the_tables_that_the_code_uses(file: Path) -> None:
    Store.open(url(file)).close()
    engine = sa.create_engine(url(file))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_a_store_of_the_first_schema_is_brought_up_to_date_with_all_it_had(file: Path, tmp_path: Path) -> None:
    """Made by the script that made such stores, and filled with rows that this Leadline wrote."""
    with Store.open(url(tmp_path / "filled.sqlite")) as filled:
        fill(filled)
        before = msgspec.structs.replace(filled.contents(), sweeps=())
    engine = sa.create_engine(url(file))
    with engine.connect() as connection, connection.begin():
        config = Config()
        config.set_main_option("script_location", "leadline.store:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        tables = sorted({*sa.inspect(connection).get_table_names()} - {"alembic_version"})
    engine.dispose()
    assert "sweep" not in tables
    with sqlite3.connect(file) as connection:
        connection.execute("ATTACH ? AS filled", (str(tmp_path / "filled.sqlite"),))
        for table in tables:
            connection.execute(f"DELETE FROM main.{table}")
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM filled.{table}")
    connection.close()

    with Store.open(url(file)) as store:
        assert same(store.contents(), before)
        sweep = make_sweep(random.Random(1), "pi4")
        store.save_sweep(sweep)
        assert store.sweeps() == [sweep]
    engine = sa.create_engine(url(file))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_a_store_opens_again_with_all_it_had(file: Path) -> None:
    with Store.open(url(file)) as store:
        trials = fill(store)
    with Store.open(url(file)) as store:
        assert [trial.id for trial in store.trials()] == [trial.id for trial in trials]


def test_opening_a_migrated_store_does_not_load_alembic(file: Path) -> None:
    Store.open(url(file)).close()
    code = (
        "import sys; from leadline.store.store import Store; Store.open(sys.argv[1]).close(); "
        "sys.exit('alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, url(file)], check=True)


def test_several_threads_may_create_the_same_store_at_once(file: Path) -> None:
    def salt(_: int) -> str:
        with Store.open(url(file)) as store:
            return store.salt()

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(salt, range(6)))) == 1


def test_commits_are_flushed_to_the_disk_and_references_checked(file: Path) -> None:
    with Store.open(url(file)) as store, store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000


def test_a_store_of_a_newer_leadline_is_left_alone_and_both_versions_named(file: Path) -> None:
    Store.open(url(file)).close()
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9042'")
    connection.close()
    before = file.read_bytes()
    with pytest.raises(StoreError, match=rf"9042.*{REVISION}.*pip install --upgrade leadline"):
        Store.open(url(file))
    assert file.read_bytes() == before


def test_another_programs_database_is_left_alone(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    before = file.read_bytes()
    with pytest.raises(StoreError, match="another program's database"):
        Store.open(url(file))
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("content", [b"not a database, but long enough to have a header" * 50, b"\x00" * 4096, b"x"])
def test_a_file_that_is_no_database_is_left_alone(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(StoreError, match="not a Leadline store"):
        Store.open(url(file))
    assert file.read_bytes() == content


def test_a_missing_folder_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"folder does not exist; try: mkdir -p '.*no such'"):
        Store.open(url(tmp_path / "no such" / "store.sqlite"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder"):
        Store.open(url(tmp_path))


def test_a_read_only_store_can_be_read_and_says_why_it_is_not_written(file: Path) -> None:
    with Store.open(url(file)) as store:
        trials = fill(store)
    with Store.open(f"sqlite:///file:{file}?mode=ro&uri=true") as store:
        assert len(store.results()) == len(trials)
        with pytest.raises(StoreError, match=r"may not be written; try: chmod u\+w"):
            store.save_profile(make_profile(random.Random(5), "cam"))


def test_a_store_that_cannot_be_created_read_only_says_so(file: Path) -> None:
    sqlite3.connect(file).close()
    file.touch()
    with pytest.raises(StoreError, match="may not be written"):
        Store.open(f"sqlite:///file:{file}?mode=ro&uri=true")


def test_a_damaged_store_says_how_to_save_what_can_be_read(file: Path) -> None:
    with Store.open(url(file)) as store:
        fill(store)
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    file.write_bytes(content)
    with pytest.raises(StoreError, match=r"damaged; .* \.recover|cannot be read"), Store.open(url(file)) as store:
        store.contents()


def test_a_row_that_cannot_be_decoded_is_a_store_error(file: Path) -> None:
    with Store.open(url(file)) as store:
        fill(store)
    for damage in ("conditions = '{'", "conditions = '[]'", "wall_ns = x'00'"):
        with sqlite3.connect(file) as connection:
            connection.execute(f"UPDATE block SET {damage}")
        connection.close()
        with Store.open(url(file)) as store, pytest.raises(StoreError, match="cannot be read"):
            list(store.attempts())


@pytest.mark.parametrize("bad", ["", "store.sqlite", "nosuch://x", "mongodb://u:secret@host/x"])
def test_a_url_that_cannot_be_used_is_told_without_its_password(bad: str) -> None:
    with pytest.raises(StoreError, match="sqlite:////path") as caught:
        Store.open(bad)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("bad", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"])
def test_a_store_that_would_forget_everything_is_refused(bad: str) -> None:
    with pytest.raises(StoreError, match="forgotten"):
        Store.open(bad)


HOLD_THE_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_store_that_another_process_is_writing_waits_then_says_who_to_look_for(file: Path) -> None:
    Store.open(url(file)).close()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with Store.open(url(file, timeout="0.2")) as store:
            assert store.profiles() == []
            with pytest.raises(StoreError, match="locked by another process; see which: fuser"):
                store.save_profile(make_profile(random.Random(5), "cam"))
            assert holder.stdin is not None
            holder.stdin.close()
            holder.wait()
            store.save_profile(make_profile(random.Random(5), "cam"))
            assert len(store.profiles()) == 1


COMMIT_FOR_EVER = """
import random, sys
from leadline.store.store import Store
from tests.support.records import make_attempt, make_campaign, make_artifact, make_trial

rng = random.Random(0)
with Store.open(sys.argv[1]) as store:
    campaign, artifact = make_campaign(rng), make_artifact(rng)
    store.save_campaign(campaign)
    store.save_artifact(artifact)
    while True:
        trial = make_trial(rng, campaign, "pi4", artifact)
        store.plan([trial])
        store.start(trial.id)
        store.commit(make_attempt(rng, trial, blocks=200))
        print(trial.id, flush=True)
"""


@pytest.mark.parametrize("commits", [1, 2, 5])
def test_kill_9_in_the_middle_leaves_whole_attempts_only(file: Path, commits: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", COMMIT_FOR_EVER, url(file)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        env=os.environ | {"PYTHONPATH": "."},
    ) as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline().strip() for _ in range(commits)]
        os.kill(writer.pid, signal.SIGKILL)
        told += writer.stdout.read().split()
    with Store.open(url(file)) as store:
        attempts = list(store.attempts())
        done = {trial.id for trial in store.trials(states=["done"])}
        assert set(told) <= done
        assert done == {attempt.trial_id for attempt in attempts}
        assert {len(launch.blocks) for attempt in attempts for launch in attempt.launches} == {201}
        assert {len(attempt.launches) for attempt in attempts} == {2}
        rng = random.Random(7)
        trial = make_trial(rng, store.campaigns()[0], "pi4", store.contents().artifacts[0])
        store.plan([trial])
        store.commit(make_attempt(rng, trial))


def test_a_crash_while_creating_leaves_a_store_that_opens(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from leadline.store import migrate

    upgrade = migrate._upgrade

    def crash(connection: sa.Connection) -> None:
        upgrade(connection)
        raise KeyboardInterrupt

    monkeypatch.setattr(migrate, "_upgrade", crash)
    with pytest.raises(KeyboardInterrupt):
        Store.open(url(file))
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()
    monkeypatch.undo()
    with Store.open(url(file)) as store:
        assert store.trials() == []
