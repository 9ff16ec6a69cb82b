"""How far a count is from the truth."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.counting.scenes import Crossing, Direction, Scene
from benchmarks.counting.scoring import errors, true_crossings, true_occupancy, unmatched
from pipeline.core.geometry import Line, Polygon

DOWN = Line((0.5, 0.0), (0.5, 0.8))
EMPTY = np.zeros((0, 6), np.float32)
SCENE = Scene("door", "person", 30, 1.0, 60, {"down": DOWN}, {}, EMPTY, EMPTY, {}, {})


def walk(*xs: float, y: float = 0.5) -> dict[int, dict[int, tuple[float, float]]]:
    """One walker's feet, a frame each."""
    return {7: {frame: (x, y) for frame, x in enumerate(xs)}}


@pytest.mark.parametrize(
    ("xs", "y", "directions"),
    [
        ((0.4, 0.6), 0.5, ["out"]),
        ((0.6, 0.4), 0.5, ["in"]),
        ((0.4, 0.6, 0.4), 0.5, ["out", "in"]),
        ((0.4, 0.505, 0.4), 0.5, []),  # through it, and never clear of it on the other side
        ((0.4, 0.505, 0.6), 0.5, ["out"]),  # clear of it only later
        ((0.4, 0.6), 0.9, []),  # past the line's end
    ],
)
def test_a_crossing_goes_from_clear_of_the_line_to_clear_of_it(
    xs: tuple[float, ...], y: float, directions: list[str]
) -> None:
    """Through the segment, and dated when it is clear; down the line, right is the left side."""
    made = true_crossings(walk(*xs, y=y), DOWN, aspect=1.0, fps=10)
    assert [crossing.direction for crossing in made] == directions
    assert all(crossing.track == 7 for crossing in made)


def test_occupancy_is_a_mean_over_all_frames() -> None:
    """Frames without anybody count."""
    left = Polygon(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
    assert true_occupancy(walk(0.2, 0.4, 0.6), left, frames=8) == 0.25


def at(seconds: float, direction: Direction) -> Crossing:
    """A crossing of somebody."""
    return Crossing(seconds, 1, direction)


def test_a_miss_and_an_invention_cancel_out_in_errors_alone() -> None:
    """Errors are those of a footfall figure; what was missed and invented is told apart."""
    scene = replace(SCENE, crossings={"down": (at(1.0, "in"), at(9.0, "in"), at(9.0, "out"))})
    found = {"down": [at(2.5, "in"), at(5.0, "in"), at(9.5, "out"), at(9.6, "out")]}
    apart = unmatched(scene, found)
    assert errors(scene, found) == 1
    assert apart.missed == (("down", at(9.0, "in")),)
    assert apart.invented == (("down", at(5.0, "in")), ("down", at(9.6, "out")))


def test_lines_that_nobody_counted_are_not_judged() -> None:
    """Only a line with a truth can be wrong."""
    other = Line((0.0, 0.5), (1.0, 0.5))
    scene = replace(SCENE, lines={"down": DOWN, "other": other}, crossings={"down": ()})
    assert errors(scene, {"down": [], "other": [at(1.0, "in")]}) == 0


def test_sampling_takes_the_first_frame_at_or_after_each_due_time() -> None:
    """From every phase, and also where the rate does not divide the scene's."""
    assert SCENE.frames_at(10, phase=2) == list(range(2, 60, 3))
    assert SCENE.frames_at(8)[:4] == [0, 4, 8, 12]
    assert SCENE.phases(10) == [0, 1, 2]
    assert SCENE.phases(1, most=3) == [0, 10, 20]
