"""Partitions are shared out fairly, taken over from who is gone, and never judged by two."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.queues.redis.queue import RedisQueues
from connectors.stores import StoreConfig
from pipeline.core.errors import StoreError
from pipeline.core.membership import partition_of
from pipeline.core.store import Commit, Store
from pipeline.processing.leases import PartitionLeases
from pipeline.processing.plan import CameraPlan, LanePlan, RulePlan, TaskPlan
from pipeline.processing.processor import ProcessorContext
from pipeline.processing.shards import Shards
from pipeline.processing.snapshots import Snapshots
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock
from tests.connectors.queues.redis.tools import built
from tests.processing.test_processor import make_rule, result
from tests.redis_server import Redis, shared

TASK = TaskPlan("people", {"even": RulePlan(make_rule)})
PLAN = CameraPlan("door", (LanePlan("fast", (TASK,)),))
PARTITIONS = 4
LONG = timedelta(minutes=5)
pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    """One Redis for the tests of this module."""
    yield from shared()


@dataclass
class Crew:
    """Processors of one deployment, each as in a process of its own."""

    folder: Path
    server: Redis
    present: int = 1
    fences: Callable[[], Mapping[int, int]] | None = None
    clock: ManualClock = field(default_factory=ManualClock)
    opened: list[RedisQueues] = field(default_factory=list)

    def queues(self) -> RedisQueues:
        """A connection of its own."""
        self.opened.append(built(self.server.url, self.folder.name, partitions=PARTITIONS))
        return self.opened[-1]

    def leases(self, owner: str, shard: frozenset[int] | None = None) -> PartitionLeases:
        """What one processor owns, not yet looked after."""
        return PartitionLeases(
            self.queues().leases,
            owner,
            PARTITIONS,
            lambda: self.present,
            self.fences or dict,
            shard=shard,
            ttl=LONG,
        )

    def shards(self, leases: PartitionLeases, store: Store) -> Shards:
        """A processor of what `leases` holds."""
        queues = self.queues()
        media = StoreConfig(media=self.folder / "media").build_media()
        snapshots = Snapshots(queues.shelf, media)
        context = ProcessorContext(queues.results, store, snapshots, Metrics(), self.clock)
        return Shards([PLAN], context, queues.results, leases)

    def let_leases_run_out(self) -> None:
        """Nobody has renewed for too long."""
        client = self.server.client
        client.delete(*client.keys(f"{{{self.folder.name}}}:lease:*"))

    def store(self) -> Store:
        """The store they share."""
        return StoreConfig(url=f"sqlite:///{self.folder}/events.db").build(self.clock)


@pytest.fixture
def crew(tmp_path: Path, server: Redis) -> Iterator[Crew]:
    """Nobody yet."""
    crew = Crew(tmp_path, server)
    yield crew
    for queues in crew.opened:
        queues.close()


def test_one_takes_all(crew: Crew) -> None:
    """Whoever is alone owns every partition, with a token for each."""
    leases = crew.leases("a")
    leases.look()
    assert sorted(leases.held) == [0, 1, 2, 3]


def test_a_newcomer_gets_its_share(crew: Crew) -> None:
    """Given up only once the one before does not work with them any more."""
    first, second = crew.leases("a"), crew.leases("b")
    first.look()
    first.use(first.held.keys())
    crew.present = 2
    first.look()
    second.look()
    assert (sorted(first.held), sorted(second.held)) == ([0, 1], [])
    first.use(first.held.keys())
    first.look()
    second.look()
    assert (sorted(first.held), sorted(second.held)) == ([0, 1], [2, 3])


def test_a_fixed_share_is_all_that_is_taken(crew: Crew) -> None:
    """`--shard 1/2` leaves the rest to others, however many are there."""
    leases = crew.leases("a", shard=frozenset({0, 2}))
    leases.look()
    assert sorted(leases.held) == [0, 2]


def test_what_is_given_back_is_free_at_once(crew: Crew) -> None:
    """Nobody has to wait for a lease of a processor that stopped in order."""
    first, second = crew.leases("a"), crew.leases("b")
    first.look()
    first.end()
    second.look()
    assert len(second.held) == PARTITIONS


def test_what_a_dead_one_owned_is_taken_over(crew: Crew) -> None:
    """As soon as its leases ran out, with higher tokens; when it wakes up, it has nothing."""
    first, second = crew.leases("a"), crew.leases("b")
    first.look()
    before = first.held
    crew.let_leases_run_out()
    second.look()
    assert all(second.held[p] > token for p, token in before.items())
    first.look()
    assert first.held == {}


@pytest.fixture
def stores(crew: Crew) -> Iterator[Callable[[], Store]]:
    """Opens the store as another process would."""
    opened: list[Store] = []

    def once_more() -> Store:
        opened.append(crew.store())
        return opened[-1]

    yield once_more
    for store in opened:
        store.close()


def drain(shards: Shards) -> None:
    """Judge everything that is there."""
    shards.step(0.0)
    while shards.step(0.0):
        pass


def seen(store: Store) -> list[object]:
    """What the rule had seen at each of its events."""
    return [kept.event.data.get("seen") for kept in store.events_after(0, 100)]


def test_the_next_owner_goes_on_where_the_last_one_was(
    crew: Crew, stores: Callable[[], Store]
) -> None:
    """With its state, and with what it had taken and not judged; a late commit is refused."""
    queues = crew.queues()
    first, second = crew.leases("a"), crew.leases("b")
    old, new = crew.shards(first, stores()), crew.shards(second, stores())
    first.look()
    queues.results.publish([result(0), result(1), result(3)], 1.0)
    drain(old)
    crew.let_leases_run_out()
    second.look()
    drain(new)
    queues.results.publish([result(2), result(4), result(5)], 1.0)
    drain(old)
    first.look()
    drain(old)
    assert not old.is_judging
    assert first.held == {}
    drain(new)
    assert seen(stores()) == [2, 4, 6]
    assert new.judged == {("door", "fast"): ("clip", 5, False)}


def test_a_processor_paused_between_judging_and_keeping_is_fenced_off(
    crew: Crew, stores: Callable[[], Store]
) -> None:
    """Another one has taken over meanwhile: nothing of what the first concluded is kept."""
    queues, door = crew.queues(), partition_of("door", PARTITIONS)

    class Paused:
        """A store whose commit comes only after somebody else has taken over."""

        def __init__(self, store: Store) -> None:
            self._store = store

        def __getattr__(self, name: str) -> object:
            return getattr(self._store, name)

        def commit(self, commit: Commit) -> int:
            if commit.events:
                stores().commit(Commit(fences={door: commit.fences[door] + 1}))
            return self._store.commit(commit)

    leases = crew.leases("a")
    leases.look()
    paused: Store = Paused(stores())  # type: ignore[assignment]
    shards = crew.shards(leases, paused)
    queues.results.publish([result(0), result(1)], 1.0)
    drain(shards)
    assert seen(stores()) == []
    assert stores().checkpoint("door", "fast") is None
    assert sorted(leases.held) == [p for p in range(PARTITIONS) if p != door]


def test_a_store_that_is_away_is_waited_for(
    crew: Crew, stores: Callable[[], Store], caplog: pytest.LogCaptureFixture
) -> None:
    """Before it judges anything a processor needs the store; it says so once, and tries on."""

    class Away:
        """A store that does not answer for a while."""

        def __init__(self, store: Store) -> None:
            self._store = store
            self.refusals = 3

        def __getattr__(self, name: str) -> object:
            return getattr(self._store, name)

        def commit(self, commit: Commit) -> int:
            self.refusals -= 1
            if self.refusals >= 0:
                raise StoreError("the store is locked")
            return self._store.commit(commit)

    queues = crew.queues()
    leases = crew.leases("a")
    leases.look()
    away: Store = Away(stores())  # type: ignore[assignment]
    shards = crew.shards(leases, away)
    queues.results.publish([result(0), result(1)], 1.0)
    for _ in range(3):
        shards.step(0.0)
        assert not shards.is_judging
    drain(shards)
    assert seen(stores()) == [2]
    assert caplog.text.count("store is not responding") == 1


def test_a_queue_that_came_back_with_its_clock_behind_is_judged_at_once(
    crew: Crew, stores: Callable[[], Store], caplog: pytest.LogCaptureFixture
) -> None:
    """Its tokens begin above those that the store knows, so nothing is fenced off for hours."""
    store, queues = stores(), crew.queues()
    ahead = 2**52
    store.commit(Commit(fences=dict.fromkeys(range(PARTITIONS), ahead)))
    crew.fences = store.fences
    leases = crew.leases("a")
    shards = crew.shards(leases, store)
    leases.look()
    assert all(token > ahead for token in leases.held.values())
    queues.results.publish([result(0), result(1)], 1.0)
    drain(shards)
    assert seen(store) == [2]
    assert "were lost" not in caplog.text


def test_a_lease_that_was_given_below_the_floor_is_given_anew(
    crew: Crew, stores: Callable[[], Store]
) -> None:
    """A Redis put back to an earlier time still shows our lease, with a token of that time."""
    store = stores()
    crew.fences = store.fences
    leases = crew.leases("a")
    leases.look()
    before = leases.held
    store.commit(Commit(fences={p: token + 1000 for p, token in before.items()}))
    shards = crew.shards(leases, store)
    for _ in range(2 * PARTITIONS):
        shards.step(0.0)
        leases.look()
    assert all(token > before[p] + 1000 for p, token in leases.held.items())
    assert len(leases.held) == PARTITIONS
    crew.queues().results.publish([result(0), result(1)], 1.0)
    drain(shards)
    assert seen(store) == [2]


def test_a_changed_file_reaches_what_is_owned(crew: Crew, stores: Callable[[], Store]) -> None:
    """Cameras of other partitions are neither judged nor retired; those that are gone here are."""
    queues, mine = crew.queues(), partition_of("door", PARTITIONS)
    elsewhere = next(n for n in ("yard", "till", "roof") if partition_of(n, PARTITIONS) != mine)
    both = [PLAN, CameraPlan(elsewhere, PLAN.lanes)]
    results_of_both = [result(0), result(1), replace(result(0), camera=elsewhere)]
    all_, some = crew.leases("a"), crew.leases("b", frozenset({mine}))
    all_.look()
    first = crew.shards(all_, stores())
    first.update(both)
    queues.results.publish(results_of_both, 1.0)
    drain(first)
    assert first.is_up_to_date
    assert stores().checkpoint(elsewhere, "fast") is not None
    all_.end()
    some.look()
    second = crew.shards(some, stores())
    second.update([])
    drain(second)
    gone, kept = (stores().checkpoint(name, "fast") for name in ("door", elsewhere))
    assert gone is not None
    assert kept is not None
    assert (gone.run, kept.run) == ("", "clip")
    queues.results.publish([result(2)], 1.0)
    drain(second)
    assert second.judged == {}
    second.update(both)
    queues.results.publish([result(n) for n in range(4)], 1.0)
    drain(second)
    assert second.judged == {("door", "fast"): ("clip", 3, False)}
    assert second.unknown_cameras == {}
