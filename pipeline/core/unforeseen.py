"""Errors that nobody foresaw, in work that goes on beside everything else.

Such work neither ends the process nor ends in silence: it is tried again, the log has the whole
error, and the operator is told for as long as it happens.
"""

import logging
import threading
from typing import Final

from pipeline.core.clock import Clock

TOLD_FOR_S: Final = 60.0
"""How long after the last error the operator is still told of it. Work is tried again sooner."""


class UnforeseenErrors:
    """Those of one kind of work; usable from any thread."""

    def __init__(self, work: str, clock: Clock, logger: logging.Logger) -> None:
        """`work` begins the sentence that the operator is told, such as "live pictures"."""
        self._work = work
        self._clock = clock
        self._logger = logger
        self._lock = threading.Lock()
        self._last: tuple[float, str] | None = None

    def happened(self, error: Exception) -> None:
        """Note an error; the same one is logged once while it goes on."""
        kind, before = type(error).__name__, self.trouble
        with self._lock:
            # Without the error's message, which may contain credentials.
            sentence = f"{self._work} failed: an unexpected {kind}, see the log; it is tried again"
            self._last = self._clock.monotonic(), sentence
        if before != sentence:
            self._logger.error("%s", sentence, exc_info=error)

    @property
    def trouble(self) -> str | None:
        """What the operator is told; None if nothing has happened in the last minute."""
        with self._lock:
            last = self._last
        if last is None or self._clock.monotonic() - last[0] >= TOLD_FOR_S:
            return None
        return last[1]
