"""The inference stage: the engines of this process."""

import logging
import time
from collections.abc import Collection, Mapping
from contextlib import suppress

from pipeline.core.errors import QueueError
from pipeline.core.queues import Backlog
from pipeline.inference.worker import Worker
from pipeline.runtime.assembly import lanes_of
from pipeline.runtime.stages.base import StageContext, StageThread

logger = logging.getLogger(__name__)

_MEASURE_EVERY_S = 1.0
# Longer than a worker waits for anything before it looks whether to go on.
_GIVE_UP_S = 2.0


class InferenceStage:
    """The engines of this process, a thread for each."""

    name = "inference"

    def __init__(self, context: StageContext, only: Collection[str] = ()) -> None:
        """Start the engines, all or `only` some; raises EngineError."""
        self._context = context
        self._lanes = lanes_of(context.deployment, context.clock, only)
        self._workers = [
            Worker(lane, context.queues.jobs, context.metrics, context.clock)
            for lane in self._lanes
        ]
        self._threads = [
            StageThread(f"inference {lane.name}", worker.run, worker.stop)
            for lane, worker in zip(self._lanes, self._workers, strict=True)
        ]
        self._measured_at = float("-inf")

    finished = False

    def start(self) -> None:
        """Begin to answer."""
        for thread in self._threads:
            thread.start()

    def poll(self) -> None:
        """Measure what waits."""
        now = self._context.clock.monotonic()
        if now - self._measured_at < _MEASURE_EVERY_S:
            return
        self._measured_at = now
        with suppress(QueueError):  # said by the queue itself
            self._measure(self._context.queues.jobs.backlog())

    def stop(self, within_s: float) -> None:
        """Finish what is in hand; what is left comes to another worker, or to the next one."""
        until = time.monotonic() + within_s
        for thread in self._threads:
            thread.stop(0.0)  # all are told before one is waited for
        for thread, worker in zip(self._threads, self._workers, strict=True):
            if not thread.stop(max(0.0, until - time.monotonic())):
                logger.warning(
                    "%s did not finish what it had in hand in %g s", thread.name, within_s
                )
                worker.give_up()
                thread.stop(_GIVE_UP_S)
        # Only now: what a closing engine fails must not be handed on as an answer.
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
        metrics, clock = self._context.metrics, self._context.clock
        for lane in self._lanes:
            backlog = waiting.get(lane.name, Backlog(0, None))
            age = 0.0 if backlog.oldest is None else max(0.0, clock.now() - backlog.oldest)
            metrics.queue_length.labels(lane.name).set(backlog.length)
            metrics.queue_oldest_seconds.labels(lane.name).set(age)
