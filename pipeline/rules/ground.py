"""From the picture to the ground in metres, by a zone whose lengths were measured."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core.geometry import Point, cross

Matrix = tuple[float, float, float, float, float, float, float, float, float]

_STEP = 1e-4
"""How far apart places in the picture are at which the ground's scale is measured, in 0..1."""


@dataclass(frozen=True, slots=True)
class Ground:
    """A plane, seen in perspective: a homography from 0..1 of the picture to metres."""

    matrix: Matrix

    @classmethod
    def of_corners(cls, seen: Sequence[Point], metres: Sequence[Point]) -> "Ground":
        """By four points and where they are on the ground; raises ValueError where that is none."""
        for points in (seen, metres):
            turns = [cross(points[i], points[(i + 1) % 4], points[(i + 2) % 4]) for i in range(4)]
            if not (all(turn > 1e-9 for turn in turns) or all(turn < -1e-9 for turn in turns)):
                raise ValueError(
                    "the four corners must go round it, each turning the same way: no corner may "
                    "lie between others, and none in a straight line with its neighbours"
                )
        # From the middle, which is on the ground for sure: a corner of the picture may be the sky.
        mid_x, mid_y = sum(x for x, _ in seen) / 4, sum(y for _, y in seen) / 4
        rows: list[list[float]] = []
        for (seen_x, seen_y), (to_x, to_y) in zip(seen, metres, strict=True):
            x, y = seen_x - mid_x, seen_y - mid_y
            rows.append([x, y, 1, 0, 0, 0, -x * to_x, -y * to_x, to_x])
            rows.append([0, 0, 0, x, y, 1, -x * to_y, -y * to_y, to_y])
        a, b, c, d, e, f, g, h = _solved(rows)
        c, f, i = c - a * mid_x - b * mid_y, f - d * mid_x - e * mid_y, 1.0 - g * mid_x - h * mid_y
        return cls((a, b, c, d, e, f, g, h, i))

    @classmethod
    def of_side(cls, start: Point, end: Point, metres: float, aspect: float) -> "Ground":
        """For a camera that looks straight down: one length is the scale of everything."""
        length = math.hypot((end[0] - start[0]) * aspect, end[1] - start[1])
        scale = metres / length
        return cls((scale * aspect, 0.0, 0.0, 0.0, scale, 0.0, 0.0, 0.0, 1.0))

    def place(self, xy: Point) -> Point | None:
        """Where a point of the picture is, in metres; None at and above the horizon."""
        a, b, c, d, e, f, g, h, i = self.matrix
        x, y = xy
        depth = g * x + h * y + i
        if depth <= 1e-6:
            return None
        return ((a * x + b * y + c) / depth, (d * x + e * y + f) / depth)

    def noise(self, xy: Point, noise: float, aspect: float) -> float:
        """What an error of `noise` picture heights at a place is on the ground, in metres.

        The greater of the two directions: along the line of sight a pixel is longer.
        """
        here = self.place(xy)
        right = self.place((xy[0] + _STEP / aspect, xy[1]))
        down = self.place((xy[0], xy[1] + _STEP))
        if here is None or right is None or down is None:
            return math.inf
        return noise / _STEP * max(math.dist(here, right), math.dist(here, down))


def _solved(rows: list[list[float]]) -> list[float]:
    """Linear equations, the right side last, by elimination with pivots."""
    size = len(rows)
    for column in range(size):
        pivot = max(range(column, size), key=lambda row: abs(rows[row][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        for row in range(size):
            if row != column:
                part = rows[row][column] / rows[column][column]
                rows[row] = [
                    value - part * other
                    for value, other in zip(rows[row], rows[column], strict=True)
                ]
    return [row[size] / row[index] for index, row in enumerate(rows)]
