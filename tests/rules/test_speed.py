"""How fast things go through a zone that was measured."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.core.errors import ConfigError
from pipeline.core.events import Event
from pipeline.core.geometry import Point, Polygon
from pipeline.core.rules import Observation, Rule
from pipeline.core.tracks import Step, Track
from pipeline.rules.at_work.speed import velocity
from pipeline.rules.ground import Ground
from pipeline.rules.speed import SpeedConfig, class_of, not_exceeded
from tests.rules.scene import FAILED, config, context, judged, seen, through_json

ASPECT = 16 / 9
ROAD = ((-3.5, 10.0), (3.5, 10.0), (3.5, 34.0), (-3.5, 34.0))
"""Metres right of and before a camera that is 6 m high and looks down a little."""


def shown(place: Point) -> Point:
    """Where the camera shows a place of the ground, in 0..1: pinhole, 6 m high, tilted by 15 %."""
    x, y = place
    depth, down = y + 0.15 * 6.0, 6.0 - 0.15 * y
    return (0.5 + 0.9 * x / depth / ASPECT, 0.5 + 0.9 * down / depth)


ZONES = {
    "road": Polygon(tuple(map(shown, ROAD))),
    "five": Polygon(((0.1, 0.1), (0.5, 0.05), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9))),
    "bent": Polygon(((0.1, 0.1), (0.9, 0.1), (0.3, 0.3), (0.1, 0.9))),
}


def speed(every_s: float = 0.25, **fields: Any) -> Rule:
    """A rule at the measured road."""
    fields = {"rectangle": [7.0, 24.0], **fields}
    rule = config(type="speed", zone="road", **fields)
    return rule.build(context(every_s, zones=ZONES, aspect=ASPECT, label="car"))


def car(id_: int, at: float, place: Point, jitter: Point = (0.0, 0.0)) -> Track:
    """One that is 1.5 m high, with an error of its box in its heights."""
    x, y = shown(place)
    height = 0.9 * 1.5 / (place[1] + 0.9)
    x, y = x + jitter[0] * height / ASPECT, y + jitter[1] * height
    box = (x - height / ASPECT, y - height, x + height / ASPECT, y)
    return Track(id_, "car", 0.9, at, (Step(at, box),))


def drive(
    kmh: float, every_s: float = 0.25, noise: float = 0.0, seed: int = 1, id_: int = 1
) -> Iterator[Observation]:
    """Towards the camera, from 40 m to 8 m."""
    luck = random.Random(seed)
    at, way = 0.0, 40.0 - luck.random() * kmh / 3.6 * every_s
    while way > 8.0:
        jitter = (luck.gauss(0, noise), luck.gauss(0, noise))
        late = luck.gauss(0, 0.01) if noise else 0.0
        yield seen(at, car(id_, at, (1.0, way - late * kmh / 3.6), jitter))
        at, way = at + every_s, way - kmh / 3.6 * every_s
    for _ in range(12):
        yield seen(at)
        at += every_s


@pytest.mark.parametrize("kmh", [5, 30, 50, 80])
@pytest.mark.parametrize("every_s", [0.1, 0.25])
def test_exact_boxes_give_exact_speeds(kmh: float, every_s: float) -> None:
    """Whatever the perspective."""
    (bucket, *_) = judged(speed(every_s), drive(kmh, every_s), end=60.0).buckets

    assert (bucket.values["passed"], bucket.values["unmeasured"]) == (1, 0)
    assert bucket.values["kmh"] == pytest.approx(kmh, rel=0.01)
    assert bucket.values["fastest"] == bucket.values["kmh"]
    assert bucket.values[class_of(kmh + 0.01)] == 1


def test_the_uncertainty_is_honest() -> None:
    """With boxes that jitter by 3 % and dates that jitter, most are within what was told."""
    within, offs = 0, []
    for seed in range(200):
        kmh = 20 + seed % 60
        events = judged(speed(over=1), drive(kmh, noise=0.03, seed=seed), end=60.0).events
        end = events[-1]
        told, off = float(str(end.data["kmh"])), float(str(end.data["uncertainty_kmh"]))
        within += abs(told - kmh) <= off + 0.05
        offs.append(off / kmh)
    assert within >= 180
    assert sorted(offs)[100] < 0.15


def test_one_look_a_second_takes_a_long_zone() -> None:
    """What is seen less than three times is not measured, and is not zero."""
    bucket, *_ = judged(speed(1.0), drive(50, 1.0), end=60.0).buckets
    assert (bucket.values["passed"], bucket.values["unmeasured"]) == (0, 1)
    assert (bucket.values["kmh"], bucket.values["fastest"]) == (0, None)

    bucket, *_ = judged(speed(1.0), drive(20, 1.0), end=60.0).buckets
    assert bucket.values["kmh"] == pytest.approx(20, rel=0.02)


def test_who_is_too_fast_is_told_on_the_way() -> None:
    """And at the end, with the greatest speed and the mean."""
    start, end = judged(speed(over=30), drive(50), end=60.0).events

    assert (start.id, start.phase, start.type) == (end.id, "start", "speed")
    assert start.at < end.at
    assert start.data["zone"] == "road"
    assert start.data["kmh"] == pytest.approx(50, abs=1)
    assert 0 < float(str(start.data["uncertainty_kmh"])) < 20
    assert start.data["over"] == 30
    assert start.subject is not None
    assert (start.subject.label, start.subject.track) == ("car", 1)
    assert end.data["mean_kmh"] == pytest.approx(50, abs=0.5)
    assert end.data["reason"] == "over"


@pytest.mark.parametrize("kmh", [10, 29, 30.4])
def test_what_is_not_surely_too_fast_is_not_told(kmh: float) -> None:
    """By more than the uncertainty: 30.4 may be 30."""
    verdict = judged(speed(over=30), drive(kmh), end=60.0)
    assert verdict.events == ()
    assert verdict.buckets[0].values["over"] == 0


def test_without_a_limit_there_are_only_minutes() -> None:
    """Nothing is too fast."""
    assert judged(speed(), drive(200, 0.05), end=60.0).events == ()


def test_an_id_that_changes_is_one_passage() -> None:
    """The new one continues it."""
    frames = list(drive(20))
    half = len(frames) // 3
    renamed = [
        seen(f.at, *(Track(2, t.label, t.score, t.first_seen, t.steps) for t in f.tracks))
        for f in frames[half:]
    ]
    (bucket, *_) = judged(speed(), [*frames[:half], *renamed], end=60.0).buckets

    assert bucket.values["passed"] == 1
    assert bucket.values["kmh"] == pytest.approx(20, rel=0.02)


def test_a_restart_on_the_way() -> None:
    """The looks so far are part of the state."""
    rule = speed(over=30)
    events: list[Event] = []
    for frame in drive(50):
        events += rule.judge(frame).events
        rule = through_json(rule, speed(over=30))

    assert tuple(events) == judged(speed(over=30), drive(50)).events
    assert len(events) == 2


def test_failures_are_unknown() -> None:
    """A minute without answers has no figures, and a passage ends with them."""
    frames = list(drive(20))[:10]
    blind = [seen(frames[-1].at + 0.25 * n, answer=FAILED) for n in range(1, 480)]
    verdict = judged(speed(over=5), [*frames, *blind], end=125.0)

    assert verdict.events[-1].data["reason"] == "unknown"
    assert set(verdict.buckets[1].values.values()) == {None}


def test_a_cooldown_and_the_schedule_silence_and_count() -> None:
    """Figures are whole."""
    frames = [*drive(50), *(seen(20 + f.at, *_later(f.tracks, 20.0)) for f in drive(50, id_=2))]
    for fields, starts in (
        ({}, 2),
        ({"cooldown": "5m"}, 1),
        ({"schedule": [{"from": "00:01"}]}, 0),
    ):
        verdict = judged(speed(over=30, **fields), frames, end=60.0)
        assert [e.phase for e in verdict.events].count("start") == starts
        assert verdict.buckets[0].values["over"] == 2


def _later(tracks: tuple[Track, ...], by: float) -> list[Track]:
    return [
        Track(t.id, t.label, t.score, t.first_seen + by, (Step(t.steps[0].at + by, t.box),))
        for t in tracks
    ]


def test_any_share_of_speeds_from_minutes() -> None:
    """In proportion within a class, and never more than the fastest."""
    values: dict[str, float | None] = {"under_30_kmh": 50, "under_35_kmh": 50, "under_5_kmh": None}
    assert not_exceeded(values, 0.5) == 30
    assert not_exceeded(values, 0.85) == pytest.approx(33.5)
    assert not_exceeded(values, 0.85, 32.0) == 32.0
    assert not_exceeded({}, 0.85) is None
    assert not_exceeded({"over_150_kmh": 2}, 0.85, 190.0) == pytest.approx(184.0)
    names = {measure.name for measure in SpeedConfig.measures}
    assert {class_of(kmh) for kmh in range(200)} <= names


def test_a_bent_way_is_less_sure() -> None:
    """Looks that are not on a straight line make the speed as much less sure."""
    straight = [(t / 4, t * 1.0, 0.0, 0.1) for t in range(9)]
    bent = [(at, x, 0.0 if x < 4 else (x - 4) * 1.0, noise) for at, x, _, noise in straight]
    sure, unsure = velocity(straight), velocity(bent)
    assert sure is not None
    assert unsure is not None
    assert sure.kmh == pytest.approx(14.4)
    assert unsure.off > 3 * sure.off
    assert velocity(straight[:2]) is None


def test_the_ground_is_where_it_was_measured() -> None:
    """Corners are given as such, a rectangle by two sides, and a view from above by one."""
    ground = Ground.of_corners(ZONES["road"].corners, ROAD)
    for place in ((0.0, 20.0), (-3.0, 33.0), (3.0, 12.0)):
        assert ground.place(shown(place)) == pytest.approx(place, abs=1e-6)
    assert ground.place((0.5, 0.0)) is None
    above = Ground.of_side((0.1, 0.1), (0.1, 0.6), 10.0, ASPECT)
    assert above.place((0.0, 0.5)) == pytest.approx((0.0, 10.0))
    assert above.place((0.5, 0.0)) == pytest.approx((10 * ASPECT, 0.0))
    assert above.noise((0.5, 0.5), 0.01, ASPECT) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "exactly one of rectangle, corners and side"),
        ({"rectangle": [3, 4], "side": 3}, "exactly one of rectangle, corners and side"),
        ({"rectangle": [0, 4]}, "longer than 0 m"),
        ({"corners": [[0, 0], [1, 0], [1, 1]]}, "four points, not 3"),
        ({"side": 5, "cooldown": "1m"}, "cooldown needs an `over`"),
    ],
)
def test_what_cannot_be_measured_is_refused(fields: dict[str, Any], said: str) -> None:
    """With a sentence."""
    with pytest.raises(ValidationError, match=said):
        config(type="speed", zone="road", **fields)


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("five", r"cameras.door.zones.five: has 5 corners; rule 'rule' measures"),
        ("bent", "the four corners must go round it"),
        ("lane", "there is no zone 'lane'"),
    ],
)
def test_a_zone_that_cannot_be_measured_is_refused(zone: str, said: str) -> None:
    """When it is built, as `check` does."""
    rule = config(type="speed", zone=zone, rectangle=[3, 4])
    with pytest.raises(ConfigError, match=said):
        rule.build(context(zones=ZONES))
