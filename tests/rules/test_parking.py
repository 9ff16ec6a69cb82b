"""What stands still in a zone for longer than it may."""

import random
from typing import Any

import pytest

from pipeline.core.events import Event
from pipeline.core.rules import Rule
from tests.rules.scene import (
    FAILED,
    Place,
    config,
    context,
    judged,
    late,
    people,
    seen,
    through_json,
    track,
)

Paths = dict[int, list[Place | None]]
HERE: Place = (0.25, 0.5)
THERE: Place = (0.25, 0.9)
OUT: Place = (0.75, 0.5)
GONE = None


def parking(every_s: float = 1.0, /, **fields: Any) -> Rule:
    """A rule on the left half of the picture."""
    fields = {"zone": "left", "longer_than": "5s", "gap": "10s", **fields}
    return config(type="parking", **fields).build(context(every_s))


def stay(place: Place | None, looks: int) -> list[Place | None]:
    """At one place, or nowhere, for so many looks."""
    return [place] * looks


def drives(n: int, y: float = 0.5) -> list[Place | None]:
    """Through the picture, half its own width a look."""
    return [(0.05 + 0.04 * i, y) for i in range(n)]


# The seconds of each happening that ended.
PARKED: list[tuple[str, dict[str, object], Paths, list[float]]] = [
    ("stands and drives off", {}, {1: stay(HERE, 8) + stay(OUT, 4)}, [7.0]),
    ("stands for too short a time", {}, {1: stay(HERE, 5) + stay(OUT, 4)}, []),
    ("drives through", {}, {1: drives(20)}, []),
    ("creeps", {}, {1: [(0.1 + 0.01 * i, 0.5) for i in range(30)]}, []),
    ("stands elsewhere", {}, {1: stay(OUT, 20)}, []),
    ("anywhere in the picture", {"zone": None}, {1: stay(OUT, 11)}, [10.0]),
    ("two", {}, {1: stay(HERE, 11), 2: stay(THERE, 8) + stay(OUT, 4)}, [7.0, 10.0]),
    (
        "stops, goes on a little and stops again",
        {},
        {1: stay(HERE, 8) + stay(THERE, 9)},
        [7.0, 7.0],
    ),
    ("one wild box", {}, {1: [*stay(HERE, 4), OUT, *stay(HERE, 6)]}, [10.0]),
    ("hidden for a while", {}, {1: stay(HERE, 6) + stay(GONE, 5) + stay(HERE, 3)}, [13.0]),
    ("hidden for too long", {}, {1: stay(HERE, 12) + stay(GONE, 11) + stay(HERE, 8)}, [11.0, 7.0]),
    ("another id", {}, {1: stay(HERE, 6), 2: stay(GONE, 8) + stay(HERE, 4)}, [11.0]),
    (
        "ids that change all the time",
        {},
        {n + 1: stay(GONE, 4 * n) + stay(HERE, 4) for n in range(5)},
        [19],
    ),
    (
        "half hidden by what passes",
        {},
        {1: stay(HERE, 4) + [(0.25, 0.45)] * 2 + stay(HERE, 5)},
        [10.0],
    ),
    (
        "two that have swapped their ids",
        {},
        {1: stay(HERE, 5) + stay(THERE, 6), 2: stay(THERE, 5) + stay(HERE, 6)},
        [10.0, 10.0],
    ),
    (
        "whose id goes on with one who passes",
        {},
        {
            1: stay(HERE, 5) + drives(6, 0.1),
            2: [(0.05, 0.2), (0.1, 0.3), (0.15, 0.4), *stay(OUT, 2), *stay(HERE, 6)],
        },
        [10.0],
    ),
    (
        "somebody passes right in front of what is hidden",
        {},
        {
            1: [*stay(HERE, 6), GONE, GONE, *stay(HERE, 4)],
            2: [*stay(GONE, 4), (0.17, 0.5), (0.21, 0.5), HERE, (0.33, 0.5), (0.4, 0.5), OUT],
        },
        [11.0],
    ),
    (
        "one after another passes the same place",
        {},
        {n: [*stay(GONE, n), (0.16, 0.5), HERE, (0.34, 0.5), OUT] for n in range(1, 20)},
        [],
    ),
    (
        "one after another appears at the same place",
        {},
        {n: [*stay(GONE, n), HERE, (0.34, 0.5), OUT] for n in range(1, 20)},
        [],
    ),
]


@pytest.mark.parametrize(
    ("fields", "paths", "seconds"),
    [row[1:] for row in PARKED],
    ids=[row[0] for row in PARKED],
)
def test_what_is_parked(fields: dict[str, object], paths: Paths, seconds: list[float]) -> None:
    """It lasts from when it began to stand to when it was last seen there."""
    verdict = judged(parking(**fields), people(paths, 1.0), end=100.0)

    ends = [event.data["seconds"] for event in verdict.events if event.phase == "end"]
    assert sorted(map(float, map(str, ends))) == sorted(seconds)
    starts = [event.id for event in verdict.events if event.phase == "start"]
    assert sorted(starts) == sorted(e.id for e in verdict.events if e.phase == "end")
    (bucket,) = verdict.buckets[:1]
    assert (bucket.values["parked"], bucket.values["left"]) == (len(seconds), len(seconds))
    assert bucket.values["left_s"] == pytest.approx(sum(seconds))


@pytest.mark.parametrize("every_s", [0.1, 0.25, 1.0, 2.0])
def test_jitter_and_missed_looks(every_s: float) -> None:
    """A detector jitters by 4 % of a body and misses one in seven; what stands is one happening."""
    noise = random.Random(5)
    path: list[Place | None] = [
        None
        if noise.random() < 0.15
        else (0.25 + noise.gauss(0, 0.004), 0.5 + noise.gauss(0, 0.008))
        for _ in range(round(120 / every_s))
    ]
    path[0] = HERE
    rule = parking(every_s, longer_than="1m")

    events = judged(rule, people({1: path}, every_s), end=120.0).events

    assert [event.phase for event in events] == ["start", "end"]
    assert events[0].at == pytest.approx(60.0, abs=3 * every_s)
    assert float(str(events[1].data["seconds"])) == pytest.approx(120.0, abs=4 * every_s)


def test_what_the_events_say() -> None:
    """The first id, since when, and the zone; at the end until when and why."""
    paths = {7: stay(HERE, 7), 9: [*stay(GONE, 8), *stay(HERE, 2), *stay(OUT, 4)]}
    start, end = judged(parking(), people(paths, 1.0)).events

    assert (start.id, start.at, start.phase, start.type) == (end.id, 5.0, "start", "parking")
    assert start.data == {"zone": "left", "since": "1970-01-01T00:00:00.000Z", "seconds": 5.0}
    assert start.subject is not None
    assert end.subject is not None
    assert (start.subject.track, end.subject.track, end.subject.label) == (7, 7, "person")
    assert (end.data["until"], end.data["seconds"], end.data["reason"]) == (
        "1970-01-01T00:00:09.000Z",
        9.0,
        "over",
    )


def test_a_track_that_is_shown_late_stood_before() -> None:
    """From the first of its steps at the place."""
    steps = [(0.0, *OUT), *[(float(t), *HERE) for t in range(1, 7)]]
    (start,) = parking().judge(seen(6.0, late(1, steps))).events

    assert start.data["seconds"] == 5.0


def test_a_new_run_finds_what_stands() -> None:
    """Ids start over when a camera is back; a place does not."""
    rule = parking()
    before = [seen(float(t), track(1, float(t), *HERE)) for t in range(7)]
    after = [seen(float(t), track(1, float(t), *HERE), run="r2") for t in range(10, 15)]

    start, end = judged(rule, [*before, *after], end=15.0).events

    assert (start.at, end.data["seconds"], end.data["reason"]) == (5.0, 14.0, "stream ended")


def test_failures_are_unknown_and_end_nothing_at_once() -> None:
    """For as long as the gap; a minute without answers has no figures."""
    stands = [seen(float(t), track(1, float(t), *HERE)) for t in range(7)]
    short = [*[seen(float(t), answer=FAILED) for t in range(7, 15)]]
    back = [seen(float(t), track(1, float(t), *HERE)) for t in range(15, 18)]
    (end,) = [
        e for e in judged(parking(), [*stands, *short, *back], end=18.0).events if e.phase == "end"
    ]
    assert (end.data["seconds"], end.data["reason"]) == (17.0, "stream ended")

    long = [seen(float(t), answer=FAILED) for t in range(7, 121)]
    verdict = judged(parking(), [*stands, *long], end=121.0)
    (end,) = [event for event in verdict.events if event.phase == "end"]
    assert (end.data["seconds"], end.data["reason"]) == (6.0, "unknown")
    assert set(verdict.buckets[1].values.values()) == {None}


def test_the_schedule_and_a_cooldown_delay_the_start() -> None:
    """Figures are whole in any case."""
    rule = parking(10.0, schedule=[{"from": "00:01"}])
    verdict = judged(rule, people({1: stay(HERE, 8)}, 10.0), end=70.0)
    assert [(e.phase, e.at, e.data["seconds"]) for e in verdict.events] == [
        ("start", 60.0, 60.0),
        ("end", 70.0, 70.0),
    ]
    assert verdict.buckets[0].values["parked"] == 1

    rule = parking(cooldown="4s")
    paths: Paths = {1: stay(HERE, 20), 2: [GONE, *stay(THERE, 20)]}
    starts = [e for e in judged(rule, people(paths, 1.0)).events if e.phase == "start"]
    assert [event.at for event in starts] == [5.0, 9.0]


def test_minutes_hold_how_many_are_parked_at_a_time() -> None:
    """From when they are parked."""
    paths: Paths = {1: stay(HERE, 60), 2: stay(GONE, 24) + stay(THERE, 36)}
    bucket, *_ = judged(parking(), people(paths, 1.0), end=60.0).buckets

    assert bucket.values["mean"] == pytest.approx((55 + 31) / 60)
    assert bucket.values["maximum"] == 2


def test_a_restart_in_the_middle_of_a_swap() -> None:
    """The places are part of the state."""
    paths: Paths = {1: stay(HERE, 5) + stay(THERE, 6), 2: stay(THERE, 5) + stay(HERE, 6)}
    rule: Rule = parking()
    events: list[Event] = []
    for frame in people(paths, 1.0):
        events += rule.judge(frame).events
        rule = through_json(rule, parking())

    assert [(event.phase, event.at) for event in events] == [("start", 5.0), ("start", 5.0)]
