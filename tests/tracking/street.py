"""A street with many people, and a detector whose noise, misses and second boxes are known."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from pipeline.core.geometry import Box
from pipeline.tracking.config import TrackerConfig
from pipeline.tracking.scene import SceneMemory
from tests.tracking.scenes import START, Look

ASPECT = 16 / 9
HEIGHT = 0.2
WIDTH = 0.4
"""Of a body, as a share of its height."""
SPEED = 0.7
"""Body heights a second."""


@dataclass(frozen=True, slots=True)
class Detector:
    """What it makes of a body; edges jitter by shares of the box's height and width."""

    jitter: float = 0.02
    misses: float = 0.0
    seconds: float = 0.0
    score: float = 0.7
    spread: float = 0.05


@dataclass(frozen=True, slots=True)
class Walker:
    """Somebody on a straight way: where the feet are at first, and where they are at last."""

    begin_s: float
    start: tuple[float, float]
    """In 0..1 of the picture; outside is out of sight, except below."""
    end: tuple[float, float]
    height: float = HEIGHT

    def feet(self, at_s: float) -> tuple[float, float] | None:
        """Where the feet are, in 0..1; None before and after the walk."""
        dx, dy = (self.end[0] - self.start[0]) * ASPECT, self.end[1] - self.start[1]
        length = math.hypot(dx, dy)
        part = (at_s - self.begin_s) * SPEED * self.height / length if length else 0.0
        if at_s < self.begin_s or part > 1.0:
            return None
        return (
            self.start[0] + part * (self.end[0] - self.start[0]),
            self.start[1] + part * (self.end[1] - self.start[1]),
        )


class Stander(Walker):
    """Somebody who stays where he is."""

    def feet(self, at_s: float) -> tuple[float, float] | None:
        """Always at the start."""
        return self.start if at_s >= self.begin_s else None


def crowd(
    seconds: float, way: Callable[[Random], tuple[tuple[float, float], tuple[float, float]]]
) -> list[Walker]:
    """Somebody every three seconds or so, on ways that are drawn; both ways along each."""
    random = Random(7)
    people, at_s = [], 0.0
    while at_s < seconds:
        start, end = way(random)
        if random.random() < 0.5:
            start, end = end, start
        people.append(Walker(at_s, start, end, HEIGHT * random.uniform(0.9, 1.1)))
        at_s += random.uniform(2.0, 4.0)
    return people


def across(random: Random) -> tuple[tuple[float, float], tuple[float, float]]:
    """From left to right through the picture."""
    y = random.uniform(0.4, 0.9)
    return (-0.05, y), (1.05, y)


def seen(
    people: Sequence[Walker], rate: float, seconds: float, detector: Detector
) -> Iterator[Look]:
    """What the detector says of them, so many times a second."""
    random = Random(3)
    for frame in range(int(seconds * rate)):
        at_s = frame / rate
        boxes: list[tuple[Box, float]] = []
        for person in people:
            feet = person.feet(at_s)
            box = None if feet is None else _body(feet, person.height)
            if box is None or random.random() < detector.misses:
                continue
            boxes.append((_jittered(box, detector.jitter, random), _score(detector, random)))
            if random.random() < detector.seconds:
                half = (box[0], box[1], box[2], box[1] + 0.75 * (box[3] - box[1]))
                boxes.append((_jittered(half, detector.jitter, random), 0.35))
        yield Look(START + at_s, tuple(b for b, _ in boxes), tuple(score for _, score in boxes))


def learned(looks: Sequence[Look]) -> SceneMemory:
    """What a memory makes of it, with the tracker as it comes."""
    tracker, memory = TrackerConfig().build("person", ASPECT), SceneMemory(ASPECT)
    for look in looks:
        memory.see(look.at, look.boxes, look.scores, tracker.update(*_of(look)))
    return memory


def _of(look: Look) -> tuple[float, Sequence[Box], Sequence[float]]:
    return look.at, look.boxes, look.scores


def _body(feet: tuple[float, float], height: float) -> Box | None:
    """The box of a body, cut by the edges of the picture; None where too little of it is inside."""
    x, y = feet
    half = WIDTH * height / 2 / ASPECT
    box = (max(x - half, 0.0), max(y - height, 0.0), min(x + half, 1.0), min(y, 1.0))
    inside = (box[2] - box[0]) / (2 * half), (box[3] - box[1]) / height
    return box if min(inside) > 1 / 3 else None


def _jittered(box: Box, jitter: float, random: Random) -> Box:
    width, height = box[2] - box[0], box[3] - box[1]
    x_min, y_min, x_max, y_max = (
        min(max(edge + jitter * size * random.gauss(0.0, 1.0), 0.0), 1.0)
        # An edge of the picture does not jitter.
        if 0.0 < edge < 1.0
        else edge
        for edge, size in zip(box, (width, height, width, height), strict=True)
    )
    return (x_min, y_min, x_max, y_max)


def _score(detector: Detector, random: Random) -> float:
    return min(max(random.gauss(detector.score, detector.spread), 0.3), 0.99)
