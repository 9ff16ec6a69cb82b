"""Which events figures count: not what a second look rejected, nor an earlier judging's."""

import json
from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._database import Database, storable
from pipeline.core.events import Event, event_to_json
from pipeline.core.store import CountedAs, JudgedAnew

_ROWS_AT_ONCE = 500
# As `event_to_json` writes it: quotes within a text are escaped, so that no text looks like it.
_REJECTED = '"verified":"rejected"'


def counted_as(*, knows_superseded: bool = True) -> sa.ColumnElement[CountedAs]:
    """How figures take an event; `superseded` comes first, whatever a second look said of it.

    A store of an earlier release, which is only read, does not know what is superseded.
    """
    events, gone = _schema.events, _schema.superseded
    rejected = (events.c.body.contains(_REJECTED, autoescape=True), "rejected")
    if not knows_superseded:
        return sa.case(rejected, else_="counted")
    superseded = (events.c.record_id.in_(sa.select(gone.c.record_id)), "superseded")
    return sa.case(superseded, rejected, else_="counted")


def supersede(
    connection: sa.Connection, database: Database, judged_anew: Sequence[JudgedAnew]
) -> None:
    """Mark what these recordings' rules have reported so far; it counts again once they do so."""
    table = _schema.events
    for one in judged_anew:
        mine = (table.c.camera == one.camera) & table.c.rule.in_(sorted(one.rules))
        wanted = sa.select(table.c.record_id, table.c.body).where(mine)
        run = storable(one.run)
        # Ends that came with no picture have no run, up to the releases that had none of these.
        happenings: dict[str, list[str]] = {}
        of_run: set[str] = set()
        for row in connection.execute(wanted):
            try:
                record = json.loads(row.body)
                happening, its_run = str(record["id"]), record.get("run")
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue  # a damaged one is reported to whoever reads it
            if its_run is None or storable(str(its_run)) == run:
                happenings.setdefault(happening, []).append(row.record_id)
            if its_run is not None and storable(str(its_run)) == run:
                of_run.add(happening)
        rows = [
            {"record_id": record_id}
            for happening in happenings.keys() & of_run
            for record_id in happenings[happening]
        ]
        database.upsert(connection, _schema.superseded, rows, replace=False)


def told_again(
    connection: sa.Connection, events: Mapping[str, Event], known: Collection[str]
) -> list[Event]:
    """Of known events those that an earlier judging had reported count again, as told now."""
    table, gone = _schema.events, _schema.superseded
    wanted = sa.select(gone.c.record_id).where(gone.c.record_id.in_(list(known)))
    again = [events[record_id] for record_id in connection.scalars(wanted)]
    for event in again:
        mine = table.c.record_id == event.record_id
        told = {"at": event.at, "type": event.type, "body": event_to_json(event)}
        connection.execute(table.update().where(mine).values(**told))
        connection.execute(sa.delete(gone).where(gone.c.record_id == event.record_id))
    return again


def forget_superseded(connection: sa.Connection, record_ids: Sequence[str]) -> None:
    """Forget the marks of events that are forgotten."""
    table = _schema.superseded
    for start in range(0, len(record_ids), _ROWS_AT_ONCE):
        some = record_ids[start : start + _ROWS_AT_ONCE]
        connection.execute(sa.delete(table).where(table.c.record_id.in_(some)))
