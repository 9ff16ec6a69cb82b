"""What a store keeps of one rule, as the rule itself sums it up."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.core.events import Event
from pipeline.core.measures import BUCKET_S, Bucket
from pipeline.core.store import COUNTED, CountedAs, EventFilter, History, Page, StoredEvent

_ALL = 1_000_000


class EventReader(Protocol):
    """Where a rule finds its events: a store, or what was simulated."""

    def events(self, chosen: EventFilter, page: Page = ...) -> Sequence[StoredEvent]:
        """Events in order of arrival, or in reverse."""
        ...


@dataclass(frozen=True, slots=True)
class RuleRecord:
    """What the store has of one rule."""

    history: EventReader
    camera: str
    rule: str
    minutes: Sequence[Bucket]

    @classmethod
    def read(cls, history: History, camera: str, rule: str) -> "RuleRecord":
        """Read the minutes; raises StoreError."""
        return cls(history, camera, rule, history.buckets(camera, rule))

    @property
    def known_s(self) -> float:
        """Seconds of known capture time; the rest was not seen or not answered."""
        return sum(minute.coverage for minute in self.minutes) * BUCKET_S

    @property
    def unfinished(self) -> bool:
        """Whether the last minute was not over when it was written."""
        return bool(self.minutes) and self.minutes[-1].unfinished

    def events(self, *phases: str, counted_as: tuple[CountedAs, ...] = COUNTED) -> Iterator[Event]:
        """The rule's events of these phases that count, newest first; raises StoreError."""
        chosen = EventFilter(
            cameras=(self.camera,), rules=(self.rule,), phases=phases, counted_as=counted_as
        )
        return (stored.event for stored in self.history.events(chosen, Page(limit=_ALL)))
