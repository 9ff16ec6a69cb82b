"""What was edited of a rule and when, as far as that can change what it counts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.core.events import JsonValue

EditKind = Literal["edited", "added", "removed"]
_LONGEST_VALUE = 60
_SHAPES = ("lines", "zones")


@dataclass(frozen=True, slots=True)
class RuleEdit:
    """A rule of a live camera that begins anew, begins or ends, as the file was edited."""

    camera: str
    rule: str
    at: float
    """UTC seconds of the moment from which it counts by the new terms."""
    kind: EditKind
    changed: str = ""
    """What was edited, in words; empty where that is not known."""


def what_changed(before: JsonValue, after: JsonValue) -> str:
    """What differs between the terms of a rule, in words.

    Where nothing does, it is what its task's answers depend on: the question, the engine, how
    objects are followed, or which part of the picture is shown.
    """
    if not isinstance(before, dict) or not isinstance(after, dict):
        return ""
    said = list(_fields(before.get("rule"), after.get("rule")))
    for kind in _SHAPES:
        said += _shapes(kind[:-1], before.get(kind), after.get(kind))
    for name in ("label", "timezone", "hours"):
        if before.get(name) != after.get(name):
            said.append({"label": "what it is about", "hours": "opening hours"}.get(name, name))
    return "; ".join(said) or "its task, engine or masks"


def _fields(before: JsonValue, after: JsonValue) -> Iterator[str]:
    if not isinstance(before, dict) or not isinstance(after, dict):
        return
    for name in sorted({*before, *after}):
        was, now = before.get(name), after.get(name)
        if was != now:
            yield f"{name}: {_written(was)} \N{RIGHTWARDS ARROW} {_written(now)}"


def _shapes(kind: str, before: JsonValue, after: JsonValue) -> list[str]:
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return []
    return [
        f"{kind} {name} was moved"
        for name in sorted(before.keys() & after.keys())
        if before[name] != after[name]
    ]


def _written(value: JsonValue) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case _:
            text = " ".join(str(value).split())
            return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
