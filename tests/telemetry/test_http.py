"""Whoever looks after a process learns whether it is alive, ready and how it does."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from http import HTTPStatus
from itertools import islice

import httpx
import pytest

from pipeline.core.errors import ConfigError
from pipeline.telemetry.http import (
    LOOPBACK,
    HealthAnswers,
    HttpPage,
    ListenAddress,
    address_of,
    answering,
)
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import patience


class Desk:
    """A process that is asked."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.remark: str | None = None
        self.metrics = Metrics()
        self.port = 0
        self.released = threading.Event()

    def ask(self, path: str) -> httpx.Response:
        """What it answers."""
        return httpx.get(f"http://{LOOPBACK}:{self.port}{path}")


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A process that answers on a free port."""
    desk = Desk()
    telling = HealthAnswers(lambda: desk.reason, desk.metrics.exposition, lambda: desk.remark)
    with answering(ListenAddress(LOOPBACK, 0), telling) as port:
        assert port is not None
        desk.port = port
        yield desk


def test_alive_is_not_ready(desk: Desk) -> None:
    """A process that waits for its outside is alive, and says what it waits for."""
    desk.reason = "redis at queue:6379 is out of reach"
    assert desk.ask("/healthz").status_code == 200
    answer = desk.ask("/readyz")
    assert (answer.status_code, answer.text) == (503, "redis at queue:6379 is out of reach\n")
    desk.reason = None
    answer = desk.ask("/readyz")
    assert (answer.status_code, answer.text) == (200, "ready\n")


def test_ready_may_be_more_than_a_word(desk: Desk) -> None:
    """A process that stands by is ready, and says that it does."""
    desk.remark = "standing by"
    answer = desk.ask("/readyz")
    assert (answer.status_code, answer.text) == (200, "ready: standing by\n")
    desk.reason = "is starting"
    answer = desk.ask("/readyz")
    assert (answer.status_code, answer.text) == (503, "is starting\n")


def test_metrics_are_those_of_the_process(desk: Desk) -> None:
    """In the text format of Prometheus."""
    desk.metrics.frames_sampled.labels("door").inc(3)
    answer = desk.ask("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'moonwatch_frames_sampled_total{camera="door"} 3.0' in answer.text


def test_there_is_nothing_else(desk: Desk) -> None:
    """An unknown page is named as such, and other methods change nothing."""
    assert desk.ask("/secrets").status_code == 404
    assert httpx.head(f"http://{LOOPBACK}:{desk.port}/healthz").status_code == 200
    assert httpx.post(f"http://{LOOPBACK}:{desk.port}/healthz").status_code == 501


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":9100", ListenAddress("127.0.0.1", 9100)),  # this machine only, unless told otherwise
        ("0.0.0.0:9100", ListenAddress("0.0.0.0", 9100)),  # everybody
        ("[::1]:80", ListenAddress("::1", 80)),
        ("localhost:0", ListenAddress("localhost", 0)),
    ],
)
def test_addresses(text: str, address: ListenAddress) -> None:
    """A port alone is this machine's own."""
    assert address_of(text) == address


@pytest.mark.parametrize("text", ["9100", "host", ":99999", ":http", ""])
def test_no_address_is_refused(text: str) -> None:
    """With the two ways to write one."""
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0:9100"):
        address_of(text)


def test_a_port_that_is_taken_is_said(desk: Desk) -> None:
    """In a sentence with the port."""
    telling = HealthAnswers(lambda: None, desk.metrics.exposition)
    with (
        pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{desk.port}"),
        answering(ListenAddress(LOOPBACK, desk.port), telling),
    ):
        raise AssertionError("unreachable")


@pytest.fixture
def files() -> Iterator[Desk]:
    """A process that serves files, too."""
    desk = Desk()
    content = bytes(range(256)) * 40_000

    def page(path: str, headers: Mapping[str, str]) -> HttpPage:
        if path == "/media/broken":
            raise RuntimeError("s3cret")
        if path == "/media/waits":
            desk.released.wait(patience(20))
        said = headers.get("range", "-")
        return HttpPage(HTTPStatus.OK, content, "video/mp4", {"X-Asked": f"{path} {said}"})

    telling = HealthAnswers(lambda: None, desk.metrics.exposition, files=page)
    with answering(ListenAddress(LOOPBACK, 0), telling, patience_s=patience(20)) as port:
        assert port is not None
        desk.port = port
        yield desk
        desk.released.set()


def test_files_come_whole(files: Desk) -> None:
    """With the headers that were sent; HEAD gets no body."""
    url = f"http://{LOOPBACK}:{files.port}/media/x?y=z"
    answer = httpx.get(url, headers={"Range": "bytes=0-1"}, timeout=patience(20))
    assert answer.content == bytes(range(256)) * 40_000
    assert answer.headers["x-asked"] == "/media/x bytes=0-1"
    assert answer.headers["content-type"] == "video/mp4"
    answer = httpx.head(url, timeout=patience(20))
    assert answer.headers["content-length"] == str(256 * 40_000)
    assert answer.content == b""


def test_a_file_that_cannot_be_served_is_not_named_in_the_log(
    files: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """A link is as good as a password."""
    answer = httpx.get(f"http://{LOOPBACK}:{files.port}/media/broken", timeout=patience(20))
    assert answer.status_code == 500
    assert "s3cret" not in answer.text
    (record,) = caplog.records
    assert record.getMessage() == "/media/ could not be answered"


def test_files_do_not_keep_probes_waiting(files: Desk) -> None:
    """Whoever takes his time with files does not stand before those who ask how it is."""
    with ThreadPoolExecutor(12) as pool:
        waiting = [
            pool.submit(
                httpx.get, f"http://{LOOPBACK}:{files.port}/media/waits", timeout=patience(30)
            )
            for _ in range(12)
        ]
        # All have come before any is released: eight are answered, which take all the places.
        for one in islice(as_completed(waiting, timeout=patience(20)), 4):
            refused = one.result()
            assert (refused.status_code, refused.text) == (503, "too many files are asked for\n")
        assert files.ask("/readyz").text == "ready\n"
        assert files.ask("/metrics").status_code == 200
        files.released.set()
        codes = [one.result().status_code for one in waiting]
    assert sorted(codes) == [200] * 8 + [503] * 4


def test_without_files_there_are_none(desk: Desk) -> None:
    """As for any unknown page."""
    assert desk.ask("/media/x").status_code == 404
