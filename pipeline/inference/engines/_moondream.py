"""Moondream 2 at work: tasks as its requests, and its results as answers."""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pipeline.moondream as moondream
from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.clock import Clock
from pipeline.core.engines import DeviceWork, EngineRequest, Ticket
from pipeline.core.errors import EngineError
from pipeline.core.machine import how_to_install
from pipeline.core.tasks import Ask, Caption, Count, Detect, Point, Task
from pipeline.inference.engines.moondream import MoondreamConfig
from pipeline.inference.line import RequestLine
from pipeline.moondream.numbers import number_in

if TYPE_CHECKING:
    from pipeline.moondream import Moondream
    from pipeline.moondream.batch.strands import RequestTicket

logger = logging.getLogger(__name__)

# A number in words is at most a few tokens, an introduction in front of it a few more.
NUMBER_TOKENS = 16
# Rows of the model's running batch for each frame of a batch: so many of its tasks are answered at
# the same time, and more of them wait for a row.
TASKS_SIDE_BY_SIDE = 4


def build(config: MoondreamConfig, clock: Clock | None) -> "MoondreamEngine":
    """The engine, with its model loaded; raises EngineError."""
    try:
        model = moondream.Moondream.load(
            config.model,
            config.revision,
            config.device,
            config.dtype,
            config.variant,
            release=config.release,
            resizer=config.resizer,
            max_batch=config.max_batch * TASKS_SIDE_BY_SIDE,
            # A camera's frame comes once, with all its tasks.
            keep_pictures=False,
        )
    except ImportError as error:
        way_out = how_to_install("moondream")
        raise EngineError(
            f"the moondream engine needs {error.name or 'torch'}; install it with: {way_out}"
        ) from error
    # torch says RuntimeError or AssertionError for a device it does not have.
    except (moondream.MoondreamError, RuntimeError, AssertionError) as error:
        raise EngineError(f"the model {config.model} cannot be loaded: {error}") from error
    return MoondreamEngine(model, config, clock)


@dataclass(slots=True, eq=False)
class _AskedFrame:
    """A frame the model is working on, with the model's tickets in the order of its tasks."""

    ticket: Ticket
    receipts: "Sequence[RequestTicket]"


class MoondreamEngine:
    """Feeds the model from its own thread: frames join its running batch as they arrive.

    A frame is answered as soon as its own tasks are, whatever else the model is busy with, and is
    encoded once for all of them. When a step of the model raises, its frames are retried one by
    one, so that only the faulty one fails.
    """

    def __init__(
        self, model: "Moondream", config: MoondreamConfig, clock: Clock | None = None
    ) -> None:
        self._config = config
        self._model: Moondream | None = model
        self._in_hand: list[_AskedFrame] = []
        self._again: deque[Ticket] = deque()
        self._has_raised = False
        self._work_done = DeviceWork()
        self._line = RequestLine(self._work, self._let_go, clock)

    @property
    def max_side(self) -> int:
        """Longest picture side in pixels that the model can make use of."""
        return self._config.max_side

    def submit(self, request: EngineRequest) -> Ticket:
        """Put a request in line; returns at once."""
        return self._line.submit(request)

    def device_work(self) -> DeviceWork:
        """What the model has done on its device so far; the last known once it is closed."""
        model = self._model
        if model is not None:
            graphs = model.graph_counts()
            self._work_done = DeviceWork(
                graphs.replays,
                graphs.eager,
                graphs.captures,
                graphs.failures,
                graphs.evictions,
                graphs.capture_seconds,
            )
        return self._work_done

    def close(self) -> None:
        """Fail everything outstanding and free the model. Safe to repeat."""
        self._line.close()

    def _work(self) -> None:
        assert self._model is not None
        batcher = self._model.engine
        while not self._line.is_closed:
            for ticket in self._next(is_idle=batcher.is_idle):
                asked = ticket.request
                requests = [_request(task) for task in asked.tasks]
                receipts = batcher.submit(asked.pixels, requests, self._config.max_crops)
                self._in_hand.append(_AskedFrame(ticket, receipts))
            try:
                batcher.step()
            except Exception as error:
                if not self._in_hand:
                    raise
                self._ask_again(error)
            self._settle()

    def _next(self, *, is_idle: bool) -> list[Ticket]:
        """The frames that join the running batch now; waits for one when nothing is running."""
        if self._in_hand and self._in_hand[0].ticket.asked_alone:
            return []
        while self._again:
            ticket = self._again.popleft()
            if not ticket.done:
                return [ticket]
        most = self._config.max_batch
        if self._in_hand or not is_idle:
            return self._line.take_now(most)
        return self._line.take(most, self._config.max_wait.total_seconds())

    def _settle(self) -> None:
        """Settle the frames that are answered, and drop those that were cancelled."""
        together, left = len(self._in_hand), []
        for frame in self._in_hand:
            results = [receipt.result for receipt in frame.receipts]
            if frame.ticket.done:
                for receipt in frame.receipts:
                    receipt.cancel()
            elif None in results:
                left.append(frame)
            else:
                tasks = frame.ticket.request.tasks
                answers = [
                    _answer(task, result)
                    for task, result in zip(tasks, results, strict=True)
                    if result is not None
                ]
                frame.ticket.settle(answers, together)
        self._in_hand = left

    def _ask_again(self, error: Exception) -> None:
        """Empty the model after a failed step, and queue what it held to be retried one by one."""
        if not self._has_raised:
            self._has_raised = True
            logger.error(
                "a step of the model failed; retrying its frames one by one", exc_info=error
            )
        for frame in self._in_hand:
            for receipt in frame.receipts:
                receipt.cancel()
            if frame.ticket.asked_alone:
                frame.ticket.fail(f"{type(error).__name__}: {error}", batch=1)
            elif not frame.ticket.done:
                frame.ticket.asked_alone = True
                self._again.append(frame.ticket)
        self._in_hand = []

    def _let_go(self) -> None:
        self._model = None
        self._in_hand, self._again = [], deque()


def _request(task: Task) -> "moondream.Request":
    match task:
        case Detect(label=label, max_objects=limit):
            return moondream.DetectRequest(label, limit)
        case Point(label=label, max_objects=limit):
            return moondream.PointRequest(label, limit)
        case Count(label=label, max_objects=limit):
            return moondream.CountRequest(label, max_objects=limit)
        case Caption(length=length, max_tokens=limit):
            return moondream.CaptionRequest(length, max_tokens=limit)
        case Ask(answers="yes/no", question=question):
            # The first token decides; what follows is not needed.
            return moondream.QueryRequest(question, max_tokens=1)
        case Ask(answers="number", question=question, max_tokens=limit):
            return moondream.QueryRequest(question, max_tokens=min(limit, NUMBER_TOKENS))
        case Ask(answers="one of", question=question, choices=choices):
            return moondream.QueryRequest(question, choices=choices)
        case Ask(question=question, max_tokens=limit):
            return moondream.QueryRequest(question, max_tokens=limit)


def _answer(task: Task, result: "moondream.Result") -> Answer:
    match result:
        case moondream.DetectResult():
            boxes = tuple((b[0], b[1], b[2], b[3]) for b in result.boxes_xyxy.tolist())
            scores = tuple(result.scores.tolist())
            return Boxes(task.engine, boxes, scores, result.saturated)
        case moondream.PointResult():
            points = tuple((p[0], p[1]) for p in result.points_xy.tolist())
            return Points(task.engine, points, tuple(result.scores.tolist()), result.saturated)
        case moondream.CountResult():
            if result.count is None:
                return Failed(task.engine, f"the answer {result.text!r} holds no number")
            return Number(task.engine, result.count, result.agreement, result.saturated)
        case moondream.TextResult():
            return _text(task, result)
        case moondream.FailedResult():
            return Failed(task.engine, result.reason)


def _text(task: Task, result: "moondream.TextResult") -> Answer:
    words = result.text.strip()
    match task:
        case Ask(answers="yes/no"):
            if result.yes_probability is None:
                return Failed(task.engine, f"the answer {words!r} is neither yes nor no")
            said = "yes" if result.yes_probability >= 0.5 else "no"
            return Text(task.engine, said, result.yes_probability)
        case Ask(answers="number"):
            value = number_in(words)
            if value is None:
                return Failed(task.engine, f"the answer {words!r} holds no number")
            return Number(task.engine, value)
        case _:
            return Text(task.engine, words)
