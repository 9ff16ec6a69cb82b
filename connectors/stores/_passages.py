"""When sinks were done with events; see `pipeline.core.happenings.Passages`."""

from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._database import Database


class SqlPassages:
    """The moments at which sinks passed events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def passed_at(self, positions: Collection[int]) -> Mapping[tuple[str, int], float]:
        """When each sink passed each of these positions, by sink and position.

        Missing where it has not, or where that was before such moments were kept.
        """
        table, found = _schema.passages, dict[tuple[str, int], float]()
        with self._database.read("see when events were delivered") as connection:
            if not sa.inspect(connection).has_table(table.name):
                return found
            for position in sorted(positions):
                ends = sa.select(table.c.sink, sa.func.min(table.c.position).label("end"))
                ends = ends.where(table.c.position >= position).group_by(table.c.sink)
                first = ends.subquery()
                wanted = sa.select(table.c.sink, table.c.at).join(
                    first,
                    (first.c.sink == table.c.sink) & (first.c.end == table.c.position),
                )
                for row in connection.execute(wanted):
                    found[row.sink, position] = row.at
        return found


def note_passage(
    connection: sa.Connection, database: Database, sink: str, position: int, now: float
) -> None:
    """Note that a sink is done with everything up to a position, where its cursor is moved."""
    row = {"sink": sink, "position": position, "at": now}
    database.upsert(connection, _schema.passages, [row])


def forget_passages(connection: sa.Connection, positions: Sequence[int]) -> None:
    """Forget what is only of events that are forgotten, the oldest there are."""
    if positions:
        table = _schema.passages
        connection.execute(sa.delete(table).where(table.c.position <= max(positions)))
