"""What counting promises, on synthetic scenes with exact truth: tracker and rules as they come.

Each scene is small, so that all of them together take seconds; `python -m benchmarks.counting`
measures the same on more of them.
"""

from functools import cache

import pytest

from benchmarks.counting.measuring import MIN_SCORE, OURS, Case
from benchmarks.counting.replay import Outcome, happenings, moonwatch, replay
from benchmarks.counting.scenes import Scene, Shown
from benchmarks.counting.scoring import errors, unmatched
from benchmarks.counting.synthetic import (
    Boulder,
    Cars,
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
from benchmarks.counting.two_kinds import judged

COURSES: tuple[Kind, ...] = (Walkers(seconds=32.0), Walkers(32.0, 0.45, heading="along"))


def seen(scene: Scene, fps: int, shown: Shown = "detected") -> Outcome:
    """What tracker and rules make of a scene, from its first frame on."""
    looks = [look.above(MIN_SCORE) for look in scene.looks(shown, fps)]
    return replay(scene, looks, moonwatch(scene), 1 / fps)


@cache
def share_wrong(noise: Noise, fps: int) -> float:
    """Errors on both courses, as a share of their true crossings."""
    figures = [Case(make(kind, noise, 1), "detected", OURS, fps, 1).measure() for kind in COURSES]
    return sum(of.errors for of in figures) / sum(of.true for of in figures)


@pytest.mark.parametrize(
    ("fps", "jitter", "calm_s"),
    [(10, 0.04, 0.25), (5, 0.02, 0.0), (2, 0.01, 0.0), (2, 0.03, 0.25), (1, 0.04, 0.0)],
)
def test_who_stands_on_a_line_is_counted_at_most_once(
    fps: int, jitter: float, calm_s: float
) -> None:
    """Ten minutes on a line, with a box that never keeps still."""
    scene = make(Standing(), Noise(jitter=jitter, calm_s=calm_s), seed=2)
    outcome = seen(scene, fps)
    assert max(len(made) for made in outcome.crossings.values()) <= 1


@pytest.mark.parametrize(
    ("fps", "jitter", "calm_s", "within"),
    [(10, 0.02, 0.25, 0.0), (2, 0.04, 0.0, 0.02), (1, 0.01, 0.25, 0.0)],
)
def test_who_stands_on_the_border_of_a_zone_comes_at_most_twice(
    fps: int, jitter: float, calm_s: float, within: float
) -> None:
    """Ten minutes on the border are one visit, or two."""
    kind = Standing(where="border", within=within)
    scene = make(kind, Noise(jitter=jitter, calm_s=calm_s), seed=2)
    looks = scene.looks("detected", fps)
    begun = happenings(scene, looks, moonwatch(scene), 1 / fps)
    assert begun <= 2


@pytest.mark.parametrize("fps", [10, 2])
@pytest.mark.parametrize("calm_s", [0.25, 0.0], ids=["wandering", "white"])
def test_jitter_at_most_doubles_an_error(calm_s: float, fps: int) -> None:
    """Edges that are off by a twentieth of the box; an error under 2 % is none to be doubled."""
    still = share_wrong(Noise(jitter=0.0), fps)
    assert share_wrong(Noise(jitter=0.05, calm_s=calm_s), fps) <= 2 * max(still, 0.01)


@pytest.mark.parametrize("fps", [10, 2])
@pytest.mark.parametrize("upper", [0.0, 1.0], ids=["whole", "upper half"])
def test_second_boxes_on_a_body_are_not_somebody_else(upper: float, fps: int) -> None:
    """A second box in one of five looks adds at most five points to the error."""
    single = share_wrong(Noise(), fps)
    assert share_wrong(Noise(second=0.2, upper=upper), fps) <= single + 0.05


@pytest.mark.parametrize("seed", [1, 2])
def test_a_track_that_followed_a_second_box_gets_its_body_back(seed: int) -> None:
    """The second one does not go on with the body, while its own track crosses lines elsewhere."""
    scene = make(Walkers(heading="along", height=0.45), Noise(second=0.2), seed)
    wrong = unmatched(scene, seen(scene, 10).crossings)
    assert len(wrong.missed) + len(wrong.invented) <= 1


@pytest.mark.parametrize("fps", [10, 5, 2])
@pytest.mark.parametrize("overlap", [0.5, 0.6, 0.7])
def test_two_who_walk_abreast_are_two(overlap: float, fps: int) -> None:
    """Pairs whose boxes overlap by half and more of their union."""
    scene = make(Pairs(pairs=10, overlap=overlap), seed=1)
    wrong, true = errors(scene, seen(scene, fps).crossings), scene.crossings_made
    assert wrong <= 0.05 * true


@pytest.mark.parametrize("fps", [10, 5, 2, 1])
def test_a_thing_that_changes_its_class_is_counted_once(fps: int) -> None:
    """A detector that takes a car for a truck in one of five looks; both are counted."""
    scene = make(Flips(), Noise(flip=0.2), seed=1)
    outcome, _ = judged(scene, fps)
    invented = unmatched(scene, outcome.crossings).invented
    assert invented == ()


@pytest.mark.parametrize(("fps", "most"), [(10, 0.05), (5, 0.05), (2, 0.15), (1, 0.30)])
@pytest.mark.parametrize("speed", [2.0, 4.0])
def test_cars_are_counted_with_nothing_said_but_their_name(
    speed: float, fps: int, most: float
) -> None:
    """`detect: car` follows what is much faster than a walker."""
    scene = make(Cars(30.0, speed=speed), seed=1)
    wrong, true = errors(scene, seen(scene, fps, "perfect").crossings), scene.crossings_made
    assert wrong <= most * true


@pytest.mark.parametrize("fps", [10, 5, 2])
def test_who_comes_towards_the_camera_is_counted_where_the_feet_are(fps: int) -> None:
    """People near a camera grow and shrink as they walk; that does not hide their legs."""
    scene = make(Towards(seconds=40.0), seed=1)
    wrong, true = errors(scene, seen(scene, fps, "perfect").crossings), scene.crossings_made
    assert wrong <= 0.05 * true


@pytest.mark.parametrize("fps", [10, 2])
def test_a_thing_that_never_moves_is_nobody(fps: int) -> None:
    """A boulder that is taken for a person in two of three looks, with a score near the least."""
    scene = make(Boulder(seconds=60.0), seed=1)
    read = seen(scene, fps).occupancy["lawn"]
    assert abs(read - scene.occupancy["lawn"]) <= 0.25


@pytest.mark.parametrize("fps", [10, 5, 2])
def test_who_is_cut_by_the_lower_edge_is_in_a_zone_that_reaches_it(fps: int) -> None:
    """People whose legs are under the picture's edge are there all the same."""
    scene = make(Edges(seconds=40.0), seed=1)
    read = seen(scene, fps).occupancy["all"]
    assert read == pytest.approx(scene.occupancy["all"], rel=0.15)


@pytest.mark.parametrize("fps", [10, 5, 2, 1])
def test_a_crossing_is_reported_soon_after_the_moment_it_is_dated_at(fps: int) -> None:
    """A second or two looks later at most, whatever the boxes are like."""
    noise = Noise(jitter=0.03, miss=0.1, spell_s=0.3, second=0.2)
    late = [delay for kind in COURSES for delay in seen(make(kind, noise, seed=1), fps).delays_s]
    assert len(late) > 15
    assert max(late) <= max(1.0, 2 / fps) + 0.01
