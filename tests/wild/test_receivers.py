"""Web servers that take events, and what they answer."""

from collections.abc import Iterable
from contextlib import closing

import pytest

from connectors.sinks.webhook import WebhookConfig
from pipeline.core.errors import SinkError
from pipeline.core.sinks import SinkContext
from tests.contracts.event_tools import an_event
from tests.wild.raw_server import head, raw_camera

SHORT = head("Content-Length: 100") + b"abc"
CHUNK = head("Transfer-Encoding: chunked", status="202 Accepted") + b"ZZ\r\n"
ENDLESS = [head(), *[bytes(65_536)] * 64]
ODD_WORDS = head("Content-Encoding: gzip", "Content-Length: 5", "X: \xff") + b"hello"


@pytest.mark.parametrize(
    ("answer", "stays"),
    [([SHORT], False), ([SHORT], True), ([CHUNK], False), (ENDLESS, True), ([ODD_WORDS], True)],
    ids=["cut", "hanging", "broken", "endless", "odd"],
)
def test_a_receiver_takes_the_event_and_its_words_are_bad(
    answer: Iterable[bytes], stays: bool
) -> None:
    """The status says that the event is there: it is not sent again for what follows."""
    requests: list[int] = []

    def answers(nth: int, _request: bytes) -> Iterable[bytes]:
        requests.append(nth)
        return answer

    with (
        raw_camera(answers, stays=stays) as url,
        closing(
            WebhookConfig.model_validate({"url": url, "timeout": "20s"}).build(SinkContext("Shop"))
        ) as sink,
    ):
        sink.send([an_event(1)])
    assert requests == [0]


@pytest.mark.parametrize(
    "asked",
    [
        "9" * 5000,
        "-5",
        "",
        "\xb2",
        "Thu, 31 Dec 99999999999 23:59:59 GMT",
        "Thu, 01 Jan 0001 00:00:00 -0000",
        "Thu, 31 Dec 9999 23:59:59 -9999",
    ],
)
def test_a_receiver_asks_to_wait_until_no_time(asked: str) -> None:
    """Its Retry-After cannot be, but it is busy: the event is sent again, not given up."""
    answer = [head(f"Retry-After: {asked}", "Content-Length: 0", status="503 Busy")]
    with (
        raw_camera(lambda _nth, _request: answer) as url,
        closing(WebhookConfig.model_validate({"url": url}).build(SinkContext("Shop"))) as sink,
        pytest.raises(SinkError) as failed,
    ):
        sink.send([an_event(1)])
    assert failed.value.retryable
    assert (failed.value.retry_after_s or 0.0) >= 0.0
