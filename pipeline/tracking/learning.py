"""What a tracker learns of its scene: how exact boxes are, how fast things go, and which way."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.core.geometry import Box, Point
from pipeline.tracking.motion import centre_of, height_of, shape_of

SOON_S = 0.6
"""Boxes of a thing seen this long ago tell how exact boxes are; later ones tell of its turns."""
LEAST_WEIGHT, MOST_WEIGHT = 40.0, 400.0
"""The first guess counts as much as this many boxes; what was learned is forgotten over as many."""
OUTLIER = 9.0
"""A square this many times the expected one is a mistaken pair or half a body, and counts as so
much."""


@dataclass(slots=True)
class LearnedBlur:
    """A standard deviation, learned from how far predictions were off."""

    least: float
    most: float
    value: float
    weight: float = LEAST_WEIGHT

    def to_json(self) -> list[float]:
        """What was learned."""
        return [self.value, self.weight]

    def resume(self, kept: Sequence[Any]) -> None:
        """Go on with what `to_json` wrote."""
        self.value, self.weight = map(float, kept)
        if not (self.least <= self.value <= self.most and self.weight >= LEAST_WEIGHT):
            raise ValueError(f"a spread of {self.value:g} after {self.weight:g} boxes")

    def learn(self, off_square: float, predicted: float) -> None:
        """A prediction whose own variance was `predicted` was off by this in the square mean."""
        variance = self.value * self.value
        total = predicted + variance
        outlying = OUTLIER * total
        surprise = (off_square if off_square < outlying else outlying) - total
        weight = self.weight + 1.0
        self.weight = weight = weight if weight < MOST_WEIGHT else MOST_WEIGHT
        variance += surprise * (variance / total) * 2.0 / weight
        value = math.sqrt(variance) if variance > 0.0 else 0.0
        least, most = self.least, self.most
        self.value = least if value < least else most if value > most else value


GRID = (12, 8)
"""Columns and rows of the places whose flow is learned."""
PRIOR_LOOKS = 2.0
"""The first guess of a place's flow counts as much as this many things that were seen to move."""
MOST_LOOKS = 50.0
"""What was learned of a place is forgotten over as many."""
LEAST_SHARE = 0.7
"""A place's flow is never surer than this share of the typical speed."""
KIND_HEIGHTS, UNKNOWN_HEIGHTS, MOST_HEIGHTS = 40.0, 10.0, 400.0
"""The speed that a word stands for counts as much as this way, in own heights, that things were
seen to go; that of an unknown word less; and what was learned is forgotten over the last."""
ALIKE = 0.25
"""Boxes of one thing differ less in log width and log height from look to look."""
STRAIGHT = 0.08
"""A thing that passes is this close, for each height of its way, to where a straight line at one
speed puts it."""
JITTER = 1.25
"""Boxes that jitter seem to hurry by up to this factor: a mean is not believed to the last."""
FARTHEST = 8.0
"""A typical speed is learned to at most this multiple of the first guess, or its inverse."""


@dataclass(slots=True)
class TypicalSpeed:
    """The typical speed in own heights a second: the mean over the way that things went."""

    first: float
    value: float
    way: float

    def learn(self, speed: float, way: float) -> None:
        """A thing went so far, so fast."""
        self.way = min(self.way + way, MOST_HEIGHTS)
        value = self.value + (speed - self.value) * min(way / self.way, 1.0)
        self.value = min(max(value, self.first / FARTHEST), self.first * FARTHEST)

    def to_json(self) -> list[float]:
        """What was learned."""
        return [self.value, self.way]

    def resume(self, kept: Sequence[Any]) -> None:
        """Go on with what `to_json` wrote."""
        self.value, self.way = map(float, kept)
        if self.value <= 0.0 or self.way <= 0.0:
            raise ValueError(f"a speed of {self.value:g} over {self.way:g} heights")

    def typical(self) -> float:
        """At least the first guess: who stands about may always begin to walk."""
        return max(self.first, self.value / JITTER)


def speed_in_line(seen: Sequence[tuple[float, Box]], aspect: float) -> float:
    """The speed, in own heights a second, of what three boxes show if they are alike and in line.

    0 if they are not.
    """
    (t0, first), (t1, middle), (t2, last) = seen
    shapes = [shape_of(box, aspect) for box in (first, middle, last)]
    for sizes in zip(*shapes, strict=True):
        if max(sizes) - min(sizes) > ALIKE:
            return 0.0
    (x0, y0), (x1, y1), (x2, y2) = (centre_of(box, aspect) for box in (first, middle, last))
    height = height_of(middle)
    way = math.hypot(x2 - x0, y2 - y0) / height
    share = (t1 - t0) / (t2 - t0)
    off = math.hypot(x1 - x0 - share * (x2 - x0), y1 - y0 - share * (y2 - y0)) / height
    return way / (t2 - t0) if off < STRAIGHT * (1.0 + way) else 0.0


@dataclass(slots=True)
class Currents:
    """Which way things go where, in own heights a second, at the places of a coarse grid."""

    cells: dict[int, list[float]] = field(default_factory=dict)
    """Number of looks, mean velocity (x, y), and its variance for each axis."""

    def learn(self, start: Point, end: Point, velocity: Point) -> None:
        """A thing went from one place to another (0..1 of the picture) at that velocity."""
        first, last = _cell(*start), _cell(*end)
        cells = [first, last] if first != last else [first]
        if first != last:
            parts = max(abs(end[0] - start[0]) * GRID[0], abs(end[1] - start[1]) * GRID[1])
            steps = min(math.ceil(parts), max(GRID))
            along = (
                _cell(
                    start[0] + (end[0] - start[0]) * step / steps,
                    start[1] + (end[1] - start[1]) * step / steps,
                )
                for step in range(1, steps)
            )
            cells = sorted({*cells, *along})
        for cell in cells:
            kept = self.cells.setdefault(cell, [0.0, 0.0, 0.0, 0.0])
            looks, vx, vy, variance = kept
            looks = min(looks + 1.0, MOST_LOOKS)
            dx, dy = velocity[0] - vx, velocity[1] - vy
            vx, vy = vx + dx / looks, vy + dy / looks
            square = (dx * (velocity[0] - vx) + dy * (velocity[1] - vy)) / 2.0
            kept[:] = [looks, vx, vy, variance + (square - variance) / looks]

    def to_json(self) -> dict[str, list[float]]:
        """What was learned, at the places where anything moved."""
        return {str(cell): list(kept) for cell, kept in sorted(self.cells.items())}

    def resume(self, kept: Mapping[str, Any]) -> None:
        """Go on with what `to_json` wrote."""
        cells: dict[int, list[float]] = {}
        for cell, values in kept.items():
            looks, vx, vy, variance = map(float, values)
            if not 0 <= int(cell) < GRID[0] * GRID[1] or looks < 1.0 or variance < 0.0:
                raise ValueError(f"a place {cell} with {looks:g} looks")
            cells[int(cell)] = [looks, vx, vy, variance]
        self.cells = cells

    def at(self, place: Point, speed: float) -> tuple[Point, float]:
        """The expected velocity of a thing that appears there, and its variance for each axis."""
        kept = self.cells.get(_cell(*place))
        if kept is None:
            return (0.0, 0.0), speed**2
        looks, vx, vy, variance = kept
        known = looks / (looks + PRIOR_LOOKS)
        spread = known * variance + (1.0 - known) * speed**2
        return (known * vx, known * vy), max(spread, (LEAST_SHARE * speed) ** 2)


def _cell(x: float, y: float) -> int:
    column = min(max(int(x * GRID[0]), 0), GRID[0] - 1)
    return min(max(int(y * GRID[1]), 0), GRID[1] - 1) * GRID[0] + column
