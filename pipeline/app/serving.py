"""One stage as a process: started, looked after, asked how it is, ended when told to."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from connectors.queues.memory import MemoryConfig
from connectors.queues.redis import RedisQueues
from pipeline.app.agreement import SharedPartitions
from pipeline.app.deployment import Deployment
from pipeline.app.reports import BEAT_S, Facts, Reporter
from pipeline.app.stages import Stage, Surroundings
from pipeline.app.threads import StageThread
from pipeline.core.clock import Clock, SystemClock
from pipeline.core.errors import ConfigError, MoonwatchError, Problem, QueueError, StoreError
from pipeline.telemetry.http import Address, Telling, answering
from pipeline.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from connectors.stores.sql import SqlStore

logger = logging.getLogger(__name__)

T = TypeVar("T")

DRAIN_S = 5.0
_LOOK_S = 0.1
_STORE_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Workplace:
    """What a stage's process has: the queue that it shares with others, and its own figures."""

    around: Surroundings
    queues: RedisQueues
    http: Address | None
    stop: threading.Event


def shared_queues(deployment: Deployment, clock: Clock) -> RedisQueues:
    """The queue that processes share; raises ConfigError where it is this process's own."""
    if isinstance(deployment.queue, MemoryConfig):
        message = (
            "is `memory`, which ends with its process; name a Redis, or run all stages in one "
            "process with `moonwatch run`"
        )
        raise ConfigError([Problem("queue", message)])
    return deployment.queue.build(clock)


def workplace(deployment: Deployment, http: Address | None, stop: threading.Event) -> Workplace:
    """A place for one stage; raises ConfigError where there is no queue to share."""
    clock = SystemClock()
    queues = shared_queues(deployment, clock)
    around = Surroundings(deployment, queues, Metrics(), clock)
    return Workplace(around, queues, http, stop)


Make = Callable[[Reporter], tuple[Stage, Facts]]
"""Makes the stage, and what it adds to its process's report."""


def serve(name: str, make: Make, place: Workplace, *, surely_agreed: bool = False) -> None:
    """Work until told to stop, or until there is nothing left to do.

    Raises MoonwatchError when the stage fails, and ConfigError where the processes at work divide
    the results in another way. Where the queue is away that is found once it answers; a stage that
    must be `surely_agreed` is not begun before.
    """
    about = _About(place)
    reporter = Reporter(name, place.around, about.not_ready)
    metrics = place.around.metrics
    telling = Telling(about.not_ready, metrics.exposition, lambda: _remark(reporter.facts()))
    queues = place.queues
    partitions = SharedPartitions(queues.agreement, queues.results.partitions, place.around.clock)
    try:
        with answering(place.http, telling), _beating(reporter, partitions, place):
            if not partitions.settle(place.stop, surely=surely_agreed):
                return
            stage, reporter.facts = make(reporter)
            try:
                _tried_on(stage.start, place)
                about.stage = stage
                _look_after(stage, partitions, place.stop)
            finally:
                stage.stop(DRAIN_S)
    finally:
        queues.close()
    if partitions.refusal is not None:
        raise partitions.refusal
    if stage.failure is not None:
        raise MoonwatchError(stage.failure)


def opened_store(place: Workplace) -> "SqlStore":
    """The store, waited for until it can be opened; raises StoreError when told to stop."""
    return _tried_on(lambda: place.around.deployment.store.build(place.around.clock), place)


def stop_with_parent(stop: threading.Event) -> None:
    """Stop when the process that holds our standard input ends, however it does."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        stop.set()

    threading.Thread(target=watch, name="parent", daemon=True).start()


class _About:
    """Whether the process is at work."""

    def __init__(self, place: Workplace) -> None:
        self.stage: Stage | None = None
        self._place = place

    def not_ready(self) -> str | None:
        try:
            self._place.queues.jobs.ping()
        except QueueError as error:
            return str(error)
        return "is starting" if self.stage is None else self.stage.ready()


@contextmanager
def _beating(reporter: Reporter, partitions: SharedPartitions, place: Workplace) -> Iterator[None]:
    over = threading.Event()

    def say(*, last: bool = False) -> None:
        # Who differs is not to be counted among those who share the work.
        if not partitions.differ:
            reporter.beat(place.queues.presence, last=last)

    def beat() -> None:
        while not over.is_set():
            partitions.look()
            say()
            place.around.clock.wait(BEAT_S, over)

    thread = StageThread("presence", beat, over.set)
    thread.start()
    try:
        yield
    finally:
        # The last word has the final figures; it is forgotten like all others.
        thread.stop(BEAT_S)
        say(last=True)


def _remark(facts: dict[str, Any]) -> str | None:
    return "another process is at work, standing by" if facts.get("stands_by") else None


def _look_after(stage: Stage, partitions: SharedPartitions, stop: threading.Event) -> None:
    while not stop.is_set() and not stage.finished and stage.failure is None:
        if partitions.refusal is not None:
            return
        stage.tend()
        stop.wait(_LOOK_S)


def _tried_on(attempt: Callable[[], T], place: Workplace) -> T:
    """What `attempt` gives, once the store lets it."""
    said = False
    while True:
        try:
            done = attempt()
        except StoreError as error:
            if not said:
                logger.error("store does not answer, trying on: %s", error)  # noqa: TRY400
            said = True
            if place.around.clock.wait(_STORE_RETRY_S, place.stop):
                raise
        else:
            if said:
                logger.info("store answers again")
            return done
