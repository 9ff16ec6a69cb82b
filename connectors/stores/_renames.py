"""A camera with another name: everything that is stored under the old one goes on under it."""

import json
from typing import Any

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._pushing import rename_in_wishes

_ROWS_AT_ONCE = 500


def rename_camera(connection: sa.Connection, old: str, new: str) -> int:
    """Move all rows of one camera; returns how many there were under the old name."""
    events = _schema.events
    waiting, verified = _schema.waiting, _schema.verified
    moved = _rename_events(connection, events, old, new)
    _rename_events(connection, waiting, old, new)
    by_camera = (_schema.audits, _schema.clips, _schema.armings, _schema.switches, _schema.remarks)
    for table in (events, waiting, verified, *by_camera):
        connection.execute(table.update().where(table.c.camera == old).values(camera=new))
    _drop_lesser_minutes(connection, old, new)
    for table, keys in (
        (_schema.buckets, ("rule", "minute")),
        (_schema.health, ("at", "state")),
        (_schema.checkpoints, ("engine",)),
        (_schema.edits, ("rule", "at")),
    ):
        other = table.alias()
        same = sa.and_(*(other.c[key] == table.c[key] for key in keys), other.c.camera == new)
        twice = sa.select(other.c.camera).where(same).exists()
        connection.execute(sa.delete(table).where(table.c.camera == old, twice))
        renamed = table.update().where(table.c.camera == old).values(camera=new)
        moved += connection.execute(renamed).rowcount
    _rename_observations(connection, old, new)
    rename_in_wishes(connection, old, new)
    return moved


def _rename_observations(connection: sa.Connection, old: str, new: str) -> None:
    """What was seen holds no name of a camera; what both names have is told one after the other."""
    seen, points = _schema.observations, _schema.waypoints
    connection.execute(seen.update().where(seen.c.camera == old).values(camera=new))
    other = points.alias()
    same = sa.and_(
        *(other.c[key] == points.c[key] for key in ("engine", "run", "ordinal")),
        other.c.camera == new,
    )
    twice = sa.select(other.c.camera).where(same).exists()
    connection.execute(sa.delete(points).where(points.c.camera == old, twice))
    connection.execute(points.update().where(points.c.camera == old).values(camera=new))


def _rename_events(connection: sa.Connection, table: sa.Table, old: str, new: str) -> int:
    position, moved = 0, 0
    while True:
        wanted = sa.select(table.c.position, table.c.body)
        wanted = wanted.where(table.c.camera == old, table.c.position > position)
        rows = connection.execute(wanted.order_by(table.c.position).limit(_ROWS_AT_ONCE)).all()
        for row in rows:
            body = _renamed(row.body, new)
            if body is not None:
                same = table.c.position == row.position
                connection.execute(table.update().where(same).values(body=body))
        moved += len(rows)
        if len(rows) < _ROWS_AT_ONCE:
            return moved
        position = rows[-1].position


def _renamed(body: str, new: str) -> str | None:
    """An event's record with another camera; fields of other releases stay. None if unreadable."""
    try:
        record: Any = json.loads(body)
    except ValueError:
        return None
    if not isinstance(record, dict):
        return None
    return json.dumps({**record, "camera": new}, separators=(",", ":"))


def _drop_lesser_minutes(connection: sa.Connection, old: str, new: str) -> None:
    """Where both names have a minute, drop that of the present name if it knows less."""
    table = _schema.buckets
    earlier = table.alias()
    better = sa.select(earlier.c.camera).where(
        earlier.c.camera == old,
        earlier.c.rule == table.c.rule,
        earlier.c.minute == table.c.minute,
        earlier.c.coverage > table.c.coverage,
    )
    connection.execute(sa.delete(table).where(table.c.camera == new, better.exists()))
