"""Builders for what rules are shown: people as feet in the picture, answers as plain values."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from pipeline.core.answers import Answer, Boxes, Failed, Number, Text
from pipeline.core.events import Event
from pipeline.core.geometry import Line, Polygon
from pipeline.core.measures import Bucket
from pipeline.core.rules import Observation, Rule, Verdict
from pipeline.core.tracks import Step, Track
from pipeline.rules import RuleConfig
from pipeline.rules.base import RuleBase
from pipeline.rules.context import RuleContext

ENGINE = "scripted"
FAILED = Failed(ENGINE, "out of memory")
ACROSS = Line((0.2, 0.5), (0.8, 0.5))
"""Looking right, so that going down the picture is `in`."""
LEFT_HALF = Polygon(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
TILL = Polygon(((0.5, 0.0), (0.8, 0.0), (0.8, 1.0), (0.5, 1.0)))
"""Right of the left half, and not as wide as the right one."""
HEIGHT = 0.2

Place = tuple[float, float]


def context(every_s: float = 0.5, **more: Any) -> RuleContext:
    """A camera with one line and one zone; its picture is square, so that x counts like y."""
    fields: dict[str, Any] = {
        "camera": "door",
        "rule": "rule",
        "label": "person",
        "lines": {"across": ACROSS},
        "zones": {"left": LEFT_HALF, "till": TILL},
        "aspect": 1.0,
    }
    return RuleContext(every_s=every_s, **{**fields, **more})


def config(**fields: Any) -> RuleBase:
    """A rule's config as an operator writes it; `for_` and `is_` stand for `for` and `is`."""
    written = {name.rstrip("_"): value for name, value in fields.items()}
    built: RuleBase = TypeAdapter(RuleConfig).validate_python({"of": "people", **written})
    return built


def box(x: float, y: float, height: float = HEIGHT) -> tuple[float, float, float, float]:
    """The box of a person whose feet are at (x, y)."""
    return (x - 0.04, y - height, x + 0.04, y)


def track(id_: int, at: float, x: float, y: float) -> Track:
    """A track seen now."""
    return Track(id_, "person", 0.9, at, (Step(at, box(x, y)),))


def late(id_: int, steps: Iterable[tuple[float, float, float]]) -> Track:
    """A track shown only now, with all of its steps (at, x, y)."""
    shown = tuple(Step(at, box(x, y)) for at, x, y in steps)
    return Track(id_, "person", 0.9, shown[0].at, shown)


def seen(at: float, *tracks: Track, answer: Answer | None = None, run: str = "r1") -> Observation:
    """A frame at `at`; its answer is the tracks' boxes unless another is given."""
    if answer is None:
        answer = Boxes(ENGINE, tuple(t.box for t in tracks), tuple(t.score for t in tracks))
    return Observation("door", run, round(at * 1000), at, answer, tracks)


def people(paths: Mapping[int, Sequence[Place | None]], every_s: float) -> Iterator[Observation]:
    """Frames from each one's places, one a frame; None where the tracker does not see him."""
    for index in range(max(len(path) for path in paths.values())):
        at = index * every_s
        yield seen(
            at,
            *(
                track(id_, at, *place)
                for id_, path in sorted(paths.items())
                if index < len(path) and (place := path[index]) is not None
            ),
        )


def numbers(values: Sequence[int | None], every_s: float = 1.0) -> Iterator[Observation]:
    """A count task's answers; None is a failed one."""
    for index, value in enumerate(values):
        answer = FAILED if value is None else Number(ENGINE, value)
        yield seen(index * every_s, answer=answer)


def words(values: Sequence[str | None], every_s: float = 1.0) -> Iterator[Observation]:
    """A question's answers; None is a failed one."""
    for index, value in enumerate(values):
        answer = FAILED if value is None else Text(ENGINE, value)
        yield seen(index * every_s, answer=answer)


def judged(rule: Rule, frames: Iterable[Observation], end: float | None = None) -> Verdict:
    """All that a rule concludes; with `end` also what follows from the stream's end."""
    events: list[Event] = []
    buckets: list[Bucket] = []
    verdicts = [rule.judge(frame) for frame in frames]
    if end is not None:
        verdicts.append(rule.finish(end))
    for verdict in verdicts:
        events += verdict.events
        buckets += verdict.buckets
    return Verdict(tuple(events), tuple(buckets))


def phases(verdict: Verdict) -> list[tuple[str, float]]:
    """The events' phases and times."""
    return [(event.phase, event.at) for event in verdict.events]


def through_json(rule: Rule, fresh: Rule) -> Rule:
    """A fresh rule that goes on from another's state, as after a restart."""
    fresh.restore(json.loads(json.dumps(rule.state(), allow_nan=False)))
    return fresh


def down(*ys: float | None, x: float = 0.5) -> list[Place | None]:
    """Places below each other; the line is at 0.5 and its band reaches 0.01 to both sides."""
    return [None if y is None else (x, y) for y in ys]


def line_rule(every_s: float = 0.5, **fields: object) -> Rule:
    """A crossing rule on the line `across`, where going down is `in`."""
    return config(type="line_crossing", line="across", **fields).build(context(every_s))


def directions(rule: Rule, paths: dict[int, list[Place | None]], every_s: float) -> list[str]:
    """What each event says, in order."""
    verdict = judged(rule, people(paths, every_s))
    return [str(event.data["direction"]) for event in verdict.events]
