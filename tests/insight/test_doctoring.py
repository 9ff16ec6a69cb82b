"""What is tried is told in words and figures, on real servers, and nothing is left in them."""

import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.core.clock import Clock, SystemClock
from pipeline.core.sources import StreamLog
from pipeline.deployment.loader import parse
from pipeline.deployment.model import Deployment
from pipeline.insight.doctoring import Finding, _RunAtWork, _Trial, _tried, try_all
from pipeline.testing import ManualClock, patience
from tests.connectors.sinks.brokers import broker
from tests.connectors.sinks.kafka_cluster import KafkaCluster
from tests.connectors.sinks.nats_server import NatsServer
from tests.connectors.sources.servers import answering, rtsp_answer
from tests.redis_server import Server


def deployment(folder: Path, **more: Any) -> Deployment:
    """With one camera, a folder of pictures with a recording."""
    content = {
        "version": 1,
        "store": {"url": f"sqlite:///{folder}/shop.db"},
        "engines": {"pretend": {"type": "scripted", "answers": {"people": [[]]}}},
        "cameras": {
            "gate": {
                "source": {"type": "file", "path": str(folder / "none.mp4")},
                "tasks": {"people": {"detect": "person"}},
            }
        },
        **more,
    }
    return parse(yaml.safe_dump(content)).deployment


def found_in(
    deployment: Deployment, clock: Clock | None = None, *, sends: bool = False
) -> dict[tuple[str, str], Finding]:
    """The findings by part and name."""
    findings = try_all(deployment, clock or SystemClock(), sends=sends)
    return {(finding.part, finding.name): finding for finding in findings}


def test_a_redis_tells_its_version_memory_and_time(tmp_path: Path) -> None:
    """One that evicts fails, as does a clock that is hours away; nothing is left in it."""
    server = Server(options=("--maxmemory", "50mb", "--maxmemory-policy", "noeviction")).start()
    try:
        file = deployment(
            tmp_path,
            queue={"type": "redis", "url": server.url},
            sinks={"entries": {"type": "redis_stream", "url": server.url}},
        )
        found = found_in(file)
        queue = found["queue", "redis"]
        assert queue.state == "ok", queue
        assert queue.facts["policy"] == "noeviction"
        assert queue.facts["maxmemory"] == 50 * 1024 * 1024
        name = f"redis at 127.0.0.1:{server.port}"
        assert found["clock", name].state == "ok"
        assert found["sink", "entries"].message == "answers; the stream is not there yet"
        assert server.client().keys("*") == []
        client: Any = server.client()
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.set("moonwatch:events", "no stream")
        found = found_in(file, ManualClock(1_000.0))
        assert "set `maxmemory-policy noeviction`" in found["queue", "redis"].message
        assert found["queue", "redis"].state == "failed"
        assert found["clock", name].state == "failed"
        assert "ahead of that of this machine" in found["clock", name].message
        assert "something else than a stream" in found["sink", "entries"].message
        client.config_set("requirepass", "hush")
        refused = found_in(file)["queue", "redis"]
        assert "does not accept the login" in refused.message
    finally:
        server.close()


def test_a_database_file_is_read_beside_a_writer(tmp_path: Path) -> None:
    """Also while somebody writes, and it stays as it is."""
    file = deployment(tmp_path)
    store = file.store.build(SystemClock())
    try:
        found = found_in(file)
    finally:
        store.close()
    told = found["store", f"{tmp_path}/shop.db"]
    assert told.state == "ok"
    assert "SQLite" in told.message
    gate = found["camera", "gate"]
    assert gate.state == "failed"
    assert gate.facts["reason"] == "not found"


def test_brokers_are_logged_in_to_and_get_nothing(tmp_path: Path) -> None:
    """MQTT, NATS and Kafka say that they answer; `--send` brings one event each."""
    nats, kafka = NatsServer(tmp_path / "nats"), KafkaCluster()
    try:
        with broker(tmp_path) as mqtt:
            sinks = {
                "mqtt": {"type": "mqtt", "url": mqtt.url, "timeout": "20s"},
                "nats": {"type": "nats", "url": nats.url, "stream": "SHOP", "timeout": "20s"},
                "kafka": {"type": "kafka", "brokers": kafka.address, "timeout": "20s"},
            }
            file = deployment(tmp_path, sinks=sinks)
            found = found_in(file)
            assert {name: found["sink", name].state for name in sinks} == dict.fromkeys(
                sinks, "ok"
            ), found
            assert "the stream SHOP is made with the first event" in found["sink", "nats"].message
            assert kafka.records("moonwatch.events") == []
            found = found_in(file, sends=True)
            assert {found["sink", name].message for name in sinks} == {"has taken a test"}, found
            assert len(kafka.records("moonwatch.events")) == 1
            found = found_in(file)
            assert "its stream SHOP takes" in found["sink", "nats"].message
            assert "the topic moonwatch.events" in found["sink", "kafka"].message
    finally:
        nats.kill()
        kafka.close()


def test_one_part_that_hangs_or_breaks_holds_up_nobody() -> None:
    """It is given up, and what comes after it is told in order."""
    over = threading.Event()

    def hangs() -> Sequence[Finding]:
        over.wait(patience(60))
        return []

    def breaks() -> Finding:
        raise KeyError("secret")

    def works() -> Finding:
        return Finding("sink", "c", "ok", "answers")

    attempts: list[tuple[str, float, Callable[[], Any]]] = [
        ("a", 0.2, hangs),
        ("b", 30.0, breaks),
        ("c", 30.0, works),
    ]
    trials = [_Trial("sink", name, within_s, attempt) for name, within_s, attempt in attempts]
    told = [(one.name, one.state, one.message) for one in _tried(trials)]
    over.set()
    assert told == [
        ("a", "failed", "has not answered within 0.2 s; check the way to it"),
        ("b", "failed", "could not be tried: unexpected KeyError; please report it"),
        ("c", "ok", "answers"),
    ]


def test_a_log_of_a_stream_counts_what_is_odd() -> None:
    """Key frames by packets, stamps that go back, and leaps."""
    log = StreamLog()
    log.begin("h264", (640, 360), 5.0)
    stamps = [0.0, 0.01, 0.02, 0.015, None, 100.0, 100.01]
    for number, stamp in enumerate(stamps):
        log.hear(stamp, is_key=number in (0, 4))
    assert (log.packets, log.keys, log.longest_between_keys) == (7, 2, 4)
    assert (log.backward, log.leaps) == (1, 1)


@pytest.mark.parametrize("kind", ["ok", "failed"])
def test_findings_are_the_same_for_machines(kind: Any) -> None:
    """All of their fields."""
    finding = Finding("disk", "/", kind, "words", {"free": 1})
    assert finding.as_json() == {
        "part": "disk",
        "name": "/",
        "state": kind,
        "message": "words",
        "facts": {"free": 1},
    }


def one_viewer() -> Callable[[bytes], bytes]:
    """A camera that has no session left while its only one is held."""
    held: list[bytes] = []

    def answer(request: bytes) -> bytes:
        if request.startswith(b"SETUP") and not held:
            held.append(request)
            return rtsp_answer("200 OK", "Session: 1")(request)
        if held and b"Session: 1" not in request:
            return rtsp_answer("453 Not Enough Bandwidth")(request)
        return rtsp_answer("200 OK")(request)

    return answer


def seen_by(url: str, folder: Path) -> Finding:
    """What is said of a camera at this address."""
    source = {"type": "rtsp", "url": url}
    cameras = {"gate": {"source": source, "tasks": {"people": {"detect": "person"}}}}
    return found_in(deployment(folder, cameras=cameras))["camera", "gate"]


def test_a_camera_that_another_viewer_holds_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the way out; where the viewer is the run at work, nothing is wrong."""
    with (
        answering(one_viewer()) as port,
        socket.create_connection(("127.0.0.1", port)) as viewer,
    ):
        url = f"rtsp://127.0.0.1:{port}/door"
        viewer.settimeout(patience(20))
        viewer.sendall(f"SETUP {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
        assert viewer.recv(4096).startswith(b"RTSP/1.0 200")
        found = seen_by(url, tmp_path)
        assert found.state == "failed"
        assert "too many viewers; close another viewer, or use the sub stream" in found.message
        monkeypatch.setattr(_RunAtWork, "has", lambda _, camera: camera == "gate")
        found = seen_by(url, tmp_path)
        assert found.state == "note"
        assert found.message.startswith("gives pictures to the run at work, and none to a second")


def test_a_webcam_of_the_run_at_work_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It serves one program: to open it would end the other's pictures, or fail."""
    monkeypatch.setattr(_RunAtWork, "has", lambda _, camera: camera == "gate")
    source = {"type": "webcam", "device": "/dev/video0"}
    cameras = {"gate": {"source": source, "tasks": {"people": {"detect": "person"}}}}
    found = found_in(deployment(tmp_path, cameras=cameras))["camera", "gate"]
    assert (found.state, found.message) == (
        "note",
        "is in use by the run at work, which gets pictures from it",
    )
