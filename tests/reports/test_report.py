"""A report over four invented weeks: every figure is what the database says, in plain SQL."""

import csv
import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from connectors.stores import StoreConfig
from connectors.stores.sql import SqlStore
from pipeline.core.audits import Audit, AuditFigure, AuditFigures
from pipeline.core.edits import RuleEdit
from pipeline.core.events import Event, JsonValue
from pipeline.core.measures import Bucket
from pipeline.core.opening_hours import opening_hours
from pipeline.core.store import Commit, JudgedAnew
from pipeline.deployment.loader import parse
from pipeline.deployment.model import Deployment
from pipeline.reports.figures import SiteReport, figures, over_doors
from pipeline.reports.making import made
from pipeline.reports.page import laid_out
from pipeline.reports.periods import Period, PeriodKind, period
from pipeline.testing import ManualClock
from tests.reports import weeks
from tests.reports.weeks import at

LATER = at("2026-11-24T06:00")
HOURS = {0: (9, 20), 1: (9, 20), 2: (9, 20), 3: (9, 20), 4: (9, 20), 5: (10, 18)}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The store with the four weeks."""
    url = f"sqlite:///{tmp_path_factory.mktemp('weeks') / 'weeks.db'}"
    weeks.filled(url).close()
    return url


@pytest.fixture
def shop(url: str) -> Deployment:
    """The deployment."""
    return weeks.deployment(url)


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    """The store, to read."""
    store = SqlStore(url, read_only=True)
    yield store
    store.close()


@pytest.fixture
def database(url: str) -> Iterator[sqlite3.Connection]:
    """The same for plain SQL."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    yield connection
    connection.close()


def chosen(shop: Deployment, kind: PeriodKind, name: str, now: float = LATER) -> Period:
    """A period by its name."""
    return period(kind, name, now, shop.site.opening_hours)


def opened(day: date) -> tuple[float, float] | None:
    """When the shop is open, by hand: a Friday of its own hours, and closed Sundays."""
    if day == date(2026, 11, 20):
        return at(f"{day}T09:00"), at(f"{day}T14:00")
    if day.weekday() not in HOURS or day == date(2026, 10, 3):  # German Unity Day
        return None
    first, last = HOURS[day.weekday()]
    return at(f"{day}T{first:02}:00"), at(f"{day}T{last:02}:00")


def days(first: str, count: int) -> list[date]:
    """Days in a row."""
    return [date.fromisoformat(first) + timedelta(days=i) for i in range(count)]


def asked(
    database: sqlite3.Connection, what: str, rule: str, spans: list[tuple[float, float] | None]
) -> float | None:
    """One number about the minutes of a rule in some spans."""
    places = " OR ".join(f"(minute >= {s[0]} AND minute < {s[1]})" for s in spans if s)
    found = database.execute(
        f"SELECT {what} FROM moonwatch_buckets WHERE rule = ? AND ({places or 'false'})", [rule]
    ).fetchone()[0]
    return None if found is None else float(found)


PERIODS = [
    ("day", "2026-11-17", days("2026-11-17", 1), days("2026-11-10", 1)),
    ("day", "2026-11-21", days("2026-11-21", 1), days("2026-11-14", 1)),
    ("week", "2026-W47", days("2026-11-16", 7), days("2026-11-09", 7)),
    ("week", "2026-W44", days("2026-10-26", 7), days("2026-10-19", 7)),  # nothing before it
    pytest.param(
        "month", "2026-11", days("2026-11-01", 30), days("2026-10-01", 31), marks=pytest.mark.slow
    ),
]


@pytest.mark.parametrize(("kind", "name", "now", "before"), PERIODS, ids=lambda v: str(v)[:10])
def test_every_figure_is_what_the_database_says(
    shop: Deployment,
    store: SqlStore,
    database: sqlite3.Connection,
    kind: PeriodKind,
    name: str,
    now: list[date],
    before: list[date],
) -> None:
    """Totals, days, hours, coverage and what lies outside opening hours, for every measure."""
    # A month is over by then, and what was not recorded of it is unknown.
    report = figures(shop, store.history, chosen(shop, kind, name), at("2026-12-01T06:00"))
    spans, spans_before = [opened(day) for day in now], [opened(day) for day in before]
    open_minutes = sum((s[1] - s[0]) / 60 for s in spans if s)
    open_before = sum((s[1] - s[0]) / 60 for s in spans_before if s)
    assert report.open_minutes == open_minutes
    ways = {"sum": "sum({})", "max": "max({})"}
    for rule in report.rules:
        known = asked(database, "sum(coverage)", rule.rule, spans) or 0
        assert rule.coverage == pytest.approx(known / open_minutes)
        earlier = asked(database, "sum(coverage)", rule.rule, spans_before) or 0
        assert rule.coverage_before == pytest.approx(earlier / open_before)
        for one in rule.measures:
            value = f"json_extract(measures, '$.{one.measure.name}')"
            mean = f"sum({value} * coverage) / sum(coverage)"
            how = ways.get(one.measure.over_time, mean).format(value)
            assert one.total.value == asked_about(asked(database, how, rule.rule, spans))
            assert one.total.before == asked_about(asked(database, how, rule.rule, spans_before))
            by_day = [asked(database, how, rule.rule, [span]) for span in spans]
            assert list(one.by_day) == [asked_about(value) for value in by_day]
            if one.measure.over_time == "sum":
                whole = (at(f"{now[0]}T00:00"), at(f"{now[-1] + timedelta(days=1)}T00:00"))
                everything = asked(database, how, rule.rule, [whole]) or 0
                assert everything == (one.total.value or 0) + (one.outside or 0)
        first = rule.measures[0].measure
        value = f"json_extract(measures, '$.{first.name}')"
        how = ways.get(first.over_time, f"sum({value} * coverage) / sum(coverage)").format(value)
        for day, span, row in zip(now, spans, rule.heat, strict=True):
            for hour, cell in zip(report.hour_names, row, strict=True):
                begins = at(f"{day}T{hour}:00")
                inside = span is not None and span[0] <= begins < span[1]
                assert cell.is_open == inside
                if inside:
                    found = asked(database, how, rule.rule, [(begins, begins + 3600)])
                    assert cell.value == asked_about(found)


def asked_about(value: float | None) -> object:
    """A float of SQL, to be compared."""
    return None if value is None else pytest.approx(value)


def test_stays_are_those_of_the_events(
    shop: Deployment, store: SqlStore, database: sqlite3.Connection
) -> None:
    """Median and ninth tenth of the visits that ended while open and were seen to end."""
    report = figures(shop, store.history, chosen(shop, "week", "2026-W47"), LATER)
    spans = [span for day in days("2026-11-16", 7) if (span := opened(day))]
    rows = database.execute(
        "SELECT at, json_extract(body, '$.data.seconds'), json_extract(body, '$.data.reason') "
        "FROM moonwatch_events WHERE rule = 'visits' AND phase = 'end'"
    ).fetchall()
    inside = [row for row in rows if any(since <= row[0] < until for since, until in spans)]
    seconds = sorted(row[1] for row in inside if row[2] == "over")
    stays = next(rule.stays for rule in report.rules if rule.stays is not None)
    assert stays.visits == len(seconds) > 100
    assert stays.cut_short == len(inside) - len(seconds)
    middle = len(seconds) // 2
    even = (seconds[middle - 1] + seconds[middle]) / 2
    assert stays.median_s == (seconds[middle] if len(seconds) % 2 else even)
    assert stays.longest_s == seconds[-1]


def test_what_does_not_count_is_apart(tmp_path: Path) -> None:
    """Neither an event nor a stay, but said under quality; made of `dwell` visits here."""
    store = weeks.filled(f"sqlite:///{tmp_path}/weeks.db", (date(2026, 11, 16), date(2026, 11, 16)))
    shop = weeks.deployment(f"sqlite:///{tmp_path}/weeks.db")
    day = chosen(shop, "day", "2026-11-16")
    (before,) = (r for r in figures(shop, store.history, day, LATER).rules if r.rule == "visits")
    visit = Event("far", "dwell", "start", "plaza", "visits", at("2026-11-16T12:00"), run="a.mp4")
    stayed: dict[str, JsonValue] = {"seconds": 7200.0, "reason": "over"}
    told_of: list[dict[str, JsonValue]] = [{"verified": "rejected"}, {}]
    for number, more in enumerate(told_of):
        start = replace(visit, id=f"far-{number}", data=more)
        store.commit(Commit(events=[start, replace(start, phase="end", data=stayed | more)]))
    anew = JudgedAnew("plaza", "a.mp4", frozenset({"visits"}))
    store.commit(Commit(judged_anew=[anew]))
    told = replace(visit, id="far-0", data={"verified": "rejected"})
    ended = replace(told, phase="end", data={**stayed, "verified": "rejected"})
    store.commit(Commit(events=[told, ended]))
    report = figures(shop, store.history, day, LATER)
    store.close()
    (after,) = (rule for rule in report.rules if rule.rule == "visits")
    assert (after.events, after.stays) == (before.events, before.stays)
    assert (after.rejected, after.superseded) == (1, 1)
    (quality,) = (one for one in laid_out(report).sections if one.title == "Quality")
    assert ["plaza · visits", str(before.events), "1", "1"] in [
        row for table in quality.tables for row in table.rows
    ]


def test_what_was_edited_is_listed(tmp_path: Path) -> None:
    """Of the period and of the one before, with words that explain a jump."""
    url = f"sqlite:///{tmp_path}/weeks.db"
    store = weeks.filled(url, (date(2026, 11, 16), date(2026, 11, 16)))
    shop = weeks.deployment(url)
    edits = [
        RuleEdit("plaza", "visits", at("2026-11-10T12:00"), "edited", "longer_than: none → 10s"),
        RuleEdit("plaza", "across", at("2026-11-18T09:30"), "added"),
        RuleEdit("plaza", "across", at("2026-11-24T09:30"), "removed"),
        RuleEdit("elsewhere", "across", at("2026-11-18T09:30"), "edited"),
    ]
    store.commit(Commit(edits=edits))
    report = figures(shop, store.history, chosen(shop, "week", "2026-W47"), LATER)
    store.close()
    (quality,) = (one for one in laid_out(report).sections if one.title == "Quality")
    (table,) = (one for one in quality.tables if one.columns[0].heading == "edited")
    assert table.rows == [
        ["2026-11-10 12:00", "plaza · visits", "longer_than: none → 10s"],
        ["2026-11-18 09:30", "plaza · across", "the rule was added"],
    ]
    assert "Rules were edited" in quality.about


def test_missing_time_is_named(shop: Deployment, store: SqlStore) -> None:
    """The hours without power are one gap; a closed Sunday and the night are none."""
    report = figures(shop, store.history, chosen(shop, "week", "2026-W47"), LATER)
    outage = (at("2026-11-17T12:00"), at("2026-11-17T15:00"))
    assert all(rule.gaps == (outage,) for rule in report.rules)
    assert report.cameras[0].states == {"offline": 1, "online": 1}


def test_the_last_audit_is_quoted(tmp_path: Path) -> None:
    """Of each rule the one judged last, of time that is not after the period; unknown is said."""
    url = f"sqlite:///{tmp_path / 'audited.db'}"
    shop = weeks.deployment(url)
    store = SqlStore(url, ManualClock(LATER))
    figure = AuditFigure(0.98, 0.951, 1.004)
    found = AuditFigures(accuracy=figure, counted=98, true=AuditFigure(100, 97, 103), judged=30)
    outwards = AuditFigures(counted=3, judged=30)
    found = replace(found, directions={"out": outwards})
    early = Audit(
        id="early",
        camera="plaza",
        rule="middle",
        since=at("2026-11-16T09:00"),
        until=at("2026-11-16T18:00"),
        drawn_at=at("2026-11-17T09:00"),
        judged_at=at("2026-11-17T10:00"),
        figures=found,
    )
    late = replace(early, id="late", since=at("2026-11-23T09:00"), judged_at=LATER)
    unjudged = replace(early, id="open", judged_at=None, drawn_at=LATER)
    for audit in (early, late, unjudged):
        store.audits.keep_audit(audit)
    week = chosen(shop, "week", "2026-W47")
    report = figures(shop, store.history, week, LATER, None, store.audits)
    assert [audit.id for audit in report.audits] == ["early"]
    quality = next(one for one in laid_out(report).sections if one.title == "Quality")
    rows = quality.tables[-1].rows
    assert [row[0] for row in rows] == ["plaza · middle", "plaza · middle (out)"]
    assert rows[1][2] == "3"
    assert rows[:1] == [
        [
            "plaza · middle",
            "2026-11-16 09:00 to 2026-11-16 18:00",
            "98",
            "100 (97 to 103)",
            "98.0 % (95.1 % to 100.4 %)",
            "unknown",
            "unknown",
            "30",
        ]
    ]
    without = laid_out(figures(shop, store.history, week, LATER))
    assert any("No rule was audited" in section.about for section in without.sections)
    store.close()


def test_a_gap_on_either_side_forbids_a_comparison(shop: Deployment, store: SqlStore) -> None:
    """Below 90 % of either period there is a sentence in place of a change."""
    history = store.history
    gap = laid_out(figures(shop, history, chosen(shop, "day", "2026-11-17"), LATER))
    assert gap.headlines[0].note == "incomplete: 71.4 % of open time is known"
    # Thursday the 12th against the 5th, of which nothing is known.
    none = figures(shop, history, chosen(shop, "day", "2026-11-12"), LATER)
    assert laid_out(none).headlines[0].note == "no figures of the Thursday before"
    # The Tuesday after the outage.
    partly = figures(shop, history, chosen(shop, "day", "2026-11-24"), at("2026-11-24T20:00"))
    total = over_doors(partly.doors, "entered")
    assert total is not None
    assert total.value is None
    assert total.change is None


def test_unknown_is_never_zero(shop: Deployment, store: SqlStore) -> None:
    """Of a day without any minutes nothing is said to be 0, in no format."""
    lost = chosen(shop, "day", "2026-11-05")
    page = laid_out(figures(shop, store.history, lost, LATER))
    assert page.headlines[0].value == "unknown"
    said = [row for section in page.sections[:3] for table in section.tables for row in table.rows]
    assert said
    assert all(cell != "0" for row in said for cell in row[1:4])
    rows = list(csv.DictReader(io.StringIO(made(shop, store.history, lost, LATER, "csv").decode())))
    assert {row["value"] for row in rows} == {""}
    assert {row["coverage"] for row in rows if row["rule"]} == {"0"}


def test_a_running_week_is_compared_up_to_the_same_moment(
    shop: Deployment, store: SqlStore, database: sqlite3.Connection
) -> None:
    """On Wednesday at 14:05 the week before counts up to its Wednesday at 14:05."""
    now = at("2026-11-18T14:05:40")
    report = figures(shop, store.history, chosen(shop, "week", "this", now), now)
    assert report.is_to_date
    before: list[tuple[float, float] | None] = [opened(day) for day in days("2026-11-09", 2)]
    before.append((at("2026-11-11T09:00"), at("2026-11-11T14:05")))
    value = "sum(json_extract(measures, '$.entered'))"
    middle = report.rules[0]
    assert middle.measures[0].total.before == asked(database, value, "middle", before)
    assert "up to 2026-11-18 14:05" in laid_out(report).subtitle


@pytest.mark.parametrize(
    "form", ["html", pytest.param("pdf", marks=pytest.mark.slow), "csv", "parquet"]
)
def test_made_again_it_is_the_same(shop: Deployment, store: SqlStore, form: str) -> None:
    """Byte for byte, also months later."""
    week = chosen(shop, "week", "2026-W47")
    first = made(shop, store.history, week, LATER, form)  # type: ignore[arg-type]
    later = made(shop, store.history, week, LATER + 90 * 86400, form)  # type: ignore[arg-type]
    assert first == later
    assert len(first) > 1000


def test_each_minute_is_in_the_counts_of_one_day(
    url: str, store: SqlStore, database: sqlite3.Connection
) -> None:
    """Also where a day of the shop begins at half past one: its hours are cut off there."""
    text = weeks.SHOP.format(url=url).replace('mon-fri: "9:00-20:00"', 'mon-fri: "9:00-1:30"')
    late = parse(text).deployment
    assert late.site.opening_hours.begins(date(2026, 11, 18)) == at("2026-11-18T01:30")
    rows = [
        row
        for day in ("2026-11-17", "2026-11-18")
        for row in counted(made(late, store.history, chosen(late, "day", day), LATER, "parquet"))
        if (row["rule"], row["measure"]) == ("middle", "entered")
    ]
    starts, ends = ([row[name] for row in rows] for name in ("start", "end"))
    assert (starts[0], ends[-1]) == ("2026-11-17T00:30:00.000Z", "2026-11-19T00:30:00.000Z")
    assert starts[1:] == ends[:-1]
    assert sum(row["minutes"] for row in rows) == 2 * 24 * 60
    assert len(rows) == 2 * 24 + 2
    known = sum(row["value"] for row in rows if row["value"] is not None)
    everything = (at("2026-11-17T01:30"), at("2026-11-19T01:30"))
    value = "sum(json_extract(measures, '$.entered'))"
    assert known == asked(database, value, "middle", [everything])


def counted(content: bytes) -> list[dict[str, Any]]:
    """The rows of a Parquet file."""
    rows: list[dict[str, Any]] = parquet.read_table(io.BytesIO(content)).to_pylist()
    return rows


class _Reader(HTMLParser):
    """Collects what a page would load or run, and checks that its tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "line"):
            self.open.append(tag)
        if tag in ("script", "link", "img", "iframe", "object"):
            self.loads.append(tag)
        self.loads += [name for name, _ in attrs if name in ("src", "href") or name[:2] == "on"]

    def handle_endtag(self, tag: str) -> None:
        if tag != "line":
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_is_whole_and_runs_nothing(shop: Deployment, store: SqlStore) -> None:
    """No script, nothing to load, every tag closed, and names are text whatever is in them."""
    page = made(shop, store.history, chosen(shop, "week", "2026-W47"), LATER, "html").decode()
    reader = _Reader()
    reader.feed(page)
    assert reader.open == []
    assert reader.loads == []
    assert "url(" not in page
    assert "Shop 12 <North> & Sons" in reader.words


def test_the_pdf_says_the_same(shop: Deployment, store: SqlStore, tmp_path: Path) -> None:
    """The data handed to the template are those of the page; the result is a tagged PDF."""
    week = chosen(shop, "week", "2026-W47")
    content = made(shop, store.history, week, LATER, "pdf")
    assert content.startswith(b"%PDF-")
    assert b"/StructTreeRoot" in content
    page = laid_out(figures(shop, store.history, week, LATER))
    assert json.loads(json.dumps(asdict(page)))["headlines"][0]["label"] == "Came in"


def test_a_closed_day_is_closed_and_not_unknown(shop: Deployment, store: SqlStore) -> None:
    """A Sunday says that the site was not open."""
    sunday: SiteReport = figures(shop, store.history, chosen(shop, "day", "2026-11-22"), LATER)
    assert sunday.open_minutes == 0
    assert sunday.coverage is None
    assert "The site was not open in this period." in laid_out(sunday).remarks


def test_a_shop_that_never_closes_has_calendar_days(url: str, store: SqlStore) -> None:
    """Without hours all of the day counts."""
    shop = weeks.deployment(url)
    always = shop.model_copy(update={"site": shop.site.model_copy(update={"hours": {}})})
    day = period("day", "2026-11-18", LATER, opening_hours({}, weeks.ZONE))
    report = figures(always, store.history, day, LATER)
    assert report.open_minutes == 1440
    assert len(report.hour_names) == 24
    assert all(one.outside is None for rule in report.rules for one in rule.measures)


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        ("day", "2026-02-30", "'2026-02-30' is not a day; write 2026-11-26, today or yesterday"),
        ("week", "2026-W54", "'2026-W54' is not a week; write 2026-W47, this or last"),
        ("week", "47", "'47' is not a week"),
        ("month", "2026-13", "'2026-13' is not a month; write 2026-11, this or last"),
    ],
)
def test_what_is_no_period(kind: PeriodKind, text: str, sentence: str) -> None:
    """A sentence says how to write one."""
    with pytest.raises(ValueError, match=sentence):
        period(kind, text, LATER, opening_hours({}))


def test_what_a_rule_is_not_told_to_do_is_left_out(shop: Deployment, store: SqlStore) -> None:
    """Groups and staff that nobody asked for are in no table and no CSV, also not as unknown."""
    week = chosen(shop, "week", "2026-W47")
    rows = csv.DictReader(io.StringIO(made(shop, store.history, week, LATER, "csv").decode()))
    # the last one is of the site: by its doors
    known = {"entered", "left", "mean", "maximum", "time_in_store"}
    assert {row["measure"] for row in rows} == known
    assert "staff_entered" not in made(shop, store.history, week, LATER, "html").decode()


def test_a_median_of_long_visits_says_so(url: str, store: SqlStore) -> None:
    """Only visits as long as `longer_than` have a length, and the median is not that of all."""
    long = weeks.SHOP.replace("zone: crossroads}}", "zone: crossroads, longer_than: 5s}}")
    shop = parse(long.format(url=url)).deployment
    page = laid_out(figures(shop, store.history, chosen(shop, "week", "2026-W47"), LATER))
    stay = next(one for one in page.headlines if one.label == "Median stay")
    assert "visits of plaza · visits that lasted 5.0 s or longer; 9 of 10" in stay.note


def test_a_share_is_a_percentage(tmp_path: Path) -> None:
    """As in the summary of a run: 25.0 %, not 0.25."""
    url = f"sqlite:///{tmp_path / 'till.db'}"
    visits = "visits: {{type: dwell, of: people, zone: crossroads}}"
    absence = "till: {{type: absence, of: people, zone: crossroads, for: 2m}}"
    shop = parse(weeks.SHOP.replace(visits, absence).format(url=url)).deployment
    noon = at("2026-11-18T12:00")
    with closing(SqlStore(url, ManualClock(noon))) as store:
        values: dict[str, float | None] = {"absences": 1, "empty": 0.25}
        store.commit(Commit(buckets=[Bucket("plaza", "till", int(noon), 60, 1.0, values)]))
        day = chosen(shop, "day", "2026-11-18")
        page = laid_out(figures(shop, store.history, day, LATER))
    rows = [row for section in page.sections for table in section.tables for row in table.rows]
    assert ["plaza · till", "1", "25.0 %", "0", "0.1 %"] in rows


def test_a_day_without_anything_says_so(shop: Deployment, store: SqlStore) -> None:
    """A day before the first minute has no totals that are too low: it has none."""
    remarks = laid_out(figures(shop, store.history, chosen(shop, "day", "2026-09-01"), LATER))
    assert any(line.startswith("Nothing is known of this period") for line in remarks.remarks)


def test_without_hours_no_column_is_about_closed_ones(url: str, store: SqlStore) -> None:
    """A site that never closes has no crossings outside of its hours, not an unknown number."""
    shop = weeks.deployment(url)
    always = shop.model_copy(update={"site": shop.site.model_copy(update={"hours": {}})})
    day = period("day", "2026-11-18", LATER, opening_hours({}, weeks.ZONE))
    page = laid_out(figures(always, store.history, day, LATER))
    doors = page.sections[0].tables[0]
    assert "in, closed hours" not in [column.heading for column in doors.columns]
    assert {len(row) for row in doors.rows} == {len(doors.columns)}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["export", "--format", "parquet"], "--out: Parquet is not text; name a file for it"),
        (["report", "--week", "last", "--format", "pdf"], "--out: a PDF is not text; name a file"),
    ],
)
def test_a_terminal_gets_no_bytes(tmp_path: Path, words: list[str], sentence: str) -> None:
    """What is no text is not written to a terminal, which would show it as noise."""
    file = tmp_path / "shop.yaml"
    file.write_text(weeks.SHOP.format(url=f"sqlite:///{tmp_path / 'shop.db'}"))
    terminal, end = os.openpty()
    command = [sys.executable, "-m", "pipeline", words[0], str(file), *words[1:]]
    try:
        found = subprocess.run(command, stdout=end, stderr=subprocess.PIPE, text=True, timeout=120)
    finally:
        os.close(terminal)
        os.close(end)
    assert found.returncode == 2
    assert sentence in found.stderr


def test_the_time_in_the_store_follows_from_the_doors(
    tmp_path: Path, shop: Deployment, store: SqlStore
) -> None:
    """Of days that add up and are known at every door; the page says of how many."""
    week = chosen(shop, "week", "2026-W47")
    report = figures(shop, store.history, week, LATER)
    # These invented doors count at random: nobody could say how long anybody stayed.
    assert report.inside is not None
    assert (report.inside.days, report.inside.mean_s) == (0, None)
    assert "Time in the store" not in {one.label for one in laid_out(report).headlines}
    config = StoreConfig(url=f"sqlite:///{tmp_path}/doors.db", media=tmp_path / "media")
    sensible = config.build()
    try:
        for day in days("2026-11-17", 2):
            opens = int(at(f"{day}T09:00"))
            minutes = [
                Bucket(camera, rule, opens + 60 * i, 60, 1.0, {
                    "entered": 2 if i < 240 else 0, "left": 2 if 20 <= i < 260 else 0
                })
                for camera, config in shop.cameras.items()
                for rule, one in config.rules.items()
                if one.type == "line_crossing"
                for i in range(660)
            ]  # fmt: skip
            sensible.commit(Commit(buckets=minutes))
        found = figures(shop, sensible.history, week, LATER)
        assert found.inside is not None
        assert (found.inside.days, found.inside.mean_s) == (2, 1200.0)
        headlines = {one.label: one for one in laid_out(found).headlines}
        assert headlines["Time in the store"].value == "20 min 00 s"
        assert "of 2 of 7 days" in headlines["Time in the store"].note
    finally:
        sensible.close()
