"""Whether somebody is in a zone: judged when it is sure, and dated when the border was crossed."""

import math
from dataclasses import dataclass
from functools import lru_cache

from pipeline.core.geometry import Point, Polygon

AT_EDGE = 0.01
"""A corner this close to an edge of the picture, in 0..1, lies on it."""
WITHIN = 1e-6
"""How far inside of the picture a place beyond its edge is judged."""
CALM_S = 0.3
"""How long a detector's error of a box lasts: looks that follow each other faster tell less each.
Measured on three detectors: .2 to .3 s."""
DOUBTFUL = 2.0
"""Standard deviations beyond the border from which a look speaks for the other side."""
SURE = 4.0
"""How much must speak for it. With this and the two above somebody who stands on a border for ten
minutes is never judged anew, even if his noise is a third larger than assumed; a walker is within
half a second."""
MOST_SURPRISING = 8.0
"""A single look speaks for no more than this many standard deviations: it may be a bad box."""
EASIEST = 0.5
"""The least that DOUBTFUL may be for entering a zone that is not much deeper than the noise."""
WALK_S = 2.0
WALK_LOOKS = 2
"""Who walks over a border is clear of it within two seconds or looks, whichever is longer; whoever
seemed to be beyond it for longer before that stood on it."""
FAR = 100.0
"""The depth in a zone that has no border within the picture."""
MOST_KNOWN = 64
"""Places whose depths are remembered, for more than are seen in most looks."""
GRID = 24
"""In how many places across and down a zone's depth is tried."""


class ZoneGround:
    """A zone as ground to stand on.

    It goes on beyond the edges of the picture that it reaches: feet of people who are cut off
    there are somewhere below, and nobody can leave the zone there without leaving the picture.
    """

    def __init__(self, zone: Polygon, aspect: float) -> None:
        self._aspect = aspect
        corners = [(_snapped(x), _snapped(y)) for x, y in zone.corners]
        self._corners = corners
        self._edges: list[tuple[float, float, float, float, float]] = []
        """x, y, the way to the end, and the end's y, of each side that is not level."""
        self._borders: list[tuple[float, float, float, float, float]] = []
        """The same with 1 / length squared, of each side within the picture."""
        for a, b in zip(corners, (*corners[1:], corners[0]), strict=True):
            x, y = a[0] * aspect, a[1]
            dx, dy = b[0] * aspect - x, b[1] - y
            if dy:  # a ray to the right never passes through a level one
                self._edges.append((x, y, dx, dy, b[1]))
            squared = dx * dx + dy * dy
            if not _on_edge(a, b):
                self._borders.append((x, y, dx, dy, 1.0 / squared if squared > 0 else 0.0))
        self._known: dict[Point, float] = {}
        """Depths of places that were asked for last: rules of one zone ask for the same ones."""
        self.deepest = self._deepest()
        """How far from the border one can be inside, in picture heights."""

    def contains(self, place: Point) -> bool:
        """Whether a place (0..1, or beyond the edges of the picture) is inside."""
        return self.depth(place) > 0

    def depth(self, place: Point) -> float:
        """How far inside of the border a place is, in picture heights; negative outside."""
        known = self._known.get(place)
        if known is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[place] = known = self._measured(place)
        return known

    def _measured(self, place: Point) -> float:
        x, y = place
        x = (WITHIN if x < WITHIN else 1.0 - WITHIN if x > 1.0 - WITHIN else x) * self._aspect
        y = WITHIN if y < WITHIN else 1.0 - WITHIN if y > 1.0 - WITHIN else y
        inside, nearest = False, FAR * FAR
        for start_x, start_y, dx, dy, end_y in self._edges:
            if (y < start_y) != (y < end_y) and x - start_x < (y - start_y) / dy * dx:
                inside = not inside  # a ray to the right passes through this edge
        for start_x, start_y, dx, dy, scale in self._borders:
            from_x, from_y = x - start_x, y - start_y
            part = (from_x * dx + from_y * dy) * scale
            part = 0.0 if part < 0.0 else 1.0 if part > 1.0 else part
            off_x, off_y = from_x - part * dx, from_y - part * dy
            squared = off_x * off_x + off_y * off_y
            if squared < nearest:
                nearest = squared
        away = math.sqrt(nearest)
        return away if inside else -away

    def _deepest(self) -> float:
        xs, ys = zip(*self._corners, strict=True)
        left, right, upper, lower = min(xs), max(xs), min(ys), max(ys)
        return max(
            self._measured((left + (right - left) * i / GRID, upper + (lower - upper) * j / GRID))
            for i in range(GRID + 1)
            for j in range(GRID + 1)
        )


@lru_cache(maxsize=256)
def ground_of(zone: Polygon, aspect: float) -> ZoneGround:
    """The ground of a zone, the same one for all rules that ask for it."""
    return ZoneGround(zone, aspect)


@dataclass(frozen=True, slots=True)
class BorderCrossing:
    """Somebody who was judged inside or outside anew."""

    inside: bool
    since: float
    """When he crossed the border: the first look at the new side, or the middle of a gap before."""


@dataclass(slots=True)
class Stance:
    """On which side of a zone's border somebody is, and what speaks against it.

    A sequential test: looks that put the feet on the other side add evidence, others take it away
    (a cumulative sum as in E. S. Page, "Continuous inspection schemes", 1954). Only when enough has
    come together is the side changed, and then the moment when it began is what counts.
    """

    inside: bool
    at: float
    """Time of the last look."""
    evidence: float = 0.0
    """What speaks for the other side, in standard deviations."""
    away: float = 0.0
    """How far on the other side the last look was, in standard deviations."""
    kept_at: float = 0.0
    """The last look at which he seemed to be on his side, and the first one after it."""
    turned_at: float | None = None
    calm_at: float = 0.0
    """The last look at which nothing spoke for the other side, and the first one after it."""
    doubted_at: float | None = None
    entered_at: float | None = None
    """The first look of the current stay, or of the last one; None once that was ended."""
    inside_at: float = 0.0
    """The last look inside."""

    @classmethod
    def first(cls, at: float, inside: bool) -> "Stance":
        """The first judgement: the likelier side."""
        return cls(inside, at, kept_at=at, calm_at=at, entered_at=at, inside_at=at)

    def stay(self, at: float) -> None:
        """One more look that leaves no doubt that he is on his side."""
        self._rest(at, -MOST_SURPRISING)

    def _rest(self, at: float, away: float) -> None:
        self.at = self.kept_at = self.calm_at = at
        self.evidence, self.away = 0.0, away
        self.turned_at = self.doubted_at = None
        if self.inside:
            self.inside_at = at

    def see(self, at: float, depth: float, noise: float, deepest: float) -> BorderCrossing | None:
        """One more look, with the feet's depth in the zone and their noise in picture heights."""
        pause_s, self.at = at - self.at, at
        away = (-depth if self.inside else depth) / noise
        if away <= 0 and not self.evidence:  # as in most looks: on his side, and never in doubt
            self._rest(at, away)
            return None
        doubtful = DOUBTFUL
        if not self.inside:  # whoever stands in the middle of a narrow zone is in it
            doubtful = min(DOUBTFUL, max(EASIEST, deepest / noise / 2))
        weight = min(1.0, pause_s / CALM_S)
        if pause_s >= CALM_S and self.away <= -(SURE + DOUBTFUL) and away > doubtful:
            self.evidence = SURE  # nobody jitters that far: he walked over the border
        self.away = away
        self.evidence += weight * (min(away, MOST_SURPRISING) - doubtful)
        if self.evidence <= 0:
            self.evidence, self.calm_at, self.doubted_at = 0.0, at, None
        elif self.doubted_at is None:
            self.doubted_at = at
        if away <= 0:
            self.kept_at, self.turned_at = at, None
        elif self.turned_at is None:
            self.turned_at = at
        if self.inside:
            self.inside_at = at
        if self.evidence < SURE or self.turned_at is None or self.doubted_at is None:
            return None
        kept_at, turned_at = self.kept_at, self.turned_at
        dithered_s = self.doubted_at - turned_at
        if dithered_s > max(WALK_S, WALK_LOOKS * pause_s) and self.calm_at > kept_at:
            kept_at, turned_at = self.calm_at, self.doubted_at
        if self.inside:
            self.inside_at = kept_at
        else:
            self.entered_at, self.inside_at = turned_at, at
        self.inside, self.away = not self.inside, -self.away
        self.evidence, self.kept_at, self.calm_at = 0.0, at, at
        self.turned_at = self.doubted_at = None
        gap = turned_at - kept_at > 1.5 * pause_s
        return BorderCrossing(self.inside, (kept_at + turned_at) / 2 if gap else turned_at)


def _snapped(value: float) -> float:
    return 0.0 if value < AT_EDGE else 1.0 if value > 1.0 - AT_EDGE else value


def _on_edge(a: Point, b: Point) -> bool:
    return any(a[i] == b[i] and a[i] in (0.0, 1.0) for i in (0, 1))
