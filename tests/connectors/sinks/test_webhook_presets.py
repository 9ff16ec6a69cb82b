"""Each preset is accepted by a server that holds it against the documented rules of its service."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from connectors.sinks._presets import wait_asked_for
from connectors.sinks.webhook import WebhookConfig
from pipeline.core.errors import SinkError
from pipeline.core.events import Event, JsonValue, Subject, timestamp
from pipeline.core.sinks import SinkContext
from tests.connectors.sinks import services
from tests.connectors.sinks.media import clip_name, context_with, jpeg, picture_name, with_media
from tests.connectors.sinks.services import Posted, RefusedError, Stub, service
from tests.contracts.event_tools import an_event, odd_events

PICTURE = jpeg(640, 360)
FILES = {picture_name(): PICTURE, clip_name(): b"video"}
KEY = "0123456789abcdef0123456789abcdef"
WORDS = "long & <b>*words*</b> \U0001f6a8 " * 500
LONG = replace(with_media(), rule="r" * 300, data={"words": WORDS})
LASTING = replace(
    with_media(),
    type="occupancy",
    phase="start",
    data={"zone": "till", "count": 5, "since": timestamp(an_event(1).at - 10)},
)
PATHS = {
    "slack": "/services/T0/B0/s3cretT0ken",
    "discord": "/api/webhooks/1/s3cretT0ken",
    "teams": "/workflows/1/triggers/manual?sig=s3cretT0ken",
    "ntfy": "/s3cretT0ken",
    "telegram": "/bot1:s3cretT0ken",
    "pagerduty": "/v2/enqueue",
    "frigate": "/s3cretT0ken",
}
FIELDS: dict[str, dict[str, Any]] = {
    "ntfy": {"priority": 4, "tags": ["rotating_light", "tür"]},
    "telegram": {"chat": "-100123"},
    "pagerduty": {"key": KEY, "severity": "critical"},
}


def config_of(stub: Stub, preset: str, **fields: Any) -> WebhookConfig:
    """A webhook to the service."""
    url = stub.url + PATHS[preset]
    given = {"url": url, "preset": preset, **FIELDS.get(preset, {}), **fields}
    return WebhookConfig.model_validate(given)


def sent(stub: Stub, preset: str, event: Event, base: str | None = None, **fields: Any) -> Posted:
    """What the service accepted of an event."""
    context = context_with(FILES, base=base)
    sink = config_of(stub, preset, **fields).build(context)
    try:
        sink.send([event])
    finally:
        sink.close()
    assert stub.why_not == []
    return stub.accepted[-1]


@pytest.mark.parametrize("preset", PATHS)
def test_every_event_is_accepted(preset: str) -> None:
    """Short and long ones, with odd letters, with and without pictures, clips, links."""
    events = [with_media(), an_event(2), LONG, LASTING, replace(LASTING, phase="end")]
    events += odd_events()
    if preset == "teams":  # a card's pictures have to be behind https
        bases = [None, "https://shop.example/media/t"]
    else:
        bases = [None, "http://10.0.0.7:9100/media/t", "https://shop.example/media/t"]
    with service(getattr(services, preset)) as stub:
        for base in bases:
            for fields in ({}, {"media": "none"}, {"media": "link"}, {"clips": True}):
                sink = config_of(stub, preset, **fields).build(context_with(FILES, base=base))
                sink.send(events)
                sink.close()
        assert stub.why_not == []
        assert len(stub.accepted) == len(events) * len(bases) * 4


def test_slack_gets_text_with_links() -> None:
    """Its own signs are escaped."""
    event = replace(with_media(), camera="a<b>&c")
    with service(services.slack) as stub:
        told = sent(
            stub, "slack", event, "https://shop.example/t", title="{{ camera }}", text="{{ rule }}"
        ).json()
    name = f"{event.record_id}.jpg"
    link = f"<https://shop.example/t/{name}|Picture>"
    section = told["blocks"][0]["text"]["text"]
    assert section == f"*a&lt;b&gt;&amp;c*\nfootfall\n{link}"


def test_discord_gets_a_form_with_its_files() -> None:
    """Nobody is called by what a text says, and its signs do not format it."""
    event = replace(with_media(), camera="front_door", rule="@everyone")
    with service(services.discord) as stub:
        parts = sent(stub, "discord", event, clips=True, text="*{{ rule }}*").parts()
    assert parts["files[0]"].content == PICTURE
    assert parts["files[1]"].content == b"video"
    content = json.loads(parts["payload_json"].text)
    assert content["content"] == "front\\_door: @everyone\n\\*@everyone\\*"


def test_teams_gets_a_card() -> None:
    """With the picture in it, and buttons."""
    with service(services.teams) as stub:
        told = sent(stub, "teams", with_media(), "https://shop.example/t", clips=True).json()
    card = told["attachments"][0]["content"]
    assert [item["type"] for item in card["body"]] == ["TextBlock", "TextBlock", "Image"]
    assert [action["title"] for action in card["actions"]] == ["Picture", "Clip"]


def test_ntfy_gets_the_picture_as_the_body() -> None:
    """And its words in headers, umlauts too; without a picture the words are the body."""
    event = replace(with_media(), camera="Tür")
    with service(services.ntfy) as stub:
        posted = sent(stub, "ntfy", event, text="{{ camera }}\nzwei")
        assert (posted.method, posted.body) == ("PUT", PICTURE)
        assert posted.headers["content-type"] == "image/jpeg"
        assert posted.header("title") == "Tür: footfall"
        assert posted.header("message") == "Tür\\nzwei"
        assert posted.header("tags") == "rotating_light,tür"
        assert (posted.headers["priority"], posted.headers["filename"]) == (
            "4",
            f"{event.record_id}.jpg",
        )
        posted = sent(
            stub, "ntfy", event, "https://s.example", media="link", headers={"TITLE": "x"}
        )
        assert posted.headers["click"] == f"https://s.example/{event.record_id}.jpg"
        assert posted.header("title") == "x"
        assert posted.body.decode().startswith("23:13:21 person #7, line step")


def test_telegram_gets_a_photo_or_a_video() -> None:
    """By the method for it; the path ends with it."""
    with service(services.telegram) as stub:
        posted = sent(stub, "telegram", with_media(), text="{{ rule }}")
        assert posted.path == "/bot1:s3cretT0ken/sendPhoto"
        parts = posted.parts()
        assert parts["photo"].content == PICTURE
        assert (parts["chat_id"].text, parts["caption"].text) == (
            "-100123",
            "door: footfall\nfootfall",
        )
        posted = sent(stub, "telegram", with_media(), clips=True)
        assert posted.path.endswith("/sendVideo")
        assert posted.parts()["video"].content == b"video"
        posted = sent(stub, "telegram", an_event(2))
        assert posted.path.endswith("/sendMessage")
        assert posted.json()["chat_id"] == "-100123"


def test_a_picture_that_a_service_refuses_is_left_out() -> None:
    """Telegram answers 400 for it; the message comes without, and says so."""

    def no_photos(posted: Posted) -> int:
        if "sendPhoto" in posted.path:
            raise RefusedError(400, '{"description": "PHOTO_INVALID_DIMENSIONS"}')
        return services.telegram(posted)

    with service(no_photos) as stub:
        sink = config_of(stub, "telegram").build(context_with(FILES))
        sink.send([with_media()])
        sink.close()
        (posted,) = stub.accepted
    assert posted.json()["text"].endswith("(the server refuses its files, so it is sent without)")
    assert len(stub.posted) == 3


def test_pagerduty_gets_one_alert_a_happening() -> None:
    """Its end resolves it."""
    with service(services.pagerduty) as stub:
        begun = sent(stub, "pagerduty", LASTING, "https://shop.example/t").json()
        ended = sent(stub, "pagerduty", replace(LASTING, phase="end")).json()
    assert (begun["event_action"], ended["event_action"]) == ("trigger", "resolve")
    assert begun["dedup_key"] == ended["dedup_key"] == LASTING.id
    payload = begun["payload"]
    assert (payload["severity"], payload["source"], payload["class"]) == (
        "critical",
        "Shop 12/door",
        "occupancy",
    )
    assert payload["custom_details"]["count"] == 5
    assert begun["images"][0]["src"] == f"https://shop.example/t/{LASTING.id}.jpg"
    assert "payload" not in ended


def test_frigate_like_events_begin_and_end() -> None:
    """With one id, and the time of the beginning."""
    with service(services.frigate) as stub:
        first = sent(stub, "frigate", LASTING).json()
        last = sent(stub, "frigate", replace(LASTING, phase="end", at=LASTING.at + 60)).json()
    assert (first["type"], last["type"]) == ("new", "end")
    assert first["after"]["id"] == last["after"]["id"]
    assert first["after"]["start_time"] == last["after"]["start_time"] == LASTING.at - 10
    assert (first["after"]["end_time"], last["after"]["end_time"]) == (None, LASTING.at + 60)
    assert first["after"]["label"] == "person"
    assert first["after"]["current_zones"] == ["till"]
    assert last["after"]["current_zones"] == []


def test_what_is_missing_is_in_the_message() -> None:
    """So that nobody waits for a picture."""
    event = replace(an_event(1), data={"snapshot_missing": "the picture could not be stored"})
    with service(services.ntfy) as stub:
        posted = sent(stub, "ntfy", event, text="Somebody")
    assert posted.body.decode() == "Somebody\n(the picture could not be stored)"


def test_a_report_is_a_document() -> None:
    """Where a service takes files."""
    data: dict[str, JsonValue] = {
        "site": "Shop",
        "file": "week 47.pdf",
        "file_type": "application/pdf",
        "size": 3,
    }
    report = Event("r" * 26, "report", "single", "", "weekly", an_event(1).at, data=data,
                   media=("reports/x.pdf",))  # fmt: skip
    context = SinkContext("Shop", read={"reports/x.pdf": b"PDF"}.get)
    with service(services.telegram) as stub:
        sink = config_of(stub, "telegram").build(context)
        sink.send([report])
        sink.close()
        posted = stub.accepted[-1]
    assert posted.path.endswith("/sendDocument")
    part = posted.parts()["document"]
    assert (part.content, part.filename) == (b"PDF", "week_47.pdf")
    with service(services.teams) as stub:
        told = sent(stub, "teams", report, "https://shop.example/t").json()
    card = told["attachments"][0]["content"]
    assert card["actions"] == [
        {"type": "Action.OpenUrl", "title": "Report", "url": "https://shop.example/t/x.pdf"}
    ]


@pytest.mark.parametrize(
    ("preset", "refusal", "seconds"),
    [
        ("slack", RefusedError(429, "rate_limited", Retry_After="30"), 30.0),
        (
            "discord",
            RefusedError(429, '{"message": "slow", "retry_after": 64.57}', Retry_After="65"),
            65.0,
        ),
        ("discord", RefusedError(429, '{"retry_after": 0.3, "global": false}'), 0.3),
        ("teams", RefusedError(429, "{}", Retry_After="12"), 12.0),
        (
            "telegram",
            RefusedError(429, '{"ok": false, "parameters": {"retry_after": 35}}'),
            35.0,
        ),
        ("ntfy", RefusedError(429, '{"code": 42901, "http": 429}'), None),
        ("pagerduty", RefusedError(429, ""), None),
    ],
)
def test_a_service_that_asks_to_wait_is_heard(
    preset: str, refusal: RefusedError, seconds: float | None
) -> None:
    """In the header or in the body, wherever it says it."""
    with service(getattr(services, preset)) as stub:
        stub.refusals = [refusal]
        sink = config_of(stub, preset).build(context_with(FILES))
        with pytest.raises(SinkError, match="answers 429") as caught:
            sink.send([with_media()])
        assert caught.value.retryable
        assert caught.value.retry_after_s == seconds
        sink.send([with_media()])
        sink.close()
        first, second = stub.posted
    assert first.body == second.body
    assert len(stub.accepted) == 1


@pytest.mark.parametrize(
    "said",
    ["", "[]", "nonsense", '{"retry_after": "soon"}', '{"retry_after": -1}', '{"retry_after": 1e9}',
     '{"parameters": 3}', "[" * 100_000],
)  # fmt: skip
def test_nonsense_is_not_heard(said: str) -> None:
    """Whatever a body says."""
    assert wait_asked_for(said.encode()) is None


@pytest.mark.parametrize("preset", PATHS)
def test_no_error_shows_a_secret(preset: str) -> None:
    """Neither the address nor a key, wherever a service answers with it."""
    with service(getattr(services, preset)) as stub:
        stub.refusals = [RefusedError(403, f"s3cretT0ken {KEY}")]
        config = config_of(stub, preset)
        sink = config.build(context_with(FILES))
        with pytest.raises(SinkError) as caught:
            sink.send([an_event(1)])
        sink.close()
    shown = f"{caught.value!r} {caught.value} {config!r} {config.model_dump(mode='json')}"
    assert re.search(rf"s3cretT0ken|{KEY}", shown) is None


def test_an_event_without_a_label_has_one_for_frigate() -> None:
    """Its type."""
    with service(services.frigate) as stub:
        told = sent(stub, "frigate", replace(an_event(1), subject=Subject(""))).json()
    assert told["after"]["label"] == "line_crossing"
