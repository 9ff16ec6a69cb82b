"""People, their sessions, tokens and what they did, in the database."""

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._database import Database, storable
from connectors.stores._pushing import forget_devices, forget_wishes
from connectors.stores._shared_links import end_links_of
from pipeline.core.clock import Clock
from pipeline.core.people import (
    IDLE_S,
    LONGEST_SESSION_S,
    JournalEntry,
    JournalQuestion,
    Patience,
    Person,
    PersonChange,
    Role,
    SessionRecord,
    TokenRecord,
    TokenScope,
)

_THROTTLE_KEPT_S = 86400.0


class SqlPeople:
    """See `pipeline.core.people.PeopleStore`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def people(self) -> Sequence[Person]:
        """All of them, by their names."""
        table = _schema.people
        with self._database.read("read the users") as connection:
            rows = connection.execute(sa.select(table).order_by(table.c.name))
            return [_person(row) for row in rows]

    def person(self, name: str) -> Person | None:
        """The one of this name."""
        table = _schema.people
        with self._database.read("read a user") as connection:
            row = connection.execute(
                sa.select(table).where(table.c.name == storable(name))
            ).one_or_none()
        return None if row is None else _person(row)

    def add_person(self, person: Person, *, only_first: bool = False) -> bool:
        """Keep a new person; False where the name is taken, or somebody is there."""
        table = _schema.people
        taken = sa.select(table.c.name).limit(1)
        if not only_first:
            taken = taken.where(table.c.name == person.name)
        with self._database.write("keep a user") as connection:
            if connection.scalar(taken) is not None:
                return False
            connection.execute(table.insert(), [_person_row(person)])
            _end_sessions(connection, person.name)
            forget_wishes(connection, person.name)
            end_links_of(connection, person.name)
        return True

    def change_person(self, person: Person, was: Person | None = None) -> PersonChange:
        """Keep what is new of a person, if he still is what he `was`; end all his sessions."""
        table = _schema.people
        with self._database.write("change a user") as connection:
            there = _read(connection, person.name)
            if there is None:
                return PersonChange.UNKNOWN
            if was is not None and there != was:
                return PersonChange.CHANGED
            if not person.is_active_admin and _is_last_admin(connection, person.name):
                return PersonChange.LAST_ADMIN
            changed = table.update().where(table.c.name == person.name)
            connection.execute(changed.values(**_person_row(person)))
            _end_sessions(connection, person.name)
            if person.disabled_at is not None:
                end_links_of(connection, person.name)
            if not person.is_active_admin:
                _end_tokens_of(connection, person.name, self._clock.now())
        return PersonChange.DONE

    def remove_person(self, name: str) -> PersonChange:
        """Forget a person, and end all his sessions."""
        table = _schema.people
        with self._database.write("remove a user") as connection:
            if not _is_there(connection, name):
                return PersonChange.UNKNOWN
            if _is_last_admin(connection, name):
                return PersonChange.LAST_ADMIN
            connection.execute(sa.delete(table).where(table.c.name == name))
            _end_sessions(connection, name)
            forget_wishes(connection, name)
            end_links_of(connection, name)
            _end_tokens_of(connection, name, self._clock.now())
        return PersonChange.DONE

    def add_session(self, session: SessionRecord) -> None:
        """Keep a session, and forget those that are over."""
        table = _schema.sessions
        row = {
            "id": session.id,
            "digest": session.digest,
            "who": storable(session.who),
            "began_at": session.began_at,
            "seen_at": session.seen_at,
            "address": storable(session.address),
            "agent": storable(session.agent),
            "role": session.role,
            "cameras": _cameras_text(session.cameras),
        }
        with self._database.write("keep a session") as connection:
            _forget_sessions(connection, self._clock.now())
            connection.execute(table.insert(), [row])

    def session(self, digest: str) -> tuple[SessionRecord, Person | None] | None:
        """A session and whose it is."""
        table = _schema.sessions
        with self._database.read("read a session") as connection:
            wanted = sa.select(table).where(table.c.digest == digest)
            row = connection.execute(wanted).one_or_none()
            if row is None:
                return None
            found = _session(row)
            return found, None if found.role is not None else _read(connection, found.who)

    def sessions(self, who: str | None = None) -> Sequence[SessionRecord]:
        """Sessions, the last used first."""
        table = _schema.sessions
        wanted = sa.select(table).order_by(table.c.seen_at.desc(), table.c.id)
        if who is not None:
            wanted = wanted.where(table.c.who == who)
        now = self._clock.now()
        with self._database.read("read the sessions") as connection:
            found = [_session(row) for row in connection.execute(wanted)]
        return [session for session in found if session.is_valid(now)]

    def saw_session(self, digest: str, at: float) -> None:
        """A session was used."""
        table = _schema.sessions
        with self._database.write("see a session again", durably=False) as connection:
            seen = table.update().where(table.c.digest == digest, table.c.seen_at < at)
            connection.execute(seen.values(seen_at=at))

    def end_session(self, session_id: str, who: str | None = None) -> bool:
        """End a session, if it is this person's."""
        table = _schema.sessions
        gone = sa.delete(table).where(table.c.id == session_id)
        if who is not None:
            gone = gone.where(table.c.who == who)
        wanted = sa.select(table.c.who).where(table.c.id == session_id)
        with self._database.write("end a session") as connection:
            whose = connection.scalar(wanted)
            if not connection.execute(gone).rowcount:
                return False
            forget_devices(connection, whose or "", session_id)
        return True

    def end_sessions(self, who: str) -> int:
        """End all sessions of somebody; how many there were."""
        with self._database.write("end sessions") as connection:
            return _end_sessions(connection, who)

    def add_token(self, token: TokenRecord) -> bool:
        """Keep a token; False where the name is or was another's."""
        table = _schema.tokens
        row = {
            "id": token.id,
            "digest": token.digest,
            "name": storable(token.name),
            "scopes": " ".join(token.scopes),
            "cameras": _cameras_text(token.cameras),
            "made_by": storable(token.made_by),
            "made_at": token.made_at,
            "expires_at": token.expires_at,
            "ended_at": token.ended_at,
            "used_at": token.used_at,
        }
        with self._database.write("keep a token") as connection:
            taken = sa.select(table.c.id).where(table.c.name == row["name"]).limit(1)
            if connection.scalar(taken) is not None:
                return False
            connection.execute(table.insert(), [row])
        return True

    def tokens(self) -> Sequence[TokenRecord]:
        """All that are not forgotten, the newest first."""
        table = _schema.tokens
        with self._database.read("read the tokens") as connection:
            rows = connection.execute(sa.select(table).order_by(table.c.made_at.desc(), table.c.id))
            return [_token(row) for row in rows]

    def token(self, digest: str) -> tuple[TokenRecord, Person | None] | None:
        """A token and who made it, if he is a person of the store."""
        table = _schema.tokens
        with self._database.read("read a token") as connection:
            wanted = sa.select(table).where(table.c.digest == digest)
            row = connection.execute(wanted).one_or_none()
            return None if row is None else (_token(row), _read(connection, row.made_by))

    def used_token(self, token_id: str, at: float) -> None:
        """A token was used."""
        table = _schema.tokens
        with self._database.write("see a token again", durably=False) as connection:
            connection.execute(table.update().where(table.c.id == token_id).values(used_at=at))

    def end_token(self, token_id: str, at: float) -> bool:
        """End a token, and those that were made by it; False where none was there, or had ended."""
        table = _schema.tokens
        living = sa.select(table).where(table.c.id == token_id, table.c.ended_at.is_(None))
        with self._database.write("end a token") as connection:
            row = connection.execute(living).one_or_none()
            if row is None:
                return False
            ended = table.update().where(table.c.id == token_id)
            connection.execute(ended.values(ended_at=at))
            _end_tokens_of(connection, _token(row).who, at)
        return True

    def attempt(self, tries: Sequence[tuple[str, Patience]], now: float) -> float:
        """Count an attempt under each of these keys; the seconds that it has to wait instead."""
        table = _schema.attempts
        with self._database.write("count an attempt to sign in") as connection:
            wanted = sa.select(table).where(table.c.key.in_([storable(key) for key, _ in tries]))
            known = {row.key: row for row in connection.execute(wanted)}
            wait_s, rows = 0.0, []
            for given, patience in tries:
                key = storable(given)
                row = known.get(key)
                failures = 0
                # A clock that was set back must not lock anybody out.
                if row is not None and 0 <= now - row.at < patience.forgotten_after_s:
                    failures = row.failures
                    wait_s = max(wait_s, patience.wait_s(failures) - (now - row.at))
                rows.append({"key": key, "failures": failures + 1, "at": now})
            if wait_s <= 0.0:
                self._database.upsert(connection, table, rows)
        return max(0.0, wait_s)

    def succeeded(self, key: str) -> None:
        """Forget the failures under a key."""
        table = _schema.attempts
        with self._database.write("count an attempt to sign in") as connection:
            connection.execute(sa.delete(table).where(table.c.key == storable(key)))

    def note(self, entry: JournalEntry) -> None:
        """Keep that somebody did something."""
        row = {
            "at": entry.at,
            "who": storable(entry.who),
            "action": storable(entry.action),
            "subject": storable(entry.subject),
            "detail": storable(entry.detail),
            "kept_at": self._clock.now(),
        }
        with self._database.write("write the audit log") as connection:
            connection.execute(_schema.journal.insert(), [row])

    def journal(self, question: JournalQuestion) -> Sequence[JournalEntry]:
        """Entries of the audit log, the newest first."""
        table = _schema.journal
        wanted = sa.select(table).order_by(table.c.position.desc()).limit(question.limit)
        if question.before is not None:
            wanted = wanted.where(table.c.position < question.before)
        if question.since is not None:
            wanted = wanted.where(table.c.at >= question.since)
        if question.until is not None:
            wanted = wanted.where(table.c.at < question.until)
        if question.who is not None:
            wanted = wanted.where(table.c.who == storable(question.who))
        if question.words:
            words = storable(question.words)
            texts = (table.c.action, table.c.subject, table.c.detail)
            wanted = wanted.where(sa.or_(*(c.icontains(words, autoescape=True) for c in texts)))
        with self._database.read("read the audit log") as connection:
            return [
                JournalEntry(row.at, row.who, row.action, row.subject, row.detail, row.position)
                for row in connection.execute(wanted)
            ]


def prune_people(connection: sa.Connection, now: float, before: float) -> None:
    """Forget sessions that are over, old attempts, and what the audit log had before `before`."""
    _forget_sessions(connection, now)
    attempts, journal = _schema.attempts, _schema.journal
    connection.execute(sa.delete(attempts).where(attempts.c.at < now - _THROTTLE_KEPT_S))
    connection.execute(sa.delete(journal).where(journal.c.kept_at < before))


def _forget_sessions(connection: sa.Connection, now: float) -> None:
    table = _schema.sessions
    over = sa.or_(table.c.seen_at <= now - IDLE_S, table.c.began_at <= now - LONGEST_SESSION_S)
    connection.execute(sa.delete(table).where(over))


def _end_sessions(connection: sa.Connection, who: str) -> int:
    """And tell his devices nothing more: they are for who he was."""
    table = _schema.sessions
    forget_devices(connection, who)
    return connection.execute(sa.delete(table).where(table.c.who == who)).rowcount


def _end_tokens_of(connection: sa.Connection, who: str, now: float) -> None:
    """And what was made by these: who had one for a moment could go on by another for ever.

    Without this a person of the same name, made later, would bring them back to life.
    """
    table = _schema.tokens
    makers, left = {who}, [who]
    while left:
        made = table.c.made_by == storable(left.pop())
        found = {_token(row).who for row in connection.execute(sa.select(table).where(made))}
        living = table.update().where(made, table.c.ended_at.is_(None))
        connection.execute(living.values(ended_at=now))
        left += found - makers
        makers |= found


def _is_there(connection: sa.Connection, name: str) -> bool:
    table = _schema.people
    return connection.scalar(sa.select(table.c.name).where(table.c.name == name)) is not None


def _is_last_admin(connection: sa.Connection, name: str) -> bool:
    table = _schema.people
    active = sa.select(table.c.name).where(
        table.c.role == Role.ADMIN, table.c.disabled_at.is_(None)
    )
    return list(connection.scalars(active)) == [name]


def _read(connection: sa.Connection, name: str) -> Person | None:
    table = _schema.people
    row = connection.execute(sa.select(table).where(table.c.name == name)).one_or_none()
    return None if row is None else _person(row)


def _cameras_text(cameras: tuple[str, ...] | None) -> str | None:
    return None if cameras is None else json.dumps(sorted(set(cameras)))


def _cameras(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(json.loads(text))


def _person_row(person: Person) -> dict[str, Any]:
    return {
        "name": person.name,
        "password": person.password,
        "role": person.role,
        "cameras": _cameras_text(person.cameras),
        "made_at": person.made_at,
        "disabled_at": person.disabled_at,
    }


def _person(row: sa.Row[Any]) -> Person:
    cameras = _cameras(row.cameras)
    return Person(row.name, row.password, Role(row.role), cameras, row.made_at, row.disabled_at)


def _session(row: sa.Row[Any]) -> SessionRecord:
    return SessionRecord(
        id=row.id,
        digest=row.digest,
        who=row.who,
        began_at=row.began_at,
        seen_at=row.seen_at,
        address=row.address,
        agent=row.agent,
        role=None if row.role is None else Role(row.role),
        cameras=_cameras(row.cameras),
    )


def _token(row: sa.Row[Any]) -> TokenRecord:
    return TokenRecord(
        id=row.id,
        digest=row.digest,
        name=row.name,
        scopes=tuple(TokenScope(scope) for scope in row.scopes.split()),
        made_by=row.made_by,
        made_at=row.made_at,
        cameras=_cameras(row.cameras),
        expires_at=row.expires_at,
        ended_at=row.ended_at,
        used_at=row.used_at,
    )
