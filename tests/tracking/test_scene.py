"""What is learned of a camera's detector is what it does, at any rate and across restarts."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from pipeline.core.events import JsonValue
from pipeline.tracking import scene
from pipeline.tracking.config import TrackerConfig
from pipeline.tracking.scene import SceneMemory
from pipeline.tracking.scene_figures import figures_of
from tests.tracking.scenes import START, Look
from tests.tracking.street import (
    ASPECT,
    HEIGHT,
    SPEED,
    Detector,
    Stander,
    Walker,
    across,
    crowd,
    learned,
)
from tests.tracking.street import seen as seen_by

SECONDS = 120.0
USUAL = Detector()
PEOPLE = crowd(SECONDS, across)


def looks(rate: float, detector: Detector = USUAL, people: Sequence[Walker] = PEOPLE) -> list[Look]:
    """The street for some minutes."""
    return list(seen_by(people, rate, SECONDS, detector))


@pytest.mark.parametrize("rate", [10.0, 5.0, 2.0, 1.0])
def test_figures_are_those_of_the_detector(rate: float) -> None:
    """Jitter within 15 % (20 % at one look a second), scores, heights, boxes and the rate."""
    detector = Detector(jitter=0.03)
    shown = looks(rate, detector)
    known = figures_of(learned(shown).state())
    assert known.looks == len(shown)
    assert known.rate == pytest.approx(rate, rel=0.02)
    assert known.feet is not None
    assert known.feet.sd == pytest.approx(0.03, rel=0.15 if rate > 1 else 0.2)
    assert known.feet.often == pytest.approx(2 * known.feet.sd, rel=0.25)
    assert known.heights is not None
    assert known.heights[1] == pytest.approx(HEIGHT, rel=0.05)
    boxes = sum(len(look.boxes) for look in shown) / len(shown)
    assert known.boxes == pytest.approx(boxes, rel=0.1)
    mean = sum((index + 0.5) / 20 * count for index, count in enumerate(known.scores))
    assert mean / sum(known.scores) == pytest.approx(detector.score, abs=0.02)
    assert known.misses is not None
    assert known.misses < 0.05
    assert known.seconds is not None
    assert known.seconds < 0.02


@pytest.mark.parametrize("rate", [5.0, 1.0])
def test_sides_jitter_by_shares_of_the_width(rate: float) -> None:
    """The middle of two edges, which each jitter by 5 % of a width, by 1.4 % of a height."""
    known = figures_of(learned(looks(rate, Detector(jitter=0.05))).state())
    assert known.centre is not None
    assert known.centre.sd == pytest.approx(0.05 * 0.4 / 2**0.5, rel=0.2)


@pytest.mark.parametrize(("rate", "within"), [(10.0, 0.04), (5.0, 0.03), (2.0, 0.03), (1.0, 0.1)])
def test_misses_are_counted(rate: float, within: float) -> None:
    """A fifth of all looks; at one a second, some who are missed twice are not found again."""
    known = figures_of(learned(looks(rate, Detector(misses=0.2))).state())
    assert known.misses == pytest.approx(0.2, abs=within)


@pytest.mark.parametrize("rate", [10.0, 5.0, 2.0, 1.0])
def test_second_boxes_are_counted(rate: float) -> None:
    """On a quarter of the looks at somebody there is a box of the upper body too."""
    known = figures_of(learned(looks(rate, Detector(seconds=0.25))).state())
    assert known.seconds == pytest.approx(0.25, abs=0.06)


def test_who_stands_and_who_walks_jitter_apart() -> None:
    """Both have the same detector here, and both are measured."""
    standing = [Stander(0.0, (x, 0.95), (x, 0.95)) for x in (0.1, 0.5, 0.9)]
    people = [*PEOPLE, *standing]
    known = figures_of(learned(looks(5.0, Detector(jitter=0.02), people)).state())
    assert known.still_feet is not None
    assert known.moving_feet is not None
    assert known.still_feet.samples > 500
    assert known.still_feet.sd == pytest.approx(0.02, rel=0.15)
    assert known.moving_feet.sd == pytest.approx(0.02, rel=0.15)


def test_where_people_walk_and_how_fast() -> None:
    """Cells of the street have feet, an axis and a speed; those above it have nothing."""
    known = figures_of(learned(looks(5.0)).state())
    street = [cell for cell in known.cells if 0.45 < cell.centre[1] < 0.85]
    above = [cell for cell in known.cells if cell.centre[1] < 0.3]
    assert min(sum(c.seen for c in street if c.centre[0] == x) for x in {0.28125, 0.71875}) > 20
    assert sum(cell.seen for cell in above) == 0
    moves, speed = sum(c.moves for c in street), sum(c.speed for c in street)
    assert speed / moves == pytest.approx(SPEED, rel=0.05)
    assert sum(cell.ways[0] for cell in street) > 0.95 * moves
    both_ways = sum(cell.velocity[0] for cell in street)
    assert abs(both_ways) < 0.5 * speed
    at_sides = sum(c.begins + c.ends for c in known.cells if abs(c.centre[0] - 0.5) > 0.4)
    assert at_sides > 0.8 * sum(c.begins + c.ends for c in known.cells)


@pytest.mark.parametrize("known_well", [scene.KNOWN_WELL, 200])
def test_a_restart_changes_nothing(monkeypatch: pytest.MonkeyPatch, known_well: int) -> None:
    """In the middle of anything: bit for bit the same, before and after it is known well."""
    monkeypatch.setattr(scene, "KNOWN_WELL", known_well)
    shown = looks(5.0, Detector(misses=0.1, seconds=0.1))
    tracker = TrackerConfig().build("person", ASPECT)
    through, broken = SceneMemory(ASPECT), SceneMemory(ASPECT)
    for number, look in enumerate(shown):
        tracks = tracker.update(look.at, look.boxes, look.scores)
        through.see(look.at, look.boxes, look.scores, tracks)
        broken.see(look.at, look.boxes, look.scores, tracks)
        if number % 7 == 0:
            state = json.dumps(broken.state())
            broken = SceneMemory(ASPECT)
            broken.restore(json.loads(state))
            assert json.dumps(broken.state()) == state
    assert broken.state() == through.state()


def test_what_is_known_well_is_measured_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures stay those of the detector, from fewer looks."""
    shown = looks(10.0, Detector(jitter=0.03))
    often = figures_of(learned(shown).state())
    monkeypatch.setattr(scene, "KNOWN_WELL", 500)
    rarely = figures_of(learned(shown).state())
    assert often.feet is not None
    assert rarely.feet is not None
    assert rarely.feet.samples < 0.5 * often.feet.samples
    assert rarely.feet.sd == pytest.approx(0.03, rel=0.2)
    assert (rarely.looks, rarely.tracks, rarely.misses) == (
        often.looks,
        often.tracks,
        often.misses,
    )


def test_the_memory_does_not_grow() -> None:
    """Three times as many looks take hardly more room."""
    shown = looks(2.0, Detector(misses=0.1))
    size = len(json.dumps(learned(shown).state()))
    more = [replace(look, at=look.at + 300 * n) for n in range(3) for look in shown]
    assert size < 12_000
    assert len(json.dumps(learned(more).state())) < 14_000


def test_a_moved_camera_is_known_anew() -> None:
    """Half of what was seen is forgotten in three days, nearly all in a month."""
    shown = looks(2.0)
    memory = learned(shown)
    before = figures_of(memory.state())
    tracker = TrackerConfig().build("person", ASPECT)
    days = 86400.0
    for passed, share in ((3.1 * days, 0.5), (30 * days, 0.002)):
        for n in range(1100):  # nobody is there
            at = START + passed + n
            memory.see(at, (), (), tracker.update(at, (), ()))
        after = figures_of(memory.state())
        assert sum(after.scores) == pytest.approx(share * sum(before.scores), rel=0.2, abs=20)


def test_a_clock_that_was_set_back_keeps_what_is_known() -> None:
    """What is followed ends, and ids start over."""
    shown = looks(2.0)
    memory = learned(shown)
    before = figures_of(memory.state())
    memory.break_off()
    tracker = TrackerConfig().build("person", ASPECT)
    for look in shown:
        tracks = tracker.update(look.at, look.boxes, look.scores)
        memory.see(look.at, look.boxes, look.scores, tracks)
    after = figures_of(memory.state())
    assert after.tracks == 2 * before.tracks
    assert after.looks == 2 * before.looks


def test_nothing_is_known_at_first() -> None:
    """And every figure says so."""
    known = figures_of(SceneMemory(ASPECT).state())
    assert (known.looks, known.tracks) == (0, 0)
    figures = (known.rate, known.boxes, known.misses, known.seconds, known.heights, known.feet)
    assert set(figures) == {None}


@pytest.mark.parametrize(
    "damage",
    [
        {"version": 0},
        {"counts": "1,2,3"},
        {"counts": "z" * 10_000_000},
        {"counts": None},
        {"recent": [1]},
        {"recent": [scene.COUNTS, 1]},
        {"recent": [0.5, 1]},
        {"followed": [[1, 2]]},
        {"followed": [[1, 2, 3, 0.0]]},
        {"followed": [[1, 2, 144, 0.2]]},
        {"aspect": 0},
        {"at": 1e300},
        {"look": float("nan")},
        {"burst": "x"},
    ],
)
def test_another_state_is_refused(damage: dict[str, JsonValue]) -> None:
    """With a ValueError, and nothing is changed."""
    memory = learned(looks(1.0)[:30])
    state = memory.state()
    assert isinstance(state, dict)
    with pytest.raises(ValueError, match=r"."):
        memory.restore({**state, **damage})
    assert memory.state() == state
    others: list[JsonValue] = [None, [], "x", {}]
    for other in others:
        with pytest.raises(ValueError, match=r"."):
            figures_of(other)
