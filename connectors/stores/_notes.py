"""What sinks remember: short texts by key, each sink its own."""

from collections.abc import Mapping

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._database import Database, storable
from connectors.stores._leases import prove
from pipeline.core.clock import Clock
from pipeline.core.store import LeaseProof


class SqlNotes:
    """The notes of one sink; see `pipeline.core.sinks.Notes`."""

    def __init__(
        self, database: Database, clock: Clock, sink: str, lease: LeaseProof | None = None
    ) -> None:
        """With a `lease` nothing is noted once another process has taken it."""
        self._lease = lease
        self._database, self._clock, self._sink = database, clock, sink

    def note(self, key: str) -> str | None:
        """What was noted under this key; None for nothing, or where its time is over."""
        table = _schema.notes
        wanted = self._valid().with_only_columns(table.c.text).where(table.c.key == storable(key))
        with self._database.read("read what a sink has noted") as connection:
            return connection.scalar(wanted)

    def notes(self, prefix: str = "") -> Mapping[str, str]:
        """All that is noted under keys that begin with the prefix, by key, in the keys' order."""
        table = _schema.notes
        wanted = self._valid().where(table.c.key.startswith(storable(prefix), autoescape=True))
        with self._database.read("read what a sink has noted") as connection:
            rows = connection.execute(wanted).all()
        # SQLite's LIKE takes small letters and capitals for the same.
        found = {row.key: row.text for row in rows if row.key.startswith(storable(prefix))}
        return dict(sorted(found.items()))

    def take_down(self, notes: Mapping[str, str | None], keep_s: float | None = None) -> None:
        """Note texts by key, all or none; None deletes. Kept for ever, or for `keep_s` seconds."""
        table = _schema.notes
        over_at = None if keep_s is None else self._clock.now() + keep_s
        gone = [storable(key) for key, text in notes.items() if text is None]
        rows = [
            {
                "sink": self._sink,
                "key": storable(key),
                "text": storable(text),
                "over_at": over_at,
            }
            for key, text in notes.items()
            if text is not None
        ]
        with self._database.write("note what a sink has done") as connection:
            prove(connection, self._lease)
            if gone:
                own = (table.c.sink == self._sink, table.c.key.in_(gone))
                connection.execute(sa.delete(table).where(*own))
            if rows:
                self._database.upsert(connection, table, rows)

    def note_once(self, key: str, text: str) -> str:
        """Note a text for ever unless something is noted; what is noted then, for all alike."""
        table = _schema.notes
        row = {"sink": self._sink, "key": storable(key), "text": storable(text), "over_at": None}
        own = (table.c.sink == self._sink, table.c.key == storable(key))
        with self._database.write("note what is noted once") as connection:
            over = table.c.over_at <= self._clock.now()
            connection.execute(sa.delete(table).where(*own, over))
            self._database.upsert(connection, table, [row], replace=False)
            return str(connection.scalar(sa.select(table.c.text).where(*own)))

    def _valid(self) -> sa.Select[tuple[str, str]]:
        table = _schema.notes
        is_valid = table.c.over_at.is_(None) | (table.c.over_at > self._clock.now())
        return sa.select(table.c.key, table.c.text).where(table.c.sink == self._sink, is_valid)


def prune_notes(connection: sa.Connection, now: float) -> None:
    """Delete the notes whose time is over."""
    table = _schema.notes
    connection.execute(sa.delete(table).where(table.c.over_at <= now))
