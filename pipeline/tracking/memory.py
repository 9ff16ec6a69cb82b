"""What a tracker remembers of one thing."""

import math
from dataclasses import dataclass, field
from typing import Any

from pipeline.core.geometry import Box
from pipeline.core.tracks import Step
from pipeline.tracking.motion import Manner, Motion, centre_of, first_seen, height_of

HEIGHT_MEMORY_S = 1.0
"""How fast the remembered height follows the boxes'. A person whose legs are hidden for a moment
keeps his height; one who walks towards the camera grows with it."""


@dataclass(slots=True)
class Memory:
    """One thing: where it is, how it moves, and which steps nobody was shown yet."""

    id: int | None
    """Given at confirmation, so that ids seen by rules have no gaps."""
    motion: Motion
    height: float
    """Smoothed box height in picture heights."""
    first_at: float
    last_at: float
    last_box: Box
    last_score: float
    seen: int = 1
    missed: int = 0
    """Updates without a box since the last one."""
    unshown: list[Step] = field(default_factory=list)

    @property
    def confirmed(self) -> bool:
        """Whether rules are shown it."""
        return self.id is not None

    def expected(self, at: float, manner: Manner) -> Motion:
        """Its motion at a later time."""
        return self.motion.predicted(at - self.last_at, self.height, manner)

    def see(self, at: float, box: Box, score: float, manner: Manner) -> None:
        """Take over the box it was seen in."""
        expected = self.expected(at, manner)
        self.motion = expected.corrected(centre_of(box), self.height, manner)
        share = 1.0 - math.exp(-(at - self.last_at) / HEIGHT_MEMORY_S)
        share = max(share, 1.0 / (self.seen + 1))
        self.height *= (height_of(box) / self.height) ** share
        self.last_at, self.last_box, self.last_score = at, box, score
        self.seen += 1
        self.missed = 0
        self.unshown.append(Step(at, box))

    def to_json(self) -> dict[str, Any]:
        """Everything, exactly: floats survive JSON bit for bit."""
        motion = self.motion
        return {
            "id": self.id,
            "motion": [
                motion.x,
                motion.y,
                motion.vx,
                motion.vy,
                motion.p_xx,
                motion.p_xv,
                motion.p_vv,
            ],
            "height": self.height,
            "first_at": self.first_at,
            "last_at": self.last_at,
            "last_box": list(self.last_box),
            "last_score": self.last_score,
            "seen": self.seen,
            "missed": self.missed,
            "unshown": [[step.at, *step.box] for step in self.unshown],
        }


def begun(at: float, box: Box, score: float, manner: Manner) -> Memory:
    """The memory of a thing just seen for the first time."""
    return Memory(
        id=None,
        motion=first_seen(box, manner),
        height=height_of(box),
        first_at=at,
        last_at=at,
        last_box=box,
        last_score=score,
        unshown=[Step(at, box)],
    )


def from_json(kept: dict[str, Any]) -> Memory:
    """The memory that `to_json` wrote."""
    steps = [Step(step[0], _box(step[1:])) for step in kept["unshown"]]
    others = {"motion": Motion(*kept["motion"]), "last_box": _box(kept["last_box"])}
    return Memory(**{**kept, **others, "unshown": steps})


def _box(values: list[float]) -> Box:
    x_min, y_min, x_max, y_max = values
    return (x_min, y_min, x_max, y_max)
