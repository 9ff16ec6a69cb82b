"""What RTSP cameras answer when they do not simply send their pictures, and what is made of it."""

import base64
import hashlib
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from connectors.queues.memory import MemoryConfig
from connectors.sources.file import FileConfig
from connectors.sources.http import HttpConfig
from connectors.sources.live.rtsp_source import RtspSource
from connectors.sources.rtsp import RtspConfig
from connectors.sources.webcam import WebcamConfig
from pipeline.core.clock import SystemClock
from pipeline.core.errors import SourceError, SourceFailure
from pipeline.core.measures import Health
from pipeline.core.sources import Need, Source
from pipeline.core.tasks import Detect
from pipeline.processing.health import HealthEvents
from pipeline.sampling.camera import Camera, SamplerContext
from pipeline.sampling.config import SampleConfig
from pipeline.sampling.loop import CameraLoop
from pipeline.sampling.supervisor import Supervisor
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import wait_until
from tests.connectors.sources.servers import answering, free_port, http_camera
from tests.wild.certificates import CERTIFICATES, tls
from tests.wild.rtsp_camera import HOST, Answer, Request, RtspCamera, Unit, encoded, number_of

LOGIN = "us%40r:hunter%2F2@"
USER, PASSWORD = "us@r", "hunter/2"
SECRETS = ("us@r", "us%40r", "hunter")


def camera(url: str, **keys: Any) -> RtspSource:
    """A source that does not wait long."""
    deadlines = {"open_timeout": "5s", "read_timeout": "2s"}
    return RtspConfig.model_validate({"url": url, **deadlines, **keys}).build()


def why_not(url: str, **keys: Any) -> SourceError:
    """Why a camera cannot be opened."""
    source = camera(url, **keys)
    with pytest.raises(SourceError) as caught:
        source.open(Need())
    source.close()
    assert not [secret for secret in SECRETS if secret in str(caught.value)]
    return caught.value


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    """Every reading thread ends soon after its source was closed."""
    yield
    wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("read ")], 15.0)


@pytest.fixture(scope="module", params=["h264", "h265"])
def film(request: pytest.FixtureRequest) -> tuple[str, list[Unit]]:
    """Eight seconds of numbered pictures, with a key frame each second."""
    codec = str(request.param)
    return codec, encoded(codec, 200, 25)


@pytest.fixture(scope="module")
def clip() -> list[Unit]:
    """A second of them."""
    return encoded("h264", 25, 25)


def answers(method: str, status: str, *headers: str) -> Callable[[Request], Answer | None]:
    """A camera that refuses one kind of request."""
    return lambda request: (status, headers, "") if request.method == method else None


REFUSALS = [
    ("SETUP", "461 Unsupported Transport", "tcp", SourceFailure.UNSUPPORTED, "transport: udp"),
    ("SETUP", "461 Unsupported Transport", "udp", SourceFailure.UNSUPPORTED, "transport: tcp"),
    ("SETUP", "462 Destination Unreachable", "udp", SourceFailure.UNREACHABLE, "transport: tcp"),
    ("SETUP", "453 Not Enough Bandwidth", "tcp", SourceFailure.REFUSED, "close another viewer"),
    ("PLAY", "453 Not Enough Bandwidth", "tcp", SourceFailure.REFUSED, "the sub stream"),
    ("DESCRIBE", "503 Service Unavailable", "tcp", SourceFailure.REFUSED, "too many viewers"),
    ("SETUP", "503 Service Unavailable", "tcp", SourceFailure.REFUSED, "too many viewers"),
    ("PLAY", "454 Session Not Found", "tcp", SourceFailure.BROKEN, "forgot the session"),
    ("DESCRIBE", "403 Forbidden", "tcp", SourceFailure.UNAUTHORISED, "forbids this stream"),
    ("DESCRIBE", "404 Not Found", "tcp", SourceFailure.NOT_FOUND, "check the path"),
    ("SETUP", "404 Not Found", "tcp", SourceFailure.NOT_FOUND, "check the path"),
    ("DESCRIBE", "500 Internal Server Error", "tcp", SourceFailure.BROKEN, "internal error"),
    ("OPTIONS", "501 Not Implemented", "tcp", SourceFailure.BROKEN, "its log or manual"),
    ("OPTIONS", "404 Not Found", "tcp", SourceFailure.NOT_FOUND, "check the path"),
    ("DESCRIBE", "551 Option Not Supported", "tcp", SourceFailure.BROKEN, "RTSP status 551"),
]


@pytest.mark.parametrize(("method", "status", "transport", "reason", "advice"), REFUSALS)
def test_a_camera_that_refuses_is_quoted(
    clip: list[Unit],
    method: str,
    status: str,
    transport: str,
    reason: SourceFailure,
    advice: str,
) -> None:
    """Full, not able to, forbidden, gone: each with its status and what helps."""
    with RtspCamera(clip, answer=answers(method, status)) as server:
        error = why_not(server.url(LOGIN), transport=transport)
    assert error.reason is reason
    assert status[:3] in str(error)
    assert advice in str(error)


@pytest.mark.parametrize("method", ["SETUP", "PLAY"])
def test_a_camera_that_is_slow_to_begin_has_all_of_its_time(clip: list[Unit], method: str) -> None:
    """It needs more than half of what opening may take, for a single answer."""
    begun = threading.Event()

    def answer(request: Request) -> Answer | None:
        if request.method == method:
            begun.wait(1.2)
        return None

    with RtspCamera(clip, answer=answer) as server:
        source = camera(server.url(), open_timeout="2s")
        source.open(Need())
        assert number_of(next(iter(source.pictures())).rgb()) is not None
        source.close()


@pytest.mark.parametrize("method", ["SETUP", "PLAY"])
def test_a_camera_that_is_too_slow_to_begin_is_told(clip: list[Unit], method: str) -> None:
    """It answered before, and accepted the password: neither that nor the network is wrong."""
    over = threading.Event()

    def answer(request: Request) -> Answer | None:
        if request.method == method:
            over.wait(10)
        return None

    with RtspCamera(clip, answer=answer) as server:
        error = why_not(server.url(LOGIN), open_timeout="500ms")
        over.set()
    assert error.reason is SourceFailure.TIMEOUT
    assert "answers, but sent no video within 0.5 s" in str(error)
    assert "`open_timeout`" in str(error)


@pytest.mark.parametrize("method", ["SETUP", "PLAY"])
def test_a_camera_that_hangs_up_while_it_is_opened(clip: list[Unit], method: str) -> None:
    """FFmpeg has the number of a refused login for that."""

    def answer(request: Request) -> Answer | None:
        if request.method == method:
            raise ConnectionResetError
        return None

    with RtspCamera(clip, answer=answer) as server:
        error = why_not(server.url(LOGIN))
    assert error.reason is SourceFailure.ENDED
    assert "hangs up when it is to send it" in str(error)


@pytest.mark.parametrize(("asked", "chosen"), [("tcp", "udp"), ("udp", "tcp")])
def test_a_camera_that_chooses_another_way_to_send(
    clip: list[Unit], asked: str, chosen: str
) -> None:
    """It accepts, and names a way that it was not asked for."""
    ways = {"tcp": "RTP/AVP/TCP;unicast;interleaved=0-1", "udp": "RTP/AVP;unicast;client_port=9-10"}
    with RtspCamera(clip, answer=answers("SETUP", "200 OK", f"Transport: {ways[chosen]}")) as c:
        error = why_not(c.url(), transport=asked)
    assert error.reason is SourceFailure.UNSUPPORTED
    assert f"does not send over {asked.upper()} when asked to" in str(error)
    assert f"set `transport: {chosen}`" in str(error)


DESCRIPTIONS = [
    ("v=0\r\ns=x\r\nm=audio 0 RTP/AVP 0\r\na=control:a\r\n", "offers no video at this path, only"),
    ("v=0\r\ns=x\r\n", "describes no stream at this path"),
    (
        "v=0\r\ns=x\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 X-HOLO/90000\r\na=control:a\r\n",
        "X-HOLO, which cannot be decoded here",
    ),
]


@pytest.mark.parametrize(("description", "words"), DESCRIPTIONS)
def test_a_stream_without_video_is_named(description: str, words: str) -> None:
    """Only sound, nothing at all, or a codec that nobody knows."""

    def answer(request: Request) -> Answer | None:
        return ("200 OK", [], description) if request.method == "DESCRIBE" else None

    with RtspCamera(answer=answer) as server:
        error = why_not(server.url(), open_timeout="2s")
    assert error.reason is SourceFailure.UNSUPPORTED
    assert words in str(error)


def test_a_web_server_is_no_camera() -> None:
    """The port of its web page instead of that of its stream."""

    def page(request: bytes) -> bytes:
        return b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"

    with answering(page) as port:
        error = why_not(f"rtsp://{LOGIN}{HOST}:{port}/a", open_timeout="1s")
    assert error.reason is SourceFailure.UNSUPPORTED
    assert "speaks HTTP at this port" in str(error)


@contextmanager
def moved(to: str, at: str, status: str = "302 Moved") -> Iterator[RtspCamera]:
    """A camera that redirects one kind of request, but not a second time from the new path."""

    def answer(request: Request) -> Answer | None:
        if request.method == at and "/live" in request.url:
            return status, [f"Location: {to}"], ""
        return None

    with RtspCamera(answer=answer) as server:
        yield server


@pytest.mark.parametrize("at", ["OPTIONS", "DESCRIBE", "SETUP"])
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary"])
def test_a_redirect_to_another_port_is_not_followed(at: str, status: str) -> None:
    """Whatever listens there gets no word and no password."""
    with (
        RtspCamera() as other,
        moved(other.url("admin:of-another@"), at, status) as server,
    ):
        server.units = encoded("h264", 1, 1)
        error = why_not(server.url(LOGIN))
    assert error.reason is SourceFailure.UNSUPPORTED
    assert "redirects" in str(error)
    assert "of-another" not in str(error)
    assert other.requests == []


@pytest.mark.parametrize(
    "to",
    [
        "rtsp://elsewhere.invalid/live2",
        "rtsp://127.0.0.2/live2",
        "//elsewhere.invalid/live2",
        "http://127.0.0.1/live2",
        "rtsps://127.0.0.1/live2",
        "",
        "rtsp://[broken",
    ],
)
def test_a_redirect_elsewhere_is_refused(to: str) -> None:
    """Another host, another protocol, no address at all."""
    with moved(to, "DESCRIBE") as server:
        error = why_not(server.url())
    assert error.reason is SourceFailure.UNSUPPORTED
    assert "redirects" in str(error)


@pytest.mark.parametrize("to", ["/other", "rtsp://{host}:{port}/other", "other"])
def test_a_redirect_on_the_same_host_and_port_is_followed(clip: list[Unit], to: str) -> None:
    """Whole or relative; the login goes along."""
    where = {"host": HOST, "port": 0}

    def answer(request: Request) -> Answer | None:
        if request.method == "DESCRIBE" and request.url.endswith("/live"):
            return "302 Found", [f"Location: {to.format_map(where)}"], ""
        return guarded("Basic realm=x")(request)

    with RtspCamera(clip, answer=answer) as server:
        where["port"] = server.port
        source = camera(server.url(LOGIN))
        source.open(Need())
        assert number_of(next(iter(source.pictures())).rgb()) is not None
        source.close()


def test_a_camera_called_by_name_may_call_itself_by_number(clip: list[Unit]) -> None:
    """Its redirect names the very address that its name stands for."""

    def answer(request: Request) -> Answer | None:
        if request.method == "DESCRIBE" and request.url.endswith("/live"):
            return "302 Found", [f"Location: rtsp://{HOST}:{server.port}/other"], ""
        return None

    with RtspCamera(clip, answer=answer) as server:
        source = camera(server.url().replace(HOST, "localhost"))
        source.open(Need())
        assert number_of(next(iter(source.pictures())).rgb()) is not None
        source.close()


def test_nothing_is_taken_from_where_a_camera_redirects_later(clip: list[Unit]) -> None:
    """It answers us, and sends FFmpeg, which asks a moment later, to another address."""

    def answer(request: Request) -> Answer | None:
        if server.asked().count("DESCRIBE") > 1 and request.method == "DESCRIBE":
            return "302 Found", [f"Location: {other.url('admin:of-another@')}"], ""
        return None

    with RtspCamera(clip) as other, RtspCamera(clip, answer=answer) as server:
        error = why_not(server.url(LOGIN))
    assert error.reason is SourceFailure.UNSUPPORTED
    assert f"redirects to another address, rtsp://***@{HOST}:{other.port}/live" in str(error)
    assert "of-another" not in str(error)


def test_a_redirect_in_a_circle_ends() -> None:
    """After a few rounds, with a sentence."""
    with RtspCamera(answer=answers("DESCRIBE", "302 Found", "Location: /live")) as server:
        assert "redirects in a circle" in str(why_not(server.url()))


def guarded(
    *challenges: str, user: str = USER, password: str = PASSWORD
) -> Callable[[Request], Answer | None]:
    """A camera that wants a login by one of these, and checks it."""

    def answer(request: Request) -> Answer | None:
        # What FFmpeg does about `auth-int` is to leave the quality out, as in the oldest kind.
        is_short = "auth-int" in challenges[0] and "qop=" not in request.header("Authorization")
        is_proven = _is_proven(request, user, password) and not is_short
        if request.method == "OPTIONS" or is_proven:
            return None
        return "401 Unauthorized", [f"WWW-Authenticate: {one}" for one in challenges], ""

    return answer


def _is_proven(request: Request, user: str, password: str) -> bool:
    proof = request.header("Authorization")
    if proof.startswith("Basic "):
        return base64.b64decode(proof[6:]).decode() == f"{user}:{password}"
    found = {
        key: quoted.replace('\\"', '"') or plain
        for key, quoted, plain in re.findall(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))', proof)
    }
    if found.get("username") != user:
        return False
    make = hashlib.sha256 if found.get("algorithm", "").startswith("SHA-256") else hashlib.md5
    one = make(f"{user}:{found['realm']}:{password}".encode()).hexdigest()
    if found.get("algorithm", "").lower().endswith("-sess"):
        one = make(f"{one}:{found['nonce']}:{found['cnonce']}".encode()).hexdigest()
    act = f"{request.method}:{found['uri']}"
    if found.get("qop") == "auth-int":
        act += f":{make(b'').hexdigest()}"
    two = make(act.encode()).hexdigest()
    counted = f"{found['nc']}:{found['cnonce']}:{found['qop']}:" if "qop" in found else ""
    whole = make(f"{one}:{found['nonce']}:{counted}{two}".encode()).hexdigest()
    return bool(whole == found["response"])


MD5 = 'Digest realm="cam", nonce="abc", algorithm=MD5'
PLAIN = 'Digest realm="cam", nonce="abc"'
SHA = 'Digest realm="cam", nonce="abc", algorithm=SHA-256, qop="auth"'
QUOTED = 'Digest realm="the cam, Basic realm=x", nonce="abc", qop="auth,auth-int"'


@pytest.mark.parametrize(
    "challenges",
    [
        [MD5],
        [PLAIN],
        [PLAIN + ', qop="auth"'],
        [MD5 + '-sess, qop="auth"'],
        [PLAIN + ', qop="auth,auth-int"'],
        ["Basic realm=cam"],
        [SHA, MD5],
        ["Basic realm=cam", MD5],
        [MD5, "Basic realm=cam"],
        ["NTLM", PLAIN],
        [QUOTED],
    ],
)
def test_a_login_that_ffmpeg_knows_works(clip: list[Unit], challenges: list[str]) -> None:
    """By each of its ways, however many the camera offers."""
    with RtspCamera(clip, answer=guarded(*challenges)) as server:
        source = camera(server.url(LOGIN))
        source.open(Need())
        assert number_of(next(iter(source.pictures())).rgb()) is not None
        source.close()
        wrong = why_not(server.url("us%40r:hunter%2F3@"))
    assert wrong.reason is SourceFailure.UNAUTHORISED
    assert "did not accept the user and password" in str(wrong)


@pytest.mark.parametrize(
    ("challenges", "names"),
    [
        ([SHA], "Digest with SHA-256"),
        ([MD5, SHA], "Digest with SHA-256"),
        (["Basic realm=cam", SHA], "Digest with SHA-256"),
        ([f"{SHA}, {PLAIN[:6]} realm=x, nonce=y, algorithm=SHA-256-sess"], "Digest with SHA-256"),
        ([PLAIN + ', qop="auth-int"'], "auth-int"),
        (['Digest realm="cam", nonce="abc", algorithm=BLAKE3'], "Digest with BLAKE3"),
        (["NTLM"], "NTLM"),
        (["Negotiate", "NTLM"], "Negotiate or NTLM"),
        (['Bearer realm="cam"'], "Bearer"),
    ],
)
def test_a_login_that_ffmpeg_cannot_is_named(
    clip: list[Unit], challenges: list[str], names: str
) -> None:
    """The right password is not called wrong; it is said what the camera wants instead."""
    with RtspCamera(clip, answer=guarded(*challenges)) as server:
        error = why_not(server.url(LOGIN))
    assert error.reason is SourceFailure.UNSUPPORTED
    assert names in str(error)
    assert "allow Digest MD5 or Basic" in str(error)


def test_a_wrong_password_is_wrong_also_where_ffmpeg_knows_no_way() -> None:
    """It would not help to change the camera's settings."""
    with RtspCamera(answer=guarded(SHA, password="other")) as server:
        assert why_not(server.url(LOGIN)).reason is SourceFailure.UNAUTHORISED


def test_a_camera_that_wants_a_login_gets_none() -> None:
    """It is said that one is missing, not that it is wrong."""
    with RtspCamera(answer=guarded(MD5)) as server:
        error = why_not(server.url())
    assert error.reason is SourceFailure.UNAUTHORISED
    assert "wants a user and password" in str(error)


@pytest.mark.parametrize(
    ("name", "trusted", "words"),
    [
        ("good", False, "is self-signed"),
        ("expired", True, "has expired"),
        ("other_host", True, "is for another address than 127.0.0.1"),
    ],
)
def test_a_certificate_that_does_not_hold_is_told(
    clip: list[Unit],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    trusted: bool,
    words: str,
) -> None:
    """Why, and how to accept it all the same."""
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / f"{name}.pem"))
    with RtspCamera(clip, tls=tls(name)) as server:
        error = why_not(server.url(LOGIN))
        assert error.reason is SourceFailure.UNSUPPORTED
        assert words in str(error)
        assert "verify: false" in str(error)
        assert server.requests == []
        source = camera(server.url(LOGIN), verify=False)
        source.open(Need())
        assert number_of(next(iter(source.pictures())).rgb()) is not None
        source.close()


def test_a_certificate_that_holds_is_accepted(
    clip: list[Unit], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By FFmpeg as well, which does not look at any unless it is told to."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "good.pem"))
    with RtspCamera(clip, tls=tls("good")) as server:
        source = camera(server.url(LOGIN))
        source.open(Need())
        assert number_of(next(iter(source.pictures())).rgb()) is not None
        source.close()


def test_a_port_without_tls_is_told() -> None:
    """The address says rtsps, the camera speaks plainly."""
    with RtspCamera() as server:
        error = why_not(server.url().replace("rtsp:", "rtsps:"), open_timeout="500ms")
    assert error.reason is SourceFailure.UNSUPPORTED
    assert "does not speak TLS" in str(error)


def test_a_port_that_wants_tls_is_told() -> None:
    """And the other way round: the camera hangs up without a word."""
    with RtspCamera(tls=tls("good")) as server:
        error = why_not(server.url().replace("rtsps:", "rtsp:"))
    assert error.reason is SourceFailure.ENDED
    assert "rtsps://" in str(error)


def test_a_stream_joined_long_before_its_next_key_frame_is_waited_for(
    film: tuple[str, list[Unit]],
) -> None:
    """Without parameter sets in its description, and longer than an opening may take."""
    codec, units = film
    late = [unit for unit in units[1:60] if not unit.is_key] + units[75:80]
    with RtspCamera(late, codec, names_parameters=False, rate=50) as server:
        source = camera(server.url(), open_timeout="400ms", read_timeout="5s")
        source.open(Need())
        assert number_of(next(iter(source.pictures())).rgb()) == 75
        assert not source.counters()
        source.close()


def test_a_stream_without_key_frames_says_what_is_missing(
    clip: list[Unit], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Data arrive all the time: neither the address nor the network is wrong."""
    monkeypatch.setattr("connectors.sources.ffmpeg.stream._SAY_AFTER_S", 0.5)
    caplog.set_level(logging.INFO)
    units = [unit for unit in clip[1:] for _ in range(8)]
    with RtspCamera(units, names_parameters=False) as server:
        bench = Watched(camera(server.url(), open_timeout="500ms"), offline_after="1s")
        with bench:
            wait_until(lambda: bench.health != [])
    (health, *_) = bench.health
    assert (health.state, health.reason) == ("offline", "timeout")
    assert "no key frame within 5 s" in health.message
    assert "I-frame interval to 1 to 4 s" in health.message
    told = [r for r in caplog.records if "key frame" in r.getMessage()]
    assert {record.levelno for record in told} == {logging.WARNING}


@pytest.mark.parametrize(
    "loss", [0.05, *(pytest.param(share, marks=pytest.mark.slow) for share in (0.002, 0.01, 0.2))]
)
def test_no_picture_made_from_lost_packets_is_shown(
    film: tuple[str, list[Unit]], loss: float, caplog: pytest.LogCaptureFixture
) -> None:
    """Over UDP: each picture is whole or counted, and it is said what helps."""
    codec, units = film
    with RtspCamera(units, codec, lose=loss, rate=150) as server:
        source = camera(server.url(), transport="udp", read_timeout="500ms")
        source.open(Need())
        seen: list[int | None] = []
        with pytest.raises(SourceError, match="no picture data"):
            seen.extend(number_of(picture.rgb()) for picture in source.pictures())
        source.close()
        assert server.lost > 0
    whole = [number for number in seen if number is not None]
    assert len(whole) == len(seen)
    assert whole == sorted(set(whole))
    # The last picture is never complete, since none follows; of those lost with it nobody knows.
    tail = 3 if loss < 0.1 else 10
    assert len(units) - tail <= len(whole) + sum(source.counters().values()) <= len(units)
    assert source.counters()["packet loss"] > 0
    assert "transport: tcp" in caplog.text


def test_what_a_camera_leaves_out_over_tcp_is_noticed(
    film: tuple[str, list[Unit]], caplog: pytest.LogCaptureFixture
) -> None:
    """Its line is too slow, so it drops packets: no picture made from the rest is shown."""
    codec, units = film
    with RtspCamera(units[:100], codec, lose=0.02, rate=150) as server:
        source = camera(server.url(), read_timeout="500ms")
        source.open(Need())
        seen: list[int | None] = []
        with pytest.raises(SourceError, match="no picture data"):
            seen.extend(number_of(picture.rgb()) for picture in source.pictures())
        source.close()
        assert server.lost > 0
    assert None not in seen
    assert source.counters()["packet loss"] > 0
    assert "lower its bit rate" in caplog.text
    assert "transport: tcp" not in caplog.text


def test_losses_without_end_are_told(
    film: tuple[str, list[Unit]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key frame arrives whole: offline, and it is said why."""
    monkeypatch.setattr("connectors.sources.ffmpeg.stream._SAY_AFTER_S", 0.3)
    codec, units = film
    with RtspCamera(units, codec, lose=0.3) as server:
        bench = Watched(camera(server.url(), transport="udp"), offline_after="1s")
        with bench:
            wait_until(lambda: "offline" in [health.state for health in bench.health])
    health = next(health for health in bench.health if health.state == "offline")
    assert "no key frame arrives whole; set `transport: tcp`" in health.message


def test_a_stream_without_parameter_sets_is_told(
    clip: list[Unit], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has key frames, and none can be decoded."""
    monkeypatch.setattr("connectors.sources.ffmpeg.stream._SAY_AFTER_S", 0.3)
    units = list(clip) * 8
    with RtspCamera(units, names_parameters=False, sends_parameters=False, rate=50) as server:
        bench = Watched(camera(server.url(), open_timeout="400ms"), offline_after="1s")
        with bench:
            wait_until(lambda: bench.health != [])
    assert bench.health[0].reason == "timeout"
    assert "nothing can be decoded" in bench.health[0].message


def test_a_stream_that_is_refreshed_bit_by_bit_is_shown_once_it_is_whole() -> None:
    """It has no key frame but its first, and that was long ago; and then it loses packets."""
    params = "intra-refresh=1:keyint=20:scenecut=0:bframes=0:repeat-headers=1"
    units = encoded("h264", 150, 1000, **{"x264-params": params})[3:]
    with RtspCamera(units, lose=0.01, rate=100) as server:
        source = camera(server.url(), transport="udp", read_timeout="500ms")
        source.open(Need())
        seen: list[int | None] = []
        with pytest.raises(SourceError, match="no picture data"):
            seen.extend(number_of(picture.rgb()) for picture in source.pictures())
        source.close()
    assert seen
    assert None not in seen


def test_nothing_is_doubted_where_nothing_is_lost(film: tuple[str, list[Unit]]) -> None:
    """Over UDP, too."""
    codec, units = film
    with RtspCamera(units[:100], codec, rate=100) as server:
        # Long enough for a busy machine to stop sending for a while without being given up.
        source = camera(server.url(), transport="udp", read_timeout="2s")
        source.open(Need())
        seen: list[int | None] = []
        with pytest.raises(SourceError, match="no picture data"):
            seen.extend(number_of(picture.rgb()) for picture in source.pictures())
        source.close()
    assert source.counters().keys() <= {"stale"}
    # The last one ends with the first bytes of the next, or with the stream.
    assert len(seen) + source.counters().get("stale", 0) in (99, 100)


def test_udp_packets_that_never_arrive_are_told(clip: list[Unit]) -> None:
    """A firewall, or a camera in another network: the conversation works, the stream does not."""
    with RtspCamera(clip, lose=1.0) as server:
        server.units = [Unit(0, (), is_key=False), *clip]
        source = camera(server.url(), transport="udp", open_timeout="1s", read_timeout="1s")
        source.open(Need())
        words = r"none of its UDP packets arrived.*set `transport: tcp`"
        with pytest.raises(SourceError, match=words):
            next(iter(source.pictures()))
        source.close()


class Watched:
    """A camera in its loop, with what is said of it."""

    def __init__(self, source: Source, **sample: Any) -> None:
        self.health: list[Health] = []
        self.clock = SystemClock()
        outside = SamplerContext(
            MemoryConfig().build(self.clock), self.health.append, Metrics(), self.clock
        )
        config = SampleConfig.model_validate({"every": "100ms", **sample})
        task = Detect("people", "fast", "person")
        self._supervisor = Supervisor(
            [CameraLoop(Camera("door", source, config, ((task, None),)), outside)]
        )

    def __enter__(self) -> None:
        self._supervisor.start()

    def __exit__(self, *_: object) -> None:
        self._supervisor.stop()


def _login_page(handler: BaseHTTPRequestHandler) -> None:
    content = b"<html>Please log in</html>"
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


@pytest.mark.parametrize("kind", ["rtsp", "http", "webcam", "file"])
def test_word_and_sentence_reach_log_event_and_state(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of every kind of source, once, at warning, and without the login."""
    clock = SystemClock()
    with http_camera(_login_page) as page, RtspCamera(answer=answers("DESCRIBE", "453 Full")) as c:
        soon = {"reconnect": {"first": "20ms", "most": "20ms"}}
        source: Source
        if kind == "rtsp":
            source = camera(c.url(LOGIN), **soon)
        elif kind == "http":
            address = {"url": page.replace("//", f"//{LOGIN}")}
            source = HttpConfig.model_validate(address | soon).build(clock)
        elif kind == "webcam":
            source = WebcamConfig.model_validate({"device": "/dev/no-such"} | soon).build(clock)
        else:
            path = {"path": str(tmp_path / "none.mp4")}
            source = FileConfig.model_validate(path).build(clock)
        bench = Watched(source)
        with bench:
            wait_until(lambda: bench.health != [])
            if kind == "rtsp":
                wait_until(lambda: c.asked().count("DESCRIBE") > 6)
    reasons = {
        "rtsp": ("refused", "too many viewers"),
        "http": ("unsupported", "text/html"),
        "webcam": ("not found", "does not exist"),
        "file": ("not found", "none.mp4"),
    }
    (health,) = bench.health
    (event,) = HealthEvents().judge(health)
    lines = [r for r in caplog.records if "is offline" in r.getMessage()]
    (line,) = (record for record in lines if record.levelno >= logging.WARNING)
    reason, words = reasons[kind]
    assert (health.reason, event.data["reason"]) == (reason, reason)
    assert words in health.message
    assert event.data["message"] == health.message
    assert f"{reason}: {health.message}" in line.getMessage()
    assert not [secret for secret in SECRETS if secret in caplog.text + str(event)]


def test_a_camera_with_room_for_one_connection_gets_a_moment(clip: list[Unit]) -> None:
    """It takes the second one for another viewer, until it has seen that the first is gone."""
    refused: list[str] = []

    def answer(request: Request) -> Answer | None:
        # The first connection asks for options and description; the next comes too soon.
        if request.method == "OPTIONS" and server.asked().count("OPTIONS") == 2:
            refused.append(request.url)
            return "503 Service Unavailable", [], ""
        return None

    with RtspCamera(clip, answer=answer) as server:
        source = camera(server.url())
        source.open(Need())
        assert number_of(next(iter(source.pictures())).rgb()) is not None
        source.close()
    assert len(refused) == 1


def test_a_refused_connection_is_not_asked_twice() -> None:
    """Nobody listens: said at once."""
    assert why_not(f"rtsp://{LOGIN}{HOST}:{free_port()}/a").reason is SourceFailure.REFUSED


def test_a_camera_that_accepts_and_says_nothing_is_given_up() -> None:
    """Within its deadline, whatever it was asked."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        error = why_not(f"rtsp://{HOST}:{listener.getsockname()[1]}/a", open_timeout="500ms")
    assert error.reason is SourceFailure.TIMEOUT
