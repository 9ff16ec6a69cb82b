"""Whether all processes of a deployment divide the results alike; asked with every heartbeat.

A camera's results lie in the partition that its name and the number of partitions make. A process
with another number would look for them elsewhere, and let go of those that it finds there.
"""

import logging
import threading

from pipeline.app.reports import TTL
from pipeline.core.clock import Clock
from pipeline.core.errors import ConfigError, Problem, QueueError
from pipeline.core.presence import Agreement

logger = logging.getLogger(__name__)

_LOOK_S = 0.05


class SharedPartitions:
    """This process's number of partitions beside the others'. One thread looks, one waits."""

    def __init__(self, agreement: Agreement, partitions: int, clock: Clock) -> None:
        self._agreement = agreement
        self._partitions = partitions
        self._clock = clock
        self._asked = False
        self._agreed = False
        self._at_work = False
        self._others: int | None = None
        self._others_since = 0.0

    @property
    def differ(self) -> bool:
        """Whether others at work have another number, or had it until a moment ago."""
        return self._others is not None

    @property
    def refusal(self) -> ConfigError | None:
        """Why this process must not go on; None while it may.

        Before it is at work it gives the others the time in which they would be forgotten if they
        had just ended.
        """
        others = self._others
        waited_s = self._clock.monotonic() - self._others_since
        if others is None or not (self._at_work or waited_s > TTL.total_seconds()):
            return None
        message = (
            f"is {self._partitions} here, but {others} in the processes of this deployment that "
            "are at work; give all of them the same file, or, for another number, stop the "
            "samplers, let what waits be judged, stop all processes, and start them again"
        )
        return ConfigError([Problem("queue.partitions", message)])

    def look(self) -> None:
        """Ask, and say it to the others. Where the queue is away nobody can tell."""
        try:
            found = self._agreement.agree("partitions", self._partitions, TTL)
        except QueueError:  # said by the queue itself; the next look tries again
            self._asked = True
            return
        if found == self._partitions:
            self._agreed, self._others = True, None
        elif found != self._others:
            self._others_since, self._others = self._clock.monotonic(), found
            logger.warning("%d partitions here, %d in other processes", self._partitions, found)
        self._asked = True

    def settle(self, stop: threading.Event, *, surely: bool) -> bool:
        """Wait until work may begin; False when told to stop meanwhile. Raises ConfigError.

        Where the queue is away it may begin and is stopped later, unless it has to be known
        `surely`.
        """
        while not self._is_settled(surely=surely):
            refusal = self.refusal
            if refusal is not None:
                raise refusal
            if stop.wait(_LOOK_S):
                return False
        self._at_work = True
        return True

    def _is_settled(self, *, surely: bool) -> bool:
        if self.differ:
            return False
        return self._agreed or (self._asked and not surely)
