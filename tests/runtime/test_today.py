"""What `/metrics` says of today is what `export` says of the running day."""

import csv
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import cast

import pytest

from connectors.queues.memory import MemoryConfig
from connectors.stores.sql import SqlStore
from pipeline.core.measures import BUCKET_S, Bucket
from pipeline.core.store import DELIVER, Commit, History, LeaseOwner, Span
from pipeline.deployment.model import Deployment
from pipeline.reports.export import counts
from pipeline.reports.writing import write_csv
from pipeline.runtime.ownership import StoreLease
from pipeline.runtime.stages.base import StageContext
from pipeline.runtime.stages.delivery import DeliveryStage
from pipeline.runtime.today import TodaysNumbers
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock
from tests.reports import weeks

VALUE, COVERAGE = "moonwatch_today_value", "moonwatch_today_coverage"
NOON = weeks.at("2026-11-18T12:00")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with two of the invented days."""
    url = f"sqlite:///{tmp_path_factory.mktemp('today') / 'today.db'}"
    weeks.filled(url, (date(2026, 11, 17), date(2026, 11, 18))).close()
    return url


@pytest.fixture
def shop(url: str) -> Deployment:
    """The deployment."""
    return weeks.deployment(url)


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    """The store."""
    store = SqlStore(url)
    yield store
    store.close()


class EditedMeanwhile:
    """Another version of the file comes while minutes are read."""

    def __init__(self, history: History, edit: Callable[[], None]) -> None:
        self._history, self._edit = history, edit
        self.reads = 0

    def buckets(self, camera: str, rule: str, span: Span) -> Sequence[Bucket]:
        """Those of the history."""
        self.reads += 1
        self._edit()
        return self._history.buckets(camera, rule, span)


def shown(today: TodaysNumbers, metrics: Metrics) -> dict[tuple[str, ...], float]:
    """The values, once every rule was looked at."""
    for _ in range(20):
        today.look()
    return metrics.by_labels(VALUE)


def exported(shop: Deployment, store: SqlStore, until: float) -> dict[tuple[str, ...], float]:
    """The same of the day up to a moment, by `export`'s minutes of the day."""
    file = io.BytesIO()
    write_csv(counts(shop, store.history, "1d", Span(until - BUCKET_S, until)), file)
    rows = csv.DictReader(io.StringIO(file.getvalue().decode(), newline=""))
    return {
        (row["camera"], row["rule"], row["measure"]): float(row["value"])
        for row in rows
        if row["value"]
    }


def test_a_day_that_ends_is_that_of_export(shop: Deployment, store: SqlStore) -> None:
    """Sums, means and maxima of the site's day, and nothing where nothing is known."""
    metrics, clock = Metrics(), ManualClock(weeks.at("2026-11-18T23:59"))
    today = TodaysNumbers(shop, store.history, metrics, clock)
    expected = exported(shop, store, clock.now())
    assert shown(today, metrics) == pytest.approx(expected, abs=1e-6)
    assert len(expected) > 4
    known = sum(
        one.coverage for one in store.history.buckets("plaza", "middle", Span(NOON - 43200))
    )
    share = known / (24 * 60 - 1)
    assert metrics.value(COVERAGE, camera="plaza", rule="middle") == pytest.approx(share)


def test_it_is_read_again_after_a_minute(shop: Deployment, store: SqlStore) -> None:
    """And not before; minutes that lie ahead do not count."""
    metrics, clock = Metrics(), ManualClock(NOON)
    today = TodaysNumbers(shop, store.history, metrics, clock)
    entered = ("plaza", "middle", "entered")
    at_noon = shown(today, metrics)[entered]
    clock.advance(59)
    assert shown(today, metrics)[entered] == at_noon
    clock.advance(3600)
    assert shown(today, metrics)[entered] > at_noon


def test_a_new_day_begins_without_numbers(shop: Deployment, store: SqlStore) -> None:
    """Yesterday's are gone after midnight, and what is not known is no zero."""
    metrics, clock = Metrics(), ManualClock(weeks.at("2026-11-18T23:59"))
    today = TodaysNumbers(shop, store.history, metrics, clock)
    assert shown(today, metrics)
    clock.advance(600)
    assert shown(today, metrics) == {}
    assert set(metrics.by_labels(COVERAGE).values()) == {0.0}


def test_what_is_not_in_the_file_is_not_shown(shop: Deployment, store: SqlStore) -> None:
    """Neither a camera that is only stored, nor a rule that an edit took away."""
    store.commit(Commit(buckets=[Bucket("gone", "door", int(NOON) - 60, 9, 1.0, {"entered": 5})]))
    metrics = Metrics()
    today = TodaysNumbers(shop, store.history, metrics, ManualClock(NOON))
    assert {labels[0] for labels in shown(today, metrics)} == {"plaza"}
    plaza = shop.cameras["plaza"]
    rules = {name: rule for name, rule in plaza.rules.items() if name != "middle"}
    cameras = {"plaza": plaza.model_copy(update={"rules": rules})}
    today.update(shop.model_copy(update={"cameras": cameras}))
    assert {labels[1] for labels in shown(today, metrics)} == set(rules) - {"middle"}


def test_an_edit_that_comes_while_it_reads_is_kept_to(shop: Deployment, store: SqlStore) -> None:
    """What was read for a rule that is gone meanwhile is not shown."""
    plaza = shop.cameras["plaza"]
    without = {"plaza": plaza.model_copy(update={"rules": {}})}
    metrics = Metrics()
    history = EditedMeanwhile(
        store.history, lambda: today.update(shop.model_copy(update={"cameras": without}))
    )
    today = TodaysNumbers(shop, cast("History", history), metrics, ManualClock(NOON))
    assert shown(today, metrics) == {}
    assert history.reads == 1
    assert today.figures == {}
    assert metrics.by_labels(COVERAGE) == {}


def test_a_store_that_cannot_be_read_leaves_no_numbers(
    shop: Deployment, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, and asked again each minute."""
    file = tmp_path / "here.db"
    store = SqlStore(f"sqlite:///{file}")
    store.commit(Commit(buckets=[Bucket("plaza", "middle", int(NOON), 9, 1.0, {"entered": 5})]))
    metrics, clock = Metrics(), ManualClock(NOON + 90)
    today = TodaysNumbers(shop, store.history, metrics, clock)
    assert shown(today, metrics) == {("plaza", "middle", "entered"): 5}
    file.rename(tmp_path / "away.db")
    for _ in range(2):
        clock.advance(61)
        with caplog.at_level(logging.WARNING):
            assert shown(today, metrics) == {}
    assert caplog.text.count("numbers of today cannot be read") == 1
    (tmp_path / "away.db").rename(file)
    clock.advance(61)
    assert shown(today, metrics) == {("plaza", "middle", "entered"): 5}
    store.close()


def test_only_who_delivers_shows_them(shop: Deployment, store: SqlStore) -> None:
    """They come with the lease, and go when the process ends."""
    clock, metrics = ManualClock(NOON), Metrics()
    lease = StoreLease(store, DELIVER, LeaseOwner("me", "here", 1), clock)
    context = StageContext(shop, MemoryConfig().build(clock), metrics, clock)
    stage = DeliveryStage(context, store, lease, store.history)
    stage.poll()
    assert metrics.by_labels(VALUE) == {}
    lease.look()
    for _ in range(20):
        stage.poll()
    assert metrics.by_labels(VALUE)
    stage.stop(5.0)
    assert metrics.by_labels(VALUE) == {}
