"""Sequences over what was simulated: found as they are when events arrive, hour by hour.

An hour is known once everything is that its sequences may have begun with, on all cameras: so they
come some time after the hours of the cameras.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.core.events import Event
from pipeline.core.store import FIRST_PAGE, EventFilter, Page, StoredEvent
from pipeline.rules.at_work.sequence import SequenceFinder
from pipeline.rules.sequence import HappeningConfig, SequenceConfig

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
        for one in (self._all[name].first, self._all[name].then):
            if one.rule in self._all:
                self._need(one.rule)

    @property
    def needed(self) -> Mapping[str, SequenceConfig]:
        """Those that are asked for, and those that they are made of."""
        return self._needed

    def cameras_of(self, name: str, within: frozenset[str] = frozenset()) -> frozenset[str]:
        """The cameras at which it may end."""
        return self._cameras_of(self._all[name].then, within | {name})

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
            for one in (config.first, config.then)
            for camera, rules in self._rules.items()
            if one.rule in rules and one.camera in (None, camera)
        )

    def _below(self, name: str, known: set[str]) -> set[str]:
        known.add(name)
        for one in (self._all[name].first, self._all[name].then):
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
        first, then = (
            self._reach_s(one.rule, within) if one.rule in self._all else 0.0
            for one in (config.first, config.then)
        )
        return max(config.within.total_seconds() + first, then)


@dataclass(slots=True)
class SequenceSearch:
    """The events of all cameras by one file, newer ones first, and the sequences among them."""

    sequences: Sequences
    _events: dict[str, Event] = field(default_factory=dict)
    _unknown: list[tuple[SequencePart, float, float, str]] = field(default_factory=list)

    def add(self, events: Iterable[Event]) -> None:
        """Add what happened; what is known already stays as it is."""
        for event in events:
            self._events.setdefault(event.record_id, event)

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
        so_far = _EventsByTime()
        finders = [
            SequenceFinder(name, config, so_far) for name, config in self.sequences.needed.items()
        ]
        found: list[Event] = []
        begun = since - self.sequences.reach_s()
        for event in sorted(self._events.values(), key=lambda one: (one.at, one.record_id)):
            if event.at < begun:
                continue
            # As live: what completes one may be a part of the next.
            arrived = [event]
            while arrived:
                next_one = arrived.pop(0)
                if not so_far.add(next_one):
                    continue
                for finder in finders:
                    arrived += finder.completed_by(next_one)
                if next_one is not event and next_one.at >= since:
                    found.append(next_one)
        return found

    def forget(self, since: float) -> None:
        """Sequences that end after a moment are no longer asked for."""
        self._events = {key: event for key, event in self._events.items() if event.at < since}


class _EventsByTime:
    """Events that arrive in order of time, found as in a store."""

    def __init__(self) -> None:
        self._by_rule: dict[str, list[StoredEvent]] = {}
        self._known: set[str] = set()

    def add(self, event: Event) -> bool:
        """Keep it; False if it was known."""
        if event.record_id in self._known:
            return False
        self._known.add(event.record_id)
        stored = StoredEvent(len(self._known), event, event.at)
        self._by_rule.setdefault(event.rule, []).append(stored)
        return True

    def events(self, chosen: EventFilter, page: Page = FIRST_PAGE) -> Sequence[StoredEvent]:
        """The newest first, or the oldest, of some rules."""
        found: list[StoredEvent] = []
        for rule in chosen.rules:
            found += self._of_rule(rule, chosen)
        found.sort(key=lambda one: one.position, reverse=page.newest_first)
        return found[: page.limit]

    def _of_rule(self, rule: str, chosen: EventFilter) -> Iterator[StoredEvent]:
        mine = self._by_rule.get(rule, [])
        since, until = chosen.span.since, chosen.span.until
        first = 0 if since is None else bisect_left(mine, since, key=lambda one: one.event.at)
        for one in mine[first:]:
            event = one.event
            if until is not None and event.at >= until:
                break
            if (not chosen.cameras or event.camera in chosen.cameras) and (
                not chosen.phases or event.phase in chosen.phases
            ):
                yield one
