"""Which clips were wanted, and what became of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._database import Database, is_ahead, storable
from pipeline.core.clips import (
    FAILED,
    HELD,
    PARTIAL,
    WANTED,
    Clip,
    ClipAnswer,
    ClipFile,
    ClipState,
    ClipWish,
)
from pipeline.core.clock import Clock

_AT_ONCE = 500
_FILE = [one.name for one in fields(ClipFile)]


class SqlClips:
    """The records of clips; see `pipeline.core.clips.ClipRecords`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def clip_around(self, camera: str, run: str, at: float) -> ClipWish | None:
        """The clip of a camera's run that a moment lies in; of several the one that ends last."""
        table = _schema.clips
        mine = (table.c.camera == camera) & (table.c.run == storable(run))
        around = (table.c.wanted_since <= at) & (table.c.wanted_until >= at)
        wanted = sa.select(table).where(mine & around)
        wanted = wanted.order_by(table.c.wanted_until.desc(), table.c.reference).limit(1)
        with self._database.read("read a clip that is open") as connection:
            row = connection.execute(wanted).one_or_none()
        return None if row is None else _clip(row).wish

    def clips(
        self,
        states: Collection[ClipState] = (),
        camera: str | None = None,
        limit: int = 1000,
        *,
        newest_first: bool = False,
    ) -> Sequence[Clip]:
        """Clips in order of capture time, or those that were wanted last first."""
        table = _schema.clips
        order: tuple[sa.ColumnElement[Any], ...] = (table.c.wanted_since,)
        if newest_first:
            # What a clock that was ahead has dated is not the newest for years.
            order = (
                is_ahead(table.c.kept_at, self._clock),
                table.c.kept_at.desc(),
                table.c.wanted_since.desc(),
            )
        wanted = sa.select(table).order_by(*order, table.c.reference).limit(limit)
        if states:
            wanted = wanted.where(table.c.state.in_(list(states)))
        if camera is not None:
            wanted = wanted.where(table.c.camera == camera)
        with self._database.read("read which clips there are") as connection:
            # A reader may be beside a release that has none.
            if not sa.inspect(connection).has_table(table.name):
                return []
            rows = connection.execute(wanted).all()
            more = _more(connection, [row.reference for row in rows])
            return [_clip(row, more.get(row.reference, ())) for row in rows]

    def clip(self, reference: str) -> Clip | None:
        """One clip."""
        table = _schema.clips
        wanted = sa.select(table).where(table.c.reference == reference)
        with self._database.read("read a clip") as connection:
            row = connection.execute(wanted).one_or_none()
            more = _more(connection, [reference]) if row is not None else {}
        return None if row is None else _clip(row, more.get(reference, ()))

    def clip_counts(self, since: float) -> Mapping[str, Mapping[str, int]]:
        """How many clips of each state were wanted since then, by camera."""
        table = _schema.clips
        wanted = sa.select(table.c.camera, table.c.state, sa.func.count()).where(
            table.c.kept_at >= since
        )
        found: dict[str, dict[str, int]] = {}
        with self._database.read("count clips") as connection:
            if not sa.inspect(connection).has_table(table.name):
                return {}
            for camera, state, number in connection.execute(
                wanted.group_by(table.c.camera, table.c.state)
            ):
                found.setdefault(camera, {})[state] = number
        return found

    def clip_bytes(self) -> int:
        """The size of all clips together."""
        with self._database.read("add up the sizes of clips") as connection:
            return sum(
                int(connection.scalar(sa.select(sa.func.sum(table.c.size))) or 0)
                for table in (_schema.clips, _schema.clip_files)
            )

    def settle_clip(self, answer: ClipAnswer) -> bool:
        """Note what became of a clip; False where it is unknown or was settled before."""
        table, file = _schema.clips, answer.file
        values: dict[str, Any] = {
            "state": answer.state,
            "reason": storable(answer.reason),
            "folder": storable(answer.folder),
        }
        if file is not None:
            values |= _values(file)
        # An answer to a wish that has grown since is none. A file that comes after it was given up
        # is noted all the same: nobody would ever delete one that is not.
        is_open: sa.ColumnElement[bool] = table.c.state.in_([WANTED, HELD])
        if file is not None:
            is_open |= (table.c.state == FAILED) & table.c.digest.is_(None)
        mine = (table.c.reference == answer.reference) & is_open
        mine &= (table.c.wanted_until <= answer.until) | (answer.state == FAILED)
        with self._database.write("note what became of a clip") as connection:
            if answer.state == FAILED:
                # Of one that was to become longer, what was there before is still there.
                kept = mine & table.c.digest.is_not(None) & (table.c.state == WANTED)
                shorter = table.update().where(kept).values(state=PARTIAL, reason=values["reason"])
                if connection.execute(shorter).rowcount:
                    return True
                # Of one that waited to be sent nothing is left.
                values |= dict.fromkeys(_FILE)
            done = connection.execute(table.update().where(mine).values(**values))
            if done.rowcount:
                further = _schema.clip_files
                connection.execute(
                    sa.delete(further).where(further.c.reference == answer.reference)
                )
                rows = [
                    {"reference": answer.reference, "nth": nth, **_values(one)}
                    for nth, one in enumerate(answer.more, 2)
                ]
                self._database.upsert(connection, further, rows)
            return done.rowcount > 0

    def forget_clips(self, references: Sequence[str]) -> None:
        """Delete records."""
        with self._database.write("forget clips") as connection:
            for start in range(0, len(references), _AT_ONCE):
                some = references[start : start + _AT_ONCE]
                for table in (_schema.clips, _schema.clip_files):
                    connection.execute(sa.delete(table).where(table.c.reference.in_(some)))


def want_clips(
    database: Database, connection: sa.Connection, wishes: Sequence[ClipWish], now: float
) -> None:
    """Note wishes, in the transaction of their events. One that is known only ever grows."""
    table = _schema.clips
    latest: dict[str, ClipWish] = {}
    for wish in sorted(wishes, key=lambda wish: wish.until):
        latest[wish.reference] = wish
    known = {
        row.reference: row
        for row in connection.execute(
            sa.select(table.c.reference, table.c.wanted_until).where(
                table.c.reference.in_(list(latest))
            )
        )
    }
    fresh = [
        {
            "reference": wish.reference,
            "camera": wish.camera,
            "run": storable(wish.run),
            "wanted_since": wish.since,
            "wanted_until": wish.until,
            "event_at": wish.event_at,
            "state": WANTED,
            "reason": "",
            "folder": "",
            "kept_at": now,
        }
        for reference, wish in latest.items()
        if reference not in known
    ]
    database.upsert(connection, table, fresh)
    for reference, row in known.items():
        until = latest[reference].until
        if until > row.wanted_until:
            mine = table.c.reference == reference
            grown = table.update().where(mine).values(wanted_until=until, state=WANTED)
            connection.execute(grown)


def _values(file: ClipFile) -> dict[str, Any]:
    return {**asdict(file), "codec": storable(file.codec), "digest": storable(file.digest)}


def _file(row: sa.Row[Any]) -> ClipFile:
    return ClipFile(**{name: getattr(row, name) for name in _FILE})


def _more(
    connection: sa.Connection, references: Sequence[str]
) -> Mapping[str, tuple[ClipFile, ...]]:
    """The files of clips beyond their first ones."""
    table, found = _schema.clip_files, dict[str, tuple[ClipFile, ...]]()
    # A reader may be beside a release that has none.
    if not references or not sa.inspect(connection).has_table(table.name):
        return found
    for start in range(0, len(references), _AT_ONCE):
        some = references[start : start + _AT_ONCE]
        wanted = sa.select(table).where(table.c.reference.in_(some))
        for row in connection.execute(wanted.order_by(table.c.reference, table.c.nth)):
            found[row.reference] = (*found.get(row.reference, ()), _file(row))
    return found


def _clip(row: sa.Row[Any], more: tuple[ClipFile, ...] = ()) -> Clip:
    file = None if row.digest is None else _file(row)
    return Clip(
        ClipWish(
            row.reference, row.camera, row.run, row.wanted_since, row.wanted_until, row.event_at
        ),
        row.state,
        row.reason,
        file,
        row.folder,
        row.kept_at,
        more,
    )
