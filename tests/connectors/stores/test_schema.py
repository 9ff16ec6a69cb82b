"""Tables of older versions are brought up to date, those of newer ones are refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores.sql import SqlStore
from pipeline.core.errors import FencedOffError, StoreError
from pipeline.core.store import Checkpoint, Commit
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
    with pytest.raises(StoreError, match=r"has version 99 .* knows versions 1 to 2"):
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


def test_a_store_of_version_1_learns_of_ends_and_fences(engine: sa.Engine, tmp_path: Path) -> None:
    """What it holds is kept; its checkpoints have not ended, and no partition has an owner."""
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE moonwatch_checkpoints DROP COLUMN ended")
        _schema.fences.drop(connection)
        connection.execute(_schema.version.update().values(version=1))
        connection.exec_driver_sql(
            "INSERT INTO moonwatch_checkpoints VALUES ('door', 'fast', 'run', 7, 'null', 0)"
        )
    store = SqlStore(f"sqlite:///{tmp_path}/moonwatch.db")
    assert store.checkpoint("door", "fast") == Checkpoint("door", "fast", "run", 7, None)
    store.commit(Commit(fences={3: 1}))
    with pytest.raises(FencedOffError):
        store.commit(Commit(fences={3: 0}))
    store.close()
