"""A worker shows its engine the parts of a picture in which something moves."""

import logging

import pytest

from connectors.queues.memory import MemoryConfig
from pipeline.core.answers import Answer, Boxes, Failed, Number
from pipeline.core.engines import Engine, EngineRequest, Ticket
from pipeline.core.frames import Frame, Pixels
from pipeline.core.geometry import iou
from pipeline.core.jobs import WHOLE, Focus, Job, Result
from pipeline.core.tasks import Count, Detect, Task
from pipeline.inference.engines.batching import BatchingEngine
from pipeline.inference.engines.scripted import Scripted
from pipeline.inference.worker import EngineLane, Worker
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, patience
from tests.sampling.hall import PERSON_WH, SIDE, SIZE_WH, SmallNet, picture

PEOPLE = Detect("people", "fast", "person")
CARS = Detect("cars", "fast", "car")
CROWD = Count("crowd", "fast", "person")
PERSON = (200, 100)
BOX = (
    *(200 / SIZE_WH[0], 100 / SIZE_WH[1]),
    *((200 + PERSON_WH[0]) / SIZE_WH[0], (100 + PERSON_WH[1]) / SIZE_WH[1]),
)


class Desk:
    """A worker, and the results of what it is given."""

    def __init__(self, engine: Engine) -> None:
        clock = ManualClock()
        self.metrics = Metrics()
        self.queues = MemoryConfig().build(clock)
        lane = EngineLane("fast", engine, 8, 60.0, cut_side=SIDE)
        self.worker = Worker(lane, self.queues.jobs, self.metrics, clock)

    def answer(self, focus: Focus | None, *tasks: Task) -> Result:
        """The result of a job about the hall with one person in it."""
        pixels = picture(0, (PERSON,)).pixels
        frame = Frame("door", "run", 0, 1.0, pixels, SIZE_WH)
        self.queues.jobs.put(Job(frame, "fast", 0, tasks, live=False, focus=focus), 0.0)
        assert self.worker.feed(0.0) == 1
        assert self.worker.hand_on(patience(5.0)) == 1
        (delivered,) = self.queues.results.take(10, 0.0)
        return delivered.result

    def value(self, name: str) -> float:
        """A counter of the camera and engine."""
        return self.metrics.value(f"moonwatch_{name}_total", camera="door", engine="fast")


def boxes(answer: Answer) -> Boxes:
    """An answer that has to be boxes."""
    assert isinstance(answer, Boxes)
    return answer


def test_a_small_person_is_found_where_it_moves() -> None:
    """And not in the whole picture, which shows him too small."""
    net = SmallNet()
    desk = Desk(net.engine())
    assert not boxes(desk.answer(None, PEOPLE).answers["people"]).boxes_xyxy
    result = desk.answer(Focus((BOX,), ("people",)), PEOPLE)
    ((found,), looked) = boxes(result.answers["people"]).boxes_xyxy, result.looked
    assert iou(found, BOX) > 0.8
    assert looked is not None
    assert len(looked) == 1
    assert looked[0][0] <= BOX[0] < BOX[2] <= looked[0][2]
    assert net.shown[-1] == (SIDE, SIDE)
    assert desk.value("focused_jobs") == 1
    share = SIDE * SIDE / (SIZE_WH[0] * SIZE_WH[1])
    assert desk.value("pictures_looked_at") == pytest.approx(share)


def test_where_nothing_moves_nothing_is_asked_and_it_is_answered() -> None:
    """A still picture costs the engine nothing, and is no picture without people."""
    net = SmallNet()
    result = Desk(net.engine()).answer(Focus((), ("people",)), PEOPLE)
    assert result.answers == {"people": Boxes("fast", (), ())}
    assert result.looked == ()
    assert net.shown == []


def test_a_look_at_the_whole_is_one() -> None:
    """With no parts beside it the result says nothing of parts."""
    net = SmallNet()
    assert Desk(net.engine()).answer(Focus((WHOLE,), ("people",)), PEOPLE).looked is None
    assert net.shown == [SIZE_WH]


def test_other_tasks_of_the_job_see_the_whole_picture() -> None:
    """Each is asked once."""
    asked: list[tuple[str, tuple[int, int]]] = []

    def script(pixels: Pixels, task: Task) -> Answer:
        asked.append((task.id, (pixels.shape[1], pixels.shape[0])))
        return Number("fast", 7) if isinstance(task, Count) else Boxes("fast", (), ())

    desk = Desk(BatchingEngine(Scripted(script), 8, 0.0))
    result = desk.answer(Focus((BOX,), ("people",)), PEOPLE, CARS, CROWD)
    assert result.answers["crowd"] == Number("fast", 7)
    part = (SIDE, SIDE)
    assert sorted(asked) == [("cars", SIZE_WH), ("crowd", SIZE_WH), ("people", part)]
    asked.clear()
    desk.answer(Focus((WHOLE, BOX), ("people",)), PEOPLE, CROWD)
    assert sorted(asked) == [("crowd", SIZE_WH), ("people", part), ("people", SIZE_WH)]


def test_one_part_that_fails_fails_the_task() -> None:
    """What was not looked at is not known to be empty."""

    def script(pixels: Pixels, task: Task) -> Answer:
        if pixels.shape[1] < SIZE_WH[0] and pixels.max() > 200:
            raise RuntimeError("no memory left")
        return Boxes("fast", (), ())

    far = (0.9, 0.8, 0.92, 0.9)
    desk = Desk(BatchingEngine(Scripted(script), 8, 0.0))
    (answer,) = desk.answer(Focus((BOX, far), ("people",)), PEOPLE).answers.values()
    assert isinstance(answer, Failed)
    assert "no memory left" in answer.reason


def test_an_answer_that_cannot_be_used_fails_and_does_not_hang() -> None:
    """Boxes without their scores, about two parts of a picture."""
    desk = Desk(BatchingEngine(Scripted(lambda _, __: Boxes("fast", (BOX,), ())), 8, 0.0))
    far = (0.9, 0.8, 0.92, 0.9)
    (answer,) = desk.answer(Focus((BOX, far), ("people",)), PEOPLE).answers.values()
    assert isinstance(answer, Failed)
    assert "the engine's answer cannot be used" in answer.reason


def test_an_engine_that_fails_is_said_to_fail_where_little_moves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Pictures that it is not asked about are not answers of its own."""

    def script(_pixels: Pixels, _task: Task) -> Answer:
        raise RuntimeError("no memory left")

    desk = Desk(BatchingEngine(Scripted(script), 8, 0.0))
    with caplog.at_level(logging.INFO, "pipeline.inference.condition"):
        for _ in range(3):
            desk.answer(Focus((WHOLE,), ("people",)), PEOPLE)
            desk.answer(Focus((), ("people",)), PEOPLE)
    said = [record.message for record in caplog.records if "condition" in record.name]
    (only,) = said
    assert "engine fast is failing on every frame" in only


def test_an_engine_that_miscounts_fails_and_does_not_hang() -> None:
    """Too few answers about a part are no answer."""

    class Mute:
        max_side = None

        def submit(self, request: EngineRequest) -> Ticket:
            ticket = Ticket(request)
            ticket.settle(())
            return ticket

        def close(self) -> None:
            """Nothing to close."""

    (answer,) = Desk(Mute()).answer(Focus((BOX,), ("people",)), PEOPLE).answers.values()
    assert answer == Failed("fast", "the engine gave 0 answers for 1 tasks")
