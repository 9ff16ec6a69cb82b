"""A phone gets one message a happening, few at a time, and nothing is lost; on a real server."""

import logging
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter, ValidationError

from connectors.sinks import SinkConfig
from connectors.sinks.notify import NotifyConfig, NotifySink
from connectors.stores.sql import SqlStore
from pipeline.core.errors import SinkError, StoreError
from pipeline.core.events import REPORT, Event, event_id
from pipeline.core.sinks import HELD_BACK, HeldBack, NotesInMemory, Sink, SinkContext, TellsLater
from pipeline.telemetry.logs import set_up
from pipeline.testing import ManualClock
from tests.connectors.sinks.media import jpeg, picture_name, side_of, with_media
from tests.connectors.sinks.phone import CLOSE, HANG, Phone, phone_on
from tests.connectors.sinks.post_office import post_office
from tests.connectors.sinks.receiver import receiving
from tests.contracts.event_tools import an_event, odd_events
from tests.contracts.sinks import SITE, SinkContract
from tests.redis_server import free_port

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def phone() -> Iterator[Phone]:
    """One that takes everything."""
    with phone_on() as phone:
        yield phone


def moment(text: str) -> float:
    """A time on Berlin's clock."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


class Guard:
    """A guard's sink, a clock, and a memory that survives the sink."""

    def __init__(self, phone: Phone, notes: Any = None, at: str = "2026-11-27T10:00") -> None:
        self.phone = phone
        self.clock = ManualClock(moment(at))
        self.notes = NotesInMemory() if notes is None else notes
        self.files: dict[str, bytes] = {}
        self.link: str | None = None

    def sink(self, **fields: Any) -> NotifySink:
        """One as an operator writes it, as it is after a start."""
        given = {"type": "notify", "url": self.phone.json_url, "body": "{{ id }}", **fields}
        context = SinkContext(
            SITE,
            name="guard",
            timezone="Europe/Berlin",
            clock=self.clock,
            read=self.files.get,
            link=lambda name: self.link and f"{self.link}/{name}",
            notes=self.notes,
        )
        return NotifyConfig.model_validate(given).build(context)

    def figures(self) -> HeldBack:
        """What anybody can read of it."""
        return HeldBack.read(self.notes.note(HELD_BACK))


@pytest.fixture
def guard(phone: Phone) -> Guard:
    """At ten in the morning."""
    return Guard(phone)


def health(camera: str, state: str, at: float, *, since: float | None = None) -> Event:
    """Trouble with a camera that begins, or ends if it has gone on since some time."""
    began = at if since is None else since
    return Event(
        event_id(camera, "camera", state, began),
        f"camera_{state}",
        "start" if since is None else "end",
        camera,
        "camera",
        at,
        data={"state": state, "message": "no answer from the camera"},
    )


class TestContract(SinkContract):
    """What it shares with every sink."""

    @pytest.fixture(autouse=True)
    def _phone(self, phone: Phone) -> None:
        self.phone = phone

    def built(self) -> Sink:
        """A sink without limits."""
        return Guard(self.phone).sink(at_most=None, picture=False)

    def received(self) -> list[str]:
        """The ids in the messages."""
        return self.phone.texts

    def fail(self) -> None:
        """Be out of order."""
        self.phone.always = 503

    def heal(self) -> None:
        """Work again."""
        self.phone.always = 200


def test_a_happening_is_told_once(guard: Guard) -> None:
    """Also after a restart, and where it is sent again; its end is a message of its own."""
    start = replace(an_event(1), phase="start")
    end = replace(start, phase="end")
    sink = guard.sink(phases=["start", "single", "end"])
    sink.send([start, start, an_event(2)])
    guard.sink().send([start, an_event(2)])
    guard.sink().send([end, end])
    assert guard.phone.texts == [start.record_id, an_event(2).record_id, end.record_id]


def test_what_could_not_be_noted_is_not_told_again(guard: Guard) -> None:
    """The store is out just after the service accepted a message, and nothing is sent until it
    is back.
    """

    class Broken(NotesInMemory):
        is_broken = False

        def take_down(self, notes: Any, keep_s: float | None = None) -> None:
            if self.is_broken:
                raise StoreError("the disk is full")
            super().take_down(notes, keep_s)

    guard.notes = notes = Broken()
    sink = guard.sink()
    notes.is_broken = True
    for _ in range(3):
        with pytest.raises(StoreError):
            sink.send([an_event(1), an_event(2)])
    assert len(guard.phone.texts) == 1
    notes.is_broken = False
    sink.send([an_event(1), an_event(2)])
    assert guard.phone.texts == [an_event(1).record_id, an_event(2).record_id]


def test_what_exceeds_the_limit_is_told_in_one_message(guard: Guard) -> None:
    """After five minutes, with how many there were at each camera, and none is lost."""
    sink = guard.sink(at_most={"messages": 2, "per": "10m"})
    sink.send([an_event(number) for number in range(1, 12)])
    sink.send([an_event(number, camera="yard") for number in range(20, 25)])
    assert len(guard.phone.texts) == 2
    assert guard.figures() == HeldBack(messages=2, held=14, waiting=14)
    sink.tick()
    assert len(guard.phone.texts) == 2
    guard.clock.advance(299)
    sink.tick()
    assert len(guard.phone.texts) == 2
    guard.clock.advance(1)
    sink.tick()
    sink.tick()
    assert guard.phone.titles[2:] == ["Shop 12: 14 more events"]
    assert guard.phone.texts[2:] == ["and 14 more since 10:00: door 9, yard 5"]
    assert guard.figures() == HeldBack(messages=3, held=14)


def test_the_allowance_comes_back_with_time(guard: Guard) -> None:
    """A message every five minutes, whatever restarts there are; no more than its size at once."""
    limit = {"at_most": {"messages": 2, "per": "10m"}}
    guard.sink(**limit).send([an_event(1), an_event(2), an_event(3)])
    guard.clock.advance(299)
    guard.sink(**limit).send([an_event(4)])
    assert len(guard.phone.texts) == 2
    guard.clock.advance(1)
    guard.sink(**limit).send([an_event(5), an_event(6)])
    assert guard.phone.texts[2:] == [an_event(5).record_id]
    guard.clock.advance(86400)
    guard.sink(**limit).send([an_event(number) for number in range(7, 11)])
    assert guard.phone.texts[3:] == [an_event(7).record_id, an_event(8).record_id]


def test_what_waits_survives_a_restart(guard: Guard) -> None:
    """The digest and when it is due is in the memory before an event counts as delivered."""
    limit = {"at_most": {"messages": 1, "per": "1h"}, "body": "told"}
    guard.sink(**limit).send([an_event(1), an_event(2), an_event(3)])
    guard.clock.advance(300)
    after = guard.sink(**limit)
    after.tick()
    assert guard.phone.texts == ["told", "and 2 more since 10:00: door 2"]


def test_a_digest_has_a_link_to_the_latest_picture(guard: Guard) -> None:
    """Where something serves it."""
    guard.link = "https://shop.example/media"
    sink = guard.sink(at_most={"messages": 1, "per": "1h"}, picture_wait="0s")
    sink.send([with_media(1), with_media(2), with_media(3), an_event(4)])
    guard.clock.advance(300)
    sink.tick()
    assert guard.phone.texts[-1] == (
        f"and 3 more since 10:00: door 3\nhttps://shop.example/media/{picture_name(3)}"
    )


def test_many_cameras_are_counted_not_listed(guard: Guard) -> None:
    """A digest stays short enough for a phone."""
    sink = guard.sink(at_most={"messages": 1, "per": "1h"})
    sink.send([an_event(n, camera=f"camera-{n:03}") for n in range(100)])
    guard.clock.advance(300)
    sink.tick()
    assert guard.phone.texts[-1].endswith("camera-008 1, 91 others 91")


def test_what_is_urgent_is_told_at_once(guard: Guard) -> None:
    """Over the limit and in quiet hours, and without using up what others may send."""
    sink = guard.sink(
        urgent=["intruder", "vault*"],
        at_most={"messages": 1, "per": "1h"},
        quiet=[{"from": "9:00", "to": "11:00"}],
    )
    urgent = [an_event(1, rule="intruder"), an_event(2, camera="vault-1"), an_event(3)]
    sink.send(urgent)
    assert guard.phone.texts == [urgent[0].record_id, urgent[1].record_id]
    guard.clock.advance(3600)
    sink.send([an_event(4)])
    assert guard.phone.texts[2:] == [an_event(4).record_id]


@pytest.mark.parametrize(
    ("begins", "quiet_until"),
    [
        ("2026-11-27T22:00", "2026-11-28T06:00"),
        ("2026-03-28T22:00", "2026-03-29T06:00"),  # an hour shorter
        ("2026-10-24T22:00", "2026-10-25T06:00"),  # an hour longer
    ],
)
def test_quiet_hours_end_in_one_message(guard: Guard, begins: str, quiet_until: str) -> None:
    """By the site's clock, over midnight, in a night in which the clocks are changed too."""
    sink = guard.sink(quiet=[{"from": "22:00", "to": "6:00"}])
    guard.clock.advance(moment(begins) - guard.clock.now() - 1)
    sink.send([an_event(1)])
    assert guard.phone.texts == [an_event(1).record_id]
    for number in range(2, 6):
        guard.clock.advance(3600)
        sink.send([an_event(number)])
        sink.tick()
    guard.clock.advance(moment(quiet_until) - guard.clock.now() - 1)
    sink.tick()
    assert len(guard.phone.texts) == 1
    guard.clock.advance(1)
    sink.tick()
    assert guard.phone.texts[1:] == ["and 4 more since 22:59: door 4"]
    sink.send([an_event(9)])
    assert guard.phone.texts[2:] == [an_event(9).record_id]


def test_silence_is_counted(guard: Guard, caplog: pytest.LogCaptureFixture) -> None:
    """Hours without a digest: nobody is told then or later, but the log, and who asks."""
    caplog.set_level(logging.INFO)
    sink = guard.sink(quiet=[{"from": "9:00", "to": "11:00", "digest": False}])
    sink.send([an_event(1), health("door", "offline", guard.clock.now())])
    guard.clock.advance(2 * 3600)
    sink.send([an_event(1)])
    sink.tick()
    assert guard.phone.texts == []
    assert guard.figures() == HeldBack(silenced=2)
    assert caplog.text.count("nobody is told of what happens between 09:00 and 11:00") == 1


def test_an_outage_is_one_message_and_so_is_its_end(guard: Guard) -> None:
    """Many cameras at once, as with a switch that fails, are told together."""
    sink = guard.sink()
    at = guard.clock.now()
    for name in ("door", "yard", "gate"):
        sink.send([health(name, "offline", at)])
        guard.clock.advance(2)
        sink.tick()
    assert guard.phone.titles == []
    guard.clock.advance(6)
    sink.tick()
    assert guard.phone.titles == ["3 cameras in trouble: offline"]
    assert guard.phone.texts == ["offline since 10:00: door, yard, gate"]
    assert guard.phone.messages[0].kind == "failure"
    guard.clock.advance(300)
    back = guard.clock.now()
    sink.send([health(name, "offline", back, since=at) for name in ("door", "yard")])
    guard.clock.advance(10)
    sink.tick()
    assert guard.phone.texts[1:] == ["no longer offline since 10:05: door, yard"]
    assert guard.phone.messages[1].kind == "success"


def test_one_camera_in_trouble_is_told_with_the_reason(guard: Guard) -> None:
    """And what begins and ends while it is collected is one message."""
    sink = guard.sink()
    at = guard.clock.now()
    sink.send([health("door", "offline", at)])
    guard.clock.advance(10)
    sink.tick()
    assert (guard.phone.titles, guard.phone.texts) == (
        ["door: offline since 10:00"],
        ["no answer from the camera"],
    )
    guard.clock.advance(50)
    later = guard.clock.now()
    sink.send([health("door", "offline", later, since=at), health("door", "offline", later + 1)])
    sink.send([health("door", "offline", later + 2, since=later + 1)])
    guard.clock.advance(10)
    sink.tick()
    assert guard.phone.titles[1:] == ["door: offline from 10:01 to 10:01"]


def test_a_camera_that_comes_and_goes_does_not_ring_all_day(guard: Guard) -> None:
    """Its messages count, and what exceeds the limit is one message when there is room again."""
    sink = guard.sink(at_most={"messages": 1, "per": "1h"})
    for _ in range(20):
        at = guard.clock.now()
        sink.send([health("door", "offline", at), health("door", "offline", at + 5, since=at)])
        guard.clock.advance(60)
        sink.tick()
    assert guard.phone.titles == ["door: offline from 10:00 to 10:00"]
    guard.clock.advance(3600)
    sink.tick()
    assert guard.phone.titles[1:] == ["door: offline from 10:01 to 10:19 (19 times)"]


def test_the_end_of_trouble_is_not_told_if_it_is_not_wanted() -> None:
    """By default it is, though of happenings only the beginning is."""
    config = NotifyConfig.model_validate({"url": "ntfys://ntfy.sh/topic"})
    assert (config.phases, config.health_phases) == (
        ("start", "single"),
        ("start", "single", "end"),
    )
    quiet = NotifyConfig.model_validate({"url": "ntfys://ntfy.sh/topic", "recoveries": False})
    assert quiet.health_phases == ("start", "single")


@pytest.mark.parametrize("service", ["json", "ntfy"])
def test_a_picture_travels(guard: Guard, service: str) -> None:
    """The event's own, at most 1280 pixels wide, and nothing of it stays on the disk."""
    guard.files[picture_name()] = jpeg(1920, 1080)
    url = guard.phone.json_url if service == "json" else guard.phone.ntfy_url
    guard.sink(url=url).send([with_media()])
    (message,) = guard.phone.messages
    assert message.content is not None
    assert side_of(message.content) == 1280
    assert message.name == picture_name().rpartition("/")[2]
    assert message.text == with_media().record_id


def test_nothing_stays_in_the_folder_for_temporary_files(
    guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a message was accepted, refused, or not answered in time."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    guard.files[picture_name()] = jpeg(640, 360)
    guard.sink().send([with_media()])
    guard.phone.answers = [404, HANG]
    with pytest.raises(SinkError):
        guard.sink().send([with_media(2)])
    guard.files[picture_name(3)] = guard.files[picture_name()]
    with pytest.raises(SinkError, match=r"did not accept the message within 0\.5 s"):
        guard.sink(timeout="0.5s").send([with_media(3)])
    assert list(tmp_path.iterdir()) == []


def test_a_picture_is_waited_for_and_then_missed(guard: Guard) -> None:
    """Two seconds, and the message says so; another event's picture is no help."""
    guard.clock = ManualClock(with_media().at)
    guard.files[picture_name(2)] = jpeg(640, 360)
    began = guard.clock.now()
    guard.sink().send([with_media()])
    assert guard.clock.now() - began == pytest.approx(2.0)
    (message,) = guard.phone.messages
    assert message.content is None
    assert message.text.endswith("(the picture was not there in time, or could not be read)")


def test_a_picture_that_is_refused_is_sent_smaller(guard: Guard) -> None:
    """In the same attempt, so that nobody waits for the next."""
    guard.files[picture_name()] = jpeg(1280, 720, noisy=True)
    guard.phone.most_bytes = 400_000
    guard.sink().send([with_media()])
    (message,) = guard.phone.messages
    assert message.content is not None
    assert side_of(message.content) == 640
    assert len(guard.phone.asked) == 2


def test_a_picture_that_is_not_wanted_at_all_is_left_out(guard: Guard) -> None:
    """The message says so."""
    guard.files[picture_name()] = jpeg(1280, 720, noisy=True)
    guard.phone.most_bytes = 2000
    guard.sink().send([with_media()])
    (message,) = guard.phone.messages
    assert message.content is None
    assert "the service refuses the file, so this is sent without" in message.text
    assert len(guard.phone.asked) == 3


def test_no_picture_is_sent_where_none_is_wanted(guard: Guard) -> None:
    """A link to it is, where something serves it."""
    guard.files[picture_name()] = jpeg(640, 360)
    guard.link = "https://shop.example/media"
    guard.sink(picture=False).send([with_media(1)])
    guard.sink(picture=False, link=False).send([with_media(2)])
    first, second = guard.phone.messages
    assert (first.content, second.content) == (None, None)
    assert first.text.endswith(f"\nhttps://shop.example/media/{picture_name()}")
    assert second.text == with_media(2).record_id


def test_a_report_is_attached(guard: Guard) -> None:
    """Whatever the limit; one whose file is gone becomes a dead letter."""
    data = {"file": "week.html", "file_type": "text/html; charset=utf-8", "title": "week 47"}
    report = Event("r" * 26, REPORT, "single", "", "weekly", 0.0, data=data, media=("r/week.html",))
    guard.files["r/week.html"] = b"<html>"
    guard.sink(at_most={"messages": 1, "per": "1h"}).send([an_event(1), report])
    assert (guard.phone.messages[1].name, guard.phone.messages[1].content) == (
        "week.html",
        b"<html>",
    )
    with pytest.raises(SinkError) as caught:
        guard.sink().send([replace(report, id="s" * 26, media=("r/gone.html",))])
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("status", "retryable", "words"),
    [
        (500, True, "answers 500 (Internal Server Error)"),
        (429, True, "answers 429 (Too Many Requests)"),
        (408, True, "answers 408"),
        (401, False, "answers 401 (Unauthorized); check its url"),
        (404, False, "answers 404 (Not Found)"),
        (400, False, "answers 400 (Bad Request)"),
        (CLOSE, True, "broke the connection off"),
        (HANG, True, "did not accept the message within 0.5 s"),
    ],
)
@pytest.mark.parametrize("service", ["json", "ntfy"])
def test_why_a_message_is_refused(
    guard: Guard, service: str, status: int, retryable: bool, words: str
) -> None:
    """Whether it is worth trying again; never with a word of the address."""
    logs = StringIO()
    set_up("text", "DEBUG", logs)
    guard.phone.always = status
    url = guard.phone.json_url if service == "json" else guard.phone.ntfy_url
    timeout = {"timeout": "0.5s"} if status == HANG else {}
    with pytest.raises(SinkError) as caught:
        guard.sink(url=url, **timeout).send([an_event(1)])
    assert caught.value.retryable is retryable
    assert words in str(caught.value)
    assert f"127.0.0.1:{guard.phone.port}" in str(caught.value)
    assert "s3cret" not in str(caught.value) + logs.getvalue()


def test_a_server_that_is_away_is_waited_for(guard: Guard) -> None:
    """Whether nothing listens there or its name is unknown."""
    for url in (f"json://127.0.0.1:{free_port()}/x", "json://no-such-host.invalid/x"):
        with pytest.raises(SinkError, match="cannot be reached: ") as caught:
            guard.sink(url=url).send([an_event(1)])
        assert caught.value.retryable


def test_a_server_that_says_nothing_ends_with_the_deadline(guard: Guard) -> None:
    """Also while it does not even take the connection up."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        port = listening.getsockname()[1]
        with pytest.raises(SinkError, match="within"):
            guard.sink(url=f"json://127.0.0.1:{port}/x", timeout="0.3s").send([an_event(1)])


def test_a_mail_is_a_message_too(guard: Guard) -> None:
    """With its picture; who is not known there becomes a dead letter."""
    guard.files[picture_name()] = jpeg(640, 360)
    with post_office() as office:
        url = f"mailto://127.0.0.1:{office.port}?from=shop@example.org&to=boss@example.org"
        guard.sink(url=url).send([with_media()])
        (mail,) = office.mails
        assert mail["Subject"] == "door: footfall"
        assert [part.get_filename() for part in mail.iter_attachments()] == [
            picture_name().rpartition("/")[2]
        ]
        office.refused["boss@example.org"] = "550 no such mailbox"
        with pytest.raises(SinkError) as caught:
            guard.sink(url=url).send([an_event(2)])
        assert not caught.value.retryable
        office.refused["boss@example.org"] = "450 try later"
        with pytest.raises(SinkError) as caught:
            guard.sink(url=url).send([an_event(2)])
        assert caught.value.retryable
        office.refused.clear()
        guard.sink(url=url).send([an_event(2)])
        assert len(office.mails) == 2


def test_a_digest_waits_for_a_service_that_is_away(guard: Guard) -> None:
    """The lane hears of it and tries again; nothing is lost meanwhile."""
    sink = guard.sink(at_most={"messages": 1, "per": "1h"})
    sink.send([an_event(1), an_event(2)])
    guard.clock.advance(300)
    guard.phone.answers = [503]
    with pytest.raises(SinkError) as caught:
        sink.tick()
    assert caught.value.retryable
    sink.tick()
    assert guard.phone.texts[1:] == ["and 1 more since 10:00: door 1"]


def test_a_digest_that_is_refused_is_kept_and_holds_nothing_up(
    guard: Guard, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes out with the next one that is accepted, and says why it has not yet."""
    sink = guard.sink(at_most={"messages": 1, "per": "1h"}, urgent="intruder")
    sink.send([an_event(1), an_event(2)])
    guard.clock.advance(300)
    guard.phone.answers = [403]
    sink.tick()
    sink.send([an_event(3), an_event(4, rule="intruder")])
    assert guard.phone.texts[1:] == [an_event(4, rule="intruder").record_id]
    assert guard.figures().waiting == 2
    assert "answers 403" in guard.figures().reason
    assert caplog.text.count("is refused, and kept") == 1
    guard.clock.advance(300)
    sink.tick()
    assert guard.phone.texts[2:] == ["and 2 more since 10:00: door 2"]
    assert guard.figures() == HeldBack(messages=3, held=2)


def test_a_clock_that_is_set_back_keeps_nothing_waiting(guard: Guard) -> None:
    """What would be due in a year is told at once."""
    sink = guard.sink(at_most={"messages": 1, "per": "1h"})
    sink.send([an_event(1), an_event(2), health("door", "offline", guard.clock.now())])
    guard.clock = ManualClock(guard.clock.now() - 365 * 86400)
    guard.sink(at_most=None).tick()
    assert guard.phone.texts[1:] == [
        "and 1 more since 2026-11-27 10:00: door 1",
        "no answer from the camera",
    ]


def test_a_message_without_words_names_the_site(guard: Guard) -> None:
    """As a template may give none for some events."""
    guard.sink(title="{{ data.name | default('') }}", body="").send([an_event(1)])
    assert guard.phone.texts == [SITE]


def test_what_the_address_asks_for_is_done(guard: Guard) -> None:
    """Options of apprise keep their meaning: a limit of time for each answer is one."""
    guard.phone.always = HANG
    with pytest.raises(SinkError, match="does not answer in time") as caught:
        guard.sink(url=f"{guard.phone.json_url}?rto=0.2&overflow=split").send([an_event(1)])
    assert caught.value.retryable


def test_a_certificate_that_is_not_trusted_is_told(guard: Guard) -> None:
    """And tried again: it may be renewed in a moment."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(Path(__file__).with_name("certificate.pem"))
    with receiving(tls) as receiver:
        url = receiver.url.replace("https://", "jsons://")
        with pytest.raises(SinkError, match="has a certificate that is not trusted") as caught:
            guard.sink(url=url).send([an_event(1)])
    assert caught.value.retryable


def test_a_mail_server_that_refuses_the_login_is_told(guard: Guard) -> None:
    """The event becomes a dead letter, as with a service that answers 401."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(Path(__file__).with_name("certificate.pem"))
    with post_office(tls, logs_in=True) as office:
        url = f"mailtos://shop:wr0ng-word@127.0.0.1:{office.port}?verify=no&from=shop@example.org"
        with pytest.raises(SinkError, match="refuses the login \\(535\\)") as caught:
            guard.sink(url=f"{url}&to=boss@example.org").send([an_event(1)])
    assert not caught.value.retryable
    assert "wr0ng" not in str(caught.value)


def test_a_folder_for_temporary_files_that_is_full_or_gone_is_told(
    guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event waits until there is one."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    guard.files[picture_name()] = jpeg(640, 360)
    with pytest.raises(SinkError, match="cannot be written to the folder for temporary") as caught:
        guard.sink().send([with_media()])
    assert caught.value.retryable


def test_a_note_that_cannot_be_read_does_not_end_the_sink(
    guard: Guard, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said, and messages go on."""
    guard.notes.take_down({"state": '{"tokens": "many"}'})
    guard.sink().send([an_event(1)])
    assert guard.phone.texts == [an_event(1).record_id]
    assert "cannot be read, and is lost" in caplog.text


def test_what_was_told_is_kept_in_the_store_for_a_while(phone: Phone, tmp_path: Path) -> None:
    """Long enough for what comes again, and not for ever."""
    clock = ManualClock(moment("2026-11-27T10:00"))
    store = SqlStore(f"sqlite:///{tmp_path}/moonwatch.db", clock=clock)
    guard = Guard(phone, store.notes_of("guard"))
    guard.clock = clock
    guard.sink().send([an_event(1)])
    clock.advance(13 * 86400)
    guard.sink().send([an_event(1)])
    assert len(phone.texts) == 1
    clock.advance(2 * 86400)
    assert store.notes_of("guard").note(f"told/{an_event(1).id}") is None
    store.close()


def test_odd_words_do_not_command_a_terminal(guard: Guard) -> None:
    """Nor break the headline, whatever an event holds."""
    guard.sink(at_most=None, title="{{ text }}", body="{{ text }}\nsecond").send(odd_events())
    for message in guard.phone.messages:
        assert message.title.isprintable()
        assert message.text.splitlines()[1] == "second"


def test_an_event_that_cannot_be_worded_is_told_as_that(guard: Guard) -> None:
    """It becomes a dead letter; others are told."""
    sink = guard.sink(body="{{ data.way }}")
    with pytest.raises(SinkError, match="cannot be worded") as caught:
        sink.send([an_event(1)])
    assert not caught.value.retryable
    sink.send([replace(an_event(2), data={"way": "in"})])
    assert guard.phone.texts == ["in"]


def test_it_is_called_while_nothing_happens(guard: Guard) -> None:
    """The lane knows it by its port."""
    assert isinstance(guard.sink(), TellsLater)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"url": "ntfy.sh/topic"}, "is no address of a service"),
        ({"url": "ntfy://a b"}, "has a space"),
        ({"phases": ["start", "update"]}, "updates are never told"),
        ({"quiet": [{"from": "22:00", "to": "22:00"}]}, "are both 22:00"),
        ({"quiet": [{"from": "22:00", "to": "25:00"}]}, "is not a time of day"),
        ({"at_most": {"messages": 0}}, "greater than or equal to 1"),
        ({"body": "{{ camera"}, "template"),
        ({"digest": "0s"}, "0s"),
    ],
)
def test_what_cannot_be_used_is_refused(fields: dict[str, Any], words: str) -> None:
    """With a sentence, and without the address."""
    given = {"type": "notify", "url": "ntfys://ntfy.sh/topic-s3cret", **fields}
    with pytest.raises(ValidationError, match=words) as caught:
        TypeAdapter(SinkConfig).validate_python(given)
    assert "s3cret" not in str(caught.value.errors(include_input=False, include_url=False))


@pytest.mark.parametrize("url", ["nonsense://host/s3cret-token", "json://", "tgram://s3cret"])
def test_an_address_that_apprise_does_not_know_is_refused_at_the_start(
    guard: Guard, url: str
) -> None:
    """With where to look, and without what may be a token."""
    logs = StringIO()
    set_up("text", "DEBUG", logs)
    if url.endswith("//"):
        url += "?s3cret"
    with pytest.raises(SinkError, match="apprise cannot use this `url`") as caught:
        guard.sink(url=url)
    assert "s3cret" not in str(caught.value) + logs.getvalue()
