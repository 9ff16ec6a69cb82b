"""Puts one camera's jobs on the queue: live drops are counted and reported, files wait."""

import logging
import threading
from collections.abc import Callable

from pipeline.core.errors import CameraTakenError, QueueError
from pipeline.core.jobs import Job, Result, failed_result
from pipeline.sampling.camera import SamplerContext

logger = logging.getLogger(__name__)

# How long one attempt to queue a file's job waits for room, and so how late a stop is noticed.
_OFFER_S = 0.25
# The pause before a queue that is out of reach is retried.
_RETRY_S = 1.0


class Outbox:
    """Sends one camera's jobs to the queue, and survives a queue that is out of reach."""

    def __init__(
        self,
        camera: str,
        context: SamplerContext,
        stop: threading.Event,
        on_dropped: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_dropped` is called when an earlier job of the camera was dropped for a newer one."""
        self._on_dropped = on_dropped
        self._camera = camera
        self._context = context
        self._stop = stop
        self._in_reach = True

    def put(self, job: Job) -> bool:
        """Queue a job, a live one at once and a file's once there is room; whether it was accepted.

        A file's job is only rejected when stopping. Raises CameraTakenError.
        """
        return self._put_live(job) if job.live else self._put_all(job)

    def publish_end(self, result: Result) -> None:
        """Publish the end of a run, waiting for room until told to stop.

        Raises CameraTakenError.
        """
        while not self._stop.is_set():
            try:
                if self._context.queues.results.publish([result], _OFFER_S):
                    self._reached()
                    return
            except CameraTakenError:
                raise
            except QueueError as error:
                self._lost(error)
                self._context.clock.wait(_RETRY_S, self._stop)

    def _put_live(self, job: Job) -> bool:
        try:
            receipt = self._context.queues.jobs.put(job, 0)
            self._reached()
            if receipt.dropped:
                self._count(len(receipt.dropped))
                self._on_dropped()
                if not receipt.answered:
                    # So that the processor does not wait for them; without room for the answers it
                    # finds out by itself.
                    failed = [failed_result(job, "queue full") for job in receipt.dropped]
                    self._context.queues.results.publish(failed, 0)
        except CameraTakenError:
            raise
        except QueueError as error:
            self._lost(error)
            self._count(1, "queue away")
            return False
        if not receipt.accepted:
            self._count(1)
        return receipt.accepted

    def _put_all(self, job: Job) -> bool:
        while not self._stop.is_set():
            try:
                accepted = self._context.queues.jobs.put(job, _OFFER_S).accepted
                self._reached()
                if accepted:
                    return True
            except CameraTakenError:
                raise
            except QueueError as error:
                self._lost(error)
                self._context.clock.wait(_RETRY_S, self._stop)
        return False

    def _count(self, jobs: int, reason: str = "queue full") -> None:
        self._context.metrics.frames_dropped.labels(self._camera, reason).inc(jobs)

    def _lost(self, error: QueueError) -> None:
        if self._in_reach:
            # The queue itself logs it once for all cameras of the process.
            logger.debug("camera %s cannot reach the queue: %s", self._camera, error)
        self._in_reach = False

    def _reached(self) -> None:
        if not self._in_reach:
            logger.debug("camera %s can reach the queue again", self._camera)
        self._in_reach = True
