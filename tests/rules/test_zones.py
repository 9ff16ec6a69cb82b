"""Zones whose borders people stand on, and zones that reach the edges of the picture."""

import json
from collections.abc import Iterator

import numpy as np
import pytest

from pipeline.core.answers import Boxes
from pipeline.core.geometry import Box, Polygon, contains
from pipeline.core.rules import Observation, Rule, Verdict
from pipeline.core.tracks import Feet, Step, Track
from pipeline.rules.zones import ZoneGround
from pipeline.tracking.config import TrackerConfig
from tests.rules.scene import (
    ENGINE,
    LEFT_HALF,
    box,
    config,
    context,
    judged,
    late,
    people,
    seen,
    track,
)

ASPECT = 16 / 9
HEIGHT = 0.42
FEET = (0.5, 0.8)
Corners = tuple[tuple[float, float], ...]


def around(y: float, half: float) -> Corners:
    """A strip from left to right, so many body heights to both sides of y."""
    above, below = y - half * HEIGHT, y + half * HEIGHT
    return ((0.2, above), (0.8, above), (0.8, below), (0.2, below))


ZONES: dict[str, Corners] = {
    "a border across": ((0.2, 0.8), (0.8, 0.8), (0.8, 1.0), (0.2, 1.0)),
    "a border down": ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)),
    "a corner": ((0.5, 0.8), (0.8, 0.8), (0.8, 0.95), (0.5, 0.95)),
    "an inner corner": ((0.2, 0.5), (0.5, 0.5), (0.5, 0.8), (0.8, 0.8), (0.8, 1.0), (0.2, 1.0)),
    "thinner than the noise": around(0.8, 0.01),
    "as thin as a foot": around(0.8, 0.06),
    "a narrow strip's edge": around(0.8 + 0.08 * HEIGHT, 0.08),
}


def jittered(
    places: Iterator[tuple[float, float]],
    jitter: float,
    calm_s: float,
    every_s: float,
    seed: int,
    height: float = HEIGHT,
) -> Iterator[tuple[float, Box]]:
    """Times and boxes of somebody at these places; each edge is off by `jitter` box sizes.

    The error wanders within `calm_s`, or is another one in every look.
    """
    rng = np.random.default_rng(seed)
    keep = np.exp(-every_s / calm_s) if calm_s else 0.0
    off = rng.normal(0.0, 1.0, 4)
    width = 0.4 * height / ASPECT
    for index, (x, y) in enumerate(places):
        off = keep * off + np.sqrt(1.0 - keep**2) * rng.normal(0.0, 1.0, 4)
        whole = np.array([x - width / 2, y - height, x + width / 2, y])
        edges = whole + jitter * np.array([width, height, width, height]) * off
        x0, y0, x1, y1 = np.clip(edges, 0.0, 1.0).tolist()
        yield index * every_s, (x0, y0, x1, y1)


def followed(boxes: Iterator[tuple[float, Box]]) -> Iterator[Observation]:
    """What rules are shown of one person's boxes."""
    tracker = TrackerConfig().build("person", ASPECT)
    for at, one in boxes:
        tracks = tracker.update(at, [one], [0.8])
        yield seen(at, *tracks, answer=Boxes(ENGINE, (one,), (0.8,)))


def untracked(boxes: Iterator[tuple[float, Box]]) -> Iterator[Observation]:
    """The same as steps of a tracker that knows boxes alone."""
    for at, one in boxes:
        yield seen(at, Track(1, "person", 0.8, 0.0, (Step(at, one),)))


def rule_on(corners: Corners, every_s: float, kind: str = "occupancy", **fields: object) -> Rule:
    """A rule on a zone of these corners."""
    there = context(every_s, zones={"zone": Polygon(corners)}, aspect=ASPECT)
    return config(type=kind, zone="zone", **fields).build(there)


def happenings(verdict: Verdict) -> int:
    """How many happenings began."""
    return sum(event.phase == "start" for event in verdict.events)


def mean(verdict: Verdict) -> float:
    """The mean over all minutes, as they were told last."""
    minutes = {bucket.minute: bucket for bucket in verdict.buckets}
    covered = sum(bucket.coverage for bucket in minutes.values())
    return sum((b.values["mean"] or 0.0) * b.coverage for b in minutes.values()) / covered


def feet(place: tuple[float, float], height: float, noise: float) -> Feet:
    """What a tracker says of feet that are there."""
    return Feet(place, noise, seen=place, seen_noise=noise, height=height)


@pytest.mark.parametrize("corners", ZONES.values(), ids=ZONES.keys())
@pytest.mark.parametrize(
    ("fps", "jitter", "calm_s"),
    [(10, 0.02, 0.25), (5, 0.04, 0.25), (2, 0.04, 0.0), (1, 0.02, 0.0)],
)
def test_who_stands_on_a_border_is_in_or_out(
    corners: Corners, fps: int, jitter: float, calm_s: float
) -> None:
    """Two minutes on a border are at most two happenings, and each minute's mean is steady."""
    looks = [FEET] * (120 * fps)
    frames = list(followed(jittered(iter(looks), jitter, calm_s, 1 / fps, seed=fps)))
    level = judged(rule_on(corners, 1 / fps, more_than=0), frames, end=120.0)
    visits = judged(rule_on(corners, 1 / fps, "dwell"), frames, end=120.0)

    assert happenings(level) <= 2
    assert happenings(visits) <= 1
    assert min(mean(level), 1.0 - mean(level)) < 0.02


@pytest.mark.parametrize("jitter", [0.02, 0.04])
@pytest.mark.parametrize("calm_s", [0.0, 0.25])
def test_ten_minutes_on_a_border_without_known_noise(jitter: float, calm_s: float) -> None:
    """Also where the tracker does not tell how sure the feet are."""
    corners = ZONES["a border across"]
    for fps in (10, 2):
        frames = untracked(jittered(iter([FEET] * 600 * fps), jitter, calm_s, 1 / fps, seed=3))
        assert happenings(judged(rule_on(corners, 1 / fps, more_than=0), frames, end=600.0)) <= 2


def test_a_queue_on_a_border_is_steady() -> None:
    """Five people stand on it: the number changes at most once for each of them."""
    there = [
        list(jittered(iter([(0.3 + 0.1 * n, 0.8)] * 600), 0.03, 0.25, 0.2, seed=n))
        for n in range(5)
    ]
    frames = [
        seen(
            looks[0][0],
            *(Track(n, "person", 0.8, 0.0, (Step(*look),)) for n, look in enumerate(looks, 1)),
        )
        for looks in zip(*there, strict=True)
    ]
    rule = rule_on(ZONES["a border across"], 0.2, more_than=0, update_every="0s")

    assert len(judged(rule, frames, end=120.0).events) <= 8


@pytest.mark.parametrize("fps", [10, 5, 2, 1])
@pytest.mark.parametrize("speed", [0.3, 0.8, 1.5])
def test_who_walks_in_is_judged_within_a_second_or_two_looks(fps: int, speed: float) -> None:
    """The bound on the delay, from .3 body heights a second up and with 2 % of jitter."""
    corners: Corners = ((0.2, 0.5), (0.8, 0.5), (0.8, 1.0), (0.2, 1.0))
    for seed in range(4):
        begin = 3.0 + seed / (3.0 * fps)
        ys = [0.5 + speed * 0.2 * (i / fps - begin) for i in range(10 * fps)]
        places = [(0.5, y) for y in ys if y < 0.99]
        boxes = jittered(iter(places), 0.02, 0.25, 1 / fps, seed, height=0.2)
        (start,) = judged(rule_on(corners, 1 / fps, more_than=0), untracked(boxes)).events
        assert begin - 0.3 <= start.at <= begin + max(1.0, 2.0 / fps)


@pytest.mark.parametrize("fps", [10, 5, 2, 1])
def test_a_walk_through_a_zone_is_as_long_as_it_was(fps: int) -> None:
    """Entering and leaving are dated when the border was crossed: neither mean nor visit is off."""
    corners: Corners = ((0.35, 0.5), (0.65, 0.5), (0.65, 1.0), (0.35, 1.0))
    speed = 0.7 * HEIGHT / ASPECT
    stays_s = 0.3 / speed
    means, visits = [], []
    for seed in range(6):
        xs = [0.2 + speed * (i + seed / 6) / fps for i in range(60 * fps)]
        there = [(x, 0.8) for x in xs if x < 0.8]
        frames = [*untracked(jittered(iter(there), 0.02, 0.25, 1 / fps, seed))]
        frames += [seen(i / fps) for i in range(len(there), 60 * fps)]
        means.append(mean(judged(rule_on(corners, 1 / fps), frames, end=60.0)) * 60.0)
        events = judged(rule_on(corners, 1 / fps, "dwell"), frames, end=60.0).events
        (seconds,) = [event.data["seconds"] for event in events if event.phase == "end"]
        assert isinstance(seconds, float)
        visits.append(seconds)

    assert np.mean(means) == pytest.approx(stays_s, abs=0.15)
    # A visit lasts from the first look inside to the last one.
    assert np.mean(visits) == pytest.approx(stays_s - 1 / fps, abs=0.15)


def test_a_known_noise_decides_how_long_to_wait() -> None:
    """One step over the border is enough where feet are exact, and not where they are guessed."""
    corners = ZONES["a border across"]
    for noise, expected in ((0.002, 1), (0.03, 0)):
        steps = [
            Step(at, (0.45, y - 0.4, 0.55, y), feet((0.5, y), 0.4, noise))
            for at, y in ((0.0, 0.74), (1.0, 0.83))
        ]
        frames = [seen(step.at, Track(1, "person", 0.8, 0.0, (step,))) for step in steps]
        assert len(judged(rule_on(corners, 1.0, more_than=0), frames).events) == expected


def test_a_single_bad_box_does_not_leave_the_zone() -> None:
    """At ten looks a second one box that ends elsewhere tells little."""
    places = [(0.5, 0.9)] * 100
    places[50] = (0.5, 0.6)
    frames = untracked(jittered(iter(places), 0.01, 0.25, 0.1, seed=1))
    rule = rule_on(ZONES["a border across"], 0.1, more_than=0)

    assert [event.phase for event in judged(rule, frames).events] == ["start"]


EDGES: dict[str, tuple[Box, Corners]] = {
    "lower": ((0.4, 0.7, 0.6, 1.0), ((0.1, 0.5), (0.9, 0.5), (0.9, 1.0), (0.1, 1.0))),
    "lower, not quite drawn to it": (
        (0.4, 0.7, 0.6, 1.0),
        ((0.1, 0.5), (0.9, 0.5), (0.9, 0.993), (0.1, 0.993)),
    ),
    "left": ((0.0, 0.4, 0.1, 0.8), ((0.0, 0.1), (0.5, 0.1), (0.5, 0.9), (0.0, 0.9))),
    "right": ((0.9, 0.4, 1.0, 0.8), ((0.5, 0.1), (1.0, 0.1), (1.0, 0.9), (0.5, 0.9))),
    "upper": ((0.4, 0.0, 0.6, 0.05), ((0.1, 0.0), (0.9, 0.0), (0.9, 0.5), (0.1, 0.5))),
    "a corner": ((0.9, 0.7, 1.0, 1.0), ((0.5, 0.5), (1.0, 0.5), (1.0, 1.0), (0.5, 1.0))),
    "the whole picture": ((0.4, 0.7, 0.6, 1.0), ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))),
}


@pytest.mark.parametrize(("shown", "corners"), EDGES.values(), ids=EDGES.keys())
def test_a_zone_that_reaches_an_edge_holds_it(shown: Box, corners: Corners) -> None:
    """Somebody at the edge counts there as he does without a zone."""
    frames = [seen(i / 5, Track(1, "person", 0.8, 0.0, (Step(i / 5, shown),))) for i in range(100)]
    without = config(type="occupancy", more_than=0).build(context(0.2, aspect=ASPECT))

    expected = judged(without, frames, end=20.0)
    found = judged(rule_on(corners, 0.2, more_than=0), frames, end=20.0)

    assert [(e.phase, e.at) for e in found.events] == [(e.phase, e.at) for e in expected.events]
    assert mean(found) == mean(expected) == 1.0


@pytest.mark.parametrize("y", [1.0, 1.05, 1.3])
def test_feet_below_the_picture_are_in_a_zone_that_reaches_down(y: float) -> None:
    """And in none that ends before."""
    cut: Box = (0.45, y - 0.5, 0.55, 1.0)
    step = Step(0.0, cut, feet((0.5, y), 0.5, 0.01))
    frame = seen(0.0, Track(1, "person", 0.8, 0.0, (step,)))
    reaching = rule_on(((0.1, 0.5), (0.9, 0.5), (0.9, 1.0), (0.1, 1.0)), 0.2, more_than=0)
    ending = rule_on(((0.1, 0.5), (0.9, 0.5), (0.9, 0.9), (0.1, 0.9)), 0.2, more_than=0)

    assert happenings(reaching.judge(frame)) == 1
    assert happenings(ending.judge(frame)) == 0


def test_detections_without_tracks_are_held_at_the_edge_too() -> None:
    """Where a task is not tracked, the boxes' feet count."""
    frame = seen(0.0, answer=Boxes(ENGINE, ((0.4, 0.7, 0.6, 1.0),), (0.9,)))
    rule = rule_on(((0.1, 0.5), (0.9, 0.5), (0.9, 1.0), (0.1, 1.0)), 0.2, more_than=0)

    assert happenings(rule.judge(frame)) == 1


def test_the_depth_of_a_zone() -> None:
    """In picture heights, to the nearest border that is not an edge of the picture."""
    ground = ZoneGround(LEFT_HALF, 2.0)

    assert ground.depth((0.4, 0.5)) == pytest.approx(0.2)
    assert ground.depth((0.55, 0.001)) == pytest.approx(-0.1)
    assert ground.depth((0.4, 1.2)) == pytest.approx(0.2)
    assert ground.depth((-0.1, 0.5)) == pytest.approx(1.0, abs=0.01)
    assert ground.deepest == pytest.approx(1.0, abs=0.01)
    assert ground.contains((0.49, 1.2))
    assert not ground.contains((0.51, 1.2))


@pytest.mark.parametrize("name", ["an inner corner", "a corner", "a border down"])
def test_a_place_is_as_deep_as_the_nearest_border_is_far(name: str) -> None:
    """Found by walking along the border in small steps."""
    zone = Polygon(ZONES[name])
    ground = ZoneGround(zone, ASPECT)
    ends = zip(zone.corners, (*zone.corners[1:], zone.corners[0]), strict=True)
    steps = np.linspace(0.0, 1.0, 500)[:, None]
    border = np.concatenate([np.array(a) + steps * (np.array(b) - np.array(a)) for a, b in ends])
    border = border[((border > 0.0) & (border < 1.0)).all(axis=1)]
    for x, y in np.random.default_rng(1).uniform(0.02, 0.98, (50, 2)).tolist():
        away = np.hypot((border[:, 0] - x) * ASPECT, border[:, 1] - y).min()
        assert ground.contains((x, y)) == contains(zone, (x, y))
        assert ground.depth((x, y)) == pytest.approx(
            away if contains(zone, (x, y)) else -away, abs=0.003
        )


def across(begin: float, speed: float, fps: int, seconds: float) -> list[Observation]:
    """Somebody walks out at the right: his box as far as it is in the picture; then nothing."""
    frames = []
    for index in range(round(seconds * fps)):
        at, x = index / fps, begin + speed * index / fps
        x0, x1 = x - 0.05, min(x + 0.05, 1.0)
        tracks = (Track(1, "person", 0.8, 0.0, (Step(at, (x0, 0.4, x1, 0.8)),)),)
        frames.append(seen(at, *(tracks if x1 - x0 > 0.035 else ())))
    return frames


@pytest.mark.parametrize("fps", [10, 5, 2, 1])
@pytest.mark.parametrize("zone", [None, "right"])
def test_who_walks_out_has_gone(fps: int, zone: str | None) -> None:
    """He is not taken for hidden: the mean holds the time that his middle was in the picture."""
    right = Polygon(((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)))
    means = []
    for phase in range(5):
        begin = 0.6 + 0.08 * phase / 5 / fps
        rule = config(type="occupancy", zone=zone, more_than=0)
        at_work = rule.build(context(1 / fps, zones={"right": right}, aspect=ASPECT))
        verdict = judged(at_work, across(begin, 0.08, fps, 30.0), end=30.0)
        (end,) = [event for event in verdict.events if event.phase == "end"]
        assert end.at <= (1.035 - begin) / 0.08 + 1.1 / fps + 0.5
        # He is there at the first look, and each look stands for the time to the next one.
        means.append(mean(verdict) * 30.0 - (1.0 - begin) / 0.08 - 0.5 / fps)

    assert np.mean(means) == pytest.approx(0.0, abs=0.2)


def test_who_stands_at_the_edge_is_hidden_like_anybody() -> None:
    """Nobody leaves without moving: a few missed looks change nothing."""
    still: Box = (0.88, 0.4, 0.985, 0.8)
    shown = [seen(i / 5, Track(1, "person", 0.8, 0.0, (Step(i / 5, still),))) for i in range(20)]
    gap = [seen(4.0 + i / 5) for i in range(4)]
    rule = config(type="occupancy", more_than=0).build(context(0.2))

    assert [event.phase for event in judged(rule, [*shown, *gap]).events] == ["start"]


def test_a_late_confirmed_track_was_there_before() -> None:
    """The minute holds him from his first step on, and as many as there were."""
    rule = config(type="occupancy", zone="left").build(context(0.5))
    steps = [(0.0, 0.2, 0.5), (1.0, 0.2, 0.5)]
    frames = [seen(at, track(9, at, 0.8, 0.5)) for at in (0.0, 0.5)]
    frames.append(seen(1.0, late(1, steps), track(9, 1.0, 0.8, 0.5)))
    (bucket,) = judged(rule, frames, end=1.5).buckets

    assert (bucket.values["mean"], bucket.values["maximum"]) == (1.0, 1)


def test_what_was_counted_before_there_were_tracks_is_not_counted_twice() -> None:
    """Until a run's first track is confirmed, detections count; its first steps add nothing."""
    boxes = Boxes(ENGINE, (box(0.2, 0.5), box(0.3, 0.9)), (0.9, 0.9))
    rule = config(type="occupancy", zone="left").build(context(0.5))
    both = [(0.0, 0.3, 0.9), (0.5, 0.3, 0.9), (1.0, 0.3, 0.9), (1.5, 0.3, 0.9)]
    frames = [
        *(seen(at, answer=boxes) for at in (0.0, 0.5)),
        seen(1.0, late(1, [(0.0, 0.2, 0.5), (1.0, 0.2, 0.5)])),
        seen(1.5, track(1, 1.5, 0.2, 0.5), late(2, both)),
    ]
    (bucket,) = judged(rule, frames, end=2.0).buckets

    assert (bucket.values["mean"], bucket.values["maximum"]) == (2.0, 2)


def test_who_is_found_again_was_there_all_the_while() -> None:
    """The tracker kept him for longer than he was counted."""
    rule = config(type="occupancy", zone="left").build(context(0.5))
    here = (0.2, 0.5)
    path = [here, here, *[None] * 5, here, here]
    (bucket,) = judged(rule, people({1: path}, 0.5), end=4.5).buckets

    assert bucket.values["mean"] == 1.0


def test_a_minute_that_was_told_is_told_again() -> None:
    """What turns out in the next minute still goes to the one it belongs to."""
    rule = config(type="occupancy", zone="left").build(context(0.5))
    frames = [seen(at, track(9, at, 0.8, 0.5)) for at in (58.0, 58.5, 59.0, 59.5, 60.0)]
    steps = [(59.0, 0.2, 0.5), (60.5, 0.2, 0.5)]
    frames.append(seen(60.5, late(1, steps), track(9, 60.5, 0.8, 0.5)))
    told = judged(rule, frames, end=61.0).buckets

    assert [(b.minute, b.values["mean"]) for b in told] == [(0, 0.0), (0, 0.5), (60, 1.0)]


def test_a_visit_is_dated_when_the_border_was_crossed() -> None:
    """Not when that was sure: he takes two seconds over it."""
    ys = [0.7, 0.75, 0.79, 0.81, 0.83, 0.85, 0.9, 0.95, 0.9, 0.85, 0.82, 0.79, 0.75, 0.7, 0.6]
    boxes = ((i * 0.2, (0.45, y - HEIGHT, 0.55, y)) for i, y in enumerate(ys))
    rule = rule_on(ZONES["a border across"], 0.2, "dwell", gap="0s")
    start, end = judged(rule, untracked(boxes)).events

    assert start.at > 0.6
    assert start.data["since"] == "1970-01-01T00:00:00.600Z"
    assert end.data["until"] == "1970-01-01T00:00:02.000Z"
    assert end.data["seconds"] == 1.4


@pytest.mark.parametrize("kind", ["occupancy", "dwell"])
def test_a_state_of_an_earlier_release_goes_on(kind: str) -> None:
    """It knows trails alone: who was inside is inside, and his visit goes on."""
    frames = list(people({1: [(0.2, 0.5)] * 20, 2: [(0.8, 0.5)] * 20}, 0.5))
    rule = config(type=kind, zone="left", **({"more_than": 0} if kind == "occupancy" else {}))
    whole, before = rule.build(context(0.5)), rule.build(context(0.5))
    expected = judged(whole, frames, end=10.0)
    first = judged(before, frames[:10])
    state = json.loads(json.dumps(before.state()))
    for name in ("stances", "bodies", "shape", "shaped"):
        del state["presence"][name]
    minutes = state["minutes"] if kind == "dwell" else state["limit"]["minutes"]
    del minutes["recent"]
    resumed = rule.build(context(0.5))
    resumed.restore(state)
    rest = judged(resumed, frames[10:], end=10.0)

    assert first.events + rest.events == expected.events
    assert rest.buckets == expected.buckets
