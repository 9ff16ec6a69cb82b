"""A queue: its length, the waits, and who gives up."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.core.errors import ConfigError
from pipeline.core.measures import Bucket
from pipeline.core.rules import Observation, Rule
from pipeline.rules.queue import QueueRuleConfig, wait_measure, wait_quantile
from tests.rules.scene import (
    FAILED,
    Place,
    config,
    context,
    judged,
    people,
    phases,
    seen,
    through_json,
    track,
)

LINE: Place = (0.3, 0.5)
TILL: Place = (0.65, 0.5)
OUT: Place = (0.9, 0.5)
NONE = None


def queue(every_s: float = 1.0, /, **fields: Any) -> Rule:
    """People queue in the left half and are served right of it."""
    return config(type="queue", zone="left", served="till", **fields).build(context(every_s))


def sums(buckets: tuple[Bucket, ...]) -> dict[str, float]:
    """What the minutes add up to, without what is 0."""
    kept = {bucket.minute: bucket for bucket in buckets}
    found: dict[str, float] = {}
    for measure in QueueRuleConfig.measures:
        total = measure.of(list(kept.values()))
        if measure.over_time == "sum" and total:
            found[measure.name] = total
    return found


OUTCOMES: list[tuple[str, dict[int, list[Place | None]], dict[str, float]]] = [
    (
        "served",
        {1: [*[OUT] * 4, *[LINE] * 20, *[TILL] * 9]},
        {"joined": 1, "served": 1, "wait_s": 20, "wait_under_30_s": 1},
    ),
    (
        "gave up",
        {1: [*[OUT] * 4, *[LINE] * 20, *[OUT] * 9]},
        {"joined": 1, "abandoned": 1, "abandoned_s": 19},
    ),
    (
        "stepped out and came back",
        {1: [*[OUT] * 4, *[LINE] * 9, *[OUT] * 3, *[LINE] * 8, *[TILL] * 3]},
        {"joined": 1, "served": 1, "wait_s": 20, "wait_under_30_s": 1},
    ),
    (
        "walked to the till by a detour",
        {1: [*[OUT] * 4, *[LINE] * 10, *[OUT] * 3, *[TILL] * 3]},
        {"joined": 1, "served": 1, "wait_s": 13, "wait_under_15_s": 1},
    ),
    ("served without a queue", {1: [*[OUT] * 4, *[TILL] * 20, *[OUT] * 3]}, {}),
    (
        "served under another id",
        {
            1: [*[OUT] * 4, *[LINE] * 10],
            2: [*[NONE] * 16, *[LINE] * 8, *[TILL] * 3],
        },
        {"joined": 1, "served": 1, "wait_s": 20, "wait_under_30_s": 1},
    ),
    (
        "lost from sight in the queue",
        {1: [*[OUT] * 4, *[LINE] * 10], 2: [OUT] * 40},
        {"joined": 1, "censored": 1},
    ),
    (
        "stood there at the beginning",
        {1: [*[LINE] * 20, *[TILL] * 9]},
        {"joined": 1, "censored": 1},
    ),
    (
        "still there at the end",
        {1: [*[OUT] * 4, *[LINE] * 20]},
        {"joined": 1, "censored": 1},
    ),
]


@pytest.mark.parametrize(
    ("paths", "expected"), [row[1:] for row in OUTCOMES], ids=[row[0] for row in OUTCOMES]
)
@pytest.mark.parametrize("every_s", [1.0, 0.25])
def test_outcomes(
    paths: dict[int, list[Place | None]], expected: dict[str, float], every_s: float
) -> None:
    """Everybody who joins is served, gives up, or is censored, and only the served have a wait."""
    looks = round(1.0 / every_s)
    slow = {id_: [place for place in path for _ in range(looks)] for id_, path in paths.items()}
    verdict = judged(queue(every_s), people(slow, every_s), end=60.0)

    found = sums(verdict.buckets)
    assert found.pop("abandoned_s", 0) == pytest.approx(expected.get("abandoned_s", 0), abs=1.0)
    assert found == {k: v for k, v in expected.items() if k != "abandoned_s"}


def test_the_length() -> None:
    """Mean and maximum of how many wait; who is being served no longer does."""
    far: Place = (0.1, 0.9)
    paths: dict[int, list[Place | None]] = {
        1: [*[OUT] * 10, *[LINE] * 20, *[TILL] * 10],
        2: [*[OUT] * 20, *[far] * 20],
    }
    (bucket,) = judged(queue(), people(paths, 1.0), end=40.0).buckets

    assert bucket.values["maximum"] == 2
    assert bucket.values["mean"] == pytest.approx(40 / 40, abs=0.05)


def test_too_long_for_too_long() -> None:
    """One happening with the greatest length, from the first moment to the last."""
    paths: dict[int, list[Place | None]] = {
        n: [
            *[(0.95, 0.1 + 0.2 * n)] * n,
            *[(0.1 + 0.1 * n, 0.2 * n)] * 20,
            *[(0.65, 0.2 * n)] * 3,
        ]
        for n in (1, 2, 3)
    }
    rule = queue(more_than=1, for_="3s", gap="1s")
    start, end = judged(rule, people(paths, 1.0)).events

    assert (start.phase, start.at, end.phase, end.at) == ("start", 5.0, "end", 23.0)
    assert start.id == end.id
    assert end.data == {
        "zone": "left",
        "served": "till",
        "about": "length",
        "count": 0,
        "extreme": 3,
        "more_than": 1,
        "since": "1970-01-01T00:00:02.000Z",
        "until": "1970-01-01T00:00:22.000Z",
        "seconds": 20.0,
        "reason": "over",
    }


def test_a_wait_that_is_too_long() -> None:
    """It is told while he waits, and at its end how it ended."""
    path: list[Place | None] = [*[OUT] * 4, *[LINE] * 20, *[TILL] * 3]
    start, end = judged(queue(longer_than="10s"), people({7: path}, 1.0)).events

    assert (start.phase, start.at) == ("start", 14.0)
    assert start.subject is not None
    assert (start.subject.label, start.subject.track) == ("person", 7)
    assert end.data == {
        "zone": "left",
        "served": "till",
        "about": "wait",
        "since": "1970-01-01T00:00:04.000Z",
        "seconds": 20.0,
        "until": "1970-01-01T00:00:24.000Z",
        "outcome": "served",
        "reason": "over",
    }


@pytest.mark.parametrize("failing", [False, True])
def test_a_gap_in_sight_censors_all_who_wait(failing: bool) -> None:
    """Nobody knows what became of them, nor since when those wait who stand there after it."""
    path: list[Place | None] = [*[OUT] * 4, *[LINE] * 20]
    before = list(people({1: path}, 1.0))
    gap = [seen(24.0 + t, answer=FAILED) for t in range(60)] if failing else []
    after = [seen(84.0 + t, track(2, 84.0 + t, *(LINE if t < 9 else TILL))) for t in range(12)]
    verdict = judged(queue(longer_than="15s"), [*before, *gap, *after], end=96.0)

    assert sums(verdict.buckets) == {"joined": 2, "censored": 2}
    assert [(e.phase, e.data.get("outcome"), e.data.get("reason")) for e in verdict.events] == [
        ("start", None, None),
        ("end", "censored", "unknown"),
    ]


def test_a_new_run_censors_them_too() -> None:
    """After a camera's restart the same number is another person."""
    path: list[Place | None] = [*[OUT] * 4, *[LINE] * 20]
    rule = queue()
    judged(rule, people({1: path}, 1.0))
    verdict = judged(
        rule, [seen(24.0 + t, track(1, 24.0 + t, *TILL), run="r2") for t in range(3)], end=27.0
    )
    assert sums(verdict.buckets) == {"joined": 1, "censored": 1}


def jittering(frames: int) -> list[Observation]:
    """One who stands on the border of the queue, and is seen on both of its sides."""
    return [
        seen(float(t), track(1, float(t), 0.505 if t % 3 else 0.495, 0.5)) for t in range(frames)
    ]


def test_who_stands_on_the_border_joins_at_most_once() -> None:
    """A detector's jitter makes no visits."""
    assert sums(judged(queue(), jittering(300), end=300.0).buckets).get("joined", 0) <= 1


def test_two_who_exchange_numbers_in_the_queue_are_two() -> None:
    """Nobody joins or leaves by it."""
    a: Place = (0.2, 0.5)
    b: Place = (0.3, 0.5)
    first: list[Place | None] = [*[OUT] * 4, *[a] * 5, *[b] * 5, *[TILL] * 3]
    second: list[Place | None] = [*[(0.9, 0.9)] * 4, *[b] * 5, *[a] * 5, *[TILL] * 3]
    verdict = judged(queue(), people({1: first, 2: second}, 1.0), end=18.0)

    assert sums(verdict.buckets) == {
        "joined": 2,
        "served": 2,
        "wait_s": 20,
        "wait_under_15_s": 2,
    }


def test_a_cooldown_and_a_schedule_delay_the_next_wait() -> None:
    """As for every rule; minutes count all the same."""
    paths: dict[int, list[Place | None]] = {
        n: [*[(0.95, 0.2 * n)] * 3, *[(0.1 * n, 0.2 * n)] * 30] for n in (1, 2, 3)
    }
    told = judged(queue(longer_than="5s", cooldown="10s"), people(paths, 1.0)).events
    assert phases(judged(queue(longer_than="5s"), people(paths, 1.0))) == [("start", 8.0)] * 3
    assert [(e.at, e.data.get("suppressed")) for e in told] == [
        (8.0, None),
        (18.0, None),
        (28.0, None),
    ]
    closed = queue(longer_than="5s", schedule=[{"from": "00:01"}])
    assert judged(closed, people(paths, 1.0)).events == ()


def test_a_restart_at_any_frame_changes_nothing() -> None:
    """The second half goes on where the first one was."""
    frames = list(people({1: [*[OUT] * 4, *[LINE] * 20, *[TILL] * 9]}, 1.0))
    whole = judged(queue(longer_than="5s", more_than=0), frames, end=33.0)
    for cut in range(len(frames)):
        first = queue(longer_than="5s", more_than=0)
        one = judged(first, frames[:cut])
        again = through_json(first, queue(longer_than="5s", more_than=0))
        two = judged(again, frames[cut:], end=33.0)
        assert (*one.events, *two.events) == whole.events
        assert (*one.buckets, *two.buckets) == whole.buckets


def test_an_edit_keeps_the_minute() -> None:
    """Those who wait then are censored under the old terms, and joined unseen under the new."""
    frames = list(people({1: [*[OUT] * 4, *[LINE] * 20, *[TILL] * 9]}, 1.0))
    old, new = queue(), queue(longer_than="5m")
    judged(old, frames[:10])
    old.finish(10.0, "edited")
    new.inherit(old.state(), 10.0)

    assert sums(judged(new, frames[10:], end=33.0).buckets) == {"joined": 2, "censored": 2}


@pytest.mark.parametrize(
    ("waits", "median", "p90"),
    [
        ([], None, None),
        ([5.0], 7.5, 13.5),
        ([20.0, 20.0], 22.5, 28.5),
        ([5.0, 100.0, 110.0], 97.5, 115.5),
        ([4000.0], 1800.0, 1800.0),
        ([15.0, 15.0, 15.0], 22.5, 28.5),
    ],
)
def test_quantiles_of_counted_waits(
    waits: list[float], median: float | None, p90: float | None
) -> None:
    """Within the span that holds it, in proportion."""
    names = [
        m.name for m in QueueRuleConfig.measures if m.name.startswith("wait_") and "er_" in m.name
    ]
    counts = [sum(wait_measure(wait) == name for wait in waits) for name in names]

    assert len(names) == 13
    assert sum(counts) == len(waits)
    assert wait_quantile(counts, 0.5) == pytest.approx(median)
    assert wait_quantile(counts, 0.9) == pytest.approx(p90)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"served": "left"}, "zone and served are both 'left'"),
        ({"for_": "5s"}, "it needs a more_than"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, object], sentence: str) -> None:
    """With the way out."""
    with pytest.raises(ValidationError, match=sentence):
        config(**{"type": "queue", "zone": "left", "served": "till", **fields})


def test_a_missing_zone_is_named() -> None:
    """Both are looked up."""
    rule = config(type="queue", zone="left", served="counter")

    assert rule.references().zones == ("left", "counter")
    with pytest.raises(ConfigError, match="there is no zone 'counter'"):
        rule.build(context())
