"""What every store promises; subclass the class to hold a store to it."""

import abc
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from pipeline.core.clock import Clock
from pipeline.core.errors import FencedOffError
from pipeline.core.events import JsonValue
from pipeline.core.measures import Bucket, Health
from pipeline.core.store import Checkpoint, Commit, Cursor, Store, Undelivered
from pipeline.testing import ManualClock
from tests.contracts.event_tools import an_event, odd_events

EVERYTHING = 10_000


def numbers(store: Store, after: int = 0) -> list[str]:
    """The record ids of what is kept, in order of arrival."""
    return [kept.event.record_id for kept in store.events_after(after, EVERYTHING)]


class StoreContract(abc.ABC):
    """Kept once, in order, all or nothing; and handed out to sinks that each go their own way."""

    clock: ManualClock

    @abc.abstractmethod
    def opened(self, clock: Clock) -> Store:
        """The same store again, as another process would open it; empty at a test's start."""

    @pytest.fixture
    def open_again(self) -> Iterator[Callable[[], Store]]:
        """Opens the store; everything opened is closed in the end."""
        self.clock = ManualClock()
        opened: list[Store] = []

        def once_more() -> Store:
            opened.append(self.opened(self.clock))
            return opened[-1]

        yield once_more
        for store in opened:
            store.close()

    @pytest.fixture
    def store(self, open_again: Callable[[], Store]) -> Store:
        """The store under test."""
        return open_again()

    def test_events_come_back_exactly(self, store: Store) -> None:
        """Every field survives, floats to their last bit, in the order of arrival."""
        events = odd_events()
        assert store.commit(Commit(events=events)) == len(events)
        kept = store.events_after(0, EVERYTHING)
        assert [one.event for one in kept] == events
        assert {one.kept_at for one in kept} == {self.clock.now()}

    def test_what_is_not_a_number_becomes_unknown(self, store: Store) -> None:
        """NaN and the infinities, which JSON has no words for, come back as null."""
        data: dict[str, JsonValue] = {"mean": math.nan, "list": [math.inf, 1.5]}
        event = replace(an_event(), data=data)
        store.commit(Commit(events=[event]))
        (kept,) = store.events_after(0, EVERYTHING)
        assert kept.event.data == {"mean": None, "list": [None, 1.5]}

    def test_an_event_is_kept_once(self, store: Store) -> None:
        """A repetition is recognised by record_id, across commits and within one."""
        assert store.commit(Commit(events=[an_event(1), an_event(2), an_event(1)])) == 2
        assert store.commit(Commit(events=[an_event(2), an_event(3)])) == 1
        assert store.commit(Commit(events=[an_event(1)])) == 0
        assert numbers(store) == [an_event(number).record_id for number in (1, 2, 3)]

    def test_thousands_in_one_commit(self, store: Store) -> None:
        """A commit has no upper size, and repeating it changes nothing."""
        many = Commit(events=[an_event(number) for number in range(1234)])
        assert store.commit(many) == 1234
        assert store.commit(many) == 0
        assert len(store.events_after(0, EVERYTHING)) == 1234

    def test_positions_rise_from_one(self, store: Store) -> None:
        """Reading goes on after any position, as far as asked."""
        store.commit(Commit(events=[an_event(number) for number in range(5)]))
        kept = store.events_after(0, 3)
        assert [one.position for one in kept] == [1, 2, 3]
        assert [one.event for one in store.events_after(3, 3)] == [an_event(3), an_event(4)]
        assert store.events_after(5, 3) == []

    def test_nothing_is_a_commit_too(self, store: Store) -> None:
        """An empty commit keeps nothing and fails at nothing."""
        assert store.commit(Commit()) == 0
        assert numbers(store) == []

    def test_everything_is_there_after_a_restart(
        self, open_again: Callable[[], Store], store: Store
    ) -> None:
        """What one process committed, another finds."""
        point = Checkpoint("door", "fast", "run-1", 7, {"tracks": [0.1 + 0.2, None, "ü"]})
        store.commit(Commit(events=[an_event(1)], checkpoints=[point]))
        store.advance("log", 1)
        store.close()
        again = open_again()
        assert numbers(again) == [an_event(1).record_id]
        assert again.checkpoint("door", "fast") == point
        assert again.cursor("log") == Cursor("log", 1, 0)

    def test_the_last_checkpoint_counts(self, store: Store) -> None:
        """A checkpoint replaces the one before it, for its camera and engine only."""
        old, new = (Checkpoint("door", "fast", "run", at, {"n": at}) for at in (1, 2))
        other = Checkpoint("door", "vlm", "run", 9, None)
        store.commit(Commit(checkpoints=[old, other]))
        store.commit(Commit(checkpoints=[new]))
        assert store.checkpoint("door", "fast") == new
        assert store.checkpoint("door", "vlm") == other
        assert store.checkpoint("yard", "fast") is None

    def test_an_end_is_remembered(self, store: Store) -> None:
        """Whoever waits for a file learns that it was judged to its end."""
        point = Checkpoint("door", "fast", "run", 9, None, ended=True)
        store.commit(Commit(checkpoints=[point]))
        assert store.checkpoint("door", "fast") == point

    def test_a_lower_token_is_fenced_off(
        self, open_again: Callable[[], Store], store: Store
    ) -> None:
        """Once a higher one was seen, from whichever process; nothing of its commit is kept."""
        store.commit(Commit(fences={0: 5, 1: 9}))
        open_again().commit(Commit(fences={1: 10}))
        late = Commit(events=[an_event(1)], checkpoints=[], fences={0: 5, 1: 9})
        with pytest.raises(FencedOffError) as fenced:
            store.commit(late)
        assert fenced.value.partition == 1
        assert numbers(store) == []
        assert store.commit(Commit(events=[an_event(1)], fences={0: 5, 1: 10})) == 1
        assert store.commit(Commit(events=[an_event(2)])) == 1

    def test_a_change_of_health_is_kept_once(self, store: Store) -> None:
        """A replay repeats it without harm, whatever letters a camera's words have."""
        change = Health("door", 1_700_000_000.5, "offline", "refused\0 \ud83d")
        store.commit(Commit(health=[change, change]))
        store.commit(Commit(health=[change]))

    def test_a_new_sink_is_at_the_beginning(self, store: Store) -> None:
        """It has everything that is kept before it."""
        store.commit(Commit(events=[an_event(1), an_event(2)]))
        assert store.cursor("log") == Cursor("log", 0, 2)

    def test_sinks_go_their_own_ways(self, store: Store) -> None:
        """Each has its own cursor, which goes forward and never back."""
        store.commit(Commit(events=[an_event(number) for number in range(4)]))
        store.advance("log", 3)
        store.advance("ops", 1)
        store.advance("log", 2)
        assert store.cursor("log") == Cursor("log", 3, 1)
        assert store.cursor("ops") == Cursor("ops", 1, 3)

    def test_dead_letters_are_kept_with_the_reason(self, store: Store) -> None:
        """They come with the cursor's move, once each, and are told apart by sink."""
        store.commit(Commit(events=[an_event(1), an_event(2)]))
        letter = Undelivered("ops", 2, an_event(2).record_id, "answers 400", 1)
        store.advance("ops", 2, [letter])
        store.advance("ops", 2, [letter])
        assert store.undelivered() == [letter]
        assert store.undelivered("ops") == [letter]
        assert store.undelivered("log") == []

    def test_dead_letters_are_settled_once(self, store: Store) -> None:
        """What was delivered after all is forgotten, and nothing else is."""
        store.commit(Commit(events=[an_event(number) for number in range(3)]))
        letters = [
            Undelivered(sink, n + 1, an_event(n).record_id, "no", 1)
            for n in range(3)
            for sink in ("log", "ops")
        ]
        store.advance("log", 3, letters[::2])
        store.advance("ops", 3, letters[1::2])
        assert store.discard(letters[:3]) == 3
        assert store.undelivered() == letters[3:]
        assert store.discard(letters[:4]) == 1
        assert store.discard([]) == 0
        assert store.undelivered() == letters[4:]
        assert store.cursor("ops").position == 3

    def test_pruning_waits_for_every_sink(self, store: Store) -> None:
        """Old events go once all enlisted sinks are past them; a dismissed sink holds nothing."""
        store.commit(Commit(events=[an_event(number) for number in range(4)]))
        store.register_sinks(["log", "ops"], from_beginning=["log", "ops"])
        store.advance("log", 4)
        store.advance("ops", 1, [Undelivered("ops", 1, an_event(0).record_id, "no", 1)])
        self.clock.advance(100)
        assert store.prune(self.clock.now() - 200) == 0
        assert store.prune(self.clock.now() - 50) == 1
        assert numbers(store) == [an_event(number).record_id for number in (1, 2, 3)]
        assert store.undelivered() == []
        store.register_sinks(["log"])
        assert store.prune(self.clock.now() - 50) == 3
        assert store.cursor("ops").position == 1

    def test_pruning_asks_when_something_was_stored(self, store: Store) -> None:
        """A clip of long ago is kept as long as everything else of today."""
        ancient = Bucket("door", "footfall", 60, 1, 1.0)
        change = Health("door", 1.0, "online")
        store.commit(Commit(events=[an_event(1)], buckets=[ancient], health=[change]))
        assert store.prune(self.clock.now() - 1) == 0
        self.clock.advance(10)
        assert store.prune(self.clock.now() - 1) == 3

    def test_a_position_is_never_used_twice(self, store: Store) -> None:
        """Also when the newest event was forgotten, the next one comes after it."""
        store.commit(Commit(events=[an_event(1), an_event(2)]))
        store.advance("log", 2)
        self.clock.advance(10)
        store.prune(self.clock.now())
        store.commit(Commit(events=[an_event(3)]))
        (kept,) = store.events_after(store.cursor("log").position, EVERYTHING)
        assert (kept.position, kept.event) == (3, an_event(3))

    def test_a_reader_misses_nothing_of_many_writers(
        self, open_again: Callable[[], Store], store: Store
    ) -> None:
        """Whoever follows the positions sees each event once, however writers interleave."""
        writers, each = 4, 15

        def write(number: int, into: Store) -> None:
            for turn in range(each):
                first = (number * each + turn) * 2
                into.commit(Commit(events=[an_event(first), an_event(first + 1)]))

        threads = [
            threading.Thread(target=write, args=(number, open_again())) for number in range(writers)
        ]
        for thread in threads:
            thread.start()
        seen: list[str] = []
        position = 0
        while len(seen) < 2 * writers * each:
            writing = any(thread.is_alive() for thread in threads)
            fresh = store.events_after(position, 7)
            assert fresh or writing, "an event was passed over"
            seen += [kept.event.record_id for kept in fresh]
            position = fresh[-1].position if fresh else position
        for thread in threads:
            thread.join()
        assert len(set(seen)) == 2 * writers * each

    def test_it_may_be_opened_by_many_at_once(self, open_again: Callable[[], Store]) -> None:
        """Processes that start together on a new store do not disturb each other."""
        failures: list[BaseException] = []
        together = threading.Barrier(4)

        def start(number: int) -> None:
            together.wait()
            try:
                open_again().commit(Commit(events=[an_event(number)]))
            except BaseException as error:  # noqa: BLE001 - told by the assertion below
                failures.append(error)

        threads = [threading.Thread(target=start, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(numbers(open_again())) == 4
