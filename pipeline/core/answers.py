"""An answer is what an engine returns for a task. A failed answer is data, never an exception."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from pipeline.core import geometry
from pipeline.core.ranges import (
    LONGEST_TEXT,
    MOST_DIGITS,
    MOST_FOUND,
    MOST_NUMBER,
    PLACES,
    SCORES,
    within,
)


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


def checked(answer: Any, engine: str) -> Answer:
    """An engine's answer as it can be judged, stored and delivered; Failed for any other."""
    try:
        fault = _fault_of(answer)
    except (TypeError, ValueError, OverflowError) as error:
        fault = f"a value of another type ({error})"
    if fault is not None:
        return Failed(engine, f"the engine's answer cannot be used: {fault}"[:LONGEST_TEXT])
    match answer:
        case Text(text=text):
            return replace(answer, text=_sound(text))
        case Failed(reason=reason):
            return replace(answer, reason=_sound(reason[:LONGEST_TEXT]))
        case _:
            judged: Answer = answer
            return judged


def _fault_of(answer: Any) -> str | None:
    """What is wrong with an answer."""
    match answer:
        case Boxes(boxes_xyxy=places, scores=scores):
            return _fault_of_places(places, scores, 4)
        case Points(points_xy=places, scores=scores):
            return _fault_of_places(places, scores, 2)
        case Number(value=value, score=score):
            if isinstance(value, bool) or not isinstance(value, int):
                return f"{type(value).__name__} instead of a whole number"
            if abs(value) > MOST_NUMBER:
                return f"a number of more than {MOST_DIGITS} digits"
            return _fault_of_score(score)
        case Text(text=text, yes_probability=probability):
            if len(text) > LONGEST_TEXT:
                return f"{len(text)} characters, more than {LONGEST_TEXT}"
            return _fault_of_score(probability)
        case Failed(reason=reason):
            len(reason)  # what is not a text raises TypeError
            return None
        case _:
            return f"{type(answer).__name__} instead of an answer"


def _fault_of_score(score: float | None) -> str | None:
    if score is None or within(score, SCORES):
        return None
    return f"a score of {score:g} instead of 0 to 1"


def _fault_of_places(
    places: Sequence[Sequence[float]], scores: Sequence[float], size: int
) -> str | None:
    if len(places) != len(scores):
        return f"{len(places)} places with {len(scores)} scores"
    if len(places) > MOST_FOUND:
        return f"{len(places)} places, more than {MOST_FOUND}"
    for place in places:
        if len(place) != size:
            return f"a place of {len(place)} numbers instead of {size}"
        # Comparisons are false for what is not a number.
        if not all(PLACES[0] <= value <= PLACES[1] for value in place):
            shown = ", ".join(f"{value:g}" for value in place)
            return f"a place at {shown}, far outside the picture, which is 0 to 1"
    return next((fault for score in scores if (fault := _fault_of_score(score))), None)


def _sound(text: str) -> str:
    """Words without halves of characters, which no encoding can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
