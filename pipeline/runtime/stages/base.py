"""What every stage of a deployment has in common: its interface, its context, its threads."""

import logging
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from pipeline.core.address import without_secrets
from pipeline.core.clock import Clock
from pipeline.core.queues import Queues
from pipeline.core.spending import Spending
from pipeline.deployment.model import Deployment
from pipeline.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class StageContext:
    """What the stages of one process share."""

    deployment: Deployment
    queues: Queues
    metrics: Metrics
    clock: Clock
    spending: Spending | None = None
    """Where what engines elsewhere cost is counted; None where nothing outlives the process."""


class Stage(Protocol):
    """A running stage: `start` it, `poll` it regularly, check its state, `stop` it."""

    name: str

    def start(self) -> None:
        """Begin; returns at once."""
        ...

    def update(self, deployment: Deployment) -> None:
        """Continue with another version of the file; what is equal in both is not disturbed.

        Raises MoonwatchError if that is not possible; then everything is as before.
        """
        ...

    @property
    def engines(self) -> Collection[str]:
        """The names of the engines that this stage has loaded; they cannot change while it runs."""
        ...

    def poll(self) -> None:
        """Do the regular work."""
        ...

    def stop(self, within_s: float) -> None:
        """Finish the current work, and release everything."""
        ...

    @property
    def finished(self) -> bool:
        """Whether all work is done."""
        ...

    @property
    def failure(self) -> str | None:
        """Why it cannot continue; None while it can."""
        ...

    def ready(self) -> str | None:
        """Why it is not ready, at the start or later; None if it is ready."""
        ...

    def remark(self) -> str | None:
        """What is wrong although it is ready; None if nothing is."""
        ...


logger = logging.getLogger(__name__)


class StageThread:
    """Runs a stage's `work` until it returns; `stop` asks it to return."""

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
        """Ask it to stop and wait; False if it has not stopped within `within_s`."""
        self._stop()
        if self._thread.ident is not None:
            self._thread.join(within_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:
            # A stage must not fail silently: the run ends with exit code 1 and this reason.
            logger.exception("%s failed", self.name)
            reason = without_secrets(f"{type(error).__name__}: {error}")
            self.failure = f"{self.name} failed: {reason}"


def stop_threads(threads: Collection[StageThread], within_s: float) -> bool:
    """Stop all, the last one first; False if some did not stop in time."""
    late = [thread for thread in reversed(list(threads)) if not thread.stop(within_s)]
    for thread in late:
        logger.warning("%s did not stop within %g s", thread.name, within_s)
    return not late
