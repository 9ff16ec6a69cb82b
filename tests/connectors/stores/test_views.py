"""The views of the store give the figures of `export`, in SQLite and in PostgreSQL."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.stores import _schema, _views
from connectors.stores.sql import SqlStore
from pipeline.core.address import Address
from pipeline.core.events import Event, JsonValue, Phase, Subject, timestamp
from pipeline.core.measures import Bucket
from pipeline.core.store import EVER, Commit, JudgedAnew
from pipeline.deployment.model import Deployment
from pipeline.reports.export import VISIT_UNIT, Export, counts, events, visits
from pipeline.reports.writing import write_csv
from pipeline.rules import all_rules
from pipeline.runtime.site_days import SiteDayKeeper
from pipeline.testing import ManualClock
from tests.architecture.source_tree import ROOT
from tests.connectors.stores.golden import dump
from tests.connectors.stores.postgres import server_url
from tests.reports import weeks

PHASES: tuple[Phase, ...] = ("start", "end")
VISITS: Mapping[int, Mapping[str, JsonValue]] = {1: {"verified": "rejected"}, 2: {}}
VALUES = {"sum": "total", "max": "highest", "min": "lowest", "mean": "mean", "last": "last"}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store with three of the invented days, and minutes of which less is known."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('views') / 'views.db'}"
        _fill(url)
        yield url
        return
    with server_url() as server:
        _fill(server)
        yield server


def _fill(url: str) -> None:
    clock = ManualClock(weeks.at("2026-11-23T06:00"))
    store = weeks.filled(url, (date(2026, 11, 16), date(2026, 11, 18)))
    begins = int(weeks.at("2026-11-19T03:00"))
    nothing = {"entered": None, "left": None}
    store.commit(
        Commit(
            buckets=[
                Bucket("plaza", "middle", begins, 0, 0.0, nothing),
                Bucket("plaza", "middle", begins + 60, 10, 0.5, {"entered": 3, "left": 1}, True),
                Bucket("plaza", "crowded", begins + 60, 10, 0.25, {"mean": 4.0, "maximum": 9}),
                Bucket("plaza", "crowded", begins + 120, 10, 0.75, {"mean": 8.0, "maximum": 8}),
                Bucket("plaza", "crowded", begins + 180, 0, 0.0, {"mean": None, "maximum": None}),
            ],
            events=[
                Event(
                    id="odd",
                    type="question",
                    phase="single",
                    camera="plaza",
                    rule="words",
                    at=begins + 0.25,
                    subject=Subject("a \x00 b"),
                    data={"zone": ["no", "text"], "seconds": "long", "answer": "\x00 'quoted'"},
                ),
                *(
                    Event(
                        id=f"visit-{number}",
                        type="dwell",
                        phase=phase,
                        camera="plaza",
                        rule="visits",
                        at=begins + 60.0 * number,
                        subject=Subject("person", number),
                        data={
                            "seconds": 20.0,
                            "since": timestamp(begins),
                            "reason": "over",
                            **more,
                        },
                        run="an earlier clip.mp4" if number == 2 else "clip.mp4",
                    )
                    for number, more in VISITS.items()
                    for phase in PHASES
                ),
            ],
        )
    )
    store.commit(
        Commit(judged_anew=[JudgedAnew("plaza", "an earlier clip.mp4", frozenset({"visits"}))])
    )
    SiteDayKeeper(weeks.deployment(url), store, clock).close()
    store.close()


@pytest.fixture
def shop(url: str) -> Deployment:
    """The deployment, at a site whose days are those of UTC."""
    shop = weeks.deployment("sqlite:///unused.db")
    site = shop.site.model_copy(update={"hours": {}, "timezone": "UTC"})
    store = shop.store.model_copy(update={"url": Address(url)})
    return shop.model_copy(update={"site": site, "store": store})


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    """The store, to read."""
    store = SqlStore(url, read_only=True)
    yield store
    store.close()


@pytest.fixture
def database(url: str) -> Iterator[sa.Connection]:
    """The same for plain SQL."""
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_what_does_not_count_is_told(
    shop: Deployment, store: SqlStore, database: sa.Connection
) -> None:
    """As `export` tells it: of events, happenings and visits."""
    for name, export in (("events_flat", events), ("visits", visits)):
        key = "id" if name == "events_flat" else "happening"
        rows = asked(database, f"SELECT {key} AS id, counted_as FROM moonwatch_{name}")
        expected = exported(export(shop, store.history, EVER))
        assert {row["id"]: row["counted_as"] for row in rows} == {
            row["id"]: row["counted_as"] for row in expected
        }
    rows = asked(database, "SELECT * FROM moonwatch_happenings WHERE counted_as <> 'counted'")
    assert {row["happening"]: row["counted_as"] for row in rows} == {
        "visit-1": "rejected",
        "visit-2": "superseded",
    }


def exported(export: Export) -> list[dict[str, str]]:
    """What a CSV reader finds."""
    file = io.BytesIO()
    write_csv(export, file)
    return list(csv.DictReader(io.StringIO(file.getvalue().decode(), newline="")))


def asked(database: sa.Connection, sql: str) -> list[dict[str, Any]]:
    """Rows of a question in SQL, moments as `export` writes them."""
    return [
        {name: _written(value) for name, value in row._mapping.items()}
        for row in database.execute(sa.text(sql))
    ]


def _written(value: object) -> object:
    if isinstance(value, datetime):
        return timestamp(value.astimezone(UTC).timestamp())
    return value.isoformat() if isinstance(value, date) else value


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("step", "view", "column"),
    [
        ("1m", "moonwatch_counts_minutely", "minute"),
        ("1h", "moonwatch_counts_hourly", "hour"),
        ("1d", "moonwatch_counts_daily", "day"),
    ],
)
def test_counts_are_those_of_export(
    shop: Deployment, store: SqlStore, database: sa.Connection, step: str, view: str, column: str
) -> None:
    """Every value with its coverage; where there is no row, nothing of the measure is known."""
    rows = {
        (row["camera"], row["rule"], row["measure"], _moment(row[column])): row
        for row in asked(database, f"SELECT * FROM {view}")
    }
    seen = 0
    for expected in exported(counts(shop, store.history, step, EVER)):
        at = _moment(expected["start"].removesuffix("Z"))
        key = (expected["camera"], expected["rule"], expected["measure"], at)
        row = rows.pop(key, None)
        if row is None:
            assert expected["value"] == ""
            continue
        seen += 1
        value = row["value" if step == "1m" else VALUES[expected["over_time"]]]
        known = float(expected["value"]) if expected["value"] else None
        assert value == (None if known is None else pytest.approx(known, abs=1e-6))
        assert row["coverage"] == pytest.approx(float(expected["coverage"]), abs=1e-6)
        if step != "1m":
            minutes = float(expected["minutes_known"])
            assert row["minutes_known"] == pytest.approx(minutes, abs=1e-3)
            assert row["minutes"] == float(expected["minutes"])
    assert seen > 20
    assert not rows


def test_events_are_those_of_export(
    shop: Deployment, store: SqlStore, database: sa.Connection
) -> None:
    """In the order of `position`; what a column cannot hold is unknown and stays in `data`."""
    rows = asked(database, "SELECT * FROM moonwatch_events_flat ORDER BY position")
    expected = exported(events(shop, store.history, EVER))
    assert len(rows) == len(expected) > 1000
    same = ("id", "happening", "type", "phase", "at", "camera", "rule")
    for row, export in zip(rows, expected, strict=True):
        assert [row[name] for name in same] == [export[name] for name in same]
        if row["happening"] != "odd":
            assert (row["label"] or "") == export["label"]
            assert row["track"] == (int(export["track"]) if export["track"] else None)
            assert json.loads(row["data"]) == json.loads(export["data"])
    (odd,) = (row for row in rows if row["happening"] == "odd")
    assert (odd["zone"], odd["seconds"], odd["verified"]) == (None, None, None)
    assert json.loads(odd["data"])["zone"] == ["no", "text"]


def test_visits_are_those_of_export(
    shop: Deployment, store: SqlStore, database: sa.Connection
) -> None:
    """One row each, with when it began and ended, and whether its end was seen."""
    rows = {row["happening"]: row for row in asked(database, "SELECT * FROM moonwatch_visits")}
    expected = exported(visits(shop, store.history, EVER))
    assert len(rows) == len(expected) > 100
    for export in expected:
        row = rows[export["id"]]
        assert (row["entered_at"], row["left_at"]) == (export["entered"], export["left"])
        assert row["seconds"] == pytest.approx(float(export["seconds"]), abs=1e-6)
        assert (row["complete"], row["reason"]) == (export["complete"], export["reason"])
        assert (row["zone"] or "", row["label"]) == (export["zone"], export["label"])


def test_a_happening_is_one_row(database: sa.Connection) -> None:
    """From its first event to its end, however many events it has."""
    rows = asked(database, "SELECT * FROM moonwatch_happenings")
    events = asked(database, "SELECT * FROM moonwatch_events_flat")
    assert sum(row["events"] for row in rows) == len(events)
    assert len(rows) == len({event["happening"] for event in events}) < len(events)
    assert all(row["began"] <= row["ended"] for row in rows if row["ended"] is not None)


def test_columns_are_documented(database: sa.Connection) -> None:
    """docs/sql.md has each view with its columns in their order, and no others."""
    page = (ROOT / "docs" / "sql.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    documented = {
        name: re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) for name, text in sections
    }
    assert documented == {
        name: list(database.execute(sa.text(f"SELECT * FROM {name} LIMIT 0")).keys())
        for name in _views.NAMES
    }


def test_visits_are_of_the_rules_that_have_them() -> None:
    """The view names the types of rules whose events are visits."""
    visiting = {
        str(rule.model_fields["type"].default)
        for rule in all_rules()
        if any(measure.unit == VISIT_UNIT for measure in rule.measures)
    }
    assert visiting == {"dwell"}


def test_a_reader_with_few_rights_keeps_them(url: str, database: sa.Connection) -> None:
    """Whom only the views were given reads them, also after moonwatch was started again."""
    if database.dialect.name == "sqlite":
        file = url.removeprefix("sqlite:///")
        engine = sa.create_engine(f"sqlite:///file:{file}?mode=ro&uri=true")
    else:
        database.execute(sa.text("CREATE ROLE bi LOGIN"))
        for name in _views.NAMES:
            database.execute(sa.text(f"GRANT SELECT ON {name} TO bi"))
        database.execute(sa.text("COMMENT ON VIEW moonwatch_visits IS 'moonwatch views 0'"))
        database.commit()
        engine = sa.create_engine(
            re.sub(r"//[^@]*@", "//bi@", url.replace("postgresql:", "postgresql+psycopg:"))
        )
    SqlStore(url).close()
    with engine.connect() as reader:
        for name in _views.NAMES:
            assert reader.scalar(sa.text(f"SELECT count(*) FROM {name}"))
    engine.dispose()


def test_a_later_release_of_the_views_is_left_alone(url: str) -> None:
    """One that an earlier release made is replaced, and one that was dropped is made again."""
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    is_sqlite = engine.dialect.name == "sqlite"
    with engine.begin() as connection:
        for name, version in (("moonwatch_visits", 0), ("moonwatch_happenings", 999)):
            connection.execute(sa.text(f"DROP VIEW {name}"))
            mark = f"/* moonwatch views {version} */" if is_sqlite else ""
            old = "'x' AS happening" if version else "happening"
            source = "" if version else " FROM moonwatch_events_flat"
            connection.exec_driver_sql(f"CREATE VIEW {name} AS {mark} SELECT {old}{source}")
            if not is_sqlite:
                said = f"COMMENT ON VIEW {name} IS 'moonwatch views {version}'"
                connection.exec_driver_sql(said)
    SqlStore(url).close()
    with engine.begin() as connection:
        columns = connection.execute(sa.text("SELECT * FROM moonwatch_visits LIMIT 0")).keys()
        assert "left_at" in columns
        columns = connection.execute(sa.text("SELECT * FROM moonwatch_happenings")).keys()
        assert list(columns) == ["happening"]
        connection.execute(sa.text("DROP VIEW moonwatch_happenings"))
    SqlStore(url).close()
    with engine.begin() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM moonwatch_happenings"))
    engine.dispose()


def test_a_store_of_an_old_release_has_them(tmp_path: Path) -> None:
    """Its minutes, whose values lie in columns of their own, are rows like all others."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/moonwatch.db")
    with engine.begin() as connection:
        for statement in filter(str.strip, dump("sqlite").split(";\n")):
            connection.exec_driver_sql(statement)
    SqlStore(f"sqlite:///{tmp_path}/moonwatch.db").close()
    with engine.begin() as connection:
        rows = asked(
            connection, "SELECT * FROM moonwatch_counts_minutely WHERE rule = 'middle' LIMIT 2"
        )
        assert {row["measure"]: row["value"] for row in rows} == {"entered": 3, "left": 1}
        found = connection.scalar(sa.select(_schema.version.c.version))
        assert found == 1 + len(_schema.MIGRATIONS)
    engine.dispose()
