"""Who is at work: every process says so now and then, and is forgotten when it stops."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol


class Presence(Protocol):
    """The processes that are alive. All methods raise QueueError when nobody can tell."""

    def say(self, member: str, report: bytes, ttl: timedelta) -> None:
        """Be known as alive for `ttl` from now, with a report for whoever asks."""
        ...

    def leave(self, member: str) -> None:
        """Be forgotten at once."""
        ...

    def members(self) -> Mapping[str, bytes]:
        """Everybody alive, each with its last report."""
        ...
