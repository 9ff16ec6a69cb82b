"""The store in a database: SQLite in one file by default, PostgreSQL by its URL.

Knows nothing of sinks but their names and how far each of them is.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._database import Database
from connectors.stores._history import SqlHistory, kept
from pipeline.core.clock import Clock, SystemClock
from pipeline.core.errors import FencedOffError
from pipeline.core.events import Event, event_to_json
from pipeline.core.store import Checkpoint, Commit, Cursor, StoredEvent, Undelivered

_PATIENCE_S = 10.0
# Below the number of parameters a statement may have, and short enough to let others write.
_ROWS_AT_ONCE = 500


class SqlStore:
    """Keeps what follows from results, and the outbox; usable from any thread.

    A StoreError leaves the store as it was, so whatever raised it can be called again. `history`
    answers questions about the past.
    """

    def __init__(
        self, url: str, clock: Clock | None = None, patience_s: float = _PATIENCE_S
    ) -> None:
        """Open the database; `patience_s` is how long a lock or a server is waited for."""
        self._database = Database(url, patience_s)
        self._clock = clock or SystemClock()
        self.history = SqlHistory(self._database)

    def commit(self, commit: Commit) -> int:
        """Keep all of it in one transaction; an event whose record_id is known is kept once."""
        parts = (commit.events, commit.buckets, commit.health, commit.checkpoints, commit.fences)
        if not any(parts):
            return 0
        now = self._clock.now()
        buckets, health, checkpoints = _rows(commit, now)
        with self._database.write("keep events") as connection:
            self._pass_fences(connection, commit.fences)
            new = self._keep_events(connection, commit.events, now)
            self._database.upsert(connection, _schema.buckets, buckets)
            self._database.upsert(connection, _schema.health, health, replace=False)
            self._database.upsert(connection, _schema.checkpoints, checkpoints)
        return new

    def checkpoint(self, camera: str, engine: str) -> Checkpoint | None:
        """The last checkpoint, if there is one."""
        table = _schema.checkpoints
        wanted = sa.select(table).where(table.c.camera == camera, table.c.engine == engine)
        with self._database.read("read a checkpoint") as connection:
            row = connection.execute(wanted).one_or_none()
        if row is None:
            return None
        state = json.loads(row.state)
        return Checkpoint(row.camera, row.engine, row.run, row.ordinal, state, row.ended)

    def register_sinks(self, sinks: Sequence[str]) -> None:
        """Say which sinks there are; events wait for each of them, and for no other."""
        table = _schema.cursors
        with self._database.write("enlist sinks") as connection:
            known = set(connection.scalars(sa.select(table.c.sink)))
            connection.execute(table.update().values(enlisted=table.c.sink.in_(sinks)))
            rows = [{"sink": sink, "position": 0, "enlisted": True} for sink in {*sinks} - known]
            self._database.upsert(connection, table, rows)

    def events_after(self, position: int, limit: int) -> Sequence[StoredEvent]:
        """Events in order of arrival, for delivery."""
        table = _schema.events
        wanted = (
            sa.select(table).where(table.c.position > position).order_by(table.c.position)
        ).limit(limit)
        with self._database.read("read events") as connection:
            return [kept(self._database.place, row) for row in connection.execute(wanted)]

    def cursor(self, sink: str) -> Cursor:
        """Where a sink is; position 0 for a new one."""
        with self._database.read("read a cursor") as connection:
            position = _position(connection, sink)
            behind = sa.select(sa.func.count()).where(_schema.events.c.position > position)
            return Cursor(sink, position, connection.scalar(behind) or 0)

    def advance(self, sink: str, position: int, dead: Sequence[Undelivered] = ()) -> None:
        """Move a sink's cursor on, keeping what was given up as dead letters; never goes back."""
        now = self._clock.now()
        letters = [
            {
                "sink": sink,
                "position": letter.position,
                "record_id": letter.record_id,
                "reason": _storable(letter.reason),
                "attempts": letter.attempts,
                "kept_at": now,
            }
            for letter in dead
        ]
        with self._database.write("move a cursor") as connection:
            further = max(position, _position(connection, sink))
            row = {"sink": sink, "position": further, "enlisted": True}
            self._database.upsert(connection, _schema.cursors, [row])
            self._database.upsert(connection, _schema.undelivered, letters)

    def undelivered(self, sink: str | None = None) -> Sequence[Undelivered]:
        """Dead letters, of one sink or all, in order of arrival."""
        table = _schema.undelivered
        wanted = sa.select(table).order_by(table.c.position, table.c.sink)
        if sink is not None:
            wanted = wanted.where(table.c.sink == sink)
        with self._database.read("read dead letters") as connection:
            return [
                Undelivered(row.sink, row.position, row.record_id, row.reason, row.attempts)
                for row in connection.execute(wanted)
            ]

    def discard(self, letters: Sequence[Undelivered]) -> int:
        """Forget dead letters; how many were still there."""
        table = _schema.undelivered
        settled = 0
        with self._database.write("forget dead letters") as connection:
            for letter in letters:
                mine = (table.c.sink == letter.sink) & (table.c.position == letter.position)
                settled += connection.execute(sa.delete(table).where(mine)).rowcount
        return settled

    def prune(self, before: float) -> int:
        """Forget what was stored before `before`; events only when every sink is past them.

        The age is that of the record and not of what it tells: a clip of last year that is
        looked at today is kept as long as everything else of today.
        """
        forgotten = sum(self._prune_events(before))
        with self._database.write("forget old counts") as connection:
            for table in (_schema.buckets, _schema.health):
                forgotten += connection.execute(
                    sa.delete(table).where(table.c.kept_at < before)
                ).rowcount
        return forgotten

    def close(self) -> None:
        """Let go of the database; safe to call twice."""
        self._database.close()

    def _pass_fences(self, connection: sa.Connection, fences: Mapping[int, int]) -> None:
        """Refuse a lower token than is known, and remember a higher one."""
        if not fences:
            return
        table = _schema.fences
        wanted = sa.select(table).where(table.c.partition.in_(list(fences)))
        known = {row.partition: row.token for row in connection.execute(wanted)}
        for partition, token in fences.items():
            if token < known.get(partition, token):
                raise FencedOffError(partition)
        raised = [
            {"partition": partition, "token": token}
            for partition, token in fences.items()
            if known.get(partition) != token
        ]
        self._database.upsert(connection, table, raised)

    def _keep_events(self, connection: sa.Connection, events: Sequence[Event], now: float) -> int:
        fresh: dict[str, Event] = {}
        for event in events:
            fresh.setdefault(event.record_id, event)
        for some in _pieces(list(fresh), _ROWS_AT_ONCE):
            table = _schema.events
            for known in connection.scalars(
                sa.select(table.c.record_id).where(table.c.record_id.in_(some))
            ).all():
                del fresh[known]
        rows = [_event_row(record_id, event, now) for record_id, event in fresh.items()]
        if rows:
            connection.execute(_schema.events.insert(), rows)
        media = [
            {"reference": reference, "record_id": record_id, "kept_at": now}
            for record_id, event in fresh.items()
            for reference in event.media
        ]
        self._database.upsert(connection, _schema.media, media)
        return len(rows)

    def _prune_events(self, before: float) -> Iterator[int]:
        events, cursors = _schema.events, _schema.cursors
        passed = sa.select(sa.func.min(cursors.c.position)).where(cursors.c.enlisted)
        while True:
            with self._database.write("forget old events") as connection:
                old = sa.select(events.c.position, events.c.record_id).where(
                    events.c.kept_at < before
                )
                floor = connection.scalar(passed)
                if floor is not None:
                    old = old.where(events.c.position <= floor)
                rows = connection.execute(old.limit(_ROWS_AT_ONCE)).all()
                positions = [row.position for row in rows]
                record_ids = [row.record_id for row in rows]
                media, dead = _schema.media, _schema.undelivered
                connection.execute(sa.delete(events).where(events.c.position.in_(positions)))
                connection.execute(sa.delete(dead).where(dead.c.position.in_(positions)))
                connection.execute(sa.delete(media).where(media.c.record_id.in_(record_ids)))
            yield len(rows)
            if len(rows) < _ROWS_AT_ONCE:
                return


def _position(connection: sa.Connection, sink: str) -> int:
    cursors = _schema.cursors
    return connection.scalar(sa.select(cursors.c.position).where(cursors.c.sink == sink)) or 0


def _event_row(record_id: str, event: Event, now: float) -> dict[str, Any]:
    return {
        "record_id": record_id,
        "kept_at": now,
        "at": event.at,
        "camera": event.camera,
        "rule": event.rule,
        "type": event.type,
        "phase": event.phase,
        "body": event_to_json(event),
    }


def _rows(
    commit: Commit, now: float
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    buckets = [
        {
            "camera": bucket.camera,
            "rule": bucket.rule,
            "minute": bucket.minute,
            "samples": bucket.samples,
            "coverage": bucket.coverage,
            "measures": json.dumps(
                {name: _known(value) for name, value in bucket.values.items()},
                separators=(",", ":"),
            ),
            "unfinished": bucket.unfinished,
            "kept_at": now,
        }
        for bucket in commit.buckets
    ]
    health = [
        {
            "camera": change.camera,
            "at": change.at,
            "state": change.state,
            "detail": _storable(change.detail),
            "kept_at": now,
        }
        for change in commit.health
    ]
    checkpoints = [
        {
            "camera": point.camera,
            "engine": point.engine,
            "run": point.run,
            "ordinal": point.ordinal,
            "state": json.dumps(point.state, separators=(",", ":")),
            "ended": point.ended,
            "kept_at": now,
        }
        for point in commit.checkpoints
    ]
    return buckets, health, checkpoints


def _known(value: float | None) -> float | None:
    """The value, or None where it is not one that JSON can hold."""
    return value if value is not None and math.isfinite(value) else None


def _storable(text: str) -> str:
    """Words from outside, without the characters that a database refuses."""
    return text.encode("utf-8", "replace").decode().replace("\0", "�")


def _pieces(items: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
