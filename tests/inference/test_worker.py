"""A worker answers what it claims, once, and no picture or engine can stop it."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest

from connectors.queues.memory import MemoryConfig
from pipeline.core.answers import Answer, Boxes, Failed, Number
from pipeline.core.engines import DeviceWork, Engine, EngineRequest, Ticket
from pipeline.core.frames import Pixels
from pipeline.core.jobs import VISITOR, Job, Result
from pipeline.core.queues import Queues
from pipeline.core.tasks import Count, Detect, Task
from pipeline.inference.engines.batching import BatchingEngine
from pipeline.inference.engines.scripted import Scripted, ScriptedConfig
from pipeline.inference.worker import EngineLane, Worker
from pipeline.processing.questions import question_job
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, frame, wait_until

PEOPLE = Detect("people", "fast", "person")
CROWD = Count("crowd", "fast", "person")
BOX = Boxes("fast", ((0.0, 0.0, 1.0, 1.0),), (1.0,))
SOON_S = 60.0
# So long that a batch is always full.
UNTIL_FULL_S = 60.0


class Fragile:
    """A model that cannot bear one camera's pictures (level 13), and says so by raising."""

    max_side: int | None = None

    def __init__(self) -> None:
        self.batches: list[int] = []

    def answer(self, batch: Sequence[tuple[Pixels, Sequence[Task]]]) -> list[list[Answer]]:
        """One box for every task; raises where a picture is of the unlucky level."""
        self.batches.append(len(batch))
        if any(pixels[0, 0, 0] == 13 for pixels, _ in batch):
            raise ValueError("thirteen")
        return [[BOX for _ in tasks] for _, tasks in batch]

    def close(self) -> None:
        """Nothing to close."""


class ByHand:
    """An engine whose tickets the test settles."""

    max_side: int | None = None

    def __init__(self) -> None:
        self.tickets: list[Ticket] = []

    def submit(self, request: EngineRequest) -> Ticket:
        """Keep the ticket."""
        self.tickets.append(Ticket(request))
        return self.tickets[-1]

    def close(self) -> None:
        """Nothing to close."""


class Bench:
    """A worker with its queues, on a clock that is turned by hand."""

    def __init__(self, engine: Fragile | Engine, size: int = 4, gather_s: float = 0.01) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.queues: Queues = MemoryConfig().build(self.clock)
        if isinstance(engine, Fragile):
            engine = BatchingEngine(engine, size, gather_s, self.clock)
        lane = EngineLane("fast", engine, size, 60.0, snapshot_cameras=frozenset({"door"}))
        self.worker = Worker(lane, self.queues.jobs, self.metrics, self.clock)

    def put(self, *jobs: Job) -> None:
        """Offer jobs."""
        for job in jobs:
            assert self.queues.jobs.put(job, wait_s=0.0).accepted

    def results(self) -> list[Result]:
        """Everything published so far."""
        return [delivered.result for delivered in self.queues.results.take(100, 0.0)]

    def answer_all(self) -> None:
        """Answer what is there, in this thread, until there is nothing."""
        while given := self.worker.feed(0.0):
            while given:
                given -= self.worker.hand_on(SOON_S)

    @contextmanager
    def at_work(self) -> Iterator[threading.Thread]:
        """Let the worker run in a thread."""
        thread = threading.Thread(target=self.worker.run)
        thread.start()
        try:
            yield thread
        finally:
            self.worker.give_up()
            thread.join()


def job(seq: int, camera: str = "door", tasks: tuple[Task, ...] = (PEOPLE,)) -> Job:
    """A file's job."""
    return Job(frame(camera, seq), "fast", seq, tasks, live=False)


def test_what_is_answered_is_forgotten() -> None:
    """Jobs are claimed, answered together, published and acknowledged."""
    bench = Bench(Fragile())
    bench.put(job(0), job(1))
    bench.answer_all()
    assert [result.ordinal for result in bench.results()] == [0, 1]
    assert bench.queues.jobs.backlog().get("fast") is None or (
        bench.queues.jobs.backlog()["fast"].length == 0
    )
    bench.clock.advance(3600)
    assert bench.worker.feed(0.0) == 0


def test_a_picture_that_breaks_the_engine_fails_alone() -> None:
    """The others of its batch are answered; its own tasks fail with the reason."""
    model = Fragile()
    bench = Bench(model, size=3, gather_s=UNTIL_FULL_S)
    bad = job(1)
    bad.frame.pixels[:] = 13
    bench.put(job(0), bad, job(2))
    bench.answer_all()
    answers = [result.answers["people"] for result in bench.results()]
    assert [type(answer) for answer in answers] == [Boxes, Failed, Boxes]
    assert answers[1] == Failed("fast", "ValueError: thirteen")
    assert model.batches == [3, 1, 1, 1]
    assert bench.metrics.value("moonwatch_tasks_failed_total", camera="door", engine="fast") == 1
    assert bench.metrics.value("moonwatch_jobs_retried_total", engine="fast") == 3


def test_an_engine_that_answers_too_few_fails_the_frame() -> None:
    """A wrong number of answers is a failure of the engine, not a mix-up of tasks."""

    class Short(Fragile):
        def answer(self, batch: Sequence[tuple[Pixels, Sequence[Task]]]) -> list[list[Answer]]:
            return [[] for _ in batch]

    bench = Bench(Short())
    bench.put(job(0))
    bench.answer_all()
    [result] = bench.results()
    failure = result.answers["people"]
    assert isinstance(failure, Failed)
    assert "asked for [1] answers" in failure.reason


def test_unpublished_results_leave_the_jobs_claimed() -> None:
    """Where results cannot be handed on, the jobs come back instead of being lost."""
    bench = Bench(Fragile())
    bench.put(job(0))
    filler = Result("yard", "test", "fast", 0, 0, 0.0, (64, 48), live=False)
    while bench.queues.results.publish([filler], 0.0):
        pass
    assert bench.worker.feed(0.0) == 1
    bench.worker.give_up()
    assert bench.worker.hand_on(SOON_S) == 1
    bench.clock.advance(3600)
    again = bench.queues.jobs.claim("fast", 1, 0.0)
    assert [claim.attempts for claim in again] == [2]


def test_one_slow_answer_delays_no_other_camera() -> None:
    """Others of its batch are handed on as they come, and new ones are answered meanwhile."""
    engine = ByHand()
    bench = Bench(engine, size=3)
    bench.put(job(0, "yard"), job(0, "door"), job(0, "gate"))
    assert bench.worker.feed(0.0) == 3
    slow, *quick = engine.tickets
    for seq in range(1, 6):
        for ticket in quick:
            ticket.settle([BOX])
        assert bench.worker.hand_on(SOON_S) == 2
        bench.put(job(seq, "door"), job(seq, "gate"))
        assert bench.worker.feed(0.0) == 2
        quick = engine.tickets[-2:]
    done = [(result.camera, result.ordinal) for result in bench.results()]
    assert done == [(camera, seq) for seq in range(5) for camera in ("door", "gate")]
    slow.settle([BOX])
    assert bench.worker.hand_on(SOON_S) == 1
    assert [result.camera for result in bench.results()] == ["yard"]


def test_the_answers_of_one_camera_are_handed_on_in_order() -> None:
    """What overtakes an earlier frame in the engine waits for it, and the engine has room."""
    engine = ByHand()
    bench = Bench(engine, size=3)
    bench.put(job(0), job(1), job(2))
    assert bench.worker.feed(0.0) == 3
    for ticket in engine.tickets[1:]:
        ticket.settle([BOX])
    assert bench.worker.hand_on(SOON_S) == 0
    bench.put(job(3), job(0, "yard"))
    assert bench.worker.feed(0.0) == 2
    engine.tickets[0].settle([BOX])
    assert bench.worker.hand_on(SOON_S) == 3
    assert [result.ordinal for result in bench.results()] == [0, 1, 2]
    assert bench.worker.hand_on(0.0) == 0


def test_a_camera_whose_answer_does_not_come_takes_no_room_from_others() -> None:
    """Beyond two batches its later frames are handed on without it."""
    engine = ByHand()
    bench = Bench(engine, size=2)
    handed_on = []
    for seq in range(10):
        bench.put(replace(job(seq), live=True))
        assert bench.worker.feed(0.0) == 1
        for ticket in engine.tickets[1:]:
            ticket.settle([BOX])
        handed_on.append(bench.worker.hand_on(0.0))
    assert handed_on == [0, 0, 0, 0, 4, 0, 0, 0, 4, 0]
    assert [result.ordinal for result in bench.results()] == list(range(1, 9))
    engine.tickets[0].settle([BOX])
    assert bench.worker.hand_on(SOON_S) == 2
    assert [result.ordinal for result in bench.results()] == [0, 9]


def test_an_answer_that_never_comes_is_a_failed_one() -> None:
    """The engine's deadline makes room again and the frame counts as unknown."""

    class Asleep(Fragile):
        def __init__(self) -> None:
            super().__init__()
            self.woken = threading.Event()

        def answer(self, batch: Sequence[tuple[Pixels, Sequence[Task]]]) -> list[list[Answer]]:
            assert self.woken.wait(SOON_S)
            return super().answer(batch)

    model = Asleep()
    bench = Bench(model, size=1)
    bench.put(job(0))
    assert bench.worker.feed(0.0) == 1
    bench.clock.advance(61)
    assert bench.worker.hand_on(SOON_S) == 1
    [result] = bench.results()
    assert result.answers == {"people": Failed("fast", "no answer within 60 s")}
    model.woken.set()
    bench.put(job(1))
    bench.answer_all()
    assert [result.answers["people"] for result in bench.results()] == [BOX]


def test_a_slow_engine_is_given_one_batch_and_a_quick_one_the_next() -> None:
    """What waits in a slow engine's line would only grow old there."""
    engine = ByHand()
    bench = Bench(engine, size=2)

    def in_hand_after(seconds: float) -> int:
        """Answer what is in hand after so long, and see how much is claimed then."""
        for ticket in engine.tickets:
            ticket.settle([BOX])
        bench.clock.advance(seconds)
        while bench.worker.hand_on(0.0):
            pass
        given = len(engine.tickets)
        bench.put(*(replace(job(given + n), live=True) for n in range(4)))
        while bench.worker.feed(0.0):
            pass
        return len(engine.tickets) - given

    assert [in_hand_after(seconds) for seconds in (0.0, 30.0, 30.0)] == [2, 2, 2]
    assert [in_hand_after(0.1) for _ in range(30)][-1] == 4
    assert [in_hand_after(30.0) for _ in range(5)][-1] == 2


class Gated:
    """A model that answers each batch when the test says so, and remembers what it was asked."""

    max_side: int | None = None

    def __init__(self) -> None:
        self.begun: list[list[str]] = []
        self.gate = threading.Semaphore(0)

    def answer(self, batch: Sequence[tuple[Pixels, Sequence[Task]]]) -> list[list[Answer]]:
        """One box each, once the gate is open."""
        self.begun.append([tasks[0].id for _, tasks in batch])
        assert self.gate.acquire(timeout=SOON_S)
        return [[BOX] for _ in batch]

    def close(self) -> None:
        """Nothing to close."""


def question(key: str) -> Job:
    """What a visitor asks about a picture of the door."""
    task = replace(PEOPLE, id="visitor")
    return question_job(VISITOR + key, "door", 0.0, task, frame("door", 0).pixels)


def test_a_question_is_in_the_next_batch_of_a_full_engine() -> None:
    """Before the frames that wait in its line; their answers do not hold up its own."""
    model = Gated()
    engine = BatchingEngine(model, 2, UNTIL_FULL_S, ManualClock())
    bench = Bench(engine, size=2)
    bench.put(*(job(seq) for seq in range(12)))
    model.gate.release()
    assert bench.worker.feed(0.0) == 2
    assert sum(bench.worker.hand_on(SOON_S) for _ in range(2)) >= 2
    # No time has passed: the engine is quick, and has a batch in its line beside the running one.
    assert bench.worker.feed(0.0) + bench.worker.feed(0.0) == 4
    wait_until(lambda: len(model.begun) == 2)
    bench.put(question("1"), question("2"))
    assert [bench.worker.feed(0.0) for _ in range(2)] == [1, 0]
    model.gate.release()
    wait_until(lambda: len(model.begun) == 3)
    assert model.begun == [["people"] * 2, ["people"] * 2, ["visitor", "people"]]
    model.gate.release(20)
    engine.close()

    by_hand = ByHand()
    bench = Bench(by_hand)
    bench.put(job(0), question("3"))
    assert bench.worker.feed(0.0) == 2
    [asked] = [one for one in by_hand.tickets if one.request.ahead]
    asked.settle([BOX])
    assert bench.worker.hand_on(SOON_S) == 1
    assert [result.run for result in bench.results()] == [question("3").frame.run]


def test_a_stopping_worker_finishes_what_is_in_hand() -> None:
    """It claims no more, and returns when the last answer is handed on."""
    engine = ByHand()
    bench = Bench(engine, size=2)
    bench.put(job(0), job(1), job(2))
    with bench.at_work() as thread:
        wait_until(lambda: len(engine.tickets) == 2)
        bench.worker.stop()
        engine.tickets[0].settle([BOX])
        answered = "moonwatch_jobs_answered_total"
        wait_until(lambda: bench.metrics.value(answered, camera="door", engine="fast") == 1)
        assert thread.is_alive()
        engine.tickets[1].settle([BOX])
        thread.join(SOON_S)
        assert not thread.is_alive()
    assert [result.ordinal for result in bench.results()] == [0, 1]
    assert len(engine.tickets) == 2
    assert bench.queues.jobs.backlog()["fast"].length == 1


def test_a_worker_that_gives_up_leaves_its_jobs_to_another() -> None:
    """What was not answered is not answered for it: it comes again, once its time is up."""
    engine = ByHand()
    bench = Bench(engine, size=2)
    bench.put(job(0), job(1))
    with bench.at_work() as thread:
        wait_until(lambda: len(engine.tickets) == 2)
        bench.worker.give_up()
        thread.join(SOON_S)
        assert not thread.is_alive()
    engine.tickets[0].fail("the engine is closed")
    assert bench.results() == []
    bench.clock.advance(3600)
    again = bench.queues.jobs.claim("fast", 2, 0.0)
    assert [(claim.job.ordinal, claim.attempts) for claim in again] == [(0, 2), (1, 2)]


def test_a_failure_to_hand_on_ends_the_worker() -> None:
    """It is raised by `run`, so that the process ends with the reason."""
    engine = ByHand()
    bench = Bench(engine, size=1)
    bench.put(job(0))
    assert bench.worker.feed(0.0) == 1
    engine.tickets[0].settle([None])  # type: ignore[list-item] # noted as a failed answer
    bench.worker._condition = Angry()  # type: ignore[assignment]  # a fault of our own
    with pytest.raises(ZeroDivisionError):
        bench.worker.run()


class Angry:
    """Raises at every answer."""

    def answered(self, given: Sequence[Answer]) -> None:
        """A fault."""
        raise ZeroDivisionError


@pytest.mark.parametrize("given", [[], [BOX, BOX]], ids=["none", "two"])
def test_too_few_or_too_many_answers_are_a_failed_frame(given: list[Answer]) -> None:
    """An engine that answers another number of tasks than it was asked costs that frame alone."""
    engine = ByHand()
    bench = Bench(engine, size=1)
    bench.put(job(0))
    assert bench.worker.feed(0.0) == 1
    engine.tickets[0].settle(given)
    assert bench.worker.hand_on(SOON_S) == 1
    (result,) = bench.results()
    (answer,) = result.answers.values()
    assert isinstance(answer, Failed)
    assert answer.reason == f"the engine gave {len(given)} answers for 1 tasks"


def test_pictures_of_cameras_with_snapshots_are_kept() -> None:
    """Only they: a frame of another camera is let go once it is answered."""
    bench = Bench(Fragile())
    bench.put(job(0, "door"), job(0, "yard"))
    bench.answer_all()
    assert bench.queues.shelf.fetch("door", "test", 0) is not None
    assert bench.queues.shelf.fetch("yard", "test", 0) is None


def test_batches_are_bounded() -> None:
    """No batch is larger than the engine's limit."""
    model = Fragile()
    bench = Bench(model, size=2)
    bench.put(*(job(n) for n in range(5)))
    bench.answer_all()
    assert sum(model.batches) == 5
    assert max(model.batches) == 2


def test_scripted_answers_come_in_turn() -> None:
    """The n-th frame gets the n-th answer, and the list begins again."""
    config = ScriptedConfig.model_validate(
        {"answers": {"people": [[], [[0.1, 0.2, 0.3, 0.4]], {"fail": "dark"}], "crowd": [3]}}
    )
    bench = Bench(config.build())
    bench.put(*(job(n, tasks=(PEOPLE, CROWD)) for n in range(4)))
    bench.answer_all()
    results = bench.results()
    assert [result.answers["people"] for result in results] == [
        Boxes("fast", (), ()),
        Boxes("fast", ((0.1, 0.2, 0.3, 0.4),), (1.0,)),
        Failed("fast", "dark"),
        Boxes("fast", (), ()),
    ]
    assert {result.answers["crowd"] for result in results} == {Number("fast", 3)}


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (PEOPLE, None),
        (Detect("cars", "fast", "car"), "has no scripted answers for the task 'cars'"),
    ],
)
def test_a_script_says_which_tasks_it_knows(task: Task, expected: str | None) -> None:
    """A task without answers is a mistake of the file, found before anything runs."""
    config = ScriptedConfig(answers={"people": [[]]})
    problem = config.problem_with(task)
    assert (problem is None) == (expected is None)
    assert expected is None or expected in (problem or "")


def test_a_script_may_be_a_function_and_may_fail() -> None:
    """A user's own script answers from the pixels; what it raises fails that task alone."""

    def script(pixels: Pixels, task: Task) -> Answer:
        if task.id == "crowd":
            raise RuntimeError("lost count")
        return Number("fast", int(pixels[0, 0, 0]))

    [[first, second]] = Scripted(script).answer([(frame().pixels, (PEOPLE, CROWD))])
    assert first == Number("fast", 128)
    assert second == Failed("fast", "the script raised RuntimeError: lost count")


def test_an_engine_that_answers_nothing_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line when it begins to fail, none for each frame, and one when it answers again."""
    lines: list[object] = [{"fail": "out of memory"}] * 3 + [[]]
    config = ScriptedConfig.model_validate({"answers": {"people": lines}})
    bench = Bench(config.build(), size=1)
    bench.put(*(job(n) for n in range(4)))
    with caplog.at_level("INFO"):
        bench.answer_all()
    assert [record.getMessage() for record in caplog.records] == [
        "engine fast is failing on every frame: out of memory",
        "engine fast is answering again",
    ]


class Accountable(ByHand):
    """An engine that says what it did on a device."""

    work = DeviceWork()

    def device_work(self) -> DeviceWork:
        """What the test says."""
        return self.work


def test_the_work_of_the_device_is_in_the_metrics() -> None:
    """Graphs, and captures that failed, are added as they grow; other engines have none."""
    engine = Accountable()
    bench = Bench(engine)
    engine.work = DeviceWork(5, 2, 1, 1, 0, 0.5)
    bench.worker.report_device_work()
    engine.work = DeviceWork(9, 2, 2, 1, 0, 0.75)
    bench.worker.report_device_work()
    value = bench.metrics.value
    assert value("moonwatch_engine_cycles_total", engine="fast", outcome="replayed") == 9
    assert value("moonwatch_engine_cycles_total", engine="fast", outcome="eager") == 2
    assert value("moonwatch_engine_graphs_total", engine="fast", outcome="captured") == 2
    assert value("moonwatch_engine_graphs_total", engine="fast", outcome="failed") == 1
    assert value("moonwatch_engine_capture_seconds_total", engine="fast") == 0.75
    plain = Bench(ByHand())
    plain.worker.report_device_work()
    assert "moonwatch_engine_cycles_total{" not in plain.metrics.exposition().decode()
