"""Who is at work, and the settings that all of them share; measured on Redis' clock."""

from collections.abc import Mapping
from datetime import timedelta

from connectors.queues.redis.client.link import Link
from pipeline.core.errors import QueueError
from pipeline.core.ranges import readable

# A larger setting was not written by us.
_MOST = 1_000_000


class RedisPresence:
    """The processes that are alive; see `pipeline.core.membership.Presence`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def say(self, member: str, report: bytes, ttl: timedelta) -> None:
        """Count as alive for `ttl` from now, with a report for those who ask."""
        ttl_ms = max(1, round(ttl.total_seconds() * 1000))
        self._link.script("presence_say", member, report, ttl_ms)

    def leave(self, member: str) -> None:
        """Be forgotten at once."""
        self._link.script("presence_leave", member)

    def members(self) -> Mapping[str, bytes]:
        """Everybody alive, each with its last report."""
        found = self._link.script("presence_members")
        return {member.decode(errors="replace"): bytes(report) for member, report in found}


class RedisRequests:
    """What all processes are asked to do; see `pipeline.core.membership.Requests`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def ask(self, request: str, ttl: timedelta) -> None:
        """Ask it for `ttl` from now; a later request takes the place of an earlier one."""
        self._link.script("request_ask", request, max(1, round(ttl.total_seconds() * 1000)))

    def asked(self) -> str | None:
        """What is asked now; None where nothing is."""
        found = self._link.script("request_asked")
        return None if found is None else bytes(found).decode("utf-8", "replace")


class RedisAgreement:
    """What the processes at work go by; see `pipeline.core.membership.Agreement`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def agree(self, setting: str, value: int, ttl: timedelta) -> int:
        """Say for `ttl` what a setting is here; returns what it is where work goes on already."""
        ttl_ms = max(1, round(ttl.total_seconds() * 1000))
        held = self._link.script("agree", setting, value, ttl_ms)
        try:
            number = int(held)
        except ValueError:
            number = 0
        if not 0 < number <= _MOST:
            shown = readable(bytes(held)[:40].decode(errors="replace"))
            raise QueueError(f"Redis holds {shown!r} as {setting}, which is not a number")
        return number
