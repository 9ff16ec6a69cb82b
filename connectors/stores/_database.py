"""One door to SQLite and PostgreSQL: how they are opened, locked, and what their errors mean."""

import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from connectors.stores import _schema, _sqlite_files
from pipeline.core.address import Address, without_secrets
from pipeline.core.clock import Clock
from pipeline.core.errors import NoTablesError, StoreError
from pipeline.core.machine import how_to_install
from pipeline.core.private_files import make_folder

_log = logging.getLogger(__name__)
AHEAD_S = 86400.0
"""What is dated later than this after now was dated by a clock that was ahead."""
OPENING = "moonwatch_opening"
"""The execution option of a writing connection that holds the number of its database file."""
# Any number that no other program in a shared PostgreSQL uses ("moonwatch" on a phone).
_WRITER_LOCK = 666_692_824
_WRITES = "moonwatch_writes"
_DURABLY = "moonwatch_durably"
# A deleted file is often one that is being restored by hand.
_PUT_BACK_S = 5.0
_LOCK_PAUSE_S = 0.02
_LOG_BYTES = 64 * 1024 * 1024
_HINTS = (
    ("locked", "another program holds it; it is tried again"),
    ("No such file or directory", "it is a link to nowhere; name a file, or make its folder"),
    ("levels of symbolic links", "it is a link to itself; name a file"),
    ("disk is full", "free some space; it is tried again"),
    ("No space left", "free some space; it is tried again"),
    ("readonly", "give this user the right to write the file and its folder"),
    ("unable to open", "check that the folder exists and may be written"),
    ("not a database", "name another file, that one holds something else"),
    ("no such column", "another release wrote it; read it with that one"),
    ("no such table", "another release wrote it; read it with that one"),
    ("malformed", "the file is damaged; restore it from a backup, or move it away"),
    ("password authentication", "check user and password in store.url"),
    ("does not exist", "create it first, or correct store.url"),
    ("Connection refused", "check that the server runs at this address"),
    ("timeout", "check the server and the way to it; it is tried again"),
)


def is_ahead(at: sa.Column[float], clock: Clock) -> sa.ColumnElement[bool]:
    """Whether a moment was said by a clock that was ahead: to order by, such ones come last."""
    return at > clock.now() + AHEAD_S


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What a database says of itself."""

    version: str
    bytes: int
    trouble: str | None = None
    """Why nothing can be written, as the end of a sentence."""
    now: float | None = None
    """UTC seconds on the server's own clock."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """The connections to one file or server, and how that file is recognised."""

    engine: sa.Engine
    number: int = 0
    """How many files there were before it, under the same name."""
    file: tuple[int, int] | None = None
    sides: Mapping[Path, tuple[int, int] | None] = field(default_factory=dict)
    """Its write-ahead log and the index of that."""


class Database:
    """Connections to one database. Writing transactions come one after the other.

    A file that is replaced while it is in use is noticed before and after each transaction, and
    opened anew; what a transaction wrote into the old one is not said to be kept.
    """

    def __init__(
        self,
        url: Address | str,
        patience_s: float,
        prepare: Callable[[sa.Connection, str], None] | None = None,
    ) -> None:
        """`prepare` is given each database that is opened; without it nothing is ever written."""
        parsed = sa.make_url((url if isinstance(url, Address) else Address(url)).reveal())
        self._sqlite = parsed.get_backend_name() == "sqlite"
        self._url = parsed.set(drivername="sqlite" if self._sqlite else "postgresql+psycopg")
        self._patience_s = patience_s
        self._prepare = prepare
        self._lock = threading.Lock()
        self._gone_since: float | None = None
        self._said: tuple[int, int] | None = None
        self._missing: set[sa.Column[Any]] = set()
        self.place = parsed.database or ""
        if not self._sqlite:
            port = f":{parsed.port}" if parsed.port else ""
            self.place = f"{parsed.database} on {parsed.host or 'localhost'}{port}"
        with self._translated("open it"):
            self._opened = self._open()

    @contextmanager
    def write(self, what: str, *, durably: bool = True) -> Iterator[sa.Connection]:
        """A transaction that no other writer runs beside; kept as a whole, or not at all.

        That makes positions visible in their order: a reader that has seen one never finds a
        lower one later. SQLite has one writer by itself; in PostgreSQL, where numbers are handed
        out before a transaction ends, a lock held until its end does the same.

        What need not survive a power cut need not be written `durably`, which spares the disk.
        """
        with self._translated(what):
            opened = self._current()
            with self._writing(opened, durably=durably) as connection:
                yield connection
            is_same = not self._sqlite or _sqlite_files.identity(self._path) == opened.file
        if not is_same:
            raise StoreError(
                f"the store {self.place}: cannot {what}: the file was replaced or deleted "
                "meanwhile; it will be retried"
            )

    @contextmanager
    def read(self, what: str) -> Iterator[sa.Connection]:
        """A connection for questions; never waits for a writer."""
        with self._translated(what), self._current().engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections; safe to call twice."""
        self._opened.engine.dispose()

    def now(self, connection: sa.Connection) -> float:
        """UTC seconds on the database's own clock, which is the same for all processes."""
        asked = (
            "SELECT (julianday('now') - 2440587.5) * 86400.0"
            if self._sqlite
            else "SELECT extract(epoch FROM clock_timestamp())::float8"
        )
        return float(connection.exec_driver_sql(asked).scalar_one())

    def facts(self) -> DatabaseFacts:
        """What the database says of itself; raises StoreError."""
        with self.read("see what it is") as connection:
            ask = connection.exec_driver_sql
            if self._sqlite:
                pages, page = ask("PRAGMA page_count").scalar_one(), ask("PRAGMA page_size")
                version = f"SQLite {ask('SELECT sqlite_version()').scalar_one()}"
                return DatabaseFacts(version, int(pages) * int(page.scalar_one()))
            row = ask(
                "SELECT current_setting('server_version'), pg_database_size(current_database()), "
                "pg_is_in_recovery(), current_schema() IS NOT NULL AND "
                "has_schema_privilege(current_schema(), 'CREATE')"
            ).one()
            trouble = None
            if row[2]:
                trouble = "is a replica, which can only be read; name the primary in `store.url`"
            elif not row[3]:
                trouble = "does not let this user make tables; grant CREATE on the schema"
            version = f"PostgreSQL {str(row[0]).split(' ')[0]}"
            return DatabaseFacts(version, int(row[1]), trouble, self.now(connection))

    def columns(self, table: sa.Table) -> list[sa.ColumnElement[Any]]:
        """A table's columns; those that an older release has not made yet are unknown."""
        return [
            sa.null().label(column.name) if column in self._missing else column
            for column in table.columns
        ]

    @property
    def _path(self) -> Path:
        return Path(self._url.database or "")

    @contextmanager
    def _writing(self, opened: _Opened, *, durably: bool) -> Iterator[sa.Connection]:
        if self._prepare is None:
            raise StoreError(f"the store {self.place} was opened read-only")
        with opened.engine.connect() as connection:
            options = {_WRITES: True, _DURABLY: durably, OPENING: opened.number}
            connection = connection.execution_options(**options)
            with connection.begin():
                if not self._sqlite:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITER_LOCK)))
                yield connection

    def _open(self, number: int = 0) -> _Opened:
        if self._prepare is None:
            return _Opened(self._open_to_read())
        if not self._sqlite:
            opened = _Opened(_postgresql_engine(self._url, self._patience_s))
        else:
            opened = _Opened(_sqlite_engine(self._url, self._patience_s), number)
        try:
            with (
                self._translated("prepare its tables"),
                self._writing(opened, durably=True) as connection,
            ):
                self._prepare(connection, self.place)
        except StoreError:
            opened.engine.dispose()
            raise
        if self._sqlite:
            sides = {side: _sqlite_files.identity(side) for side in _sides(self._path)}
            opened = replace(opened, file=_sqlite_files.identity(self._path), sides=sides)
        return opened

    def _open_to_read(self) -> sa.Engine:
        if self._sqlite and not self._path.exists():
            raise StoreError(
                f"there is no store {self.place} yet on this machine; check its place, or let a "
                "command make it that writes, such as `moonwatch run`, `serve` or `token add`"
            )
        make = _sqlite_reader if self._sqlite else _postgresql_reader
        engine = make(self._url, self._patience_s)
        try:
            with self._translated("read it"), engine.connect() as connection:
                asked = sa.inspect(connection)
                if not asked.has_table(_schema.version.name):
                    raise NoTablesError(f"the store {self.place} has no moonwatch tables yet")
                for table in (_schema.buckets, _schema.checkpoints):
                    there = {column["name"] for column in asked.get_columns(table.name)}
                    missing = {column for column in table.columns if column.name not in there}
                    self._missing |= missing
        except StoreError:
            engine.dispose()
            raise
        return engine

    def _current(self) -> _Opened:
        """What is to be worked with; another file under the same name is opened anew."""
        if not self._sqlite or self._prepare is None:
            return self._opened
        if _sqlite_files.identity(self._path) == self._opened.file:
            self._gone_since = None
            return self._opened
        with self._lock:
            found, before = _sqlite_files.identity(self._path), self._opened
            if found == before.file:
                return before
            if found is None:
                self._wait_for_file()
            elif found != self._said:
                # Said once, however often it takes to open it.
                self._said = found
                _log.warning("the store %s was replaced; opening the new file", self.place)
            # The log of the old file would be taken for that of the new one.
            _remove_sides(self._path, before.sides)
            self._opened = self._open(before.number + 1)
            self._gone_since = None
            before.engine.dispose()
            return self._opened

    def _wait_for_file(self) -> None:
        """A deleted file is given the time in which it may be put back; then a new one is made."""
        now = time.monotonic()
        if self._gone_since is None:
            self._gone_since = now
            _log.warning(
                "the store %s was deleted; unless it is put back within %g s, a new one "
                "will be created",
                self.place,
                _PUT_BACK_S,
            )
        if now - self._gone_since < _PUT_BACK_S:
            raise StoreError(f"the store {self.place} was deleted; put it back, or wait a moment")
        _log.warning("the store %s was not put back; creating a new one", self.place)

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

    def add_up(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Insert rows of numbers, or add them to those with the same primary key."""
        if not rows:
            return
        insert = sqlite.insert(table) if self._sqlite else postgresql.insert(table)
        keys = list(table.primary_key.columns)
        sums = {c.name: c + insert.excluded[c.name] for c in table.columns if c not in set(keys)}
        connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=sums), rows)

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise StoreError(_sentence(self.place, what, str(error.orig))) from error
        except OSError as error:
            cause = error.strerror or str(error)
            raise StoreError(_sentence(self.place, what, cause)) from error
        except (SQLAlchemyError, sqlite3.Error, ImportError) as error:
            raise StoreError(_sentence(self.place, what, str(error))) from error


def storable(text: str) -> str:
    """Words from outside, without the characters that a database refuses."""
    return text.encode("utf-8", "replace").decode().replace("\0", "�")


def _sentence(place: str, what: str, cause: str) -> str:
    cause = without_secrets(cause).strip().partition("\n")[0]
    if "No module named 'psycopg'" in cause:
        hint = f"install it with: {how_to_install('postgresql')}"
        return f"the store {place}: cannot {what}: {cause}; {hint}"
    hint = next((hint for sign, hint in _HINTS if sign in cause), "see the database's own log")
    return f"the store {place}: cannot {what}: {cause}; {hint}"


def _sqlite_engine(url: sa.URL, patience_s: float) -> sa.Engine:
    path = Path(url.database or "")
    make_folder(path.parent)
    # Its write-ahead log and the index of that get the same mode from SQLite.
    _sqlite_files.prepare(path)
    _switch_to_wal(path, patience_s)
    engine = sa.create_engine(url, connect_args={"timeout": patience_s})

    @sa.event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _: object) -> None:
        # Transactions begin below, not whenever the driver thinks so.
        connection.isolation_level = None
        # Give back what a burst, or a long reader, made of the write-ahead log.
        connection.execute(f"PRAGMA journal_size_limit={_LOG_BYTES}").close()

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        options = connection.get_execution_options()
        # FULL: what is committed is on the disk, so that also a power cut loses nothing that a
        # sink was already told, or a queue was told to forget. NORMAL survives only kill -9.
        full = options.get(_DURABLY, True)
        connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if full else 'NORMAL'}")
        # A writer takes the lock at once: one that began as a reader could not wait for it.
        writes = options.get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _sqlite_reader(url: sa.URL, patience_s: float) -> sa.Engine:
    path = Path(url.database or "")

    def connect() -> sqlite3.Connection:
        # Without a log nobody is at work, and as an immutable file it is read without making one:
        # whoever comes later might not have the right to write what this user made.
        how = "mode=ro" if _sides(path)[0].exists() else "immutable=1"
        uri = f"file:{quote(str(path.absolute()))}?{how}"
        return sqlite3.connect(uri, uri=True, timeout=patience_s, check_same_thread=False)

    # Each question has a connection of its own: whether somebody writes may change in between.
    return sa.create_engine("sqlite://", creator=connect, poolclass=NullPool)


def _sides(path: Path) -> tuple[Path, Path]:
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def _remove_sides(path: Path, sides: Mapping[Path, tuple[int, int] | None]) -> None:
    """Remove what belonged to a file that is gone, unless another process did and made its own."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        for side, was in sides.items():
            if was is not None and _sqlite_files.identity(side) == was:
                side.unlink()
    finally:
        os.close(folder)


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


def _postgresql_reader(url: sa.URL, patience_s: float) -> sa.Engine:
    return _postgresql_engine(url, patience_s, "-c default_transaction_read_only=on ")


def _postgresql_engine(url: sa.URL, patience_s: float, more: str = "") -> sa.Engine:
    patience_ms = round(patience_s * 1000)
    waits = f"{more}-c lock_timeout={patience_ms} -c statement_timeout={3 * patience_ms}"
    return sa.create_engine(
        url,
        pool_pre_ping=True,  # a server that was restarted is met with a new connection
        pool_timeout=patience_s,
        connect_args={
            "connect_timeout": max(2, round(patience_s)),
            "options": f"{waits} -c idle_in_transaction_session_timeout={3 * patience_ms}",
            # Do not wait for a server that disappeared, either.
            "keepalives_idle": 30,
            "tcp_user_timeout": 3 * patience_ms,
            "application_name": "moonwatch",
        },
    )
