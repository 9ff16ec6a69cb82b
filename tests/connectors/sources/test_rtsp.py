"""RTSP cameras, against real servers on the loopback, well and badly behaved."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import av.logging
import pytest

from connectors.queues.memory import MemoryConfig
from connectors.sources.live.rtsp_source import RtspSource
from connectors.sources.rtsp import RtspConfig
from pipeline.core.clock import SystemClock
from pipeline.core.errors import SourceError, SourceFailure
from pipeline.core.measures import Health
from pipeline.core.sources import Need, Source
from pipeline.core.tasks import Detect
from pipeline.sampling.camera import Camera, SamplerContext
from pipeline.sampling.config import SampleConfig
from pipeline.sampling.loop import CameraLoop
from pipeline.sampling.supervisor import Supervisor
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import patience, wait_until
from tests.connectors.sources.clips import Clip, access_units, write_clip
from tests.connectors.sources.servers import (
    HOST,
    FileServer,
    answering,
    free_port,
    rtsp_answer,
    udp_server,
)
from tests.contracts.queue_tools import finish
from tests.contracts.sources import SourceContract

LOGIN = "us%40r:hunter%2F2@"
CREDENTIALS = ("us@r", "us%40r", "hunter")


def camera(url: str, **keys: Any) -> RtspSource:
    """A source that does not wait long."""
    deadlines = {"open_timeout": "5s", "read_timeout": "1s"}
    return RtspConfig.model_validate({"url": url, **deadlines, **keys}).build()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos to serve, at 50 pictures a second so that nobody waits long for one."""
    path = tmp_path_factory.mktemp("videos")
    write_clip(path / "short.mp4", Clip(frames=20, rate=50))
    write_clip(path / "long.mp4", Clip(frames=3000, rate=50))
    return path


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[FileServer]:
    """An RTSP server over TCP, for all tests that leave it as it is."""
    with FileServer(folder) as running:
        yield running


@pytest.fixture
def doomed(folder: Path) -> Iterator[FileServer]:
    """One to be stopped or frozen."""
    with FileServer(folder) as running:
        yield running


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    """Every reading thread ends soon after its source was closed."""
    yield
    wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("read ")], 15.0)


class TestRtspContract(SourceContract):
    """A camera over TCP keeps what all sources promise."""

    is_live = True

    @pytest.fixture
    def source(self, server: FileServer) -> Source:
        """A camera that sends for a minute."""
        return camera(server.url("long.mp4"))


class TestRtspUdpContract(SourceContract):
    """So does one over UDP."""

    is_live = True

    @pytest.fixture
    def source(self, folder: Path) -> Iterator[Source]:
        """A camera that sends for ever."""
        with udp_server(access_units(folder / "short.mp4")) as (url, _):
            yield camera(url, transport="udp")


def test_times_are_those_of_the_stream(server: FileServer) -> None:
    """Pictures are as far apart as they were captured, however unevenly they arrive."""
    source = camera(server.url("long.mp4"))
    source.open(Need())
    times = [picture.captured_at for picture in islice(source.pictures(), 60)]
    now = time.time()
    source.close()
    steps = [b - a for a, b in pairwise(times)][35:]
    assert steps == pytest.approx([0.02] * len(steps), abs=0.005)
    assert -2.0 < times[-1] - now <= 0.0


def test_a_stream_that_ends_is_an_error(server: FileServer) -> None:
    """A live camera has no end; after the last picture it is said what happened."""
    source = camera(server.url("short.mp4"))
    source.open(Need())
    with pytest.raises(SourceError) as caught:
        list(source.pictures())
    assert caught.value.reason is SourceFailure.ENDED
    source.close()


def test_a_server_that_stops_ends_the_stream(doomed: FileServer) -> None:
    """Noticed at once, not at the deadline."""
    source = camera(doomed.url("long.mp4"), read_timeout="30m")
    source.open(Need())
    pictures = source.pictures()
    next(pictures)
    doomed.stop()
    begun = time.monotonic()
    with pytest.raises(SourceError) as caught:
        list(pictures)
    assert caught.value.reason is SourceFailure.ENDED
    assert time.monotonic() - begun < patience(10)
    source.close()


def test_a_socket_that_is_open_and_silent_is_noticed(doomed: FileServer) -> None:
    """Within the read deadline, in mid-stream."""
    source = camera(doomed.url("long.mp4"))
    source.open(Need())
    pictures = source.pictures()
    next(pictures)
    doomed.freeze()
    begun = time.monotonic()
    with pytest.raises(SourceError, match="no picture data for 1 s") as caught:
        list(pictures)
    assert 0.8 < time.monotonic() - begun < patience(3.0)
    assert caught.value.reason is SourceFailure.TIMEOUT
    source.close()


def test_a_silent_sender_over_udp_is_noticed(folder: Path) -> None:
    """Where there is no connection that could break, the deadline is all there is."""
    with udp_server(access_units(folder / "short.mp4")) as (url, stop):
        source = camera(url, transport="udp")
        source.open(Need())
        pictures = source.pictures()
        next(pictures)
        stop.set()
        with pytest.raises(SourceError) as caught:
            list(pictures)
        assert caught.value.reason is SourceFailure.TIMEOUT
        source.close()


def test_closing_ends_a_read_that_waits(doomed: FileServer) -> None:
    """From another thread, and long before the deadline."""
    source = camera(doomed.url("long.mp4"), read_timeout="30m")
    source.open(Need())
    pictures = source.pictures()
    next(pictures)
    doomed.freeze()
    ended = threading.Event()

    def read() -> None:
        list(pictures)
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    source.close()
    assert ended.wait(patience(5))
    doomed.stop()


def refused() -> str:
    """A port nobody listens on."""
    return f"rtsp://{LOGIN}{HOST}:{free_port()}/a"


def test_a_refused_connection_is_told_apart() -> None:
    """Nothing listens there."""
    assert _failure(refused()).reason is SourceFailure.REFUSED


def test_a_name_that_does_not_resolve_is_told_apart() -> None:
    """FFmpeg calls it an input/output error."""
    assert _failure(f"rtsp://{LOGIN}no-such-camera.invalid/a").reason is SourceFailure.DNS


ANSWERS = [
    ("401 Unauthorized", ['WWW-Authenticate: Basic realm="cam"'], SourceFailure.UNAUTHORISED),
    (
        "401 Unauthorized",
        ['WWW-Authenticate: Digest realm="cam", nonce="abc"'],
        SourceFailure.UNAUTHORISED,
    ),
    ("403 Forbidden", [], SourceFailure.UNAUTHORISED),
    ("404 Not Found", [], SourceFailure.NOT_FOUND),
    ("503 Service Unavailable", [], SourceFailure.REFUSED),
    ("453 Not Enough Bandwidth", [], SourceFailure.REFUSED),
    ("200 OK", [], SourceFailure.UNSUPPORTED),  # and no description of any stream
]


@pytest.mark.parametrize(("status", "headers", "reason"), ANSWERS)
def test_what_a_camera_answers_is_told_apart(
    status: str, headers: list[str], reason: SourceFailure
) -> None:
    """Each kind of refusal has a reason of its own."""
    with answering(rtsp_answer(status, *headers)) as port:
        assert _failure(f"rtsp://{LOGIN}{HOST}:{port}/a").reason is reason


def test_a_server_that_never_answers_is_given_up() -> None:
    """At the open deadline."""
    with answering(None) as port:
        begun = time.monotonic()
        error = _failure(f"rtsp://{LOGIN}{HOST}:{port}/a", open_timeout="1s")
        assert error.reason is SourceFailure.TIMEOUT
        assert 0.9 < time.monotonic() - begun < patience(3.0)


def test_a_name_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline holds in places where FFmpeg has none."""
    release = threading.Event()

    def hang(*_: object, **__: object) -> None:
        release.wait(patience(10))
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    error = _failure(f"rtsp://{HOST}:1/a", open_timeout="1s", read_timeout="1s")
    assert error.reason in (SourceFailure.TIMEOUT, SourceFailure.REFUSED)
    release.set()


def _failure(url: str, **keys: Any) -> SourceError:
    source = camera(url, **keys)
    with pytest.raises(SourceError) as caught:
        source.open(Need())
    source.close()
    return caught.value


@pytest.mark.parametrize("make", [refused, lambda: f"rtsp://{LOGIN}nowhere.invalid/a"])
def test_no_text_has_the_credentials(
    make: Callable[[], str], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not the error with all that led to it, not a log at any level, not FFmpeg's own lines."""
    caplog.set_level(logging.NOTSET)
    av.logging.set_level(av.logging.TRACE)
    try:
        texts = [_everything(_failure(make()))]
        with answering(rtsp_answer(*ANSWERS[0][:1], *ANSWERS[0][1])) as port:
            texts.append(_everything(_failure(f"rtsp://{LOGIN}{HOST}:{port}/a")))
    finally:
        av.logging.set_level(None)
    texts += [record.getMessage() for record in caplog.records]
    texts += capfd.readouterr()
    assert not [text for text in texts if any(secret in text for secret in CREDENTIALS)]


def _everything(error: BaseException) -> str:
    text = ""
    seen: BaseException | None = error
    while seen is not None:
        text += f"{seen}{seen!r}{seen.args}"
        seen = seen.__cause__ or seen.__context__
    return text


def test_pictures_that_wait_too_long_are_counted(server: FileServer) -> None:
    """A busy sampler gets the newest ones, and knows how many it missed."""
    source = camera(server.url("long.mp4"))
    source.open(Need())
    pictures = source.pictures()
    next(pictures)
    wait_until(lambda: source.counters().get("stale", 0) > 50)
    assert time.time() - next(pictures).captured_at < 0.5
    source.close()


def test_frames_go_on_after_a_camera_was_away(folder: Path) -> None:
    """The server stops in mid-stream and comes back; the gap is counted, and the reason."""
    port = free_port()
    source = camera(
        f"rtsp://{LOGIN}{HOST}:{port}/long.mp4", reconnect={"first": "50ms", "most": "100ms"}
    )
    queues, metrics, health = MemoryConfig().build(SystemClock()), Metrics(), list[Health]()
    sample = SampleConfig.model_validate({"every": "100ms"})
    task = Detect("people", "fast", "person")
    outside = SamplerContext(queues, health.append, metrics, SystemClock())
    door = Camera("door", source, sample, ((task, None),))
    supervisor = Supervisor([CameraLoop(door, outside)])

    def has_three(runs: list[str]) -> bool:
        claims = queues.jobs.claim("fast", 100, 0.0)
        finish(queues, claims)
        runs.extend(claim.job.frame.run for claim in claims)
        return len(runs) >= 3

    before: list[str] = []
    after: list[str] = []
    with FileServer(folder, port):
        supervisor.start()
        wait_until(lambda: has_three(before))
    wait_until(lambda: _value(metrics, "camera_failures") >= 2)
    has_three(before)
    with FileServer(folder, port):
        wait_until(lambda: has_three(after))
        supervisor.stop()
    assert set(before).isdisjoint(after)
    assert _value(metrics, "camera_gap_seconds") > 0.05
    details = " ".join(str(state) for state in health)
    assert "refused" in details or "stream ended" in details
    assert not any(secret in details for secret in CREDENTIALS)


def _value(metrics: Metrics, name: str) -> float:
    samples = [s for family in getattr(metrics, name).collect() for s in family.samples]
    return float(sum(sample.value for sample in samples if sample.name.endswith("_total")))
