"""What should have followed and did not: said once, when it is known, and only where it is."""

import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.stores import StoreConfig
from connectors.stores.sql import SqlStore
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, OwnershipLostError
from pipeline.core.events import Event
from pipeline.core.measures import BUCKET_S, Bucket, Health, minute_of
from pipeline.core.store import DELIVER, Checkpoint, Commit, LeaseOwner, LeaseProof
from pipeline.core.verifying import SecondLook, Verification, WaitingEvent
from pipeline.deployment.loader import load
from pipeline.deployment.model import Deployment
from pipeline.runtime.final_delivery import FinalDelivery
from pipeline.runtime.ownership import StoreLease
from pipeline.runtime.sequences import STALLED_S, AwaitingLane, cursor_of, lane_of
from pipeline.runtime.stages.base import StageContext
from pipeline.runtime.stages.delivery import DeliveryStage
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, wait_until
from tests.runtime.clips import CLIP, camera, deployment, written
from tests.runtime.test_sequences import NOON, door, found, happened, till

CURSOR = cursor_of("both")


def file_with(folder: Path, sequences: dict[str, Any], **more: Any) -> Path:
    """A deployment of two cameras, one with the rule `door` and one with `till`, and a sink."""
    cameras = {name: camera(CLIP) for name in ("entrance", "shop", "back")}
    line = {"type": "line_crossing", "of": "people", "line": "middle"}
    cameras["entrance"]["rules"] = {"door": line, "exit": line}
    cameras["shop"]["rules"] = cameras["back"]["rules"] = {"till": line}
    return written(folder, deployment(folder, cameras, sequences=sequences, **more))


def unpaid(**fields: Any) -> dict[str, Any]:
    """Somebody came in and was not at the till within half a minute."""
    missed = {"camera": "shop", "rule": "till"}
    return {
        "first": {"camera": "entrance", "rule": "door", "direction": "in"},
        "without": missed,
        "within": "30s",
        **fields,
    }


@dataclass
class Shop:
    """A store with a lane that judges one sequence, by a clock that is set by hand."""

    store: SqlStore
    deployment: Deployment
    clock: ManualClock

    def lane(self, lease: LeaseProof | None = None) -> AwaitingLane:
        """The sequence as a process that was just started serves it."""
        history = self.store.history
        made = lane_of("both", self.deployment, self.store, history, self.clock, Metrics(), lease)
        assert isinstance(made, AwaitingLane)
        return made

    def look(self, lane: AwaitingLane, looks: int = 3) -> list[float]:
        """When something is reported to have stayed away, after the lane has looked again."""
        for _ in range(looks):
            self.clock.advance(lane.step() or 1.0)
        return self.told()

    def told(self) -> list[float]:
        """When what is stored happened, in seconds after noon."""
        return [event.at - NOON for event in found(self.store)]

    def judged(
        self,
        until: float,
        camera: str = "shop",
        *,
        since: float = -3600.0,
        ended: bool = False,
        engine: str = "",
    ) -> None:
        """A camera has been judged from a moment up to another one, in seconds after noon."""
        start, end = NOON + since, NOON + until
        rule = "till" if camera != "entrance" else "exit"
        buckets = []
        for minute in range(minute_of(start), minute_of(end) + 1, int(BUCKET_S)):
            seen_s = min(end, minute + BUCKET_S) - max(start, minute)
            is_open = minute + BUCKET_S > end
            share = max(0.0, seen_s) / BUCKET_S
            buckets.append(Bucket(camera, rule, minute, 10, share, unfinished=is_open))
        lane = engine or next(iter(self.deployment.engines))
        point = Checkpoint(camera, lane, "r1", round(until * 10), {"last_at": end}, ended)
        self.store.commit(Commit(buckets=buckets, checkpoints=[point]))


def shop(folder: Path, **fields: Any) -> Iterator[Shop]:
    """A shop whose store is empty."""
    loaded = load(file_with(folder, {"both": unpaid(**fields)}), [])
    clock = ManualClock(NOON)
    store = StoreConfig(url=f"sqlite:///{folder}/events.db").build(clock)
    store.register_sinks([CURSOR])
    yield Shop(store, loaded, clock)
    store.close()


def changed(folder: Path, statement: str) -> None:
    """Change the store behind its back."""
    with closing(sqlite3.connect(folder / "events.db")) as connection, connection:
        connection.execute(statement)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Shop]:
    """A shop with a sequence without anything more to it."""
    yield from shop(tmp_path)


CASES: list[tuple[str, dict[str, Any], list[Event], list[float]]] = [
    ("it stays away", {}, [door(0)], [30]),
    ("it follows", {}, [door(0), till(20)], []),
    ("just in time", {}, [door(0), till(30)], []),
    ("too late", {}, [door(0), till(30.5)], [30]),
    ("it was there before", {}, [till(-5), door(0)], [30]),
    ("at the same moment", {}, [door(0), till(0)], [30]),
    ("at another camera", {}, [door(0), happened("back", "till", 9)], [30]),
    ("at any camera", {"without": {"rule": "till"}}, [door(0), happened("back", "till", 9)], []),
    ("in the wrong direction", {}, [door(0, direction="out")], []),
    ("one of two", {}, [door(0), door(15, track=2), till(20)], []),
    ("each of two", {}, [door(0), door(15, track=2)], [30, 45]),
    ("the second of two", {}, [door(0), till(9), door(15, track=2)], [45]),
    ("what is awaited is rejected", {}, [door(0), Verification("rejected").marked(till(9))], [30]),
    ("what came first is rejected", {}, [Verification("rejected").marked(door(0))], []),
    (
        "another track",
        {"without": {"camera": "entrance", "rule": "exit"}, "same": "track"},
        [door(0), door(1, track=2), happened("entrance", "exit", 9)],
        [31],
    ),
    ("in a cooldown", {"cooldown": "20s"}, [door(0), door(15), door(19), door(20)], [30, 50]),
    (
        "the schedule is that of the end",  # 13:00 of London's summer
        {"schedule": [{"from": "13:00", "to": "13:01"}]},
        [door(0), door(29.5, track=2), door(30, track=3)],
        [30, 59.5],
    ),
]


@pytest.mark.parametrize(
    ("fields", "events", "at"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_it_stays_away(
    tmp_path: Path, fields: dict[str, Any], events: list[Event], at: list[float]
) -> None:
    """Told of the end of its time; the same whatever the order of arrival, over any restart."""
    for number, order in enumerate((events, events[::-1])):
        for restarts in (False, True):
            folder = tmp_path / f"{number}{restarts}"
            for made in shop(folder, **fields):
                lane = made.lane()
                for event in order:
                    made.store.commit(Commit(events=(event,)))
                    made.look(lane)
                    lane = made.lane() if restarts else lane
                assert made.told() == []
                for name in ("entrance", "shop", "back"):
                    made.judged(120, name)
                    lane = made.lane() if restarts else lane
                    made.look(lane)
                told = made.look(made.lane() if restarts else lane)
                if fields.get("cooldown") is None or number == 0:
                    assert told == at
                else:  # of several within a cooldown the first that is stored stays
                    assert told == [30, 50] or told == [50]
                assert made.store.cursor(CURSOR).position >= len(events)


def test_the_event(made: Shop) -> None:
    """It is about what came first, names what is missing, and is of the moment at which it is."""
    first = door(0, track=7)
    made.store.commit(Commit(events=(first,)))
    made.judged(60)
    made.look(made.lane())

    (event,) = found(made.store)
    assert (event.type, event.rule, event.camera) == ("sequence", "both", "entrance")
    assert (event.phase, event.at, event.subject) == ("single", NOON + 30, first.subject)
    assert event.data == {
        "seconds": 30.0,
        "first": {
            "camera": "entrance",
            "rule": "door",
            "id": first.id,
            "time": "2026-06-01T12:00:00.000Z",
        },
        "without": {"camera": "shop", "rule": "till"},
        "coverage": 1.0,
    }


def test_nothing_is_said_before_the_camera_was_judged_that_far(made: Shop) -> None:
    """However late that is: a till that is judged an hour late may yet show who came."""
    made.store.commit(Commit(events=(door(0),)))
    lane = made.lane()
    for until in range(-60, 35):
        made.judged(until)
        made.clock.advance(60)
        assert made.look(lane, 1) == []
    assert lane.status().awaiting == 1
    made.store.commit(Commit(events=(till(12),)))
    made.judged(40)

    assert made.look(lane) == []
    assert (lane.status().awaiting, lane.status().unknown) == (0, 0)


def test_each_is_reported_once_whatever_is_killed(made: Shop) -> None:
    """Those behind one that is not decided are decided again after a restart, and known."""
    made.judged(0, "back")
    made.store.commit(Commit(events=(door(100), door(0, track=2))))
    made.judged(60)
    assert made.look(made.lane()) == [30]
    assert made.store.cursor(CURSOR).position == 0  # the first that arrived is not decided
    before = found(made.store)
    assert made.look(made.lane()) == [30]
    made.judged(200)

    assert made.look(made.lane()) == [30, 130]
    assert found(made.store)[0] == before[0]
    assert made.look(made.lane()) == [30, 130]


def test_another_time_does_not_report_it_again(tmp_path: Path) -> None:
    """The id follows from what came first."""
    for made in shop(tmp_path):
        made.store.commit(Commit(events=(door(0),)))
        made.judged(300)
        lane = made.lane()
        assert made.look(lane, 1) == [30]
        made.deployment = load(file_with(tmp_path, {"both": unpaid(within="1m")}), [])
        made.store.register_sinks([CURSOR, "log"], ["log"])
        changed(
            tmp_path, "UPDATE moonwatch_cursors SET position = 0"
        )  # as if killed before it moved
        assert made.look(made.lane()) == [30]


def test_a_camera_that_was_off_says_nothing(made: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """Unknown time is not absence: it is logged, counted, and not reported."""
    caplog.set_level(logging.WARNING)
    made.store.commit(
        Commit(
            events=(door(0),),
            health=[Health("shop", NOON - 9, "offline"), Health("shop", NOON + 25, "online")],
        )
    )
    made.judged(120)
    lane = made.lane()

    assert made.look(lane) == []
    assert lane.status().unknown == 1
    assert (
        "whether till followed door of camera entrance at 2026-06-01T13:00:00+01:00 is not known, "
        "as only 17 % of the time was looked at"
    ) in caplog.text


def test_what_was_not_judged_at_all_is_unknown(made: Shop) -> None:
    """A minute in which answers failed counts as what was seen of it."""
    made.store.commit(Commit(events=(door(10),)))
    made.judged(300)
    failed = Bucket("shop", "till", minute_of(NOON), 1, 0.1)
    made.store.commit(Commit(buckets=[failed]))
    lane = made.lane()

    assert made.look(lane) == []
    assert lane.status().unknown == 1


@pytest.mark.parametrize(("least", "told"), [(0.5, []), (0.0, [30])])
def test_a_camera_that_is_off_is_not_waited_for(
    tmp_path: Path, least: float, told: list[float]
) -> None:
    """After ten minutes without anything judged: unknown, or reported with `min_coverage: 0`."""
    for made in shop(tmp_path, min_coverage=least):
        made.store.commit(Commit(events=(door(0),)))
        made.judged(-5)
        lane = made.lane()
        made.look(lane)
        made.clock.advance(STALLED_S - 20)
        assert made.look(lane) == []
        assert lane.status().awaiting == 1
        made.clock.advance(30)
        assert made.look(lane) == told
        assert lane.status().awaiting == 0
        assert [event.data["coverage"] for event in found(made.store)] == [0.0] * len(told)


def test_it_may_yet_come_back_within_the_time(tmp_path: Path) -> None:
    """A camera that is off at first is waited for until the time is over."""
    for made in shop(tmp_path, within="1h", min_coverage=0):
        made.store.commit(Commit(events=(door(0),)))
        made.judged(0)
        lane = made.lane()
        made.look(lane)
        made.clock.advance(2 * STALLED_S)
        assert made.look(lane) == []
        made.store.commit(Commit(events=(till(3000),)))
        made.judged(3700)
        assert made.look(lane) == []
        assert lane.status().awaiting == 0


def test_a_wrong_clock_does_not_hold_back_everything_for_years(made: Shop) -> None:
    """What is said to have happened in years is given up after a day, as nobody sees it."""
    made.store.commit(Commit(events=(door(1e8), door(0))))
    lane = made.lane()
    made.judged(60)
    assert made.look(lane) == [30]
    for hour in range(25):
        made.judged(60 + hour)
        made.look(lane)
        made.clock.advance(3600)
    made.look(lane)

    assert made.told() == [30]
    assert lane.status().awaiting == 0
    assert made.store.cursor(CURSOR).behind == 0


def test_a_recording_is_decided_when_it_ends(made: Shop) -> None:
    """Nothing more is to come, and what was not filmed any more is unknown."""
    made.store.commit(Commit(events=(door(0), door(50))))
    made.judged(60, ended=True)
    lane = made.lane()

    assert made.look(lane) == [30]
    assert (lane.status().awaiting, lane.status().unknown) == (0, 1)


def test_a_second_look_at_what_is_awaited_is_waited_for(made: Shop) -> None:
    """It may be rejected, and then nothing came."""
    made.store.commit(Commit(events=(door(0),)))
    made.judged(60)
    waiting = WaitingEvent(till(9), NOON, SecondLook("other", "Is it a person?"))
    made.store.commit(Commit(waiting=[waiting]))
    lane = made.lane()
    assert made.look(lane) == []
    rejected = Verification("rejected").marked(till(9))
    made.store.commit(Commit(events=(rejected,), settled=[rejected.record_id]))

    assert made.look(lane) == [30]


def test_nothing_is_forgotten_while_it_is_waited_for(made: Shop) -> None:
    """Retention waits for the cursor."""
    made.store.commit(Commit(events=(door(0),)))
    lane = made.lane()
    made.look(lane)
    assert made.store.prune(NOON + 1e6).events == 0
    made.judged(60)
    made.look(lane)
    made.look(lane)

    assert made.store.prune(NOON + 1e6).events == 2


def test_who_lost_the_lease_reports_nothing(made: Shop) -> None:
    """Another process judges by then."""
    proof = made.store.take(DELIVER, LeaseOwner("me", "here", 1))
    record = made.store.lease(DELIVER)
    assert made.store.take(DELIVER, LeaseOwner("other", "there", 2), record) is not None
    made.store.commit(Commit(events=(door(0),)))
    made.judged(60)

    with pytest.raises(OwnershipLostError):
        made.look(made.lane(proof))
    assert made.told() == []


def test_a_store_out_of_reach_is_tried_again(made: Shop, tmp_path: Path) -> None:
    """The lane says why, and goes on where it was."""
    made.store.commit(Commit(events=(door(0),)))
    made.judged(60)
    lane = made.lane()
    changed(tmp_path, "ALTER TABLE moonwatch_checkpoints RENAME TO hidden")
    made.look(lane)
    assert lane.status().error
    changed(tmp_path, "ALTER TABLE hidden RENAME TO moonwatch_checkpoints")

    made.clock.advance(400)
    assert made.look(lane) == [30]
    assert lane.status().error is None


def test_a_run_of_recordings_does_not_stay_for_it(made: Shop) -> None:
    """A camera that shows nothing more is not waited for; it goes on at the next start."""
    made.store.commit(Commit(events=(door(0),)))
    lane = made.lane()
    made.look(lane)
    final = FinalDelivery(made.store.history, made.clock)

    stays = final.goes_on(made.deployment, [lane.status()])
    made.clock.advance(40)
    assert (stays, final.goes_on(made.deployment, [lane.status()])) == (True, False)


def test_the_process_that_delivers_judges_and_delivers_it(tmp_path: Path) -> None:
    """Also after an edit of the file."""
    loaded = load(file_with(tmp_path, {"both": unpaid()}), [])
    clock = SystemClock()
    store = loaded.store.build(clock)
    made = Shop(store, loaded, ManualClock(NOON))
    context = StageContext(loaded, loaded.queue.build(clock), Metrics(), clock)
    lease = StoreLease(store, DELIVER, LeaseOwner("me", "here", 1), clock)
    stage = DeliveryStage(context, store, lease, store.history)
    stage.start()

    def is_delivering() -> bool:
        stage.poll()
        return lease.proof is not None

    wait_until(is_delivering)
    store.commit(Commit(events=(door(0),)))

    def told() -> list[tuple[str, str]]:
        stage.poll()
        out = tmp_path / "events.jsonl"
        lines = map(json.loads, out.read_text().splitlines() if out.exists() else [])
        return [(one["subject"], one["time"]) for one in lines if "sequence" in one["type"]]

    made.judged(60)
    wait_until(lambda: told() == [("both", "2026-06-01T12:00:30.000Z")])
    stage.update(load(file_with(tmp_path, {"both": unpaid(within="1m")}), []))
    store.commit(Commit(events=(door(10),)))
    made.judged(90)
    wait_until(lambda: [at for _, at in told()][1:] == ["2026-06-01T12:01:10.000Z"])
    stage.stop(20.0)
    store.close()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"without": None}, "takes either `then`"),
        ({"then": {"rule": "till"}}, "takes either `then`"),
        ({"same": "track"}, "works within one camera"),
        ({"then": {"rule": "till"}, "without": None, "min_coverage": 0.1}, "is for `without`"),
        ({"cooldown": "2d"}, "must be at most 1 day"),
        ({"min_coverage": 2}, "in 0..1|between 0 and 1|0 to 1"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, fields: dict[str, Any], sentence: str
) -> None:
    """With the way out."""
    whole = {name: value for name, value in unpaid(**fields).items() if value is not None}
    with pytest.raises((ConfigError, ValidationError), match=sentence):
        load(file_with(tmp_path, {"both": whole}), [])


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("other", "'other' is a sequence, and nobody can say that one will not be found any more"),
        ("tile", "no camera has a rule 'tile'"),
    ],
)
def test_what_nobody_can_miss_is_named(tmp_path: Path, rule: str, sentence: str) -> None:
    """At its place in the file."""
    other = {"first": {"rule": "door"}, "then": {"rule": "till"}, "within": "10s"}
    both = unpaid(without={"rule": rule})
    with pytest.raises(ConfigError) as caught:
        load(file_with(tmp_path, {"both": both, "other": other}), [])

    (problem,) = caught.value.problems
    assert problem.path == "sequences.both.without.rule"
    assert sentence in problem.message
