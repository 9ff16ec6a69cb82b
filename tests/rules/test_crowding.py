"""Groups of those who stand close together."""

import random
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.core.rules import Observation, Rule
from pipeline.core.tracks import Step, Track
from tests.rules.scene import (
    FAILED,
    Place,
    box,
    config,
    context,
    judged,
    people,
    phases,
    seen,
    through_json,
    track,
)

FAR: Place = (0.9, 0.9)


def crowding(every_s: float = 1.0, /, **fields: Any) -> Rule:
    """Groups in the whole picture of people who are 0.2 tall, so that 0.2 is one body height."""
    return config(**{"type": "crowding", "more_than": 2, **fields}).build(context(every_s))


def scene(places: list[Place], frames: int = 6) -> list[Observation]:
    """People who stand still."""
    return list(people({n: [place] * frames for n, place in enumerate(places, 1)}, 1.0))


GROUPS: list[tuple[str, list[Place], dict[str, object], int]] = [
    ("nobody", [], {}, 0),
    ("one", [(0.5, 0.5)], {}, 1),
    ("two apart", [(0.2, 0.5), (0.5, 0.5)], {}, 1),
    ("two close", [(0.4, 0.5), (0.55, 0.5)], {}, 2),
    ("a chain", [(0.1, 0.5), (0.28, 0.5), (0.46, 0.5), (0.64, 0.5)], {}, 4),
    ("a chain that is too loose", [(0.1, 0.5), (0.28, 0.5), (0.46, 0.5)], {"within": 0.8}, 1),
    ("two groups", [(0.1, 0.3), (0.2, 0.3), (0.7, 0.9), (0.8, 0.9), (0.75, 0.8)], {}, 3),
    ("half of them in the zone", [(0.4, 0.5), (0.45, 0.5), (0.55, 0.5)], {"zone": "left"}, 2),
]


@pytest.mark.parametrize(
    ("places", "fields", "size"), [row[1:] for row in GROUPS], ids=[row[0] for row in GROUPS]
)
def test_the_largest_group(places: list[Place], fields: dict[str, object], size: int) -> None:
    """Those who are connected by short distances."""
    frames = scene(places) if places else [seen(float(t)) for t in range(6)]
    (bucket,) = judged(crowding(**fields), frames, end=6.0).buckets

    assert bucket.values == {"mean": size, "maximum": size}


def test_distances_are_measured_in_bodies() -> None:
    """Half as tall, and half as far apart: the same distance, farther away from the camera."""
    near = [Track(n, "person", 0.9, 0.0, (Step(0.0, box(0.1 * n, 0.9, 0.2)),)) for n in (1, 2, 3)]
    tiny = [Track(n, "person", 0.9, 0.0, (Step(0.0, box(0.1 * n, 0.4, 0.08)),)) for n in (1, 2, 3)]

    (large,) = judged(crowding(), [seen(0.0, *near)], end=1.0).buckets
    (small,) = judged(crowding(), [seen(0.0, *tiny)], end=1.0).buckets
    assert (large.values["maximum"], small.values["maximum"]) == (3, 1)


def test_a_crowd_for_a_while() -> None:
    """One happening, with the box around the group and its greatest size."""
    paths: dict[int, list[Place | None]] = {
        1: [(0.3, 0.5)] * 12,
        2: [(0.4, 0.5)] * 12,
        3: [*[FAR] * 2, *[(0.5, 0.5)] * 6, *[FAR] * 4],
    }
    start, end = judged(crowding(for_="3s"), people(paths, 1.0)).events

    assert phases(judged(crowding(for_="3s"), people(paths, 1.0))) == [("start", 5.0), ("end", 8.0)]
    assert start.data == {
        "count": 3,
        "extreme": 3,
        "more_than": 2,
        "since": "1970-01-01T00:00:02.000Z",
    }
    assert start.subject is not None
    assert start.subject.box == pytest.approx((0.26, 0.3, 0.54, 0.5))
    assert end.data["seconds"] == 6.0


@pytest.mark.parametrize("every_s", [0.1, 1.0])
def test_jitter_at_the_limit_of_a_distance_is_one_crowd(every_s: float) -> None:
    """Whoever stands just close enough, or just not, does not come and go with every look."""
    chance = random.Random(7)
    frames = [
        seen(
            n * every_s,
            *(
                track(i, n * every_s, 0.1 + 0.2 * i + chance.gauss(0, 0.004), 0.5)
                for i in (1, 2, 3)
            ),
        )
        for n in range(600)
    ]
    events = judged(crowding(every_s, for_="2s", gap="2s"), frames).events

    assert [event.phase for event in events if event.phase != "update"] in ([], ["start"])


def test_ids_that_change_keep_the_crowd() -> None:
    """Somebody who is lost and found again under another number, and two who are exchanged."""
    a, b, c = (0.3, 0.5), (0.4, 0.5), (0.5, 0.5)
    paths: dict[int, list[Place | None]] = {
        1: [*[a] * 5, *[b] * 15],
        2: [*[b] * 5, *[a] * 15],
        3: [*[c] * 8],
        4: [*[None] * 10, *[c] * 10],
    }
    events = judged(crowding(for_="2s"), people(paths, 1.0)).events

    assert [event.phase for event in events] == ["start"]


def test_failed_answers_end_it_only_after_a_while() -> None:
    """One is bridged; many end it with the reason."""
    crowd: list[Place] = [(0.3, 0.5), (0.4, 0.5), (0.5, 0.5)]
    blind = [seen(6.0 + n, answer=FAILED) for n in range(9)]
    events = judged(crowding(), [*scene(crowd), *blind]).events

    assert [(e.phase, e.data.get("reason")) for e in events] == [
        ("start", None),
        ("end", "unknown"),
    ]


def test_a_restart_at_any_frame_changes_nothing() -> None:
    """Also where two are held together by what was."""
    chance = random.Random(3)
    paths: dict[int, list[Place | None]] = {
        n: [(0.1 + 0.2 * n + chance.gauss(0, 0.02), 0.5) for _ in range(30)] for n in (1, 2, 3)
    }
    frames = list(people(paths, 1.0))
    whole = judged(crowding(), frames, end=30.0)
    assert len(whole.events) > 2
    for cut in range(len(frames)):
        first = crowding()
        one = judged(first, frames[:cut])
        two = judged(through_json(first, crowding()), frames[cut:], end=30.0)
        assert (*one.events, *two.events) == whole.events


def test_it_needs_a_limit() -> None:
    """And none of the other side: a group that is too small is nothing."""
    with pytest.raises(ValidationError, match="more_than"):
        config(type="crowding")
    with pytest.raises(ValidationError, match="fewer_than"):
        config(type="crowding", more_than=2, fewer_than=1)
