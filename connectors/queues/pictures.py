"""Keeps the pictures of frames on their way, in this process, for the snapshots of events."""

import threading
from collections import OrderedDict

from pipeline.core.frames import Frame, Pixels

DEFAULT_ROOM_BYTES = 256 * 1024 * 1024

_Key = tuple[str, str, int]


class MemoryShelf:
    """Holds on to pixels without copying them, up to `room_bytes`; the oldest go first."""

    def __init__(self, room_bytes: int = DEFAULT_ROOM_BYTES) -> None:
        self._room = room_bytes
        self._used = 0
        self._pictures: OrderedDict[_Key, Pixels] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, frame: Frame) -> None:
        """Remember a frame's pixels; keeping it again changes nothing."""
        key = (frame.camera, frame.run, frame.seq)
        with self._lock:
            if key in self._pictures:
                return
            self._pictures[key] = frame.pixels
            self._used += frame.pixels.nbytes
            while self._used > self._room and len(self._pictures) > 1:
                _, oldest = self._pictures.popitem(last=False)
                self._used -= oldest.nbytes

    def fetch(self, camera: str, run: str, seq: int) -> Pixels | None:
        """The pixels (H, W, 3) RGB of a frame, or None when they are gone."""
        with self._lock:
            return self._pictures.get((camera, run, seq))
