"""One door to SQLite and PostgreSQL: how they are opened, locked, and what their errors mean."""

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from connectors.stores import _schema
from pipeline.core.errors import StoreError

# Any number will do as long as nobody else in a shared PostgreSQL uses it ("moonwatch" on a phone).
_WRITER_LOCK = 666_692_824
_WRITES = "moonwatch_writes"
_LOCK_PAUSE_S = 0.02
_LOG_BYTES = 64 * 1024 * 1024
_HINTS = (
    ("locked", "another program holds it; it is tried again"),
    ("disk is full", "free some space; it is tried again"),
    ("No space left", "free some space; it is tried again"),
    ("readonly", "give this user the right to write the file and its folder"),
    ("unable to open", "check that the folder exists and may be written"),
    ("not a database", "name another file, that one holds something else"),
    ("malformed", "the file is damaged; restore it from a backup, or move it away"),
    ("password authentication", "check user and password in store.url"),
    ("does not exist", "create it first, or correct store.url"),
    ("No module named 'psycopg'", "install it with: pip install 'moonwatch[postgresql]'"),
    ("Connection refused", "check that the server runs at this address"),
    ("timeout", "check the server and the way to it; it is tried again"),
)


class Database:
    """Connections to one database. Writing transactions come one after the other."""

    def __init__(self, url: str, patience_s: float) -> None:
        parsed = _parse(url)
        self._sqlite = parsed.get_backend_name() == "sqlite"
        self.place = parsed.database or "" if self._sqlite else _address(parsed)
        make = _sqlite_engine if self._sqlite else _postgresql_engine
        with self._translated("open it"):
            self._engine = make(parsed, patience_s)
        try:
            with self.write("prepare its tables") as connection:
                _schema.prepare(connection, self.place)
        except StoreError:
            self.close()
            raise

    @contextmanager
    def write(self, what: str) -> Iterator[sa.Connection]:
        """A transaction that no other writer runs beside; kept as a whole, or not at all.

        That makes positions visible in their order: a reader that has seen one never finds a
        lower one later. SQLite has one writer by itself; in PostgreSQL, where numbers are handed
        out before a transaction ends, a lock held until its end does the same.
        """
        with self._translated(what), self._engine.connect() as connection:
            connection = connection.execution_options(**{_WRITES: True})
            with connection.begin():
                if not self._sqlite:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITER_LOCK)))
                yield connection

    @contextmanager
    def read(self, what: str) -> Iterator[sa.Connection]:
        """A connection for questions; never waits for a writer."""
        with self._translated(what), self._engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Let go of all connections; safe to call twice."""
        self._engine.dispose()

    def upsert(
        self,
        connection: sa.Connection,
        table: sa.Table,
        rows: Sequence[Mapping[str, Any]],
        replace: bool = True,
    ) -> None:
        """Insert rows; one whose primary key is there replaces the old one, or is passed over."""
        if not rows:
            return
        insert = sqlite.insert(table) if self._sqlite else postgresql.insert(table)
        keys = list(table.primary_key.columns)
        if replace:
            fresh = {c.name: insert.excluded[c.name] for c in table.columns if c not in set(keys)}
            connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=fresh), rows)
        else:
            connection.execute(insert.on_conflict_do_nothing(index_elements=keys), rows)

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise StoreError(_sentence(self.place, what, str(error.orig))) from error
        except (SQLAlchemyError, sqlite3.Error, OSError, ImportError) as error:
            raise StoreError(_sentence(self.place, what, str(error))) from error


def _parse(url: str) -> sa.URL:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return parsed.set(drivername="sqlite")
    return parsed.set(drivername="postgresql+psycopg")


def _address(url: sa.URL) -> str:
    port = f":{url.port}" if url.port else ""
    return f"{url.database} on {url.host or 'localhost'}{port}"


def _sentence(place: str, what: str, cause: str) -> str:
    cause = cause.strip().partition("\n")[0]
    hint = next((hint for sign, hint in _HINTS if sign in cause), "see the database's own log")
    return f"the store {place}: cannot {what}: {cause}; {hint}"


def _sqlite_engine(url: sa.URL, patience_s: float) -> sa.Engine:
    path = Path(url.database or "")
    path.parent.mkdir(parents=True, exist_ok=True)
    _switch_to_wal(path, patience_s)
    engine = sa.create_engine(url, connect_args={"timeout": patience_s})

    @sa.event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _: object) -> None:
        # Transactions begin below, not whenever the driver thinks so.
        connection.isolation_level = None
        # FULL: what is committed is on the disk, so that also a power cut loses nothing that a
        # sink was already told, or a queue was told to forget. NORMAL would survive only kill -9.
        connection.execute("PRAGMA synchronous=FULL").close()
        # Give back what a burst, or a long reader, made of the write-ahead log.
        connection.execute(f"PRAGMA journal_size_limit={_LOG_BYTES}").close()

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A writer takes the lock at once: one that began as a reader could not wait for it.
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _switch_to_wal(path: Path, patience_s: float) -> None:
    # The switch does not always wait for locks by itself, so two processes that start together
    # on a new file need another try.
    deadline = time.monotonic() + patience_s
    with closing(sqlite3.connect(path, timeout=patience_s)) as connection:
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL").close()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(_LOCK_PAUSE_S)
            else:
                return


def _postgresql_engine(url: sa.URL, patience_s: float) -> sa.Engine:
    patience_ms = round(patience_s * 1000)
    waits = f"-c lock_timeout={patience_ms} -c statement_timeout={3 * patience_ms}"
    return sa.create_engine(
        url,
        pool_pre_ping=True,  # a server that was restarted is met with a new connection
        pool_timeout=patience_s,
        connect_args={
            "connect_timeout": max(2, round(patience_s)),
            "options": f"{waits} -c idle_in_transaction_session_timeout={3 * patience_ms}",
            # A server that vanishes without a word must not be waited for either.
            "keepalives_idle": 30,
            "tcp_user_timeout": 3 * patience_ms,
            "application_name": "moonwatch",
        },
    )
