"""What holds for any boxes at any times."""

import json
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.events import JsonValue
from pipeline.core.geometry import Box
from pipeline.core.tracks import Track
from pipeline.tracking.scene import SceneMemory
from pipeline.tracking.scene_figures import figures_of
from tests.tracking.scenes import START, Look, ids, person_tracker, run

fractions = st.floats(0.0, 1.0, allow_nan=False, width=32)


@st.composite
def any_box(draw: st.DrawFn) -> Box:
    """Any box in the picture, flat ones included."""
    x_min, x_max = sorted((draw(fractions), draw(fractions)))
    y_min, y_max = sorted((draw(fractions), draw(fractions)))
    return (x_min, y_min, x_max, y_max)


@st.composite
def crowds(draw: st.DrawFn) -> list[Look]:
    """People of one size who jitter about, come, go and are seen badly, at uneven times."""
    people = draw(st.lists(st.tuples(fractions, fractions), min_size=1, max_size=5))
    at, seen = START, []
    for _ in range(draw(st.integers(2, 14))):
        at += draw(st.sampled_from([0.1, 0.2, 0.5, 1.0, 3.0]))
        boxes: list[Box] = []
        for x, y in people:
            if draw(st.integers(0, 4)):
                dx, dy = draw(fractions) * 0.1, draw(fractions) * 0.1
                boxes.append((x + dx - 0.02, y + dy - 0.15, x + dx + 0.02, y + dy))
        boxes += draw(st.lists(any_box(), max_size=2))
        scores = tuple(draw(st.sampled_from([0.2, 0.39, 0.4, 0.7, 1.0])) for _ in boxes)
        seen.append(Look(at, tuple(boxes), scores))
    return seen


@settings(deadline=None, max_examples=60)
@given(crowds(), st.integers(0, 13))
def test_a_restored_tracker_goes_on_identically(seen: list[Look], restart_at: int) -> None:
    """State through JSON text and back, at any moment, changes no later track in any bit."""
    whole = run(person_tracker(), seen)
    first = person_tracker()
    before = run(first, seen[:restart_at])
    text = json.dumps(first.state())
    second = person_tracker()
    second.restore(json.loads(text))
    assert json.dumps(second.state()) == text
    assert before + run(second, seen[restart_at:]) == whole


@settings(deadline=None, max_examples=60)
@given(crowds())
def test_tracks_are_well_formed(seen: list[Look]) -> None:
    """Ids rise from 1 without gaps, steps rise in time, each look is shown at most once."""
    shown = run(person_tracker(), seen)
    assert run(person_tracker(), seen) == shown
    known = sorted(ids(shown))
    assert known == list(range(1, len(known) + 1))
    steps: dict[int, list[float]] = {}
    for look, tracks in zip(seen, shown, strict=True):
        assert [track.id for track in tracks] == sorted(track.id for track in tracks)
        assert len(tracks) <= len(look.boxes)
        for track in tracks:
            _check(track, look)
            steps.setdefault(track.id, []).extend(step.at for step in track.steps)
    assert all(a < b for times in steps.values() for a, b in pairwise(times))


def _check(track: Track, look: Look) -> None:
    assert track.steps[-1].at == look.at
    assert track.score in look.scores
    assert track.first_seen <= track.steps[0].at
    x_min, y_min, x_max, y_max = track.box
    assert x_min <= x_max
    assert y_min <= y_max
    assert any((x_min, x_max) == (box[0], box[2]) for box in look.boxes)


@settings(deadline=None, max_examples=40)
@given(crowds(), st.randoms(use_true_random=False))
def test_the_order_of_boxes_does_not_matter(seen: list[Look], random: Random) -> None:
    """Detectors list boxes in any order; the ways found are the same."""
    mixed = []
    for look in seen:
        order = list(range(len(look.boxes)))
        random.shuffle(order)
        boxes = tuple(look.boxes[i] for i in order)
        mixed.append(Look(look.at, boxes, tuple(look.scores[i] for i in order)))
    assert len(ids(run(person_tracker(), mixed))) == len(ids(run(person_tracker(), seen)))


@pytest.mark.parametrize(
    "state",
    [None, [], "text", {}, {"next_id": 1}, {"next_id": 1, "things": [{"id": 3}]}, {"things": 5}],
)
def test_what_is_no_state_is_refused(state: JsonValue) -> None:
    """`restore` raises ValueError and leaves the tracker as it was."""
    tracker = person_tracker()
    before = tracker.state()
    with pytest.raises(ValueError, match="not the state of a tracker"):
        tracker.restore(state)
    assert tracker.state() == before


@given(crowds(), st.integers(0, 13))
@settings(max_examples=40)
def test_a_scene_is_learned_of_any_boxes(seen: list[Look], broken_at: int) -> None:
    """Whatever the boxes and times; nothing raises, counts add up, and a restart is exact."""
    tracker = person_tracker()
    memory, other = SceneMemory(16 / 9), SceneMemory(16 / 9)
    shown = 0
    for number, look in enumerate(seen):
        tracks = tracker.update(look.at, look.boxes, look.scores)
        shown += len(tracks)
        memory.see(look.at, look.boxes, look.scores, tracks)
        other.see(look.at, look.boxes, look.scores, tracks)
        if number == broken_at:
            restored = SceneMemory(16 / 9)
            restored.restore(json.loads(json.dumps(other.state())))
            other = restored
    assert other.state() == memory.state()
    known = figures_of(memory.state())
    assert known.looks == len(seen)
    assert sum(cell.begins for cell in known.cells) == known.tracks
    assert sum(cell.ends for cell in known.cells) <= shown
    assert sum(known.scores) <= sum(len(look.boxes) for look in seen)
    assert known.misses is None or 0 <= known.misses < 1
