"""Who is at work, and what each says of itself; measured on Redis' clock."""

from collections.abc import Mapping
from datetime import timedelta

from connectors.queues._redis.link import Link


class RedisPresence:
    """The processes that are alive; see `pipeline.core.presence.Presence`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def say(self, member: str, report: bytes, ttl: timedelta) -> None:
        """Be known as alive for `ttl` from now, with a report for whoever asks."""
        ttl_ms = max(1, round(ttl.total_seconds() * 1000))
        self._link.script("presence_say", member, report, ttl_ms)

    def leave(self, member: str) -> None:
        """Be forgotten at once."""
        self._link.script("presence_leave", member)

    def members(self) -> Mapping[str, bytes]:
        """Everybody alive, each with its last report."""
        found = self._link.script("presence_members")
        return {member.decode(): bytes(report) for member, report in found}
