"""A worker answers what it claims, once, and no picture or engine can stop it."""

from collections.abc import Sequence

import pytest

from connectors.queues.memory import MemoryConfig
from pipeline.core.answers import Answer, Boxes, Failed, Number
from pipeline.core.frames import Pixels
from pipeline.core.jobs import Job, Result
from pipeline.core.queues import Queues
from pipeline.core.tasks import Count, Detect, Task
from pipeline.inference.batcher import Batching
from pipeline.inference.engines.scripted import Scripted, ScriptedConfig
from pipeline.inference.worker import EngineLane, Worker
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, frame

PEOPLE = Detect("people", "fast", "person")
CROWD = Count("crowd", "fast", "person")


class Fragile:
    """An engine that cannot bear one camera's pictures (level 13), and says so by raising."""

    max_side: int | None = None

    def __init__(self) -> None:
        self.batches: list[int] = []

    def answer(self, batch: Sequence[tuple[Pixels, Sequence[Task]]]) -> list[list[Answer]]:
        """One box for every task; raises where a picture is of the unlucky level."""
        self.batches.append(len(batch))
        if any(pixels[0, 0, 0] == 13 for pixels, _ in batch):
            raise ValueError("thirteen")
        box = Boxes("fast", ((0.0, 0.0, 1.0, 1.0),), (1.0,))
        return [[box for _ in tasks] for _, tasks in batch]

    def close(self) -> None:
        """Nothing to close."""


class Bench:
    """A worker with its queues, on a clock that is turned by hand."""

    def __init__(self, engine: Fragile | Scripted, size: int = 4) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.queues: Queues = MemoryConfig().build(self.clock)
        lane = EngineLane("fast", engine, Batching(size, 0.0), snapshot_cameras=frozenset({"door"}))
        self.worker = Worker(lane, self.queues.jobs, self.metrics, self.clock)

    def put(self, *jobs: Job) -> None:
        """Offer jobs."""
        for job in jobs:
            assert self.queues.jobs.put(job, wait_s=0.0).accepted

    def results(self) -> list[Result]:
        """Everything published so far."""
        return [delivered.result for delivered in self.queues.results.take(100, 0.0)]


def job(seq: int, camera: str = "door", tasks: tuple[Task, ...] = (PEOPLE,)) -> Job:
    """A file's job."""
    return Job(frame(camera, seq), "fast", seq, tasks, live=False)


def test_a_step_answers_a_batch_and_forgets_it() -> None:
    """Jobs are claimed, answered together, published and acknowledged."""
    bench = Bench(Fragile())
    bench.put(job(0), job(1))
    assert bench.worker.step(0.0) == 2
    assert [result.ordinal for result in bench.results()] == [0, 1]
    assert bench.queues.jobs.backlog().get("fast") is None or (
        bench.queues.jobs.backlog()["fast"].length == 0
    )
    assert bench.worker.step(0.0) == 0


def test_a_picture_that_breaks_the_engine_fails_alone() -> None:
    """The others of its batch are answered; its own tasks fail with the reason."""
    engine = Fragile()
    bench = Bench(engine)
    bad = job(1)
    bad.frame.pixels[:] = 13
    bench.put(job(0), bad, job(2))
    bench.worker.step(0.0)
    answers = [result.answers["people"] for result in bench.results()]
    assert [type(answer) for answer in answers] == [Boxes, Failed, Boxes]
    assert answers[1] == Failed("fast", "ValueError: thirteen")
    assert engine.batches == [3, 1, 1, 1]
    assert bench.metrics.value("moonwatch_tasks_failed_total", camera="door", engine="fast") == 1


def test_an_engine_that_answers_too_few_fails_the_frame() -> None:
    """A wrong number of answers is a failure of the engine, not a mix-up of tasks."""

    class Short(Fragile):
        def answer(self, batch: Sequence[tuple[Pixels, Sequence[Task]]]) -> list[list[Answer]]:
            return [[] for _ in batch]

    bench = Bench(Short())
    bench.put(job(0))
    bench.worker.step(0.0)
    [result] = bench.results()
    failure = result.answers["people"]
    assert isinstance(failure, Failed)
    assert "asked for [1] answers" in failure.reason


def test_unpublished_results_leave_the_jobs_claimed() -> None:
    """Where results cannot be handed on, the jobs come back instead of being lost."""
    bench = Bench(Fragile())
    bench.put(job(0))
    bench.worker.stop()
    filler = Result("yard", "test", "fast", 0, 0, 0.0, (64, 48), live=False)
    while bench.queues.results.publish([filler], 0.0):
        pass
    bench.worker.step(0.0)
    bench.clock.advance(3600)
    again = bench.queues.jobs.claim("fast", 1, 0.0)
    assert [claim.attempts for claim in again] == [2]


def test_pictures_of_cameras_with_snapshots_are_kept() -> None:
    """Only they: a frame of another camera is let go once it is answered."""
    bench = Bench(Fragile())
    bench.put(job(0, "door"), job(0, "yard"))
    bench.worker.step(0.0)
    assert bench.queues.shelf.fetch("door", "test", 0) is not None
    assert bench.queues.shelf.fetch("yard", "test", 0) is None


def test_batches_are_bounded() -> None:
    """No batch is larger than the engine's limit."""
    engine = Fragile()
    bench = Bench(engine, size=2)
    bench.put(*(job(n) for n in range(5)))
    while bench.worker.step(0.0):
        pass
    assert engine.batches == [2, 2, 1]


def test_scripted_answers_come_in_turn() -> None:
    """The n-th frame gets the n-th answer, and the list begins again."""
    config = ScriptedConfig.model_validate(
        {"answers": {"people": [[], [[0.1, 0.2, 0.3, 0.4]], {"fail": "dark"}], "crowd": [3]}}
    )
    bench = Bench(config.build())
    bench.put(*(job(n, tasks=(PEOPLE, CROWD)) for n in range(4)))
    bench.worker.step(0.0)
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
        while bench.worker.step(0.0):
            pass
    assert [record.getMessage() for record in caplog.records] == [
        "engine fast answers nothing: out of memory",
        "engine fast answers again",
    ]
