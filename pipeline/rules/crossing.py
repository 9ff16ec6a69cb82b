"""Which side of a line a walker is surely on, and when it was crossed: no identities.

A walker's place is known with an error, and whoever lingers near a line is seen on its other side
sooner or later by chance alone. So this is a sequential test: the side is believed where the
distance from the line exceeds as many standard deviations as the number of looks near it demands
(alpha spending, after K. K. G. Lan and D. L. DeMets 1983). A look may be judged half a second later
too, by all looks around it: hindsight is surer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from statistics import NormalDist
from typing import Any

from pydantic import model_validator

from pipeline.core.geometry import Line, Point

END_TOLERANCE = 0.01
"""Picture heights beyond a segment's ends that still belong to it: about a foot's width, so that
the detector's jitter does not decide about a path that touches an end."""
DOUBT = 0.07
"""The accepted chance that a look puts a walker on the wrong side: in the first looks, as who goes
past is seen near the line but a few times."""
FEW = 3.0
"""Looks near the line after which less is accepted: it falls with the square of their number, so
that all looks together of somebody who stands on a line for an hour stay below six of the first."""
FIRST_SURE = 2.3
"""Standard deviations that the first side takes: a wrong one makes a crossing of no crossing."""
NEAR = 6.0
"""Standard deviations within which a look is near the line."""
APART_S = 0.1
"""Looks that follow each other faster do not count fully."""
CALM_S = 1.0
"""How fast looks near the line are forgotten by one who is clear of it."""
HINDSIGHT_S = 0.5
"""A look is judged again when it is this old, by those up to this much older and younger."""
MOST_PASSAGES = 10
"""Passages that are remembered of one who wavers on the line; the oldest pair is no news."""


@dataclass(slots=True)
class Path:
    """The memory of one walker's path, in picture heights."""

    xy: Point
    at: float = 0.0
    noise: float = 0.0
    """Standard deviation of `xy`."""
    side: int = 0
    """The side on which it last surely was: 1 right (in), -1 left (out), 0 none yet."""
    passages: list[tuple[float, int]] = field(default_factory=list)
    """When it went through the segment since then, and to which side."""
    looks: float = 0.0
    """How many looks near the line there were lately."""
    recent: list[tuple[float, float, float]] = field(default_factory=list)
    """Looks for hindsight: time, distance from the line by that box alone, standard deviation."""

    @model_validator(mode="before")
    @classmethod
    def _with_passages(cls, state: Any) -> Any:
        """States of earlier releases keep the balance of the passages alone."""
        if isinstance(state, dict) and isinstance(state.get("through"), int):
            to = state["through"]
            passages = [(0.0, 1 if to > 0 else -1)] if to else []
            return {"passages": passages, **{k: v for k, v in state.items() if k != "through"}}
        return state


class Gate:
    """A directed segment, in picture heights.

    A crossing is complete when the walker is surely on the other side and got there through the
    segment; passing beyond its ends or turning back on it does not count.
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

    def along(self, xy: Point) -> float:
        """How far along the line a point is, in picture heights from its start."""
        x, y = xy[0] - self._start[0], xy[1] - self._start[1]
        return (x * self._along[0] + y * self._along[1]) / self._length

    def is_beside(self, xy: Point, reach: float = END_TOLERANCE) -> bool:
        """Whether a point is beside the segment, and not beyond its ends by more than `reach`."""
        return -reach <= self.along(xy) <= self._length + reach

    def side(self, xy: Point, noise: float, looks: float = 0.0, least: float = 0.0) -> int:
        """1 or -1 where the side of `xy` is sure, 0 elsewhere.

        `noise` is its standard deviation, `looks` the number of looks near the line before, and
        `least` a number of standard deviations that it takes in any case.
        """
        return self._side(self.distance(xy), noise, looks, least)

    def move(
        self, path: Path, at: float, xy: Point, noise: float, seen: Point, seen_noise: float
    ) -> list[tuple[float, int]]:
        """Move a walker to `xy`; returns the crossings that are sure now, as (time, side).

        `seen` is what the box of this look alone says. Crossings are dated at the moment when the
        walker went through the segment.
        """
        # As `distance` has it: this is done for everybody in every look.
        (start_x, start_y), (along_x, along_y), length = self._start, self._along, self._length
        old_x, old_y = path.xy
        before = (along_x * (old_y - start_y) - along_y * (old_x - start_x)) / length
        distance = (along_x * (xy[1] - start_y) - along_y * (xy[0] - start_x)) / length
        seen_away = (along_x * (seen[1] - start_y) - along_y * (seen[0] - start_x)) / length
        if (before < 0) != (distance < 0) and self._is_through(path.xy, before, xy, distance):
            moment = path.at + before / (before - distance) * (at - path.at) if path.at else at
            path.passages.append((moment, 1 if distance > before else -1))
            if len(path.passages) > MOST_PASSAGES:
                del path.passages[:2]
        elapsed_s, near = max(at - path.at, 0.0), NEAR * noise
        if near < self._margin:
            near = self._margin
        if -near < distance < near:
            path.looks += min(elapsed_s / APART_S, 1.0)
        elif path.looks:
            path.looks *= math.exp(-elapsed_s / CALM_S)
        path.at, path.xy, path.noise = at, xy, noise
        recent = path.recent
        while recent and at - recent[0][0] > 2 * HINDSIGHT_S + 1e-3:
            del recent[0]
        recent.append((at, seen_away, seen_noise))
        if path.side and not path.passages and _is_settled(path.side, distance, recent):
            return []
        least = 0.0 if path.side else FIRST_SURE
        crossings = []
        before_at = at - HINDSIGHT_S
        for when, side in (
            (before_at, self._side_then(path, before_at, least)),
            (at, self._side(distance, noise, path.looks, least)),
        ):
            crossed_at = self._settle(path, when, side) if side else None
            if crossed_at is not None:
                crossings.append((crossed_at, side))
        return crossings

    def vanish(self, path: Path) -> tuple[float, int] | None:
        """The crossing, as (time, side), of one who is seen no more and was likely beyond."""
        if not path.passages:
            return None
        side = self._side(self.distance(path.xy), path.noise, 0.0, 0.0)
        if side != -path.side or not side:
            return None
        crossed_at = self._settle(path, path.at, side)
        return None if crossed_at is None else (crossed_at, side)

    def _side(self, distance: float, noise: float, looks: float, least: float) -> int:
        away = abs(distance)
        # What the first looks demand is the least of all, and soon found.
        if away < self._margin or away < max(_LEAST_NEEDED, least) * noise:
            return 0
        if looks > FEW and away < _needed(looks) * noise:
            return 0
        return 1 if distance >= 0 else -1

    def _side_then(self, path: Path, at: float, least: float) -> int:
        """The side at an earlier moment, by a straight line through the looks around it."""
        if len(path.recent) < 3 or path.recent[0][0] > at:
            return 0
        looks = [(t - at, d, 1.0 / (noise**2 + 1e-9)) for t, d, noise in path.recent]
        total = sum(weight for _, _, weight in looks)
        mean_t = sum(weight * t for t, _, weight in looks) / total
        mean_d = sum(weight * d for _, d, weight in looks) / total
        spread = sum(weight * (t - mean_t) ** 2 for t, _, weight in looks)
        slope = sum(weight * (t - mean_t) * (d - mean_d) for t, d, weight in looks) / spread
        # Where the looks are not on a straight line, there is more than noise in them.
        misfit = sum(w * (d - mean_d - slope * (t - mean_t)) ** 2 for t, d, w in looks)
        doubt = max(misfit / (len(looks) - 2), 1.0)
        noise = math.sqrt(doubt * (1.0 / total + mean_t**2 / spread))
        return self._side(mean_d - slope * mean_t, noise, path.looks, least)

    def _settle(self, path: Path, when: float, side: int) -> float | None:
        """Believe that it was on a side then; returns when it had crossed to it, if it had."""
        done = [(at, to) for at, to in path.passages if at <= when]
        crossed = path.side == -side and sum(to for _, to in done) * side > 0
        path.side = side
        path.passages = [(at, to) for at, to in path.passages if at > when]
        if not crossed:
            return None
        # A passage that an earlier release has seen has no time.
        return max(at for at, to in done if to == side) or when

    def _is_through(self, a: Point, before: float, b: Point, after: float) -> bool:
        """Whether the way from `a` to `b`, at these distances, passes through the segment."""
        part = before / (before - after)
        return self.is_beside((a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1])))


def _is_settled(side: int, distance: float, recent: Sequence[tuple[float, float, float]]) -> bool:
    """Whether nothing puts a walker on another side: neither the place nor any recent look."""
    if side > 0:
        return distance >= 0 and min(recent, key=_DISTANCE)[1] >= 0
    return distance < 0 and max(recent, key=_DISTANCE)[1] < 0


_DISTANCE = itemgetter(1)
_NORMAL = NormalDist()


def _needed(looks: float) -> float:
    """How many standard deviations off a walker must be after that many looks near the line."""
    return -_NORMAL.inv_cdf(DOUBT * min(FEW / max(looks, 1.0), 1.0) ** 2)


_LEAST_NEEDED = _needed(0.0)
