"""Tables of older versions are brought up to date, those of newer ones are refused."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores.sql import SqlStore
from pipeline.core.accounts import UsageQuestion
from pipeline.core.errors import FencedOffError, StoreError
from pipeline.core.store import RUN, Checkpoint, Commit
from tests.connectors.stores.golden import dump, summary_now, summary_then
from tests.contracts.accounts import entry
from tests.contracts.event_tools import an_event


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """A database that the present version has written an event to."""
    store = SqlStore(f"sqlite:///{tmp_path}/moonwatch.db")
    store.commit(Commit(events=[an_event(1)]))
    store.close()
    engine = sa.create_engine(f"sqlite:///{tmp_path}/moonwatch.db")
    yield engine
    engine.dispose()


def test_a_newer_store_is_refused(engine: sa.Engine, tmp_path: Path) -> None:
    """With both versions, and without touching it."""
    with engine.begin() as connection:
        connection.execute(_schema.version.update().values(version=99))
    with pytest.raises(StoreError, match=r"has version 99 .* knows versions 1 to \d+;"):
        SqlStore(f"sqlite:///{tmp_path}/moonwatch.db")


def test_an_older_store_is_brought_up_to_date_once(engine: sa.Engine) -> None:
    """Each step runs in its order, and not again at the next start."""
    steps: list[int] = []

    def widen(connection: sa.Connection) -> None:
        steps.append(2)
        connection.exec_driver_sql("ALTER TABLE moonwatch_events ADD COLUMN colour TEXT")

    def note(_: sa.Connection) -> None:
        steps.append(3)

    for _start in range(2):
        with engine.begin() as connection:
            _schema.prepare(connection, "here", [*_schema.MIGRATIONS, widen, note])
    assert steps == [2, 3]
    with engine.connect() as connection:
        row = connection.exec_driver_sql("SELECT record_id, colour FROM moonwatch_events").one()
        assert tuple(row) == (an_event(1).record_id, None)


def test_a_store_of_version_1_learns_of_ends_and_fences(tmp_path: Path) -> None:
    """What it holds is kept; its checkpoints have not ended, and no partition has an owner."""
    with closing(sqlite3.connect(tmp_path / "moonwatch.db")) as connection:
        connection.executescript(dump("sqlite"))
        connection.executescript(
            "ALTER TABLE moonwatch_checkpoints DROP COLUMN ended;"
            "DROP TABLE moonwatch_fences;"
            "UPDATE moonwatch_schema SET version = 1;"
            "INSERT INTO moonwatch_checkpoints VALUES ('door', 'fast', 'run', 7, 'null', 0);"
        )
    store = SqlStore(f"sqlite:///{tmp_path}/moonwatch.db")
    assert store.checkpoint("door", "fast") == Checkpoint("door", "fast", "run", 7, None)
    store.commit(Commit(fences={3: 1}))
    with pytest.raises(FencedOffError):
        store.commit(Commit(fences={3: 0}))
    store.close()


def test_a_store_of_version_2_gives_the_same_summary(tmp_path: Path) -> None:
    """Values that lie in columns of their own are read; a minute that is written again has none."""
    with closing(sqlite3.connect(tmp_path / "moonwatch.db")) as connection:
        connection.executescript(dump("sqlite"))
    store = SqlStore(f"sqlite:///{tmp_path}/moonwatch.db")
    assert summary_now(store, tmp_path) == summary_then()
    first = store.history.buckets("plaza", "middle")[0]
    assert first.values == {"entered": 3, "left": 1}
    store.commit(Commit(buckets=[replace(first, values={"entered": 4})]))
    assert store.history.buckets("plaza", "middle")[0].values == {"entered": 4}
    store.close()


def test_a_store_of_version_2_is_read_as_it_is(tmp_path: Path) -> None:
    """Beside the release that works on it; the same summary, and not a byte is changed."""
    file = tmp_path / "moonwatch.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(dump("sqlite"))
    before = file.read_bytes()
    reader = SqlStore(f"sqlite:///{file}", read_only=True)
    assert summary_now(reader, tmp_path) == summary_then()
    reader.close()
    assert file.read_bytes() == before


def test_leases_come_without_a_new_version(engine: sa.Engine, tmp_path: Path) -> None:
    """A release that has no leases goes on with the same store, and is read beside us."""
    with engine.begin() as connection:
        _schema.leases.drop(connection)
        before = connection.scalar(sa.select(_schema.version.c.version))
        schema = connection.exec_driver_sql("SELECT sql FROM sqlite_master").all()
    reader = SqlStore(f"sqlite:///{tmp_path}/moonwatch.db", read_only=True)
    assert len(reader.events_after(0, 10)) == 1
    assert reader.lease(RUN) is None
    reader.close()
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT sql FROM sqlite_master").all() == schema
    SqlStore(f"sqlite:///{tmp_path}/moonwatch.db").close()
    with engine.begin() as connection:
        assert sa.inspect(connection).has_table(_schema.leases.name)
        assert connection.scalar(sa.select(_schema.version.c.version)) == before


def test_a_reader_leaves_older_and_newer_tables_alone(engine: sa.Engine, tmp_path: Path) -> None:
    """It reads them as far as they go; what they do not have yet is unknown."""
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE moonwatch_checkpoints DROP COLUMN ended")
        connection.execute(_schema.version.update().values(version=99))
    reader = SqlStore(f"sqlite:///{tmp_path}/moonwatch.db", read_only=True)
    assert len(reader.events_after(0, 10)) == 1
    assert reader.checkpoint("door", "fast") is None
    reader.close()
    with engine.begin() as connection:
        assert connection.scalar(sa.select(_schema.version.c.version)) == 99


def test_a_reader_of_a_store_without_accounts(engine: sa.Engine, tmp_path: Path) -> None:
    """Finds none, where an earlier release wrote it; whoever opens it to write has them."""
    with engine.begin() as connection:
        for table in (_schema.keys, _schema.spent, _schema.ledger, _schema.usage):
            table.drop(connection)
    url = f"sqlite:///{tmp_path}/moonwatch.db"
    reader = SqlStore(url, read_only=True)
    assert reader.accounts.keys() == []
    assert reader.accounts.usage(UsageQuestion()) == []
    assert reader.accounts.oldest_entry() is None
    reader.close()
    store = SqlStore(url)
    assert store.accounts.keep([entry()]) == 1
    assert len(store.events_after(0, 10)) == 1
    store.close()
