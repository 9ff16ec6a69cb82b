"""What a tracker remembers of one thing."""

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any

from pipeline.core.geometry import Box
from pipeline.core.tracks import Step
from pipeline.tracking.motion import Motion, MotionModel, centre_of, first_seen, height_of

HEIGHT_MEMORY_S = 1.0
"""How fast the remembered height follows the boxes: slower than a stride, faster than people
approach the camera."""
HIDDEN_MEMORY_S = 5.0
"""The same while a part is hidden: longer than people hide each other, short enough for a person
who sits down."""
KNOWN_AFTER = 3
"""After this many boxes, the remembered height is trusted more than a box that differs from it."""
HIDDEN, MERGED = 0.85, 1.18
"""A box this much lower or higher than remembered shows a part of the thing, or more than it.
Strides change a walker's height by a tenth."""
EDGE = 0.015
"""A box this close to the picture's upper or lower edge may be cut off and is not corrected."""


@dataclass(slots=True)
class TrackMemory:
    """One thing: where it is, how it moves, and which of its steps were not shown yet."""

    motion: Motion
    height: float
    """Smoothed box height in picture heights."""
    first_at: float
    last_at: float
    last_box: Box
    """As it was detected."""
    last_score: float
    id: int | None = None
    """Assigned at confirmation, so that the ids that rules see have no gaps."""
    seen: int = 1
    """Boxes so far."""
    missed: int = 0
    """Updates without a box since the last one."""
    unshown: list[Step] = field(default_factory=list)

    def expected(self, at: float, model: MotionModel) -> Motion:
        """Its motion at a later time."""
        return self.motion.predicted(max(at - self.last_at, 0.0), self.height, model)

    def see(self, at: float, box: Box, score: float, model: MotionModel) -> None:
        """Update it with the box it was seen in."""
        expected = self.expected(at, model)
        whole = self._whole(box, expected.y)
        self.motion = expected.corrected(centre_of(whole, model.aspect), self.height, model)
        elapsed_s = max(at - self.last_at, 0.0)
        if whole == box:  # the first few boxes are averaged
            share = max(1.0 - math.exp(-elapsed_s / HEIGHT_MEMORY_S), 1.0 / (self.seen + 1))
        else:
            share = 1.0 - math.exp(-elapsed_s / HIDDEN_MEMORY_S)
        self.height *= (height_of(box) / self.height) ** share
        self.last_at, self.last_box, self.last_score = at, box, score
        self.seen += 1
        self.missed = 0
        self.unshown.append(Step(at, whole))

    def _whole(self, box: Box, expected_y: float) -> Box:
        """The box of the whole thing where a part of it is hidden, or merged with a neighbour.

        The upper or lower edge, whichever is closer to where it should be, is trusted, and the
        remembered height gives the other: feet that vanish behind a wall or another person do not
        jump up to its edge.
        """
        x_min, y_min, x_max, y_max = box
        ratio = height_of(box) / self.height
        at_edge = y_min < EDGE or y_max > 1.0 - EDGE
        if self.seen < KNOWN_AFTER or HIDDEN <= ratio <= MERGED or at_edge:
            return box
        top, bottom = expected_y - self.height / 2, expected_y + self.height / 2
        if abs(y_min - top) <= abs(y_max - bottom):
            return (x_min, y_min, x_max, min(y_min + self.height, 1.0))
        return (x_min, max(y_max - self.height, 0.0), x_max, y_max)

    def to_json(self) -> dict[str, Any]:
        """Everything, exactly: floats survive JSON bit for bit."""
        return {
            "motion": list(astuple(self.motion)),
            "height": self.height,
            "first_at": self.first_at,
            "last_at": self.last_at,
            "last_box": list(self.last_box),
            "last_score": self.last_score,
            "id": self.id,
            "seen": self.seen,
            "missed": self.missed,
            "unshown": [[step.at, *step.box] for step in self.unshown],
        }


def begun(at: float, box: Box, score: float, model: MotionModel) -> TrackMemory:
    """The memory of a thing that was just seen for the first time."""
    return TrackMemory(
        motion=first_seen(box, model),
        height=height_of(box),
        first_at=at,
        last_at=at,
        last_box=box,
        last_score=score,
        unshown=[Step(at, box)],
    )


def from_json(kept: Mapping[str, Any]) -> TrackMemory:
    """The memory that `to_json` wrote; raises TypeError, KeyError or ValueError for others."""
    height = _number(kept["height"])
    if height <= 0:
        raise ValueError(f"a height of {height:g} is not above 0")
    return TrackMemory(
        motion=Motion(*map(_number, kept["motion"])),
        height=height,
        first_at=_number(kept["first_at"]),
        last_at=_number(kept["last_at"]),
        last_box=_box(kept["last_box"]),
        last_score=_number(kept["last_score"]),
        id=None if kept["id"] is None else int(kept["id"]),
        seen=int(kept["seen"]),
        missed=int(kept["missed"]),
        unshown=[Step(_number(step[0]), _box(step[1:])) for step in kept["unshown"]],
    )


def _box(values: list[Any]) -> Box:
    x_min, y_min, x_max, y_max = map(_number, values)
    return (x_min, y_min, x_max, y_max)


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a place, time or size")
    return number
