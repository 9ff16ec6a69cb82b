"""Which processes run in a deployment and what each owns: presence, leases, agreed settings."""

import zlib
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Protocol

Leased = int | str
"""What has one owner: a partition of the results, by number, or a camera, by name."""


def partition_of(camera: str, partitions: int) -> int:
    """The partition of a camera's results, below `partitions`; the same in every process."""
    return zlib.crc32(camera.encode("utf-8", "surrogatepass")) % partitions


def camera_lease(camera: str) -> str:
    """The name of the lease that the sampler of a camera holds."""
    return f"camera:{camera}"


class Leases(Protocol):
    """Who owns what. All methods raise QueueError when the queue is out of reach."""

    def acquire(self, what: Leased, owner: str, ttl: timedelta, floor: int = 0) -> int | None:
        """Own it for `ttl`; returns the fencing token, or None while another process owns it.

        Tokens of the same thing always increase. The same owner gets the same token again, unless
        it is below `floor`, the highest token known elsewhere: a new one is above that.
        """
        ...

    def renew(self, what: Leased, token: int, ttl: timedelta, owner: str | None = None) -> bool:
        """Own it for `ttl` from now; False when the lease was lost.

        With `owner`, a lease that expired is renewed if nobody has held it since.
        """
        ...

    def release(self, what: Leased, token: int) -> None:
        """Give it up, so that others can have it at once; does nothing when the lease was lost."""
        ...

    def owners(self) -> Mapping[int, tuple[str, int]]:
        """The owner and token of every owned partition."""
        ...

    def owners_of(self, names: Collection[str]) -> Mapping[str, tuple[str, int]]:
        """The owner and token of each of these that is owned."""
        ...


class Presence(Protocol):
    """The processes that are alive. All methods raise QueueError, or StoreError where presence is
    kept in a store, when it is out of reach.
    """

    def say(self, member: str, report: bytes, ttl: timedelta) -> None:
        """Count as alive for `ttl` from now, with a report for other processes."""
        ...

    def leave(self, member: str) -> None:
        """Stop counting as alive at once."""
        ...

    def members(self) -> Mapping[str, bytes]:
        """Every process alive, with its last report."""
        ...


class Requests(Protocol):
    """What all processes of a deployment are asked to do. Raises QueueError or StoreError when that
    is out of reach.
    """

    def ask(self, request: str, ttl: timedelta) -> None:
        """Ask for it for `ttl` from now; a later request replaces an earlier one."""
        ...

    def asked(self) -> str | None:
        """The current request, or None."""
        ...


class Agreement(Protocol):
    """Settings that all processes must share. Raises QueueError when the queue is out of reach."""

    def agree(self, setting: str, value: int, ttl: timedelta) -> int:
        """Announce a setting's value here for `ttl`; returns the value that running processes use.

        The first value stays in force until no process has announced it for its `ttl`.
        """
        ...
