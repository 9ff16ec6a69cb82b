"""Recognises a new track id as the continuation of one that vanished there a moment ago.

Trackers lose people who pass each other and find them again under a new number. What a rule
remembers of a walker then has to move on to the new id.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pipeline.core.geometry import Point
from pipeline.core.tracks import Step

MEMORY_SAMPLES = 2.5
"""Sampling intervals after which a vanished id is no longer continued; beyond two missed looks a
walker can be anywhere."""
LEAST_MEMORY_S = 1.0
"""The same at high rates: people are hidden behind each other for about a second."""
REACH_HEIGHTS = 0.5
"""How far, in body heights, a continuation may be from where it is expected."""
REACH_HEIGHTS_PER_S = 0.4
"""How much that grows with each second; less than a walker's speed of about 0.8, so that the way
he was going matters."""
HEIGHT_RATIO = 1.5
"""A body is not that much taller a second later, save for a half hidden one."""
SPEED_MEMORY_S = 0.5
"""Time constant of the smoothed speed; averages the jitter of a few boxes."""


@dataclass(slots=True)
class Trail:
    """Where a track was last, and how it moved, in picture heights."""

    at: float
    xy: Point
    height: float
    speed: Point = (0.0, 0.0)

    def go(self, at: float, xy: Point, height: float) -> None:
        """Take one more step."""
        passed_s = at - self.at
        if passed_s > 0:
            weight = passed_s / (passed_s + SPEED_MEMORY_S)
            moved = ((xy[0] - self.xy[0]) / passed_s, (xy[1] - self.xy[1]) / passed_s)
            self.speed = (
                self.speed[0] + weight * (moved[0] - self.speed[0]),
                self.speed[1] + weight * (moved[1] - self.speed[1]),
            )
        self.at, self.xy, self.height = at, xy, height

    def miss(self, at: float, xy: Point) -> float:
        """How far `xy` is from where this walker should be at `at`."""
        passed_s = at - self.at
        x, y = self.xy[0] + self.speed[0] * passed_s, self.xy[1] + self.speed[1] * passed_s
        return math.hypot(xy[0] - x, xy[1] - y)


def trail_of(step: Step, aspect: float) -> Trail:
    """The trail that begins with a step."""
    x, y = step.anchor
    return Trail(step.at, (x * aspect, y), step.box[3] - step.box[1])


def memory_s(every_s: float) -> float:
    """How long a vanished id can be continued."""
    return max(MEMORY_SAMPLES * every_s, LEAST_MEMORY_S)


def continued(
    trails: Mapping[int, Trail], present: Collection[int], new: Trail, within_s: float
) -> int | None:
    """The vanished id that `new` continues, or None. Ids in `present` have not vanished."""
    best: tuple[float, int] | None = None
    for id_, trail in trails.items():
        passed_s = new.at - trail.at
        if id_ in present or not 0 < passed_s <= within_s or not _alike(trail, new):
            continue
        miss = trail.miss(new.at, new.xy)
        reach = (REACH_HEIGHTS + REACH_HEIGHTS_PER_S * passed_s) * trail.height
        if miss <= reach and (best is None or (miss, id_) < best):
            best = (miss, id_)
    return None if best is None else best[1]


def _alike(a: Trail, b: Trail) -> bool:
    return max(a.height, b.height) <= HEIGHT_RATIO * min(a.height, b.height)
