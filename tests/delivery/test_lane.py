"""A lane brings every wanted event to its sink, in order, whatever fails; told step by step."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.stores.sql import SqlStore
from pipeline.core.errors import OwnershipLostError, SinkError, StoreError
from pipeline.core.events import Event
from pipeline.core.site_state import SiteLayout, SiteState
from pipeline.core.store import (
    DELIVER,
    Commit,
    LeaseOwner,
    LeaseProof,
    StoredEvent,
    Undelivered,
    UnreadableEvent,
)
from pipeline.delivery import Route, SinkLane
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ListSink, ManualClock
from tests.contracts.event_tools import an_event


@dataclass
class PickySink:
    """Takes everything but some events, and says that trying again cannot help."""

    bad: frozenset[str]
    taken: list[str] = field(default_factory=list)

    def send(self, events: Sequence[Event]) -> None:
        """Take all of them or none."""
        if self.bad & {event.record_id for event in events}:
            raise SinkError("answers 400", retryable=False)
        self.taken += [event.record_id for event in events]

    def close(self) -> None:
        """Nothing to let go of."""


class ForgetfulStore(SqlStore):
    """A store that cannot move a cursor as often as it is told."""

    failures = 0

    def advance(
        self,
        sink: str,
        position: int,
        dead: Sequence[Undelivered] = (),
        lease: LeaseProof | None = None,
    ) -> None:
        """Fail, or do it."""
        if self.failures:
            self.failures -= 1
            raise StoreError("the store is locked")
        super().advance(sink, position, dead, lease)


@dataclass
class Bench:
    """A lane with a store, a clock and metrics around it."""

    store: ForgetfulStore
    clock: ManualClock
    metrics: Metrics

    def keep(self, *events: Event) -> None:
        """Let events happen."""
        self.store.commit(Commit(events=events))

    def lane(self, sink: ListSink | PickySink, route: Route | None = None) -> SinkLane:
        """A lane as a process would make it at its start."""
        return SinkLane(route or Route("ops"), sink, self.store, self.clock, self.metrics)

    def dead(self, reason: str) -> float:
        """How many events were counted as undelivered for this reason."""
        name = "moonwatch_events_undelivered_total"
        return self.metrics.value(name, sink="ops", reason=reason)

    def run(self, lane: SinkLane, steps: int = 1000) -> None:
        """Step until there is nothing to do, resting in between."""
        for _ in range(steps):
            rest_s = lane.step()
            if rest_s and lane.status().error is None:
                return
            self.clock.advance(rest_s)
        raise AssertionError(f"not idle after {steps} steps: {lane.status()}")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Everything a lane needs, with ten events in the store."""
    clock = ManualClock()
    store = ForgetfulStore(f"sqlite:///{tmp_path}/moonwatch.db", clock)
    bench = Bench(store, clock, Metrics())
    bench.keep(*(an_event(number) for number in range(10)))
    yield bench
    store.close()


def ids(events: Sequence[Event]) -> list[str]:
    """The record ids of events."""
    return [event.record_id for event in events]


TEN = ids([an_event(number) for number in range(10)])


def test_everything_arrives_in_order_and_in_batches(bench: Bench) -> None:
    """And the cursor is behind the last of it."""
    sink = ListSink()
    lane = bench.lane(sink, Route("ops", at_once=4))
    bench.run(lane)
    assert ids(sink.events) == TEN
    assert sink.attempts == 3
    assert bench.store.cursor("ops").position == 10
    status = lane.status()
    assert (status.position, status.behind, status.delivered) == (10, 0, 10)
    assert bench.metrics.value("moonwatch_events_delivered_total", sink="ops") == 10


def test_the_next_start_goes_on_where_the_last_one_ended(bench: Bench) -> None:
    """Nothing is sent again, and what came meanwhile is."""
    bench.run(bench.lane(ListSink()))
    bench.keep(an_event(10))
    sink = ListSink()
    bench.run(bench.lane(sink))
    assert ids(sink.events) == [an_event(10).record_id]


def test_unwanted_events_are_passed_over(bench: Bench) -> None:
    """Thousands of them without keeping a wanted one waiting, nor the cursor from moving on."""
    bench.keep(*(an_event(number) for number in range(10, 1200)))
    alarm = an_event(1200, rule="alarm")
    bench.keep(alarm, *(an_event(number) for number in range(1201, 1300)))
    sink = ListSink()
    lane = bench.lane(sink, Route("ops", only=("alarm",)))
    bench.run(lane, steps=10)
    assert sink.events == [alarm]
    assert bench.store.cursor("ops").behind == 0


def test_a_failing_sink_is_tried_again_later_and_later(bench: Bench) -> None:
    """Nothing is lost or sent twice, the order holds, and status and metrics tell."""
    sink = ListSink(failures=6)
    lane = bench.lane(sink, Route("ops", at_once=3))
    rests = []
    began = bench.clock.now()
    for _ in range(6):
        rests.append(lane.step())
        status = lane.status()
        assert (status.error, status.failing_since) == ("told to fail", began)
        assert status.retry_at == bench.clock.now() + rests[-1]
        assert status.behind == 10
        bench.clock.advance(rests[-1])
    assert all(0 < rest <= 2**turn for turn, rest in enumerate(rests))
    bench.run(lane)
    assert ids(sink.events) == TEN
    status = lane.status()
    assert (status.error, status.failing_since, status.retry_at) == (None, None, None)
    assert bench.metrics.value("moonwatch_delivery_failures_total", sink="ops") == 6


def test_rests_are_short_again_after_a_success(bench: Bench) -> None:
    """A sink that failed for hours and recovered is tried again at once when it fails anew."""
    sink = ListSink(failures=12)
    lane = bench.lane(sink)
    bench.run(lane)
    assert len(sink.events) == 10
    for number in range(10, 60):
        bench.keep(an_event(number))
        sink.fail(1)
        # The first rest after a success is at most a second, whatever chance says.
        assert lane.step() <= 1.0
        bench.run(lane)
    assert len(sink.events) == 60


def test_a_sink_may_ask_for_time(bench: Bench) -> None:
    """A rest is at least as long as it asks."""

    class Busy(ListSink):
        def send(self, events: Sequence[Event]) -> None:
            raise SinkError("answers 429", retry_after_s=90)

    assert 90 <= bench.lane(Busy()).step() <= 91


def test_trouble_is_said_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """When it begins and when it ends, not at every attempt."""
    lane = bench.lane(ListSink(failures=50))
    with caplog.at_level(logging.INFO):
        bench.run(lane)
    first, last = (record.getMessage() for record in caplog.records)
    assert first == "sink ops is behind: told to fail; retrying"
    assert last.startswith("sink ops accepts events again after ")


def test_a_refused_event_does_not_hold_up_the_others(bench: Bench) -> None:
    """The one among many is found; it alone is a dead letter, with the reason."""
    bad = frozenset((TEN[2], TEN[7]))
    sink = PickySink(bad)
    lane = bench.lane(sink, Route("ops", at_once=6))
    bench.run(lane)
    assert sink.taken == [name for name in TEN if name not in bad]
    assert bench.store.undelivered("ops") == [
        Undelivered("ops", 3, TEN[2], "answers 400", 1),
        Undelivered("ops", 8, TEN[7], "answers 400", 1),
    ]
    assert lane.status().undelivered == 2
    assert lane.status().error is None
    assert bench.dead("refused") == 2
    assert bench.lane(PickySink(bad)).status().undelivered == 0  # not counted before its start
    again = bench.lane(PickySink(bad))
    bench.run(again)
    assert again.status().undelivered == 2


def test_what_a_sink_cannot_write_is_counted_apart(bench: Bench) -> None:
    """The event is at fault there, not the other side."""

    class AsciiSink(ListSink):
        def send(self, events: Sequence[Event]) -> None:
            for event in events:
                if event.record_id == TEN[4]:
                    "é".encode("ascii")
            super().send(events)

    bench.run(bench.lane(AsciiSink()))
    assert [letter.record_id for letter in bench.store.undelivered("ops")] == [TEN[4]]
    assert bench.dead("unwritable") == 1


def test_a_sink_that_refuses_everything_says_so_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Until it has taken one again."""
    lane = bench.lane(PickySink(frozenset(TEN)), Route("ops", at_once=1))
    bench.run(lane)
    assert len(bench.store.undelivered()) == 10
    assert len(caplog.records) == 1
    bench.keep(an_event(10))
    bench.run(lane)
    assert len(caplog.records) == 1


def test_a_locked_store_sends_nothing_twice(bench: Bench) -> None:
    """What the sink took is remembered until the cursor could be moved."""
    sink = ListSink()
    lane = bench.lane(sink, Route("ops", at_once=4))
    bench.store.failures = 5
    assert lane.step() > 0
    assert lane.status().error == "the store is locked"
    bench.run(lane)
    assert ids(sink.events) == TEN
    assert bench.store.cursor("ops").position == 10


HOUR = timedelta(hours=1)


def test_events_are_given_up_when_they_waited_too_long(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that are old enough, with the last reason; younger ones go on being tried."""
    sink = ListSink(failures=10**9)
    lane = bench.lane(sink, Route("ops", give_up_after=HOUR))
    lane.step()
    bench.clock.advance(3000)
    bench.keep(an_event(10), an_event(11))
    lane.step()
    assert bench.store.undelivered() == []
    bench.clock.advance(601)
    lane.step()
    lane.step()
    letters = bench.store.undelivered("ops")
    assert [letter.record_id for letter in letters] == TEN
    assert {letter.reason for letter in letters} == {"given up after 1h: told to fail"}
    assert {letter.attempts for letter in letters} == {3}
    assert bench.store.cursor("ops").position == 10
    assert lane.status().error is not None
    assert sum("given up" in record.getMessage() for record in caplog.records) == 1
    assert bench.dead("given_up") == len(TEN)


def test_one_failure_after_a_long_pause_gives_up_nothing(bench: Bench) -> None:
    """A sink that is not quite awake yet when moonwatch comes back gets its time."""
    bench.clock.advance(10 * 24 * 3600)
    sink = ListSink(failures=3)
    lane = bench.lane(sink, Route("ops", give_up_after=HOUR))
    bench.run(lane)
    assert ids(sink.events) == TEN
    assert bench.store.undelivered() == []


def test_giving_up_waits_for_wanted_events_only(bench: Bench) -> None:
    """Unwanted ones around them are passed over as ever."""
    bench.keep(an_event(10, rule="alarm"), an_event(11))
    sink = ListSink(failures=10**9)
    lane = bench.lane(sink, Route("ops", only=("alarm",), give_up_after=timedelta(seconds=30)))
    lane.step()
    bench.clock.advance(31)
    lane.step()
    assert lane.step() > 0
    assert [letter.position for letter in bench.store.undelivered()] == [11]
    assert bench.store.cursor("ops").position == 12


def test_two_lanes_do_not_know_of_each_other(bench: Bench) -> None:
    """One sink that is down leaves the other's cursor alone."""
    down, up = bench.lane(ListSink(failures=99)), bench.lane(ListSink(), Route("log"))
    down.step()
    bench.run(up)
    assert bench.store.cursor("log").behind == 0
    assert bench.store.cursor("ops").behind == 10


def test_closing_says_what_goes_wrong(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """And is not stopped by it."""

    class Stuck(ListSink):
        def close(self) -> None:
            raise SinkError("disk gone")

    bench.lane(Stuck()).close()
    assert "disk gone" in caplog.text


def test_events_of_one_happening_stay_in_order(bench: Bench) -> None:
    """Start, update and end reach the sink as they were kept, also when the sink fails between."""
    start = replace(an_event(20), phase="start")
    story = [start, replace(start, phase="update", update=1), replace(start, phase="end")]
    bench.run(bench.lane(ListSink()))
    sink = ListSink()
    lane = bench.lane(sink, Route("ops", at_once=1))
    bench.keep(story[0])
    lane.step()
    sink._failures = 4
    bench.keep(*story[1:])
    bench.run(lane)
    assert sink.events == story


class CountingStore(ForgetfulStore):
    """A store that counts how many events it was asked for, and had."""

    read = 0

    def outbox(self, position: int, limit: int) -> Sequence[StoredEvent | UnreadableEvent]:
        """Do it, and count."""
        found = super().outbox(position, limit)
        self.read += len(found)
        return found


def test_each_event_is_read_once(tmp_path: Path) -> None:
    """Also where the sink is sent one at a time, fails, refuses, or wants few of them."""
    clock = ManualClock()
    store = CountingStore(f"sqlite:///{tmp_path}/moonwatch.db", clock)
    bench = Bench(store, clock, Metrics())
    events = [an_event(n, rule="alarm" if n % 3 else "footfall") for n in range(1200)]
    bench.keep(*events)
    wanted = [event.record_id for event in events if event.rule == "alarm"]

    class Failing(PickySink):
        """Fails at every fifth attempt, too."""

        attempts = 0

        def send(self, events: Sequence[Event]) -> None:
            self.attempts += 1
            if self.attempts % 5 == 0:
                raise SinkError("try again")
            super().send(events)

    sink = Failing(frozenset(wanted[100:103]))
    bench.run(bench.lane(sink, Route("ops", only=("alarm",), at_once=1)), steps=4000)
    assert sink.taken == wanted[:100] + wanted[103:]
    assert store.read == 1200
    store.close()


def test_an_event_that_cannot_be_read_holds_up_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """It alone is a dead letter with the reason; said once, however many there are in a row."""
    with bench.store._database.write("damage it") as connection:
        connection.exec_driver_sql(
            """UPDATE moonwatch_events SET body = '{"id": 1}' WHERE position IN (3, 4, 10)"""
        )
    sink = ListSink()
    lane = bench.lane(sink, Route("ops", at_once=4))
    bench.run(lane)
    assert ids(sink.events) == TEN[:2] + TEN[4:9]
    letters = bench.store.undelivered("ops")
    assert [(letter.position, letter.record_id) for letter in letters] == [
        (3, TEN[2]),
        (4, TEN[3]),
        (10, TEN[9]),
    ]
    assert all(letter.reason.startswith("cannot be read: ") for letter in letters)
    assert lane.status().undelivered == bench.dead("unreadable") == 3
    assert lane.status().error is None
    assert bench.store.cursor("ops").position == 10
    assert caplog.text.count("it is kept as undelivered") == 2
    alarms = bench.lane(ListSink(), Route("alarms", only=("alarm",)))
    bench.run(alarms)
    assert bench.store.undelivered("alarms") == []


def test_a_lane_whose_lease_was_lost_is_over(bench: Bench) -> None:
    """What it sent last is not noted, as whoever delivers now goes by a cursor of its own."""
    owner = LeaseOwner("me", "here", 1)
    proof = bench.store.take(DELIVER, owner)
    sink = ListSink()
    lane = SinkLane(Route("ops", at_once=4), sink, bench.store, bench.clock, bench.metrics, proof)
    lane.step()
    assert bench.store.take(DELIVER, owner) is not None
    with pytest.raises(OwnershipLostError):
        lane.step()
    assert len(sink.events) == 8
    assert bench.store.cursor("ops").position == 4


def test_events_that_are_too_old_are_skipped_and_counted(bench: Bench) -> None:
    """They are not sent and not kept as undelivered; what is young enough arrives in order."""
    sink = ListSink()
    bench.clock.advance(5.0)
    route = Route("ops", at_once=2, skipped_after=timedelta(seconds=60))
    lane = bench.lane(sink, route)
    bench.clock.advance(60.0)  # now the first five are older than a minute
    bench.run(lane)
    assert ids(sink.events) == TEN[5:]
    assert (lane.status().skipped, lane.status().delivered, lane.status().undelivered) == (5, 5, 0)
    assert bench.metrics.value("moonwatch_events_skipped_total", sink="ops") == 5
    assert bench.store.cursor("ops").position == 10
    assert bench.store.undelivered() == []


def test_skipped_ones_are_counted_once_whatever_fails(bench: Bench) -> None:
    """A sink that fails in between is not told of them later either."""
    sink = ListSink(failures=3)
    bench.clock.advance(65.0)
    bench.store.failures = 2
    lane = bench.lane(sink, Route("ops", skipped_after=timedelta(seconds=60)))
    bench.run(lane)
    assert lane.status().skipped + len(sink.events) == 10
    assert bench.metrics.value("moonwatch_events_skipped_total", sink="ops") == (
        lane.status().skipped
    )


class Board(ListSink):
    """A sink that shows states too."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__(failures)
        self.shown: list[tuple[SiteState, float, int]] = []
        self.order: list[str] = []
        self.failing_shows = 0

    def send(self, events: Sequence[Event]) -> None:
        """Note when."""
        super().send(events)
        self.order.append("events")

    def show(self, state: SiteState, lag_s: float, undelivered: int) -> None:
        """Note what."""
        if self.failing_shows:
            self.failing_shows -= 1
            raise SinkError("out of reach")
        self.shown.append((state, lag_s, undelivered))
        self.order.append("state")


STATE = SiteState(SiteLayout("Shop 12"))


def showing(bench: Bench, board: Board) -> SinkLane:
    """A lane for it."""
    return SinkLane(
        Route("ops"), board, bench.store, bench.clock, bench.metrics, site=lambda: STATE
    )


def test_states_are_shown_before_events_and_also_without_any(bench: Bench) -> None:
    """With how long the oldest event has waited; then twice a second."""
    board = Board()
    bench.clock.advance(30.0)
    lane = showing(bench, board)
    bench.run(lane)
    assert board.order == ["state", "events"]
    assert board.shown == [(STATE, 30.0, 0)]
    for _ in range(4):
        bench.clock.advance(lane.step())
    assert board.shown[1:] == [(STATE, 0.0, 0)] * 3


def test_after_a_failure_states_come_first(bench: Bench) -> None:
    """Whoever was out of reach does not hear of what happened before it knows how things stand."""
    board = Board(failures=1)
    lane = showing(bench, board)
    bench.run(lane)
    assert board.order == ["state", "state", "events"]


def test_a_state_that_cannot_be_shown_is_a_failure(bench: Bench) -> None:
    """It is said, events wait, and it is tried again within half a minute."""
    board = Board()
    board.failing_shows = 12
    lane = showing(bench, board)
    rests = [lane.step() for _ in range(12)]
    assert max(rests) <= 30.0
    assert lane.status().error == "out of reach"
    assert board.events == []
    bench.run(lane)
    assert lane.status().error is None
    assert ids(board.events) == TEN


def test_a_sink_that_shows_nothing_is_not_asked_to(bench: Bench) -> None:
    """And the site is not looked at for it."""

    def site() -> SiteState:
        raise AssertionError

    sink = ListSink()
    lane = SinkLane(Route("ops"), sink, bench.store, bench.clock, bench.metrics, site=site)
    bench.run(lane)
    assert ids(sink.events) == TEN
