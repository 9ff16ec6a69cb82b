"""One thread for each camera, and one that notices which of them have gone quiet."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from pipeline.sampling.camera import Camera, SamplerContext
from pipeline.sampling.loop import CameraLoop

logger = logging.getLogger(__name__)

# How long a stop may take. Closing a source ends its read, so it is less than that by far.
_STOP_S = 2.0
# Most threads end by themselves within this; the sources of the others are closed, and once more
# each time it passes, because a source may be opening while it is closed.
_CLOSE_AGAIN_S = 0.1
# How often quiet cameras are looked for: well below the shortest useful `offline_after`.
_LOOK_S = 0.25


class Supervisor:
    """Runs the cameras of this process: live ones for ever, files to their end."""

    def __init__(self, cameras: Sequence[Camera], outside: SamplerContext) -> None:
        self._stop = threading.Event()
        self._loops = [CameraLoop(camera, outside, self._stop) for camera in cameras]
        self._threads: list[threading.Thread] = []

    @property
    def is_done(self) -> bool:
        """Whether nothing more will come: every camera was a file, and all have ended."""
        return all(loop.is_over for loop in self._loops)

    @property
    def failures(self) -> Mapping[str, str]:
        """Files that could not be opened or read to their end, by camera, with the reason."""
        return {loop.name: loop.failure for loop in self._loops if loop.failure is not None}

    @property
    def numbered(self) -> Mapping[str, tuple[str, Mapping[str, int]]]:
        """For each camera its run, and how many jobs were sent or judged before, by engine."""
        return {loop.name: loop.numbered for loop in self._loops}

    def start(self) -> None:
        """Start all cameras; returns at once."""
        for loop in self._loops:
            self._start_thread(f"camera-{loop.name}", loop.run)
        self._start_thread("camera-watch", self._watch)

    def stop(self) -> None:
        """End all cameras and their threads, within two seconds."""
        self._stop.set()
        deadline = time.monotonic() + _STOP_S
        self._join(_CLOSE_AGAIN_S)
        while self._alive() and time.monotonic() < deadline:
            for loop in self._loops:
                loop.interrupt()
            self._join(_CLOSE_AGAIN_S)
        for thread in self._alive():
            logger.error("%s did not end within %g s", thread.name, _STOP_S)

    def _start_thread(self, name: str, work: Callable[[], None]) -> None:
        # Daemons, so that a source stuck in foreign code cannot keep the process from ending.
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _join(self, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _alive(self) -> list[threading.Thread]:
        return [thread for thread in self._threads if thread.is_alive()]

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_S) and not self.is_done:
            for loop in self._loops:
                loop.look_for_quiet()
