"""Which side of a line a walker is on, and when it is crossed: geometry without identities."""

import math
from dataclasses import dataclass, field

from statistics import NormalDist

from pipeline.core.geometry import Line, Point

END_TOLERANCE = 0.01
"""Picture heights beyond a segment's ends that still belong to it: about a foot's width, so that
the detector's jitter does not decide about a path that touches an end."""


DOUBT = 0.05
FEW = 3.0
BIRTH = 2.3
POWER = 2.0
CLEAR = 6.0
CALM_S = 0.1
FORGET_S = 1.0
HINDSIGHT_S = 0.5
MOST_PASSAGES = 10


_NORMAL = NormalDist()

def needed(looks: float) -> float:
    return _NORMAL.inv_cdf(1.0 - DOUBT * min(1.0, FEW / max(looks, 1.0))**POWER)


@dataclass(slots=True)
class Path:
    """The memory of one walker's path, in picture heights."""

    xy: Point
    at: float = 0.0
    noise: float = 0.0
    side: int = 0
    """The side on which it last surely was: 1 right (in), -1 left (out), 0 none yet."""
    passages: list[tuple[float, int]] = field(default_factory=list)
    """When it went through the segment since then, and to which side."""
    looks: float = 0.0
    """Independent looks near the line."""
    recent: list[tuple[float, float, float]] = field(default_factory=list)
    """The last second: (time, distance of the box's foot from the line, standard deviation)."""


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

    def sure_side(self, distance: float, noise: float, looks: float, least: float = 0.0) -> int:
        """1 or -1 where the side is sure after that many looks near the line, 0 elsewhere."""
        if abs(distance) < max(self._margin, max(least, needed(looks)) * noise):
            return 0
        return 1 if distance >= 0 else -1

    def vanish(self, path: Path) -> float | None:
        """When a walker who is seen no more has likely crossed; None where it has not."""
        side = self.sure_side(self.distance(path.xy), path.noise, 0.0)
        return self._settle(path, path.at, side) if side else None

    def move(self, path: Path, at: float, xy: Point, noise: float, raw: Point, blur: float) -> list[tuple[float, int]]:
        """Move a walker to `xy`; returns the crossings (time, side) that are sure now."""
        passed = self._passage(path.xy, xy)
        distance = self.distance(xy)
        if passed:
            before = self.distance(path.xy)
            path.passages.append((path.at + before / (before - distance) * (at - path.at), passed))
            if len(path.passages) > MOST_PASSAGES:
                del path.passages[:2]
        elapsed = at - path.at
        if abs(distance) < max(self._margin, CLEAR * noise):
            path.looks += min(1.0, elapsed / CALM_S)
        else:
            path.looks *= math.exp(-elapsed / FORGET_S)
        path.at, path.xy, path.noise = at, xy, noise
        path.recent = [one for one in path.recent if at - one[0] <= 2 * HINDSIGHT_S + 1e-3]
        path.recent.append((at, self.distance(raw), blur))
        found = []
        for when, side in (self._hindsight(path), (at, self.sure_side(distance, noise, path.looks, 0.0 if path.side else BIRTH))):
            if side:
                crossed = self._settle(path, when, side)
                if crossed is not None:
                    found.append((crossed, side))
        return found

    def _settle(self, path: Path, when: float, side: int) -> float | None:
        net = sum(to for at, to in path.passages if at <= when)
        crossed = path.side == -side and net * side > 0
        last = max((at for at, to in path.passages if at <= when and to == side), default=when)
        path.side = side
        path.passages = [one for one in path.passages if one[0] > when]
        return last if crossed else None

    def _hindsight(self, path: Path) -> tuple[float, int]:
        """Where it surely was half a window ago, by a straight line through the window."""
        seen = path.recent
        middle = path.at - HINDSIGHT_S
        if len(seen) < 3 or seen[0][0] > middle:
            return middle, 0
        total = mean_t = mean_d = 0.0
        for at, distance, blur in seen:
            weight = 1.0 / (blur * blur + 1e-9)
            total += weight
            mean_t += weight * (at - middle)
            mean_d += weight * distance
        mean_t, mean_d = mean_t / total, mean_d / total
        spread = slope = 0.0
        for at, distance, blur in seen:
            weight = 1.0 / (blur * blur + 1e-9)
            off = at - middle - mean_t
            spread += weight * off * off
            slope += weight * off * (distance - mean_d)
        slope /= spread
        there = mean_d - slope * mean_t
        noise = math.sqrt(1.0 / total + mean_t * mean_t / spread)
        return middle, self.sure_side(there, noise, path.looks, 0.0 if path.side else BIRTH)

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
