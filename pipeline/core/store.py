"""The ports of what is kept: the store with its outbox, pictures, and questions about the past."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.core.events import Event, JsonValue
from pipeline.core.measures import Bucket, Health


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a camera run was judged for one engine, and the state to go on from."""

    camera: str
    engine: str
    run: str
    ordinal: int
    """The last job judged."""
    state: JsonValue
    ended: bool = False
    """The run was judged to its end."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything that follows from some results; a store keeps all of it or nothing."""

    events: Sequence[Event] = ()
    buckets: Sequence[Bucket] = ()
    health: Sequence[Health] = ()
    checkpoints: Sequence[Checkpoint] = ()
    fences: Mapping[int, int] = field(default_factory=dict)
    """Partitions whose results these are, each with its owner's fencing token. The store remembers
    the highest token of each, and refuses a commit with a lower one."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event in the store and its place in the order of arrival, rising from 1."""

    position: int
    event: Event
    kept_at: float
    """UTC seconds of the moment it was stored; `event.at` is when it happened."""


@dataclass(frozen=True, slots=True)
class Undelivered:
    """An event a sink would not take, with the reason and how often it was tried."""

    sink: str
    position: int
    record_id: str
    reason: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a sink is: everything up to `position` is delivered, filtered out or given up."""

    sink: str
    position: int = 0
    behind: int = 0
    """Events in the store after `position`."""


class Store(Protocol):
    """Events, buckets, health and checkpoints, and the outbox from which sinks are served."""

    def commit(self, commit: Commit) -> int:
        """Keep all of it in one transaction; an event whose record_id is known is kept once.

        Returns how many events were new. Raises StoreError, or FencedOffError where another
        process has taken over what this is about.
        """
        ...

    def checkpoint(self, camera: str, engine: str) -> Checkpoint | None:
        """The last checkpoint, if there is one."""
        ...

    def register_sinks(self, sinks: Sequence[str]) -> None:
        """Say which sinks there are.

        Events wait for each of them. A sink that is no longer among them keeps its cursor but
        holds nothing back from `prune`.
        """
        ...

    def events_after(self, position: int, limit: int) -> Sequence[StoredEvent]:
        """Events in order of arrival, for delivery."""
        ...

    def cursor(self, sink: str) -> Cursor:
        """Where a sink is; position 0 for a new one."""
        ...

    def advance(self, sink: str, position: int, dead: Sequence[Undelivered] = ()) -> None:
        """Move a sink's cursor on, keeping what was given up as dead letters, in one transaction.

        A cursor never goes back.
        """
        ...

    def undelivered(self, sink: str | None = None) -> Sequence[Undelivered]:
        """Dead letters, of one sink or all."""
        ...

    def discard(self, letters: Sequence[Undelivered]) -> int:
        """Forget dead letters, because they were delivered after all or nobody wants them.

        Returns how many were still there.
        """
        ...

    def prune(self, before: float) -> int:
        """Forget events, buckets and health that were stored before `before`; how many.

        Events are forgotten only when every sink is past them.
        """
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...


class MediaStore(Protocol):
    """Keeps pictures that events refer to."""

    def put(self, reference: str, content: bytes) -> None:
        """Keep a file under a relative reference; writing it again replaces it."""
        ...

    def prune(self, before: float) -> int:
        """Delete what is older than `before` (UTC seconds); how many."""
        ...


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

    def events(self, chosen: EventFilter, page: Page = FIRST_PAGE) -> Sequence[StoredEvent]:
        """Events in order of arrival, or the other way round."""
        ...

    def event(self, record_id: str) -> StoredEvent | None:
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
