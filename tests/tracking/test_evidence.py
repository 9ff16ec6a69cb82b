"""What never moves and is not sure to be anything, beside people who stand, sit and come back."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipeline.core.geometry import Box
from pipeline.tracking.config import USUAL_ASPECT, TrackerConfig
from pipeline.tracking.evidence import MOST_PLACES, Evidence, KnownPlaces, shift
from pipeline.tracking.memory import MOST_UNSHOWN
from tests.tracking.scenes import HEIGHT, START, Look, ids, person_tracker, run, standing

RATES = [10.0, 5.0, 2.0, 1.0]
STEP = 0.7 * HEIGHT / USUAL_ASPECT
"""How far a walker gets in a second, in picture widths."""

Scene = Callable[[float], tuple[Box, float] | None]
"""The box of one thing some seconds into the scene, and the mean of its scores; None for none."""


def seen_by_a_detector(
    scene: Scene, fps: float, seconds: float, present: float = 0.8, spread: float = 0.03
) -> Iterator[Look]:
    """Looks at one thing, with edges and scores that jitter; the same ones every time."""
    chance = random.Random(1)
    for frame in range(round(seconds * fps)):
        found = scene(frame / fps)
        boxes: list[Box] = []
        scores: list[float] = []
        if found is not None and chance.random() < present:
            x_min, y_min, x_max, y_max = (edge + chance.gauss(0, 0.003) for edge in found[0])
            boxes.append((x_min, y_min, x_max, y_max))
            scores.append(chance.gauss(found[1], spread))
        yield Look(START + frame / fps, tuple(boxes), tuple(scores))


def shown_s(scene: Scene, fps: float, seconds: float, config: TrackerConfig | None = None) -> float:
    """For how many seconds something is shown."""
    looks = [
        Look(
            look.at,
            tuple(box for box, score in zip(look.boxes, look.scores, strict=True) if score >= 0.3),
            tuple(score for score in look.scores if score >= 0.3),
        )
        for look in seen_by_a_detector(scene, fps, seconds)
    ]
    shown = run(person_tracker(config), looks)
    return sum(len(track.steps) for tracks in shown for track in tracks) / fps


def still(score: float) -> Scene:
    """It stands where it is."""
    return lambda _: (standing(0.4, 0.6), score)


def comes_and_stays(score: float, lost: tuple[float, float] = (0.0, 0.0)) -> Scene:
    """It walks for 5 s and then stands, unseen between two times."""

    def scene(at_s: float) -> tuple[Box, float] | None:
        if lost[0] < at_s < lost[1]:
            return None
        return standing(0.2 + STEP * min(at_s, 5.0), 0.6), score

    return scene


def swaying(score: float) -> Scene:
    """It swings by a third of its height to either side, every three seconds."""
    return lambda at_s: (standing(0.4 + 0.02 * (at_s % 3.0 > 1.5), 0.6), score)


def shifted(score: float) -> Scene:
    """Somebody moves it by its own height, once."""
    return lambda at_s: (standing(0.4 if at_s < 20 else 0.48, 0.6), score)


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize(
    "scene",
    [still(0.36), still(0.42), still(0.5), swaying(0.45), shifted(0.45)],
    ids=["faint", "low", "middling", "swaying", "shifted"],
)
def test_what_never_moved_is_not_shown_for_low_scores(scene: Scene, fps: float) -> None:
    """A boulder, a plant and a chair are nobody, at any rate."""
    assert shown_s(scene, fps, 60) == 0


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize(
    "scene",
    [still(0.66), still(0.8), comes_and_stays(0.45), comes_and_stays(0.42, (20.0, 25.0))],
    ids=["stands", "parked", "came", "found again"],
)
def test_people_who_stand_are_shown(scene: Scene, fps: float) -> None:
    """Whoever is sure enough, or was seen to come, is shown in nearly all looks."""
    looks = [look for look in seen_by_a_detector(scene, fps, 60) if look.boxes]
    assert shown_s(scene, fps, 60) * fps >= 0.93 * len(looks)


@pytest.mark.parametrize("fps", RATES)
def test_one_who_stood_and_leaves_counts_from_then(fps: float) -> None:
    """A car with low scores stands from the first look on, and then drives off."""

    def scene(at_s: float) -> tuple[Box, float]:
        return standing(0.2 + STEP * max(at_s - 30.0, 0.0), 0.6), 0.45

    away_s = 8.0
    assert away_s - 3.0 <= shown_s(scene, fps, 30 + away_s) <= away_s + MOST_UNSHOWN / fps


def test_the_first_steps_of_a_walker_with_low_scores_come_with_it() -> None:
    """Nothing of a walk is lost while there was no evidence yet."""
    looks = list(seen_by_a_detector(comes_and_stays(0.46), 10, 5, present=1.0, spread=0.01))
    shown = [track for tracks in run(person_tracker(), looks) for track in tracks]
    assert [step.at for track in shown for step in track.steps] == [look.at for look in looks]
    assert len(shown[0].steps) <= 20, "a walker moves clearly within two seconds"


def test_full_scores_are_never_doubted() -> None:
    """Engines whose scores are all 1 show everything that they find."""
    looks = [Look(START + n, (standing(0.4, 0.6),), (1.0,)) for n in range(4)]
    assert [len(tracks) for tracks in run(person_tracker(), looks)] == [0, 1, 1, 1]


def test_evidence_can_be_done_without() -> None:
    """With `still_score: 0` everything is shown that was seen twice."""
    assert shown_s(still(0.45), 5, 20) == 0
    assert shown_s(still(0.45), 5, 20, TrackerConfig(still_score=0)) > 10


def test_a_few_lucky_scores_do_not_last() -> None:
    """What was shown for high scores at first is not, once they turn out to be low."""
    scores = [0.7, 0.7, *([0.45] * 20)]
    looks = [Look(START + n, (standing(0.4, 0.6),), (score,)) for n, score in enumerate(scores)]
    shown = run(person_tracker(), looks)
    assert len(shown[1]) == 1
    assert not any(shown[10:])


def test_who_is_confused_with_a_still_thing_does_not_leave_it_a_person() -> None:
    """A track that got up from a still thing's place, and one that sat down there, have swapped."""
    place, beside = standing(0.4, 0.6), standing(0.5, 0.6)
    places = KnownPlaces(0.4, 0.56, USUAL_ASPECT)
    boulder, walker = places.begin(0.0, place, 0.45), places.begin(50.0, beside, 0.9)
    for second in range(1, 60):
        boulder = places.see(boulder, float(second), place, 0.45)
    walker = places.see(walker, 59.5, standing(0.45, 0.6), 0.9)
    for second in range(60, 64):  # from here on, each has the boxes of the other
        boulder = places.see(boulder, float(second), standing(0.4 + 0.1 * (second - 59), 0.6), 0.9)
    assert boulder.counts
    for second in range(60, 70):
        walker = places.see(walker, float(second), place, 0.45)
    assert not walker.counts


def test_a_walker_s_track_does_not_end_on_what_is_never_found() -> None:
    """Where boxes only continue a track, one that came from elsewhere is soon hidden."""
    place = standing(0.4, 0.6)
    places = KnownPlaces(0.4, 0.56, USUAL_ASPECT)
    track = Evidence(standing(0.2, 0.6), 0.0, 0.8, 0.8, moved=True, counts=True)
    counting = [places.see(track, second, place, 0.34).counts for second in range(1, 20)]
    assert counting[0]
    assert not any(counting[8:])


def test_a_lost_mover_is_found_by_whatever_track_has_its_box() -> None:
    """Somebody's first box is nearby, and the next ones are those of who was lost there."""
    place = standing(0.4, 0.6)
    places = KnownPlaces(0.4, 0.56, USUAL_ASPECT)
    lost = Evidence(place, 0.0, 0.5, 0.5, moved=True, counts=True)
    places.end(lost, 40.0, place, left=False)
    other = places.begin(42.0, standing(0.5, 0.6), 0.45)
    assert not other.counts
    assert places.see(other, 44.0, place, 0.45, lost=True).counts


def test_what_was_there_before_somebody_was_lost_is_not_that_one() -> None:
    """A boulder beside which a walker is lost stays a boulder."""
    place = standing(0.4, 0.6)
    places = KnownPlaces(0.4, 0.56, USUAL_ASPECT)
    boulder = places.begin(0.0, place, 0.45)
    places.end(Evidence(place, 0.0, 0.8, 0.8, moved=True, counts=True), 40.0, place, left=False)
    assert not places.see(boulder, 41.0, place, 0.45).counts
    places.end(boulder, 41.0, place, left=False)
    assert not places.begin(43.0, place, 0.45).counts


def test_what_is_remembered_is_bounded() -> None:
    """Flickering boxes all over the picture, and a boulder for an hour, keep the state small."""
    tracker = person_tracker()
    chance = random.Random(2)
    for second in range(3600):
        box = standing(chance.uniform(0.1, 0.9), chance.uniform(0.3, 0.9))
        tracker.update(START + second, [box, standing(0.4, 0.6)], [0.45, 0.45])
    state: dict[str, Any] = json.loads(json.dumps(tracker.state()))
    assert len(state["places"]["still"]) <= MOST_PLACES
    assert len(state["places"]["movers"]) <= MOST_PLACES
    assert len(json.dumps(state)) < 100_000


def test_evidence_survives_a_restart() -> None:
    """A tracker that is restored in the middle of a scene shows what it would have shown."""
    looks = list(seen_by_a_detector(comes_and_stays(0.45, (20.0, 25.0)), 5, 40))
    for after in (4, 40, 110, 130):
        first, second = person_tracker(), person_tracker()
        run(first, looks[:after])
        second.restore(json.loads(json.dumps(first.state())))
        assert run(second, looks[after:]) == run(first, looks[after:])


def test_what_an_earlier_release_has_shown_stays() -> None:
    """A state without evidence resumes: known tracks are shown, whatever their scores."""
    looks = list(seen_by_a_detector(comes_and_stays(0.45), 5, 40, present=1.0))
    tracker = person_tracker()
    run(tracker, looks[:150])
    state = json.loads(json.dumps(tracker.state()))
    del state["places"]
    for thing in state["things"]:
        del thing["evidence"]
    later = person_tracker()
    later.restore(state)
    assert ids(run(later, looks[150:])) == {1}


@pytest.mark.parametrize(
    ("after", "heights"),
    [
        ((0.40, 0.4, 0.50, 0.6), 0.0),  # where it was
        ((0.50, 0.4, 0.60, 0.6), 0.5),  # half of its height to the right
        ((0.40, 0.5, 0.50, 0.7), 0.5),  # and down
        ((0.40, 0.5, 0.50, 0.6), 0.0),  # its lower half
        ((0.40, 0.4, 0.60, 0.6), 0.0),  # with its neighbour
        ((0.35, 0.3, 0.55, 0.7), 1.4),  # nearer: twice as large
    ],
)
def test_only_what_all_edges_agree_on_is_motion(after: Box, heights: float) -> None:
    """A box that shows half of a body, or two, has not moved; one that grows has."""
    assert shift((0.4, 0.4, 0.5, 0.6), after, aspect=1.0) == pytest.approx(heights, abs=0.02)


def test_of_what_the_edge_cuts_the_other_edge_shows_the_motion() -> None:
    """Somebody who enters has one edge where the picture ends."""
    assert shift((0.0, 0.4, 0.04, 0.6), (0.0, 0.4, 0.1, 0.6), 1.0) == pytest.approx(0.3)
    assert shift((0.95, 0.4, 1.0, 0.6), (0.9, 0.4, 1.0, 0.6), 1.0) == pytest.approx(0.25)
    assert shift((0.4, 0.7, 0.5, 1.0), (0.4, 0.6, 0.5, 1.0), 1.0) == pytest.approx(1 / 3)
    assert shift((0.0, 0.4, 1.0, 0.6), (0.0, 0.4, 1.0, 0.6), 1.0) == 0.0
