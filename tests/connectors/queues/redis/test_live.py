"""Live pictures through a real Redis."""

from collections.abc import Iterator

import msgspec
import pytest

from connectors.queues.redis.queue import RedisQueues
from pipeline.core.errors import QueueError
from pipeline.core.live import LiveBoard
from tests.connectors.queues.redis import tools
from tests.connectors.queues.redis.tools import built
from tests.contracts.live import PREVIEW, LiveContract, until
from tests.redis_server import Redis, Server

pytestmark = pytest.mark.redis
program = tools._program
server = tools._server
prefix = tools._prefix


@pytest.fixture(name="queues")
def _queues(server: Redis, prefix: str) -> Iterator[RedisQueues]:
    """A queue of the test's own."""
    queues = built(server.url, prefix)
    yield queues
    queues.close()


class TestRedisLive(LiveContract):
    """In Redis."""

    @pytest.fixture
    def board(self, queues: RedisQueues) -> LiveBoard:
        """The board of the queue."""
        return queues.live


def test_everything_live_expires_soon(queues: RedisQueues, server: Redis, prefix: str) -> None:
    """Within seconds after the last who watched."""
    queues.live.watch({"door": 480})
    queues.live.show(PREVIEW)
    lives = {kind: server.client.pttl(f"{{{prefix}}}:{kind}:door") for kind in ("watch", "preview")}
    assert 0 < lives["watch"] <= 10_000
    assert 0 < lives["preview"] <= 5_000


def test_the_widest_of_those_who_watch_is_asked_for(queues: RedisQueues) -> None:
    """Another process that wants less does not take it from him."""
    queues.live.watch({"door": 640})
    queues.live.watch({"door": 320})
    assert queues.live.watched("door") == 640


def test_what_others_wrote_there_is_nothing_to_show(
    queues: RedisQueues, server: Redis, prefix: str
) -> None:
    """Pictures of another camera, out of range or of another program are left out."""
    stream = f"{{{prefix}}}:preview:door"
    wrong = [
        b"nonsense",
        msgspec.msgpack.encode({"camera": "door"}),
        msgspec.msgpack.encode(PREVIEW).replace(b"door", b"till"),
        msgspec.msgpack.encode({**msgspec.structs.asdict(_Like()), "captured_at": 1e300}),
    ]
    queues.live.show(PREVIEW)
    for data in wrong:
        server.client.xadd(stream, {"shown": data})
    server.client.xadd(stream, {"other": b"x"})
    assert queues.live.reader().take(["door"], 1.0) == [PREVIEW]


class _Like(msgspec.Struct):
    camera: str = "door"
    run: str = "run"
    seq: int = 1
    captured_at: float = 1.0
    size_wh: tuple[int, int] = (2, 2)
    jpeg: bytes = b""


def test_nobody_watches_while_redis_is_away(program: str | None) -> None:
    """Samplers and processors go on; who reads hears why there is nothing."""
    server = Server(program=program)
    server.start()
    queues = built(server.url, "away")
    try:
        queues.live.watch({"door": 480})
        until(lambda: queues.live.watched("door") == 480)
        server.kill()
        until(lambda: queues.live.watched("door") is None)
        queues.live.show(PREVIEW)
        server.start()

        def is_watched() -> bool:
            try:
                queues.live.watch({"door": 480})
            except QueueError:
                return False
            return queues.live.watched("door") == 480

        until(is_watched)
    finally:
        queues.close()
        server.close()
