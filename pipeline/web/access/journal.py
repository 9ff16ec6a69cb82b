"""The audit log: who looked at what, and who changed what."""

import threading
from typing import Final

from pipeline.core.clock import Clock
from pipeline.core.people import JournalEntry, PeopleStore
from pipeline.web.access.visitor import Visitor

LOOKED: Final = "looked at"
"""How the actions begin that change nothing: of the same in a row, one a minute is kept."""
_ONCE_IN_S = 60.0
_MOST_REMEMBERED = 10_000
_LONGEST = 2000


class StoreJournal:
    """Writes the audit log into the store."""

    def __init__(self, people: PeopleStore, clock: Clock) -> None:
        self._people, self._clock = people, clock
        self._lock = threading.Lock()
        self._looked: dict[tuple[str, ...], float] = {}

    def note(self, visitor: Visitor, action: str, subject: str, detail: str = "") -> None:
        """Keep that somebody did something. Raises StoreError."""
        self.note_of(visitor.name, action, subject, detail)

    def note_of(self, who: str, action: str, subject: str, detail: str = "") -> None:
        """The same for somebody who is no visitor, such as one at the command line."""
        told = (who[:_LONGEST], action[:_LONGEST], subject[:_LONGEST], detail[:_LONGEST])
        now = self._clock.monotonic()
        if action.startswith(LOOKED):
            with self._lock:
                if now - self._looked.get(told, float("-inf")) < _ONCE_IN_S:
                    return
        self._people.note(JournalEntry(self._clock.now(), *told))
        if action.startswith(LOOKED):
            with self._lock:
                if len(self._looked) >= _MOST_REMEMBERED:
                    self._looked.clear()
                self._looked[told] = now
