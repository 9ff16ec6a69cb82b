"""How long visitors stay in a zone."""

from typing import Any

import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.rules import Rule
from tests.rules.scene import FAILED, Place, config, context, judged, late, people, seen, track

IN: Place = (0.4, 0.5)
OUT: Place = (0.6, 0.5)
GONE = None


def dwell(every_s: float = 1.0, /, **fields: Any) -> Rule:
    """A dwell rule on the left half of the picture."""
    return config(type="dwell", zone="left", **fields).build(context(every_s))


VISITS: list[tuple[str, dict[str, object], dict[int, list[Place | None]], list[float]]] = [
    ("one visit", {"gap": "0s"}, {1: [OUT, IN, IN, IN, OUT]}, [2.0]),
    ("never inside", {}, {1: [OUT] * 5}, []),
    ("seen inside once", {"gap": "0s"}, {1: [OUT, IN, OUT]}, [0.0]),
    ("back within the gap", {"gap": "3s"}, {1: [IN, OUT, OUT, IN, IN, *[OUT] * 5]}, [4.0]),
    ("back after the gap", {"gap": "1s"}, {1: [IN, IN, OUT, OUT, IN, *[OUT] * 3]}, [1.0, 0.0]),
    ("hidden for two samples", {"gap": "0s"}, {1: [IN, GONE, GONE, IN, OUT]}, [0.0, 0.0]),
    ("hidden within the gap", {"gap": "4s"}, {1: [IN, GONE, GONE, GONE, IN]}, [4.0]),
    ("hidden for one sample in any case", {"gap": "0s"}, {1: [IN, GONE, IN, OUT]}, [2.0]),
    ("lost and found under another id", {}, {1: [IN, IN], 2: [GONE, GONE, IN, IN]}, [3.0]),
    (
        "lost behind somebody for long, found under another id",
        {"gap": "6s"},
        {1: [IN, IN], 2: [*[GONE] * 6, IN, IN]},
        [7.0],
    ),
    (
        "another one, elsewhere in the zone",
        {"gap": "6s"},
        {1: [IN, IN], 2: [GONE, GONE, *[(0.1, 0.9)] * 2]},
        [1.0, 1.0],
    ),
    ("two at a time", {}, {1: [IN] * 3, 2: [GONE, *[(0.1, 0.9)] * 4]}, [2.0, 3.0]),
]


@pytest.mark.parametrize(
    ("fields", "paths", "seconds"),
    [row[1:] for row in VISITS],
    ids=[row[0] for row in VISITS],
)
def test_visits(
    fields: dict[str, object], paths: dict[int, list[Place | None]], seconds: list[float]
) -> None:
    """A visit lasts from the first to the last time somebody was seen inside."""
    events = judged(dwell(**fields), people(paths, 1.0), end=60.0).events

    ends = [e.data["seconds"] for e in events if e.phase == "end"]
    assert sorted(str(lasted) for lasted in ends) == sorted(str(lasted) for lasted in seconds)
    assert sorted(e.id for e in events if e.phase == "start") == sorted(
        e.id for e in events if e.phase == "end"
    )


def test_longer_than_starts_the_event() -> None:
    """Who stays that long is told then; shorter visits are counted in silence."""
    rule = dwell(longer_than="3s", gap="1s")
    short: list[Place | None] = [IN, IN, OUT, OUT, OUT]
    long: list[Place | None] = [GONE, *[(0.1, 0.9)] * 5, OUT, OUT, OUT]
    start, end = judged(rule, people({1: short, 2: long}, 1.0)).events

    assert start.id == end.id
    assert (start.at, start.phase) == (4.0, "start")
    assert start.data == {"zone": "left", "since": "1970-01-01T00:00:01.000Z", "seconds": 3.0}
    assert (end.at, end.phase) == (7.0, "end")
    assert end.data == {
        "zone": "left",
        "since": "1970-01-01T00:00:01.000Z",
        "until": "1970-01-01T00:00:05.000Z",
        "seconds": 4.0,
        "reason": "over",
        "visits": 2,
        "mean_seconds": 2.5,
    }
    assert start.subject is not None
    assert (start.subject.label, start.subject.track) == ("person", 2)


def test_a_late_confirmed_track_entered_when_it_did() -> None:
    """The visit begins with the first step inside, though the track is shown only later."""
    rule = dwell(0.5)
    (start,) = rule.judge(seen(1.0, late(1, [(0.0, *OUT), (0.5, *IN), (1.0, *IN)]))).events

    assert start.data["seconds"] == 0.5


def test_failed_answers_do_not_end_a_visit() -> None:
    """Unknown time within the tolerance is part of the visit; long blindness ends it."""
    seen_inside = [seen(float(t), track(1, float(t), *IN)) for t in range(3)]
    short = [seen(3.0, answer=FAILED), seen(4.0, track(1, 4.0, *IN))]
    long = [seen(float(t), answer=FAILED) for t in range(3, 10)]

    (end,) = [
        e for e in judged(dwell(), [*seen_inside, *short], end=5.0).events if e.phase == "end"
    ]
    assert (end.data["seconds"], end.data["reason"]) == (4.0, "stream ended")
    (end,) = [e for e in judged(dwell(), [*seen_inside, *long]).events if e.phase == "end"]
    assert (end.at, end.data["seconds"], end.data["reason"]) == (6.0, 2.0, "unknown")


def test_minutes_hold_visits_begun_and_ended() -> None:
    """Every visit is in the minutes, whether it made an event or not."""
    rule = dwell(longer_than="1h", gap="1s")
    verdict = judged(rule, people({1: [IN, OUT, OUT, OUT, IN]}, 1.0), end=5.0)

    assert verdict.events == ()
    assert [(b.values["entered"], b.values["left"]) for b in verdict.buckets] == [(2, 2)]


def test_a_cooldown_delays_the_next_start() -> None:
    """Within the cooldown nobody else is told; who still stays after it is told then."""
    rule = dwell(longer_than="1s", cooldown="4s", gap="0s")
    far: Place = (0.1, 0.9)
    middle: Place = (0.25, 0.2)
    events = judged(
        rule,
        people({1: [IN] * 9, 2: [GONE, far, far, (0.9, 0.9)], 3: [GONE, *[middle] * 8]}, 1.0),
    ).events

    assert [(e.at, e.data.get("suppressed")) for e in events] == [(1.0, None), (5.0, 1)]
    assert [e.subject.track for e in events if e.subject] == [1, 3]


def test_the_schedule_delays_the_start() -> None:
    """Who came before the schedule's hours is told when they begin; the visit began earlier."""
    rule = dwell(30.0, schedule=[{"from": "00:01"}])
    events = judged(rule, people({1: [IN] * 4}, 30.0)).events

    assert [(e.at, e.data["seconds"]) for e in events] == [(60.0, 60.0)]


def test_a_new_run_ends_visits() -> None:
    """After a camera's restart ids mean other people, and nobody is known to have stayed."""
    rule = dwell()
    rule.judge(seen(0.0, track(1, 0.0, *IN)))

    end, start = rule.judge(seen(1.0, track(1, 1.0, *IN), run="r2")).events

    assert (end.phase, end.data["reason"], start.phase) == ("end", "unknown", "start")
    assert end.id != start.id


@pytest.mark.parametrize("kind", ["dwell", "occupancy"])
def test_a_missing_zone_is_named(kind: str) -> None:
    """Building without the zone says which there are."""
    rule = config(type=kind, zone="desk")

    assert rule.references().zones == ("desk",)
    with pytest.raises(ConfigError, match="there is no zone 'desk'; known: left, till"):
        rule.build(context())
