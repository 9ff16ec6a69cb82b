"""Answers that many viewers ask for at once: reckoned once, and kept for a moment."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from starlette.applications import Starlette

from pipeline.core.clock import Clock

T = TypeVar("T")
_MOST_KEYS = 64


@dataclass(slots=True)
class _Remembered(Generic[T]):
    lock: threading.Lock = field(default_factory=threading.Lock)
    answer: list[tuple[float, T]] = field(default_factory=list)


class ShortMemory(Generic[T]):
    """Keeps the last answers for some seconds; who asks meanwhile waits for the one in the making.

    What a maker raises is raised to who has asked, and nothing is kept of it.
    """

    def __init__(self, clock: Clock, keep_s: float) -> None:
        self._clock = clock
        self._keep_s = keep_s
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, _Remembered[T]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The answer to a question, at most so many seconds old."""
        with self._lock:
            kept = self._kept.setdefault(key, _Remembered())
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST_KEYS:
                self._kept.popitem(last=False)
        with kept.lock:
            for at, answer in kept.answer:
                if self._clock.monotonic() - at < self._keep_s:
                    return answer
            made = make()
            kept.answer = [(self._clock.monotonic(), made)]
            return made


_making = threading.Lock()


def kept_for(app: Starlette, name: str, make: Callable[[], T]) -> T:
    """What an application keeps under a name, made by whoever asks first."""
    with _making:
        found: T | None = getattr(app.state, name, None)
        if found is None:
            found = make()
            setattr(app.state, name, found)
        return found
