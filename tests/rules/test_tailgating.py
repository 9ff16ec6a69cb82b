"""Who goes through a door right behind somebody else."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.geometry import Line
from pipeline.core.rules import Rule
from pipeline.rules.base import Passage
from tests.rules.scene import (
    FAILED,
    Place,
    config,
    context,
    down,
    judged,
    late,
    people,
    seen,
    through_json,
    track,
)

Paths = dict[int, list[Place | None]]


def door(every_s: float = 0.5, **fields: Any) -> Rule:
    """A rule at the line `across`."""
    return config(type="tailgating", line="across", **fields).build(context(every_s))


def passes(wait: int = 0, x: float = 0.5) -> list[Place | None]:
    """Goes in after so many frames."""
    return [*[(x, 0.4)] * (wait + 1), *[(x, 0.6)] * 3]


def leaves(wait: int = 0, x: float = 0.5) -> list[Place | None]:
    """Goes out after so many frames."""
    return [*[(x, 0.6)] * (wait + 1), *[(x, 0.4)] * 3]


PAIRS: list[tuple[str, float, dict[str, object], Paths, list[tuple[int, int, float]]]] = [
    ("one alone", 0.5, {}, {1: passes()}, []),
    ("one right behind another", 0.5, {}, {1: passes(), 2: passes(3)}, [(1, 2, 1.5)]),
    ("two at once", 0.5, {}, {1: passes(x=0.4), 2: passes(x=0.6)}, [(1, 2, 0.0)]),
    ("far from each other", 0.5, {"apart": 1.5}, {1: passes(x=0.3), 2: passes(1, x=0.6)}, []),
    ("close", 0.5, {"apart": 1.5}, {1: passes(x=0.5), 2: passes(1, x=0.6)}, [(1, 2, 0.5)]),
    ("just in time", 0.5, {}, {1: passes(), 2: passes(4)}, [(1, 2, 2.0)]),
    ("the second after it", 0.5, {}, {1: passes(), 2: passes(5)}, []),
    (
        "three in a row are two who follow",
        0.5,
        {},
        {1: passes(), 2: passes(2), 3: passes(4)},
        [(1, 2, 1.0), (2, 3, 1.0)],
    ),
    ("past each other", 0.5, {}, {1: passes(x=0.4), 2: leaves(1, x=0.6)}, []),
    ("one in, out and in again", 0.5, {}, {1: down(0.4, 0.6, 0.4, 0.6, 0.6)}, []),
    ("only those who go in", 0.5, {"direction": "in"}, {1: leaves(), 2: leaves(2)}, []),
    ("only those who go out", 0.5, {"direction": "out"}, {1: leaves(), 2: leaves(2)}, [(1, 2, 1)]),
    ("within a second", 0.5, {"within": "1s"}, {1: passes(), 2: passes(3)}, []),
    ("at one look a second", 1.0, {"within": "3s"}, {1: passes(), 2: passes(2)}, [(1, 2, 2.0)]),
    (
        "the second one's id changes before the line",
        0.5,
        {},
        {1: passes(), 2: down(0.4, 0.44, 0.48), 3: down(None, None, None, 0.52, 0.56, 0.6)},
        [(1, 3, 1.0)],
    ),
    (
        "one whose id changes on the line follows nobody",
        0.5,
        {},
        {1: down(0.44, 0.48, 0.52), 2: down(None, None, None, 0.56, 0.6)},
        [],
    ),
]


@pytest.mark.parametrize(
    ("every_s", "fields", "paths", "expected"),
    [row[1:] for row in PAIRS],
    ids=[row[0] for row in PAIRS],
)
def test_who_follows(
    every_s: float,
    fields: dict[str, object],
    paths: Paths,
    expected: list[tuple[int, int, float]],
) -> None:
    """Each who crosses too soon after another is an event, that says after whom."""
    events = judged(door(every_s, **fields), people(paths, every_s), end=30.0).events

    found = [(e.data["after"], e.subject and e.subject.track, e.data["seconds"]) for e in events]
    assert [one[:2] for one in found] == [one[:2] for one in expected]
    for (*_, seconds), (*_, wanted) in zip(found, expected, strict=True):
        assert seconds == pytest.approx(wanted, abs=0.6 * every_s)
    assert {event.phase for event in events} <= {"single"}


def test_who_follows_is_marked_in_a_drawn_clip() -> None:
    """And is not counted as one more who crossed; events of another rule are none of its own."""
    (event,) = judged(door(), people({1: passes(), 2: passes(3)}, 0.5), end=30.0).events

    rule = config(type="tailgating", line="across")
    assert rule.passage(event) == Passage("across", "in", "followed")
    assert rule.passage(replace(event, type="line_crossing")) is None


def test_what_is_shown_late_may_have_gone_before() -> None:
    """The one that was known first is then the one who followed."""
    rule = door()
    first = [seen(0.0, track(2, 0.0, 0.6, 0.4)), seen(0.5, track(2, 0.5, 0.6, 0.6))]
    shown = late(1, [(-0.5, 0.4, 0.4), (0.0, 0.4, 0.6), (1.0, 0.4, 0.7)])

    (event,) = judged(rule, [*first, seen(1.0, track(2, 1.0, 0.6, 0.7), shown)]).events

    assert event.subject is not None
    assert (event.data["after"], event.subject.track) == (1, 2)


def test_a_restart_between_the_two_changes_nothing() -> None:
    """Who went before is part of the state."""
    frames = list(people({1: passes(), 2: passes(3)}, 0.5))
    rule = door()
    for frame in frames[:3]:
        rule.judge(frame)

    events = judged(through_json(rule, door()), frames[3:]).events

    assert [event.data["after"] for event in events] == [1]


def test_minutes_hold_all_even_in_a_cooldown_and_outside_of_the_schedule() -> None:
    """Events are fewer; figures are whole."""
    paths = {n: passes(2 * n, x=0.3 + n / 10) for n in range(4)}
    for fields, events in (
        ({}, 3),
        ({"cooldown": "1m"}, 1),
        ({"schedule": [{"from": "00:01"}]}, 0),
    ):
        verdict = judged(door(**fields), people(paths, 0.5), end=20.0)
        assert len(verdict.events) == events
        assert [dict(b.values) for b in verdict.buckets] == [{"passed": 4, "followed": 3}]


def test_the_next_event_says_what_a_cooldown_silenced() -> None:
    """As for every rule."""
    paths = {n: passes(2 * n, x=0.3 + n / 10) for n in range(4)}
    events = judged(door(cooldown="1500ms"), people(paths, 0.5)).events

    assert [event.data.get("suppressed") for event in events] == [None, 1]


def test_time_that_was_not_seen_is_unknown() -> None:
    """A minute without answers has no figures."""
    frames = [seen(float(t), answer=FAILED) for t in range(60, 120)]
    first, second = judged(door(1.0), [seen(0.0), *frames], end=120.0).buckets

    assert first.values == {"passed": 0, "followed": 0}
    assert second.values == {"passed": None, "followed": None}


def test_an_edit_keeps_minutes_and_the_cooldown() -> None:
    """Who went before is forgotten."""
    rule = door(cooldown="1m")
    judged(rule, people({1: passes(), 2: passes(2)}, 0.5))
    rule.finish(3.0, "edited")
    fresh = door(cooldown="1m", within="3s")
    fresh.inherit(rule.state(), 3.0)
    again = judged(fresh, [seen(4 + f.at, *_moved(f.tracks, 4.0)) for f in _two()], end=20.0)

    assert again.events == ()
    assert [dict(b.values) for b in again.buckets] == [{"passed": 4, "followed": 2}]


def _two() -> list[Any]:
    return list(people({3: passes(), 4: passes(2)}, 0.5))


def _moved(tracks: tuple[Any, ...], by: float) -> list[Any]:
    return [track(t.id, t.steps[0].at + by, *t.anchor) for t in tracks]


def test_a_line_that_cannot_be_crossed_is_refused() -> None:
    """It is missing, or a point."""
    with pytest.raises(ConfigError, match="there is no line 'badge'; known: across"):
        config(type="tailgating", line="badge").build(context())
    point = Line((0.5, 0.5), (0.5, 0.5))
    with pytest.raises(ConfigError, match="begins and ends at the same point"):
        config(type="tailgating", line="l").build(context(lines={"l": point}))
