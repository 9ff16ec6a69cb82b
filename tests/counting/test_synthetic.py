"""Synthetic scenes: the same again for the same seed, and true to their word."""

import numpy as np
import pytest

from benchmarks.counting.replay import replay, true_ids
from benchmarks.counting.scenes import Scene
from benchmarks.counting.scoring import counted, errors
from benchmarks.counting.synthetic import (
    LEAST_SCORE,
    THING,
    Boulder,
    Cars,
    Counter,
    Crowd,
    Edges,
    Flips,
    Kind,
    Noise,
    Pairs,
    Standing,
    Towards,
    Walkers,
    make,
)
from pipeline.core.geometry import iou

KINDS: tuple[Kind, ...] = (
    Walkers(seconds=20.0),
    Walkers(seconds=20.0, heading="along", height=0.45),
    Pairs(pairs=4),
    Cars(seconds=20.0),
    Flips(seconds=20.0),
    Boulder(seconds=20.0),
    Standing(minutes=0.2),
    Edges(seconds=20.0),
    Towards(seconds=30.0),
    Counter(seconds=20.0),
    Crowd(people=10, seconds=5.0),
)


def same(a: Scene, b: Scene) -> bool:
    """Whether two scenes are alike in every number."""
    return (
        np.array_equal(a.truth, b.truth)
        and np.array_equal(a.detections, b.detections)
        and a.crossings == b.crossings
        and a.occupancy == b.occupancy
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
def test_a_scene_is_the_same_again(kind: Kind) -> None:
    """Kind, settings, noise and seed decide every number of it; another seed changes them."""
    noise = Noise(jitter=0.02, miss=0.1, second=0.2, upper=0.5)
    assert same(make(kind, noise, seed=3), make(kind, noise, seed=3))
    assert not same(make(kind, noise, seed=3), make(kind, noise, seed=4))


@pytest.mark.parametrize(
    "kind",
    [kind for kind in KINDS if not isinstance(kind, Counter | Crowd)],
    ids=lambda kind: type(kind).__name__,
)
def test_its_truth_is_what_the_rule_finds_with_true_boxes_and_ids(kind: Kind) -> None:
    """Paths are clear enough of lines that every sensible definition of a crossing agrees."""
    scene = make(kind, seed=5)
    outcome = replay(scene, scene.looks("identified", 10), true_ids(scene), 0.1)
    assert errors(scene, outcome.crossings) == 0


def test_walkers_cross_a_line_once_each() -> None:
    """Everybody who goes across the picture does so in the direction of his way."""
    scene = make(Walkers(seconds=40.0), seed=1)
    whole = {int(id_) for id_ in scene.truth[:, 1]}
    last = {id_: scene.truth[scene.truth[:, 1] == id_][[0, -1], 2] for id_ in whole}
    made = {crossing.track: crossing.direction for crossing in scene.crossings["mid"]}
    assert len(made) == len(scene.crossings["mid"]) >= 12
    # Looking down the line, its right-hand side is the picture's left.
    assert all((last[id_][1] < last[id_][0]) == (side == "in") for id_, side in made.items())


def test_of_people_along_a_line_a_third_crosses_it() -> None:
    """The others keep off it by .3 body heights and more."""
    scene = make(Walkers(seconds=60.0, heading="along", height=0.45), seed=1)
    walkers = len(set(scene.truth[:, 1].tolist()))
    assert len(scene.crossings["kerb"]) in range(walkers // 3 - 3, walkers // 3 + 1)


@pytest.mark.parametrize("overlap", [0.5, 0.6, 0.7])
def test_pairs_overlap_as_they_should(overlap: float) -> None:
    """Intersection over union of the two boxes, on the mean."""
    scene = make(Pairs(pairs=6, overlap=overlap), seed=2)
    shares = []
    for look in scene.looks("identified", 10):
        boxes = dict(zip(look.ids, look.boxes, strict=True))
        shares += [
            iou(boxes[id_], boxes[id_ + 1])
            for id_ in boxes
            if id_ % 2 and id_ + 1 in boxes and 0.2 < boxes[id_][0] < 0.8
        ]
    assert np.mean(shares) == pytest.approx(overlap, abs=0.04)


def test_whoever_stands_on_a_line_crosses_none() -> None:
    """He comes, stands on the line's middle, and goes back where he came from."""
    scene = make(Standing(minutes=1.0), seed=1)
    assert scene.crossings == {"mid": (), "kerb": ()}
    assert make(Standing(minutes=1.0, where="border"), seed=1).occupancy["left"] == pytest.approx(
        1.0, abs=0.05
    )


def test_who_comes_towards_the_camera_grows_and_crosses_once() -> None:
    """People in depth are tall where their feet are low, and cross the line across their way."""
    scene = make(Towards(), seed=1)
    heights, feet = scene.truth[:, 5] - scene.truth[:, 3], scene.truth[:, 5]
    assert np.corrcoef(heights[feet < 0.99], feet[feet < 0.99])[0, 1] > 0.9
    assert scene.crossings["along"] == ()
    assert len({made.track for made in scene.crossings["across"]}) == len(scene.crossings["across"])


def test_a_counter_hides_legs_and_changes_no_truth() -> None:
    """Boxes end above the line that nobody crosses."""
    scene = make(Counter(), seed=1)
    middle = (scene.truth[:, 2] + scene.truth[:, 4]) / 2
    behind = (middle > 0.36) & (middle < 0.64)
    beside = (middle < 0.34) | (middle > 0.66)
    assert float(scene.truth[behind, 5].max()) < 0.62 < float(scene.truth[beside, 5].min())
    assert scene.crossings["counter"] == ()


def test_a_crowd_stays_in_the_picture() -> None:
    """So many people are there in every frame."""
    scene = make(Crowd(people=30, seconds=6.0), seed=1)
    assert {len(look.boxes) for look in scene.looks("perfect", 10)} == {30}


def test_misses_second_boxes_and_flips_are_as_frequent_as_they_should_be() -> None:
    """Shares of looks, over a few thousand of them."""
    kind, calm = Walkers(seconds=60.0), Noise(score_sd=0.0)
    true = len(make(kind, calm, seed=1).truth)
    missed = make(kind, Noise(miss=0.3, score_sd=0.0), seed=1)
    in_spells = make(kind, Noise(miss=0.3, spell_s=0.5, score_sd=0.0), seed=1)
    doubled = make(kind, Noise(second=0.2, score_sd=0.0), seed=1)
    flipped = make(kind, Noise(flip=0.2), seed=1)
    assert len(missed.detections) == pytest.approx(0.7 * true, rel=0.03)
    assert len(in_spells.detections) == pytest.approx(0.7 * true, rel=0.1)
    assert len(doubled.detections) == pytest.approx(1.2 * true, rel=0.03)
    assert flipped.classes is not None
    assert np.mean(flipped.classes) == pytest.approx(0.2, abs=0.02)


def test_upper_halves_end_at_the_middle_of_a_body() -> None:
    """A second box that is a half shares its upper edge with the whole one."""
    scene = make(Standing(minutes=0.5), Noise(jitter=0.0, second=1.0, upper=1.0), seed=1)
    pairs = [look.boxes for look in scene.looks("detected", 10) if len(look.boxes) == 2]
    shares = [sorted(box[3] - box[1] for box in boxes) for boxes in pairs]
    assert len(pairs) > 100
    assert np.mean([half / whole for half, whole in shares]) == pytest.approx(0.5, abs=0.03)


def test_jitter_wanders_or_is_new_in_every_look() -> None:
    """The same standard deviation, and far smaller steps from look to look where it wanders."""
    kind = Standing(minutes=2.0)

    def edges(calm_s: float) -> np.ndarray:
        scene = make(kind, Noise(jitter=0.02, calm_s=calm_s), seed=1)
        still = scene.detections[(scene.detections[:, 0] > 100) & (scene.detections[:, 0] < 1200)]
        return np.asarray(still[:, 5], float)

    wandering, white = edges(1.0), edges(0.0)
    assert wandering.std() == pytest.approx(white.std(), rel=0.25)
    assert np.diff(wandering).std() < 0.6 * np.diff(white).std()


def test_a_boulder_is_seen_where_it_lies_and_belongs_to_nobody() -> None:
    """It is no truth, and only faintly taken for a person."""
    scene = make(Boulder(), seed=1)
    thing = [row for row in scene.detections.tolist() if iou(tuple(row[2:6]), THING) > 0.7]
    assert len(thing) == pytest.approx(0.7 * scene.frames, rel=0.1)
    assert max(row[1] for row in thing) < 0.6
    assert counted(scene.crossings["mid"])["in"] > 0
    assert float(scene.detections[:, 1].min()) >= LEAST_SCORE
