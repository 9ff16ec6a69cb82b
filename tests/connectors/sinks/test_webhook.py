"""A webhook POSTs CloudEvents, signed if wanted, and knows which answers are worth another try."""

import base64
import hashlib
import hmac
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.sinks.webhook import WebhookConfig, WebhookSink, _signing_key, sign
from pipeline.core.errors import SinkError
from pipeline.core.events import to_cloudevent
from pipeline.core.sinks import Sink, SinkContext
from pipeline.testing import ManualClock, patience
from tests.connectors.sinks.receiver import (
    BREAK,
    CLOSE,
    DRIP,
    FLOOD,
    HANG,
    Receiver,
    receiving,
)
from tests.contracts.event_tools import an_event, odd_events
from tests.contracts.sinks import SITE, SinkContract


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A server that accepts until it is told otherwise."""
    with receiving() as receiver:
        yield receiver


def sink_to(receiver: Receiver, **fields: Any) -> WebhookSink:
    """A sink that sends to the server."""
    return WebhookConfig.model_validate({"url": receiver.url, **fields}).build(SinkContext(SITE))


def send(receiver: Receiver, **fields: Any) -> None:
    """A whole life of a sink that sends one event."""
    sink = sink_to(receiver, **fields)
    try:
        sink.send([an_event(1)])
    finally:
        sink.close()


class _Server(SinkContract):
    """What it shares with every sink."""

    batch = False

    @pytest.fixture(autouse=True)
    def _receiver(self, receiver: Receiver) -> None:
        self.receiver = receiver

    def built(self) -> Sink:
        """A sink that sends to the server."""
        return sink_to(self.receiver, batch=self.batch)

    def received(self) -> list[str]:
        """What the server accepted."""
        return self.receiver.accepted

    def fail(self) -> None:
        """Let it be out of order."""
        self.receiver.always = 503

    def heal(self) -> None:
        """Let it work again."""
        self.receiver.always = 200


class TestOneByOne(_Server):
    """An event a request."""


class TestBatch(_Server):
    """Many events a request."""

    batch = True


def test_an_event_is_a_structured_cloudevent(receiver: Receiver) -> None:
    """As the CloudEvents specification has it for HTTP, on one connection."""
    sink = sink_to(receiver, headers={"Authorization": "Bearer t0ken"})
    sink.send(odd_events())
    sink.close()
    assert [request.events for request in receiver.requests] == [
        [to_cloudevent(event, SITE)] for event in odd_events()
    ]
    first = receiver.requests[0]
    assert first.path == "/hook/s3cret"
    assert first.headers["content-type"] == "application/cloudevents+json"
    assert first.headers["Authorization"] == "Bearer t0ken"
    assert first.headers["webhook-id"] == odd_events()[0].record_id
    assert {request.connection for request in receiver.requests} == {1}


def test_a_batch_is_one_request(receiver: Receiver) -> None:
    """With the same id whenever it is sent, and another for other events."""
    sink = sink_to(receiver, batch=True)
    for events in (odd_events(), odd_events(), [an_event(1)]):
        sink.send(events)
    sink.close()
    first, again, other = receiver.requests
    assert first.headers["content-type"] == "application/cloudevents-batch+json"
    assert first.events == [to_cloudevent(event, SITE) for event in odd_events()]
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert first.headers["webhook-id"] != other.headers["webhook-id"]


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("correct horse", b"correct horse"),
        ("whsec_" + base64.b64encode(b"\x00\xffkey").decode(), b"\x00\xffkey"),
    ],
)
def test_a_request_is_signed(receiver: Receiver, secret: str, key: bytes) -> None:
    """Over id, time and body, so that none of them can be changed or sent again much later."""
    config = WebhookConfig.model_validate({"url": receiver.url, "secret": secret})
    sink = WebhookSink(config, SinkContext(SITE, clock=ManualClock(1_700_000_000.9)))
    sink.send([an_event(1)])
    sink.close()
    (request,) = receiver.requests
    assert request.headers["webhook-timestamp"] == "1700000000"
    signed = f"{an_event(1).record_id}.1700000000.".encode() + request.body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"


def test_the_known_example_of_the_signature() -> None:
    """The one that the libraries of Standard Webhooks are tested with."""
    key = _signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        (400, False),  # this event will never be liked
        (401, False),
        (404, False),
        (413, False),
        (408, True),  # too slow this time
        (425, True),
        (429, True),  # too many at once
        (500, True),
        (503, True),
        (302, False),  # not followed: it would lead the events elsewhere
    ],
)
def test_answers_are_worth_another_try_or_not(
    receiver: Receiver, status: int, retryable: bool
) -> None:
    """By their status; none of them is taken for acceptance."""
    receiver.always = status
    with pytest.raises(SinkError, match=rf"http://127\.0\.0\.1:\d+ answers {status}") as caught:
        send(receiver)
    assert caught.value.retryable is retryable
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("Tue, 14 Nov 2023 22:15:20 GMT", 120.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),  # long past
        ("soon", None),
    ],
)
def test_a_server_may_say_when_to_come_back(
    receiver: Receiver, value: str, seconds: float | None
) -> None:
    """In seconds or as a date; nonsense is not heard."""
    receiver.always = 429
    receiver.headers = {"Retry-After": value}
    sink = WebhookSink(
        WebhookConfig.model_validate({"url": receiver.url}),
        SinkContext(SITE, clock=ManualClock(1_700_000_000.0)),
    )
    with pytest.raises(SinkError) as caught:
        sink.send([an_event(1)])
    sink.close()
    assert caught.value.retry_after_s == seconds


@pytest.mark.parametrize(
    ("behaviour", "sentence"),
    [
        (HANG, "does not answer within 0.3 s"),
        (DRIP, "does not answer within 0.3 s"),  # each byte comes in time, the answer never does
        (CLOSE, "broke the connection off"),
        (BREAK, "broke the connection off"),
    ],
)
def test_a_server_that_misbehaves_is_left_in_time(
    receiver: Receiver, behaviour: int, sentence: str
) -> None:
    """With a reason, and the same sink is accepted once the server recovers."""
    sink = sink_to(receiver, timeout="300ms")
    receiver.answers = [behaviour]
    started = time.monotonic()
    with pytest.raises(SinkError, match=sentence) as caught:
        sink.send([an_event(1)])
    assert time.monotonic() - started < patience(5)
    assert caught.value.retryable
    sink.send([an_event(1)])
    sink.close()
    assert receiver.accepted == [an_event(1).record_id]


def test_a_long_answer_is_not_listened_to(receiver: Receiver) -> None:
    """It is an acceptance nevertheless, and the next event finds its way."""
    receiver.answers = [FLOOD]
    sink = sink_to(receiver)
    sink.send([an_event(1)])
    sink.send([an_event(2)])
    sink.close()
    assert len(receiver.accepted) == 2


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1:9/s3cret", "http://127.0.0.1:9 cannot be reached: "),
        ("http://no-such-host.invalid/s3cret", "http://no-such-host.invalid cannot be reached: "),
        ("http://bob:s3cret@127.0.0.1:9/", "http://127.0.0.1:9 cannot be reached: "),
    ],
)
def test_a_server_that_is_not_there_is_named(url: str, sentence: str) -> None:
    """By host and port alone: the rest of a webhook's address is as good as a password."""
    config = WebhookConfig.model_validate({"url": url})
    sink = config.build(SinkContext(SITE))
    with pytest.raises(SinkError) as caught:
        sink.send([an_event(1)])
    sink.close()
    assert str(caught.value).startswith(sentence)
    assert "s3cret" not in f"{caught.value} {config!r} {config.model_dump()}"
    assert caught.value.retryable


@pytest.fixture
def certificate() -> Path:
    """A certificate for 127.0.0.1 that nobody but itself vouches for, with its key."""
    return Path(__file__).with_name("certificate.pem")


@pytest.fixture
def secure(certificate: Path) -> Iterator[Receiver]:
    """A server that speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with receiving(context) as receiver:
        yield receiver


def test_a_certificate_is_checked(secure: Receiver, certificate: Path) -> None:
    """Against the usual authorities, against the one that is named, or not at all."""
    with pytest.raises(SinkError, match=r"has a certificate that is not trusted: self.signed"):
        send(secure)
    send(secure, tls={"ca": certificate})
    send(secure, tls={"verify": False})
    assert len(secure.accepted) == 2


def test_we_show_our_own_certificate(certificate: Path) -> None:
    """To a server that asks for one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificate)
    with receiving(context) as receiver:
        with pytest.raises(SinkError):
            send(receiver, tls={"ca": certificate})
        send(receiver, tls={"ca": certificate, "certificate": certificate})
        assert len(receiver.accepted) == 1


def test_missing_files_are_named() -> None:
    """When the sink is built, since waiting for them would not help."""
    config = WebhookConfig.model_validate({"url": "https://x", "tls": {"ca": "nowhere.pem"}})
    with pytest.raises(SinkError, match=r"tls \(nowhere\.pem\) cannot be used: No such file"):
        config.build(SinkContext(SITE))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"url": "ftp://s3cret"}, "begins with https"),
        ({"url": "https://"}, "begins with https"),
        ({"url": "https://host:s3cret"}, "begins with https"),
        ({"url": "https://h", "secret": ""}, "the secret is empty"),
        ({"url": "https://h", "secret": "whsec_s3cret"}, "not valid base64"),
        ({"url": "https://h", "secrets": "s3cret"}, "Extra inputs"),
    ],
)
def test_unusable_settings_are_refused(fields: dict[str, str], sentence: str) -> None:
    """With a sentence that does not repeat a secret."""
    with pytest.raises(ValidationError, match=sentence) as caught:
        WebhookConfig.model_validate(fields)
    assert "s3cret" not in str(caught.value)
