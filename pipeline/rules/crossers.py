"""Who crosses a line, and when: the crossings of all tracks, each of them once.

Rules count these, or look at who crosses with whom.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter, itemgetter

from pipeline.core.geometry import Box, Line
from pipeline.core.rules import Observation
from pipeline.core.tracks import Step, Track
from pipeline.rules.context import RuleContext
from pipeline.rules.crossing import Gate, Path
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
class Walker:
    """One who may cross the line: the memory of one track."""

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
class CrossersMemory:
    """All who were seen of late, and what is due to the pace of the frames."""

    walkers: dict[int, Walker] = field(default_factory=dict)
    run: str = ""
    seen_at: float = 0.0
    bound_s: float = BOUND_S
    """How far back a crossing is dated at most; BOUND_SAMPLES looks where they are rare."""
    recent_s: float = 0.0
    """How long a vanished id or a crossing currently affects the next one."""


@dataclass(frozen=True, slots=True)
class Crossed:
    """One crossing of the line."""

    id: int
    """The track's."""
    at: float
    direction: int
    """1 in, -1 out."""
    along: float
    """Where on the line, in picture heights from its start."""
    height: float
    """Of the whole body, in picture heights."""
    label: str
    box: Box | None


class Crossers:
    """Follows every track against one line; a track may cross it any number of times."""

    def __init__(self, line: Line, context: RuleContext, margin: float, *, door: bool) -> None:
        self._context = context
        self._gate = Gate(line, context.aspect, margin)
        self._door = door
        self.memory = CrossersMemory()

    def see(self, seen: Observation) -> list[Crossed]:
        """The crossings that this frame completes, in time order of what completed them."""
        memory = self.memory
        if seen.run != memory.run:  # track ids start over with each run
            memory.run, memory.walkers = seen.run, {}
        pause_s = seen.at - memory.seen_at
        memory.recent_s = memory_s(self._context.every_s, pause_s)
        every_s = self._context.every_s or pause_s
        bound_s = BOUND_SAMPLES * (every_s if every_s < pause_s else pause_s)
        memory.bound_s = bound_s if bound_s > BOUND_S else BOUND_S
        memory.seen_at = seen.at
        tracks = (*seen.tracks, *seen.others) if seen.others else seen.tracks
        if not (tracks or memory.walkers):
            return []
        present = {track.id for track in tracks}
        crossed: list[Crossed] = []
        if tracks:
            others = {track.id for track in seen.others}
            for group in _by_time(tracks):
                if len(group) > 1:
                    self._undo_swaps(group)
                for step, track in group:
                    crossed += self._step(seen, present, track, step, other=track.id in others)
        if len(memory.walkers) == len(present):
            return crossed  # nobody is missing
        gone_s = memory.bound_s
        for id_ in sorted(memory.walkers.keys() - present):
            walker = memory.walkers[id_]
            away_s = seen.at - walker.trail.at
            if away_s > gone_s:
                if walker.path.passages or (self._door and walker.off):
                    crossed += self._vanish(seen.at, id_, walker)
                if away_s > FORGET_S:
                    del memory.walkers[id_]
        return crossed

    def crossed(self) -> dict[int, int]:
        """The ids of all who have crossed and are not forgotten, with the last direction."""
        walkers = self.memory.walkers
        return {
            id_: one.crossed_to for id_, one in walkers.items() if one.crossed_to and not one.other
        }

    def finish(self, at: float) -> list[Crossed]:
        """Those who were likely beyond the line at the end."""
        crossed: list[Crossed] = []
        for id_, walker in sorted(self.memory.walkers.items()):
            crossing = self._gate.vanish(walker.path)
            if crossing is not None:
                crossed += self._count(at, id_, walker, *crossing)
        return crossed

    def _step(
        self, seen: Observation, present: set[int], track: Track, step: Step, *, other: bool
    ) -> list[Crossed]:
        aspect = self._context.aspect
        walker = self.memory.walkers.get(track.id)
        if walker is None:
            walker = self._appear(present, track.id, trail_of(step, aspect))
        walker.label, walker.box = track.label, step.box
        walker.other = other
        trail, feet = walker.trail, step.feet
        xy = trail.go(step, aspect)
        there, noise = xy, trail.noise
        if feet is not None:
            there, noise = (feet.seen[0] * aspect, feet.seen[1]), feet.seen_noise
        crossed: list[Crossed] = []
        for crossing in self._gate.move(walker.path, step.at, xy, trail.noise, there, noise):
            crossed += self._count(seen.at, track.id, walker, *crossing)
            walker.off = crossing[1]
        if self._door and not self._is_at_door(walker):
            side = 1 if self._gate.distance(xy) >= 0 else -1
            if walker.off == 0 and walker.began_at:
                crossed += self._count(seen.at, track.id, walker, walker.began_at, side)
            walker.off = side
        return crossed

    def _vanish(self, now: float, id_: int, walker: Walker) -> Iterator[Crossed]:
        """Who was likely beyond the line when it was seen last, or stood in a door, has crossed."""
        crossing = self._gate.vanish(walker.path)
        if crossing is not None:
            yield from self._count(now, id_, walker, *crossing)
            walker.off = crossing[1]
        elif self._door and walker.off and self._is_at_door(walker):
            yield from self._count(now, id_, walker, walker.trail.at, -walker.off)
            walker.off = 0

    def _is_at_door(self, walker: Walker) -> bool:
        reach, xy = DOOR_HEIGHTS * walker.trail.height, walker.trail.xy
        return abs(self._gate.distance(xy)) <= reach and self._gate.is_beside(xy, reach)

    def _count(
        self, now: float, id_: int, walker: Walker, at: float, direction: int
    ) -> Iterator[Crossed]:
        # Two that are as late as that are still two events, with dates of their own.
        at = max(at, now - self.memory.bound_s, walker.crossed_at + APART_S)
        if self._is_repetition(walker, direction, at):
            return
        walker.crossed_to, walker.crossed_at = direction, at
        if walker.other:
            return
        trail = walker.trail
        along = self._gate.along(trail.xy)
        yield Crossed(id_, at, direction, along, trail.height, walker.label, walker.box)

    def _appear(self, present: set[int], id_: int, here: Trail) -> Walker:
        """Add a new id: the continuation of one that vanished near the line, or a new person."""
        old = None
        if self._is_near(here):
            near = {
                other: walker.trail
                for other, walker in self.memory.walkers.items()
                if other not in present and self._is_near(walker.trail)
            }
            old = continued(near, present, here, self.memory.recent_s)
        if old is None:
            walker = Walker(here, Path(here.xy, here.at, here.noise))
            # Only who appears at a door may have come through it.
            walker.began_at = here.at if self._door and self._is_at_door(walker) else 0.0
        else:
            walker = self.memory.walkers.pop(old)
            walker.stitched = True
        self.memory.walkers[id_] = walker
        return walker

    def _is_near(self, trail: Trail) -> bool:
        return abs(self._gate.distance(trail.xy)) <= STITCH_HEIGHTS * trail.height

    def _is_repetition(self, walker: Walker, direction: int, at: float) -> bool:
        """Whether a stitched walker only seems to cross back over the line, or to cross it again.

        A box that appears on the near side right after its walker was counted on the far side is
        a bad box: neither the way back nor the second crossing is counted.
        """
        if walker.owed and direction == walker.crossed_to:
            walker.owed = False
            return True
        if not walker.stitched or direction != -walker.crossed_to:
            return False
        walker.owed = at - walker.crossed_at <= self.memory.recent_s
        return walker.owed

    def _undo_swaps(self, group: Sequence[tuple[Step, Track]]) -> None:
        """Two people who just met on the line and now both seem to turn around have swapped ids."""
        walkers = self.memory.walkers
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

    def _turns(self, walker: Walker, step: Step) -> bool:
        if step.at - walker.crossed_at > self.memory.recent_s:
            return False
        here = trail_of(step, self._context.aspect)
        return self._gate.side(here.xy, here.noise, walker.path.looks) == -walker.crossed_to

    def _is_swap(self, a: tuple[Walker, Trail], b: tuple[Walker, Trail]) -> bool:
        (walker_a, here_a), (walker_b, here_b) = a, b
        if walker_a.crossed_to != -walker_b.crossed_to:
            return False
        kept = walker_a.trail.miss(here_a) + walker_b.trail.miss(here_b)
        swapped = walker_a.trail.miss(here_b) + walker_b.trail.miss(here_a)
        return swapped < kept


_ID = attrgetter("id")


def _by_time(tracks: Sequence[Track]) -> list[list[tuple[Step, Track]]]:
    """The steps of all tracks at each moment, by the tracks' ids."""
    if len(tracks) == 1:
        (track,) = tracks
        return [[(step, track)] for step in track.steps]
    if all(len(track.steps) == 1 for track in tracks):  # as nearly always: those of this look
        return [[(track.steps[0], track) for track in sorted(tracks, key=_ID)]]
    steps = [(step.at, track.id, step, track) for track in tracks for step in track.steps]
    steps.sort(key=itemgetter(0, 1))
    return [
        [(step, track) for _, _, step, track in together]
        for _, together in groupby(steps, key=itemgetter(0))
    ]
