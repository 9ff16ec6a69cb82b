"""Synthetic scenes with exact truth: the same for the same kind, settings, noise and seed.

    scene = make(Walkers(heading="along"), Noise(jitter=0.02, miss=0.2), seed=1)

True boxes are exact and cut by the picture's edges; crossings and occupancy come from the exact
feet, not from boxes. Paths keep well clear of a line or cross it well (.3 body heights on both
sides), so that every sensible definition of a crossing agrees. All lengths are in picture heights,
with x from 0 to the picture's aspect.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

import numpy as np

from benchmarks.counting.scenes import Rows, Scene
from benchmarks.counting.scoring import true_crossings, true_occupancy
from pipeline.core.geometry import Box, Line, Point, Polygon

ASPECT = 16 / 9
MID = {"mid": Line((0.5, 0.0), (0.5, 1.0))}
EVERYWHERE = {"all": Polygon(((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)))}
LEFT = {"left": Polygon(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))}
CROPPED_FOOT = 0.9999
"""Feet under the edge are seen at the edge; in a zone that reaches it they are inside."""

_Path = Callable[[float], Point]
"""The feet, some seconds after they came."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What a detector makes of true boxes."""

    jitter: float = 0.01
    """Standard deviation of each edge, in box heights (widths for the left and right ones)."""
    calm_s: float = 0.25
    """The jitter wanders, and forgets where it was in this time; 0: it is new in every look."""
    miss: float = 0.0
    """Share of looks without a box."""
    spell_s: float = 0.0
    """How long one is missed at a time, on the mean; 0: every look by itself."""
    second: float = 0.0
    """Share of looks with a second box on the same body."""
    second_sd: float = 0.12
    """How far the edges of a second box are off."""
    upper: float = 0.0
    """Share of the second boxes that hold the upper half of the body."""
    score: float = 0.8
    score_sd: float = 0.1
    """Scores are normally distributed; below `LEAST_SCORE` the detector says nothing."""
    flip: float = 0.0
    """Share of looks in which a body is taken for another kind of thing."""


LEAST_SCORE = 0.3


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a scene is measured, and how long it lasts."""

    seconds: float
    lines: Mapping[str, Line] = field(default_factory=lambda: MID)
    zones: Mapping[str, Polygon] = field(default_factory=lambda: EVERYWHERE)


@dataclass(slots=True)
class Cast:
    """Bodies with exact feet."""

    rng: np.random.Generator
    fps: float
    feet: dict[int, dict[int, Point]] = field(default_factory=dict)
    boxes: dict[int, dict[int, Box]] = field(default_factory=dict)
    """Who is hidden has feet and no box."""
    doubt: dict[int, dict[int, float]] = field(default_factory=dict)
    """What a detector takes off its scores: of small and half hidden ones."""

    def add(
        self,
        path: _Path,
        begin_s: float,
        end_s: float,
        height: float | Callable[[float], float],
        ratio: float = 0.4,
        sway: float = 0.02,
    ) -> None:
        """A body whose legs and arms swing; where it is cut to less than a third it is nobody."""
        phase = self.rng.random() * 6.28
        feet: dict[int, Point] = {}
        boxes: dict[int, Box] = {}
        for frame in range(round(begin_s * self.fps), round(end_s * self.fps)):
            t = frame / self.fps - begin_s
            x, y = path(t)
            tall = height if isinstance(height, float) else height(t)
            h = tall * (1 + sway * math.sin(6.28 * 1.8 * t + phase))
            w = tall * ratio * (1 + 3 * sway * math.sin(6.28 * 1.8 * t + phase + 1))
            left, right = (x - w / 2) / ASPECT, (x + w / 2) / ASPECT
            box = (max(left, 0.0), max(y - h, 0.0), min(right, 1.0), min(y, 1.0))
            if (box[2] - box[0]) * 3 < right - left or (box[3] - box[1]) * 3 < h:
                continue
            feet[frame], boxes[frame] = (x / ASPECT, min(y, CROPPED_FOOT)), box
        if feet:
            id_ = len(self.feet) + 1
            self.feet[id_], self.boxes[id_] = feet, boxes

    def stroll(
        self, direction: int, y: float, height: float, begin_s: float, end_s: float, drift: float
    ) -> None:
        """Across the picture at .6 to .9 body heights a second, feet at y."""
        v = direction * height * self.rng.uniform(0.6, 0.9)
        x = _entrance(direction)
        self.add(lambda t: (x + v * t, y + drift * t), begin_s, end_s, height)

    def side(self) -> int:
        """-1 or 1."""
        return int(self.rng.choice((-1, 1)))


def _entrance(direction: int, beyond: float = 0.02) -> float:
    return (-beyond if direction > 0 else 1 + beyond) * ASPECT


class Kind(Protocol):
    """What happens in a scene."""

    number: ClassVar[int]
    """Part of the seed."""
    label: ClassVar[str]

    def enact(self, cast: Cast) -> Layout:
        """Let everybody walk."""
        ...


KERB = 0.75


@dataclass(frozen=True, slots=True)
class Walkers:
    """People across one line, or along one: of three, two keep off it and one crosses aslant."""

    seconds: float = 60.0
    height: float = 0.25
    every_s: float = 2.0
    heading: Literal["across", "along"] = "across"
    number: ClassVar[int] = 0
    label: ClassVar[str] = "person"

    def enact(self, cast: Cast) -> Layout:
        """Let everybody walk."""
        t, number = 0.0, 0
        while t < self.seconds - 4:
            h, direction = self.height * cast.rng.uniform(0.9, 1.1), cast.side()
            if self.heading == "across":
                drift = h * cast.rng.normal(0, 0.05)
                y = cast.rng.uniform(max(0.4, h), 0.97)
                cast.stroll(direction, y, h, t, self.seconds, drift)
            else:
                v = direction * h * cast.rng.uniform(0.6, 0.9)
                off = h * cast.rng.uniform(0.3, 0.5) * cast.side()
                # Aslant through the middle of the picture: .3 heights and more off at either end.
                slope = -2 * off / ASPECT if number % 3 == 2 else 0.0
                path = _straight(_entrance(direction), v, KERB + off, slope * abs(v))
                cast.add(path, t, self.seconds, h)
            number += 1
            t += self.every_s * cast.rng.uniform(0.6, 1.4)
        kerb = {"kerb": Line((0.0, KERB), (1.0, KERB))} if self.heading == "along" else {}
        return Layout(self.seconds, {**MID, **kerb})


def _straight(x: float, vx: float, y: float, vy: float = 0.0) -> _Path:
    return lambda t: (x + vx * t, y + vy * t)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two abreast across a line, their boxes overlapping by `overlap` (intersection over union)."""

    pairs: int = 20
    height: float = 0.25
    overlap: float = 0.6
    number: ClassVar[int] = 1
    label: ClassVar[str] = "person"

    def enact(self, cast: Cast) -> Layout:
        """Let everybody walk."""
        both = 2 * self.overlap / (1 + self.overlap)  # (1 - dx / w) * (1 - dy / h), boxes alike
        for number in range(self.pairs):
            direction, h = cast.side(), self.height * cast.rng.uniform(0.95, 1.05)
            v, y = direction * h * cast.rng.uniform(0.6, 0.9), cast.rng.uniform(0.5, 0.9)
            x = _entrance(direction)
            dx = 0.4 * h * (1 - both ** cast.rng.uniform(0.2, 0.8))
            dy = h * (1 - both / (1 - dx / (0.4 * h)))
            begin = number * 2.0
            for one in range(2):
                cast.add(_straight(x + one * dx, v, y + one * dy), begin, begin + 16, h)
        return Layout(self.pairs * 2.0 + 16)


@dataclass(frozen=True, slots=True)
class Cars:
    """Cars in two lanes, `speed` own heights a second, one every `gap_s` or so in each lane."""

    seconds: float = 60.0
    height: float = 0.12
    speed: float = 4.0
    gap_s: float = 2.0
    ratio: float = 2.0
    number: ClassVar[int] = 2
    label: ClassVar[str] = "car"

    def enact(self, cast: Cast) -> Layout:
        """Let everything drive."""
        for lane, direction in ((0.5, 1), (0.7, -1)):
            t = 0.0
            while True:
                t += self.gap_s * cast.rng.uniform(0.7, 1.5)
                if t > self.seconds - 3:
                    break
                v = direction * self.speed * self.height * cast.rng.uniform(0.9, 1.1)
                path = _straight(_entrance(direction, 0.05), v, lane)
                cast.add(path, t, self.seconds, self.height, self.ratio, sway=0.0)
        return Layout(self.seconds)


@dataclass(frozen=True, slots=True)
class Flips(Cars):
    """Slow cars, for a detector with two classes that takes some for the other one (`flip`)."""

    speed: float = 1.5
    gap_s: float = 5.0
    number: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class Boulder:
    """A thing that never moves and is taken for a person in most looks, and people who walk by."""

    seconds: float = 90.0
    height: float = 0.2
    every_s: float = 4.0
    present: float = 0.7
    """Share of frames in which the thing is taken for a person."""
    thing_score: float = 0.42
    number: ClassVar[int] = 4
    label: ClassVar[str] = "person"

    def enact(self, cast: Cast) -> Layout:
        """Let everybody walk; the thing is the detector's mistake, and added by `make`."""
        layout = Walkers(self.seconds, self.height, self.every_s).enact(cast)
        lawn = Polygon(((0.05, 0.35), (0.4, 0.35), (0.4, 0.62), (0.05, 0.62)))
        return Layout(self.seconds, layout.lines, {"lawn": lawn, **EVERYWHERE})


THING: Box = (0.21, 0.43, 0.25, 0.49)


@dataclass(frozen=True, slots=True)
class Standing:
    """Somebody comes, stands on a line or just within a zone for minutes, and goes back."""

    minutes: float = 10.0
    height: float = 0.4
    where: Literal["line", "border"] = "line"
    within: float = 0.05
    """How far within the zone he stands, in body heights."""
    number: ClassVar[int] = 5
    label: ClassVar[str] = "person"

    def enact(self, cast: Cast) -> Layout:
        """Let him come, stand and go."""
        x, y = 0.5 * ASPECT, min(0.55 + self.height / 2, 0.98)
        x -= self.within * self.height if self.where == "border" else 0.0
        v = 0.7 * self.height
        walk, stay = (x + 0.1) / v, 60 * self.minutes

        def path(t: float) -> Point:
            return (x - v * (max(0.0, walk - t) + max(0.0, t - walk - stay)), y)

        cast.add(path, 0, 2 * walk + stay, self.height, sway=0.005)
        seconds = 2 * walk + stay + 2
        if self.where == "border":
            return Layout(seconds, {}, LEFT)
        return Layout(seconds, {**MID, "kerb": Line((0.0, y), (1.0, y))})


@dataclass(frozen=True, slots=True)
class Edges:
    """People whose legs are under the picture's edge, and people who come half into it and go."""

    seconds: float = 60.0
    height: float = 0.5
    every_s: float = 3.0
    number: ClassVar[int] = 6
    label: ClassVar[str] = "person"

    def enact(self, cast: Cast) -> Layout:
        """Let everybody walk."""
        t = 0.0
        while t < self.seconds - 8:
            h, direction = self.height * cast.rng.uniform(0.9, 1.1), cast.side()
            y = 1.0 + h * cast.rng.uniform(0.05, 0.3)
            cast.stroll(direction, y, h, t, self.seconds, 0.0)
            if cast.rng.random() < 0.5:
                cast.add(_in_and_out(0.5 * h, 0.05 * h), t, t + 6, h)
            t += self.every_s * cast.rng.uniform(0.7, 1.3)
        return Layout(self.seconds, {**MID, "door": Line((0.12, 0.0), (0.12, 1.0))})


def _in_and_out(v: float, far: float) -> _Path:
    """Up to `far` into the picture at its left edge, and back."""
    return lambda t: (far - abs(v * t - v - far), 0.8)


HORIZON = 0.15


@dataclass(frozen=True, slots=True)
class Towards:
    """People who come towards a near camera or walk away from it: they grow and shrink.

    They cross a line that lies across their way at its middle height, and keep off one along it.
    """

    seconds: float = 60.0
    height: float = 0.45
    """Of somebody whose feet are at .8."""
    every_s: float = 2.5
    number: ClassVar[int] = 7
    label: ClassVar[str] = "person"

    def enact(self, cast: Cast) -> Layout:
        """Let everybody walk."""
        t = 0.0
        while t < self.seconds - 6:
            tall = self.height * cast.rng.uniform(0.93, 1.07) / (0.8 - HORIZON)
            towards, pace = cast.side() > 0, cast.rng.uniform(0.6, 0.9)
            aside = cast.side() * cast.rng.uniform(0.35, 1.2)
            path, height = _in_depth(tall, pace if towards else -pace, aside)
            # From the farthest place to the nearest, where the feet are under the edge.
            cast.add(path, t, min(self.seconds, t + DEPTH / pace), height)
            t += self.every_s * cast.rng.uniform(0.7, 1.3)
        lines = {"across": Line((0.0, 0.6), (1.0, 0.6)), "along": Line((0.5, HORIZON), (0.5, 1.0))}
        return Layout(self.seconds, lines)


NEAREST, DEPTH = 1.7, 9.0
"""In body heights from the camera: where one is nearest, and how much farther one goes."""


def _in_depth(tall: float, pace: float, aside: float) -> tuple[_Path, Callable[[float], float]]:
    """A walk in depth, `pace` body heights a second towards the camera: the feet, and the height.

    Somebody whose feet are at y is `tall * (y - HORIZON)` high, as on flat ground.
    """

    def depth(t: float) -> float:
        return NEAREST + (DEPTH - pace * t if pace > 0 else -pace * t)

    def height(t: float) -> float:
        return tall * (NEAREST * 0.9 / depth(t))

    def path(t: float) -> Point:
        return (0.5 * ASPECT + aside * height(t), HORIZON + height(t) / tall)

    return path, height


@dataclass(frozen=True, slots=True)
class Counter:
    """People who walk behind something that hides their legs for a while, and cross a line there.

    The true foot is where the whole body's would be; the box ends where the counter begins.
    """

    seconds: float = 60.0
    height: float = 0.3
    every_s: float = 3.0
    hidden: float = 0.45
    """Share of the body behind the counter."""
    number: ClassVar[int] = 8
    label: ClassVar[str] = "person"

    def enact(self, cast: Cast) -> Layout:
        """Let everybody walk."""
        t = 0.0
        while t < self.seconds - 8:
            h = self.height * cast.rng.uniform(0.93, 1.07)
            cast.stroll(cast.side(), cast.rng.uniform(0.68, 0.72), h, t, self.seconds, 0.0)
            t += self.every_s * cast.rng.uniform(0.7, 1.3)
        for id_, path in cast.boxes.items():
            for frame, (x0, y0, x1, y1) in path.items():
                foot = cast.feet[id_][frame]
                if 0.35 <= foot[0] <= 0.65:
                    path[frame] = (x0, y0, x1, y1 - self.hidden * (y1 - y0))
        lines = {**MID, "counter": Line((0.3, 0.62), (0.7, 0.62))}
        return Layout(self.seconds, lines)


@dataclass(frozen=True, slots=True)
class Crowd:
    """So many people at once, walking in all directions and turning around at the edges."""

    people: int = 50
    seconds: float = 12.0
    height: float = 0.1
    number: ClassVar[int] = 9
    label: ClassVar[str] = "person"

    def enact(self, cast: Cast) -> Layout:
        """Let everybody walk."""
        for _ in range(self.people):
            h = self.height * cast.rng.uniform(0.9, 1.1)
            x, y = cast.rng.uniform(0.03, 0.97) * ASPECT, cast.rng.uniform(1.2 * h, 0.98)
            angle, v = cast.rng.uniform(0, 2 * math.pi), h * cast.rng.uniform(0.6, 0.9)
            path = _bouncing((x, y), (v * math.cos(angle), v * math.sin(angle)), 1.1 * h)
            cast.add(path, 0, self.seconds, h)
        return Layout(self.seconds, MID, LEFT)


def _bouncing(start: Point, velocity: Point, top: float) -> _Path:
    def folded(value: float, low: float, high: float) -> float:
        span = high - low
        return low + span - abs((value - low) % (2 * span) - span)

    def path(t: float) -> Point:
        x, y = start[0] + velocity[0] * t, start[1] + velocity[1] * t
        return folded(x, 0.02 * ASPECT, 0.98 * ASPECT), folded(y, top, 0.99)

    return path


def _clipped(box: Box) -> Box | None:
    x0, y0, x1, y1 = (min(1.0, max(0.0, value)) for value in box)
    return (x0, y0, x1, y1) if x1 - x0 > 0.001 and y1 - y0 > 0.001 else None


def detections(
    boxes: Mapping[int, Mapping[int, Box]],
    fps: float,
    seed: int,
    noise: Noise,
    doubt: Mapping[int, Mapping[int, float]] | None = None,
) -> Rows:
    """What a detector would make of true boxes: rows of frame, score and box, in frame order."""
    doubt = doubt or {}
    rng, halves = np.random.default_rng((seed, 99)), np.random.default_rng((seed, 97))
    keep = math.exp(-1 / (fps * noise.calm_s)) if noise.calm_s else 0.0
    rows: list[tuple[float, ...]] = []
    for id_, path in boxes.items():
        unsure = doubt.get(id_, {})
        off, missing = rng.normal(0, 1, 4), bool(rng.random() < noise.miss)
        for frame, (x0, y0, x1, y1) in sorted(path.items()):
            off = keep * off + math.sqrt(1 - keep**2) * rng.normal(0, 1, 4)
            if not noise.spell_s:
                missing = bool(rng.random() < noise.miss)
            elif missing:
                missing = bool(rng.random() >= 1 / (noise.spell_s * fps))
            else:
                often = noise.miss / max(1 - noise.miss, 0.01) / (noise.spell_s * fps)
                missing = bool(rng.random() < often)
            if missing:
                continue
            size = np.array((x1 - x0, y1 - y0, x1 - x0, y1 - y0))
            edges = np.array((x0, y0, x1, y1)) + noise.jitter * size * off
            score = rng.normal(noise.score, noise.score_sd) - unsure.get(frame, 0.0)
            seen = [(edges, score)]
            if rng.random() < noise.second:
                other = edges + noise.second_sd * size * rng.normal(0, 1, 4)
                if noise.upper and halves.random() < noise.upper:
                    other = edges + 0.03 * size * halves.normal(0, 1, 4)
                    other[3] -= size[3] / 2
                seen.append((other, seen[0][1] - rng.uniform(0.05, 0.4)))
            for values, score in seen:
                box = _clipped((values[0], values[1], values[2], values[3]))
                if box and score >= LEAST_SCORE:
                    rows.append((frame, min(score, 0.99), *box))
    return np.array(sorted(rows), np.float32).reshape(-1, 6)


def make(
    kind: Kind, noise: Noise | None = None, seed: int = 0, fps: float = 10, name: str = ""
) -> Scene:
    """A scene of a kind as a detector sees it."""
    noise = noise or Noise()
    cast = Cast(np.random.default_rng((seed, kind.number)), fps)
    layout = kind.enact(cast)
    frames = round(layout.seconds * fps)
    feet = {i: {f: p for f, p in path.items() if f < frames} for i, path in cast.feet.items()}
    boxes = {
        i: {f: cast.boxes[i][f] for f in path if f in cast.boxes[i]} for i, path in feet.items()
    }
    seen = detections(boxes, fps, seed, noise, cast.doubt)
    flips = np.random.default_rng((seed, 98)).random(len(seen)) < noise.flip
    classes = flips.astype(np.uint8)
    if isinstance(kind, Boulder):
        taken = np.random.default_rng((seed, 98)).random(frames) < kind.present
        at = np.nonzero(taken)[0].tolist()
        faint = Noise(jitter=0.02, score=kind.thing_score, score_sd=0.03)
        thing = detections({1: dict.fromkeys(at, THING)}, fps, seed + 1, faint)
        seen = np.concatenate((seen, thing))
        seen = seen[np.argsort(seen[:, 0], kind="stable")]
        classes = np.zeros(len(seen), np.uint8)
    truth = [(f, i, *box) for i, path in boxes.items() for f, box in path.items()]
    return Scene(
        name=name or type(kind).__name__.lower(),
        label=kind.label,
        fps=fps,
        aspect=ASPECT,
        frames=frames,
        lines=layout.lines,
        zones=layout.zones,
        truth=np.array(sorted(truth), np.float32).reshape(-1, 6),
        detections=seen,
        crossings={
            line: true_crossings(feet, where, ASPECT, fps) for line, where in layout.lines.items()
        },
        occupancy={z: true_occupancy(feet, where, frames) for z, where in layout.zones.items()},
        classes=classes,
    )
