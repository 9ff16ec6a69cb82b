"""Places seen by a pinhole camera: people of human size and speed on flat ground, exactly known.

    scene = make(place("foyer", seed=1), Noise(jitter=0.03), seed=1)

Everything happens in metres: x to the right of the camera, z away from it, its foot at the origin.
A box is what is visible of a body: it shrinks where a nearer one or something that stands there
covers a part, and is missing where less than a third is seen. The true foot is the point of the
ground between a walker's feet, whatever covers it. Each seed varies the camera, too.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from benchmarks.counting.synthetic import ASPECT, CROPPED_FOOT, Cast, Layout
from pipeline.core.geometry import Box, Line, Point, Polygon

Floats = NDArray[np.float64]
PlaceName = Literal["shop door", "aisle", "foyer", "street", "checkout", "yard"]
PLACES: tuple[PlaceName, ...] = get_args(PlaceName)

NEAREST = 0.15
"""Metres in front of the lens below which nothing is seen."""
SEEN = 1 / 3
"""Share of a body that has to be visible for a box."""
SLIM = 0.8
"""What covers others is this share of a body's box in width."""
APART = 0.5
"""Metres that people keep from each other, but for those of a group, and from what stands there."""
ROWS, COLUMNS = 48, 24
"""Of the grid that finds what is visible of a body."""
SMOOTH_S = 0.6
"""Within this time people turn and stop."""


@dataclass(frozen=True, slots=True)
class Camera:
    """Where it hangs and how it looks down; angles in degrees, `view` from side to side."""

    height: float
    tilt: float
    view: float

    def seen(self, points: Floats) -> tuple[Floats, Floats]:
        """Points (..., x, height, z) as fractions of the picture (..., 2), and their depth."""
        focal = ASPECT / 2 / math.tan(math.radians(self.view) / 2)
        cos, sin = math.cos(math.radians(self.tilt)), math.sin(math.radians(self.tilt))
        below = self.height - points[..., 1]
        depth = points[..., 2] * cos + below * sin
        safe = np.maximum(depth, NEAREST)
        u = 0.5 + focal * points[..., 0] / safe / ASPECT
        v = 0.5 + focal * (below * cos - points[..., 2] * sin) / safe
        return np.stack((u, v), -1), depth

    def ground(self, x: float, z: float) -> Point:
        """Where a point of the ground is in the picture, or the nearest to it at the edge."""
        place, _ = self.seen(np.array((x, 0.0, z)))
        return (min(1.0, max(0.0, float(place[0]))), min(1.0, max(0.0, float(place[1]))))


@dataclass(frozen=True, slots=True)
class Block:
    """What stands there, from the ground up: a pillar or a counter."""

    left: float
    right: float
    near: float
    far: float
    height: float

    def box(self, camera: Camera) -> Box:
        """The rectangle that it covers in the picture."""
        corners = np.array(
            [
                (x, y, z)
                for x in (self.left, self.right)
                for y in (0.0, self.height)
                for z in (self.near, self.far)
            ]
        )
        places, _ = camera.seen(corners)
        (u0, v0), (u1, v1) = places.min(0).tolist(), places.max(0).tolist()
        return (u0, v0, u1, v1)

    def is_near(self, xz: Floats) -> bool:
        """Whether a path comes too near."""
        dx = np.maximum(np.maximum(self.left - xz[:, 0], xz[:, 0] - self.right), 0.0)
        dz = np.maximum(np.maximum(self.near - xz[:, 1], xz[:, 1] - self.far), 0.0)
        return bool((np.hypot(dx, dz) < APART / 2).any())


Segment = tuple[float, float, float, float]
"""From x, z to x, z."""
Waypoint = tuple[float, float, float]
"""Seconds, x, z."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What there is in a place, and where people come from, stop and go."""

    camera: Camera
    gates: Sequence[Segment]
    """People come in and go out through them: out of view, or doors in the far wall."""
    stops: Sequence[Segment]
    """Rectangles in which people stand for a while."""
    lines: dict[str, Segment]
    zones: dict[str, Segment]
    """Rectangles on the ground."""
    blocks: Sequence[Block] = ()
    every_s: float = 3.0
    """A party comes so often, on the mean."""
    stop_share: float = 0.35
    queue: Segment | None = None
    """From the till to where the queue ends."""


def _ground(name: PlaceName) -> Ground:
    if name == "shop door":  # above the door, looking in: whoever comes in appears underneath
        return Ground(
            Camera(2.8, 45, 90),
            gates=((-0.6, -0.4, 0.6, -0.4), (-7, 5, -7, 7), (7, 5, 7, 7), (-1.5, 14, 1.5, 14)),
            stops=((-2, 3.5, 2, 7),),
            lines={"door": (-1.6, 1.9, 1.6, 1.9), "shop": (-4, 5.2, 4, 5.2)},
            zones={"mat": (-1.5, 1.2, 1.5, 3), "shelves": (-3, 4, 3, 7)},
        )
    if name == "aisle":  # level and low: the nearest have no feet
        return Ground(
            Camera(2.2, 2, 70),
            gates=((-1, 0.5, 1, 0.5), (-1.2, 22, 1.2, 22), (-9, 11, -9, 12.5), (9, 11, 9, 12.5)),
            stops=((-1.3, 7, 1.3, 16),),
            lines={"corridor": (-2.5, 9, 2.5, 9), "corner": (-1.9, 10, -1.9, 14)},
            zones={"near": (-1.6, 6.5, 1.6, 9.5), "far": (-1.6, 10, 1.6, 17)},
            blocks=(Block(-3.6, -2.2, 5, 8, 1.7), Block(2.2, 3.6, 5, 8, 1.7)),
            every_s=2.2,
        )
    if name == "foyer":  # a door in the far wall, two pillars
        return Ground(
            Camera(4.0, 30, 80),
            gates=((-0.7, 14, 0.7, 14), (4.3, 14, 5.3, 14), (-13, 5, -13, 10), (12, 4, 12, 9),
                   (-2, 0, 2, 0)),
            stops=((-4, 5, 4, 11),),
            lines={"doorway": (-1.6, 12.8, 1.6, 12.8), "hall": (-8, 7, 8, 7)},
            zones={"desk": (-3, 4.5, 1, 8), "far": (-5, 8, 5, 13)},
            blocks=(Block(-2.8, -2.3, 6.5, 7, 4), Block(2.6, 3.1, 8.5, 9, 4)),
            every_s=2.5,
        )  # fmt: skip
    if name == "street":  # low and nearly level, along the shops: near and far ones cross the view
        return Ground(
            Camera(2.3, 4, 62),
            gates=((-16, 6, -16, 14), (16, 6, 16, 14), (-10, 5, -10, 7), (10, 5, 10, 7),
                   (-3, 34, 3, 34)),
            stops=((-4, 7, 4, 13),),
            lines={"pavement": (0, 5, 0, 16), "far": (-4, 17, 4, 17)},
            zones={"left": (-6, 6, 0, 15), "window": (0.5, 7, 4, 12)},
            blocks=(Block(1.6, 1.75, 6.0, 6.15, 3.5),),
            every_s=1.8,
            stop_share=0.15,
        )  # fmt: skip
    if name == "checkout":  # the counter stands between the camera and the queue
        return Ground(
            Camera(3.0, 24, 76),
            gates=((-11, 8, -11, 11), (11, 7, 11, 10), (-2, 18, 2, 18)),
            stops=((-3, 8, 3, 11),),
            lines={"exit": (3.2, 5.5, 3.2, 12), "aisle": (-5, 11.5, 5, 11.5)},
            zones={"queue": (-3.2, 5.2, 1, 6.8), "till": (0.9, 5.2, 2.2, 6.8)},
            blocks=(Block(-2.5, 2.5, 4.3, 4.9, 1.0),),
            every_s=5.0,
            queue=(1.6, 6.0, -5.0, 6.0),
        )
    return Ground(  # from a roof, people in all directions
        Camera(6.0, 38, 55),
        gates=((-12, 6, -12, 14), (12, 6, 12, 14), (-5, 28, 5, 28), (-3, 1, 3, 1)),
        stops=((-3, 6, 3, 12),),
        lines={"across": (0, 5, 0, 16), "along": (-6, 9, 6, 9)},
        zones={"left": (-5, 5, 0, 13), "middle": (-2, 7, 2, 11)},
        every_s=2.0,
    )


@dataclass(frozen=True, slots=True)
class Place:
    """People at a place, with a camera as it hangs there."""

    name: PlaceName
    ground: Ground
    seconds: float = 60.0
    number: ClassVar[int] = 10
    label: ClassVar[str] = "person"

    def enact(self, cast: Cast) -> Layout:
        """Let everybody walk, and look at them."""
        bodies = list(self._bodies(cast.rng, cast.fps))
        _watch(cast, self.ground, bodies)
        camera = self.ground.camera
        return Layout(
            self.seconds,
            {
                name: Line(camera.ground(x0, z0), camera.ground(x1, z1))
                for name, (x0, z0, x1, z1) in self.ground.lines.items()
            },
            {
                name: Polygon(
                    tuple(camera.ground(x, z) for x, z in ((x0, z0), (x0, z1), (x1, z1), (x1, z0)))
                )
                for name, (x0, z0, x1, z1) in self.ground.zones.items()
            },
        )

    def _bodies(self, rng: np.random.Generator, fps: float) -> Iterator["_Body"]:
        ground, there = self.ground, list[_Body]()
        if ground.queue is not None:
            for way in _queue(rng, ground, ground.queue, self.seconds):
                there.append(_body(rng, way, 0.0, 0.0, fps, self.seconds))
            yield from there
        t = -15.0  # some are there already
        while t < self.seconds - 3:
            for _ in range(30):
                way = _way(rng, ground, t)
                number = int(rng.choice((1, 1, 1, 2, 2, 3)))
                abreast = rng.random() < 0.6
                party = [
                    _body(
                        rng,
                        way,
                        rng.uniform(0.6, 0.75) * one if abreast else 0.0,
                        0.0 if abreast else rng.uniform(0.9, 1.3) * one,
                        fps,
                        self.seconds,
                    )
                    for one in range(number)
                ]
                if all(body.is_free(ground.blocks, there) for body in party):
                    there += party
                    yield from party
                    break
            t += ground.every_s * rng.uniform(0.4, 1.6)


def place(name: PlaceName, seed: int, seconds: float = 60.0) -> Place:
    """A place; the camera hangs a bit higher or lower, and looks a bit elsewhere, by the seed."""
    rng = np.random.default_rng((seed, 96))
    ground = _ground(name)
    camera = ground.camera
    camera = Camera(
        max(2.2, camera.height * rng.uniform(0.9, 1.1)),
        min(45.0, max(0.0, camera.tilt + rng.uniform(-4, 4))),
        camera.view + rng.uniform(-8, 8),
    )
    return Place(name, replace(ground, camera=camera), seconds)


def _way(rng: np.random.Generator, ground: Ground, begin_s: float) -> list[Waypoint]:
    """From one gate to another, or back: by a bend, with a stop perhaps."""
    a, b = rng.choice(len(ground.gates), 2, replace=False)
    if rng.random() < 0.08:
        b = a
    points = [(*_within(rng, ground.gates[a], on_segment=True), 0.0)]
    stopping = rng.random() < ground.stop_share or a == b
    if stopping or rng.random() < 0.4:
        x, z = _within(rng, ground.stops[int(rng.integers(len(ground.stops)))])
        points.append((x, z, rng.uniform(1.5, 12.0) if stopping else 0.0))
    points.append((*_within(rng, ground.gates[b], on_segment=True), 0.0))
    return _timed(points, begin_s, rng.uniform(0.6, 1.6))


def _timed(
    points: Sequence[tuple[float, float, float]], begin_s: float, pace: float
) -> list[Waypoint]:
    """When one is where, for points (x, z, seconds of standing) and a pace."""
    t, way = begin_s, list[Waypoint]()
    for x, z, stand_s in points:
        if way:
            t += math.hypot(x - way[-1][1], z - way[-1][2]) / pace
        way.append((t, x, z))
        if stand_s:
            t += stand_s
            way.append((t, x, z))
    return way


def _within(
    rng: np.random.Generator, of: Segment, *, on_segment: bool = False
) -> tuple[float, float]:
    x0, z0, x1, z1 = of
    part = rng.random()
    other = part if on_segment else rng.random()
    return (x0 + part * (x1 - x0), z0 + other * (z1 - z0))


def _queue(
    rng: np.random.Generator, ground: Ground, queue: Segment, seconds: float
) -> Iterator[list[Waypoint]]:
    """Customers who move up as the first one has paid and leaves."""
    x0, z0, x1, z1 = queue
    length = math.hypot(x1 - x0, z1 - z0)
    gone: list[float] = []
    t = -20.0
    while t < seconds - 5:
        pace = rng.uniform(0.7, 1.3)
        begin = (*_within(rng, ground.gates[0], on_segment=True), 0.0)
        ahead = [at for at in gone if at > t + 6]
        along = min(0.85 * len(ahead), length) / length
        way = _timed((begin, (x0 + along * (x1 - x0), z0 + along * (z1 - z0), 0.0)), t, pace)
        waited = way[-1][0]
        for rank, at in enumerate(ahead):
            move = max(waited, at + 0.4 + 0.35 * (len(ahead) - rank))
            along = min(0.85 * (len(ahead) - rank - 1), length) / length
            way.append((move, way[-1][1], way[-1][2]))
            way.append((move + 1.0, x0 + along * (x1 - x0), z0 + along * (z1 - z0)))
            waited = move + 1.0
        paid = waited + rng.uniform(4, 10)
        gone.append(paid)
        way.append((paid, way[-1][1], way[-1][2]))
        end = (*_within(rng, ground.gates[1], on_segment=True), 0.0)
        way += _timed(((way[-1][1], way[-1][2], 0.0), end), paid, pace)[1:]
        yield way
        t += rng.uniform(5, 11)


@dataclass(frozen=True, slots=True)
class _Body:
    tall: float
    first: int
    """Frame number of the first row."""
    xz: Floats
    ahead: Floats
    """The unit vector of the way it faces."""
    stride: Floats
    """How far the right foot is ahead, in metres."""

    def is_free(self, blocks: Sequence[Block], others: Sequence["_Body"]) -> bool:
        """Whether it keeps off everything and everybody."""
        if any(block.is_near(self.xz) for block in blocks):
            return False
        for other in others:
            begin = max(self.first, other.first)
            end = min(self.first + len(self.xz), other.first + len(other.xz))
            if end > begin:
                mine = self.xz[begin - self.first : end - self.first]
                off = mine - other.xz[begin - other.first : end - other.first]
                if np.hypot(off[:, 0], off[:, 1]).min() < APART:
                    return False
        return True

    def outline(self, camera: Camera) -> tuple[Floats, Floats, Floats]:
        """Whole boxes, the feet in the picture, and the distance: nan where it is too near."""
        aside = np.stack((-self.ahead[:, 1], self.ahead[:, 0]), -1)
        swing = self.stride[:, None]

        def at(height: float, forth: Floats | float, right: float) -> Floats:
            xz = self.xz + self.ahead * forth + aside * right
            return np.stack((xz[:, 0], np.full(len(xz), height * self.tall), xz[:, 1]), -1)

        points = np.stack(
            [
                at(0.0, swing, 0.1),
                at(0.0, -swing, -0.1),
                *(at(0.82, forth, right) for forth in (-0.12, 0.12) for right in (-0.22, 0.22)),
                at(0.48, -0.7 * swing, 0.27),  # the hands swing against the feet
                at(0.48, 0.7 * swing, -0.27),
                *(at(1.0, forth, right) for forth in (-0.07, 0.07) for right in (-0.07, 0.07)),
            ],
            1,
        )
        places, depth = camera.seen(points)
        boxes = np.concatenate((places.min(1), places.max(1)), -1)
        middle = np.stack((self.xz[:, 0], np.zeros(len(self.xz)), self.xz[:, 1]), -1)
        feet, _ = camera.seen(middle)
        boxes[depth.min(1) < NEAREST] = np.nan
        return boxes, feet, np.hypot(self.xz[:, 0], self.xz[:, 1])


def _body(
    rng: np.random.Generator,
    way: Sequence[Waypoint],
    aside: float,
    later_s: float,
    fps: float,
    seconds: float,
) -> _Body:
    """Somebody on a way, or beside it or behind: turns and stops take their time."""
    times, xs, zs = np.array(way).T
    times = times + later_s
    first, last = max(0, math.ceil(times[0] * fps)), min(round(seconds * fps), int(times[-1] * fps))
    fine = 20
    t = np.arange(times[0] - SMOOTH_S, times[-1] + SMOOTH_S, 1 / fine)
    window = np.ones(round(SMOOTH_S * fine)) / round(SMOOTH_S * fine)
    path = np.stack([np.convolve(np.interp(t, times, of), window, "same") for of in (xs, zs)], -1)
    edge = len(window)
    path[:edge], path[-edge:] = (xs[0], zs[0]), (xs[-1], zs[-1])
    v = np.gradient(path, 1 / fine, axis=0)
    pace = np.hypot(v[:, 0], v[:, 1])
    facing = np.empty_like(v)
    ahead = np.array((0.0, 1.0))
    for i in range(len(v)):
        if pace[i] > 0.1:
            ahead = ahead + 0.3 * (v[i] / pace[i] - ahead)
            ahead = ahead / max(float(np.hypot(*ahead)), 1e-6)
        facing[i] = ahead
    # A double step of a grown-up is some 1.4 m long at 1.3 m a second.
    step = 0.25 + 0.35 * pace
    turn = np.cumsum(pace / fine / np.maximum(2 * step, 0.3)) * 2 * math.pi + rng.uniform(0, 6.28)
    stride = 0.45 * step * np.minimum(pace / 0.5, 1.0) * np.sin(turn)
    path = path + aside * np.stack((-facing[:, 1], facing[:, 0]), -1)
    at = np.arange(first, max(first, last)) / fps

    def sampled(of: Floats) -> Floats:
        return np.interp(at, t, of)

    return _Body(
        tall=float(np.clip(rng.normal(1.73, 0.09), 1.5, 1.95)),
        first=first,
        xz=np.stack([sampled(path[:, 0]), sampled(path[:, 1])], -1),
        ahead=np.stack([sampled(facing[:, 0]), sampled(facing[:, 1])], -1),
        stride=sampled(stride),
    )


def _watch(cast: Cast, ground: Ground, bodies: Sequence[_Body]) -> None:
    """What the camera sees of everybody, in every frame."""
    by_frame: dict[int, list[tuple[float, int, Box, Point]]] = {}
    for id_, body in enumerate(bodies, 1):
        boxes, feet, far = body.outline(ground.camera)
        for i in range(len(boxes)):
            if np.isnan(boxes[i, 0]):
                continue
            x0, y0, x1, y1 = boxes[i].tolist()
            one = (float(far[i]), id_, (x0, y0, x1, y1), (float(feet[i, 0]), float(feet[i, 1])))
            by_frame.setdefault(body.first + i, []).append(one)
    standing = [(block.near, block.box(ground.camera)) for block in ground.blocks]
    for frame, there in sorted(by_frame.items()):
        there.sort()
        for number, (away, id_, box, foot) in enumerate(there):
            if _visible(box, [])[0] < SEEN:
                continue  # out of the picture
            cast.feet.setdefault(id_, {})[frame] = (foot[0], min(foot[1], CROPPED_FOOT))
            cast.boxes.setdefault(id_, {})
            z = math.sqrt(
                max(away**2 - bodies[id_ - 1].xz[frame - bodies[id_ - 1].first, 0] ** 2, 0)
            )
            covers = [_slim(other) for _, _, other, _ in there[:number] if _meet(box, other)]
            covers += [other for near, other in standing if near < z and _meet(box, other)]
            share, seen = _visible(box, covers)
            if seen is not None and share >= SEEN:
                cast.boxes[id_][frame] = seen
                small = max(0.0, 0.08 - (box[3] - box[1])) / 0.08
                cast.doubt.setdefault(id_, {})[frame] = 0.35 * (1 - share) + 0.25 * small


def _slim(box: Box) -> Box:
    off = (1 - SLIM) / 2 * (box[2] - box[0])
    return (box[0] + off, box[1], box[2] - off, box[3])


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _visible(box: Box, covers: Sequence[Box]) -> tuple[float, Box | None]:
    """The share of a body that is seen, and the box around that."""
    x0, y0, x1, y1 = box
    cut = (max(x0, 0.0), max(y0, 0.0), min(x1, 1.0), min(y1, 1.0))
    if cut[0] >= cut[2] or cut[1] >= cut[3]:
        return 0.0, None
    within = (cut[2] - cut[0]) * (cut[3] - cut[1]) / ((x1 - x0) * (y1 - y0))
    if not covers:
        return within, cut
    slim = _slim(cut)
    us = slim[0] + (np.arange(COLUMNS) + 0.5) / COLUMNS * (slim[2] - slim[0])
    vs = slim[1] + (np.arange(ROWS) + 0.5) / ROWS * (slim[3] - slim[1])
    free = np.ones((ROWS, COLUMNS), bool)
    for a, b, c, d in covers:
        free &= ~np.outer((vs > b) & (vs < d), (us > a) & (us < c))
    rows = np.nonzero(free.mean(1) >= 0.25)[0]
    columns = np.nonzero(free.mean(0) >= 0.25)[0]
    if not len(rows) or not len(columns):
        return 0.0, None
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    wide, high = slim[2] - slim[0], slim[3] - slim[1]
    return within * float(free.mean()), (
        cut[0] if left == 0 else slim[0] + left / COLUMNS * wide,
        cut[1] if top == 0 else slim[1] + top / ROWS * high,
        cut[2] if right == COLUMNS else slim[0] + right / COLUMNS * wide,
        cut[3] if bottom == ROWS else slim[1] + bottom / ROWS * high,
    )
