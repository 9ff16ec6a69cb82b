"""Counts crossings of a directed line, in and out, at low frame rates and with changing ids."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import ClassVar

from pipeline.core.answers import Boxes
from pipeline.core.events import Event, JsonValue, Subject, event_id
from pipeline.core.geometry import Box
from pipeline.core.measures import Bucket
from pipeline.core.rules import Ending, Observation, Verdict
from pipeline.core.tracks import Step, Track
from pipeline.rules.context import RuleContext
from pipeline.rules.crossing import Gate, Path
from pipeline.rules.holding import still_quiet
from pipeline.rules.line_crossing import LineCrossingConfig
from pipeline.rules.memory import dump, load
from pipeline.rules.minutes import Minutes, MinutesMemory
from pipeline.rules.schedule import Schedule
from pipeline.rules.stitching import Trail, continued, memory_s, trail_of

FORGET_S = 120.0
"""Seconds after which an unseen track is forgotten; trackers give up much sooner."""
BOUND_S, BOUND_SAMPLES = 1.0, 2.0
"""Who was not seen for this long, or for this many sampling intervals, has vanished. And a crossing
is dated no farther back than this when it is reported: who has lingered on the line has crossed it
when he left it, and what was shown late, because it might have been a second box, not before."""
APART_S = 0.01
"""Two crossings of one walker are dated at least this far apart."""
DOOR_HEIGHTS = 0.5
"""Who appears or vanishes within this many body heights of a door has come or gone through it."""
STITCH_HEIGHTS = 1.5
"""Only ids that vanish and appear within this many body heights of the line are stitched; farther
away it makes no difference."""


@dataclass(slots=True)
class _Walker:
    trail: Trail
    path: Path
    label: str = ""
    box: Box | None = None
    """Where it was seen last."""
    began_at: float = 0.0
    off: int = 0
    """For doors: the side on which it last was well away from the line, 0 before."""
    crossed_to: int = 0
    """Direction of the last crossing counted, 0 for none."""
    crossed_at: float = 0.0
    stitched: bool = False
    """Whether it continues an id that vanished."""
    other: bool = False
    """It is of another kind, as far as is known: its crossings are another rule's."""
    owed: bool = False
    """A step back was treated as a wrong box, so the next crossing repeats one already counted."""


@dataclass(slots=True)
class _CrossingState:
    version: ClassVar[int] = 1
    minutes: MinutesMemory
    walkers: dict[int, _Walker] = field(default_factory=dict)
    run: str = ""
    seen_at: float = 0.0
    seq: int = 0
    coverage: float = 1.0
    """As of the last frame, for what is only sure at the end."""
    bound_s: float = BOUND_S
    """How far back a crossing is dated at most; BOUND_SAMPLES looks where they are rare."""
    recent_s: float = 0.0
    """How long a vanished id or a crossing currently affects the next one."""
    entered: int = 0
    left: int = 0
    quiet_until: float | None = None
    suppressed: int = 0
    withheld: int = 0
    """Crossings since the last event that were not reported for lack of answered frames."""


class LineCrossing:
    """Follows every track against one line; a track may cross it any number of times."""

    def __init__(self, config: LineCrossingConfig, context: RuleContext) -> None:
        self._config = config
        self._context = context
        self._gate = Gate(context.line(config.line), context.aspect, config.margin)
        self._schedule = Schedule(config.schedule, context.timezone, context.hours)
        self._minutes = Minutes(context, config.measures)
        self._memory = _CrossingState(self._minutes.memory)
        self._withheld = 0

    def judge(self, seen: Observation) -> Verdict:
        """The crossings that this frame completes, in time order."""
        memory = self._memory
        if seen.run != memory.run:  # track ids start over with each run
            memory.run, memory.walkers = seen.run, {}
        pause_s = seen.at - memory.seen_at
        memory.recent_s = memory_s(self._context.every_s, pause_s)
        every_s = min(self._context.every_s or pause_s, pause_s)
        memory.bound_s = max(BOUND_S, BOUND_SAMPLES * every_s)
        memory.seen_at, memory.seq, memory.coverage = seen.at, seen.seq, seen.coverage
        self._minutes.sample(seen.at, 0 if isinstance(seen.answer, Boxes) else None)
        tracks = (*seen.tracks, *seen.others)
        present = {track.id for track in tracks}
        others = {track.id for track in seen.others}
        steps = [(step.at, track.id, step, track) for track in tracks for step in track.steps]
        steps.sort(key=itemgetter(0, 1))
        events: list[Event] = []
        self._withheld = 0
        for _, together in groupby(steps, key=itemgetter(0)):
            group = [(step, track) for _, _, step, track in together]
            self._undo_swaps(group)
            for step, track in group:
                events += self._step(seen, present, track, step, other=track.id in others)
        gone_s = self._memory.bound_s
        for id_ in sorted(memory.walkers.keys() - present):
            walker = memory.walkers[id_]
            if seen.at - walker.trail.at > gone_s:
                events += self._vanish(seen, id_, walker)
                if seen.at - walker.trail.at > FORGET_S:
                    del memory.walkers[id_]
        return Verdict(tuple(events), self._minutes.closed(seen.at), self._withheld)

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """Count who was likely beyond the line at the end, and write the last minute."""
        memory = self._memory
        seen = Observation(
            self._context.camera,
            memory.run,
            memory.seq,
            at,
            Boxes("", (), ()),
            coverage=memory.coverage,
        )
        events: list[Event] = []
        for id_, walker in sorted(memory.walkers.items()):
            crossing = self._gate.vanish(walker.path)
            if crossing is not None:
                events += self._count(seen, id_, walker, *crossing)
        return Verdict(tuple(events), self._minutes.finish(at, why))

    def unfinished(self) -> tuple[Bucket, ...]:
        """The current minute so far."""
        return self._minutes.unfinished()

    def state(self) -> JsonValue:
        """Everything needed to resume after a restart."""
        return dump(self._memory)

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; raises ValueError for anything else."""
        self._memory = load(_CrossingState, state)
        self._minutes.memory = self._memory.minutes

    def inherit(self, state: JsonValue, at: float) -> None:
        """Continue an earlier rule's open minutes, totals and cooldown.

        Paths are not carried over: a person halfway across the line starts there.
        """
        earlier, memory = load(_CrossingState, state), self._memory
        self._minutes.inherit(earlier.minutes, at)
        memory.entered, memory.left = earlier.entered, earlier.left
        cooldown_s = self._config.cooldown.total_seconds()
        memory.quiet_until = still_quiet(earlier.quiet_until, at, cooldown_s)
        memory.suppressed, memory.withheld = earlier.suppressed, earlier.withheld

    def _step(
        self, seen: Observation, present: set[int], track: Track, step: Step, *, other: bool
    ) -> list[Event]:
        aspect = self._context.aspect
        walker = self._memory.walkers.get(track.id)
        if walker is None:
            walker = self._appear(present, track.id, trail_of(step, aspect))
        walker.label, walker.box = track.label, step.box
        walker.other = other
        trail, feet = walker.trail, step.feet
        xy = trail.go(step, aspect)
        there, noise = xy, trail.noise
        if feet is not None:
            there, noise = (feet.seen[0] * aspect, feet.seen[1]), feet.seen_noise
        events: list[Event] = []
        for crossing in self._gate.move(walker.path, step.at, xy, trail.noise, there, noise):
            events += self._count(seen, track.id, walker, *crossing)
            walker.off = crossing[1]
        if self._config.door and not self._is_at_door(walker):
            side = 1 if self._gate.distance(xy) >= 0 else -1
            if walker.off == 0 and walker.began_at:
                events += self._count(seen, track.id, walker, walker.began_at, side)
            walker.off = side
        return events

    def _vanish(self, seen: Observation, id_: int, walker: _Walker) -> Iterator[Event]:
        """Who was likely beyond the line when it was seen last, or stood in a door, has crossed."""
        crossing = self._gate.vanish(walker.path)
        if crossing is not None:
            yield from self._count(seen, id_, walker, *crossing)
            walker.off = crossing[1]
        elif self._config.door and walker.off and self._is_at_door(walker):
            yield from self._count(seen, id_, walker, walker.trail.at, -walker.off)
            walker.off = 0

    def _is_at_door(self, walker: _Walker) -> bool:
        reach, xy = DOOR_HEIGHTS * walker.trail.height, walker.trail.xy
        return abs(self._gate.distance(xy)) <= reach and self._gate.is_beside(xy, reach)

    def _count(
        self, seen: Observation, id_: int, walker: _Walker, at: float, direction: int
    ) -> Iterator[Event]:
        # Two that are as late as that are still two events, with dates of their own.
        at = max(at, seen.at - self._memory.bound_s, walker.crossed_at + APART_S)
        if self._is_repetition(walker, direction, at):
            return
        walker.crossed_to, walker.crossed_at = direction, at
        if walker.other:
            return
        self._memory.entered += direction > 0
        self._memory.left += direction < 0
        self._minutes.count(at, entered=int(direction > 0), left=int(direction < 0))
        if self._may_speak(seen, at):
            yield self._event(seen, id_, walker, direction)

    def _appear(self, present: set[int], id_: int, here: Trail) -> _Walker:
        """Add a new id: the continuation of one that vanished near the line, or a new person."""
        old = None
        if self._is_near(here):
            near = {
                other: walker.trail
                for other, walker in self._memory.walkers.items()
                if other not in present and self._is_near(walker.trail)
            }
            old = continued(near, present, here, self._memory.recent_s)
        if old is None:
            walker = _Walker(here, Path(here.xy, here.at, here.noise))
            # Only who appears at a door may have come through it.
            walker.began_at = here.at if self._config.door and self._is_at_door(walker) else 0.0
        else:
            walker = self._memory.walkers.pop(old)
            walker.stitched = True
        self._memory.walkers[id_] = walker
        return walker

    def _is_near(self, trail: Trail) -> bool:
        return abs(self._gate.distance(trail.xy)) <= STITCH_HEIGHTS * trail.height

    def _is_repetition(self, walker: _Walker, direction: int, at: float) -> bool:
        """Whether a stitched walker only seems to cross back over the line, or to cross it again.

        A box that appears on the near side right after its walker was counted on the far side is
        a bad box: neither the way back nor the second crossing is counted.
        """
        if walker.owed and direction == walker.crossed_to:
            walker.owed = False
            return True
        if not walker.stitched or direction != -walker.crossed_to:
            return False
        walker.owed = at - walker.crossed_at <= self._memory.recent_s
        return walker.owed

    def _undo_swaps(self, group: Sequence[tuple[Step, Track]]) -> None:
        """Two people who just met on the line and now both seem to turn around have swapped ids."""
        walkers = self._memory.walkers
        turning = [
            (track.id, trail_of(step, self._context.aspect))
            for step, track in group
            if (walker := walkers.get(track.id)) and walker.crossed_to and self._turns(walker, step)
        ]
        while turning:
            id_, here = turning.pop(0)
            for other, there in turning:
                if self._is_swap((walkers[id_], here), (walkers[other], there)):
                    walkers[id_], walkers[other] = walkers[other], walkers[id_]
                    turning.remove((other, there))
                    break

    def _turns(self, walker: _Walker, step: Step) -> bool:
        if step.at - walker.crossed_at > self._memory.recent_s:
            return False
        here = trail_of(step, self._context.aspect)
        return self._gate.side(here.xy, here.noise, walker.path.looks) == -walker.crossed_to

    def _is_swap(self, a: tuple[_Walker, Trail], b: tuple[_Walker, Trail]) -> bool:
        (walker_a, here_a), (walker_b, here_b) = a, b
        if walker_a.crossed_to != -walker_b.crossed_to:
            return False
        kept = walker_a.trail.miss(here_a) + walker_b.trail.miss(here_b)
        swapped = walker_a.trail.miss(here_b) + walker_b.trail.miss(here_a)
        return swapped < kept

    def _may_speak(self, seen: Observation, at: float) -> bool:
        memory = self._memory
        if not self._schedule.allows(at):
            return False
        if not self._config.is_covered(seen):
            memory.withheld += 1
            self._withheld += 1
            return False
        if memory.quiet_until is not None and at < memory.quiet_until:
            memory.suppressed += 1
            return False
        cooldown_s = self._config.cooldown.total_seconds()
        memory.quiet_until = at + cooldown_s if cooldown_s > 0 else None
        return True

    def _event(self, seen: Observation, id_: int, walker: _Walker, direction: int) -> Event:
        at = walker.crossed_at
        memory, names = self._memory, self._config.names
        data: dict[str, JsonValue] = {
            "line": self._config.line,
            "direction": "in" if direction > 0 else "out",
            "name": names.in_ if direction > 0 else names.out,
            "in": memory.entered,
            "out": memory.left,
        }
        if memory.suppressed:
            data["suppressed"], memory.suppressed = memory.suppressed, 0
        if memory.withheld:
            data["withheld"], memory.withheld = memory.withheld, 0
        return Event(
            id=event_id(seen.camera, self._context.rule, str(id_), at),
            type=self._config.type,
            phase="single",
            camera=seen.camera,
            rule=self._context.rule,
            at=at,
            subject=Subject(walker.label or self._context.label or "", id_, walker.box),
            data=data,
            seq=seen.seq,
            run=seen.run,
        )
