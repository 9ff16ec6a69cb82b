"""Retries: how long to wait between attempts, and how to log an outage once.

Waits double from the first to the longest and are shortened at random, so that many clients that
lost the same thing do not return together ("full jitter", Marc Brooker, Exponential Backoff and
Jitter, 2015). Clock and stop are passed in, so a retry ends with its process and tests do not wait.
"""

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pipeline.core.clock import Clock

T = TypeVar("T")

# Beyond 2^16 the longest wait was reached long ago, and a float would overflow eventually.
_MOST_DOUBLINGS = 16
# The longest wait that another side may ask for; a longer one would look like a hang.
_LONGEST_ASKED_S = 3600.0


@dataclass(frozen=True, slots=True)
class Rests:
    """How waits grow, in seconds."""

    first_s: float
    longest_s: float
    jitter: float = 1.0
    """The share of a wait that is random: 1 is any wait from 0 to the whole, 0 always the whole."""


class Backoff:
    """Waits between attempts; `reset` after a success. Used by one thread at a time."""

    def __init__(self, rests: Rests, chance: random.Random | None = None) -> None:
        self._rests = rests
        self._chance = chance or random.Random()
        self._failures = 0

    def next_s(self, asked_s: float | None = None) -> float:
        """Seconds to wait after one more failure, at least as long as the other side asked for."""
        doubled = self._rests.first_s * 2.0 ** min(self._failures, _MOST_DOUBLINGS)
        whole = min(self._rests.longest_s, doubled)
        self._failures += 1
        rest = self._chance.uniform((1.0 - self._rests.jitter) * whole, whole)
        return max(rest, min(asked_s or 0.0, _LONGEST_ASKED_S))

    def reset(self) -> None:
        """Start over: the next failure counts as the first."""
        self._failures = 0


class SaidOnce:
    """Logs once when something is lost and once when it is back."""

    def __init__(self, logger: logging.Logger, back: str) -> None:
        """`back` is the message for its return."""
        self._logger = logger
        self._back = back
        self._is_lost = False

    def lost(self, sentence: str) -> None:
        """Note that it does not work, with the reason."""
        if not self._is_lost:
            self._logger.error("%s", sentence)
        self._is_lost = True

    def works(self) -> None:
        """Note that it works."""
        if self._is_lost:
            self._logger.info("%s", self._back)
        self._is_lost = False


def until_done(
    attempt: Callable[[], T],
    errors: type[Exception] | tuple[type[Exception], ...],
    *,
    said: SaidOnce,
    sentence: Callable[[Exception], str],
    backoff: Backoff,
    clock: Clock,
    stop: threading.Event,
    final: type[Exception] | tuple[type[Exception], ...] = (),
) -> T:
    """What `attempt` returns once it raises none of `errors`; raises the last one when stopped.

    Errors in `final` are raised at once, although they are among `errors`.
    """
    while True:
        try:
            done = attempt()
        except final:
            raise
        except errors as error:
            said.lost(sentence(error))
            if clock.wait(backoff.next_s(), stop):
                raise
        else:
            said.works()
            backoff.reset()
            return done
