"""Where the processes of a deployment meet: in Redis where they share one, else in the store."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from connectors.queues.redis import RedisConfig
from pipeline.core.clock import Clock
from pipeline.core.membership import Presence, Requests
from pipeline.deployment.model import Deployment


@dataclass(frozen=True, slots=True)
class MeetingPoint:
    """Which processes are running, and what is requested of them."""

    presence: Presence
    requests: Requests


@contextmanager
def meeting_point(deployment: Deployment, clock: Clock) -> Iterator[MeetingPoint]:
    """Open it without running a stage; raises StoreError, its methods QueueError or StoreError."""
    if isinstance(deployment.queue, RedisConfig):
        queues = deployment.queue.build(clock)
        try:
            yield MeetingPoint(queues.presence, queues.requests)
        finally:
            queues.close()
    else:
        store = deployment.store.build(clock)
        try:
            yield MeetingPoint(store.presence, store.requests)
        finally:
            store.close()
