"""Points, boxes, lines and polygons in frame coordinates: x right, y down, both 0..1."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]
"""(x, y) as fractions of the frame's width and height."""
Box = tuple[float, float, float, float]
"""(x_min, y_min, x_max, y_max) as fractions of the frame's width and height."""


@dataclass(frozen=True, slots=True)
class Line:
    """A directed segment. Looking from `start` to `end`, its right-hand side is the `in` side."""

    start: Point
    end: Point


@dataclass(frozen=True, slots=True)
class Polygon:
    """A simple polygon of at least three corners, closed implicitly."""

    corners: tuple[Point, ...]


def bottom_centre(box: Box) -> Point:
    """The point where a standing person or a vehicle touches the ground."""
    return ((box[0] + box[2]) / 2, box[3])


def centre(box: Box) -> Point:
    """The middle of a box."""
    return ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)


def clamped(box: Box) -> Box:
    """The part of a box that lies inside the frame."""
    x_min, y_min, x_max, y_max = (min(1.0, max(0.0, value)) for value in box)
    return (x_min, y_min, x_max, y_max)


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    overlap = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap
    return overlap / union if union > 0 else 0.0


def cross(origin: Point, a: Point, b: Point) -> float:
    """Twice the signed area of a triangle; positive when `b` is right of `origin`→`a` (y down)."""
    return (a[0] - origin[0]) * (b[1] - origin[1]) - (a[1] - origin[1]) * (b[0] - origin[0])


def segments_touch(a: tuple[Point, Point], b: tuple[Point, Point]) -> bool:
    """Whether two closed segments share at least one point."""
    d1, d2 = cross(b[0], b[1], a[0]), cross(b[0], b[1], a[1])
    d3, d4 = cross(a[0], a[1], b[0]), cross(a[0], a[1], b[1])
    if ((d1 > 0) != (d2 > 0)) and ((d3 > 0) != (d4 > 0)) and 0.0 not in (d1, d2, d3, d4):
        return True
    return (
        (d1 == 0 and _within(b, a[0]))
        or (d2 == 0 and _within(b, a[1]))
        or (d3 == 0 and _within(a, b[0]))
        or (d4 == 0 and _within(a, b[1]))
    )


def _within(segment: tuple[Point, Point], point: Point) -> bool:
    (ax, ay), (bx, by) = segment
    return min(ax, bx) <= point[0] <= max(ax, bx) and min(ay, by) <= point[1] <= max(ay, by)


def contains(polygon: Polygon, point: Point) -> bool:
    """Whether a point lies inside a polygon (even-odd rule; the upper and left edges belong)."""
    x, y = point
    inside = False
    previous = polygon.corners[-1]
    for corner in polygon.corners:
        (x0, y0), (x1, y1) = previous, corner
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0):
            inside = not inside
        previous = corner
    return inside


def meeting_edges(corners: Sequence[Point]) -> tuple[int, int] | None:
    """The first two edges that meet but are not neighbours, by the corners at which they begin."""
    n = len(corners)
    edges = [(corners[i], corners[(i + 1) % n]) for i in range(n)]
    # From left to right, so that an edge is compared only with those that begin before it ends:
    # comparing all pairs of a mask with a hundred corners would take as long as reading its file.
    spans = sorted((min(a[0], b[0]), max(a[0], b[0]), i) for i, (a, b) in enumerate(edges))
    found = []
    for k, (_, right, i) in enumerate(spans):
        low, high = sorted((edges[i][0][1], edges[i][1][1]))
        for left, _, j in spans[k + 1 :]:
            if left > right:
                break
            (_, y0), (_, y1) = edges[j]
            apart = (y0 < low and y1 < low) or (y0 > high and y1 > high)
            neighbours = (i - j) % n in (1, n - 1)
            if not apart and not neighbours and segments_touch(edges[i], edges[j]):
                found.append((min(i, j), max(i, j)))
    return min(found, default=None)


def crosses_itself(corners: Sequence[Point]) -> bool:
    """Whether any two edges that are not neighbours meet, or the polygon has no area."""
    if meeting_edges(corners) is not None:
        return True
    doubled_area = sum(
        a[0] * b[1] - a[1] * b[0] for a, b in itertools.pairwise([*corners, corners[0]])
    )
    return abs(doubled_area) < 1e-9
