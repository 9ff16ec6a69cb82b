"""What was judged over Redis is judged again alike."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.stores import StoreConfig
from pipeline.core.jobs import Result
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
from tests.insight.lived_scene import (
    EVERY_RULE,
    EVERY_S,
    LIVELY,
    Look,
    Place,
    as_json,
    deployment,
    results_of,
)
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


def judged_over_redis(
    server: Redis, folder: Path, scene: dict[str, Any], told: Sequence[Result]
) -> list[SimulatedHour]:
    """What a simulation of the present file gives of what was judged over Redis."""
    config = StoreConfig(url=f"sqlite:///{folder}/events.db", media=folder / "media")
    clock = ManualClock(START)
    store = config.build(clock)
    queues = built(server.url, folder.parent.name, partitions=4)
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
        shards = Shards(plans_of(Deployment.model_validate(scene)), context, queues.results, leases)
        for first in range(0, len(told), 40):
            assert queues.results.publish(told[first : first + 40], 0.0)
            while shards.step(0.0):
                pass
        leases.end()
        return hours_of(config, scene)
    finally:
        queues.close()
        store.close()


def hours_of(config: StoreConfig, scene: dict[str, Any]) -> list[SimulatedHour]:
    """The hours that a simulation of the present file gives."""
    reader = config.build_reader()
    try:
        simulation = Simulation(
            Deployment.model_validate(scene),
            reader,
            reader.history,
            SimulationScope(),
            ManualClock(START),
            every_rule=True,
        )
        return list(simulation.hours())
    finally:
        reader.close()


def test_over_redis_it_is_the_same_byte_for_byte(server: Redis, tmp_path: Path) -> None:
    """As in one process: events, minutes and what is compared with them."""
    for name in ("one", "many"):
        (tmp_path / name).mkdir()
    site = Site(tmp_path / "one")
    try:
        site.feed(looks(0, LOOKS))
        found = judged_over_redis(server, tmp_path / "many", SHOP, looks(0, LOOKS))
        assert sum(len(rule.here.events) for hour in found for rule in hour.rules if rule.here) > 50
        assert not [rule for hour in found for rule in hour.rules if rule.only_here]
        assert repr(found) == repr(hours_of(site.config, SHOP))
    finally:
        site.store.close()


@pytest.mark.slow
def test_so_are_rules_of_all_types_of_a_camera_and_a_recording(
    server: Redis, tmp_path: Path
) -> None:
    """With opening hours and a clock that is changed, over processes that end."""
    for name in ("one", "many"):
        (tmp_path / name).mkdir()
    began = 1_698_541_150.0
    site = {"timezone": "Europe/Berlin", "hours": {"mon-sun": "0:00-2:01"}}
    scene = deployment({"door": EVERY_RULE, "yard": EVERY_RULE}, site=site, recordings=("yard",))
    told: list[Result] = []
    place = Place(tmp_path / "one", scene, began)
    try:
        for first in range(0, 200, 50):
            some = [Look(n, began + n * EVERY_S, "run", n) for n in range(first, first + 50)]
            new = [
                one
                for camera in ("door", "yard")
                for one in results_of(
                    camera, some, LIVELY, live=camera == "door", failing=frozenset({31, 92})
                )
            ]
            told += new
            place.feed(new)
            place.restart()
        found = judged_over_redis(server, tmp_path / "many", scene, told)
        assert list(place.differences(place.simulated())) == []
        assert as_json(found) == as_json(place.simulated())
        assert not [rule for hour in found for rule in hour.rules if rule.only_here]
    finally:
        place.store.close()
