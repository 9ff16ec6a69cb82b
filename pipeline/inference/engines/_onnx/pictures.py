"""Pictures as nets take them."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.frames import Pixels

_GREY = 114
"""What YOLO nets were trained to see beside a picture."""
_SHRINKS = 2
"""From this factor on, each pixel is the mean of those it stands for."""


def problem_with_pixels(pixels: Pixels) -> str | None:
    """Why an array is not a picture that can be looked at; None when it is."""
    if pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8 and pixels.size:
        return None
    return (
        f"the picture cannot be used: expected (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}"
    )


@dataclass(frozen=True, slots=True)
class Feed:
    """How pictures become a net's input."""

    size_wh: tuple[int, int]
    fit: str
    """`letterbox`, `letterbox at the corner` or `stretch`."""
    is_bgr: bool
    divisor: float
    mean: NDArray[np.float32] | None
    std: NDArray[np.float32] | None
    channels_first: bool
    dtype: np.dtype[Any]

    def place(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Where a picture of this size lies in the input: left, top, right, bottom in pixels."""
        across, down = self.size_wh
        if self.fit == "stretch":
            return 0, 0, across, down
        scale = min(across / width, down / height)
        wide = min(across, max(1, round(width * scale)))
        high = min(down, max(1, round(height * scale)))
        left, top = (0, 0) if "corner" in self.fit else ((across - wide) // 2, (down - high) // 2)
        return left, top, left + wide, top + high

    def fed(self, pixels: Pixels) -> NDArray[Any]:
        """The input for one picture, without a batch's dimension."""
        height, width = pixels.shape[:2]
        left, top, right, bottom = self.place(height, width)
        size = (right - left, bottom - top)
        part: NDArray[Any] = pixels
        if size != (width, height):
            shrinks = height > _SHRINKS * size[1] or width > _SHRINKS * size[0]
            how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            part = cv2.resize(pixels, size, interpolation=how)
        if size == self.size_wh:
            whole = part
        else:
            whole = np.full((*self.size_wh[::-1], 3), _GREY, np.uint8)
            whole[top:bottom, left:right] = part
        if self.is_bgr:
            whole = whole[..., ::-1]
        if self.channels_first:
            whole = whole.transpose(2, 0, 1)
        if self.dtype == np.uint8:
            return np.ascontiguousarray(whole)
        values = np.ascontiguousarray(whole, np.float32)
        if self.divisor != 1.0:
            values /= np.float32(self.divisor)
        shape = (3, 1, 1) if self.channels_first else (3,)
        if self.mean is not None:
            values -= self.mean.reshape(shape)
        if self.std is not None:
            values /= self.std.reshape(shape)
        return values.astype(self.dtype, copy=False)

    def in_picture(
        self, boxes: NDArray[np.float64], height: int, width: int
    ) -> NDArray[np.float64]:
        """Boxes in 0..1 of the input as boxes in 0..1 of the picture, cut at its edges."""
        across, down = self.size_wh
        left, top, right, bottom = self.place(height, width)
        origin = np.array([left, top, left, top], np.float64)
        size = np.array([right - left, bottom - top] * 2, np.float64)
        return np.clip((boxes * [across, down, across, down] - origin) / size, 0.0, 1.0)
