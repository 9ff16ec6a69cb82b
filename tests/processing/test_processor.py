"""What a processor concludes is kept once, in order, whatever is killed or comes twice."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from connectors.queues.memory import MemoryConfig
from connectors.queues.memory.queue import MemoryShelf
from connectors.stores import StoreConfig
from pipeline.core.answers import Boxes
from pipeline.core.errors import FencedOffError, StoreError, UnreadablePictureError
from pipeline.core.events import Event, JsonValue, Subject, event_id
from pipeline.core.frames import Pixels
from pipeline.core.jobs import Result, health_result
from pipeline.core.marked_pictures import box_in, drawn
from pipeline.core.measures import Bucket, Health, minute_of
from pipeline.core.queues import Queues
from pipeline.core.rules import Ending, Observation, Rule, Verdict
from pipeline.core.store import COUNTED, Commit, EventFilter, Page, Store, StoredEvent
from pipeline.processing.plan import CameraPlan, LanePlan, RulePlan, TaskPlan
from pipeline.processing.processor import Processor, ProcessorContext
from pipeline.processing.snapshots import Snapshots
from pipeline.rules.context import RuleContext
from pipeline.rules.occupancy import OccupancyConfig
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, frame
from pipeline.tracking.config import TrackerConfig
from tests.contracts.event_tools import an_event

START = 1_700_000_000.0
BOX = (0.4, 0.4, 0.6, 0.8)


class EveryOther:
    """A rule that has an event at every second observation and counts them all."""

    def __init__(self, every: int = 2) -> None:
        self._seen, self._every = 0, every

    def judge(self, seen: Observation) -> Verdict:
        """An event for each even observation; a bucket with the count so far."""
        self._seen += 1
        minute = minute_of(seen.at)
        bucket = Bucket(seen.camera, "even", minute, self._seen, 1.0, {"seen": self._seen})
        if self._seen % self._every:
            return Verdict(buckets=(bucket,))
        event = Event(
            id=event_id(seen.camera, "even", str(self._seen), seen.at),
            type="even",
            phase="single",
            camera=seen.camera,
            rule="even",
            at=seen.at,
            subject=Subject("person", box=BOX),
            data={"seen": self._seen, "tracks": len(seen.tracks)},
            seq=seen.seq,
            run=seen.run,
        )
        return Verdict((event,), (bucket,))

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """One last event."""
        identity = event_id("door", "even", "end", at)
        return Verdict((Event(identity, "even", "single", "door", "even", at),))

    def unfinished(self) -> tuple[Bucket, ...]:
        """How many were seen, as `judge` has said already."""
        return ()

    def state(self) -> JsonValue:
        """How many were seen."""
        return self._seen

    def restore(self, state: JsonValue) -> None:
        """Count on from there."""
        assert isinstance(state, int)
        self._seen = state

    def inherit(self, state: JsonValue, at: float) -> None:
        """Nothing holds on."""


def make_rule(_aspect: float) -> Rule:
    """The rule of these tests."""
    return EveryOther()


def plan(terms: str = "1", make: Callable[[float], Rule] = make_rule) -> CameraPlan:
    """The one camera's recording, judged by the one rule."""
    task = TaskPlan(
        "people",
        {"even": RulePlan(make, terms)},
        lambda aspect: TrackerConfig().build("person", aspect),
    )
    return CameraPlan(
        "door",
        (LanePlan("fast", (task,)),),
        snapshots=frozenset({"even"}),
        is_recording=True,
    )


PLAN = plan()


def result(ordinal: int, *, last: bool = False) -> Result:
    """A file's result with one box, half a second apart."""
    return Result(
        camera="door",
        run="clip",
        engine="fast",
        ordinal=ordinal,
        seq=ordinal,
        captured_at=START + ordinal / 2,
        size_wh=(64, 48),
        live=False,
        answers={} if last else {"people": Boxes("fast", (BOX,), (0.9,))},
        last=last,
    )


class Desk:
    """A processor with a real store in a folder, and queues in memory."""

    def __init__(self, folder: Path, plan: CameraPlan = PLAN) -> None:
        self.clock = ManualClock(START)
        self.metrics = Metrics()
        self.queues: Queues = MemoryConfig().build(self.clock)
        self.shelf = MemoryShelf()  # pictures are put on it by hand
        config = StoreConfig(url=f"sqlite:///{folder}/events.db")
        self.store = config.build(self.clock)
        self.media = config.media_folder
        self.processor = self.make(self.store, plan)
        self._media_store = config.build_media()

    def make(
        self,
        store: Store,
        plan: CameraPlan = PLAN,
        fences: Mapping[int, int] | None = None,
        snapshots: Snapshots | None = None,
    ) -> Processor:
        """A processor on this desk's queues, such as the next one after a crash."""
        config = StoreConfig(url="sqlite:///unused.db", media=self.media)
        context = ProcessorContext(
            results=self.queues.results,
            store=store,
            snapshots=snapshots or Snapshots(self.shelf, config.build_media()),
            metrics=self.metrics,
            clock=self.clock,
            fences=fences or {},
        )
        return Processor([plan], context)

    def feed(self, *results: Result) -> None:
        """Publish and judge."""
        assert self.queues.results.publish(results, 0.0)
        while self.processor.step(0.0):
            pass

    def events(self) -> list[StoredEvent]:
        """All events kept, in order."""
        return list(self.store.events_after(0, 1000))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A fresh desk."""
    fresh = Desk(tmp_path)
    yield fresh
    fresh.store.close()


def test_results_become_events_in_order(desk: Desk) -> None:
    """Whatever the order of arrival, rules see results in order and events are kept."""
    desk.feed(result(1), result(3), result(0), result(2), result(4, last=True))
    assert [kept.event.at for kept in desk.events()] == [START + 0.5, START + 1.5, START + 2.0]
    assert desk.processor.ended == {("door", "fast")}


def test_a_second_processor_goes_on_where_the_first_was_killed(desk: Desk) -> None:
    """Its state comes from the store; replayed results are recognised and judged once."""
    desk.feed(result(0), result(1), result(2))
    desk.processor = desk.make(desk.store)
    used = desk.processor.resume()
    assert used["door", "fast"].ordinal == 2
    desk.feed(*(result(n) for n in range(5)), result(5, last=True))
    assert [kept.event.data.get("seen") for kept in desk.events()] == [2, 4, None]
    passed = desk.metrics.value(
        "moonwatch_results_passed_over_total", camera="door", reason="duplicate"
    )
    assert passed == 3


def test_a_changed_plan_starts_anew(desk: Desk) -> None:
    """A recording that was judged by other rules or lines is judged from its beginning."""
    desk.feed(result(0), result(1))
    desk.processor = desk.make(desk.store, plan("2"))
    assert desk.processor.resume() == {}


def test_only_the_last_judging_of_a_recording_counts(desk: Desk) -> None:
    """Judged again after an edit, it has the new rules' events; the old ones are there."""
    everything = (*(result(n) for n in range(5)), result(5, last=True))
    desk.feed(*everything)
    assert [(kept.event.data.get("seen"), kept.event.run) for kept in desk.events()] == [
        *((2, "clip"), (4, "clip"), (None, "clip"))
    ]
    edited = plan("2", lambda _: EveryOther(4))
    desk.processor = desk.make(desk.store, edited)
    assert desk.processor.resume() == {}
    desk.feed(result(0))
    assert desk.store.history.counts(EventFilter(counted_as=COUNTED)) == []
    desk.feed(*everything[1:])
    counted = desk.store.history.events(EventFilter(counted_as=COUNTED), Page(newest_first=False))
    assert [kept.event.data.get("seen") for kept in counted] == [4, None]
    assert [kept.event.data.get("seen") for kept in desk.events()] == [2, 4, None]
    # Killed and resumed, all of it is as it was.
    desk.processor = desk.make(desk.store, edited)
    desk.processor.resume()
    desk.feed(*everything)
    found = desk.store.history.events(EventFilter(counted_as=COUNTED), Page(newest_first=False))
    assert found == counted


def test_a_replayed_end_is_still_an_end(desk: Desk) -> None:
    """Running a file again that was judged to its end ends at once, with nothing doubled."""
    everything = (result(0), result(1), result(2, last=True))
    desk.feed(*everything)
    before = desk.events()
    desk.processor = desk.make(desk.store)
    desk.processor.resume()
    desk.feed(*everything)
    assert desk.processor.ended == {("door", "fast")}
    assert desk.events() == before


def test_results_are_acknowledged_only_after_they_are_kept(desk: Desk) -> None:
    """A store that refuses keeps the results unacknowledged: they come again."""

    class Refusing:
        def __getattr__(self, name: str) -> object:
            return getattr(desk.store, name)

        def commit(self, commit: Commit) -> int:
            desk.processor.stop()
            raise StoreError("the disk is full")

    good = desk.processor
    refusing: Store = Refusing()  # type: ignore[assignment]
    desk.processor = desk.make(refusing)
    desk.feed(result(0), result(1))
    assert desk.events() == []
    desk.processor = good
    desk.clock.advance(3600)
    while desk.processor.step(0.0):
        pass
    assert len(desk.events()) == 1


def test_a_snapshot_is_the_frame_and_tells_of_the_box(desk: Desk) -> None:
    """The event refers to a stored JPEG of its frame, into which the subject's box can be drawn."""
    picture = frame("door", 1)
    desk.shelf.keep(replace(picture, run="clip"))
    desk.feed(result(0), result(1))
    [kept] = desk.events()
    [reference] = kept.event.media
    assert reference == f"door/2023-11-14/{kept.event.id}.jpg"
    content = (desk.media / reference).read_bytes()
    clean = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert clean is not None
    assert clean.shape == (48, 64, 3)
    assert np.abs(clean.astype(int) - 128).max() < 4
    assert kept.event.subject is not None
    assert box_in(content) == pytest.approx(kept.event.subject.box, abs=1e-5)
    shown = cv2.imdecode(np.frombuffer(drawn(content), np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    edge = shown[round(0.4 * 48), round(0.5 * 64)].astype(int)
    assert np.abs(edge - (0, 176, 255)).max() < 60
    assert np.abs(shown[2, 2].astype(int) - 128).max() < 4


def test_an_event_without_its_picture_is_still_an_event(desk: Desk) -> None:
    """A picture that is gone costs the reference, not the event."""
    desk.feed(result(0), result(1))
    assert desk.events()[0].event.media == ()


def test_troubles_of_a_camera_are_events_with_start_and_end(desk: Desk) -> None:
    """Offline and online make one happening; a repeated state makes none."""
    states = ["online", "offline", "offline", "online", "frozen", "moving"]
    desk.feed(
        *(
            health_result(Health("door", START + 10 * n, state, "timeout"))
            for n, state in enumerate(states)
        )
    )
    events = [kept.event for kept in desk.events()]
    assert [(event.type, event.phase) for event in events] == [
        ("camera_offline", "start"),
        ("camera_offline", "end"),
        ("camera_frozen", "start"),
        ("camera_frozen", "end"),
    ]
    assert events[0].id == events[1].id
    assert events[1].data["seconds"] == 20.0


def test_a_trouble_outlives_a_restart(desk: Desk) -> None:
    """A camera that was offline when the processor was killed gets its end from the next one."""
    desk.feed(health_result(Health("door", START, "offline", "timeout")))
    desk.processor = desk.make(desk.store)
    desk.processor.resume()
    desk.feed(
        health_result(Health("door", START + 5, "offline", "timeout")),
        health_result(Health("door", START + 60, "online")),
    )
    first, second = (kept.event for kept in desk.events())
    assert (first.phase, second.phase) == ("start", "end")
    assert first.id == second.id
    assert second.data["seconds"] == 60.0


def test_an_end_is_in_the_checkpoint(desk: Desk) -> None:
    """Another process can tell from the store that a file was judged to its end."""
    desk.feed(result(0))
    begun = desk.store.checkpoint("door", "fast")
    desk.feed(result(1, last=True))
    ended = desk.store.checkpoint("door", "fast")
    assert begun is not None
    assert ended is not None
    assert (begun.ended, ended.ended) == (False, True)


def test_whoever_is_fenced_off_keeps_nothing(desk: Desk) -> None:
    """A processor whose partition was taken over learns it from the store, and writes nothing."""
    old = desk.processor = desk.make(desk.store, fences={0: 4})
    desk.feed(result(0), result(1))
    desk.processor = desk.make(desk.store, fences={0: 5})
    desk.store.commit(Commit(fences={0: 5}))
    desk.queues.results.publish([result(2), result(3)], 0.0)
    with pytest.raises(FencedOffError):
        old.step(0.0)
    assert len(desk.events()) == 1
    desk.processor.resume()
    desk.clock.advance(3600)
    while desk.processor.step(0.0):
        pass
    assert [kept.event.data["seen"] for kept in desk.events()] == [2, 4]


def test_a_full_folder_of_pictures_costs_no_event(desk: Desk) -> None:
    """The event is kept without its picture, and the next one has it again."""
    desk.shelf.keep(replace(frame("door", 1), run="clip"))
    desk.shelf.keep(replace(frame("door", 3), run="clip"))
    desk.media.write_bytes(b"in the way")
    desk.feed(result(0), result(1))
    desk.media.unlink()
    desk.feed(result(2), result(3))
    assert [len(kept.event.media) for kept in desk.events()] == [0, 1]


def test_a_result_of_an_unknown_camera_is_counted_and_let_go(desk: Desk) -> None:
    """A camera that left the deployment does not stop the others."""
    desk.feed(replace(result(0), camera="gone"), result(0), result(1))
    assert len(desk.events()) == 1
    assert (
        desk.metrics.value(
            "moonwatch_results_passed_over_total", camera="gone", reason="unknown camera"
        )
        == 1
    )


CROWD = RulePlan(
    lambda aspect: OccupancyConfig(of="people").build(
        RuleContext("door", "crowd", every_s=0.5, aspect=aspect)
    )
)
COUNTING = CameraPlan("door", (LanePlan("fast", (TaskPlan("people", {"crowd": CROWD}),)),))


def minutes(desk: Desk) -> list[tuple[float, int, float, bool]]:
    """Every minute kept: when, looks, how much of it is known, whether it still ran."""
    return [
        (bucket.minute - START, bucket.samples, bucket.coverage, bucket.unfinished)
        for bucket in desk.store.history.buckets("door", "crowd")
    ]


def test_the_running_minute_is_kept_with_the_state_to_go_on_from(tmp_path: Path) -> None:
    """Stopped or killed within a minute, it is there; going on, it becomes the whole minute."""
    desk = Desk(tmp_path, COUNTING)
    desk.feed(*(result(n) for n in range(10)))
    assert minutes(desk) == [(-20.0, 10, 0.075, True)]
    desk.processor = desk.make(desk.store, COUNTING)  # whatever became of the first
    desk.processor.resume()
    assert minutes(desk) == [(-20.0, 10, 0.075, True)]
    desk.feed(*(result(n) for n in range(90)))
    assert minutes(desk) == [(-20.0, 80, 0.666667, False), (40.0, 10, 0.075, True)]
    desk.feed(result(90), result(91, last=True))
    assert minutes(desk)[1] == (40.0, 11, 0.091667, False)
    desk.store.close()


def test_troubles_alone_touch_no_minute(desk: Desk) -> None:
    """A commit without results has no state and no minute in it."""
    desk.feed(health_result(Health("door", START, "offline", "timeout")))
    assert desk.store.history.buckets() == []


class TornShelf(MemoryShelf):
    """A shelf on which no picture can be read."""

    def fetch(self, camera: str, run: str, seq: int) -> Pixels | None:
        """Never."""
        raise UnreadablePictureError("its picture is damaged")


def test_a_damaged_picture_costs_one_event_its_picture(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The event is kept without it, which is said once, and judging goes on."""
    media = StoreConfig(url=f"sqlite:///{tmp_path}/events.db").build_media()
    snapshots = Snapshots(TornShelf(), media)
    for number in range(3):
        event = replace(an_event(number), camera="door", seq=number, run="clip")
        assert snapshots.attach(event).media == ()
    assert caplog.text.count("an event of camera door has no picture: its picture is damaged") == 1
