"""Who is present: tracks seen just now and those hidden for a moment, each under a lasting id."""

from dataclasses import dataclass, field

from pipeline.core.geometry import Box, Polygon
from pipeline.core.rules import Observation
from pipeline.core.tracks import Step, Track
from pipeline.rules.context import RuleContext
from pipeline.rules.stitching import Trail, continued, memory_s, trail_of
from pipeline.rules.zones import CALM_S, FAR, BorderCrossing, Stance, ground_of

USUAL_NOISE = 0.03
"""Standard deviation of feet in body heights where the tracker does not tell: detectors are between
.01 and .04."""
LEAST_NOISE = 0.01
"""Nobody stands stiller than this, in body heights."""
RETURN_S = 5.0
"""Nobody vanishes in the middle of a picture: whoever is found there again, or appears where he
should be, within this time was there all the while, as is known then."""
EDGE = 0.01
"""A box this close to an edge of the picture, in 0..1, is cut off by it."""
SEEN_SHARE = 0.4
"""Whoever should have less than this share of his body in the picture has left it."""
LEAVING = 0.1
"""Speed in body heights a second with which somebody at an edge is leaving and not standing."""
USUAL_SHAPES = {"person": 0.38}
"""Width of things, in their heights, before one was seen that no edge cuts."""
SHAPES = 50.0
"""How many bodies the usual shape is the mean of."""
CUT_S = 0.3
"""Whoever was cut off at the left or right and is not seen for longer than this has left."""


@dataclass(slots=True)
class Body:
    """The box a track was last seen in, and how large it is where no edge cuts it."""

    box: Box
    width: float
    height: float
    """Of the whole body, in 0..1 of the picture."""
    missed_at: float | None = None
    """The first look without it, since it was last seen."""
    absent_at: float | None = None
    """Since when it counts as gone; None while it is present."""
    shown: bool = False
    """Whether all of it was seen."""
    left: bool = False
    """Whether it walked out of the picture."""
    at: float = 0.0
    """When it was last seen."""
    moved: Box | None = None
    """How fast each edge of its box moved before that, in 0..1 a second, if the pause was long."""
    picture: Stance | None = None
    """Whether its middle is in the picture; None for what no left or right edge has cut yet."""

    @property
    def in_picture(self) -> bool:
        """Whether half of it, or more, is in the picture."""
        return self.picture is None or self.picture.inside

    def see(self, at: float, box: Box) -> bool:
        """Update it with the box it was seen in; returns whether that shows all of it."""
        pause_s, self.at = at - self.at, at
        self.moved = None
        if CALM_S <= pause_s <= RETURN_S:  # less than that tells of jitter more than of motion
            old = self.box
            self.moved = (
                (box[0] - old[0]) / pause_s,
                (box[1] - old[1]) / pause_s,
                (box[2] - old[2]) / pause_s,
                (box[3] - old[3]) / pause_s,
            )
        width, height = box[2] - box[0], box[3] - box[1]
        cut_x, cut_y = box[0] < EDGE or box[2] > 1.0 - EDGE, box[1] < EDGE or box[3] > 1.0 - EDGE
        if not (cut_x and width < self.width):
            self.width = width
        if not (cut_y and height < self.height):
            self.height = height
        self.box = box
        return not (cut_x or cut_y)


@dataclass(slots=True)
class PresenceMemory:
    """The trails of all who are present or were a moment ago, by track id."""

    trails: dict[int, Trail] = field(default_factory=dict)
    run: str = ""
    seen_at: float = 0.0
    patience_s: float = 0.0
    """How long hidden people currently count as present."""
    stances: dict[int, Stance] = field(default_factory=dict)
    bodies: dict[int, Body] = field(default_factory=dict)
    shape: float | None = None
    """Usual width of whole bodies, in their heights; None before one was seen."""
    shaped: float = 0.0
    """How many bodies that is the mean of."""


@dataclass(frozen=True, slots=True)
class Hindsight:
    """What an earlier count did not know: how many more (or fewer) were inside since then."""

    since: float
    more: int


@dataclass(slots=True)
class Stay:
    """Whether somebody is in the zone; the current stay, or the last one.

    Never changed, but, like a Track, not frozen: one is made for everybody in every look.
    """

    inside: bool
    since: float | None
    """The first look of it; None where it was ended."""
    until: float
    """The last look of it so far."""


class ZonePresence:
    """Keeps track of who is in a zone, or in the whole picture, despite missed detections and
    changed ids.

    A detector misses a person in about one picture in seven. To count these people too, a track
    stays for `memory_s` after it was last seen, or for `at_least_s` where that is longer, unless it
    walked out of the picture.
    """

    def __init__(
        self, context: RuleContext, zone: Polygon | None = None, at_least_s: float = 0.0
    ) -> None:
        self.memory = PresenceMemory()
        self.hindsight: list[Hindsight] = []
        """What the last frame told of earlier ones: tracks are confirmed late, lost and found
        again, and judged inside once that is sure."""
        self._usual_shape = USUAL_SHAPES.get(context.label or "", 0.0)
        self._ground = None if zone is None else ground_of(zone, context.aspect)
        self._aspect = context.aspect
        self._every_s = context.every_s
        self._at_least_s = at_least_s

    def see(self, seen: Observation) -> dict[int, int]:
        """Process a frame; returns the old id of each new id that continues a vanished one."""
        memory = self.memory
        if seen.run != memory.run:  # track ids start over with each run
            memory.run, memory.trails, memory.stances, memory.bodies = seen.run, {}, {}, {}
        pause_s, memory.seen_at = seen.at - memory.seen_at, seen.at
        patience_s = memory_s(self._every_s, pause_s)
        memory.patience_s = patience_s if patience_s > self._at_least_s else self._at_least_s
        self.hindsight = []
        if not (seen.tracks or seen.others or memory.trails):
            return {}
        for track in seen.others:  # taken for this kind before
            self._drop(track.id)
        present = {track.id for track in seen.tracks}
        renamed: dict[int, int] = {}
        for track in seen.tracks:
            if track.id not in memory.trails:
                first = trail_of(track.steps[0], self._aspect)
                hidden = {id_: t for id_, t in memory.trails.items() if not self._left(id_)}
                within_s = max(memory.patience_s, RETURN_S)
                old = continued(hidden, present, first, within_s)
                if old is not None:
                    renamed[track.id] = old
                    memory.trails[track.id] = memory.trails.pop(old)
                    if old in memory.bodies:  # not in an earlier release's state
                        memory.bodies[track.id] = memory.bodies.pop(old)
                        memory.stances[track.id] = memory.stances.pop(old)
            self._follow(track)
        self._dismiss(seen.at, present)
        return renamed

    def inside(self) -> list[int]:
        """The ids of all who are in the zone or were last seen there; without one, of everyone."""
        bodies = self.memory.bodies
        if not bodies:
            return []
        stances = self.memory.stances
        ids = [
            id_
            for id_, stance in stances.items()
            if stance.inside and bodies[id_].absent_at is None and bodies[id_].in_picture
        ]
        return sorted(ids)

    def stay(self, id_: int) -> Stay:
        """Whether somebody is inside, and since when."""
        stance, picture = self.memory.stances[id_], self.memory.bodies[id_].picture
        if picture is None:
            return Stay(stance.inside, stance.entered_at, stance.inside_at)
        inside = stance.inside and picture.inside
        since = stance.entered_at
        if since is not None and picture.entered_at is not None:
            since = max(since, picture.entered_at)
        until = max(stance.inside_at, picture.inside_at) if inside else picture.inside_at
        return Stay(inside, since, until if inside else min(until, stance.inside_at))

    def end_stay(self, id_: int) -> None:
        """What was somebody's stay is over; if he is still there, he begins another."""
        if id_ in self.memory.stances:
            self.memory.stances[id_].entered_at = None

    def _follow(self, track: Track) -> None:
        """Take one track's new steps to its trail, body and stance."""
        memory, id_ = self.memory, track.id
        first = track.steps[0]
        trail = memory.trails.get(id_)
        if trail is None:
            trail = memory.trails[id_] = trail_of(first, self._aspect)
        body = memory.bodies.get(id_)
        if body is None:
            body = memory.bodies[id_] = _body(first.at, first.box)
        stance = memory.stances.get(id_)
        if stance is None:
            inside = self._depth(trail) >= 0
            memory.stances[id_] = stance = Stance.first(first.at, inside)
            self._judge_middle(trail, body, first)
            if inside and body.in_picture:
                self.hindsight.append(Hindsight(first.at, 1))
        elif body.absent_at is not None and stance.inside and body.in_picture:
            self.hindsight.append(Hindsight(body.absent_at, 1))
        body.missed_at, body.absent_at, body.left = None, None, False
        aspect, ground = self._aspect, self._ground
        for step in track.steps:
            at, box = step.at, step.box
            x, y = trail.go(step, aspect)
            if body.see(at, box) and not body.shown:
                body.shown = True
                self._learn_shape(box)
            # On which side of the zone's border it is, and whether in the picture.
            if body.picture is not None or box[0] < EDGE or box[2] > 1.0 - EDGE:
                crossed = self._judge_middle(trail, body, step)
                if crossed is not None and stance.inside:
                    self.hindsight.append(Hindsight(crossed.since, 1 if crossed.inside else -1))
            if ground is None:
                stance.at = stance.inside_at = at
                continue
            depth = ground.depth((x / aspect, y))
            crossed = stance.see(at, depth, _noise(trail, step), ground.deepest)
            if crossed is not None and body.in_picture:
                self.hindsight.append(Hindsight(crossed.since, 1 if crossed.inside else -1))

    def _judge_middle(self, trail: Trail, body: Body, step: Step) -> BorderCrossing | None:
        """Of a body that the left or right edge of the picture cuts, the middle counts.

        As far as its width is known: whoever has less than half of himself in the picture is not
        in it.
        """
        left, _, right, _ = step.box
        if (left < EDGE) != (right > 1.0 - EDGE):
            shape = self._usual_shape if self.memory.shape is None else self.memory.shape
            width = max(body.width, shape * body.height / self._aspect)
            seen = right if left < EDGE else 1.0 - left
            depth = (seen - width / 2) * self._aspect
        elif body.picture is None:
            return None
        elif body.picture.inside:
            body.picture.stay(step.at)
            return None
        else:
            depth = FAR
        if body.picture is None:
            body.picture = Stance.first(step.at, depth >= 0)
        return body.picture.see(step.at, depth, _noise(trail, step), FAR)

    def _depth(self, trail: Trail) -> float:
        """How far inside of the zone the feet are, in picture heights."""
        if self._ground is None:
            return FAR
        return self._ground.depth((trail.xy[0] / self._aspect, trail.xy[1]))

    def _learn_shape(self, box: Box) -> None:
        memory = self.memory
        shape = (box[2] - box[0]) * self._aspect / max(box[3] - box[1], EDGE)
        memory.shaped = min(memory.shaped + 1.0, SHAPES)
        known = shape if memory.shape is None else memory.shape
        memory.shape = known + (shape - known) / memory.shaped

    def _left(self, id_: int) -> bool:
        body = self.memory.bodies.get(id_)
        return body is not None and body.left

    def _drop(self, id_: int) -> None:
        self.memory.trails.pop(id_, None)
        self.memory.bodies.pop(id_, None)
        self.memory.stances.pop(id_, None)

    def _dismiss(self, at: float, present: set[int]) -> None:
        """Count no longer who is hidden for too long or has left, and forget who stays away."""
        memory = self.memory
        for id_ in [one for one in memory.trails if one not in present]:
            trail = memory.trails[id_]
            hidden_s = at - trail.at
            if hidden_s > max(memory.patience_s, RETURN_S):
                self._drop(id_)
                continue
            body = memory.bodies.get(id_)
            if body is None:  # of an earlier release's state
                x, y = trail.xy[0] / self._aspect, trail.xy[1]
                body = memory.bodies[id_] = _body(trail.at, (x, y - trail.height, x, y))
                inside = self._depth(trail) >= 0
                memory.stances[id_] = Stance.first(trail.at, inside)
            if body.missed_at is None:
                body.missed_at = at
            if body.absent_at is not None:
                continue
            if self._has_left(trail, body, hidden_s):
                body.left = True
                stance = self.memory.stances[id_]
                turned_at = None if body.picture is None else body.picture.turned_at
                body.absent_at = body.missed_at if turned_at is None else turned_at
                if stance.inside and body.in_picture:
                    self.hindsight.append(Hindsight(body.absent_at, -1))
            elif hidden_s > memory.patience_s:
                body.absent_at = at

    def _has_left(self, trail: Trail, body: Body, hidden_s: float) -> bool:
        """Whether it was on its way out of the picture, and should be outside by now."""
        if hidden_s > CUT_S and (body.box[0] < EDGE or body.box[2] > 1.0 - EDGE):
            return True
        for axis, size, unit in ((0, body.width, self._aspect), (1, body.height, 1.0)):
            low, high = body.box[axis], body.box[axis + 2]
            speed, least = trail.speed[axis] / unit, LEAVING * trail.height
            if body.moved is not None:  # an edge that is cut does not move
                low_speed, high_speed = body.moved[axis], body.moved[axis + 2]
                at_low, at_high = low < EDGE, high > 1.0 - EDGE
                if at_low != at_high:
                    speed = high_speed if at_low else low_speed
                else:
                    speed = (low_speed + high_speed) / 2
            if abs(speed) * unit < least or size <= 0:
                continue
            moved = speed * hidden_s
            inside = high + moved if speed < 0 else 1.0 - (low + moved)
            if inside < SEEN_SHARE * size:
                return True
        return False


def _noise(trail: Trail, step: Step) -> float:
    """Standard deviation of the feet in picture heights."""
    feet = step.feet
    if feet is None:
        return max(USUAL_NOISE * trail.height, LEAST_NOISE**2)
    noise, least = feet.noise, LEAST_NOISE * trail.height
    if noise < least:
        noise = least
    return noise if noise > LEAST_NOISE**2 else LEAST_NOISE**2


def _body(at: float, box: Box) -> Body:
    return Body(box, box[2] - box[0], box[3] - box[1], at=at)
