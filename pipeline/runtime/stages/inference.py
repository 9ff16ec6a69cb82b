"""The inference stage: the engines of this process."""

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from pipeline.core.engines import AsksElsewhere, Engine, RunsSomewhere
from pipeline.core.errors import QueueError, StoreError
from pipeline.core.queues import Backlog
from pipeline.deployment.model import Deployment
from pipeline.inference.worker import EngineLane, Worker
from pipeline.runtime.assembly import lanes_of, snapshot_cameras, used_engines
from pipeline.runtime.stages.base import StageContext, StageThread

logger = logging.getLogger(__name__)

_MEASURE_EVERY_S = 1.0
_STOOD_IN = "stood in"
# Longer than a worker waits for anything before it checks whether to stop.
_GIVE_UP_S = 2.0


@dataclass(frozen=True, slots=True)
class _AtWork:
    """An engine with the thread that feeds it."""

    lane: EngineLane
    worker: Worker
    thread: StageThread


class InferenceStage:
    """The engines of this process, each with a thread."""

    name = "inference"

    def __init__(self, context: StageContext, only: Collection[str] = ()) -> None:
        """Start the engines, all or `only` some; raises EngineError."""
        self._context = context
        self._only = only
        lanes = lanes_of(context.deployment, context.clock, only, spending=context.spending)
        self._at_work = {lane.name: self._made(lane) for lane in lanes}
        self._measured_at = float("-inf")
        self._reported: dict[str, Mapping[str, int]] = {}

    finished = False

    def start(self) -> None:
        """Begin to answer."""
        for one in self._at_work.values():
            one.thread.start()

    def update(self, deployment: Deployment) -> None:
        """Start the engines that a changed file newly uses, stop those that it no longer uses.

        A running engine stays as it is: what it has loaded cannot change. Raises EngineError; then
        everything is as before.
        """
        running = {name: one.lane.engine for name, one in self._at_work.items()}
        context = self._context
        fresh = lanes_of(deployment, context.clock, self._only, running, context.spending)
        wanted = used_engines(deployment, self._only)
        idle = [one for name, one in self._at_work.items() if name not in wanted]
        self._context = replace(self._context, deployment=deployment)
        cameras = snapshot_cameras(deployment)
        for one in self._at_work.values():
            one.worker.snapshot_cameras = cameras
        for lane in fresh:
            self._at_work[lane.name] = self._made(lane)
            self._at_work[lane.name].thread.start()
        self._end(idle, _GIVE_UP_S)
        for one in idle:
            del self._at_work[one.lane.name]
            self._forget(one.lane)

    @property
    def engines(self) -> Collection[str]:
        """The engines that are loaded, by name."""
        return tuple(self._at_work)

    def engine(self, name: str) -> Engine:
        """The engine of a name that this stage has loaded."""
        return self._at_work[name].lane.engine

    def poll(self) -> None:
        """Measure the queues and the engines."""
        now = self._context.clock.monotonic()
        if now - self._measured_at < _MEASURE_EVERY_S:
            return
        self._measured_at = now
        for one in self._at_work.values():
            one.worker.report_device_work()
            if isinstance(one.lane.engine, AsksElsewhere):
                self._measure_elsewhere(one.lane.name, one.lane.engine)
        with suppress(QueueError):  # the queue reports it
            self._measure(self._context.queues.jobs.backlog())

    def stop(self, within_s: float) -> None:
        """Finish the current work; what is left goes to another worker, or to the next one."""
        self._end(self._at_work.values(), within_s)

    @property
    def failure(self) -> str | None:
        """Why a thread has failed."""
        threads = [one.thread for one in self._at_work.values()]
        return next((thread.failure for thread in threads if thread.failure), None)

    def ready(self) -> str | None:
        """Why an engine cannot be asked for which no other one stands in."""
        said = [
            f"engine {name}: {engine.trouble}"
            for name, engine in ((name, one.lane.engine) for name, one in self._at_work.items())
            if isinstance(engine, AsksElsewhere) and engine.trouble and not engine.has_fallback
        ]
        return "; ".join(said) or None

    @property
    def notes(self) -> Sequence[str]:
        """Engines that run on something else than what was preferred, or for which others stand in.

        With the reason.
        """
        said = []
        for name, one in self._at_work.items():
            engine = one.lane.engine
            if isinstance(engine, RunsSomewhere) and engine.fell_back:
                said.append(f"engine {name}: {engine.fell_back}")
            if isinstance(engine, AsksElsewhere) and engine.trouble and engine.has_fallback:
                said.append(f"engine {name}: {engine.trouble}")
        return said

    def remark(self) -> str | None:
        """The notes: everything that is wrong makes it not ready."""
        return "; ".join(self.notes) or None

    def _made(self, lane: EngineLane) -> _AtWork:
        context = self._context
        if isinstance(lane.engine, RunsSomewhere):
            context.metrics.engine_provider.labels(lane.name, lane.engine.provider).set(1)
        worker = Worker(lane, context.queues.jobs, context.metrics, context.clock)
        thread = StageThread(f"inference {lane.name}", worker.run, worker.stop)
        return _AtWork(lane, worker, thread)

    @staticmethod
    def _end(ending: Collection[_AtWork], within_s: float) -> None:
        until = time.monotonic() + within_s
        for one in ending:
            one.thread.stop(0.0)  # ask all of them before waiting for one
        for one in ending:
            if not one.thread.stop(max(0.0, until - time.monotonic())):
                logger.warning(
                    "%s did not finish its current work within %g s", one.thread.name, within_s
                )
                one.worker.give_up()
                one.thread.stop(_GIVE_UP_S)
        # Only now: requests that a closing engine fails must not be passed on as answers.
        for one in ending:
            one.lane.engine.close()

    def _measure_elsewhere(self, name: str, engine: AsksElsewhere) -> None:
        metrics, before = self._context.metrics, self._reported.get(name, {})
        now = {**engine.requests, _STOOD_IN: engine.stood_in}
        for outcome, count in now.items():
            new = count - before.get(outcome, 0)
            if outcome == _STOOD_IN:
                metrics.tasks_stood_in.labels(name).inc(new)
            else:
                metrics.engine_requests.labels(name, outcome).inc(new)
        self._reported[name] = now
        metrics.engine_reachable.labels(name).set(engine.trouble is None)
        with suppress(QueueError, StoreError):  # its tasks say so
            for spent in engine.spent():
                period = spent.allowance.period
                metrics.engine_budget_left.labels(name, period).set(spent.left)

    def _forget(self, lane: EngineLane) -> None:
        """Show nothing more of an engine that has ended."""
        metrics, name = self._context.metrics, lane.name
        if isinstance(lane.engine, RunsSomewhere):
            metrics.engine_provider.remove(name, lane.engine.provider)
        if isinstance(lane.engine, AsksElsewhere):
            self._reported.pop(name, None)
            for gauge, labels in (
                (metrics.engine_reachable, (name,)),
                (metrics.engine_budget_left, (name, "hour")),
                (metrics.engine_budget_left, (name, "day")),
            ):
                with suppress(KeyError):
                    gauge.remove(*labels)

    def _measure(self, waiting: Mapping[str, Backlog]) -> None:
        metrics, clock = self._context.metrics, self._context.clock
        for name in self._at_work:
            backlog = waiting.get(name, Backlog(0, None))
            metrics.queue_length.labels(name).set(backlog.length)
            if backlog.length and backlog.oldest is None:
                # Of recordings alone it is not known, which is not none.
                with suppress(KeyError):
                    metrics.queue_oldest_seconds.remove(name)
                continue
            age = 0.0 if backlog.oldest is None else max(0.0, clock.now() - backlog.oldest)
            metrics.queue_oldest_seconds.labels(name).set(age)
