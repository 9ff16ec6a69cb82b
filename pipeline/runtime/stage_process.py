"""One stage as a process: its start, its health, its regular work and its end."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from connectors.queues.redis.queue import RedisQueues
from pipeline.core.clock import Clock, SystemClock
from pipeline.core.errors import ConfigError, MoonwatchError, Problem, QueueError, StoreError
from pipeline.core.membership import Agreement
from pipeline.core.retrying import Backoff, Rests, SaidOnce, until_done
from pipeline.deployment.model import Deployment
from pipeline.runtime.reload import APPLIED, DeploymentFile, Reloader
from pipeline.runtime.reports import BEAT_S, TTL, Facts, Reporter, reports_of
from pipeline.runtime.stages.base import Stage, StageContext, StageThread
from pipeline.telemetry.http import HealthAnswers, ListenAddress, MakesPage, answering
from pipeline.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from connectors.stores.sql import SqlStore


logger = logging.getLogger(__name__)
T = TypeVar("T")
DRAIN_S = 5.0
_LOOK_S = 0.1
_STORE_RESTS = Rests(1.0, 1.0, jitter=0.0)
_SETTLE_LOOK_S = 0.05
# How often the queue's server is asked how it is.
_SERVER_LOOK_S = 5.0


class SharedPartitions:
    """Compares the number of partitions with other processes'. One thread looks, one waits."""

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
        """Whether other running processes have a different number, or had until a moment ago."""
        return self._others is not None

    @property
    def refusal(self) -> ConfigError | None:
        """Why this process cannot continue; None while it can.

        Before it starts work it allows the others the time after which they count as gone, in case
        they have just ended.
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
        """Ask, and tell the others. Nothing is known while the queue is out of reach."""
        try:
            found = self._agreement.agree("partitions", self._partitions, TTL)
        except QueueError:  # the queue reports it; the next look tries again
            self._asked = True
            return
        if found == self._partitions:
            self._agreed, self._others = True, None
        elif found != self._others:
            self._others_since, self._others = self._clock.monotonic(), found
            logger.warning("%d partitions here, %d in other processes", self._partitions, found)
        self._asked = True

    def settle(self, stop: threading.Event, *, surely: bool) -> bool:
        """Wait until work may begin; False if `stop` is set meanwhile. Raises ConfigError.

        If the queue is out of reach work may begin, and is stopped later if the numbers differ,
        unless they have to agree `surely`.
        """
        while self.differ or not (self._agreed or (self._asked and not surely)):
            refusal = self.refusal
            if refusal is not None:
                raise refusal
            if stop.wait(_SETTLE_LOOK_S):
                return False
        self._at_work = True
        return True


class ServerWatch:
    """Asks the queue's server now and then how it is; each trouble is logged once, and its end."""

    def __init__(self, ask: Callable[[], Mapping[str, str]], clock: Clock) -> None:
        """`ask` returns a sentence for each kind of trouble; raises QueueError."""
        self._ask = ask
        self._clock = clock
        self._next_at = float("-inf")
        self._said: dict[str, str] = {}

    @property
    def troubles(self) -> Sequence[str]:
        """What was wrong the last time."""
        return list(self._said.values())

    def look(self) -> None:
        """Ask again, if the last time is long enough ago. Called by one thread."""
        now = self._clock.monotonic()
        if now < self._next_at:
            return
        self._next_at = now + _SERVER_LOOK_S
        try:
            found = dict(self._ask())
        except QueueError:
            return  # the queue reports it
        for kind, sentence in found.items():
            if kind not in self._said:
                logger.warning("%s", sentence)
        for kind, sentence in self._said.items():
            if kind not in found:
                logger.info("no longer: %s", sentence)
        self._said = found


@dataclass(frozen=True, slots=True)
class ProcessContext:
    """What a stage's process works with: the queue that it shares, and its own figures."""

    context: StageContext
    queues: RedisQueues
    http: ListenAddress | None
    stop: threading.Event
    file: DeploymentFile
    hang_up: threading.Event
    """Set by SIGHUP: the file is to be read again."""


def shared_queues(deployment: Deployment, clock: Clock) -> RedisQueues:
    """The queue that processes share; raises ConfigError if it cannot be shared."""
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
    """What a stage's process works with; raises ConfigError if the queue cannot be shared."""
    clock = SystemClock()
    deployment = file.deployment
    queues = shared_queues(deployment, clock)
    context = StageContext(deployment, queues, Metrics(), clock, queues.spending)
    return ProcessContext(context, queues, http, stop, file, hang_up)


Make = Callable[[Reporter], tuple[Stage, Facts]]
"""Makes the stage, and the facts that it adds to its process's report."""


def serve(
    name: str,
    make: Make,
    process_context: ProcessContext,
    *,
    surely_agreed: bool = False,
    files: MakesPage | None = None,
) -> None:
    """Run a stage until it is stopped or has nothing left to do.

    Raises MoonwatchError if the stage fails, and ConfigError if the running processes use a
    different number of partitions. If the queue is out of reach that is noticed once it is back; a
    stage that must be `surely_agreed` does not start before. `files` answers links.
    """
    queues = process_context.queues
    at_work: Stage | None = None

    def not_ready() -> str | None:
        try:
            queues.jobs.ping()
        except QueueError as error:
            return str(error)
        if queues.link.trouble is not None:
            return queues.link.trouble
        return "is starting" if at_work is None else at_work.ready()

    def remark() -> str | None:
        if reporter.facts().get("stands_by"):
            return "another process is at work; standing by"
        said = [at_work.remark()] if at_work is not None else []
        said.append(reporter.unforeseen.trouble)
        return "; ".join(one for one in (*server.troubles, *said) if one) or None

    reporter = Reporter(name, process_context.context, not_ready)
    metrics = process_context.context.metrics
    answers = HealthAnswers(not_ready, metrics.exposition, remark, files)
    server = ServerWatch(queues.link.condition, process_context.context.clock)
    partitions = SharedPartitions(
        queues.agreement, queues.results.partitions, process_context.context.clock
    )
    try:
        with (
            answering(process_context.http, answers),
            _beating(reporter, partitions, server, process_context),
        ):
            if not partitions.settle(process_context.stop, surely=surely_agreed):
                return
            stage, reporter.facts = make(reporter)
            reporter.reloader = _reloader(stage, reporter, process_context)
            try:
                _tried_on(stage.start, process_context)
                at_work = stage
                _poll_until_done(stage, partitions, reporter.reloader, process_context)
            finally:
                stage.stop(DRAIN_S)
    finally:
        queues.close()
    if partitions.refusal is not None:
        raise partitions.refusal
    if stage.failure is not None:
        raise MoonwatchError(stage.failure)


def opened_store(process_context: ProcessContext) -> "SqlStore":
    """The store, once it can be opened; raises StoreError if the process is stopped first."""
    return _tried_on(
        lambda: process_context.context.deployment.store.build(process_context.context.clock),
        process_context,
    )


def stop_with_parent(stop: threading.Event) -> None:
    """Stop when the process that holds our standard input ends, however it ends."""

    def watch() -> None:
        try:
            while os.read(sys.stdin.fileno(), 1024):
                pass
        finally:  # also where it cannot be read: nobody would ever say that it is over
            stop.set()

    threading.Thread(target=watch, name="parent", daemon=True).start()


@contextmanager
def _beating(
    reporter: Reporter,
    partitions: SharedPartitions,
    server: "ServerWatch",
    process_context: ProcessContext,
) -> Iterator[None]:
    over = threading.Event()

    def say(*, last: bool = False) -> None:
        # A process that differs does not count among those that share the work.
        if not partitions.differ:
            reporter.beat(process_context.queues.presence, last=last)

    def beat() -> None:
        while not over.is_set():
            for step in (partitions.look, say, server.look):
                try:
                    step()
                except Exception as error:  # noqa: BLE001 - its next report says so
                    reporter.unforeseen.happened(error)
            process_context.context.clock.wait(BEAT_S, over)

    thread = StageThread("presence", beat, over.set)
    thread.start()
    try:
        yield
    finally:
        # The last report has the final figures; it expires like all others.
        thread.stop(BEAT_S)
        say(last=True)


def _reloader(stage: Stage, reporter: Reporter, process_context: ProcessContext) -> Reloader:
    queues = process_context.queues

    def apply(deployment: Deployment) -> None:
        stage.update(deployment)
        reporter.cameras = deployment.cameras

    def asked() -> str | None:
        try:
            return queues.requests.asked()
        except QueueError:
            return None  # the queue reports it

    def others() -> list[str]:
        """The versions of the processes that must know a new camera before its frames arrive."""
        try:
            reports = reports_of(queues.presence).values()
        except QueueError:
            return []
        return [
            report.request if report.request and report.outcome not in APPLIED else report.version
            for report in reports
            if report.stage != stage.name and not (report.is_last or report.is_beside)
        ]

    return Reloader(
        process_context.file,
        apply,
        process_context.context.clock,
        engines=lambda: stage.engines,
        asked=asked,
        others=others if stage.name == "sampling" else None,
    )


def _poll_until_done(
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
    """What `attempt` returns, as soon as the store lets it; raises StoreError when stopped."""
    return until_done(
        attempt,
        StoreError,
        said=SaidOnce(logger, "store is responding again"),
        sentence=lambda error: f"store is not responding; retrying: {error}",
        backoff=Backoff(_STORE_RESTS),
        clock=process_context.context.clock,
        stop=process_context.stop,
    )
