"""What is true of exact feet, and how far a count is from it. Knows nothing of the product."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.counting.scenes import Crossing, Direction, Scene
from pipeline.core.geometry import Line, Point, Polygon

CLEAR = 8 / 576
"""Picture heights that a foot has to be off a line to be clear of it."""
WITHIN_S = 2.0
"""A counted crossing and a true one at most this far apart are taken for the same."""
_BEYOND = 0.01
"""Picture heights by which a line is longer than drawn: who walks through its end crosses it."""

Feet = Mapping[int, Mapping[int, Point]]
"""Where the feet are, by id and frame, as fractions of the picture."""


def true_crossings(feet: Feet, line: Line, aspect: float, fps: float) -> tuple[Crossing, ...]:
    """Who goes from clear of the line on one side to clear of it on the other, through the segment.

    Looking from the line's first point to its second, `in` ends on the right-hand side.
    """
    ax, ay = line.start[0] * aspect, line.start[1]
    dx, dy = line.end[0] * aspect - ax, line.end[1] - ay
    length = math.hypot(dx, dy)
    made = []
    for id_, path in feet.items():
        side, net = 0, 0  # the last side it was clear on, and how often it went through since
        last: tuple[float, float] | None = None
        for frame in sorted(path):
            x, y = path[frame][0] * aspect - ax, path[frame][1] - ay
            off, along = (dx * y - dy * x) / length, (dx * x + dy * y) / length
            if last is not None and (last[0] < 0) != (off < 0):
                at = last[1] + last[0] / (last[0] - off) * (along - last[1])
                if -_BEYOND <= at <= length + _BEYOND:
                    net += 1 if off > last[0] else -1
            last = (off, along)
            if abs(off) < CLEAR:
                continue
            now = 1 if off > 0 else -1
            if side == -now and net * now > 0:
                direction: Direction = "in" if now > 0 else "out"
                made.append(Crossing(round(frame / fps, 3), id_, direction))
            side, net = now, 0
    return tuple(sorted(made, key=lambda crossing: (crossing.at, crossing.track)))


def is_inside(zone: Polygon, place: Point) -> bool:
    """Whether a point lies in a zone."""
    within = False
    x0, y0 = zone.corners[-1]
    for x1, y1 in zone.corners:
        if (y0 > place[1]) != (y1 > place[1]) and (
            place[0] < x0 + (place[1] - y0) / (y1 - y0) * (x1 - x0)
        ):
            within = not within
        x0, y0 = x1, y1
    return within


def true_occupancy(feet: Feet, zone: Polygon, frames: int) -> float:
    """How many are in a zone, on the mean of all frames."""
    inside = sum(is_inside(zone, place) for path in feet.values() for place in path.values())
    return inside / frames


def counted(crossings: Iterable[Crossing]) -> dict[Direction, int]:
    """How many there are in each direction."""
    directions = [crossing.direction for crossing in crossings]
    return {"in": directions.count("in"), "out": directions.count("out")}


def errors(
    scene: Scene,
    found: Mapping[str, Sequence[Crossing]],
    lines: Collection[str] | None = None,
) -> int:
    """Sum of |counted - true| over the lines, or some of them, and both directions."""
    wrong = 0
    for line in scene.crossings if lines is None else lines:
        truth, seen = counted(scene.crossings[line]), counted(found[line])
        wrong += sum(abs(seen[direction] - truth[direction]) for direction in truth)
    return wrong


@dataclass(frozen=True, slots=True)
class Unmatched:
    """Crossings without a partner of their line and direction near in time, each with its line."""

    missed: tuple[tuple[str, Crossing], ...]
    invented: tuple[tuple[str, Crossing], ...]


def unmatched(scene: Scene, found: Mapping[str, Sequence[Crossing]]) -> Unmatched:
    """What was missed and what was invented: other than in `errors`, they do not cancel out."""
    missed, invented = [], []
    for line, truth in scene.crossings.items():
        left = list(found[line])
        for true in truth:
            near = [
                other
                for other in left
                if other.direction == true.direction and abs(other.at - true.at) <= WITHIN_S
            ]
            if near:
                left.remove(min(near, key=lambda other: abs(other.at - true.at)))
            else:
                missed.append((line, true))
        invented += [(line, crossing) for crossing in left]
    return Unmatched(tuple(missed), tuple(invented))
