"""The results of the in-process queue."""

import itertools
import threading
from bisect import insort
from collections.abc import Sequence

from pipeline.core.clock import Clock
from pipeline.core.jobs import Result
from pipeline.core.ports import Delivered


class MemoryResults:
    """Results of this process, in the order of publishing."""

    def __init__(self, room: int, visibility_s: float, clock: Clock) -> None:
        self._room = room
        self._visibility_s = visibility_s
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: list[tuple[int, Result]] = []
        self._taken: dict[str, tuple[float, int, Result]] = {}
        self._orders = itertools.count()

    def publish(self, results: Sequence[Result], wait_s: float) -> bool:
        """Hand all on, or none when there was no room for `wait_s`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(len(results)), wait_s):
                return False
            self._extend(results)
            return True

    def wait_for_room(self, count: int, wait_s: float) -> bool:
        """Wait until as many could be handed on; False when there was no room for `wait_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._has_room(count), wait_s)

    def append(self, result: Result) -> None:
        """Hand one on without waiting for room: for the queue's own words on dead letters."""
        with self._changed:
            self._extend([result])

    def take(self, limit: int, wait_s: float) -> list[Delivered]:
        """Up to `limit` results, oldest first; they come again if not acknowledged in time."""
        with self._changed:
            self._changed.wait_for(self._has_results, wait_s)
            until = self._clock.monotonic() + self._visibility_s
            taken, self._waiting = self._waiting[:limit], self._waiting[limit:]
            for order, result in taken:
                self._taken[f"{order}"] = (until, order, result)
            self._changed.notify_all()
            return [Delivered(f"{order}", result) for order, result in taken]

    def acknowledge(self, delivered: Sequence[Delivered]) -> None:
        """Forget them, also when they came back meanwhile. Safe to repeat."""
        with self._changed:
            done = {one.id for one in delivered}
            returned = done - {one for one in done if self._taken.pop(one, None) is not None}
            if returned:
                self._waiting = [one for one in self._waiting if f"{one[0]}" not in returned]
            self._changed.notify_all()

    def _extend(self, results: Sequence[Result]) -> None:
        self._waiting.extend((next(self._orders), result) for result in results)
        self._changed.notify_all()

    def _has_room(self, more: int) -> bool:
        # A batch larger than the whole room goes in alone rather than never.
        return not self._waiting or len(self._waiting) + more <= self._room

    def _has_results(self) -> bool:
        now = self._clock.monotonic()
        ended = [one for one, (until, _, _) in self._taken.items() if until <= now]
        for one in ended:
            _, order, result = self._taken.pop(one)
            insort(self._waiting, (order, result), key=lambda entry: entry[0])
        return bool(self._waiting)
