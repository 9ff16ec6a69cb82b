"""Results in Redis: partitions, their owners, and what a processor finds after taking over."""

import uuid
from collections.abc import Iterator
from datetime import timedelta

import pytest

from connectors.queues.redis.queue import RedisQueues
from pipeline.core.answers import Failed, Text
from pipeline.core.errors import LeaseLostError
from pipeline.core.jobs import Result, health_result, result_of
from pipeline.core.measures import Health
from pipeline.core.membership import Leases, partition_of
from pipeline.core.queues import Delivered, PartitionedResults
from pipeline.testing import wait_until
from tests.connectors.queues.redis import tools
from tests.connectors.queues.redis.tools import built, expire
from tests.contracts.queue_tools import ENGINE, NOT_LONG_S, SOON_S, a_job, answer
from tests.redis_server import Redis

pytestmark = pytest.mark.redis
program = tools._program
server = tools._server
prefix = tools._prefix

LONG = timedelta(minutes=10)
BRIEF = timedelta(milliseconds=20)
CAMERA = "door"
N = 4
OWN = partition_of(CAMERA, N)


@pytest.fixture(name="queues")
def _queues(server: Redis, prefix: str) -> Iterator[RedisQueues]:
    queues = built(server.url, prefix, partitions=N)
    yield queues
    queues.close()


def results(count: int, camera: str = CAMERA, first: int = 0) -> list[Result]:
    """A camera's results, numbered from `first`."""
    return [result_of(a_job(camera, first + n), {}) for n in range(count)]


def ordinals(delivered: list[Delivered]) -> list[int]:
    """The numbers of results, in their order."""
    return [one.result.ordinal for one in delivered]


def owned(queues: RedisQueues, owner: str = "me") -> int:
    """The token of a lease on the camera's partition, taken just now."""
    token = queues.leases.acquire(OWN, owner, LONG)
    assert token is not None
    return token


def test_it_is_what_processors_build_on(queues: RedisQueues) -> None:
    """The queue's parts are those the core describes."""
    shared: PartitionedResults = queues.results
    leases: Leases = queues.leases
    assert shared.partitions == N
    assert leases.owners() == {}


def test_a_camera_s_partition_is_the_same_everywhere() -> None:
    """It depends on the name alone, and cameras spread over all partitions."""
    assert [partition_of(name, 8) for name in ("door", "till", "Türe")] == [5, 0, 1]
    found = {partition_of(f"camera-{n}", 8) for n in range(100)}
    assert found == set(range(8))


def test_a_partition_holds_its_cameras_alone(queues: RedisQueues) -> None:
    """Each view is given its own cameras' results, in order; together they see all."""
    cameras = [f"camera-{n}" for n in range(12)]
    for camera in cameras:
        queues.results.publish(results(2, camera), 0)
    seen: list[str] = []
    for number in range(N):
        taken = queues.results.partition([number]).take(99, 0)
        assert {partition_of(one.result.camera, N) for one in taken} <= {number}
        seen += [one.result.camera for one in taken]
    assert sorted(seen) == sorted(cameras * 2)


def test_one_batch_over_several_partitions_is_all_or_none(server: Redis, prefix: str) -> None:
    """Where one partition has no room, the others get nothing either."""
    queues = built(server.url, prefix, partitions=N, results_room=2)
    other = next(name for name in "abcdefgh" if partition_of(name, N) != OWN)
    assert queues.results.publish(results(2), 0)
    assert not queues.results.publish([*results(1, other), *results(1, first=2)], NOT_LONG_S)
    assert queues.results.partition([partition_of(other, N)]).take(9, 0) == []
    queues.close()


def test_a_busy_partition_does_not_starve_the_others(queues: RedisQueues) -> None:
    """Successive takes begin with another partition each."""
    other = next(name for name in "abcdefgh" if partition_of(name, N) != OWN)
    for first in range(0, 100, 10):
        queues.results.publish(results(10, first=first), 0)
    queues.results.publish(results(1, other), 0)
    taken = [one for _ in range(N) for one in queues.results.take(5, 0)]
    assert other in {one.result.camera for one in taken}


def test_a_small_take_looks_into_every_partition(queues: RedisQueues) -> None:
    """What waits is found behind partitions whose results are all in somebody's hands."""
    cameras = {partition_of(f"camera-{n}", N): f"camera-{n}" for n in range(50)}
    held = [camera for number, camera in cameras.items() if number != OWN]
    queues.results.publish([one for camera in held for one in results(1, camera)], 0)
    assert len(queues.results.take(99, 0)) == N - 1
    for first in range(N):
        queues.results.publish(results(1, first=first), 0)
        assert ordinals(queues.results.take(1, 0)) == [first]


def test_a_batch_of_results_larger_than_the_room_goes_in_alone(server: Redis, prefix: str) -> None:
    """More results than the whole room are taken when nothing else waits, rather than never."""
    queues = built(server.url, prefix, results_room=1)
    assert queues.results.publish(results(3), 0)
    assert not queues.results.publish(results(1, first=3), 0)
    queues.close()


def test_health_travels_with_its_camera(queues: RedisQueues) -> None:
    """A camera's state is delivered in its camera's partition, and acknowledged."""
    put = health_result(Health(CAMERA, 12.5, "offline", "timeout"))
    queues.results.publish([put], 0)
    view = queues.results.partition([OWN])
    taken = view.take(9, SOON_S)
    assert [one.result for one in taken] == [put]
    view.acknowledge(taken)
    assert view.take(9, 0) == []


def test_a_result_that_cannot_travel_is_a_failed_one(queues: RedisQueues) -> None:
    """An engine's odd value fails its job, and the worker continues."""
    odd = result_of(a_job(), {"door": Text("fast", object())})  # type: ignore[arg-type]
    assert queues.results.publish([odd], 0)
    (delivered,) = queues.results.take(9, SOON_S)
    answer = delivered.result.answers["door"]
    assert isinstance(answer, Failed)
    assert "a result cannot be written" in answer.reason


def test_what_no_processor_can_read_is_given_up(
    queues: RedisQueues, server: Redis, prefix: str
) -> None:
    """A poisoned result is a dead letter after one look, and can be put back or dropped."""
    name = f"{{{prefix}}}:results:{OWN}"
    queues.results.publish(results(2), 0)
    ((first, _), _) = server.client.xrange(name)
    server.client.xdel(name, first)
    server.client.xadd(name, {"r": b"\x01\x93nonsense"})
    server.client.xadd(
        name, {"j": b"\x07", "w": b"queue full", "m": b"\xff|no", "l": b"a", "x": b"b"}
    )
    server.client.xadd(name, {"neither": b"nor"})
    assert ordinals(queues.results.take(9, SOON_S)) == [1]
    letters = queues.jobs.dead_letters()
    assert [(letter.engine, letter.seq) for letter in letters] == [("", -1)] * 3
    assert "got something else" in letters[0].reason
    assert "version 7" in letters[1].reason
    assert "version none" in letters[2].reason
    assert all(queues.jobs.retry(letter.id) for letter in letters)
    assert queues.results.take(9, 0) == []
    again = queues.jobs.dead_letters()
    assert [letter.reason for letter in again] == [letter.reason for letter in letters]
    assert all(queues.jobs.drop(letter.id) for letter in again)
    assert queues.jobs.dead_letters() == []


def test_a_lease_has_one_owner(queues: RedisQueues) -> None:
    """While it lasts nobody else gets it; its owner keeps the token, others are told who it is."""
    token = queues.leases.acquire(1, "me", LONG)
    assert token is not None
    assert queues.leases.acquire(1, "you", LONG) is None
    assert queues.leases.acquire(1, "me", LONG) == token
    assert queues.leases.renew(1, token, LONG)
    assert not queues.leases.renew(1, token - 1, LONG)
    assert queues.leases.owners() == {1: ("me", token)}
    assert queues.leases.acquire(2, "you", LONG) is not None


def test_a_lease_ends(queues: RedisQueues) -> None:
    """After its time others get it, with a higher token; the old one cannot be renewed."""
    token = queues.leases.acquire(1, "me", BRIEF)
    assert token is not None
    wait_until(lambda: queues.leases.acquire(1, "you", LONG) is not None)
    (owner, newer) = queues.leases.owners()[1]
    assert owner == "you"
    assert newer > token
    assert not queues.leases.renew(1, token, LONG)
    queues.leases.release(1, token)
    assert queues.leases.owners() == {1: ("you", newer)}


def test_a_released_lease_is_free_at_once(queues: RedisQueues) -> None:
    """The next owner need not wait, and has a higher token."""
    first = owned(queues)
    queues.leases.release(OWN, first)
    assert owned(queues, "you") > first


def test_tokens_rise_over_a_redis_that_lost_everything(
    queues: RedisQueues, server: Redis, prefix: str
) -> None:
    """An empty Redis gives no token that was given before."""
    first = owned(queues)
    server.client.delete(*server.client.keys(f"{{{prefix}}}*"))
    assert owned(queues, "you") > first


def test_a_new_owner_finds_what_the_last_one_left(queues: RedisQueues) -> None:
    """All that was taken and not acknowledged comes first and at once, then what is new."""
    queues.results.publish(results(5), 0)
    old = owned(queues, "old")
    before = queues.results.partition({OWN: old})
    taken = before.take(4, SOON_S)
    before.acknowledge(taken[1:2])
    queues.leases.release(OWN, old)
    after = queues.results.partition({OWN: owned(queues, "new")})
    assert ordinals(after.take(2, SOON_S)) == [0, 2]
    assert ordinals(after.take(9, SOON_S)) == [3]
    assert ordinals(after.take(9, SOON_S)) == [4]
    assert after.take(9, 0) == []


def test_an_owner_holds_results_for_as_long_as_it_likes(
    queues: RedisQueues, server: Redis, prefix: str
) -> None:
    """What waits in an owner's hands for a missing one is not delivered to it again."""
    queues.results.publish(results(2), 0)
    view = queues.results.partition({OWN: owned(queues)})
    taken = view.take(9, SOON_S)
    expire(server, prefix)
    assert view.take(9, 0) == []
    view.acknowledge(taken)
    assert queues.results.publish(results(1, first=2), 0)
    assert ordinals(view.take(9, SOON_S)) == [2]


def test_a_paused_owner_is_fenced_off(queues: RedisQueues, server: Redis, prefix: str) -> None:
    """Waking after its lease it can neither take nor acknowledge; the new owner loses nothing."""
    queues.results.publish(results(2), 0)
    old = owned(queues, "old")
    paused = queues.results.partition({OWN: old})
    taken = paused.take(1, SOON_S)
    server.client.delete(f"{{{prefix}}}:lease:{OWN}")  # as its time to live would
    view = queues.results.partition({OWN: owned(queues, "new")})
    with pytest.raises(LeaseLostError) as lost:
        paused.acknowledge(taken)
    assert lost.value.partition == OWN
    with pytest.raises(LeaseLostError):
        paused.take(9, SOON_S)
    assert ordinals(view.take(9, SOON_S) + view.take(9, SOON_S)) == [0, 1]


def test_an_owner_without_a_lease_is_fenced_off(queues: RedisQueues) -> None:
    """Also while nobody else has it."""
    token = owned(queues)
    queues.leases.release(OWN, token)
    with pytest.raises(LeaseLostError):
        queues.results.partition({OWN: token}).take(9, SOON_S)


@pytest.mark.parametrize("is_owned", [True, False])
def test_acknowledged_again_says_nothing_of_a_job_put_again(
    queues: RedisQueues, is_owned: bool
) -> None:
    """The same number, put since, is still on its way and taken once."""
    view = queues.results.partition({OWN: owned(queues)} if is_owned else [OWN])
    queues.jobs.put(a_job(CAMERA), 0)
    answer(queues, queues.jobs.claim(ENGINE, 1, SOON_S))
    taken = view.take(9, SOON_S)
    view.acknowledge(taken)
    queues.jobs.put(a_job(CAMERA), 0)
    view.acknowledge(taken)
    queues.jobs.put(a_job(CAMERA), 0)
    assert len(queues.jobs.claim(ENGINE, 9, SOON_S)) == 1


def test_only_the_newest_delivery_is_acknowledged(
    queues: RedisQueues, server: Redis, prefix: str
) -> None:
    """A result held twice may be let go once: what was delivered again stays until it is judged."""
    queues.results.publish(results(1), 0)
    first = queues.results.take(9, SOON_S)
    expire(server, prefix)
    second = queues.results.take(9, SOON_S)
    assert first[0].id != second[0].id
    queues.results.acknowledge(first)
    expire(server, prefix)
    third = queues.results.take(9, SOON_S)
    assert ordinals(third) == [0]
    queues.results.acknowledge(third)
    expire(server, prefix)
    assert queues.results.take(9, 0) == []


def test_partitions_that_are_not_there_are_refused(queues: RedisQueues) -> None:
    """A shard beyond the last one is a mistake to hear of."""
    with pytest.raises(ValueError, match=r"partition 4 is outside 0\.\.3"):
        queues.results.partition([4])


def test_owners_need_no_plain_names(queues: RedisQueues) -> None:
    """Host names and process numbers of any kind."""
    owner = f"häuschen-1|:{uuid.uuid4()}"
    token = queues.leases.acquire(0, owner, LONG)
    assert queues.leases.owners() == {0: (owner, token)}
