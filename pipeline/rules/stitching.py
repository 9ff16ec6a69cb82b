"""Follows a walker's feet through hidden moments, and recognises the walker under a new track id.

When people pass behind something, their feet are hidden, and their box ends at the edge of what
hides them. Trackers lose people who pass each other and find them again under a new id; a rule's
memory of a walker must then move to the new id.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pipeline.core.geometry import Point
from pipeline.core.tracks import Step

MEMORY_SAMPLES = 2.5
"""Sampling intervals after which a vanished id is no longer continued: after more than two missed
frames a walker can be anywhere."""
LEAST_MEMORY_S = 1.0
"""The same in seconds, at high rates: people hide each other for about a second."""
REACH_HEIGHTS = 0.5
"""How far, in body heights, a continuation may be from where it is expected."""
REACH_HEIGHTS_PER_S = 0.4
"""How much that grows per second; less than a walker's speed of about 0.8, so that the direction of
walking matters."""
HEIGHT_RATIO = 1.5
"""A body never grows this much in a second, unless it was half hidden."""
SPEED_MEMORY_S = 0.5
"""Time constant of the smoothed speed; averages the jitter of a few boxes."""
HEIGHT_MEMORY_S = 1.0
"""Time constant of the usual height: longer than a stride, shorter than a walk to the camera."""
HIDDEN_SHARE = 0.8
"""A box below this share of the usual height is a partly hidden body; strides change the height by
a tenth."""
HORIZON_S = 2.5
"""For how long a walker's last velocity predicts the position."""
HIDDEN_S = 2.0
"""A body that stays small for longer than this has become smaller, as when sitting down."""


@dataclass(slots=True)
class Trail:
    """Where a track's feet were last, and how it moved, in picture heights."""

    at: float
    xy: Point
    height: float
    """Usual height of its box."""
    speed: Point = (0.0, 0.0)
    hidden_since: float | None = None

    def go(self, step: Step, aspect: float) -> Point:
        """Add one more step, and return where the feet are."""
        passed_s = step.at - self.at
        xy = self._feet(step, aspect, passed_s)
        if passed_s > 0:
            weight = passed_s / (passed_s + SPEED_MEMORY_S)
            moved = ((xy[0] - self.xy[0]) / passed_s, (xy[1] - self.xy[1]) / passed_s)
            self.speed = (
                self.speed[0] + weight * (moved[0] - self.speed[0]),
                self.speed[1] + weight * (moved[1] - self.speed[1]),
            )
        self.at, self.xy = step.at, xy
        return xy

    def expected(self, at: float) -> Point:
        """Where the feet should be at `at`."""
        passed_s = min(at - self.at, HORIZON_S)
        return (self.xy[0] + self.speed[0] * passed_s, self.xy[1] + self.speed[1] * passed_s)

    def miss(self, other: "Trail") -> float:
        """How far another trail's last position is from where this one should be then."""
        x, y = self.expected(other.at)
        return math.hypot(other.xy[0] - x, other.xy[1] - y)

    def _feet(self, step: Step, aspect: float, passed_s: float) -> Point:
        """The bottom centre, or a body's height below the head where the feet are hidden."""
        x, bottom = step.anchor
        top, height = step.box[1], step.box[3] - step.box[1]
        if height < HIDDEN_SHARE * self.height:
            self.hidden_since = step.at if self.hidden_since is None else self.hidden_since
            if step.at - self.hidden_since <= HIDDEN_S:
                likely = self.expected(step.at)[1]
                below_head = min(1.0, top + self.height)
                feet = min(bottom, below_head, key=lambda y: abs(y - likely))
                return (x * aspect, feet)
            self.height = height
        self.hidden_since = None
        weight = max(passed_s, 0.0) / (max(passed_s, 0.0) + HEIGHT_MEMORY_S)
        self.height += weight * (height - self.height)
        return (x * aspect, bottom)


def trail_of(step: Step, aspect: float) -> Trail:
    """The trail that begins with a step."""
    x, y = step.anchor
    return Trail(step.at, (x * aspect, y), step.box[3] - step.box[1])


def memory_s(every_s: float, pause_s: float) -> float:
    """How long a vanished id can be continued.

    `every_s` is the longest interval between samples and `pause_s` the last one: where still
    scenes are sampled rarely and lively ones often, the current pace counts.
    """
    return max(MEMORY_SAMPLES * min(every_s, pause_s), LEAST_MEMORY_S)


def continued(
    trails: Mapping[int, Trail], present: Collection[int], new: Trail, within_s: float
) -> int | None:
    """The vanished id that `new` continues, or None. Ids in `present` have not vanished."""
    best: tuple[float, int] | None = None
    for id_, trail in trails.items():
        passed_s = new.at - trail.at
        if id_ in present or not 0 < passed_s <= within_s:
            continue
        if max(trail.height, new.height) > HEIGHT_RATIO * min(trail.height, new.height):
            continue
        miss = trail.miss(new)
        reach = (REACH_HEIGHTS + REACH_HEIGHTS_PER_S * min(passed_s, HORIZON_S)) * trail.height
        if miss <= reach and (best is None or (miss, id_) < best):
            best = (miss, id_)
    return None if best is None else best[1]
