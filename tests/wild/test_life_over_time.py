"""A deployment over months and years: wrong clocks, restarts, edits, other releases."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.stores.sql import SqlStore
from pipeline.core.measures import Bucket, Health
from pipeline.core.store import Commit
from pipeline.deployment.loader import parse
from pipeline.runtime.stages.retention import Retention
from pipeline.testing import ManualClock
from tests.contracts.event_tools import an_event

DAY = 86400.0
TODAY = 1_800_000_000.0  # January 2027
YEARS = 365.25 * DAY
TEXT = """
version: 1
store: {url: "sqlite:///FOLDER/events.db", keep: 30d}
cameras:
  door:
    source: {type: rtsp, url: "rtsp://127.0.0.1:9/door"}
"""


class Machine:
    """A machine whose clock can be set, with a store of 29 days."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = 0
        self.runs: list[tuple[SqlStore, Retention]] = []
        self.start(TODAY - 29 * DAY)
        for _ in range(29):
            self.keep()
            self.clock.advance(DAY)

    def start(self, at: float) -> None:
        """Moonwatch is started while the machine's clock says `at`; nothing is written yet."""
        self.close()
        self.clock = ManualClock(at)
        deployment = parse(TEXT.replace("FOLDER", str(self.folder))).deployment
        self.store: SqlStore = deployment.store.build(self.clock)
        self.retention = Retention(
            deployment, self.store, deployment.store.build_media(self.store), self.clock
        )
        self.runs.append((self.store, self.retention))

    def keep(self) -> None:
        """Keep an event, a minute and a camera's state."""
        self.number += 1
        minute = Bucket("door", "footfall", self.number * 60, 1, 1.0)
        change = Health("door", float(self.number), "online")
        self.store.commit(Commit([an_event(self.number)], [minute], [change]))

    def work(self, days: float) -> None:
        """Be at work for some days."""
        self.retention.look()
        for _ in range(round(days * 4)):
            self.clock.advance(DAY / 4)
            self.retention.look()

    def kept(self) -> int:
        """How many events are left, of as many minutes and states."""
        events = len(self.store.events_after(0, 1000))
        assert len(self.store.history.buckets()) == events
        assert len(self.store.history.health()) == events
        return events

    def close(self) -> None:
        """End what runs."""
        for store, retention in self.runs:
            retention.close()
            store.close()
        self.runs.clear()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine."""
    made = Machine(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("ahead_s", [31 * DAY, 200 * DAY, 9 * YEARS, 5000 * YEARS])
def test_started_while_the_clock_was_ahead(
    machine: Machine, ahead_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is forgotten that has not aged, also at the second start; it is said what helps."""
    for _ in range(2):
        machine.start(TODAY + ahead_s)
        machine.keep()
        machine.work(0.5)
        assert machine.kept() == machine.number
        assert "this machine's clock says" in str(machine.retention.trouble)
        assert "if the clock is wrong, correct it" in caplog.text
    caplog.clear()
    caplog.set_level(logging.INFO)
    machine.start(TODAY + DAY)
    machine.work(1)
    assert machine.retention.trouble is None
    assert machine.kept() == 30  # the oldest one is 31 days old by now
    assert "records that a wrong clock dated: 6; they count as stored now" in caplog.text
    machine.work(31)
    assert machine.kept() == 0


@pytest.mark.parametrize("clock_says", [0.0, 3600.0, 200 * DAY])
def test_started_before_the_clock_was_set(
    machine: Machine, clock_says: float, caplog: pytest.LogCaptureFixture
) -> None:
    """A board without a battery begins in 1970: nothing is forgotten, neither now nor once it is
    set.
    """
    machine.start(clock_says)
    machine.keep()
    machine.work(0.5)
    assert machine.kept() == 30
    assert "nothing is deleted until it is set" in str(machine.retention.trouble)
    machine.start(TODAY)
    machine.keep()
    machine.work(0)
    assert machine.kept() == 31
    assert machine.retention.trouble is None


def test_set_while_at_work_on_a_new_store(tmp_path: Path) -> None:
    """The first start of all is in 1970, and minutes later the network sets the clock."""
    machine = Machine(tmp_path / "other")
    machine.folder = tmp_path  # with nothing in it yet
    machine.start(10.0)
    machine.keep()
    machine.work(0)
    machine.start(TODAY)
    machine.keep()
    machine.work(29)
    assert machine.kept() == 2
    machine.work(2)
    assert machine.kept() == 0
    machine.close()


def test_a_clock_that_is_a_year_behind(machine: Machine) -> None:
    """What was stored meanwhile is forgotten in the order of its arrival, not by its date."""
    machine.start(TODAY - YEARS)
    machine.keep()
    machine.work(0.5)
    machine.start(TODAY)
    machine.keep()
    machine.work(0)
    events = [stored.event for stored in machine.store.events_after(0, 100)]
    assert len(events) == 31


def test_switched_off_for_six_weeks(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    """What is too old is forgotten later but in time again after as many weeks, as was said."""
    machine.start(TODAY + 42 * DAY)
    machine.work(0)
    assert machine.kept() == 29
    assert "so what is older than `store.keep` is deleted later" in caplog.text
    machine.work(2)
    assert machine.kept() == 27
    machine.work(28)
    assert machine.kept() == 0
    machine.work(14)
    assert machine.retention.trouble is None


def test_switched_off_every_night_and_at_weekends(machine: Machine) -> None:
    """That is no reason to doubt the clock."""
    for days in (0.5, 1.5, 3.5, 4.5, 7):
        machine.start(TODAY + days * DAY)
        machine.work(0.5)
        assert machine.retention.trouble is None


def test_the_clock_is_put_back_while_a_run_is_dead(machine: Machine) -> None:
    """A run that was killed in 2036 is not alive for nine years, nor is what it was asked."""
    machine.start(TODAY + 9 * YEARS)
    machine.store.presence.say("run:here:1:a", b"{}", timedelta(seconds=7))
    machine.store.requests.ask("reload", timedelta(seconds=60))
    machine.start(TODAY)
    assert machine.store.presence.members() == {}
    assert machine.store.requests.asked() is None
