"""What was judged over Redis is judged again alike."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.stores import StoreConfig
from pipeline.deployment.model import Deployment
from pipeline.insight.simulation import SimulatedHour, Simulation, SimulationScope
from pipeline.processing.leases import PartitionLeases
from pipeline.processing.processor import ProcessorContext
from pipeline.processing.shards import Shards
from pipeline.processing.snapshots import Snapshots
from pipeline.runtime.assembly import plans_of
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock
from tests.connectors.queues.redis.tools import built
from tests.insight.test_simulation import looks
from tests.processing.life_scene import SHOP, START
from tests.processing.test_life import Site
from tests.redis_server import Redis, shared

pytestmark = pytest.mark.redis
LOOKS = 260


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    """One Redis for the tests of this module."""
    yield from shared()


def hours_of(config: StoreConfig) -> list[SimulatedHour]:
    """The hours that a simulation of the present file gives."""
    reader = config.build_reader()
    try:
        simulation = Simulation(
            Deployment.model_validate(SHOP),
            reader,
            reader.history,
            SimulationScope(),
            ManualClock(START),
        )
        return list(simulation.hours())
    finally:
        reader.close()


def test_over_redis_it_is_the_same_byte_for_byte(server: Redis, tmp_path: Path) -> None:
    """As in one process: events, minutes and what is compared with them."""
    for name in ("one", "many"):
        (tmp_path / name).mkdir()
    site = Site(tmp_path / "one")
    site.feed(looks(0, LOOKS))
    config = StoreConfig(url=f"sqlite:///{tmp_path}/many/events.db", media=tmp_path / "media")
    clock = ManualClock(START)
    store = config.build(clock)
    queues = built(server.url, tmp_path.name, partitions=4)
    try:
        leases = PartitionLeases(
            queues.leases, "a", 4, lambda: 1, store.fences, ttl=timedelta(minutes=5)
        )
        leases.look()
        context = ProcessorContext(
            queues.results,
            store,
            Snapshots(queues.shelf, config.build_media()),
            Metrics(),
            clock,
        )
        shards = Shards(plans_of(Deployment.model_validate(SHOP)), context, queues.results, leases)
        told = looks(0, LOOKS)
        for first in range(0, len(told), 40):
            assert queues.results.publish(told[first : first + 40], 0.0)
            while shards.step(0.0):
                pass
        leases.end()
        found = hours_of(config)
        assert sum(len(rule.here.events) for hour in found for rule in hour.rules if rule.here) > 50
        assert not [rule for hour in found for rule in hour.rules if rule.only_here]
        assert repr(found) == repr(hours_of(site.config))
    finally:
        queues.close()
        store.close()
        site.store.close()
