"""Whatever is killed, paused or away: in the end the conclusions are the same."""

import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.queues.redis import RedisConfig
from pipeline.core.clock import SystemClock
from pipeline.core.membership import partition_of
from pipeline.core.observations import ObservedFrame
from pipeline.testing import patience
from tests.cli.commands import moonwatch
from tests.connectors.sinks.receiver import receiving
from tests.connectors.sources.servers import http_camera
from tests.connectors.sources.test_http import PICTURES, still
from tests.redis_server import Server, free_port
from tests.runtime.clips import camera, cut, deployment, written
from tests.runtime.fleet import Fleet, found, wait_for

SECONDS = 6.0
LANES = [("plaza", "coco"), ("yard", "coco")]
pytestmark = [pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first seconds of the bundled clip."""
    return cut(tmp_path_factory.mktemp("clip") / "plaza.mp4", SECONDS)


def queue(server: Server, **keys: Any) -> dict[str, Any]:
    """A queue with pictures to the last bit, in which killing is nobody's fault."""
    bounds = {"lossless": True, "visibility": "4s", "max_attempts": 1000, "keep_pictures": "10m"}
    return {"type": "redis", "url": server.url} | bounds | keys


def content(folder: Path, clip: Path, hook: str, **more: Any) -> dict[str, Any]:
    """Two cameras on a clip, and a webhook."""
    source = more.pop("source", {})
    cameras = {name: camera(clip, **source) for name, _ in LANES}
    return deployment(folder, cameras, **more) | {
        "sinks": {"hook": {"type": "webhook", "url": hook}}
    }


def judged(folder: Path) -> int:
    """How many jobs are judged."""
    if not (folder / "events.db").exists():
        return 0
    return sum(found(folder, LANES).last.values())


def test_killing_each_process_once_changes_nothing(
    tmp_path: Path, clip: Path, server: Server, fleet_of: Callable[..., Fleet]
) -> None:
    """Sampler, workers, processors, delivery and Redis: events, ids, data, counts and webhook."""
    calm, wild = tmp_path / "calm", tmp_path / "wild"
    with receiving() as hook:
        assert moonwatch("run", written(calm, content(calm, clip, hook.url)))[0] == 0
        expected = set(hook.accepted)
    with receiving() as hook:
        file = written(wild, content(wild, clip, hook.url, queue=queue(server)))
        fleet = fleet_of(file, server)
        for name in ("infer3", "process1", "redis", "sample5", "deliver0", "process2", "infer4"):
            moves_on(wild, fleet)
            if name == "redis":
                server.kill()
                server.start()
            else:
                fleet.members[name].kill()
                fleet.members[name].start()
        wait_for(lambda: ended(wild), 120, fleet.said)
        wait_for(lambda: set(hook.accepted) >= expected, 60, fleet.said)
        (sampler,) = fleet.of("sample")
        wait_for(lambda: sampler.has_ended, 60, fleet.said)
        assert all(seconds < 10 for seconds in fleet.stop().values())
    assert found(wild).events == found(calm).events
    assert found(wild).buckets == found(calm).buckets
    assert len(found(calm).seen) > 2
    assert _without_run(found(wild).seen) == _without_run(found(calm).seen)
    assert set(hook.accepted) == expected == set(found(calm).events)


def _without_run(seen: Sequence[ObservedFrame]) -> list[ObservedFrame]:
    return [replace(frame, result=replace(frame.result, run="")) for frame in seen]


def moves_on(folder: Path, fleet: Fleet) -> None:
    """Wait until one more job is judged, or there are none."""
    before = judged(folder)
    wait_for(lambda: judged(folder) > before or ended(folder), 60, fleet.said)


def ended(folder: Path) -> bool:
    """Whether both cameras are judged to their end."""
    return found(folder, LANES).ended == set(LANES)


def test_a_paused_processor_notices_and_writes_nothing(
    tmp_path: Path, clip: Path, server: Server, fleet_of: Callable[..., Fleet]
) -> None:
    """Paused for longer than its lease, it is taken over from; on waking it gives up."""
    calm, wild = tmp_path / "calm", tmp_path / "wild"
    with receiving() as hook:
        assert moonwatch("run", written(calm, content(calm, clip, hook.url)))[0] == 0
        slow = content(wild, clip, hook.url, queue=queue(server), source={"speed": "realtime"})
        stages = ("process", "process", "infer", "sample")
        fleet = fleet_of(written(wild, slow), server, stages)
        wait_for(lambda: judged(wild) >= 2, 60, fleet.said)
        queues = RedisConfig.model_validate(queue(server)).build(SystemClock())
        partition = partition_of("plaza", queues.results.partitions)
        owner, token = queues.leases.owners()[partition]
        paused = next(m for m in fleet.of("process") if f":{m.pid}:" in owner)
        paused.pause()
        wait_for(lambda: queues.leases.owners().get(partition, ("", 0))[1] > token, 20, fleet.said)
        wait_for(lambda: ended(wild), 90, fleet.said)
        before = found(wild)
        paused.signal(signal.SIGCONT)
        lost = re.compile(rf"the leases of partitions [\d, ]*\b{partition}\b[\d, ]* were lost")
        wait_for(lambda: lost.search(paused.said()) is not None, 20, fleet.said)
        (sampler,) = fleet.of("sample")
        wait_for(lambda: sampler.has_ended, 60, fleet.said)
        queues.close()
        fleet.stop()
    assert found(wild) == before
    assert before.events == found(calm).events
    assert before.buckets == found(calm).buckets


def test_live_cameras_go_on_while_redis_is_away(
    tmp_path: Path, server: Server, fleet_of: Callable[..., Fleet]
) -> None:
    """Drops are counted, nobody ends, it is said once, and everything resumes by itself."""
    port = free_port()
    with http_camera(still(PICTURES[0])) as url:
        door = camera(tmp_path, every="200ms") | {
            "source": {"type": "http", "url": url, "poll": "100ms"}
        }
        engines = {"coco": {"type": "scripted", "answers": {"people": [[[0.4, 0.4, 0.6, 0.9]]]}}}
        made = deployment(tmp_path, {"door": door}, queue=queue(server), engines=engines)
        stages = ("deliver", "process", "infer", "sample")
        options = {
            "sample": ("--http", f":{port}"),
            "infer": ("--http", f":{port + 1}"),
            "process": ("--http", f":{port + 2}"),
        }
        fleet = fleet_of(written(tmp_path, made), server, stages, options)
        wait_for(lambda: value(port + 2, JUDGED) > 3, 60, fleet.said)
        server.kill()
        wait_for(lambda: value(port, AWAY) > 5, 60, fleet.said)
        received = value(port, RECEIVED)
        wait_for(lambda: value(port, RECEIVED) > received + 5, 20, fleet.said)
        refused = httpx.get(f"http://127.0.0.1:{port + 1}/readyz", timeout=patience(10))
        assert (refused.status_code, "out of reach" in refused.text) == (503, True)
        server.start()
        before = value(port + 2, JUDGED)
        wait_for(lambda: value(port + 2, JUDGED) > before + 3, 60, fleet.said)
        members = fleet.members.values()
        wait_for(lambda: all("is back" in member.said() for member in members), 60, fleet.said)
        for member in members:
            assert not member.has_ended
            assert member.said().count("is out of reach") == 1, member.said()
            assert member.said().count("is back") == 1, member.said()
            assert "Traceback" not in member.said()
        assert all(seconds < 10 for seconds in fleet.stop().values())


JUDGED = 'moonwatch_results_judged_total{camera="door"}'
RECEIVED = 'moonwatch_frames_received_total{camera="door"}'
AWAY = 'moonwatch_frames_dropped_total{camera="door",reason="queue away"}'


def value(port: int, name: str) -> float:
    """One sample of a process's metrics, 0 while there is none."""
    try:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=patience(5)).text
    except httpx.TransportError:
        return 0.0
    found = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(name)]
    return float(found[0]) if found else 0.0
