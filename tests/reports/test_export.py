"""Rows for spreadsheets: the columns as documented, unknown empty, and nothing that runs."""

import csv
import io
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from connectors.stores.sql import SqlStore
from pipeline.core.answers import Answer, Boxes, Failed
from pipeline.core.events import Event
from pipeline.core.jobs import Result
from pipeline.core.measures import Bucket
from pipeline.core.observations import ObservationTail, ObservedFrame, tail
from pipeline.core.opening_hours import opening_hours
from pipeline.core.store import EVER, Commit, Span
from pipeline.reports.export import (
    COUNTS,
    EVENTS,
    OBSERVATIONS,
    VISITS,
    Export,
    counts,
    events,
    observations,
    visits,
)
from pipeline.reports.making import FIGURES
from pipeline.reports.steps import STEPS, steps
from pipeline.reports.writing import write_csv, write_jsonl, write_parquet
from tests.reports import weeks
from tests.reports.weeks import at

TUESDAY = Span(at("2026-11-17T00:00"), at("2026-11-18T00:00"))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with one of the invented weeks."""
    url = f"sqlite:///{tmp_path_factory.mktemp('week') / 'week.db'}"
    days = (weeks.LAST.replace(day=16), weeks.LAST.replace(day=18))
    weeks.filled(url, days).close()
    return url


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    """The store, to read."""
    store = SqlStore(url, read_only=True)
    yield store
    store.close()


def as_rows(export: Export) -> list[dict[str, str]]:
    """What a CSV reader finds."""
    file = io.BytesIO()
    write_csv(export, file)
    return list(csv.DictReader(io.StringIO(file.getvalue().decode(), newline="")))


@pytest.mark.parametrize("step", [step for step in STEPS if step != "1w"])
def test_steps_add_up_to_what_is_stored(url: str, store: SqlStore, step: str) -> None:
    """Whatever the step, all counts of a day are there, and the known time beside them."""
    rows = as_rows(counts(weeks.deployment(url), store.history, step, TUESDAY))
    with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
        expected = database.execute(
            "SELECT sum(json_extract(measures, '$.entered')), sum(coverage) "
            "FROM moonwatch_buckets WHERE rule = 'middle' AND minute >= ? AND minute < ?",
            [TUESDAY.since, TUESDAY.until],
        ).fetchone()
    mine = [row for row in rows if (row["rule"], row["measure"]) == ("middle", "entered")]
    assert len(mine) == 86400 // STEPS[step]
    assert sum(float(row["value"]) for row in mine if row["value"]) == expected[0]
    known = sum(float(row["minutes_known"]) for row in mine)
    assert known == pytest.approx(expected[1], abs=0.5)
    assert sum(float(row["minutes"]) for row in mine) == 1440
    assert sum(float(row["minutes_open"]) for row in mine) == 11 * 60


def test_a_week_is_from_monday_to_sunday(url: str, store: SqlStore) -> None:
    """A day of it widens to all seven; they add up to what its days say."""
    shop = weeks.deployment(url)
    (week,) = (row for row in as_rows(counts(shop, store.history, "1w", TUESDAY)) if _is_in(row))
    assert week["start_local"] == "2026-11-16T00:00:00+01:00"
    assert (week["end"], week["minutes"]) == ("2026-11-22T23:00:00.000Z", "10080")
    whole = Span(at("2026-11-16T00:00"), at("2026-11-23T00:00"))
    days = [row for row in as_rows(counts(shop, store.history, "1d", whole)) if _is_in(row)]
    assert len(days) == 7
    assert float(week["value"]) == sum(float(day["value"]) for day in days if day["value"])
    known = sum(float(day["minutes_known"]) for day in days)
    assert float(week["minutes_known"]) == pytest.approx(known, abs=0.01)


def _is_in(row: dict[str, str]) -> bool:
    return (row["rule"], row["measure"]) == ("middle", "entered")


def test_unknown_is_empty_with_its_coverage(url: str, store: SqlStore) -> None:
    """The hours without power have no value and a coverage of 0, and are there all the same."""
    rows = as_rows(counts(weeks.deployment(url), store.history, "1h", TUESDAY))
    noon = [row for row in rows if row["start_local"] == "2026-11-17T12:00:00+01:00"]
    assert {row["value"] for row in noon} == {""}
    assert {row["coverage"] for row in noon} == {"0.0"}
    assert {row["rule"] for row in noon} == {"middle", "across", "crowded", "visits"}


def test_without_a_period_all_of_it_is_written(url: str, store: SqlStore) -> None:
    """From the first minute that is stored to the last one."""
    rows = as_rows(counts(weeks.deployment(url), store.history, "1h", EVER, ["plaza"]))
    assert rows[0]["start_local"] == "2026-11-16T08:00:00+01:00"
    assert rows[-1]["start_local"] == "2026-11-18T20:00:00+01:00"


def test_every_event_is_a_row(url: str, store: SqlStore) -> None:
    """In the order of the store, across pages, with its data as JSON."""
    rows = as_rows(events(weeks.deployment(url), store.history, EVER))
    with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
        kept = database.execute("SELECT record_id FROM moonwatch_events ORDER BY position")
        assert [row["id"] for row in rows] == [row[0] for row in kept]
    assert len(rows) > 1000
    assert json.loads(rows[0]["data"])["coverage"] == 1.0


def test_a_visit_is_a_row_once_it_has_ended(url: str, store: SqlStore) -> None:
    """With when it began and ended, how long it was, and whether its end was seen."""
    rows = as_rows(visits(weeks.deployment(url), store.history, TUESDAY))
    assert rows
    assert {row["rule"] for row in rows} == {"visits"}
    assert {row["complete"] for row in rows} <= {"yes", "no"}
    assert all((row["complete"] == "yes") == (row["reason"] == "over") for row in rows)


def test_what_was_seen_is_a_row_for_each_box(tmp_path: Path) -> None:
    """With its track; a picture without any box, and one without an answer, are rows too."""
    store = SqlStore(f"sqlite:///{tmp_path / 'seen.db'}")
    answers: list[Answer] = [
        Boxes("coco", ((0.1, 0.2, 0.3, 0.4), (0.5, 0.5, 0.6, 0.9)), (0.9, 0.8)),
        Boxes("coco", (), ()),
        Failed("coco", "timeout"),
    ]
    frames = [
        ObservedFrame(
            Result("plaza", "r", "coco", n, n, 60.0 + n, (640, 480), True, {"people": answer}),
            {"people": (7, None)} if n == 0 else {},
        )
        for n, answer in enumerate(answers)
    ]
    content = tail(frames)
    kept = ObservationTail("plaza", "coco", "r", 60, len(frames), content, ends=True)
    store.commit(Commit(observations=[kept]))
    rows = as_rows(observations(weeks.deployment("sqlite:///none.db"), store, EVER))
    assert [(r["kind"], r["track"], r["score"], r["x_min"], r["answer"]) for r in rows] == [
        ("box", "7", "0.9", "0.1", ""),
        ("box", "", "0.8", "0.5", ""),
        ("none", "", "", "", ""),
        ("failed", "", "", "", "timeout"),
    ]
    late = Span(61.0, 62.0)
    assert len(as_rows(observations(weeks.deployment("sqlite:///none.db"), store, late))) == 1
    store.close()


def test_a_text_is_never_a_formula(tmp_path: Path) -> None:
    """What a spreadsheet would run begins with an apostrophe; numbers are left alone."""
    url = f"sqlite:///{tmp_path / 'one.db'}"
    store = SqlStore(url)
    bad = "=HYPERLINK(A1)"
    store.commit(
        Commit(
            events=[Event("1", "line_crossing", "single", "plaza", bad, 0.0)],
            buckets=[Bucket("plaza", "middle", 0, 1, 1.0, {"entered": -3, "left": None})],
        )
    )
    shop = weeks.deployment(url)
    assert as_rows(events(shop, store.history, EVER))[0]["rule"] == f"'{bad}"
    values = [row["value"] for row in as_rows(counts(shop, store.history, "1m", EVER))]
    assert values[:2] == ["-3", ""]
    store.close()


def test_all_formats_hold_the_same(url: str, store: SqlStore) -> None:
    """JSON lines and Parquet have the rows of the CSV, typed, with null for unknown."""
    shop = weeks.deployment(url)
    lines, table = io.BytesIO(), io.BytesIO()
    written = write_jsonl(counts(shop, store.history, "1h", TUESDAY), lines)
    assert write_parquet(counts(shop, store.history, "1h", TUESDAY), table) == written
    objects = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert parquet.read_table(table).to_pylist() == objects
    assert objects[12 * 2]["value"] is None


def test_written_again_it_is_the_same(url: str, store: SqlStore) -> None:
    """Byte for byte, in each format."""
    shop = weeks.deployment(url)
    for write in (write_csv, write_jsonl, write_parquet):
        first, again = io.BytesIO(), io.BytesIO()
        write(counts(shop, store.history, "1d", EVER), first)
        write(counts(shop, store.history, "1d", EVER), again)
        assert first.getvalue() == again.getvalue()


def test_days_are_those_of_the_business() -> None:
    """A step of a day ends when the site does; hours and quarters follow the clock."""
    bar = opening_hours({"fri, sat": "18:00-03:00"}, weeks.ZONE)
    nights = list(steps(bar, "1d", at("2026-11-27T12:00"), at("2026-11-28T12:00")))
    assert [one.since for one in nights] == [at("2026-11-27T00:00"), at("2026-11-28T03:00")]
    assert nights[0].until == nights[1].since
    autumn = list(steps(bar, "1h", at("2026-10-25T00:00"), at("2026-10-26T00:00")))
    assert len(autumn) == 25
    india = list(steps(opening_hours({}, "Asia/Kolkata"), "1h", 0.0, 3600.0))
    assert [one.since for one in india] == [-1800.0, 1800.0]


@pytest.mark.parametrize("columns", [COUNTS, EVENTS, OBSERVATIONS, VISITS, FIGURES])
def test_the_page_explains_every_column(columns: tuple[object, ...]) -> None:
    """docs/export.md has a row for each, with its meaning."""
    text = Path("docs/export.md").read_text(encoding="utf-8")
    for column in columns:
        name, meaning = column.name, column.meaning  # type: ignore[attr-defined]
        assert f"| `{name}` | " in text
        assert meaning in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--what", "visits", "--since", "2030-01-01"], "no visits are stored of that; choose"),
        (["--what", "events", "--until", "2001-01-01"], "no events are stored of that; choose"),
    ],
)
def test_nothing_to_write_is_said(
    url: str, tmp_path: Path, words: list[str], sentence: str
) -> None:
    """A file with a heading only is not left to be wondered at."""
    file = tmp_path / "shop.yaml"
    file.write_text(weeks.SHOP.format(url=url), encoding="utf-8")
    out = tmp_path / "none.csv"
    command = [sys.executable, "-m", "pipeline", "export", str(file), "--out", str(out), *words]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (found.returncode, sentence in found.stderr) == (0, True), found.stderr
    assert len(out.read_text(encoding="utf-8").splitlines()) == 1
