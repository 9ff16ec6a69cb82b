"""`moonwatch reload`: cameras, rules and sinks come, go and change while everything goes on."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.testing import patience, wait_until
from tests.cli.commands import moonwatch
from tests.cli.test_run import start
from tests.redis_server import Redis, shared
from tests.runtime.clips import CLIP, STARTS_AT, deployment, written

BOX = [0.4, 0.4, 0.6, 0.9]
ENGINES = {"fake": {"type": "scripted", "answers": {"people": [[BOX], []]}}}


@contextmanager
def running(file: Path, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """A run that is there until the end, and then ends in order."""
    with start("run", file, *options) as process:
        try:
            yield process
        finally:
            process.terminate()
            _, errors = process.communicate(timeout=patience(40))
    assert process.returncode == 0, errors


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    """One Redis for the tests of this module."""
    yield from shared()


def endless(more_than: int = 0) -> dict[str, Any]:
    """A camera that plays the clip for ever, at the pace of its recording."""
    source = {"type": "file", "path": str(CLIP), "starts_at": STARTS_AT}
    return {
        "source": source | {"speed": "realtime", "loop": True},
        "sample": {"every": "200ms"},
        "tasks": {"people": {"detect": "person", "engine": "fake"}},
        "rules": {"crowd": {"type": "count", "of": "people", "more_than": more_than}},
    }


def judged(file: Path) -> dict[str, int]:
    """How many frames of each camera the processes at work have judged."""
    _, out, _ = moonwatch("status", file, "--json")
    cameras = json.loads(out)["cameras"]
    return {name: (c["figures"] or {}).get("judged", 0) for name, c in cameras.items()}


def troubles(file: Path) -> list[str]:
    """What `status` finds wrong."""
    _, out, _ = moonwatch("status", file, "--json")
    return list(json.loads(out)["troubles"])


def changes(tmp_path: Path, process: "subprocess.Popen[str]", content: dict[str, Any]) -> None:
    """A camera and a sink come, are changed and go; a mistake changes nothing."""
    file = tmp_path / "deployment.yaml"
    wait_until(lambda: judged(file).get("door", 0) > 5, 60)
    content["cameras"]["yard"] = endless()
    content["sinks"]["more"] = {"type": "jsonl", "path": str(tmp_path / "more.jsonl")}
    written(tmp_path, content)
    code, out, errors = moonwatch("reload", file)
    assert (code, errors) == (0, ""), out + errors
    assert out.count(": applied") == out.count("\n") > 0
    wait_until(lambda: judged(file).get("yard", 0) > 5, 60)
    wait_until(lambda: (tmp_path / "more.jsonl").exists(), 60)
    assert troubles(file) == []

    content["cameras"]["yard"]["rules"]["crowd"]["more_then"] = 5
    written(tmp_path, content)
    code, _, errors = moonwatch("reload", file)
    assert code == 2
    assert "did you mean 'more_than'?" in errors
    del content["cameras"]["yard"]["rules"]["crowd"]["more_then"]

    content["engines"] = {"fake": ENGINES["fake"] | {"max_batch": 2}}
    written(tmp_path, content)
    code, out, _ = moonwatch("reload", file)
    assert code == 1
    assert "engines.fake: has changed; restart this process to load it" in out
    assert any("needs a restart" in trouble for trouble in troubles(file))
    content["engines"] = ENGINES

    del content["cameras"]["yard"], content["sinks"]["more"]
    written(tmp_path, content)
    code, out, _ = moonwatch("reload", file, "--json")
    said = json.loads(out)
    assert (code, {one["outcome"] for one in said["processes"]}) == (0, {"applied"})
    before = judged(file)["door"]
    wait_until(lambda: judged(file)["door"] > before, 60)
    assert list(judged(file)) == ["door"]
    assert troubles(file) == []
    assert process.poll() is None


@pytest.mark.timeout(180)
def test_a_run_in_one_process_takes_changes(tmp_path: Path) -> None:
    """With all stages in one process, which is found through the store."""
    content = deployment(tmp_path, {"door": endless()}, engines=ENGINES)
    with running(written(tmp_path, content)) as process:
        changes(tmp_path, process, content)


@pytest.mark.redis
@pytest.mark.timeout(240)
def test_a_run_in_many_processes_takes_changes(tmp_path: Path, server: Redis) -> None:
    """With a process for each stage, which are found through Redis."""
    queue = {"type": "redis", "url": server.url, "prefix": tmp_path.name}
    content = deployment(tmp_path, {"door": endless()}, engines=ENGINES, queue=queue)
    with running(written(tmp_path, content)) as process:
        changes(tmp_path, process, content)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_signal_has_the_file_read_again(tmp_path: Path) -> None:
    """SIGHUP, as daemons take it."""
    content = deployment(tmp_path, {"door": endless()}, engines=ENGINES)
    file = written(tmp_path, content)
    with running(file) as process:
        wait_until(lambda: judged(file).get("door", 0) > 2, 60)
        content["cameras"]["yard"] = endless()
        written(tmp_path, content)
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: judged(file).get("yard", 0) > 2, 60)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_file_is_watched(tmp_path: Path) -> None:
    """With `--watch` nobody needs to ask."""
    content = deployment(tmp_path, {"door": endless()}, engines=ENGINES)
    file = written(tmp_path, content)
    with running(file, "--watch"):
        wait_until(lambda: judged(file).get("door", 0) > 2, 60)
        content["cameras"]["yard"] = endless()
        written(tmp_path, content)
        wait_until(lambda: judged(file).get("yard", 0) > 2, 60)


def test_there_must_be_somebody_to_ask(tmp_path: Path) -> None:
    """Where nothing runs the answer is a sentence, and how to start it."""
    file = written(tmp_path, deployment(tmp_path, {"door": endless()}, engines=ENGINES))
    code, _, errors = moonwatch("reload", file)
    assert code == 1
    assert "no process of" in errors
    assert "start it with `moonwatch run`" in errors
