"""A Redis that answers and does not do its work: said once with the way out, and once when over."""

import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.queues.redis.client.condition import read_info, troubles_in
from connectors.queues.redis.queue import RedisQueues
from pipeline.core.clock import SystemClock
from pipeline.core.errors import QueueError
from pipeline.deployment.loader import load
from pipeline.insight.status import status_of
from pipeline.runtime.stage_process import ServerWatch
from pipeline.testing import ManualClock, wait_until
from tests.connectors.queues.redis.tools import config
from tests.contracts.queue_tools import a_job
from tests.redis_server import GIVEN, Server, binary
from tests.runtime.clips import CLIP, camera, deployment, written

pytestmark = [
    pytest.mark.redis,
    pytest.mark.skipif(binary() is None, reason=f"no redis-server to start; {GIVEN} is no help"),
]
PASSWORD = "hunter2"
Start = Callable[..., Server]


@pytest.fixture(name="start")
def _start() -> Iterator[Start]:
    """Starts servers with options; they are gone afterwards."""
    servers: list[Server] = []

    def start(*options: str) -> Server:
        servers.append(Server(("--save", "", "--appendonly", "no", *options)).start())
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def queues_of(server: Server, clock: ManualClock, **keys: Any) -> RedisQueues:
    """A queue whose time only moves when told."""
    return config(server.url, "wild", **keys).build(clock)


def put(queues: RedisQueues, ordinal: int) -> bool:
    """Offer a live frame; whether it was taken."""
    try:
        return queues.jobs.put(a_job(ordinal=ordinal, live=True), 0).accepted
    except QueueError:
        return False


def said(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    """Everything logged at a level or above."""
    return [one.getMessage() for one in caplog.records if one.levelno >= level]


def status(folder: Path, server: Server, **keys: Any) -> list[str]:
    """What `status` says is wrong with the server."""
    queue = {"type": "redis", "url": server.url, "prefix": "wild"} | keys
    file = written(folder, deployment(folder, {"plaza": camera(CLIP)}, queue=queue))
    found = status_of(load(file, []), SystemClock())
    assert found.ok is False
    return [trouble for trouble in found.troubles if trouble.startswith("redis at ")]


def test_a_full_one_is_said_once_until_it_takes_frames_again(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At `maxmemory` it refuses a hundred frames, takes one, refuses again: two lines in all."""
    caplog.set_level(logging.INFO)
    server, clock = start(), ManualClock()
    queues, client = queues_of(server, clock), server.client()
    assert put(queues, 0)
    client.config_set("maxmemory", "1")
    for ordinal in range(1, 100):
        assert not put(queues, ordinal)
        clock.advance(0.5)
    client.config_set("maxmemory", "0")
    assert put(queues, 200)
    client.config_set("maxmemory", "1")
    assert not put(queues, 201)
    [line] = said(caplog)
    assert "is full and takes no more frames; raise its `maxmemory`" in line
    before = queues.link.trouble
    assert before == line
    [trouble] = status(tmp_path, server)
    assert "is full (" in trouble
    assert "raise its `maxmemory`" in trouble
    client.config_set("maxmemory", "0")
    clock.advance(6.0)
    assert put(queues, 300)
    assert said(caplog, logging.INFO)[1:] == [
        f"redis at 127.0.0.1:{server.port} takes frames again"
    ]
    assert queues.link.trouble is None
    queues.close()


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_one_that_evicts_is_named(start: Start, tmp_path: Path, policy: str) -> None:
    """It would delete frames, results and positions without a word."""
    server = start("--maxmemory", "100mb", "--maxmemory-policy", policy)
    [trouble] = status(tmp_path, server)
    assert f"`maxmemory-policy {policy}`" in trouble
    assert trouble.endswith("set `maxmemory-policy noeviction`")


def test_how_many_keys_were_evicted_is_said(start: Start, tmp_path: Path) -> None:
    """Some are gone already."""
    server = start("--maxmemory-policy", "allkeys-lru")
    client = server.client()
    for number in range(100):
        client.set(f"key{number}", "x" * 1000)
    client.config_set("maxmemory", str(client.info("memory")["used_memory"] - 20_000))
    client.set("one more", "x" * 1000)
    [trouble] = status(tmp_path, server)
    evicted = client.info("stats")["evicted_keys"]
    assert evicted > 0
    assert f"it has evicted {evicted} keys since its start" in trouble


def test_one_without_a_limit_evicts_nothing_whatever_its_policy(
    start: Start, tmp_path: Path
) -> None:
    """Without `maxmemory` the policy does not matter."""
    assert status(tmp_path, start("--maxmemory-policy", "allkeys-lru")) == []


def test_a_replica_is_said_once(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It answers to everything that reads and refuses everything that writes."""
    caplog.set_level(logging.INFO)
    primary = start("--repl-diskless-sync-delay", "0")
    replica, clock = start("--replicaof", "127.0.0.1", str(primary.port)), ManualClock()
    client = replica.client()
    wait_until(lambda: client.info("replication")["master_link_status"] == "up")
    queues = queues_of(replica, clock)
    for ordinal in range(20):
        assert not put(queues, ordinal)
        queues.jobs.ping()
    [line] = said(caplog, logging.INFO)
    assert line.startswith(f"redis at 127.0.0.1:{replica.port} is a read-only replica; point ")
    [trouble] = status(tmp_path, replica)
    assert "is a read-only replica" in trouble
    client.replicaof("no", "one")
    clock.advance(6.0)
    assert put(queues, 30)
    assert said(caplog, logging.INFO)[1:] == [
        f"redis at 127.0.0.1:{replica.port} takes frames again"
    ]
    queues.close()


def test_one_that_cannot_save_is_said_once(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its disk is gone, so it refuses all writes."""
    server, clock = start(), ManualClock()
    queues, client = queues_of(server, clock), server.client()
    assert put(queues, 0)
    shutil.rmtree(server.folder)
    client.config_set("save", "3600 1")
    client.bgsave()
    wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
    for ordinal in range(1, 20):
        assert not put(queues, ordinal)
    [line] = said(caplog)
    assert "cannot save to its disk; free space there" in line
    assert any("could not write a snapshot" in one for one in status(tmp_path, server))
    client.config_set("stop-writes-on-bgsave-error", "no")
    clock.advance(6.0)
    assert put(queues, 30)
    assert queues.link.trouble is None
    queues.close()


def test_a_user_who_may_not_ask_is_no_trouble(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """Where INFO is not permitted nothing is known of the server, and nothing is logged."""
    server = start()
    client = server.client()
    client.execute_command("ACL", "SETUSER", "moon", "on", f">{PASSWORD}", "~*", "+@all", "-info")
    queues = queues_of(server, ManualClock(), username="moon", password=PASSWORD)
    assert queues.link.condition() == {}
    assert put(queues, 0)
    assert said(caplog) == []
    queues.close()


def test_a_command_that_is_not_permitted_is_said_once(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """The ACL forbids what a put needs; the log names the call and where the rules stand."""
    caplog.set_level(logging.INFO)
    server, clock = start(), ManualClock()
    client = server.client()
    client.execute_command("ACL", "SETUSER", "moon", "on", f">{PASSWORD}", "~*", "+@all", "-xadd")
    queues = queues_of(server, clock, username="moon", password=PASSWORD)
    for ordinal in range(10):
        assert not put(queues, ordinal)
    [line] = said(caplog)
    assert "refuses put: " in line
    assert line.endswith("the commands and keys that docs/operations.md names")
    assert PASSWORD not in line
    client.execute_command("ACL", "SETUSER", "moon", "+xadd")
    clock.advance(6.0)
    assert put(queues, 20)
    assert said(caplog, logging.INFO)[1:] == [f"redis at 127.0.0.1:{server.port} accepts put again"]
    queues.close()


def test_what_a_process_finds_of_its_server_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With figures that change all the time, and its end."""
    caplog.set_level(logging.INFO)
    clock, used = ManualClock(), [99]
    watch = ServerWatch(
        lambda: {"full": f"redis is full ({used[0]} MB)"} if used[0] > 90 else {}, clock
    )
    for megabytes in (99, 98, 97, 50, 49):
        used[0] = megabytes
        watch.look()
        clock.advance(6.0)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["redis is full (99 MB)", "no longer: redis is full (97 MB)"]
    assert watch.troubles == []


@pytest.mark.parametrize(
    ("told", "word"),
    [
        ("loading:1", "loading"),
        ("role:slave", "replica"),
        ("aof_last_write_status:err", "broken"),
        ("maxmemory:100\r\nused_memory:99\r\nmaxmemory_policy:noeviction", "full"),
        ("maxmemory:100\r\nused_memory:9\r\nmaxmemory_policy:volatile-lfu", "evicts"),
    ],
)
def test_each_trouble_has_a_way_out(told: str, word: str) -> None:
    """Whatever a server says of itself becomes one sentence with what helps."""
    [(kind, sentence)] = troubles_in("redis at shop:6379", read_info(told.encode()))
    assert kind == word
    assert sentence.startswith("redis at shop:6379 ")
    assert ";" in sentence


@pytest.mark.parametrize(
    "told", ["", "maxmemory:0\r\nused_memory:99", "maxmemory:many", "role:master"]
)
def test_a_server_that_is_well_is_not_mentioned(told: str) -> None:
    """Nor one that says less than usual, or what cannot be read."""
    assert list(troubles_in("redis", read_info(told.encode()))) == []
