"""A sink that tells later, served by a lane: outages, kills and idle times lose nothing."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.sinks.notify import NotifyConfig
from connectors.stores.sql import SqlStore
from pipeline.core.sinks import HELD_BACK, HeldBack, SinkContext
from pipeline.core.store import Commit
from pipeline.delivery import Route, SinkLane
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, patience
from tests.connectors.sinks.phone import Phone, phone_on
from tests.contracts.event_tools import an_event
from tests.delivery.told_often import LAST_STEPS
from tests.redis_server import free_port

ROOT = Path(__file__).parents[2]
KILLS = 6


class Watch:
    """A lane with a store, a clock and metrics around it, whose sink tells a phone."""

    def __init__(self, folder: Path, url: str) -> None:
        self.clock = ManualClock(an_event(20).at)
        self.store = SqlStore(f"sqlite:///{folder}/moonwatch.db", self.clock)
        self.metrics = Metrics()
        self.url = url

    def lane(self, **fields: Any) -> SinkLane:
        """A lane as a process would make it at its start."""
        given = {"type": "notify", "url": self.url, "body": "{{ id }}", **fields}
        config = NotifyConfig.model_validate(given)
        context = SinkContext("Shop", name="guard", clock=self.clock, notes=self.notes)
        route = Route.of("guard", config)
        return SinkLane(route, config.build(context), self.store, self.clock, self.metrics)

    @property
    def notes(self) -> Any:
        """What the sink remembers."""
        return self.store.notes_of("guard")

    def run(self, lane: SinkLane, seconds: float) -> None:
        """Let so much time pass, and the lane rest as it wants to."""
        until = self.clock.now() + seconds
        while self.clock.now() < until:
            self.clock.advance(lane.step())

    def count(self, name: str) -> float | None:
        """What a metric says."""
        return self.metrics.value(f"moonwatch_{name}", sink="guard")


@pytest.fixture
def phone() -> Iterator[Phone]:
    """One that takes everything."""
    with phone_on() as phone:
        yield phone


@pytest.fixture
def watch(phone: Phone, tmp_path: Path) -> Iterator[Watch]:
    """With ten events in the store."""
    watch = Watch(tmp_path, phone.json_url)
    watch.store.commit(Commit(events=[an_event(number) for number in range(10)]))
    yield watch
    watch.store.close()


def test_what_waits_is_told_while_nothing_happens(watch: Watch, phone: Phone) -> None:
    """And metrics count it from the moment that it waits."""
    lane = watch.lane(at_most={"messages": 2, "per": "1h"}, digest="1m")
    watch.run(lane, 50)
    assert watch.store.cursor("guard").behind == 0
    assert [watch.count(name) for name in ("sink_waiting", "events_held_back_total")] == [8, 8]
    assert watch.count("messages_sent_total") == 2
    watch.run(lane, 20)
    assert phone.texts[2:] == ["and 8 more since 22:13: door 8"]
    assert [watch.count(name) for name in ("sink_waiting", "messages_sent_total")] == [0, 3]


def test_an_outage_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    """Nobody answers for ten minutes: then each message comes once, and what waits as well."""
    port = free_port()
    with phone_on(port) as phone:
        watch = Watch(tmp_path, phone.json_url)
        lane = watch.lane(at_most={"messages": 4, "per": "1h"}, digest="1m")
        watch.store.commit(Commit(events=[an_event(1), an_event(2)]))
        watch.run(lane, 2)
    watch.store.commit(Commit(events=[an_event(number) for number in range(3, 9)]))
    watch.run(lane, 600)
    assert "cannot be reached" in str(lane.status().error)
    assert lane.status().undelivered == 0
    with phone_on(port) as later:
        watch.run(lane, 600)
        assert lane.status().error is None
    told = phone.texts + later.texts
    assert told[:4] == [an_event(number).record_id for number in range(1, 5)]
    (digest,) = told[4:]
    assert digest.startswith("and 4 more since ")
    watch.store.close()


def test_a_service_that_refuses_a_message_for_good_makes_a_dead_letter(
    watch: Watch, phone: Phone
) -> None:
    """With the reason and without the address; sent again by hand it arrives, and only it."""
    phone.answers = [200, 404]
    watch.run(watch.lane(at_most=None), 2)
    (letter,) = watch.store.undelivered("guard")
    assert letter.record_id == an_event(1).record_id
    assert letter.reason.endswith("answers 404 (Not Found)")
    assert "s3cret" not in letter.reason
    assert phone.texts == [an_event(number).record_id for number in (0, *range(2, 10))]


def test_a_trouble_in_the_middle_of_a_load_repeats_nothing(watch: Watch, phone: Phone) -> None:
    """Although the cursor has not moved, each message is noted by itself."""
    phone.answers = [200, 200, 200, 503, 503]
    watch.run(watch.lane(at_most=None), 30)
    assert phone.texts == [an_event(number).record_id for number in range(10)]
    assert watch.count("delivery_failures_total") == 2


def test_a_digest_that_cannot_be_told_counts_as_a_failure(watch: Watch, phone: Phone) -> None:
    """The lane says why it waits, and goes on when it is told."""
    lane = watch.lane(at_most={"messages": 1, "per": "1h"}, digest="1m")
    watch.run(lane, 10)
    phone.always = 500
    watch.run(lane, 60)
    assert "answers 500" in str(lane.status().error)
    phone.always = 200
    watch.run(lane, 400)
    assert lane.status().error is None
    assert phone.texts[1:] == ["and 9 more since 22:13: door 9"]


def test_kills_lose_nothing_and_double_only_what_was_being_told(
    phone: Phone, tmp_path: Path
) -> None:
    """Each happening is told by itself or in a digest, after six lives that were cut short."""
    command = [sys.executable, "-W", "error::ResourceWarning", "-m", "tests.delivery.told_often"]
    done = subprocess.run(
        [*command, str(tmp_path), phone.json_url, str(KILLS), "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patience(100),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    clock = ManualClock(4e9)
    store = SqlStore(f"sqlite:///{tmp_path}/moonwatch.db")
    kept = [one.event for one in store.events_after(0, 100_000)]
    assert store.cursor("guard").behind == 0
    assert store.undelivered("guard") == []
    noted = HeldBack.read(store.notes_of("guard").note(HELD_BACK))
    # What still waits is told by the next life.
    fields = {"type": "notify", "url": phone.json_url}
    context = SinkContext("test", clock=clock, notes=store.notes_of("guard"))
    NotifyConfig.model_validate(fields).build(context).tick()
    store.close()

    digests = [re.match(r"and (\d+) more since", text) for text in phone.texts]
    single = Counter(text for text in phone.texts if not text.startswith("and "))
    urgent = {event.id for event in kept if event.rule == "intruder"}
    assert len(kept) >= 2 * (KILLS // 2 + LAST_STEPS)
    assert urgent <= single.keys()
    assert single.keys() <= {event.id for event in kept}
    # A life that was cut short may have told one message that it could not note any more.
    in_digests = [int(found[1]) for found in digests if found]
    assert noted.held + len(single) == len(kept)
    assert sum(in_digests) >= noted.held
    assert len(phone.texts) - (noted.messages + (noted.waiting > 0)) <= KILLS
    assert sum(single.values()) - len(single) <= KILLS
