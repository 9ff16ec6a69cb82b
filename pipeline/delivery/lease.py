"""Which process of a deployment delivers: one has the duty, and any others stand by."""

import threading
from contextlib import suppress
from datetime import timedelta

from pipeline.core.clock import Clock
from pipeline.core.errors import QueueError
from pipeline.core.membership import DELIVERY, Leases

LEASE_TTL = timedelta(seconds=3)
# Several renewals may fail before the lease runs out; who stands by looks as often, so that a duty
# that was given back is taken up at once.
LOOK_S = LEASE_TTL.total_seconds() / 6


class DeliveryLease:
    """The lease of delivery. One thread looks after it; the lanes ask before each step.

    Where the queue is out of reach everything stays as it is: nobody else can take the duty either.
    """

    def __init__(
        self, leases: Leases, owner: str, clock: Clock, ttl: timedelta = LEASE_TTL
    ) -> None:
        """`owner` is unique for every start of a process."""
        self._leases = leases
        self._owner = owner
        self._clock = clock
        self._ttl = ttl
        self._ttl_s = ttl.total_seconds()
        self._lock = threading.Lock()
        self._token: int | None = None
        self._sure_until = 0.0
        self._not_before = float("-inf")
        self._is_anothers = False

    @property
    def token(self) -> int | None:
        """The lease's token while the duty is ours; another one each time that it is taken up."""
        return self._token

    @property
    def is_anothers(self) -> bool:
        """Whether another process had the duty when it was last asked for."""
        return self._is_anothers

    def look(self) -> None:
        """Keep the duty, or take it where nobody has it."""
        with self._lock:
            try:
                self._renew()
                self._take()
            except QueueError:  # said by the queue itself; the next look tries again
                if self._token is None:
                    # The lease may have run out meanwhile. Its owner, who goes on, comes first.
                    self._not_before = self._clock.monotonic() + self._ttl_s

    def holds(self, token: int) -> bool:
        """Whether the duty that was taken up with this token is ours still.

        A process that was paused for longer than its lease asks before it answers.
        """
        if self._clock.monotonic() >= self._sure_until:
            with self._lock, suppress(QueueError):  # it is said by the queue itself
                if self._clock.monotonic() >= self._sure_until:
                    self._renew()
        return token == self._token

    def end(self) -> None:
        """Give the duty back, so that others need not wait for the lease to run out."""
        with self._lock:
            token, self._token = self._token, None
            if token is not None:
                with suppress(QueueError):  # then it runs out by itself
                    self._leases.release(DELIVERY, token)

    def _renew(self) -> None:
        if self._token is None:
            return
        sure_from = self._clock.monotonic()
        try:
            if not self._leases.renew(DELIVERY, self._token, self._ttl):
                self._token = None
        except QueueError:
            sure_from = self._clock.monotonic()
            raise
        finally:
            self._sure_until = sure_from + self._ttl_s

    def _take(self) -> None:
        sure_from = self._clock.monotonic()
        if self._token is not None or sure_from < self._not_before:
            return
        token = self._leases.acquire(DELIVERY, self._owner, self._ttl)
        self._is_anothers = token is None
        self._sure_until = sure_from + self._ttl_s
        self._token = token
