"""Events that wait for a second look: whatever is killed, each goes out once, with its outcome."""

import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.events import event_from_json
from pipeline.testing import wait_until
from tests.cli.commands import moonwatch
from tests.cli.test_run import start
from tests.connectors.sinks.receiver import receiving
from tests.redis_server import Server
from tests.runtime.clips import camera, cut, deployment, written
from tests.runtime.fleet import Fleet, Found, found, wait_for

SECONDS = 6.0
LANES = [("plaza", "fast"), ("yard", "fast")]
ENGINES = {
    "fast": {"type": "coco"},
    # The same answer each time, so that it does not matter who is asked first.
    "wise": {
        "type": "scripted",
        "answers": {
            "middle.verify": ["yes"],
            "crowd.verify": ["no"],
            "stay.verify": [{"fail": "too dark"}],
            "across.staff": ["yes"],
        },
    },
}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first seconds of the bundled clip."""
    return cut(tmp_path_factory.mktemp("clip") / "plaza.mp4", SECONDS)


def content(folder: Path, clip: Path, hook: str, **more: Any) -> dict[str, Any]:
    """Two cameras on a clip; three of four rules are looked at twice, one asks about tracks."""
    cameras = {name: camera(clip) for name, _ in LANES}
    for one in cameras.values():
        one["tasks"]["people"]["engine"] = "fast"
        for rule in ("middle", "crowd", "stay"):
            one["rules"][rule]["verify"] = {"ask": "Is it so?", "engine": "wise"}
        one["rules"]["across"]["staff"] = {"ask": "Is it a red apron?", "engine": "wise"}
    made = deployment(folder, cameras, engines=ENGINES, **more)
    sink = {"type": "webhook", "url": hook, "from": "beginning"}
    return made | {"sinks": {"hook": sink}}


def told(events: Found) -> dict[str, list[tuple[str, object]]]:
    """The record ids and outcomes of each camera's events, in the order of storing."""
    order: dict[str, list[tuple[str, object]]] = {}
    for record_id, text in events.events.items():
        event = event_from_json(text)
        order.setdefault(event.camera, []).append((record_id, event.data.get("verified")))
    return order


def wanted_of(events: Found) -> set[str]:
    """The events that are not rejected."""
    return {one for camera in told(events).values() for one, said in camera if said != "rejected"}


def ended(folder: Path) -> bool:
    """Whether both cameras are judged to their end."""
    return (folder / "events.db").exists() and found(folder, LANES).ended == set(LANES)


def test_killing_a_run_at_any_moment_changes_nothing(tmp_path: Path, clip: Path) -> None:
    """The same events in the same order with the same outcomes, and each is delivered."""
    calm, wild = tmp_path / "calm", tmp_path / "wild"
    with receiving() as hook:
        code, _, errors = moonwatch("run", written(calm, content(calm, clip, hook.url)))
        assert code == 0, errors
        assert set(hook.accepted) == wanted_of(found(calm))
    across = [event_from_json(text) for text in found(calm).events.values()]
    staff = [event.data["staff"] for event in across if event.rule == "across"]
    assert staff == [True] * len(staff) != []
    outcomes = {said for one in told(found(calm)).values() for _, said in one}
    assert outcomes == {None, "confirmed", "rejected", "unverified"}
    _, status, _ = moonwatch("status", calm / "deployment.yaml", "--json")
    looks = {(one["camera"], one["rule"]): one for one in json.loads(status)["second_looks"]}
    assert looks["plaza", "middle"]["confirmed"] > 0
    assert looks["yard", "crowd"]["rejected"] > 0
    assert all(one["waiting"] == 0 for one in looks.values())
    chance = random.Random(7)
    with receiving() as hook:
        file = written(wild, content(wild, clip, hook.url))
        killed = 0
        for _ in range(6):
            with start("run", file) as process:
                wait_until((wild / "events.db").exists, within_s=30)
                try:
                    process.communicate(timeout=chance.uniform(0.5, 4.0))
                except subprocess.TimeoutExpired:
                    process.kill()
                    killed += 1
        assert killed >= 2
        code, _, errors = moonwatch("run", file)
        assert code == 0, errors
        assert set(hook.accepted) == wanted_of(found(wild))
    assert found(wild).events == found(calm).events
    assert found(wild).buckets == found(calm).buckets
    assert told(found(wild)) == told(found(calm))


@pytest.mark.redis
def test_killing_each_process_changes_nothing(
    tmp_path: Path, clip: Path, server: Server, fleet_of: Callable[..., Fleet]
) -> None:
    """Two processors, two workers, a sampler, delivery and Redis, each killed once."""
    calm, wild = tmp_path / "calm", tmp_path / "wild"
    with receiving() as hook:
        assert moonwatch("run", written(calm, content(calm, clip, hook.url)))[0] == 0
    bounds = {"lossless": True, "visibility": "4s", "max_attempts": 1000, "keep_pictures": "10m"}
    queue = {"type": "redis", "url": server.url, **bounds}
    with receiving() as hook:
        fleet = fleet_of(written(wild, content(wild, clip, hook.url, queue=queue)), server)
        for name in ("infer3", "process1", "redis", "sample5", "deliver0", "process2", "infer4"):
            before = judged(wild)
            wait_for(lambda before=before: judged(wild) > before or ended(wild), 60, fleet.said)  # type: ignore[misc]
            if name == "redis":
                server.kill()
                server.start()
            else:
                fleet.members[name].kill()
                fleet.members[name].start()
        # A sampler stays until everything is judged and looked at.
        (sampler,) = fleet.of("sample")
        wait_for(lambda: sampler.has_ended, 150, fleet.said)
        wait_for(lambda: set(hook.accepted) >= wanted_of(found(wild)), 60, fleet.said)
        fleet.stop()
    assert found(wild).events == found(calm).events
    assert found(wild).buckets == found(calm).buckets
    assert told(found(wild)) == told(found(calm))


def judged(folder: Path) -> int:
    """How many jobs are judged."""
    if not (folder / "events.db").exists():
        return 0
    return sum(found(folder, LANES).last.values())
