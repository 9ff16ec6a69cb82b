"""The ports of storage: the store with its outbox, pictures, and queries about the past."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Protocol

from pipeline.core.arming import ArmingChange, ArmingRecords
from pipeline.core.clips import ClipRecords, ClipWish
from pipeline.core.edits import RuleEdit
from pipeline.core.events import Event, JsonValue
from pipeline.core.local_days import LocalDays
from pipeline.core.measures import Bucket, Health
from pipeline.core.sinks import Notes
from pipeline.core.switching import (
    FileLimit,
    RuleSwitch,
    SwitchKey,
    SwitchRecords,
    SwitchValue,
)
from pipeline.core.verifying import SecondLooks, WaitingEvent

if TYPE_CHECKING:
    from pipeline.core.observations import ObservationTail, Waypoint


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a camera run was processed for one engine, and the state to resume from."""

    camera: str
    engine: str
    run: str
    ordinal: int
    """The last processed job."""
    state: JsonValue
    ended: bool = False
    """Whether the run was processed to its end."""


RUN: Final = "run"
"""The lease of a `moonwatch run` with all stages in one process."""
DELIVER: Final = "deliver"
"""The lease of the process that delivers."""
AGED_UNTIL: Final = "retention"
"""The mark up to which the store's records are known to have aged; see `Store.mark`."""
UNRECORDED: Final = "unrecorded pictures"
"""The mark with the number of old pictures of others that was said last."""


@dataclass(frozen=True, slots=True)
class LeaseOwner:
    """A process that asks for a lease."""

    id: str
    """Unique for every start of a process."""
    host: str
    pid: int


@dataclass(frozen=True, slots=True)
class LeaseProof:
    """Proof that a lease is still held; it is checked at every write."""

    name: str
    token: int
    """Increases each time the lease is taken."""
    opening: int = 0
    """The database file it was taken in, where the store is a file that may be replaced."""


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """Who holds a lease of the store, or held it last. Times are from the database's clock."""

    name: str
    owner: LeaseOwner
    token: int
    renewals: int
    """Increases with every sign of life from its owner."""
    since: float
    renewed_at: float
    silent_s: float
    """How long ago the last sign of life was when this was read."""
    ended_at: float | None = None
    """When its owner gave it back; None while it is held, or was never given back."""


@dataclass(frozen=True, slots=True)
class JudgedAnew:
    """A recording that is judged from its beginning, as its rules were edited or never judged it.

    What these rules have reported of it is of an earlier judging, until they report it again.
    """

    camera: str
    run: str
    rules: frozenset[str]


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything that follows from some results; a store writes all of it or nothing."""

    events: Sequence[Event] = ()
    buckets: Sequence[Bucket] = ()
    health: Sequence[Health] = ()
    checkpoints: Sequence[Checkpoint] = ()
    clips: Sequence[ClipWish] = ()
    """What its events ask for."""
    fences: Mapping[int, int] = field(default_factory=dict)
    """The partitions of these results, each with its owner's fencing token. The store remembers the
    highest token of each and rejects a commit with a lower one."""
    lease: LeaseProof | None = None
    """The lease that allows it, where one process owns everything; rejected once it was lost."""
    observations: "Sequence[ObservationTail]" = ()
    """What was judged, in order."""
    waypoints: "Sequence[Waypoint]" = ()
    waiting: Sequence[WaitingEvent] = ()
    """Events that wait for a second look from now on, or whose outcome is known meanwhile."""
    settled: Sequence[str] = ()
    """The record ids of those that wait no longer: they are among `events`."""
    judged_anew: Sequence[JudgedAnew] = ()
    """Recordings whose judging begins with this: their earlier events stay, but do not count."""
    edits: Sequence[RuleEdit] = ()
    """Rules that count by other terms from here on."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event in the store and its position in the order of arrival, from 1."""

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


MOST_LETTERS: Final = 1000
"""Dead letters that are read at once: nobody knows how many there are."""


@dataclass(frozen=True, slots=True)
class Undelivered:
    """An event that a sink rejected, with the reason and the number of attempts."""

    sink: str
    position: int
    record_id: str
    reason: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """A sink's progress: everything up to `position` was delivered, filtered out or given up."""

    sink: str
    position: int = 0
    behind: int = 0
    """Events in the store after `position`."""


@dataclass(frozen=True, slots=True)
class PictureRecord:
    """A picture that was written, or is about to be: what may be deleted when it is old."""

    reference: str
    digest: str
    """SHA-256 of its content; empty for one of a release that recorded none."""
    size: int
    folder: str
    """The media folder it was written to."""
    written_at: float = 0.0
    """UTC seconds; the store fills it in."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was deleted from a store because it was old enough."""

    events: int = 0
    minutes: int = 0
    states: int = 0
    """Changes of cameras' states."""


class PictureRecords(Protocol):
    """Which pictures were written, so that no other file is ever deleted. Raises StoreError."""

    def record_picture(self, picture: PictureRecord) -> None:
        """Record a picture before it is written; one with another content is another record."""
        ...

    def pictures_under(self, reference: str) -> Sequence[PictureRecord]:
        """All contents that were recorded under a reference."""
        ...

    def old_pictures(
        self, before: float, limit: int, beyond: tuple[str, str] = ("", "")
    ) -> Sequence[PictureRecord]:
        """Pictures written before `before` whose event is gone, in order of reference and digest.

        `beyond` is the reference and digest of the last one of the previous page.
        """
        ...

    def forget_pictures(self, pictures: Sequence[PictureRecord]) -> None:
        """Delete records, once the files are gone or belong to somebody else."""
        ...


class StoreLeases(Protocol):
    """Who owns what in a store, one process for each name. All methods raise StoreError.

    Leases do not expire, so that clocks need not agree: a process that wants a lease held by
    another watches its record and takes it over once `renewals` has not changed for long enough by
    its own clock. `take` then succeeds only if the record has not changed since.
    """

    def lease(self, name: str) -> LeaseRecord | None:
        """The lease's record, or None if it was never held."""
        ...

    def take(
        self, name: str, owner: LeaseOwner, over: LeaseRecord | None = None
    ) -> LeaseProof | None:
        """Take it if it is free, or if its record still equals `over`; None otherwise."""
        ...

    def renew(self, proof: LeaseProof) -> bool:
        """Record a sign of life; False when the lease was lost."""
        ...

    def release(self, proof: LeaseProof) -> None:
        """Give it back and record when; does nothing when it was lost."""
        ...


class Store(StoreLeases, PictureRecords, SecondLooks, Protocol):
    """Events, buckets, health and checkpoints, and the outbox for the sinks."""

    @property
    def clips(self) -> ClipRecords:
        """Which clips events asked for."""
        ...

    @property
    def local_days(self) -> LocalDays:
        """The days of sites, for who asks in SQL."""
        ...

    def commit(self, commit: Commit) -> int:
        """Write all of it in one transaction; an event with a known record_id is stored once.

        One that an earlier judging of its recording had reported, too, is told anew in its place.
        Returns how many events were new. Raises StoreError, or FencedOffError or
        OwnershipLostError where another process has taken over.
        """
        ...

    def checkpoint(self, camera: str, engine: str) -> Checkpoint | None:
        """The last checkpoint, if there is one."""
        ...

    def checkpoints(self) -> Sequence[Checkpoint]:
        """The last checkpoint of every camera and engine."""
        ...

    def rename_cameras(
        self, names: Mapping[str, str], lease: LeaseProof | None = None
    ) -> Mapping[str, int]:
        """Store under a camera's present name what is stored under an earlier one, by that name.

        Ids of events stay. Where there is something under both, the minute that knows more and the
        checkpoint of the present name are kept. Returns how many events, minutes, states and
        checkpoints were moved from each earlier name that is known. Raises OwnershipLostError if
        `lease` was lost.
        """
        ...

    def fences(self) -> Mapping[int, int]:
        """The highest fencing token with which each partition was committed."""
        ...

    def register_sinks(
        self,
        sinks: Collection[str],
        from_beginning: Collection[str] = (),
        *,
        dismiss_others: bool = True,
    ) -> None:
        """Register these sinks; events are kept for each of them.

        A new sink starts with the next event, or with the oldest stored one if it is in
        `from_beginning`. A sink that is no longer among them keeps its cursor but holds nothing
        back from `prune`, unless others are not dismissed.
        """
        ...

    def events_after(self, position: int, limit: int) -> Sequence[StoredEvent]:
        """Events in order of arrival; raises StoreError where one of them cannot be read."""
        ...

    def outbox(self, position: int, limit: int) -> Sequence[StoredEvent | UnreadableEvent]:
        """Events in order of arrival for delivery, including those that cannot be read."""
        ...

    def cursor(self, sink: str) -> Cursor:
        """The sink's cursor; position 0 for a sink that was never registered."""
        ...

    def advance(
        self,
        sink: str,
        position: int,
        dead: Sequence[Undelivered] = (),
        lease: LeaseProof | None = None,
    ) -> None:
        """Advance a sink's cursor and store what was given up as dead letters, in one transaction.

        A cursor never goes back. Raises OwnershipLostError where `lease` was lost.
        """
        ...

    def undelivered(
        self,
        sink: str | None = None,
        *,
        beyond: tuple[int, str] | None = None,
        limit: int = MOST_LETTERS,
        newest_first: bool = False,
    ) -> Sequence[Undelivered]:
        """Up to `limit` dead letters of one sink or all, in order of arrival or the other way.

        `beyond` is the position and sink of the last one of the page before.
        """
        ...

    def undelivered_at(self, positions: Collection[int]) -> Sequence[Undelivered]:
        """The dead letters of events at these positions."""
        ...

    def undelivered_counts(self) -> Mapping[str, int]:
        """How many dead letters each sink has; none for a sink without any."""
        ...

    def discard(self, letters: Sequence[Undelivered]) -> int:
        """Delete dead letters, because they were delivered after all or are not needed.

        Returns how many were still there.
        """
        ...

    def prune(self, before: float, counts_before: float | None = None) -> Forgotten:
        """Delete events that were stored before `before`, and buckets and health as well.

        These before `counts_before` instead, where that is given.

        Events are deleted in the order of their arrival, and only when every sink is past them.
        """
        ...

    def prune_observations(self, before: float) -> int:
        """Delete what was seen and stored before `before`; returns how many frames that were."""
        ...

    def newest_record(self) -> float | None:
        """When the newest record was stored that is not from the future; None if there is none."""
        ...

    def mark(self, name: str) -> float | None:
        """A moment that was remembered under a name."""
        ...

    def remember(self, name: str, at: float) -> None:
        """Remember a moment."""
        ...

    def notes_of(self, sink: str, lease: LeaseProof | None = None) -> Notes:
        """The small memory of one sink; writing to it raises OwnershipLostError where `lease` was
        lost.
        """
        ...

    @property
    def armings(self) -> ArmingRecords:
        """What was armed and disarmed by hand."""
        ...

    def arm(self, camera: str | None, is_armed: bool, by: str) -> ArmingChange:
        """Arm or disarm a camera, or all of them with None; the event of it is stored with it.

        It holds from a little later on, and is what this returns says.
        """
        ...

    @property
    def switches(self) -> SwitchRecords:
        """What was switched of rules by hand."""
        ...

    def switch(
        self,
        camera: str,
        rule: str,
        key: SwitchKey,
        value: SwitchValue,
        by: str,
        *,
        instead_of: FileLimit | None = None,
        lease: LeaseProof | None = None,
    ) -> RuleSwitch:
        """Switch a rule, or change its limit; the event of it is stored with it.

        It holds from a little later on, and is what this returns says. `instead_of` is the limit in
        the file, for which another is given; whether the rule can have it, the caller knows (see
        `pipeline.rules.switched`). With a `lease` OwnershipLostError is raised where it was lost.
        """
        ...

    def correct_times(self, now: float) -> int:
        """Date what a wrong clock dated after `now`, or before clocks were set, as of `now`.

        Returns how many records that were.
        """
        ...

    def close(self) -> None:
        """Close the database."""
        ...


class MediaStore(Protocol):
    """Keeps pictures that events refer to."""

    def put(self, reference: str, content: bytes) -> None:
        """Save a file under a relative reference; saving it again replaces it.

        Raises StoreError if it cannot be saved, and PictureRecordError if the store that records it
        is out of reach.
        """
        ...


@dataclass(frozen=True, slots=True)
class Span:
    """A period of capture time: since ≤ t < until, in UTC seconds; None leaves an end open."""

    since: float | None = None
    until: float | None = None


EVER = Span()


CountedAs = Literal["counted", "rejected", "superseded"]
"""How figures take an event: they count it, or not as a second look has rejected it, or as it is of
an earlier judging of its recording."""
COUNTED: Final[tuple[CountedAs, ...]] = ("counted",)
"""What figures count; a filter by it is what makes all of them agree."""
JUDGED_LAST: Final[tuple[CountedAs, ...]] = ("counted", "rejected")
"""Everything but what only an earlier judging of a recording reported."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events; an empty tuple means all of them."""

    cameras: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    phases: tuple[str, ...] = ()
    span: Span = EVER
    counted_as: tuple[CountedAs, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a long list. `beyond` is the position of the last event of the previous page."""

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
    """All of them, also those that figures do not count."""
    first: float
    last: float
    rejected: int = 0
    """Those that a second look has rejected."""
    superseded: int = 0
    """Those of an earlier judging of a recording."""

    @property
    def counted(self) -> int:
        """Those that figures count."""
        return self.events - self.rejected - self.superseded


@dataclass(frozen=True, slots=True)
class Extent:
    """From when to when there are minutes of a rule: the first and the last, in UTC seconds."""

    camera: str
    rule: str
    first: int
    last: int


class History(Protocol):
    """Queries about what is stored. Every method raises StoreError when it cannot be read."""

    def events(self, chosen: EventFilter, page: Page = FIRST_PAGE) -> Sequence[StoredEvent]:
        """Events in order of arrival, or in reverse."""
        ...

    def counted_as(self, record_ids: Collection[str]) -> Mapping[str, CountedAs]:
        """How figures take these events; those that are not there are left out."""
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

    def extents(self) -> Sequence[Extent]:
        """From when to when there are minutes, by camera and rule."""
        ...

    def health(self, camera: str | None = None, span: Span = EVER) -> Sequence[Health]:
        """Changes of cameras' states in order of time."""
        ...

    def edits(self, camera: str | None = None, span: Span = EVER) -> Sequence[RuleEdit]:
        """What was edited of the rules of live cameras, in order of time."""
        ...

    def latest_health(self) -> Sequence[Health]:
        """The last known state of each camera."""
        ...

    def cursors(self) -> Sequence[Cursor]:
        """The cursor of each sink of the deployment."""
        ...

    def refused(self) -> Mapping[str, int]:
        """How many events each sink rejected; sinks without any are left out."""
        ...
