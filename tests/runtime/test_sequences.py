"""One event after another, also across cameras: judged from the store, each once."""

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.stores import StoreConfig
from connectors.stores.sql import SqlStore
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, OwnershipLostError
from pipeline.core.events import Event, Phase, Subject, event_id
from pipeline.core.store import DELIVER, Commit, EventFilter, LeaseOwner
from pipeline.core.verifying import Verification
from pipeline.delivery import SinkLane
from pipeline.deployment.loader import load
from pipeline.rules.schedule import Schedule
from pipeline.rules.sequence import SequenceConfig
from pipeline.runtime.ownership import StoreLease
from pipeline.runtime.sequences import SequenceJudge, cursor_of, lane_of, route_of
from pipeline.runtime.stages.base import StageContext
from pipeline.runtime.stages.delivery import DeliveryStage
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, wait_until
from tests.runtime.clips import CLIP, camera, deployment, written

NOON = 1_780_315_200.0
DOOR = {"camera": "entrance", "rule": "door", "direction": "in"}
TILL = {"camera": "shop", "rule": "till"}


def sequence(**fields: Any) -> SequenceConfig:
    """Through the door, and then to the till within half a minute."""
    return SequenceConfig.model_validate({"first": DOOR, "then": TILL, "within": "30s", **fields})


def happened(
    camera: str,
    rule: str,
    second: float,
    phase: Phase = "single",
    direction: str = "in",
    track: int = 1,
    run: str = "r1",
) -> Event:
    """An event some seconds after noon."""
    at = NOON + second
    return Event(
        id=event_id(camera, rule, str(track), at),
        type="line_crossing",
        phase=phase,
        camera=camera,
        rule=rule,
        at=at,
        subject=Subject("person", track),
        data={"direction": direction},
        run=run,
    )


def door(second: float, **more: Any) -> Event:
    """Somebody comes in."""
    return happened("entrance", "door", second, **more)


def till(second: float, **more: Any) -> Event:
    """Somebody is at the till."""
    return happened("shop", "till", second, **more)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """A store that is empty."""
    made = StoreConfig(url=f"sqlite:///{tmp_path}/events.db").build(ManualClock(NOON))
    yield made
    made.close()


def found(store: SqlStore) -> list[Event]:
    """The sequences that are stored, by their times."""
    stored = store.history.events(EventFilter(types=("sequence",)))
    return sorted((one.event for one in stored), key=lambda event: event.at)


def judged(store: SqlStore, events: Sequence[Event], config: SequenceConfig) -> list[Event]:
    """Store events one by one, each judged as it arrives."""
    schedule = Schedule(config.schedule, "UTC")
    judge = SequenceJudge("both", config, store, store.history, None, lambda _: schedule)
    for event in events:
        store.commit(Commit(events=(event,)))
        judge.send((event,))
    return found(store)


CASES: list[tuple[str, dict[str, Any], list[Event], list[float]]] = [
    ("one after the other", {}, [door(0), till(20)], [20]),
    ("too late", {}, [door(0), till(30.5)], []),
    ("just in time", {}, [door(0), till(30)], [30]),
    ("in the other order", {}, [till(0), door(20)], []),
    ("at the same moment", {}, [door(0), till(0)], []),
    ("in the wrong direction", {}, [door(0, direction="out"), till(20)], []),
    ("at another camera", {}, [happened("back", "door", 0), till(20)], []),
    (
        "at any camera",
        {"first": {"rule": "door"}},
        [happened("back", "door", 0), till(20)],
        [20],
    ),
    ("two after one", {}, [door(0), till(10), till(20, track=2)], [10, 20]),
    ("one after two", {}, [door(0), door(5, track=2), till(20)], [20]),
    ("starts and single events", {}, [door(0), till(9, phase="start")], [9]),
    ("no ends", {}, [door(0), till(9, phase="end")], []),
    (
        "ends that are asked for",
        {"then": {**TILL, "phase": "end"}},
        [door(0), till(9, phase="end")],
        [9],
    ),
    (
        "the same track",
        {"then": {"camera": "entrance", "rule": "till"}, "same": "track"},
        [
            door(0),
            happened("entrance", "till", 5, track=2),
            happened("entrance", "till", 9),
            happened("entrance", "till", 12, run="r2"),
        ],
        [9],
    ),
    ("rejected by a second look", {}, [Verification("rejected").marked(door(0)), till(9)], []),
    ("looked at in vain", {}, [Verification("unverified").marked(door(0)), till(9)], [9]),
    ("a cooldown", {"cooldown": "10s"}, [door(0), till(9), till(12), till(19)], [9, 19]),
    ("a cooldown, in another order", {"cooldown": "10s"}, [door(0), till(19), till(12)], [19]),
    (
        "a cooldown of each camera",
        {"then": {"rule": "till"}, "cooldown": "10s"},
        [door(0), till(9), happened("back", "till", 12)],
        [9, 12],
    ),
    (
        "a schedule, by the time of what comes last",
        {"schedule": [{"from": "12:00", "to": "12:01"}]},
        [door(-1), till(-0.5), till(0), door(55), till(59), till(60)],
        [0, 59],
    ),
    ("twice the same rule", {"then": DOOR}, [door(0), door(10), door(20)], [10, 20]),
]


@pytest.mark.parametrize(
    ("fields", "events", "at"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_sequences(
    store: SqlStore, fields: dict[str, Any], events: list[Event], at: list[float]
) -> None:
    """One for each `then` that has a `first` shortly before it, whatever came between."""
    told = judged(store, events, sequence(**fields))

    assert [event.at - NOON for event in told] == at


def test_the_event(store: SqlStore) -> None:
    """It is about what came last, and names both."""
    early, late, last = door(0), door(5, track=2), till(20, track=7)
    (event,) = judged(store, [early, late, last], sequence())

    assert (event.type, event.rule, event.camera, event.phase) == (
        "sequence",
        "both",
        "shop",
        "single",
    )
    assert event.subject == last.subject
    assert event.run == last.run
    assert event.data == {
        "seconds": 15.0,
        "first": {
            "camera": "entrance",
            "rule": "door",
            "id": late.id,
            "time": "2026-06-01T12:00:05.000Z",
        },
        "then": {
            "camera": "shop",
            "rule": "till",
            "id": last.id,
            "time": "2026-06-01T12:00:20.000Z",
        },
    }


def test_the_order_of_arrival_changes_nothing(tmp_path: Path) -> None:
    """Cameras are judged at their own pace: whatever arrives late is looked for on both sides."""
    events = [door(0), door(12.3, track=2), till(42.3, track=3), till(43, track=4)]
    ids = set()
    for number, order in enumerate(itertools.permutations(events)):
        store = SqlStore(f"sqlite:///{tmp_path}/{number}.db")
        ids.add(tuple(event.id for event in judged(store, order, sequence())))
        store.close()

    (told,) = ids
    assert len(told) == 1  # the last one is too late


def lane(store: SqlStore, clock: ManualClock) -> SinkLane:
    """The sequence as the process that delivers serves it."""
    config = sequence()
    judge = SequenceJudge("both", config, store, store.history, None)
    return SinkLane(route_of("both", config), judge, store, clock, Metrics())


def test_it_goes_on_after_a_crash_and_stores_each_once(store: SqlStore) -> None:
    """What was stored before the cursor had moved is judged again, to the same event."""
    clock = ManualClock(NOON)
    store.register_sinks([cursor_of("both")])
    store.commit(Commit(events=(door(0), till(20))))
    SequenceJudge("both", sequence(), store, store.history, None).send([till(20)])
    assert store.cursor(cursor_of("both")).position == 0
    before = found(store)

    again = lane(store, clock)
    for _ in range(4):
        again.step()
    store.commit(Commit(events=(till(25, track=2),)))
    for _ in range(4):
        lane(store, clock).step()

    assert len(before) == 1
    assert [event.at - NOON for event in found(store)] == [20, 25]
    assert found(store)[0] == before[0]
    assert store.cursor(cursor_of("both")).behind == 0


def test_a_recording_that_is_played_again_says_the_same(store: SqlStore, tmp_path: Path) -> None:
    """The same events in another store have the same sequences; in the same one they are known."""
    events = [door(0), till(20), till(25, track=2)]
    first = judged(store, events, sequence())
    again = judged(store, events, sequence())
    other = SqlStore(f"sqlite:///{tmp_path}/other.db")

    assert again == first == judged(other, events, sequence())
    other.close()


def test_nothing_is_forgotten_before_it_is_judged(store: SqlStore) -> None:
    """Retention waits for the cursor, as it waits for a sink."""
    store.register_sinks([cursor_of("both")])
    store.commit(Commit(events=(door(0), till(20))))
    assert store.prune(NOON + 1e6).events == 0
    judging = lane(store, ManualClock(NOON))
    for _ in range(4):
        judging.step()
    assert store.prune(NOON + 1e6).events == 3


def test_who_lost_the_lease_stores_nothing(store: SqlStore) -> None:
    """Another process judges by then."""
    proof = store.take(DELIVER, LeaseOwner("me", "here", 1))
    record = store.lease(DELIVER)
    assert store.take(DELIVER, LeaseOwner("other", "there", 2), record) is not None
    store.commit(Commit(events=(door(0), till(20))))

    with pytest.raises(OwnershipLostError):
        SequenceJudge("both", sequence(), store, store.history, proof).send([till(20)])
    assert found(store) == []


def file_with(tmp_path: Path, sequences: dict[str, Any]) -> Path:
    """A deployment of one camera with lines and these sequences, and a sink."""
    content = deployment(tmp_path, {"plaza": camera(CLIP)})
    content["sequences"] = sequences
    content["sinks"] = {"log": {"type": "jsonl", "path": str(tmp_path / "out.jsonl")}}
    return written(tmp_path, content)


def crossing(rule: str, second: float) -> Event:
    """A crossing at one of the lines of that camera."""
    return happened("plaza", rule, second)


def test_the_process_that_delivers_judges_and_delivers_them(tmp_path: Path) -> None:
    """Also those of an edited file, from then on."""
    both = {"first": {"rule": "middle"}, "then": {"rule": "across"}, "within": "10s"}
    loaded = load(file_with(tmp_path, {"both": both}), [])
    clock = SystemClock()
    store = loaded.store.build(clock)
    context = StageContext(loaded, loaded.queue.build(clock), Metrics(), clock)
    lease = StoreLease(store, DELIVER, LeaseOwner("me", "here", 1), clock)
    stage = DeliveryStage(context, store, lease, store.history)
    stage.start()

    def is_delivering() -> bool:
        stage.poll()
        return lease.proof is not None

    wait_until(is_delivering)
    store.commit(Commit(events=(crossing("middle", 0), crossing("across", 5))))

    def told() -> list[str]:
        stage.poll()
        out = tmp_path / "out.jsonl"
        lines = out.read_text().splitlines() if out.exists() else []
        return [line["subject"] for line in map(json.loads, lines) if "sequence" in line["type"]]

    wait_until(lambda: told() == ["both"])
    longer = {**both, "within": "20s"}
    stage.update(load(file_with(tmp_path, {"both": both, "longer": longer}), []))
    store.commit(Commit(events=(crossing("across", 15),)))
    wait_until(lambda: told() == ["both", "longer"])
    stage.stop(5.0)
    store.close()


@pytest.mark.parametrize(
    ("fields", "place", "sentence"),
    [
        ({"first": {"rule": "midle"}}, "first.rule", "no camera has a rule 'midle'"),
        (
            {"then": {"camera": "plaza", "rule": "till"}},
            "then.rule",
            "camera 'plaza' has no rule 'till'",
        ),
        ({"then": {"camera": "shop", "rule": "till"}}, "then.camera", "there is no camera 'shop'"),
        ({"then": {"rule": "both"}}, "then.rule", "'both' would wait for itself"),
    ],
)
def test_what_does_not_exist_is_named(
    tmp_path: Path, fields: dict[str, Any], place: str, sentence: str
) -> None:
    """At its place in the file."""
    both = {"first": {"rule": "middle"}, "then": {"rule": "across"}, "within": "10s"}
    file = file_with(tmp_path, {"both": {**both, **fields}})
    with pytest.raises(ConfigError) as caught:
        load(file, [])

    (problem,) = caught.value.problems
    assert problem.path == f"sequences.both.{place}"
    assert sentence in problem.message


def test_a_schedule_is_by_the_clock_of_the_cameras_site(store: SqlStore, tmp_path: Path) -> None:
    """Of the camera at which it ended, wherever the deployment is."""
    cameras = {name: camera(CLIP) for name in ("entrance", "shop", "back")}
    cameras["shop"] |= {"site": "tokyo"}
    content = deployment(tmp_path, cameras)
    content["sites"] = {"tokyo": {"name": "Tokyo", "timezone": "Asia/Tokyo"}}
    content["sequences"] = {
        "both": {
            "first": {"rule": "middle"},
            "then": {"rule": "across"},
            "within": "30s",
            "schedule": {"from": "21:00", "to": "21:10"},  # noon of UTC, in Tokyo
        }
    }
    loaded = load(written(tmp_path, content), [])
    clock = ManualClock(NOON)
    store.register_sinks([cursor_of("both")])
    made = lane_of("both", loaded, store, store.history, clock, Metrics(), None)
    events = [happened("entrance", "middle", 0)]
    events += [happened(name, "across", 9) for name in ("shop", "back")]
    store.commit(Commit(events=events))
    for _ in range(4):
        made.step()

    assert [event.camera for event in found(store)] == ["shop"]


def test_a_cooldown_survives_a_crash(store: SqlStore) -> None:
    """What was stored before the cursor had moved is the only one again."""
    config = sequence(cooldown="20s")
    events = [door(0), till(10), till(15, track=2), till(30, track=3)]
    store.commit(Commit(events=events))
    for batch in (events[:3], events[2:], events, events[::-1]):
        SequenceJudge("both", config, store, store.history, None).send(batch)

    assert [event.at - NOON for event in found(store)] == [10, 30]


@pytest.mark.parametrize("key", ["then", "without"])
def test_open_without_hours_is_named(tmp_path: Path, key: str) -> None:
    """Of the site whose hours are missing."""
    both = {"first": {"rule": "middle"}, key: {"rule": "across"}, "within": "10s"}
    with pytest.raises(ConfigError) as caught:
        load(file_with(tmp_path, {"both": {**both, "schedule": "open"}}), [])

    (problem,) = caught.value.problems
    assert problem.path == "sequences.both.schedule"
    assert "there are none; add `site.hours`" in problem.message


def test_a_sink_can_ask_for_them(tmp_path: Path) -> None:
    """By their names, or by their type."""
    both = {"first": {"rule": "middle"}, "then": {"rule": "across"}, "within": "10s"}
    file = file_with(tmp_path, {"both": both})

    assert load(file, ["sinks.log.only=[both, sequence]"]).sequences["both"].within.seconds == 10


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"within": "0s"}, "greater than 0"),
        ({"within": "2d"}, "less than or equal"),
        ({"same": "track"}, "works within one camera"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], sentence: str) -> None:
    """With the way out."""
    with pytest.raises(ValidationError, match=sentence):
        sequence(**fields)
