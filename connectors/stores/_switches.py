"""What was switched of rules by hand."""

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._database import Database, storable
from pipeline.core.arming import EFFECTIVE_AFTER_S
from pipeline.core.switching import (
    ENABLED,
    GREATEST_LIMIT,
    MORE_THAN,
    FileLimit,
    RuleSwitch,
    SwitchKey,
    SwitchValue,
)


class SqlSwitches:
    """Reads the record; see `pipeline.core.switching.SwitchRecords`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_there = False

    def changes(self, after: int = 0) -> Sequence[RuleSwitch]:
        """Those after a position, in the order in which they came."""
        table = _schema.switches
        wanted = sa.select(table).where(table.c.position > after).order_by(table.c.position)
        with self._database.read("read what was switched of rules") as connection:
            # A reader may be beside a release that knows nothing of it.
            if not self._is_there and not sa.inspect(connection).has_table(table.name):
                return ()
            self._is_there = True
            found = [_read(row) for row in connection.execute(wanted)]
        return [one for one in found if one is not None]


def note_switch(
    connection: sa.Connection,
    camera: str,
    rule: str,
    key: SwitchKey,
    value: SwitchValue,
    by: str,
    instead_of: FileLimit | None,
    now: float,
) -> RuleSwitch:
    """Write down a change that takes effect shortly after `now`, and after what was said before."""
    table = _schema.switches
    at = now + EFFECTIVE_AFTER_S
    same = (table.c.camera == camera, table.c.rule == rule, table.c.key == key)
    earlier = sa.select(sa.func.max(table.c.at)).where(*same, table.c.at <= at + 60)
    newest = connection.scalar(earlier)
    if newest is not None and newest >= at:
        at = newest + 0.001
    row = {
        "at": at,
        "camera": camera,
        "rule": rule,
        "key": key,
        "value": json.dumps(value),
        "instead_of": None if instead_of is None else json.dumps(instead_of.value),
        "by": storable(by),
        "kept_at": now,
    }
    position = connection.scalar(table.insert().values(**row).returning(table.c.position))
    return RuleSwitch(at, camera, rule, key, value, by, position or 0, instead_of)


def prune_switches(connection: sa.Connection, before: float) -> None:
    """Forget what was changed long ago, but never the last word on anything."""
    table = _schema.switches
    what = (table.c.camera, table.c.rule, table.c.key)
    last = sa.select(sa.func.max(table.c.position)).group_by(*what)
    old = sa.delete(table).where(table.c.kept_at < before, table.c.position.not_in(last))
    connection.execute(old)


def correct_switches(connection: sa.Connection, wrong_after: float, now: float) -> None:
    """What was switched by a clock that was ahead holds from now on."""
    table = _schema.switches
    ahead = table.update().where(table.c.at > wrong_after)
    connection.execute(ahead.values(at=now, kept_at=now))


def _read(row: sa.Row[Any]) -> RuleSwitch | None:
    """One record; None for a key or a value of a later release."""
    try:
        value: Any = json.loads(row.value)
        limit: Any = None if row.instead_of is None else FileLimit(json.loads(row.instead_of))
    except (ValueError, RecursionError):
        return None
    keys: dict[str, SwitchKey] = {ENABLED: ENABLED, MORE_THAN: MORE_THAN}
    key = keys.get(row.key)
    if key is None or not is_value(key, value):
        return None
    return RuleSwitch(row.at, row.camera, row.rule, key, value, row.by, row.position, limit)


def is_value(key: SwitchKey, value: object) -> bool:
    """Whether something can be switched to this at all."""
    if value is None:
        return True
    if key == ENABLED:
        return isinstance(value, bool)
    return type(value) is int and 0 <= value <= GREATEST_LIMIT
