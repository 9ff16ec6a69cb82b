"""What persons say of happenings; see `pipeline.core.reviews.Reviews`."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._database import Database, storable
from pipeline.core.reviews import Remark
from pipeline.core.store import EVER, Span

_AT_ONCE = 500
_COLUMNS = [one.name for one in fields(Remark)]


class SqlReviews:
    """Marks and remarks, in tables that the pipeline never reads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def mark(self, visitor: str, happenings: Collection[str], at: float) -> int:
        """Note that somebody has seen these; returns how many of them were new to him."""
        new = set(happenings) - set(self.seen(visitor, happenings))
        rows = [{"visitor": storable(visitor), "happening": one, "at": at} for one in new]
        with self._database.write("note what was reviewed", durably=False) as connection:
            self._database.upsert(connection, _schema.reviews, rows, replace=False)
        return len(rows)

    def unmark(self, visitor: str, happenings: Collection[str]) -> int:
        """Take that back; returns how many were marked."""
        table, taken = _schema.reviews, 0
        with self._database.write("note what was not reviewed", durably=False) as connection:
            for some in _parts(happenings):
                mine = (table.c.visitor == storable(visitor)) & table.c.happening.in_(some)
                taken += connection.execute(sa.delete(table).where(mine)).rowcount
        return taken

    def seen(self, visitor: str, happenings: Collection[str]) -> Mapping[str, float]:
        """Those that somebody has seen, with when he said so."""
        table, found = _schema.reviews, dict[str, float]()
        with self._database.read("see what was reviewed") as connection:
            for some in _parts(happenings):
                mine = (table.c.visitor == storable(visitor)) & table.c.happening.in_(some)
                for row in connection.execute(sa.select(table).where(mine)):
                    found[row.happening] = row.at
        return found

    def seen_by_any(self, happenings: Collection[str]) -> set[str]:
        """Those that anybody has seen."""
        table, found = _schema.reviews, set[str]()
        with self._database.read("see what was reviewed") as connection:
            for some in _parts(happenings):
                wanted = sa.select(table.c.happening).where(table.c.happening.in_(some))
                found |= set(connection.scalars(wanted))
        return found

    def say(self, remark: Remark) -> Remark:
        """Keep a remark; one of the same person about the same happening replaces the earlier."""
        table = _schema.remarks
        row: dict[str, Any] = {name: getattr(remark, name) for name in _COLUMNS if name != "id"}
        row = {name: storable(v) if isinstance(v, str) else v for name, v in row.items()}
        with self._database.write("keep a remark") as connection:
            if remark.happening:
                same = (table.c.happening == row["happening"]) & (table.c.by == row["by"])
                connection.execute(sa.delete(table).where(same))
            key = connection.execute(table.insert().values(**row)).inserted_primary_key
        return replace(remark, id=int(key[0]) if key is not None else 0)

    def remarks_on(self, happenings: Collection[str]) -> Sequence[Remark]:
        """What was said of these, the first first."""
        table, found = _schema.remarks, list[Remark]()
        with self._database.read("read remarks") as connection:
            for some in _parts(happenings):
                wanted = sa.select(table).where(table.c.happening.in_(some))
                found += [_remark(row) for row in connection.execute(wanted)]
        return sorted(found, key=lambda one: one.id)

    def remarks(
        self, cameras: Collection[str] | None = None, span: Span = EVER, limit: int = 10_000
    ) -> Sequence[Remark]:
        """Everything that was said of these cameras or all, in order of capture time."""
        table = _schema.remarks
        wanted = sa.select(table).order_by(table.c.at, table.c.id).limit(limit)
        if cameras is not None:
            wanted = wanted.where(table.c.camera.in_(list(cameras)))
        if span.since is not None:
            wanted = wanted.where(table.c.at >= span.since)
        if span.until is not None:
            wanted = wanted.where(table.c.at < span.until)
        with self._database.read("read remarks") as connection:
            return [_remark(row) for row in connection.execute(wanted)]

    def remark(self, remark_id: int) -> Remark | None:
        """One of them."""
        table = _schema.remarks
        with self._database.read("read a remark") as connection:
            wanted = sa.select(table).where(table.c.id == remark_id)
            row = connection.execute(wanted).one_or_none()
        return None if row is None else _remark(row)

    def withdraw(self, remark_id: int) -> bool:
        """Delete one; whether it was there."""
        table = _schema.remarks
        with self._database.write("delete a remark") as connection:
            return connection.execute(sa.delete(table).where(table.c.id == remark_id)).rowcount > 0


def forget_reviews(connection: sa.Connection, record_ids: Sequence[str]) -> None:
    """Forget who has seen events that are forgotten; what was said of them stays."""
    ids = {record_id[: _schema.ID_LETTERS] for record_id in record_ids}
    table = _schema.reviews
    for some in _parts(ids):
        connection.execute(sa.delete(table).where(table.c.happening.in_(some)))


def _parts(names: Collection[str]) -> Iterator[list[str]]:
    every = list(names)
    for start in range(0, len(every), _AT_ONCE):
        yield every[start : start + _AT_ONCE]


def _remark(row: sa.Row[Any]) -> Remark:
    return Remark(**{name: getattr(row, name) for name in _COLUMNS})
