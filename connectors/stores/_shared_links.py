"""Links to single pictures and clips; see `pipeline.core.shared_links`."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._database import Database, storable
from pipeline.core.shared_links import SharedKind, SharedLink

_COLUMNS = [one.name for one in fields(SharedLink)]


class SqlSharedLinks:
    """See `pipeline.core.shared_links.SharedLinks`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_link(self, link: SharedLink, most: int) -> bool:
        """Keep a link; False where its maker has `most` already."""
        table = _schema.shared_links
        row = {k: storable(v) if isinstance(v, str) else v for k, v in asdict(link).items()}
        with self._database.write("keep a shared link") as connection:
            prune_shared_links(connection, link.made_at)
            of_maker = table.c.made_by == row["made_by"]
            mine = connection.scalar(sa.select(sa.func.count()).where(of_maker))
            if (mine or 0) >= most:
                return False
            connection.execute(table.insert(), [row])
        return True

    def links(self, now: float, who: str | None = None) -> Sequence[SharedLink]:
        """The links that still open, the newest first."""
        table = _schema.shared_links
        wanted = sa.select(table).where(table.c.until > now)
        if who is not None:
            wanted = wanted.where(table.c.made_by == storable(who))
        with self._database.read("read the shared links") as connection:
            rows = connection.execute(wanted.order_by(table.c.made_at.desc(), table.c.id))
            return [_link(row) for row in rows]

    def link(self, digest: str, now: float) -> SharedLink | None:
        """The link of a secret, if it still opens."""
        table = _schema.shared_links
        wanted = sa.select(table).where(table.c.digest == digest, table.c.until > now)
        with self._database.read("read a shared link") as connection:
            row = connection.execute(wanted).one_or_none()
        return None if row is None else _link(row)

    def opened_link(self, link_id: str, at: float) -> None:
        """Its page was opened."""
        table = _schema.shared_links
        opened = table.update().where(table.c.id == link_id)
        with self._database.write("note that a link was opened", durably=False) as connection:
            connection.execute(opened.values(opened=table.c.opened + 1, opened_at=at))

    def end_link(self, link_id: str, who: str | None = None) -> SharedLink | None:
        """Forget a link, if it is this person's."""
        table = _schema.shared_links
        chosen = table.c.id == link_id
        if who is not None:
            chosen &= table.c.made_by == storable(who)
        with self._database.write("end a shared link") as connection:
            row = connection.execute(sa.select(table).where(chosen)).one_or_none()
            if row is None:
                return None
            connection.execute(sa.delete(table).where(chosen))
        return _link(row)


def end_links_of(connection: sa.Connection, who: str) -> None:
    """End all links of somebody: a later one of the same name must not bring them back."""
    table = _schema.shared_links
    connection.execute(sa.delete(table).where(table.c.made_by == storable(who)))


def prune_shared_links(connection: sa.Connection, now: float) -> None:
    """Forget links that are over."""
    table = _schema.shared_links
    connection.execute(sa.delete(table).where(table.c.until <= now))


def _link(row: sa.Row[Any]) -> SharedLink:
    values = {name: getattr(row, name) for name in _COLUMNS}
    return SharedLink(**{**values, "kind": SharedKind(row.kind)})
