"""What a file would have counted: its trackers and rules over what was seen, hour by hour.

The present file gives what is stored again, id for id. Another line, zone, limit or schedule gives
other counts, which are compared with what is stored, or with what another file gives. Nothing is
stored.

A library for the command line and the web: `Simulation.hours` is a generator, the newest hour
first, that can be stopped at any time and has a budget.
"""

import heapq
import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Protocol
from zoneinfo import ZoneInfo

from pipeline.core.arming import ARMING, ArmingBook
from pipeline.core.clock import Clock
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.events import Event, JsonValue, event_to_json, timestamp
from pipeline.core.local_time import local_time
from pipeline.core.measures import BUCKET_S, Bucket
from pipeline.core.observations import ObservationHistory, ObservedSpan
from pipeline.core.ranges import nearest_moment
from pipeline.core.store import (
    EVER,
    FIRST_PAGE,
    JUDGED_LAST,
    CountedAs,
    EventFilter,
    History,
    Page,
    Span,
    StoredEvent,
)
from pipeline.core.switching import MORE_THAN, SWITCHING, ByHand, RuleSwitch, SwitchBook
from pipeline.core.verifying import OUTCOMES, outcome_of, unmarked
from pipeline.deployment.model import Deployment
from pipeline.insight.followed_looks import FollowedParts
from pipeline.insight.simulation_lane import (
    MOST_FOLLOWED,
    Judged,
    LaneSimulation,
    SimulationStopped,
    needed,
)
from pipeline.insight.simulation_sequences import SequencePart, Sequences, SequenceSearch
from pipeline.processing.health import RULE as HEALTH_RULE
from pipeline.processing.plan import CameraPlan, LanePlan, TaskPlan
from pipeline.rules.base import RuleBase
from pipeline.rules.measures import Column
from pipeline.rules.record import RuleRecord
from pipeline.rules.sequence import SEQUENCE
from pipeline.rules.switched import file_limit, limit_range
from pipeline.runtime.assembly import plans_of
from pipeline.runtime.sequences import SequenceSchedules

HOUR_S = 3600.0
WORTH_HELP_S = 3600.0
"""Nobody else is asked to judge less than this: he would have to be told what it is about."""
WOULD_BE_ASKED = "would_be_asked"
"""The outcome of a second look that no model has given: none is asked here."""
_BY_HAND = (ARMING, SWITCHING)
_ALL = Page(limit=1_000_000, newest_first=False)


@dataclass(frozen=True, slots=True)
class RuleFigures:
    """What one rule counted, in one hour or in all of them."""

    minutes: tuple[Bucket, ...] = ()
    events: tuple[Event, ...] = ()

    @property
    def known_s(self) -> float:
        """Seconds that are known; the rest was not seen or not answered."""
        return sum(minute.coverage for minute in self.minutes) * BUCKET_S

    @property
    def happenings(self) -> int:
        """Events, a start and its end as one."""
        return sum(event.phase in ("start", "single") for event in self.events)

    @property
    def looked_at(self) -> Mapping[str, int]:
        """How many happenings had which outcome of a second look, or would be asked about."""
        found = dict.fromkeys((*OUTCOMES, WOULD_BE_ASKED), 0)
        for event in self.events:
            if event.phase in ("start", "single"):
                outcome = outcome_of(event)
                found[WOULD_BE_ASKED if outcome is None else outcome.outcome] += 1
        return found

    def values(self, config: RuleBase, camera: str, rule: str) -> Mapping[str, float | None]:
        """The numbers by column, summed up as in every summary; nothing of a rule without any."""
        if config.table is None:
            return {}
        record = RuleRecord(_OfFigures(self), camera, rule, self.minutes)
        found = config.sum_up(record)
        return {} if found is None else found


@dataclass(frozen=True, slots=True)
class RuleHour:
    """One rule in one hour, as it would have been and as it is stored."""

    rule: str
    config: RuleBase | None
    """As the file has it, or the other one where only that has it; None where it is only stored."""
    here: RuleFigures | None
    """By the file; None where it has no such rule, or nothing was recorded for it."""
    there: RuleFigures | None
    """What it is compared with: what is stored, or what the other file gives."""
    unknown: str = ""
    """Why nothing is known by the file."""
    resumed: bool = False
    """It went on from what was stored of it, so that all of it is exactly as it was."""
    cut_off: Mapping[str, float] = field(default_factory=dict)
    """Happenings that may have begun earlier, as the rule began anew while they went on, and since
    when it was looked for each of them."""
    is_sequence: bool = False
    """It is one of the file's sequences, which have events alone."""

    @property
    def is_looked_at(self) -> bool:
        """Whether its happenings are looked at a second time."""
        return self.config is not None and self.config.verify is not None

    @property
    def only_here(self) -> tuple[Event, ...]:
        """Events that would have been new."""
        return _without(self.here, self.there)

    @property
    def only_there(self) -> tuple[Event, ...]:
        """Events that would not have been."""
        return _without(self.there, self.here) if not self.unknown else ()

    def values_of(self, camera: str, figures: RuleFigures | None) -> Mapping[str, float | None]:
        """Its numbers by column; nothing where there is no such rule, or it is unknown."""
        if figures is None or self.config is None:
            return {}
        return figures.values(self.config, camera, self.rule)

    def difference(self, camera: str, column: str) -> float | None:
        """By how much a number would have been larger; None where one of both is unknown."""
        here = self.values_of(camera, self.here).get(column)
        there = self.values_of(camera, self.there).get(column)
        return None if here is None or there is None else here - there

    @property
    def columns(self) -> tuple[Column, ...]:
        """What it shows of itself."""
        if self.config is None or self.config.table is None:
            return ()
        return self.config.table.columns


@dataclass(frozen=True, slots=True)
class SimulatedHour:
    """One camera's rules in one hour of the site's clock."""

    camera: str
    since: float
    """When it begins, UTC seconds."""
    rules: tuple[RuleHour, ...]
    notes: tuple[str, ...] = ()
    """What should be known of it, such as minutes that cannot be read."""
    running: bool = False
    """Its last minute was not over."""
    until: float = 0.0
    """When it ends: an hour later, or where clocks are changed within the hour."""


@dataclass(frozen=True, slots=True)
class SimulationScope:
    """What is asked for; an empty tuple means all of them."""

    cameras: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    span: Span = EVER


@dataclass(frozen=True, slots=True)
class SimulationQuestion:
    """All that a simulation depends on but what is stored, so that another process can ask it."""

    deployment: Deployment
    against: Deployment | None
    scope: SimulationScope
    arming: ArmingBook
    switches: SwitchBook
    every_rule: bool


@dataclass(frozen=True, slots=True)
class LaneName:
    """What one camera and engine saw, judged by one of the files."""

    camera: str
    file: int
    stored: str
    """The name of the camera under which it is kept."""
    engine: str


LaneTimes = tuple[Span, float, float]
"""What is asked for of a lane, and when the first and the last minute that is kept begin."""


class LaneJudges(Protocol):
    """Judges the lanes of one question elsewhere."""

    def judged(
        self,
        name: LaneName,
        lane: LaneSimulation,
        times: LaneTimes,
        look: Callable[[], None],
    ) -> Iterator[tuple[float, Judged]]:
        """What `lane.parts(*times)` would conclude, newest first.

        `look` is called while it is waited for, and may raise SimulationStopped.
        """
        ...


class SimulationHelp(Protocol):
    """Who judges lanes elsewhere, if he has time."""

    def asked(self, question: SimulationQuestion) -> AbstractContextManager[LaneJudges | None]:
        """Those who judge until the end of the block; None where nobody has time."""
        ...


class Simulation:
    """A file's rules over what was seen. `hours` runs once."""

    def __init__(
        self,
        deployment: Deployment,
        observations: ObservationHistory,
        history: History,
        scope: SimulationScope,
        clock: Clock,
        *,
        against: Deployment | None = None,
        arming: ArmingBook | None = None,
        switches: SwitchBook | None = None,
        every_rule: bool = False,
        stop: Callable[[], bool] = lambda: False,
        budget_s: float | None = None,
        followed: FollowedParts | None = None,
        help_of: SimulationHelp | None = None,
    ) -> None:
        """Look what there is; raises ConfigError where nothing is asked for that can be answered.

        A rule that is as it was concludes what is stored, which is taken: it is judged again only
        if it is to be `every_rule`. `stop` is asked often; `budget_s` is how long it may take.
        `arming` knows what was armed and disarmed by hand, `switches` which rules were switched. A
        limit that was given by hand is that of the file it was given for: where a file says
        another, that is what is asked for. What is `followed` is held for the next simulation of
        the same store. With `help_of` somebody it is judged by them, as far as they have time.
        """
        self._observations, self._history, self._clock = observations, history, clock
        self._deployment, self._against, self._scope = deployment, against, scope
        self._stop, self._budget_s = stop, budget_s
        self._every_rule, self._followed = every_rule, followed
        if followed is not None:
            followed.begin()
        arming, switches = arming or ArmingBook(), switches or SwitchBook()
        self._by_hand = ByHand(arming, switches)
        self._help = help_of
        self._judges: LaneJudges | None = None
        self.question = SimulationQuestion(
            deployment, against, scope, arming.detached(), switches.detached(), every_rule
        )
        self._known_sides: dict[str, list[_Side]] = {}
        self._left_aside: set[RuleSwitch] = set()
        self._began = clock.monotonic()
        self._seen = {(one.camera, one.engine): one for one in observations.observed()}
        self._files = [deployment] if against is None else [deployment, against]
        self._searches = [self._search_of(one) for one in self._files]
        self._pending: list[_PendingHour] = []
        reach_s = max(search.sequences.reach_s() for search in self._searches)
        self._wide = scope.span
        if scope.span.since is not None:
            earlier = scope.span.since - reach_s
            self._wide = Span(earlier if earlier > float("-inf") else None, scope.span.until)
        self._reach_s = reach_s
        self._notes: list[str] = []
        self._said: set[tuple[str, float]] = set()
        self._back_to: float | None = None
        self.cut_short: str | None = None
        """Why it ended before it was through."""
        self._problems = list(self._found_problems())
        if self._problems:
            raise ConfigError(self._problems)

    def hours(self) -> Iterator[SimulatedHour]:
        """The newest hour of all cameras first, sequences when all that may be in them is known."""
        if self._help is None or not self.is_long:
            yield from self._hours()
            return
        with self._help.asked(self.question) as self._judges:
            yield from self._hours()

    def _hours(self) -> Iterator[SimulatedHour]:
        shown = self._cameras()
        parts = {part for search in self._searches for part in search.sequences.parts()}
        cameras = [
            name
            for name in dict.fromkeys((*shown, *sorted({part.camera for part in parts})))
            if self._spans(self._stored_name(name), self._wide)
        ]
        try:
            self._add_stored_parts(parts)
            waiting = [(-self._newest(name), name) for name in cameras]
            heapq.heapify(waiting)
            generators = {name: self._camera_hours(name) for name in cameras}
            ready: dict[str, tuple[float, SimulatedHour | None]] = {}
            while waiting:
                self._look()
                # A camera is not begun before its turn comes.
                _, name = heapq.heappop(waiting)
                if name in ready:
                    _, hour = ready.pop(name)
                    if hour is not None and name in shown:
                        yield hour
                        self._back_to = hour.since
                following = next(generators[name], None)
                if following is not None:
                    ready[name] = following
                    heapq.heappush(waiting, (-following[0], name))
                known_from = -waiting[0][0] + HOUR_S if waiting else float("-inf")
                yield from self._sequence_hours(known_from)
        except SimulationStopped as stopped:
            self.cut_short = str(stopped)

    def _cameras(self) -> list[str]:
        known = dict.fromkeys((*self._deployment.cameras, *self._other.cameras))
        return [name for name in known if not self._scope.cameras or name in self._scope.cameras]

    @property
    def _other(self) -> Deployment:
        return self._deployment if self._against is None else self._against

    def _found_problems(self) -> Iterator[Problem]:
        known = self._cameras()
        for name in self._scope.cameras:
            if name not in known:
                names = ", ".join(self._deployment.cameras) or "none"
                yield Problem("--camera", f"there is no camera {name!r}; the file has {names}")
        rules = {
            rule
            for deployment in (self._deployment, self._other)
            for name, camera in deployment.cameras.items()
            if name in known
            for rule in camera.rules
        }
        rules |= {name for search in self._searches for name in search.sequences.asked}
        for rule in self._scope.rules:
            if rule not in rules:
                names = ", ".join(sorted(rules)) or "none"
                yield Problem("--rule", f"there is no rule {rule!r}; there are {names}")
        if known and not any(
            self._spans(self._stored_name(name), self._scope.span) for name in known
        ):
            yield Problem("", self._nothing(known))

    def _nothing(self, cameras: Sequence[str]) -> str:
        """Why there is nothing to judge."""
        of_these = {self._stored_name(name): name for name in cameras}
        mine = [span for (camera, _), span in self._seen.items() if camera in of_these]
        zone = self._deployment.site.timezone
        if mine:
            first = local_time(min(span.first for span in mine), zone)
            last = local_time(max(span.last for span in mine) + BUCKET_S, zone)
            return (
                f"nothing was seen in that time; what was seen is kept from {first} to {last}: "
                "change --since or --until"
            )
        if self._seen:
            others = ", ".join(sorted({camera for camera, _ in self._seen}))
            asked = ", ".join(cameras)
            return (
                f"the store holds nothing that {asked} saw, but what {others} saw; is it the store "
                "of another file? A renamed camera has its earlier name in `was:`"
            )
        return (
            "the store holds nothing that was seen: it is kept from the first run of this release "
            "on, unless `store.observations.keep` is 0"
        )

    def _stored_name(self, camera: str) -> str:
        """The name under which it is stored: an earlier one until its processor has started."""
        kept = {name for name, _ in self._seen}
        for deployment in (self._deployment, self._other):
            config = deployment.cameras.get(camera)
            for name in (camera, *(config.was if config is not None else ())):
                if name in kept:
                    return name
        return camera

    @property
    def is_long(self) -> bool:
        """Whether there is so much to judge that others may help."""
        wide = self._wide
        since = float("-inf") if wide.since is None else wide.since
        until = float("inf") if wide.until is None else wide.until
        kept_s = sum(
            max(0.0, min(until, one.last + BUCKET_S) - max(since, one.first))
            for camera in self._cameras()
            for one in self._spans(self._stored_name(camera), wide)
        )
        return kept_s >= WORTH_HELP_S

    def _spans(self, stored: str, asked: Span) -> list[ObservedSpan]:
        """What is kept of a camera in some time, by engine."""
        since, until = asked.since, asked.until
        return [
            span
            for (camera, _), span in self._seen.items()
            if camera == stored
            and (since is None or span.last + BUCKET_S > since)
            and (until is None or span.first < until)
        ]

    def _newest(self, camera: str) -> float:
        last = max(span.last for span in self._spans(self._stored_name(camera), self._wide))
        until = self._scope.span.until
        return hour_of(last if until is None else min(last, until), self._zone(camera))

    def _zone(self, camera: str) -> ZoneInfo:
        deployment = self._deployment if camera in self._deployment.cameras else self._other
        return ZoneInfo(deployment.site_of(camera).timezone)

    def _look(self) -> None:
        if self._stop():
            raise SimulationStopped("it was stopped")
        if not self.has_time:
            raise SimulationStopped(self._out_of_time())

    @property
    def has_time(self) -> bool:
        """Whether its budget is not used up."""
        return self._budget_s is None or self._clock.monotonic() - self._began <= self._budget_s

    def _out_of_time(self) -> str:
        """How far it came within its budget, and what can be done about it."""
        spent = f"it took longer than {self._budget_s:g} s"
        way_out = "ask for a shorter time, or let `moonwatch simulate` judge it, which has no limit"
        if self._back_to is None:
            return f"{spent}, and no hour was judged by then: {way_out}"
        since = local_time(self._back_to, self._deployment.site.timezone)
        return f"{spent}; it came back to {since}, and nothing earlier was judged: {way_out}"

    def _camera_hours(self, camera: str) -> Iterator[tuple[float, SimulatedHour | None]]:
        """Each hour, and what of it is asked for."""
        sides = self._sides(camera)
        if not any(side.is_shown or side.rules for side in sides):
            return
        stored = self._stored_name(camera)
        streams = {
            (number, lane.engine): self._lane_hours(number, side, stored, lane)
            for number, side in enumerate(sides)
            for lane in self._spans(stored, self._wide)
        }
        heads: dict[tuple[int, str], tuple[float, Judged]] = {}
        missing = list(streams)
        while True:
            for key in missing:
                head = next(streams[key], None)
                if head is not None:
                    heads[key] = head
            if not heads:
                return
            hour = max(hour for hour, _ in heads.values())
            found: list[dict[str, Judged]] = [{} for _ in sides]
            # What comes next is judged when it is asked for.
            missing = [key for key, head in heads.items() if head[0] == hour]
            for key in missing:
                found[key[0]][key[1]] = heads.pop(key)[1]
            yield hour, self._compared(camera, stored, hour, sides, found)

    def _sides(self, camera: str) -> list["_Side"]:
        """The camera by each file."""
        if camera not in self._known_sides:
            self._known_sides[camera] = [
                _Side(
                    deployment,
                    camera,
                    self._scope.rules,
                    self._by_hand,
                    [part.rule for part in search.sequences.parts() if part.camera == camera],
                    is_shown=camera in self._cameras(),
                )
                for deployment, search in zip(self._files, self._searches, strict=True)
            ]
        return self._known_sides[camera]

    def lane(self, name: LaneName, look: Callable[[], None] | None = None) -> LaneSimulation:
        """Who judges a lane; `look` is called now and then, and may raise SimulationStopped."""
        side = self._sides(name.camera)[name.file]
        return LaneSimulation(
            self._observations,
            name.stored,
            name.engine,
            side.tasks,
            named=side.camera,
            in_order=side.is_recording,
            every_rule=self._every_rule,
            # What waits for its second look is not among the stored events yet.
            always=[name for name, rule in side.rules.items() if rule.verify is not None],
            memories={name: memory_s(rule) for name, rule in side.rules.items()},
            room=MOST_FOLLOWED // (len(self._seen) * len(self._files)),
            followed=self._followed,
            look=look or self._look,
        )

    def lanes(self) -> Iterator[tuple[LaneName, LaneSimulation, LaneTimes]]:
        """What judges each lane, and which times of it."""
        for camera in self._cameras():
            stored = self._stored_name(camera)
            for number, side in enumerate(self._sides(camera)):
                for kept in self._spans(stored, self._wide):
                    name = LaneName(camera, number, stored, kept.engine)
                    yield name, self.lane(name), self._times(side, kept)

    def _times(self, side: "_Side", kept: ObservedSpan) -> LaneTimes:
        # Of a time that is looked at for sequences alone only their parts matter.
        return self._wide if side.parts else self._scope.span, kept.first, kept.last

    def _lane_hours(
        self, file: int, side: "_Side", stored: str, kept: ObservedSpan
    ) -> Iterator[tuple[float, Judged]]:
        """Hours of one lane, each when nothing that is still to come belongs to it."""
        name = LaneName(side.camera, file, stored, kept.engine)
        lane = self.lane(name)
        zone = self._zone(side.camera)
        rest = Judged()
        times = self._times(side, kept)
        if self._judges is None:
            found = lane.parts(*times)
        else:
            found = self._judges.judged(name, lane, times, self._look)
        for since, judged in found:
            rest.add_older(judged)
            for hour in _hours_in(rest, zone):
                if hour >= since:
                    yield hour, rest.taken_from(hour)
        for hour in _hours_in(rest, zone):
            yield hour, rest.taken_from(hour)

    def _compared(
        self,
        camera: str,
        stored: str,
        hour: float,
        sides: Sequence["_Side"],
        found: Sequence[Mapping[str, Judged]],
    ) -> SimulatedHour | None:
        """An hour, as far as it is asked for; None where it is not."""
        # Of the oldest hour less may be kept than is stored.
        first = min((span.first for span in self._spans(stored, self._wide)), default=hour)
        until = end_of(hour, self._zone(camera))
        wide = _common(self._wide, max(hour, first), until)
        if wide is None:
            return None  # it was only looked at for what it says of others
        kept, sequences = self._stored(camera, stored, wide)
        for side, search, judged in zip(sides, self._searches, found, strict=True):
            for rule in side.parts:
                part = SequencePart(camera, rule)
                figures, unknown, _ = side.figures(rule, judged, wide, kept)
                if figures is None:
                    search.add_unknown(part, hour, until, unknown)
                    continue
                search.add(figures.events)
                search.add_minutes(part, figures.minutes)
                lane = side.lane_of(rule, judged)
                if lane is not None and lane.last_at is not None:
                    search.add_judged(part, lane.last_at, has_ended=lane.has_ended)
            for stored_ones in sequences.values():
                search.add_stored(stored_ones.events)
        span = _common(self._scope.span, max(hour, first), until)
        if span is None or not sides[0].is_shown:
            return None
        self._pending.append(
            _PendingHour(camera, hour, until, span, {n: cut(f, span) for n, f in sequences.items()})
        )
        kept = {name: cut(figures, span) for name, figures in kept.items()}
        rules: list[RuleHour] = []
        names = [name for side in sides for name in side.shown]
        if self._against is None:
            names += [name for name, figures in kept.items() if figures.minutes or figures.events]
            wanted = self._scope.rules
            names = [name for name in names if not wanted or name in wanted]
        for name in dict.fromkeys(names):
            here, unknown, resumed = sides[0].figures(name, found[0], span, kept)
            if self._against is None:
                there: RuleFigures | None = kept.get(name)
                config = sides[0].rules.get(name)
            else:
                there, not_there, _ = sides[1].figures(name, found[1], span, kept)
                unknown = unknown or (not_there and f"by the other file: {not_there}")
                config = sides[0].rules.get(name) or sides[1].rules.get(name)
            cut_off = sides[0].cut_off(name, found[0], here)
            rules.append(RuleHour(name, config, here, there, unknown, resumed, cut_off))
        if self._scope.rules and not rules:
            return None
        judged_notes = (note for side in found for judged in side.values() for note in judged.notes)
        by_hand = (note for side in sides for note in self._of_limits(side, Span(hour, until)))
        notes = dict.fromkeys((*judged_notes, *by_hand))
        running = any(
            rule.here is not None and rule.here.minutes and rule.here.minutes[-1].unfinished
            for rule in rules
        )
        return SimulatedHour(camera, hour, tuple(rules), tuple(notes), running, until)

    def _of_limits(self, side: "_Side", span: Span) -> Iterator[str]:
        """The limits that were given by hand in a time and are not gone by, each once."""
        for name in side.shown:
            given = self._by_hand.switches.all_of(side.camera, name, MORE_THAN)
            for change, following in zip_longest(given, given[1:]):
                config, over = side.rules[name], None if following is None else following.at
                held = Span(change.at, over)
                if change.value is None or change in self._left_aside or not _meet(held, span):
                    continue
                limit = file_limit(config)
                if limit_range(config) is not None and change.holds_for(limit):
                    continue
                self._left_aside.add(change)
                says = "no more_than" if limit is None else f"more_than: {limit}"
                since = local_time(change.at, str(self._zone(side.camera)))
                yield (
                    f"rule {name} is judged by the file's own limit ({says}): more_than "
                    f"{change.value}, which {change.by} gave it from {since} on, was for what the "
                    "file said then"
                )

    def _search_of(self, deployment: Deployment) -> SequenceSearch:
        rules = {name: camera.rules for name, camera in deployment.cameras.items()}
        sequences = Sequences(deployment.sequences, rules, self._scope.rules, self._scope.cameras)
        return SequenceSearch(
            sequences,
            {
                name: SequenceSchedules(config, deployment)
                for name, config in sequences.needed.items()
            },
            lambda camera, span: self._history.health(self._stored_name(camera), span),
            self._clock.now(),
        )

    def _add_stored_parts(self, parts: Collection[SequencePart]) -> None:
        """What is stored of the time before the first minute that is kept may be a beginning."""
        for camera in sorted({part.camera for part in parts}):
            stored = self._stored_name(camera)
            spans = [span for (name, _), span in self._seen.items() if name == stored]
            until = min((span.first for span in spans), default=self._scope.span.until)
            if not spans:
                self._notes.append(
                    f"of camera {camera!r} nothing that was seen is kept: sequences take what is "
                    "stored of it"
                )
            of_camera = {part.rule for part in parts if part.camera == camera}
            chosen = EventFilter(
                cameras=(stored,),
                rules=tuple(sorted(of_camera)),
                span=Span(self._wide.since, until),
                counted_as=JUDGED_LAST,
            )
            self._look()
            events = [
                replace(one.event, camera=camera) for one in self._history.events(chosen, _ALL)
            ]
            for search in self._searches:
                mine = {part.rule for part in search.sequences.parts() if part.camera == camera}
                search.add(event for event in events if event.rule in mine)
                for rule in sorted(mine):
                    minutes = self._history.buckets(stored, rule, chosen.span)
                    part = SequencePart(camera, rule)
                    search.add_minutes(part, minutes)
                    if minutes and not spans:
                        search.add_judged(part, minutes[-1].minute + BUCKET_S, has_ended=False)

    def _sequence_hours(self, known_from: float) -> Iterator[SimulatedHour]:
        """The hours of sequences of which everything is known, once enough are together."""
        complete = known_from + self._reach_s if known_from > float("-inf") else known_from
        due = [one for one in self._pending if one.hour >= complete]
        # Each search looks at what may have begun earlier, too: so much at least is done at once.
        newest = max((one.hour for one in due), default=0.0)
        is_last = known_from == float("-inf")
        if not is_last and (not due or newest - complete < self._reach_s):
            return
        since = min((one.hour for one in due), default=float("-inf"))
        found = [search.found(since) for search in self._searches]
        self._look()
        self._said |= {(one.camera, one.hour) for one in due}
        due += self._unseen_hours(found, complete)
        for one in sorted(due, key=lambda pending: (-pending.hour, pending.camera)):
            hour = self._sequence_hour(one, found)
            if hour is not None:
                yield hour
        self._pending = [one for one in self._pending if one.hour < complete]
        for search in self._searches:
            # Hours of other time zones may reach into this one.
            search.forget(complete + HOUR_S)

    def _unseen_hours(
        self, found: Sequence[Sequence[Event]], complete: float
    ) -> Iterator["_PendingHour"]:
        """Hours in which a camera saw nothing, and in which something of it stayed away."""
        waiting = {(one.camera, one.hour) for one in self._pending}
        shown = self._cameras()
        for search, events in zip(self._searches, found, strict=True):
            for event in events:
                zone = self._zone(event.camera)
                hour = hour_of(event.at, zone)
                until = end_of(hour, zone)
                span = _common(self._scope.span, hour, until)
                key = (event.camera, hour)
                if (
                    event.camera not in shown
                    or event.rule not in search.sequences.asked
                    or span is None
                    or not _is_within(event.at, span)
                    or hour < complete
                    or key in waiting | self._said
                ):
                    continue
                self._said.add(key)
                _, stored = self._stored(event.camera, self._stored_name(event.camera), span)
                yield _PendingHour(event.camera, hour, until, span, stored)

    def _sequence_hour(
        self, pending: "_PendingHour", found: Sequence[Sequence[Event]]
    ) -> SimulatedHour | None:
        rules: list[RuleHour] = []
        names = [name for search in self._searches for name in search.sequences.asked]
        if self._against is None:
            names += pending.stored
        for name in dict.fromkeys(names):
            if self._scope.rules and name not in self._scope.rules:
                continue
            sides = [
                self._side_of_sequence(search, events, name, pending)
                for search, events in zip(self._searches, found, strict=True)
            ]
            here, unknown = sides[0]
            if self._against is None:
                there: RuleFigures | None = pending.stored.get(name)
                if there is None and (here is not None or unknown):
                    there = RuleFigures()
            else:
                there, not_there = sides[1]
                unknown = unknown or (not_there and f"by the other file: {not_there}")
            if here is not None or there is not None or unknown:
                rules.append(
                    RuleHour(name, None, here, there, unknown, resumed=False, is_sequence=True)
                )
        if not rules:
            return None
        notes, self._notes = self._notes, []
        return SimulatedHour(
            pending.camera, pending.hour, tuple(rules), tuple(notes), until=pending.until
        )

    def _side_of_sequence(
        self, search: SequenceSearch, events: Sequence[Event], name: str, pending: "_PendingHour"
    ) -> tuple[RuleFigures | None, str]:
        sequences = search.sequences
        if name not in sequences.asked or pending.camera not in sequences.cameras_of(name):
            return None, ""
        since, until = pending.span.since, pending.span.until
        assert since is not None
        assert until is not None
        unknown = search.why_unknown(name, since, until)
        if unknown:
            return None, unknown
        mine = [
            event
            for event in events
            if event.rule == name
            and event.camera == pending.camera
            and _is_within(event.at, pending.span)
        ]
        return RuleFigures(events=tuple(mine)), ""

    def _stored(
        self, camera: str, stored: str, span: Span
    ) -> tuple[dict[str, RuleFigures], dict[str, RuleFigures]]:
        """What the store has of every rule, and of every sequence."""
        minutes: dict[str, list[Bucket]] = {}
        for bucket in self._history.buckets(stored, None, span):
            minutes.setdefault(bucket.rule, []).append(replace(bucket, camera=camera))
        events: dict[str, list[Event]] = {}
        sequences: dict[str, list[Event]] = {}
        chosen = EventFilter(cameras=(stored,), span=span, counted_as=JUDGED_LAST)
        for one in self._history.events(chosen, _ALL):
            if one.event.type == SEQUENCE:
                sequences.setdefault(one.event.rule, []).append(one.event)
            elif one.event.rule != HEALTH_RULE and one.event.type not in _BY_HAND:
                events.setdefault(one.event.rule, []).append(one.event)
        rules = {
            rule: RuleFigures(tuple(minutes.get(rule, ())), tuple(events.get(rule, ())))
            for rule in dict.fromkeys((*minutes, *events))
        }
        return rules, {name: RuleFigures(events=tuple(e)) for name, e in sequences.items()}


def _meet(one: Span, other: Span) -> bool:
    """Whether two times have a moment in common."""
    begins = max(one.since or 0.0, other.since or 0.0)
    return all(span.until is None or begins < span.until for span in (one, other))


@dataclass(frozen=True, slots=True)
class _PendingHour:
    """An hour of a camera whose sequences are not known yet."""

    camera: str
    hour: float
    until: float
    span: Span
    """What of it is asked for."""
    stored: Mapping[str, RuleFigures]


class _Side:
    """One camera by one file."""

    def __init__(
        self,
        deployment: Deployment,
        camera: str,
        rules: Sequence[str],
        by_hand: ByHand,
        parts: Sequence[str],
        *,
        is_shown: bool,
    ) -> None:
        """`parts` are those of sequences, judged whatever `rules` are asked for."""
        self.camera = camera
        self.is_shown = is_shown
        self.parts = tuple(dict.fromkeys(parts))
        plan = next((one for one in plans_of(deployment, by_hand) if one.camera == camera), None)
        plan = plan or CameraPlan(camera)
        self.is_recording = plan.is_recording
        self._engines = {task.task: lane.engine for lane in plan.lanes for task in lane.tasks}
        config = deployment.cameras.get(camera)
        self.rules: dict[str, RuleBase] = {
            name: rule
            for name, rule in (config.rules.items() if config is not None else ())
            if name in self.parts or (is_shown and (not rules or name in rules))
        }
        self.shown = [name for name in self.rules if not rules or name in rules]
        self.tasks = _of_rules(plan.lanes, self.rules)

    def lane_of(self, name: str, found: Mapping[str, Judged]) -> Judged | None:
        """What was concluded where a rule's task was answered."""
        of = self.rules[name].of
        own = self._engines[of]
        lanes = sorted(found, key=lambda engine: engine != own)
        return next((found[one] for one in lanes if of in found[one].answered), None)

    def cut_off(
        self, name: str, found: Mapping[str, Judged], here: RuleFigures | None
    ) -> Mapping[str, float]:
        """The happenings of an hour that may have begun before it was looked."""
        judged = self.lane_of(name, found) if name in self.rules and here is not None else None
        if judged is None or here is None:
            return {}
        shown = {event.id for event in here.events}
        return {id_: at for id_, at in judged.cut_off.get(name, {}).items() if id_ in shown}

    def figures(
        self,
        name: str,
        found: Mapping[str, Judged],
        span: Span,
        kept: Mapping[str, RuleFigures],
    ) -> tuple[RuleFigures | None, str, bool]:
        """What a rule concluded in a time, or why that is unknown, and whether it resumed."""
        rule = self.rules.get(name)
        if rule is None:
            return None, "", False
        judged = self.lane_of(name, found)
        if judged is None:
            return None, _why_unknown(rule.of, found), False
        by_minute = dict(judged.minutes.get(name, {}))
        events = list(judged.events.get(name, ()))
        for taken in judged.taken.get(name, ()):
            stored = kept.get(name, RuleFigures())
            by_minute |= {
                one.minute: one for one in stored.minutes if _is_within(one.minute, taken)
            }
            events += [
                event if rule.verify is not None else unmarked(event)
                for event in stored.events
                if _is_within(event.at, taken)
            ]
        once: dict[str, Event] = {}
        for event in events:
            # A clock that was set back shows one moment twice; a store keeps the first.
            once.setdefault(event.record_id, event)
        if rule.verify is not None:
            # What was answered about the same happening holds; nobody is asked again.
            for event in kept.get(name, RuleFigures()).events:
                outcome = outcome_of(event)
                if outcome is not None and event.record_id in once:
                    once[event.record_id] = outcome.marked(once[event.record_id])
        figures = RuleFigures(
            tuple(by_minute[m] for m in sorted(by_minute) if _is_within(m, span)),
            tuple(event for event in once.values() if _is_within(event.at, span)),
        )
        return figures, "", judged.resumed.get(name, False)


def memory_s(rule: RuleBase) -> float:
    """How long it may take until a rule tells what has begun: all of its durations together."""
    values = (getattr(rule, name) for name in type(rule).model_fields)
    return sum(value.total_seconds() for value in values if isinstance(value, timedelta))


def _of_rules(lanes: Sequence[LanePlan], wanted: Mapping[str, RuleBase]) -> Sequence[TaskPlan]:
    """The tasks that these rules need, with no other rules."""
    return needed(
        [
            replace(task, rules={name: rule for name, rule in task.rules.items() if name in wanted})
            for lane in lanes
            for task in lane.tasks
        ]
    )


def _why_unknown(task: str, found: Mapping[str, Judged]) -> str:
    if any(task in judged.recorded for judged in found.values()):
        return (
            f"nothing was recorded for it: task {task!r} was answered to another question, by "
            "another engine, or with other masks"
        )
    return f"nothing was recorded for it: task {task!r} was not asked, and none that asks the same"


def hour_of(at: float, zone: ZoneInfo) -> float:
    """When the hour of the site's clock begins that contains a moment, UTC seconds.

    Where clocks are changed by half an hour, within an hour, the change begins one.
    """
    begins = _full_hour(at, zone)
    return begins if _ahead_s(begins, zone) == _ahead_s(at, zone) else _change(begins, at, zone)


def end_of(hour: float, zone: ZoneInfo) -> float:
    """When an hour ends that begins at `hour`, UTC seconds."""
    end = _full_hour(hour, zone) + HOUR_S
    last = end - 1.0
    return end if _ahead_s(last, zone) == _ahead_s(hour, zone) else _change(hour, last, zone)


def _full_hour(at: float, zone: ZoneInfo) -> float:
    ahead_s = _ahead_s(at, zone)
    return (at + ahead_s) // HOUR_S * HOUR_S - ahead_s


def _ahead_s(at: float, zone: ZoneInfo) -> float:
    offset = datetime.fromtimestamp(nearest_moment(at), zone).utcoffset()
    return offset.total_seconds() if offset is not None else 0.0


def _change(before: float, after: float, zone: ZoneInfo) -> float:
    """When clocks were changed between two moments."""
    first, last = math.floor(before), math.ceil(after)
    ahead_s = _ahead_s(after, zone)
    while last - first > 1:
        middle = (first + last) // 2
        if _ahead_s(middle, zone) == ahead_s:
            last = middle
        else:
            first = middle
    return float(last)


def _hours_in(judged: Judged, zone: ZoneInfo) -> list[float]:
    """The hours in which something was seen or concluded, the newest first."""
    moments: set[float] = {float(minute) for minute in judged.seen}
    for minutes in judged.minutes.values():
        moments.update(minutes)
    for events in judged.events.values():
        moments.update(event.at for event in events)
    return sorted({hour_of(moment, zone) for moment in moments}, reverse=True)


def _common(span: Span, since: float, until: float) -> Span | None:
    """What of some time lies within a span; None for nothing."""
    since = since if span.since is None else max(since, span.since)
    until = until if span.until is None else min(until, span.until)
    return Span(since, until) if since < until else None


def cut(figures: RuleFigures, span: Span) -> RuleFigures:
    """What of some figures lies within a span."""
    return RuleFigures(
        tuple(minute for minute in figures.minutes if _is_within(minute.minute, span)),
        tuple(event for event in figures.events if _is_within(event.at, span)),
    )


def _is_within(at: float, span: Span) -> bool:
    return (span.since is None or at >= span.since) and (span.until is None or at < span.until)


def _without(these: RuleFigures | None, others: RuleFigures | None) -> tuple[Event, ...]:
    known = {event.record_id for event in others.events} if others is not None else set()
    mine = these.events if these is not None else ()
    return tuple(event for event in mine if event.record_id not in known)


def hour_as_json(hour: SimulatedHour, timezone: str, against: str) -> dict[str, JsonValue]:
    """One hour for machines; `against` names what is compared with, such as `stored`."""
    return {
        "camera": hour.camera,
        "from": timestamp(hour.since),
        "until": timestamp(hour.until),
        "local": local_time(hour.since, timezone),
        "running": hour.running,
        "notes": list(hour.notes),
        "rules": [rule_as_json(hour.camera, rule, against) for rule in hour.rules],
    }


def rule_as_json(
    camera: str, rule: RuleHour, against: str, *, with_events: bool = True
) -> dict[str, JsonValue]:
    """One rule of an hour, or of all of them, for machines. What is unknown is null."""
    here, there = rule.values_of(camera, rule.here), rule.values_of(camera, rule.there)
    row: dict[str, JsonValue] = {
        "rule": rule.rule,
        "type": SEQUENCE if rule.is_sequence else getattr(rule.config, "type", None),
        "resumed": rule.resumed,
        "unknown": rule.unknown or None,
        "simulated": _figures_as_json(rule, rule.here, here),
        against: _figures_as_json(rule, rule.there, there),
        "difference": {name: _rounded(rule.difference(camera, name)) for name in {**there, **here}},
        "may_have_begun_before": {id_: timestamp(at) for id_, at in rule.cut_off.items()},
        "new_events": [event.record_id for event in rule.only_here],
        "gone_events": [event.record_id for event in rule.only_there],
    }
    if with_events and rule.here is not None:
        row["events"] = [json.loads(event_to_json(event)) for event in rule.here.events]
    return row


def _figures_as_json(
    rule: RuleHour, figures: RuleFigures | None, values: Mapping[str, float | None]
) -> dict[str, JsonValue] | None:
    if figures is None:
        return None
    row: dict[str, JsonValue] = {
        "known_s": None if rule.is_sequence else _rounded(figures.known_s),
        "happenings": figures.happenings,
        "values": {name: _rounded(value) for name, value in values.items()},
    }
    if rule.is_looked_at:
        row["second_looks"] = dict(figures.looked_at)
    return row


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def summed(hours: Sequence[SimulatedHour]) -> list[tuple[str, RuleHour]]:
    """Every camera's rules over all of some hours; where a rule is unknown nothing is added."""
    found: dict[tuple[str, str], list[RuleHour]] = {}
    for hour in sorted(hours, key=lambda one: one.since):
        for rule in hour.rules:
            found.setdefault((hour.camera, rule.rule), []).append(rule)
    return [
        (
            camera,
            RuleHour(
                name,
                next((rule.config for rule in rules if rule.config is not None), None),
                _sum([rule.here for rule in rules]),
                _sum([rule.there for rule in rules]),
                next((rule.unknown for rule in rules if rule.unknown), ""),
                all(rule.resumed for rule in rules),
                {id_: since for rule in rules for id_, since in rule.cut_off.items()},
                rules[0].is_sequence,
            ),
        )
        for (camera, name), rules in sorted(found.items())
    ]


def _sum(figures: Sequence[RuleFigures | None]) -> RuleFigures | None:
    known = [one for one in figures if one is not None]
    if not known:
        return None
    return RuleFigures(
        tuple(minute for one in known for minute in one.minutes),
        tuple(event for one in known for event in one.events),
    )


class _OfFigures:
    """Figures as a rule reads them from a store, to sum itself up."""

    def __init__(self, figures: RuleFigures) -> None:
        self._figures = figures

    def events(self, chosen: EventFilter, page: Page = FIRST_PAGE) -> Sequence[StoredEvent]:
        """Those of the phases that are asked for."""
        found = [
            StoredEvent(position, event, event.at)
            for position, event in enumerate(self._figures.events, 1)
            if (not chosen.phases or event.phase in chosen.phases)
            and (not chosen.counted_as or _counted_as(event) in chosen.counted_as)
        ]
        return found[::-1] if page.newest_first else found


def _counted_as(event: Event) -> CountedAs:
    outcome = outcome_of(event)
    return "rejected" if outcome is not None and outcome.outcome == "rejected" else "counted"
