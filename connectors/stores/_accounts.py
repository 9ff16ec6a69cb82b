"""Keys and accounts in the database, which all servers of a store share."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._database import Database, storable
from pipeline.core.accounts import (
    DAY_S,
    DaySpent,
    KeyLimits,
    KeyRecord,
    KeyScope,
    LedgerEntry,
    RequestOutcome,
    Spending,
    UsageBy,
    UsageQuestion,
    UsageSum,
    day_of,
)
from pipeline.core.store import Span

# Below the number of parameters a statement may have.
_ROWS_AT_ONCE = 500
# Nothing that is counted is more, so that a day of it can be added up in 64 bits.
_MOST = 2**48
_COUNTS = tuple(field.name for field in fields(UsageSum) if field.type is int)
_COLUMNS = {UsageBy.KEY: "key_name", UsageBy.DAY: "day", UsageBy.MODEL: "model"}
_COLUMNS[UsageBy.SKILL] = "skill"


class SqlAccounts:
    """Keys, limits, the ledger and its totals; see `pipeline.core.accounts.AccountStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keys(self) -> Sequence[KeyRecord]:
        """Every key that was ever made, the oldest first."""
        table = _schema.keys
        with self._database.read("read the keys") as connection:
            if not sa.inspect(connection).has_table(table.name):
                return []
            rows = connection.execute(sa.select(table).order_by(table.c.made_at, table.c.id))
            return [_key(row) for row in rows]

    def keys_version(self) -> int:
        """Another number whenever a key was made or changed."""
        with self._database.read("see whether keys changed") as connection:
            return _version(connection)

    def add_key(self, key: KeyRecord, replaced_expire_at: float | None = None) -> bool:
        """Keep a new key, alone under its name or in the place of those that are valid."""
        table = _schema.keys
        namesakes = table.c.name == key.name
        with self._database.write("keep a key") as connection:
            changed = _version(connection) + 1
            if replaced_expire_at is None:
                if connection.scalar(sa.select(table.c.id).where(namesakes).limit(1)) is not None:
                    return False
            else:
                ends_later = table.c.expires_at.is_(None) | (table.c.expires_at > key.made_at)
                valid = namesakes & table.c.revoked_at.is_(None) & ends_later
                later = table.c.expires_at.is_(None) | (table.c.expires_at > replaced_expire_at)
                if connection.scalar(sa.select(table.c.id).where(valid).limit(1)) is None:
                    return False
                ended = table.update().where(valid & later)
                connection.execute(ended.values(expires_at=replaced_expire_at, changed=changed))
            limits = {field.name: getattr(key.limits, field.name) for field in fields(KeyLimits)}
            row = {
                "id": key.id,
                "name": key.name,
                "digest": key.digest,
                "scopes": " ".join(key.scopes),
                **limits,
                "made_at": key.made_at,
                "expires_at": key.expires_at,
                "revoked_at": key.revoked_at,
                "last_used_at": key.last_used_at,
                "changed": changed,
            }
            connection.execute(table.insert(), [row])
        return True

    def revoke(self, name: str, at: float) -> int:
        """End every key of this name; how many there were that had not ended."""
        table = _schema.keys
        with self._database.write("revoke a key") as connection:
            changed = _version(connection) + 1
            valid = (table.c.name == name) & table.c.revoked_at.is_(None)
            ended = table.update().where(valid).values(revoked_at=at, changed=changed)
            return connection.execute(ended).rowcount

    def used(self, last_used_at: Mapping[str, float]) -> None:
        """When keys were used last; an earlier time than is known changes nothing."""
        table = _schema.keys
        with self._database.write("say when keys were used", durably=False) as connection:
            for key_id, at in last_used_at.items():
                earlier = table.c.last_used_at.is_(None) | (table.c.last_used_at < at)
                mine = (table.c.id == key_id) & earlier
                connection.execute(table.update().where(mine).values(last_used_at=at))

    def spend(self, spent: Spending, since_day: int) -> Spending:
        """Add to what was spent, and say what all servers spent since the start of a day."""
        table = _schema.spent
        wanted = sa.select(table).where(table.c.day >= since_day)
        rows = [
            {"name": name, "day": day, "pictures": more.pictures, "tokens": more.tokens}
            for (name, day), more in spent.items()
        ]
        if rows:
            with self._database.write("keep what was used", durably=False) as connection:
                self._database.add_up(connection, table, rows)
                found = connection.execute(wanted).all()
        else:
            with self._database.read("see what was used") as connection:
                found = connection.execute(wanted).all()
        return {
            (row.name, row.day): DaySpent(max(0, row.pictures), max(0, row.tokens)) for row in found
        }

    def keep(self, entries: Sequence[LedgerEntry]) -> int:
        """Keep entries and add them to the totals of their days, in one transaction."""
        fresh = {entry.id: entry for entry in entries}
        if not fresh:
            return 0
        table = _schema.ledger
        with self._database.write("keep the ledger") as connection:
            ids = list(fresh)
            for start in range(0, len(ids), _ROWS_AT_ONCE):
                some = table.c.id.in_(ids[start : start + _ROWS_AT_ONCE])
                for known in connection.scalars(sa.select(table.c.id).where(some)).all():
                    del fresh[known]
            if fresh:
                rows = [_row(entry) for entry in fresh.values()]
                connection.execute(table.insert(), rows)
                self._database.add_up(connection, _schema.usage, list(_totals(rows)))
        return len(fresh)

    def usage(self, question: UsageQuestion) -> Sequence[UsageSum]:
        """Accounts added up: whole days from their totals, parts of a day from the entries."""
        sums: dict[tuple[Any, ...], list[int]] = {}
        with self._database.read("add up the accounts") as connection:
            if not sa.inspect(connection).has_table(_schema.usage.name):
                return []
            for asked in _parts(question):
                for row in connection.execute(asked):
                    group = tuple(row[: len(_COLUMNS) + 1])
                    so_far = sums.setdefault(group, [0] * len(_COUNTS))
                    for place, more in enumerate(row[len(group) :]):
                        so_far[place] += int(more or 0)
        ordered = sorted(sums, key=lambda group: [(part is None, part) for part in group])
        return [UsageSum(*group, *sums[group]) for group in ordered]

    def oldest_entry(self) -> float | None:
        """When the oldest entry that is still there was let in."""
        with self._database.read("see how far the ledger goes back") as connection:
            if not sa.inspect(connection).has_table(_schema.ledger.name):
                return None
            oldest: float | None = connection.scalar(sa.select(sa.func.min(_schema.ledger.c.at)))
            return oldest

    def forget_entries(self, before: float, limit: int) -> int:
        """Delete at most `limit` entries from before `before`; totals stay."""
        table, spent = _schema.ledger, _schema.spent
        old = sa.select(table.c.id).where(table.c.at < before).order_by(table.c.at).limit(limit)
        with self._database.write("forget old entries of the ledger") as connection:
            connection.execute(sa.delete(spent).where(spent.c.day < day_of(before)))
            return connection.execute(sa.delete(table).where(table.c.id.in_(old))).rowcount


def _version(connection: sa.Connection) -> int:
    return connection.scalar(sa.select(sa.func.max(_schema.keys.c.changed))) or 0


def _key(row: sa.Row[Any]) -> KeyRecord:
    # A scope of a later release opens nothing here.
    known = {scope.value: scope for scope in KeyScope}
    return KeyRecord(
        id=row.id,
        name=row.name,
        digest=row.digest,
        scopes=tuple(known[name] for name in row.scopes.split() if name in known),
        limits=KeyLimits(
            requests_per_second=row.requests_per_second,
            burst=row.burst,
            pictures_per_day=row.pictures_per_day,
            tokens_per_day=row.tokens_per_day,
            at_once=row.at_once,
        ),
        made_at=row.made_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )


def _row(entry: LedgerEntry) -> dict[str, Any]:
    """An entry as a database takes it: one that is out of range must not hold up all others."""
    row: dict[str, Any] = {}
    for field in fields(LedgerEntry):
        value = getattr(entry, field.name)
        if isinstance(value, str):
            row[field.name] = storable(str(value))
        elif field.type is float:
            row[field.name] = max(0.0, min(float(value), _MOST)) if math.isfinite(value) else 0.0
        else:
            row[field.name] = max(0, min(int(value), _MOST))
    # The most that 64 bits hold is far above: no price makes one request cost so much.
    row["cost"] = max(0, min(entry.cost, 10**15))
    return row


def _totals(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    totals: dict[tuple[int, str, str, str, str], dict[str, int]] = {}
    for row in rows:
        group = (day_of(row["at"]), row["key_name"], row["skill"], row["model"], row["currency"])
        total = totals.setdefault(group, dict.fromkeys(_COUNTS, 0))
        for name, more in _counted(row).items():
            total[name] += more
    for group, total in totals.items():
        named = zip(("day", "key_name", "skill", "model", "currency"), group, strict=True)
        yield {**dict(named), **total}


def _counted(row: Mapping[str, Any]) -> dict[str, int]:
    """What one entry adds to the total of its day."""
    failed = row["outcome"] == RequestOutcome.FAILED
    billed = {
        name: 0 if failed else row[name]
        for name in (
            "pictures",
            "crops",
            "image_tokens",
            "prompt_tokens",
            "completion_tokens",
            "reasoning_tokens",
        )
    }
    return {
        "requests": 1,
        "failed": int(failed),
        "cancelled": int(row["outcome"] == RequestOutcome.CANCELLED),
        **billed,
        "bytes_in": row["bytes_in"],
        "queued_ms": round(row["queued_ms"]),
        "prefill_ms": round(row["prefill_ms"]),
        "decode_ms": round(row["decode_ms"]),
        "request_ms": round(row["seconds"] * 1000),
        "cost": row["cost"],
    }


def _parts(question: UsageQuestion) -> Iterator[sa.Select[Any]]:
    """The questions to ask: one for the whole days, and one for each part of a day."""
    since, until = question.span.since, question.span.until
    first = None if since is None else math.ceil(since / DAY_S)
    end = None if until is None else math.floor(until / DAY_S)
    if first is not None and end is not None and first > end:
        yield _of_entries(question, question.span)
        return
    if since is not None and first is not None and since < first * DAY_S:
        yield _of_entries(question, Span(since, first * DAY_S))
    yield _of_days(question, first, end)
    if until is not None and end is not None and until > end * DAY_S:
        yield _of_entries(question, Span(end * DAY_S, until))


def _of_days(question: UsageQuestion, first: int | None, end: int | None) -> sa.Select[Any]:
    table = _schema.usage
    wanted: dict[UsageBy, sa.ColumnElement[Any]] = {
        by: table.c[name] for by, name in _COLUMNS.items() if by in question.by
    }
    sums = [sa.func.sum(table.c[name]) for name in _COUNTS]
    asked = sa.select(*_grouped(wanted), table.c.currency, *sums)
    if first is not None:
        asked = asked.where(table.c.day >= first)
    if end is not None:
        asked = asked.where(table.c.day < end)
    if question.key is not None:
        asked = asked.where(table.c.key_name == storable(question.key))
    return asked.group_by(*wanted.values(), table.c.currency)


def _of_entries(question: UsageQuestion, part: Span) -> sa.Select[Any]:
    """Of a part of one day."""
    assert part.since is not None
    table = _schema.ledger
    wanted: dict[UsageBy, sa.ColumnElement[Any]] = {
        by: table.c[name]
        for by, name in _COLUMNS.items()
        if by in question.by and by is not UsageBy.DAY
    }
    failed = table.c.outcome == RequestOutcome.FAILED
    cancelled = table.c.outcome == RequestOutcome.CANCELLED
    sums: dict[str, sa.ColumnElement[Any]] = {
        "requests": sa.func.count(),
        "failed": sa.func.sum(sa.case((failed, 1), else_=0)),
        "cancelled": sa.func.sum(sa.case((cancelled, 1), else_=0)),
    }
    for name in ("bytes_in", "cost"):
        sums[name] = sa.func.sum(table.c[name])
    for name in ("queued_ms", "prefill_ms", "decode_ms"):
        sums[name] = sa.func.sum(sa.cast(sa.func.round(table.c[name]), sa.BigInteger))
    milliseconds = sa.func.round(table.c.seconds * 1000)
    sums["request_ms"] = sa.func.sum(sa.cast(milliseconds, sa.BigInteger))
    for name in _COUNTS:
        if name not in sums:
            sums[name] = sa.func.sum(sa.case((failed, 0), else_=table.c[name]))
    grouped = _grouped(wanted)
    if UsageBy.DAY in question.by:
        grouped[1] = sa.literal(day_of(part.since)).label("day")
    asked = sa.select(*grouped, table.c.currency, *(sums[name] for name in _COUNTS))
    asked = asked.where(table.c.at >= part.since, table.c.at < part.until)
    if question.key is not None:
        asked = asked.where(table.c.key_name == storable(question.key))
    return asked.group_by(*wanted.values(), table.c.currency)


def _grouped(wanted: Mapping[UsageBy, sa.ColumnElement[Any]]) -> list[sa.ColumnElement[Any]]:
    """Key, day, model and skill; nothing where it is not asked for."""
    return [wanted.get(by, sa.null()) for by in _COLUMNS]
