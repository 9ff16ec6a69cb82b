"""Who is at work in a deployment and what each owns: presence, leases, agreed settings."""

import zlib
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Protocol

Leased = int | str
"""What has one owner: a partition of the results, by its number, or a camera, by its name."""


def partition_of(camera: str, partitions: int) -> int:
    """The partition of a camera's results, 0 up to `partitions`; the same in every process."""
    return zlib.crc32(camera.encode("utf-8", "surrogatepass")) % partitions


def camera_lease(camera: str) -> str:
    """The name under which a camera is leased by the one who samples it."""
    return f"camera:{camera}"


class Leases(Protocol):
    """Who owns what. All methods raise QueueError when nobody can tell."""

    def acquire(self, what: Leased, owner: str, ttl: timedelta, floor: int = 0) -> int | None:
        """Own it for `ttl`; returns the fencing token, None while it is another's.

        Tokens of the same thing rise strictly. The same owner gets the same token again, unless it
        is below `floor`, the highest token that is known elsewhere: a new one is above that.
        """
        ...

    def renew(self, what: Leased, token: int, ttl: timedelta, owner: str | None = None) -> bool:
        """Own it for `ttl` from now; False when the lease was lost.

        With its `owner` a lease that ended is taken up again if nobody has had it since.
        """
        ...

    def release(self, what: Leased, token: int) -> None:
        """Let others have it at once; does nothing when the lease was lost."""
        ...

    def owners(self) -> Mapping[int, tuple[str, int]]:
        """Owner and token of every partition that is owned."""
        ...

    def owners_of(self, names: Collection[str]) -> Mapping[str, tuple[str, int]]:
        """Owner and token of each of these that is owned."""
        ...


class Presence(Protocol):
    """The processes that are alive. All methods raise QueueError, or StoreError where they are kept
    in a store, when nobody can tell.
    """

    def say(self, member: str, report: bytes, ttl: timedelta) -> None:
        """Be known as alive for `ttl` from now, with a report for whoever asks."""
        ...

    def leave(self, member: str) -> None:
        """Be forgotten at once."""
        ...

    def members(self) -> Mapping[str, bytes]:
        """Everybody alive, each with its last report."""
        ...


class Requests(Protocol):
    """What all processes of a deployment are asked to do. Raises QueueError or StoreError when
    nobody can tell.
    """

    def ask(self, request: str, ttl: timedelta) -> None:
        """Ask it for `ttl` from now; a later request takes the place of an earlier one."""
        ...

    def asked(self) -> str | None:
        """What is asked now; None where nothing is."""
        ...


class Agreement(Protocol):
    """Settings that all processes must share. Raises QueueError when nobody can tell."""

    def agree(self, setting: str, value: int, ttl: timedelta) -> int:
        """Say for `ttl` what a setting is here; returns what it is where work goes on already.

        The first value holds, until nobody has said it again for its `ttl`.
        """
        ...
