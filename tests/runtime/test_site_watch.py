"""How a site stands is read from its store: what goes on, how many there are, who works."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.stores.sql import SqlStore
from pipeline.core.errors import QueueError
from pipeline.core.events import Event, event_id
from pipeline.core.measures import Bucket, Health
from pipeline.core.site_state import CameraState, RuleLayout, RuleState
from pipeline.core.store import Commit
from pipeline.core.switching import ENABLED, MORE_THAN, FileLimit, SwitchRange
from pipeline.deployment.loader import parse
from pipeline.deployment.model import Deployment
from pipeline.runtime.reports import Report
from pipeline.runtime.site_watch import SiteWatch, layout_of
from pipeline.runtime.today import TodaysNumbers
from pipeline.telemetry.figures import CameraFigures
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock

NOON = 1_699_963_200.0  # 2023-11-14 12:00 UTC
FILE = """
version: 1
site: {name: Shop 12}
cameras:
  door:
    source: {type: rtsp, url: "rtsp://10.0.0.7/1"}
    tasks: {people: {detect: person}}
    lines: {step: {from: [0.1, 0.6], to: [0.9, 0.6]}}
    rules:
      footfall: {type: line_crossing, of: people, line: step, names: {in: coming, out: going}}
      queue: {type: occupancy, of: people, more_than: 4}
"""


class Shop:
    """A store that is written to, and the watch that reads it."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(NOON)
        self.place = folder / "shop.db"
        self.store = SqlStore(f"sqlite:///{self.place}", self.clock)
        self.metrics = Metrics()
        self.reports: list[Report] | Exception = [report()]
        self.deployment = parse(FILE).deployment
        self.restart()
        self.keep(health=[Health("door", NOON - 60, "online")])

    def restart(self) -> None:
        """As after a kill: nothing is known but what the store has."""
        history = self.store.history
        self.today = TodaysNumbers(self.deployment, history, self.metrics, self.clock)
        self.watch = SiteWatch(
            self.deployment, self.store, history, self.today, self._reports, self.clock
        )

    def keep(self, **what: Any) -> None:
        """Let something be stored."""
        self.store.commit(Commit(**what))

    def door(self) -> CameraState:
        """How the camera stands a little later."""
        self.clock.advance(5)
        for _ in range(4):
            self.today.look()
        return self.watch.state().cameras["door"]

    def queue(self) -> RuleState:
        """How its rule `queue` stands."""
        return self.door().rules["queue"]

    def _reports(self) -> list[Report]:
        if isinstance(self.reports, Exception):
            raise self.reports
        return self.reports


def report(**fields: Any) -> Report:
    """A sampler that has the camera open and finds nothing wrong with it."""
    return Report("sampling", "here", 1, 1.0, **{"samples": ["door"], **fields})


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop with one camera."""
    made = Shop(tmp_path)
    yield made
    made.store.close()


def happening(phase: Any, number: int = 0, **fields: Any) -> Event:
    """The start or end of one."""
    made = Event(
        event_id("door", "queue", "zone", NOON + number),
        "occupancy",
        phase,
        "door",
        "queue",
        NOON + number,
    )
    return replace(made, **fields)


def minute(ago: int, values: dict[str, float | None], **fields: Any) -> Bucket:
    """A minute of the rule `queue`, so many before this one."""
    made = Bucket("door", "queue", int(NOON) - 60 * ago, 120, 1.0, values)
    return replace(made, **fields)


def test_what_goes_on_is_active_also_after_a_restart(shop: Shop) -> None:
    """From its start to its end, whoever else happens at the same time."""
    assert shop.queue().active is False
    shop.keep(events=[happening("start"), happening("start", 1)])
    assert shop.queue().active is True
    shop.keep(events=[happening("end")])
    assert shop.queue().active is True
    shop.restart()
    assert shop.queue().active is True
    shop.keep(events=[happening("end", 1)])
    assert shop.queue().active is False
    shop.restart()
    assert shop.queue().active is False


def test_a_rejected_happening_is_none(shop: Shop) -> None:
    """What a second look has rejected does not go on."""
    shop.keep(events=[happening("start", data={"verified": "rejected"})])
    assert shop.queue().active is False
    shop.keep(events=[happening("start", 1, data={"verified": "unverified"})])
    assert shop.queue().active is True


def test_the_same_state_is_the_same_object(shop: Shop) -> None:
    """So that whoever shows it has nothing to compare."""
    shop.door()
    first = shop.watch.state()
    shop.clock.advance(5)
    assert shop.watch.state() is first
    shop.keep(events=[happening("start")])
    shop.clock.advance(5)
    assert shop.watch.state() is not first


def test_a_level_is_that_of_now(shop: Shop) -> None:
    """The newest known minute; soon it is unknown, not what it was."""
    assert shop.queue().level is None
    shop.keep(buckets=[minute(1, {"mean": 3.0}), minute(0, {"mean": None}, unfinished=True)])
    before = shop.queue()
    assert (before.level, before.level_coverage) == (3.0, 1.0)
    running = minute(0, {"mean": 5.0}, coverage=0.25, unfinished=True)
    shop.keep(buckets=[running])
    shop.clock.advance(15)
    now = shop.queue()
    assert (now.level, now.level_at) == (5.0, running.minute)
    assert now.level_coverage == pytest.approx(0.5, abs=0.1)
    shop.clock.advance(300)
    assert shop.queue().level is None


def test_today_is_counted_soon_after_something_happened(shop: Shop) -> None:
    """A minute at the latest, and at once where an event says so."""
    shop.keep(buckets=[minute(1, {"mean": 3.0, "maximum": 4.0})])
    today = shop.queue()
    assert today.today == {"mean": 3.0, "maximum": 4.0}
    assert today.today_since == NOON - 12 * 3600
    assert today.today_coverage == pytest.approx(60 / (12 * 3600), rel=0.01)
    assert today.today_at == NOON
    shop.keep(buckets=[minute(0, {"mean": 3.0, "maximum": 9.0})])
    assert shop.queue().today["maximum"] == 4.0
    shop.keep(events=[happening("start")])
    shop.queue()
    assert shop.queue().today["maximum"] == 9.0
    assert set(shop.door().rules["footfall"].today.values()) == {None}


def test_a_camera_works_while_somebody_says_so(shop: Shop) -> None:
    """It is open, was seen, and nothing is wrong with it that hinders judging."""
    trouble = Event("t", "camera_black", "start", "door", "camera", NOON, data={"state": "black"})
    clock = replace(trouble, id="c", type="camera_clock", data={"state": "clock"})
    assert (shop.door().works, shop.door().state) == (True, "online")
    shop.keep(events=[clock])
    assert (shop.door().works, shop.door().state) == (True, "clock")
    shop.keep(events=[trouble])
    assert (shop.door().works, shop.door().state, shop.door().since) == (False, "black", NOON)
    shop.restart()
    assert shop.door().works is False
    shop.keep(events=[replace(trouble, phase="end"), replace(clock, phase="end")])
    assert shop.door().works is True
    shop.reports = [report(wellness={"door": [{"state": "unjudged", "sentence": "is not judged"}]})]
    found = shop.door()
    assert (found.works, found.state, found.detail) == (False, "unjudged", "is not judged")
    shop.reports = [report(samples=[])]
    found = shop.door()
    assert (found.works, found.state) == (False, "unknown")
    shop.reports = QueueError("Redis is not responding")
    assert shop.door().works is False
    figures = CameraFigures(sampled=90, dropped={"stale": 10, "rate": 900})
    shop.reports = [report(figures={"door": figures})]
    assert (shop.door().works, shop.door().dropped_ratio) == (True, 0.1)


def test_a_camera_that_was_never_seen_does_not_work(tmp_path: Path) -> None:
    """Although a process is trying to open it."""
    shop = Shop(tmp_path)
    with sa.create_engine(f"sqlite:///{shop.place}").begin() as connection:
        connection.execute(sa.text("DELETE FROM moonwatch_health"))
    assert (shop.door().works, shop.door().state) == (False, None)
    shop.store.close()


def test_a_damaged_event_does_not_blind_it(shop: Shop) -> None:
    """What can be read is; the sinks go round it too."""
    shop.store.register_sinks(["home"])
    shop.keep(events=[happening("start"), happening("start", 1)])
    with sa.create_engine(f"sqlite:///{shop.place}").begin() as connection:
        wanted = "UPDATE moonwatch_events SET body = '{' WHERE position = 2"
        assert connection.execute(sa.text(wanted)).rowcount == 1
    shop.restart()
    assert shop.queue().active is True
    shop.keep(events=[happening("end")])
    assert shop.queue().active is False


def test_the_layout_is_that_of_the_file(shop: Shop) -> None:
    """A rule's measures are those that it is told to keep; another file is another layout."""
    layout = layout_of(shop.deployment)
    footfall = layout.cameras["door"].rules["footfall"]
    assert footfall.words == ("coming", "going")
    assert [one.name for one in footfall.measures] == ["entered", "left"]
    assert isinstance(layout.cameras["door"].rules["queue"], RuleLayout)
    shop.watch.update(_without_queue(shop.deployment))
    assert list(shop.watch.state().cameras["door"].rules) == ["footfall"]


def _without_queue(deployment: Deployment) -> Deployment:
    door = deployment.cameras["door"]
    rules = {"footfall": door.rules["footfall"]}
    cameras = {"door": door.model_copy(update={"rules": rules})}
    return deployment.model_copy(update={"cameras": cameras})


def test_rules_are_as_they_were_switched(shop: Shop) -> None:
    """At once for whoever did it, also for a process that begins then."""
    assert (shop.door().rules["queue"].is_on, shop.door().rules["queue"].more_than) == (True, 4)
    assert shop.door().rules["footfall"].more_than is None
    shop.store.switch("door", "queue", ENABLED, False, "anna")
    shop.store.switch("door", "queue", MORE_THAN, 9, "anna", instead_of=FileLimit(4))
    shop.clock.advance(1.5)
    assert (shop.door().rules["queue"].is_on, shop.door().rules["queue"].more_than) == (False, 9)
    shop.restart()
    assert (shop.door().rules["queue"].is_on, shop.door().rules["queue"].more_than) == (False, 9)
    shop.watch.update(parse(FILE.replace("more_than: 4", "more_than: 5")).deployment)
    assert shop.door().rules["queue"].more_than == 5
    queue = layout_of(shop.deployment).cameras["door"].rules["queue"]
    assert (queue.limits, queue.more_than) == (SwitchRange(0, 1_000_000), 4)
    assert layout_of(shop.deployment).cameras["door"].rules["footfall"].limits is None


def test_what_is_armed_is_as_it_was_asked_for(shop: Shop) -> None:
    """At once, although it takes effect a little later; of one camera, or of all of them."""
    assert (shop.door().is_armed, shop.watch.state().is_armed) == (True, True)
    shop.store.arm("door", False, "anna")
    assert (shop.door().is_armed, shop.watch.state().is_armed) == (False, True)
    shop.store.arm(None, True, "anna")
    assert (shop.door().is_armed, shop.watch.state().is_armed) == (True, True)
    shop.store.arm(None, False, "anna")
    assert (shop.door().is_armed, shop.watch.state().is_armed) == (False, False)
    shop.restart()
    assert shop.door().is_armed is False
    assert layout_of(shop.deployment).cameras["door"].can_be_armed is False
    guarded = parse(FILE.replace("more_than: 4", "more_than: 4, when: armed")).deployment
    assert layout_of(guarded).cameras["door"].can_be_armed is True
