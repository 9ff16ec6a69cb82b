"""What was armed and disarmed by hand."""

from collections.abc import Sequence

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._database import Database, storable
from pipeline.core.arming import EFFECTIVE_AFTER_S, ArmingChange


class SqlArmings:
    """Reads the record; see `pipeline.core.arming.ArmingRecords`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_there = False

    def changes(self, after: int = 0) -> Sequence[ArmingChange]:
        """Those after a position, in the order in which they came."""
        table = _schema.armings
        wanted = sa.select(table).where(table.c.position > after).order_by(table.c.position)
        with self._database.read("read what was armed and disarmed") as connection:
            # A reader may be beside a release that knows nothing of it.
            if not self._is_there and not sa.inspect(connection).has_table(table.name):
                return ()
            self._is_there = True
            return [
                ArmingChange(row.at, row.armed, row.camera, row.by, row.position)
                for row in connection.execute(wanted)
            ]


def note_arming(
    connection: sa.Connection, camera: str | None, is_armed: bool, by: str, now: float
) -> ArmingChange:
    """Write down a change that takes effect shortly after `now`, and after all before it."""
    table = _schema.armings
    at = now + EFFECTIVE_AFTER_S
    newest = connection.scalar(sa.select(sa.func.max(table.c.at)).where(table.c.at <= at + 60))
    if newest is not None and newest >= at:
        at = newest + 0.001
    row = {"at": at, "armed": is_armed, "camera": camera, "by": storable(by), "kept_at": now}
    position = connection.scalar(table.insert().values(**row).returning(table.c.position))
    return ArmingChange(at, is_armed, camera, by, position or 0)


def prune_armings(connection: sa.Connection, before: float) -> None:
    """Forget what was changed long ago, but never a camera's last word, or that on all of them."""
    table = _schema.armings
    last = sa.select(sa.func.max(table.c.position)).group_by(table.c.camera)
    old = sa.delete(table).where(table.c.kept_at < before, table.c.position.not_in(last))
    connection.execute(old)


def correct_armings(connection: sa.Connection, wrong_after: float, now: float) -> None:
    """What was switched by a clock that was ahead holds from now on."""
    table = _schema.armings
    ahead = table.update().where(table.c.at > wrong_after)
    connection.execute(ahead.values(at=now, kept_at=now))
