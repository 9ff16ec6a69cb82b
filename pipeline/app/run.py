"""All stages of a deployment in one process: started in order, stopped in reverse."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from connectors.queues.pictures import MemoryShelf
from connectors.sources.file import FileSource
from pipeline.app.build import engines_of, lanes_of, plans_of, routes_of
from pipeline.app.cameras import cameras_of
from pipeline.app.deployment import Deployment
from pipeline.app.recording import TrackRecorder
from pipeline.app.threads import StageThread
from pipeline.core.clock import Clock, SystemClock
from pipeline.core.errors import StoreError
from pipeline.core.jobs import health_result
from pipeline.core.measures import Health
from pipeline.core.ports import Backlog
from pipeline.delivery import Delivery, LaneStatus
from pipeline.delivery import Lane as SinkLane
from pipeline.inference.worker import Lane, Worker
from pipeline.processing.processor import Outside, Processor
from pipeline.processing.snapshots import Snapshots
from pipeline.sampling.camera import Outside as SamplingOutside
from pipeline.sampling.supervisor import Supervisor
from pipeline.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

# How long each stage may take to finish what it has in hand when a run is asked to stop.
DRAIN_S = 5.0
_PRUNE_EVERY_S = 3600.0
_HEALTH_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Status:
    """How a run is doing."""

    cameras: Sequence[str]
    sinks: Sequence[LaneStatus]
    up_s: float


class Run:
    """A deployment at work. `start`, look at `finished` and `failure` now and then, `stop`."""

    def __init__(
        self, deployment: Deployment, record: Path | None = None, clock: Clock | None = None
    ) -> None:
        """Start the engines and open the store; raises EngineError or StoreError."""
        self.deployment = deployment
        self.metrics = Metrics()
        self._clock = clock or SystemClock()
        self._lanes = lanes_of(deployment)
        self.store = deployment.store.build(self._clock)
        self._media = deployment.store.build_media()
        self._queues = deployment.queue.build(self._clock)
        self._shelf = MemoryShelf()
        self._recorder = TrackRecorder(record) if record else None
        self._began = self._clock.monotonic()
        self._pruned_at = float("-inf")
        self._processor = self._make_processor()
        self._threads = [
            StageThread("processing", self._processor.run, self._processor.stop),
            *(self._inference_thread(lane) for lane in self._lanes),
        ]
        self._cameras = cameras_of(deployment, self._clock, self._processor.resume())
        self._supervisor = Supervisor(
            self._cameras,
            SamplingOutside(self._queues, self._on_health, self.metrics, self._clock),
        )
        self._delivery = self._make_delivery()

    def _make_processor(self) -> Processor:
        outside = Outside(
            results=self._queues.results,
            store=self.store,
            snapshots=Snapshots(self._shelf, self._media),
            metrics=self.metrics,
            clock=self._clock,
            watcher=self._recorder,
        )
        return Processor(plans_of(self.deployment), outside)

    def _inference_thread(self, lane: Lane) -> StageThread:
        worker = Worker(lane, self._queues, self._shelf, self.metrics, self._clock)
        return StageThread(f"inference {lane.name}", worker.run, worker.stop)

    def _make_delivery(self) -> Delivery:
        lanes = [
            SinkLane(route, sink, self.store, self._clock, self.metrics)
            for route, sink in routes_of(self.deployment)
        ]
        return Delivery(lanes, self.store, self._clock)

    def start(self) -> None:
        """Begin at the end: whoever receives is ready before there is something to send."""
        self._began = self._clock.monotonic()
        self._delivery.start()
        for thread in self._threads:
            thread.start()
        self._supervisor.start()

    @property
    def finished(self) -> bool:
        """Whether every camera was a file, and all of them are judged to their end."""
        return self._supervisor.is_done and self._processor.ended >= self._ends()

    @property
    def failure(self) -> str | None:
        """Why the run cannot go on, or what a file's camera failed of; None while all is well."""
        stages = [thread.failure for thread in self._threads if thread.failure]
        cameras = [f"camera {name}: {why}" for name, why in self._supervisor.failures.items()]
        return next(iter([*stages, *cameras]), None)

    def progress(self) -> float | None:
        """How far the files are, 0..1; None where a live camera or a loop has no end."""
        sources = [camera.source for camera in self._cameras]
        shares = [source.progress for source in sources if isinstance(source, FileSource)]
        known = [share for share in shares if share is not None]
        return sum(known) / len(known) if known and len(known) == len(sources) else None

    def status(self) -> Status:
        """How the cameras and sinks are doing."""
        return Status(
            tuple(self.deployment.cameras),
            self._delivery.status(),
            self._clock.monotonic() - self._began,
        )

    def tend(self) -> None:
        """What has to be done now and then: wake delivery, measure, forget what is too old."""
        self._delivery.nudge()
        self._measure_queue()
        self._forget_old()

    def _measure_queue(self) -> None:
        waiting = self._queues.jobs.backlog()
        for lane in self._lanes:
            backlog = waiting.get(lane.name, Backlog(0, None))
            age = 0.0 if backlog.oldest is None else max(0.0, self._clock.now() - backlog.oldest)
            self.metrics.queue_length.labels(lane.name).set(backlog.length)
            self.metrics.queue_oldest_seconds.labels(lane.name).set(age)

    def _forget_old(self) -> None:
        keep = self.deployment.store.keep
        now = self._clock.monotonic()
        if keep is None or now - self._pruned_at < _PRUNE_EVERY_S:
            return
        self._pruned_at = now
        # A full disk or a locked store is said by the processor; the next hour tries again.
        with suppress(StoreError):
            before = self._clock.now() - keep.total_seconds()
            self.store.prune(before)
            self._media.prune(before)

    def stop(self, within_s: float = DRAIN_S) -> None:
        """Stop sampling, finish what is under way, deliver what is there, let go."""
        self._supervisor.stop()
        self._drain(within_s)
        for thread in reversed(self._threads):
            if not thread.stop(within_s):
                logger.warning("%s did not stop within %g s", thread.name, within_s)
        if self.failure is None:
            while self._processor.step(0.0):
                pass
        self._delivery.stop(within_s)
        for lane in self._lanes:
            lane.engine.close()
        if self._recorder is not None:
            self._recorder.close()

    def close(self) -> None:
        """Let go of the store, which can be asked until then what the run found."""
        self.store.close()

    def _drain(self, within_s: float) -> None:
        deadline = self._clock.monotonic() + within_s
        while self._clock.monotonic() < deadline and self.failure is None:
            if not any(backlog.length for backlog in self._queues.jobs.backlog().values()):
                return
            self._clock.wait(0.02)

    def _ends(self) -> frozenset[tuple[str, str]]:
        """The camera and engine of every file that can come to its end."""
        failed = self._supervisor.failures
        return frozenset(
            (name, engine)
            for name, camera in self.deployment.cameras.items()
            if name not in failed
            for engine in engines_of(camera)
        )

    def _on_health(self, health: Health) -> None:
        self._queues.results.publish([health_result(health)], _HEALTH_WAIT_S)
