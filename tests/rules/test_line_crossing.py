"""Who crosses a line, in which direction, and how often."""

from collections.abc import Sequence

import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.events import event_id
from pipeline.core.geometry import Line
from pipeline.core.tasks import Count, Detect
from tests.rules.scene import (
    FAILED,
    Place,
    config,
    context,
    directions,
    down,
    judged,
    late,
    line_rule,
    people,
    seen,
    track,
)

ONE_WALKER: list[tuple[str, Sequence[Place | None], list[str]]] = [
    ("goes in", down(0.3, 0.4, 0.45, 0.55, 0.6), ["in"]),
    ("goes out", down(0.6, 0.55, 0.45, 0.4), ["out"]),
    ("jumps over line and band between two samples", down(0.2, 0.8), ["in"]),
    ("stops on the line", down(0.4, 0.45, 0.5, 0.5, 0.5), []),
    ("stops within the band behind the line", down(0.4, 0.45, 0.505, 0.509), []),
    ("is counted once clear of the band", down(0.4, 0.505, 0.511), ["in"]),
    ("dithers in the band, then goes on", down(0.4, 0.495, 0.505, 0.495, 0.505, 0.6), ["in"]),
    ("dithers in the band, then turns back", down(0.4, 0.495, 0.505, 0.495, 0.4), []),
    ("goes in and out again", down(0.4, 0.6, 0.4), ["in", "out"]),
    ("crosses five times", down(0.4, 0.6, 0.4, 0.6, 0.4, 0.6), ["in", "out", "in", "out", "in"]),
    ("walks along the line, clear of it", [(x / 10, 0.45) for x in range(1, 10)], []),
    ("walks on the line from end to end", [(x / 10, 0.5) for x in range(1, 10)], []),
    ("passes beyond the segment's end", down(0.4, 0.6, x=0.85), []),
    ("passes before the segment's begin", down(0.4, 0.6, x=0.15), []),
    ("just touches the end, within the tolerance", down(0.4, 0.6, x=0.805), ["in"]),
    ("just touches the begin, within the tolerance", down(0.4, 0.6, x=0.195), ["in"]),
    ("goes round the end, then through", [(0.9, 0.4), (0.9, 0.6), (0.5, 0.6), (0.5, 0.4)], ["out"]),
    ("goes through, then round the end", [(0.5, 0.4), (0.5, 0.6), (0.9, 0.6), (0.9, 0.4)], ["in"]),
    (
        "enters the band beyond the end and leaves it behind the segment",
        [(0.9, 0.4), (0.9, 0.505), (0.5, 0.505), (0.5, 0.6)],
        [],
    ),
    ("slants over the line from outside its ends", [(0.1, 0.3), (0.9, 0.7)], ["in"]),
    ("is first seen on the line and goes on", down(0.5, 0.55, 0.6), []),
    ("is first seen on the line, goes on and comes back", down(0.5, 0.6, 0.4), ["out"]),
    ("is not seen for three samples on the line", down(0.45, None, None, None, 0.6), ["in"]),
    ("leaves the band by a hair on both sides", down(0.489, 0.511, 0.489), ["in", "out"]),
]


@pytest.mark.parametrize(
    ("path", "expected"), [row[1:] for row in ONE_WALKER], ids=[row[0] for row in ONE_WALKER]
)
def test_one_walker(path: list[Place | None], expected: list[str]) -> None:
    """A walker counts when he is clear of the band on the other side, through the segment."""
    assert directions(line_rule(), {1: path}, 0.5) == expected


@pytest.mark.parametrize(
    ("line", "path", "expected"),
    [
        (Line((0.5, 0.1), (0.5, 0.9)), [(0.7, 0.5), (0.3, 0.5)], "in"),  # down: right is west
        (Line((0.5, 0.9), (0.5, 0.1)), [(0.7, 0.5), (0.3, 0.5)], "out"),  # up: right is east
        (Line((0.8, 0.5), (0.2, 0.5)), [(0.5, 0.7), (0.5, 0.3)], "in"),  # left: right is north
        (Line((0.1, 0.1), (0.9, 0.9)), [(0.7, 0.3), (0.3, 0.7)], "in"),  # slanted
    ],
)
def test_in_is_the_right_hand_side(line: Line, path: list[Place], expected: str) -> None:
    """Looking from the line's begin to its end, a crossing to the right is `in`."""
    rule = config(type="line_crossing", line="l").build(context(lines={"l": line}))

    assert directions(rule, {1: list(path)}, 0.5) == [expected]


@pytest.mark.parametrize(
    ("aspect", "x", "expected"),
    [
        (1.0, 0.509, []),  # within the band of 1 % of a square picture
        (2.0, 0.509, ["out"]),  # a picture twice as wide: 1.8 % of its height
    ],
)
def test_the_band_is_measured_in_picture_heights(
    aspect: float, x: float, expected: list[str]
) -> None:
    """The same step across counts for more in a wider picture."""
    upright = Line((0.5, 0.1), (0.5, 0.9))
    rule = config(type="line_crossing", line="l").build(
        context(lines={"l": upright}, aspect=aspect)
    )

    assert directions(rule, {1: [(0.4, 0.5), (x, 0.5)]}, 0.5) == expected


def test_a_late_confirmed_track_counts_when_it_was_there() -> None:
    """All of a track's steps are judged, each at its own time."""
    rule = line_rule()
    walker = late(7, [(0.0, 0.5, 0.4), (0.5, 0.5, 0.6), (1.0, 0.5, 0.8)])

    (event,) = judged(rule, [seen(1.0, walker)]).events

    assert event.at == 0.5
    assert event.subject is not None
    assert event.subject.box == pytest.approx((0.46, 0.4, 0.54, 0.6))


def test_an_event_says_what_happened() -> None:
    """Direction, the operator's name for it, the line, and running totals."""
    rule = line_rule(names={"in": "entered"})
    first, second = judged(rule, people({4: down(0.4, 0.6, 0.4)}, 0.5)).events

    assert first.id == event_id("door", "rule", "4", 0.5)
    assert (first.type, first.phase, first.seq, first.run) == ("line_crossing", "single", 500, "r1")
    assert first.data == {
        "line": "across",
        "direction": "in",
        "name": "entered",
        "in": 1,
        "out": 0,
    }
    assert second.data == {
        "line": "across",
        "direction": "out",
        "name": "out",
        "in": 1,
        "out": 1,
    }
    assert first.subject is not None
    assert (first.subject.label, first.subject.track) == ("person", 4)


def test_minutes_hold_counts_and_how_much_is_known() -> None:
    """A minute's counts come with its samples and coverage; unknown time is not zero."""
    rule = line_rule(1.0)
    frames = [seen(t, track(1, t, 0.5, 0.4 if t < 30 else 0.6)) for t in range(40)]
    frames += [seen(t, answer=FAILED) for t in range(40, 120)]
    frames += [seen(t) for t in range(120, 150)]

    first, second, third = judged(rule, frames, end=150.0).buckets

    assert (first.minute, first.values, first.samples) == (0, {"entered": 1, "left": 0}, 40)
    assert first.coverage == pytest.approx(40 / 60)
    unknown = {"entered": None, "left": None}
    assert (second.minute, second.values, second.samples) == (60, unknown, 0)
    assert second.coverage == 0
    assert (third.values["entered"], third.coverage) == (0, 0.5)


def test_a_crossing_recognised_late_amends_its_minute() -> None:
    """A closed minute is written again when a late track crossed in it."""
    rule = line_rule(1.0)
    before = judged(rule, [seen(t) for t in range(58, 61)]).buckets
    walker = late(1, [(58.5, 0.5, 0.4), (59.5, 0.5, 0.6), (61.0, 0.5, 0.7)])

    after = rule.judge(seen(61.0, walker)).buckets

    assert [(b.minute, b.values["entered"]) for b in before] == [(0, 0)]
    assert [(b.minute, b.values["entered"]) for b in after] == [(0, 1)]


def test_a_cooldown_silences_but_counts() -> None:
    """Within the cooldown no event comes; totals go on, and the next event says what it missed."""
    rule = line_rule(cooldown="1.5s")

    events = judged(rule, people({1: down(0.4, 0.6, 0.4, 0.6, 0.6, 0.4)}, 0.5)).events

    assert [(event.at, event.data["in"], event.data["out"]) for event in events] == [
        (0.5, 1, 0),
        (pytest.approx(2.25), 2, 2),
    ]
    assert events[1].data["suppressed"] == 2


def test_outside_of_the_schedule_it_counts_in_silence() -> None:
    """Events are given in the scheduled hours only; counting goes on."""
    rule = line_rule(schedule=[{"from": "00:01", "to": "24:00"}])  # from second 60 of 1970, UTC
    frames = [
        *[seen(t, track(1, t, 0.5, y)) for t, y in ((0.0, 0.4), (1.0, 0.6))],
        *[seen(t, track(1, t, 0.5, y)) for t, y in ((60.0, 0.6), (61.0, 0.4))],
    ]

    (event,) = judged(rule, frames).events

    assert (event.data["direction"], event.data["in"], event.data["out"]) == ("out", 1, 1)


def test_a_missing_line_is_named() -> None:
    """Building without the line says which there are."""
    with pytest.raises(ConfigError, match=r"cameras.door.rules.rule.line: .*'door'.*known: across"):
        config(type="line_crossing", line="door").build(context())


def test_a_line_without_length_is_refused() -> None:
    """A point cannot be crossed."""
    point = Line((0.5, 0.5), (0.5, 0.5))
    with pytest.raises(
        ConfigError, match=r"cameras.door.lines.l: begins and ends at the same point"
    ):
        config(type="line_crossing", line="l").build(context(lines={"l": point}))


def test_it_needs_boxes() -> None:
    """Only a detect task tells who is where; the config says what it refers to."""
    rule = config(type="line_crossing", line="across")

    assert rule.problem_with(Detect("people", "fast", "person")) is None
    assert rule.problem_with(Count("people", "fast", "person")) == (
        "this rule needs a task of type detect, but 'people' is of type count"
    )
    assert rule.references().lines == ("across",)
