"""How many events a rule would have with other limits, so that one can be chosen among them.

Each limit is a rule of its own, a copy that differs in nothing else, and all of them are judged in
one go: what is told of a limit is what `moonwatch simulate` tells of the file with that limit.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import BaseModel, TypeAdapter, ValidationError

from pipeline.core.config import Duration
from pipeline.core.errors import ConfigError
from pipeline.core.events import Event, JsonValue
from pipeline.core.store import Span
from pipeline.web.editing.editor import CameraFile, edited
from pipeline.web.editing.parts import EditedParts
from pipeline.web.problems import WebError
from pipeline.web.simulating.what_if import simulation_of
from pipeline.web.state import WebState

Unit = Literal["s", "number", "km/h"]

_LADDER_S: Final = (
    *(0, 1, 2, 3, 5, 8, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 420, 600, 900, 1200),
    *(1800, 2700, 3600, 5400, 7200, 10800, 14400),
)
_LADDER_KMH: Final = (5, 10, 15, 20, 25, 30, 35, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 150)
_AROUND: Final = 6
"""So many limits below the one that is chosen are tried, and so many above it."""
_MOST_COPIES: Final = 2 * _AROUND + 1


@dataclass(frozen=True, slots=True)
class LimitField:
    """A field of a rule that is a limit."""

    unit: Unit
    about: str | None = None
    """Of which events of the rule it is the limit; None where of all."""
    least: float = 0


LIMITS: Final[Mapping[str, Mapping[str, LimitField]]] = {
    "dwell": {"longer_than": LimitField("s")},
    "queue": {
        "longer_than": LimitField("s", "wait"),
        "more_than": LimitField("number", "length"),
        "for": LimitField("s", "length"),
    },
    "occupancy": {
        "more_than": LimitField("number"),
        "fewer_than": LimitField("number", least=1),
        "for": LimitField("s"),
    },
    "count": {
        "more_than": LimitField("number"),
        "fewer_than": LimitField("number", least=1),
        "for": LimitField("s"),
    },
    "crowding": {"more_than": LimitField("number", least=1), "for": LimitField("s")},
    "absence": {"for": LimitField("s")},
    "condition": {"for": LimitField("s")},
    "parking": {"longer_than": LimitField("s")},
    "left_object": {"longer_than": LimitField("s")},
    "speed": {"over": LimitField("km/h")},
}
"""The limits that can be tried, by the type of rule."""


class LimitMark(BaseModel):
    """One limit that was tried."""

    limit: float
    """In seconds, things or km/h."""
    events: int


class LimitMarks(BaseModel):
    """A rule's events by limit."""

    rule: str
    key: str
    unit: Unit
    marks: list[LimitMark]
    """By limit; the one of the edit is among them."""
    cut_short: str | None


def simulated_limits(
    state: WebState,
    now: CameraFile,
    wanted: EditedParts,
    rule: str,
    key: str,
    span: Span,
    stop: threading.Event,
) -> LimitMarks:
    """Judge copies of a rule, each with another limit; raises WebError where it has no such one."""
    rules = dict(wanted.values().get("rules") or now.parts["rules"] or {})  # type: ignore[arg-type]
    settings = rules.get(rule)
    kind = settings.get("type") if isinstance(settings, dict) else None
    field = LIMITS.get(str(kind), {}).get(key)
    if field is None or not isinstance(settings, dict):
        raise WebError(422, f"rule {rule!r} has no limit `{key}` that could be tried", place="key")
    if settings.get(key) is None:
        raise WebError(422, f"rule {rule!r} has no `{key}` yet; set one first", place="key")
    tried = _around(_number(settings[key], field.unit), field)
    copies = {_free(rules, rule, number): limit for number, limit in enumerate(tried)}
    # What else counts is not asked for, and sequences of the file name the rule itself.
    for name, limit in copies.items():
        rules[name] = {**settings, key: _written(limit, field.unit)}
    result = edited(state.file, now, wanted.model_copy(update={"rules": rules}))
    if result.loaded is None:
        raise ConfigError(list(result.problems))
    deployment = result.loaded.deployment
    simulation = simulation_of(state, deployment, now.camera, tuple(copies), span, stop)
    events = dict.fromkeys(copies, 0)
    for hour in simulation.hours():
        for one in hour.rules:
            if one.rule in events and one.here is not None:
                events[one.rule] += _begun(one.here.events, field.about)
    return LimitMarks(
        rule=rule,
        key=key,
        unit=field.unit,
        marks=[LimitMark(limit=limit, events=events[name]) for name, limit in copies.items()],
        cut_short=simulation.cut_short,
    )


def _begun(events: Sequence[Event], about: str | None) -> int:
    """How many happenings there are of a kind."""
    return sum(
        one.phase in ("start", "single") and about in (None, one.data.get("about"))
        for one in events
    )


def _around(limit: float, field: LimitField) -> list[float]:
    """The limits to be tried, the least first; the given one among them."""
    if field.unit == "number":
        first = max(field.least, limit - _AROUND)
        return [first + step for step in range(_MOST_COPIES)]
    ladder = _LADDER_S if field.unit == "s" else _LADDER_KMH
    below = [float(one) for one in ladder if one < limit]
    above = [float(one) for one in ladder if one > limit]
    # Where there are few on one side, more on the other.
    lower = below[-max(_AROUND, 2 * _AROUND - len(above)) :]
    return [*lower, limit, *above[: 2 * _AROUND - len(lower)]]


def _number(value: JsonValue, unit: Unit) -> float:
    try:
        if unit == "s":
            return float(TypeAdapter(Duration).validate_python(value).total_seconds())
        return float(TypeAdapter(float).validate_python(value))
    except ValidationError:
        raise WebError(422, f"the limit {value!r} cannot be read as a number") from None


def _written(limit: float, unit: Unit) -> JsonValue:
    if unit == "s":
        return f"{round(limit * 1000)}ms" if limit % 1 else f"{limit:.0f}s"
    return int(limit) if unit == "number" else limit


def _free(taken: Mapping[str, object], rule: str, number: int) -> str:
    """The name of a copy."""
    name = f"{rule[:48]}-{number}"
    while name in taken:
        name += "_"
    return name
