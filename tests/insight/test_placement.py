"""A line or zone in a bad place is told, with the reason, and one in a good place is not."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from random import Random

import pytest

from pipeline.core.geometry import Line, Polygon
from pipeline.insight.placement import SURE_SDS, Placement, loose_boxes, of_line, of_zone
from pipeline.rules.crossing import FIRST_SURE, Gate
from pipeline.tracking.scene_figures import SceneFigures, figures_of
from tests.tracking.street import Detector, across, crowd, learned, seen

Way = Callable[[Random], tuple[tuple[float, float], tuple[float, float]]]

MIDDLE = Line((0.5, 0.2), (0.5, 1.0))
USUAL = Detector()


@cache
def street(way: Way, rate: float = 5.0, detector: Detector = USUAL) -> SceneFigures:
    """What is known after three minutes of people who go one way or another."""
    return figures_of(learned(list(seen(crowd(180.0, way), rate, 180.0, detector))).state())


def along_the_kerb(random: Random) -> tuple[tuple[float, float], tuple[float, float]]:
    """From left to right, close to y = .7."""
    y = random.uniform(0.66, 0.74)
    return (-0.05, y), (1.05, y + random.uniform(-0.02, 0.02))


def below_the_edge(random: Random) -> tuple[tuple[float, float], tuple[float, float]]:
    """From left to right, with the feet under the lower edge."""
    y = random.uniform(1.01, 1.08)
    return (-0.05, y), (1.05, y)


def through_a_door(random: Random) -> tuple[tuple[float, float], tuple[float, float]]:
    """A door at (.5, .4), from where people walk towards the camera and out of the picture."""
    return (0.5, 0.4), (random.uniform(0.3, 0.7), 1.1)


def told(placement: Placement) -> set[str]:
    """The kinds of what is wrong."""
    return {remark.kind for remark in placement.remarks}


@pytest.mark.parametrize("rate", [10.0, 5.0, 2.0, 1.0])
def test_a_line_across_the_walk_is_good(rate: float) -> None:
    """At a right angle, with room on both sides; it is said from where a side is sure."""
    found = of_line(MIDDLE, street(across, rate))
    assert told(found) == set()
    assert found.degrees is not None
    assert found.degrees > 75
    assert found.sure_from is not None
    assert 0.05 < found.sure_from < 0.3
    assert found.stride == pytest.approx(0.7 / rate, rel=0.1)


@pytest.mark.parametrize(
    ("line", "way", "kinds"),
    [
        # along the walk
        (Line((0.0, 0.7), (1.0, 0.7)), along_the_kerb, {"along"}),
        # the same the other way round
        (Line((1.0, 0.7), (0.0, 0.7)), along_the_kerb, {"along"}),
        # at 45 degrees it can be crossed
        (Line((0.4, 0.5), (0.6, 0.9)), along_the_kerb, set()),
        # where nobody is
        (Line((0.1, 0.1), (0.3, 0.1)), across, {"empty"}),
        # at the lower edge, where feet are cut off
        (Line((0.5, 0.9), (0.5, 1.0)), below_the_edge, {"cut"}),
        # so far to the side that bodies are cut
        (Line((0.02, 0.3), (0.02, 1.0)), across, {"edge", "door"}),
        # across a door
        (Line((0.4, 0.42), (0.6, 0.42)), through_a_door, {"door"}),
        # a body and more away from the door
        (Line((0.1, 0.7), (0.9, 0.7)), through_a_door, set()),
    ],
)
def test_lines_in_bad_places_are_told(line: Line, way: Way, kinds: set[str]) -> None:
    """Each with its own reason, and no other."""
    assert told(of_line(line, street(way))) == kinds


def test_a_door_has_its_key() -> None:
    """The remark names the key of the rule that counts who appears at the line and vanishes."""
    at_door = Line((0.4, 0.42), (0.6, 0.42))
    (remark,) = of_line(at_door, street(through_a_door)).remarks
    assert "give its line_crossing rule `door: true`" in remark.message
    assert told(of_line(at_door, street(through_a_door), is_door=True)) == set()


def test_what_is_told_of_a_sure_side_is_what_rules_ask_for() -> None:
    """At the first look less will do; after a second and a half beside the line it just does."""
    gate, noise = Gate(Line((0.0, 0.5), (1.0, 0.5)), 1.0, margin=0.01), 0.02
    sure = (0.5, 0.5 + SURE_SDS * noise)
    assert gate.side(sure, noise, looks=0.0, least=FIRST_SURE) == 1
    assert gate.side(sure, noise, looks=15.0, least=FIRST_SURE) == 1
    assert gate.side(sure, noise, looks=30.0, least=FIRST_SURE) == 0


def test_a_line_of_an_oblique_walk() -> None:
    """The angle is that between walk and line in the picture's true shape."""
    line = Line((0.4, 0.5), (0.6, 0.5 + 0.2 * 16 / 9))
    found = of_line(line, street(along_the_kerb))
    assert found.degrees == pytest.approx(45, abs=5)


def test_a_rate_that_is_too_low_is_told() -> None:
    """With the one that would do: at .7 heights a second, 2 s are too long and 1 s is not."""
    found = of_line(MIDDLE, street(across, 0.5))
    assert told(found) == {"fast"}
    assert "look every 1s or more often" in found.remarks[0].message


def test_boxes_that_nothing_follows_are_told() -> None:
    """Half of them are too many; those that a detector with misses and second boxes leaves, not."""
    well = street(across, 5.0, Detector(misses=0.2, seconds=0.2))
    assert loose_boxes(well, 0.4) is None
    told = loose_boxes(replace(well, followed=sum(well.scores) // 2), 0.3)
    assert told is not None
    assert told.startswith("50 % of the boxes with a score of 0.3 and more belong to nothing")
    assert "write `track: {speed: 5}`" in told


def test_a_detector_that_jitters_too_much_is_told() -> None:
    """With its jitter: a quarter of a body."""
    found = of_line(MIDDLE, street(across, 5.0, Detector(jitter=0.25)))
    assert "noisy" in told(found)


@pytest.mark.parametrize(
    ("corners", "way", "kinds"),
    [
        (((0.2, 0.3), (0.8, 0.3), (0.8, 1.0), (0.2, 1.0)), across, set()),
        (((0.2, 0.0), (0.8, 0.0), (0.8, 0.2), (0.2, 0.2)), across, {"empty"}),
        (((0.2, 0.8), (0.8, 0.8), (0.8, 1.0), (0.2, 1.0)), below_the_edge, {"cut"}),
        (((0.5, 0.5), (0.52, 0.5), (0.52, 0.9), (0.5, 0.9)), across, {"small"}),
    ],
)
def test_zones_in_bad_places_are_told(
    corners: tuple[tuple[float, float], ...], way: Way, kinds: set[str]
) -> None:
    """Empty, cut by the lower edge, or smaller than the jitter."""
    assert told(of_zone(Polygon(corners), street(way))) == kinds


def test_after_a_few_people_nothing_is_said() -> None:
    """Three people say nothing about where people walk."""
    few = figures_of(learned(list(seen(crowd(8.0, across), 5.0, 20.0, USUAL))).state())
    assert of_line(Line((0.1, 0.1), (0.3, 0.1)), few) == Placement(0)
    assert of_zone(Polygon(((0.0, 0.0), (0.1, 0.0), (0.1, 0.1))), few) == Placement(0)
