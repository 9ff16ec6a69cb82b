"""Crossings stay right when ids change, vanish and swap near the line, and feet are hidden."""

import pytest

from pipeline.tracking.config import TrackerConfig
from tests.rules.scene import Place, directions, down, judged, line_rule, seen, track

SEVERAL_IDS: list[tuple[str, float, dict[int, list[Place | None]], list[str]]] = [
    (
        "two cross at the same time, in the same direction",
        0.5,
        {1: down(0.4, 0.6, x=0.3), 2: down(0.4, 0.6, x=0.7)},
        ["in", "in"],
    ),
    (
        "two cross at the same time, against each other",
        0.5,
        {1: down(0.4, 0.6, x=0.3), 2: down(0.6, 0.4, x=0.7)},
        ["in", "out"],
    ),
    (
        "an id vanishes before the line and goes on as another behind it",
        0.5,
        {1: down(0.4, 0.44, 0.48), 2: down(None, None, None, 0.52, 0.56)},
        ["in"],
    ),
    (
        "an id vanishes in the band and goes on as another in the band",
        0.5,
        {1: down(0.4, 0.45, 0.495), 2: down(None, None, None, 0.505, 0.55)},
        ["in"],
    ),
    (
        "an id vanishes right after it counted and goes on as another",
        0.5,
        {1: down(0.44, 0.48, 0.52), 2: down(None, None, None, 0.56, 0.6)},
        ["in"],
    ),
    (
        "the other id's first box lies before the line again",
        0.5,
        {1: down(0.44, 0.48, 0.52), 2: down(None, None, None, 0.485, 0.56, 0.6)},
        ["in"],
    ),
    (
        "an id vanishes before the line and somebody appears behind it, far along the line",
        0.5,
        {1: down(0.44, 0.48, x=0.25), 2: down(None, None, 0.52, 0.56, x=0.75)},
        [],
    ),
    (
        "an id vanishes before the line and somebody appears behind it long after",
        0.5,
        {1: down(0.44, 0.48), 2: down(*[None] * 10, 0.52, 0.56)},
        [],
    ),
    (
        "an id vanishes before the line, walking away from it",
        0.5,
        {1: down(0.49, 0.41, 0.33, 0.25), 2: down(*[None] * 4, 0.52, 0.56)},
        [],
    ),
    (
        "an id ends before the line while another, seen all the time, is behind it",
        0.5,
        {1: down(0.44, 0.48), 2: down(0.53, 0.53, 0.53, 0.53)},
        [],
    ),
    (
        "somebody appears behind the line, next to one who waits before it",
        0.5,
        {1: down(None, 0.53, 0.55), 2: down(0.47, 0.47, 0.47)},
        [],
    ),
    (
        "two meet on the line and swap ids right behind it",
        0.5,
        {
            1: down(0.40, 0.46, 0.52, 0.42, 0.36),
            2: down(0.60, 0.54, 0.48, 0.58, 0.64),
        },
        ["in", "out"],
    ),
    (
        "two cross against each other and both really turn round much later",
        0.5,
        {
            1: down(0.4, 0.6, 0.6, 0.6, 0.6, 0.6, 0.4, x=0.3),
            2: down(0.6, 0.4, 0.4, 0.4, 0.4, 0.4, 0.6, x=0.35),
        },
        ["in", "out", "out", "in"],
    ),
]


@pytest.mark.parametrize(
    ("every_s", "paths", "expected"),
    [row[1:] for row in SEVERAL_IDS],
    ids=[row[0] for row in SEVERAL_IDS],
)
def test_several_ids(
    every_s: float, paths: dict[int, list[Place | None]], expected: list[str]
) -> None:
    """Everyone counts, and nobody twice because the tracker renamed him."""
    assert directions(line_rule(every_s), paths, every_s) == expected


def test_feet_that_are_hidden_for_a_moment_do_not_cross() -> None:
    """A box cut off at the knees leaps up over the line; the feet below it have not moved."""
    rule, tracker = line_rule(0.1), TrackerConfig().build("person", 1.0)
    whole, cut = (0.46, 0.35, 0.54, 0.55), (0.46, 0.35, 0.54, 0.48)
    frames = []
    for index, shown in enumerate([whole] * 6 + [cut] * 4 + [whole] * 3):
        tracks = tracker.update(100.0 + index / 10, [shown], [0.9])
        frames.append(seen(100.0 + index / 10, *tracks))

    assert sum(len(frame.tracks) for frame in frames) > 6
    assert judged(rule, frames).events == ()


def test_ids_of_another_run_are_other_people() -> None:
    """After a camera's restart the tracker counts from 1 again; nothing is carried over."""
    rule = line_rule()
    rule.judge(seen(0.0, track(1, 0.0, 0.5, 0.4)))

    verdict = rule.judge(seen(0.5, track(1, 0.5, 0.5, 0.6), run="r2"))

    assert verdict.events == ()


def test_what_is_remembered_is_bounded() -> None:
    """Tracks that are long gone are forgotten."""
    rule = line_rule()
    judged(rule, [seen(float(i), track(i, float(i), 0.5, 0.4)) for i in range(2000)])

    assert len(str(rule.state())) < 60_000
