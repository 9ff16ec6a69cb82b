"""Questions about the past, answered from the tables."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._counting import counted_as
from connectors.stores._database import Database, is_ahead
from connectors.stores._edits import edit_of
from pipeline.core.clock import Clock
from pipeline.core.edits import RuleEdit
from pipeline.core.errors import StoreError
from pipeline.core.events import Event, event_from_json
from pipeline.core.measures import Bucket, Health
from pipeline.core.store import (
    EVER,
    FIRST_PAGE,
    CountedAs,
    Cursor,
    EventCount,
    EventFilter,
    Extent,
    Page,
    Span,
    StoredEvent,
    UnreadableEvent,
)

_ROWS_AT_ONCE = 500
_EARLIER = ("entered", "left", "mean", "maximum")


class SqlHistory:
    """The reading side of a `SqlStore`; see `pipeline.core.store.History`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._knows_superseded = False
        self._clock = clock

    def events(self, chosen: EventFilter, page: Page = FIRST_PAGE) -> Sequence[StoredEvent]:
        """Events in order of arrival, or the other way round."""
        position = _schema.events.c.position
        wanted = sa.select(_schema.events).where(*_conditions(chosen)).limit(page.limit)
        if chosen.counted_as:
            wanted = wanted.where(self._counted_as().in_(chosen.counted_as))
        if page.newest_first:
            wanted = wanted.order_by(position.desc())
            if page.beyond is not None:
                wanted = wanted.where(position < page.beyond)
        else:
            wanted = wanted.order_by(position)
            if page.beyond is not None:
                wanted = wanted.where(position > page.beyond)
        return [kept(self._database.place, row) for row in self._all(wanted)]

    def event(self, record_id: str) -> StoredEvent | None:
        """One event, if it is still there."""
        table = _schema.events
        rows = self._all(sa.select(table).where(table.c.record_id == record_id))
        return kept(self._database.place, rows[0]) if rows else None

    def counted_as(self, record_ids: Collection[str]) -> Mapping[str, CountedAs]:
        """How figures take these events."""
        table, found = _schema.events, dict[str, CountedAs]()
        some = list(record_ids)
        for start in range(0, len(some), _ROWS_AT_ONCE):
            wanted = sa.select(table.c.record_id, self._counted_as().label("how")).where(
                table.c.record_id.in_(some[start : start + _ROWS_AT_ONCE])
            )
            found |= {row.record_id: row.how for row in self._all(wanted)}
        return found

    def counts(self, chosen: EventFilter) -> Sequence[EventCount]:
        """How many events there are by camera, rule and phase."""
        table = _schema.events
        kinds = (table.c.camera, table.c.rule, table.c.type, table.c.phase)
        how = self._counted_as()
        wanted = sa.select(
            *kinds,
            sa.func.count().label("events"),
            sa.func.min(table.c.at).label("first"),
            sa.func.max(table.c.at).label("last"),
            sa.func.sum(sa.case((how == "rejected", 1), else_=0)).label("rejected"),
            sa.func.sum(sa.case((how == "superseded", 1), else_=0)).label("superseded"),
        ).where(*_conditions(chosen))
        if chosen.counted_as:
            wanted = wanted.where(how.in_(chosen.counted_as))
        rows = self._all(wanted.group_by(*kinds).order_by(*kinds))
        return [EventCount(**row._asdict()) for row in rows]

    def buckets(
        self, camera: str | None = None, rule: str | None = None, span: Span = EVER
    ) -> Sequence[Bucket]:
        """Minute buckets by camera, rule and minute."""
        table = _schema.buckets
        wanted = sa.select(*self._database.columns(table)).where(*_within(table.c.minute, span))
        if camera is not None:
            wanted = wanted.where(table.c.camera == camera)
        if rule is not None:
            wanted = wanted.where(table.c.rule == rule)
        rows = self._all(wanted.order_by(table.c.camera, table.c.rule, table.c.minute))
        return [
            Bucket(
                camera=row.camera,
                rule=row.rule,
                minute=row.minute,
                samples=row.samples,
                coverage=row.coverage,
                values=_values(row),
                unfinished=row.unfinished,
            )
            for row in rows
        ]

    def extents(self) -> Sequence[Extent]:
        """From when to when there are minutes, by camera and rule."""
        table = _schema.buckets
        names = (table.c.camera, table.c.rule)
        ends = (sa.func.min(table.c.minute), sa.func.max(table.c.minute))
        rows = self._all(sa.select(*names, *ends).group_by(*names).order_by(*names))
        return [Extent(one[0], one[1], one[2], one[3]) for one in map(tuple, rows)]

    def health(self, camera: str | None = None, span: Span = EVER) -> Sequence[Health]:
        """Changes of cameras' states in order of time."""
        table = _schema.health
        wanted = sa.select(table).where(*_within(table.c.at, span))
        if camera is not None:
            wanted = wanted.where(table.c.camera == camera)
        rows = self._all(wanted.order_by(table.c.at, table.c.camera, table.c.kept_at))
        return [_health(row) for row in rows]

    def edits(self, camera: str | None = None, span: Span = EVER) -> Sequence[RuleEdit]:
        """What was edited of rules, in order of time."""
        table = _schema.edits
        wanted = sa.select(table).where(*_within(table.c.at, span))
        if camera is not None:
            wanted = wanted.where(table.c.camera == camera)
        with self._database.read("read what was edited") as connection:
            if not sa.inspect(connection).has_table(table.name):
                return []  # a reader beside a release that has none
            rows = connection.execute(wanted.order_by(table.c.at, table.c.camera, table.c.rule))
            return [edit_of(row) for row in rows]

    def latest_health(self) -> Sequence[Health]:
        """The last known state of each camera."""
        table = _schema.health
        # What a clock that was ahead has said is not the last state for years.
        ahead = is_ahead(table.c.at, self._clock)
        place = sa.func.row_number().over(
            partition_by=table.c.camera,
            order_by=(ahead, table.c.at.desc(), table.c.kept_at.desc()),
        )
        ranked = sa.select(table, place.label("place")).subquery()
        wanted = sa.select(ranked).where(ranked.c.place == 1).order_by(ranked.c.camera)
        return [_health(row) for row in self._all(wanted)]

    def cursors(self) -> Sequence[Cursor]:
        """Where each sink of the deployment is."""
        cursors, events = _schema.cursors, _schema.events
        behind = (
            sa.select(sa.func.count())
            .where(events.c.position > cursors.c.position)
            .scalar_subquery()
        )
        wanted = sa.select(cursors.c.sink, cursors.c.position, behind).where(cursors.c.enlisted)
        return [Cursor(*row) for row in self._all(wanted.order_by(cursors.c.sink))]

    def refused(self) -> Mapping[str, int]:
        """How many events each sink would not take."""
        sink = _schema.undelivered.c.sink
        wanted = sa.select(sink, sa.func.count().label("events")).group_by(sink).order_by(sink)
        return {row.sink: row.events for row in self._all(wanted)}

    def _counted_as(self) -> sa.ColumnElement[CountedAs]:
        if not self._knows_superseded:
            with self._database.read("see what it keeps") as connection:
                # A reader may be beside a release that has no such table.
                there = sa.inspect(connection).has_table(_schema.superseded.name)
                self._knows_superseded = there
        return counted_as(knows_superseded=self._knows_superseded)

    def _all(self, wanted: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        with self._database.read("read what is kept") as connection:
            return connection.execute(wanted).all()


def _event(row: sa.Row[Any]) -> Event:
    return replace(event_from_json(row.body), position=row.position)


def kept(place: str, row: sa.Row[Any]) -> StoredEvent:
    """A row of the events table as an event; StoreError when it was damaged."""
    try:
        return StoredEvent(row.position, _event(row), row.kept_at)
    except ValueError as error:
        raise StoreError(
            f"the store {place}: event {row.position} is damaged ({error}); "
            "restore the store from a backup, or delete this event"
        ) from error


def _values(row: sa.Row[Any]) -> Mapping[str, float | None]:
    """A minute's values by name; those written up to version 2 of the tables have columns."""
    if row.measures is not None:
        values: Mapping[str, float | None] = json.loads(row.measures)
        return values
    earlier = {name: row._mapping[name] for name in _EARLIER}
    return {name: value for name, value in earlier.items() if value is not None}


def kept_or_not(row: sa.Row[Any]) -> StoredEvent | UnreadableEvent:
    """A row of the events table as an event, or as what can still be said of it."""
    try:
        return StoredEvent(row.position, _event(row), row.kept_at)
    except ValueError as error:
        reason = f"cannot be read: {error}"
        return UnreadableEvent(row.position, row.record_id, row.camera, row.rule, row.type, reason)


def _health(row: sa.Row[Any]) -> Health:
    return Health(row.camera, row.at, row.state, row.detail)


def _conditions(chosen: EventFilter) -> list[sa.ColumnElement[bool]]:
    table = _schema.events
    choices = (
        (table.c.camera, chosen.cameras),
        (table.c.rule, chosen.rules),
        (table.c.type, chosen.types),
        (table.c.phase, chosen.phases),
    )
    conditions = [column.in_(names) for column, names in choices if names]
    return [*conditions, *_within(table.c.at, chosen.span)]


def _within(moment: sa.Column[Any], span: Span) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if span.since is not None:
        conditions.append(moment >= span.since)
    if span.until is not None:
        conditions.append(moment < span.until)
    return conditions
