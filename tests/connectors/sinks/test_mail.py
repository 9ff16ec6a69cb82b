"""Mail goes to every receiver once, readable, with pictures and reports, and keeps its secrets."""

import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.sinks.mail import MailConfig, MailSink
from pipeline.core.errors import SinkError, StoreError
from pipeline.core.events import REPORT, Event
from pipeline.core.sinks import ReadsFile, Sink, SinkContext, no_file
from pipeline.testing import patience
from tests.connectors.sinks.post_office import PostOffice, post_office
from tests.contracts.event_tools import an_event
from tests.contracts.sinks import SITE, SinkContract

ADDRESSES = {"sender": "Shop 12 <shop@example.org>", "to": "boss@example.org"}
REPORTED = Event(
    "r" * 26,
    REPORT,
    "single",
    "",
    "weekly",
    1_700_000_000.0,
    data={
        "site": "Grüner Markt",
        "title": "Week 47",
        "file": "weekly-2026-W47.html",
        "file_type": "text/html; charset=utf-8",
    },
    media=("reports/weekly/weekly-2026-W47.html",),
)


@pytest.fixture
def office() -> Iterator[PostOffice]:
    """A server without TLS."""
    with post_office() as office:
        yield office


def config(port: int, **fields: Any) -> MailConfig:
    """A sink's config for a server on this machine."""
    plain = {"host": "127.0.0.1", "port": port, "tls": "none", **ADDRESSES}
    return MailConfig.model_validate({**plain, **fields})


def sink_to(office: PostOffice, read: ReadsFile = no_file, **fields: Any) -> MailSink:
    """A sink that sends to it."""
    return config(office.port, **fields).build(SinkContext(SITE, read=read))


class TestContract(SinkContract):
    """What it shares with every sink."""

    @pytest.fixture(autouse=True)
    def _office(self, office: PostOffice) -> None:
        self.office = office

    def built(self) -> Sink:
        """A sink that sends to the server."""
        return sink_to(self.office)

    def received(self) -> list[str]:
        """What the server accepted."""
        return self.office.ids

    def fail(self) -> None:
        """Let it be full."""
        self.office.always = "452 4.2.2 mailbox full"

    def heal(self) -> None:
        """Let it have room again."""
        self.office.always = None


def test_an_event_is_a_readable_mail_with_its_picture(office: PostOffice) -> None:
    """What happened is its subject; a picture that is gone is said to be."""
    pictures = {"door/1.jpg": b"\xff\xd8picture"}
    event = replace(an_event(1), media=("door/1.jpg", "door/2.jpg"), data={"direction": "in"})
    sink_to(office, pictures.get, to=["a@example.org", "b@example.org"]).send([event])
    assert office.receivers == ["a@example.org", "b@example.org"]
    assert [mail["To"] for mail in office.mails] == office.receivers
    mail = office.mails[0]
    assert mail["Subject"] == "Shop 12: door footfall single"
    assert mail["From"] == "Shop 12 <shop@example.org>"
    assert mail["Message-ID"] == f"<{event.record_id}@example.org>"
    body = mail.get_body()
    assert body is not None
    assert "door footfall single direction=in" in body.get_content()
    assert "Without these pictures, as they are gone or too many: 1" in body.get_content()
    assert [one.get_content() for one in mail.iter_attachments()] == [b"\xff\xd8picture"]


def test_a_report_is_attached(office: PostOffice) -> None:
    """In a mail of its own, between the events."""
    content = b"<!doctype html>\n<p>gr\xc3\xbcn</p>\n"
    sink = sink_to(office, {REPORTED.media[0]: content}.get, subject="[{site}] {title}")
    sink.send([an_event(1), an_event(2), REPORTED, an_event(3)])
    assert office.ids == [
        one.record_id for one in (an_event(1), an_event(2), REPORTED, an_event(3))
    ]
    assert len(office.mails) == 3
    report = office.mails[1]
    assert report["Subject"] == "[Grüner Markt] weekly, Week 47"
    attached = next(iter(report.iter_attachments()))
    assert attached.get_filename() == "weekly-2026-W47.html"
    assert attached.get_content_type() == "text/html"
    assert attached.get_payload(decode=True) == content


def test_a_report_whose_file_is_gone_is_not_tried_again(office: PostOffice) -> None:
    """A file that cannot be read just now is."""
    with pytest.raises(SinkError, match="is gone from the media folder") as gone:
        sink_to(office).send([REPORTED])
    assert not gone.value.retryable

    def fails(_: str) -> bytes | None:
        raise StoreError("the disk is away")

    with pytest.raises(SinkError, match="the disk is away") as away:
        sink_to(office, fails).send([REPORTED])
    assert away.value.retryable


@pytest.mark.parametrize(
    ("answer", "retryable"), [("450 4.2.1 busy", True), ("550 5.1.1 no", False)]
)
def test_a_refused_receiver_keeps_nobody_else_from_it(
    office: PostOffice, answer: str, retryable: bool
) -> None:
    """And when it is sent again, only who has not got it gets it."""
    office.refused["b@example.org"] = answer
    sink = sink_to(office, to=["a@example.org", "b@example.org", "c@example.org"])
    with pytest.raises(SinkError, match=f"for b@example.org {answer}") as caught:
        sink.send([an_event(1)])
    assert caught.value.retryable is retryable
    assert office.receivers == ["a@example.org", "c@example.org"]
    office.refused.clear()
    sink.send([an_event(1), an_event(2)])
    got = {name: office.receivers.count(f"{name}@example.org") for name in "abc"}
    assert got == {"a": 2, "b": 1, "c": 2}
    assert office.ids.count(an_event(1).record_id) == 3


def test_a_mail_refused_for_good_is_not_tried_again(office: PostOffice) -> None:
    """With the server's words."""
    office.always = "554 5.7.1 looks like spam"
    with pytest.raises(SinkError, match=r"554 5\.7\.1 looks like spam") as caught:
        sink_to(office).send([an_event(1)])
    assert not caught.value.retryable


CERTIFICATE = Path(__file__).with_name("certificate.pem")


@pytest.fixture
def tls() -> ssl.SSLContext:
    """A server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


@pytest.mark.parametrize("kind", ["starttls", "tls"])
def test_mail_goes_over_tls_after_a_login(tls: ssl.SSLContext, kind: str) -> None:
    """A wrong password keeps the event and is not shown; an unknown authority is refused."""
    known: dict[str, Any] = {
        "tls": kind,
        "ca": str(CERTIFICATE),
        "user": "shop",
        "password": "s3cret-word",
    }
    with post_office(tls, begins_with_tls=kind == "tls", logs_in=True) as office:
        sink_to(office, **known).send([an_event(1)])
        assert office.ids == [an_event(1).record_id]
        wrong = {**known, "password": "wr0ng-word"}
        with pytest.raises(SinkError, match="refuses the login") as caught:
            sink_to(office, **wrong).send([an_event(2)])
        assert caught.value.retryable
        assert "wr0ng" not in f"{caught.value} {config(1, **wrong)!r}"
        with pytest.raises(SinkError, match="a certificate that is not trusted"):
            sink_to(office, tls=kind).send([an_event(2)])
        assert office.ids == [an_event(1).record_id]


def test_starttls_is_insisted_on(office: PostOffice) -> None:
    """A server without it, or somebody between, gets nothing."""
    with pytest.raises(SinkError, match="does not offer STARTTLS"):
        sink_to(office, tls="starttls").send([an_event(1)])
    assert office.mails == []


def test_a_server_that_says_nothing_is_given_up(office: PostOffice) -> None:
    """After `timeout`, whether it is silent, drips letters or is not there."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = config(silent.getsockname()[1], timeout="200ms").build(SinkContext(SITE))
        with pytest.raises(SinkError, match="does not answer") as caught:
            sink.send([an_event(1)])
        assert caught.value.retryable
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def drip() -> None:
            link, _ = server.accept()
            with link:
                while not over.wait(0.02):
                    try:
                        link.sendall(b"2")
                    except OSError:
                        return

        dripping = threading.Thread(target=drip)
        dripping.start()
        sink = config(server.getsockname()[1], timeout="300ms").build(SinkContext(SITE))
        with pytest.raises(SinkError, match=r"does not answer within 0\.3 s"):
            sink.send([an_event(1)])
        over.set()
        dripping.join(patience(5))
        assert not dripping.is_alive()
    with pytest.raises(SinkError, match="cannot be reached"):
        config(9).build(SinkContext(SITE)).send([an_event(1)])


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"to": []}, "at least 1"),
        ({"to": "boss"}, "is not an address"),
        ({"sender": "shop@example.org\r\nBcc: x@y.z"}, "is not an address"),
        ({"host": "smtp://example.org"}, "is not a host"),
        ({"subject": "{camera}"}, "{camera} is not known"),
        ({"user": "shop"}, "belong together"),
        ({"host": "example.org", "user": "a", "password": "b"}, "in the clear"),
    ],
)
def test_what_cannot_work_is_refused(fields: dict[str, Any], sentence: str) -> None:
    """With the way out."""
    with pytest.raises(ValidationError) as caught:
        config(25, **fields)
    assert sentence in str(caught.value)
