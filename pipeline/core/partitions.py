"""Results shared out among processors: each camera has a partition, each partition one owner.

Delivery has one owner as well, by a lease of the same kind.
"""

import zlib
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Final, Literal, Protocol

from pipeline.core.ports import ResultQueue

Leased = int | Literal["delivery"]
"""What has one owner: a partition of the results, by its number, or the delivery of events."""
DELIVERY: Final = "delivery"


def partition_of(camera: str, partitions: int) -> int:
    """The partition of a camera's results, 0 up to `partitions`; the same in every process."""
    return zlib.crc32(camera.encode("utf-8", "surrogatepass")) % partitions


class PartitionedResults(ResultQueue, Protocol):
    """A result queue that can be taken from partition by partition."""

    @property
    def partitions(self) -> int:
        """How many there are."""
        ...

    def partition(self, owned: Collection[int] | Mapping[int, int]) -> ResultQueue:
        """The results of these partitions alone.

        A map gives the fencing token of each: then everything its last owner left comes first, and
        taking or acknowledging raises LeaseLostError once a token is not the present one.
        """
        ...


class Leases(Protocol):
    """Who owns what. All methods raise QueueError when nobody can tell."""

    def acquire(self, what: Leased, owner: str, ttl: timedelta) -> int | None:
        """Own it for `ttl`; returns the fencing token, None while it is another's.

        Tokens of the same thing rise strictly. The same owner gets the same token again.
        """
        ...

    def renew(self, what: Leased, token: int, ttl: timedelta) -> bool:
        """Own it for `ttl` from now; False when the lease was lost."""
        ...

    def release(self, what: Leased, token: int) -> None:
        """Let others have it at once; does nothing when the lease was lost."""
        ...

    def owners(self) -> Mapping[int, tuple[str, int]]:
        """Owner and token of every partition that is owned."""
        ...
