"""Cameras over HTTP that send their pictures in every way but the specified one."""

import base64
import gzip
import hashlib
import random
import re
import threading
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler
from itertools import islice
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from connectors.sources.ffmpeg.stills import StillDecoder
from connectors.sources.http import HttpConfig
from connectors.sources.live.http_source import HttpSource
from connectors.sources.live.multipart import PictureFinder, boundary_of
from pipeline.core.clock import SystemClock
from pipeline.core.errors import SourceError, SourceFailure
from pipeline.core.frames import Picture
from pipeline.core.jobs import Job
from pipeline.core.sources import Need
from pipeline.sampling.camera import Camera
from pipeline.sampling.config import SampleConfig
from pipeline.sampling.loop import CameraLoop
from pipeline.sampling.supervisor import Supervisor
from pipeline.testing import ManualClock, patience, wait_until
from tests.connectors.sources.servers import http_camera
from tests.sampling.fakes import PEOPLE, Bench
from tests.wild.certificates import CERTIFICATES, tls
from tests.wild.mjpeg_streams import FAULTS, FaultyStream, faulty_stream, sample
from tests.wild.raw_server import Answers, head, raw_camera

JPEG = sample("baseline", 0)


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    """Every reading thread ends soon after its source was closed."""
    yield
    wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("read ")], 15.0)


def camera(url: str, **keys: Any) -> HttpSource:
    """A source that does not wait long."""
    deadlines = {"open_timeout": "5s", "read_timeout": "5s"}
    return HttpConfig.model_validate({"url": url, **deadlines, **keys}).build()


def failed(url: str, **keys: Any) -> SourceError:
    """How a source ends that gives nothing."""
    source = camera(url, **keys)

    def play() -> None:
        source.open(Need())
        list(source.pictures())

    with pytest.raises(SourceError) as caught:
        play()
    source.close()
    return caught.value


def one_from(url: str, **keys: Any) -> Picture:
    """The first picture."""
    source = camera(url, **keys)
    source.open(Need())
    [picture] = islice(source.pictures(), 1)
    source.close()
    return picture


def found_in(stream: FaultyStream, seed: int, longest: int) -> list[bytes]:
    """What is found in a stream that comes in pieces of up to so many bytes."""
    finder = PictureFinder(boundary_of(stream.content_type or "") or b"")
    found: list[bytes] = []
    for piece in stream.pieces(random.Random(seed), longest):
        found.extend(finder.feed(piece))
    found.extend(finder.end())
    return found


@pytest.mark.parametrize("fault", FAULTS)
def test_whole_pictures_are_found_and_cut_ones_are_not(fault: str) -> None:
    """However a camera separates its pictures, all whole ones are found and nothing else."""
    for seed in range(900_000, 900_003):
        stream = faulty_stream(seed, fault)
        assert found_in(stream, seed, 4000) == stream.whole, stream.faults


@pytest.mark.slow
def test_whole_pictures_are_found_in_streams_nobody_has_seen() -> None:
    """Hundreds of cameras, each faulty in its own ways, also where they send byte by byte."""
    for seed in range(910_000, 910_400):
        stream = faulty_stream(seed, pictures=4)
        longest = 1 if seed % 20 == 0 else 10 ** (2 + seed % 4)
        assert found_in(stream, seed, longest) == stream.whole, (seed, stream.faults)


@pytest.mark.parametrize("kind", ["baseline", "a preview inside", "progressive", "png"])
def test_no_cut_picture_is_taken_wherever_it_is_cut(kind: str) -> None:
    """A picture that ends early is refused at any byte, and the whole one after it is found."""
    picture, following = sample(kind, 0), sample("baseline", 1)
    separator = b"\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n"
    ends = [*range(2, 1400, 7), *range(1400, len(picture), 911)]
    for end in ends:
        finder = PictureFinder(b"frame")
        body = separator + picture[:end] + separator + following + separator
        assert [*finder.feed(body), *finder.end()] == [following], end
        assert finder.cut == (end > (7 if kind == "png" else 2))


@pytest.mark.parametrize("fault", FAULTS[::3])
def test_faulty_streams_play_from_a_real_server(fault: str) -> None:
    """The source gives as many pictures as the camera sends whole ones."""
    stream = faulty_stream(77, fault)
    kind = stream.content_type and f"Content-Type: {stream.content_type}"
    with raw_camera(lambda _nth, _: [head(kind), stream.body]) as url:
        source = camera(url)
        source.open(Need())
        seen: list[Picture] = []
        with pytest.raises(SourceError) as caught:
            seen.extend(source.pictures())
        assert len(seen) + source.counters().get("stale", 0) == len(stream.whole), stream.faults
        assert caught.value.reason is SourceFailure.ENDED
        source.close()


@pytest.mark.parametrize(
    "kind", ["image/jpeg", "image/jpg", "application/octet-stream", "text/plain", None]
)
@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: {n}",
        "Content-Length: {larger}",
        "Content-Length: {smaller}",
        "Content-Length: -1",
        "Content-Length: 0",
        "Content-Length: 99999999999999999999999",
        "Content-Length: " + "7" * 5000,
        "Content-Length: 0x3f",
        "Content-Length: {n}\r\ncontent-length: 12",
        "Content-Length:\r\n {n}",
        "Transfer-Encoding: chunked",
        "X: y",
    ],
)
def test_a_still_picture_is_read_whatever_its_length_is_said_to_be(
    kind: str | None, framing: str
) -> None:
    """And at once, although the server keeps the connection open; chunked may be a lie, too."""
    n = len(JPEG)
    line = framing.format(n=n, larger=n + 500, smaller=n - 500)
    answer = head(kind and f"Content-Type: {kind}", line)
    with raw_camera(lambda _nth, _: [answer + JPEG], stays=True) as url:
        assert one_from(url, poll="1h").size_wh == (128, 96)


@pytest.mark.parametrize("padding", [bytes(512), b" " * 4000, b"\r\n" * 2000, b"\0\r\n \0", JPEG])
@pytest.mark.parametrize("kind", ["baseline", "png", "webp", "bmp"])
def test_a_still_picture_with_padding_is_whole(padding: bytes, kind: str) -> None:
    """What follows its end does not matter; of two pictures the first is taken."""
    if kind == "bmp":
        picture = cv2.imencode(".bmp", np.zeros((96, 128, 3), np.uint8))[1].tobytes()
    else:
        picture = sample(kind, 0)
    content = picture + padding
    answer = head(f"Content-Length: {len(content)}") + content
    with raw_camera(lambda _nth, _: [answer]) as url:
        assert one_from(url, poll="1h").size_wh == (128, 96)


@pytest.mark.parametrize(
    "answer",
    [
        JPEG,
        b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + JPEG,
        b"HTTP/1.0 200 OK\nContent-type:image/jpeg\n\n" + JPEG,
        b"HTTP/1.1 200\r\r\nCONTENT-TYPE : image/jpeg\r\r\n\r\r\n" + JPEG,
        b"ICY 200 OK\r\n\r\n" + JPEG,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" + JPEG,
        b"HTTP/1.1 200 OK\r\nno colon here\r\n: empty\r\n\xff\xfe: odd\r\n\r\n" + JPEG,
        b"HTTP/1.1 200 OK\r\n\r\n\r\n\0\0\0" + JPEG,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(JPEG),
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + JPEG,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n" + zlib.compress(JPEG),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"%X ; odd=1 \r\n%c\r\n" % (1, byte) for byte in JPEG)
        + b"0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"000%x\n" % len(JPEG)
        + JPEG
        + b"\n0\n\n",
    ],
)
def test_heads_and_codings_as_cameras_send_them(answer: bytes) -> None:
    """No head, odd line ends, odd headers, packed or cut into chunks: the picture is found."""
    pieces = [answer[at : at + 700] for at in range(0, len(answer), 700)]
    with raw_camera(lambda _nth, _: pieces) as url:
        assert one_from(url, poll="1h").size_wh == (128, 96)


def test_a_camera_that_sends_one_picture_and_stays() -> None:
    """The picture is shown at once, and the silence after it is noticed."""
    kind = "Content-Type: multipart/x-mixed-replace; boundary=frame"
    part = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + JPEG + b"\r\n"
    with raw_camera(lambda _nth, _: [head(kind) + part], stays=True) as url:
        source = camera(url, read_timeout="300ms")
        source.open(Need())
        pictures = source.pictures()
        assert next(pictures).size_wh == (128, 96)
        with pytest.raises(SourceError) as caught:
            next(pictures)
        assert caught.value.reason is SourceFailure.TIMEOUT
        source.close()


def test_a_picture_in_its_smallest_pieces() -> None:
    """A line that brings byte by byte brings a picture in the end."""
    pieces = [head("Content-Type: image/jpeg"), *(bytes([byte]) for byte in JPEG)]
    with raw_camera(lambda _nth, _: pieces) as url:
        assert one_from(url, poll="1h").size_wh == (128, 96)


def test_data_without_pictures_are_said_to_be_that() -> None:
    """Not that the camera is unplugged: what it sends is named."""
    noise = [head("Content-Type: text/plain"), *[b"x" * 1000] * 100]
    with raw_camera(lambda _nth, _: noise) as url:
        assert "sends text/plain in which there is no whole JPEG" in str(failed(url))
    page = b"<!DOCTYPE html><title>Login</title>" + b" " * 100
    for keys in ({}, {"poll": "1s"}):
        with raw_camera(lambda _nth, _: [head("Content-Type: text/html"), page]) as url:
            assert "answers with a web page (text/html)" in str(failed(url, **keys))


@pytest.mark.parametrize("keys", [{}, {"poll": "1s"}])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"#EXTM3U\n#EXT-X-VERSION:3\n", "sends an HLS playlist, not pictures"),
        (b"\0\0\0\x20ftypisom", "sends an MP4 video, not pictures"),
        (b"<?xml version='1.0'?>\n<MPD>", "sends a DASH playlist, not pictures"),
        (b"FLV\x01\x05\0\0\0\x09", "sends an FLV video, not pictures"),
    ],
)
def test_an_address_of_a_video_is_said_to_be_one(
    content: bytes, words: str, keys: dict[str, str]
) -> None:
    """With the kind of address that is needed instead."""
    with raw_camera(lambda _nth, _: [head("Content-Type: video/x"), content * 50]) as url:
        assert words in str(failed(url, **keys))


def test_a_polled_camera_keeps_its_connection() -> None:
    """Where the server keeps it, too: a camera must not shake hands for each picture."""
    connections: set[object] = set()

    def page(request: BaseHTTPRequestHandler) -> None:
        connections.add(request.client_address)
        request.send_response(200)
        request.send_header("Content-Length", str(len(JPEG)))
        request.end_headers()
        request.wfile.write(JPEG)

    with http_camera(page) as url:
        source = camera(url, poll="2ms")
        source.open(Need())
        assert len(list(islice(source.pictures(), 20))) == 20
        source.close()
    assert len(connections) == 1


def test_a_stream_that_never_ends_and_holds_no_picture() -> None:
    """It is given up after the time in which it should have sent one, with what it does send."""
    stop = threading.Event()

    def answers(_nth: int, _request: bytes) -> Iterable[bytes]:
        yield head("Content-Type: application/x")
        while not stop.wait(0.01):
            yield b"nothing of interest"

    with raw_camera(answers) as url:
        error = failed(url, read_timeout="400ms")
        stop.set()
    assert error.reason is SourceFailure.UNSUPPORTED
    assert "sends data (application/x), but no whole picture" in str(error)


@pytest.mark.parametrize("how", ["of a kind that cannot be decoded", "cut off"])
def test_a_stream_of_pictures_that_are_of_no_use_says_so(how: str) -> None:
    """Whole ones nobody can decode, or cut ones: power, network and address are as they should."""
    content = JPEG.replace(b"\xff\xc0", b"\xff\xc9") if how != "cut off" else JPEG[:-300]
    stop = threading.Event()

    def answers(_nth: int, _request: bytes) -> Iterable[bytes]:
        yield head("Content-Type: multipart/x-mixed-replace; boundary=b")
        while not stop.wait(0.01):
            yield b"--b\r\nContent-Type: image/jpeg\r\n\r\n" + content + b"\r\n"

    with raw_camera(answers) as url:
        source = camera(url)
        source.open(Need())
        wait_until(lambda: "sends pictures that are cut off, damag" in (source.waiting_for or ""))
        wait_until(lambda: source.counters().get("decode error", 0) > 0)
        stop.set()
        source.close()


def test_a_poll_that_fails_waits_for_the_next() -> None:
    """A camera that is too busy at every third poll is online and gives all other pictures."""
    busy = head("Content-Length: 0", status="503 Service Unavailable")
    whole = head(f"Content-Length: {len(JPEG)}") + JPEG
    with raw_camera(lambda nth, _: [busy if nth % 3 == 2 else whole]) as url:
        source = camera(url, poll="2ms")
        source.open(Need())
        assert len(list(islice(source.pictures(), 32))) == 32
        assert source.counters()["broken stream"] >= 15
        source.close()


def test_a_failed_poll_does_not_cost_the_whole_interval() -> None:
    """A frame is wanted each half hour: the camera is asked again at the next poll."""
    asked: list[int] = []

    def answers(nth: int, _request: bytes) -> Iterable[bytes]:
        asked.append(nth)
        yield head(status="500 Oops") if nth == 1 else head(f"Content-Length: {len(JPEG)}") + JPEG

    clock = ManualClock(1_700_000_000.0)
    with raw_camera(answers) as url:
        source = HttpConfig.model_validate({"url": url, "poll": "10ms"}).build(clock)
        source.open(Need(every_s=1800.0))
        pictures = source.pictures()
        next(pictures)
        clock.advance(1800)
        wait_until(lambda: len(asked) == 2 and source.counters().get("broken stream") == 1)
        clock.advance(0.02)
        assert next(pictures).captured_at == pytest.approx(1_700_001_800.02)
        source.close()
    assert len(asked) == 3


def test_a_busy_camera_is_online_all_the_time() -> None:
    """All it does not send is counted; nothing is said, and every other picture becomes a frame."""
    busy = head("Content-Length: 0", status="503 Service Unavailable")
    whole = head(f"Content-Length: {len(JPEG)}") + JPEG
    bench = Bench(clock=SystemClock())
    with raw_camera(lambda nth, _: [busy if nth % 3 == 2 else whole]) as url:
        config = SampleConfig.model_validate({"every": "10ms", "duplicates": "keep"})
        source = camera(url, poll="10ms")
        door = Camera("door", source, config, ((PEOPLE, None),), None)
        jobs: list[Job] = []

        def has_enough() -> bool:
            jobs.extend(bench.jobs())
            return len(jobs) >= 32

        supervisor = Supervisor([CameraLoop(door, bench.outside)])
        supervisor.start()
        try:
            wait_until(has_enough, 20)
        finally:
            supervisor.stop()
    assert bench.states() == ["online"]
    failures = bench.metrics.value(
        "moonwatch_camera_failures_total", camera="door", reason="broken stream"
    )
    assert failures >= 10


PASSING: dict[str, list[bytes]] = {
    "500": [head(status="500 Internal Server Error")],
    "502": [head(status="502 Bad Gateway"), b"<html>"],
    "429": [head("Retry-After: 0", status="429 Too Many Requests")],
    "a cut picture": [head("Content-Type: image/jpeg"), JPEG[:-300]],
    "a cut picture of its length": [head(f"Content-Length: {len(JPEG) - 9}"), JPEG[:-9]],
    "an empty answer": [head("Content-Type: image/jpeg", "Content-Length: 0")],
    "no content": [head(status="204 No Content")],
    "nothing at all": [],
    "half a head": [b"HTTP/1.1 200 OK\r\nContent-Ty"],
    "a login page": [head("Content-Type: text/html"), b"<html>please log in</html>"],
    "401": [head(status="401 Unauthorized")],
    "404": [head(status="404 Not Found")],
    "a redirect": [head("Location: /login", status="302 Found")],
}


@pytest.mark.parametrize("fault", PASSING)
def test_faults_that_pass(fault: str) -> None:
    """Twice in a row something else comes, and the camera stays online."""
    whole = [head("Content-Type: image/jpeg"), JPEG]
    with raw_camera(lambda nth, _: PASSING[fault] if nth % 4 in (1, 2) else whole) as url:
        source = camera(url, poll="2ms")
        source.open(Need(quiet_s=patience(30)))
        assert len(list(islice(source.pictures(), 8))) == 8
        assert sum(source.counters().values()) >= 4
        source.close()


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        ("500", SourceFailure.BROKEN, "answers with HTTP status 500"),
        ("a cut picture", SourceFailure.BROKEN, "sent a picture that is cut off"),
        ("an empty answer", SourceFailure.BROKEN, "answers without a picture"),
        ("nothing at all", SourceFailure.ENDED, "hung up without an answer"),
        ("a login page", SourceFailure.UNSUPPORTED, "web page"),
        ("401", SourceFailure.UNAUTHORISED, "wants a user and password"),
        ("404", SourceFailure.NOT_FOUND, "check the path"),
    ],
)
def test_faults_that_stay_are_said(fault: str, reason: SourceFailure, words: str) -> None:
    """After a while without a picture, with the sentence of the last poll."""
    whole = [head("Content-Type: image/jpeg"), JPEG]
    with raw_camera(lambda nth, _: PASSING[fault] if nth else whole) as url:
        source = camera(url, poll="2ms")
        source.open(Need(quiet_s=0.2))
        with pytest.raises(SourceError) as caught:
            list(source.pictures())
        source.close()
    assert caught.value.reason is reason
    assert words in str(caught.value)


def test_a_camera_that_begins_with_a_fault() -> None:
    """Its first answers are 503, as it has just been switched on: it opens all the same."""
    busy = [head(status="503 Service Unavailable")]
    whole = [head("Content-Type: image/jpeg"), JPEG]
    with raw_camera(lambda nth, _: busy if nth < 3 else whole) as url:
        assert one_from(url, poll="5ms").size_wh == (128, 96)
    with raw_camera(lambda nth, _: busy) as url:
        assert "HTTP status 503" in str(failed(url, poll="50ms", open_timeout="500ms"))


def digest_camera(algorithm: str, qop: str | None = "auth") -> Answers:
    """A camera that accepts one Digest algorithm only, from the user `us"er` with `hunter2`."""
    name, session, _ = algorithm.lower().partition("-sess")

    def hashed(text: str) -> str:
        known = {"sha-256": "sha256", "sha-512-256": "sha512_256"}
        return hashlib.new(known.get(name, name), text.encode()).hexdigest()

    def answers(_nth: int, request: bytes) -> Iterable[bytes]:
        line = re.search(r"(?m)^Authorization: (.*)\r$", request.decode())
        given = dict(re.findall(r'(\w+)="?((?:[^",\\]|\\.)+)"?', line[1] if line else ""))
        secret = hashed('us"er:cam:hunter2')
        if session:
            secret = hashed(f"{secret}:n0nce:{given.get('cnonce')}")
        act = hashed(f"GET:{given.get('uri')}" + (f":{hashed('')}" if qop == "auth-int" else ""))
        middle = f"{given.get('nc')}:{given.get('cnonce')}:{qop}:" if qop else ""
        if given.get("response") == hashed(f"{secret}:n0nce:{middle}{act}"):
            return [head("Content-Type: image/jpeg"), JPEG]
        offered = f'WWW-Authenticate: Digest realm="cam", nonce="n0nce", algorithm={algorithm}'
        offered += f', qop="{qop}"' if qop else ""
        return [head(offered, "WWW-Authenticate: Negotiate", status="401 Unauthorized")]

    return answers


@pytest.mark.parametrize("qop", ["auth", "auth-int", None])
@pytest.mark.parametrize("algorithm", ["MD5", "md5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256"])
def test_digests_are_answered(algorithm: str, qop: str | None) -> None:
    """Also those of cameras that no longer accept MD5."""
    with raw_camera(digest_camera(algorithm, qop)) as url:
        picture = one_from(url, poll="1h", username='us"er', password="hunter2")
        assert picture.size_wh == (128, 96)


HOSTILE: dict[str, bytes] = {
    "a digest nobody knows": head("WWW-Authenticate: Digest algorithm=WHIRL", status="401 No"),
    "nonsense to log in": head('WWW-Authenticate: ,,="\\"Digest,, =,', status="401 No"),
    "a login without a scheme": head("WWW-Authenticate:", status="401 No"),
    "a digest of nothing": head("WWW-Authenticate: Digest", status="401 No"),
    "an endless login": head("WWW-Authenticate: Digest nonce=a, stale=true", status="401 No"),
    "ntlm": head("WWW-Authenticate: NTLM TlRMTVNTUAAC=", status="401 No"),
    "a status of garbage": b"HTTP/1.1 huh\r\n\r\n",
    "a negative status": b"HTTP/1.1 -200 OK\r\n\r\n",
    "garbage": bytes(range(256)) * 40,
    "an empty line": b"\r\n" * 9,
    "another protocol": b"RTSP/1.0 400 Bad Request\r\n\r\n",
    "a secret protocol": b"\x15\x03\x03\x00\x02\x02\x46",
    "a head of megabytes": b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 3_000_000,
    "headers of megabytes": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500_000,
    "a negative chunk": head("Transfer-Encoding: chunked") + b"-5\r\nhello\r\n",
    "an enormous chunk": head("Transfer-Encoding: chunked") + b"F" * 40 + b"\r\nhello\r\n",
    "chunks that go wrong": head("Transfer-Encoding: chunked") + b"5\r\nhellohello\r\nhm\r\n",
    "a chunk size without end": head("Transfer-Encoding: chunked") + b"0" * 100_000,
    "a redirect to a file": head("Location: file:///etc/passwd", status="302 Found"),
    "a redirect elsewhere": head("Location: http://u:hunter3@10.0.0.1/", status="307 No"),
    "a redirect to nowhere": head("Location: \x7f\x80\x1b[2J", status="301 No"),
    "a bomb": head("Content-Encoding: gzip") + gzip.compress(bytes(50_000_000), 9),
    "broken packing": head("Content-Encoding: gzip") + b"\x1f\x8b\x08\x00nothing of the kind",
    "unknown packing": head("Content-Encoding: br") + b"\x01\x02",
    "a picture of a billion pixels": head() + b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xdc\xff\xdc\x03"
    b"\x01\x22\x00\x02\x11\x01\x03\x11\x01\xff\xda\x00\x0c\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00"
    + bytes(1000) + b"\xff\xd9",
    "a png of nothing": head() + b"\x89PNG\r\n\x1a\n\0\0\0\0IEND\xae\x42\x60\x82",
    "nothing but beginnings": head() + b"\xff\xd8\xff" * 200_000,
    "nothing but fill": head() + b"\xff\xd8" + b"\xff" * 2_000_000,
    "interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
}  # fmt: skip


@pytest.mark.parametrize("poll", [None, "1h"])
@pytest.mark.parametrize("answer", HOSTILE)
def test_hostile_answers_get_a_sentence(answer: str, poll: str | None) -> None:
    """No traceback, no hang, no picture, and no credentials in what is said."""
    with raw_camera(lambda _nth, _: [HOSTILE[answer]]) as url:
        keys = {"poll": poll} if poll else {}
        address = url.replace("//", "//user:hunter2@")
        error = failed(address, read_timeout="2s", open_timeout="2s", **keys)
    assert re.fullmatch(r"http://\S+ [ -~]{8,300}", str(error)), str(error)
    assert "hunter" not in str(error)


def test_a_login_goes_to_no_other_address() -> None:
    """A redirect is not followed: what stands behind it never sees a request."""
    seen: list[bytes] = []

    def elsewhere(_nth: int, request: bytes) -> Iterable[bytes]:
        seen.append(request)
        return [head()]

    with raw_camera(elsewhere) as other:
        moved = [head(f"Location: {other}", status="302 Found")]
        with raw_camera(lambda _nth, _: moved) as url:
            error = failed(url, username="us", password="hunter2")
    assert seen == []
    assert f"redirects to {other} (302); no redirect is followed: if that is your" in str(error)


def test_a_basic_login_is_sent_only_when_it_is_asked_for() -> None:
    """The first request goes without; then Basic is enough for cameras that have no Digest."""
    requests: list[bytes] = []

    def answers(_nth: int, request: bytes) -> Iterable[bytes]:
        requests.append(request)
        if b"Authorization: Basic " + base64.b64encode(b"us:hunter2") in request:
            return [head("Content-Type: image/jpeg"), JPEG]
        return [head('www-authenticate: basic realm="a, b=c"', status="401 No")]

    with raw_camera(answers) as url:
        one_from(url, poll="1h", username="us", password="hunter2")
    assert [b"Authorization" in request for request in requests] == [False, True]


@pytest.mark.parametrize(
    ("name", "trusted", "words"),
    [
        ("good", False, "is self-signed"),
        ("expired", True, "has expired"),
        ("other_host", True, "is for another address than 127.0.0.1"),
    ],
)
def test_a_certificate_that_does_not_hold_is_told(
    monkeypatch: pytest.MonkeyPatch, name: str, trusted: bool, words: str
) -> None:
    """Why, and how to accept it all the same; the login is not sent before."""
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / f"{name}.pem"))
    whole = [head("Content-Type: image/jpeg"), JPEG]
    requests: list[bytes] = []

    def answers(_nth: int, request: bytes) -> Iterable[bytes]:
        requests.append(request)
        return whole

    with raw_camera(answers, tls=tls(name)) as url:
        error = failed(url, poll="1h")
        assert error.reason is SourceFailure.UNSUPPORTED
        assert words in str(error)
        assert "verify: false" in str(error)
        assert requests == []
        assert one_from(url, poll="1h", verify=False).size_wh == (128, 96)


def test_plain_and_secret_ports_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """One says https where no TLS is spoken, or http where it is."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "good.pem"))
    whole = [head("Content-Type: image/jpeg"), JPEG]
    with raw_camera(lambda _nth, _: whole, tls=tls("good")) as url:
        assert one_from(url, poll="1h").size_wh == (128, 96)
        error = failed(url.replace("https:", "http:"), poll="1h")
        assert error.reason in (SourceFailure.ENDED, SourceFailure.BROKEN)
    with http_camera(lambda _: None) as url:
        error = failed(url.replace("http:", "https:"), poll="1h")
    assert "does not speak https there; try http://" in str(error)


_WORDS = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 401 No\r\n", b"HTTP/1.0 ", b"200", b"\r\n", b"\n"),
        *(b"\r\n\r\n", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"-1", b"9" * 30),
        *(b"WWW-Authenticate: Digest ", b'realm="', b"nonce=", b"algorithm=MD5", b"qop=auth-int"),
        *(b"stale=true", b",", b'"', b"\\", b"Content-Encoding: gzip\r\n", b"ffffff\r\n", b"0\r\n"),
        *(b"Content-Type: multipart/x-mixed-replace; boundary=", b"--frame", b"\xff\xd8\xff"),
        *(b"\xff\xda\x00\x08", b"\xff\xd9", b"\xff\xe1\xff\xff", b"RIFF\xff\xff\xff\xffWEBP"),
        *(b"\x89PNG\r\n\x1a\n", b"BM", JPEG, JPEG[:500], JPEG[300:], b"<html>", b"\0" * 600),
        *(b"Retry-After: 99999999999\r\n", b"Location: ", b"http://u:p@h/"),
    ]
)


@pytest.mark.slow
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example([b"HTTP/1.1 200 OK\r\n\r\n", JPEG], True)
@given(st.lists(_WORDS | st.binary(max_size=40), max_size=14), st.booleans())
def test_any_answer_gives_pictures_or_a_sentence(pieces: list[bytes], is_still: bool) -> None:
    """Whatever a server sends, the source ends within its deadlines with an error of its own."""
    with raw_camera(lambda _nth, _: pieces) as url:
        keys = {"poll": "1h"} if is_still else {}
        source = camera(url, read_timeout="1s", open_timeout="1s", username="u", **keys)
        said = url
        try:
            source.open(Need())
            for picture in islice(source.pictures(), 1 if is_still else None):
                assert picture.size_wh[0] > 0
        except SourceError as error:
            said = str(error)
        finally:
            source.close()
    assert said.startswith(url)
    assert said.isprintable()


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8\xff", JPEG[:-2], JPEG[1:], b"BM", b"RIFF\0\0\0\0WEBP", b"\x89PNG"]
)
def test_files_that_hold_no_whole_picture(content: bytes) -> None:
    """They are refused, and counted."""
    lost: Counter[str] = Counter()
    assert StillDecoder().decode(content, lost) is None
    assert lost == {"decode error": 1}


def with_hole(picture: bytes, at: int, size: int) -> bytes:
    """A picture that lacks a piece, and whose markers are all there."""
    return picture[:at] + picture[max(at, len(picture) - 2 if size < 0 else at + size) :]


@pytest.mark.parametrize("kind", ["baseline", "progressive", "restart markers"])
def test_pictures_that_lack_a_piece_are_refused(kind: str) -> None:
    """Some cameras close a picture that they could not send: all markers are there, pixels are not.

    FFmpeg would make them up.
    """
    decoder, lost = StillDecoder(), Counter[str]()
    picture = sample(kind, 1)
    assert decoder.decode(picture, lost) is not None
    pieces = range(1500, len(picture) - 600, 613)
    for at in pieces:
        assert decoder.decode(with_hole(picture, at, -1), lost) is None
    assert lost == {"decode error": len(pieces)}
    assert decoder.decode(picture, lost) is not None


def test_a_camera_whose_pictures_all_lack_a_little() -> None:
    """It is not blind for that: what it sends is taken, after eight in a row."""
    decoder, lost = StillDecoder(), Counter[str]()
    odd = with_hole(sample("baseline", 1), 6000, -1)
    taken = [decoder.decode(odd, lost) is not None for _ in range(10)]
    assert taken == [False] * 8 + [True] * 2
    assert lost == {"decode error": 8}


def test_a_still_camera_is_left_alone_for_as_long_as_it_asks() -> None:
    """After `Retry-After` the next poll waits, and the time without pictures is counted on."""
    busy = [head("Retry-After: 3600", status="429 Too Many Requests")]
    whole = [head("Content-Type: image/jpeg"), JPEG]
    asked: list[int] = []

    def answers(nth: int, _request: bytes) -> Iterable[bytes]:
        asked.append(nth)
        return busy if nth == 1 else whole

    with raw_camera(answers) as url:
        source = camera(url, poll="5ms")
        source.open(Need())
        pictures = source.pictures()
        next(pictures)
        wait_until(lambda: source.counters().get("broken stream", 0) == 1, 10)
        reader = next(t for t in threading.enumerate() if t.name.startswith("read "))
        source.close()
        reader.join(patience(10))
    assert asked == [0, 1]
