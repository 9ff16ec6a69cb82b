"""A picture and a film that a browser shows."""

from pathlib import Path

import cv2
import numpy as np

from tests.connectors.sources.clips import Clip, write_clip


def jpeg(width: int = 640, height: int = 360) -> bytes:
    """A picture with a gradient."""
    ramp = np.linspace(0, 255, width).astype(np.uint8)
    pixels = np.stack([np.tile(ramp, (height, 1))] * 3, axis=2)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def movie(path: Path, seconds: float) -> Path:
    """A film of H.264 with ten pictures a second."""
    write_clip(path, Clip(frames=round(10 * seconds), size_wh=(320, 180)))
    return path
