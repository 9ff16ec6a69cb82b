"""Who is at work, and by what: every process says so now and then, and is forgotten otherwise."""

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


class Agreement(Protocol):
    """Settings that all processes must share. Raises QueueError when nobody can tell."""

    def agree(self, setting: str, value: int, ttl: timedelta) -> int:
        """Say for `ttl` what a setting is here; returns what it is where work goes on already.

        The first value holds, until nobody has said it again for its `ttl`.
        """
        ...
