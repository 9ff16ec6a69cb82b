"""A process for the model of a Redis queue, whose lines break and whose answers are lost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import redis

from connectors.queues.redis.client.lines import Command, Lines
from connectors.queues.redis.queue import RedisQueues
from connectors.queues.redis.results import PartitionResults
from pipeline.core.errors import LeaseLostError, QueueError
from pipeline.core.queues import Delivered
from pipeline.testing import ManualClock
from tests.connectors.queues.redis import spec as spec
from tests.connectors.queues.redis.tools import config
from tests.redis_server import Redis

T = TypeVar("T")


class Unheard:
    """Lines on which an answer is lost now and then, after Redis did what it was told."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self.lost_in = 0
        """The answer that is lost, counted from the next one; none for 0."""

    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """The answers, unless they are lost."""
        answers = self._lines.exchange(commands)
        self.lost_in -= 1
        if self.lost_in == 0:
            raise redis.ConnectionError("its answer was lost")
        return answers

    def close(self) -> None:
        """Let go of the connections."""
        self._lines.close()


@dataclass
class View:
    """The results a node owns, and what it was told of them."""

    results: PartitionResults
    numbers: frozenset[int]
    held: list[Delivered] = field(default_factory=list)
    seen: set[tuple[int, str]] = field(default_factory=set)
    owed: list[Delivered] = field(default_factory=list)


class Node:
    """A process with a sampler, a worker and a processor, on lines that may break."""

    def __init__(self, number: int, server: Redis, prefix: str) -> None:
        self.name = f"node-{number}"
        self.clock = ManualClock()
        rooms = {
            "partitions": spec.PARTITIONS,
            "live_room": spec.LIVE_ROOM,
            "file_room": spec.FILE_ROOM,
            "results_room": spec.RESULTS_ROOM,
            "max_attempts": spec.MAX_ATTEMPTS,
            "dead_letters": spec.DEAD_LETTERS,
        }
        self.queues: RedisQueues = config(server.url, prefix, **rooms).build(self.clock)
        link = self.queues.link
        self.lines = link._lines = Unheard(link._connected())
        self.tokens: dict[int, int] = {}
        self.view = self.look()

    def look(self) -> View:
        """A new view of what it owns."""
        partitions = self.queues.results.partition(self.tokens)
        self.view = View(partitions, frozenset(self.tokens))
        return self.view

    def call(self, work: Callable[[], T]) -> tuple[T | None, bool]:
        """What it returns, and whether an answer was lost; it can be reached again then."""
        losses = self.queues.link.losses
        try:
            reply = work()
        except QueueError as error:
            if isinstance(error, LeaseLostError):
                raise
            reply = None
        lost = self.queues.link.losses != losses
        assert lost or reply is not None
        if lost:
            self.clock.advance(60)
            self.view.seen.clear()
        return reply, lost

    def surely(self, work: Callable[[], T]) -> T:
        """What it returns once no answer is lost."""
        while True:
            reply, lost = self.call(work)
            if not lost:
                assert reply is not None
                return reply


def done(work: Callable[..., object], *given: object) -> bool:
    """Do what returns nothing, so that it can be told from what was not heard."""
    work(*given)
    return True
