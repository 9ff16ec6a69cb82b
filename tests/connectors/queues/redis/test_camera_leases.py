"""A camera has one sampler: what a sampler puts after another got the camera is refused."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from connectors.queues.redis.queue import RedisQueues
from pipeline.core.errors import CameraTakenError
from pipeline.core.jobs import health_result
from pipeline.core.measures import Health
from pipeline.core.membership import camera_lease
from pipeline.testing import wait_until
from tests.connectors.queues.redis import tools
from tests.connectors.queues.redis.tools import A_WHILE, built
from tests.contracts.queue_tools import ENGINE, a_job
from tests.redis_server import Redis

pytestmark = pytest.mark.redis
program = tools._program
server = tools._server
prefix = tools._prefix

BRIEF = timedelta(milliseconds=20)
DOOR = camera_lease("door")
ONLINE = health_result(Health("door", 1_700_000_000.0, "online"))


@pytest.fixture(name="queues")
def _queues(server: Redis, prefix: str) -> Iterator[RedisQueues]:
    queues = built(server.url, prefix)
    yield queues
    queues.close()


def taken(queues: RedisQueues, owner: str, ttl: timedelta = A_WHILE) -> int:
    """The token of the camera's lease, once it can be had."""
    tokens: list[int] = []

    def got() -> bool:
        token = queues.leases.acquire(DOOR, owner, ttl)
        tokens.extend([token] if token is not None else [])
        return bool(tokens)

    wait_until(got)
    return tokens[0]


@pytest.mark.parametrize("live", [True, False])
def test_who_lost_the_camera_puts_nothing(queues: RedisQueues, *, live: bool) -> None:
    """Neither jobs nor results of the older token get in; those of the newer one do."""
    before = queues.of_camera("door", taken(queues, "paused", BRIEF))
    assert before.jobs.put(a_job(live=live), 0).accepted
    after = queues.of_camera("door", taken(queues, "next"))
    with pytest.raises(CameraTakenError, match="door"):
        before.jobs.put(a_job(ordinal=1, live=live), 0)
    with pytest.raises(CameraTakenError, match="door"):
        before.results.publish([ONLINE], 0)
    assert after.jobs.put(a_job(ordinal=2, live=live), 0).accepted
    assert after.results.publish([ONLINE], 0)
    assert [claim.job.ordinal for claim in queues.jobs.claim(ENGINE, 9, 0)] == [0, 2]
    assert len(queues.results.take(9, 0)) == 1


def test_a_lease_that_ended_keeps_nobody_out(queues: RedisQueues) -> None:
    """As long as no other sampler got the camera, its last one continues."""
    door = queues.of_camera("door", taken(queues, "alone", BRIEF))
    wait_until(lambda: queues.leases.owners_of([DOOR]) == {})
    assert door.jobs.put(a_job(live=True), 0).accepted


def test_a_lease_that_ended_is_taken_up_again(queues: RedisQueues) -> None:
    """With the same token, if nobody has had it since; after another had it, it is lost."""
    token = taken(queues, "me", BRIEF)
    wait_until(lambda: queues.leases.owners_of([DOOR]) == {})
    assert not queues.leases.renew(DOOR, token, A_WHILE)
    assert queues.leases.renew(DOOR, token, A_WHILE, "me")
    assert queues.leases.owners_of([DOOR, camera_lease("till")]) == {DOOR: ("me", token)}
    queues.leases.release(DOOR, token)
    queues.leases.release(DOOR, taken(queues, "other"))
    assert not queues.leases.renew(DOOR, token, A_WHILE, "me")


def test_a_redis_that_lost_everything_knows_the_sampler_again(
    queues: RedisQueues, server: Redis, prefix: str
) -> None:
    """Its lease is taken up with the token it had, and the next one's is higher."""
    token = taken(queues, "me")
    server.client.delete(*server.client.keys(f"{{{prefix}}}*"))
    assert queues.leases.renew(DOOR, token, A_WHILE, "me")
    assert queues.leases.acquire(DOOR, "other", A_WHILE) is None
    queues.leases.release(DOOR, token)
    assert taken(queues, "other") > token


def test_a_camera_is_leased_apart_from_partitions(queues: RedisQueues) -> None:
    """Also one that is called like a number, or has an odd name."""
    names = [camera_lease(name) for name in ("0", "Tür:1|{2}")]
    tokens = {name: queues.leases.acquire(name, "me", A_WHILE) for name in names}
    assert queues.leases.owners() == {}
    assert queues.leases.owners_of(names) == {n: ("me", token) for n, token in tokens.items()}
    assert queues.leases.owners_of([]) == {}
