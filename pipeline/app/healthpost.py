"""The way of what cameras say of their state to the processors."""

import threading
from collections import deque

from pipeline.core.errors import QueueError
from pipeline.core.jobs import health_result
from pipeline.core.measures import Health
from pipeline.core.ports import ResultQueue
from pipeline.processing.health import ENDED_BY

_WAIT_S = 1.0
# More changes of state than a site has in a night without its queue.
_ROOM = 10_000


class HealthPost:
    """Hands on what cameras say of their state, in order; keeps it while the queue is away."""

    def __init__(self, results: ResultQueue) -> None:
        self._results = results
        self._waiting: deque[Health] = deque(maxlen=_ROOM)
        self._sending = threading.Lock()
        self._last: dict[tuple[str, str], Health] = {}
        self._noting = threading.Lock()

    @property
    def is_empty(self) -> bool:
        """Whether everything is said."""
        return not self._waiting

    def send(self, health: Health) -> None:
        """Called by the cameras' threads."""
        # A state and what ends it are of one kind: only the later one still holds.
        kind = ENDED_BY.get(health.state, health.state)
        with self._noting:
            self._last[health.camera, kind] = health
            self._waiting.append(health)
        self.flush(_WAIT_S)

    def repeat(self) -> None:
        """Say again what holds, for a queue that has lost it."""
        with self._noting:
            self._waiting.extend(self._last.values())
        self.flush()

    def flush(self, wait_s: float = 0.0) -> None:
        """Send what waits. Whoever comes while another thread is sending leaves it to that one."""
        if not self._sending.acquire(blocking=False):
            return
        try:
            while self._waiting and self._handed_on(self._waiting[0], wait_s):
                self._waiting.popleft()
        finally:
            self._sending.release()

    def _handed_on(self, health: Health, wait_s: float) -> bool:
        try:
            return self._results.publish([health_result(health)], wait_s)
        except QueueError:
            return False  # said by the queue itself
