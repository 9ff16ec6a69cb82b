"""How fast things go through a zone whose lengths were measured, in km/h with its uncertainty."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pipeline.core.answers import Boxes
from pipeline.core.events import Event, JsonValue, Phase, Subject, event_id, timestamp
from pipeline.core.geometry import Box, Polygon
from pipeline.core.measures import Bucket
from pipeline.core.rules import Ending, Observation, Verdict
from pipeline.core.tracks import Step, Track
from pipeline.rules.at_work.moments import Moments, MomentsMemory
from pipeline.rules.context import RuleContext
from pipeline.rules.holding import Reason
from pipeline.rules.memory import dump, load
from pipeline.rules.minutes import Minutes, MinutesMemory
from pipeline.rules.presence import PresenceMemory, ZonePresence
from pipeline.rules.speed import SpeedConfig, class_of
from pipeline.rules.zones import ground_of

USUAL_NOISE = 0.03
"""Standard deviation of feet in body heights, where the tracker does not tell."""
LEAST_NOISE = 0.01
TIME_NOISE_S = 0.02
"""Standard deviation of a frame's date: cameras and networks date frames that late or early."""
SURE = 1.96
"""Standard deviations of the uncertainty that is told: 19 of 20 are within it."""
LEAST_LOOKS = 3
"""Two places tell a speed, but not how far it is off."""
WINDOW_S = 2.0
WINDOW_LOOKS = 5
"""The speed of a moment is that of the last two seconds, or five looks where these are longer."""
MOST_LOOKS = 400
"""Of a passage that takes minutes, its last looks count."""
KMH = 3.6


@dataclass(slots=True)
class SpeedPassage:
    """One thing on its way through the zone."""

    track: int
    """Its first id."""
    label: str
    since: float
    at: float
    box: Box
    looks: list[tuple[float, float, float, float]] = field(default_factory=list)
    """Time, place in metres, and the place's standard deviation."""
    kmh: float = 0.0
    """The greatest speed of a moment that was told, and its uncertainty."""
    off: float = 0.0
    over: bool = False
    told: bool = False
    silenced: bool = False
    veiled: bool = False


@dataclass(frozen=True, slots=True)
class Velocity:
    """A speed in km/h, and how far it may be off (for 19 of 20)."""

    kmh: float
    off: float


@dataclass(slots=True)
class _SpeedState:
    version: ClassVar[int] = 1
    minutes: MinutesMemory
    presence: PresenceMemory
    moments: MomentsMemory
    passages: dict[int, SpeedPassage] = field(default_factory=dict)
    run: str = ""


class Speed:
    """Follows every track through the zone; what counts is its speed over the whole passage."""

    def __init__(self, config: SpeedConfig, context: RuleContext) -> None:
        self._config = config
        self._context = context
        self._metres = config.ground(context)
        zone = context.zone(config.zone) or Polygon(())
        self._ground = ground_of(zone, context.aspect)
        self._minutes = Minutes(context, config.measures)
        self._presence = ZonePresence(context, zone)
        self._moments = Moments(config, context)
        self._memory = _SpeedState(
            self._minutes.memory, self._presence.memory, self._moments.memory
        )

    def judge(self, seen: Observation) -> Verdict:
        """Measure who is in the zone, then report who has left it and who is too fast."""
        known = isinstance(seen.answer, Boxes)
        self._minutes.sample(seen.at, 0 if known else None)
        events: list[Event] = []
        if seen.run != self._memory.run:
            self._memory.run = seen.run
            events += self._end_all(seen.at, "unknown")
        if known:
            events += self._follow(seen)
        else:
            lost = seen.at - self._presence.memory.patience_s
            gone = [id_ for id_, one in self._memory.passages.items() if one.at < lost]
            for id_ in gone:
                events += self._end(id_, seen.at, "unknown", seen)
        return Verdict(tuple(events), self._minutes.closed(seen.at), self._moments.take_withheld())

    def counted(self, tracks: Sequence[Track]) -> Mapping[int, int | None]:
        """What is in the zone and was seen there often enough for a speed."""
        return {
            id_: passage.track
            for id_, passage in self._memory.passages.items()
            if len(passage.looks) >= LEAST_LOOKS
        }

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """End every passage, and write the last minute."""
        events = tuple(self._end_all(at, why))
        return Verdict(events, self._minutes.finish(at, why))

    def unfinished(self) -> tuple[Bucket, ...]:
        """The current minute so far."""
        return self._minutes.unfinished()

    def state(self) -> JsonValue:
        """Everything needed to resume after a restart."""
        return dump(self._memory)

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; raises ValueError for anything else."""
        self._memory = load(_SpeedState, state)
        self._minutes.memory = self._memory.minutes
        self._presence.memory = self._memory.presence
        self._moments.memory = self._memory.moments

    def inherit(self, state: JsonValue, at: float) -> None:
        """Continue an earlier rule's open minutes and cooldown; passages begin anew."""
        earlier = load(_SpeedState, state)
        self._minutes.inherit(earlier.minutes, at)
        self._moments.inherit(earlier.moments, at)

    def _follow(self, seen: Observation) -> Iterator[Event]:
        passages = self._memory.passages
        for new, old in self._presence.see(seen).items():
            if old in passages:
                passages[new] = passages.pop(old)
        inside = set(self._presence.inside())
        for track in seen.others:  # it was taken for this kind
            gone = passages.get(track.id)
            if gone is not None and not gone.told:
                del passages[track.id]
        for track in seen.tracks:
            self._measure(track, inside=track.id in inside)
        for id_ in sorted(passages.keys() - inside):
            yield from self._end(id_, seen.at, "over", seen)
        for id_ in sorted(passages):
            yield from self._judge(passages[id_], seen)

    def _measure(self, track: Track, *, inside: bool) -> None:
        """Add a track's looks that are in the zone."""
        passage = self._memory.passages.get(track.id)
        for step in track.steps:
            place = step.feet.seen if step.feet is not None else step.anchor
            if self._ground.depth(place) < 0:
                continue
            metres = self._metres.place(place)
            if metres is None:
                continue
            if passage is None:
                if not inside:
                    return
                passage = SpeedPassage(track.id, track.label, step.at, step.at, step.box)
                self._memory.passages[track.id] = passage
            noise = self._metres.noise(place, _noise(step), self._context.aspect)
            passage.at, passage.box = step.at, step.box
            passage.looks.append((step.at, *metres, noise))
            del passage.looks[:-MOST_LOOKS]

    def _judge(self, passage: SpeedPassage, seen: Observation) -> Iterator[Event]:
        over = self._config.over
        if over is None or passage.at != seen.at:
            return
        first = min(seen.at - WINDOW_S, passage.looks[-min(len(passage.looks), WINDOW_LOOKS)][0])
        now = velocity([look for look in passage.looks if look[0] >= first])
        if now is None or now.kmh - now.off <= over:
            return
        if now.kmh - now.off > passage.kmh - passage.off:
            passage.kmh, passage.off = now.kmh, now.off
        if not passage.over:
            passage.over = True
            self._minutes.count(seen.at, over=1)
        if not passage.told and self._moments.may_start(seen, passage):
            data = {**_said(now), "over": over, **self._moments.missed()}
            yield self._event(passage, "start", seen.at, data, seen)

    def _end_all(self, at: float, reason: Reason) -> Iterator[Event]:
        for id_ in sorted(self._memory.passages):
            yield from self._end(id_, at, reason, None)

    def _end(
        self, id_: int, at: float, reason: Reason, seen: Observation | None
    ) -> Iterator[Event]:
        passage = self._memory.passages.pop(id_)
        whole = velocity(passage.looks)
        if whole is None or not _tells(whole):
            self._minutes.count(passage.at, unmeasured=1)
        else:
            kmh = round(whole.kmh, 3)
            counts = {"passed": 1, "kmh": kmh, class_of(kmh): 1}
            self._minutes.count(passage.at, **counts)
            self._minutes.top(passage.at, "fastest", kmh)
        self._moments.ended(passage)
        if passage.told:
            fastest = Velocity(passage.kmh, passage.off)
            data: dict[str, JsonValue] = {
                **_said(fastest),
                "over": self._config.over,
                "mean_kmh": None if whole is None else round(whole.kmh, 1),
                "until": timestamp(passage.at),
                "seconds": round(passage.at - passage.since, 3),
                "reason": reason,
            }
            yield self._event(passage, "end", at, data, seen)

    def _event(
        self,
        passage: SpeedPassage,
        phase: Phase,
        at: float,
        more: dict[str, JsonValue],
        seen: Observation | None,
    ) -> Event:
        context = self._context
        label = passage.label or context.label or ""
        since: dict[str, JsonValue] = {"since": timestamp(passage.since)}
        return Event(
            id=event_id(context.camera, context.rule, str(passage.track), passage.since),
            type=self._config.type,
            phase=phase,
            camera=context.camera,
            rule=context.rule,
            at=at,
            subject=Subject(label, passage.track, passage.box),
            data={"zone": self._config.zone, **since, **more},
            seq=None if seen is None else seen.seq,
            run=None if seen is None else seen.run,
        )


def velocity(looks: Sequence[tuple[float, float, float, float]]) -> Velocity | None:
    """The speed of a straight line through the looks, in space and time; None of too few.

    Each look counts by its own uncertainty. Where the looks are farther off the line than that
    explains, because the way was bent or the boxes were bad, the speed is as much less sure.
    """
    if len(looks) < LEAST_LOOKS or looks[-1][0] <= looks[0][0]:
        return None
    start = looks[0][0]
    straight_s = looks[-1][0] - start
    rough = math.dist(looks[0][1:3], looks[-1][1:3]) / straight_s
    # An error of the date is one of the place, as far as it goes in that time.
    weights = [1.0 / (noise**2 + (rough * TIME_NOISE_S) ** 2 + 1e-9) for *_, noise in looks]
    total = sum(weights)
    pairs = list(zip(looks, weights, strict=True))
    mean_t = sum(weight * (at - start) for (at, *_), weight in pairs) / total
    mean_x = sum(weight * x for (_, x, _, _), weight in pairs) / total
    mean_y = sum(weight * y for (_, _, y, _), weight in pairs) / total
    spread = vx = vy = 0.0
    for (at, x, y, _), weight in pairs:
        t = at - start - mean_t
        spread += weight * t * t
        vx += weight * t * (x - mean_x)
        vy += weight * t * (y - mean_y)
    if spread <= 0:
        return None
    vx, vy = vx / spread, vy / spread
    misfit = 0.0
    for (at, x, y, _), weight in pairs:
        t = at - start - mean_t
        misfit += weight * ((x - mean_x - vx * t) ** 2 + (y - mean_y - vy * t) ** 2)
    doubt = max(misfit / (2 * len(looks) - 4), 1.0)
    return Velocity(KMH * math.hypot(vx, vy), KMH * SURE * math.sqrt(doubt / spread))


def _tells(found: Velocity) -> bool:
    """Whether a speed is known at all: what is off by more than itself is not."""
    return math.isfinite(found.off) and found.off <= max(found.kmh, 5.0)


def _said(found: Velocity) -> dict[str, JsonValue]:
    return {"kmh": round(found.kmh, 1), "uncertainty_kmh": round(found.off, 1)}


def _noise(step: Step) -> float:
    if step.feet is None:
        return USUAL_NOISE * (step.box[3] - step.box[1])
    return max(step.feet.seen_noise, LEAST_NOISE * step.feet.height)
