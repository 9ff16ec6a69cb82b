"""The Redis queue keeps the contract that the queue in memory keeps."""

import pytest

from pipeline.core.queues import Queues
from tests.connectors.queues.redis import tools
from tests.connectors.queues.redis.tools import built
from tests.contracts import queues as job_contracts
from tests.contracts import results as result_contracts
from tests.contracts.queue_tools import Limits
from tests.redis_server import Redis

pytestmark = pytest.mark.redis
program = tools._program
server = tools._server
prefix = tools._prefix


class _Redis:
    """Builds a queue under a prefix of its own, and ends leases by the server's own commands."""

    @pytest.fixture(autouse=True)
    def _own(self, server: Redis, prefix: str) -> None:
        self._server, self._prefix = server, prefix

    def build(self, limits: Limits) -> Queues:
        """A queue with these bounds."""
        return built(
            self._server.url,
            self._prefix,
            live_room=limits.live_room,
            file_room=limits.file_room,
            results_room=limits.results_room,
            max_attempts=limits.max_attempts,
        )

    def expire(self) -> None:
        """Make everything pending idle for longer than a lease."""
        tools.expire(self._server, self._prefix)

    def dispose(self, queues: Queues) -> None:
        """Let go of the connections."""
        queues.close()  # type: ignore[attr-defined]


class TestJobs(_Redis, job_contracts.JobContract):
    """Jobs in Redis."""


class TestRoom(_Redis, job_contracts.RoomContract):
    """Room in Redis."""


class TestFairness(_Redis, job_contracts.FairnessContract):
    """Fairness in Redis."""


class TestLeases(_Redis, job_contracts.LeaseContract):
    """Leases in Redis."""


class TestResults(_Redis, result_contracts.ResultContract):
    """Results in Redis."""
