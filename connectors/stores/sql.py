"""The store in a database: SQLite in one file by default, PostgreSQL by its URL.

Knows nothing of sinks but their names and how far each of them is.
"""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._accounts import SqlAccounts
from connectors.stores._armings import (
    SqlArmings,
    correct_armings,
    note_arming,
    prune_armings,
)
from connectors.stores._audits import SqlAudits, prune_audits
from connectors.stores._clips import SqlClips, want_clips
from connectors.stores._counting import forget_superseded, supersede, told_again
from connectors.stores._database import AHEAD_S, Database, DatabaseFacts, storable
from connectors.stores._edits import keep_edits
from connectors.stores._happenings import SqlHappenings, letter_of, letters_in_order
from connectors.stores._history import SqlHistory, kept, kept_or_not
from connectors.stores._leases import opening, prove, renewed
from connectors.stores._local_days import SqlLocalDays
from connectors.stores._notes import SqlNotes, prune_notes
from connectors.stores._observations import SqlObservations, keep_observations
from connectors.stores._passages import SqlPassages, forget_passages, note_passage
from connectors.stores._people import SqlPeople, prune_people
from connectors.stores._pictures import SqlPictures, outlive_events
from connectors.stores._presence import SqlPresence, SqlRequests
from connectors.stores._pushing import SqlPushing
from connectors.stores._renames import rename_camera
from connectors.stores._reviews import SqlReviews, forget_reviews
from connectors.stores._shared_links import SqlSharedLinks, prune_shared_links
from connectors.stores._spending import SqlSpending
from connectors.stores._switches import (
    SqlSwitches,
    correct_switches,
    is_value,
    note_switch,
    prune_switches,
)
from connectors.stores._verifying import (
    SqlSecondLookHistory,
    SqlSecondLooks,
    end_waiting,
    keep_waiting,
    outcome_rows,
)
from pipeline.core.address import Address
from pipeline.core.arming import ArmingChange, event_of_change
from pipeline.core.clock import SET_SINCE, Clock, SystemClock
from pipeline.core.errors import FencedOffError
from pipeline.core.events import Event, event_to_json
from pipeline.core.ranges import MOST_ORDINAL
from pipeline.core.store import (
    MOST_LETTERS,
    Checkpoint,
    Commit,
    Cursor,
    Forgotten,
    LeaseOwner,
    LeaseProof,
    LeaseRecord,
    StoredEvent,
    Undelivered,
    UnreadableEvent,
)
from pipeline.core.switching import (
    FileLimit,
    RuleSwitch,
    SwitchKey,
    SwitchValue,
    event_of_switch,
)

_PATIENCE_S = 10.0
# Below the number of parameters a statement may have, and short enough to let others write.
_ROWS_AT_ONCE = 500


class SqlStore(SqlPictures, SqlObservations, SqlSecondLooks):
    """Keeps what follows from results, and the outbox; usable from any thread.

    A StoreError leaves the store as it was, so whatever raised it can be called again. `history`
    answers questions about the past, `accounts` has keys and what their requests took, `audits`
    what persons found out about its counts.
    """

    def __init__(
        self,
        url: Address | str,
        clock: Clock | None = None,
        patience_s: float = _PATIENCE_S,
        *,
        read_only: bool = False,
    ) -> None:
        """Open the database; `patience_s` is how long a lock or a server is waited for.

        To read only, no table is made or changed: what is there is read as far as it goes.
        """
        self._sinks: tuple[Collection[str], Collection[str]] | None = None
        self._database = Database(url, patience_s, None if read_only else self._prepare)
        super().__init__(self._database, clock or SystemClock())
        self.history = SqlHistory(self._database, self._clock)
        self.presence = SqlPresence(self._database, self._clock)
        self.requests = SqlRequests(self._database, self._clock)
        self.accounts = SqlAccounts(self._database)
        self.spending = SqlSpending(self._database)
        self.audits = SqlAudits(self._database, self._clock)
        self.second_looks = SqlSecondLookHistory(self._database)
        self.clips = SqlClips(self._database, self._clock)
        self.armings = SqlArmings(self._database)
        self.switches = SqlSwitches(self._database)
        self.local_days = SqlLocalDays(self._database)
        self.happenings = SqlHappenings(self._database)
        self.passages = SqlPassages(self._database)
        self.reviews = SqlReviews(self._database)
        self.people = SqlPeople(self._database, self._clock)
        self.pushing = SqlPushing(self._database)
        self.shared_links = SqlSharedLinks(self._database)

    def commit(self, commit: Commit) -> int:
        """Keep all of it in one transaction; an event whose record_id is known is kept once."""
        parts = (commit.events, commit.buckets, commit.health, commit.checkpoints, commit.fences)
        more = (commit.observations, commit.waypoints, commit.waiting, commit.settled, commit.clips)
        if not any((*parts, *more, commit.judged_anew, commit.edits)):
            return 0
        now = self._clock.now()
        buckets, health, checkpoints = _rows(commit, now)
        with self._database.write("keep events") as connection:
            prove(connection, commit.lease)
            self._pass_fences(connection, commit.fences)
            supersede(connection, self._database, commit.judged_anew)
            new = self._keep_events(connection, commit.events, now)
            keep_waiting(connection, commit.waiting)
            end_waiting(connection, commit.settled)
            # What is known of a happening stays as it is.
            outcomes = outcome_rows(commit.events, now)
            self._database.upsert(connection, _schema.verified, outcomes, replace=False)
            self._database.upsert(connection, _schema.buckets, buckets)
            self._database.upsert(connection, _schema.health, health)
            self._database.upsert(connection, _schema.checkpoints, checkpoints)
            keep_observations(connection, self._database, commit, now)
            keep_edits(connection, self._database, commit.edits, now)
            if commit.clips:
                want_clips(self._database, connection, commit.clips, now)
        return new

    def facts(self) -> DatabaseFacts:
        """What the database says of itself; raises StoreError."""
        return self._database.facts()

    def checkpoint(self, camera: str, engine: str) -> Checkpoint | None:
        """The last checkpoint, if there is one."""
        table = _schema.checkpoints
        wanted = sa.select(*self._database.columns(table))
        wanted = wanted.where(table.c.camera == camera, table.c.engine == engine)
        with self._database.read("read a checkpoint") as connection:
            row = connection.execute(wanted).one_or_none()
        return None if row is None else _checkpoint(row)

    def checkpoints(self) -> Sequence[Checkpoint]:
        """The last checkpoint of every camera and engine."""
        wanted = sa.select(*self._database.columns(_schema.checkpoints))
        with self._database.read("read the checkpoints") as connection:
            return [_checkpoint(row) for row in connection.execute(wanted)]

    def rename_cameras(
        self, names: Mapping[str, str], lease: LeaseProof | None = None
    ) -> Mapping[str, int]:
        """Store under each present name what is stored under an earlier one."""
        if not names:
            return {}
        tables = (
            _schema.events,
            _schema.buckets,
            _schema.health,
            _schema.checkpoints,
            _schema.audits,
            _schema.waiting,
            _schema.verified,
            _schema.switches,
        )
        with self._database.read("see which cameras it knows") as connection:
            known = {
                name
                for table in tables
                for name in connection.scalars(
                    sa.select(table.c.camera).where(table.c.camera.in_(list(names))).distinct()
                )
            }
        if not known:
            return {}
        with self._database.write("rename cameras") as connection:
            prove(connection, lease)
            return {
                old: rename_camera(connection, old, new)
                for old, new in names.items()
                if old in known
            }

    def fences(self) -> Mapping[int, int]:
        """The highest fencing token of each partition."""
        with self._database.read("read fences") as connection:
            rows = connection.execute(sa.select(_schema.fences))
            return {row.partition: row.token for row in rows}

    def register_sinks(
        self,
        sinks: Collection[str],
        from_beginning: Collection[str] = (),
        *,
        dismiss_others: bool = True,
    ) -> None:
        """Say which sinks there are; events wait for each of them, and for no other."""
        with self._database.write("register sinks") as connection:
            _register(connection, self._database, sinks, from_beginning)
            if dismiss_others:
                table = _schema.cursors
                connection.execute(table.update().values(enlisted=table.c.sink.in_(sinks)))
        # Where the file is replaced, they are registered in the new one before events come.
        self._sinks = (tuple(sinks), tuple(from_beginning))

    def lease(self, name: str) -> LeaseRecord | None:
        """The lease's record; None if it was never held."""
        table = _schema.leases
        with self._database.read("read a lease") as connection:
            # A reader may be beside a release that has no leases.
            if not sa.inspect(connection).has_table(table.name):
                return None
            row = connection.execute(sa.select(table).where(table.c.name == name)).one_or_none()
            now = self._database.now(connection)
        if row is None:
            return None
        return LeaseRecord(
            name=row.name,
            owner=LeaseOwner(row.owner, row.host, row.pid),
            token=row.token,
            renewals=row.renewals,
            since=row.since,
            renewed_at=row.renewed_at,
            silent_s=now - row.renewed_at,
            ended_at=row.ended_at,
        )

    def take(
        self, name: str, owner: LeaseOwner, over: LeaseRecord | None = None
    ) -> LeaseProof | None:
        """Own it if it is free, or if its record is still the one in `over`; otherwise None."""
        table = _schema.leases
        with self._database.write("take a lease") as connection:
            row = connection.execute(sa.select(table).where(table.c.name == name)).one_or_none()
            if row is not None and row.ended_at is None and row.owner != owner.id:
                seen = (over.token, over.renewals) if over is not None else None
                if (row.token, row.renewals) != seen:
                    return None
            now = self._database.now(connection)
            # The clock as a floor: a copy of the store that is put back later knows lower tokens.
            token = max((row.token if row is not None else 0) + 1, round(now * 1e6))
            taken = {
                "name": name,
                "owner": owner.id,
                "host": owner.host,
                "pid": owner.pid,
                "token": token,
                "renewals": 0,
                "since": now,
                "renewed_at": now,
                "ended_at": None,
            }
            self._database.upsert(connection, table, [taken])
            return LeaseProof(name, token, opening(connection))

    def renew(self, proof: LeaseProof) -> bool:
        """Give a sign of life; False when the lease was lost."""
        with self._database.write("renew a lease", durably=False) as connection:
            return renewed(connection, proof, self._database.now(connection))

    def release(self, proof: LeaseProof) -> None:
        """Give it back, keeping who held it and until when; does nothing when it was lost."""
        with self._database.write("give a lease back") as connection:
            now = self._database.now(connection)
            if renewed(connection, proof, now):
                table = _schema.leases
                ended = table.update().where(table.c.name == proof.name).values(ended_at=now)
                connection.execute(ended)

    def events_after(self, position: int, limit: int) -> Sequence[StoredEvent]:
        """Events in order of arrival; raises StoreError where one of them cannot be read."""
        with self._database.read("read events") as connection:
            rows = connection.execute(_after(position, limit))
            return [kept(self._database.place, row) for row in rows]

    def outbox(self, position: int, limit: int) -> Sequence[StoredEvent | UnreadableEvent]:
        """Events in order of arrival for delivery, also those that cannot be read."""
        with self._database.read("read events") as connection:
            return [kept_or_not(row) for row in connection.execute(_after(position, limit))]

    def cursor(self, sink: str) -> Cursor:
        """Where a sink is; position 0 for one that was never registered."""
        with self._database.read("read a cursor") as connection:
            position = _position(connection, sink)
            behind = sa.select(sa.func.count()).where(_schema.events.c.position > position)
            return Cursor(sink, position, connection.scalar(behind) or 0)

    def advance(
        self,
        sink: str,
        position: int,
        dead: Sequence[Undelivered] = (),
        lease: LeaseProof | None = None,
    ) -> None:
        """Move a sink's cursor on, keeping what was given up as dead letters; never goes back."""
        now = self._clock.now()
        dead_letters = [
            {
                "sink": sink,
                "position": letter.position,
                "record_id": letter.record_id,
                "reason": storable(letter.reason),
                "attempts": letter.attempts,
                "kept_at": now,
            }
            for letter in dead
        ]
        with self._database.write("move a cursor") as connection:
            prove(connection, lease)
            before = _position(connection, sink)
            further = max(position, before)
            if further > before:
                note_passage(connection, self._database, sink, further, now)
            row = {"sink": sink, "position": further, "enlisted": True}
            self._database.upsert(connection, _schema.cursors, [row])
            self._database.upsert(connection, _schema.undelivered, dead_letters)

    def undelivered(
        self,
        sink: str | None = None,
        *,
        beyond: tuple[int, str] | None = None,
        limit: int = MOST_LETTERS,
        newest_first: bool = False,
    ) -> Sequence[Undelivered]:
        """Dead letters, of one sink or all, in order of arrival or the other way."""
        wanted = letters_in_order(sa.select(_schema.undelivered), beyond, newest_first=newest_first)
        if sink is not None:
            wanted = wanted.where(_schema.undelivered.c.sink == sink)
        with self._database.read("read dead letters") as connection:
            return [letter_of(row) for row in connection.execute(wanted.limit(limit))]

    def undelivered_at(self, positions: Collection[int]) -> Sequence[Undelivered]:
        """The dead letters of events at these positions, in order of arrival."""
        table, every, found = _schema.undelivered, sorted(set(positions)), list[Undelivered]()
        with self._database.read("read dead letters") as connection:
            for start in range(0, len(every), _ROWS_AT_ONCE):
                some = table.c.position.in_(every[start : start + _ROWS_AT_ONCE])
                wanted = letters_in_order(sa.select(table).where(some), None, newest_first=False)
                found += [letter_of(row) for row in connection.execute(wanted)]
        return found

    def undelivered_counts(self) -> Mapping[str, int]:
        """How many dead letters each sink has."""
        table = _schema.undelivered
        counted = sa.select(table.c.sink, sa.func.count()).group_by(table.c.sink)
        with self._database.read("count dead letters") as connection:
            return {str(row[0]): int(row[1]) for row in connection.execute(counted)}

    def discard(self, letters: Sequence[Undelivered]) -> int:
        """Forget dead letters; how many were still there."""
        table = _schema.undelivered
        settled = 0
        with self._database.write("forget dead letters") as connection:
            for letter in letters:
                mine = (table.c.sink == letter.sink) & (table.c.position == letter.position)
                settled += connection.execute(sa.delete(table).where(mine)).rowcount
        return settled

    def prune(self, before: float, counts_before: float | None = None) -> Forgotten:
        """Forget what was stored before `before`; events only when every sink is past them.

        Counts and states of cameras were stored before `counts_before`, where that is given.

        The age is that of the record and not of what it tells: a clip of last year that is
        looked at today is kept as long as everything else of today.
        """
        events = self._prune_events(before)
        numbers = []
        with self._database.write("forget old counts") as connection:
            counted = before if counts_before is None else counts_before
            for table in (_schema.buckets, _schema.health):
                old = sa.delete(table).where(table.c.kept_at < counted)
                numbers.append(connection.execute(old).rowcount)
            edits = _schema.edits
            connection.execute(sa.delete(edits).where(edits.c.kept_at < counted))
            prune_audits(connection, before)
            prune_notes(connection, self._clock.now())
            prune_armings(connection, before)
            prune_switches(connection, before)
            prune_people(connection, self._clock.now(), before)
            prune_shared_links(connection, self._clock.now())
            outcomes = _schema.verified
            connection.execute(sa.delete(outcomes).where(outcomes.c.kept_at < before))
        return Forgotten(events, *numbers)

    def newest_record(self) -> float | None:
        """When the newest record was stored that is not from the future."""
        now = self._clock.now()
        newest = [
            sa.select(sa.func.max(table.c.kept_at)).where(table.c.kept_at <= now)
            for table in (_schema.events, _schema.buckets, _schema.health, _schema.checkpoints)
        ]
        with self._database.read("see how old its records are") as connection:
            found = [connection.scalar(wanted) for wanted in newest]
        return max((at for at in found if at is not None), default=None)

    def mark(self, name: str) -> float | None:
        """A moment that was remembered under this name."""
        table = _schema.marks
        with self._database.read("read a moment") as connection:
            return connection.scalar(sa.select(table.c.at).where(table.c.name == name))

    def remember(self, name: str, at: float) -> None:
        """Remember a moment."""
        with self._database.write("remember a moment", durably=False) as connection:
            self._database.upsert(connection, _schema.marks, [{"name": name, "at": at}])

    def notes_of(self, sink: str, lease: LeaseProof | None = None) -> SqlNotes:
        """The small memory of one sink, which is written while the `lease` holds."""
        return SqlNotes(self._database, self._clock, sink, lease)

    def arm(self, camera: str | None, is_armed: bool, by: str) -> ArmingChange:
        """Arm or disarm a camera, or all of them with None; the event of it is stored with it."""
        with self._database.write("arm or disarm") as connection:
            now = self._clock.now()
            change = note_arming(connection, camera, is_armed, by, now)
            self._keep_events(connection, [event_of_change(change)], now)
        return change

    def switch(
        self,
        camera: str,
        rule: str,
        key: SwitchKey,
        value: SwitchValue,
        by: str,
        *,
        instead_of: FileLimit | None = None,
        lease: LeaseProof | None = None,
    ) -> RuleSwitch:
        """Switch a rule, or change its limit; the event of it is stored with it."""
        if not is_value(key, value):
            raise ValueError(f"{key} cannot be {value!r}")
        with self._database.write("switch a rule") as connection:
            prove(connection, lease)
            now = self._clock.now()
            change = note_switch(connection, camera, rule, key, value, by, instead_of, now)
            self._keep_events(connection, [event_of_switch(change)], now)
        return change

    def correct_times(self, now: float) -> int:
        """Date as of `now` what is from a day after it or later, or from before clocks were set."""
        corrected = 0
        with self._database.write("correct dates") as connection:
            for table in (
                _schema.events,
                _schema.buckets,
                _schema.health,
                _schema.pictures,
                _schema.audits,
                _schema.observations,
                _schema.waypoints,
                _schema.verified,
                _schema.clips,
                _schema.edits,
            ):
                at = table.c.kept_at
                wrong = (at > now + AHEAD_S) | (at < SET_SINCE)
                changed = connection.execute(table.update().where(wrong).values(kept_at=now))
                corrected += changed.rowcount
            correct_armings(connection, now + AHEAD_S, now)
            correct_switches(connection, now + AHEAD_S, now)
        return corrected

    def close(self) -> None:
        """Let go of the database; safe to call twice."""
        self._database.close()

    def _prepare(self, connection: sa.Connection, place: str) -> None:
        """Make or upgrade the tables of a database that was opened; it may be another file."""
        _schema.prepare(connection, place)
        if self._sinks is not None:
            _register(connection, self._database, *self._sinks)

    def _pass_fences(self, connection: sa.Connection, fences: Mapping[int, int]) -> None:
        """Refuse a lower token than is known, and remember a higher one."""
        if not fences:
            return
        table = _schema.fences
        wanted = sa.select(table).where(table.c.partition.in_(list(fences)))
        known = {row.partition: row.token for row in connection.execute(wanted)}
        for partition, token in fences.items():
            if token < known.get(partition, token):
                raise FencedOffError(partition)
        raised = [
            {"partition": partition, "token": token}
            for partition, token in fences.items()
            if known.get(partition) != token
        ]
        self._database.upsert(connection, table, raised)

    def _keep_events(self, connection: sa.Connection, events: Sequence[Event], now: float) -> int:
        fresh: dict[str, Event] = {}
        for event in events:
            fresh.setdefault(event.record_id, event)
        table, record_ids = _schema.events, list(fresh)
        again: list[Event] = []
        for start in range(0, len(record_ids), _ROWS_AT_ONCE):
            some = record_ids[start : start + _ROWS_AT_ONCE]
            known = connection.scalars(
                sa.select(table.c.record_id).where(table.c.record_id.in_(some))
            ).all()
            if known:
                again += told_again(connection, fresh, known)
            for record_id in known:
                del fresh[record_id]
        rows = [
            {
                "record_id": record_id,
                "kept_at": now,
                "at": event.at,
                "camera": event.camera,
                "rule": event.rule,
                "type": event.type,
                "phase": event.phase,
                "body": event_to_json(event),
            }
            for record_id, event in fresh.items()
        ]
        if rows:
            connection.execute(table.insert(), rows)
        media = [
            {"reference": reference, "record_id": event.record_id, "kept_at": now}
            for event in (*fresh.values(), *again)
            for reference in event.media
        ]
        self._database.upsert(connection, _schema.media, media)
        return len(rows)

    def _prune_events(self, before: float) -> int:
        """In the order of arrival: what came after an event that is not old is not old either.

        A clock that was behind for a while dates events too early, but not out of their order.
        """
        events, cursors = _schema.events, _schema.cursors
        kept_at, position = events.c.kept_at, events.c.position
        passed = sa.select(sa.func.min(cursors.c.position)).where(cursors.c.enlisted)
        fresh = sa.select(sa.func.min(position)).where(kept_at >= before)
        forgotten = 0
        while True:
            with self._database.write("forget old events") as connection:
                old = sa.select(position, events.c.record_id).where(kept_at < before)
                floor = connection.scalar(passed)
                if floor is not None:
                    old = old.where(position <= floor)
                first = connection.scalar(fresh)
                if first is not None:
                    old = old.where(position < first)
                rows = connection.execute(old.order_by(position).limit(_ROWS_AT_ONCE)).all()
                positions = [row.position for row in rows]
                record_ids = [row.record_id for row in rows]
                media, dead = _schema.media, _schema.undelivered
                outlive_events(connection, record_ids)
                forget_superseded(connection, record_ids)
                forget_passages(connection, positions)
                forget_reviews(connection, record_ids)
                connection.execute(sa.delete(events).where(position.in_(positions)))
                connection.execute(sa.delete(dead).where(dead.c.position.in_(positions)))
                connection.execute(sa.delete(media).where(media.c.record_id.in_(record_ids)))
            forgotten += len(rows)
            if len(rows) < _ROWS_AT_ONCE:
                return forgotten


def _register(
    connection: sa.Connection,
    database: Database,
    sinks: Collection[str],
    from_beginning: Collection[str],
) -> None:
    table = _schema.cursors
    known = set(connection.scalars(sa.select(table.c.sink)))
    newest = connection.scalar(sa.select(sa.func.max(_schema.events.c.position))) or 0
    rows = [
        {"sink": sink, "position": 0 if sink in from_beginning else newest, "enlisted": True}
        for sink in {*sinks} - known
    ]
    database.upsert(connection, table, rows)


def _after(position: int, limit: int) -> sa.Select[Any]:
    table = _schema.events
    wanted = sa.select(table).where(table.c.position > position)
    return wanted.order_by(table.c.position).limit(limit)


def _position(connection: sa.Connection, sink: str) -> int:
    cursors = _schema.cursors
    return connection.scalar(sa.select(cursors.c.position).where(cursors.c.sink == sink)) or 0


def _checkpoint(row: sa.Row[Any]) -> Checkpoint:
    try:
        state = json.loads(row.state)
    except (ValueError, RecursionError):
        state = None  # the reader reports it as invalid
    return Checkpoint(row.camera, row.engine, row.run, row.ordinal, state, row.ended)


def _rows(
    commit: Commit, now: float
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    buckets = [
        {
            "camera": bucket.camera,
            "rule": bucket.rule,
            "minute": bucket.minute,
            "samples": max(0, min(bucket.samples, MOST_ORDINAL)),
            "coverage": max(0.0, bucket.coverage),
            "measures": json.dumps(
                {name: _known(value) for name, value in bucket.values.items()},
                separators=(",", ":"),
            ),
            "unfinished": bucket.unfinished,
            "kept_at": now,
        }
        for bucket in commit.buckets
    ]
    # Later words on the same state, such as another reason for the same absence, replace earlier.
    changes = {(change.camera, change.at, change.state): change for change in commit.health}
    health = [
        {
            "camera": change.camera,
            "at": change.at,
            "state": storable(change.state),
            "detail": storable(change.detail),
            "kept_at": now,
        }
        for change in changes.values()
    ]
    checkpoints = [
        {
            "camera": point.camera,
            "engine": point.engine,
            "run": storable(point.run),
            "ordinal": point.ordinal,
            "state": json.dumps(point.state, separators=(",", ":")),
            "ended": point.ended,
            "kept_at": now,
        }
        for point in commit.checkpoints
    ]
    return buckets, health, checkpoints


def _known(value: float | None) -> float | None:
    """The value, or None where it is not one that JSON can hold."""
    return value if value is not None and math.isfinite(value) else None
