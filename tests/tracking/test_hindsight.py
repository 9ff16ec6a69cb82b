"""Who passed whom between two looks: what the next look says of it."""

import json
from random import Random
from typing import Any

import pytest

from pipeline.core.geometry import Box
from tests.tracking.scenes import START, Look, person_tracker, run

ASPECT = 16 / 9
HEIGHT, WIDTH = 0.25, 0.1
"""Of a body, in picture heights."""


def _street(seed: int) -> tuple[list[Look], dict[tuple[float, Box], int]]:
    """Four who walk left or right at uneven paces and hide each other, a look a second.

    Also whose every box is.
    """
    random = Random(seed)
    people = [
        (random.choice((-1, 1)), random.uniform(0.6, 0.75), random.uniform(0.12, 0.2), begin)
        for begin in (random.uniform(0, 4) for _ in range(4))
    ]
    looks, whose = [], {}
    for second in range(16):
        places = {}
        for who, (way, y, speed, begin) in enumerate(people):
            x = (0.1 if way > 0 else 1.65) + way * speed * (second - begin) + random.gauss(0, 0.02)
            if second >= begin and 0.05 < x < ASPECT - 0.05:
                places[who] = (x, y)
        boxes = []
        for who, (x, y) in places.items():
            if any(near > y and abs(at - x) < 0.3 * WIDTH for at, near in places.values()):
                continue  # hidden
            x, y = x + random.gauss(0, 0.002), y + random.gauss(0, 0.005)
            box = ((x - WIDTH / 2) / ASPECT, y - HEIGHT, (x + WIDTH / 2) / ASPECT, y)
            boxes.append(box)
            whose[START + second, box] = who
        looks.append(Look(START + second, tuple(boxes), (0.8,) * len(boxes)))
    return looks, whose


def _mistaken(seed: int) -> int:
    """How many tracks end on somebody else than they began with."""
    looks, whose = _street(seed)
    ways: dict[int, list[int]] = {}
    for tracks in run(person_tracker(), looks):
        for track in tracks:
            ways.setdefault(track.id, []).extend(whose[step.at, step.box] for step in track.steps)
    return sum(way[0] != way[-1] for way in ways.values())


def test_the_next_look_tells_who_passed_whom(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look a second exchanges a quarter fewer people than it does without second thoughts."""
    seeds = range(40)
    mistaken = sum(map(_mistaken, seeds))
    monkeypatch.setattr("pipeline.tracking.tracker.APART_S", 1e9)
    without = sum(map(_mistaken, seeds))
    assert mistaken <= 0.75 * without


def test_a_restart_forgets_no_doubt() -> None:
    """State through JSON text before every look changes no track, though there are doubts."""
    doubted = 0
    for seed in range(5):
        looks, _ = _street(seed)
        tracker, shown = person_tracker(), []
        for look in looks:
            text = json.dumps(tracker.state())
            doubted += len(json.loads(text)["doubts"])
            tracker = person_tracker()
            tracker.restore(json.loads(text))
            assert json.dumps(tracker.state()) == text
            shown += run(tracker, [look])
        assert shown == run(person_tracker(), looks)
    assert doubted > 5


def _state() -> dict[str, Any]:
    """The state of a tracker that has doubts."""
    for seed in range(20):
        tracker = person_tracker()
        for look in _street(seed)[0]:
            run(tracker, [look])
            state: dict[str, Any] = json.loads(json.dumps(tracker.state()))
            if state["doubts"]:
                return state
    raise AssertionError("nobody passed anybody")


@pytest.mark.parametrize("row", [-1, 99])
def test_doubts_about_nobody_are_no_state(row: int) -> None:
    """A doubt about a thing that is not followed is refused with the place it names."""
    state = _state()
    state["doubts"][0][0] = row
    with pytest.raises(ValueError, match=f"a doubt about things {row}"):
        person_tracker().restore(state)


def test_a_state_without_doubts_is_read() -> None:
    """Earlier releases had no doubts."""
    state = _state()
    del state["doubts"]
    tracker = person_tracker()
    tracker.restore(state)
    kept: Any = tracker.state()
    assert kept["doubts"] == []
