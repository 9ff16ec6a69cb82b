"""The store in an SQLite file keeps the contracts, and survives what happens to files."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from connectors.stores.sql import SqlStore
from pipeline.core.clock import Clock
from pipeline.core.errors import StoreError
from pipeline.core.store import Checkpoint, Commit, History, Store
from tests.contracts.event_tools import an_event
from tests.contracts.history import HistoryContract
from tests.contracts.stores import StoreContract, numbers

POINT = Checkpoint("door", "fast", "run-1", 1, None)


class _Sqlite:
    """Opens a file in a folder that is made for it."""

    url: str

    @pytest.fixture(autouse=True)
    def _fresh_file(self, tmp_path: Path) -> None:
        self.url = f"sqlite:///{tmp_path}/data/moonwatch.db"


class TestStore(_Sqlite, StoreContract):
    """Keeping and handing out."""

    def opened(self, clock: Clock) -> Store:
        """Another pool of connections to the same file."""
        return SqlStore(self.url, clock)


class TestHistory(_Sqlite, HistoryContract):
    """Answering questions."""

    def kept(self) -> tuple[Store, History]:
        """An empty store and its history."""
        store = SqlStore(self.url)
        return store, store.history


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the store of a test is."""
    return tmp_path / "moonwatch.db"


@pytest.fixture
def store(file: Path) -> Iterator[SqlStore]:
    """A store that does not wait long for a lock."""
    store = SqlStore(f"sqlite:///{file}", patience_s=0.1)
    yield store
    store.close()


def test_a_locked_store_says_so_and_loses_nothing(store: SqlStore, file: Path) -> None:
    """The commit fails as a whole within its patience, and works when it is repeated."""
    commit = Commit(events=[an_event(1)], checkpoints=[POINT])
    with closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"cannot keep events: database is locked; another"):
            store.commit(commit)
        assert numbers(store) == []  # readers are not locked out
        other.execute("ROLLBACK")
    assert store.commit(commit) == 1


def test_a_commit_is_kept_as_a_whole_or_not_at_all(store: SqlStore, file: Path) -> None:
    """A failure at the last table leaves no event behind."""
    commit = Commit(events=[an_event(1)], checkpoints=[POINT])
    with closing(sqlite3.connect(file)) as other:
        other.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON moonwatch_checkpoints "
            "BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        with pytest.raises(StoreError, match="cannot keep events: no"):
            store.commit(commit)
        assert numbers(store) == []
        other.execute("DROP TRIGGER refuse")
    assert store.commit(commit) == 1
    assert store.checkpoint("door", "fast") == POINT


@pytest.fixture
def full_disk() -> Iterator[None]:
    """SQLite files opened meanwhile cannot grow beyond a few pages."""

    def limit(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count=60").close()

    event.listen(Pool, "connect", limit)
    yield
    event.remove(Pool, "connect", limit)


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_is_said_and_what_was_kept_stays(file: Path) -> None:
    """Nothing of the commit that did not fit is kept, everything before it is, and it can go on."""
    store = SqlStore(f"sqlite:///{file}")
    kept = 0
    with pytest.raises(StoreError, match=r"database or disk is full; free some space"):  # noqa: PT012
        for kept in range(1000):
            store.commit(Commit(events=[an_event(2 * kept), an_event(2 * kept + 1)]))
    assert kept > 10
    assert len(numbers(store)) == 2 * kept
    store.advance("log", 2 * kept)
    assert store.prune(2**40) == 2 * kept
    assert store.commit(Commit(events=[an_event(2 * kept)])) == 1
    store.close()


def test_what_is_committed_is_on_the_disk(store: SqlStore) -> None:
    """The write-ahead log is forced out at every commit, by every connection."""
    with store._database.read("look") as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_another_kind_of_file_is_refused(file: Path) -> None:
    """It is left as it was."""
    file.write_text("no database " * 1000)
    with pytest.raises(StoreError, match=r"moonwatch\.db: .*not a database; name another file"):
        SqlStore(f"sqlite:///{file}")
    assert file.read_text().startswith("no database")


def test_a_folder_that_cannot_be_made_is_named(file: Path) -> None:
    """With its path."""
    file.write_text("")
    with pytest.raises(StoreError, match=r"moonwatch\.db/x\.db: cannot open it"):
        SqlStore(f"sqlite:///{file}/x.db")


def test_a_damaged_event_is_named(store: SqlStore, file: Path) -> None:
    """By its position, so that it can be found."""
    store.commit(Commit(events=[an_event(1)]))
    with closing(sqlite3.connect(file)) as other:
        other.execute("""UPDATE moonwatch_events SET body = '{"id": 1}'""")
        other.commit()
    with pytest.raises(StoreError, match="event 1 is damaged"):
        store.events_after(0, 10)
