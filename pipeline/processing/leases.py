"""Which partitions of the results this process owns, by leases that it renews and gives back.

Every processor owns its fair share. The others give up their surplus to a new one; a dead one's
partitions are taken over once its leases expire.
"""

import logging
import math
import threading
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta

from pipeline.core.errors import QueueError, StoreError
from pipeline.core.membership import Leases

logger = logging.getLogger(__name__)

LEASE_TTL = timedelta(seconds=3)
# Two renewals may fail before a lease expires.
LOOK_S = LEASE_TTL.total_seconds() / 3


class PartitionLeases:
    """The partitions that a process owns. One thread maintains the leases, another one judges."""

    def __init__(
        self,
        leases: Leases,
        owner: str,
        partitions: int,
        processors: Callable[[], int],
        fences: Callable[[], Mapping[int, int]] = dict,
        *,
        shard: Collection[int] | None = None,
        ttl: timedelta = LEASE_TTL,
    ) -> None:
        """`owner` is unique for every start of a process; `partitions` is how many there are.

        `processors` returns how many processors share them, including this one. A process with a
        `shard` owns exactly these partitions, and has no fair share of all.

        `fences` returns the highest token that the store knows of each partition; raises
        StoreError. A queue that lost its data, and whose clock is behind, would issue lower ones.
        """
        self._leases = leases
        self._owner = owner
        self._partitions = partitions
        self._shard = shard
        self._ttl = ttl
        self._processors = processors
        self._fences = fences
        self._lock = threading.Lock()
        self._owned: dict[int, int] = {}
        self._leaving: set[int] = set()
        self._in_use: Collection[int] = frozenset()

    @property
    def held(self) -> Mapping[int, int]:
        """The partitions to work on, each with its fencing token."""
        with self._lock:
            return {p: token for p, token in self._owned.items() if p not in self._leaving}

    def use(self, partitions: Collection[int]) -> None:
        """Declare which partitions are in use; only others are given back."""
        self._in_use = frozenset(partitions)

    def lose(self, *partitions: int) -> None:
        """Their leases have ended; another process may own them by now."""
        with self._lock:
            known = [p for p in partitions if self._owned.pop(p, None) is not None]
            self._leaving.difference_update(partitions)
        if known:
            # This is normal after a restart of Redis, and they are taken again at once.
            places = ", ".join(map(str, sorted(known)))
            logger.warning("the leases of partitions %s were lost", places)

    def look(self) -> None:
        """Renew what is owned, give back what is too much, take what is free.

        While the queue is out of reach nothing changes: no other process can take anything. While
        the store is, nothing is taken: it could not be judged.
        """
        try:
            self._renew()
            self._give_back()
            self._take()
        except (QueueError, StoreError):
            return  # the queue or the judging thread reports it; the next look tries again

    def end(self) -> None:
        """Give everything back, so that others need not wait for the leases to expire."""
        try:
            for partition, token in self._all().items():
                self._leases.release(partition, token)
                self._forget(partition)
        except QueueError:
            return  # they expire by themselves

    def _all(self) -> dict[int, int]:
        with self._lock:
            return dict(self._owned)

    def _forget(self, partition: int) -> None:
        with self._lock:
            self._owned.pop(partition, None)
            self._leaving.discard(partition)

    def _renew(self) -> None:
        lost: list[int] = []
        try:
            for partition, token in self._all().items():
                if not self._leases.renew(partition, token, self._ttl):
                    lost.append(partition)
        finally:
            self.lose(*lost)

    def _give_back(self) -> None:
        share = self._fair_share()
        with self._lock:
            staying = sorted(self._owned.keys() - self._leaving)
            self._leaving.update(staying[share:])
            leaving = {p: self._owned[p] for p in self._leaving if p not in self._in_use}
        for partition, token in leaving.items():
            self._leases.release(partition, token)
            self._forget(partition)

    def _take(self) -> None:
        missing = self._fair_share() - len(self.held)
        if missing <= 0:
            return
        taken = self._leases.owners()
        free = [
            partition
            for partition in (
                range(self._partitions) if self._shard is None else sorted(self._shard)
            )
            # One that we lost and that the queue still lists as ours has a token that is too low.
            if partition not in self._all()
            and taken.get(partition, (self._owner, 0))[0] == self._owner
        ]
        fences = self._fences() if free else {}
        for partition in free:
            if missing <= 0:
                return
            floor = fences.get(partition, 0)
            token = self._leases.acquire(partition, self._owner, self._ttl, floor)
            if token is not None:
                with self._lock:
                    self._owned[partition] = token
                missing -= 1

    def _fair_share(self) -> int:
        if self._shard is not None:
            return len(self._shard)
        return math.ceil(self._partitions / max(1, self._processors()))
