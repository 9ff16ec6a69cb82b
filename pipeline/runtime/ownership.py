"""Who owns a store: one process runs all stages on it, one delivers, others wait or stand by."""

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from pipeline.core.clock import Clock, SystemClock
from pipeline.core.errors import ConfigError, Problem, StoreError
from pipeline.core.local_time import local_time
from pipeline.core.store import DELIVER, RUN, LeaseOwner, LeaseProof, LeaseRecord, StoreLeases
from pipeline.deployment.model import Deployment
from pipeline.runtime.reports import new_member
from pipeline.runtime.stages.base import StageThread

logger = logging.getLogger(__name__)

LEASE_TTL = timedelta(seconds=2.5)
# Several renewals may fail before another process may take over; who waits looks as often.
LOOK_S = LEASE_TTL.total_seconds() / 5
_WAIT_LOOK_S = 0.1


def this_process(stage: str) -> LeaseOwner:
    """This process as an owner of leases."""
    return LeaseOwner(new_member(stage), socket.gethostname(), os.getpid())


class StoreLease:
    """A lease of the store: kept while it is ours, watched until it can be taken while it is not.

    One thread looks after it; any thread asks. A lease counts as left by its owner once its record
    stood still for `ttl` on the clock of the one who watches, so no two clocks need to agree.

    Where the store is out of reach everything stays as it is: nobody can take anything, and the
    owner gets the whole `ttl` to come back once the store does.
    """

    def __init__(
        self,
        leases: StoreLeases,
        name: str,
        owner: LeaseOwner,
        clock: Clock,
        ttl: timedelta = LEASE_TTL,
    ) -> None:
        """Nothing is asked before the first look."""
        self.name = name
        self.last: LeaseProof | None = None
        """As it was last held: what is written with it is refused once the lease was lost."""
        self.other: LeaseRecord | None = None
        """Who held it instead when it was last looked at."""
        self.lost_to: LeaseRecord | None = None
        """Who has taken it over from us; None again once it is ours again."""
        self.other_is_alive = False
        """Whether the other one was seen to renew it."""
        self.trouble: StoreError | None = None
        """Why the last look told nothing."""
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
        """The lease while it is ours; another one each time that it is taken."""
        return self._proof

    @property
    def is_anothers(self) -> bool:
        """Whether another process held it when it was last looked at."""
        return self._proof is None and self.other is not None

    def look(self) -> None:
        """Keep the lease, or take it where nobody has it any more."""
        with self._lock, self._troubles():
            self._renew()
            if self._proof is None and self._is_left():
                self._take(self.other)

    def keep(self) -> None:
        """Keep the lease while it is ours; once lost to another process it is not taken again."""
        with self._lock, self._troubles():
            self._renew()

    def watch(self) -> None:
        """See how the one who holds it does, without taking it."""
        with self._lock, self._troubles():
            self._is_left()

    def holds(self, proof: LeaseProof) -> bool:
        """Whether the lease that was taken with this proof is ours still.

        A process that was paused for longer than its lease asks before it answers.
        """
        if self._clock.monotonic() >= self._sure_until:
            with self._lock, self._troubles():
                if self._clock.monotonic() >= self._sure_until:
                    self._renew()
        return proof == self._proof

    def end(self) -> None:
        """Give it back, so that others need not wait until it counts as left."""
        with self._lock, suppress(StoreError):  # then it is left to those who watch
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
            # Only the past of a file that was put in the place of the former one has lower tokens.
            self._take(record)
            if self._proof is None:
                self.other = self.lost_to = self._leases.lease(self.name)
        except StoreError:
            sure_from = self._clock.monotonic()
            raise
        finally:
            self._sure_until = sure_from + self._ttl_s

    def _is_left(self) -> bool:
        """Whether nobody holds it, or its owner has not been heard of for long enough."""
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
        """Keep a StoreError for whoever asks; the next look tries again."""
        try:
            yield
        except StoreError as error:
            # Whoever holds it meanwhile could not renew it either.
            self._seen = None
            # Whoever stands by has nobody else who says it.
            if self.trouble is None and self._proof is None:
                logger.error("store is not responding; retrying: %s", error)  # noqa: TRY400
            self.trouble = error
        else:
            if self.trouble is not None and self._proof is None:
                logger.info("store is responding again")
            self.trouble = None


def keeping(name: str, *leases: StoreLease, clock: Clock, again: bool = True) -> StageThread:
    """A thread that looks after leases; lost ones are taken `again` once they are free."""
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
        # What was lost to another run is its: going on beside it would undo what it has done.
        self._keeper = keeping("ownership", self.run, clock=self.clock, again=False)

    def take(self, *, stop: threading.Event, wait: bool = False) -> bool:
        """Own the store; False when told to stop while it `wait`s for another run to end.

        Raises ConfigError where another run is at work, and it is not to be waited for.
        """
        said = False
        while True:
            self.run.look()
            if self.run.proof is not None:
                break
            if self.run.trouble is not None and not wait:
                raise self.run.trouble
            # So that after the death of the other one nothing more has to be waited for.
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
        """Why this process has to end; None while the store is its own."""
        if self.run.lost_to is not None:
            return (
                f"the store {self._place} was taken over while this process was suspended: "
                f"{self._who(self.run.lost_to)}; this process has written nothing since"
            )
        return self._keeper.failure

    def proof(self) -> LeaseProof | None:
        """What is written with what this run concludes."""
        return self.run.last

    def end(self, within_s: float = 5.0) -> None:
        """Let another process own the store, and remember in it that this one ended."""
        self._keeper.stop(within_s)
        self.delivery.end()
        self.run.end()

    def __enter__(self) -> "RunOwnership":
        """Nothing is taken yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give everything back, however it came to an end; safe where that was done."""
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
