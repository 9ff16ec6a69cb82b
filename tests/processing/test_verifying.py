"""A second look at events: asked once, never lost or doubled, never in the way of counting."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.queues.memory import MemoryConfig
from connectors.queues.memory.queue import MemoryShelf
from connectors.queues.redis import RedisConfig
from connectors.stores import StoreConfig
from connectors.stores.sql import SqlStore
from pipeline.core.answers import Answer, Boxes, Failed, Text
from pipeline.core.clock import SystemClock
from pipeline.core.events import Event, JsonValue, Phase, Subject
from pipeline.core.jobs import Result, result_of
from pipeline.core.measures import Bucket, minute_of
from pipeline.core.queues import Claim, Queues
from pipeline.core.rules import Ending, Observation, Verdict
from pipeline.core.verifying import SecondLook
from pipeline.processing.plan import CameraPlan, LanePlan, RulePlan, TaskPlan
from pipeline.processing.processor import Processor, ProcessorContext
from pipeline.processing.snapshots import Snapshots
from pipeline.processing.verifying import MOST_WAITING
from pipeline.rules.outcome import verification_by
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, frame
from tests.redis_server import Redis, shared

START = 1_700_000_000.0
BOX = (0.4, 0.4, 0.6, 0.8)
LOOK = SecondLook("wise", "Is there a person climbing?")


def event(id_: str, phase: Phase, seq: int, rule: str = "climbing") -> Event:
    """An event of the camera `fence` at a frame."""
    return Event(
        id=id_,
        type="zone",
        phase=phase,
        camera="fence",
        rule=rule,
        at=START + seq,
        subject=Subject("person", 1, BOX),
        seq=seq,
        run="run",
    )


class Told:
    """A rule that reports what it is told to at each frame, and counts all of them."""

    def __init__(self, script: Mapping[int, Sequence[Event]]) -> None:
        self._script = script
        self._seen = 0

    def judge(self, seen: Observation) -> Verdict:
        """The events of this frame, and a bucket with the count so far."""
        self._seen += 1
        bucket = Bucket(seen.camera, "climbing", minute_of(seen.at), 1, 1.0, {"n": self._seen})
        return Verdict(tuple(self._script.get(seen.seq, ())), (bucket,))

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """Nothing."""
        return Verdict()

    def unfinished(self) -> tuple[Bucket, ...]:
        """Nothing."""
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


def a_plan(
    *events: Event,
    verify: Mapping[str, SecondLook] | None = None,
    recording: bool = False,
    camera: str = "fence",
    was: tuple[str, ...] = (),
    engines: frozenset[str] = frozenset({"fast", "wise"}),
) -> CameraPlan:
    """A camera whose one task leads to these events at their frames."""
    script: dict[int, list[Event]] = {}
    for one in events:
        script.setdefault(one.seq or 0, []).append(one)
    task = TaskPlan("people", {"climbing": RulePlan(lambda _aspect: Told(script), "1")})
    return CameraPlan(
        camera,
        (LanePlan("fast", (task,)),),
        is_recording=recording,
        verify={"climbing": LOOK} if verify is None else verify,
        engines=engines,
        was=was,
    )


class Desk:
    """A processor with a store in a folder, and queues in memory that a test answers from."""

    def __init__(self, folder: Path, plan: CameraPlan) -> None:
        self.clock = ManualClock(START)
        self.metrics = Metrics()
        self.queues: Queues = MemoryConfig().build(self.clock)
        self.shelf = MemoryShelf(frames_a_camera=1000)
        self.folder = folder
        self.store: SqlStore = StoreConfig(url=f"sqlite:///{folder}/events.db").build(self.clock)
        self.processor = self.make(plan)
        self.processor.resume()

    def make(self, *plans: CameraPlan) -> Processor:
        """A processor on this desk's queues and store."""
        media = StoreConfig(url="sqlite:///unused.db", media=self.folder / "media").build_media()
        context = ProcessorContext(
            results=self.queues.results,
            store=self.store,
            snapshots=Snapshots(self.shelf, media),
            metrics=self.metrics,
            clock=self.clock,
            jobs=self.queues.jobs,
        )
        return Processor(plans, context)

    def restart(self, *plans: CameraPlan) -> None:
        """Another process, with an empty queue, on the same store."""
        self.queues = MemoryConfig().build(self.clock)
        self.processor = self.make(*plans)
        self.processor.resume()

    def step(self) -> None:
        """Judge what is there."""
        while self.processor.step(0.0):
            pass

    def see(
        self, *seqs: int, last: int | None = None, live: bool = True, camera: str = "fence"
    ) -> None:
        """Judge frames, which stay on the shelf."""
        results = []
        for seq in seqs:
            self.shelf.keep(replace(frame(camera, seq), run="run"))
            results.append(replace(seen(seq, live=live), camera=camera))
        if last is not None:
            results.append(replace(seen(last, live=live), answers={}, last=True))
        assert self.queues.results.publish(results, 0.0)
        self.step()

    def asked(self) -> list[Claim]:
        """The questions in the queue."""
        return self.queues.jobs.claim("wise", 100, 0.0)

    def answer(self, claim: Claim, said: Answer | str) -> None:
        """Answer one of them, as a worker does."""
        answer = Text("wise", said) if isinstance(said, str) else said
        [task] = claim.job.tasks
        result = result_of(claim.job, {task.id: answer})
        assert self.queues.jobs.answer([claim], [result], 0.0)
        self.step()

    def told(self) -> list[tuple[str, object]]:
        """The record ids that are stored, with their outcomes."""
        kept = self.store.events_after(0, 10_000)
        return [(one.event.record_id, one.event.data.get("verified")) for one in kept]

    def reason(self, record_id: str) -> object:
        """Why an event is unverified."""
        stored = self.store.history.event(record_id)
        assert stored is not None
        detail = stored.event.data["verify"]
        assert isinstance(detail, dict)
        return detail.get("reason")


def seen(seq: int, *, live: bool = True) -> Result:
    """The result of one frame."""
    return Result(
        camera="fence",
        run="run",
        engine="fast",
        ordinal=seq,
        seq=seq,
        captured_at=START + seq,
        size_wh=(64, 48),
        live=live,
        answers={"people": Boxes("fast", (BOX,), (0.9,))},
    )


@pytest.fixture
def desks(tmp_path: Path) -> Iterator[list[Desk]]:
    """What a test opened, which is closed in the end."""
    opened: list[Desk] = []
    yield opened
    for desk in opened:
        desk.store.close()


@pytest.fixture(scope="module", name="redis")
def _redis() -> Iterator[Redis]:
    """One Redis for the tests of this module."""
    yield from shared()


def test_an_event_goes_out_with_its_outcome(tmp_path: Path, desks: list[Desk]) -> None:
    """Counts are stored at once; the event once the other engine has answered."""
    desks.append(desk := Desk(tmp_path, a_plan(event("a", "single", 1))))
    desk.see(0, 1, 2)
    assert desk.told() == []
    assert [b.values["n"] for b in desk.store.history.buckets()] == [3]
    [claim] = desk.asked()
    [task] = claim.job.tasks
    assert (task.id, claim.job.frame.camera) == ("climbing.verify", "fence")
    # The subject with its surroundings, of a picture of 64 by 48.
    assert claim.job.frame.pixels.shape[:2] == (39, 29)
    desk.answer(claim, Text("wise", "Yes.", 0.93))
    assert desk.told() == [("a", "confirmed")]
    stored = desk.store.history.event("a")
    assert stored is not None
    assert stored.event.data["verify"] == {"engine": "wise", "answer": "Yes.", "probability": 0.93}
    assert desk.store.waiting() == []
    labels = {"camera": "fence", "rule": "climbing", "outcome": "confirmed"}
    assert desk.metrics.value("moonwatch_second_looks_total", **labels) == 1


def test_an_end_never_overtakes_its_start(tmp_path: Path, desks: list[Desk]) -> None:
    """It waits behind it and has the same outcome, as has one that comes much later."""
    plan = a_plan(
        event("a", "start", 0),
        event("other", "single", 1, rule="other"),
        replace(event("a", "update", 2), update=1),
        event("a", "end", 4),
    )
    desks.append(desk := Desk(tmp_path, plan))
    desk.see(0, 1, 2)
    assert desk.told() == [("other", None)]
    [claim] = desk.asked()
    desk.answer(claim, "no")
    desk.see(3, 4)
    assert desk.told()[1:] == [(f"a.{part}", "rejected") for part in ("start", "update-1", "end")]
    assert desk.asked() == []


def test_a_live_event_waits_no_longer_than_its_deadline(tmp_path: Path, desks: list[Desk]) -> None:
    """Then it is unverified, and a late answer changes nothing."""
    desks.append(desk := Desk(tmp_path, a_plan(event("a", "start", 0), event("a", "end", 1))))
    desk.see(0)
    [claim] = desk.asked()
    desk.clock.advance(19.9)
    desk.step()
    assert desk.told() == []
    desk.clock.advance(0.2)
    desk.step()
    desk.answer(claim, "yes")
    desk.see(1)
    assert desk.told() == [("a.start", "unverified"), ("a.end", "unverified")]
    assert desk.reason("a.start") == "the engine gave no answer within 20 s"


def test_a_failure_is_a_reason(tmp_path: Path, desks: list[Desk]) -> None:
    """An engine that fails leaves the event unverified, and says why."""
    desks.append(desk := Desk(tmp_path, a_plan(event("a", "single", 0))))
    desk.see(0)
    [claim] = desk.asked()
    desk.answer(claim, Failed("wise", "out of memory"))
    assert desk.told() == [("a", "unverified")]
    assert desk.reason("a") == "out of memory"


def test_without_a_picture_nothing_is_asked(tmp_path: Path, desks: list[Desk]) -> None:
    """The event goes out at once, and says that its picture was gone."""
    desks.append(desk := Desk(tmp_path, a_plan(event("a", "single", 0))))
    assert desk.queues.results.publish([seen(0)], 0.0)
    desk.step()
    assert desk.told() == [("a", "unverified")]
    assert desk.reason("a") == "the frame's picture was no longer kept when the event was judged"
    assert desk.asked() == []


def test_the_line_of_a_live_camera_is_bounded(tmp_path: Path, desks: list[Desk]) -> None:
    """More events than fit are unverified at once, and those in line are asked as there is room."""
    many = [event(f"e{n:03}", "single", n) for n in range(MOST_WAITING + 2)]
    desks.append(desk := Desk(tmp_path, a_plan(*many)))
    desk.see(*range(MOST_WAITING + 2))
    assert desk.told() == [("e100", "unverified"), ("e101", "unverified")]
    assert len(desk.store.waiting()) == MOST_WAITING
    answered = 0
    while claims := desk.asked():
        for claim in claims:
            desk.answer(claim, "yes")
            answered += 1
        desk.clock.advance(0.5)
        desk.step()
    assert answered == MOST_WAITING
    assert len(desk.told()) == MOST_WAITING + 2


def test_a_camera_with_many_questions_keeps_no_other_waiting(
    tmp_path: Path, desks: list[Desk]
) -> None:
    """The queue has no room for more of the one; the other one's only question is asked at once."""
    many = a_plan(*(event(f"e{n:03}", "single", n) for n in range(40)))
    one = a_plan(replace(event("g", "single", 0), camera="gate"), camera="gate")
    desks.append(desk := Desk(tmp_path, many))
    desk.processor.update([many, one])
    desk.see(*range(40))
    for _ in range(5):
        desk.clock.advance(0.6)
        desk.step()
    assert desk.queues.jobs.backlog()["wise"].length == 16
    desk.see(0, camera="gate")
    assert [c.job.frame.run for c in desk.asked() if c.job.frame.camera == "gate"] == [
        f"question/event/g@{desk.clock.now():.3f}"
    ]


def test_an_answer_that_nobody_here_asked_for_is_no_frame(
    tmp_path: Path, desks: list[Desk]
) -> None:
    """As after going back to this release from a later one, which asks about other things too."""
    desks.append(desk := Desk(tmp_path, a_plan(event("a", "single", 2, rule="other"))))
    desk.see(0, 1)
    stray = replace(seen(0, live=False), run="question/track/people/7")
    assert desk.queues.results.publish([stray], 0.0)
    desk.step()
    desk.clock.advance(3600.0)
    desk.step()
    desk.see(2)
    assert desk.processor.judged["fence", "fast"] == ("run", 2, False)
    assert desk.told() == [("a", None)]
    assert [b.values["n"] for b in desk.store.history.buckets()] == [3]


@pytest.mark.redis
def test_an_answer_that_was_lost_is_asked_for_again(
    tmp_path: Path, desks: list[Desk], redis: Redis
) -> None:
    """A queue remembers questions for days; the same recording in another store asks its own."""
    plan = a_plan(event("a", "single", 0), recording=True)
    config = {"type": "redis", "url": redis.url, "prefix": tmp_path.name}
    jobs = RedisConfig.model_validate(config).build(SystemClock()).jobs

    def lose_the_answer() -> None:
        """Answer the one question that is there, for another processor than that of the test."""
        [claim] = jobs.claim("wise", 100, 5.0)
        lost = result_of(claim.job, {claim.job.tasks[0].id: Text("wise", "yes")})
        assert jobs.answer([claim], [lost], 1.0)

    for number, name in enumerate(("first", "second")):
        desks.append(desk := Desk(tmp_path / name, plan))
        desk.clock.advance(number)
        desk.queues = replace(desk.queues, jobs=jobs)
        desk.processor = desk.make(plan)
        desk.processor.resume()
        desk.see(0, live=False)
        lose_the_answer()
        desk.clock.advance(61.0)
        desk.step()
        assert jobs.claim("wise", 100, 0.0) == []  # the queue knows it
        desk.clock.advance(900.0)
        desk.step()
        lose_the_answer()
        assert desk.told() == []


def test_what_waits_is_asked_again_after_a_restart(tmp_path: Path, desks: list[Desk]) -> None:
    """The picture is in the store: neither the event nor the question is lost or doubled."""
    plan = a_plan(event("a", "start", 0), event("a", "end", 1))
    desks.append(desk := Desk(tmp_path, plan))
    desk.see(0, 1)
    assert len(desk.asked()) == 1
    desk.shelf = MemoryShelf()
    desk.restart(plan)
    desk.step()
    [claim] = desk.asked()
    desk.answer(claim, "yes")
    desk.restart(plan)
    desk.see(0, 1)
    assert desk.told() == [("a.start", "confirmed"), ("a.end", "confirmed")]
    assert desk.asked() == []


def test_the_deadline_counts_while_nothing_runs(tmp_path: Path, desks: list[Desk]) -> None:
    """After a long stop an event goes out at once instead of beginning to wait again."""
    plan = a_plan(event("a", "single", 0))
    desks.append(desk := Desk(tmp_path, plan))
    desk.see(0)
    desk.clock.advance(3600)
    desk.restart(plan)
    assert desk.told() == [("a", "unverified")]


def test_a_recording_waits_and_keeps_its_order(tmp_path: Path, desks: list[Desk]) -> None:
    """Whatever is answered first, its events are stored as judged; until then it has not ended."""
    events = (
        event("a", "single", 0),
        event("b", "single", 1, rule="other"),
        event("c", "single", 2),
    )
    desks.append(desk := Desk(tmp_path, a_plan(*events, recording=True)))
    desk.see(0, 1, 2, last=3, live=False)
    assert desk.processor.ended == frozenset()
    first, second = desk.asked()
    desk.clock.advance(86_400)
    desk.answer(second, "no")
    assert desk.told() == []
    desk.answer(first, "yes")
    assert desk.told() == [("a", "confirmed"), ("b", None), ("c", "rejected")]
    assert desk.processor.ended == {("fence", "fast")}


def test_an_answer_that_has_to_wait_is_not_asked_for_again(
    tmp_path: Path, desks: list[Desk]
) -> None:
    """The outcome of a later event of a recording is stored while an earlier one still waits."""
    plan = a_plan(event("a", "single", 0), event("b", "single", 1), recording=True)
    desks.append(desk := Desk(tmp_path, plan))
    desk.see(0, 1, live=False)
    _, second = desk.asked()
    desk.answer(second, "no")
    desk.restart(plan)
    desk.step()
    [claim] = desk.asked()
    desk.answer(claim, "yes")
    assert desk.told() == [("a", "confirmed"), ("b", "rejected")]


def test_a_recording_that_is_judged_again_asks_nothing_twice(
    tmp_path: Path, desks: list[Desk]
) -> None:
    """After an edit it is judged from its beginning: known happenings keep their outcome."""
    plan = a_plan(event("a", "single", 0), event("b", "single", 1), recording=True)
    desks.append(desk := Desk(tmp_path, plan))
    desk.see(0, 1, live=False)
    first, _ = desk.asked()
    desk.answer(first, "no")
    [lane] = plan.lanes
    [task] = lane.tasks
    rule = replace(task.rules["climbing"], terms="2")
    edited = replace(plan, lanes=(replace(lane, tasks=(replace(task, rules={"climbing": rule}),)),))
    desk.restart(edited)
    desk.see(0, 1, live=False)
    [claim] = desk.asked()
    desk.answer(claim, "yes")
    assert desk.told() == [("a", "rejected"), ("b", "confirmed")]


def test_an_engine_that_is_no_longer_used_is_not_waited_for(
    tmp_path: Path, desks: list[Desk]
) -> None:
    """An edit that takes the question away lets go what waits for it."""
    plan = a_plan(event("a", "start", 0), event("a", "end", 1), recording=True)
    desks.append(desk := Desk(tmp_path, plan))
    desk.see(0, live=False)
    desk.processor.update([replace(plan, verify={}, engines=frozenset({"fast"}))])
    desk.step()
    assert desk.reason("a.start") == "engine 'wise' is no longer used by the file"
    desk.see(1, live=False)
    assert desk.told() == [("a.start", "unverified"), ("a.end", "unverified")]


def test_an_edited_question_leaves_what_waits_as_it_is(tmp_path: Path, desks: list[Desk]) -> None:
    """What was asked by the old settings is finished by them, the next event by the new."""
    plan = a_plan(event("a", "single", 0), event("b", "single", 1))
    desks.append(desk := Desk(tmp_path, plan))
    desk.see(0)
    opposite = replace(LOOK, question="Is it a cat?", wanted=("no",))
    desk.processor.update([replace(plan, verify={"climbing": opposite})])
    desk.see(1)
    first, second = desk.asked()
    desk.answer(first, "yes")
    desk.answer(second, "yes")
    assert desk.told() == [("a", "confirmed"), ("b", "rejected")]


@pytest.mark.parametrize("at_work", [True, False])
def test_a_removed_camera_leaves_nothing_waiting(
    tmp_path: Path, desks: list[Desk], *, at_work: bool
) -> None:
    """Its events go out unverified, whether the file is edited at work or between two starts."""
    plan = a_plan(event("a", "start", 0))
    desks.append(desk := Desk(tmp_path, plan))
    desk.see(0)
    if at_work:
        desk.processor.update([])
        desk.step()
    else:
        desk.restart()
    assert desk.told() == [("a.start", "unverified")]
    assert desk.store.waiting() == []


def test_a_renamed_camera_takes_what_waits_along(tmp_path: Path, desks: list[Desk]) -> None:
    """The event that waits goes out under the present name, with its id."""
    desks.append(desk := Desk(tmp_path, a_plan(event("a", "single", 0))))
    desk.see(0)
    [claim] = desk.asked()
    desk.processor.update([a_plan(camera="gate", was=("fence",))])
    desk.step()
    desk.answer(claim, "yes")
    stored = desk.store.history.event("a")
    assert stored is not None
    assert (stored.event.camera, stored.event.data["verified"]) == ("gate", "confirmed")


def test_a_happening_that_began_before_the_question_is_unverified(
    tmp_path: Path, desks: list[Desk]
) -> None:
    """`verify` was added while it lasted: its end says that its beginning was not looked at."""
    plan = a_plan(event("a", "start", 0), event("a", "end", 1))
    desks.append(desk := Desk(tmp_path, replace(plan, verify={})))
    desk.see(0)
    desk.processor.update([plan])
    desk.see(1)
    assert desk.told() == [("a.start", None), ("a.end", "unverified")]
    assert desk.reason("a.end") == "its beginning was not looked at"


def test_a_queue_that_forgot_is_asked_again(tmp_path: Path, desks: list[Desk]) -> None:
    """A question whose answer does not come is put again; while it is there, that is one job."""
    look = replace(LOOK, deadline_s=600.0)
    plan = a_plan(event("a", "single", 0), verify={"climbing": look})
    desks.append(desk := Desk(tmp_path, plan))
    desk.see(0)
    desk.clock.advance(61)
    desk.step()
    assert desk.queues.jobs.backlog()["wise"].length == 1


@pytest.mark.parametrize(
    ("look", "answer", "outcome"),
    [
        (LOOK, Text("wise", "Yes, a man."), "confirmed"),
        (LOOK, Text("wise", "no"), "rejected"),
        (LOOK, Text("wise", "perhaps"), "unverified"),
        (LOOK, Text("wise", ""), "unverified"),
        (replace(LOOK, wanted=("no",)), Text("wise", "no", 0.1), "confirmed"),
        # The probability decides where it is asked for, against the word.
        (replace(LOOK, at_least=0.6), Text("wise", "yes", 0.55), "rejected"),
        (replace(LOOK, at_least=0.6), Text("wise", "yes", 0.6), "confirmed"),
        (replace(LOOK, at_least=0.3), Text("wise", "no", 0.4), "confirmed"),
        (replace(LOOK, wanted=("no",), at_least=0.8), Text("wise", "no", 0.3), "rejected"),
        # An engine without probabilities.
        (replace(LOOK, at_least=0.6), Text("wise", "yes"), "confirmed"),
        (replace(LOOK, wanted=("fox",), choices=("cat", "fox")), Text("wise", "Fox."), "confirmed"),
        (replace(LOOK, wanted=("fox",), choices=("cat", "fox")), Text("wise", "cat"), "rejected"),
        (replace(LOOK, wanted=("fox",), choices=("cat", "fox")), Text("wise", "owl"), "unverified"),
        (LOOK, Boxes("wise", (), ()), "unverified"),
    ],
)
def test_what_an_answer_says(look: SecondLook, answer: Answer, outcome: str) -> None:
    """Confirmed, rejected, or unverified where the answer is none of the possible ones."""
    assert verification_by(look, answer).outcome == outcome
