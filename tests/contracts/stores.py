"""What every store promises; subclass the class to hold a store to it."""

import abc
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from pipeline.core.clips import WANTED, ClipAnswer, ClipFile, ClipWish
from pipeline.core.clock import Clock
from pipeline.core.errors import FencedOffError, OwnershipLostError, StoreError
from pipeline.core.events import JsonValue
from pipeline.core.measures import Bucket, Health
from pipeline.core.store import (
    DELIVER,
    RUN,
    Checkpoint,
    Commit,
    Cursor,
    Forgotten,
    History,
    LeaseOwner,
    LeaseProof,
    PictureRecord,
    Store,
    Undelivered,
)
from pipeline.testing import ManualClock
from tests.contracts.event_tools import an_event, odd_events

EVERYTHING = 10_000
ME = LeaseOwner("run:here:1:a", "here", 1)
OTHER = LeaseOwner("run:there:1:b", "there", 1)


def numbers(store: Store, after: int = 0) -> list[str]:
    """The record ids of what is kept, in order of arrival."""
    return [kept.event.record_id for kept in store.events_after(after, EVERYTHING)]


class StoreContract(abc.ABC):
    """Kept once, in order, all or nothing; and handed out to sinks that each go their own way."""

    clock: ManualClock

    @abc.abstractmethod
    def opened(self, clock: Clock) -> Store:
        """The same store again, as another process would open it; empty at a test's start."""

    @abc.abstractmethod
    def history(self, store: Store) -> History:
        """A store's reading side."""

    @abc.abstractmethod
    def opened_to_read(self, clock: Clock) -> Store:
        """The same store, by somebody who only looks."""

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
        assert [one.event.position for one in kept] == [1, 2, 3]
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
        assert sorted(store.checkpoints(), key=lambda point: point.engine) == [new, other]

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
        kept = replace(change, detail="refused\ufffd ?")
        assert self.history(store).health() == [kept]

    def test_another_reason_for_the_same_absence_replaces_the_first(self, store: Store) -> None:
        """In one commit or a later one: the absence began when it began."""
        refused = Health("door", 1_700_000_000.5, "offline", "refused: camera is off")
        locked = replace(refused, detail="unauthorised: camera wants a password")
        store.commit(Commit(health=[refused, locked]))
        assert self.history(store).health() == [locked]
        store.commit(Commit(health=[refused]))
        assert self.history(store).health() == [refused]

    def test_a_sink_of_a_first_store_gets_everything(self, store: Store) -> None:
        """Also one that nobody has registered yet: all events are before it."""
        store.register_sinks(["log"])
        store.commit(Commit(events=[an_event(1), an_event(2)]))
        assert store.cursor("log") == Cursor("log", 0, 2)
        assert store.cursor("nobody") == Cursor("nobody", 0, 2)

    def test_a_new_sink_begins_now(self, store: Store) -> None:
        """A store that holds events gives it the next one, or all of them where it asks."""
        store.register_sinks(["log"])
        store.commit(Commit(events=[an_event(1), an_event(2)]))
        store.register_sinks(["log", "ops", "archive"], from_beginning=["archive", "log"])
        store.commit(Commit(events=[an_event(3)]))
        assert store.cursor("log") == Cursor("log", 0, 3)
        assert store.cursor("ops") == Cursor("ops", 2, 1)
        assert store.cursor("archive") == Cursor("archive", 0, 3)

    def test_registering_again_moves_nothing(self, store: Store) -> None:
        """Nor does the return of a sink that was dismissed: its events have waited."""
        store.register_sinks(["log", "ops"])
        store.commit(Commit(events=[an_event(1), an_event(2)]))
        store.advance("log", 1)
        store.register_sinks(["ops"])
        store.register_sinks(["log", "ops"], from_beginning=["log"])
        assert store.cursor("log") == Cursor("log", 1, 1)

    def test_introducing_sinks_dismisses_nobody(self, store: Store) -> None:
        """A process that does not deliver says what there is, and not what there is not."""
        store.register_sinks(["log"])
        store.register_sinks(["ops"], dismiss_others=False)
        store.commit(Commit(events=[an_event(1)]))
        store.advance("ops", 1)
        self.clock.advance(10)
        assert store.prune(self.clock.now()) == Forgotten()
        assert [cursor.sink for cursor in self.history(store).cursors()] == ["log", "ops"]

    def test_the_highest_tokens_are_told(
        self, open_again: Callable[[], Store], store: Store
    ) -> None:
        """So that whoever gives out tokens can begin above them."""
        assert store.fences() == {}
        store.commit(Commit(fences={0: 5, 3: 2**50}))
        store.commit(Commit(fences={0: 6}))
        assert open_again().fences() == {0: 6, 3: 2**50}

    def test_a_lease_has_one_owner(self, open_again: Callable[[], Store], store: Store) -> None:
        """It shows who; the same one gets it again, and another one once it was given back."""
        other = open_again()
        assert store.lease(RUN) is None
        proof = store.take(RUN, ME)
        assert proof is not None
        assert other.take(RUN, OTHER) is None
        assert other.take(DELIVER, OTHER) is not None
        record = other.lease(RUN)
        assert record is not None
        assert (record.owner, record.token, record.ended_at) == (ME, proof.token, None)
        assert record.since == record.renewed_at
        assert abs(record.silent_s) < 60
        again = store.take(RUN, ME)
        assert again is not None
        assert again.token > proof.token
        store.release(again)
        ended = other.lease(RUN)
        assert ended is not None
        assert ended.ended_at is not None
        assert ended.ended_at >= ended.since
        assert ended.owner == ME
        later = other.take(RUN, OTHER)
        assert later is not None
        assert later.token > again.token

    def test_a_lease_is_taken_over_where_nothing_has_moved(
        self, open_again: Callable[[], Store], store: Store
    ) -> None:
        """Every renewal, commit and cursor under it is a sign of life that forbids it."""
        proof = store.take(RUN, ME)
        assert proof is not None
        other = open_again()
        signs: list[Callable[[], object]] = [
            lambda: store.renew(proof),
            lambda: store.commit(Commit(events=[an_event(1)], lease=proof)),
            lambda: store.advance("log", 1, lease=proof),
        ]
        for sign in signs:
            seen = other.lease(RUN)
            sign()
            assert other.take(RUN, OTHER, over=seen) is None
        seen = other.lease(RUN)
        taken = other.take(RUN, OTHER, over=seen)
        assert taken is not None
        assert taken.token > proof.token
        assert not store.renew(proof)
        store.release(proof)
        assert other.renew(taken)

    def test_who_lost_a_lease_writes_nothing(
        self, open_again: Callable[[], Store], store: Store
    ) -> None:
        """Neither events nor checkpoints nor cursors; the error names the lease."""
        proof = store.take(RUN, ME)
        other = open_again()
        assert proof is not None
        assert store.commit(Commit(events=[an_event(1)], lease=proof)) == 1
        assert other.take(RUN, OTHER, over=other.lease(RUN)) is not None
        point = Checkpoint("door", "fast", "run", 9, None)
        letter = Undelivered("log", 1, an_event(1).record_id, "no", 1)
        with pytest.raises(OwnershipLostError) as lost:
            store.commit(Commit(events=[an_event(2)], checkpoints=[point], lease=proof))
        assert lost.value.name == RUN
        with pytest.raises(OwnershipLostError):
            store.advance("log", 1, [letter], lease=proof)
        assert numbers(other) == [an_event(1).record_id]
        assert other.checkpoint("door", "fast") is None
        assert (other.cursor("log").position, other.undelivered()) == (0, [])

    def test_only_one_of_many_gets_a_lease(self, open_again: Callable[[], Store]) -> None:
        """However close together they ask for one that was left."""
        first = open_again()
        assert first.take(RUN, ME) is not None
        stores = [open_again() for _ in range(4)]
        together = threading.Barrier(len(stores))
        got: list[LeaseProof] = []

        def ask(number: int, store: Store) -> None:
            seen = store.lease(RUN)
            together.wait()
            proof = store.take(RUN, LeaseOwner(f"p{number}", "here", number), over=seen)
            got.extend([proof] if proof is not None else [])

        threads = [threading.Thread(target=ask, args=one) for one in enumerate(stores)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 1

    def test_the_outbox_has_all_events(self, store: Store) -> None:
        """As they are read otherwise, as long as they can be."""
        store.commit(Commit(events=odd_events()))
        assert store.outbox(1, 2) == store.events_after(1, 2)

    def test_a_reader_sees_all_and_writes_nothing(self, store: Store) -> None:
        """It is refused with a sentence, whatever it tries to write."""
        store.register_sinks(["log"])
        store.commit(Commit(events=[an_event(1)]))
        proof = store.take(RUN, ME)
        reader = self.opened_to_read(self.clock)
        try:
            assert numbers(reader) == [an_event(1).record_id]
            record = reader.lease(RUN)
            assert record is not None
            assert record.owner == ME
            writes: list[Callable[[], object]] = [
                lambda: reader.commit(Commit(events=[an_event(2)])),
                lambda: reader.register_sinks([]),
                lambda: reader.advance("log", 1),
                lambda: reader.take(RUN, OTHER, over=record),
                lambda: reader.prune(2**40),
            ]
            for write in writes:
                with pytest.raises(StoreError, match="read-only"):
                    write()
            store.commit(Commit(events=[an_event(3)], lease=proof))
            assert len(numbers(reader)) == 2
        finally:
            reader.close()

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
        more = Undelivered("log", 2, an_event(2).record_id, "answers 401", 2)
        first = Undelivered("ops", 1, an_event(1).record_id, "answers 402", 3)
        store.advance("log", 2, [more])
        store.advance("ops", 2, [first])
        every = [first, more, letter]
        assert store.undelivered(limit=2) == every[:2]
        assert store.undelivered(beyond=(2, "log")) == [letter]
        assert store.undelivered(limit=2, newest_first=True) == [letter, more]
        assert store.undelivered(beyond=(2, "log"), newest_first=True) == [first]
        assert store.undelivered("ops", beyond=(1, "ops"), limit=1) == [letter]
        assert store.undelivered_at([2, 3]) == [more, letter]
        assert store.undelivered_at([]) == []
        assert store.undelivered_counts() == {"ops": 2, "log": 1}

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
        assert store.prune(self.clock.now() - 200) == Forgotten()
        assert store.prune(self.clock.now() - 50) == Forgotten(events=1)
        assert numbers(store) == [an_event(number).record_id for number in (1, 2, 3)]
        assert store.undelivered() == []
        store.register_sinks(["log"])
        assert store.prune(self.clock.now() - 50) == Forgotten(events=3)
        assert store.cursor("ops").position == 1

    def test_pruning_asks_when_something_was_stored(self, store: Store) -> None:
        """A clip of long ago is kept as long as everything else of today."""
        ancient = Bucket("door", "footfall", 60, 1, 1.0)
        change = Health("door", 1.0, "online")
        store.commit(Commit(events=[an_event(1)], buckets=[ancient], health=[change]))
        assert store.prune(self.clock.now() - 1) == Forgotten()
        self.clock.advance(10)
        now = self.clock.now()
        assert store.prune(now - 100, now - 20) == Forgotten()
        assert store.prune(now - 1, now - 20) == Forgotten(events=1)
        assert store.prune(now - 100, now - 1) == Forgotten(minutes=1, states=1)
        store.commit(Commit(events=[an_event(2)], buckets=[ancient], health=[change]))
        self.clock.advance(10)
        assert store.prune(self.clock.now() - 1) == Forgotten(1, 1, 1)

    def test_events_are_forgotten_in_their_order(self, store: Store) -> None:
        """One that a clock dated too early stays as long as the one that came before it."""
        store.commit(Commit(events=[an_event(1)]))
        self.clock.advance(-500)
        store.commit(Commit(events=[an_event(2)]))
        self.clock.advance(600)
        assert store.prune(self.clock.now() - 200) == Forgotten()
        assert store.prune(self.clock.now() - 50) == Forgotten(events=2)

    def test_dates_of_a_wrong_clock_are_corrected(self, store: Store) -> None:
        """Those of the far future and of 1970, and no others."""
        now = self.clock.now()
        for number, away in enumerate((0, 9e8, -now + 60, 60)):
            self.clock.advance(away)
            store.commit(Commit(events=[an_event(number)]))
            self.clock.advance(-away)
        assert store.correct_times(now) == 2
        assert store.correct_times(now) == 0
        kept = [one.kept_at for one in store.events_after(0, 10)]
        assert kept == [now, now, now, now + 60]
        assert store.newest_record() == now

    def test_a_moment_is_remembered(self, open_again: Callable[[], Store], store: Store) -> None:
        """The last word counts, also for other processes."""
        assert store.mark("retention") is None
        store.remember("retention", 1.5)
        store.remember("retention", 2.5)
        assert open_again().mark("retention") == 2.5

    def test_pictures_are_old_once_their_events_are_gone(self, store: Store) -> None:
        """In order and a page at a time; also those of releases that recorded only events."""
        event = an_event(1).with_media("b.jpg", "d.jpg")
        for reference, digest in (("b.jpg", "2"), ("b.jpg", "1"), ("a.jpg", "3")):
            store.record_picture(PictureRecord(reference, digest, 7, "/media"))
        store.commit(Commit(events=[event]))
        self.clock.advance(10)
        before = self.clock.now() - 5
        recorded = self.clock.now() - 10
        first = PictureRecord("a.jpg", "3", 7, "/media", recorded)
        assert store.old_pictures(before, 10) == [first]
        assert store.pictures_under("d.jpg") == [PictureRecord("d.jpg", "", 0, "", recorded)]
        store.prune(before)
        one, two = (PictureRecord("b.jpg", digest, 7, "/media", recorded) for digest in "12")
        legacy = PictureRecord("d.jpg", "", 0, "", recorded)
        assert store.old_pictures(before, 3) == [first, one, two]
        assert store.old_pictures(before, 3, ("b.jpg", "1")) == [two, legacy]
        assert store.pictures_under("b.jpg") == [one, two]
        store.record_picture(PictureRecord("b.jpg", "1", 7, "/media"))
        assert store.old_pictures(before, 3) == [first, legacy]
        store.forget_pictures([first, legacy])
        assert store.old_pictures(self.clock.now() + 1, 3) == [
            replace(one, written_at=self.clock.now()),
            two,
        ]

    def test_a_camera_is_renamed_as_a_whole(self, store: Store) -> None:
        """Where both names have something, the better minute and the newer checkpoint are kept."""
        old, new = Bucket("door", "footfall", 60, 1, 0.9), Bucket("entry", "footfall", 60, 1, 0.4)
        only = Bucket("door", "footfall", 120, 1, 0.5)
        change = Health("door", 1.0, "online")
        points = [
            Checkpoint("door", "fast", "r", 7, None),
            Checkpoint("entry", "fast", "s", 1, None),
        ]
        store.commit(Commit([an_event(1)], [old, new, only], [change], points))
        assert store.rename_cameras({"door": "entry", "till": "desk"}) == {"door": 4}
        assert store.rename_cameras({"door": "entry"}) == {}
        assert store.events_after(0, 10)[0].event == replace(an_event(1), camera="entry")
        history = self.history(store)
        assert history.buckets() == [replace(old, camera="entry"), replace(only, camera="entry")]
        assert history.health() == [replace(change, camera="entry")]
        assert store.checkpoints() == [points[1]]

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
        assert not failures, failures
        assert len(numbers(open_again())) == 4

    def test_a_clip_is_wanted_with_its_events(self, store: Store) -> None:
        """It grows with further events, is settled once, and is wanted again if it grows later."""
        first = a_wish("a", 100.0, 110.0)
        store.commit(Commit(events=[an_event(1)], clips=[first, a_wish("b", 50.0, 60.0)]))
        run = first.run
        assert store.clips.clip_around("door", run, 105.0) == first
        assert store.clips.clip_around("door", run, 70.0) is None
        assert store.clips.clip_around("door", f"{run}2", 105.0) is None
        assert store.clips.clip_around("other", run, 105.0) is None
        grown = replace(first, until=115.0)
        store.commit(Commit(events=[an_event(2)], clips=[grown, first]))
        assert store.clips.clip_around("door", run, 112.0) == grown
        assert [clip.wish.reference for clip in store.clips.clips((WANTED,))] == ["b", "a"]
        # An answer to what was wanted before does not settle what is wanted now.
        assert not store.clips.settle_clip(replace(an_answer("a"), until=110.0))
        assert store.clips.settle_clip(an_answer("a"))
        assert not store.clips.settle_clip(an_answer("a"))
        assert not store.clips.settle_clip(an_answer("unknown"))
        clip = store.clips.clip("a")
        assert clip is not None
        assert (clip.wish, clip.state, clip.file) == (grown, "partial", an_answer("a").file)
        assert clip.more == store.clips.clips()[-1].more == an_answer("a").more
        assert [reference for reference, _ in clip.files] == ["a", "a.2"]
        assert clip.preroll_s == 3.0
        assert store.clips.clip_bytes() == 1500
        store.commit(Commit(events=[an_event(3)], clips=[replace(grown, until=120.0)]))
        assert store.clips.clips((WANTED,))[-1].wish.until == 120.0
        store.clips.forget_clips(["a", "unknown"])
        assert [clip.wish.reference for clip in store.clips.clips()] == ["b"]

    def test_a_clip_of_a_clock_that_was_ahead_is_not_the_newest(self) -> None:
        """Years later it would still be: of the camera's clock, and of this machine's."""
        years = 4 * 365 * 86400.0
        clock = ManualClock()
        wrong = self.opened(ManualClock(clock.now() + years))
        ahead = a_wish("ahead", 100.0 + years, 110.0 + years)
        wrong.commit(Commit(events=[an_event(1)], clips=[ahead]))
        assert wrong.clips.clips(limit=1, newest_first=True)[0].wish == ahead
        wrong.close()
        store = self.opened(clock)
        odd = a_wish("odd camera", 500.0 + years, 510.0 + years)
        store.commit(Commit(events=[an_event(2)], clips=[odd]))
        clock.advance(60.0)
        right = a_wish("right", 200.0, 210.0)
        store.commit(Commit(events=[an_event(3)], clips=[right]))

        newest = store.clips.clips(newest_first=True)
        assert [clip.wish.reference for clip in newest] == ["right", "odd camera", "ahead"]
        assert store.clips.clip_around("door", "run", 205.0) == right
        assert store.clips.clip_around("door", "run", 105.0 + years) == ahead
        store.close()

    def test_no_file_of_a_clip_is_forgotten(self, store: Store) -> None:
        """One that comes after its clip was given up is noted; a failure leaves what was there."""
        wish = a_wish("a", 100.0, 110.0)
        store.commit(Commit(events=[an_event(1)], clips=[wish]))
        given_up = ClipAnswer("a", "door", "failed", "no sampler has answered", until=110.0)
        assert store.clips.settle_clip(given_up)
        assert not store.clips.settle_clip(given_up)
        assert store.clips.settle_clip(an_answer("a"))
        store.commit(Commit(events=[an_event(2)], clips=[replace(wish, until=130.0)]))
        assert store.clips.settle_clip(replace(given_up, until=130.0))
        clip = store.clips.clip("a")
        assert clip is not None
        assert (clip.state, clip.reason) == ("partial", "no sampler has answered")
        assert (clip.file, clip.more) == (an_answer("a").file, an_answer("a").more)
        assert not store.clips.settle_clip(replace(an_answer("a"), until=130.0))

    def test_what_a_sink_notes_is_its_own_and_lasts(
        self, store: Store, open_again: Callable[[], Store]
    ) -> None:
        """By key, over a restart, until its time is over; nothing of it is another sink's."""
        phone, broker = store.notes_of("phone"), store.notes_of("broker")
        phone.take_down({"sent/a": "1", "sent/b_": "2", "SENT/c": "3", "odd/%\ud800": "\x004"})
        phone.take_down({"brief": "5"}, keep_s=60)
        broker.take_down({"sent/a": "elsewhere"})
        phone.take_down({"sent/a": "6", "odd/%\ud800": None})

        again = open_again().notes_of("phone")
        assert again.note("sent/a") == "6"
        assert dict(again.notes("sent/")) == {"sent/a": "6", "sent/b_": "2"}
        assert list(again.notes()) == ["SENT/c", "brief", "sent/a", "sent/b_"]
        self.clock.advance(61)
        assert again.note("brief") is None
        assert "brief" not in again.notes()
        store.prune(0)
        assert again.note("sent/b_") == "2"
        assert broker.notes() == {"sent/a": "elsewhere"}

    def test_what_is_noted_once_is_the_same_for_all(
        self, store: Store, open_again: Callable[[], Store]
    ) -> None:
        """The first one counts, unless its time is over; another sink's is another."""
        mine, theirs = store.notes_of("links"), open_again().notes_of("links")
        assert mine.note_once("key", "a") == "a"
        assert theirs.note_once("key", "b") == "a"
        assert theirs.note("key") == "a"
        assert store.notes_of("phone").note_once("key", "c") == "c"
        mine.take_down({"brief": "d"}, keep_s=60)
        assert theirs.note_once("brief", "e") == "d"
        self.clock.advance(61)
        assert theirs.note_once("brief", "e") == mine.note_once("brief", "f") == "e"


def a_wish(reference: str, since: float, until: float) -> ClipWish:
    """A wish for a clip of a camera."""
    return ClipWish(reference, "door", "run", since, until, since + 5.0)


def an_answer(reference: str) -> ClipAnswer:
    """What became of it."""
    file = ClipFile(102.0, 115.0, 1000, "digest", "h264", 640, 360, 325)
    more = (replace(file, since=115.0, until=118.0, size=500),)
    return ClipAnswer(reference, "door", "partial", "late", file, "/media", 115.0, more)
