"""Pictures and clips travel with a webhook's events, and what is not there is said."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from email import policy
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.sinks.webhook import WebhookConfig, WebhookSink
from connectors.stores.sql import SqlStore
from pipeline.core.errors import SinkError
from pipeline.core.events import Event, to_cloudevent
from pipeline.core.sinks import SinkContext
from pipeline.core.store import Commit
from pipeline.delivery import Route, SinkLane
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock
from tests.connectors.sinks.media import (
    SITE,
    clip_name,
    context_with,
    jpeg,
    picture_name,
    side_of,
    with_media,
)
from tests.connectors.sinks.services import Posted, RefusedError, Stub, anything, service
from tests.contracts.event_tools import an_event, odd_events

PICTURE = jpeg(640, 360)
FILES = {picture_name(): PICTURE, clip_name(): b"\x00\x01video\r\n--\n"}


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A server that takes anything."""
    with service(anything) as stub:
        yield stub


def sink_to(stub: Stub, context: SinkContext | None = None, **fields: Any) -> WebhookSink:
    """A sink that sends there."""
    config = WebhookConfig.model_validate({"url": f"{stub.url}/hook", **fields})
    return config.build(context or context_with(FILES))


def sent(stub: Stub, event: Event, context: SinkContext | None = None, **fields: Any) -> Posted:
    """What arrives of one event."""
    sink = sink_to(stub, context, **fields)
    try:
        sink.send([event])
    finally:
        sink.close()
    return stub.accepted[-1]


def test_nothing_is_sent_along_unless_it_is_asked_for(stub: Stub) -> None:
    """The event is what it always was."""
    assert sent(stub, with_media()).json() == to_cloudevent(with_media(), SITE)


def test_a_form_has_the_event_and_its_files(stub: Stub) -> None:
    """Byte by byte, also where a file looks like a form's own lines."""
    posted = sent(stub, with_media(), media="multipart", clips=True)
    parts = posted.parts()
    assert list(parts) == ["event", "picture", "clip"]
    assert parts["picture"].content == PICTURE
    assert parts["picture"].content_type == "image/jpeg"
    assert parts["picture"].filename == f"{an_event(1).record_id}.jpg"
    assert parts["clip"].content == FILES[clip_name()]
    assert parts["event"].content_type == "application/cloudevents+json"
    told = json.loads(parts["event"].text)
    assert [(one["kind"], one["part"]) for one in told["data"]["files"]] == [
        ("picture", "picture"),
        ("clip", "clip"),
    ]
    assert "files_missing" not in told["data"]


def test_any_event_can_be_a_form(stub: Stub) -> None:
    """Whatever letters are in it."""
    for event in odd_events():
        parts = sent(stub, event, media="multipart").parts()
        expected = to_cloudevent(event, SITE)
        told = json.loads(parts["event"].text)
        if event.media:
            missing = told["data"].pop("files_missing")
            assert "not there in time" in missing["picture"]
        assert told == expected


def test_files_can_be_in_the_json(stub: Stub) -> None:
    """As base64, in a batch too."""
    told = sent(stub, with_media(), media="base64", clips=True).json()
    picture, clip = told["data"]["files"]
    assert base64.b64decode(picture["content_base64"]) == PICTURE
    assert (picture["kind"], picture["content_type"]) == ("picture", "image/jpeg")
    assert base64.b64decode(clip["content_base64"]) == FILES[clip_name()]
    sink = sink_to(stub, media="base64", batch=True)
    sink.send([with_media(1), an_event(2)])
    sink.close()
    first, second = stub.accepted[-1].json()
    assert base64.b64decode(first["data"]["files"][0]["content_base64"]) == PICTURE
    assert second == to_cloudevent(an_event(2), SITE)
    config = WebhookConfig.model_validate({"url": stub.url, "media": "base64", "batch": True})
    assert config.at_once == 10


def test_files_can_be_links(stub: Stub) -> None:
    """Also to a clip that is not there yet; without anything that serves them there is none."""
    context = context_with({}, base="https://shop.example/media/t")
    told = sent(stub, with_media(), context, media="link", clips=True).json()
    name = an_event(1).record_id
    assert told["data"]["files"] == [
        {
            "kind": kind,
            "name": f"{name}.{suffix}",
            "link": f"https://shop.example/media/t/{name}.{suffix}",
        }
        for kind, suffix in (("picture", "jpg"), ("clip", "mp4"))
    ]
    told = sent(stub, with_media(), context, media="link", pictures=False).json()
    assert "files" not in told["data"]
    assert "files" not in sent(stub, with_media(), media="link").json()["data"]


def test_what_is_not_there_is_said(stub: Stub) -> None:
    """The event is sent without, after a bounded wait."""
    clock = ManualClock(with_media().at)
    context = SinkContext(SITE, clock=clock)
    posted = sent(
        stub, with_media(), context, media="multipart", clips=True, clip_wait="5s"
    )  # fmt: skip
    assert clock.monotonic() == pytest.approx(7)
    assert list(posted.parts()) == ["event"]
    missing = json.loads(posted.parts()["event"].text)["data"]["files_missing"]
    assert missing == {
        "picture": "the picture was not there in time, or could not be read",
        "clip": "the clip was not ready when this was sent, or is too large to be sent along",
    }
    said = replace(an_event(2), data={"snapshot_missing": "the picture could not be stored"})
    told = sent(stub, said, media="base64").json()
    assert told["data"]["files_missing"] == {"picture": "the picture could not be stored"}
    assert "files_missing" not in sent(stub, an_event(3), media="base64").json()["data"]


def test_a_large_picture_is_made_smaller(stub: Stub) -> None:
    """As small as the file asks for."""
    context = context_with({picture_name(): jpeg(1920, 1080, noisy=True)})
    fields = {"media": "multipart", "max_side": 800, "max_picture": "100kB"}
    picture = sent(stub, with_media(), context, **fields).parts()["picture"].content
    assert side_of(picture) <= 800
    assert len(picture) <= 100_000


def test_what_a_server_refuses_as_too_large_is_sent_smaller_and_then_without() -> None:
    """At once, and nothing is lost."""

    def small(posted: Posted) -> int:
        if len(posted.body) > most:
            raise RefusedError(413, "too large")
        return 200

    context = context_with({picture_name(): jpeg(1920, 1080, noisy=True)})
    most = 250_000
    with service(small) as stub:
        picture = sent(stub, with_media(), context, media="multipart").parts()["picture"]
        assert side_of(picture.content) <= 640
        assert len(stub.posted) == 2
        most = 10_000
        parts = sent(stub, with_media(), context, media="multipart").parts()
        assert list(parts) == ["event"]
        told = json.loads(parts["event"].text)
        assert told["data"]["files_missing"] == {
            "files": "the server refuses its files, so it is sent without"
        }
        most = 10
        with pytest.raises(SinkError, match="answers 413") as caught:
            sent(stub, with_media(), context, media="multipart")
        assert not caught.value.retryable


def test_a_retry_sends_the_same_bytes(stub: Stub) -> None:
    """Although the picture has come meanwhile."""
    files: dict[str, bytes] = {}
    sink = sink_to(stub, context_with(files), media="multipart")
    stub.refusals = [RefusedError(503), RefusedError(429, Retry_After="2.5")]
    for seconds in (None, 2.5):
        with pytest.raises(SinkError) as caught:
            sink.send([with_media()])
        assert caught.value.retryable
        assert caught.value.retry_after_s == seconds
        files[picture_name()] = PICTURE
    sink.send([with_media()])
    first, second, third = stub.posted
    assert first.body == second.body == third.body
    assert first.headers["webhook-id"] == third.headers["webhook-id"] == an_event(1).record_id
    sink.send([with_media()])
    assert "picture" in stub.accepted[-1].parts()
    sink.close()


def test_a_body_is_worded_by_the_file(stub: Stub) -> None:
    """Method, content type, headers and body; JSON is valid whatever an event says."""
    odd = replace(with_media(), camera='the "door"\n', rule="Tür")
    posted = sent(
        stub,
        odd,
        method="PUT",
        body='{"what": {{ camera | json }}, "way": {{ data.direction | json }}}',
        headers={"X-Rule": "{{ rule }} {{ camera }}", "Authorization": "Bearer t0ken"},
    )
    assert posted.method == "PUT"
    assert posted.headers["content-type"] == "application/json"
    assert posted.json() == {"what": 'the "door"\n', "way": "in"}
    assert posted.header("X-Rule") == 'Tür the "door"\\n'
    assert posted.headers["authorization"] == "Bearer t0ken"
    assert posted.headers["webhook-id"] == odd.record_id
    posted = sent(stub, with_media(), body="{{ camera }}: {{ rule }}", content_type="text/plain")
    assert posted.body == b"door: footfall"
    fields: dict[str, Any] = {
        "body": '{"image": {{ picture_base64 | json }}, "note": {{ picture_note | json }}}',
        "media": "base64",
    }
    told = sent(stub, with_media(), **fields).json()
    assert (base64.b64decode(told["image"]), told["note"]) == (PICTURE, "")
    told = sent(stub, with_media(), context_with({}), **fields).json()
    assert told["image"] is None
    assert "not there in time" in told["note"]
    fields = {"body": "{{ text }}", "media": "multipart", "content_type": "text/plain"}
    parts = sent(stub, with_media(), **fields).parts()
    assert parts["event"].text.endswith('direction=in clip={"reference":"' + clip_name() + '"}')
    assert parts["picture"].content == PICTURE


def test_braces_can_be_part_of_a_password(stub: Stub) -> None:
    """Between raw and endraw, or where they open nothing."""
    headers = {"X-A": "{% raw %}a{{b}}{% endraw %}{{ camera }}", "X-B": "{#}}{b", "X-C": "a}}"}
    posted = sent(stub, with_media(), headers=headers)
    assert [posted.headers[name] for name in ("x-a", "x-b", "x-c")] == [
        "a{{b}}door",
        "{#}}{b",
        "a}}",
    ]


def test_an_event_that_a_template_cannot_word_is_a_dead_letter(stub: Stub) -> None:
    """The sentence says what is missing, and shows nothing of a header."""
    with pytest.raises(SinkError, match=r"no `data\.zone`; `data` of this event has line"):
        sent(stub, with_media(), body='{"zone": {{ data.zone | json }}}')
    with pytest.raises(SinkError, match="does not give JSON") as caught:
        sent(stub, with_media(), body='{"zone": {{ camera }}}')
    assert not caught.value.retryable
    with pytest.raises(SinkError, match="header 'X-Key' asks for what the event has not") as caught:
        sent(stub, with_media(), headers={"X-Key": "s3cret-key {{ data.s3cret }}"})
    assert not caught.value.retryable
    assert "s3cret" not in str(caught.value)
    assert stub.posted == []


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"media": "multipart", "batch": True}, "a `batch` is no form"),
        ({"media": "base64", "batch": True, "clips": True}, "too large for a `batch`"),
        ({"body": "{}", "batch": True}, "`batch` sends CloudEvents"),
        ({"content_type": "text/plain"}, "there is no `body`"),
        ({"body": "x", "content_type": "no type"}, "'no type' is no media type"),
        ({"body": "x", "content_type": "text/plain", "media": "base64"}, "for bodies in JSON"),
        ({"body": "{{ camera"}, "unexpected end of template"),
        ({"headers": {"X-Key": "{{ s3cret"}}, "header 'X-Key' has {{ or {% in it"),
        ({"clip_wait": "2m"}, "at most 1m"),
        ({"max_side": 3}, "greater than or equal to 64"),
        ({"media": "s3cret"}, "'none', 'link', 'base64' or 'multipart'"),
        ({"title": "x"}, "`title` is for `preset: ...`; without a preset, write `body`"),
        ({"preset": "slack", "chat": "1"}, "`chat` is for `preset: telegram`"),
        ({"preset": "slack", "severity": "info"}, "`severity` is for `preset: pagerduty`"),
        ({"preset": "slack", "body": "x"}, "a `preset` has a body of its own"),
        ({"preset": "slack", "batch": True}, "sends each event by itself"),
        ({"preset": "slack", "method": "PUT"}, "knows its method"),
        ({"preset": "slack", "media": "multipart"}, "only links to them; write `media: link`"),
        ({"preset": "telegram"}, "needs `chat`"),
        ({"preset": "pagerduty"}, "needs `key`"),
        ({"preset": "ntfy", "url": "https://ntfy.sh/?s3cret"}, "needs a topic in `url`"),
        ({"preset": "ntfy", "priority": 9}, "less than or equal to 5"),
    ],
)
def test_what_does_not_go_together_is_refused(fields: dict[str, Any], sentence: str) -> None:
    """With the way out, and without a secret."""
    with pytest.raises(ValidationError, match="(?s)" + sentence.replace("(", r"\(")) as caught:
        WebhookConfig.model_validate({"url": "https://h/s3cret", **fields})
    assert "s3cret" not in str(caught.value)


def test_an_outage_in_the_middle_loses_no_picture(tmp_path: Path) -> None:
    """A lane goes on where it was: each event arrives with its own picture, none twice."""
    files = {picture_name(number): jpeg(64 + 16 * number, 64) for number in range(1, 9)}
    clock = ManualClock(an_event(1).at + 1)
    context = SinkContext(SITE, clock=clock, read=files.get)
    store = SqlStore(f"sqlite:///{tmp_path}/moonwatch.db", clock)
    with service(anything) as stub:
        sink = sink_to(stub, context, media="multipart")
        lane = SinkLane(Route("hook", at_once=1), sink, store, clock, Metrics())
        store.register_sinks(["hook"])
        store.commit(Commit(events=[with_media(number) for number in range(1, 9)]))
        stub.refusals = [
            RefusedError(503) if number % 3 else RefusedError(429, Retry_After="7")
            for number in range(1, 8)
        ]
        for _ in range(40):
            clock.advance(lane.step())
        lane.close()
        got = [(posted.headers["webhook-id"], posted.parts()) for posted in stub.accepted]
    assert [name for name, _ in got] == [an_event(number).record_id for number in range(1, 9)]
    assert [parts["picture"].content for _, parts in got] == list(files.values())
    assert store.undelivered("hook") == []
    store.close()


def test_the_form_is_one_that_others_read_too(stub: Stub) -> None:
    """Its head names the boundary that its body has, and its lines end as HTTP wants them."""
    posted = sent(stub, with_media(), media="multipart")
    head = b"Content-Type: " + posted.headers["content-type"].encode() + b"\r\n\r\n"
    message = BytesParser(policy=policy.HTTP).parsebytes(head + posted.body)
    assert message.defects == []
    boundary = message.get_boundary()
    assert boundary is not None
    assert posted.body.startswith(f"--{boundary}\r\n".encode())
    assert posted.body.endswith(f"\r\n--{boundary}--\r\n".encode())
