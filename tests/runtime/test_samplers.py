"""A camera has one sampler: others stand by, say so, and take over; nothing is doubled."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.runtime.reports import Report
from pipeline.testing import patience
from tests.cli.commands import moonwatch
from tests.connectors.sources.servers import http_camera
from tests.connectors.sources.test_http import PICTURES, still
from tests.redis_server import Client, Server, free_port
from tests.runtime.clips import STARTS_AT, cut, deployment, written
from tests.runtime.fleet import Fleet, Member, found, wait_for
from tests.runtime.test_chaos import value

pytestmark = [pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(240)]

ENGINE = {"coco": {"type": "scripted", "answers": {"open": ["yes"]}}}
SAMPLED = 'moonwatch_frames_sampled_total{camera="door"}'
JUDGED = 'moonwatch_results_judged_total{camera="door"}'
TAKES_OVER_S = 6.0
"""From the death of one sampler to the first frame of the next: a lease, two looks, an opening."""


def live_camera(url: str) -> dict[str, Any]:
    """A door that a scripted engine says is open, five times a second."""
    return {
        "source": {"type": "http", "url": url, "poll": "100ms"},
        "sample": {"every": "200ms"},
        "tasks": {"open": {"ask": "Is the door open?"}},
        "rules": {"opened": {"type": "condition", "of": "open", "is": True, "gap": "10m"}},
    }


def sampler(fleet: Fleet, name: str, port: int) -> Member:
    """One more sampler, started."""
    command = ["sample", str(fleet.file), "--http", f":{port}"]
    fleet.members[name] = Member(name, command, fleet.file.parent / f"{name}.log")
    fleet.members[name].start()
    return fleet.members[name]


def waiting(client: Client, prefix: str) -> int:
    """How many results nobody has judged."""
    streams = client.keys(f"{{{prefix}}}:results:*")
    return sum(client.xlen(stream) for stream in streams)


def ready(port: int) -> str:
    """What a process answers when asked whether it is at work; empty where it is not."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=patience(5))
    except httpx.TransportError:
        return ""
    return answer.text if answer.status_code == 200 else ""


def test_a_second_sampler_stands_by_and_takes_over(
    tmp_path: Path, server: Server, fleet_of: Callable[..., Fleet]
) -> None:
    """After kill -9 within a lease, after SIGTERM at once, after a pause for good."""
    client = server.client()
    one, two, judging = free_port(), free_port(), free_port()
    queue = {"type": "redis", "url": server.url}
    most: list[int] = []

    with http_camera(still(PICTURES[0])) as url:
        made = deployment(tmp_path, {"door": live_camera(url)}, queue=queue, engines=ENGINE)
        options = {"process": ("--http", f":{judging}")}
        stages = ("process", "infer")
        fleet = fleet_of(written(tmp_path, made), server, stages, options)

        def goes_on(port: int, within_s: float) -> None:
            """The sampler at this port puts frames, and they are judged."""
            before = value(port, SAMPLED)
            wait_for(lambda: value(port, SAMPLED) > before, within_s, fleet.said)
            judged = value(judging, JUDGED)

            def is_judged() -> bool:
                most.append(waiting(client, "moonwatch"))
                return value(judging, JUDGED) > judged + 10

            wait_for(is_judged, 20, fleet.said)

        first = sampler(fleet, "first", one)
        goes_on(one, patience(30))
        second = sampler(fleet, "second", two)
        wait_for(lambda: "standing by" in ready(two), patience(30), fleet.said)
        goes_on(one, patience(5))
        assert value(two, SAMPLED) == 0
        known = [f"({first.pid})"], [f"({second.pid})"]
        wait_for(lambda: samplers_known(fleet) == known, patience(20), fleet.said)

        first.kill()
        goes_on(two, patience(TAKES_OVER_S))
        assert second.said().count("standing by for door (sampled by") == 1

        first.start()
        wait_for(lambda: "standing by" in ready(one), patience(30), fleet.said)
        second.signal(signal.SIGTERM)
        goes_on(one, patience(3))
        wait_for(lambda: second.has_ended, 10, fleet.said)

        second.start()
        wait_for(lambda: "standing by" in ready(two), patience(30), fleet.said)
        first.pause()
        goes_on(two, patience(TAKES_OVER_S))
        before = value(two, SAMPLED)
        first.signal(signal.SIGCONT)
        wait_for(lambda: "standing by" in ready(one), patience(10), fleet.said)
        here = value(one, SAMPLED)
        wait_for(lambda: value(two, SAMPLED) > before + 10, 20, fleet.said)
        assert value(one, SAMPLED) == here
        assert fleet.stop().keys() >= {"first", "second"}
    assert max(most) < 40
    opened = [one for one in found(tmp_path).events.values() if '"opened"' in one]
    assert len(opened) == 1, opened


def test_a_file_is_played_by_one_sampler_and_goes_on_after_its_death(
    tmp_path: Path, server: Server, fleet_of: Callable[..., Fleet]
) -> None:
    """From what is judged, by the one that stood by; both end once all is judged."""
    clip = cut(tmp_path / "clip.mp4", 20.0)
    file_camera = live_camera("") | {
        "source": {"type": "file", "path": str(clip), "speed": "realtime", "starts_at": STARTS_AT}
    }
    queue = {"type": "redis", "url": server.url}
    made = deployment(tmp_path, {"door": file_camera}, queue=queue, engines=ENGINE)
    fleet = fleet_of(written(tmp_path, made), server, ("process", "infer"))
    lanes = [("door", "coco")]
    one, two = free_port(), free_port()
    first = sampler(fleet, "first", one)
    wait_for(lambda: value(one, SAMPLED) > 3, patience(30), fleet.said)
    second = sampler(fleet, "second", two)
    wait_for(lambda: "standing by" in ready(two), patience(30), fleet.said)
    first.kill()
    wait_for(lambda: value(two, SAMPLED) > 0, patience(TAKES_OVER_S), fleet.said)
    first.start()
    wait_for(lambda: found(tmp_path, lanes).ended == set(lanes), patience(40), fleet.said)
    wait_for(lambda: first.has_ended and second.has_ended, patience(20), fleet.said)
    assert found(tmp_path, lanes).last == {("door", "coco"): 100}
    assert "playing the file again" not in fleet.said()


def samplers_known(fleet: Fleet) -> tuple[list[str], list[str]]:
    """The process that `status` says samples the door, and those that it says stand by."""
    _, out, _ = moonwatch("status", fleet.file, "--json")
    door = json.loads(out)["cameras"]["door"]
    sampled_by = [door["sampled_by"]] if door["sampled_by"] else []
    ids = ([place.rpartition(" ")[2] for place in s] for s in (sampled_by, door["standing_by"]))
    by, standing_by = ids
    return by, standing_by


def test_what_samplers_say_of_themselves_is_read_by_the_others() -> None:
    """All of it: what is not read would be shared out or played twice."""
    said = Report(
        *("sampling", "here", 7, 1.0),
        partitions=[],
        stands_by=True,
        samples=("door",),
        stands_by_for=("till",),
        over=("clip",),
    )
    assert Report.of_bytes(said.to_bytes()) == said
