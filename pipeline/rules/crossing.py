"""Which side of a line a walker is on, and when it is crossed: geometry without identities."""

import math
from dataclasses import dataclass

from pipeline.core.geometry import Line, Point

END_TOLERANCE = 0.01
"""Picture heights beyond a segment's ends that still belong to it: about a foot's width, so that
the detector's jitter does not decide about a path that touches an end."""


SURE = 3.5
LIKELY = 1.5


@dataclass(slots=True)
class Path:
    """The memory of one walker's path, in picture heights."""

    xy: Point
    at: float = 0.0
    noise: float = 0.0
    passed_at: float = 0.0
    """When it last passed through the segment."""
    side: int = 0
    """The side on which it last was clear of the band: 1 right (in), -1 left (out), 0 none yet."""
    through: int = 0
    """Passages through the segment since then: those to the right minus those to the left."""


class Gate:
    """A directed segment with a band of hysteresis around it, in picture heights.

    A crossing is complete when the walker is clear of the band on the other side and got there
    through the segment; passing beyond its ends or turning back within the band does not count.
    """

    def __init__(self, line: Line, aspect: float, margin: float) -> None:
        self._aspect = aspect
        self._margin = margin
        self._start = self.place(line.start)
        end = self.place(line.end)
        self._along = (end[0] - self._start[0], end[1] - self._start[1])
        self._length = math.hypot(*self._along)

    def place(self, point: Point) -> Point:
        """A point of the frame (0..1) in picture heights."""
        return (point[0] * self._aspect, point[1])

    def distance(self, xy: Point) -> float:
        """Signed distance from the extended line; positive on the right-hand side."""
        x, y = xy[0] - self._start[0], xy[1] - self._start[1]
        return (self._along[0] * y - self._along[1] * x) / self._length

    def side(self, xy: Point, noise: float = 0.0) -> int:
        """1 or -1 where it is sure, given the noise of `xy` in picture heights, 0 elsewhere."""
        distance = self.distance(xy)
        if abs(distance) < max(self._margin, SURE * noise):
            return 0
        return 1 if distance >= 0 else -1

    def likely(self, xy: Point, noise: float) -> int:
        distance = self.distance(xy)
        if abs(distance) < max(self._margin * LIKELY / SURE, LIKELY * noise):
            return 0
        return 1 if distance >= 0 else -1

    def vanish(self, path: Path) -> int:
        """1 or -1 where a walker who is seen no more has likely crossed to that side, else 0."""
        side = self.likely(path.xy, path.noise)
        if side == 0 or path.side != -side or path.through * side <= 0:
            return 0
        path.side, path.through = side, 0
        return side

    def move(self, path: Path, at: float, xy: Point, noise: float) -> int:
        """Move a walker to `xy`; 1 or -1 when that completes a crossing to that side, else 0."""
        passed = self._passage(path.xy, xy)
        if passed:
            before, after = self.distance(path.xy), self.distance(xy)
            path.through += passed
            path.passed_at = path.at + before / (before - after) * (at - path.at)
        path.at, path.xy, path.noise = at, xy, noise
        side = self.side(xy, noise)
        if path.side == 0 and side == 0:
            path.side = self.likely(xy, noise)
            path.through = 0
            return 0
        if side == 0:
            return 0
        crossed = path.side == -side and path.through * side > 0
        path.side, path.through = side, 0
        return side if crossed else 0

    def _passage(self, a: Point, b: Point) -> int:
        """1 or -1 if the way from `a` to `b` passes through the segment to that side, else 0."""
        before, after = self.distance(a), self.distance(b)
        if (before < 0) == (after < 0):
            return 0
        part = before / (before - after)
        x = a[0] + part * (b[0] - a[0]) - self._start[0]
        y = a[1] + part * (b[1] - a[1]) - self._start[1]
        along = (x * self._along[0] + y * self._along[1]) / self._length
        if not -END_TOLERANCE <= along <= self._length + END_TOLERANCE:
            return 0
        return 1 if after > before else -1
