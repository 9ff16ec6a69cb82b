"""Lines, zones and masks on a picture: where they are, to which side the arrow points."""

import numpy as np
import pytest

from pipeline.core.frames import Pixels
from pipeline.core.geometry import Line, Point, Polygon, cross
from pipeline.render.sketch import Sketch, SketchedLine, drawn

GREEN, ORANGE = (0, 214, 143), (255, 176, 0)
SIZES = [(64, 48), (300, 900), (1280, 720), (3840, 2160)]


def places(sheet: Pixels, color: tuple[int, int, int]) -> np.ndarray[tuple[int, int], np.dtype]:
    """Rows of (x, y) at which a colour is."""
    rows, columns = np.nonzero((sheet == color).all(axis=2))
    return np.stack([columns, rows], axis=1)


@pytest.mark.parametrize("size_wh", SIZES)
@pytest.mark.parametrize(
    ("start", "end"),
    [
        ((0.5, 0.2), (0.5, 0.9)),  # downwards: `in` is to the left of the picture
        ((0.5, 0.9), (0.5, 0.2)),  # upwards
        ((0.2, 0.5), (0.8, 0.5)),  # to the right: `in` is below
        ((0.8, 0.3), (0.3, 0.7)),  # askew
    ],
)
def test_the_arrow_points_to_the_in_side(
    size_wh: tuple[int, int], start: Point, end: Point
) -> None:
    """On a picture of any size: all of its green is on the side that crossings to are `in`."""
    pixels = np.full((size_wh[1], size_wh[0], 3), 120, np.uint8)
    sketch = Sketch({"door": SketchedLine(Line(start, end))}, {}, ())
    sheet = drawn(pixels, sketch)
    green, orange = places(sheet, GREEN), places(sheet, ORANGE)
    assert len(green) > 50
    # The line's own ends, as they were drawn: its dots are the outermost orange along it.
    along = orange @ (np.array(end) - np.array(start))
    first, last = orange[along.argmin()], orange[along.argmax()]
    sides = [cross(tuple(first), tuple(last), tuple(place)) for place in green.tolist()]
    assert np.mean([side > 0 for side in sides]) > 0.97


@pytest.mark.parametrize("size_wh", SIZES)
def test_a_sheet_can_be_read(size_wh: tuple[int, int]) -> None:
    """Small pictures grow, large ones shrink; names of any alphabet are drawn."""
    pixels = np.full((size_wh[1], size_wh[0], 3), 120, np.uint8)
    door = SketchedLine(Line((0.1, 0.5), (0.9, 0.5)), ("entré", "вход"))
    zone = Polygon(((0.2, 0.2), (0.8, 0.2), (0.5, 0.8)))
    sheet = drawn(pixels, Sketch({"Tür": door}, {"кухня": zone}, (zone,), "caption " * 9))
    height, width = sheet.shape[:2]
    assert 500 <= width <= 2200
    assert 500 <= height <= 1700


def test_a_line_without_length_is_a_dot() -> None:
    """It has no sides, so it has no arrow; the file's own check says that it is wrong."""
    pixels = np.full((480, 640, 3), 120, np.uint8)
    dot = SketchedLine(Line((0.5, 0.5), (0.5, 0.5)))
    assert len(places(drawn(pixels, Sketch({"dot": dot}, {}, ())), ORANGE)) > 20
