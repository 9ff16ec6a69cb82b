"""Things that are left, and things that are taken."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.core.events import Event
from pipeline.core.rules import Observation, Rule
from pipeline.core.tasks import Ask, Count, Detect
from pipeline.core.tracks import Step, Track
from tests.rules.scene import (
    FAILED,
    Place,
    config,
    context,
    judged,
    numbers,
    seen,
    through_json,
    track,
    words,
)

Look = tuple[Place | None, Place | None]
"""Where the bag is in a look, and where the person."""
BAG: Place = (0.3, 0.6)
BESIDE: Place = (0.35, 0.62)
FAR: Place = (0.9, 0.9)
GONE = None


def bag(id_: int, at: float, x: float, y: float) -> Track:
    """A bag of a quarter of a person's height."""
    box = (x - 0.03, y - 0.05, x + 0.03, y)
    return Track(id_, "bag", 0.9, at, (Step(at, box),))


def scene(*looks: Look, bag_id: int = 1, since: float = 10.0) -> list[Observation]:
    """An empty scene for ten seconds, then a look a second."""
    frames = [replace(seen(float(t)), beside={"people": ()}) for t in range(10)]
    for index, (thing, person) in enumerate(looks):
        at = since + index
        things = () if thing is None else (bag(bag_id, at, *thing),)
        people = () if person is None else (track(9, at, *person),)
        frames.append(replace(seen(at, *things), beside={"people": people}))
    return frames


def left(**fields: Any) -> Rule:
    """A rule for bags."""
    fields = {"of": "bags", "people": "people", "longer_than": "10s", "gap": "5s", **fields}
    return config(type="left_object", **fields).build(context(1.0, label="bag"))


def removed(**fields: Any) -> Rule:
    """A rule for things that stand at their place."""
    fields = {"of": "bags", "people": "people", "stood": "10s", "gap": "5s", **fields}
    return config(type="removed_object", **fields).build(context(1.0, label="bag"))


def looks(number: int, thing: Place | None, person: Place | None) -> list[Look]:
    """The same for so many seconds."""
    return [(thing, person)] * number


LEFT: list[tuple[str, dict[str, object], list[Look], list[tuple[str, float]]]] = [
    ("its person stays", {}, looks(40, BAG, BESIDE), []),
    (
        "its person goes",
        {},
        looks(5, BAG, BESIDE) + looks(20, BAG, FAR),
        [("start", 24.0)],
    ),
    (
        "its person comes back in time",
        {},
        looks(5, BAG, BESIDE) + looks(7, BAG, FAR) + looks(20, BAG, BESIDE),
        [],
    ),
    (
        "somebody passes by",
        {},
        looks(5, BAG, BESIDE) + looks(5, BAG, FAR) + looks(2, BAG, BESIDE) + looks(10, BAG, FAR),
        [("start", 24.0)],
    ),
    (
        "it is taken",
        {},
        looks(5, BAG, BESIDE) + looks(15, BAG, FAR) + looks(10, GONE, FAR),
        [("start", 24.0), ("end", 35.0)],
    ),
    ("it is carried", {}, [((0.1 + i / 50, 0.6), (0.12 + i / 50, 0.62)) for i in range(35)], []),
    (
        "somebody stands before it for long, and it is there again",
        {},
        looks(20, BAG, FAR) + looks(20, GONE, (0.3, 0.65)) + looks(5, BAG, FAR),
        [("start", 20.0)],
    ),
    ("elsewhere", {"zone": "left"}, looks(30, (0.8, 0.6), FAR), []),
    ("without a task for people", {"people": None}, looks(30, BAG, BESIDE), [("start", 20.0)]),
    ("near is what the file says", {"near": 0.1}, looks(30, BAG, (0.5, 0.6)), [("start", 20.0)]),
]


@pytest.mark.parametrize(
    ("fields", "path", "expected"), [row[1:] for row in LEFT], ids=[row[0] for row in LEFT]
)
def test_what_is_left(
    fields: dict[str, object], path: list[Look], expected: list[tuple[str, float]]
) -> None:
    """It stands for that long, and nobody is with it."""
    verdict = judged(left(**fields), scene(*path))

    assert [(event.phase, event.at) for event in verdict.events] == expected
    starts = [phase for phase, _ in expected].count("start")
    counted = judged(left(**fields), scene(*path), end=100.0).buckets
    assert sum(bucket.values["left"] or 0 for bucket in counted) == starts


def test_what_was_there_when_the_rule_began_is_the_scene() -> None:
    """A bench that a detector takes for a suitcase was not left."""
    frames = [seen(float(t), bag(1, float(t), *BAG)) for t in range(60)]
    assert judged(left(), frames).events == ()


def test_the_event_says_since_when() -> None:
    """When it was put down, and when its person had gone."""
    (start,) = judged(left(), scene(*looks(5, BAG, BESIDE), *looks(11, BAG, FAR))).events

    assert (start.type, start.subject and start.subject.label) == ("left_object", "bag")
    assert start.data == {
        "since": "1970-01-01T00:00:10.000Z",
        "alone_since": "1970-01-01T00:00:14.000Z",
        "seconds": 14.0,
    }


REMOVED: list[tuple[str, dict[str, object], list[Look], list[tuple[float, str]]]] = [
    ("it stays", {}, looks(40, BAG, FAR), []),
    ("it is gone", {}, looks(20, BAG, FAR) + looks(10, GONE, FAR), [(35.0, "gone")]),
    (
        "it is carried off",
        {},
        looks(20, BAG, FAR) + [((0.3 + i / 20, 0.6), (0.3 + i / 20, 0.6)) for i in range(1, 8)],
        [(31.0, "moved")],
    ),
    ("it stood for a moment", {}, looks(8, BAG, FAR) + looks(20, GONE, FAR), []),
    (
        "it is missed for a moment",
        {},
        looks(20, BAG, FAR) + looks(4, GONE, FAR) + looks(10, BAG, FAR),
        [],
    ),
    (
        "somebody stands before it",
        {},
        looks(20, BAG, FAR) + looks(30, GONE, (0.3, 0.65)) + looks(5, BAG, FAR),
        [],
    ),
    (
        "somebody stands before it, and takes it",
        {},
        looks(20, BAG, FAR) + looks(10, GONE, (0.3, 0.65)) + looks(10, GONE, FAR),
        [(45.0, "gone")],
    ),
    ("elsewhere", {"zone": "left"}, looks(20, (0.8, 0.6), FAR) + looks(20, GONE, FAR), []),
]


@pytest.mark.parametrize(
    ("fields", "path", "expected"), [row[1:] for row in REMOVED], ids=[row[0] for row in REMOVED]
)
def test_what_is_removed(
    fields: dict[str, object], path: list[Look], expected: list[tuple[float, str]]
) -> None:
    """It stood there, and is not there for as long as it takes."""
    verdict = judged(removed(**fields), scene(*path), end=100.0)

    assert [(event.at, event.data["how"]) for event in verdict.events] == expected
    assert sum(bucket.values["removed"] or 0 for bucket in verdict.buckets) == len(expected)


def test_what_was_not_seen_was_not_removed() -> None:
    """Failures, a new run and the end say nothing of a thing."""
    frames = scene(*looks(20, BAG, FAR))
    blind = [seen(30.0 + t, answer=FAILED) for t in range(60)]
    assert judged(removed(), [*frames, *blind, seen(90.0)], end=200.0).events == ()
    assert judged(removed(), frames, end=200.0).events == ()
    again = [replace(seen(31.0, bag(1, 31.0, *BAG)), run="r2")]
    assert judged(removed(), [*frames, *again], end=40.0).events == ()


def asked(kind: str, **fields: Any) -> Rule:
    """A rule about answers of a model."""
    return config(type=kind, **fields).build(context(1.0, label=None))


COUNTED: list[tuple[str, Sequence[int | None], list[tuple[str, float, object]], list[float]]] = [
    ("as many as ever", [2] * 20, [], []),
    ("one more", [2] * 3 + [3] * 7, [("start", 8.0, 3)], []),
    ("one more for a moment", [2] * 3 + [3] * 4 + [2] * 9, [], []),
    (
        "one more, and gone again",
        [2] * 3 + [3] * 7 + [2] * 4,
        [("start", 8.0, 3), ("end", 12.0, 2)],
        [12.0],
    ),
    ("one less", [2] * 9 + [1] * 9, [], [11.0]),
    ("a wrong answer", [2] * 9 + [0, 3, 2, 2, 2], [], []),
    ("one less, then one more", [2] * 9 + [1] * 9 + [2] * 9, [("start", 23.0, 2)], [11.0]),
    ("unknown", [2] * 3 + [None] * 9 + [2] * 9, [], []),
]


@pytest.mark.parametrize(
    ("values", "more", "fewer"), [row[1:] for row in COUNTED], ids=[row[0] for row in COUNTED]
)
def test_a_model_that_counts(
    values: Sequence[int | None], more: list[tuple[str, float, object]], fewer: list[float]
) -> None:
    """More than usual for long enough is left; fewer are removed, and are then usual."""
    rule = asked("left_object", longer_than="5s", gap="2s")
    told = judged(rule, numbers(values)).events
    assert [(event.phase, event.at, event.data["count"]) for event in told] == more

    rule = asked("removed_object", stood="5s", gap="2s")
    assert [event.at for event in judged(rule, numbers(values)).events] == fewer


def test_a_model_that_answers_in_words() -> None:
    """Where the label is open: is there a bag that belongs to nobody?"""
    values = ["no"] * 3 + ["Yes, there is."] * 8 + ["no"] * 4
    rule = asked("left_object", longer_than="5s", gap="2s", is_="yes")
    assert [(e.phase, e.at) for e in judged(rule, words(values)).events] == [
        ("start", 8.0),
        ("end", 13.0),
    ]
    rule = asked("removed_object", stood="5s", gap="2s", is_="on the wall")
    values = ["On the wall."] * 5 + ["nowhere"] * 5
    assert [event.at for event in judged(rule, words(values)).events] == [7.0]


@pytest.mark.parametrize("kind", ["left_object", "removed_object"])
def test_a_restart_at_every_frame(kind: str) -> None:
    """With people, things and what hides them."""
    path = [
        *looks(20, BAG, BESIDE),
        *looks(25, BAG, FAR),
        *looks(9, GONE, (0.3, 0.65)),
        *looks(20, GONE, FAR),
    ]
    make = {"left_object": left, "removed_object": removed}[kind]
    rule = make()
    events: list[Event] = []
    for frame in scene(*path):
        events += rule.judge(frame).events
        rule = through_json(rule, make())

    assert tuple(events) == judged(make(), scene(*path)).events
    assert events


TASKS: list[tuple[Mapping[str, object], Any, str | None]] = [
    ({}, Detect("bags", "e", "bag"), None),
    ({"is_": "yes"}, Detect("bags", "e", "bag"), "`is` is for a question"),
    ({}, Count("bags", "e", "bag"), None),
    ({"zone": "left"}, Count("bags", "e", "bag"), "gives no places"),
    ({"people": "people"}, Count("bags", "e", "bag"), "gives no places"),
    ({"is_": "yes"}, Count("bags", "e", "bag"), "is answered with a number"),
    ({"is_": "yes"}, Ask("bags", "e", "A bag?", "yes/no"), None),
    ({}, Ask("bags", "e", "A bag?", "yes/no"), "say which with `is`"),
    ({}, Ask("bags", "e", "How many bags?", "number"), None),
]


@pytest.mark.parametrize(("fields", "task", "said"), TASKS)
def test_what_fits_a_task(fields: Mapping[str, object], task: Any, said: str | None) -> None:
    """Places need a detect task, words an `is`."""
    rule = config(of="bags", type="left_object", longer_than="5s", **fields)
    why = rule.problem_with(task)
    assert (why is None) if said is None else (why is not None and said in why)


def test_people_are_another_task() -> None:
    """Else everybody would be his own company."""
    with pytest.raises(ValidationError, match="`people` names a task that finds people"):
        config(type="left_object", longer_than="5s", people="people")
