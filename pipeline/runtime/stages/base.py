"""What every stage of a deployment has in common: its handles, its surroundings, its threads."""

import logging
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from pipeline.core.address import without_secrets
from pipeline.core.clock import Clock
from pipeline.core.queues import Queues
from pipeline.deployment.model import Deployment
from pipeline.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class StageContext:
    """What the stages of one process have in common."""

    deployment: Deployment
    queues: Queues
    metrics: Metrics
    clock: Clock


class Stage(Protocol):
    """One stage at work. `start`, `poll` it now and then, look at how it is, `stop`."""

    name: str

    def start(self) -> None:
        """Begin; returns at once."""
        ...

    def update(self, deployment: Deployment) -> None:
        """Go on by another version of the file; what is equal in both is not disturbed.

        Raises MoonwatchError where that is not possible, and then all is as before.
        """
        ...

    @property
    def engines(self) -> Collection[str]:
        """The engines that this stage has loaded, by name; what they are cannot change at work."""
        ...

    def poll(self) -> None:
        """What has to be done now and then."""
        ...

    def stop(self, within_s: float) -> None:
        """Finish what is in hand, and let go of everything."""
        ...

    @property
    def finished(self) -> bool:
        """Whether there will be nothing more to do."""
        ...

    @property
    def failure(self) -> str | None:
        """Why it cannot go on; None while it can."""
        ...

    def ready(self) -> str | None:
        """Why it is not at work yet, or not now; None when it is."""
        ...


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
            reason = without_secrets(f"{type(error).__name__}: {error}")
            self.failure = f"{self.name} failed: {reason}"


def stop_threads(threads: Collection[StageThread], within_s: float) -> bool:
    """Stop them all, the last one first; whether every one did in time."""
    late = [thread for thread in reversed(list(threads)) if not thread.stop(within_s)]
    for thread in late:
        logger.warning("%s did not stop within %g s", thread.name, within_s)
    return not late
