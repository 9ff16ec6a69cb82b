"""What `status` says of cameras, sinks and runs follows from what moves, not from last words."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.stores import StoreConfig
from pipeline.core.clock import SystemClock
from pipeline.core.store import Commit
from pipeline.deployment.loader import load, read
from pipeline.insight.status import STAGES, DeploymentStatus, status_of
from pipeline.runtime.ownership import RunOwnership
from pipeline.runtime.reload import DeploymentFile
from pipeline.runtime.reports import Report, new_member
from pipeline.runtime.single_process import Run
from pipeline.runtime.stage_process import shared_queues
from pipeline.testing import ManualClock, wait_until
from tests.contracts.event_tools import an_event
from tests.redis_server import Redis, shared
from tests.runtime.clips import CLIP, camera, deployment, written
from tests.wild.mjpeg_camera import MjpegCamera

MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module", name="server")
def _server() -> Iterator[Redis]:
    """One Redis for the tests of this module."""
    yield from shared()


def deployed(folder: Path, server: Redis, *, waiting: int = 0, since_s: float = 0.0) -> Path:
    """A deployment over Redis, with events that have waited for its sink for so long."""
    queue = {"type": "redis", "url": server.url, "prefix": folder.name}
    file = written(folder, deployment(folder, {"plaza": camera(CLIP)}, queue=queue))
    clock = ManualClock(SystemClock().now() - since_s)
    store = StoreConfig(url=f"sqlite:///{folder}/events.db").build(clock)
    store.register_sinks(["log"])
    store.commit(Commit(events=[an_event(n) for n in range(waiting)]))
    store.close()
    return file


def reported(file: Path, sink: dict[str, Any] | None = None, **sampler: Any) -> DeploymentStatus:
    """What is said where one process of each stage is at work and says this."""
    queues = shared_queues(load(file, []), SystemClock())
    reports = {stage: Report(stage, "here", 1, 9.0) for stage in STAGES}
    reports["sampling"] = Report("sampling", "here", 1, 9.0, samples=["plaza"], **sampler)
    reports["processing"] = Report("processing", "here", 1, 9.0, judged={"plaza": {"fast": None}})
    reports["delivery"] = Report("delivery", "here", 1, 9.0, sinks={"log": sink or {}})
    for stage, report in reports.items():
        queues.presence.say(new_member(stage), report.to_bytes(), MINUTE)
    for partition in range(queues.results.partitions):
        queues.leases.acquire(partition, "a processor", MINUTE)
    queues.close()
    return status_of(load(file, []), SystemClock())


@pytest.mark.redis
def test_what_a_sampler_finds_is_said_in_its_words(tmp_path: Path, server: Redis) -> None:
    """The trouble, since when and what helps, in the text, for machines and in the exit code."""
    trouble = {
        "state": "unanswered",
        "since": 1_780_315_200.0,
        "sentence": "is not analysed: engine fast answered none of its frames for 17 s",
        "help": "see the worker's log, and restart it",
    }
    file = deployed(tmp_path, server)
    found = reported(file, wellness={"plaza": [trouble]})
    assert found.troubles == [
        f"camera plaza {trouble['sentence']}; {trouble['help']} (since 2026-06-01T13:00:00+01:00)"
    ]
    assert found.cameras["plaza"].state == "unanswered"
    told = json.loads(json.dumps(found.as_json()))
    assert (told["ok"], told["cameras"]["plaza"]["troubles"]) == (False, [trouble])


@pytest.mark.redis
def test_a_camera_that_its_sampler_finds_well_is_online(tmp_path: Path, server: Redis) -> None:
    """No trouble was reported, and that is known."""
    found = reported(deployed(tmp_path, server), wellness={"plaza": []})
    assert found.ok is True
    assert found.cameras["plaza"].state == "online"


@pytest.mark.redis
@pytest.mark.parametrize(
    ("lane", "is_trouble"),
    [
        ({"behind": 5, "waiting_since": -40.0}, True),
        ({"behind": 5, "waiting_since": -3.0}, False),
        ({"behind": 5, "waiting_since": None}, False),
        ({}, False),
    ],
    ids=["stands still", "moves", "has just begun", "an older release"],
)
def test_events_wait_and_none_is_sent(
    tmp_path: Path, server: Redis, lane: dict[str, Any], is_trouble: bool
) -> None:
    """The delivery process has no complaint, and still nothing reaches the sink."""
    file = deployed(tmp_path, server, waiting=5)
    if lane.get("waiting_since"):
        lane = lane | {"waiting_since": SystemClock().now() + lane["waiting_since"]}
    found = reported(file, lane, wellness={"plaza": []})
    said = [
        one for one in found.troubles if one.startswith("sink log is 5 events behind, and none")
    ]
    assert bool(said) == is_trouble
    assert found.ok is not is_trouble


@pytest.mark.redis
def test_the_delivery_process_uses_another_store(tmp_path: Path, server: Redis) -> None:
    """It has nothing to do, and in this store events have waited for a minute."""
    file = deployed(tmp_path, server, waiting=5, since_s=60.0)
    found = reported(file, {"behind": 0, "waiting_since": None}, wellness={"plaza": []})
    [trouble] = found.troubles
    assert trouble.startswith("sink log is 5 events behind, and none was delivered for 6")
    assert trouble.endswith("whether it uses this store")


@pytest.mark.slow
def test_a_run_says_how_its_camera_is_and_when_it_ended(tmp_path: Path) -> None:
    """All in one process: well, silent, well again, and over; each is seen from outside."""
    with MjpegCamera(rate=10.0) as door:
        content = {
            "version": 1,
            "store": {"url": f"sqlite:///{tmp_path}/events.db"},
            "engines": {"fast": {"type": "scripted", "answers": {"door": ["no"]}}},
            "cameras": {
                "door": {
                    "source": {"type": "http", "url": door.url},
                    "sample": {"every": "200ms", "offline_after": "1s"},
                    "tasks": {"door": {"ask": "Is it open?", "engine": "fast"}},
                }
            },
        }
        path = written(tmp_path, content)
        file = DeploymentFile(path, (), read(path, []))
        deployment = file.deployment

        def seen() -> DeploymentStatus:
            return status_of(deployment, SystemClock())

        with RunOwnership(deployment) as ownership:
            assert ownership.take(stop=threading.Event())
            run = Run(deployment, ownership, file=file)
            run.start()
            wait_until(lambda: seen().ok is True)
            assert run.ready() is None
            door.mood = "silent"
            wait_until(lambda: seen().cameras["door"].state == "offline")
            [trouble] = [one for one in seen().troubles if one.startswith("camera door is offline")]
            assert ";" in trouble
            assert "camera door is offline" in (run.ready() or "")
            door.mood = "lively"
            wait_until(lambda: seen().ok is True)
            run.stop()
            run.close()
        ended = seen()
        assert ended.ok is None
        assert ended.run is not None
        assert ended.run.state.startswith("run ended at 20")
        assert ended.cameras["door"].state is None
