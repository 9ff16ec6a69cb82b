"""Numbers of the application are those of `moonwatch export` and `moonwatch report`."""

import csv
import io
import shutil
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pyarrow.parquet as parquet
import pytest

from connectors.stores.sql import SqlStore
from pipeline.core.audits import Audit, AuditFigure, AuditFigures
from pipeline.core.edits import RuleEdit
from pipeline.core.errors import ConfigError
from pipeline.core.events import timestamp
from pipeline.core.measures import BUCKET_S, Bucket
from pipeline.core.people import Role
from pipeline.core.store import Commit, Span
from pipeline.deployment.loader import load, parse
from pipeline.reports.export import counts
from pipeline.reports.figures import CaptureFigures, figures
from pipeline.reports.making import made
from pipeline.reports.page import laid_out
from pipeline.reports.periods import period
from pipeline.reports.sales import read_sales
from pipeline.testing import ManualClock
from pipeline.web.access.permissions import Permission
from pipeline.web.access.visitor import Visitor
from pipeline.web.numbers.captured import sites_captured
from pipeline.web.numbers.choosing import ChosenTime, RuleName, narrowed
from pipeline.web.numbers.series import SeriesWish
from pipeline.web.numbers.sold import sites_sold
from tests.reports import weeks
from tests.reports.weeks import at
from tests.web.applications import Application, application

LATER = at("2026-11-24T06:00")
DAYS = (date(2026, 11, 9), date(2026, 11, 22))
NOT_YET = {"first": "2026-11-24", "last": "2026-11-24"}


@pytest.fixture(scope="module")
def file(two_weeks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop with two weeks of numbers, an audit and an edit."""
    folder = tmp_path_factory.mktemp("numbers")
    url = f"sqlite:///{folder / 'weeks.db'}"
    shutil.copy(two_weeks, folder)
    store = weeks.filled(url, (DAYS[1], DAYS[1]))
    store.commit(
        Commit(edits=[RuleEdit("plaza", "middle", at("2026-11-18T11:00"), "edited", "line moved")])
    )
    found = AuditFigure(0.98, 0.96, 1.0)
    judged = Audit(
        "a1",
        "plaza",
        "middle",
        at("2026-11-16T09:00"),
        at("2026-11-16T12:00"),
        at("2026-11-16T13:00"),
        judged_at=at("2026-11-16T14:00"),
        by="ada",
        figures=AuditFigures(accuracy=found, counted=49, judged=30),
    )
    store.audits.keep_audit(judged)
    store.close()
    path = folder / "shop.yaml"
    path.write_text(weeks.SHOP.format(url=url), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def app(file: Path) -> Iterator[Application]:
    """The application two days later."""
    with application(file, clock=ManualClock(LATER)) as found:
        yield found


@pytest.fixture
def store(file: Path) -> Iterator[SqlStore]:
    """The same store, to read."""
    store = SqlStore(f"sqlite:///{file.parent / 'weeks.db'}", read_only=True)
    yield store
    store.close()


def got(answer: httpx.Response) -> Any:
    """What a good answer says."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def exported(file: Path, store: SqlStore, step: str, span: Span) -> dict[tuple[str, ...], Any]:
    """What `export` says: value, coverage and known minutes by rule, measure and time."""
    rows = counts(load(file, []), store.history, step, span).rows
    return {(str(r[5]), str(r[7]), str(r[0])): (r[10], r[11], r[12]) for r in rows}


@pytest.mark.parametrize("step", ["15m", "1h", "1d", "1w"])
def test_each_step_is_what_export_says(
    app: Application, file: Path, store: SqlStore, step: str
) -> None:
    """Values, None included, and the share that is known, for every measure of every rule."""
    asked = {"first": "2026-11-16", "last": "2026-11-22", "step": step}
    told = got(app.client.get("/numbers", params=asked))
    span = Span(told["since"], told["until"])
    expected = exported(file, store, step, span)
    found: dict[tuple[str, ...], Any] = {}
    for series in told["series"]:
        grid = next(one for one in told["sites"] if one["site"] == series["site"])
        for measure in series["measures"]:
            if measure["over_time"] == "derived":
                continue
            for i, value in enumerate(measure["values"]):
                begins = timestamp(grid["steps"][i]["since"])
                known = (value, series["coverage"][i], series["minutes_known"][i])
                found[series["rule"], measure["name"], begins] = known
    assert found == expected
    assert any(value is None for value, *_ in found.values()) == (step in ("15m", "1h"))


def test_open_hours_alone_are_what_the_report_says(
    app: Application, file: Path, store: SqlStore
) -> None:
    """A week's totals within opening hours, how much of them is known, and how long stays were."""
    shop = load(file, [])
    week = period("week", "2026-W47", LATER, shop.site.opening_hours)
    report = figures(shop, store.history, week, LATER)
    asked = {"first": "2026-11-16", "last": "2026-11-22", "step": "1d", "only_open": "true"}
    told = got(app.client.get("/numbers", params=asked))
    assert len(told["series"]) == len(report.rules) == 4
    for series, rule in zip(told["series"], report.rules, strict=True):
        assert series["rule"] == rule.rule
        assert series["minutes"] == pytest.approx(report.open_minutes)
        assert series["known"] == pytest.approx(rule.coverage)
        by_name = {one["name"]: one for one in series["measures"]}
        for figure in rule.measures:
            one = by_name[figure.measure.name]
            assert one["total"] == pytest.approx(figure.total.value, abs=1e-6)
            assert one["values"] == [
                None if value is None else pytest.approx(value, abs=1e-6) for value in figure.by_day
            ]
        if rule.stays is not None:
            assert by_name["median_stay_s"]["total"] == pytest.approx(rule.stays.median_s)
            assert by_name["p90_stay_s"]["total"] == pytest.approx(rule.stays.p90_s)


def test_the_day_is_what_the_report_says(app: Application, file: Path, store: SqlStore) -> None:
    """Of a day with a gap: every figure, the week before, and the minutes that are missing."""
    shop = load(file, [])
    day = period("day", "2026-11-17", LATER, shop.site.opening_hours)
    report = figures(shop, store.history, day, LATER, audits=store.audits)
    told = got(app.client.get("/today", params={"day": "2026-11-17"}))["sites"][0]
    assert told["reason"] == "asked"
    assert told["before_day"] == "2026-11-10"
    assert told["open_minutes"] == report.open_minutes == 660
    for said, rule in zip(told["rules"], report.rules, strict=True):
        assert (said["rule"], said["is_entrance"]) == (rule.rule, rule.is_door)
        assert said["coverage"] == rule.coverage
        assert [(g["since"], g["until"]) for g in said["gaps"]] == list(rule.gaps)
        for one, figure in zip(said["figures"], rule.measures, strict=True):
            assert one["value"] == pytest.approx(figure.total.value, abs=1e-6)
            assert one["before"] == pytest.approx(figure.total.before, abs=1e-6)
            assert one["is_complete"] is False
            assert one["change"] is None
        assert said["missing_minutes"] == pytest.approx(660 * (1 - rule.coverage), abs=1e-3)
        assert [hour["value"] for hour in said["by_hour"] if hour["hour"] in "121314"] == [None] * 3
    door = next(one for one in told["rules"] if one["rule"] == "middle")
    assert (door["audit"]["accuracy"], door["audit"]["by"]) == (0.98, "ada")


def test_what_is_old_is_said(app: Application) -> None:
    """Two days after the last minute, the last day is shown, and that it is not today."""
    told = got(app.client.get("/today"))["sites"][0]
    assert (told["reason"], told["day"]) == ("old", "2026-11-22")
    told = got(app.client.get("/numbers"))
    assert (told["first"], told["last"]) == ("2026-11-16", "2026-11-22")


@pytest.mark.parametrize(
    ("now", "reason", "day", "until"),
    [
        ("2026-11-21T14:05", "today", "2026-11-21", "2026-11-21T14:05"),
        ("2026-11-23T08:30", "not_open_yet", "2026-11-22", "2026-11-23T00:00"),
        ("2026-11-23T10:30", "today", "2026-11-23", "2026-11-23T10:30"),
    ],
)
def test_the_day_so_far(file: Path, now: str, reason: str, day: str, until: str) -> None:
    """Up to this minute; before the shop opens, the day before; and a dead camera stays unknown."""
    with application(file, clock=ManualClock(at(now))) as app:
        told = got(app.client.get("/today"))["sites"][0]
    assert (told["reason"], told["day"], told["until"]) == (reason, day, at(until))
    before = at(until) - 7 * 86_400
    assert told["before_until"] == before
    entered = told["came_in"]
    if now.startswith("2026-11-21"):
        assert entered["value"] > 0
        assert entered["before"] > 0
        assert entered["change"] is not None
    else:
        assert entered["value"] is None


def test_sums_of_a_site_need_all_of_its_rules(app: Application) -> None:
    """Both doors together, step by step."""
    asked = {"first": "2026-11-17", "last": "2026-11-17", "rule": ["plaza/middle", "plaza/across"]}
    told = got(app.client.get("/numbers", params={**asked, "step": "1h"}))
    total = next(one for one in told["sums"] if one["name"] == "entered")
    assert total["rules"] == 2
    parts = [m for s in told["series"] for m in s["measures"] if m["name"] == "entered"]
    for i, value in enumerate(total["values"]):
        both = [part["values"][i] for part in parts]
        assert value == (None if None in both else sum(both))
    net = [m for m in told["series"][0]["measures"] if m["name"] == "net"]
    assert net[0]["over_time"] == "derived"


def test_marks_and_audits_are_beside_the_numbers(app: Application) -> None:
    """What was edited, when it was checked, when it is open, and holidays."""
    told = got(app.client.get("/numbers", params={"first": "2026-11-16", "last": "2026-11-22"}))
    assert [(one["rule"], one["changed"]) for one in told["edits"]] == [("middle", "line moved")]
    (edited,) = told["edits"]
    (site,) = got(app.client.get("/today", params={"day": "2026-11-18"}))["sites"]
    marks = {one["rule"]: one["edits"] for one in site["rules"]}
    assert marks.pop("middle") == [edited]
    assert not any(marks.values())
    span: dict[str, Any] = {"since": edited["at"] - 3600, "until": edited["at"] + 3600}
    for more, marked in (({}, [edited]), ({"by": "rule", "rule": "other"}, [])):
        assert got(app.client.get("/timeline", params={**span, **more}))["edits"] == marked
    assert told["series"][0]["audit"]["low"] == 0.96
    days = told["sites"][0]["days"]
    assert [len(day["openings"]) for day in days] == [1, 1, 1, 1, 1, 1, 0]
    asked = {"first": "2026-10-03", "last": "2026-10-03"}
    day = got(app.client.get("/numbers", params=asked))["sites"][0]["days"][0]
    assert day["holiday"]
    assert day["openings"] == []


def test_the_heat_map_is_the_mean_of_known_hours(
    app: Application, file: Path, store: SqlStore
) -> None:
    """By day of the week and hour; Tuesday at noon was only known once."""
    asked = {"first": "2026-11-09", "last": "2026-11-22", "rule": "plaza/middle"}
    told = got(app.client.get("/numbers", params=asked))
    heat = told["series"][0]["measures"][0]["heat"]
    hourly = exported(file, store, "1h", Span(told["since"], told["until"]))
    for hour, times in ((10, 2), (12, 1)):
        values = []
        for day in (10, 17):
            begins = timestamp(at(f"2026-11-{day}T{hour:02}:00"))
            value, coverage, _ = hourly["middle", "entered", begins]
            if coverage >= 0.9:
                values.append(value)
        assert heat["hours"][1][hour] == len(values) == times
        assert heat["values"][1][hour] == pytest.approx(sum(values) / len(values), abs=1e-6)
    assert heat["values"][6][3] is None
    assert heat["open_minutes"][6][12] == 0
    assert heat["open_minutes"][1][12] == 120


def test_files_are_what_export_and_report_write(
    app: Application, file: Path, store: SqlStore
) -> None:
    """Byte for byte, noted in the journal; what is no formula does not become one."""
    asked = {"first": "2026-11-16", "last": "2026-11-17", "step": "1h"}
    answer = app.client.get("/numbers/file", params=asked)
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(answer.text, newline="")))
    span = Span(at("2026-11-16T00:00"), at("2026-11-18T00:00"))
    expected = counts(load(file, []), store.history, "1h", span)
    assert rows[0] == [column.name for column in expected.columns]
    assert rows[1:] == [["" if c is None else str(c) for c in row] for row in expected.rows]
    as_parquet = app.client.get("/numbers/file", params={**asked, "format": "parquet"})
    table = parquet.read_table(io.BytesIO(as_parquet.content))
    assert table.num_rows == len(rows) - 1
    shop = load(file, [])
    day = period("day", "2026-11-17", LATER, shop.site.opening_hours)
    for form in ("csv", "html"):
        answer = app.client.get(
            "/reports/file", params={"kind": "day", "name": "2026-11-17", "format": form}
        )
        assert "attachment" in answer.headers["content-disposition"]
        audits = store.audits
        assert answer.content == made(shop, store.history, day, LATER, form, audits=audits)
    assert ("ada", "exported a report", "2026-11-17") in app.journal.notes
    assert any(action == "exported numbers" for _, action, _ in app.journal.notes)


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        ({"rule": "plaza/nothing"}, 404, "plaza/nothing"),
        ({"camera": "cellar"}, 404, "cellar"),
        ({"first": "2026-11-20", "last": "2026-11-10"}, 422, "ends before it begins"),
        ({"first": "2020-01-01", "last": "2026-11-10"}, 422, "400 or fewer"),
        (
            {"first": "2026-01-01", "last": "2026-12-01"},
            422,
            "cannot be read at once|more than can",
        ),
        ({"first": "2026-11-10", "last": "2026-11-20", "step": "1m"}, 422, "longer steps"),
        ({"since": 5}, 422, "UTC seconds"),
        ({"since": "nan", "until": 7}, 422, "UTC seconds"),
        ({"step": "7m"}, 422, "step"),
        ({"first": "yesterday"}, 422, "first"),
    ],
)
def test_what_cannot_be_is_said(
    app: Application, asked: dict[str, Any], status: int, words: str
) -> None:
    """In a sentence that names the way out."""
    answer = app.client.get("/numbers", params=asked)
    assert answer.status_code == status
    message = answer.json()["error"]["message"]
    assert any(part in message for part in words.split("|")), message


_TWO = """
version: 1
site: {{name: Shop, timezone: {zone}}}
store: {{url: "{url}"}}
cameras:
  gate:
    source: {{type: file, path: configs/media/plaza.mp4}}
    tasks: {{people: {{detect: person}}}}
    lines: {{sill: {{from: [0.5, 0.1], to: [0.5, 0.9]}}}}
    zones: {{back: {{polygon: [[0, 0], [0.2, 0], [0.2, 0.2]]}}}}
    rules: {{in: {{type: line_crossing, of: people, line: sill, staff: {{zone: back}}}}}}
  till:
    source: {{type: file, path: configs/media/plaza.mp4}}
    tasks: {{people: {{detect: person}}}}
    zones:
      wait: {{polygon: [[0, 0], [0.5, 0], [0.5, 0.5]]}}
      serve: {{polygon: [[0.6, 0], [1, 0], [1, 1]]}}
    rules: {{queue: {{type: queue, of: people, zone: wait, served: serve}}}}
"""


def two_cameras(folder: Path, zone: str, days: list[date]) -> Path:
    """A shop with a door and a till, each minute of some days known."""
    url = f"sqlite:///{folder / 'two.db'}"
    path = folder / "two.yaml"
    path.write_text(_TWO.format(url=url, zone=zone), encoding="utf-8")
    hours = load(path, []).site.opening_hours
    store = SqlStore(url)
    for day in days:
        begins, ends = hours.begins(day), hours.begins(day + timedelta(days=1))
        minutes = [int(begins + i * BUCKET_S) for i in range(int((ends - begins) // BUCKET_S))]
        waits = dict.fromkeys(_queue_names(path), 0.0)
        waits |= {
            "mean": 2.0,
            "maximum": 3.0,
            "served": 1.0,
            "wait_s": 40.0,
            "wait_under_60_s": 1.0,
        }
        came = {"entered": 1.0, "left": 0.0, "staff_in": 0.0, "staff_out": 0.0}
        store.commit(
            Commit(
                buckets=[
                    *(Bucket("gate", "in", minute, 60, 1.0, came) for minute in minutes),
                    *(Bucket("till", "queue", minute, 60, 1.0, waits) for minute in minutes),
                ]
            )
        )
    store.close()
    return path


def _queue_names(path: Path) -> list[str]:
    return [one.name for one in load(path, []).cameras["till"].rules["queue"].measures]


@pytest.mark.parametrize(
    ("zone", "day", "minutes", "steps"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23 * 60, 23),
        ("Europe/Berlin", date(2026, 10, 25), 25 * 60, 25),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24 * 60 + 30, 25),
        ("Australia/Lord_Howe", date(2026, 10, 4), 23 * 60 + 30, 24),
    ],
)
def test_days_on_which_clocks_change(
    tmp_path: Path, zone: str, day: date, minutes: int, steps: int
) -> None:
    """They have as many minutes as they have, each in one step."""
    file = two_cameras(tmp_path, zone, [day])
    asked: dict[str, Any] = {"first": day.isoformat(), "last": day.isoformat(), "rule": "gate/in"}
    with application(file) as app:
        whole = got(app.client.get("/numbers", params={**asked, "step": "1d"}))
        hourly = got(app.client.get("/numbers", params={**asked, "step": "1h"}))
    assert whole["series"][0]["measures"][0]["values"] == [minutes]
    assert whole["series"][0]["known"] == 1.0
    values = hourly["series"][0]["measures"][0]["values"]
    assert len(values) == steps
    assert sum(values) == minutes
    assert set(hourly["series"][0]["coverage"]) == {1.0}


def test_waits_and_staff_are_told(tmp_path: Path) -> None:
    """What follows from others: a queue's waits; and by what staff is known."""
    file = two_cameras(tmp_path, "UTC", [date(2026, 11, 3)])
    with application(file) as app:
        told = got(app.client.get("/numbers", params={"first": "2026-11-03", "step": "1h"}))
        dark = {"first": "2026-11-02", "last": "2026-11-02", "step": "1h", "rule": "till/queue"}
        (unknown,) = got(app.client.get("/numbers", params=dark))["series"]
    door, queue = told["series"]
    assert door["staff"] == "zone back"
    waits = {one["name"]: one for one in queue["measures"]}
    assert waits["mean_wait_s"]["values"] == [40.0] * 24
    assert waits["median_wait_s"]["total"] == pytest.approx(45.0)
    # Within the span in which all of them are counted, 30 to 60 seconds, in proportion.
    assert waits["p90_wait_s"]["total"] == pytest.approx(57.0)
    assert waits["p90_wait_s"]["values"] == [pytest.approx(57.0)] * 24
    assert [one["name"] for one in queue["measures"]] == [
        *("mean", "maximum", "served", "abandoned", "censored"),
        *("mean_wait_s", "median_wait_s", "p90_wait_s"),
    ]
    # Of a day of which nothing is known there is no length and no wait, and none that is zero.
    assert (unknown["known"], set(unknown["coverage"])) == (0.0, {0.0})
    for one in unknown["measures"]:
        assert (one["total"], one["values"]) == (None, [None] * 24)
    assert waits["mean"]["total"] == 2.0
    assert "wait_under_60_s" not in waits


def test_a_viewer_sees_numbers_of_his_cameras_alone(tmp_path: Path) -> None:
    """Not those of others, not in files, and not that there are others."""
    file = two_cameras(tmp_path, "UTC", [date(2026, 11, 3)])
    with application(file, visitor=Visitor.of_role("eve", Role.VIEWER, ["till"])) as app:
        told = got(app.client.get("/numbers"))
        assert [one["camera"] for one in told["series"]] == ["till"]
        assert [one["camera"] for one in told["there"]] == ["till"]
        today = got(app.client.get("/today"))
        assert [one["camera"] for one in today["sites"][0]["rules"]] == ["till"]
        assert today["sites"][0]["came_in"] is None
        for asked in ({"camera": "gate"}, {"rule": "gate/in"}):
            assert app.client.get("/numbers", params=asked).status_code == 404
            assert app.client.get("/numbers/file", params=asked).status_code == 404
        answer = app.client.get("/numbers/file", params={"first": "2026-11-03"})
        assert "gate" not in answer.text
        assert "till" in answer.text
        report = {"kind": "day", "name": "2026-11-03", "format": "html"}
        assert "gate" not in app.client.get("/reports/file", params=report).text
        app.doors.who = Visitor.of_role("nobody", Role.VIEWER, [])
        assert got(app.client.get("/numbers"))["series"] == []
        assert got(app.client.get("/today"))["sites"] == []


def test_conversion_over_time_is_that_of_the_report(
    file: Path, store: SqlStore, tmp_path: Path
) -> None:
    """By day, of known opening time alone; a visitor of some cameras is told nothing of it."""
    till = tmp_path / "till.csv"
    days = [f"2026-11-{day}" for day in range(16, 22)]
    till.write_text(
        "time,count,amount\n" + "".join(f"{day} 11:30,10,125.5\n" for day in days),
        encoding="utf-8",
    )
    path = tmp_path / "shop.yaml"
    text = file.read_text(encoding="utf-8")
    path.write_text(text.replace("country: DE,", f'country: DE, sales: "{till}",'), "utf-8")
    shop = load(path, [])
    week = period("week", "2026-W47", LATER, shop.site.opening_hours)
    sales = read_sales(till, weeks.ZONE)
    report = figures(shop, store.history, week, LATER, sales=sales).sales
    assert report is not None
    asked = {"first": "2026-11-16", "last": "2026-11-22"}
    with application(path, clock=ManualClock(LATER)) as app:
        told = got(app.client.get("/numbers", params={**asked, "step": "1d"}))["sold"]
        hours = got(app.client.get("/numbers", params={**asked, "step": "1h"}))["sold"]
        none = got(app.client.get("/numbers", params={**asked, "rule": "plaza/crowded"}))["sold"]
        till.write_text("when\n1\n", encoding="utf-8")
        failed = got(app.client.get("/numbers", params=asked))["sold"]
    wish = SeriesWish(
        [RuleName("plaza", "middle")], ChosenTime(at("2026-11-16T00:00"), LATER), "1d"
    )
    some = Visitor("Vera", frozenset({Permission.MEASURE}), cameras=frozenset({"plaza"}))
    assert sites_sold(shop, store.history, some, wish, LATER) == []
    assert none == []
    assert "no column `time`" in failed[0]["problem"]
    assert str(tmp_path) not in failed[0]["problem"]
    [one] = told
    assert one["doors"] == ["plaza/middle", "plaza/across"]
    assert one["transactions"] == [day.transactions for day in report.by_day]
    assert one["conversion"] == [
        None if day.conversion is None else pytest.approx(day.conversion) for day in report.by_day
    ]
    assert one["conversion"][1] is None  # three hours of Tuesday are not known
    assert one["conversion"][0] is not None
    assert one["total_transactions"] == report.total.transactions == 60
    assert one["total_amount"] == report.total.amount
    assert one["total_conversion"] == (
        None if report.total.conversion is None else pytest.approx(report.total.conversion)
    )
    assert [value for value in hours[0]["transactions"] if value] == [10] * 6


def test_capture_is_who_came_in_of_those_who_passed(
    file: Path, tmp_path: Path, store: SqlStore
) -> None:
    """As the report has it; not known is not told, and who passes by is no visitor."""
    text = file.read_text(encoding="utf-8")
    path = tmp_path / "shop.yaml"
    path.write_text(text.replace("country: DE,", "country: DE, capture: {passed: plaza/across},"))
    shop = load(path, [])
    week = period("week", "2026-W47", LATER, shop.site.opening_hours)
    report = figures(shop, store.history, week, LATER)
    assert report.capture is not None
    assert [door.rule for door in report.doors] == ["middle"]
    middle, across = (one for one in report.rules if one.rule in ("middle", "across"))
    passing = [across.figure(name) for name in ("entered", "left")]
    entered = middle.figure("entered")
    assert entered is not None
    passed = [sum((one.by_day[i] or 0) for one in passing if one is not None) for i in range(7)]
    days = report.capture.by_day
    assert days[0].rate == pytest.approx((entered.by_day[0] or 0) / passed[0])
    assert days[0].passed == passed[0] > 0
    # Three hours of Tuesday are not known, and on Sunday it is closed.
    assert (days[1].rate, days[1].passed, days[1].is_without_passers) == (None, None, False)
    assert days[1].known == pytest.approx(8 / 11, abs=0.02)
    assert (days[6].known, days[6].rate) == (None, None)
    assert report.capture.before.rate is not None
    assert CaptureFigures.of([0], [0], 1.0).is_without_passers
    assert CaptureFigures.of([0], [0], 1.0).rate is None
    assert CaptureFigures.of([3], [None], 1.0).rate is None
    (section,) = (one for one in laid_out(report).sections if one.title == "Capture rate")
    assert section.tables[0].rows[1][1:4] == ["unknown"] * 3
    rows = made(shop, store.history, week, LATER, "csv").decode()
    assert "capture,capture_rate,people who came in per person who passed by" in rows
    narrow = narrowed(shop, [RuleName("plaza", "middle")])
    assert figures(narrow, store.history, week, LATER).capture is None

    asked = {"first": "2026-11-16", "last": "2026-11-22", "step": "1d"}
    with application(path, clock=ManualClock(LATER)) as app:
        told = got(app.client.get("/numbers", params=asked))
        closed = {**asked, "first": "2026-11-22"}
        sunday = got(app.client.get("/numbers", params=closed))["captured"][0]
        none = got(app.client.get("/numbers", params={**asked, "rule": "plaza/crowded"}))
    [one] = told["captured"]
    assert (one["entered_by"], one["passed_by"]) == (["plaza/middle"], ["plaza/across"])
    assert one["rate"] == [None if d.rate is None else pytest.approx(d.rate) for d in days]
    assert one["known"] == [None if d.known is None else pytest.approx(d.known) for d in days]
    assert one["total_rate"] == pytest.approx(report.capture.total.rate)
    assert (sunday["total_rate"], sunday["why_no_rate"]) == (None, "closed")
    assert none["captured"] == []
    sums = {(one["name"], one["unit"]): one["rules"] for one in told["sums"]}
    assert sums["entered", "crossings"] == 1  # who passes by is not among who comes in
    wish = SeriesWish(
        [RuleName("plaza", "middle")], ChosenTime(at("2026-11-16T00:00"), LATER), "1d"
    )
    some = Visitor("Vera", frozenset({Permission.MEASURE}), cameras=frozenset({"door"}))
    assert sites_captured(shop, store.history, some, wish, LATER) == []


def test_check_says_what_is_wrong_with_a_capture_rate(file: Path) -> None:
    """The place, what stands there, and what may."""

    def told(capture: str) -> list[str]:
        text = file.read_text(encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            parse(text.replace("country: DE,", f"country: DE, capture: {capture},"))
        return [str(one) for one in caught.value.problems]

    (name,) = told("{passed: across}")
    assert "site.capture.passed" in name
    assert "'across' does not name a rule; write CAMERA/RULE, such as street/passing" in name
    wrong = told("{passed: [plazza/across, plaza/acros, plaza/crowded], entered: [plaza/visits]}")
    assert [one.partition("site.capture.")[2].split(" ")[0] for one in wrong] == [
        "passed.0",
        "passed.1",
        "passed.2",
        "entered.0",
    ]
    assert "there is no camera 'plazza'; did you mean 'plaza'?" in wrong[0]
    assert "camera 'plaza' has no rule 'acros'; did you mean 'across'?" in wrong[1]
    assert "is a rule of type occupancy, which does not count who passes; name a" in wrong[2]
    assert "is a rule of type dwell, which does not count who comes in by a door" in wrong[3]
    (both,) = told("{passed: plaza/across, entered: plaza/across}")
    assert "'plaza/across' is also in `passed`" in both
    (none,) = told("{passed: [plaza/across, plaza/middle]}")
    assert "no rule counts who comes in; add a `line_crossing` rule at the door" in none


@pytest.mark.parametrize(("missing", "is_complete"), [((), True), ((4, 5, 6), False)])
def test_a_recording_of_some_minutes_is_whole_in_itself(
    tmp_path: Path, missing: tuple[int, ...], is_complete: bool
) -> None:
    """What is before and after it is not unknown; what is missing in its midst is."""
    url = f"sqlite:///{tmp_path / 'clip.db'}"
    file = tmp_path / "clip.yaml"
    file.write_text(weeks.SHOP.format(url=url), encoding="utf-8")
    begin = int(at("2026-11-19T12:00"))
    store = SqlStore(url, ManualClock(LATER))
    buckets = [
        # It begins and ends in the midst of a minute.
        Bucket("plaza", "middle", begin + 60 * minute, 60, known, {"entered": 1, "left": 0})
        for minute in range(12)
        for known in [0.5 if minute in (0, 11) else 1.0]
        if minute not in missing
    ]
    store.commit(Commit(buckets=buckets))
    store.close()
    with application(file, clock=ManualClock(LATER)) as app:
        told = app.client.get("/today").json()["sites"][0]
    (rule,) = [one for one in told["rules"] if one["rule"] == "middle"]
    assert told["day"] == "2026-11-19"
    assert [one["is_complete"] for one in rule["figures"]] == [is_complete] * 2
    assert rule["missing_minutes"] == pytest.approx(len(missing), abs=0.01)
    assert rule["coverage"] == pytest.approx(1 - len(missing) / 11)


def test_the_week_before_is_beside_it_as_far_as_the_day_has_come(
    file: Path, store: SqlStore
) -> None:
    """On a Saturday at 14:05: what the report compares with; a gap is unknown there, too."""
    shop = load(file, [])
    now = at("2026-11-21T14:05")
    clock = ManualClock(now)
    with application(file, clock=clock) as app:
        asked = {"first": "2026-11-21", "last": "2026-11-21", "step": "1h", "only_open": "true"}
        told = got(app.client.get("/numbers", params={**asked, "before": "true"}))
        ahead = got(app.client.get("/numbers", params={**asked, "before": "true"} | NOT_YET))
        clock.advance(4 * 86_400.0)
        asked |= {"first": "2026-11-24", "last": "2026-11-24", "only_open": "false"}
        gap = got(app.client.get("/numbers", params={**asked, "before": "true"}))["before"]
        asked |= {"first": "2026-11-01", "last": "2026-11-30", "step": "1d"}
        month = got(app.client.get("/numbers", params={**asked, "before": "true"}))
        alone = got(app.client.get("/numbers", params=asked))
    before = told["before"]
    day = period("day", "2026-11-21", now, shop.site.opening_hours)
    report = figures(shop, store.history, day, now)
    assert (before["weeks"], before["until"]) == (1, now - 7 * 86_400)
    for series, rule in zip(before["series"], report.rules, strict=True):
        assert series["known"] == pytest.approx(rule.coverage_before)
        totals = {one["name"]: one["total"] for one in series["measures"]}
        for figure in rule.measures:
            assert totals[figure.measure.name] == pytest.approx(figure.total.before, abs=1e-6)
    values = before["series"][0]["measures"][0]["values"]
    assert len(values) == 24
    running = before["sites"][0]["steps"][14]
    assert (running["until"], running["minutes"]) == (now - 7 * 86_400, 5)
    assert values[15:] == [None] * 9
    assert gap["series"][0]["measures"][0]["values"][12:15] == [None] * 3
    eleven, noon = gap["series"][0]["minutes_known"][11:13]
    assert (eleven > 50, noon) == (True, 0)
    # Of a day that has not come nothing is compared.
    assert ahead["before"]["series"][0]["measures"][0]["values"] == [None] * 24
    assert ahead["before"]["series"][0]["known"] == 0
    assert (month["before"]["weeks"], alone["before"]) == (None, None)
    assert month["before"]["since"] == at("2026-10-01T00:00")


def test_days_on_which_clocks_change_stand_beside_others_by_the_clock(tmp_path: Path) -> None:
    """Of 25, 23 and 24 hours: 14:00 beside 14:00, and nothing beside an hour there is not."""
    url = f"sqlite:///{tmp_path / 'clocks.db'}"
    store = SqlStore(url, ManualClock(LATER))
    hours = {
        "2026-10-18": 24,
        "2026-10-25": 25,
        "2026-11-01": 24,
        "2026-03-22": 24,
        "2026-03-29": 23,
        "2026-04-05": 24,
    }
    for day, number in hours.items():
        begins = int(at(f"{day}T00:00"))
        store.commit(
            Commit(
                buckets=[
                    Bucket("plaza", "middle", minute, 60, 1.0, {"entered": 1.0, "left": 0.0})
                    for minute in range(begins, begins + number * 3600, 60)
                ]
            )
        )
    store.close()
    path = tmp_path / "shop.yaml"
    path.write_text(weeks.SHOP.format(url=url), encoding="utf-8")
    found = {}
    with application(path, clock=ManualClock(LATER)) as app:
        asked = {"rule": "plaza/middle", "step": "1h", "before": "true", "measure": "entered"}
        for day in ("2026-10-25", "2026-11-01", "2026-03-29", "2026-04-05"):
            told = got(app.client.get("/numbers", params={**asked, "first": day, "last": day}))
            found[day] = told
        week = {"first": "2026-10-19", "last": "2026-10-25", "step": "1d"}
        days = got(app.client.get("/numbers", params={**asked, **week}))["before"]
        lines = app.client.get(
            "/numbers/file", params={**asked, "first": "2026-10-25", "last": "2026-10-25"}
        ).text
    for day, told in found.items():
        before = told["before"]
        values = before["series"][0]["measures"][0]["values"]
        steps, earlier = told["sites"][0]["steps"], before["sites"][0]["steps"]
        assert len(steps) == len(earlier) == len(values) == hours[day]
        for step, one, value in zip(steps, earlier, values, strict=True):
            if one["minutes"]:
                assert local_hour(one["since"]) == local_hour(step["since"])
                assert value == 60
            else:
                assert value is None
        empty = [place for place, one in enumerate(earlier) if not one["minutes"]]
        # The hour from two to three comes twice in October, and not at all in March.
        assert empty == {"2026-10-25": [3], "2026-04-05": [2]}.get(day, [])
    totals = [found[day]["before"]["series"][0]["measures"][0]["total"] for day in found]
    assert totals == [24 * 60, 25 * 60, 24 * 60, 23 * 60]
    assert days["series"][0]["measures"][0]["values"][-1] == 24 * 60
    rows = list(csv.DictReader(io.StringIO(lines)))
    entered = [row for row in rows if row["measure"] == "entered"]
    assert len(entered) == 25
    assert [row["before_value"] for row in entered[1:5]] == ["60", "60", "", "60"]
    assert [row["before_coverage"] for row in entered[2:4]] == ["1.0", ""]
    assert entered[4]["before_start"] == timestamp(at("2026-10-18T03:00"))


def local_hour(seconds: float) -> int:
    """The hour of the shop's clock."""
    return datetime.fromtimestamp(seconds, ZoneInfo(weeks.ZONE)).hour
