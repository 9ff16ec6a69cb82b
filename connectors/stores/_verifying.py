"""Events that wait for a second look, and what came of others."""

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._database import Database, storable
from pipeline.core.events import Event, event_from_json, event_to_json
from pipeline.core.verifying import (
    SecondLook,
    Verification,
    VerificationCount,
    WaitingEvent,
    outcome_of,
    verification_of,
)

_log = logging.getLogger(__name__)
_ROWS_AT_ONCE = 500
_LOOK = frozenset(field.name for field in fields(SecondLook))


class SqlSecondLooks:
    """What waits and what is known; see `pipeline.core.verifying.SecondLooks`."""

    _database: Database

    def waiting(self) -> Sequence[WaitingEvent]:
        """All waiting events in the order in which they were judged."""
        table = _schema.waiting
        columns = [column for column in table.c if column.name != "picture"]
        with self._database.read("read which events wait for a second look") as connection:
            rows = connection.execute(sa.select(*columns).order_by(table.c.position)).all()
        found = []
        for row in rows:
            try:
                found.append(_waiting(row))
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                # One damaged row must not keep all cameras from being judged.
                _log.warning(
                    "the store %s holds an event of camera %s that waits for a second look and "
                    "cannot be read (%s: %s); it stays there, and is not reported",
                    *(self._database.place, row.camera, row.record_id, error),
                )
        return found

    def waiting_picture(self, record_id: str) -> bytes | None:
        """The picture that is asked about; None if there is none."""
        table = _schema.waiting
        wanted = sa.select(table.c.picture).where(table.c.record_id == record_id)
        with self._database.read("read the picture of an event that waits") as connection:
            return connection.scalar(wanted)

    def outcomes(self, happenings: Collection[str]) -> Mapping[str, Verification]:
        """The outcomes that are known, by the id of the happening."""
        table = _schema.verified
        wanted = sa.select(table).where(table.c.happening.in_(list(happenings)))
        with self._database.read("read the outcomes of second looks") as connection:
            rows = connection.execute(wanted).all()
        found = {row.happening: verification_of(row.outcome, row.detail) for row in rows}
        return {happening: one for happening, one in found.items() if one is not None}


class SqlSecondLookHistory:
    """Figures of second looks; see `pipeline.core.verifying.SecondLookHistory`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def verification_counts(self, since: float | None = None) -> Sequence[VerificationCount]:
        """How many happenings of each rule, stored since a moment, had which outcome."""
        table = _schema.verified
        key = (table.c.camera, table.c.rule, table.c.outcome)
        wanted = sa.select(*key, sa.func.count()).group_by(*key).order_by(*key)
        if since is not None:
            wanted = wanted.where(table.c.kept_at >= since)
        with self._database.read("count the outcomes of second looks") as connection:
            if not sa.inspect(connection).has_table(table.name):
                return []  # a reader beside a release that has none
            return [VerificationCount(*row) for row in connection.execute(wanted)]

    def waiting_counts(self) -> Mapping[tuple[str, str], int]:
        """How many events wait to be looked at, by camera and rule."""
        table = _schema.waiting
        key = (table.c.camera, table.c.rule)
        wanted = sa.select(*key, sa.func.count()).where(table.c.look != "").group_by(*key)
        with self._database.read("count the events that wait for a second look") as connection:
            if not sa.inspect(connection).has_table(table.name):
                return {}
            return {(row[0], row[1]): row[2] for row in connection.execute(wanted)}


def keep_waiting(connection: sa.Connection, waiting: Sequence[WaitingEvent]) -> None:
    """Let these wait, each once; of one that waits already only the outcome is new."""
    table = _schema.waiting
    for one in waiting:
        outcome = json.dumps(_told(one.verification)) if one.verification else ""
        mine = table.c.record_id == one.event.record_id
        known = connection.execute(table.update().where(mine).values(outcome=outcome)).rowcount
        if known:
            continue
        row = {
            "record_id": one.event.record_id,
            "camera": one.event.camera,
            "rule": one.event.rule,
            "since": one.since,
            "in_order": one.in_order,
            "body": event_to_json(one.event),
            "look": json.dumps(asdict(one.look)) if one.look else "",
            "outcome": outcome,
            "picture": one.picture,
        }
        connection.execute(table.insert(), [row])


def end_waiting(connection: sa.Connection, record_ids: Sequence[str]) -> None:
    """These wait no longer."""
    table = _schema.waiting
    for start in range(0, len(record_ids), _ROWS_AT_ONCE):
        some = record_ids[start : start + _ROWS_AT_ONCE]
        connection.execute(sa.delete(table).where(table.c.record_id.in_(some)))


def outcome_rows(events: Sequence[Event], now: float) -> list[dict[str, Any]]:
    """What is remembered of the second looks at these events: one row for each happening."""
    rows: dict[str, dict[str, Any]] = {}
    for event in events:
        found = outcome_of(event)
        if found is None:
            continue
        rows.setdefault(
            event.id,
            {
                "happening": event.id,
                "camera": event.camera,
                "rule": event.rule,
                "at": event.at,
                "outcome": found.outcome,
                "detail": storable(json.dumps(found.detail())),
                "kept_at": now,
            },
        )
    return list(rows.values())


def _told(verification: Verification) -> dict[str, Any]:
    return {"outcome": verification.outcome, "detail": verification.detail()}


def _waiting(row: sa.Row[Any]) -> WaitingEvent:
    event = event_from_json(row.body)
    look, outcome = None, None
    if row.look:
        # Fields of a later release are ignored.
        told = {name: value for name, value in json.loads(row.look).items() if name in _LOOK}
        told |= {name: tuple(told[name]) for name in ("wanted", "choices")}
        look = SecondLook(**told)
    if row.outcome:
        known = json.loads(row.outcome)
        outcome = verification_of(known["outcome"], json.dumps(known["detail"]))
    return WaitingEvent(event, row.since, look, row.in_order, outcome)
