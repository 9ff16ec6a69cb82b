"""Shows sampled frames to those who watch: small, compressed once, and only while somebody does."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.core.clock import Clock
from pipeline.core.frames import Frame, Pixels
from pipeline.core.live import LiveBoard, Preview
from pipeline.core.tasks import Detect, Point, Task

logger = logging.getLogger(__name__)

_QUALITY = 70
# A picture so much wider than what is asked for costs less as it is than made smaller once more.
_WIDER = 1.25
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
    """A frame as a JPEG about so many pixels wide, with the engines that say where things are.

    It is up to a quarter wider than `width`, and never wider than the frame. Where no engine is
    asked where things are, the engines are those that count or tell.
    """
    import cv2

    pixels = _smaller(frame.pixels, width)
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
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


def _smaller(pixels: Pixels, width: int) -> Pixels:
    """The pixels (H, W, 3), no wider than `_WIDER` times a width in pixels."""
    import cv2

    # Averaging two by two is many times as fast as averaging any other number of pixels, and what
    # interpolates makes points of what is shrunk to less than half.
    while pixels.shape[1] >= 2 * width and pixels.shape[0] >= 2:
        height, own_width = pixels.shape[0] // 2, pixels.shape[1] // 2
        even = pixels[: 2 * height, : 2 * own_width]
        pixels = _resized(even, (own_width, height), cv2.INTER_AREA)
    height, own_width = pixels.shape[:2]
    if own_width <= width * _WIDER:
        return pixels
    size_wh = (width, max(1, round(height * width / own_width)))
    return _resized(pixels, size_wh, cv2.INTER_LINEAR)


def _resized(pixels: Pixels, size_wh: tuple[int, int], how: int) -> Pixels:
    import cv2

    return np.asarray(cv2.resize(pixels, size_wh, interpolation=how), np.uint8)
