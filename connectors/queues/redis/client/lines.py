"""Connections to Redis that stay open between calls, and several commands in one round trip.

redis-py's own pool asks every connection, each time it is lent, whether it still lives, looks at
every argument, and sends each large one by itself. A frame's whole way through Redis, with a
ready-made picture of 60 kB, takes 1.39 times the processor time that way (1.36 to 1.64 in eleven
rounds). With a JPEG compressed and read at its ends it is 1.02 (0.99 to 1.08): what is saved counts
where Redis is the bottleneck, not on a machine that also makes the pictures. See
`benchmarks/queue_lines.py`. The calls are those of redis-py's pool and its connections, which
`test_lines.py` looks at.
"""

import os
import threading
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.core.clock import Clock

if TYPE_CHECKING:
    import redis

Command = tuple[str | bytes | float, ...]
"""A command's name and its arguments, the number of keys among them where it has one."""

# A connection that rested for longer is asked whether it lives; a server may close idle ones.
_FRESH_S = 1.0


class Lines(Protocol):
    """A way to send commands and to hear what is answered."""

    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """The answers, a refusal of Redis as the exception that it is.

        Raises redis.RedisError or OSError when an answer was lost.
        """
        ...

    def close(self) -> None:
        """Let go of the connections; those in use end with their call."""
        ...


class OpenLines:
    """Connections of one server, at most as many as threads that call at the same time."""

    def __init__(self, client: "redis.Redis", clock: Clock) -> None:
        import hiredis
        import redis

        self._packed: Any = hiredis.pack_command
        self._lost, self._refused = redis.ReadOnlyError, redis.ResponseError
        self._client = client
        self._pool: Any = client.connection_pool
        self._clock = clock
        self._resting: deque[tuple[Any, float]] = deque()
        self._closed = threading.Event()
        self._process = os.getpid()

    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """All commands leave in one piece, and their answers are read in turn."""
        connection = self._take()
        try:
            connection.send_packed_command([b"".join(map(self._packed, commands))])
            answers = [self._answer(connection) for _ in commands]
        except BaseException:
            # What is still to come on it would be taken for the answer to something else. And the
            # others have most likely lost the same server.
            self._drop(connection)
            self._drop_resting()
            raise
        self._resting.append((connection, self._clock.monotonic()))
        if self._closed.is_set():
            self._drop_resting()
        return answers

    def close(self) -> None:
        """Let go of the connections; those in use end with their call."""
        self._closed.set()
        self._drop_resting()
        self._client.close()

    def _answer(self, connection: Any) -> Any:
        try:
            return connection.read_response()
        except self._lost:
            raise
        except self._refused as refusal:
            return refusal

    def _take(self) -> Any:
        if self._process != os.getpid():
            # Those of before a fork are the parent's, which would be given our answers.
            self._process = os.getpid()
            self._resting.clear()
        try:
            connection, since = self._resting.pop()
        except IndexError:
            return self._pool.get_connection()
        if self._clock.monotonic() - since < _FRESH_S:
            return connection
        self._pool.release(connection)
        return self._pool.get_connection()

    def _drop(self, connection: Any) -> None:
        connection.disconnect()
        self._pool.release(connection)

    def _drop_resting(self) -> None:
        while self._resting:
            try:
                connection, _ = self._resting.pop()
            except IndexError:
                return
            self._drop(connection)


class ClusterLines:
    """A cluster's client finds the node; it takes no scripts into a pipeline, so one by one."""

    def __init__(self, client: "redis.RedisCluster") -> None:
        import redis

        self._lost = (redis.ReadOnlyError, redis.exceptions.ClusterError)
        self._refused = redis.ResponseError
        self._client: Any = client

    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Each command in a round trip of its own."""
        answers = []
        for command in commands:
            try:
                answers.append(self._client.execute_command(*command))
            except self._lost:
                raise
            except self._refused as refusal:
                answers.append(refusal)
        return answers

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()


def opened(client: "redis.Redis | redis.RedisCluster", clock: Clock) -> Lines:
    """The lines of a client."""
    import redis

    if isinstance(client, redis.RedisCluster):
        return ClusterLines(client)
    return OpenLines(client, clock)
