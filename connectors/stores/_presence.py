"""Who works on a store, and what they are asked, where the queue is their process's own.

A deployment over Redis says this there, where also those hosts are that cannot reach the store.
"""

from collections.abc import Mapping
from datetime import timedelta

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._database import Database
from pipeline.core.clock import Clock

_REQUEST = "all"
# Nobody is alive for so long without a further word: a clock was put back since.
_LONGEST_S = 600.0


class SqlPresence:
    """The processes that are alive; see `pipeline.core.membership.Presence`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def say(self, member: str, report: bytes, ttl: timedelta) -> None:
        """Count as alive for `ttl` from now, with a report for those who ask."""
        table, now = _schema.presence, self._clock.now()
        row = {"member": member, "report": report, "until": now + ttl.total_seconds()}
        with self._database.write("say who is at work") as connection:
            self._database.upsert(connection, table, [row])
            over = (table.c.until < now) | (table.c.until > now + _LONGEST_S)
            connection.execute(sa.delete(table).where(over))

    def leave(self, member: str) -> None:
        """Be forgotten at once."""
        table = _schema.presence
        with self._database.write("say who has ended") as connection:
            connection.execute(sa.delete(table).where(table.c.member == member))

    def members(self) -> Mapping[str, bytes]:
        """Everybody alive, each with its last report."""
        table = _schema.presence
        now = self._clock.now()
        wanted = sa.select(table).where(table.c.until.between(now, now + _LONGEST_S))
        with self._database.read("see who is at work") as connection:
            return {row.member: row.report for row in connection.execute(wanted)}


class SqlRequests:
    """What all processes are asked to do; see `pipeline.core.membership.Requests`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def ask(self, request: str, ttl: timedelta) -> None:
        """Ask it for `ttl` from now; a later request takes the place of an earlier one."""
        until = self._clock.now() + ttl.total_seconds()
        row = {"name": _REQUEST, "request": request, "until": until}
        with self._database.write("ask for something") as connection:
            self._database.upsert(connection, _schema.requests, [row])

    def asked(self) -> str | None:
        """What is asked now; None where nothing is."""
        table, now = _schema.requests, self._clock.now()
        wanted = sa.select(table.c.request).where(
            table.c.name == _REQUEST, table.c.until.between(now, now + _LONGEST_S)
        )
        with self._database.read("see what is asked") as connection:
            return connection.scalar(wanted)
