"""The processor: take results, put them in order, judge them, keep what follows, acknowledge.

What follows from a batch of results is kept in one transaction, together with the state to go on
from, before the results are acknowledged: killed at any moment, it goes on without losing or
doubling anything.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipeline.core.clock import Clock
from pipeline.core.errors import FencedOffError, StoreError
from pipeline.core.events import Event
from pipeline.core.jobs import Result
from pipeline.core.measures import Bucket, Health
from pipeline.core.queues import Delivered, ResultQueue
from pipeline.core.rules import Verdict
from pipeline.core.store import Checkpoint, Commit, LeaseProof, Store
from pipeline.processing.health import HealthEvents
from pipeline.processing.judge import CameraPlan, Judge, Watcher
from pipeline.processing.ordering import InOrder, Sorted
from pipeline.processing.snapshots import Snapshots
from pipeline.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

# How long a live camera's missing result is waited for before it is passed over.
PATIENCE_S = 2.0
IDLE_S = 0.25
_BATCH = 64
_STORE_RETRY_S = 1.0

LaneKey = tuple[str, str]
"""(camera, engine): results of different engines are judged independently."""
HEALTH_ENGINE = ""
"""A camera's troubles are kept under this engine's name, which no engine has."""


@dataclass(frozen=True, slots=True)
class ProcessorContext:
    """What a processor works with: where results come from and where conclusions go."""

    results: ResultQueue
    store: Store
    snapshots: Snapshots
    metrics: Metrics
    clock: Clock
    watcher: Watcher | None = None
    fences: Mapping[int, int] = field(default_factory=dict)
    """The partitions that are this processor's alone, with their fencing tokens."""
    lease: Callable[[], LeaseProof | None] = lambda: None
    """What shows that the store is this process's alone, where one judges everything."""


@dataclass(slots=True)
class _Pending:
    """What a batch of results led to, until it is kept."""

    events: list[Event] = field(default_factory=list)
    buckets: list[Bucket] = field(default_factory=list)
    health: list[Health] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    """Cameras whose troubles began or ended."""
    judged: dict[LaneKey, Result] = field(default_factory=dict)
    done: list[Delivered] = field(default_factory=list)


class _JudgingLane:
    """One camera and engine: the order of its results and the judge of them."""

    def __init__(self, plan: CameraPlan, watcher: Watcher | None) -> None:
        self.order = InOrder(PATIENCE_S)
        self.judge = Judge(plan, watcher)

    def resume(self, checkpoint: Checkpoint) -> bool:
        if not self.judge.restore(checkpoint.state):
            return False
        self.order.resume(checkpoint.run, checkpoint.ordinal, ended=checkpoint.ended)
        return True


class Processor:
    """Judges results of many cameras. One thread calls `step` or `run`."""

    def __init__(self, plans: Sequence[CameraPlan], outside: ProcessorContext) -> None:
        self._outside = outside
        self._lanes: dict[LaneKey, _JudgingLane] = {
            (plan.camera, plan.engine): _JudgingLane(plan, outside.watcher) for plan in plans
        }
        self._health: dict[str, HealthEvents] = {}
        self._ended: set[LaneKey] = set()
        self._judged: dict[LaneKey, tuple[str, int, bool] | None] = dict.fromkeys(self._lanes)
        self._stop = threading.Event()
        self._pending = _Pending()

    def resume(self) -> Mapping[LaneKey, Checkpoint]:
        """Go on from the store's checkpoints; returns those that were used."""
        used: dict[LaneKey, Checkpoint] = {}
        for (camera, engine), lane in self._lanes.items():
            checkpoint = self._outside.store.checkpoint(camera, engine)
            if checkpoint is None:
                continue
            if lane.resume(checkpoint):
                used[camera, engine] = checkpoint
                point = (checkpoint.run, checkpoint.ordinal, checkpoint.ended)
                self._judged[camera, engine] = point
            else:
                logger.info("camera %s starts anew: what it is judged by has changed", camera)
        for camera in {camera for camera, _ in self._lanes}:
            checkpoint = self._outside.store.checkpoint(camera, HEALTH_ENGINE)
            if checkpoint is not None:
                self._health_of(camera).restore(checkpoint.state)
        return used

    @property
    def ended(self) -> frozenset[LaneKey]:
        """Lanes whose file has come to its end, judged and stored."""
        return frozenset(self._ended)

    @property
    def judged(self) -> Mapping[LaneKey, tuple[str, int, bool] | None]:
        """For each lane the run and last job that are stored, and whether it ended; or None."""
        return dict(self._judged)

    def run(self) -> None:
        """Judge until stopped; what was taken is kept before it returns."""
        while not self._stop.is_set():
            self.step()

    def stop(self) -> None:
        """Return from `run` after the batch in hand."""
        self._stop.set()

    def step(self, idle_s: float = IDLE_S) -> int:
        """Judge one batch of results; returns how many were taken from the queue.

        Raises QueueError or FencedOffError when a partition is another's by now, or a picture is
        out of reach: then what was judged and not kept is void, and a new processor goes on.
        """
        taken = self._outside.results.take(_BATCH, idle_s)
        for arrived in taken:
            self._accept(arrived)
        self._pass_over_missing()
        self._keep()
        return len(taken)

    def _accept(self, arrived: Delivered) -> None:
        result = arrived.result
        if result.health is not None:
            self._judge_health(result.health)
            self._pending.done.append(arrived)
            return
        lane = self._lanes.get((result.camera, result.engine))
        if lane is None:
            self._count_passed_over(result, "unknown camera")
            self._pending.done.append(arrived)
            return
        self._judge(lane, lane.order.offer(arrived, self._outside.clock.monotonic()))

    def _pass_over_missing(self) -> None:
        now = self._outside.clock.monotonic()
        for (camera, _), lane in self._lanes.items():
            sorted_ = lane.order.pass_over(now)
            if sorted_.missing:
                counter = self._outside.metrics.results_passed_over
                counter.labels(camera, "missing").inc(sorted_.missing)
            self._judge(lane, sorted_)

    def _judge(self, lane: _JudgingLane, sorted_: Sorted) -> None:
        for delivered in sorted_.late:
            self._count_passed_over(delivered.result, "late")
        for delivered in sorted_.duplicates:
            self._count_passed_over(delivered.result, "duplicate")
            if delivered.result.last:
                self._ended.add((delivered.result.camera, delivered.result.engine))
        for delivered in sorted_.ready:
            self._judge_one(lane, delivered.result)
        self._pending.done += (*sorted_.late, *sorted_.duplicates, *sorted_.ready)

    def _judge_one(self, lane: _JudgingLane, result: Result) -> None:
        self._add(lane.judge.judge(result), lane.judge.plan.snapshots)
        self._pending.judged[result.camera, result.engine] = result
        if result.last:
            return
        metrics = self._outside.metrics
        metrics.results_judged.labels(result.camera).inc()
        if result.live:
            age = max(0.0, self._outside.clock.now() - result.captured_at)
            metrics.end_to_end_seconds.labels(result.camera).observe(age)
            metrics.frame_age_seconds.labels("judged").observe(age)
            metrics.judged_until_seconds.labels(result.camera).set(result.captured_at)

    def _add(self, verdict: Verdict, snapshots: frozenset[str]) -> None:
        for event in verdict.events:
            wanted = event.rule in snapshots
            self._pending.events.append(self._outside.snapshots.attach(event) if wanted else event)
        self._pending.buckets += verdict.buckets

    def _judge_health(self, health: Health) -> None:
        events = self._health_of(health.camera).judge(health)
        if events:
            self._pending.events += events
            self._pending.changed.add(health.camera)
        self._pending.health.append(health)

    def _health_of(self, camera: str) -> HealthEvents:
        return self._health.setdefault(camera, HealthEvents())

    def _keep(self) -> None:
        """Commit what is pending, then acknowledge; tries again until the store takes it."""
        pending = self._pending
        if not pending.done:
            return
        # The running minute lies in the state, for whoever goes on, and as a bucket, for whoever
        # asks; the next batch replaces both.
        running = [b for key in pending.judged for b in self._lanes[key].judge.unfinished()]
        commit = Commit(
            events=pending.events,
            buckets=[*pending.buckets, *running],
            health=pending.health,
            checkpoints=[
                *(self._checkpoint(key, result) for key, result in pending.judged.items()),
                *(self._health_checkpoint(camera) for camera in sorted(pending.changed)),
            ],
            fences=self._outside.fences,
        )
        if not self._commit(commit):
            return
        for event in pending.events:
            self._outside.metrics.events.labels(event.camera, event.rule, event.phase).inc()
        for key, result in pending.judged.items():
            self._judged[key] = (result.run, result.ordinal, result.last)
        self._ended |= {key for key, result in pending.judged.items() if result.last}
        self._pending = _Pending()
        self._outside.results.acknowledge(pending.done)

    def _commit(self, commit: Commit) -> bool:
        said = False
        while True:
            try:
                # Another one each time: a file that was replaced is taken anew.
                self._outside.store.commit(replace(commit, lease=self._outside.lease()))
            except FencedOffError:
                raise
            except StoreError as error:
                if not said:
                    logger.error("store refuses events, trying on: %s", error)  # noqa: TRY400
                said = True
                if self._outside.clock.wait(_STORE_RETRY_S, self._stop):
                    return False
            else:
                if said:
                    logger.info("store accepts events again")
                return True

    def _checkpoint(self, key: LaneKey, result: Result) -> Checkpoint:
        camera, engine = key
        return Checkpoint(
            camera=camera,
            engine=engine,
            run=result.run,
            ordinal=result.ordinal,
            state=self._lanes[key].judge.state(),
            ended=result.last,
        )

    def _health_checkpoint(self, camera: str) -> Checkpoint:
        return Checkpoint(camera, HEALTH_ENGINE, "", -1, self._health_of(camera).state())

    def _count_passed_over(self, result: Result, reason: str) -> None:
        self._outside.metrics.results_passed_over.labels(result.camera, reason).inc()
