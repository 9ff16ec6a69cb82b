"""What operators changed by hand, as far as a process has read it from the store."""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Hashable, Sequence
from typing import Generic, Protocol, Self, TypeVar

from pipeline.core.clock import Clock

_LOOK_S = 0.5


class ChangeByHand(Protocol):
    """A change, and from when it holds."""

    @property
    def at(self) -> float:
        """UTC seconds from which it holds."""
        ...

    @property
    def position(self) -> int:
        """Where it stands in the order of the store."""
        ...


_Change = TypeVar("_Change", bound=ChangeByHand)
_ChangeRead = TypeVar("_ChangeRead", bound=ChangeByHand, covariant=True)
_Subject = TypeVar("_Subject", bound=Hashable)


class RecordsByHand(Protocol[_ChangeRead]):
    """The record of all changes, as the store keeps it."""

    def changes(self, after: int = 0) -> Sequence[_ChangeRead]:
        """Those after a position, in the order in which they came. Raises StoreError."""
        ...


class BookByHand(ABC, Generic[_Subject, _Change]):
    """All that was changed by hand, by what it is about, as far as this process has read it.

    One thread calls `refresh`; those who judge in the same thread see it at once.
    """

    def __init__(
        self, records: RecordsByHand[_Change] | None = None, clock: Clock | None = None
    ) -> None:
        self._records, self._clock = records, clock
        self._position = 0
        self._changes: dict[_Subject, list[_Change]] = {}
        self._read_at: float | None = None
        self.version = 0
        """Rises whenever something new was read."""

    @staticmethod
    @abstractmethod
    def _about(change: _Change) -> _Subject:
        """What a change is about: only the last one about the same counts."""

    def refresh(self) -> None:
        """Read what is new, at most twice a second. Raises StoreError."""
        if self._records is None:
            return
        now = None if self._clock is None else self._clock.monotonic()
        if now is not None and self._read_at is not None and now - self._read_at < _LOOK_S:
            return
        for change in self._records.changes(self._position):
            self.add(change)
        self._read_at = now

    def add(self, change: _Change) -> None:
        """Take in one that came after all others."""
        self._position = max(self._position, change.position)
        known = self._changes.setdefault(self._about(change), [])
        # By the time from which it holds; of two at the same moment the later one counts.
        known.insert(bisect_right(known, change.at, key=lambda one: one.at), change)
        self.version += 1

    def detached(self) -> Self:
        """A copy that holds what was read by now, and reads nothing more."""
        other = type(self)()
        other._position, other.version = self._position, self.version
        other._changes = {about: list(known) for about, known in self._changes.items()}
        return other
