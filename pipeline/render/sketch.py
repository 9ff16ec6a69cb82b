"""Draws a camera's lines, zones and masks onto one of its pictures, with a grid of coordinates.

For those who write coordinates into a deployment file: the numbers along the edges are the file's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.frames import Pixels
from pipeline.core.geometry import Box, Line, Point, Polygon

Color = tuple[int, int, int]
_Canvas = NDArray[np.uint8]
_Place = tuple[int, int]
_LINE: Color = (255, 176, 0)
_IN: Color = (0, 214, 143)
_ZONE: Color = (96, 178, 255)
_BOX: Color = (255, 92, 138)
_MASK: Color = (235, 90, 90)
_DARK: Color = (20, 22, 28)
_PAPER: Color = (34, 37, 44)
_INK: Color = (214, 218, 226)
# Small pictures are drawn larger, so that names stay legible, and large ones smaller, so that they
# can be looked at as a whole. Height matters for upright ones.
_LEAST_WIDTH, _MOST_WIDTH, _MOST_HEIGHT = 960, 1920, 1440
_PARTS = 10
# From one line of text to the next, in sizes of it.
_LEADING = 1.5
# Where else a label may stand than at its place, in widths and heights of it; the nearest first.
_AROUND = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (0, 2), (0, -2), (1, 1), (-1, 1), (0, 3))


@dataclass(frozen=True, slots=True)
class SketchedLine:
    """A line, and what a crossing to its right is called in events."""

    line: Line
    in_names: tuple[str, ...] = ("in",)
    is_arrow: bool = False
    """Whether it is an arrow from its start to its end, and nothing that is crossed."""


@dataclass(frozen=True, slots=True)
class SketchedBox:
    """A box around something, and what is written at it."""

    box: Box
    label: str


@dataclass(frozen=True, slots=True)
class Sketch:
    """What is drawn onto a picture, by name."""

    lines: Mapping[str, SketchedLine]
    zones: Mapping[str, Polygon]
    masks: Sequence[Polygon]
    caption: str = ""
    boxes: Sequence[SketchedBox] = ()
    values: Sequence[str] = ()
    """What is written above the picture, in lines as long as fit."""
    grid: bool = True
    """Whether it has coordinates."""
    width: int | None = None
    """Of the picture, in pixels, instead of one that suits screens."""


def drawn(pixels: Pixels, sketch: Sketch) -> Pixels:
    """The picture (H, W, 3) RGB with everything on it, in a frame with coordinates."""
    return _Sheet(pixels, sketch).drawn()


class _Sheet:
    """One picture in its frame; all places are in pixels of the sheet."""

    def __init__(self, pixels: Pixels, sketch: Sketch) -> None:
        height, width = pixels.shape[:2]
        scale = min(max(1.0, _LEAST_WIDTH / width), _MOST_WIDTH / width, _MOST_HEIGHT / height)
        if sketch.width is not None:
            scale = sketch.width / width
        self._width, self._height = max(1, round(width * scale)), max(1, round(height * scale))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST if scale > 3 else cv2.INTER_CUBIC
        shown = cv2.resize(pixels, (self._width, self._height), interpolation=how)
        self._font = cv2.FontFace("sans")
        self._size = max(15, round(min(self._width, self._height) / 45))
        self._thick = max(2, round(self._size / 8))
        margin = self._size * 3 if sketch.grid else 0
        rows_above = self._lines_of(sketch.values)
        above = margin + round(len(rows_above) * _LEADING * self._size + 0.5 * self._size)
        above = above if rows_above else margin
        # Wide enough for the caption of a narrow picture.
        right = max(margin, self._text_width(sketch.caption) - self._width)
        self._left, self._top, self._margin = margin, above, margin
        rows = self._height + above + margin + (round(self._size * 1.6) if sketch.caption else 0)
        self._canvas: _Canvas = np.full((rows, margin + self._width + right, 3), _PAPER, np.uint8)
        self._canvas[above : above + self._height, margin : margin + self._width] = shown
        for number, words in enumerate(rows_above):
            row = round((number * _LEADING + 1.2) * self._size)
            self._text(words, (margin + self._size // 2, row), _INK)
        self._sketch = sketch
        self._taken: list[tuple[int, int, int, int]] = []

    def drawn(self) -> Pixels:
        """The finished sheet."""
        sketch = self._sketch
        for mask in sketch.masks:
            self._hatch(mask)
        if sketch.grid:
            self._grid()
        for zone in sketch.zones.values():
            self._area(zone, _ZONE)
        for mask in sketch.masks:
            self._outline(mask, _MASK)
        arrows = {name: self._draw_line(one) for name, one in sketch.lines.items()}
        for one_box in sketch.boxes:
            self._frame(one_box.box)
        for one_box in sketch.boxes:
            left, top = self._pixel((one_box.box[0], one_box.box[1]))
            right, bottom = self._pixel((one_box.box[2], one_box.box[3]))
            half = self._size
            places = [((left + right) // 2, top - half), ((left + right) // 2, bottom + half)]
            self._taken.append((left, top, right, bottom))
            self._name(one_box.label, places, _BOX)
        for name, one in sketch.lines.items():
            tip, back = arrows[name]
            if not one.is_arrow:
                self._name(" / ".join(one.in_names), [tip], _IN)
            start, end = self._pixel(one.line.start), self._pixel(one.line.end)
            self._name(name, [*_along(start, end), back], _LINE)
        for name, zone in sketch.zones.items():
            self._name(name, list(self._inside(zone)), _ZONE)
        for number, mask in enumerate(sketch.masks, 1):
            label = "mask" if len(sketch.masks) == 1 else f"mask {number}"
            self._name(label, list(self._inside(mask)), _MASK)
        if sketch.caption:
            below = self._top + self._height + self._margin + self._size // 2
            self._text(sketch.caption, (self._left, below), _INK)
        return self._canvas

    def _grid(self) -> None:
        """Thin lines at every tenth, with their coordinates on all four sides."""
        lines = np.zeros(self._canvas.shape[:2], np.uint8)
        right, bottom = self._left + self._width, self._top + self._height
        for part in range(_PARTS + 1):
            x = self._left + round(part / _PARTS * (self._width - 1))
            y = self._top + round(part / _PARTS * (self._height - 1))
            cv2.line(lines, (x, self._top), (x, bottom - 1), (255,), 1)
            cv2.line(lines, (self._left, y), (right - 1, y), (255,), 1)
            label = f"{part / _PARTS:.1f}"
            half = self._text_width(label) // 2
            for row in (self._top - self._size // 2, bottom + round(self._size * 1.3)):
                self._text(label, (x - half, row), _INK)
            middle = y + round(self._size * 0.35)
            self._text(label, (self._left - 2 * half - self._size // 2, middle), _INK)
            self._text(label, (right + self._size // 2, middle), _INK)
        # Light on what is dark and dark on what is light, so that it is seen on any picture.
        on = lines > 0
        under = self._canvas[on].astype(np.int16)
        towards = np.where(under.mean(axis=1, keepdims=True) > 128, 0, 255)
        self._canvas[on] = (under * 0.72 + towards * 0.28).astype(np.uint8)

    def _draw_line(self, sketched: SketchedLine) -> tuple[_Place, _Place]:
        """The line with its arrow; returns where the arrow ends, and a place on the other side."""
        line = sketched.line
        start, end = self._pixel(line.start), self._pixel(line.end)
        if sketched.is_arrow:
            for color, more in ((_DARK, 2), (_LINE, 0)):
                thick = self._thick + more
                cv2.arrowedLine(self._canvas, start, end, color, thick, cv2.LINE_AA, tipLength=0.1)
            return end, end
        self._stroke(start, end, _LINE)
        for place, radius in ((start, 2.2), (end, 1.5)):
            self._dot(place, round(self._thick * radius), _LINE)
        middle = ((start[0] + end[0]) // 2, (start[1] + end[1]) // 2)
        length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
        if length < 1:
            return middle, middle
        # To the right of who looks from the start to the end, where y points down.
        right = (-(end[1] - start[1]) / length, (end[0] - start[0]) / length)
        reach = 3.2 * self._size
        tip = (round(middle[0] + right[0] * reach), round(middle[1] + right[1] * reach))
        for color, more in ((_DARK, 2), (_IN, 0)):
            cv2.arrowedLine(
                self._canvas, middle, tip, color, self._thick + more, cv2.LINE_AA, tipLength=0.35
            )
        beyond = (
            round(middle[0] + right[0] * 1.4 * reach),
            round(middle[1] + right[1] * 1.4 * reach),
        )
        self._taken.append((*map(min, middle, tip), *map(max, middle, tip)))
        back = (
            round(middle[0] - right[0] * 1.4 * self._size),
            round(middle[1] - right[1] * 1.4 * self._size),
        )
        return beyond, back

    def _area(self, zone: Polygon, color: Color) -> None:
        corners = self._corners(zone)
        tinted = self._canvas.copy()
        cv2.fillPoly(tinted, [corners], color, cv2.LINE_AA)
        cv2.addWeighted(tinted, 0.18, self._canvas, 0.82, 0, self._canvas)
        self._outline(zone, color)

    def _frame(self, box: Box) -> None:
        left, top = self._pixel((box[0], box[1]))
        right, bottom = self._pixel((box[2], box[3]))
        for color, more in ((_DARK, 2), (_BOX, 0)):
            cv2.rectangle(self._canvas, (left, top), (right, bottom), color, self._thick + more)

    def _lines_of(self, words: Sequence[str]) -> list[str]:
        """Words in lines that are not wider than the picture."""
        lines: list[str] = []
        for word in words:
            longer = f"{lines[-1]}   {word}" if lines else word
            if lines and self._text_width(longer) <= self._width - self._size:
                lines[-1] = longer
            else:
                lines.append(word)
        return lines

    def _outline(self, area: Polygon, color: Color) -> None:
        corners = [(int(x), int(y)) for x, y in self._corners(area)]
        for one, other in zip(corners, [*corners[1:], corners[0]], strict=True):
            self._stroke(one, other, color)
        for corner in corners:
            self._dot(corner, round(self._thick * 1.5), color)

    def _hatch(self, mask: Polygon) -> None:
        """Stripes over what is blacked out, so that it is not taken for a dark place."""
        inside = np.zeros(self._canvas.shape[:2], np.uint8)
        cv2.fillPoly(inside, [self._corners(mask)], (255,))
        rows, columns = np.indices(inside.shape, np.int32)
        stripes = (rows + columns) // max(4, self._size // 3) % 4 == 0
        self._canvas[(inside > 0) & stripes] = (92, 48, 48)

    def _stroke(self, start: _Place, end: _Place, color: Color) -> None:
        cv2.line(self._canvas, start, end, _DARK, self._thick + 2, cv2.LINE_AA)
        cv2.line(self._canvas, start, end, color, self._thick, cv2.LINE_AA)

    def _dot(self, place: _Place, radius: int, color: Color) -> None:
        cv2.circle(self._canvas, place, radius + 1, _DARK, -1, cv2.LINE_AA)
        cv2.circle(self._canvas, place, radius, color, -1, cv2.LINE_AA)

    def _name(self, text: str, places: Sequence[_Place], color: Color) -> None:
        """A label centred on the first of the places where it covers no other, inside the sheet."""
        pad = self._size // 3
        width, height = self._text_width(text) + 2 * pad, self._size + 2 * pad
        rows, columns = self._canvas.shape[:2]
        best: tuple[int, tuple[int, int, int, int]] | None = None
        for x, y in places:
            for across, down in _AROUND:
                left = round(x + (across - 0.5) * width)
                left = min(max(0, left), max(0, columns - width))
                top = min(max(0, y - height // 2 + down * height), rows - height)
                box = (left, top, left + width, top + height)
                covered = sum(_overlap(box, other) for other in self._taken)
                if best is None or covered < best[0]:
                    best = (covered, box)
        if best is None:
            return
        left, top, right, bottom = best[1]
        self._taken.append(best[1])
        cv2.rectangle(self._canvas, (left, top), (right - 1, bottom - 1), color, -1)
        cv2.rectangle(self._canvas, (left, top), (right - 1, bottom - 1), _DARK, 1)
        self._text(text, (left + pad, bottom - pad - self._size // 6), _DARK)

    def _text(self, text: str, place: _Place, color: Color) -> None:
        cv2.putText(self._canvas, text, place, color, self._font, self._size, 500)

    def _text_width(self, text: str) -> int:
        _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), self._font, self._size, 500)
        return int(width) + 2

    def _inside(self, area: Polygon) -> Iterator[_Place]:
        """Places for a zone's name: below the middle of its top, its middle, its corners."""
        corners = self._corners(area)
        x, y = corners[:, 0], corners[:, 1]
        yield int(x.mean()), int(y.min()) + round(1.2 * self._size)
        yield int(x.mean()), int(y.mean())
        yield from ((int(a), int(b)) for a, b in corners)

    def _corners(self, area: Polygon) -> NDArray[np.int32]:
        return np.array([self._pixel(corner) for corner in area.corners], np.int32)

    def _pixel(self, point: Point) -> _Place:
        return (
            self._left + round(point[0] * (self._width - 1)),
            self._top + round(point[1] * (self._height - 1)),
        )


def _along(start: _Place, end: _Place) -> Iterator[_Place]:
    """Places on a line: near its end, near its start, and between."""
    for share in (0.9, 0.1, 0.7, 0.3):
        yield (
            round(start[0] + share * (end[0] - start[0])),
            round(start[1] + share * (end[1] - start[1])),
        )


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> int:
    # An arrow straight along an axis has no area, and is covered all the same.
    width = min(one[2], other[2]) - max(one[0], other[0]) + 1
    height = min(one[3], other[3]) - max(one[1], other[1]) + 1
    return max(0, width) * max(0, height)
