"""Which pictures were written: what retention may delete."""

from collections.abc import Sequence

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._database import Database
from pipeline.core.clock import Clock
from pipeline.core.store import PictureRecord


class SqlPictures:
    """The records of pictures; see `pipeline.core.store.PictureRecords`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def record_picture(self, picture: PictureRecord) -> None:
        """Record it before it is written."""
        row = {
            "reference": picture.reference,
            "digest": picture.digest,
            "size": picture.size,
            "folder": picture.folder,
            "kept_at": self._clock.now(),
        }
        # The commit of its event forces it to the disk too, as it comes later in the same log.
        with self._database.write("record a picture", durably=False) as connection:
            self._database.upsert(connection, _schema.pictures, [row])

    def pictures_under(self, reference: str) -> Sequence[PictureRecord]:
        """In order of digest; or the one of a release that recorded only events."""
        table, media = _schema.pictures, _schema.media
        with self._database.read("read which pictures there are") as connection:
            wanted = sa.select(table).where(table.c.reference == reference)
            found = connection.execute(wanted.order_by(table.c.digest)).all()
            if found:
                return [_record(row) for row in found]
            stored = sa.select(media.c.kept_at).where(media.c.reference == reference)
            kept_at = connection.scalar(stored)
        return [] if kept_at is None else [PictureRecord(reference, "", 0, "", kept_at)]

    def old_pictures(
        self, before: float, limit: int, beyond: tuple[str, str] = ("", "")
    ) -> Sequence[PictureRecord]:
        """Those written before `before`, none of whose contents an event refers to."""
        table, media = _schema.pictures, _schema.media
        of_events = sa.select(media.c.reference).where(media.c.reference == table.c.reference)
        other = table.alias()
        newer = sa.select(other.c.reference).where(
            other.c.reference == table.c.reference, other.c.kept_at >= before
        )
        reference, digest = beyond
        wanted = (
            sa.select(table)
            .where(table.c.kept_at < before, ~of_events.exists(), ~newer.exists())
            .where(
                (table.c.reference > reference)
                | ((table.c.reference == reference) & (table.c.digest > digest))
            )
            .order_by(table.c.reference, table.c.digest)
            .limit(limit)
        )
        with self._database.read("see which pictures are old") as connection:
            return [_record(row) for row in connection.execute(wanted)]

    def picture_bytes(self) -> int:
        """The size of all recorded pictures together; raises StoreError."""
        pictures = _schema.pictures
        with self._database.read("add up the sizes of pictures") as connection:
            return int(connection.scalar(sa.select(sa.func.sum(pictures.c.size))) or 0)

    def forget_pictures(self, pictures: Sequence[PictureRecord]) -> None:
        """Delete these records."""
        if not pictures:
            return
        table = _schema.pictures
        with self._database.write("forget pictures") as connection:
            for one in pictures:
                same = (table.c.reference == one.reference) & (table.c.digest == one.digest)
                connection.execute(sa.delete(table).where(same))


def outlive_events(connection: sa.Connection, record_ids: Sequence[str]) -> None:
    """Record the pictures of events that are deleted, where their release recorded none."""
    media, table = _schema.media, _schema.pictures
    known = sa.select(table.c.reference).where(table.c.reference == media.c.reference)
    of_events = sa.select(
        media.c.reference, sa.literal(""), sa.literal(0), sa.literal(""), media.c.kept_at
    ).where(media.c.record_id.in_(record_ids), ~known.exists())
    columns = ["reference", "digest", "size", "folder", "kept_at"]
    connection.execute(table.insert().from_select(columns, of_events))


def _record(row: sa.Row[tuple[str, str, int, str, float]]) -> PictureRecord:
    return PictureRecord(row.reference, row.digest, row.size, row.folder, row.kept_at)
