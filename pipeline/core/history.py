"""The reading side of a store: what the command line and the pages ask of the past."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.core.measures import Bucket, Health
from pipeline.core.ports import Cursor, Kept


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of capture time: since ≤ t < until, in UTC seconds; None leaves an end open."""

    since: float | None = None
    until: float | None = None


EVER = Span()


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events; an empty tuple means all of them."""

    cameras: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    phases: tuple[str, ...] = ()
    span: Span = EVER


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of a long list. `beyond` is the position of the last event of the piece before."""

    limit: int = 100
    beyond: int | None = None
    newest_first: bool = True


FIRST_PAGE = Page()


@dataclass(frozen=True, slots=True)
class EventCount:
    """How many events of one kind there are, and when the first and the last of them were."""

    camera: str
    rule: str
    type: str
    phase: str
    events: int
    first: float
    last: float


class History(Protocol):
    """Questions about what is kept. Every method raises StoreError when it cannot be read."""

    def events(self, chosen: EventFilter, page: Page = FIRST_PAGE) -> Sequence[Kept]:
        """Events in order of arrival, or the other way round."""
        ...

    def event(self, record_id: str) -> Kept | None:
        """One event, if it is still there."""
        ...

    def counts(self, chosen: EventFilter) -> Sequence[EventCount]:
        """How many events there are by camera, rule and phase."""
        ...

    def buckets(
        self, camera: str | None = None, rule: str | None = None, span: Span = EVER
    ) -> Sequence[Bucket]:
        """Minute buckets by camera, rule and minute."""
        ...

    def health(self, camera: str | None = None, span: Span = EVER) -> Sequence[Health]:
        """Changes of cameras' states in order of time."""
        ...

    def latest_health(self) -> Sequence[Health]:
        """The last known state of each camera."""
        ...

    def cursors(self) -> Sequence[Cursor]:
        """Where each sink of the deployment is."""
        ...

    def refused(self) -> Mapping[str, int]:
        """How many events each sink would not take; those that took all are left out."""
        ...
