"""Shows sampled frames to those who watch: small, compressed once, and only while somebody does."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.core.clock import Clock
from pipeline.core.frames import Frame
from pipeline.core.live import LiveBoard, Preview
from pipeline.core.tasks import Detect, Point, Task

logger = logging.getLogger(__name__)

_QUALITY = 70
# A recording is played as fast as it can be judged; nobody sees more pictures than these.
_SHORTEST_S = 0.08


class LivePictures:
    """The pictures of one camera for those who watch it. Called by the camera's thread."""

    def __init__(self, board: LiveBoard | None, clock: Clock) -> None:
        self._board = board
        self._clock = clock
        self._shown_at = float("-inf")

    def show(self, frame: Frame, asked: Mapping[str, Sequence[Task]]) -> None:
        """Show a frame about which engines were asked these tasks; masks are filled in it."""
        board = self._board
        width = board.watched(frame.camera) if board is not None else None
        if board is None or width is None:
            return
        now = self._clock.monotonic()
        if now - self._shown_at < _SHORTEST_S:
            return
        self._shown_at = now
        board.show(preview_of(frame, width, asked))


def preview_of(frame: Frame, width: int, asked: Mapping[str, Sequence[Task]]) -> Preview:
    """A frame as a JPEG at most so many pixels wide, with the engines that say where things are.

    Where no engine is asked that, they are those that count or tell.
    """
    import cv2

    pixels: Any = frame.pixels
    height, own_width = pixels.shape[:2]
    if own_width > width:
        # Averaging whole pixels is fast, any other share of them four times as slow as what
        # interpolates; which in turn makes points of what is shrunk to less than half.
        times = own_width // width
        if times > 1:
            whole = (own_width // times, height // times)
            part = pixels[: whole[1] * times, : whole[0] * times]
            pixels = cv2.resize(part, whole, interpolation=cv2.INTER_AREA)
        size_wh = (width, max(1, round(height * width / own_width)))
        pixels = cv2.resize(pixels, size_wh, interpolation=cv2.INTER_LINEAR)
    bgr = cv2.cvtColor(np.asarray(pixels, np.uint8), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    places = [
        engine
        for engine, tasks in asked.items()
        if any(isinstance(task, Detect | Point) for task in tasks)
    ]
    return Preview(
        camera=frame.camera,
        run=frame.run,
        seq=frame.seq,
        captured_at=frame.captured_at,
        size_wh=(bgr.shape[1], bgr.shape[0]),
        jpeg=data.tobytes(),
        engines=tuple(places or asked),
    )
