"""Every sink gets every event, in order, whatever happens to its server or to who delivers."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from connectors.sinks import SinkConfig
from connectors.stores.sql import SqlStore
from pipeline.core.clock import SystemClock
from pipeline.core.sinks import SinkContext
from pipeline.core.store import Commit
from pipeline.delivery import Delivery, Route, SinkLane
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import patience, wait_until
from tests.contracts.event_tools import an_event
from tests.delivery.far_ends import FAR_ENDS, FarEnd
from tests.delivery.killed_often import LAST_STEPS

ROOT = Path(__file__).parents[2]
ONE_OF: Any = SinkConfig
TYPES = sorted(ONE_OF.names)
PARTS = (100, 100, 100)
IN_ORDER = [an_event(number).record_id for number in range(sum(PARTS))]
SLOW_TO_CONNECT = ("kafka", "nats", "mqtt", "notify", "archive")


def test_every_sink_is_among_these_tests() -> None:
    """A new one needs its far end: what it sends to, and how that goes away and comes back."""
    assert not set(TYPES) - set(FAR_ENDS)


@contextmanager
def far_end(type_name: str, folder: Path) -> Iterator[FarEnd]:
    """Where the events of one sink arrive; no fixture, as standard output is another one there."""
    (folder / "end").mkdir()
    with FAR_ENDS[type_name](folder / "end") as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """A store in a file."""
    made = SqlStore(f"sqlite:///{tmp_path}/moonwatch.db")
    yield made
    made.close()


def without_repetitions(ids: list[str]) -> list[str]:
    """What a reader sees who knows events by their ids."""
    return list(dict.fromkeys(ids))


@pytest.mark.parametrize("type_name", TYPES)
def test_an_outage_in_the_middle_loses_nothing(
    type_name: str, store: SqlStore, tmp_path: Path
) -> None:
    """Nor does it change the order; what comes twice is known by its id, or there once."""
    with far_end(type_name, tmp_path) as end:
        _outlast(end, store)


def _outlast(end: FarEnd, store: SqlStore) -> None:
    config: Any = TypeAdapter(SinkConfig).validate_python(end.config)
    context = SinkContext("Shop 12", name="ops", notes=store.notes_of("ops"))
    clock = SystemClock()
    lane = SinkLane(Route.of("ops", config), config.build(context), store, clock, Metrics())
    delivery = Delivery([lane], store, clock)
    delivery.start()
    events = [an_event(number) for number in range(sum(PARTS))]

    def happen(first: int, count: int) -> None:
        for number in range(first, first + count, 10):
            store.commit(Commit(events=events[number : number + 10]))
            delivery.nudge()

    first, second, _ = PARTS
    happen(0, first)
    # A file's place is taken in two steps, between which a sink at work would make a new one.
    enough = first if end.is_a_place else 1
    wait_until(lambda: lane.status().delivered >= enough, 30)
    end.fail()
    happen(first, second)
    wait_until(lambda: lane.status().error is not None, 30)
    end.heal()
    happen(first + second, PARTS[2])
    wait_until(lambda: store.cursor("ops").behind == 0, 60)
    assert delivery.stop(patience(10))
    assert lane.status().error is None
    assert store.undelivered("ops") == []
    wait_until(lambda: len(set(end.received())) == len(IN_ORDER), 30)
    received = end.received()
    assert without_repetitions(received) == IN_ORDER
    if end.is_exact:
        assert received == IN_ORDER


@pytest.mark.slow
@pytest.mark.parametrize("type_name", TYPES)
def test_a_kill_at_any_moment_loses_nothing(type_name: str, tmp_path: Path) -> None:
    """Each event arrives at least once, and exactly once where the sink's ids make it possible."""
    with far_end(type_name, tmp_path) as end:
        _survive(end, tmp_path)


def _survive(end: FarEnd, tmp_path: Path) -> None:
    type_name = end.config["type"]
    kills, longest_s = (8, 0.6) if type_name in SLOW_TO_CONNECT else (20, 0.15)
    work = tmp_path / "work"
    work.mkdir()
    command = [sys.executable, "-W", "error", "-m", "tests.delivery.killed_often"]
    told = [str(work), str(kills), "1", json.dumps(end.config), str(longest_s)]
    with (tmp_path / "end" / "stdout").open("ab") as printed:
        done = subprocess.run(
            [*command, *told],
            cwd=ROOT,
            stdout=printed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=patience(60),
            check=False,
        )
    assert done.returncode == 0, done.stderr
    store = SqlStore(f"sqlite:///{work}/moonwatch.db")
    kept = [one.event.record_id for one in store.events_after(0, 100_000)]
    assert store.cursor("log").behind == 0
    store.close()
    assert len(kept) >= 2 * (kills // 2 + LAST_STEPS)
    assert kept == [an_event(number).record_id for number in range(len(kept))]
    wait_until(lambda: len(set(end.received())) == len(kept), 30)
    received = end.received()
    assert set(received) == set(kept)
    if end.is_exact:
        assert received == kept
