"""What engines cost is counted by all workers together, and forgotten once it is over."""

from collections.abc import Iterator

import pytest

from connectors.queues.redis.queue import RedisQueues
from pipeline.core.spending import Spending
from tests.connectors.queues.redis import tools
from tests.connectors.queues.redis.tools import built
from tests.contracts.spending import DAY, HOUR, SharedSpendingContract
from tests.redis_server import Redis

pytestmark = pytest.mark.redis
program = tools._program
server = tools._server
prefix = tools._prefix


class TestRedis(SharedSpendingContract):
    """Counters in Redis."""

    @pytest.fixture(autouse=True)
    def _own(self, server: Redis, prefix: str) -> Iterator[None]:
        self._server, self._prefix = server, prefix
        self._open: list[RedisQueues] = []
        yield
        for queues in self._open:
            queues.close()

    def opened(self) -> Spending:
        """Another connection to the same server."""
        self._open.append(built(self._server.url, self._prefix))
        return self._open[-1].spending

    def test_each_count_is_forgotten(self, spending: Spending) -> None:
        """An hour after its end at the latest."""
        spending.spend("vlm", 1, [HOUR, DAY])
        client = self._server.client
        names = sorted(client.keys(f"*{self._prefix}*spent*"))
        assert [client.ttl(name) // 3600 for name in names] in ([24, 1], [25, 2])

    def test_a_full_redis_counts_on(self, spending: Spending) -> None:
        """Else nothing could be asked until somebody frees it."""
        before = self._server.client.config_get("maxmemory")["maxmemory"]
        self._server.client.config_set("maxmemory", "1")
        try:
            assert spending.spend("vlm", 3, [HOUR]) is None
            assert spending.spend("vlm", 1, [HOUR]) == HOUR
        finally:
            self._server.client.config_set("maxmemory", before)
