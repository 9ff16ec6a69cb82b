"""Spares frames the wait for a server that does not answer: it is left alone, and tried again."""

import random

from pipeline.core.clock import Clock
from pipeline.core.retrying import Backoff, Rests

# One failure may be a bad moment.
IN_A_ROW = 3
RESTS = Rests(first_s=5.0, longest_s=60.0, jitter=0.3)
# What only somebody can mend is looked at again at this interval.
SHUT_S = 60.0


class Breaker:
    """Whether a server may be asked now. Used by one thread, read by any."""

    def __init__(self, clock: Clock, chance: random.Random | None = None) -> None:
        self._clock = clock
        self._backoff = Backoff(RESTS, chance)
        self._in_a_row = 0
        self._until: float | None = None
        self._trial = False
        self.reason: str | None = None
        """Why the server is left alone; None while all is well."""

    def may_ask(self) -> bool:
        """Whether to send a request now; after a rest, one alone is the trial for all others."""
        if self.is_resting:
            return False
        self._trial = self._until is not None
        return True

    @property
    def is_resting(self) -> bool:
        """Whether a request that came now would not be sent."""
        if self._until is None:
            return False
        return self._trial or self._clock.monotonic() < self._until

    @property
    def is_on_trial(self) -> bool:
        """Whether a request is on its way that is to find out whether it answers again."""
        return self._trial

    def left_s(self) -> float:
        """How long it is left alone from now on."""
        return 0.0 if self._until is None else max(0.0, self._until - self._clock.monotonic())

    def answered(self) -> bool:
        """Note that it answers, whatever it said; returns whether it did not before."""
        was_shut = self._until is not None
        self._in_a_row, self._until, self._trial, self.reason = 0, None, False, None
        self._backoff.reset()
        return was_shut

    def failed(self, reason: str, *, for_good: bool) -> bool:
        """Note a failure that speaks of the server; returns whether it is left alone since now."""
        self._in_a_row += 1
        was_shut = self._until is not None
        if was_shut and not self._trial:
            return False  # asked before the others had failed
        if not (for_good or was_shut or self._in_a_row >= IN_A_ROW):
            return False
        rest_s = self._backoff.next_s()
        self._until = self._clock.monotonic() + (SHUT_S if for_good else rest_s)
        self._trial = False
        self.reason = reason
        return not was_shut

    def given_up(self) -> None:
        """Note that a request has no outcome: a trial that was cancelled is for another one."""
        self._trial = False
