"""Samplers share cameras: fairly, each camera with one of them, and none without one for long."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from math import ceil

import pytest

from connectors.queues.redis.queue import RedisQueues
from pipeline.core.errors import QueueError
from pipeline.core.membership import camera_lease
from pipeline.sampling.leases import CameraLeases, OtherSampler
from tests.connectors.queues.redis import tools
from tests.redis_server import Redis

pytestmark = pytest.mark.redis
program = tools._program
server = tools._server
prefix = tools._prefix

EIGHT = [f"camera-{n}" for n in range(8)]


@dataclass
class Site:
    """Samplers of one deployment. What one of them has to sample is open at once."""

    queues: RedisQueues
    samplers: dict[str, CameraLeases] = field(default_factory=dict)
    able: dict[str, Collection[str]] = field(default_factory=dict)
    is_away: bool = False

    def start(self, name: str, cameras: Collection[str] = EIGHT) -> CameraLeases:
        """One more sampler, which everybody hears of."""
        self.able[name] = cameras
        self.samplers[name] = CameraLeases(self.queues.leases, name, cameras, self._present)
        return self.samplers[name]

    def end(self, name: str, *, killed: bool = False) -> None:
        """It ends; killed, its leases run out and it is remembered for a while."""
        gone = self.samplers.pop(name)
        if killed:
            for camera, token in gone.held.items():
                self.queues.leases.release(camera_lease(camera), token)
        else:
            gone.end()
            del self.able[name]

    def look(self, times: int = 1) -> None:
        """Everybody looks around, and opens and closes what it should."""
        for _ in range(times):
            for leases in self.samplers.values():
                leases.look()
                leases.use(leases.held)

    def settle(self) -> None:
        """Look around for as long as shares may take to become even."""
        self.look(12)

    def shares(self) -> list[int]:
        """How many cameras each has; no camera is with two."""
        held = [set(leases.held) for leases in self.samplers.values()]
        assert sum(map(len, held)) == len(set().union(*held))
        return [len(cameras) for cameras in held]

    def _present(self) -> dict[str, OtherSampler]:
        if self.is_away:
            raise QueueError("redis is out of reach")
        return {
            name: OtherSampler(able, len(self.samplers[name].held) if name in self.samplers else 0)
            for name, able in self.able.items()
        }


@pytest.fixture(name="site")
def _site(server: Redis, prefix: str) -> Iterator[Site]:
    queues = tools.built(server.url, prefix)
    yield Site(queues)
    queues.close()


def test_one_has_all_and_a_second_gets_half(site: Site) -> None:
    """And the third its part; when one ends the others have all again at once."""
    site.start("a")
    site.look()
    assert site.shares() == [8]
    site.start("b")
    site.settle()
    assert site.shares() == [4, 4]
    site.start("c")
    site.settle()
    assert sorted(site.shares()) == [2, 3, 3]
    assert max(site.shares()) <= ceil(8 / 3)
    site.end("b")
    site.look(2)
    assert site.shares() == [4, 4]


def test_what_a_dead_one_had_is_taken_whatever_the_shares(site: Site) -> None:
    """Also while it is still taken for alive: nothing stays free for more than a look."""
    for name in "abc":
        site.start(name)
    site.settle()
    before = {name: set(site.samplers[name].held) for name in "ac"}
    site.end("b", killed=True)
    site.look(4)
    assert sum(site.shares()) == 8
    assert all(before[name] <= site.samplers[name].held.keys() for name in "ac")


def test_a_camera_in_use_stays_until_it_is_closed(site: Site) -> None:
    """It is to be left to the new one, and is nobody else's until then."""
    old = site.start("old")
    old.look()
    old.use(EIGHT)
    new = site.start("new")
    for _ in range(4):
        new.look()
        old.look()
    leaving = set(EIGHT) - old.held.keys()
    assert len(leaving) == 4
    new.look()
    assert new.held == {}
    for camera in leaving:
        old.let_go(camera)
    new.look()
    assert new.held.keys() == leaving


def test_one_camera_has_one_sampler_and_the_other_knows_which(site: Site) -> None:
    """It is not handed to and fro."""
    first, second = site.start("first", ["door"]), site.start("second", ["door"])
    site.settle()
    assert (list(first.held), list(second.held)) == (["door"], [])
    assert second.elsewhere == {"door": "first"}
    site.end("first")
    second.look()
    assert list(second.held) == ["door"]
    assert second.elsewhere == {}


@pytest.mark.parametrize("order", [("few", "all"), ("all", "few")])
def test_samplers_of_some_cameras_leave_none_to_nobody(site: Site, order: tuple[str, str]) -> None:
    """Who can sample a camera does, however uneven it becomes; else they share."""
    cameras = {"few": EIGHT[:2], "all": EIGHT}
    for name in order:
        site.start(name, cameras[name])
        site.settle()
    assert sum(site.shares()) == 8
    assert set(site.samplers["few"].held) == set(EIGHT[:2])


def test_what_another_took_is_lost(site: Site) -> None:
    """A sampler that slept through its lease is told so by its next look."""
    old = site.start("old", ["door"])
    old.look()
    site.queues.leases.release(camera_lease("door"), old.held["door"])
    new = site.start("new", ["door"])
    new.look()
    for _ in range(2):
        old.look()
    assert (list(old.held), list(new.held)) == ([], ["door"])


def test_a_queue_that_comes_back_gives_the_camera_to_whoever_has_it(site: Site) -> None:
    """Its lease ran out meanwhile; who stands by does not take it before it is renewed."""
    old, new = site.start("old", ["door"]), site.start("new", ["door"])
    site.look(2)
    token = old.held["door"]
    site.is_away = True
    site.look(2)
    site.queues.leases.release(camera_lease("door"), token)
    assert old.held == {"door": token}
    site.is_away = False
    new.look()
    site.look(3)
    assert (old.held, new.held) == ({"door": token}, {})


def test_cameras_that_are_not_wanted_any_more_are_let_go(site: Site) -> None:
    """Once they are closed; new ones are taken."""
    one = site.start("one", ["door", "till"])
    site.look()
    one.share(["till", "yard"])
    site.look()
    assert one.held.keys() == {"till", "yard"}
    assert "door" not in site.queues.leases.owners_of([camera_lease("door")])
