"""Messages to browsers, in the database; see `pipeline.core.pushing.PushStore`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._database import Database, storable
from pipeline.core.pushing import (
    FORGOTTEN_AFTER_S,
    MOST_DEVICES,
    PushDevice,
    PushLetter,
    PushOutcome,
    PushStep,
    PushWishes,
    ToldOf,
)

_DAY_S = 86400.0
_OUTCOMES_KEPT_DAYS = 30
_ROW = 1
_DEVICE = [one.name for one in fields(PushDevice)]


class SqlPushing:
    """See `pipeline.core.pushing.PushStore`; the pipeline never reads these tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def devices(self, who: str | None = None) -> Sequence[PushDevice]:
        """Those of a person or of all, the oldest first."""
        table = _schema.push_devices
        wanted = sa.select(table).order_by(table.c.made_at, table.c.id)
        if who is not None:
            wanted = wanted.where(table.c.who == storable(who))
        with self._database.read("read the devices that are told of events") as connection:
            rows = connection.execute(wanted).all()
        return [PushDevice(**{name: getattr(row, name) for name in _DEVICE}) for row in rows]

    def add_device(self, device: PushDevice, most: int = MOST_DEVICES) -> bool:
        """Keep a device, instead of one with the same id; False if he has too many others."""
        table, letters = _schema.push_devices, _schema.push_letters
        row = {k: storable(v) if isinstance(v, str) else v for k, v in asdict(device).items()}
        others = sa.select(sa.func.count()).select_from(table)
        others = others.where(table.c.who == row["who"], table.c.id != device.id)
        with self._database.write("keep a device that is told of events") as connection:
            if (connection.scalar(others) or 0) >= most:
                return False
            before = sa.select(table.c.who, table.c.made_at).where(table.c.id == device.id)
            was = connection.execute(before).one_or_none()
            if was is not None and was.who == row["who"]:
                row["made_at"] = was.made_at
            elif was is not None:  # what was on its way was for another person
                connection.execute(sa.delete(letters).where(letters.c.device == device.id))
            self._database.upsert(connection, table, [row])
        return True

    def remove_device(self, device_id: str, who: str) -> bool:
        """Forget a device of a person; False where he has none of this id."""
        table = _schema.push_devices
        mine = (table.c.id == storable(device_id)) & (table.c.who == storable(who))
        with self._database.write("forget a device that is told of events") as connection:
            return connection.execute(sa.delete(table).where(mine)).rowcount > 0

    def wishes(self) -> Mapping[str, PushWishes]:
        """What persons want to be told of, by their names; what cannot be read is left out."""
        table = _schema.push_wishes
        with self._database.read("read who wants to be told of what") as connection:
            rows = connection.execute(sa.select(table)).all()
        found = {row.who: _wishes(row.body) for row in rows}
        return {who: wishes for who, wishes in found.items() if wishes is not None}

    def keep_wishes(self, who: str, wishes: PushWishes) -> None:
        """Keep what somebody wants to be told of."""
        row = {"who": storable(who), "body": json.dumps(asdict(wishes))}
        with self._database.write("keep what somebody wants to be told of") as connection:
            self._database.upsert(connection, _schema.push_wishes, [row])

    def key(self, new: str) -> str:
        """The private key that messages are signed by; a new one if there is none yet."""
        table = _schema.push_keys
        asked = sa.select(table.c.key).where(table.c.id == _ROW)
        with self._database.read("read the key of messages") as connection:
            found = connection.scalar(asked)
        if found is None:
            with self._database.write("keep the key of messages") as connection:
                rows = [{"id": _ROW, "key": new}]
                self._database.upsert(connection, table, rows, replace=False)
                found = connection.scalar(asked)
        return str(found)

    def claim(self, holder: str, lasts_s: float, *, to_newest: bool = False) -> int | None:
        """The right to send, for so long, and how far events were looked at."""
        table, events = _schema.push_desk, _schema.events
        with self._database.write("see who sends messages", durably=False) as connection:
            now = self._database.now(connection)
            row = connection.execute(sa.select(table)).one_or_none()
            # Another holder's time may have been told by a clock that was far ahead.
            is_others = row is not None and row.holder not in ("", holder)
            if row is not None and is_others and now < row.until < now + 10 * lasts_s:
                return None
            newest = connection.scalar(sa.select(sa.func.max(events.c.position))) or 0
            position = newest if row is None or to_newest else row.position
            mine = {"id": _ROW, "holder": holder, "until": now + lasts_s, "position": position}
            self._database.upsert(connection, table, [mine])
        return position

    def release(self, holder: str) -> None:
        """Give the right to send back."""
        table = _schema.push_desk
        with self._database.write("give the right to send back", durably=False) as connection:
            connection.execute(table.update().where(table.c.holder == holder).values(holder=""))

    def told(self) -> Sequence[ToldOf]:
        """What persons were last told of each rule."""
        table = _schema.push_told
        with self._database.read("read what persons were told of") as connection:
            rows = connection.execute(sa.select(table)).all()
        return [ToldOf(row.who, row.camera, row.rule, row.at, row.happening) for row in rows]

    def due(self, now: float, limit: int) -> Sequence[PushLetter]:
        """Messages that are to be sent, those that have waited longest first."""
        table = _schema.push_letters
        wanted = sa.select(table).where(table.c.next_at <= now)
        with self._database.read("read the messages that are due") as connection:
            rows = connection.execute(wanted.order_by(table.c.next_at).limit(limit)).all()
        return [_letter(row) for row in rows]

    def waiting(self) -> int:
        """How many messages are on their way."""
        with self._database.read("count the messages on their way") as connection:
            asked = sa.select(sa.func.count()).select_from(_schema.push_letters)
            return connection.scalar(asked) or 0

    def note(self, holder: str, step: PushStep, now: float) -> bool:
        """Write all of it down; False, and nothing of it, if somebody else has the right."""
        desk, devices = _schema.push_desk, _schema.push_devices
        letters = _schema.push_letters
        with self._database.write("write down what was sent") as connection:
            found = connection.scalar(sa.select(desk.c.holder))
            if found != holder:
                return False
            if step.position is not None:
                connection.execute(desk.update().values(position=step.position))
            for one in step.done:
                here = (letters.c.device == one.device) & (letters.c.position == one.position)
                connection.execute(sa.delete(letters).where(here))
            self._database.upsert(connection, letters, [asdict(one) for one in step.letters])
            told = [{k: _text(v) for k, v in asdict(one).items()} for one in step.told]
            self._database.upsert(connection, _schema.push_told, told)
            for device in step.devices:
                here = (devices.c.id == device.id) & (devices.c.endpoint == device.endpoint)
                fresh = {"told_at": device.told_at, "trouble": storable(device.trouble)}
                connection.execute(devices.update().where(here).values(**fresh))
            connection.execute(sa.delete(devices).where(devices.c.id.in_(list(step.gone))))
            connection.execute(sa.delete(letters).where(letters.c.device.in_(list(step.gone))))
            rows = [
                {"day": int(now // _DAY_S), "outcome": str(outcome), "count": count}
                for outcome, count in step.outcomes.items()
                if count
            ]
            self._database.add_up(connection, _schema.push_outcomes, rows)
        return True

    def outcomes(self, since: float) -> Mapping[PushOutcome, int]:
        """How many messages ended how, from the day of UTC with this moment on."""
        table = _schema.push_outcomes
        count = sa.func.sum(table.c.count)
        wanted = sa.select(table.c.outcome, count).where(table.c.day >= int(since // _DAY_S))
        with self._database.read("count what became of messages") as connection:
            rows = connection.execute(wanted.group_by(table.c.outcome)).all()
        known = {str(one): one for one in PushOutcome}
        return {known[outcome]: int(number) for outcome, number in rows if outcome in known}

    def tidy(self, now: float) -> None:
        """Forget devices that nobody has used for long, and what is only of the past."""
        devices, told, outcomes = (
            _schema.push_devices,
            _schema.push_told,
            _schema.push_outcomes,
        )
        with self._database.write("forget old devices", durably=False) as connection:
            unused = devices.c.seen_at < now - FORGOTTEN_AFTER_S
            connection.execute(sa.delete(devices).where(unused))
            connection.execute(sa.delete(told).where(told.c.at < now - _DAY_S))
            before = int(now // _DAY_S) - _OUTCOMES_KEPT_DAYS
            connection.execute(sa.delete(outcomes).where(outcomes.c.day < before))


def forget_devices(connection: sa.Connection, who: str, session: str | None = None) -> None:
    """Tell somebody nothing more: on all his devices, or on those of a session."""
    table = _schema.push_devices
    gone = sa.delete(table).where(table.c.who == who)
    connection.execute(gone if session is None else gone.where(table.c.session == session))


def forget_wishes(connection: sa.Connection, who: str) -> None:
    """Forget what somebody wanted: another person of the name has wishes of his own."""
    for table in (_schema.push_wishes, _schema.push_told):
        connection.execute(sa.delete(table).where(table.c.who == who))


def rename_in_wishes(connection: sa.Connection, old: str, new: str) -> None:
    """A camera has another name; what was told of it only shortens messages for a while."""
    table, told = _schema.push_wishes, _schema.push_told
    connection.execute(sa.delete(told).where(told.c.camera == old))
    for row in connection.execute(sa.select(table)).all():
        wishes = _wishes(row.body)
        if wishes is None:
            continue
        named = {old: new}
        cameras, rules = wishes.cameras, wishes.rules
        renamed = replace(
            wishes,
            cameras=None if cameras is None else tuple(named.get(one, one) for one in cameras),
            rules=None if rules is None else tuple((named.get(one, one), r) for one, r in rules),
        )
        body = json.dumps(asdict(renamed))
        connection.execute(table.update().where(table.c.who == row.who).values(body=body))


def _text(value: Any) -> Any:
    return storable(value) if isinstance(value, str) else value


def _letter(row: sa.Row[Any]) -> PushLetter:
    return PushLetter(row.device, row.position, row.made_at, row.next_at, row.tries)


def _wishes(body: str) -> PushWishes | None:
    try:
        said: dict[str, Any] = json.loads(body)
        cameras, rules, quiet = said["cameras"], said["rules"], said["quiet"]
        return PushWishes(
            cameras=None if cameras is None else tuple(cameras),
            rules=None if rules is None else tuple((camera, rule) for camera, rule in rules),
            ends=bool(said["ends"]),
            quiet=None if quiet is None else (int(quiet[0]), int(quiet[1])),
            timezone=str(said["timezone"]),
            pause_s=float(said["pause_s"]),
        )
    except (ValueError, TypeError, KeyError, IndexError):
        return None
