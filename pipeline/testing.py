"""Working stand-ins for tests, ours and users': a manual clock, a sink that keeps its events.

The scripted engine is in `pipeline.inference.engines.scripted`.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from pipeline.core.errors import SinkError
from pipeline.core.events import Event
from pipeline.core.frames import Frame, Pixels


class ManualClock:
    """A clock that only moves when it is advanced; waiting on it advances it at once."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._at = start
        self._elapsed = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        """UTC seconds."""
        with self._lock:
            return self._at

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        with self._lock:
            return self._elapsed

    def wait(self, seconds: float, stop: threading.Event | None = None) -> bool:
        """Advance by `seconds` without waiting; True, without advancing, if `stop` is set."""
        if stop is not None and stop.is_set():
            return True
        self.advance(seconds)
        return False

    def advance(self, seconds: float) -> None:
        """Advance both clocks."""
        with self._lock:
            self._at += seconds
            self._elapsed += seconds


class ListSink:
    """A sink that keeps its events and fails a given number of times."""

    def __init__(self, failures: int = 0, *, retryable: bool = True) -> None:
        self.events: list[Event] = []
        self.attempts = 0
        self.closed = False
        self._failures = failures
        self._retryable = retryable

    def send(self, events: Sequence[Event]) -> None:
        """Keep the events, or raise SinkError while failures are left."""
        self.attempts += 1
        if self._failures > 0:
            self._failures -= 1
            raise SinkError("told to fail", retryable=self._retryable)
        self.events.extend(events)

    def fail(self, times: int) -> None:
        """Fail the next `times` attempts."""
        self._failures = times

    def close(self) -> None:
        """Record that it was closed."""
        self.closed = True


def grey_pixels(size_wh: tuple[int, int] = (64, 48), level: int = 128) -> Pixels:
    """A picture of one grey level, (H, W, 3)."""
    return np.full((size_wh[1], size_wh[0], 3), level, np.uint8)


def frame(camera: str = "door", seq: int = 0, at: float = 1_700_000_000.0) -> Frame:
    """A small grey frame."""
    return Frame(
        camera=camera,
        run="test",
        seq=seq,
        captured_at=at,
        pixels=grey_pixels(),
        size_wh=(64, 48),
    )


def patience(seconds: float) -> float:
    """How long to wait for something that takes at most `seconds` on an idle machine.

    Tests may share their machine with others, so the default is ten times as long; only a failing
    test waits that long. `MOONWATCH_TEST_PATIENCE` sets another factor.
    """
    return seconds * float(os.environ.get("MOONWATCH_TEST_PATIENCE", "10"))


def wait_until(fact: Callable[[], bool], within_s: float = 10.0) -> None:
    """Return as soon as `fact()` holds; AssertionError when it does not.

    `within_s` is for an idle machine, see `patience`.
    """
    deadline = time.monotonic() + patience(within_s)
    while not fact():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not come true within {patience(within_s):g} s")
        time.sleep(0.005)
