"""Questions that take long: so many at once, so that there is always somebody to answer the others.

Each takes a core and one of the threads that answer everybody. Whoever waits for his turn has a
thread, too: so only some may wait, and not for long.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pipeline.web.problems import WebError

AT_ONCE: Final = 4
OF_ONE: Final = 2
"""Of one visitor at once."""
WAITING: Final = 12
WAITING_OF_ONE: Final = 6
WAIT_S: Final = 10.0
"""How long a question waits for its turn; a page waits for its answer twice as long."""


class HeavyQuestions:
    """Gives turns; usable from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._answered: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()
        self._is_ending = False

    @contextmanager
    def turn(self, visitor: str) -> Iterator[None]:
        """Until the end of the block it is the visitor's turn; raises WebError 429 or 503."""
        with self._changed:
            self._wait(visitor)
            self._answered[visitor] += 1
        try:
            yield
        finally:
            with self._changed:
                _one_less(self._answered, visitor)
                self._changed.notify_all()

    def end(self) -> None:
        """Let nobody wait any more: the application ends."""
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()

    def _wait(self, visitor: str) -> None:
        if self._may_begin(visitor):
            return
        if self._waiting[visitor] >= WAITING_OF_ONE:
            why = "you have asked for much that takes long; try again when some of it is there"
            raise WebError(429, why, retry_after_s=WAIT_S)
        if self._waiting.total() >= WAITING:
            raise WebError(503, _BUSY, retry_after_s=WAIT_S)
        self._waiting[visitor] += 1
        try:
            came = self._changed.wait_for(
                lambda: self._is_ending or self._may_begin(visitor), WAIT_S
            )
        finally:
            _one_less(self._waiting, visitor)
        if self._is_ending:
            raise WebError(503, "the application ends", retry_after_s=WAIT_S)
        if not came and self._answered[visitor] >= OF_ONE:
            why = f"what you have asked for before takes longer than {WAIT_S:g} s; try again"
            raise WebError(429, why, retry_after_s=WAIT_S)
        if not came:
            raise WebError(503, _BUSY, retry_after_s=WAIT_S)

    def _may_begin(self, visitor: str) -> bool:
        return self._answered.total() < AT_ONCE and self._answered[visitor] < OF_ONE


_BUSY = "others ask for much that takes long at the moment; try again in a few seconds"


def _one_less(counts: Counter[str], visitor: str) -> None:
    counts[visitor] -= 1
    if counts[visitor] <= 0:
        del counts[visitor]
