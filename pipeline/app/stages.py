"""The stages of a deployment, each with the same few handles, alone in a process or all in one."""

import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from connectors.sources.file import FileSource
from pipeline.app.build import lanes_of, routes_of
from pipeline.app.cameras import cameras_of
from pipeline.app.deployment import Deployment
from pipeline.app.healthpost import HealthPost
from pipeline.app.threads import StageThread
from pipeline.core.clock import Clock
from pipeline.core.errors import QueueError
from pipeline.core.ports import Backlog, Queues, Store
from pipeline.delivery import Delivery, LaneStatus
from pipeline.delivery import Lane as SinkLane
from pipeline.inference.worker import Worker
from pipeline.sampling.camera import Outside
from pipeline.sampling.supervisor import Supervisor
from pipeline.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

_MEASURE_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the stages of one process have in common."""

    deployment: Deployment
    queues: Queues
    metrics: Metrics
    clock: Clock


class Stage(Protocol):
    """One stage at work. `start`, `tend` it now and then, look at how it is, `stop`."""

    name: str

    def start(self) -> None:
        """Begin; returns at once."""
        ...

    def tend(self) -> None:
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


class SamplingStage:
    """The cameras of this process."""

    name = "sampling"

    def __init__(
        self,
        around: Surroundings,
        judged: Mapping[tuple[str, str], tuple[str, int]] | None = None,
    ) -> None:
        """Jobs of a run up to the one that `judged` says, by camera and engine, are not sent."""
        self._cameras = cameras_of(around.deployment, around.clock, judged or {})
        self._post = HealthPost(around.queues.results)
        outside = Outside(around.queues, self._post.send, around.metrics, around.clock)
        self._supervisor = Supervisor(self._cameras, outside)
        self._metrics = around.metrics

    def start(self) -> None:
        """Open the cameras."""
        self._supervisor.start()

    def tend(self) -> None:
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


class InferenceStage:
    """The engines of this process, a thread for each."""

    name = "inference"

    def __init__(self, around: Surroundings, only: Collection[str] = ()) -> None:
        """Start the engines, all or `only` some; raises EngineError."""
        self._around = around
        self._lanes = lanes_of(around.deployment, only)
        self._threads = []
        for lane in self._lanes:
            worker = Worker(lane, around.queues.jobs, around.metrics, around.clock)
            self._threads.append(StageThread(f"inference {lane.name}", worker.run, worker.stop))
        self._measured_at = float("-inf")

    finished = False

    def start(self) -> None:
        """Begin to answer."""
        for thread in self._threads:
            thread.start()

    def tend(self) -> None:
        """Measure what waits."""
        now = self._around.clock.monotonic()
        if now - self._measured_at < _MEASURE_EVERY_S:
            return
        self._measured_at = now
        with suppress(QueueError):  # said by the queue itself
            self._measure(self._around.queues.jobs.backlog())

    def stop(self, within_s: float) -> None:
        """Finish the batches in hand; what is left comes to another worker, or to the next one."""
        stop_threads(self._threads, within_s)
        for lane in self._lanes:
            lane.engine.close()

    @property
    def failure(self) -> str | None:
        """Why a thread has ended."""
        return next((thread.failure for thread in self._threads if thread.failure), None)

    def ready(self) -> str | None:
        """The engines were started when this was made: it is."""
        return None

    def _measure(self, waiting: Mapping[str, Backlog]) -> None:
        metrics, clock = self._around.metrics, self._around.clock
        for lane in self._lanes:
            backlog = waiting.get(lane.name, Backlog(0, None))
            age = 0.0 if backlog.oldest is None else max(0.0, clock.now() - backlog.oldest)
            metrics.queue_length.labels(lane.name).set(backlog.length)
            metrics.queue_oldest_seconds.labels(lane.name).set(age)


class DeliveryStage:
    """The sinks, a lane for each."""

    name = "delivery"

    def __init__(
        self, around: Surroundings, store: Store, may_go_on: Callable[[], bool] = lambda: True
    ) -> None:
        """Nothing is sent before `start`, nor once it may not go on."""
        lanes = [
            SinkLane(route, sink, store, around.clock, around.metrics)
            for route, sink in routes_of(around.deployment)
        ]
        self._delivery = Delivery(lanes, store, around.clock, may_go_on)
        self._metrics = around.metrics
        self.has_started = False
        self.has_ended = False
        """Whether every lane has let go of its sink."""

    finished = False
    failure: str | None = None

    def start(self) -> None:
        """Begin to deliver; raises StoreError."""
        self._delivery.start()
        self.has_started = True
        self._metrics.delivering.set(1)

    def tend(self) -> None:
        """Look for new events now."""
        self._delivery.nudge()

    def stop(self, within_s: float) -> None:
        """Deliver what is there to the sinks that answer."""
        self.has_ended = self._delivery.stop(within_s)
        self._metrics.delivering.set(0)

    def status(self) -> tuple[LaneStatus, ...]:
        """How each sink is doing."""
        return self._delivery.status()

    def ready(self) -> str | None:
        """Whether some sink takes events, when there is one."""
        lanes = self.status()
        if not self.has_started:
            return "the store does not answer yet"
        if lanes and all(lane.error for lane in lanes):
            return f"no sink takes events; {lanes[0].sink}: {lanes[0].error}"
        return None


def stop_threads(threads: Collection[StageThread], within_s: float) -> bool:
    """Stop them all, the last one first; whether every one did in time."""
    late = [thread for thread in reversed(list(threads)) if not thread.stop(within_s)]
    for thread in late:
        logger.warning("%s did not stop within %g s", thread.name, within_s)
    return not late
