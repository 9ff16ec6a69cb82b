"""Happenings found in the table of events; see `pipeline.core.happenings.Happenings`."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._database import Database, storable
from connectors.stores._history import kept_or_not
from pipeline.core.happenings import (
    Bins,
    Happening,
    HappeningQuery,
    KnownShare,
    Lead,
    Tally,
    merged,
)
from pipeline.core.store import Span, StoredEvent, Undelivered

_AT_ONCE = 400
_FIRSTS = ("start", "single")


class SqlHappenings:
    """Reads events as the happenings that they tell of."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self) -> int:
        """The position of the last event that was stored; 0 without any."""
        with self._database.read("see how many events there are") as connection:
            return connection.scalar(sa.select(sa.func.max(_schema.events.c.position))) or 0

    def extent(self, span: Span) -> tuple[int, int] | None:
        """The first and last position of events of a span; None where there are none."""
        table = _schema.events
        ends = sa.select(sa.func.min(table.c.position), sa.func.max(table.c.position))
        with self._database.read("see which events there are") as connection:
            first, last = connection.execute(ends.where(*_within(table.c.at, span))).one()
        return None if first is None else (int(first), int(last))

    def leads(self, chosen: HappeningQuery, above: int, below: int, limit: int) -> Sequence[Lead]:
        """The last of those with a position between two others, the newest first."""
        table = _schema.events
        wanted = _of_leads(chosen, *_lead_columns(table)).where(
            table.c.position > above, table.c.position < below
        )
        return self._leads(wanted.order_by(table.c.position.desc()).limit(limit))

    def changed(self, chosen: HappeningQuery, above: int, upto: int, limit: int) -> Sequence[Lead]:
        """Events of any phase beyond a position, in the order of arrival."""
        table = _schema.events
        wanted = sa.select(*_lead_columns(table)).where(
            table.c.position > above, table.c.position <= upto, _counts(table)
        )
        wanted = wanted.where(*_chosen(chosen, table))
        return self._leads(wanted.order_by(table.c.position).limit(limit))

    def happenings(self, keys: Collection[str]) -> Mapping[str, Happening]:
        """All happenings that these keys lead to, by their id."""
        table, found, every = _schema.events, list[StoredEvent](), list(dict.fromkeys(keys))
        with self._database.read("read what happened") as connection:
            for start in range(0, len(every), _AT_ONCE):
                some = every[start : start + _AT_ONCE]
                wanted = sa.select(table).where(_key(table).in_(some), _counts(table))
                rows = [kept_or_not(row) for row in connection.execute(wanted)]
                found += [one for one in rows if isinstance(one, StoredEvent)]
        return merged(found)

    def refused(
        self,
        cameras: Collection[str] | None,
        beyond: tuple[int, str] | None,
        limit: int,
    ) -> Sequence[Undelivered]:
        """Dead letters of events of these cameras, the newest first; beyond one of them."""
        wanted = _letters(cameras, *_schema.undelivered.c)
        wanted = letters_in_order(wanted, beyond, newest_first=True).limit(limit)
        with self._database.read("read dead letters") as connection:
            return [letter_of(row) for row in connection.execute(wanted)]

    def refused_count(self, cameras: Collection[str] | None) -> int:
        """How many there are."""
        with self._database.read("count dead letters") as connection:
            return connection.scalar(_letters(cameras, sa.func.count())) or 0

    def tallies(self, chosen: HappeningQuery, bins: Bins) -> Sequence[Tally]:
        """How many began in each bin, by camera and rule."""
        table = _schema.events
        with self._database.read("count what happened") as connection:
            place = _bin(table.c.at, bins, connection).label("bin")
            one = _of_leads(chosen, table.c.camera, table.c.rule, place)
            of = one.where(*_within(table.c.at, bins.span)).subquery()
            groups = (of.c.camera, of.c.rule, of.c.bin)
            counted = sa.select(*groups, sa.func.count()).group_by(*groups)
            return [Tally(*row) for row in connection.execute(counted)]

    def known(
        self, bins: Bins, cameras: Collection[str] | None, *, by_rule: bool
    ) -> Sequence[KnownShare]:
        """How much of each bin is known, by camera or by rule; bins begin with whole minutes."""
        table = _schema.buckets
        with self._database.read("see how much is known") as connection:
            place = _bin(table.c.minute, bins, connection).label("bin")
            wanted: sa.Select[Any] = sa.select(
                table.c.camera, table.c.rule, place, table.c.coverage.label("coverage")
            )
            if not by_rule:
                best = sa.func.max(table.c.coverage).label("coverage")
                wanted = sa.select(table.c.camera, sa.literal("").label("rule"), place, best)
                wanted = wanted.group_by(table.c.camera, table.c.minute)
            wanted = wanted.where(*_within(table.c.minute, bins.span))
            if cameras is not None:
                wanted = wanted.where(table.c.camera.in_(list(cameras)))
            of = wanted.subquery()
            groups = (of.c.camera, of.c.rule, of.c.bin)
            summed = sa.select(*groups, sa.func.sum(of.c.coverage)).group_by(*groups)
            rows = connection.execute(summed)
            return [KnownShare(row[0], row[1], row[2], float(row[3] or 0.0)) for row in rows]

    def _leads(self, wanted: sa.Select[Any]) -> Sequence[Lead]:
        with self._database.read("see what happened") as connection:
            return [Lead(*row) for row in connection.execute(wanted)]


def _lead_columns(table: Any) -> tuple[sa.ColumnElement[Any], ...]:
    return table.c.position, _key(table), table.c.camera, table.c.rule, table.c.at


def _key(table: Any) -> sa.ColumnElement[str]:
    # As in the index, without parameters.
    letters: sa.ColumnElement[int] = sa.literal_column(str(_schema.ID_LETTERS))
    return sa.func.substr(table.c.record_id, sa.literal_column("1"), letters)


def _counts(table: Any) -> sa.ColumnElement[bool]:
    counts: sa.ColumnElement[bool] = table.c.record_id.not_in(
        sa.select(_schema.superseded.c.record_id)
    )
    return counts


def _of_leads(chosen: HappeningQuery, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """A question about the first events of happenings."""
    table, before = _schema.events, _schema.events.alias("before")
    earlier = sa.exists().where(
        _key(before) == _key(table), before.c.position < table.c.position, _counts(before)
    )
    is_first = table.c.phase.in_(_FIRSTS) | ~earlier
    return sa.select(*columns).where(*_chosen(chosen, table), _counts(table), is_first)


def _chosen(chosen: HappeningQuery, table: Any) -> Iterator[sa.ColumnElement[bool]]:
    if chosen.cameras is not None:
        yield table.c.camera.in_(list(chosen.cameras))
    for column, names in ((table.c.rule, chosen.rules), (table.c.type, chosen.types)):
        if names:
            yield column.in_(list(names))
    yield from _within(table.c.at, chosen.span)
    seen = _schema.reviews
    for visitor, is_wanted in ((chosen.seen_by, True), (chosen.unseen_by, False)):
        if visitor is not None:
            mine = sa.select(seen.c.happening).where(seen.c.visitor == storable(visitor))
            yield _key(table).in_(mine) if is_wanted else _key(table).not_in(mine)
    for part in chosen.parts:
        one = _schema.events.alias()
        yield sa.exists().where(
            _key(one) == _key(table), one.c.body.icontains(part, autoescape=True)
        )
    if chosen.refused:
        one, letters = _schema.events.alias(), _schema.undelivered
        yield sa.exists().where(
            _key(one) == _key(table), one.c.position.in_(sa.select(letters.c.position))
        )


def letters_in_order(
    wanted: sa.Select[Any], beyond: tuple[int, str] | None, *, newest_first: bool
) -> sa.Select[Any]:
    """Dead letters by their positions and sinks, from beyond one of them."""
    table = _schema.undelivered
    place = sa.tuple_(table.c.position, table.c.sink)
    if beyond is not None:
        last = sa.tuple_(*map(sa.literal, (beyond[0], storable(beyond[1]))))
        wanted = wanted.where(place < last if newest_first else place > last)
    if newest_first:
        return wanted.order_by(table.c.position.desc(), table.c.sink.desc())
    return wanted.order_by(table.c.position, table.c.sink)


def letter_of(row: sa.Row[Any]) -> Undelivered:
    """A dead letter as it is kept."""
    return Undelivered(row.sink, row.position, row.record_id, row.reason, row.attempts)


def _letters(cameras: Collection[str] | None, *columns: Any) -> sa.Select[Any]:
    """A question about dead letters whose events are there."""
    table, events = _schema.undelivered, _schema.events
    wanted = sa.select(*columns).select_from(
        table.join(events, events.c.position == table.c.position)
    )
    wanted = wanted.where(_counts(events))
    return wanted if cameras is None else wanted.where(events.c.camera.in_(list(cameras)))


def _bin(
    moment: sa.ColumnElement[Any], bins: Bins, connection: sa.Connection
) -> sa.ColumnElement[int]:
    into = (moment - bins.since) / bins.seconds
    if connection.dialect.name == "sqlite":
        # It cuts off, and nothing is before the first bin; not every build of it has a floor.
        return sa.cast(into, sa.BigInteger)
    return sa.cast(sa.func.floor(into), sa.BigInteger)


def _within(moment: Any, span: Span) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if span.since is not None:
        conditions.append(moment >= span.since)
    if span.until is not None:
        conditions.append(moment < span.until)
    return conditions
