"""What a server answers, as answers: nothing of it is believed before it is looked at.

Knows the values in an answer, not which interface it came over.
"""

import json
import math
import re
from collections.abc import Sequence
from typing import Any, TypeGuard

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.geometry import Box
from pipeline.core.ranges import LONGEST_TEXT, is_finite, one_line
from pipeline.core.tasks import Ask, Count, Detect, Point, Task
from pipeline.moondream.numbers import number_in

# More things in one answer were not asked for by anybody.
MOST_OBJECTS = 1000
# A box around something at the edge reaches out of the picture, by its half at most.
_LEAST, _GREATEST = -0.5, 1.5
_LONGEST_SHOWN = 60
_THOUGHTS = re.compile(r"(?s)^\s*<think(?:ing)?>.*?(?:</think(?:ing)?>|$)")
_FENCE = re.compile(r"(?s)^\s*```\w*\s*(.*?)\s*```\s*$")


class UnusableError(ValueError):
    """An answer that is none: what was answered instead, as the rest of a sentence."""


def boxes_of(read: dict[str, Any], task: Detect | Count) -> Boxes:
    """`objects` of an answer, cut at the picture's edges; raises UnusableError."""
    objects = _listed(read, "objects", task.max_objects)
    boxes: list[Box] = []
    scores: list[float] = []
    told = _scores(read, len(objects))
    for number, one in enumerate(objects[: task.max_objects]):
        x_min, y_min, x_max, y_max = _coordinates(one, ("x_min", "y_min", "x_max", "y_max"))
        if x_min > x_max or y_min > y_max:
            raise UnusableError(f"a box that ends before it begins: {_shown(one)}")
        box = (_inside(x_min), _inside(y_min), _inside(x_max), _inside(y_max))
        if box[0] < box[2] and box[1] < box[3]:  # else nothing of it is in the picture
            boxes.append(box)
            scores.append(told[number])
    return Boxes(task.engine, tuple(boxes), tuple(scores), _is_cut(read, objects, task))


def points_of(read: dict[str, Any], task: Point) -> Points:
    """`points` of an answer; raises UnusableError."""
    points = _listed(read, "points", task.max_objects)
    told = _scores(read, len(points))[: task.max_objects]
    places = [_coordinates(one, ("x", "y")) for one in points[: task.max_objects]]
    found = tuple((_inside(x), _inside(y)) for x, y in places)
    return Points(task.engine, found, tuple(told), _is_cut(read, points, task))


def in_words(text: Any, task: Task, yes_probability: float | None = None) -> Answer:
    """The answer that a text is for a task; raises UnusableError.

    A text that is JSON with an `answer` stands for that.
    """
    if not isinstance(text, str):
        raise UnusableError(f"{_shown(text)} instead of words")
    words = _THOUGHTS.sub("", text[:LONGEST_TEXT]).strip()
    told = words if isinstance(task, Ask | Count) and _wanted(task) != "text" else None
    if told is not None:
        found = _answer_in(told)
        words = str(found) if found is not None else words
    if not words and yes_probability is None:
        raise UnusableError("no words")
    match _wanted(task):
        case "yes/no":
            if yes_probability is None:
                return _yes_or_no(words, task)
            said = "yes" if yes_probability >= 0.5 else "no"
            return Text(task.engine, said, yes_probability)
        case "number":
            value = number_in(words)
            if value is None:
                raise UnusableError(f"{_shown(words)}, which holds no number")
            return Number(task.engine, value)
        case "one of":
            assert isinstance(task, Ask)
            return Text(task.engine, _chosen(words, task.choices))
        case _:
            return Text(task.engine, words)


def probability_of_yes(tokens: Any) -> float | None:
    """How likely yes is against no as the first word, from a list of tokens with alternatives.

    None where the server gives none, or where neither is what it is about to say.
    """
    if not isinstance(tokens, list):
        return None
    for token in tokens:
        if not isinstance(token, dict):
            return None
        if not str(token.get("token", "")).strip():
            continue  # a blank before the first word
        alternatives = token.get("top_logprobs")
        rows = alternatives if isinstance(alternatives, list) and alternatives else [token]
        mass = {"yes": 0.0, "no": 0.0}
        for row in rows:
            logprob = row.get("logprob") if isinstance(row, dict) else None
            if not _is_number(logprob) or logprob > 0.01:
                return None
            word = re.sub(r"\W", "", str(row.get("token", ""))).lower()
            if word in mass:
                mass[word] += math.exp(min(0.0, logprob))
        together = mass["yes"] + mass["no"]
        first = re.sub(r"\W", "", str(token.get("token", ""))).lower()
        return mass["yes"] / together if first in mass and together > 0 else None
    return None


def a_probability(value: Any) -> float | None:
    """A probability that a server gives beside its answer, if it does."""
    return float(value) if _is_number(value) and 0.0 <= value <= 1.0 else None


def _wanted(task: Task) -> str:
    match task:
        case Ask(answers=kind):
            return kind
        case Count():
            return "number"
        case _:
            return "text"


def _answer_in(text: str) -> str | int | None:
    """The `answer` of a text that is JSON."""
    fenced = _FENCE.match(text)
    try:
        read = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        return None
    found = read.get("answer") if isinstance(read, dict) else None
    if isinstance(found, float) and found.is_integer():
        return int(found)
    if isinstance(found, bool):
        return "yes" if found else "no"
    return found if isinstance(found, str | int) else None


def _yes_or_no(words: str, task: Task) -> Text:
    said = re.findall(r"[^\W\d_]+", words.lower())
    if said[:1] in (["yes"], ["no"]):
        return Text(task.engine, said[0])
    both = [word for word in ("yes", "no") if word in said]
    if len(both) == 1:
        return Text(task.engine, both[0])
    raise UnusableError(f"{_shown(words)}, which is neither yes nor no")


def _chosen(words: str, choices: Sequence[str]) -> str:
    def plain(text: str) -> str:
        return " ".join(re.findall(r"\w+", text.casefold()))

    said = plain(words)
    for choice in choices:
        if plain(choice) == said:
            return choice
    padded = f" {said} "
    named = [choice for choice in choices if f" {plain(choice)} " in padded]
    if len(named) == 1:
        return named[0]
    raise UnusableError(f"{_shown(words)}, which is not one of {', '.join(choices)}")


def _listed(read: dict[str, Any], name: str, most: int) -> list[Any]:
    found = read.get(name)
    if not isinstance(found, list):
        raise UnusableError(f"no list of `{name}`")
    if len(found) > max(MOST_OBJECTS, most):
        raise UnusableError(f"{len(found)} {name}, of which {most} were asked for")
    return found


def _coordinates(one: Any, names: Sequence[str]) -> list[float]:
    given = [one.get(name) for name in names] if isinstance(one, dict) else []
    values = [float(value) for value in given if _is_number(value)]
    if len(values) != len(names):
        raise UnusableError(f"{_shown(one)} instead of {', '.join(names)}")
    if not all(_LEAST <= value <= _GREATEST for value in values):
        raise UnusableError(f"a place outside the picture, which is 0 to 1: {_shown(one)}")
    return values


def _scores(read: dict[str, Any], count: int) -> list[float]:
    """The scores beside the objects; 1 for each where the server has none."""
    scores = read.get("scores")
    if scores is None:
        return [1.0] * count
    if not isinstance(scores, list) or len(scores) != count:
        raise UnusableError(f"{count} places with {_shown(scores)} as their scores")
    if not all(_is_number(score) and -0.01 <= score <= 1.01 for score in scores):
        raise UnusableError(f"scores that are not 0 to 1: {_shown(scores)}")
    return [min(1.0, max(0.0, float(score))) for score in scores]


def _is_cut(read: dict[str, Any], found: Sequence[Any], task: Detect | Point | Count) -> bool:
    told = read.get("saturated")
    if isinstance(told, bool) and len(found) <= task.max_objects:
        return told
    return len(found) >= task.max_objects


def _inside(value: float) -> float:
    return min(1.0, max(0.0, value))


def _is_number(value: Any) -> TypeGuard[float]:
    return is_finite(value)


def _shown(value: Any) -> str:
    text = one_line(repr(value))
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."


def failed(task: Task, place: str, error: UnusableError) -> Failed:
    """The failure that an unusable answer is."""
    return Failed(task.engine, f"{place} answered {error}")
