"""What every engine promises; subclass `EngineContract` to hold an engine to it."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from pipeline.core.answers import Answer, Boxes, Failed, Points
from pipeline.core.engines import Engine, EngineRequest, Ticket
from pipeline.core.frames import Pixels
from pipeline.core.tasks import Count, Detect, Task
from pipeline.inference.engines.batching import BatchModel
from pipeline.testing import ManualClock

SOON_S = 60.0
BAD_PICTURE: Pixels = np.zeros((40, 40), np.uint8)


class Gate:
    """Holds a model before its next pass until it is opened."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self._held = threading.Event()

    def shut(self) -> None:
        """From now on passes are held."""
        self._held.clear()
        self._open.clear()

    def open(self) -> None:
        """Let what is held go on."""
        self._open.set()

    def wait_for_a_pass(self) -> None:
        """Return when a pass is held."""
        assert self._held.wait(SOON_S)

    def go_through(self) -> None:
        """For the model: wait here."""
        if not self._open.is_set():
            self._held.set()
            assert self._open.wait(SOON_S)


class GatedModel:
    """A model behind a gate."""

    def __init__(self, model: BatchModel, gate: Gate) -> None:
        self._model = model
        self._gate = gate
        self.closed = False

    @property
    def max_side(self) -> int | None:
        """That of the model."""
        return self._model.max_side

    def answer(self, batch: Sequence[tuple[Pixels, Sequence[Task]]]) -> list[list[Answer]]:
        """The model's answers, once the gate is open."""
        self._gate.go_through()
        return self._model.answer(batch)

    def close(self) -> None:
        """Close the model."""
        self.closed = True
        self._model.close()


class EngineContract:
    """Requests in, tickets out, and no request can harm another."""

    TASKS: tuple[Task, ...] = (
        Detect("people", "fast", "person", max_objects=3),
        Count("crowd", "fast", "person", max_objects=3),
    )
    UNKNOWN: Task = Detect("unknown", "fast", "")
    """A task that the engine cannot answer."""

    def build(self, clock: ManualClock, gate: Gate) -> Engine:
        """The engine, whose model goes through the gate before every pass."""
        raise NotImplementedError

    def picture(self, number: int) -> Pixels:
        """One of many different pictures."""
        noise = np.random.default_rng(number)
        blocks = noise.integers(0, 256, (6, 9, 3), np.uint8)
        return np.asarray(np.kron(blocks, np.ones((10, 10, 1), np.uint8)), np.uint8)

    @pytest.fixture
    def clock(self) -> ManualClock:
        """Deadlines come when the test says so."""
        return ManualClock()

    @pytest.fixture
    def gate(self) -> Gate:
        """Open at first."""
        return Gate()

    @pytest.fixture
    def engine(self, clock: ManualClock, gate: Gate) -> Iterator[Engine]:
        """An engine of the test's own."""
        engine = self.build(clock, gate)
        yield engine
        gate.open()
        engine.close()

    def ask(self, engine: Engine, number: int, **more: Any) -> Ticket:
        """Submit a picture with all tasks."""
        return engine.submit(EngineRequest(self.picture(number), self.TASKS, **more))

    def test_answers_come_in_the_order_of_the_tasks(self, engine: Engine) -> None:
        """Each task has one answer in its place, named as the task's engine."""
        backwards = engine.submit(EngineRequest(self.picture(0), self.TASKS[::-1]))
        answers = self.ask(engine, 0).result(SOON_S)
        assert_alike(answers, backwards.result(SOON_S)[::-1])
        assert [answer.engine for answer in answers] == ["fast"] * len(self.TASKS)
        assert not any(isinstance(answer, Failed) for answer in answers)

    def test_every_request_gets_its_own_answers(self, engine: Engine) -> None:
        """Many at once are answered as each of them alone."""
        alone = [self.ask(engine, number).result(SOON_S) for number in range(6)]
        together = [self.ask(engine, number) for number in range(6)]
        for ticket, expected in zip(together, alone, strict=True):
            assert_alike(ticket.result(SOON_S), expected)
            assert ticket.batch >= 1

    def test_a_bad_picture_fails_alone(self, engine: Engine, gate: Gate) -> None:
        """Its neighbours in the batch are answered; the reason says what is wrong."""
        gate.shut()
        first = self.ask(engine, 0)
        bad = engine.submit(EngineRequest(self.bad_picture(), self.TASKS))
        last = self.ask(engine, 1)
        gate.open()
        failed = bad.result(SOON_S)
        assert len(failed) == len(self.TASKS)
        assert all(isinstance(answer, Failed) and answer.reason for answer in failed)
        for ticket in (first, last):
            assert not any(isinstance(answer, Failed) for answer in ticket.result(SOON_S))

    def bad_picture(self) -> Pixels:
        """A picture that the engine cannot take."""
        return BAD_PICTURE

    def test_a_bad_task_fails_alone(self, engine: Engine) -> None:
        """The other tasks about the picture are answered."""
        asked = EngineRequest(self.picture(0), (self.UNKNOWN, *self.TASKS))
        unknown, *others = engine.submit(asked).result(SOON_S)
        assert isinstance(unknown, Failed)
        assert_alike(others, self.ask(engine, 0).result(SOON_S))

    def test_a_cancelled_request_is_done_at_once(self, engine: Engine, gate: Gate) -> None:
        """All its tasks fail, once; others are answered."""
        gate.shut()
        in_hand = self.ask(engine, 0)
        gate.wait_for_a_pass()
        in_line, other = self.ask(engine, 1), self.ask(engine, 2)
        for ticket in (in_hand, in_line):
            assert ticket.cancel()
            assert reasons(ticket) == {"the request was cancelled"}
            assert not ticket.cancel()
        gate.open()
        assert not any(isinstance(answer, Failed) for answer in other.result(SOON_S))
        assert not other.cancel()
        assert reasons(in_hand) == reasons(in_line) == {"the request was cancelled"}

    def test_what_is_not_answered_in_time_fails(
        self, engine: Engine, gate: Gate, clock: ManualClock
    ) -> None:
        """In hand or in line; an answer that comes later is dropped, and the engine goes on."""
        gate.shut()
        in_hand = self.ask(engine, 0, within_s=10.0)
        gate.wait_for_a_pass()
        in_line, patient = self.ask(engine, 1, within_s=11.0), self.ask(engine, 2)
        clock.advance(10.5)
        assert in_hand.wait(SOON_S)
        assert reasons(in_hand) == {"no answer within 10 s"}
        assert not in_line.done
        clock.advance(1.0)
        assert in_line.wait(SOON_S)
        assert reasons(in_line) == {"no answer within 11 s"}
        clock.advance(3600.0)
        assert not patient.done
        gate.open()
        assert not any(isinstance(answer, Failed) for answer in patient.result(SOON_S))
        assert reasons(in_hand) == {"no answer within 10 s"}
        in_time = self.ask(engine, 3, within_s=10.0)
        assert not any(isinstance(answer, Failed) for answer in in_time.result(SOON_S))

    def test_close_fails_what_is_outstanding(self, engine: Engine, gate: Gate) -> None:
        """At once, even while the model is at work; what comes after is failed from the start."""
        gate.shut()
        in_hand = self.ask(engine, 0)
        gate.wait_for_a_pass()
        in_line = [self.ask(engine, number) for number in range(3)]
        closing = threading.Thread(target=engine.close)
        closing.start()
        for ticket in (in_hand, *in_line):
            assert ticket.wait(SOON_S)
            assert reasons(ticket) == {"the engine is closed"}
        gate.open()
        closing.join()
        late = self.ask(engine, 0)
        assert late.done
        assert reasons(late) == {"the engine is closed"}
        engine.close()

    def test_an_engine_that_was_never_asked_can_be_closed(self, engine: Engine) -> None:
        """Nothing is waited for, and it stays closed."""
        engine.close()
        engine.close()
        assert reasons(self.ask(engine, 0)) == {"the engine is closed"}

    def test_many_threads_may_submit(self, engine: Engine) -> None:
        """Each gets the answers about its own pictures."""
        alone = [self.ask(engine, number).result(SOON_S) for number in range(4)]
        given: dict[tuple[int, int], Sequence[Answer]] = {}

        def submit(thread: int) -> None:
            tickets = [self.ask(engine, (thread + n) % 4) for n in range(4)]
            for n, ticket in enumerate(tickets):
                given[thread, (thread + n) % 4] = ticket.result(SOON_S)

        threads = [threading.Thread(target=submit, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(given) == 24
        for (_, number), answers in given.items():
            assert_alike(answers, alone[number])

    def test_who_wants_to_know_is_told_once(self, engine: Engine, gate: Gate) -> None:
        """Before or after it is done; what one of them raises reaches no one else."""
        told: list[str] = []

        def raises(_: Ticket) -> None:
            told.append("raises")
            raise RuntimeError("mine")

        gate.shut()
        ticket = self.ask(engine, 0)
        ticket.add_done_callback(raises)
        ticket.add_done_callback(lambda done: told.append(f"before {done is ticket}"))
        with pytest.raises(TimeoutError, match="not answered within 0 s"):
            ticket.result(0.0)
        assert told == []
        gate.open()
        ticket.result(SOON_S)
        self.ask(engine, 1).result(SOON_S)  # the engine's thread has gone on
        ticket.add_done_callback(lambda _: told.append("after"))
        assert told == ["raises", "before True", "after"]


def reasons(ticket: Ticket) -> set[str]:
    """Why the tasks of a ticket that is done have failed; all of them must have."""
    answers = ticket.result(0.0)
    assert all(isinstance(answer, Failed) for answer in answers)
    return {answer.reason for answer in answers if isinstance(answer, Failed)}


def assert_alike(answers: Sequence[Answer], others: Sequence[Answer]) -> None:
    """The same answers up to the last digits, which depend on a batch's size."""
    assert [type(answer) for answer in answers] == [type(other) for other in others]
    for one, two in zip(answers, others, strict=True):
        if isinstance(one, Boxes) and isinstance(two, Boxes):
            np.testing.assert_allclose(one.boxes_xyxy, two.boxes_xyxy, atol=1e-3)
            np.testing.assert_allclose(one.scores, two.scores, atol=1e-4)
        elif isinstance(one, Points) and isinstance(two, Points):
            np.testing.assert_allclose(one.points_xy, two.points_xy, atol=1e-3)
        else:
            assert one == two
