"""What was seen: tails while a minute lasts, and one block of it after that."""

import json
import logging
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._database import Database, storable
from pipeline.core.events import JsonValue
from pipeline.core.measures import BUCKET_S
from pipeline.core.observations import (
    ObservationBlock,
    ObservationTail,
    ObservedSpan,
    Waypoint,
    packed,
    unpacked,
)
from pipeline.core.store import EVER, Commit, Span

logger = logging.getLogger(__name__)

# So many minutes are read at once: half an hour, a few hundred kilobytes.
_MINUTES_AT_ONCE = 30
_ROWS_AT_ONCE = 500
_Row = Mapping[str, Any]


class SqlObservations:
    """What a store tells of what was seen; see `pipeline.core.observations.ObservationHistory`."""

    _database: Database

    def observations(
        self,
        camera: str,
        engine: str | None = None,
        span: Span = EVER,
        *,
        newest_first: bool = False,
    ) -> Iterator[ObservationBlock]:
        """Blocks by minute; each minute is read in one piece, also if it becomes a block now."""
        table = _schema.observations
        mine = [table.c.camera == camera, *_touching(span)]
        if engine is not None:
            mine.append(table.c.engine == engine)
        with self._database.read("see which minutes were seen") as connection:
            if not sa.inspect(connection).has_table(table.name):
                return
            wanted = sa.select(table.c.minute).where(*mine).distinct().order_by(table.c.minute)
            minutes = connection.scalars(wanted).all()
        if newest_first:
            minutes = minutes[::-1]
        for start in range(0, len(minutes), _MINUTES_AT_ONCE):
            some = minutes[start : start + _MINUTES_AT_ONCE]
            wanted_rows = sa.select(table).where(*mine, table.c.minute.in_(some))
            with self._database.read("read what was seen") as connection:
                rows = connection.execute(wanted_rows.order_by(table.c.position)).all()
            of_minute: dict[int, list[_Row]] = {minute: [] for minute in some}
            for row in rows:
                of_minute[row.minute].append(row._asdict())
            for minute in some:
                yield from _blocks(of_minute[minute])

    def waypoints(
        self, camera: str, engine: str | None = None, span: Span = EVER
    ) -> Sequence[Waypoint]:
        """By time; one that cannot be read is left out, and said."""
        table = _schema.waypoints
        wanted = sa.select(table).where(table.c.camera == camera)
        if engine is not None:
            wanted = wanted.where(table.c.engine == engine)
        if span.since is not None:
            wanted = wanted.where(table.c.at >= span.since)
        if span.until is not None:
            wanted = wanted.where(table.c.at < span.until)
        with self._database.read("read waypoints") as connection:
            if not sa.inspect(connection).has_table(table.name):
                return []
            rows = connection.execute(wanted.order_by(table.c.at, table.c.ordinal)).all()
        found: list[Waypoint] = []
        for row in rows:
            try:
                state: JsonValue = json.loads(zlib.decompress(row.state))
            except (zlib.error, ValueError, RecursionError) as error:
                logger.warning(
                    "camera %s: a waypoint of engine %s (run %s, frame %d) is damaged and left "
                    "out: %s",
                    *(row.camera, row.engine, row.run, row.ordinal, error),
                    extra={"camera": row.camera},
                )
                continue
            found.append(Waypoint(row.camera, row.engine, row.run, row.ordinal, row.at, state))
        return found

    def observed(self) -> Sequence[ObservedSpan]:
        """What is kept, by camera and engine."""
        table = _schema.observations
        lane = (table.c.camera, table.c.engine)
        wanted = sa.select(
            *lane,
            sa.func.min(table.c.minute),
            sa.func.max(table.c.minute),
            sa.func.count(),
            sa.func.sum(table.c.frames),
            sa.func.sum(sa.func.length(table.c.content)),
        )
        with self._database.read("see what was seen") as connection:
            if not sa.inspect(connection).has_table(table.name):
                return []
            rows = connection.execute(wanted.group_by(*lane).order_by(*lane)).all()
        return [ObservedSpan(row[0], row[1], *map(int, row[2:])) for row in rows]

    def prune_observations(self, before: float) -> int:
        """Delete what was stored before `before`; how many frames that were.

        A minute's rows go together: its block was stored when it was over.
        """
        table, points = _schema.observations, _schema.waypoints
        forgotten = 0
        old = sa.select(table.c.position, table.c.frames).where(table.c.kept_at < before)
        while True:
            with self._database.write("forget what was seen") as connection:
                rows = connection.execute(old.limit(_ROWS_AT_ONCE)).all()
                positions = [row.position for row in rows]
                connection.execute(sa.delete(table).where(table.c.position.in_(positions)))
                if len(rows) < _ROWS_AT_ONCE:
                    connection.execute(sa.delete(points).where(points.c.kept_at < before))
            forgotten += sum(int(row.frames) for row in rows)
            if len(rows) < _ROWS_AT_ONCE:
                return forgotten


def keep_observations(
    connection: sa.Connection, database: Database, commit: Commit, now: float
) -> None:
    """Write what a commit has of what was seen, in the commit's transaction."""
    lanes: dict[tuple[str, str], list[ObservationTail]] = {}
    for one in commit.observations:
        lanes.setdefault((one.camera, one.engine), []).append(one)
    table = _schema.waypoints
    rows: list[_Row] = []
    for (camera, engine), tails in lanes.items():
        if any(one.begins or one.ends or one.anew for one in tails):
            rows += _folded(connection, camera, engine, tails, now)
        else:
            rows += [_row(one, now) for one in tails]
    if rows:
        connection.execute(_schema.observations.insert(), rows)
    for point in commit.waypoints:
        state = json.dumps(point.state, separators=(",", ":")).encode()
        row = {
            "camera": point.camera,
            "engine": point.engine,
            "run": storable(point.run),
            "ordinal": point.ordinal,
            "at": point.at,
            "state": zlib.compress(state),
            "kept_at": now,
        }
        database.upsert(connection, table, [row])


def _folded(
    connection: sa.Connection,
    camera: str,
    engine: str,
    tails: Sequence[ObservationTail],
    now: float,
) -> list[_Row]:
    """What is to be inserted where a minute or a run is over; deletes the tails it replaces."""
    table = _schema.observations
    mine = (table.c.camera == camera) & (table.c.engine == engine)
    open_ = sa.select(table).where(mine, table.c.tail).order_by(table.c.position)
    rows: list[_Row] = [row._asdict() for row in connection.execute(open_)]
    ended: set[tuple[str, int]] = set()
    for one in tails:
        if one.anew:
            run = storable(one.run)
            for whole in (table, _schema.waypoints):
                same = (whole.c.camera == camera) & (whole.c.engine == engine)
                connection.execute(sa.delete(whole).where(same, whole.c.run == run))
            rows = [row for row in rows if row["run"] != run]
        rows.append(_row(one, now))
        if one.ends:
            ended.add((storable(one.run), one.minute))
    groups = _grouped(rows)
    kept: list[_Row] = []
    for number, group in enumerate(groups):
        is_open = number == len(groups) - 1 and _minute(group[0]) not in ended
        if is_open:
            kept += [row for row in group if "position" not in row]
        else:
            kept.append({**_block_row(group), "kept_at": now})
            stored = [row["position"] for row in group if "position" in row]
            for start in range(0, len(stored), _ROWS_AT_ONCE):
                some = stored[start : start + _ROWS_AT_ONCE]
                connection.execute(sa.delete(table).where(table.c.position.in_(some)))
    return kept


def _row(one: ObservationTail, now: float) -> _Row:
    return {
        "camera": one.camera,
        "engine": one.engine,
        "run": storable(one.run),
        "minute": one.minute,
        "tail": True,
        "frames": one.frames,
        "content": one.content,
        "kept_at": now,
    }


def _minute(row: _Row) -> tuple[str, int]:
    return row["run"], row["minute"]


def _grouped(rows: Sequence[_Row]) -> list[list[_Row]]:
    """Rows in the order of judging, those of one run and minute that follow each other together."""
    return [list(group) for _, group in groupby(rows, key=_minute)]


def _block_row(tails: Sequence[_Row]) -> dict[str, Any]:
    """One row for the tails of a minute; a damaged one costs its own frames alone, and is said."""
    first, frames = tails[0], []
    for one in tails:
        try:
            frames += unpacked(one["content"])
        except ValueError as error:
            logger.warning(
                "camera %s: %d frames of what engine %s saw in the minute of %d s (UTC) are lost: "
                "%s",
                *(first["camera"], one["frames"], first["engine"], first["minute"], error),
                extra={"camera": first["camera"]},
            )
    return {
        **{name: first[name] for name in ("camera", "engine", "run", "minute")},
        "tail": False,
        "frames": len(frames),
        "content": packed(frames),
    }


def _blocks(rows: Sequence[_Row]) -> Iterator[ObservationBlock]:
    """The blocks of a minute, in the order of judging; tails that follow each other are one."""
    lanes: dict[str, list[_Row]] = {}
    for row in rows:
        lanes.setdefault(row["engine"], []).append(row)
    for of_lane in lanes.values():
        for (_, is_tail), group in groupby(of_lane, key=lambda row: (row["run"], row["tail"])):
            parts = list(group)
            for row in [_block_row(parts)] if is_tail else parts:
                yield ObservationBlock(
                    row["camera"], row["engine"], row["minute"], row["frames"], row["content"]
                )


def _touching(span: Span) -> list[sa.ColumnElement[bool]]:
    """Minutes of which a part belongs to the span."""
    minute = _schema.observations.c.minute
    conditions: list[sa.ColumnElement[bool]] = []
    if span.since is not None:
        conditions.append(minute > span.since - BUCKET_S)
    if span.until is not None:
        conditions.append(minute < span.until)
    return conditions
