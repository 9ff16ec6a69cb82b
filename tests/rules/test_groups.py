"""People who cross a line together are one group, in figures of their own."""

from typing import Any

import pytest

from tests.rules.scene import (
    Place,
    config,
    context,
    down,
    judged,
    people,
    seen,
    through_json,
    track,
)

Paths = dict[int, list[Place | None]]
# A body is .2 of the picture high, so a metre is .1176; the line is .6 long.
METRE = 0.2 / 1.7


def at(x: float, wait: int = 0) -> list[Place | None]:
    """Somebody who goes down through the line at x, after so many frames."""
    return [*[(x, 0.4)] * (wait + 1), *[(x, 0.6)] * 3]


GROUPS: list[tuple[str, Paths, tuple[int, int, int, int]]] = [
    ("one alone", {1: at(0.5)}, (1, 0, 1, 0)),
    ("a pair side by side", {1: at(0.5), 2: at(0.5 + METRE)}, (2, 0, 1, 0)),
    ("just too far apart", {1: at(0.4), 2: at(0.4 + 1.6 * METRE)}, (2, 0, 2, 0)),
    ("one behind the other", {1: at(0.5), 2: at(0.5, wait=4)}, (2, 0, 1, 0)),
    ("the second too late", {1: at(0.5), 2: at(0.5, wait=5)}, (2, 0, 2, 0)),
    (
        "a chain: each near the next one",
        {n: at(0.25 + n * 1.4 * METRE) for n in range(3)},
        (3, 0, 1, 0),
    ),
    (
        "a stream of people is many groups",
        {n: at(0.5, wait=2 * n) for n in range(9)},
        (9, 0, 3, 0),
    ),
    ("past each other", {1: at(0.5), 2: down(0.6, 0.4, x=0.55)}, (1, 1, 1, 1)),
    ("there and back", {1: down(0.4, 0.6, 0.4, 0.4)}, (1, 1, 1, 1)),
]


def counted(paths: Paths, **fields: Any) -> dict[str, float | None]:
    """What a minute holds."""
    rule = config(type="line_crossing", line="across", **fields).build(context(0.5))
    (bucket,) = judged(rule, people(paths, 0.5), end=20.0).buckets
    return dict(bucket.values)


@pytest.mark.parametrize(
    ("paths", "expected"), [row[1:] for row in GROUPS], ids=[row[0] for row in GROUPS]
)
def test_groups(paths: Paths, expected: tuple[int, int, int, int]) -> None:
    """Within 2 s and 1.5 m of another, in the same direction; people are counted as ever."""
    values = counted(paths, groups=True)

    names = ("entered", "left", "groups_in", "groups_out")
    assert tuple(values[name] for name in names) == expected
    assert counted(paths) == {"entered": expected[0], "left": expected[1]}


def test_terms_of_a_group_are_set() -> None:
    """How long and how far apart is the operator's to say."""
    paths = {1: at(0.4), 2: at(0.4 + 1.6 * METRE), 3: at(0.4, wait=8)}

    assert counted(paths, groups=True)["groups_in"] == 3
    assert counted(paths, groups=True, group_apart=2)["groups_in"] == 2
    assert counted(paths, groups=True, group_within="5s", group_apart=2)["groups_in"] == 1


def test_a_group_is_the_same_after_a_restart() -> None:
    """The second of a pair comes after it, and is no group of its own."""
    line = config(type="line_crossing", line="across", groups=True)
    rule = line.build(context(0.5))
    for now, y in ((0.0, 0.4), (0.5, 0.6)):
        rule.judge(seen(now, track(1, now, 0.5, y), track(2, now, 0.55, 0.4)))
    rule = through_json(rule, line.build(context(0.5)))
    rule.judge(seen(1.0, track(1, 1.0, 0.5, 0.6), track(2, 1.0, 0.55, 0.6)))

    (bucket,) = rule.finish(2.0).buckets
    assert (bucket.values["entered"], bucket.values["groups_in"]) == (2, 1)
