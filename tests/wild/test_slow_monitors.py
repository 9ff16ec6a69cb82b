"""Whoever can reach the port of `/healthz` may be slow, rude or many; probes are still answered."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import httpx
import pytest

from pipeline.telemetry.http import LOOPBACK, HealthAnswers, ListenAddress, answering
from pipeline.testing import patience, wait_until

METRICS = b"# metrics\n" * 100_000


@pytest.fixture
def port() -> Iterator[int]:
    """A process that gives a slow client two seconds."""
    answers = HealthAnswers(lambda: None, lambda: METRICS)
    with answering(ListenAddress(LOOPBACK, 0), answers, patience_s=2.0) as port:
        assert port is not None
        yield port


def ask(port: int, path: str = "/readyz") -> httpx.Response:
    """A probe."""
    return httpx.get(f"http://{LOOPBACK}:{port}{path}", timeout=patience(10))


def raw(port: int, content: bytes) -> bytes:
    """All that comes back for these bytes."""
    with socket.create_connection((LOOPBACK, port), timeout=patience(10)) as line:
        received = b""
        try:
            line.sendall(content)
            line.shutdown(socket.SHUT_WR)
            while block := line.recv(65536):
                received += block
        except OSError:  # it was closed on us
            pass
        return received


def test_four_hundred_connections_that_send_nothing(port: int) -> None:
    """No thread for each of them, at most 64 are open, and probes go on being answered."""
    before = threading.active_count()
    with ExitStack() as lines:
        opened = [
            lines.enter_context(socket.create_connection((LOOPBACK, port), timeout=patience(10)))
            for _ in range(400)
        ]
        for line in opened[::7]:
            try:
                line.sendall(b"GET /readyz HT")
            except OSError:  # had to make room
                continue
        for path in ("/healthz", "/readyz", "/metrics"):
            assert ask(port, path).status_code == 200
        assert threading.active_count() == before
        with suppress(ConnectionError):
            assert opened[0].recv(1) == b""  # the oldest was closed for the newest


def test_a_request_of_one_byte_at_a_time_ends_at_the_deadline(port: int) -> None:
    """However alive the connection looks, it is closed as a whole in time."""
    with socket.create_connection((LOOPBACK, port), timeout=patience(10)) as line:

        def is_closed() -> bool:
            try:
                line.sendall(b"x")
                line.settimeout(0.01)
                return line.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        wait_until(is_closed)


def test_a_client_that_does_not_read_its_answer(port: int) -> None:
    """Others get theirs meanwhile."""
    with socket.create_connection((LOOPBACK, port), timeout=patience(10)) as line:
        line.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert ask(port, "/metrics").content == METRICS


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"x-a: b\r\n" * 10_000 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 5_000_000, 431),
        (b"GET /readyz HTTP/1.1\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /readyz SMTP\r\n\r\n", 400),
        (b"POST /readyz HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello", 501),
        (b"GET /\xff\xfe HTTP/1.1\r\n\r\n", 404),
        (b"GET /healthz HTTP/1.1\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n", 200),
        (b"HEAD /metrics HTTP/1.0\r\n\r\n", 200),
    ],
)
def test_requests_that_are_too_large_or_not_http(port: int, content: bytes, status: int) -> None:
    """Each gets a status, and the process goes on."""
    answer = raw(port, content)
    # A client that goes on sending megabytes may be cut off before it reads why.
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()) or (
        len(content) > 10**6 and not answer
    )
    assert ask(port).status_code == 200


def test_an_answer_that_waits_for_a_store() -> None:
    """`/readyz` may have to wait; `/healthz` says meanwhile that the process is alive."""
    goes_on = threading.Event()

    def not_ready() -> str | None:
        goes_on.wait(patience(30))
        return None

    answers = HealthAnswers(not_ready, lambda: METRICS)
    with answering(ListenAddress(LOOPBACK, 0), answers) as port:
        assert port is not None
        with ExitStack() as lines:
            for _ in range(20):
                line = lines.enter_context(socket.create_connection((LOOPBACK, port)))
                line.sendall(b"GET /readyz HTTP/1.1\r\n\r\n")
            assert ask(port, "/healthz").text == "alive\n"
            goes_on.set()
        assert ask(port).text == "ready\n"


def test_an_answer_that_cannot_be_made(caplog: pytest.LogCaptureFixture) -> None:
    """It is 500, and the log says why."""

    def broken() -> bytes:
        raise RuntimeError("the registry is gone")

    with answering(ListenAddress(LOOPBACK, 0), HealthAnswers(lambda: None, broken)) as port:
        assert port is not None
        assert ask(port, "/metrics").status_code == 500
        assert ask(port, "/readyz").status_code == 200
    assert "/metrics could not be answered" in caplog.text
