"""Each sink has a thread of its own; stopping delivers what can be delivered, in time."""

import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from connectors.stores.sql import SqlStore
from pipeline.core.clock import SystemClock
from pipeline.core.errors import SinkError, StoreError
from pipeline.core.events import Event
from pipeline.core.sinks import Sink
from pipeline.core.store import Commit, Forgotten
from pipeline.delivery import Delivery, Route, SinkLane
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ListSink, patience, wait_until
from tests.contracts.event_tools import an_event

PASSWORD = "s3cret"


class Gate(ListSink):
    """A sink that keeps whoever sends waiting until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.open = threading.Event()

    def send(self, events: Sequence[Event]) -> None:
        """Wait, then take them."""
        self.entered.set()
        assert self.open.wait(patience(20))
        super().send(events)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """A store with three events."""
    store = SqlStore(f"sqlite:///{tmp_path}/moonwatch.db")
    store.commit(Commit(events=[an_event(number) for number in range(3)]))
    yield store
    store.close()


def delivery(store: SqlStore, **sinks: Sink) -> Delivery:
    """Lanes to these sinks."""
    clock, metrics = SystemClock(), Metrics()
    lanes = [
        SinkLane(Route(name, from_beginning=True), sink, store, clock, metrics)
        for name, sink in sinks.items()
    ]
    return Delivery(lanes, store, clock)


def test_events_flow_while_it_runs(store: SqlStore) -> None:
    """Those that were there, and those that come; a nudge saves the wait for them."""
    log, ops = ListSink(), ListSink()
    running = delivery(store, log=log, ops=ops)
    running.start()
    wait_until(lambda: len(log.events) == len(ops.events) == 3)
    store.commit(Commit(events=[an_event(3)]))
    running.nudge()
    wait_until(lambda: len(log.events) == len(ops.events) == 4)
    assert running.stop(10)
    assert log.closed
    assert ops.closed
    assert [status.position for status in running.status()] == [4, 4]


def test_a_stuck_sink_slows_nobody(store: SqlStore) -> None:
    """The others go on, and stopping does not wait for it longer than it may."""
    stuck, log = Gate(), ListSink()
    running = delivery(store, ops=stuck, log=log)
    running.start()
    assert stuck.entered.wait(patience(10))
    wait_until(lambda: len(log.events) == 3)
    assert not running.stop(0.1)
    assert store.cursor("ops").behind == 3
    stuck.open.set()
    assert running.stop(10)  # it ends by itself as soon as it can


def test_stopping_delivers_what_is_there(store: SqlStore) -> None:
    """Also what was committed a moment before."""
    for number in range(3, 8):
        log = ListSink()
        running = delivery(store, log=log)
        running.start()
        store.commit(Commit(events=[an_event(number)]))
        assert running.stop(10)
        assert store.cursor("log").behind == 0


def test_who_may_not_go_on_sends_nothing_more(store: SqlStore) -> None:
    """Not even when stopped; what is in a sink's hands then is the last."""
    stuck, log, may = Gate(), ListSink(), threading.Event()
    may.set()
    lanes = [
        SinkLane(Route(name, at_once=1, from_beginning=True), sink, store, SystemClock(), Metrics())
        for name, sink in {"ops": stuck, "log": log}.items()
    ]
    running = Delivery(lanes, store, SystemClock(), may.is_set)
    running.start()
    assert stuck.entered.wait(patience(10))
    wait_until(lambda: len(log.events) == 3)
    may.clear()
    store.commit(Commit(events=[an_event(3)]))
    stuck.open.set()
    assert running.stop(10)
    assert (len(stuck.events), len(log.events)) == (1, 3)
    assert stuck.closed
    assert log.closed


def test_stopping_ends_although_events_keep_coming(store: SqlStore) -> None:
    """No lane is cut off in the middle of a step, which would be done again."""

    class Endless(ListSink):
        """A sink for which there is always one more event."""

        def send(self, events: Sequence[Event]) -> None:
            super().send(events)
            store.commit(Commit(events=[an_event(10 + len(self.events))]))

    sink = Endless()
    running = delivery(store, ops=sink)
    running.start()
    wait_until(lambda: len(sink.events) > 10)
    assert running.stop(1.0)
    assert sink.closed
    assert store.cursor("ops").position == len(sink.events)


def test_stopping_tries_a_failing_sink_once_more(store: SqlStore) -> None:
    """Without waiting for its next attempt; what it does not take waits in the store."""

    class Asleep(ListSink):
        def send(self, events: Sequence[Event]) -> None:
            self.attempts += 1
            raise SinkError("asleep", retry_after_s=1000)

    sink = Asleep()
    running = delivery(store, ops=sink)
    running.start()
    wait_until(lambda: running.status()[0].error == "asleep")
    running.nudge()
    assert running.stop(10)
    assert sink.attempts == 2
    assert sink.closed
    assert store.cursor("ops").behind == 3


def test_the_store_knows_which_sinks_there_are(store: SqlStore) -> None:
    """From the start on, so that nothing is forgotten before they have it."""
    stuck = Gate()
    running = delivery(store, ops=stuck)
    running.start()
    assert [cursor.sink for cursor in store.history.cursors()] == ["ops"]
    assert store.prune(2**40) == Forgotten()
    stuck.open.set()
    assert running.stop(10)


def test_a_fault_in_a_sink_does_not_end_its_lane(
    store: SqlStore, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told with its place once, without its words, and tried again like any failure."""

    class Faulty(ListSink):
        def send(self, events: Sequence[Event]) -> None:
            self.attempts += 1
            if self.attempts < 3:
                raise ZeroDivisionError(PASSWORD)
            super().send(events)

    sink = Faulty()
    running = delivery(store, ops=sink)
    with caplog.at_level(logging.INFO):
        running.start()
        wait_until(lambda: len(sink.events) == 3, 20)
        assert running.stop(10)
    assert caplog.text.count("unexpected ZeroDivisionError at") == 1
    assert "test_delivery.py" in caplog.text
    assert PASSWORD not in caplog.text


def lane_to(store: SqlStore, name: str, sink: Sink) -> SinkLane:
    """A lane to a sink that wants everything."""
    route = Route(name, at_once=1, from_beginning=True)
    return SinkLane(route, sink, store, SystemClock(), Metrics())


def test_sinks_come_and_go_at_work(store: SqlStore) -> None:
    """Reload: a new one begins now, one that is gone lets go of its sink, the rest goes on."""
    log, ops, late = ListSink(), ListSink(), ListSink()
    kept = lane_to(store, "log", log)
    running = Delivery([kept, lane_to(store, "ops", ops)], store, SystemClock())
    running.start()
    wait_until(lambda: len(log.events) == len(ops.events) == 3)
    thread = next(one for one in threading.enumerate() if one.name == "sink-log")
    new = SinkLane(Route("late"), late, store, SystemClock(), Metrics())
    running.update([kept, new])
    wait_until(lambda: ops.closed)
    store.commit(Commit(events=[an_event(3)]))
    running.nudge()
    wait_until(lambda: (len(log.events), len(late.events)) == (4, 1))
    assert thread.is_alive()
    assert [status.sink for status in running.status()] == ["log", "late"]
    assert [cursor.sink for cursor in store.history.cursors()] == ["late", "log"]
    assert running.stop(10)
    assert len(ops.events) == 3
    assert log.attempts == 4


def test_a_changed_sink_begins_once_the_former_one_has_ended(store: SqlStore) -> None:
    """Reload: what is in the former one's hands is sent by it alone; each event arrives once."""
    former, next_one, log = Gate(), ListSink(), ListSink()
    kept = lane_to(store, "log", log)
    running = Delivery([lane_to(store, "ops", former), kept], store, SystemClock())
    running.start()
    assert former.entered.wait(patience(10))
    running.update([lane_to(store, "ops", next_one), kept])
    store.commit(Commit(events=[an_event(3)]))
    running.nudge()
    wait_until(lambda: len(log.events) == 4)
    assert next_one.events == []
    former.open.set()

    def has_all() -> bool:
        running.nudge()
        return len(next_one.events) == 3

    wait_until(has_all)
    assert running.stop(10)
    assert len(former.events) == 1
    assert former.closed
    happened = [*former.events, *next_one.events]
    assert [event.record_id for event in happened] == [an_event(n).record_id for n in range(4)]


def test_a_changed_sink_does_not_wait_for_the_former_ones_pause(store: SqlStore) -> None:
    """Reload: a wrong address that was mended is used at once."""

    class Asleep(ListSink):
        def send(self, events: Sequence[Event]) -> None:
            raise SinkError("asleep", retry_after_s=1000)

    asleep, awake = Asleep(), ListSink()
    running = Delivery([lane_to(store, "ops", asleep)], store, SystemClock())
    running.start()
    wait_until(lambda: running.status()[0].error == "asleep")
    running.update([lane_to(store, "ops", awake)])

    def has_all() -> bool:
        running.nudge()
        return len(awake.events) == 3

    wait_until(has_all)
    assert asleep.closed
    assert running.stop(10)


def test_an_update_that_the_store_refuses_changes_nothing(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reload: the lanes that were at work go on."""
    log = ListSink()
    running = Delivery([lane_to(store, "log", log)], store, SystemClock())
    running.start()
    wait_until(lambda: len(log.events) == 3)

    def refuse(*_: object, **__: object) -> None:
        raise StoreError("the store is locked")

    with monkeypatch.context() as patch:
        patch.setattr(SqlStore, "register_sinks", refuse)
        with pytest.raises(StoreError):
            running.update([])
    store.commit(Commit(events=[an_event(3)]))
    running.nudge()
    wait_until(lambda: len(log.events) == 4)
    assert [status.sink for status in running.status()] == ["log"]
    assert running.stop(10)
