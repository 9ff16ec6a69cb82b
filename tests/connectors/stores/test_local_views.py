"""Local hours and days in SQL are those of `export`, where clocks change and hours are half."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.stores.sql import SqlStore
from pipeline.core.events import timestamp
from pipeline.core.measures import Bucket
from pipeline.core.store import EVER, Commit
from pipeline.deployment.loader import parse
from pipeline.deployment.model import Deployment
from pipeline.reports.export import counts
from pipeline.reports.writing import write_csv
from pipeline.runtime.site_days import SiteDayKeeper
from pipeline.testing import ManualClock
from tests.connectors.stores.postgres import server_url

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC).timestamp()
CAMERA = """
  NAME:
    source: {type: file, path: configs/media/plaza.mp4}SITE
    tasks: {people: {detect: person}}
    lines: {door: {from: [0.5, 0.1], to: [0.5, 0.9]}}
    zones: {hall: {polygon: [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]}}
    rules:
      door: {type: line_crossing, of: people, line: door}
      hall: {type: occupancy, of: people, zone: hall, more_than: 3}
"""
TEXT = """
version: 1
site: {name: "Bar", timezone: Europe/Berlin,
  hours: {mon-thu: "9:00-20:00", fri-sat: "18:00-3:00", sun: closed}}
sites:
  pune: {name: Pune, timezone: Asia/Kolkata}
  howe: {name: "Lord Howe", timezone: Australia/Lord_Howe, hours: {mon-sun: "7:00-2:00"}}
store: {url: "sqlite:///unused.db"}
cameras:
""" + "".join(
    CAMERA.replace("NAME", name).replace("SITE", site)
    for name, site in (
        ("bar", ""),
        ("pune", "\n    site: pune"),
        ("howe", "\n    site: howe"),
    )
)
# Days on which clocks change, with those before and after.
DAYS = [
    *(date(2026, 3, day) for day in (28, 29, 30)),
    *(date(2026, 4, day) for day in (4, 5)),
    *(date(2026, 10, day) for day in (3, 4, 24, 25, 26)),
]
VALUES = {"sum": "total", "max": "highest", "mean": "mean"}


def deployment() -> Deployment:
    """A bar that closes at three, and cameras in two other zones."""
    return parse(TEXT).deployment


def minutes() -> Iterator[Bucket]:
    """A minute in every ten or so, each with other numbers."""
    for day in DAYS:
        midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        for number, minute in enumerate(range(midnight, midnight + 86_400, 660)):
            minute -= minute % 60
            for camera in ("bar", "pune", "howe"):
                share = 1.0 if number % 5 else 0.5
                crossings = {"entered": number % 7, "left": 1}
                yield Bucket(camera, "door", minute, 10, share, crossings)
                level = {"mean": number / 8, "maximum": number % 9}
                yield Bucket(camera, "hall", minute, 10, share, level)


def filled(url: str) -> SqlStore:
    """A store with these minutes and the days of the sites."""
    clock = ManualClock(NOW)
    store = SqlStore(url, clock)
    keeper = SiteDayKeeper(deployment(), store, clock)
    keeper.look()  # before there is anything
    store.commit(Commit(buckets=list(minutes())))
    keeper.close()
    assert keeper.trouble is None
    return store


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The store with them."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('local') / 'local.db'}"
        filled(url).close()
        yield url
        return
    with server_url() as server:
        filled(server).close()
        yield server


def asked(url: str, sql: str) -> list[dict[str, Any]]:
    """Rows of a question in SQL; moments as texts in UTC, times of a wall clock without a zone."""
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        rows = [dict(row._mapping) for row in connection.execute(sa.text(sql))]
    engine.dispose()
    return [{name: _written(value) for name, value in row.items()} for row in rows]


def _written(value: object) -> object:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return timestamp(value.timestamp()).replace(".000Z", "Z")
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value


@pytest.mark.parametrize(
    ("step", "view", "since"),
    [
        pytest.param("1h", "moonwatch_counts_hourly_local", "hour_utc", marks=pytest.mark.slow),
        ("1d", "moonwatch_counts_daily_local", "day_utc"),
    ],
)
def test_local_steps_are_those_of_export(url: str, step: str, view: str, since: str) -> None:
    """Every value, with its length and how much of it is known, and no step more or less."""
    store = SqlStore(url, read_only=True)
    file = io.BytesIO()
    write_csv(counts(deployment(), store.history, step, EVER), file)
    store.close()
    exported = [
        row
        for row in csv.DictReader(io.StringIO(file.getvalue().decode(), newline=""))
        if float(row["coverage"]) > 0
    ]
    rows = {
        (row["camera"], row["rule"], row["measure"], row[since]): row
        for row in asked(url, f"SELECT * FROM {view}")
    }
    assert len(rows) == len(exported) > 100
    for row in exported:
        start = row["start"].replace(".000Z", "Z")
        found = rows[row["camera"], row["rule"], row["measure"], start]
        assert found["site"] == row["site"]
        assert float(found[VALUES[row["over_time"]]]) == pytest.approx(
            float(row["value"]), abs=1e-5
        )
        assert float(found["coverage"]) == pytest.approx(float(row["coverage"]), abs=1e-5)
        assert float(found["minutes"]) == pytest.approx(float(row["minutes"]))
        if step == "1h":
            assert found["hour"] == row["start_local"][:19]
        else:
            # The business day: what comes after midnight and before closing belongs to it.
            assert found["day"] == row["start_local"][:10]
            assert float(found["minutes_open"]) == pytest.approx(float(row["minutes_open"]))


def test_days_have_the_length_that_clocks_give_them(url: str) -> None:
    """23 and 25 hours in Berlin, half an hour more or less on Lord Howe, always 24 in Pune."""
    rows = asked(
        url,
        "SELECT camera, day, minutes / 60.0 AS hours FROM moonwatch_counts_daily_local "
        "WHERE rule = 'door' AND measure = 'entered'",
    )
    hours = {(row["camera"], row["day"]): float(row["hours"]) for row in rows}
    # The night from Saturday to Sunday, in which clocks change, is Saturday's.
    assert hours["bar", "2026-03-28"] == 23.0
    assert hours["bar", "2026-10-24"] == 25.0
    assert hours["howe", "2026-04-04"] == 24.5
    assert {value for (camera, _), value in hours.items() if camera == "pune"} == {24.0}


def test_an_edit_of_a_site_moves_its_days(tmp_path: Path) -> None:
    """Also those of the past; a camera that is no longer in the file keeps its site's."""
    url, clock = f"sqlite:///{tmp_path}/local.db", ManualClock(NOW)
    store = filled(url)
    edited = TEXT.replace("Europe/Berlin", "America/New_York")
    edited = edited[: edited.index("  pune:\n    source")]
    keeper = SiteDayKeeper(parse(edited).deployment, store, clock)
    keeper.look()
    store.close()
    rows = asked(url, "SELECT DISTINCT site, camera, hour FROM moonwatch_counts_hourly_local")
    by_camera = {row["camera"] for row in rows}
    assert by_camera == {"bar", "pune", "howe"}
    at_utc = asked(
        url,
        "SELECT DISTINCT hour FROM moonwatch_counts_hourly_local "
        "WHERE camera = 'bar' AND hour_utc = '2026-10-24T12:00:00Z'",
    )
    assert [row["hour"] for row in at_utc] == ["2026-10-24T08:00:00"]
