"""The ports of what is kept: the store with its outbox, pictures, and questions about the past."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

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


RUN: Final = "run"
"""The lease of a `moonwatch run` that has all stages in its process."""
DELIVER: Final = "deliver"
"""The lease of the process that delivers."""


@dataclass(frozen=True, slots=True)
class LeaseOwner:
    """A process that asks for a lease."""

    id: str
    """Unique for every start of a process."""
    host: str
    pid: int


@dataclass(frozen=True, slots=True)
class LeaseProof:
    """What shows that a lease is still held: it is checked where something is written."""

    name: str
    token: int
    """Rises strictly with each time that the lease is taken."""
    opening: int = 0
    """Which database file it was taken in, where the store is a file that may be replaced."""


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """Who holds a lease of the store, or held it last. Times are the database's own clock."""

    name: str
    owner: LeaseOwner
    token: int
    renewals: int
    """Rises with every sign of life of its owner."""
    since: float
    renewed_at: float
    silent_s: float
    """How long ago the last sign of life was, when this was read."""
    ended_at: float | None = None
    """When its owner gave it back; None while it is held, or was never given back."""


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
    lease: LeaseProof | None = None
    """The lease that allows it, where one process owns the whole; refused once that was lost."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event in the store and its place in the order of arrival, rising from 1."""

    position: int
    event: Event
    kept_at: float
    """UTC seconds of the moment it was stored; `event.at` is when it happened."""


@dataclass(frozen=True, slots=True)
class UnreadableEvent:
    """An event in the store that this release cannot read, or that was damaged."""

    position: int
    record_id: str
    camera: str
    rule: str
    type: str
    reason: str


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


class StoreLeases(Protocol):
    """Who owns what of a store, one process for each name. All methods raise StoreError.

    There is no expiry, as no two clocks need to agree: whoever wants a lease that another holds
    watches its record, and takes it over once `renewals` stood still for as long as it thinks fit,
    by its own clock. `take` then succeeds only where nothing has moved since.
    """

    def lease(self, name: str) -> LeaseRecord | None:
        """The lease's record; None where nobody has ever held it."""
        ...

    def take(
        self, name: str, owner: LeaseOwner, over: LeaseRecord | None = None
    ) -> LeaseProof | None:
        """Own it if nobody holds it, or if its record still is as `over` shows; None if not."""
        ...

    def renew(self, proof: LeaseProof) -> bool:
        """Give a sign of life; False when the lease was lost."""
        ...

    def release(self, proof: LeaseProof) -> None:
        """Give it back, keeping who held it and until when; does nothing when it was lost."""
        ...


class Store(StoreLeases, Protocol):
    """Events, buckets, health and checkpoints, and the outbox from which sinks are served."""

    def commit(self, commit: Commit) -> int:
        """Keep all of it in one transaction; an event whose record_id is known is kept once.

        Returns how many events were new. Raises StoreError, or FencedOffError or
        OwnershipLostError where another process has taken over what this is about.
        """
        ...

    def checkpoint(self, camera: str, engine: str) -> Checkpoint | None:
        """The last checkpoint, if there is one."""
        ...

    def checkpoints(self) -> Sequence[Checkpoint]:
        """The last checkpoint of every camera and engine."""
        ...

    def fences(self) -> Mapping[int, int]:
        """The highest fencing token of each partition that was ever committed with one."""
        ...

    def register_sinks(
        self,
        sinks: Collection[str],
        from_beginning: Collection[str] = (),
        *,
        dismiss_others: bool = True,
    ) -> None:
        """Say which sinks there are; events wait for each of them.

        A sink that was never registered begins with the next event, or with the oldest one there
        is where it is among `from_beginning`. One that is no longer among them keeps its cursor
        but holds nothing back from `prune`, unless others are not dismissed.
        """
        ...

    def events_after(self, position: int, limit: int) -> Sequence[StoredEvent]:
        """Events in order of arrival; raises StoreError where one of them cannot be read."""
        ...

    def outbox(self, position: int, limit: int) -> Sequence[StoredEvent | UnreadableEvent]:
        """Events in order of arrival for delivery, also those that cannot be read."""
        ...

    def cursor(self, sink: str) -> Cursor:
        """Where a sink is; position 0 for one that was never registered."""
        ...

    def advance(
        self,
        sink: str,
        position: int,
        dead: Sequence[Undelivered] = (),
        lease: LeaseProof | None = None,
    ) -> None:
        """Move a sink's cursor on, keeping what was given up as dead letters, in one transaction.

        A cursor never goes back. Raises OwnershipLostError where `lease` was lost.
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
