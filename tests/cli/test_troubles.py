"""A disk that is full, a store that is locked, a sink that is down: nothing is lost."""

import json
import resource
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.testing import patience, wait_until
from tests.cli.commands import moonwatch
from tests.cli.test_run import start
from tests.connectors.sinks.receiver import receiving
from tests.runtime.clips import camera, cut, deployment, written
from tests.runtime.fleet import found

SECONDS = 6.0
LANES = [("plaza", "coco")]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first seconds of the bundled clip."""
    return cut(tmp_path_factory.mktemp("clip") / "plaza.mp4", SECONDS)


@pytest.fixture(scope="module")
def calm(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with no trouble at all."""
    folder = tmp_path_factory.mktemp("calm")
    code, _, errors = moonwatch("run", written(folder, deployment(folder, {"plaza": camera(clip)})))
    assert code == 0, errors
    return folder


def judged(folder: Path) -> int:
    """The last job judged."""
    known = (folder / "events.db").exists()
    return found(folder, LANES).last.get(LANES[0], -1) if known else -1


def test_a_store_that_is_locked_is_waited_for(tmp_path: Path, clip: Path, calm: Path) -> None:
    """Longer than it is waited for at once; it is said once, and every event is kept."""
    file = written(tmp_path, deployment(tmp_path, {"plaza": camera(clip, speed="realtime")}))
    with start("run", file) as process:
        wait_until(lambda: judged(tmp_path) >= 1, within_s=40)
        with closing(sqlite3.connect(tmp_path / "events.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(TimeoutError):
                _wait(process.pid, 13)
            other.execute("ROLLBACK")
        _, errors = process.communicate(timeout=patience(60))
    assert process.returncode == 0, errors
    assert errors.count("store refuses events; retrying") == 1
    assert errors.count("store accepts events again") == 1
    assert found(tmp_path).events == found(calm).events


def _wait(pid: int, seconds: float) -> None:
    """Raise TimeoutError after so many seconds in which the process was there."""
    try:
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), within_s=seconds)
    except AssertionError:
        raise TimeoutError from None


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits another process")
def test_a_disk_that_is_full_loses_nothing(tmp_path: Path, clip: Path, calm: Path) -> None:
    """No file may grow for a while; afterwards the run goes on by itself, with every event."""
    file = written(tmp_path, deployment(tmp_path, {"plaza": camera(clip, speed="realtime")}))
    with start("run", file) as process:
        wait_until(lambda: judged(tmp_path) >= 1, within_s=40)
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, hard))
        before = judged(tmp_path)
        with pytest.raises(TimeoutError):
            _wait(process.pid, 3)
        assert judged(tmp_path) <= before + 1
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        _, errors = process.communicate(timeout=patience(60))
    assert process.returncode == 0, errors
    assert errors.count("store refuses events; retrying") == 1
    ours, theirs = found(tmp_path), found(calm)
    assert ours.events.keys() == theirs.events.keys()
    assert ours.buckets == theirs.buckets
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert len({json.loads(line)["id"] for line in lines}) == len(ours.events)


def test_a_sink_that_is_down_is_seen_and_gets_everything_later(tmp_path: Path, clip: Path) -> None:
    """`status` says how far it is behind and why; it gets each event once it is there again."""
    with receiving() as hook:
        hook.always = 503
        made = deployment(tmp_path, {"plaza": camera(clip, loop=True, speed="realtime")})
        made["sinks"] = {"hook": {"type": "webhook", "url": hook.url}}
        file = written(tmp_path, made)
        with start("run", file) as process:
            wait_until(lambda: len(hook.requests) >= 2, within_s=60)
            seen = json.loads(moonwatch("status", file, "--json")[1])
            assert seen["sinks"]["hook"]["behind"] > 0
            hook.always = 200
            wait_until(lambda: len(set(hook.accepted)) >= 3, within_s=60)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=patience(60))
        assert process.returncode == 0, errors
        assert errors.count("sink hook is behind") == 1
        assert "s3cret" not in errors
        assert set(hook.accepted) >= set(found(tmp_path).events)
