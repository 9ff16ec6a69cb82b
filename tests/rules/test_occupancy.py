"""How many are in a zone: events with a beginning and an end, and minutes."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.core.answers import Boxes, Number, Points
from pipeline.core.rules import Observation, Rule
from pipeline.core.tasks import Ask, Count, Detect
from tests.rules.scene import (
    ENGINE,
    FAILED,
    box,
    config,
    context,
    judged,
    numbers,
    people,
    phases,
    seen,
    track,
)


def occupancy(every_s: float = 1.0, /, **fields: Any) -> Rule:
    """An occupancy rule."""
    return config(type="occupancy", **fields).build(context(every_s))


def crowd(*counts: int | None, every_s: float = 1.0) -> list[Observation]:
    """Frames with so many people in the left half; None is a failed answer."""
    frames = []
    for index, count in enumerate(counts):
        at = index * every_s
        there = [track(i, at, 0.1 + 0.05 * i, 0.5) for i in range(count or 0)]
        frames.append(seen(at, *there, answer=FAILED if count is None else None))
    return frames


# Everything here is counted by a number, once a second: nothing is hidden or lost.
LIMITS: list[tuple[str, dict[str, object], list[int | None], list[tuple[str, float]]]] = [
    ("never over", {"more_than": 2}, [0, 1, 2, 2], []),
    ("over at once", {"more_than": 2}, [2, 3, 2], [("start", 1), ("end", 2)]),
    ("ends with the stream", {"more_than": 2}, [3, 3], [("start", 0), ("end", 2)]),
    ("not for long enough", {"more_than": 2, "for_": "3s"}, [3, 3, 3, 2], []),
    (
        "for just long enough",
        {"more_than": 2, "for_": "3s"},
        [3, 3, 3, 3, 2],
        [("start", 3), ("end", 4)],
    ),
    ("an interruption starts it anew", {"more_than": 2, "for_": "3s"}, [3, 3, 2, 3, 3, 3], []),
    (
        "an interruption within the gap does not",
        {"more_than": 2, "for_": "3s", "gap": "2s"},
        [3, 3, 2, 3, 2, 2, 2],
        [("start", 3), ("end", 6)],
    ),
    (
        "the gap's end is not the moment to start",
        {"more_than": 2, "for_": "3s", "gap": "9s"},
        [3, 3, 2, 2, 2, 2],
        [],
    ),
    (
        "an interruption within the gap is one happening",
        {"more_than": 2, "gap": "2s"},
        [3, 2, 3, 2, 2, 2, 3],
        [("start", 0), ("end", 5), ("start", 6), ("end", 7)],
    ),
    (
        "a failed answer neither ends nor starts",
        {"more_than": 2},
        [None, 3, None, 3, None, None, 2],
        [("start", 1), ("end", 6)],
    ),
    (
        "failed answers count for what surrounds them",
        {"more_than": 2, "for_": "2s"},
        [3, None, 3],
        [("start", 2), ("end", 3)],
    ),
    (
        "failing for longer than two and a half samples ends it",
        {"more_than": 2},
        [3, None, None, None, None, 3],
        [("start", 0), ("end", 3), ("start", 5), ("end", 6)],
    ),
    (
        "failing within the gap does not end it",
        {"more_than": 2, "gap": "5s"},
        [3, None, None, None, None, 3],
        [("start", 0), ("end", 6)],
    ),
    ("fewer than", {"fewer_than": 2}, [2, 1, 0, 2], [("start", 1), ("update", 2), ("end", 3)]),
    ("unknown is not fewer than", {"fewer_than": 2}, [2, None, None, None, None, None, None], []),
    (
        "a new peak is told",
        {"more_than": 2},
        [3, 4, 4, 3, 5],
        [("start", 0), ("update", 1), ("update", 4), ("end", 5)],
    ),
    (
        "peaks are told at most every three seconds",
        {"more_than": 2, "update_every": "3s"},
        [3, 4, 5, 6, 7, 7, 7, 7],
        [("start", 0), ("update", 3), ("update", 6), ("end", 8)],
    ),
    (
        "quiet after the end for the cooldown, and then told if it still holds",
        {"more_than": 2, "cooldown": "4s"},
        [3, 2, 3, 2, 3, 3, 3],
        [("start", 0), ("end", 1), ("start", 5), ("end", 7)],
    ),
]


@pytest.mark.parametrize(
    ("fields", "counts", "expected"),
    [row[1:] for row in LIMITS],
    ids=[row[0] for row in LIMITS],
)
def test_starts_updates_and_ends(
    fields: dict[str, object], counts: list[int | None], expected: list[tuple[str, float]]
) -> None:
    """A happening starts when the limit was broken for long enough, and ends after the gap."""
    rule = occupancy(**{"update_every": "1s", **fields})

    assert phases(judged(rule, numbers(counts), end=len(counts))) == expected


def test_what_the_events_say() -> None:
    """One id from start to end; count, extreme, limit, zone and how long."""
    rule = occupancy(zone="left", more_than=1, gap="2s", update_every="1s")
    start, update, end = judged(rule, crowd(1, 2, 3, 2, 0, 0, 0, 0, 0)).events

    assert {start.id, update.id, end.id} == {start.id}
    assert start.data == {
        "zone": "left",
        "count": 2,
        "extreme": 2,
        "more_than": 1,
        "since": "1970-01-01T00:00:01.000Z",
    }
    assert (update.update, update.data["count"], update.data["extreme"]) == (1, 3, 3)
    # All stay for 2.5 s after they were last seen: they may be hidden, as in any picture.
    assert end.data == {
        "zone": "left",
        "count": 0,
        "extreme": 3,
        "more_than": 1,
        "since": "1970-01-01T00:00:01.000Z",
        "until": "1970-01-01T00:00:06.000Z",
        "seconds": 5.0,
        "reason": "over",
    }
    assert (end.at, end.seq, end.run) == (8.0, 8000, "r1")


def test_each_happening_has_its_own_extreme() -> None:
    """A peak that did not last long enough is not the next happening's."""
    rule = occupancy(more_than=2, for_="1s")
    (start,) = judged(rule, numbers([9, 2, 3, 3])).events

    assert start.data["extreme"] == 3


def test_the_next_start_says_what_was_suppressed() -> None:
    """Happenings that came and went within a cooldown are counted."""
    rule = occupancy(more_than=2, cooldown="5s")
    events = judged(rule, numbers([3, 2, 3, 2, 3, 2, 2, 3])).events

    assert [event.data.get("suppressed") for event in events] == [None, None, 2]


def test_only_the_zone_counts() -> None:
    """Feet decide: a person whose body leans over the border stands where the feet are."""
    rule = occupancy(zone="left", more_than=0)
    frames = [
        seen(0.0, track(1, 0.0, 0.53, 0.5), track(2, 0.0, 0.9, 0.5)),  # the box reaches over
        seen(1.0, track(1, 1.0, 0.46, 0.5), track(2, 1.0, 0.9, 0.5)),
    ]

    assert phases(judged(rule, frames)) == [("start", 1.0)]


def test_a_missed_detection_does_not_leave_the_zone() -> None:
    """A track that is not seen for a moment is still there; one seen elsewhere is not."""
    rule = occupancy(0.5, zone="left")
    here, there = (0.2, 0.5), (0.9, 0.5)
    path = [here, None, here, None, None, here, there, there]

    (bucket,) = judged(rule, people({1: path}, 0.5), end=4.0).buckets

    assert (bucket.values["mean"], bucket.values["maximum"], bucket.samples) == (0.75, 1, 8)


def test_who_is_not_seen_for_long_is_gone() -> None:
    """Nobody stays in a zone because the tracker lost him."""
    rule = occupancy(0.5, zone="left", more_than=0)
    here = (0.2, 0.5)

    verdict = judged(rule, people({1: [here, here, *[None] * 4]}, 0.5))

    assert phases(verdict) == [("start", 0.0), ("end", 2.0)]


def test_a_renamed_track_is_one_person() -> None:
    """A new id in the place of one that vanished replaces it."""
    rule = occupancy(0.5, more_than=1)
    frames = [
        seen(0.0, track(1, 0.0, 0.2, 0.5)),
        seen(0.5, track(2, 0.5, 0.21, 0.5)),
        seen(1.0, track(2, 1.0, 0.22, 0.5)),
    ]

    assert judged(rule, frames).events == ()


def test_answers_without_tracks_count_what_was_found() -> None:
    """Boxes by their feet and points by their place; once there are tracks, tracks alone."""
    boxes = Boxes(ENGINE, (box(0.2, 0.5), box(0.9, 0.5)), (0.9, 0.9))
    points = Points(ENGINE, ((0.2, 0.5), (0.3, 0.9), (0.7, 0.1)), (0.9, 0.9, 0.9))
    rule = occupancy(zone="left")
    frames = [
        seen(0.0, answer=boxes),
        seen(60.0, answer=points),
        seen(120.0, track(1, 120.0, 0.2, 0.5)),
        seen(180.0, answer=boxes),
    ]

    buckets = judged(rule, frames, end=240.0).buckets
    assert [bucket.values["mean"] for bucket in buckets] == [1.0, 2.0, 1.0, 0.0]


def test_a_bare_number_is_unknown_in_a_zone() -> None:
    """A count without places says nothing about a zone, and the config check says so."""
    rule = config(type="occupancy", zone="left")
    (bucket,) = judged(rule.build(context()), numbers([5, 5]), end=2.0).buckets

    assert (bucket.values["mean"], bucket.samples, bucket.coverage) == (None, 0, 0.0)
    assert rule.problem_with(Detect("people", "fast", "person")) is None
    assert (rule.problem_with(Count("people", "fast", "person")) or "").startswith(
        "'people' counts without positions"
    )
    whole_picture = config(type="occupancy")
    assert whole_picture.problem_with(Count("people", "fast", "person")) is None
    assert whole_picture.problem_with(Ask("door", "vlm", "Is it open?")) == (
        "this rule needs a task of type detect or point or count, but 'door' is of type ask"
    )


@pytest.mark.parametrize(
    ("fields", "number", "expected"),
    [
        ({"more_than": 2}, 3, [("start", 0.0)]),  # there are at least 3
        ({"more_than": 2}, 2, []),  # 2 or more: open
        ({"fewer_than": 3}, 2, []),  # 2 or more: open
        ({"fewer_than": 3}, 3, []),  # at least 3
    ],
)
def test_a_number_cut_short_is_a_lower_bound(
    fields: dict[str, object], number: int, expected: list[tuple[str, float]]
) -> None:
    """Where the engine stopped at its limit of objects there may be more."""
    answer = Number(ENGINE, number, saturated=True)

    assert phases(judged(occupancy(**fields), [seen(0.0, answer=answer)])) == expected


def test_the_schedule_ends_and_starts_it() -> None:
    """What holds across the schedule's borders is told inside of it only."""
    rule = occupancy(30.0, more_than=0, schedule=[{"from": "00:01", "to": "00:03"}])
    start, end = judged(rule, numbers([1] * 12, every_s=30.0)).events

    assert (start.at, start.data["since"]) == (60.0, "1970-01-01T00:01:00.000Z")
    assert (end.at, end.data["reason"]) == (180.0, "schedule")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"more_than": 1, "fewer_than": 1}, "write two rules"),
        ({"for_": "10s"}, "for, gap and cooldown need a more_than or fewer_than"),
        ({"more_than": -1}, "greater than or equal to 0"),
        ({"fewer_than": 0}, "greater than or equal to 1"),
        ({"more_than": 1, "for_": 10}, "a duration needs a unit: write 10s"),
        ({"over": 1}, "Extra inputs are not permitted"),
    ],
)
def test_what_is_refused(fields: dict[str, object], message: str) -> None:
    """A limit that cannot be meant is refused with the way out."""
    with pytest.raises(ValidationError, match=message):
        config(type="occupancy", **fields)
