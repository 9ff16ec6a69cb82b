"""Privacy masks: polygons that are blacked out before a frame leaves the sampler."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.core.frames import Pixels
from pipeline.core.geometry import Polygon

# Scaling blends neighbours: a pixel up to two away may contain a trace of what is masked.
_MARGIN_PX = 2
# One size for frames and one for the small grey pictures, and both again when a camera changes.
_SIZES_KEPT = 4
# Compression lightens black beside an edge, by less than this.
_NEARLY_BLACK = 48
# Sub-pixel bits of the drawing function's coordinates.
_SHIFT = 8


class Masks:
    """Polygons in 0..1 of the picture, drawn for any size of it."""

    def __init__(self, polygons: Sequence[Polygon]) -> None:
        self._polygons = tuple(polygons)
        self._drawn: dict[tuple[int, int], NDArray[np.bool_]] = {}

    def hidden(self, size_wh: tuple[int, int]) -> NDArray[np.bool_] | None:
        """Shape (H, W): True where a mask covers any part of the pixel; None without masks."""
        if not self._polygons:
            return None
        if size_wh not in self._drawn:
            while len(self._drawn) >= _SIZES_KEPT:
                del self._drawn[next(iter(self._drawn))]
            self._drawn[size_wh] = self._draw(size_wh)
        return self._drawn[size_wh]

    def fill(self, pixels: Pixels) -> Pixels:
        """The pixels (H, W, 3) with everything hidden set to 0, in place where that is allowed."""
        height, width = pixels.shape[:2]
        hidden = self.hidden((width, height))
        if hidden is None:
            return pixels
        if not pixels.flags.writeable:
            pixels = pixels.copy()
        pixels[hidden] = 0
        return pixels

    def shows_hidden(self, pixels: Pixels) -> bool:
        """Whether a compressed picture shows something where a mask is: it is older than the mask.

        What was black when it was compressed is nearly black.
        """
        height, width = pixels.shape[:2]
        hidden = self.hidden((width, height))
        return hidden is not None and bool((pixels[hidden] > _NEARLY_BLACK).any())

    def _draw(self, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
        import cv2

        canvas = np.zeros((size_wh[1], size_wh[0]), np.uint8)
        for polygon in self._polygons:
            # Pixel centres lie at halves, and the drawing function's at whole numbers.
            corners = np.array(polygon.corners) * size_wh - 0.5
            fixed = np.round(corners * 2**_SHIFT).astype(np.int32)
            cv2.fillPoly(canvas, [fixed], (1,), lineType=cv2.LINE_8, shift=_SHIFT)
        side = 2 * _MARGIN_PX + 1
        return cv2.dilate(canvas, np.ones((side, side), np.uint8)).astype(bool)
