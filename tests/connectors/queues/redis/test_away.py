"""Redis unavailable: nothing hangs or raises unexpectedly, little is lost, everything resumes."""

import logging
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from connectors.queues.redis.queue import RedisQueues
from pipeline.core.errors import LeaseLostError, QueueError
from pipeline.core.jobs import result_of
from pipeline.core.queues import Claim
from pipeline.testing import patience, wait_until
from tests.connectors.queues.redis import tools
from tests.connectors.queues.redis.tools import built
from tests.contracts.queue_tools import (
    ENGINE,
    NOT_LONG_S,
    SOON_S,
    a_job,
    answer,
    named,
)
from tests.redis_server import GIVEN, Server, binary, free_port, leaks

pytestmark = [
    pytest.mark.redis,
    pytest.mark.skipif(binary() is None, reason=f"no redis-server to start; {GIVEN} is no help"),
]
PREFIX = "test-away"
CLAIM = Claim("a|1-0|b:c:0", a_job())
program = tools._program
AOF = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture(name="lasting")
def _lasting(program: str | None) -> Iterator[Server]:
    """A server that keeps what it was told over its own death."""
    server = Server(AOF, program=program).start()
    yield server
    server.close()


def queues_of(server: Server, **keys: Any) -> RedisQueues:
    """A queue that gives up on an answer after half a second."""
    return built(server.url, PREFIX, **({"timeout": "500ms"} | keys))


def back(queues: RedisQueues) -> None:
    """Wait until the queue has noticed that Redis is there."""

    def answers() -> bool:
        try:
            queues.jobs.ping()
        except QueueError:
            return False
        return True

    wait_until(answers)


def test_nothing_needs_a_redis_to_start() -> None:
    """A queue is built without one, and says where it looked."""
    port = free_port()
    queues = built(f"redis://127.0.0.1:{port}/0", PREFIX)
    with pytest.raises(QueueError, match=f"redis at 127.0.0.1:{port} is out of reach: .*refused"):
        queues.jobs.ping()


def test_who_raises_and_who_waits() -> None:
    """Puts raise at once; claims, takes and publishing end empty-handed after their wait."""
    queues = built(f"redis://127.0.0.1:{free_port()}/0", PREFIX)
    for live in (True, False):
        with pytest.raises(QueueError):
            queues.jobs.put(a_job(live=live), SOON_S)
    for ask in (
        lambda: queues.jobs.claim(ENGINE, 1, NOT_LONG_S),
        lambda: queues.results.take(1, NOT_LONG_S),
        lambda: queues.results.publish([result_of(a_job(), {})], NOT_LONG_S),
        lambda: queues.jobs.answer([CLAIM], [result_of(CLAIM.job, {})], NOT_LONG_S),
    ):
        began = time.monotonic()
        assert not ask()
        assert NOT_LONG_S * 0.9 <= time.monotonic() - began < patience(5)
    for raising in (queues.jobs.backlog, queues.jobs.dead_letters, queues.leases.owners):
        with pytest.raises(QueueError):
            raising()
    with pytest.raises(QueueError):
        queues.shelf.fetch("door", "run-1", 0)


def test_a_live_camera_loses_no_time(lasting: Server) -> None:
    """While Redis is known to be away a put fails at once, a hundred of them in a blink."""
    queues = queues_of(lasting)
    queues.jobs.put(a_job(live=True), 0)
    lasting.kill()
    began = time.monotonic()
    for ordinal in range(1, 100):
        with pytest.raises(QueueError):
            queues.jobs.put(a_job(ordinal=ordinal, live=True), 0)
    assert time.monotonic() - began < patience(1.5)
    queues.close()


def test_a_server_that_does_not_answer_is_given_up_on(lasting: Server) -> None:
    """A Redis that hangs costs one call its timeout, and the others nothing."""
    queues = queues_of(lasting)
    queues.jobs.ping()
    lasting.client().execute_command("CLIENT", "PAUSE", "60000")
    began = time.monotonic()
    for _ in range(5):
        with pytest.raises(QueueError, match=r"out of reach: Timeout"):
            queues.jobs.put(a_job(live=True), 0)
    assert time.monotonic() - began < patience(2.5)
    queues.close()


def test_each_change_is_said_once(lasting: Server, caplog: pytest.LogCaptureFixture) -> None:
    """However many calls fail, the log has one line for the loss and one for the return."""
    queues = queues_of(lasting)
    queues.jobs.ping()
    caplog.set_level(logging.INFO)
    lasting.kill()
    for _ in range(20):
        queues.jobs.claim(ENGINE, 1, 0.01)
    lasting.start()
    back(queues)
    queues.jobs.claim(ENGINE, 1, 0)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2, lines
    assert lines[0].startswith(f"redis at 127.0.0.1:{lasting.port} is out of reach: ")
    assert lines[1] == f"redis at 127.0.0.1:{lasting.port} is back"
    queues.close()


def test_killed_and_started_again_it_lost_nothing(lasting: Server) -> None:
    """Waiting jobs with pictures, claims, results and leases survive; all is acknowledged once."""
    queues = queues_of(lasting)
    for ordinal in range(4):
        queues.jobs.put(a_job(ordinal=ordinal), 0)
    claims = queues.jobs.claim(ENGINE, 2, SOON_S)
    results = [result_of(claim.job, {}) for claim in claims]
    assert queues.jobs.answer(claims[:1], results[:1], 0)
    lasting.kill()
    assert not queues.jobs.answer(claims, results, NOT_LONG_S)
    lasting.start()
    back(queues)
    assert queues.jobs.answer(claims, results, 0)  # of which the first was heard before
    rest = queues.jobs.claim(ENGINE, 9, SOON_S)
    assert named(rest) == [("door", 2), ("door", 3)]
    assert [claim.attempts for claim in rest] == [1, 1]
    tools.expire_all(lasting.client(), PREFIX)
    assert named(queues.jobs.claim(ENGINE, 9, 0)) == [("door", 2), ("door", 3)]
    assert [one.result.ordinal for one in queues.results.take(9, SOON_S)] == [0, 1]
    assert leaks(lasting.client(), PREFIX) == []
    queues.close()


def test_an_owner_looks_back_after_a_loss(lasting: Server) -> None:
    """Results that Redis handed out while the connection broke are delivered again."""
    queues = queues_of(lasting)
    token = queues.leases.acquire(5, "me", tools.A_WHILE)
    assert token is not None
    view = queues.results.partition({5: token})
    queues.results.publish([result_of(a_job(ordinal=n), {}) for n in range(2)], 0)
    taken = view.take(9, SOON_S)
    view.acknowledge(taken[:1])
    lasting.kill()
    assert view.take(9, 0) == []
    view.acknowledge(taken[1:])
    lasting.start()
    back(queues)
    assert view.take(9, 0) == []  # what was owed is said first
    queues.results.publish([result_of(a_job(ordinal=2), {})], 0)
    held = view.take(9, SOON_S)
    lasting.kill()
    assert view.take(9, 0) == []
    lasting.start()
    back(queues)
    again = view.take(9, SOON_S)
    assert [one.result.ordinal for one in held + again] == [2, 2]
    view.acknowledge(held)
    view.acknowledge(again)
    lasting.client().flushall()
    with pytest.raises(LeaseLostError):
        view.take(9, 0)
    queues.close()


def test_a_redis_that_forgets_its_scripts_is_taught_again(lasting: Server) -> None:
    """Flushed scripts, and data, are no reason to stop."""
    queues = queues_of(lasting)
    queues.jobs.put(a_job(), 0)
    lasting.client().script_flush()
    assert len(queues.jobs.claim(ENGINE, 1, 0)) == 1
    lasting.client().flushall()
    queues.jobs.put(a_job(), 0)
    assert len(queues.jobs.claim(ENGINE, 1, 0)) == 1
    queues.close()


def test_a_full_redis_refuses_frames_and_drains(
    lasting: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """At `maxmemory` puts are refused with a sentence; workers and processors free room."""
    queues = queues_of(lasting, file_room=10_000)
    for ordinal in range(20):
        queues.jobs.put(a_job(ordinal=ordinal), 0)
    client = lasting.client()
    client.config_set("maxmemory", "1")  # less than an empty server needs
    with pytest.raises(QueueError, match="is full and takes no more frames"):
        queues.jobs.put(a_job(ordinal=20), 0)
    claims = queues.jobs.claim(ENGINE, 20, SOON_S)
    assert len(claims) == 20
    answer(queues, claims)
    assert queues.leases.acquire(0, "me", timedelta(minutes=1)) is not None
    queues.presence.say("me", b"{}", timedelta(minutes=1))
    assert queues.presence.members() == {"me": b"{}"}
    taken = queues.results.take(99, SOON_S)
    queues.results.acknowledge(taken)
    assert len(taken) == 20
    client.config_set("maxmemory", "0")
    assert queues.jobs.put(a_job(ordinal=20), 0).accepted
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(said) == 1
    queues.close()


class _Plant:
    """A sampler, workers and a processor, each with connections of its own."""

    def __init__(self, server: Server, total: int) -> None:
        self._server = server
        self.total = total
        self.judged: set[int] = set()
        self.done = threading.Event()

    def run(self) -> list[threading.Thread]:
        """Start them all."""
        stages = (self._sample, self._work, self._work, self._process)
        threads = [threading.Thread(target=stage) for stage in stages]
        for thread in threads:
            thread.start()
        return threads

    def _sample(self) -> None:
        queues = queues_of(self._server, file_room=4)
        for ordinal in range(self.total):
            while not self.done.is_set() and not _offered(queues, ordinal):
                pass
        queues.close()

    def _work(self) -> None:
        queues = queues_of(self._server, visibility="300ms", max_attempts=99)
        while not self.done.is_set():
            claims = queues.jobs.claim(ENGINE, 3, 0.1)
            found = [result_of(claim.job, {}) for claim in claims]
            while not queues.jobs.answer(claims, found, 0.1) and not self.done.is_set():
                pass
        queues.close()

    def _process(self) -> None:
        queues = queues_of(self._server, visibility="300ms")
        while not self.done.is_set():
            taken = queues.results.take(9, 0.1)
            self.judged.update(one.result.ordinal for one in taken)
            queues.results.acknowledge(taken)
        queues.close()


def test_work_goes_on_through_deaths(lasting: Server) -> None:
    """A sampler, two workers and a processor through two deaths of Redis: all jobs are judged."""
    plant = _Plant(lasting, total=60)
    threads = plant.run()
    try:
        for share in (15, 40, 60):
            wait_until(lambda share=share: len(plant.judged) >= share, 20)  # type: ignore[misc]
            if share < plant.total:
                lasting.kill()
                lasting.start()
    finally:
        plant.done.set()
        for thread in threads:
            thread.join(SOON_S)
    assert plant.judged == set(range(60))


def _offered(queues: RedisQueues, ordinal: int) -> bool:
    """Offer a file's job as a sampler does, until it is taken."""
    try:
        return queues.jobs.put(a_job(ordinal=ordinal), 0.2).accepted
    except QueueError:
        queues.link.pause(0.05)
        return False
