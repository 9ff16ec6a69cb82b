"""HTTP cameras, against a real web server that behaves like the cameras one meets."""

import base64
import hashlib
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from itertools import count, islice
from typing import Any

import pytest

from connectors.sources.http import HttpConfig
from connectors.sources.live.http_source import HttpSource
from connectors.sources.live.multipart import PictureFinder, boundary_of
from pipeline.core.errors import SourceError, SourceFailure
from pipeline.core.frames import Picture
from pipeline.core.sources import Need, Source
from pipeline.testing import patience, wait_until
from tests.connectors.sources.clips import Clip, jpeg
from tests.connectors.sources.servers import HOST, Page, answering, free_port, http_camera
from tests.contracts.sources import SourceContract

PICTURES = [jpeg(Clip(), nth) for nth in range(10)]


def camera(url: str, **keys: Any) -> HttpSource:
    """A source that does not wait long."""
    deadlines = {"open_timeout": "5s", "read_timeout": "1s"}
    return HttpConfig.model_validate({"url": url, **deadlines, **keys}).build()


def stream(
    pictures: int | None = None,
    *,
    length: bool = True,
    then: Callable[[BaseHTTPRequestHandler], object] | None = None,
) -> Page:
    """An MJPEG stream of so many pictures (None: for ever), and what comes after them."""

    def page(request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        request.send_response(200)
        request.send_header("Content-Type", 'multipart/x-mixed-replace; boundary="--cam"')
        request.end_headers()
        pause = threading.Event()
        for nth in count() if pictures is None else range(pictures):
            content = PICTURES[nth % 10]
            size = f"Content-Length: {len(content)}\r\n" if length else ""
            head = f"--cam\r\nContent-Type: image/jpeg\r\n{size}\r\n"
            request.wfile.write(head.encode() + content + b"\r\n")
            pause.wait(0.01)
        if then is not None:
            then(request)

    return page


def still(content: bytes, kind: str = "image/jpeg") -> Page:
    """One picture for each request."""

    def page(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    return page


def status(code: int, *headers: tuple[str, str]) -> Page:
    """No picture, but a status."""

    def page(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        for name, value in headers:
            request.send_header(name, value)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return page


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    """Every reading thread ends soon after its source was closed."""
    yield
    wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("read ")], 15.0)


class TestStreamContract(SourceContract):
    """An MJPEG stream keeps what all sources promise."""

    is_live = True

    @pytest.fixture
    def source(self) -> Iterator[Source]:
        """A camera that streams for ever."""
        with http_camera(stream()) as url:
            yield camera(f"{url}/video")


class TestStillContract(SourceContract):
    """So does a still picture that is asked for again and again."""

    is_live = True

    @pytest.fixture
    def source(self) -> Iterator[Source]:
        """A camera that is asked a hundred times a second."""
        with http_camera(still(PICTURES[0])) as url:
            yield camera(f"{url}/still.jpg", poll="10ms")


def _failure(url: str, **keys: Any) -> SourceError:
    source = camera(url, **keys)

    def play() -> None:
        source.open(Need())
        list(source.pictures())

    with pytest.raises(SourceError) as caught:
        play()
    source.close()
    return caught.value


@pytest.mark.parametrize("length", [True, False])
def test_a_stream_that_ends_is_an_error(length: bool) -> None:
    """After its pictures, with or without lengths."""
    with http_camera(stream(10, length=length)) as url:
        source = camera(url)
        source.open(Need())
        seen: list[Picture] = []
        with pytest.raises(SourceError) as caught:
            seen.extend(source.pictures())
        assert caught.value.reason is SourceFailure.ENDED
        assert len(seen) >= 8
        assert source.counters().get("decode error", 0) == 0
        source.close()


def test_a_stream_that_falls_silent_is_noticed() -> None:
    """Within the read deadline."""
    release = threading.Event()
    with http_camera(stream(3, then=lambda _: release.wait(patience(20)))) as url:
        begun = time.monotonic()
        error = _failure(url)
        assert error.reason is SourceFailure.TIMEOUT
        assert time.monotonic() - begun < patience(4.0)
        release.set()


def test_polling_is_slower_than_the_deadline_and_still_no_failure() -> None:
    """Between two still pictures nothing is expected."""
    with http_camera(still(PICTURES[0])) as url:
        source = camera(url, poll="1500ms", read_timeout="1s")
        source.open(Need())
        first, second = islice(source.pictures(), 2)
        source.close()
    assert second.captured_at - first.captured_at == pytest.approx(1.5, abs=0.3)


def test_only_what_is_needed_is_decoded() -> None:
    """Of a fast stream, the pictures that will be used."""
    with http_camera(stream(100)) as url:
        source = camera(url)
        source.open(Need(every_s=0.4))
        seen: list[Picture] = []
        with pytest.raises(SourceError):
            seen.extend(source.pictures())
        source.close()
    assert len(seen) <= 10


@pytest.mark.parametrize("poll", [None, "20ms"])
def test_a_picture_that_is_owed_does_not_take_its_hour(poll: str | None) -> None:
    """One was of no use: the next ones come at the camera's own pace, until one is."""
    left = [3]

    def is_owed() -> bool:
        return left[0] > 0

    page = stream(100) if poll is None else still(PICTURES[0])
    with http_camera(page) as url:
        source = camera(url, **({"poll": poll} if poll else {}))
        source.open(Need(every_s=3600.0, is_owed=is_owed))
        for _ in islice(source.pictures(), 3):
            left[0] -= 1
        source.close()
    assert left == [0]


def test_damaged_pictures_are_counted() -> None:
    """One that is cut off is passed over."""
    contents = iter([PICTURES[0], PICTURES[1][:300], b"\xff\xd8 nothing \xff\xd9", PICTURES[2]])

    def page(request: BaseHTTPRequestHandler) -> None:
        still(next(contents, PICTURES[3]))(request)

    with http_camera(page) as url:
        source = camera(url, poll="10ms")
        source.open(Need())
        assert len(list(islice(source.pictures(), 3))) == 3
        assert source.counters()["decode error"] == 2
        source.close()


@pytest.mark.parametrize(
    ("page", "keys", "reason", "words"),
    [
        (status(401), {}, SourceFailure.UNAUTHORISED, "user and password"),
        (status(403), {}, SourceFailure.UNAUTHORISED, "user and password"),
        (status(404), {}, SourceFailure.NOT_FOUND, "check the path"),
        (status(500), {}, SourceFailure.BROKEN, "500"),
        (status(302, ("Location", "/x")), {}, SourceFailure.UNSUPPORTED, "redirects"),
        (still(PICTURES[0]), {}, SourceFailure.UNSUPPORTED, "`poll: 1s`"),
        (stream(1), {"poll": "1s"}, SourceFailure.UNSUPPORTED, "leave `poll` out"),
        (still(b"<html>", "text/html"), {"poll": "1s"}, SourceFailure.UNSUPPORTED, "text/html"),
    ],
)
def test_what_a_camera_answers_is_told_apart(
    page: Page, keys: dict[str, str], reason: SourceFailure, words: str
) -> None:
    """Each with its reason and the way out."""
    with http_camera(page) as url:
        error = _failure(f"{url}/a", **keys)
    assert error.reason is reason
    assert words in str(error)


def test_connections_that_fail_are_told_apart() -> None:
    """Refused, unknown and silent."""
    assert _failure(f"http://{HOST}:{free_port()}/a").reason is SourceFailure.REFUSED
    assert _failure("http://no-such-camera.invalid/a").reason is SourceFailure.DNS
    with answering(None) as port:
        error = _failure(f"http://{HOST}:{port}/a", open_timeout="1s")
        assert error.reason is SourceFailure.TIMEOUT


def basic(login: str) -> Page:
    """A camera that wants a login, the old way."""
    wanted = "Basic " + base64.b64encode(login.encode()).decode()

    def page(request: BaseHTTPRequestHandler) -> None:
        if request.headers.get("Authorization") == wanted:
            still(PICTURES[0])(request)
        else:
            status(401, ("WWW-Authenticate", 'Basic realm="cam"'))(request)

    return page


def digest(user: str, password: str) -> Page:
    """A camera that wants a login, as most do."""

    def page(request: BaseHTTPRequestHandler) -> None:
        given = dict(re.findall(r'(\w+)="?([^",]+)"?', request.headers.get("Authorization", "")))
        ha1 = hashlib.md5(f"{user}:cam:{password}".encode()).hexdigest()
        ha2 = hashlib.md5(f"GET:{given.get('uri')}".encode()).hexdigest()
        if given.get("response") == hashlib.md5(f"{ha1}:n0nce:{ha2}".encode()).hexdigest():
            still(PICTURES[0])(request)
        else:
            status(401, ("WWW-Authenticate", 'Digest realm="cam", nonce="n0nce"'))(request)

    return page


@pytest.mark.parametrize("page", [basic("us@r:hunter/2"), digest("us@r", "hunter/2")])
@pytest.mark.parametrize("beside", [False, True])
def test_logins_are_accepted(page: Page, beside: bool) -> None:
    """Basic or Digest, from the address or beside it."""
    with http_camera(page) as url:
        keys = {"username": "us@r", "password": "hunter/2"} if beside else {}
        address = url if beside else url.replace("//", "//us%40r:hunter%2F2@")
        source = camera(f"{address}/still", poll="10ms", **keys)
        source.open(Need())
        assert len(list(islice(source.pictures(), 3))) == 3
        source.close()


def test_no_text_has_the_credentials(caplog: pytest.LogCaptureFixture) -> None:
    """Neither errors nor logs at any level, where they are in the query or refused."""
    caplog.set_level(logging.NOTSET)
    texts = []
    with http_camera(basic("other:login")) as url:
        address = url.replace("//", "//us%40r:hunter2@") + "/a?password=hunter3"
        texts.append(repr(_failure(address, poll="10ms")))
    texts.append(repr(_failure(f"http://us%40r:hunter2@{HOST}:{free_port()}/a?token=hunter3")))
    texts += [record.getMessage() for record in caplog.records]
    assert not [text for text in texts if "hunter" in text or "us@r" in text or "us%40r" in text]


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/x-mixed-replace; boundary=cam", b"cam"),
        ('Multipart/x-mixed-replace;boundary="--cam"', b"--cam"),
        ("multipart/x-mixed-replace", b""),
        ("image/jpeg", None),
        ("", None),
    ],
)
def test_boundaries_are_found(content_type: str, boundary: bytes | None) -> None:
    """As cameras write them."""
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize("step", [1, 7, 10_000])
@pytest.mark.parametrize("boundary", [b"cam", b"--cam"])
@pytest.mark.parametrize("length", [b"", b"Content-Length: %d\r\n" % len(PICTURES[0])])
def test_parts_are_cut_out(step: int, boundary: bytes, length: bytes) -> None:
    """However the pieces fall, and whether a length is given or not."""
    head = b"--cam\r\nContent-Type: image/jpeg\r\n" + length + b"\r\n"
    whole = b"preamble\r\n" + (head + PICTURES[0] + b"\r\n") * 3 + b"--cam--\r\n"
    finder = PictureFinder(boundary)
    found: list[bytes] = []
    for at in range(0, len(whole), step):
        found.extend(finder.feed(whole[at : at + step]))
    assert found == [PICTURES[0]] * 3
    assert finder.cut == 0
    assert not finder.overflowed
