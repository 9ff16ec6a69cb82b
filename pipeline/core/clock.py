"""Clocks that are handed in, so that nothing below reads the machine's time by itself."""

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for what is said, monotonic time for how long it took, and a wait that can end."""

    def now(self) -> float:
        """UTC seconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        ...

    def wait(self, seconds: float, stop: threading.Event | None = None) -> bool:
        """Wait, at most `seconds`; True as soon as `stop` is set."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> float:
        """UTC seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds of `time.monotonic`."""
        return time.monotonic()

    def wait(self, seconds: float, stop: threading.Event | None = None) -> bool:
        """Wait, at most `seconds`; True as soon as `stop` is set."""
        if stop is not None:
            return stop.wait(seconds)
        time.sleep(seconds)
        return False
