"""A large hall with small people, for the tests of looking where it moves, and a net for them."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache

import cv2
import numpy as np

from pipeline.core.answers import Answer, Boxes, Failed
from pipeline.core.frames import Picture, Pixels
from pipeline.core.tasks import Detect, Task
from pipeline.inference.engines.batching import BatchingEngine
from pipeline.inference.engines.scripted import Scripted
from tests.sampling.fakes import START, PaintedPicture

SIZE_WH = (480, 270)
PERSON_WH = (8, 20)
SIDE = 64
"""The side of the net's input: all of the hall in it leaves 1 by 3 pixels of a person."""
EVERY_S = 0.5
Place = tuple[int, int]
"""Left and upper edge of a person in pixels."""
People = Callable[[int], Sequence[Place]]
"""Where people are in the n-th picture."""


@cache
def _empty() -> Pixels:
    rng = np.random.default_rng(5)
    coarse = rng.integers(70, 130, (9, 16)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, SIZE_WH, interpolation=cv2.INTER_CUBIC), np.uint8)


@cache
def _noise() -> Pixels:
    return np.random.default_rng(6).integers(0, 7, SIZE_WH[::-1]).astype(np.uint8)


def picture(n: int, people: Sequence[Place]) -> PaintedPicture:
    """The n-th picture: noise, and white people."""
    grey = _empty() + np.roll(_noise(), 137 * n)
    for x, y in people:
        grey[y : y + PERSON_WH[1], x : x + PERSON_WH[0]] = 250
    return PaintedPicture(np.repeat(grey[:, :, None], 3, axis=2), START + n * EVERY_S)


def pictures(count: int, people: People) -> Iterator[Picture]:
    """All of them."""
    return (picture(n, people(n)) for n in range(count))


class SmallNet:
    """Finds what is white in SIDE by SIDE pixels, if it is two wide and eight high there."""

    def __init__(self) -> None:
        self.shown: list[tuple[int, int]] = []
        """Width and height of everything it was shown."""

    def engine(self) -> BatchingEngine:
        """An engine with this net."""
        return BatchingEngine(Scripted(self._look), 8, 0.0)

    def _look(self, pixels: Pixels, task: Task) -> Answer:
        if not isinstance(task, Detect):
            return Failed(task.engine, "finds people alone")
        height, width = pixels.shape[:2]
        self.shown.append((width, height))
        scale = min(1.0, SIDE / max(width, height))
        size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(pixels[:, :, 0], size_wh, interpolation=cv2.INTER_AREA)
        _, _, stats, _ = cv2.connectedComponentsWithStats((small > 190).astype(np.uint8))
        boxes = [
            (x / size_wh[0], y / size_wh[1], (x + w) / size_wh[0], (y + h) / size_wh[1])
            for x, y, w, h, _ in stats[1:].tolist()
            if w >= 2 and h >= 8
        ]
        return Boxes(task.engine, tuple(boxes), (0.9,) * len(boxes))
