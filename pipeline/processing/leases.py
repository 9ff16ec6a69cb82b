"""Which partitions of the results this process owns: leases kept up, shared out fairly, given back.

Every processor owns its fair share. A new one gets what the others have too much; what a dead one
had is taken over as soon as its leases run out.
"""

import logging
import math
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

from pipeline.core.errors import QueueError, StoreError
from pipeline.core.membership import Leases

logger = logging.getLogger(__name__)

LEASE_TTL = timedelta(seconds=3)
# Two renewals may fail before a lease runs out.
LOOK_S = LEASE_TTL.total_seconds() / 3


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """Under which name, and for what, a process asks."""

    owner: str
    """Unique for every start of a process."""
    partitions: int
    """How many there are."""
    shard: Collection[int] | None = None
    """The partitions that are this process's; None for a fair share of all."""
    ttl: timedelta = LEASE_TTL


class PartitionLeases:
    """The partitions a process owns. One thread looks after them, another one works with them."""

    def __init__(
        self,
        leases: Leases,
        terms: LeaseTerms,
        processors: Callable[[], int],
        fences: Callable[[], Mapping[int, int]] = dict,
    ) -> None:
        """`processors` says how many there are to share with, this one included.

        `fences` gives the highest tokens that the store knows, by partition; raises StoreError. A
        queue that came back without its data, and with its clock behind, would give lower ones.
        """
        self._leases = leases
        self._terms = terms
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
        """Say which partitions are worked on; only others are given back."""
        self._in_use = frozenset(partitions)

    def lose(self, *partitions: int) -> None:
        """Their leases have ended; somebody else may own them by now."""
        with self._lock:
            known = [p for p in partitions if self._owned.pop(p, None) is not None]
            self._leaving.difference_update(partitions)
        if known:
            # After a restart of Redis this is usual, and they are taken again at once.
            places = ", ".join(map(str, sorted(known)))
            logger.warning("the leases of partitions %s were lost", places)

    def look(self) -> None:
        """Renew what is owned, give back what is too much, take what is free.

        Where the queue is out of reach everything stays as it is: nobody else can take anything.
        Where the store is, nothing is taken: it could not be judged.
        """
        try:
            self._renew()
            self._give_back()
            self._take()
        except (QueueError, StoreError):
            return  # said by the queue itself, or by whoever judges; the next look tries again

    def end(self) -> None:
        """Give everything back, so that others need not wait for it to run out."""
        try:
            for partition, token in self._all().items():
                self._leases.release(partition, token)
                self._forget(partition)
        except QueueError:
            return  # they run out by themselves

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
                if not self._leases.renew(partition, token, self._terms.ttl):
                    lost.append(partition)
        finally:
            self.lose(*lost)

    def _give_back(self) -> None:
        share = self._share()
        with self._lock:
            staying = sorted(self._owned.keys() - self._leaving)
            self._leaving.update(staying[share:])
            leaving = {p: self._owned[p] for p in self._leaving if p not in self._in_use}
        for partition, token in leaving.items():
            self._leases.release(partition, token)
            self._forget(partition)

    def _take(self) -> None:
        missing = self._share() - len(self.held)
        if missing <= 0:
            return
        taken = self._leases.owners()
        wanted = self._terms.shard
        mine = self._terms.owner
        free = [
            partition
            for partition in (range(self._terms.partitions) if wanted is None else sorted(wanted))
            # One that we lost and that is still ours in the queue has a token that is too low.
            if partition not in self._all() and taken.get(partition, (mine, 0))[0] == mine
        ]
        fences = self._fences() if free else {}
        for partition in free:
            if missing <= 0:
                return
            floor = fences.get(partition, 0)
            token = self._leases.acquire(partition, mine, self._terms.ttl, floor)
            if token is not None:
                with self._lock:
                    self._owned[partition] = token
                missing -= 1

    def _share(self) -> int:
        if self._terms.shard is not None:
            return len(self._terms.shard)
        return math.ceil(self._terms.partitions / max(1, self._processors()))
