"""Stages in processes of their own: refused where they cannot be, looked after, seen, stopped."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.queues.redis import RedisConfig
from pipeline.cli.sample import chosen
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError
from pipeline.core.frames import Frame
from pipeline.core.jobs import Job
from pipeline.core.tasks import Detect
from pipeline.deployment.loader import load
from pipeline.deployment.model import Deployment
from pipeline.runtime.child_processes import MOST_RESTARTS, Children
from pipeline.testing import ManualClock, grey_pixels, patience, wait_until
from tests.cli.commands import moonwatch
from tests.cli.test_run import start
from tests.redis_server import Redis, leaks, shared
from tests.runtime.clips import CLIP, camera, cut, deployment, written

SECONDS = 5.0
pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    """One Redis for the tests of this module."""
    yield from shared()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first seconds of the bundled clip."""
    return cut(tmp_path_factory.mktemp("clip") / "plaza.mp4", SECONDS)


def queue(server: Redis, folder: Path, **keys: Any) -> dict[str, Any]:
    """A queue of the test's own, with pictures to the last bit."""
    return {"type": "redis", "url": server.url, "prefix": folder.name, "lossless": True} | keys


def lines(folder: Path) -> list[str]:
    """What the sink was given, in an order of its own."""
    return sorted((folder / "events.jsonl").read_text().splitlines())


@pytest.mark.parametrize("command", ["sample", "infer", "process", "deliver"])
def test_a_queue_in_memory_cannot_be_shared(tmp_path: Path, command: str) -> None:
    """A stage alone is refused with the way out, before anything is opened."""
    file = written(tmp_path, deployment(tmp_path, {"plaza": camera(CLIP)}))
    code, _, errors = moonwatch(command, file)
    assert code == 2
    assert "queue" in errors
    assert "moonwatch run" in errors
    assert not (tmp_path / "events.db").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("process", "--shard", "5/4"), "1/4 to 4/4"),
        (("infer", "--engine", "fast"), "coco"),
        (("sample", "--camera", "yard"), "plaza"),
        (("sample", "--group", "north"), "no camera of the file has a `group`"),
        (("deliver", "--http", "9100"), ":9100"),
        (("run", "--record", "tracks.jsonl"), "one process"),
    ],
)
def test_slips_of_the_command_line_are_said(
    tmp_path: Path, arguments: tuple[str, ...], word: str
) -> None:
    """With what would be right."""
    nowhere = {"type": "redis", "url": "redis://127.0.0.1:1/0"}
    file = written(tmp_path, deployment(tmp_path, {"plaza": camera(CLIP)}, queue=nowhere))
    code, _, errors = moonwatch(arguments[0], file, *arguments[1:])
    assert code == 2
    assert word in errors


GROUPS = {"door": None, "till": None, "yard": "north", "gate": "south"}


@pytest.mark.parametrize(
    ("cameras", "groups", "taken"),
    [
        ([], [], ["door", "till"]),
        ([], ["north"], ["yard"]),
        ([], ["south", "north"], ["yard", "gate"]),
        (["till"], [], ["till"]),
        (["gate"], ["north", "south"], ["gate"]),
    ],
)
def test_a_sampler_takes_the_cameras_of_its_groups(
    tmp_path: Path, cameras: list[str], groups: list[str], taken: list[str]
) -> None:
    """One without groups those without a group; named cameras are some of these."""
    assert list(chosen(grouped(tmp_path, GROUPS), cameras, groups).cameras) == taken


@pytest.mark.parametrize(
    ("known", "cameras", "groups", "said"),
    [
        (GROUPS, [], ["east"], "'east' is not in the file; it has: north, south"),
        (GROUPS, ["yard"], [], "'yard' belongs to a group: add `--group north`"),
        (GROUPS, ["door"], ["north"], "'door' has no group: omit `--group`"),
        ({"yard": "north", "gate": "south"}, [], [], "`--group north` or `--group south`"),
    ],
)
def test_a_sampler_that_would_have_no_camera_is_refused(
    tmp_path: Path,
    known: dict[str, str | None],
    cameras: list[str],
    groups: list[str],
    said: str,
) -> None:
    """With the way out."""
    with pytest.raises(ConfigError) as refused:
        chosen(grouped(tmp_path, known), cameras, groups)
    assert said in str(refused.value)


def grouped(folder: Path, groups: dict[str, str | None]) -> Deployment:
    """A deployment of cameras with these groups."""
    cameras = {name: camera(CLIP) | {"group": group} for name, group in groups.items()}
    return load(written(folder, deployment(folder, cameras)))


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_many_processes_conclude_what_one_does(tmp_path: Path, server: Redis, clip: Path) -> None:
    """Event by event, byte for byte; once more, and nothing is added. No key stays for ever."""
    cameras = {"plaza": camera(clip), "yard": camera(clip)}
    one, many = tmp_path / "one", tmp_path / "many"
    assert moonwatch("run", written(one, deployment(one, cameras)))[0] == 0
    file = written(many, deployment(many, cameras, queue=queue(server, tmp_path)))
    for _time in range(2):
        code, out, errors = moonwatch("run", file, "--json")
        assert code == 0, errors
        assert lines(many) == lines(one)
    sampled = {row["camera"]: row["sampled"] for row in json.loads(out)["frames"]}
    assert sampled == {"plaza": 0, "yard": 0}
    assert leaks(server.client, tmp_path.name) == []


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_deployment_is_seen_looked_after_and_stopped(tmp_path: Path, server: Redis) -> None:
    """It is ready once all stages are; a killed one is started again; a signal ends all."""
    cameras = {"plaza": camera(CLIP, loop=True, speed="realtime")}
    file = written(tmp_path, deployment(tmp_path, cameras, queue=queue(server, tmp_path)))
    port = free_ports_from(5)
    with start("run", file, "--http", f":{port}") as process:
        wait_until(lambda: asked(port, "/readyz") == 200, within_s=60)
        children = range(port + 1, port + 5)
        wait_until(lambda: all(asked(one, "/healthz") == 200 for one in children), within_s=60)
        code, out, _ = moonwatch("status", file, "--json")
        seen = json.loads(out)
        assert (code, seen["ok"]) == (0, True), seen["troubles"]
        stages = {one["stage"]: one["pid"] for one in seen["processes"]}
        assert set(stages) == {"sampling", "inference", "processing", "delivery"}
        assert seen["unowned"] == []
        assert seen["sinks"]["log"]["behind"] is not None
        os.kill(stages["inference"], signal.SIGKILL)
        wait_until(lambda: "moonwatch_stage_restarts" in page(port), within_s=5)
        wait_until(lambda: 'restarts{stage="inference"} 1.0' in page(port), within_s=30)
        wait_until(lambda: asked(port + 3, "/readyz") == 200, within_s=60)
        began = time.monotonic()
        process.terminate()
        _, errors = process.communicate(timeout=patience(40))
        assert time.monotonic() - began < patience(20)
    assert process.returncode == 0, errors
    assert "was killed by signal 9; restarting it" in errors
    assert [asked(port + nth, "/healthz") for nth in range(5)] == [0] * 5


def free_ports_from(count: int) -> int:
    """The first of several ports in a row that nobody listens at, and that no system hands out."""
    while True:
        first = random.SystemRandom().randrange(20_000, 32_000)
        with suppress(OSError), ExitStack() as tried:
            for port in range(first, first + count):
                tried.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first


def asked(port: int, path: str) -> int:
    """The status a process answers with, 0 where there is none."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=patience(5)).status_code
    except httpx.TransportError:
        return 0


def page(port: int) -> str:
    """A process's metrics."""
    return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=patience(5)).text


@pytest.mark.slow
def test_children_end_with_their_parent(tmp_path: Path, server: Redis) -> None:
    """A supervisor that is killed leaves no process behind."""
    file = written(
        tmp_path, deployment(tmp_path, {"plaza": camera(CLIP)}, queue=queue(server, tmp_path))
    )
    port = free_ports_from(5)
    command = ["deliver", str(file), "--with-parent", "--http", f":{port}"]
    process = subprocess.Popen([sys.executable, "-m", "pipeline", *command], stdin=subprocess.PIPE)
    wait_until(lambda: asked(port, "/healthz") == 200, within_s=30)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(patience(20)) == 0


def test_what_keeps_ending_is_given_up() -> None:
    """Not started more than five times in a minute; the reason names it and its exit code."""
    clock = ManualClock()
    program = (sys.executable, "-c", "raise SystemExit(1)")
    children = Children({"infer": ()}, clock, program)
    children.start()

    def given_up() -> bool:
        ended = children.restarts()
        children.poll()
        if children.restarts() != ended:
            clock.advance(9.0)  # past the pause, and six of them are within a minute
        return children.failure is not None

    wait_until(given_up, within_s=30)
    assert children.restarts() == {"infer": MOST_RESTARTS}
    assert "infer ended with exit code 1" in str(children.failure)


def test_a_refused_file_is_not_tried_again() -> None:
    """Exit code 2 says that starting it again is no use."""
    program = (sys.executable, "-c", "raise SystemExit(2)")
    children = Children({"sample": ()}, ManualClock(), program)
    children.start()

    def given_up() -> bool:
        children.poll()
        return children.failure is not None

    wait_until(given_up)
    assert children.restarts() == {"sample": 0}


def test_dead_letters_are_listed_put_back_and_dropped(tmp_path: Path, server: Redis) -> None:
    """By id, or all of them; an unknown id is said."""
    keys = queue(server, tmp_path, max_attempts=1, visibility="1ms")
    file = written(tmp_path, deployment(tmp_path, {"plaza": camera(CLIP)}, queue=keys))
    queues = RedisConfig.model_validate(keys).build(SystemClock())

    def lose(ordinal: int) -> None:
        job = Job(a_frame(ordinal), "coco", ordinal, (Detect("people", "coco", "person"),), False)
        assert queues.jobs.put(job, 1).accepted
        count = len(queues.jobs.dead_letters())
        queues.jobs.claim("coco", 1, 0.1)
        wait_until(
            lambda: (
                not queues.jobs.claim("coco", 1, 0.01) and len(queues.jobs.dead_letters()) > count
            )
        )

    lose(0)
    lose(1)
    code, out, errors = moonwatch("dead-letters", "list", file, "--json")
    assert code == 0, errors
    listed = json.loads(out)
    assert [(one["camera"], one["seq"]) for one in listed] == [("plaza", 0), ("plaza", 1)]
    assert moonwatch("dead-letters", "retry", file, listed[0]["id"])[1] == "1 put back\n"
    assert [claim.job.ordinal for claim in queues.jobs.claim("coco", 9, 1)] == [0]
    assert moonwatch("dead-letters", "drop", file, "--all")[0] == 0
    code, _, errors = moonwatch("dead-letters", "drop", file, "7-7")
    assert (code, "no such dead letter: 7-7" in errors) == (1, True)
    queues.close()


def a_frame(seq: int) -> Frame:
    """A small grey frame of the camera."""
    return Frame("plaza", "run", seq, 1_700_000_000.0 + seq, grey_pixels(), (64, 48))
