"""Geometry of the picture: x to the right, y down, the right-hand side of a line is positive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.geometry import (
    Box,
    Point,
    Polygon,
    bottom_centre,
    centre,
    clamped,
    contains,
    cross,
    crosses_itself,
    iou,
    segments_touch,
)

SQUARE = Polygon(((0.2, 0.2), (0.6, 0.2), (0.6, 0.6), (0.2, 0.6)))
CORNER = Polygon(((0.0, 0.0), (0.6, 0.0), (0.6, 0.2), (0.2, 0.2), (0.2, 0.6), (0.0, 0.6)))

shares = st.floats(0, 1)
boxes = st.tuples(shares, shares, shares, shares).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


def test_points_of_a_box() -> None:
    """Feet are at the bottom centre; y grows downwards."""
    assert bottom_centre((0.25, 0.1, 0.5, 0.9)) == (0.375, 0.9)
    assert centre((0.25, 0.25, 0.5, 1.0)) == (0.375, 0.625)


def test_only_the_visible_part_of_a_box_is_kept() -> None:
    """Engines may answer beyond the edges."""
    assert clamped((-0.1, 0.2, 1.3, 0.8)) == (0.0, 0.2, 1.0, 0.8)
    assert clamped((0.1, 0.2, 0.3, 0.4)) == (0.1, 0.2, 0.3, 0.4)


@pytest.mark.parametrize(
    ("a", "b", "share"),
    [
        ((0.0, 0.0, 0.4, 0.4), (0.0, 0.0, 0.4, 0.4), 1.0),  # the same
        ((0.0, 0.0, 0.4, 0.4), (0.2, 0.0, 0.6, 0.4), 1 / 3),  # half of each
        ((0.0, 0.0, 0.4, 0.4), (0.1, 0.1, 0.3, 0.3), 0.25),  # one in the other
        ((0.0, 0.0, 0.4, 0.4), (0.4, 0.0, 0.8, 0.4), 0.0),  # side by side
        ((0.0, 0.0, 0.4, 0.4), (0.5, 0.5, 0.8, 0.8), 0.0),  # apart
        ((0.2, 0.2, 0.2, 0.2), (0.2, 0.2, 0.2, 0.2), 0.0),  # nothing at all
    ],
)
def test_overlap_of_two_boxes(a: Box, b: Box, share: float) -> None:
    """Intersection over union, the same both ways."""
    assert iou(a, b) == pytest.approx(share)
    assert iou(b, a) == pytest.approx(share)


@given(boxes, boxes)
def test_overlap_is_a_share(a: Box, b: Box) -> None:
    """Never below 0 nor above 1, and the order does not matter."""
    assert 0.0 <= iou(a, b) <= 1.0 + 1e-9
    assert iou(a, b) == pytest.approx(iou(b, a))


def test_right_of_a_line_is_positive() -> None:
    """Looking down the picture, the right-hand side is the picture's left."""
    down: tuple[Point, Point] = ((0.5, 0.0), (0.5, 1.0))
    assert cross(*down, (0.2, 0.5)) > 0
    assert cross(*down, (0.8, 0.5)) < 0
    assert cross(*down, (0.5, 0.9)) == 0


@pytest.mark.parametrize(
    ("a", "b", "touch"),
    [
        (((0.0, 0.0), (1.0, 1.0)), ((0.0, 1.0), (1.0, 0.0)), True),  # a cross
        (((0.0, 0.0), (1.0, 0.0)), ((0.5, 0.0), (0.5, 1.0)), True),  # a T
        (((0.0, 0.0), (0.5, 0.5)), ((0.5, 0.5), (1.0, 0.0)), True),  # end to end
        (((0.0, 0.0), (0.6, 0.0)), ((0.4, 0.0), (1.0, 0.0)), True),  # along each other
        (((0.0, 0.0), (0.4, 0.0)), ((0.6, 0.0), (1.0, 0.0)), False),  # one after the other
        (((0.0, 0.0), (1.0, 0.0)), ((0.0, 0.1), (1.0, 0.1)), False),  # side by side
        (((0.0, 0.0), (0.4, 0.4)), ((0.0, 1.0), (1.0, 0.0)), False),  # too short to meet
    ],
)
def test_segments_meet_or_do_not(
    a: tuple[Point, Point], b: tuple[Point, Point], touch: bool
) -> None:
    """Whichever comes first, and whichever way they run."""
    for first, second in ((a, b), (b, a), (a[::-1], b), (a, b[::-1])):
        assert segments_touch(first, second) is touch


@pytest.mark.parametrize(
    ("polygon", "point", "inside"),
    [
        (SQUARE, (0.4, 0.4), True),
        (SQUARE, (0.1, 0.4), False),
        (SQUARE, (0.7, 0.4), False),
        (SQUARE, (0.4, 0.1), False),
        (SQUARE, (0.4, 0.7), False),
        (SQUARE, (0.2, 0.4), True),  # the left edge belongs
        (SQUARE, (0.4, 0.2), True),  # and the upper one
        (SQUARE, (0.6, 0.4), False),  # neither does the right one
        (SQUARE, (0.4, 0.6), False),  # nor the lower one
        (CORNER, (0.1, 0.5), True),  # in one arm
        (CORNER, (0.5, 0.1), True),  # in the other
        (CORNER, (0.4, 0.4), False),  # between them
    ],
)
def test_points_in_a_polygon(polygon: Polygon, point: Point, inside: bool) -> None:
    """Whichever corner comes first, and whichever way round it is listed."""
    corners = polygon.corners
    for turned in (corners, corners[1:] + corners[:1], corners[::-1]):
        assert contains(Polygon(turned), point) is inside


@given(shares, shares)
def test_two_halves_share_no_point_and_miss_none(x: float, y: float) -> None:
    """Zones side by side count everybody once."""
    left = Polygon(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
    right = Polygon(((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)))
    if x < 1.0 and y < 1.0:
        assert contains(left, (x, y)) != contains(right, (x, y))


@pytest.mark.parametrize(
    ("corners", "crosses"),
    [
        (SQUARE.corners, False),
        (CORNER.corners, False),  # bends inwards, which is fine
        (((0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)), True),  # a bow tie
        (((0.0, 0.0), (0.5, 0.0), (1.0, 0.0)), True),  # no area
        (((0.0, 0.0), (1.0, 0.0), (0.5, 0.0), (0.5, 1.0)), True),  # back on itself
        (((0.0, 0.0), (1.0, 0.0), (0.5, 1.0)), False),  # a triangle cannot
    ],
)
def test_polygons_that_cross_themselves(corners: tuple[Point, ...], crosses: bool) -> None:
    """Whichever corner comes first."""
    for first in range(len(corners)):
        assert crosses_itself(corners[first:] + corners[:first]) is crosses
