"""What every store promises of second looks; subclass the class to hold a store to it."""

import abc
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from connectors.stores.sql import SqlStore
from pipeline.core.clock import Clock
from pipeline.core.errors import FencedOffError
from pipeline.core.events import Event
from pipeline.core.store import Commit
from pipeline.core.verifying import SecondLook, Verification, VerificationCount, WaitingEvent
from pipeline.testing import ManualClock
from tests.contracts.event_tools import an_event, odd_events

LOOK = SecondLook(
    "wise", "Is it grün?", ("no", "No 行"), ("yes", "no"), at_least=1 / 3, of="frame", drops=True
)
NO = Verification("rejected", "wise", "no", 0.25, dropped=True)
UNKNOWN = Verification("unverified", "wise", reason="the engine is away \x00")


def waits(event: Event, *, picture: bytes | None = b"\xff\xd8") -> WaitingEvent:
    """An event that waits for an answer."""
    return WaitingEvent(event, event.at, LOOK, picture=picture)


class SecondLooksContract(abc.ABC):
    """What waits is no event yet; it becomes one in the transaction in which it waits no more."""

    clock: ManualClock

    @abc.abstractmethod
    def opened_store(self, clock: Clock) -> SqlStore:
        """The same store again; empty at a test's start."""

    @pytest.fixture
    def again(self) -> Iterator[Callable[[], SqlStore]]:
        """Opens the store; everything opened is closed in the end."""
        self.clock = ManualClock()
        opened: list[SqlStore] = []

        def once_more() -> SqlStore:
            opened.append(self.opened_store(self.clock))
            return opened[-1]

        yield once_more
        for store in opened:
            store.close()

    def test_what_waits_comes_back_exactly(self, again: Callable[[], SqlStore]) -> None:
        """Whatever an event holds, in the order in which it was judged, and is no event yet."""
        waiting = [waits(event) for event in odd_events()]
        waiting.append(WaitingEvent(an_event(7), 0.1 + 0.2, in_order=True, verification=NO))
        again().commit(Commit(waiting=waiting))
        store = again()
        assert [*store.waiting()] == [replace(one, picture=None) for one in waiting]
        assert store.waiting_picture(waiting[0].event.record_id) == b"\xff\xd8"
        assert store.waiting_picture(an_event(7).record_id) is None
        assert store.waiting_picture("nobody") is None
        assert store.events_after(0, 10) == []

    def test_waiting_twice_is_waiting_once(self, again: Callable[[], SqlStore]) -> None:
        """The second time only its outcome is new; its picture and its place stay."""
        store = again()
        first, second = waits(an_event(1)), waits(an_event(2))
        store.commit(Commit(waiting=[first, second]))
        store.commit(Commit(waiting=[replace(first, verification=NO, picture=None)]))
        assert [one.verification for one in store.waiting()] == [NO, None]
        assert store.waiting_picture(an_event(1).record_id) == b"\xff\xd8"

    def test_an_event_goes_out_as_it_stops_waiting(self, again: Callable[[], SqlStore]) -> None:
        """In one transaction, with its outcome, which is remembered for its happening."""
        store = again()
        store.commit(Commit(waiting=[waits(an_event(1)), waits(an_event(2))]))
        out = [NO.marked(an_event(1)), UNKNOWN.marked(an_event(2))]
        store.commit(Commit(events=out[:1], settled=[out[0].record_id]))
        assert [one.event.id for one in store.waiting()] == [an_event(2).id]
        store.commit(Commit(events=out[1:], settled=[out[1].record_id]))
        assert [one.event for one in store.events_after(0, 10)] == out
        known = store.outcomes([an_event(1).id, an_event(2).id, "nobody"])
        assert known == {an_event(1).id: NO, an_event(2).id: UNKNOWN}
        again_marked = UNKNOWN.marked(an_event(1))
        store.commit(Commit(events=[again_marked]))
        assert store.outcomes([an_event(1).id]) == {an_event(1).id: NO}

    def test_whoever_is_fenced_off_settles_nothing(self, again: Callable[[], SqlStore]) -> None:
        """A processor whose partition is another's by now leaves what waits as it is."""
        store = again()
        store.commit(Commit(waiting=[waits(an_event(1))], fences={3: 7}))
        late = Commit(events=[NO.marked(an_event(1))], settled=[an_event(1).id], fences={3: 6})
        with pytest.raises(FencedOffError):
            store.commit(late)
        assert len(store.waiting()) == 1
        assert store.events_after(0, 10) == []

    def test_what_waits_is_renamed_with_its_camera(self, again: Callable[[], SqlStore]) -> None:
        """Also where nothing else is stored of it."""
        store = again()
        store.commit(Commit(waiting=[waits(an_event(1))]))
        store.rename_cameras({"door": "entry"})
        (one,) = store.waiting()
        assert one.event == replace(an_event(1), camera="entry")
        assert store.second_looks.waiting_counts() == {("entry", "footfall"): 1}

    def test_outcomes_are_counted_by_rule(self, again: Callable[[], SqlStore]) -> None:
        """Each happening once, and for as long as everything is kept."""
        store = again()
        start = replace(an_event(1), phase="start")
        end = replace(an_event(1), phase="end")
        out = [NO.marked(start), NO.marked(end), UNKNOWN.marked(an_event(2, rule="other"))]
        store.commit(Commit(events=out, waiting=[waits(an_event(3))]))
        counts = [
            VerificationCount("door", "footfall", "rejected", 1),
            VerificationCount("door", "other", "unverified", 1),
        ]
        assert [*store.second_looks.verification_counts()] == counts
        assert store.second_looks.waiting_counts() == {("door", "footfall"): 1}
        self.clock.advance(100)
        assert store.second_looks.verification_counts(self.clock.now()) == []
        store.prune(self.clock.now())
        assert store.second_looks.verification_counts() == []
        assert len(store.waiting()) == 1
