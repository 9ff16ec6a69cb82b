"""Who goes against the direction: the wrong way over a line, or against an arrow in a zone."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pipeline.core.answers import Boxes
from pipeline.core.events import Event, JsonValue, Subject, event_id
from pipeline.core.geometry import Box
from pipeline.core.measures import Bucket
from pipeline.core.rules import Ending, Observation, Verdict
from pipeline.core.tracks import Step, Track
from pipeline.rules.at_work.moments import Moments, MomentsMemory
from pipeline.rules.context import RuleContext
from pipeline.rules.crossers import Crossed, Crossers, CrossersMemory
from pipeline.rules.memory import dump, load
from pipeline.rules.minutes import Minutes, MinutesMemory
from pipeline.rules.presence import PresenceMemory, ZonePresence
from pipeline.rules.stitching import trail_of
from pipeline.rules.wrong_way import WrongWayConfig

STEADY = 0.25
"""This share of the distance must be left without the longest of the steps: a walker goes on, and a
box that jumps, or two whose numbers are exchanged, go far in one step alone."""
SURE = 4.0
"""Standard deviations of the feet that the way must be longer than, in any case."""


@dataclass(slots=True)
class Advance:
    """How far somebody has come in one sense of the arrow."""

    start: float
    """The place along the arrow from which it counts, in picture heights."""
    height: float
    """Of the body there."""
    longest: float = 0.0
    """The longest step since then, in body heights."""


@dataclass(slots=True)
class Goer:
    """One in the zone."""

    at: float
    place: float
    """Along the arrow, in picture heights."""
    right: Advance
    wrong: Advance
    way: int = 0
    """The way that was counted last: 1 right, -1 wrong, 0 none yet."""


@dataclass(slots=True)
class _WrongWayState:
    version: ClassVar[int] = 1
    minutes: MinutesMemory
    moments: MomentsMemory
    crossers: CrossersMemory | None = None
    presence: PresenceMemory | None = None
    goers: dict[int, Goer] = field(default_factory=dict)
    seq: int = 0
    coverage: float = 1.0
    """As of the last frame, for what is only sure at the end."""


@dataclass(frozen=True, slots=True)
class Gone:
    """Somebody has gone the right or the wrong way."""

    id: int
    at: float
    wrong: bool
    label: str
    box: Box | None
    data: dict[str, JsonValue]


class WrongWay:
    """Follows all tracks; in a zone, a way is as long as its progress along the arrow."""

    def __init__(self, config: WrongWayConfig, context: RuleContext) -> None:
        self._config = config
        self._context = context
        self._minutes = Minutes(context, config.measures)
        self._moments = Moments(config, context)
        self._memory = _WrongWayState(self._minutes.memory, self._moments.memory)
        self._crossers: Crossers | None = None
        self._presence: ZonePresence | None = None
        self._arrow = (0.0, 0.0)
        if config.line is not None:
            self._crossers = Crossers(context.line(config.line), context, config.margin, door=False)
            self._memory.crossers = self._crossers.memory
        elif config.along is not None:
            arrow = context.line(config.along)
            x = (arrow.end[0] - arrow.start[0]) * context.aspect
            y = arrow.end[1] - arrow.start[1]
            length = math.hypot(x, y)
            self._arrow = (x / length, y / length)
            self._presence = ZonePresence(context, context.zone(config.zone))
            self._memory.presence = self._presence.memory

    def judge(self, seen: Observation) -> Verdict:
        """Report who has gone the wrong way, as this frame shows."""
        memory = self._memory
        memory.seq, memory.coverage = seen.seq, seen.coverage
        known = isinstance(seen.answer, Boxes)
        self._minutes.sample(seen.at, 0 if known else None)
        withheld = self._moments.memory.withheld
        events: list[Event] = []
        if self._crossers is not None:
            events += self._report(seen, map(self._gone, self._crossers.see(seen)))
        elif self._presence is not None and known:
            events += self._report(seen, self._follow(self._presence, seen))
        withheld = max(0, self._moments.memory.withheld - withheld)
        return Verdict(tuple(events), self._minutes.closed(seen.at), withheld)

    def counted(self, tracks: Sequence[Track]) -> Mapping[int, int | None]:
        """Who went one way or the other."""
        if self._crossers is not None:
            return {id_: id_ for id_ in self._crossers.crossed()}
        return {id_: id_ for id_, goer in self._memory.goers.items() if goer.way}

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """Judge who was likely beyond the line at the end, and write the last minute."""
        events: list[Event] = []
        if self._crossers is not None:
            memory, run = self._memory, self._crossers.memory.run
            nothing = Boxes("", (), ())
            seen = Observation(
                self._context.camera, run, memory.seq, at, nothing, coverage=memory.coverage
            )
            events += self._report(seen, map(self._gone, self._crossers.finish(at)))
        return Verdict(tuple(events), self._minutes.finish(at, why))

    def unfinished(self) -> tuple[Bucket, ...]:
        """The current minute so far."""
        return self._minutes.unfinished()

    def state(self) -> JsonValue:
        """Everything needed to resume after a restart."""
        return dump(self._memory)

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; raises ValueError for anything else."""
        memory = load(_WrongWayState, state)
        if (memory.crossers is None) != (self._crossers is None) or (memory.presence is None) != (
            self._presence is None
        ):
            raise ValueError(
                "it is of a rule at a line where this one is in a zone, or the reverse"
            )
        self._memory = memory
        self._minutes.memory, self._moments.memory = memory.minutes, memory.moments
        if self._crossers is not None and memory.crossers is not None:
            self._crossers.memory = memory.crossers
        if self._presence is not None and memory.presence is not None:
            self._presence.memory = memory.presence

    def inherit(self, state: JsonValue, at: float) -> None:
        """Continue an earlier rule's open minutes and cooldown; ways are not carried over."""
        earlier = load(_WrongWayState, state)
        self._minutes.inherit(earlier.minutes, at)
        self._moments.inherit(earlier.moments, at)

    def _gone(self, crossed: Crossed) -> Gone:
        direction = "in" if crossed.direction > 0 else "out"
        wrong = direction == self._config.wrong
        data: dict[str, JsonValue] = {"line": self._config.line, "direction": direction}
        return Gone(crossed.id, crossed.at, wrong, crossed.label, crossed.box, data)

    def _follow(self, presence: ZonePresence, seen: Observation) -> Iterator[Gone]:
        """Take the new steps of all who are in the zone; whoever leaves it begins anew there."""
        goers, run = self._memory.goers, presence.memory.run
        renamed = presence.see(seen)
        if seen.run != run:
            goers.clear()
        for new, old in renamed.items():
            if old in goers:
                goers[new] = goers.pop(old)
        for track in seen.tracks:
            if not presence.stay(track.id).inside:
                goers.pop(track.id, None)
                continue
            entered_at = presence.memory.stances[track.id].entered_at
            for step in track.steps:
                if entered_at is None or step.at >= entered_at:
                    yield from self._step(track, step)
        for id_ in [id_ for id_ in goers if id_ not in presence.memory.trails]:
            del goers[id_]

    def _step(self, track: Track, step: Step) -> Iterator[Gone]:
        config, goers = self._config, self._memory.goers
        here = trail_of(step, self._context.aspect)
        place = here.xy[0] * self._arrow[0] + here.xy[1] * self._arrow[1]
        height = max(here.height, 1e-3)
        goer = goers.get(track.id)
        if goer is None:
            goers[track.id] = Goer(step.at, place, Advance(place, height), Advance(place, height))
            return
        stepped = (place - goer.place) / height
        goer.at, goer.place = step.at, place
        for sense, advance in ((1, goer.right), (-1, goer.wrong)):
            far = sense * (place - advance.start)
            if far <= 0:
                advance.start, advance.height, advance.longest = place, height, 0.0
                continue
            advance.longest = max(advance.longest, sense * stepped)
            progress = 2 * far / (height + advance.height)
            if progress < config.distance or far < SURE * here.noise:
                continue
            if progress - advance.longest < STEADY * config.distance:
                continue
            advance.start, advance.height, advance.longest = place, height, 0.0
            if goer.way == sense:
                continue
            goer.way = sense
            data: dict[str, JsonValue] = {
                "zone": config.zone,
                "along": config.along,
                "distance": round(progress, 2),
            }
            yield Gone(track.id, step.at, sense < 0, track.label, step.box, data)

    def _report(self, seen: Observation, goings: Iterator[Gone]) -> Iterator[Event]:
        for gone in goings:
            self._minutes.count(gone.at, wrong=int(gone.wrong), right=int(not gone.wrong))
            if not gone.wrong or not self._moments.may_speak(seen, gone.at):
                continue
            yield Event(
                id=event_id(seen.camera, self._context.rule, str(gone.id), gone.at),
                type=self._config.type,
                phase="single",
                camera=seen.camera,
                rule=self._context.rule,
                at=gone.at,
                subject=Subject(gone.label or self._context.label or "", gone.id, gone.box),
                data={**gone.data, **self._moments.missed()},
                seq=seen.seq,
                run=seen.run,
            )
