"""A thread that remembers what ended it."""

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


class StageThread:
    """Runs one stage's `work` until it returns; `stop` asks it to."""

    def __init__(self, name: str, work: Callable[[], None], stop: Callable[[], None]) -> None:
        self.name = name
        self.failure: str | None = None
        self._work = work
        self._stop = stop
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, within_s: float) -> bool:
        """Ask it to stop and wait; False when it did not within `within_s`."""
        self._stop()
        if self._thread.ident is not None:
            self._thread.join(within_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:
            # A stage must not die unseen: the run ends with exit code 1 and this reason.
            logger.exception("%s failed", self.name)
            self.failure = f"{self.name} failed: {type(error).__name__}: {error}"
