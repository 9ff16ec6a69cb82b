"""A setting holds for all processes while one of them says so."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from connectors.queues.redis.queue import RedisQueues
from pipeline.core.membership import Agreement
from pipeline.testing import wait_until
from tests.connectors.queues.redis import tools
from tests.connectors.queues.redis.tools import A_WHILE, built
from tests.redis_server import Redis

BRIEF = timedelta(milliseconds=50)
pytestmark = pytest.mark.redis
program = tools._program
server = tools._server
prefix = tools._prefix


@pytest.fixture
def queues(server: Redis, prefix: str) -> Iterator[RedisQueues]:
    """A queue of the test's own."""
    queues = built(server.url, prefix)
    yield queues
    queues.close()


def test_the_first_value_holds(queues: RedisQueues) -> None:
    """A process that comes later with another value is told, and changes nothing."""
    agreement: Agreement = queues.agreement
    assert agreement.agree("partitions", 8, A_WHILE) == 8
    assert agreement.agree("partitions", 4, A_WHILE) == 8
    assert agreement.agree("partitions", 8, A_WHILE) == 8
    assert agreement.agree("other", 4, A_WHILE) == 4


def test_a_value_that_nobody_says_any_more_is_forgotten(queues: RedisQueues) -> None:
    """Being told of it does not keep it alive."""
    assert queues.agreement.agree("partitions", 8, BRIEF) == 8
    wait_until(lambda: queues.agreement.agree("partitions", 4, A_WHILE) == 4)
    assert queues.agreement.agree("partitions", 8, BRIEF) == 4


def test_a_full_redis_can_be_agreed_in(queues: RedisQueues, server: Redis) -> None:
    """Whoever is to free it must be able to start."""
    before = server.client.config_get("maxmemory")["maxmemory"]
    server.client.config_set("maxmemory", "1")
    try:
        assert queues.agreement.agree("partitions", 8, A_WHILE) == 8
    finally:
        server.client.config_set("maxmemory", before)
