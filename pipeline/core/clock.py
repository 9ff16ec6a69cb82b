"""Clocks that are passed in, so that other code never reads the machine's time directly."""

import threading
import time
from typing import Final, Protocol

SET_SINCE: Final = 1_577_836_800.0
"""2020-01-01: a clock that says an earlier year was never set, as on a board without a battery."""


class Clock(Protocol):
    """Wall time for timestamps, monotonic time for durations, and a wait that can be ended."""

    def now(self) -> float:
        """UTC seconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never goes back."""
        ...

    def wait(self, seconds: float, stop: threading.Event | None = None) -> bool:
        """Wait, at most `seconds`; True as soon as `stop` is set."""
        ...


class SystemClock:
    """The machine's clocks."""

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
