"""The store in an SQLite file keeps the contracts, and survives what happens to files."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from connectors.stores import StoreConfig, _database
from connectors.stores.sql import SqlStore
from pipeline.core.accounts import AccountStore
from pipeline.core.clock import Clock
from pipeline.core.errors import OwnershipLostError, StoreError
from pipeline.core.people import PeopleStore
from pipeline.core.spending import Spending
from pipeline.core.store import (
    RUN,
    Checkpoint,
    Commit,
    Forgotten,
    History,
    Store,
    StoredEvent,
    UnreadableEvent,
)
from pipeline.testing import patience
from tests.contracts.accounts import AccountsContract
from tests.contracts.audits import AuditsContract
from tests.contracts.event_tools import an_event
from tests.contracts.history import HistoryContract
from tests.contracts.observations import ObservationContract
from tests.contracts.people import PeopleContract
from tests.contracts.spending import SharedSpendingContract
from tests.contracts.stores import ME, StoreContract, numbers
from tests.contracts.verifying import SecondLooksContract

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

    def opened_to_read(self, clock: Clock) -> Store:
        """Without making or changing anything."""
        return SqlStore(self.url, clock, read_only=True)

    def history(self, store: Store) -> History:
        """Of the same connections."""
        assert isinstance(store, SqlStore)
        return store.history


class TestSecondLooks(_Sqlite, SecondLooksContract):
    """What waits and what came of it."""

    def opened_store(self, clock: Clock) -> SqlStore:
        """Another pool of connections to the same file."""
        return SqlStore(self.url, clock)


class TestAccounts(_Sqlite, AccountsContract):
    """Keys and what their requests took."""

    def opened_accounts(self) -> tuple[AccountStore, Callable[[], None]]:
        """Other connections to the same database."""
        store = SqlStore(self.url)
        return store.accounts, store.close


class TestPeople(_Sqlite, PeopleContract):
    """Who may sign in, and what they did."""

    def opened_people(self, clock: Clock) -> tuple[PeopleStore, Callable[[], None]]:
        """Other connections to the same database."""
        store = SqlStore(self.url, clock)
        return store.people, store.close


class TestSpending(_Sqlite, SharedSpendingContract):
    """What engines cost."""

    @pytest.fixture(autouse=True)
    def _closed(self, _fresh_file: None) -> Iterator[None]:
        self._stores: list[SqlStore] = []
        yield
        for store in self._stores:
            store.close()

    def opened(self) -> Spending:
        """Another pool of connections to the same file."""
        self._stores.append(SqlStore(self.url))
        return self._stores[-1].spending


class TestAudits(_Sqlite, AuditsContract):
    """What persons found out about counts."""

    def opened_audited(self, clock: Clock) -> SqlStore:
        """Another pool of connections to the same database."""
        return SqlStore(self.url, clock)


class TestObservations(_Sqlite, ObservationContract):
    """What was seen."""

    noise = "x'0778'"

    def opened(self, clock: Clock, *, read_only: bool = False) -> SqlStore:
        """Another pool of connections to the same file."""
        return SqlStore(self.url, clock, read_only=read_only)

    def execute(self, statement: str) -> None:
        """By a connection of its own."""
        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as connection:
            connection.execute(statement)
            connection.commit()


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
        connection.execute("PRAGMA max_page_count=140").close()

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
    assert store.prune(2**40) == Forgotten(events=2 * kept)
    assert store.commit(Commit(events=[an_event(2 * kept)])) == 1
    store.close()


def test_what_is_committed_is_on_the_disk(store: SqlStore) -> None:
    """The write-ahead log is forced out at every commit, by every connection."""
    with store._database.read("look") as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_nothing_that_is_done_beside_it_releases_its_locks(store: SqlStore, file: Path) -> None:
    """Another process that closes the file leaves the log alone, into which this one commits."""
    url = f"sqlite:///{file}"
    store.commit(Commit(events=[an_event(0)]))
    beside: dict[str, Callable[[], object]] = {
        "a check of the file": lambda: list(StoreConfig(url=url).lacks()),
        "another store": lambda: SqlStore(url).close(),
        "a reader": lambda: SqlStore(url, read_only=True).close(),
        "a question": lambda: StoreConfig(url=url).build_reader().facts(),
    }
    for number, (what, done) in enumerate(beside.items(), 1):
        done()
        assert _counted_elsewhere(file) == number, what
        store.commit(Commit(events=[an_event(number)]))
        assert _counted_elsewhere(file) == number + 1, what


def _counted_elsewhere(file: Path) -> int:
    """How many events another process finds, which then closes it as if it were the last one."""
    code = (
        "import sqlite3, sys; there = sqlite3.connect(sys.argv[1]);"
        "print(there.execute('SELECT count(*) FROM moonwatch_events').fetchone()[0]); there.close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, file], check=True, capture_output=True, timeout=patience(30)
    )
    return int(done.stdout)


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


def test_an_event_that_cannot_be_read_is_in_the_outbox(store: SqlStore, file: Path) -> None:
    """With what is known of it, between its neighbours."""
    store.commit(Commit(events=[an_event(number) for number in range(3)]))
    with closing(sqlite3.connect(file)) as other:
        other.execute("""UPDATE moonwatch_events SET body = '{"id": 1}' WHERE position = 2""")
        other.commit()
    first, second, third = store.outbox(0, 10)
    assert isinstance(first, StoredEvent)
    assert isinstance(third, StoredEvent)
    assert isinstance(second, UnreadableEvent)
    assert (second.record_id, second.rule) == (an_event(1).record_id, "footfall")
    assert second.reason.startswith("cannot be read: ")


def test_a_reader_makes_no_file(file: Path) -> None:
    """Neither the store, nor a log beside one that nobody works on."""
    with pytest.raises(StoreError, match=r"there is no store .*moonwatch\.db yet on this machine"):
        SqlStore(f"sqlite:///{file}", read_only=True)
    assert not file.exists()
    sqlite3.connect(file).close()
    file.touch()
    with pytest.raises(StoreError, match="has no moonwatch tables yet"):
        SqlStore(f"sqlite:///{file}", read_only=True)
    store = SqlStore(f"sqlite:///{file}")
    store.commit(Commit(events=[an_event(1)]))
    store.close()
    before = file.read_bytes()
    reader = SqlStore(f"sqlite:///{file}", read_only=True)
    assert len(numbers(reader)) == 1
    reader.close()
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_reader_sees_what_a_killed_process_left(store: SqlStore, file: Path) -> None:
    """What is only in the write-ahead log yet counts, and stays there."""
    store.commit(Commit(events=[an_event(1)]))
    copy = file.with_name("left.db")
    for suffix in ("", "-wal"):
        Path(f"{copy}{suffix}").write_bytes(Path(f"{file}{suffix}").read_bytes())
    before = copy.read_bytes()
    reader = SqlStore(f"sqlite:///{copy}", read_only=True)
    assert len(numbers(reader)) == 1
    reader.close()
    assert copy.read_bytes() == before


def put_back(file: Path) -> Path:
    """A back-up of a store as it is now."""
    copy = file.with_name("copy.db")
    with closing(sqlite3.connect(file)) as source:
        source.execute(f"VACUUM INTO '{copy}'")
    return copy


def test_a_file_that_was_replaced_is_opened_anew(
    store: SqlStore, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Noticed by its inode before the next transaction, and said once by each process."""
    other = SqlStore(f"sqlite:///{file}", patience_s=1.0)
    store.register_sinks(["log"])
    store.commit(Commit(events=[an_event(1)]))
    copy = put_back(file)
    store.commit(Commit(events=[an_event(number) for number in range(2, 60)]))
    other.advance("log", 59)
    copy.replace(file)
    assert other.cursor("log").position == 0
    assert numbers(store) == [an_event(1).record_id]
    for turn in range(3):
        store.commit(Commit(events=[an_event(100 + turn)]))
        other.advance("log", 2 + turn)
    assert len(numbers(other)) == 4
    assert store.cursor("log").position == 4
    assert caplog.text.count("was replaced; opening the new file") == 2
    store.close()
    other.close()
    with closing(sqlite3.connect(file)) as found:
        assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert found.execute("SELECT count(*) FROM moonwatch_events").fetchone() == (4,)


def test_what_went_into_a_replaced_file_is_not_said_to_be_kept(store: SqlStore, file: Path) -> None:
    """A commit that was under way then fails, and is kept when it is repeated."""
    copy = put_back(file)
    with (
        pytest.raises(StoreError, match="was replaced or deleted meanwhile; it will be retried"),
        store._database.write("keep events"),
    ):
        copy.replace(file)
    assert store.commit(Commit(events=[an_event(1)])) == 1


def test_a_deleted_file_may_be_put_back(
    store: SqlStore, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """For some seconds nothing is made in its place; then a new one is, with the same sinks."""
    store.register_sinks(["log"])
    copy = put_back(file)
    store.commit(Commit(events=[an_event(1)]))
    file.unlink()
    for _ in range(3):
        with pytest.raises(StoreError, match="was deleted; put it back, or wait a moment"):
            store.commit(Commit(events=[an_event(1)]))
    assert not file.exists()
    copy.replace(file)
    assert store.commit(Commit(events=[an_event(1)])) == 1
    file.unlink()
    monkeypatch.setattr(_database, "_PUT_BACK_S", 0.0)
    assert store.commit(Commit(events=[an_event(1)])) == 1
    assert store.cursor("log").behind == 1
    assert [cursor.sink for cursor in store.history.cursors()] == ["log"]
    assert caplog.text.count("was deleted; unless it is put back") == 2


def test_a_lease_is_of_its_file(store: SqlStore, file: Path) -> None:
    """Also where the file that was put back shows the same owner and the same token."""
    proof = store.take(RUN, ME)
    assert proof is not None
    put_back(file).replace(file)
    with pytest.raises(OwnershipLostError):
        store.commit(Commit(events=[an_event(1)], lease=proof))
    again = store.take(RUN, ME)
    assert again is not None
    assert again.token > proof.token
    assert store.commit(Commit(events=[an_event(1)], lease=again)) == 1
