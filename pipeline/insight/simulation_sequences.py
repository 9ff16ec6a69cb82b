"""Sequences over what was simulated: found as they are when events arrive, hour by hour.

An hour is known once everything is that its sequences may have begun with, on all cameras: so they
come some time after the hours of the cameras.
"""

import heapq
import itertools
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from pipeline.core.events import Event
from pipeline.core.measures import Bucket, Health
from pipeline.core.store import FIRST_PAGE, EventFilter, Page, Span, StoredEvent
from pipeline.rules.at_work.sequence import JudgedUntil, SequenceFinder, StayedAway
from pipeline.rules.schedule import Schedule
from pipeline.rules.sequence import SEQUENCE, HappeningConfig, SequenceConfig
from pipeline.runtime.sequences import STALLED_S

_ROUNDING_S = 1e-3
_ENDLESS = float("inf")


@dataclass(frozen=True, slots=True)
class SequencePart:
    """A rule of a camera whose events may be parts of a sequence."""

    camera: str
    rule: str


class Sequences:
    """The sequences of one file that are asked for, and what they consist of."""

    def __init__(
        self,
        configs: Mapping[str, SequenceConfig],
        rules: Mapping[str, Iterable[str]],
        wanted: Sequence[str] = (),
        cameras: Sequence[str] = (),
    ) -> None:
        """`rules` are those of each camera. Nothing `wanted` is all, as with `cameras`."""
        self._all = configs
        self._rules = {camera: frozenset(names) for camera, names in rules.items()}
        self.asked = {
            name: config
            for name, config in configs.items()
            if (not wanted or name in wanted)
            and (not cameras or self.cameras_of(name) & frozenset(cameras))
        }
        self._needed: dict[str, SequenceConfig] = {}
        for name in self.asked:
            self._need(name)

    def _need(self, name: str) -> None:
        if name in self._needed:
            return
        self._needed[name] = self._all[name]
        for one in (self._all[name].first, self._all[name].other):
            if one.rule in self._all:
                self._need(one.rule)

    @property
    def needed(self) -> Mapping[str, SequenceConfig]:
        """Those that are asked for, and those that they are made of."""
        return self._needed

    def cameras_of(self, name: str, within: frozenset[str] = frozenset()) -> frozenset[str]:
        """The cameras at which it may end."""
        config = self._all[name]
        # What stays away is told of the camera at which it should have begun.
        return self._cameras_of(config.then or config.first, within | {name})

    def _cameras_of(self, one: HappeningConfig, within: frozenset[str]) -> frozenset[str]:
        found = {camera for camera, rules in self._rules.items() if one.rule in rules}
        if one.rule in self._all and one.rule not in within:
            found |= self.cameras_of(one.rule, within)
        return frozenset(found if one.camera is None else found & {one.camera})

    def parts(self, name: str | None = None) -> frozenset[SequencePart]:
        """The rules whose events decide on one of them, or on all that are asked for."""
        names = self._needed if name is None else self._below(name, set())
        return frozenset(
            SequencePart(camera, one.rule)
            for config in (self._all[each] for each in names)
            for one in (config.first, config.other)
            for camera, rules in self._rules.items()
            if one.rule in rules and one.camera in (None, camera)
        )

    def watched(self, config: SequenceConfig) -> frozenset[SequencePart]:
        """The rules that could show what a sequence waits for."""
        return frozenset(
            SequencePart(camera, config.other.rule)
            for camera, rules in self._rules.items()
            if config.other.rule in rules and config.other.camera in (None, camera)
        )

    def _below(self, name: str, known: set[str]) -> set[str]:
        known.add(name)
        for one in (self._all[name].first, self._all[name].other):
            if one.rule in self._all and one.rule not in known:
                self._below(one.rule, known)
        return known

    def reach_s(self) -> float:
        """How long before it ends the first event may be that decides on one."""
        return max((self._reach_s(name, frozenset()) for name in self.asked), default=0.0)

    def _reach_s(self, name: str, within: frozenset[str]) -> float:
        if name in within:
            return _ENDLESS  # they consist of each other
        config, within = self._all[name], within | {name}
        first, other = (
            self._reach_s(one.rule, within) if one.rule in self._all else 0.0
            for one in (config.first, config.other)
        )
        # A cooldown keeps apart what was found, also from what came before.
        cooldown_s = config.cooldown.total_seconds()
        return max(config.within.total_seconds() + first, other) + cooldown_s


class SequenceSearch:
    """The events of all cameras by one file, newer ones first, and the sequences among them."""

    def __init__(
        self,
        sequences: Sequences,
        schedules: Mapping[str, Callable[[str], Schedule]],
        health: Callable[[str, Span], Sequence[Health]],
        now: float,
    ) -> None:
        """`health` are the states of a camera; `now` is when what stays away is asked for."""
        self.sequences = sequences
        self._schedules = schedules
        self._health = health
        self._now = now
        self._events: dict[str, Event] = {}
        self._minutes: dict[SequencePart, dict[int, Bucket]] = {}
        self._judged: dict[SequencePart, JudgedUntil] = {}
        self._stored: dict[str, Event] = {}
        self._unknown: list[tuple[SequencePart, float, float, str]] = []

    def add(self, events: Iterable[Event]) -> None:
        """Add what happened; what is known already stays as it is."""
        for event in events:
            self._events.setdefault(event.record_id, event)

    def add_minutes(self, part: SequencePart, minutes: Iterable[Bucket]) -> None:
        """Add how much of them was seen."""
        known = self._minutes.setdefault(part, {})
        for minute in minutes:
            known.setdefault(minute.minute, minute)

    def add_judged(self, part: SequencePart, at: float, *, has_ended: bool) -> None:
        """Add until when a rule was judged."""
        known = self._judged.get(part)
        if known is not None and known.at is not None:
            at, has_ended = max(at, known.at), has_ended or known.has_ended
        is_stalled = self._now - at >= STALLED_S
        self._judged[part] = JudgedUntil(part.camera, at, has_ended, is_stalled)

    def add_stored(self, events: Iterable[Event]) -> None:
        """Add sequences that are stored: of two that a cooldown keeps apart these stay."""
        self._stored.update((event.record_id, event) for event in events)

    def add_unknown(self, part: SequencePart, since: float, until: float, why: str) -> None:
        """Nothing is known of a rule in some time."""
        self._unknown.append((part, since, until, why))

    def why_unknown(self, name: str, since: float, until: float) -> str:
        """Why it cannot be told whether there were any; empty where it can."""
        parts = self.sequences.parts(name)
        since -= self.sequences.reach_s()
        return next(
            (
                f"a part of it is: {part.camera}, {part.rule}: {why}"
                for part, begun, ended, why in self._unknown
                if part in parts and begun < until and ended > since
            ),
            "",
        )

    def found(self, since: float) -> list[Event]:
        """Those that end after a moment, by the events that were added."""
        configs = self.sequences.needed
        if not any(config.cooldown for config in configs.values()):
            return self._found(since, configs, ())
        free = {
            name: config.model_copy(update={"cooldown": timedelta(0)})
            for name, config in configs.items()
        }
        again = {event.record_id for event in self._found(float("-inf"), free, ())}
        stay = [event for key, event in self._stored.items() if key in again]
        return self._found(since, configs, stay)

    def _found(
        self, since: float, configs: Mapping[str, SequenceConfig], stay: Sequence[Event]
    ) -> list[Event]:
        begun = since - self.sequences.reach_s()
        record = _RecordInTime(self._minutes, self._health, stay)
        finders = [
            SequenceFinder(name, config, record, self._schedules[name])
            for name, config in configs.items()
            if config.then is not None
        ]
        awaiting = {
            name: StayedAway(name, config, record, self._schedules[name])
            for name, config in configs.items()
            if config.then is None
        }
        found: list[Event] = []
        # By time; at one moment, what happens comes before what is decided.
        numbers = itertools.count()
        coming: list[tuple[float, int, int, str, Event]] = [
            (event.at, 0, next(numbers), "", event)
            for event in sorted(self._events.values(), key=lambda one: (one.at, one.record_id))
            if event.at >= begun
        ]
        while coming:
            _, _, _, decided, event = heapq.heappop(coming)
            if decided:
                told = self._told(configs[decided], awaiting[decided], event)
                if told is not None:
                    heapq.heappush(coming, (told.at, 0, next(numbers), "", told))
                continue
            if not record.add(event):
                continue
            if event.type == SEQUENCE and event.at >= since:
                found.append(event)
            # As live: what completes one may be a part of the next.
            for finder in finders:
                for one in finder.completed_by((event,)):
                    heapq.heappush(coming, (one.at, 0, next(numbers), "", one))
            for name, stayed_away in awaiting.items():
                if configs[name].first.describes(event):
                    end = stayed_away.end_of(event) + _ROUNDING_S
                    heapq.heappush(coming, (end, 1, next(numbers), name, event))
        return found

    def _told(self, config: SequenceConfig, stayed_away: StayedAway, first: Event) -> Event | None:
        """That nothing followed a `first`, as far as that is known."""
        watched = sorted(self.sequences.watched(config), key=lambda part: (part.camera, part.rule))
        judged = [
            self._judged.get(part, JudgedUntil(part.camera, None, is_stalled=True))
            for part in watched
        ]
        if not stayed_away.is_due(first, judged, self._now - first.at):
            return None
        return stayed_away.fate(first, judged).event

    def forget(self, since: float) -> None:
        """Sequences that end after a moment are no longer asked for."""
        self._events = {key: event for key, event in self._events.items() if event.at < since}


class _RecordInTime:
    """Events that arrive in order of time, found as in a store."""

    def __init__(
        self,
        minutes: Mapping[SequencePart, Mapping[int, Bucket]],
        health: Callable[[str, Span], Sequence[Health]],
        stay: Sequence[Event],
    ) -> None:
        """`stay` are sequences that a cooldown finds, although they come later."""
        self._minutes = minutes
        self._health = health
        self._stay = stay
        self._by_rule: dict[str, list[StoredEvent]] = {}
        self._known: set[str] = set()

    def add(self, event: Event) -> bool:
        """Keep it; False if it was known."""
        if event.record_id in self._known:
            return False
        self._known.add(event.record_id)
        stored = StoredEvent(len(self._known), event, event.at)
        insort(self._by_rule.setdefault(event.rule, []), stored, key=lambda one: one.event.at)
        return True

    def events(self, chosen: EventFilter, page: Page = FIRST_PAGE) -> Sequence[StoredEvent]:
        """A page of those of some rules."""
        found = [one for rule in chosen.rules for one in self._of_rule(rule, chosen)]
        if SEQUENCE in chosen.types:
            found += [
                StoredEvent(0, event, event.at)
                for event in self._stay
                if event.rule in chosen.rules and _is_chosen(event, chosen)
            ]
        found.sort(key=lambda one: one.position, reverse=page.newest_first)
        if page.beyond is not None:
            beyond, is_down = page.beyond, page.newest_first
            found = [
                one
                for one in found
                if (one.position < beyond if is_down else one.position > beyond)
            ]
        return found[: page.limit]

    def _of_rule(self, rule: str, chosen: EventFilter) -> Iterator[StoredEvent]:
        mine = self._by_rule.get(rule, [])
        since, until = chosen.span.since, chosen.span.until
        first = 0 if since is None else bisect_left(mine, since, key=lambda one: one.event.at)
        for place in range(first, len(mine)):
            if until is not None and mine[place].event.at >= until:
                break
            if _is_chosen(mine[place].event, chosen):
                yield mine[place]

    def buckets(self, camera: str, rule: str, span: Span) -> Sequence[Bucket]:
        """The minutes of a rule, in order."""
        minutes = self._minutes.get(SequencePart(camera, rule), {})
        since, until = span.since, span.until
        return [
            minutes[minute]
            for minute in sorted(minutes)
            if (since is None or minute >= since) and (until is None or minute < until)
        ]

    def health(self, camera: str, span: Span) -> Sequence[Health]:
        """As it is stored: a file does not change when a camera was there."""
        return self._health(camera, span)


def _is_chosen(event: Event, chosen: EventFilter) -> bool:
    since, until = chosen.span.since, chosen.span.until
    return (
        (since is None or event.at >= since)
        and (until is None or event.at < until)
        and (not chosen.cameras or event.camera in chosen.cameras)
        and (not chosen.phases or event.phase in chosen.phases)
        and (not chosen.types or event.type in chosen.types)
    )
