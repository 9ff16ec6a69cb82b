"""Delivery says how it does: last success, time since capture, rate, and refusals by reason."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.stores.sql import SqlStore
from pipeline.core.delivery_figures import FIGURES, Counting, DeliveryFigures, sentence_class
from pipeline.core.errors import SinkError
from pipeline.core.events import Event
from pipeline.core.store import Commit, StoredEvent
from pipeline.delivery import Route, SinkLane
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ListSink, ManualClock
from tests.contracts.event_tools import an_event


class Choosy(ListSink):
    """Refuses every other event, each with words of its own."""

    def send(self, events: Sequence[Event]) -> None:
        """Take one, or refuse it."""
        self.attempts += 1
        if self.attempts % 2 == 0:
            raise SinkError(f"https://h.test/{self.attempts} answers 400", retryable=False)
        self.events.extend(events)


def test_figures_are_told_and_survive_a_restart(tmp_path: Path) -> None:
    """In the lane's status, in the metrics, and in the store for other processes."""
    clock = ManualClock()
    store = SqlStore(f"sqlite:///{tmp_path}/moonwatch.db", clock)
    metrics = Metrics()
    store.commit(Commit(events=[an_event(number) for number in range(4)]))
    lane = SinkLane(Route("ops", at_once=1), Choosy(), store, clock, metrics)
    clock.advance(7)
    while not lane.step():
        clock.advance(1)
    lane.close()
    status = lane.status()
    assert (status.accepted, status.last_minute, status.last_hour) == (
        an_event(2).record_id,
        2,
        2,
    )
    assert status.accepted_at is not None
    assert status.took_s == status.accepted_at - an_event(2).at
    assert status.p95_s == 7.0
    assert status.refused_by == {"… answers 400": 2}
    assert metrics.value("moonwatch_sink_accepted_seconds", sink="ops") == status.accepted_at
    assert metrics.value("moonwatch_capture_to_accepted_seconds_count", sink="ops") == 2
    noted = DeliveryFigures.of_text(store.notes_of("ops").note(FIGURES))
    assert (noted.accepted, noted.refused_by) == (status.accepted, status.refused_by)

    clock.advance(4000)
    again = SinkLane(Route("ops"), ListSink(), store, clock, metrics)
    again.step()
    assert (again.status().accepted, again.status().last_hour) == (status.accepted, 0)
    assert again.status().refused_by == status.refused_by
    store.close()


def test_what_waits_has_an_age(tmp_path: Path) -> None:
    """Which grows while the sink is away, and is over once it is back."""
    clock = ManualClock()
    store = SqlStore(f"sqlite:///{tmp_path}/moonwatch.db", clock)
    metrics = Metrics()
    store.commit(Commit(events=[an_event(1)]))
    lane = SinkLane(Route("ops"), ListSink(failures=1), store, clock, metrics)
    began = clock.now()
    lane.step()
    clock.advance(30)
    lane._tell(at_once=True)
    assert lane.status().oldest_at == began
    assert metrics.value("moonwatch_sink_lag_seconds", sink="ops") == 30
    lane.step()
    clock.advance(30)
    lane.step()
    assert lane.status().oldest_at is None
    assert metrics.value("moonwatch_sink_lag_seconds", sink="ops") == 0
    store.close()


@pytest.mark.parametrize(
    ("late_s", "recordings", "took_s"),
    [
        (3000.0, ("yard",), 3000.0),  # an outage counts in full
        (3.0, ("door",), None),  # a recording's time says nothing of the sink, however near it is
        (1e6, (), None),  # nor does that of a clock which was wrong
        (-1e6, (), None),
    ],
)
def test_only_the_time_of_live_cameras_is_one_of_delivery(
    tmp_path: Path, late_s: float, recordings: tuple[str, ...], took_s: float | None
) -> None:
    """From their capture to acceptance."""
    clock = ManualClock(an_event(1).at + late_s)
    store = SqlStore(f"sqlite:///{tmp_path}/moonwatch.db", clock)
    store.commit(Commit(events=[an_event(1)]))
    lane = SinkLane(
        Route("ops"),
        ListSink(),
        store,
        clock,
        Metrics(),
        is_recording=lambda camera: camera in recordings,
    )
    lane.step()
    lane.close()
    assert (lane.status().accepted, lane.status().took_s, lane.status().p95_s) == (
        an_event(1).record_id,
        took_s,
        took_s,
    )
    store.close()


@pytest.mark.parametrize("text", [None, "", "[1]", '"a"', "nonsense", '{"later": 1}'])
def test_what_cannot_be_read_is_unknown(text: str | None) -> None:
    """Such as the notes of another release."""
    assert DeliveryFigures.of_text(text) == DeliveryFigures()


def test_reasons_are_told_apart_by_their_words() -> None:
    """Not by names, addresses and long numbers; an answer's status stays."""
    one = "mqtt://10.0.0.7:1883 refused 'shop/door': 413 (123456 bytes)"
    assert sentence_class(one) == "… refused …: 413 (… bytes)"


def test_how_long_events_take_is_of_the_last_hour() -> None:
    """Of more than it keeps of the newest, which is told; an hour later nothing is known."""
    now = 1_780_315_200.0
    before = DeliveryFigures(p95_s=9.0, p50_s=8.0, noted_at=now - 60)
    counting = Counting(before)
    assert counting.figures(now).p95_s == 9.0
    assert counting.figures(now + 3600).p95_s is None

    def accepted(number: int, at: float, took_s: float) -> None:
        event = replace(an_event(0), at=at - took_s)
        counting.accepted([StoredEvent(1, event, at)] * number, at)

    accepted(10, now, 30.0)
    accepted(10, now + 1800, 2.0)
    found = counting.figures(now + 1800)
    assert (found.p50_s, found.p95_s, found.last_hour, found.of_newest) == (2.0, 30.0, 20, None)
    found = counting.figures(now + 3700)
    assert (found.p50_s, found.p95_s, found.last_hour, found.of_newest) == (2.0, 2.0, 10, None)
    accepted(6000, now + 4000, 1.0)
    found = counting.figures(now + 4000)
    assert (found.p95_s, found.last_hour, found.of_newest) == (1.0, 6010, 5000)
    assert counting.figures(now + 8000).p50_s is None
