"""Trying again: how long to rest between attempts, and how that is said once.

Rests double from the first to the longest, and each is cut by chance, so that many who lost the
same thing do not come back together ("full jitter", Marc Brooker, Exponential Backoff and Jitter,
2015). Clock and stop are handed in, so a retry ends with its process and is tested without waiting.
"""

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pipeline.core.clock import Clock

T = TypeVar("T")

# Beyond 2^16 the longest rest has long been reached; a float would overflow in the end.
_MOST_DOUBLINGS = 16
# What another side may ask for; more would look like somebody who hangs.
_LONGEST_ASKED_S = 3600.0


@dataclass(frozen=True, slots=True)
class Rests:
    """How rests grow, in seconds."""

    first_s: float
    longest_s: float
    jitter: float = 1.0
    """Part of a rest that chance may cut: 1 is any rest from 0 to the whole, 0 is the whole."""


class Backoff:
    """Rests between attempts; `reset` after a success. Used by one thread at a time."""

    def __init__(self, rests: Rests, chance: random.Random | None = None) -> None:
        self._rests = rests
        self._chance = chance or random.Random()
        self._failures = 0

    def next_s(self, asked_s: float | None = None) -> float:
        """Seconds to rest after one more failure, and at least what the other side asked for."""
        doubled = self._rests.first_s * 2.0 ** min(self._failures, _MOST_DOUBLINGS)
        whole = min(self._rests.longest_s, doubled)
        self._failures += 1
        rest = self._chance.uniform((1.0 - self._rests.jitter) * whole, whole)
        return max(rest, min(asked_s or 0.0, _LONGEST_ASKED_S))

    def reset(self) -> None:
        """The next failure is a first one again."""
        self._failures = 0


class SaidOnce:
    """Says that something is lost when it is, and that it is back when it is; not in between."""

    def __init__(self, logger: logging.Logger, back: str) -> None:
        """`back` is the sentence for its return."""
        self._logger = logger
        self._back = back
        self._is_lost = False

    def lost(self, sentence: str) -> None:
        """It does not work now, and why."""
        if not self._is_lost:
            self._logger.error("%s", sentence)
        self._is_lost = True

    def works(self) -> None:
        """It works."""
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
