"""Pictures as nets take them."""

import numpy as np

from pipeline.core.frames import Pixels


def problem_with_pixels(pixels: Pixels) -> str | None:
    """Why an array is not a picture that can be looked at; None when it is."""
    if pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8 and pixels.size:
        return None
    return (
        f"the picture cannot be used: expected (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}"
    )
