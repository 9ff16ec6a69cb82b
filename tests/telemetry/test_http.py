"""Whoever looks after a process learns whether it is alive, ready and how it does."""

from collections.abc import Iterator

import httpx
import pytest

from pipeline.core.errors import ConfigError
from pipeline.telemetry.http import LOOPBACK, HealthAnswers, ListenAddress, address_of, answering
from pipeline.telemetry.metrics import Metrics


class Desk:
    """A process that is asked."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.remark: str | None = None
        self.metrics = Metrics()
        self.port = 0

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
