"""An answer is what an engine returns for a task. A failed answer is data, never an exception."""

from dataclasses import dataclass
from typing import get_args

from pipeline.core import geometry


@dataclass(frozen=True, slots=True)
class Boxes:
    """Detected boxes in 0..1 of the frame, each with a score 0..1, best first or as found."""

    engine: str
    boxes_xyxy: tuple[geometry.Box, ...]
    scores: tuple[float, ...]
    saturated: bool = False
    """The engine stopped at its limit of objects: there may be more."""


@dataclass(frozen=True, slots=True)
class Points:
    """Found points (x, y) in 0..1 of the frame, each with a score 0..1."""

    engine: str
    points_xy: tuple[geometry.Point, ...]
    scores: tuple[float, ...]
    saturated: bool = False


@dataclass(frozen=True, slots=True)
class Number:
    """A count."""

    engine: str
    value: int
    score: float | None = None
    """How well independent ways of counting agree, 0..1, where the engine has more than one."""
    saturated: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """Words; for yes/no questions also the probability of yes, 0..1."""

    engine: str
    text: str
    yes_probability: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer, and why. It counts as unknown, never as zero."""

    engine: str
    reason: str


Answer = Boxes | Points | Number | Text | Failed
ANSWER_TYPES: tuple[type[Answer], ...] = get_args(Answer)


def count_of(answer: Answer) -> int | None:
    """How many things an answer counts, or None where that is unknown."""
    match answer:
        case Boxes():
            return len(answer.boxes_xyxy)
        case Points():
            return len(answer.points_xy)
        case Number():
            return answer.value
        case _:
            return None
