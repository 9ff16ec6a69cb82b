"""Draws a heat map onto a picture of its camera."""

import cv2
import numpy as np

from pipeline.core.frames import Pixels
from pipeline.rules.heat_map import HeatGrid

STRONGEST = 0.75
"""How much of the picture the warmest cell hides."""
_BLUR_CELLS = 0.6


def draw_heat(pixels: Pixels, grid: HeatGrid) -> Pixels:
    """The picture with its cells tinted from blue (briefly) to red (longest).

    The scale is that of the square root of the time: one who stands at a till all day would leave
    everything else in the cold.
    """
    height, width = pixels.shape[:2]
    cells = np.zeros((grid.rows, grid.columns), dtype=np.float32)
    for (column, row), seconds in grid.seconds.items():
        cells[row, column] = seconds
    warmth = np.sqrt(cells / max(float(cells.max()), 1e-9))
    smooth = cv2.resize(warmth, (width, height), interpolation=cv2.INTER_NEAREST)
    sigma = max(_BLUR_CELLS * width / grid.columns, 0.1)
    smooth = np.clip(cv2.GaussianBlur(smooth, (0, 0), sigma), 0.0, 1.0)
    shades = cv2.applyColorMap((255 * smooth).astype(np.uint8), cv2.COLORMAP_JET)
    colours = cv2.cvtColor(shades, cv2.COLOR_BGR2RGB)
    hidden = (STRONGEST * np.sqrt(smooth))[..., None]
    mixed = pixels * (1.0 - hidden) + colours * hidden
    drawn: Pixels = np.rint(mixed).astype(np.uint8)
    return drawn
