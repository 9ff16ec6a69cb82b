"""Keeps the pictures of frames on their way, in this process, for the snapshots of events."""

import threading
from collections import OrderedDict

from pipeline.core.frames import Frame, Pixels

# More frames of a camera than can lie between a worker's answer and the processor's judgement.
FRAMES_A_CAMERA = 16
ROOM_BYTES = 512 * 1024 * 1024

_Key = tuple[str, str, int]


class MemoryShelf:
    """Holds pixels without copying them; a camera's oldest go first, then the oldest of all."""

    def __init__(
        self, frames_a_camera: int = FRAMES_A_CAMERA, room_bytes: int = ROOM_BYTES
    ) -> None:
        self._frames = frames_a_camera
        self._room = room_bytes
        self._used = 0
        self._pictures: OrderedDict[_Key, Pixels] = OrderedDict()
        self._cameras: dict[str, OrderedDict[_Key, None]] = {}
        self._lock = threading.Lock()

    def keep(self, frame: Frame) -> None:
        """Remember a frame's pixels; keeping it again changes nothing."""
        key = (frame.camera, frame.run, frame.seq)
        with self._lock:
            if key in self._pictures:
                return
            self._pictures[key] = frame.pixels
            self._used += frame.pixels.nbytes
            own = self._cameras.setdefault(frame.camera, OrderedDict())
            own[key] = None
            if len(own) > self._frames:
                self._forget(next(iter(own)))
            while self._used > self._room and len(self._pictures) > 1:
                self._forget(next(iter(self._pictures)))

    def fetch(self, camera: str, run: str, seq: int) -> Pixels | None:
        """The pixels (H, W, 3) RGB of a frame, or None when they are gone."""
        with self._lock:
            return self._pictures.get((camera, run, seq))

    def _forget(self, key: _Key) -> None:
        self._used -= self._pictures.pop(key).nbytes
        del self._cameras[key[0]][key]
