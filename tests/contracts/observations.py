"""What every store promises of what was seen; subclass the class to hold a store to it."""

import abc
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from connectors.stores.sql import SqlStore
from pipeline.core.answers import Boxes
from pipeline.core.clock import Clock
from pipeline.core.errors import StoreError
from pipeline.core.events import JsonValue
from pipeline.core.jobs import Result
from pipeline.core.observations import (
    ObservationTail,
    ObservedFrame,
    ObservedSpan,
    Waypoint,
    frames_of,
    snapped,
    tail,
)
from pipeline.core.store import EVER, RUN, Checkpoint, Commit, LeaseOwner, Span
from pipeline.testing import ManualClock

MINUTE = 1_790_000_040
"""2026-09-21 13:34:00 UTC."""


def frame(ordinal: int, at: float, run: str = "run-1", engine: str = "fast") -> ObservedFrame:
    """One box in a track."""
    box = (0.1, 0.2, 0.3 + ordinal / 1000, 0.4)
    result = Result(
        camera="gate",
        run=run,
        engine=engine,
        ordinal=ordinal,
        seq=ordinal,
        captured_at=at,
        size_wh=(640, 480),
        live=True,
        answers={"people": Boxes(engine, (box,), (0.9,))},
    )
    return ObservedFrame(snapped(result), {"people": (1,)})


def some(
    minute: int,
    *frames: ObservedFrame,
    begins: bool = False,
    ends: bool = False,
    anew: bool = False,
) -> ObservationTail:
    """A tail of these frames."""
    of, content = frames[0].result, tail(frames)
    size = len(frames)
    return ObservationTail(of.camera, of.engine, of.run, minute, size, content, begins, ends, anew)


class ObservationContract(abc.ABC):
    """Kept in the order of judging, once, by minute; gone when it is old."""

    clock: ManualClock

    @abc.abstractmethod
    def opened(self, clock: Clock, *, read_only: bool = False) -> SqlStore:
        """The same store again; empty at a test's start."""

    @abc.abstractmethod
    def execute(self, statement: str) -> None:
        """Change the database behind the store's back."""

    @pytest.fixture
    def open_again(self) -> Iterator[Callable[[], SqlStore]]:
        """Opens the store; everything opened is closed in the end."""
        self.clock = ManualClock()
        opened: list[SqlStore] = []

        def once_more() -> SqlStore:
            opened.append(self.opened(self.clock))
            return opened[-1]

        yield once_more
        for store in opened:
            store.close()

    @pytest.fixture
    def store(self, open_again: Callable[[], SqlStore]) -> SqlStore:
        """The store under test."""
        return open_again()

    def seen(self, store: SqlStore, span: Span = EVER) -> list[tuple[int, list[int]]]:
        """The blocks of the gate: minutes and the numbers of frames."""
        return [
            (block.minute, [one.result.ordinal for one in frames_of(block)])
            for block in store.observations("gate", span=span)
        ]

    def blocks_and_tails(self, store: SqlStore) -> tuple[int, int]:
        """How many rows there are of what is over, and of what is not."""
        with store._database.read("count") as connection:
            asked = "SELECT tail, count(*) FROM moonwatch_observations GROUP BY tail"
            found = {bool(row[0]): row[1] for row in connection.exec_driver_sql(asked)}
        return found.get(False, 0), found.get(True, 0)

    def test_tails_become_a_block_when_their_minute_is_over(self, store: SqlStore) -> None:
        """Readers see the same frames before and after, exactly as they were judged."""
        first = [frame(n, MINUTE + n) for n in range(4)]
        store.commit(Commit(observations=[some(MINUTE, *first[:2], begins=True)]))
        store.commit(Commit(observations=[some(MINUTE, *first[2:])]))
        assert self.blocks_and_tails(store) == (0, 2)
        (block,) = store.observations("gate")
        assert (block.minute, block.frames) == (MINUTE, 4)
        assert frames_of(block) == first
        later = some(MINUTE + 60, frame(4, MINUTE + 60), begins=True)
        store.commit(Commit(observations=[later]))
        assert self.blocks_and_tails(store) == (1, 1)
        assert next(store.observations("gate")) == block
        assert self.seen(store) == [(MINUTE, [0, 1, 2, 3]), (MINUTE + 60, [4])]

    def test_several_minutes_in_one_commit(self, store: SqlStore) -> None:
        """As of a recording: only the last minute is left open, and not if the run has ended."""
        tails = [
            some(MINUTE + 60 * n, frame(n, MINUTE + 60 * n), begins=True, anew=n == 0)
            for n in range(3)
        ]
        store.commit(Commit(observations=tails))
        assert self.blocks_and_tails(store) == (2, 1)
        end = replace(frame(3, MINUTE + 130), result=replace(frame(3, 0).result, last=True))
        store.commit(Commit(observations=[some(MINUTE + 120, end, ends=True)]))
        assert self.blocks_and_tails(store) == (3, 0)
        assert self.seen(store) == [(MINUTE, [0]), (MINUTE + 60, [1]), (MINUTE + 120, [2, 3])]

    def test_what_was_left_open_is_closed_by_the_next_process(
        self, store: SqlStore, open_again: Callable[[], SqlStore]
    ) -> None:
        """A process that was killed leaves tails; those of the same minute go on."""
        store.commit(Commit(observations=[some(MINUTE, frame(0, MINUTE), begins=True)]))
        other = open_again()
        other.commit(Commit(observations=[some(MINUTE, frame(1, MINUTE + 1), begins=True)]))
        assert self.blocks_and_tails(other) == (0, 2)
        run = frame(0, MINUTE + 2, run="run-2")
        other.commit(Commit(observations=[some(MINUTE, run, begins=True, anew=True)]))
        assert self.blocks_and_tails(other) == (1, 1)
        assert self.seen(store) == [(MINUTE, [0, 1]), (MINUTE, [0])]

    def test_a_run_that_is_played_again_replaces_the_earlier(self, store: SqlStore) -> None:
        """Also the minutes and waypoints that it has not come to yet; other runs and lanes stay."""
        for run in ("run-1", "run-2"):
            tails = [
                some(MINUTE + 60 * n, frame(n, MINUTE, run), begins=True, anew=n == 0)
                for n in range(3)
            ]
            points = [Waypoint("gate", "fast", run, n, MINUTE + n, n) for n in range(3)]
            store.commit(Commit(observations=tails, waypoints=points))
        other = some(MINUTE, frame(0, MINUTE, engine="slow"), begins=True, anew=True)
        store.commit(Commit(observations=[other]))
        again = some(MINUTE, frame(0, MINUTE), frame(1, MINUTE), begins=True, anew=True)
        point = Waypoint("gate", "fast", "run-1", 0, MINUTE, "again")
        store.commit(Commit(observations=[again], waypoints=[point]))
        found = {
            (one.result.run, one.result.ordinal, block.minute - MINUTE)
            for block in store.observations("gate", "fast")
            for one in frames_of(block)
        }
        assert found == {
            *{("run-1", 0, 0), ("run-1", 1, 0)},
            *{("run-2", 0, 0), ("run-2", 1, 60), ("run-2", 2, 120)},
        }
        assert len(list(store.observations("gate", "slow"))) == 1
        states = [(p.run, p.ordinal, p.state) for p in store.waypoints("gate")]
        assert sorted(states, key=str) == [
            ("run-1", 0, "again"),
            *(("run-2", n, n) for n in range(3)),
        ]

    def test_all_or_nothing(self, store: SqlStore) -> None:
        """What a commit that is refused has of what was seen is not kept either."""
        store.commit(Commit(fences={0: 7}, checkpoints=[Checkpoint("gate", "fast", "r", 1, None)]))
        point = Waypoint("gate", "fast", "run-1", 0, MINUTE, None)
        tails = [some(MINUTE, frame(0, MINUTE), begins=True)]
        with pytest.raises(StoreError):
            store.commit(Commit(observations=tails, waypoints=[point], fences={0: 6}))
        mine = store.take(RUN, LeaseOwner("a", "here", 1))
        assert mine is not None
        store.release(mine)
        with pytest.raises(StoreError):
            store.commit(Commit(observations=tails, waypoints=[point], lease=mine))
        assert list(store.observations("gate")) == []
        assert store.waypoints("gate") == []

    def test_a_span_is_of_minutes_that_touch_it(self, store: SqlStore) -> None:
        """And the newest first are the newest minutes first."""
        tails = [some(MINUTE + 60 * n, frame(n, MINUTE), begins=True) for n in range(100)]
        store.commit(Commit(observations=tails))
        assert [number for _, (number,) in self.seen(store)] == list(range(100))
        part = Span(MINUTE + 119.5, MINUTE + 180.5)
        assert self.seen(store, part) == [(MINUTE + 60 * n, [n]) for n in (1, 2, 3)]
        assert self.seen(store, Span(MINUTE + 120.0, MINUTE + 180.0)) == [(MINUTE + 120, [2])]
        minutes = [block.minute for block in store.observations("gate", newest_first=True)]
        assert minutes == [MINUTE + 60 * n for n in reversed(range(100))]

    def test_what_there_is_can_be_asked(self, store: SqlStore) -> None:
        """Per camera and engine, with its size; nothing of others."""
        store.commit(Commit(observations=[some(MINUTE, frame(0, MINUTE), begins=True)]))
        later = some(MINUTE + 120, frame(1, 0), frame(2, 0), begins=True)
        store.commit(Commit(observations=[later]))
        size = sum(len(block.content) for block in store.observations("gate"))
        (found,) = store.observed()
        assert replace(found, bytes=0) == ObservedSpan(
            "gate", "fast", MINUTE, MINUTE + 120, 2, 3, 0
        )
        assert found.bytes > 0.5 * size
        assert list(store.observations("till")) == []
        assert list(store.observations("gate", "slow")) == []

    def test_waypoints_come_back_by_time(self, store: SqlStore) -> None:
        """With their state as it was, and one for each place where a judge may begin."""
        state: JsonValue = {"version": 2, "tasks": {"people": [1, 2.5, None, "ü"]}}
        points = [Waypoint("gate", "fast", "run-1", n, MINUTE + n * 0.1, state) for n in (3, 1)]
        store.commit(Commit(waypoints=points))
        assert store.waypoints("gate") == points[::-1]
        assert store.waypoints("gate", "slow") == []
        assert store.waypoints("gate", "fast", Span(MINUTE + 0.2, None)) == points[:1]

    def test_a_renamed_camera_takes_what_was_seen_along(self, store: SqlStore) -> None:
        """It is told of under the present name."""
        point = Waypoint("gate", "fast", "run-1", 0, MINUTE, None)
        checkpoint = Checkpoint("gate", "fast", "run-1", 0, None)
        tails = [some(MINUTE, frame(0, MINUTE), begins=True)]
        store.commit(Commit(observations=tails, waypoints=[point], checkpoints=[checkpoint]))
        store.commit(Commit(waypoints=[replace(point, camera="door", state="kept")]))
        store.rename_cameras({"gate": "door"})
        assert list(store.observations("gate")) == []
        (block,) = store.observations("door")
        assert frames_of(block)[0].result.camera == "door"
        assert [(p.camera, p.state) for p in store.waypoints("door")] == [("door", "kept")]

    def test_what_is_old_is_forgotten(self, store: SqlStore) -> None:
        """By the age of the record, as all is: what was judged later is kept longer."""
        point = Waypoint("gate", "fast", "run-1", 0, MINUTE, None)
        tails = [some(MINUTE + 60 * n, frame(n, MINUTE), begins=True) for n in range(3)]
        store.commit(Commit(observations=tails[:2], waypoints=[point]))
        self.clock.advance(100)
        store.commit(Commit(observations=tails[2:], waypoints=[replace(point, ordinal=2)]))
        assert store.prune_observations(self.clock.now() - 50) == 1
        # The second minute was over, and its block was stored, when the third began.
        assert self.seen(store) == [(MINUTE + 60, [1]), (MINUTE + 120, [2])]
        assert [p.ordinal for p in store.waypoints("gate")] == [2]
        assert store.prune_observations(float("inf")) == 2
        assert store.observed() == []

    def test_damage_costs_what_is_damaged(
        self, store: SqlStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A tail its own frames, a block its minute, a waypoint itself; each is said."""
        for n in range(3):
            one = some(MINUTE, frame(n, MINUTE + n), begins=n == 0)
            point = Waypoint("gate", "fast", "run-1", n, MINUTE + n, None)
            store.commit(Commit(observations=[one], waypoints=[point]))
        noise = self.noise
        first = "(SELECT min(position) FROM moonwatch_observations)"
        self.execute(f"UPDATE moonwatch_observations SET content={noise} WHERE position={first}")
        self.execute(f"UPDATE moonwatch_waypoints SET state={noise} WHERE ordinal=1")
        with caplog.at_level(logging.WARNING):
            assert [p.ordinal for p in store.waypoints("gate")] == [0, 2]
            later = some(MINUTE + 60, frame(3, MINUTE + 60), begins=True)
            store.commit(Commit(observations=[later]))
        assert self.seen(store) == [(MINUTE, [1, 2]), (MINUTE + 60, [3])]
        assert any("1 frames of what engine fast saw" in line for line in caplog.messages)
        assert any("a waypoint of engine fast" in line for line in caplog.messages)
        self.execute(f"UPDATE moonwatch_observations SET content={noise}")
        with pytest.raises(StoreError, match="camera gate saw on engine fast"):
            self.seen(store)

    noise = ""
    """Bytes that are nothing, as the database writes them."""

    def test_a_store_of_an_older_release_has_seen_nothing(self, store: SqlStore) -> None:
        """Who only looks makes no tables; who opens it to write makes them."""
        self.execute("DROP TABLE moonwatch_observations")
        self.execute("DROP TABLE moonwatch_waypoints")
        reader = self.opened(self.clock, read_only=True)
        assert list(reader.observations("gate")) == []
        assert (list(reader.waypoints("gate")), list(reader.observed())) == ([], [])
        reader.close()
        upgraded = self.opened(self.clock)
        upgraded.commit(Commit(observations=[some(MINUTE, frame(0, MINUTE), begins=True)]))
        assert self.seen(upgraded) == [(MINUTE, [0])]
        upgraded.close()
