"""Wishes for clips and their answers, within one process."""

import threading
from collections.abc import Collection, Sequence

from pipeline.core.clips import ClipAnswer, ClipWish

# More of either are those of a camera that nobody samples.
_MOST = 10_000


class MemoryClips:
    """Holds what is asked until it is answered, and answers until they are written down."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wishes: dict[str, ClipWish] = {}
        self._answers: dict[str, ClipAnswer] = {}

    def ask(self, wishes: Sequence[ClipWish]) -> None:
        """Ask for clips."""
        with self._lock:
            for wish in wishes:
                self._wishes[wish.reference] = wish
            while len(self._wishes) > _MOST:
                del self._wishes[next(iter(self._wishes))]

    def wishes(self, cameras: Collection[str]) -> Sequence[ClipWish]:
        """What is wanted of these cameras and was not answered yet."""
        with self._lock:
            return [wish for wish in self._wishes.values() if wish.camera in cameras]

    def answer(self, answer: ClipAnswer) -> None:
        """Answer a wish; one that has grown since stays."""
        with self._lock:
            wish = self._wishes.get(answer.reference)
            if wish is not None and wish.until <= answer.until:
                del self._wishes[answer.reference]
            self._answers[answer.reference] = answer

    def answers(self) -> Sequence[ClipAnswer]:
        """The answers that are not settled."""
        with self._lock:
            return list(self._answers.values())

    def settle(self, references: Sequence[str]) -> None:
        """Drop answers that are written down."""
        with self._lock:
            for reference in references:
                self._answers.pop(reference, None)
