"""What the tests of the Redis queue share: a queue of its own for each test, leases that end."""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from connectors.queues.redis import RedisConfig
from connectors.queues.redis.queue import RedisQueues
from pipeline.core.clock import SystemClock
from tests.redis_server import Client, Redis, leaks, needed, shared, tested

# Longer than any test: leases end when a test says so, not when a machine is slow.
VISIBILITY_MS = 600_000
A_WHILE = timedelta(minutes=10)


@pytest.fixture(scope="module", name="program", params=tested())
def _program(request: pytest.FixtureRequest) -> str | None:
    """What starts a server: whoever asks for one is tested on Redis, old and new, and on Valkey."""
    return needed(request.param)


@pytest.fixture(scope="module", name="server")
def _server(program: str | None) -> Iterator[Redis]:
    """One server for the tests of a module."""
    yield from shared(program)


@pytest.fixture(name="prefix")
def _prefix(server: Redis) -> Iterator[str]:
    """A prefix of the test's own; afterwards every key under it must expire or be bounded."""
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    yield prefix
    found = leaks(server.client, prefix)
    keys = server.client.keys(f"{{{prefix}}}*")
    if keys:
        server.client.delete(*keys)
    assert not found, found


def config(url: str, prefix: str, **keys: Any) -> RedisConfig:
    """The configuration of a queue on a test's server."""
    given = {"visibility": f"{VISIBILITY_MS}ms", "live_age": "1h"} | keys
    return RedisConfig.model_validate({"type": "redis", "url": url, "prefix": prefix} | given)


def built(url: str, prefix: str, **keys: Any) -> RedisQueues:
    """A queue on a test's server."""
    return config(url, prefix, **keys).build(SystemClock())


def expire(server: Redis, prefix: str) -> None:
    """Let every lease given out so far run out."""
    expire_all(server.client, prefix)


def expire_all(client: Client, prefix: str) -> None:
    """Make everything pending idle for longer than a lease, by the server's own commands."""
    for kind, group in (("lane", "workers"), ("results", "processors")):
        for stream in client.keys(f"{{{prefix}}}:{kind}:*"):
            pending = client.xpending_range(stream, group, "-", "+", 10_000)
            for one in pending:
                client.xclaim(
                    *(stream, group, one["consumer"], 0, [one["message_id"]]),
                    idle=VISIBILITY_MS + 1,
                    retrycount=one["times_delivered"],
                    justid=True,
                )
    for due in client.keys(f"{{{prefix}}}:due:*"):
        for lane in client.zrange(due, 0, -1):
            client.zadd(due, {lane: 0})
