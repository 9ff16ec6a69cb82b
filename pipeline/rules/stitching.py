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
UNTOLD_NOISE = 0.01
"""Standard deviation of feet in body heights, where the tracker does not tell."""
HORIZON_S = 2.5
"""For how long a walker's last velocity predicts the position."""


@dataclass(slots=True)
class Trail:
    """Where a track's feet were last, and how it moved, in picture heights."""

    at: float
    xy: Point
    height: float
    """Of the whole body."""
    speed: Point = (0.0, 0.0)
    noise: float = 0.0
    """Standard deviation of `xy` in picture heights."""

    def go(self, step: Step, aspect: float) -> Point:
        """Add one more step, and return where the feet are."""
        passed_s, feet = step.at - self.at, step.feet
        if feet is None:
            now = trail_of(step, aspect)
            xy, self.height, self.noise = now.xy, now.height, now.noise
        else:
            xy = (feet.place[0] * aspect, feet.place[1])
            self.height, self.noise = feet.height, feet.noise
        if passed_s > 0:
            weight = passed_s / (passed_s + SPEED_MEMORY_S)
            (x, y), (old_x, old_y), (vx, vy) = xy, self.xy, self.speed
            self.speed = (
                vx + weight * ((x - old_x) / passed_s - vx),
                vy + weight * ((y - old_y) / passed_s - vy),
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


def trail_of(step: Step, aspect: float) -> Trail:
    """The trail that begins with a step."""
    feet = step.feet
    if feet is None:
        x, y = step.anchor
        height = step.box[3] - step.box[1]
        return Trail(step.at, (x * aspect, y), height, noise=UNTOLD_NOISE * height)
    x, y = feet.place
    return Trail(step.at, (x * aspect, y), feet.height, noise=feet.noise)


def memory_s(every_s: float, pause_s: float) -> float:
    """How long a vanished id can be continued.

    `every_s` is the longest interval between samples and `pause_s` the last one: where still
    scenes are sampled rarely and lively ones often, the current pace counts.
    """
    # For every rule and look: plain comparisons take a third of the time of max() and min().
    kept_s = MEMORY_SAMPLES * (every_s if every_s < pause_s else pause_s)
    return kept_s if kept_s > LEAST_MEMORY_S else LEAST_MEMORY_S


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
