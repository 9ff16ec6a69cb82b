"""Staff is counted like everybody, and once more in figures of its own."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.core.errors import ConfigError
from pipeline.core.events import Event
from pipeline.core.geometry import Line, Polygon
from pipeline.core.rules import Rule
from tests.rules.scene import Place, config, context, judged, people, seen, through_json

Paths = dict[int, list[Place | None]]
COUNTER = Polygon(((0.7, 0.6), (1.0, 0.6), (1.0, 1.0), (0.7, 1.0)))
BACK = Line((0.7, 0.8), (0.7, 1.0))


def rule(kind: str = "line_crossing", **fields: Any) -> Rule:
    """A rule in a shop with a counter and a door to the back."""
    shape = {"line": "across"} if kind == "line_crossing" else {"zone": "left", "gap": "0s"}
    built = config(type=kind, **{"staff": {"zone": "counter"}, **shape, **fields})
    zones = {"left": Polygon(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))), "counter": COUNTER}
    lines = {"across": Line((0.0, 0.5), (1.0, 0.5)), "back": BACK}
    return built.build(context(0.5, zones=zones, lines=lines))


CUSTOMER: list[Place | None] = [(0.3, 0.3), (0.3, 0.4), (0.3, 0.6), (0.35, 0.8), (0.35, 0.8)]
NOT_SEEN: list[Place | None] = [None] * 3
CLERK: list[Place | None] = [(0.8, 0.3), (0.8, 0.45), (0.8, 0.55), (0.8, 0.7), (0.8, 0.8)]
FROM_COUNTER: list[Place | None] = [(0.8, 0.8), (0.8, 0.7), (0.8, 0.55), (0.8, 0.4), (0.8, 0.3)]

CROSSINGS: list[tuple[str, dict[str, object], Paths, tuple[int, int, int, int]]] = [
    ("a customer", {}, {1: CUSTOMER}, (1, 0, 0, 0)),
    ("who goes to the counter was staff when he came in", {}, {1: CLERK}, (1, 0, 1, 0)),
    ("who comes from the counter is staff when he goes", {}, {1: FROM_COUNTER}, (0, 1, 0, 1)),
    ("both", {}, {1: CUSTOMER, 2: CLERK, 3: FROM_COUNTER}, (2, 1, 1, 1)),
    (
        "whose id changes is who he was",
        {},
        {1: FROM_COUNTER[:3], 2: NOT_SEEN + FROM_COUNTER[3:]},
        (0, 1, 0, 1),
    ),
    (
        "whose id changed before the counter",
        {},
        {1: CLERK[:3], 2: NOT_SEEN + CLERK[3:]},
        (1, 0, 1, 0),
    ),
    (
        "who goes through the door to the back",
        {"staff": {"line": "back"}},
        {1: [(0.5, 0.3), (0.5, 0.7), (0.6, 0.9), (0.8, 0.9), (0.8, 0.9)], 2: CLERK},
        (2, 0, 1, 0),
    ),
    (
        "both ways to tell",
        {"staff": {"line": "back", "zone": "counter"}},
        {1: CUSTOMER, 2: CLERK},
        (2, 0, 1, 0),
    ),
]


@pytest.mark.parametrize(
    ("fields", "paths", "expected"),
    [row[1:] for row in CROSSINGS],
    ids=[row[0] for row in CROSSINGS],
)
def test_crossings(
    fields: dict[str, Any], paths: Paths, expected: tuple[int, int, int, int]
) -> None:
    """Gross and staff; what counts everybody is what it is without."""
    frames = list(people(paths, 0.5))
    (bucket,) = judged(rule(**fields), frames, end=10.0).buckets

    names = ("entered", "left", "staff_in", "staff_out")
    assert tuple(bucket.values[name] for name in names) == expected
    (plain,) = judged(rule(staff=None), frames, end=10.0).buckets
    assert plain.values == {"entered": expected[0], "left": expected[1]}


def test_a_crossing_says_what_is_known_then() -> None:
    """Who comes in is known only later."""
    events = judged(rule(), people({1: CLERK, 2: FROM_COUNTER}, 0.5)).events
    assert sorted((str(e.data["direction"]), e.data["staff"]) for e in events) == [
        ("in", False),
        ("out", True),
    ]
    assert all(
        "staff" not in e.data for e in judged(rule(staff=None), people({1: CLERK}, 0.5)).events
    )


def test_a_later_minute_amends_the_earlier_one() -> None:
    """A crossing counts as staff's in the minute in which it was."""
    clerk: list[Place | None] = [*CLERK[:3], *[(0.8, 0.57)] * 130, *CLERK[3:]]
    buckets = judged(rule(), people({1: clerk}, 0.5), end=90.0).buckets

    minutes = [(b.minute, b.values["entered"], b.values["staff_in"]) for b in buckets]
    assert minutes == [(0, 1, 0), (0, 1, 1), (60, 0, 0)]


def test_visits() -> None:
    """Of everybody, and of staff."""
    clerk: list[Place | None] = [(0.4, 0.8), (0.45, 0.8), (0.6, 0.8), (0.8, 0.8), (0.8, 0.8)]
    (bucket,) = judged(rule("dwell"), people({1: CUSTOMER, 2: clerk}, 0.5), end=10.0).buckets

    assert bucket.values == {"entered": 2, "left": 2, "staff_entered": 1}
    (plain,) = judged(rule("dwell", staff=None), people({1: CUSTOMER}, 0.5), end=10.0).buckets
    assert plain.values == {"entered": 1, "left": 1}


@pytest.mark.parametrize("kind", ["line_crossing", "dwell"])
def test_a_restart_between_the_crossing_and_the_counter(kind: str) -> None:
    """What he did is part of the state."""
    paths: Paths = {1: CUSTOMER, 2: CLERK, 3: FROM_COUNTER}
    part, events = rule(kind), list[Event]()
    for frame in people(paths, 0.5):
        events += part.judge(frame).events
        part = through_json(part, rule(kind))
    whole = judged(rule(kind), people(paths, 0.5))

    assert tuple(events) == whole.events
    fresh = rule(kind)
    judged(fresh, people(paths, 0.5))
    assert part.finish(10.0) == fresh.finish(10.0)


def test_a_new_run_knows_nobody() -> None:
    """Ids start over."""
    part = rule()
    for frame in people({1: FROM_COUNTER[:2]}, 0.5):
        part.judge(frame)
    later = [
        seen(5 + f.at, *f.tracks, run="r2") for f in people({1: [(0.3, 0.6), (0.3, 0.4)]}, 0.5)
    ]
    values = judged(part, later, end=10.0).buckets[0].values
    assert values["staff_out"] == 0


def test_what_staff_is_told_by_is_checked() -> None:
    """Something has to be named, and to be there; an edit of it begins anew."""
    with pytest.raises(ValidationError, match="name a `zone` or a `line`"):
        config(type="line_crossing", line="across", staff={})
    for staff, said in (
        ({"zone": "counter", "deadline": "3s"}, "`deadline` is for a question; add `ask`"),
        ({"line": "back", "is": "no"}, "`is` is for a question; add `ask`"),
        ({"ask": "yes"}, "'yes' is not a question"),
        ({"ask": "Is it red?", "is": "red"}, "never answered 'red'; the answers are yes, no"),
        ({"ask": "Is it red?", "is": ["yes", "no"]}, "names every possible answer"),
        ({"ask": "What is it?", "choices": ["a", "A"], "is": "a"}, "two different answers"),
    ):
        with pytest.raises(ValidationError, match=said):
            config(type="line_crossing", line="across", staff=staff)
    missing = config(type="line_crossing", line="across", staff={"zone": "bar"})
    assert missing.references().zones == ("bar",)
    with pytest.raises(ConfigError, match="there is no zone 'bar'"):
        missing.build(context())
    missing = config(type="dwell", zone="left", staff={"line": "bar"})
    assert missing.references().lines == ("bar",)
    with pytest.raises(ConfigError, match="there is no line 'bar'"):
        missing.build(context())
