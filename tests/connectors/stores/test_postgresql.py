"""The store in PostgreSQL keeps the same contracts, in a schema of its own for each test."""

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from connectors.stores import StoreConfig
from connectors.stores import _schema as schema
from connectors.stores.sql import SqlStore
from pipeline.core.accounts import AccountStore
from pipeline.core.clock import Clock
from pipeline.core.errors import NoTablesError, StoreError
from pipeline.core.people import PeopleStore
from pipeline.core.spending import Spending
from pipeline.core.store import Commit, History, Store
from pipeline.testing import ManualClock
from tests.connectors.stores.golden import dump, summary_now, summary_then
from tests.connectors.stores.postgres import server_url
from tests.contracts.accounts import AccountsContract
from tests.contracts.audits import AuditsContract
from tests.contracts.event_tools import an_event
from tests.contracts.history import HistoryContract
from tests.contracts.observations import ObservationContract
from tests.contracts.people import PeopleContract
from tests.contracts.spending import SharedSpendingContract
from tests.contracts.stores import StoreContract
from tests.contracts.verifying import SecondLooksContract

_names = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A running server."""
    with server_url() as url:
        yield url


@contextlib.contextmanager
def _database(server: str) -> Iterator[str]:
    """The URL of an empty database of its own."""
    import psycopg
    from psycopg import sql

    name = f"moonwatch_test_{next(_names)}"
    create, drop = (
        sql.SQL(f"{verb} DATABASE {{}}").format(sql.Identifier(name)) for verb in ("CREATE", "DROP")
    )
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(create)
        yield f"{server.rpartition('/')[0]}/{name}"
        connection.execute(drop)


@pytest.fixture(scope="module")
def with_tables(server: str) -> Iterator[str]:
    """A database in which the tables have been made: making them anew takes seconds."""
    with _database(server) as url:
        SqlStore(url).close()
        yield url


def _emptied(url: str) -> None:
    """Takes every row out of the tables, and lets all numbers begin anew."""
    import psycopg
    from psycopg import sql

    with psycopg.connect(url, autocommit=True) as connection:
        names = [
            name
            for (name,) in connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            )
            if name != schema.version.name
        ]
        one_row = sql.SQL(" UNION ALL ").join(
            sql.SQL("(SELECT {} FROM {} LIMIT 1)").format(sql.Literal(name), sql.Identifier(name))
            for name in names
        )
        filled = [sql.Identifier(name) for (name,) in connection.execute(one_row)]
        if filled:
            connection.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(filled)))
        connection.execute(
            "SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)"
            " FROM pg_sequences WHERE last_value IS NOT NULL"
        )


class _Postgresql:
    """Opens a database that is empty at a test's start."""

    url: str

    @pytest.fixture(autouse=True)
    def _fresh_database(self, server: str) -> Iterator[None]:
        with _database(server) as self.url:
            yield


class _PostgresqlWithTables(_Postgresql):
    """Opens a database that has the tables and no rows at a test's start."""

    @pytest.fixture(autouse=True)
    def _fresh_database(self, with_tables: str) -> None:
        _emptied(with_tables)
        self.url = with_tables


class TestStore(_PostgresqlWithTables, StoreContract):
    """Keeping and handing out."""

    def opened(self, clock: Clock) -> Store:
        """Another pool of connections to the same database."""
        return SqlStore(self.url, clock)

    def opened_to_read(self, clock: Clock) -> Store:
        """Without making or changing anything."""
        return SqlStore(self.url, clock, read_only=True)

    def history(self, store: Store) -> History:
        """Of the same connections."""
        assert isinstance(store, SqlStore)
        return store.history


class TestSecondLooks(_PostgresqlWithTables, SecondLooksContract):
    """What waits and what came of it."""

    def opened_store(self, clock: Clock) -> SqlStore:
        """Another pool of connections to the same database."""
        return SqlStore(self.url, clock)


class TestAccounts(_PostgresqlWithTables, AccountsContract):
    """Keys and what their requests took."""

    def opened_accounts(self) -> tuple[AccountStore, Callable[[], None]]:
        """Other connections to the same database."""
        store = SqlStore(self.url)
        return store.accounts, store.close


class TestPeople(_PostgresqlWithTables, PeopleContract):
    """Who may sign in, and what they did."""

    def opened_people(self, clock: Clock) -> tuple[PeopleStore, Callable[[], None]]:
        """Other connections to the same database."""
        store = SqlStore(self.url, clock)
        return store.people, store.close


class TestSpending(_PostgresqlWithTables, SharedSpendingContract):
    """What engines cost."""

    @pytest.fixture(autouse=True)
    def _closed(self, _fresh_database: None) -> Iterator[None]:
        self._stores: list[SqlStore] = []
        yield
        for store in self._stores:
            store.close()

    def opened(self) -> Spending:
        """Another pool of connections to the same database."""
        self._stores.append(SqlStore(self.url))
        return self._stores[-1].spending


class TestAudits(_PostgresqlWithTables, AuditsContract):
    """What persons found out about counts."""

    def opened_audited(self, clock: Clock) -> SqlStore:
        """Another pool of connections to the same database."""
        return SqlStore(self.url, clock)


class TestObservations(_PostgresqlWithTables, ObservationContract):
    """What was seen."""

    noise = "'\\x0778'::bytea"

    def opened(self, clock: Clock, *, read_only: bool = False) -> SqlStore:
        """Another pool of connections to the same database."""
        return SqlStore(self.url, clock, read_only=read_only)

    def execute(self, statement: str) -> None:
        """By a connection of its own."""
        import psycopg

        with psycopg.connect(self.url) as connection:
            connection.execute(statement.encode())


class TestHistory(_PostgresqlWithTables, HistoryContract):
    """Answering questions."""

    def kept(self) -> tuple[Store, History]:
        """An empty store and its history."""
        store = SqlStore(self.url)
        return store, store.history


class TestOlder(_Postgresql):
    """Stores of earlier releases."""

    def test_a_store_of_version_2_gives_the_same_summary(self, tmp_path: Path) -> None:
        """Its values lie in columns of their own."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(dump("postgresql").encode())
        store = SqlStore(self.url)
        try:
            assert summary_now(store, tmp_path) == summary_then()
            bucket = store.history.buckets("plaza", "crowd")[1]
            assert bucket.values == {"mean": 7.1, "maximum": 9}
            store.commit(Commit(buckets=[bucket]))
            assert store.history.buckets("plaza", "crowd")[1] == bucket
        finally:
            store.close()


class TestNew(_Postgresql):
    """A database without tables."""

    def test_its_tables_may_be_made_by_many_at_once(self) -> None:
        """Processes that start together on a new database do not disturb each other."""
        together = threading.Barrier(4)

        def start(number: int) -> None:
            together.wait(60)
            store = SqlStore(self.url)
            try:
                store.commit(Commit(events=[an_event(number)]))
            finally:
                store.close()

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(start, range(4)))
        reader = SqlStore(self.url, read_only=True)
        try:
            assert len(reader.events_after(0, 10)) == 4
        finally:
            reader.close()


class TestTrouble(_Postgresql):
    """What an operator reads when PostgreSQL is not as expected."""

    def test_a_restarted_server_is_met_again(self) -> None:
        """Connections that the server ended do not fail the next commit."""
        import psycopg

        store = SqlStore(self.url)
        try:
            store.commit(Commit(events=[an_event(1)]))
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'moonwatch' AND datname = current_database()"
                )
            assert store.commit(Commit(events=[an_event(2)])) == 1
        finally:
            store.close()

    def test_a_stuck_writer_is_not_waited_for_for_ever(self) -> None:
        """A commit fails with a sentence when another holds the lock, and works after it."""
        store, other = SqlStore(self.url, patience_s=0.2), SqlStore(self.url)
        try:
            with (
                other._database.write("hold the lock"),
                pytest.raises(StoreError, match=r"cannot keep events: .*lock timeout"),
            ):
                store.commit(Commit(events=[an_event(1)]))
            assert store.commit(Commit(events=[an_event(1)])) == 1
        finally:
            store.close()
            other.close()

    def test_a_missing_database_is_named(self, server: str) -> None:
        """With the way out, and without the password."""
        url = server.replace("moonwatch@", "moonwatch:geheim@").rpartition("/")[0] + "/nowhere"
        with pytest.raises(StoreError, match=r"nowhere on 127\.0\.0\.1.* create it") as caught:
            StoreConfig(url=url).build()
        assert "geheim" not in str(caught.value)


def test_a_server_that_is_not_there() -> None:
    """The sentence names host and port, and not the password."""
    pytest.importorskip("psycopg")
    with pytest.raises(
        StoreError, match=r"mw on 127\.0\.0\.1:9: .*check that the server"
    ) as caught:
        SqlStore("postgresql://bob:geheim@127.0.0.1:9/mw", ManualClock(), patience_s=2)
    assert "geheim" not in str(caught.value)


class TestFacts(_Postgresql):
    """What it says of itself to whoever tries it; no connection is left then."""

    def test_it_says_what_it_is(self) -> None:
        """Its release, its size, its clock, and that this user can write."""
        store = SqlStore(self.url)
        store.commit(Commit(events=(an_event(1),)))
        store.close()
        reader = SqlStore(self.url, read_only=True)
        facts = reader.facts()
        reader.close()
        assert facts.version.startswith("PostgreSQL ")
        assert facts.bytes > 1_000_000
        assert facts.trouble is None
        assert facts.now is not None

    def test_nothing_is_left_open_where_there_are_no_tables(self) -> None:
        """An empty database is told apart from one that cannot be read."""
        with pytest.raises(NoTablesError, match="has no moonwatch tables yet"):
            SqlStore(self.url, read_only=True)

    def test_a_user_without_rights_is_told(self) -> None:
        """What is to be granted."""
        import psycopg

        SqlStore(self.url).close()
        reader = SqlStore(self.url, read_only=True)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
        trouble = reader.facts().trouble
        reader.close()
        assert trouble == "does not let this user make tables; grant CREATE on the schema"
