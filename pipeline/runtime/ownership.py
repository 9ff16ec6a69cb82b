"""Ownership of a store: one process runs on it, one delivers, others wait or stand by."""

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from pipeline.core.clock import Clock, SystemClock
from pipeline.core.errors import ConfigError, Problem, StoreError
from pipeline.core.local_time import local_time
from pipeline.core.store import DELIVER, RUN, LeaseOwner, LeaseProof, LeaseRecord, StoreLeases
from pipeline.deployment.model import Deployment
from pipeline.runtime.reports import new_member
from pipeline.runtime.stages.base import StageThread

logger = logging.getLogger(__name__)

LEASE_TTL = timedelta(seconds=2.5)
# Several renewals may fail before another process may take over; waiting processes look as often.
LOOK_S = LEASE_TTL.total_seconds() / 5
_WAIT_LOOK_S = 0.1


def this_process(stage: str) -> LeaseOwner:
    """This process as an owner of leases."""
    return LeaseOwner(new_member(stage), socket.gethostname(), os.getpid())


def is_gone(owner: LeaseOwner) -> bool:
    """Whether this host, whose name the owner's is, has no such process any more.

    False where that cannot be known from here. A process in a container has numbers of its own, so
    that one which is not found may yet be alive: whoever asks looks whether it still renews.
    """
    if owner.host != socket.gethostname() or os.name != "posix":
        return False
    try:
        os.kill(owner.pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False  # another user's
    with suppress(OSError, IndexError):
        # One that was killed is a process until its parent has looked at what became of it.
        told = Path(f"/proc/{owner.pid}/stat").read_text(encoding="utf-8", errors="replace")
        return told.rpartition(")")[2].split()[0] in "ZX"
    return False


class StoreLease:
    """A lease of the store: renewed while it is ours, else watched until it can be taken.

    One thread maintains it; any thread may ask. A lease counts as abandoned once its record has not
    changed for `ttl` on the watcher's own clock, so the clocks of two hosts need not agree.

    While the store is out of reach nothing changes: no process can take the lease, and the owner
    has the whole `ttl` to renew it once the store is back.
    """

    def __init__(
        self,
        leases: StoreLeases,
        name: str,
        owner: LeaseOwner,
        clock: Clock,
        ttl: timedelta = LEASE_TTL,
    ) -> None:
        """The store is not asked before the first look."""
        self.name = name
        self.last: LeaseProof | None = None
        """As it was last held: writes that carry it are refused once the lease is lost."""
        self.other: LeaseRecord | None = None
        """The other process that held it at the last look."""
        self.lost_to: LeaseRecord | None = None
        """The process that took it over from us; None once it is ours again."""
        self.other_is_alive = False
        """Whether the other process was seen to renew it."""
        self.trouble: StoreError | None = None
        """Why the last look failed."""
        self._leases = leases
        self._owner = owner
        self._clock = clock
        self._ttl_s = ttl.total_seconds()
        self._lock = threading.Lock()
        self._proof: LeaseProof | None = None
        self._sure_until = 0.0
        self._seen: tuple[int, int] | None = None
        self._still_since = 0.0

    @property
    def proof(self) -> LeaseProof | None:
        """The lease while it is ours; a new one each time it is taken."""
        return self._proof

    @property
    def is_anothers(self) -> bool:
        """Whether another process held it when it was last looked at."""
        return self._proof is None and self.other is not None

    def look(self) -> None:
        """Renew the lease, or take it if no process holds it any more."""
        with self._lock, self._troubles():
            self._renew()
            if self._proof is None and self._is_left():
                self._take(self.other)

    def keep(self) -> None:
        """Renew the lease while it is ours; once lost to another process it is not taken again."""
        with self._lock, self._troubles():
            self._renew()

    def watch(self) -> None:
        """Check whether its holder is alive, without taking it."""
        with self._lock, self._troubles():
            self._is_left()

    def holds(self, proof: LeaseProof) -> bool:
        """Whether the lease that was taken with this proof is still ours.

        A process that was paused for longer than its lease asks before it answers.
        """
        if self._clock.monotonic() >= self._sure_until:
            with self._lock, self._troubles():
                if self._clock.monotonic() >= self._sure_until:
                    self._renew()
        return proof == self._proof

    def end(self) -> None:
        """Release it, so that others need not wait until it counts as abandoned."""
        with self._lock, suppress(StoreError):  # then it counts as abandoned after a while
            proof, self._proof = self._proof, None
            if proof is not None:
                self._leases.release(proof)

    def _renew(self) -> None:
        held = self._proof
        if held is None:
            return
        sure_from = self._clock.monotonic()
        try:
            if self._leases.renew(held):
                return
            self._proof = None
            record = self._leases.lease(self.name)
            if record is not None and record.token > held.token:
                self.other = self.lost_to = record
                return
            # Lower tokens mean that the file was replaced by an older copy of itself.
            self._take(record)
            if self._proof is None:
                self.other = self.lost_to = self._leases.lease(self.name)
        except StoreError:
            sure_from = self._clock.monotonic()
            raise
        finally:
            self._sure_until = sure_from + self._ttl_s

    def _is_left(self) -> bool:
        """Whether no process holds it, or its owner has not renewed it for too long."""
        now = self._clock.monotonic()
        record = self._leases.lease(self.name)
        if record is None or record.ended_at is not None:
            self.other, self._seen, self.other_is_alive = None, None, False
            return True
        seen = record.token, record.renewals
        if seen != self._seen:
            self.other_is_alive = self._seen is not None
            self._seen, self._still_since = seen, now
        self.other = record
        if now - self._still_since < self._ttl_s:
            return False
        self.other_is_alive = False
        return True

    def _take(self, over: LeaseRecord | None) -> None:
        sure_from = self._clock.monotonic()
        self._proof = self._leases.take(self.name, self._owner, over)
        if self._proof is not None:
            self.last = self._proof
            self.other = self.lost_to = None
            self._sure_until = sure_from + self._ttl_s

    @contextmanager
    def _troubles(self) -> Iterator[None]:
        """Remember a StoreError for those who ask; the next look tries again."""
        try:
            yield
        except StoreError as error:
            # Its holder could not renew it meanwhile either.
            self._seen = None
            # In a process that stands by, nothing else reports it.
            if self.trouble is None and self._proof is None:
                logger.error("store is not responding; retrying: %s", error)  # noqa: TRY400
            self.trouble = error
        else:
            if self.trouble is not None and self._proof is None:
                logger.info("store is responding again")
            self.trouble = None


def keeping(name: str, *leases: StoreLease, clock: Clock, again: bool = True) -> StageThread:
    """A thread that maintains leases; lost ones are taken `again` once they are free."""
    stop = threading.Event()

    def keep() -> None:
        while not stop.is_set():
            for lease in leases:
                if again:
                    lease.look()
                else:
                    lease.keep()
            clock.wait(LOOK_S, stop)

    return StageThread(name, keep, stop.set)


class RunOwnership:
    """The store of a deployment, owned by one process that runs all stages on it."""

    def __init__(self, deployment: Deployment, clock: Clock | None = None) -> None:
        """Open the store; raises StoreError."""
        self.clock = clock or SystemClock()
        self._timezone = deployment.site.timezone
        self._place = str(deployment.store.model_dump()["url"])
        self.store = deployment.store.build(self.clock)
        me = this_process("run")
        self.run = StoreLease(self.store, RUN, me, self.clock)
        self.delivery = StoreLease(self.store, DELIVER, me, self.clock)
        # A store lost to another run stays lost: continuing beside it would undo its work.
        self._keeper = keeping("ownership", self.run, clock=self.clock, again=False)

    def take(self, *, stop: threading.Event, wait: bool = False) -> bool:
        """Own the store; False if `stop` is set while it `wait`s for another run to end.

        Raises ConfigError if another run is at work and `wait` is False.
        """
        said = False
        while True:
            self.run.look()
            if self.run.proof is not None:
                break
            if self.run.trouble is not None and not wait:
                raise self.run.trouble
            # So that delivery need not be waited for in addition if the other process dies.
            self.delivery.watch()
            other = self.run.other
            if other is not None and self.run.other_is_alive:
                if not wait:
                    raise ConfigError([Problem("store.url", self._taken(other))])
                if not said:
                    logger.warning("waiting for the store: %s", self._who(other))
                said = True
            if self.clock.wait(_WAIT_LOOK_S, stop):
                return False
        if said:
            logger.info("the other run has ended; starting")
        self.delivery.look()
        self._keeper.start()
        return True

    @property
    def failure(self) -> str | None:
        """Why this process has to end; None while it owns the store."""
        if self.run.lost_to is not None:
            return (
                f"the store {self._place} was taken over while this process was suspended: "
                f"{self._who(self.run.lost_to)}; this process has written nothing since"
            )
        return self._keeper.failure

    def proof(self) -> LeaseProof | None:
        """The proof of ownership that accompanies everything this run writes."""
        return self.run.last

    def end(self, within_s: float = 5.0) -> None:
        """Release the store, and record in it that this process has ended."""
        self._keeper.stop(within_s)
        self.delivery.end()
        self.run.end()

    def __enter__(self) -> "RunOwnership":
        """Nothing is taken yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release everything, however the run ended; safe to repeat."""
        self.end()
        self.store.close()

    def _who(self, other: LeaseRecord) -> str:
        since = local_time(other.since, self._timezone)
        return f"process {other.owner.pid} on {other.owner.host} has been using it since {since}"

    def _taken(self, other: LeaseRecord) -> str:
        return (
            f"{self._place} is in use: {self._who(other)}; stop that process first, name another "
            "store, or use --wait to wait until it ends"
        )
