"""Happenings: what has a beginning and an end, put together from the events that tell of it."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from pipeline.core.clips import CLIP
from pipeline.core.events import Event, JsonValue, Subject
from pipeline.core.store import EVER, CountedAs, Span, StoredEvent
from pipeline.core.verifying import DETAIL, Verification, outcome_of

_UNSAID = frozenset({CLIP, DETAIL, "since", "until", "alone_since"})
"""Parts of an event's data that are no words of anybody: names of files and times."""


@dataclass(frozen=True)
class Happening:
    """All events of one happening that count or that a second look rejected, as they came."""

    events: tuple[StoredEvent, ...]
    """At least one, by position."""

    @property
    def id(self) -> str:
        """The id that its events share."""
        return self.first.id

    @property
    def first(self) -> Event:
        """Its first event that is still stored."""
        return self.events[0].event

    @property
    def last(self) -> Event:
        """Its last event so far."""
        return self.events[-1].event

    @property
    def position(self) -> int:
        """Where it stands in the order of arrival: where its first event does."""
        return self.events[0].position

    @property
    def newest(self) -> int:
        """The position of its last event so far."""
        return self.events[-1].position

    @property
    def camera(self) -> str:
        """Name of the camera; empty for what concerns none."""
        return self.first.camera

    @property
    def began_at(self) -> float:
        """When its first event happened, in UTC seconds of capture time."""
        return self.first.at

    @property
    def ended_at(self) -> float | None:
        """When it was over; None while it goes on, or where its end was never seen."""
        ends = [one.event.at for one in self.events if one.event.phase in ("end", "single")]
        return max(ends, default=None)

    @cached_property
    def data(self) -> Mapping[str, JsonValue]:
        """What its events say; later ones know better."""
        merged: dict[str, JsonValue] = {}
        for one in self.events:
            merged |= one.event.data
        return merged

    @property
    def subject(self) -> Subject | None:
        """What it is about: the first subject with a box, else the first one."""
        found = [one.event.subject for one in self.events if one.event.subject is not None]
        boxed = [subject for subject in found if subject.box is not None]
        return next(iter([*boxed, *found]), None)

    @property
    def verification(self) -> Verification | None:
        """What came of a second look; None where there was none."""
        found = [outcome_of(one.event) for one in self.events]
        return next((one for one in reversed(found) if one is not None), None)

    @property
    def counted_as(self) -> CountedAs:
        """How figures take it."""
        seen = self.verification
        return "rejected" if seen is not None and seen.outcome == "rejected" else "counted"

    @property
    def probability(self) -> float | None:
        """How probable what it tells is, 0..1, by the answer that led to it or by a second look."""
        said = self.data.get("probability")
        if isinstance(said, float | int) and not isinstance(said, bool):
            return float(said)
        seen = self.verification
        return None if seen is None else seen.probability

    @property
    def seconds(self) -> float | None:
        """How long it lasted, as its rule says, or from its first to its last event."""
        said = self.data.get("seconds")
        if isinstance(said, float | int) and not isinstance(said, bool):
            return float(said)
        if self.ended_at is None or self.first.phase == "single":
            return None
        return max(0.0, self.ended_at - self.began_at)

    @property
    def clip(self) -> str | None:
        """The reference of the clip that shows it."""
        told = self.data.get(CLIP)
        reference = told.get("reference") if isinstance(told, dict) else None
        return reference if isinstance(reference, str) else None

    @property
    def pictures(self) -> Sequence[tuple[Event, str]]:
        """Its pictures, each with the event that it is of; the first one first."""
        return [
            (one.event, reference)
            for one in self.events
            for reference in one.event.media
            if reference.endswith(".jpg")
        ]

    def word(self, name: str) -> str | None:
        """A name among what its events say, such as its `zone`, `line` or `direction`."""
        said = self.data.get(name)
        return said if isinstance(said, str) else None

    def texts(self) -> Iterator[str]:
        """Everything that it says in words: answers, captions, reasons and names."""
        if self.subject is not None:
            yield self.subject.label
        for one in self.events:
            for name, value in one.event.data.items():
                if name not in _UNSAID:
                    yield from _texts(value)
        seen = self.verification
        if seen is not None:
            yield seen.answer


@dataclass(frozen=True, slots=True)
class HappeningQuery:
    """What a database can choose by itself; an empty tuple means all.

    `parts` narrow it only: what is found may lack them, what lacks them is found nowhere else.
    """

    cameras: tuple[str, ...] | None = None
    """None for all, also for what concerns no camera; of an empty tuple there are none."""
    rules: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    span: Span = EVER
    """Of the moment at which it began."""
    seen_by: str | None = None
    """Only what this visitor has reviewed."""
    unseen_by: str | None = None
    """Only what this visitor has not reviewed."""
    parts: tuple[str, ...] = ()
    """Texts that are in the record of one of its events, as `part_of` gives them."""
    refused: bool = False
    """Only those with an event that a sink refused."""


@dataclass(frozen=True, slots=True)
class Lead:
    """The first event of a happening."""

    position: int
    key: str
    """By which its events are found."""
    camera: str
    rule: str
    at: float


@dataclass(frozen=True, slots=True)
class Tally:
    """How many happenings began in one bin of time."""

    camera: str
    rule: str
    bin: int
    happenings: int


@dataclass(frozen=True, slots=True)
class KnownShare:
    """How much of a bin of time is known, added up over its minutes."""

    camera: str
    rule: str
    """Empty for a camera as a whole: of each minute the best known of its rules."""
    bin: int
    minutes: float
    """The sum of the coverage of its minutes."""


@dataclass(frozen=True, slots=True)
class Bins:
    """Bins of equal length from `since` on."""

    since: float
    seconds: float
    number: int

    @property
    def span(self) -> Span:
        """All of them."""
        return Span(self.since, self.since + self.seconds * self.number)


class Happenings(Protocol):
    """Finds happenings in the order in which their first events came. Raises StoreError.

    Events that only an earlier judging of a recording reported are none of any happening.
    """

    def newest(self) -> int:
        """The position of the last event that was stored; 0 without any."""
        ...

    def extent(self, span: Span) -> tuple[int, int] | None:
        """The first and last position of events of a span; None where there are none."""
        ...

    def leads(self, chosen: HappeningQuery, above: int, below: int, limit: int) -> Sequence[Lead]:
        """The last of those with a position between two others, the newest first."""
        ...

    def changed(self, chosen: HappeningQuery, above: int, upto: int, limit: int) -> Sequence[Lead]:
        """Events of any phase beyond a position, in the order of arrival."""
        ...

    def happenings(self, keys: Collection[str]) -> Mapping[str, Happening]:
        """All happenings that these keys lead to, by their id."""
        ...

    def tallies(self, chosen: HappeningQuery, bins: Bins) -> Sequence[Tally]:
        """How many began in each bin, by camera and rule."""
        ...

    def known(
        self, bins: Bins, cameras: Collection[str] | None, *, by_rule: bool
    ) -> Sequence[KnownShare]:
        """How much of each bin is known, by camera or by rule; bins begin with whole minutes."""
        ...


class Passages(Protocol):
    """When sinks were done with events. Raises StoreError."""

    def passed_at(self, positions: Collection[int]) -> Mapping[tuple[str, int], float]:
        """When each sink passed each of these positions, by sink and position.

        Missing where it has not, or where that was before such moments were kept.
        """
        ...


def merged(events: Iterable[StoredEvent]) -> dict[str, Happening]:
    """Events put together by the happening that they tell of, by its id."""
    found: dict[str, list[StoredEvent]] = {}
    for one in events:
        found.setdefault(one.event.id, []).append(one)
    return {
        name: Happening(tuple(sorted(together, key=lambda one: one.position)))
        for name, together in found.items()
    }


def part_of(name: str, value: str) -> str:
    """How an event's record writes a name and its value."""
    return f"{json.dumps(name)}:{json.dumps(value)}"


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for one in value:
                yield from _texts(one)
        case dict():
            for one in value.values():
                yield from _texts(one)
