"""One thread per camera, and one that notices which cameras have gone quiet."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from pipeline.sampling.loop import CameraLoop

logger = logging.getLogger(__name__)

# How long a stop may take. Closing a source ends its read, so it usually takes far less.
_STOP_S = 2.0
# Most threads end by themselves within this time; the sources of the others are closed, again and
# again, because a source may be opening while it is closed.
_CLOSE_AGAIN_S = 0.1
# How often to look for quiet cameras: well below the shortest useful `offline_after`.
_LOOK_S = 0.25


class Supervisor:
    """Runs the cameras of this process: live ones for ever, files to their end.

    Cameras can be added and removed while others run. One thread calls it.
    """

    def __init__(self, loops: Sequence[CameraLoop] = ()) -> None:
        """`start` starts these first cameras."""
        self._stop = threading.Event()
        self._threads = {loop: _thread(f"camera-{loop.name}", loop.run) for loop in loops}
        self._watching: threading.Thread | None = None

    @property
    def is_done(self) -> bool:
        """Whether all work is done: every camera was a file, and all have ended."""
        return all(loop.is_over for loop in list(self._threads))

    @property
    def failures(self) -> Mapping[str, str]:
        """The files that could not be opened or read to their end: the reason by camera."""
        return {loop.name: loop.failure for loop in self._threads if loop.failure is not None}

    @property
    def without_end(self) -> frozenset[str]:
        """The files of which nothing could be played: there is no end to be judged."""
        loops = list(self._threads)
        return frozenset(loop.name for loop in loops if loop.failure and not loop.has_sent_end)

    def start(self) -> None:
        """Start all cameras; returns at once."""
        for thread in self._threads.values():
            thread.start()
        self._watching = _thread("camera-watch", self._watch)
        self._watching.start()

    def add(self, loop: CameraLoop) -> None:
        """Add a camera; it starts at once where the others are running."""
        thread = _thread(f"camera-{loop.name}", loop.run)
        # A new mapping, because the watching thread may be reading the old one.
        self._threads = {**self._threads, loop: thread}
        if self._watching is not None:
            thread.start()

    def remove(self, loops: Collection[CameraLoop]) -> None:
        """Stop and remove these; the others are not affected."""
        ending = {loop: thread for loop, thread in self._threads.items() if loop in loops}
        staying = {one: thread for one, thread in self._threads.items() if one not in ending}
        self._threads = staying
        _end(ending)
        for loop in ending:
            loop.forget()

    def stop(self) -> None:
        """Stop all cameras and their threads within two seconds."""
        self._stop.set()
        _end(self._threads)
        if self._watching is not None:
            self._watching.join(_STOP_S)

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_S):
            for loop in list(self._threads):
                loop.look_for_quiet()


def _thread(name: str, work: Callable[[], None]) -> threading.Thread:
    # Daemons, so that a source stuck in third-party code cannot keep the process from ending.
    return threading.Thread(target=work, name=name, daemon=True)


def _end(loops: Mapping[CameraLoop, threading.Thread]) -> None:
    for loop in loops:
        loop.tell_to_stop()
    deadline = time.monotonic() + _STOP_S
    alive = _joined(loops, _CLOSE_AGAIN_S)
    while alive and time.monotonic() < deadline:
        for loop in alive:
            loop.interrupt()
        alive = _joined(alive, _CLOSE_AGAIN_S)
    for thread in alive.values():
        logger.error("%s did not end within %g s", thread.name, _STOP_S)


def _joined(
    loops: Mapping[CameraLoop, threading.Thread], within_s: float
) -> Mapping[CameraLoop, threading.Thread]:
    """Those that have not ended within this time."""
    deadline = time.monotonic() + within_s
    for thread in loops.values():
        if thread.ident is not None:
            thread.join(max(0.0, deadline - time.monotonic()))
    return {loop: thread for loop, thread in loops.items() if thread.is_alive()}
