"""One stage as a process: started, looked after, asked how it is, ended when told to."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from connectors.queues.redis.queue import RedisQueues
from pipeline.core.clock import Clock, SystemClock
from pipeline.core.errors import ConfigError, MoonwatchError, Problem, QueueError, StoreError
from pipeline.core.membership import Agreement
from pipeline.deployment.model import Deployment
from pipeline.runtime.reload import APPLIED, DeploymentFile, Reloader
from pipeline.runtime.reports import BEAT_S, TTL, Facts, Reporter, reports_of
from pipeline.runtime.stages.base import Stage, StageContext, StageThread
from pipeline.telemetry.http import HealthAnswers, ListenAddress, answering
from pipeline.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from connectors.stores.sql import SqlStore


logger = logging.getLogger(__name__)
T = TypeVar("T")
DRAIN_S = 5.0
_LOOK_S = 0.1
_STORE_RETRY_S = 1.0
_SETTLE_LOOK_S = 0.05


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
            f"is {self._partitions} here, but {others} in the running processes of this deployment"
            "; give all of them the same file, or, to change the number, stop the samplers, wait "
            "until the queue is empty, stop all processes, and start them again"
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
            if stop.wait(_SETTLE_LOOK_S):
                return False
        self._at_work = True
        return True

    def _is_settled(self, *, surely: bool) -> bool:
        if self.differ:
            return False
        return self._agreed or (self._asked and not surely)


@dataclass(frozen=True, slots=True)
class ProcessContext:
    """What a stage's process has: the queue that it shares with others, and its own figures."""

    context: StageContext
    queues: RedisQueues
    http: ListenAddress | None
    stop: threading.Event
    file: DeploymentFile
    hang_up: threading.Event
    """Set by SIGHUP: the file is to be read again."""


def shared_queues(deployment: Deployment, clock: Clock) -> RedisQueues:
    """The queue that processes share; raises ConfigError where it is this process's own."""
    if not deployment.queue.is_shared:
        message = (
            "is `memory`, which exists only inside one process; use Redis, or run all stages in "
            "one process with `moonwatch run`"
        )
        raise ConfigError([Problem("queue", message)])
    return deployment.queue.build(clock)


def process_context_of(
    file: DeploymentFile,
    http: ListenAddress | None,
    stop: threading.Event,
    hang_up: threading.Event,
) -> ProcessContext:
    """What one stage's process works with; raises ConfigError where there is no queue to share."""
    clock = SystemClock()
    deployment = file.deployment
    queues = shared_queues(deployment, clock)
    context = StageContext(deployment, queues, Metrics(), clock)
    return ProcessContext(context, queues, http, stop, file, hang_up)


Make = Callable[[Reporter], tuple[Stage, Facts]]
"""Makes the stage, and what it adds to its process's report."""


def serve(
    name: str, make: Make, process_context: ProcessContext, *, surely_agreed: bool = False
) -> None:
    """Work until told to stop, or until there is nothing left to do.

    Raises MoonwatchError when the stage fails, and ConfigError where the processes at work divide
    the results in another way. Where the queue is away that is found once it answers; a stage that
    must be `surely_agreed` is not begun before.
    """
    about = _About(process_context)
    reporter = Reporter(name, process_context.context, about.not_ready)
    metrics = process_context.context.metrics
    telling = HealthAnswers(about.not_ready, metrics.exposition, lambda: _remark(reporter.facts()))
    queues = process_context.queues
    partitions = SharedPartitions(
        queues.agreement, queues.results.partitions, process_context.context.clock
    )
    try:
        with (
            answering(process_context.http, telling),
            _beating(reporter, partitions, process_context),
        ):
            if not partitions.settle(process_context.stop, surely=surely_agreed):
                return
            stage, reporter.facts = make(reporter)
            reporter.reloader = _reloader(stage, reporter, process_context)
            try:
                _tried_on(stage.start, process_context)
                about.stage = stage
                _look_after(stage, partitions, reporter.reloader, process_context)
            finally:
                stage.stop(DRAIN_S)
    finally:
        queues.close()
    if partitions.refusal is not None:
        raise partitions.refusal
    if stage.failure is not None:
        raise MoonwatchError(stage.failure)


def opened_store(process_context: ProcessContext) -> "SqlStore":
    """The store, waited for until it can be opened; raises StoreError when told to stop."""
    return _tried_on(
        lambda: process_context.context.deployment.store.build(process_context.context.clock),
        process_context,
    )


def stop_with_parent(stop: threading.Event) -> None:
    """Stop when the process that holds our standard input ends, however it does."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        stop.set()

    threading.Thread(target=watch, name="parent", daemon=True).start()


class _About:
    """Whether the process is at work."""

    def __init__(self, process_context: ProcessContext) -> None:
        self.stage: Stage | None = None
        self._process_context = process_context

    def not_ready(self) -> str | None:
        try:
            self._process_context.queues.jobs.ping()
        except QueueError as error:
            return str(error)
        return "is starting" if self.stage is None else self.stage.ready()


@contextmanager
def _beating(
    reporter: Reporter, partitions: SharedPartitions, process_context: ProcessContext
) -> Iterator[None]:
    over = threading.Event()

    def say(*, last: bool = False) -> None:
        # Who differs is not to be counted among those who share the work.
        if not partitions.differ:
            reporter.beat(process_context.queues.presence, last=last)

    def beat() -> None:
        while not over.is_set():
            partitions.look()
            say()
            process_context.context.clock.wait(BEAT_S, over)

    thread = StageThread("presence", beat, over.set)
    thread.start()
    try:
        yield
    finally:
        # The last word has the final figures; it is forgotten like all others.
        thread.stop(BEAT_S)
        say(last=True)


def _remark(facts: dict[str, Any]) -> str | None:
    return "another process is at work; standing by" if facts.get("stands_by") else None


def _reloader(stage: Stage, reporter: Reporter, process_context: ProcessContext) -> Reloader:
    queues = process_context.queues

    def apply(deployment: Deployment) -> None:
        stage.update(deployment)
        reporter.cameras = deployment.cameras

    def asked() -> str | None:
        try:
            return queues.requests.asked()
        except QueueError:
            return None  # said by the queue itself

    def others() -> list[str]:
        """Of those that have to know a new camera before its frames come."""
        try:
            reports = reports_of(queues.presence).values()
        except QueueError:
            return []
        return [
            report.request if report.request and report.outcome not in APPLIED else report.version
            for report in reports
            if report.stage != stage.name and not report.is_last
        ]

    return Reloader(
        process_context.file,
        apply,
        process_context.context.clock,
        engines=lambda: stage.engines,
        asked=asked,
        others=others if stage.name == "sampling" else None,
    )


def _look_after(
    stage: Stage,
    partitions: SharedPartitions,
    reloader: Reloader,
    process_context: ProcessContext,
) -> None:
    stop = process_context.stop
    while not stop.is_set() and not stage.finished and stage.failure is None:
        if partitions.refusal is not None:
            return
        if process_context.hang_up.is_set():
            process_context.hang_up.clear()
            reloader.hang_up()
        reloader.poll()
        stage.poll()
        stop.wait(_LOOK_S)


def _tried_on(attempt: Callable[[], T], process_context: ProcessContext) -> T:
    """What `attempt` gives, once the store lets it."""
    said = False
    while True:
        try:
            done = attempt()
        except StoreError as error:
            if not said:
                logger.error("store is not responding; retrying: %s", error)  # noqa: TRY400
            said = True
            if process_context.context.clock.wait(_STORE_RETRY_S, process_context.stop):
                raise
        else:
            if said:
                logger.info("store is responding again")
            return done
