"""What every store's reading side promises; subclass the class to hold one to it."""

import abc
import math
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pipeline.core.events import event_to_json
from pipeline.core.measures import Bucket, Health
from pipeline.core.store import (
    COUNTED,
    JUDGED_LAST,
    Commit,
    Cursor,
    EventCount,
    EventFilter,
    History,
    JudgedAnew,
    Page,
    Span,
    Store,
    Undelivered,
)
from tests.contracts.event_tools import an_event

START = an_event(0).at
BUCKETS = [
    Bucket("door", "footfall", 60, 10, 0.5, {"entered": 3, "left": 0}),
    Bucket("door", "footfall", 120, 0, 0.0, {"entered": None, "left": None}),
    Bucket("till", "queue", 60, 10, 1.0, {"mean": 0.1 + 0.2, "maximum": 3}, unfinished=True),
    Bucket("till", "wait", 60, 0, 0.0),
]
HEALTH = [
    Health("door", 10.0, "online"),
    Health("till", 11.0, "offline", "refused"),
    Health("door", 12.0, "black"),
]


class HistoryContract(abc.ABC):
    """Questions about a small past."""

    @abc.abstractmethod
    def kept(self) -> tuple[Store, History]:
        """An empty store and its history."""

    @pytest.fixture
    def history(self) -> Iterator[History]:
        """The history of a store in which a little happened."""
        store, history = self.kept()
        door = [an_event(number) for number in range(4)]
        till = [an_event(number, rule="queue", camera="till") for number in range(2)]
        ended = replace(till[0], phase="end", at=START + 100)
        store.commit(Commit(events=[*door, *till, ended], buckets=BUCKETS, health=HEALTH))
        store.register_sinks(["log", "ops"], from_beginning=["log", "ops"])
        store.advance("log", 5)
        refused = [Undelivered("ops", n, f"event-{n}", "answers 400", 1) for n in (1, 2)]
        store.advance("ops", 0, refused)
        yield history
        store.close()

    def test_the_newest_events_come_first(self, history: History) -> None:
        """A page goes on where the one before it ended."""
        first = history.events(EventFilter(), Page(limit=2))
        assert [kept.position for kept in first] == [7, 6]
        second = history.events(EventFilter(), Page(limit=2, beyond=6))
        assert [kept.position for kept in second] == [5, 4]

    def test_or_the_oldest(self, history: History) -> None:
        """The same the other way round."""
        page = Page(limit=3, beyond=2, newest_first=False)
        assert [kept.position for kept in history.events(EventFilter(), page)] == [3, 4, 5]

    @pytest.mark.parametrize(
        ("chosen", "positions"),
        [
            (EventFilter(cameras=("till",)), [5, 6, 7]),
            (EventFilter(cameras=("till", "door"), rules=("footfall",)), [1, 2, 3, 4]),
            (EventFilter(types=("dwell",)), []),
            (EventFilter(phases=("end",)), [7]),
            (EventFilter(span=Span(START + 1, START + 3)), [2, 3, 6]),  # since ≤ t < until
            (EventFilter(span=Span(since=START + 3)), [4, 7]),
        ],
    )
    def test_events_are_chosen(
        self, history: History, chosen: EventFilter, positions: list[int]
    ) -> None:
        """By camera, rule, type, phase and time, all of them at once."""
        found = history.events(chosen, Page(newest_first=False))
        assert [kept.position for kept in found] == positions

    def test_one_event_is_found_by_its_id(self, history: History) -> None:
        """Or is not there."""
        found = history.event(an_event(2).record_id)
        assert found is not None
        assert (found.position, found.event) == (3, an_event(2))
        assert history.event("nobody") is None

    def test_events_are_counted_by_kind(self, history: History) -> None:
        """With the times of the first and the last."""
        kind = "line_crossing"
        assert history.counts(EventFilter()) == [
            EventCount("door", "footfall", kind, "single", 4, START, START + 3),
            EventCount("till", "queue", kind, "end", 1, START + 100, START + 100),
            EventCount("till", "queue", kind, "single", 2, START, START + 1),
        ]

    def test_what_a_second_look_rejected_does_not_count(self) -> None:
        """Neither its start nor its end; it is there, and counted apart. Words do not matter."""
        store, history = self.kept()
        rejected = replace(an_event(1), phase="start", data={"verified": "rejected"})
        told = replace(an_event(3), data={"answer": '"verified":"rejected" % _'})
        events = [
            an_event(0),
            rejected,
            replace(rejected, phase="end"),
            replace(an_event(2), data={"verified": "confirmed"}),
            told,
        ]
        store.commit(Commit(events=events))
        counted = history.events(EventFilter(counted_as=COUNTED), Page(newest_first=False))
        assert [kept.position for kept in counted] == [1, 4, 5]
        apart = history.events(EventFilter(counted_as=("rejected",)))
        assert [kept.position for kept in apart] == [3, 2]
        by_phase = {one.phase: one for one in history.counts(EventFilter())}
        assert (by_phase["single"].events, by_phase["single"].counted) == (3, 3)
        assert (by_phase["start"].rejected, by_phase["start"].counted) == (1, 0)
        assert history.counted_as([rejected.record_id, told.record_id, "nobody"]) == {
            rejected.record_id: "rejected",
            told.record_id: "counted",
        }
        store.close()

    def test_what_only_an_earlier_judging_reported_does_not_count(self) -> None:
        """Of this recording and these rules; what is reported again counts, as it is told last."""
        store, history = self.kept()
        own = [replace(an_event(number), run="clip.mp4") for number in range(3)]
        ended = replace(own[2], phase="end", run=None, data={"seconds": 1.0})
        others = [
            replace(an_event(3), run="other.mp4"),
            replace(an_event(4, rule="queue"), run="clip.mp4"),
            replace(an_event(5, camera="till"), run="clip.mp4"),
            an_event(6),
        ]
        store.commit(Commit(events=[*own, ended, *others]))
        again = replace(own[0], at=own[0].at + 0.5, data={"seconds": 2.0}, media=("door/a.jpg",))
        rejected = replace(own[1], data={"verified": "rejected"})
        anew = JudgedAnew("door", "clip.mp4", frozenset({"footfall"}))
        assert store.commit(Commit(judged_anew=[anew], events=[again])) == 0
        counted = history.events(EventFilter(counted_as=COUNTED), Page(newest_first=False))
        assert [kept.event for kept in counted] == [again, *others]
        assert [kept.position for kept in counted] == [1, 5, 6, 7, 8]
        gone = [own[1].record_id, own[2].record_id, ended.record_id]
        assert history.counted_as(gone) == dict.fromkeys(gone, "superseded")
        found = history.event(ended.record_id)
        assert found is not None  # still to be found
        assert event_to_json(found.event) == event_to_json(ended)
        by_rule = {(c.rule, c.phase): c for c in history.counts(EventFilter(cameras=("door",)))}
        assert by_rule["footfall", "single"].superseded == 2
        assert by_rule["footfall", "single"].counted == 3
        # Reported later, and rejected by then.
        assert store.commit(Commit(events=[rejected])) == 0
        assert history.counted_as(gone[:1]) == {gone[0]: "rejected"}
        last = history.events(EventFilter(counted_as=JUDGED_LAST), Page(newest_first=False))
        assert [kept.position for kept in last] == [1, 2, 5, 6, 7, 8]
        store.close()

    def test_what_is_forgotten_supersedes_nothing(self) -> None:
        """An event with the id of one that was superseded, and is gone by now, counts."""
        store, history = self.kept()
        own = replace(an_event(0), run="clip.mp4")
        store.commit(Commit(events=[own]))
        anew = JudgedAnew("door", "clip.mp4", frozenset({"footfall"}))
        store.commit(Commit(judged_anew=[anew]))
        assert history.counts(EventFilter(counted_as=COUNTED)) == []
        assert store.prune(2e9).events == 1
        store.commit(Commit(events=[own]))
        assert history.counted_as([own.record_id]) == {own.record_id: "counted"}
        store.close()

    def test_buckets_come_back_exactly(self, history: History) -> None:
        """What is unknown is None and what is zero is 0; chosen by camera, rule and time."""
        assert history.buckets() == BUCKETS
        assert history.buckets("till") == BUCKETS[2:]
        assert history.buckets("door", "footfall", Span(since=120)) == BUCKETS[1:2]
        assert history.buckets("door", "queue") == []

    @pytest.mark.parametrize(
        "written",
        [
            [Bucket("door", "footfall", 60, 12, 0.7, {"entered": 4, "left": 1})],
            # a running minute, then the whole of it; both in one commit
            [
                Bucket("door", "footfall", 60, 12, 0.7, {"entered": 4, "left": 1}, unfinished=True),
                Bucket("door", "footfall", 60, 20, 1.0, {"entered": 5, "left": 1}),
            ],
            # one that names other measures, or none at all, leaves nothing of the first
            [Bucket("door", "footfall", 60, 20, 1.0, {"entered": None, "waiting_s": 2.5})],
            [Bucket("door", "footfall", 60, 0, 0.0)],
            # fewer than before: what is written last counts, and not what is most
            [Bucket("door", "footfall", 60, 1, 0.1, {"entered": 0, "left": 0})],
        ],
    )
    def test_a_bucket_that_is_written_again_is_replaced(self, written: list[Bucket]) -> None:
        """As a whole: its values, how much of it is known, and whether it is finished."""
        store, history = self.kept()
        store.commit(Commit(buckets=BUCKETS))
        store.commit(Commit(buckets=written))
        assert history.buckets() == [written[-1], *BUCKETS[1:]]
        store.close()

    def test_a_value_that_is_no_number_is_unknown(self) -> None:
        """NaN and the infinities, which JSON has no words for, come back as None."""
        store, history = self.kept()
        odd = {"mean": math.nan, "most": math.inf, "least": -1.5, "sum": 2**53}
        store.commit(Commit(buckets=[Bucket("door", "footfall", 60, 1, 1.0, odd)]))
        (bucket,) = history.buckets()
        assert bucket.values == {"mean": None, "most": None, "least": -1.5, "sum": 2**53}
        store.close()

    def test_health_is_a_story_with_an_end(self, history: History) -> None:
        """All changes in order, and the last one of each camera."""
        assert history.health() == HEALTH
        assert history.health("door", Span(until=12.0)) == HEALTH[:1]
        assert history.latest_health() == [HEALTH[2], HEALTH[1]]

    def test_a_state_of_a_clock_that_was_ahead_is_not_the_last(self) -> None:
        """Unless there is no other one."""
        store, history = self.kept()
        ahead = [Health(name, START + 10 * 365 * 86400.0, "offline") for name in ("door", "till")]
        store.commit(Commit(health=[*ahead, HEALTH[0]]))
        assert history.latest_health() == [HEALTH[0], ahead[1]]
        store.close()

    def test_sinks_show_how_far_they_are(self, history: History) -> None:
        """Every enlisted sink, by name."""
        assert history.cursors() == [Cursor("log", 5, 2), Cursor("ops", 0, 7)]

    def test_what_sinks_refused_is_counted(self, history: History) -> None:
        """By sink; one that took everything is not among them."""
        assert history.refused() == {"ops": 2}
