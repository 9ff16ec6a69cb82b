"""One event after another, or one that stays away, also across cameras, by what the store holds."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.core.events import Event, JsonValue, event_id, timestamp
from pipeline.core.measures import BUCKET_S, Bucket, Health, minute_of
from pipeline.core.store import JUDGED_LAST, EventFilter, Page, Span
from pipeline.rules.coverage import COVERAGE
from pipeline.rules.record import EventReader
from pipeline.rules.schedule import Schedule
from pipeline.rules.sequence import SEQUENCE, HappeningConfig, SequenceConfig

_PAGE = 1000
_ROUNDING_S = 1e-3
"""Spans that are asked for are this much longer: what is near enough is judged by one formula."""
SETTLING_S = 5.0
"""Rules tell some events a little after they happened, such as a crossing once it is certain."""
_DAY_S = 86400.0


class SequenceRecord(EventReader, Protocol):
    """Where sequences find what happened and what was looked at: a store, or what was simulated."""

    def buckets(self, camera: str, rule: str, span: Span) -> Sequence[Bucket]:
        """The minutes of a rule."""
        ...

    def health(self, camera: str, span: Span) -> Sequence[Health]:
        """Changes of a camera's state in order of time."""
        ...


def always(_camera: str) -> Schedule:
    """A schedule that leaves nothing out."""
    return Schedule((), "UTC")


class SequenceFinder:
    """Finds the sequences that an event completes.

    Which ones there are depends on the times of the events alone, and not on the order in which
    they arrived: the other part is looked for in the store, on both sides. Each `then` makes one
    event at most, with an id that follows from its own; so whatever is done twice is stored once.
    """

    def __init__(
        self,
        name: str,
        config: SequenceConfig,
        history: SequenceRecord,
        schedule_of: Callable[[str], Schedule] = always,
    ) -> None:
        """`schedule_of` a camera is that of the sequence in the time zone of the camera's site."""
        self._name = name
        self._config = config
        self._history = history
        self._within_s = config.within.total_seconds()
        self._reporting = Reporting(name, config, history, schedule_of)

    def completed_by(self, events: Iterable[Event]) -> Iterator[Event]:
        """The sequences of which these events are a part; raises StoreError."""
        found: dict[str, Event] = {}
        for event in events:
            for sequence in self._completed_by(event):
                if self._reporting.allows(sequence, found.values()):
                    found.setdefault(sequence.record_id, sequence)
        yield from found.values()

    def _completed_by(self, event: Event) -> Iterator[Event]:
        if self._config.other.describes(event):
            first = self._first_before(event)
            if first is not None:
                yield self._event(first, event)
        if self._config.first.describes(event):
            late = Span(event.at, event.at + self._within_s + _ROUNDING_S)
            for then in _among(self._history, self._config.other, late):
                first = self._first_before(then)
                if first is not None:
                    yield self._event(first, then)

    def _first_before(self, then: Event) -> Event | None:
        """The last `first` before it that is near enough."""
        early = Span(then.at - self._within_s - _ROUNDING_S, then.at)
        before = _among(self._history, self._config.first, early)
        found = [event for event in before if _fit(self._config, event, then)]
        return max(found, key=lambda event: (event.at, event.record_id), default=None)

    def _event(self, first: Event, then: Event) -> Event:
        return Event(
            id=event_id(then.camera, self._name, then.record_id, then.at),
            type=SEQUENCE,
            phase="single",
            camera=then.camera,
            rule=self._name,
            at=then.at,
            subject=then.subject,
            data={
                "seconds": round(then.at - first.at, 3),
                "first": _named(first),
                "then": _named(then),
            },
            seq=then.seq,
            run=then.run,
            media=(*first.media, *then.media),
        )


@dataclass(frozen=True, slots=True)
class JudgedUntil:
    """How far a camera has been judged that could show what is waited for."""

    camera: str
    at: float | None
    """When its last judged picture was captured, UTC seconds; None if there is none."""
    has_ended: bool = False
    """Whether it is a recording, and judged to its end."""
    is_stalled: bool = False
    """Whether nothing more is to be expected of it for now: it may be off."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a `first`."""

    event: Event | None = None
    """What is reported: that nothing followed it."""
    coverage: float | None = None
    """The share of the time that was looked at, where nothing was seen; None where it followed."""


class StayedAway:
    """Finds out whether what should follow an event has stayed away.

    That is decided once the cameras which could show it have been judged up to the end of the time,
    by the times at which things happened, and then for good. The id of what is reported follows
    from that of the `first`.
    """

    def __init__(
        self,
        name: str,
        config: SequenceConfig,
        history: SequenceRecord,
        schedule_of: Callable[[str], Schedule] = always,
    ) -> None:
        """`schedule_of` a camera is that of the sequence in the time zone of the camera's site."""
        self._name = name
        self._config = config
        self._history = history
        self._within_s = config.within.total_seconds()
        self._reporting = Reporting(name, config, history, schedule_of)

    def end_of(self, first: Event) -> float:
        """Until when it is waited for."""
        return first.at + self._within_s

    def is_due(self, first: Event, judged: Iterable[JudgedUntil], waited_s: float) -> bool:
        """Whether everything has been judged that could show what is waited for.

        A camera that sees nothing more is waited for until the time is over; one that goes on, but
        by another clock or far behind, for a day.
        """
        if waited_s >= self._within_s + _DAY_S:
            return True
        end, is_over = self.end_of(first) + SETTLING_S, waited_s >= self._within_s
        return all(
            (one.is_stalled and is_over)
            or (one.at is not None and (one.at >= end or (one.has_ended and one.at > first.at)))
            for one in judged
        )

    def is_followed_by(self, first: Event, event: Event) -> bool:
        """Whether that event is what is waited for."""
        return self._config.other.describes(event) and _fit(self._config, first, event)

    def fate(
        self, first: Event, judged: Iterable[JudgedUntil], reported: Iterable[Event] = ()
    ) -> Fate:
        """What became of a `first` that is due; raises StoreError.

        `reported` are events that are about to be stored.
        """
        end = self.end_of(first)
        after = _among(self._history, self._config.other, Span(first.at, end + _ROUNDING_S))
        if any(_fit(self._config, first, event) for event in after):
            return Fate()
        coverage = min((self._coverage(first.at, end, one) for one in judged), default=0.0)
        event = self._event(first, coverage)
        is_reported = coverage >= self._config.min_coverage
        if not is_reported or not self._reporting.allows(event, reported):
            return Fate(None, coverage)
        return Fate(event, coverage)

    def _coverage(self, start: float, end: float, judged: JudgedUntil) -> float:
        """The share of the time that was looked at, as far as minutes and states tell.

        A minute says how much of it was seen and not when: it counts as what was waited for.
        """
        if judged.at is None or judged.at <= start:
            return 0.0
        seen_until = min(end, judged.at)
        span = Span(minute_of(start), end + _ROUNDING_S)
        seen_s = 0.0
        for bucket in self._history.buckets(judged.camera, self._config.other.rule, span):
            begin = max(start, bucket.minute)
            overlap_s = min(seen_until, bucket.minute + BUCKET_S) - begin
            seen_s += max(0.0, min(overlap_s, bucket.coverage * BUCKET_S))
        off_s = self._offline_s(judged.camera, start, end)
        length_s = end - start
        return round(max(0.0, min(seen_s, length_s - off_s)) / length_s, 3)

    def _offline_s(self, camera: str, start: float, end: float) -> float:
        off_s, since = 0.0, None
        for health in self._history.health(camera, Span(start - _DAY_S, end)):
            if health.state == "offline" and since is None:
                since = max(start, health.at)
            elif health.state == "online" and since is not None:
                off_s += max(0.0, health.at - since)
                since = None
        return off_s if since is None else off_s + end - since

    def _event(self, first: Event, coverage: float) -> Event:
        missed: dict[str, JsonValue] = {"rule": self._config.other.rule}
        if self._config.other.camera is not None:
            missed = {"camera": self._config.other.camera, **missed}
        return Event(
            # Not the end of the time: another `within` does not report it again.
            id=event_id(first.camera, self._name, f"after {first.record_id}", first.at),
            type=SEQUENCE,
            phase="single",
            camera=first.camera,
            rule=self._name,
            at=self.end_of(first),
            subject=first.subject,
            data={
                "seconds": round(self._within_s, 3),
                "first": _named(first),
                "without": missed,
                COVERAGE: coverage,
            },
            run=first.run,
            media=first.media,
        )


class Reporting:
    """Whether what was found is reported: within its schedule, and not near another one.

    A cooldown looks at both sides: of two that are found in another order than that of their times
    the one that was stored first stays the only one.
    """

    def __init__(
        self,
        name: str,
        config: SequenceConfig,
        history: SequenceRecord,
        schedule_of: Callable[[str], Schedule],
    ) -> None:
        self._name = name
        self._history = history
        self._cooldown_s = config.cooldown.total_seconds()
        self._schedule_of = schedule_of
        self._schedules: dict[str, Schedule] = {}

    def allows(self, found: Event, unstored: Iterable[Event] = ()) -> bool:
        """Whether it is reported, after those that are about to be stored; raises StoreError."""
        schedule = self._schedules.get(found.camera)
        if schedule is None:
            schedule = self._schedules[found.camera] = self._schedule_of(found.camera)
        if not schedule.allows(found.at):
            return False
        if not self._cooldown_s:
            return True
        span = Span(found.at - self._cooldown_s, found.at + self._cooldown_s)
        near = EventFilter(
            cameras=(found.camera,), rules=(self._name,), types=(SEQUENCE,), span=span
        )
        stored = [one.event for one in self._history.events(near, Page(limit=_PAGE))]
        return not any(
            other.camera == found.camera
            and other.record_id != found.record_id
            and abs(other.at - found.at) < self._cooldown_s
            for other in (*stored, *unstored)
        )


def _among(history: SequenceRecord, wanted: HappeningConfig, span: Span) -> Iterator[Event]:
    chosen = EventFilter(
        cameras=() if wanted.camera is None else (wanted.camera,),
        rules=(wanted.rule,),
        phases=wanted.phases,
        span=span,
        counted_as=JUDGED_LAST,
    )
    beyond: int | None = None
    while True:
        stored = history.events(chosen, Page(limit=_PAGE, beyond=beyond))
        yield from (one.event for one in stored if wanted.describes(one.event))
        if len(stored) < _PAGE:
            return
        beyond = stored[-1].position


def _fit(config: SequenceConfig, first: Event, then: Event) -> bool:
    if not 0 < then.at - first.at <= config.within.total_seconds():
        return False
    if config.same is None:
        return True
    a, b = first.subject, then.subject
    if a is None or b is None or a.track is None:
        return False
    return a.track == b.track and first.run == then.run


def _named(event: Event) -> dict[str, JsonValue]:
    return {
        "camera": event.camera,
        "rule": event.rule,
        "id": event.record_id,
        "time": timestamp(event.at),
    }
