"""The sampling stage: the cameras of this process."""

import threading
from collections import deque
from collections.abc import Mapping

from connectors.sources.file import FileSource
from pipeline.core.errors import QueueError
from pipeline.core.jobs import health_result
from pipeline.core.measures import Health
from pipeline.core.queues import ResultQueue
from pipeline.processing.health import ENDED_BY
from pipeline.runtime.assembly import cameras_of
from pipeline.runtime.stages.base import StageContext
from pipeline.sampling.camera import SamplerContext
from pipeline.sampling.supervisor import Supervisor

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


class SamplingStage:
    """The cameras of this process."""

    name = "sampling"

    def __init__(
        self,
        context: StageContext,
        judged: Mapping[tuple[str, str], tuple[str, int]] | None = None,
    ) -> None:
        """Jobs of a run up to the one that `judged` says, by camera and engine, are not sent."""
        self._cameras = cameras_of(context.deployment, context.clock, judged or {})
        self._post = HealthPost(context.queues.results)
        outside = SamplerContext(context.queues, self._post.send, context.metrics, context.clock)
        self._supervisor = Supervisor(self._cameras, outside)
        self._metrics = context.metrics

    def start(self) -> None:
        """Open the cameras."""
        self._supervisor.start()

    def poll(self) -> None:
        """Send what cameras said of their state while the queue was away."""
        self._post.flush()

    def stop(self, within_s: float) -> None:
        """Close the cameras."""
        self._supervisor.stop()
        self._post.flush()

    @property
    def finished(self) -> bool:
        """Whether every camera was a file that has ended, and all is said about them."""
        return self._supervisor.is_done and self._post.is_empty

    @property
    def failures(self) -> Mapping[str, str]:
        """Files that could not be read to their end, by camera."""
        return self._supervisor.failures

    @property
    def failure(self) -> str | None:
        """What the first camera failed of, once there is nothing else to wait for."""
        return self.camera_failure() if self._supervisor.is_done else None

    def camera_failure(self) -> str | None:
        """What the first camera that failed did so of."""
        said = [f"camera {name}: {why}" for name, why in self.failures.items()]
        return said[0] if said else None

    def progress(self) -> float | None:
        """How far the files are, 0..1; None where a live camera or a loop has no end."""
        sources = [camera.source for camera in self._cameras]
        shares = [source.progress for source in sources if isinstance(source, FileSource)]
        known = [share for share in shares if share is not None]
        return sum(known) / len(known) if known and len(known) == len(sources) else None

    def runs(self) -> Mapping[str, str]:
        """What the run of each camera is called, once it is open."""
        return {camera.name: camera.source.run for camera in self._cameras}

    def numbered(self) -> Mapping[str, tuple[str, Mapping[str, int]]]:
        """For each camera its run, and how many jobs were sent or judged before, by engine."""
        return self._supervisor.numbered

    def remind(self) -> None:
        """Say again how each camera is; who knows it already takes no notice."""
        self._post.repeat()

    def ready(self) -> str | None:
        """Whether some camera gives pictures."""
        up = self._metrics.by_labels("moonwatch_camera_up")
        if self.finished or any(up.get((camera.name,)) for camera in self._cameras):
            return None
        return f"none of its {len(self._cameras)} cameras gives pictures"
