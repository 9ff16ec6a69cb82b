"""Reports that come by themselves: once per period, whatever is killed, missed or edited."""

import base64
import contextlib
import gzip
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
import yaml

from connectors.stores.sql import SqlStore
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, StoreError
from pipeline.core.events import Event
from pipeline.core.store import DELIVER, EventFilter, LeaseOwner
from pipeline.delivery import SinkLane
from pipeline.deployment.loader import parse
from pipeline.deployment.model import Deployment
from pipeline.deployment.problems.machine import problems
from pipeline.reports.making import made
from pipeline.reports.periods import period
from pipeline.reports.steps import minutes_of
from pipeline.runtime.assembly import routes_of
from pipeline.runtime.ownership import StoreLease
from pipeline.runtime.scheduled_reports import ReportDesk
from pipeline.runtime.stages.base import StageContext
from pipeline.runtime.stages.delivery import DeliveryStage
from pipeline.runtime.stages.retention import Retention
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, wait_until
from tests.connectors.sinks.post_office import post_office
from tests.connectors.sinks.receiver import receiving
from tests.reports import weeks
from tests.reports.weeks import at

WEEKLY = {"weekly": {"every": "mon 7:00", "to": ["boss"]}}
MAIL = {
    "type": "mail",
    "host": "127.0.0.1",
    "tls": "none",
    "sender": "shop@example.org",
    "to": "boss@example.org",
}


@pytest.fixture
def clock() -> ManualClock:
    """Sunday evening."""
    return ManualClock(at("2026-11-22T22:00"))


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[SqlStore]:
    """Nothing is in it."""
    store = SqlStore(f"sqlite:///{tmp_path}/shop.db", clock)
    yield store
    store.close()


class MondayClock(SystemClock):
    """A clock that goes as clocks do, from Monday at seven."""

    def __init__(self) -> None:
        self._ahead_s = at("2026-11-23T07:00") - super().now()

    def now(self) -> float:
        """UTC seconds."""
        return super().now() + self._ahead_s


def shop(
    folder: Path, reports: dict[str, Any] = WEEKLY, sinks: dict[str, Any] | None = None, **more: Any
) -> Deployment:
    """The shop of the four weeks, with reports."""
    content = yaml.safe_load(weeks.SHOP.format(url=f"sqlite:///{folder}/shop.db"))
    content["reports"] = reports
    content["sinks"] = sinks if sinks is not None else {"boss": {**MAIL, "port": 9}}
    content |= more
    return parse(yaml.safe_dump(content)).deployment


def reported(store: SqlStore) -> list[Event]:
    """The reports that are stored, in order."""
    found = store.history.events(EventFilter(types=("report",)))
    return [one.event for one in reversed(found)]


def desk_of(deployment: Deployment, store: SqlStore, clock: ManualClock) -> ReportDesk:
    """As it is at a start."""
    return ReportDesk(deployment, store, store.history, clock)


def test_a_report_is_made_at_its_time(tmp_path: Path, store: SqlStore, clock: ManualClock) -> None:
    """Of the week that is over, once, as `moonwatch report` makes it."""
    deployment = shop(tmp_path)
    desk = desk_of(deployment, store, clock)
    desk.step()
    clock.advance(at("2026-11-23T06:59:59") - clock.now())
    desk.step()
    assert reported(store) == []
    clock.advance(1)
    desk.step()
    desk.step()
    (event,) = reported(store)
    assert (event.rule, event.at, event.data["period"]) == ("weekly", clock.now(), "2026-W47")
    assert "made_up" not in event.data
    (reference,) = event.media
    media = deployment.store.build_media(store)
    week = period("week", "2026-W47", clock.now(), deployment.site.opening_hours)
    assert media.read(reference) == made(deployment, store.history, week, clock.now(), "html")
    clock.advance(7 * 86400)
    desk.step()
    assert [one.data["period"] for one in reported(store)] == ["2026-W47", "2026-W48"]


def test_what_was_missed_is_made_up_once(
    tmp_path: Path, store: SqlStore, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """After three weeks without power there is one report, of the latest week, which says so."""
    desk_of(shop(tmp_path), store, clock).step()
    clock.advance(22 * 86400)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            desk_of(shop(tmp_path), store, clock).step()
    (event,) = reported(store)
    assert event.data["period"] == "2026-W50"
    assert event.at == at("2026-12-14T07:00")
    assert "made_up" in event.data
    assert "it was due at 2026-12-14T07:00" in caplog.text


def test_a_new_report_begins_with_its_next_time(
    tmp_path: Path, store: SqlStore, clock: ManualClock
) -> None:
    """Not with the one before it was wanted."""
    desk = desk_of(shop(tmp_path), store, clock)
    clock.advance(86400)
    desk.step()
    clock.advance(86400)
    desk.step()
    assert reported(store) == []


def test_killed_at_any_step_there_is_one_report(
    tmp_path: Path, store: SqlStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the file, after the event, and before its time is noted."""
    deployment = shop(tmp_path)
    desk_of(deployment, store, clock).step()
    clock.advance(at("2026-11-23T07:00") - clock.now())
    for step in ("commit", "remember"):

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            patch.setattr(store, step, killed)
            desk_of(deployment, store, clock).step()
        assert len(reported(store)) == (step == "remember")
    desk_of(deployment, store, clock).step()
    assert len(reported(store)) == 1
    assert len(store.pictures_under(reported(store)[0].media[0])) == 1


def test_an_edit_of_its_time_or_a_clock_set_back_makes_no_second_one(
    tmp_path: Path, store: SqlStore, clock: ManualClock
) -> None:
    """One per period, whatever happens."""
    desk = desk_of(shop(tmp_path), store, clock)
    desk.step()
    clock.advance(at("2026-11-23T07:00") - clock.now())
    desk.step()
    behind = ManualClock(clock.now() - 3600)
    again = desk_of(shop(tmp_path), store, behind)
    again.step()
    behind.advance(3600)
    again.step()
    later = {"weekly": {**WEEKLY["weekly"], "every": "mon 9:00", "format": "csv"}}
    edited = desk_of(shop(tmp_path, later), store, clock)
    clock.advance(3 * 3600)
    edited.step()
    assert [one.data["file"] for one in reported(store)] == ["weekly-2026-W47.html"]


def test_a_report_waits_for_the_last_minutes_of_its_period(
    tmp_path: Path, store: SqlStore, clock: ManualClock
) -> None:
    """Which are stored a little after midnight."""
    desk = desk_of(shop(tmp_path, {"daily": {"every": "day 0:00", "to": ["boss"]}}), store, clock)
    desk.step()
    clock.advance(at("2026-11-23T00:04:59") - clock.now())
    desk.step()
    assert reported(store) == []
    clock.advance(1)
    desk.step()
    assert [one.data["period"] for one in reported(store)] == ["2026-11-22"]


def test_what_keeps_a_report_from_being_made_is_said_and_tried_again(
    tmp_path: Path, store: SqlStore, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, and when it is over; other reports are made meanwhile."""
    reports = {**WEEKLY, "daily": {"every": "day 7:00", "to": ["boss"]}}
    deployment = shop(tmp_path, reports)
    blocked = deployment.store.media_folder / "reports" / "weekly"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("in the way")
    desk = desk_of(deployment, store, clock)
    desk.step()
    clock.advance(at("2026-11-23T07:00") - clock.now())
    with caplog.at_level(logging.INFO):
        desk.step()
        desk.step()
        assert [one.rule for one in reported(store)] == ["daily"]
        assert "cannot be kept" in desk.troubles["weekly"]
        blocked.unlink()
        clock.advance(60)
        desk.step()
    assert [one.rule for one in reported(store)] == ["daily", "weekly"]
    assert desk.troubles == {}
    assert caplog.text.count("report weekly cannot be made") == 1
    assert "report weekly can be made again" in caplog.text


def test_who_lost_the_lease_stores_none(
    tmp_path: Path, store: SqlStore, clock: ManualClock
) -> None:
    """The other process makes it."""
    old = store.take(DELIVER, LeaseOwner("old", "here", 1))
    assert old is not None
    desk_of(shop(tmp_path), store, clock).step()
    clock.advance(at("2026-11-23T07:00") - clock.now())
    record = store.lease(DELIVER)
    assert store.take(DELIVER, LeaseOwner("new", "there", 2), record) is not None
    assert not ReportDesk(shop(tmp_path), store, store.history, clock, old).step()
    assert reported(store) == []


def test_retention_deletes_a_report_with_its_event(
    tmp_path: Path, store: SqlStore, clock: ManualClock
) -> None:
    """And it is not made again."""
    deployment = shop(tmp_path, store={"url": f"sqlite:///{tmp_path}/shop.db", "keep": "1d"})
    media = deployment.store.build_media(store)
    desk = desk_of(deployment, store, clock)
    retention = Retention(deployment, store, media, clock)
    desk.step()
    retention.look()
    clock.advance(at("2026-11-23T07:00") - clock.now())
    desk.step()
    (event,) = reported(store)
    assert media.read(event.media[0]) is not None
    for _ in range(40):
        clock.advance(3600)
        retention.look()
    assert reported(store) == []
    assert media.read(event.media[0]) is None
    desk.step()
    assert reported(store) == []


def test_reports_arrive_at_their_sinks_alone(
    tmp_path: Path, store: SqlStore, clock: ManualClock
) -> None:
    """By mail with the file, by webhook with its content, and nowhere else."""
    desk_of(shop(tmp_path), store, clock).step()
    monday = MondayClock()
    with post_office() as office, receiving() as hook, receiving() as other:
        sinks = {
            "boss": {**MAIL, "port": office.port, "only": "report"},
            "hook": {"type": "webhook", "url": hook.url, "only": "middle"},
            "other": {"type": "webhook", "url": other.url},
        }
        weekly = {"weekly": {"every": "mon 7:00", "to": ["boss", "hook"]}}
        deployment = shop(tmp_path, weekly, sinks)
        context = StageContext(deployment, deployment.queue.build(monday), Metrics(), monday)
        lease = StoreLease(store, DELIVER, LeaseOwner("me", "here", 1), monday)
        stage = DeliveryStage(context, store, lease, store.history)
        stage.start()

        def have_arrived() -> bool:
            stage.poll()
            return bool(office.mails and hook.requests)

        try:
            wait_until(have_arrived)
        finally:
            stage.stop(5.0)
        (event,) = reported(store)
        content = deployment.store.build_media().read(event.media[0])
        assert content is not None
        (mail,) = office.mails
        assert mail["Subject"].strip() == (
            "Shop 12 <North> & Sons: weekly, Week 47, 16 November 2026 to 22 November 2026"
        )
        assert next(iter(mail.iter_attachments())).get_payload(decode=True) == content
        (sent,) = hook.requests[0].events
        assert sent["type"] == "io.moonwatch.report.v1"
        assert base64.b64decode(sent["data"]["content_base64"]) == content
        assert other.requests == []


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        ({"every": "mon 7:00", "to": ["bos"]}, "there is no sink 'bos'; did you mean 'boss'?"),
        ({"every": "mon 7:00", "to": "boss", "site": "x"}, "there is no site 'x'"),
        ({"every": "7:00", "to": "boss"}, "does not say when; write `day 7:00`"),
        ({"every": 420, "to": "boss"}, "does not say when; write `mon 7:00`"),
        ({"every": "mon 7:00", "to": []}, "to"),
    ],
)
def test_a_mistake_is_told_with_the_way_out(
    tmp_path: Path, report: dict[str, Any], sentence: str
) -> None:
    """Before anything runs."""
    with pytest.raises(ConfigError) as caught:
        shop(tmp_path, {"weekly": report})
    assert sentence in str(caught.value)


def test_the_store_being_away_loses_no_report(
    tmp_path: Path, store: SqlStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made once the store is back."""
    desk = desk_of(shop(tmp_path), store, clock)
    desk.step()
    clock.advance(at("2026-11-23T07:00") - clock.now())

    def away(*_: object) -> None:
        raise StoreError("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(store, "mark", away)
        desk.step()
    assert desk.troubles == {"weekly": "the store is away"}
    clock.advance(60)
    desk.step()
    assert len(reported(store)) == 1


@pytest.mark.parametrize(
    ("form", "library", "what"), [("pdf", "typst", "PDF"), ("parquet", "pyarrow", "Parquet")]
)
def test_check_warns_of_what_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, library: str, what: str
) -> None:
    """At its line and with the way out; nothing else is kept from running by that."""
    text = weeks.SHOP.format(url=f"sqlite:///{tmp_path}/weeks.db")
    text += f"reports: {{weekly: {{every: mon 7:00, to: [log], format: {form}}}}}\n"
    text += f"sinks: {{log: {{type: jsonl, path: {tmp_path}/events.jsonl}}}}\n"
    deployment = parse(text).deployment
    assert not [one for one in problems(deployment, only_fatal=False) if library in one.message]
    monkeypatch.setitem(sys.modules, library, None)  # as where it is not installed
    (found,) = (one for one in problems(deployment, only_fatal=False) if library in one.message)
    assert found.path == "reports.weekly.format"
    assert (
        f"a report as {what} needs {library}, which is not installed on this machine"
        in found.message
    )
    assert not [one for one in problems(deployment, only_fatal=True) if library in one.message]


def test_counts_of_each_day_reach_the_archive(tmp_path: Path, clock: ManualClock) -> None:
    """A file a day, with the numbers that the store has, named as it is on disk."""
    sinks = {"lake": {"type": "archive", "url": str(tmp_path / "lake"), "only": "report"}}
    reports = {"counts": {"every": "day 6:00", "to": "lake", "format": "parquet"}}
    deployment = shop(tmp_path, reports, sinks)
    store = weeks.filled(f"sqlite:///{tmp_path}/shop.db", (weeks.LAST.replace(day=20), weeks.LAST))
    store.register_sinks(deployment.sinks)
    desk = desk_of(deployment, store, clock)
    desk.step()
    clock.advance(at("2026-11-23T06:00") - clock.now())
    desk.step()
    ((route, sink),) = routes_of(deployment, store, clock)
    lane = SinkLane(route, sink, store, clock, Metrics())
    while store.cursor("lake").behind:
        assert lane.step() == 0.0
    lane.close()
    file = tmp_path / "lake/reports/counts/counts-2026-11-22.parquet"
    sunday = period("day", "2026-11-22", clock.now(), deployment.site.opening_hours)
    assert file.read_bytes() == made(
        deployment, store.history, sunday, clock.now() + 3600, "parquet"
    )
    rows = parquet.read_table(file).to_pylist()
    doors = {("middle", "entered"), ("across", "entered")}
    entered = [row["value"] for row in rows if (row["rule"], row["measure"]) in doors]
    ends = sunday.span(deployment.site.opening_hours)
    assert sum(filter(None, entered)) == sum(
        minute.values["entered"] or 0
        for rule, _ in doors
        for minute in minutes_of(store.history, "plaza", rule, *ends)
    )
    (events,) = (tmp_path / "lake/events").rglob("*.jsonl.gz")
    (line,) = gzip.decompress(events.read_bytes()).splitlines()
    assert json.loads(line)["data"]["media"] == ["reports/counts/counts-2026-11-22.parquet"]
    store.close()
