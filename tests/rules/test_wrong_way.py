"""Who goes against the direction."""

import random
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.core.errors import ConfigError
from pipeline.core.geometry import Line
from pipeline.core.rules import Observation, Rule
from pipeline.rules.base import Passage
from tests.rules.scene import (
    ACROSS,
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


def in_zone(every_s: float = 1.0, /, **fields: Any) -> Rule:
    """In the left half of the picture the right way is to the right; people are 0.2 tall."""
    fields = {"zone": "left", "along": "across", **fields}
    return config(type="wrong_way", **fields).build(context(every_s))


def over_line(every_s: float = 0.5, /, **fields: Any) -> Rule:
    """Going down over the line is `in`; nobody should go up."""
    return config(**{"type": "wrong_way", "line": "across", "wrong": "out", **fields}).build(
        context(every_s)
    )


def walk(start: float, end: float, steps: int, y: float = 0.5) -> list[Place | None]:
    """Even steps along the arrow, or against it."""
    return [(start + (end - start) * n / steps, y) for n in range(steps + 1)]


WALKS: list[tuple[str, list[Place | None], float, int, int]] = [
    ("the right way", walk(0.02, 0.48, 12), 0.5, 0, 1),
    ("the wrong way", walk(0.48, 0.02, 12), 0.5, 1, 0),
    ("the wrong way, once a second", walk(0.48, 0.02, 4), 1.0, 1, 0),
    ("a short way back", [*walk(0.1, 0.4, 8), *walk(0.4, 0.2, 5), *walk(0.2, 0.45, 6)], 0.5, 0, 1),
    ("there and back", [*walk(0.05, 0.45, 9), *walk(0.45, 0.05, 9)], 0.5, 1, 1),
    (
        "back and forth",
        [*walk(0.45, 0.05, 9), *walk(0.05, 0.45, 9), *walk(0.45, 0.05, 9)],
        0.5,
        2,
        1,
    ),
    ("across it", [(0.25, 0.2 + 0.06 * n) for n in range(13)], 0.5, 0, 0),
    ("outside of the zone", walk(0.98, 0.6, 12), 0.5, 0, 0),
    ("one jump back", [*walk(0.05, 0.45, 8), *walk(0.05, 0.2, 4)], 0.5, 0, 1),
    ("hidden on the way", [*walk(0.48, 0.25, 6), None, None, *walk(0.2, 0.02, 5)], 0.5, 1, 0),
]


@pytest.mark.parametrize(
    ("path", "every_s", "wrong", "right"), [row[1:] for row in WALKS], ids=[r[0] for r in WALKS]
)
def test_in_a_zone(path: list[Place | None], every_s: float, wrong: int, right: int) -> None:
    """Who has gone a body and a half against the arrow has gone the wrong way."""
    verdict = judged(in_zone(every_s), people({3: path}, every_s), end=60.0)

    kept = {bucket.minute: bucket for bucket in verdict.buckets}
    assert sum(b.values["wrong"] or 0 for b in kept.values()) == wrong
    assert sum(b.values["right"] or 0 for b in kept.values()) == right
    assert len(verdict.events) == wrong


def test_the_event_of_a_zone() -> None:
    """It says how far, and who."""
    (event,) = judged(in_zone(0.5), people({3: walk(0.48, 0.02, 12)}, 0.5)).events

    assert (event.type, event.phase, event.at) == ("wrong_way", "single", 4.0)
    assert event.data == {"zone": "left", "along": "across", "distance": 1.53}
    assert event.subject is not None
    assert (event.subject.track, event.subject.label) == (3, "person")


@pytest.mark.parametrize("every_s", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_jitter_never_fires(every_s: float, seed: int) -> None:
    """Ten minutes of somebody whose box jitters by 7 % of his body in all directions."""
    chance = random.Random(seed)
    frames = [
        seen(
            n * every_s,
            track(1, n * every_s, 0.25 + chance.gauss(0, 0.014), 0.5 + chance.gauss(0, 0.014)),
        )
        for n in range(round(600 / every_s))
    ]
    assert judged(in_zone(every_s), frames).events == ()


@pytest.mark.parametrize("every_s", [0.25, 1.0])
def test_two_whose_numbers_are_exchanged_go_on_as_they_went(every_s: float) -> None:
    """One walks far behind the other; after the exchange one has jumped back and the other on."""
    ahead, behind = walk(0.3, 0.49, 9), walk(0.02, 0.21, 9)
    paths = {1: [*ahead[:5], *behind[5:]], 2: [*behind[:5], *ahead[5:]]}

    assert judged(in_zone(every_s), people(paths, every_s)).events == ()


def test_another_id_goes_on_with_the_way() -> None:
    """Lost and found again: the way is counted once, as a whole."""
    path = walk(0.48, 0.02, 8)
    paths: dict[int, list[Place | None]] = {
        1: [*path[:4], None, None, None, None, None],
        2: [None, None, None, None, *path[4:]],
    }
    assert len(judged(in_zone(0.5), people(paths, 0.5)).events) == 1


def test_who_is_shown_late_has_gone_that_way() -> None:
    """A track's steps come with its confirmation, and are judged one by one."""
    steps = [(0.5 * n, place[0], place[1]) for n, place in enumerate(walk(0.48, 0.02, 8)) if place]
    (event,) = judged(in_zone(0.5), [seen(4.0, late(1, steps))]).events

    assert event.at == 3.0


def test_over_a_line() -> None:
    """Only crossings in the wrong direction are events; both are counted."""
    paths = {1: down(0.3, 0.4, 0.6, 0.7), 2: down(0.7, 0.6, 0.4, 0.3, x=0.7)}
    verdict = judged(over_line(), people(paths, 0.5), end=2.0)

    (event,) = verdict.events
    assert event.data == {"line": "across", "direction": "out"}
    assert event.subject is not None
    assert event.subject.track == 2
    assert [(b.values["wrong"], b.values["right"]) for b in verdict.buckets] == [(1, 1)]
    rule = config(type="wrong_way", line="across", wrong="out")
    passage = rule.passage(event)
    assert passage is not None
    assert passage == Passage("across", "out", "wrong way")


def test_cooldown_and_schedule() -> None:
    """As for every rule of single events."""
    paths: dict[int, list[Place | None]] = {
        n: [*[None] * n, *walk(0.48, 0.02, 12, y=0.2 * n)] for n in (1, 2, 3)
    }
    told = judged(in_zone(0.5, cooldown="1s"), people(paths, 0.5)).events
    assert [(e.at, e.data.get("suppressed")) for e in told] == [(4.5, None), (5.5, 1)]
    closed = in_zone(0.5, schedule=[{"from": "00:01"}])
    assert judged(closed, people(paths, 0.5)).events == ()


@pytest.mark.parametrize("build", [in_zone, over_line])
def test_a_restart_at_any_frame_changes_nothing(build: Any) -> None:
    """The second half goes on where the first one was."""
    paths = {1: walk(0.48, 0.02, 12), 2: down(0.7, 0.65, 0.6, 0.55, 0.45, 0.4, 0.35, x=0.4)}
    frames: list[Observation] = list(people(paths, 0.5))
    whole = judged(build(0.5), frames, end=8.0)
    assert whole.events
    for cut in range(len(frames)):
        first = build(0.5)
        one = judged(first, frames[:cut])
        two = judged(through_json(first, build(0.5)), frames[cut:], end=8.0)
        assert (*one.events, *two.events) == whole.events
        assert (*one.buckets, *two.buckets) == whole.buckets


def test_a_state_of_the_other_kind_is_refused() -> None:
    """A line that became a zone begins anew."""
    with pytest.raises(ValueError, match="at a line where this one is in a zone"):
        in_zone().restore(over_line().state())
    in_zone().inherit(over_line().state(), 0.0)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "write one of them"),
        ({"line": "a", "zone": "b"}, "write one of them"),
        ({"line": "a"}, "it needs `wrong: in` or `wrong: out`"),
        ({"zone": "a"}, "it needs `along`"),
        ({"zone": "a", "along": "b", "wrong": "in"}, "`wrong` has no meaning here"),
        ({"line": "a", "wrong": "in", "along": "b"}, "`along` has no meaning here"),
    ],
)
def test_it_is_over_a_line_or_in_a_zone(fields: dict[str, object], sentence: str) -> None:
    """Anything else is refused, with the way out."""
    with pytest.raises(ValidationError, match=sentence):
        config(type="wrong_way", **fields)


def test_an_arrow_needs_a_length() -> None:
    """A line without one has no direction."""
    rule = config(type="wrong_way", zone="left", along="dot")
    dot = Line((0.5, 0.5), (0.5, 0.5))

    assert rule.references().lines == ("dot",)
    with pytest.raises(ConfigError, match="begins and ends at the same point"):
        rule.build(context(lines={"dot": dot, "across": ACROSS}))
