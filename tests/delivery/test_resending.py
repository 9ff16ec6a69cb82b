"""What a sink would not take is sent again when somebody asks; then it is a dead letter no more."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.stores.sql import SqlStore
from pipeline.core.errors import SinkError
from pipeline.core.store import Commit, Undelivered
from pipeline.delivery import Resent, resend
from pipeline.testing import ListSink, ManualClock
from tests.contracts.event_tools import an_event

LETTERS = [Undelivered("ops", n + 1, an_event(n).record_id, "answers 401", 3) for n in range(5)]


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Iterator[SqlStore]:
    """Five events that the sink `ops` would not take."""
    store = SqlStore(f"sqlite:///{tmp_path}/moonwatch.db", ManualClock())
    store.commit(Commit(events=[an_event(number) for number in range(5)]))
    store.advance("ops", 5, LETTERS)
    yield store
    store.close()


def test_events_go_out_in_order_and_are_settled(store: SqlStore) -> None:
    """In loads of the sink's size; nothing is left to send a second time."""
    sink = ListSink()
    assert resend(store, sink, LETTERS, at_once=2) == Resent("ops", delivered=5)
    assert [event.record_id for event in sink.events] == [one.record_id for one in LETTERS]
    assert sink.attempts == 3
    assert store.undelivered() == []


def test_what_the_sink_refuses_again_stays(store: SqlStore) -> None:
    """Those before it are delivered; it and the rest are still dead letters, and it is said why."""

    class Full(ListSink):
        def send(self, events: object) -> None:
            if len(self.events) >= 2:
                raise SinkError("answers 507", retryable=True)
            super().send(events)  # type: ignore[arg-type]  # what it is given is passed on

    done = resend(store, Full(), LETTERS, at_once=1)
    assert done == Resent("ops", delivered=2, left=3, trouble="answers 507")
    assert store.undelivered() == LETTERS[2:]


def test_events_the_store_has_forgotten_are_counted(store: SqlStore) -> None:
    """A letter may outlive its event by a moment; it is settled, and not called delivered."""
    ghost = Undelivered("ops", 99, "gone", "answers 401", 1)
    store.advance("ops", 99, [ghost])
    sink = ListSink()
    assert resend(store, sink, [*LETTERS, ghost], at_once=10) == Resent("ops", delivered=5, gone=1)
    assert store.undelivered() == []


def test_an_event_that_cannot_be_read_stays(store: SqlStore) -> None:
    """The others around it are sent; it is a dead letter still, and it is said why."""
    with store._database.write("damage it") as connection:
        connection.exec_driver_sql(
            """UPDATE moonwatch_events SET body = '{"id": 1}' WHERE position = 2"""
        )
    sink = ListSink()
    done = resend(store, sink, LETTERS, at_once=2)
    assert (done.delivered, done.gone, done.left) == (4, 0, 1)
    assert str(done.trouble).startswith("event 2 cannot be read: ")
    assert store.undelivered() == [LETTERS[1]]
