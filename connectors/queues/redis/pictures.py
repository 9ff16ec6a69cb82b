"""Pictures on their way through Redis: written once per frame, read by workers and for events."""

import threading
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from connectors.queues.redis.client.link import Link
from connectors.queues.redis.keys import lane_named, run_named
from pipeline.core.errors import QueueError, UnreadablePictureError
from pipeline.core.frames import Frame, Pixels
from pipeline.core.ranges import is_moment

# A few hundred megabytes once decoded; above any camera's picture.
_MOST_PIXELS = 2**27
# Markers of a JPEG that stand among those of frame headers: tables, and one that is reserved.
_NO_FRAME_HEADERS = frozenset({0xC4, 0xC8, 0xCC})


class Codec:
    """Pixels (H, W, 3) RGB to the bytes of a JPEG, or PNG where nothing may be lost, and back."""

    def __init__(self, quality: int, max_side: int | None, *, lossless: bool) -> None:
        self._quality = quality
        self._max_side = max_side
        self._lossless = lossless

    def encode(self, pixels: Pixels) -> bytes:
        """The picture as a file; larger ones are scaled down to `max_side`."""
        import cv2

        bgr: Any = cv2.cvtColor(self._fitted(pixels), cv2.COLOR_RGB2BGR)
        if self._lossless:
            done, data = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        else:
            done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, self._quality])
        if not done:
            raise QueueError(f"a picture of shape {pixels.shape} cannot be compressed")
        return data.tobytes()

    def decode(self, data: bytes | None) -> Pixels:
        """The pixels of a picture; raises UnreadablePictureError when it is damaged, or missing."""
        import cv2

        if data is None:
            raise UnreadablePictureError("its picture is gone")
        size_wh = announced_size(data)
        if size_wh is not None and size_wh[0] * size_wh[1] > _MOST_PIXELS:
            raise UnreadablePictureError(
                f"its picture announces {size_wh[0]}×{size_wh[1]} pixels, more than can be meant"
            )
        try:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        except cv2.error:
            pixels = None
        if pixels is None:
            raise UnreadablePictureError("its picture is damaged")
        return np.asarray(pixels, np.uint8)

    def _fitted(self, pixels: Pixels) -> Pixels:
        import cv2

        height, width = pixels.shape[:2]
        if self._max_side is None or max(height, width) <= self._max_side:
            return pixels
        scale = self._max_side / max(height, width)
        size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
        return np.asarray(cv2.resize(pixels, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def announced_size(data: bytes) -> tuple[int, int] | None:
    """Width and height by the head of a JPEG or PNG; None where they are not found there."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    at = 2
    while data[at : at + 1] == b"\xff" and at + 9 < len(data):
        kind = data[at + 1]
        if 0xC0 <= kind <= 0xCF and kind not in _NO_FRAME_HEADERS:
            height, width = data[at + 5 : at + 7], data[at + 7 : at + 9]
            return int.from_bytes(width, "big"), int.from_bytes(height, "big")
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


@dataclass(frozen=True, slots=True)
class _Sent:
    """A camera's last picture: which pixels it was made of, and the bytes."""

    pixels: "weakref.ref[Pixels]"
    data: bytes


class Outgoing:
    """Remembers each camera's last picture, so that a frame's jobs compress and send it once."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._lock = threading.Lock()
        self._last: dict[str, _Sent] = {}

    def is_known(self, frame: Frame) -> bool:
        """Whether the frame's picture was offered before, so that Redis may have it."""
        return self._known(frame) is not None

    def data(self, frame: Frame) -> bytes:
        """The frame's picture, compressed once."""
        known = self._known(frame)
        if known is None:
            known = _Sent(weakref.ref(frame.pixels), self._codec.encode(frame.pixels))
            with self._lock:
                self._last[frame.camera] = known
        return known.data

    def _known(self, frame: Frame) -> _Sent | None:
        with self._lock:
            last = self._last.get(frame.camera)
        return last if last is not None and last.pixels() is frame.pixels else None


@dataclass(frozen=True, slots=True)
class PassingPicture:
    """A picture on its way to an engine, masks filled, and when it was captured (UTC seconds)."""

    pixels: Pixels
    captured_at: float


class RedisShelf:
    """Pictures for events, read from where the jobs left them."""

    def __init__(self, link: Link, codec: Codec) -> None:
        self._link = link
        self._codec = codec

    def fetch(self, camera: str, run: str, seq: int) -> Pixels | None:
        """The pixels (H, W, 3) RGB of a frame, or None when they are gone.

        Raises QueueError when Redis is out of reach, and UnreadablePictureError when they cannot
        be read.
        """
        data = self._link.script("picture", f"{run_named(camera, run)}:{seq}")
        return self._codec.decode(data) if data else None

    def newest(self, camera: str, engines: Iterable[str]) -> PassingPicture | None:
        """The newest of a live camera's pictures that are on their way to these engines.

        A picture is here until it is answered, often for a moment only. None where there is none
        now; raises QueueError and UnreadablePictureError.
        """
        lanes = [lane_named(engine, camera, live=True) for engine in engines]
        found = self._link.script("newest", *lanes) if lanes else []
        if not found:
            return None
        captured_at = float(found[0])
        if not is_moment(captured_at):
            return None
        return PassingPicture(self._codec.decode(found[1]), captured_at)
