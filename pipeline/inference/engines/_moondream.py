"""Moondream 2 at work: tasks as its requests, and its results as answers."""

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import pipeline.moondream as moondream
from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.clock import Clock, SystemClock
from pipeline.core.engines import DeviceWork, EngineRequest, Ticket
from pipeline.core.errors import EngineError
from pipeline.core.machine import how_to_install, installed_version
from pipeline.core.tasks import Ask, Caption, Count, Detect, Point, Task
from pipeline.inference.call_line import CLOSED, CallLimits, CallLine
from pipeline.inference.callers import (
    Call,
    CallFacts,
    CallFault,
    CallTicket,
    ModelFacts,
    ReservedPlace,
)
from pipeline.inference.engines.moondream import MoondreamConfig
from pipeline.inference.line import RequestLine
from pipeline.moondream.numbers import number_in

if TYPE_CHECKING:
    from pipeline.moondream import Moondream
    from pipeline.moondream.batch.engine import MoondreamBatcher
    from pipeline.moondream.batch.strands import RequestTicket
    from pipeline.moondream.skills.base import Language

logger = logging.getLogger(__name__)

# A number in words is at most a few tokens, an introduction in front of it a few more.
NUMBER_TOKENS = 16
# Rows of the model's running batch for each frame of a batch: so many of its tasks are answered at
# the same time, and more of them wait for a row.
TASKS_SIDE_BY_SIDE = 4
MODEL_FAILED = "the model failed at this request"
# Steps that raise one after the other until the engine counts as broken.
_MANY_FAILURES = 3
_PROBE = "Is this a picture?"


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

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.ticket.done


@dataclass(slots=True, eq=False)
class _AskedCall:
    """A caller's request the model is working on."""

    ticket: CallTicket
    receipt: "RequestTicket"
    before_ms: float
    """How long it stood in line before the model had it."""

    @property
    def receipts(self) -> "Sequence[RequestTicket]":
        """The model's tickets."""
        return (self.receipt,)

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.ticket.is_done


class MoondreamEngine:
    """Feeds the model from its own thread: frames join its running batch as they arrive.

    A frame is answered as soon as its own tasks are, whatever else the model is busy with, and is
    encoded once for all of them. When a step of the model raises, its frames are retried one by
    one, so that only the faulty one fails. Once `open_callers` was called, requests of callers join
    the same batch: each side has its share of the rows, and what it does not use is the other's.
    """

    def __init__(
        self, model: "Moondream", config: MoondreamConfig, clock: Clock | None = None
    ) -> None:
        self._config = config
        self._model: Moondream | None = model
        self._clock = clock or SystemClock()
        self._in_hand: list[_AskedFrame | _AskedCall] = []
        self._again: deque[Ticket | CallTicket] = deque()
        self._has_raised = False
        self._work_done = DeviceWork()
        self._line = RequestLine(self._work, self._let_go, clock)
        self._limits = CallLimits()
        self._calls: CallLine | None = None
        self._step_began: float | None = None
        self._failures = 0
        self._has_answered = False

    @property
    def max_side(self) -> int:
        """Longest picture side in pixels that the model can make use of."""
        return self._config.max_side

    def submit(self, request: EngineRequest) -> Ticket:
        """Put a request in line; returns at once."""
        return self._line.submit(request)

    def open_callers(self, limits: CallLimits) -> "MoondreamCallers":
        """Let callers ask beside the frames, within these limits; once, while it is open."""
        assert self._model is not None
        facts = _facts_of(self._model, self._config)
        self._limits = limits
        self._calls = calls = CallLine(limits, self._clock, self._line.wake)
        self._line.start()
        return MoondreamCallers(self, calls, facts, self._model.language)

    @property
    def failure(self) -> str | None:
        """Why it has stopped by itself, and answers nothing any more; None if it has not."""
        return self._line.failure

    def trouble(self) -> str | None:
        """Why the model cannot be said to answer, in a sentence; None when it does."""
        if self._line.is_closed:
            return "the engine has stopped"
        began = self._step_began
        stuck_s = 0.0 if began is None else self._clock.monotonic() - began
        if stuck_s > self._limits.stalled_after_s:
            return f"the model has been busy with one step for {stuck_s:.0f} s"
        if self._failures >= _MANY_FAILURES:
            return f"the last {self._failures} steps of the model failed; the log says why"
        return None if self._has_answered else "the model has not answered its first request yet"

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
        if self._calls is not None:
            self._calls.close()
        self._line.close()

    def _work(self) -> None:
        assert self._model is not None
        batcher = self._model.engine
        while not self._line.is_closed:
            for ticket in self._next(batcher):
                self._begun(batcher, ticket)
            # What was cancelled meanwhile gives its rows back in this very step.
            for asked in self._in_hand:
                if asked.is_over:
                    for receipt in asked.receipts:
                        receipt.cancel()
            self._step_began = self._clock.monotonic()
            try:
                batcher.step()
                self._failures = 0
            except Exception as error:
                if not self._in_hand:
                    raise
                self._failures += 1
                self._ask_again(error)
            finally:
                self._step_began = None
            self._settle()

    def _begun(self, batcher: "MoondreamBatcher", ticket: Ticket | CallTicket) -> None:
        """Begin with a frame or a call; one that nobody foresaw fails, and the engine goes on."""
        try:
            self._begin(batcher, ticket)
        except Exception as error:
            logger.exception("the model cannot begin with a request")
            if isinstance(ticket, CallTicket):
                ticket.fail("model", MODEL_FAILED)
            else:
                ticket.fail(f"{type(error).__name__}: {error}", batch=1)

    def _begin(self, batcher: "MoondreamBatcher", ticket: Ticket | CallTicket) -> None:
        """Let the model work on a frame or on a call."""
        if isinstance(ticket, Ticket):
            asked = ticket.request
            requests = [_request(task) for task in asked.tasks]
            # A camera's frame comes once, with all its tasks.
            receipts = batcher.submit(asked.pixels, requests, self._config.max_crops, keep=False)
            self._in_hand.append(_AskedFrame(ticket, receipts))
            return
        call = ticket.call
        limits = [most for most in (call.max_crops, self._config.max_crops) if most is not None]
        (receipt,) = batcher.submit(call.pixels, [call.request], min(limits, default=None))
        if isinstance(receipt.result, moondream.FailedResult):
            ticket.settle(receipt.result, "request")  # it cannot be understood
            return
        before_ms = (self._clock.monotonic() - ticket.submitted_at) * 1000
        self._in_hand.append(_AskedCall(ticket, receipt, before_ms))

    def _next(self, batcher: "MoondreamBatcher") -> list[Ticket | CallTicket]:
        """What joins the running batch now; waits for something when nothing is running."""
        if self._in_hand and self._in_hand[0].ticket.asked_alone:
            return []
        while self._again:
            ticket = self._again.popleft()
            if not (ticket.done if isinstance(ticket, Ticket) else ticket.is_done):
                return [ticket]
        most, calls = self._config.max_batch, self._calls
        is_running = self._in_hand or not batcher.is_idle
        if calls is None:
            if is_running:
                return list(self._line.take_now(most))
            return list(self._line.take(most, self._config.max_wait.total_seconds(), self._called))
        if not is_running:
            gather_s = self._config.max_wait.total_seconds()
            taken = self._line.take(most, gather_s, self._called)
            for frame in taken:
                self._begun(batcher, frame)
        return self._shared_out(batcher, calls)

    def _called(self) -> bool:
        return self._calls is not None and self._calls.waiting > 0

    def _shared_out(
        self, batcher: "MoondreamBatcher", calls: CallLine
    ) -> list[Ticket | CallTicket]:
        """The frames and calls that there is room for, each side up to its share.

        A side that does not want its share leaves it to the other; when it wants it again, the next
        rows that are freed are its own. Some more than there are rows are given to the model, so
        that it can cut their pictures ahead.
        """
        room = batcher.max_batch + batcher.pictures_ahead
        of_callers = min(max(1, round(room * self._limits.share)), room - 1)
        frames = called = 0
        for asked in self._in_hand:
            rows = sum(not receipt.is_done for receipt in asked.receipts)
            if isinstance(asked, _AskedCall):
                called += rows
            else:
                frames += rows
        found: list[Ticket | CallTicket] = []
        while frames + called < room:
            has_frame = self._line.waiting > 0
            ticket = calls.take() if called < of_callers or not has_frame else None
            if ticket is not None:
                found.append(ticket)
                called += 1
                continue
            taken = self._line.take_now(1)
            if not taken:
                break
            found += taken
            frames += len(taken[0].request.tasks)
        return found

    def _settle(self) -> None:
        """Settle the frames and calls that are answered, and drop those that were cancelled."""
        together = len(self._in_hand)
        left: list[_AskedFrame | _AskedCall] = []
        for asked in self._in_hand:
            if asked.is_over:
                for receipt in asked.receipts:
                    receipt.cancel()
                continue
            if isinstance(asked, _AskedCall):
                is_over = self._settle_call(asked)
            else:
                is_over = self._settle_frame(asked, together)
            if not is_over:
                left.append(asked)
        self._in_hand = left

    def _settle_frame(self, frame: _AskedFrame, together: int) -> bool:
        """Settle a frame if all its tasks are answered; return whether they are."""
        results = [receipt.result for receipt in frame.receipts]
        if None in results:
            return False
        tasks = frame.ticket.request.tasks
        answers = [
            _answer(task, result)
            for task, result in zip(tasks, results, strict=True)
            if result is not None
        ]
        self._has_answered = True
        frame.ticket.settle(answers, together)
        return True

    def _settle_call(self, call: _AskedCall) -> bool:
        """Pass a call's text and result on; return whether it is over."""
        ticket, receipt = call.ticket, call.receipt
        result = receipt.result
        is_same_text = ticket.grow(receipt.pieces, _call_facts(receipt, call.before_ms))
        if not is_same_text or (result is not None and ticket.pieces is not receipt.pieces):
            # It was retried, and wrote something else than what its caller has read already.
            ticket.fail("model", MODEL_FAILED)
            receipt.cancel()
            return True
        if result is None:
            return False
        if not isinstance(result, moondream.FailedResult):
            self._has_answered = True
            ticket.settle(result)
        elif (fault := _FAULTS[result.code]) == "model":
            logger.error("the model failed at a caller's request: %s", result.reason)
            ticket.fail(fault, MODEL_FAILED)
        else:
            ticket.settle(result, fault)
        return True

    def _ask_again(self, error: Exception) -> None:
        """Empty the model after a failed step, and queue what it held to be retried one by one."""
        if not self._has_raised:
            self._has_raised = True
            logger.error(
                "a step of the model failed; retrying its frames one by one", exc_info=error
            )
        for asked in self._in_hand:
            for receipt in asked.receipts:
                receipt.cancel()
            ticket = asked.ticket
            if not ticket.asked_alone:
                if not asked.is_over:
                    ticket.asked_alone = True
                    self._again.append(ticket)
            elif isinstance(ticket, CallTicket):
                logger.error("the model failed at a caller's request", exc_info=error)
                ticket.fail("model", MODEL_FAILED)
            else:
                ticket.fail(f"{type(error).__name__}: {error}", batch=1)
        self._in_hand = []

    def _let_go(self) -> None:
        model, self._model = self._model, None
        if model is not None:
            model.engine.close()
        self._in_hand, self._again = [], deque()
        if self._calls is not None:
            self._calls.close(CLOSED)


class MoondreamCallers:
    """The callers of an engine. Every method may be called from any thread."""

    def __init__(
        self, engine: MoondreamEngine, calls: CallLine, facts: ModelFacts, language: "Language"
    ) -> None:
        self._engine, self._calls, self._facts = engine, calls, facts
        self._language = language
        # The first request is our own: only an answer shows that the model answers.
        picture = np.zeros((32, 32, 3), np.uint8)
        request = moondream.QueryRequest(_PROBE, max_tokens=1)
        calls.submit(Call(request, picture, max_crops=1))

    def submit(self, call: Call) -> CallTicket:
        """Put a call in line; returns at once. Raises OverloadedError where the line is full."""
        return self._calls.submit(call)

    def reserve(self, caller: str) -> ReservedPlace:
        """Keep a place in line for a call that is being prepared. Raises OverloadedError."""
        return self._calls.reserve(caller)

    @property
    def ready(self) -> str | None:
        """None when the model answers, else why it does not, in a sentence."""
        return self._engine.trouble()

    @property
    def model_facts(self) -> ModelFacts:
        """What answers."""
        return self._facts

    @property
    def language(self) -> "Language":
        """How the model is addressed, for the forms that answers can have."""
        return self._language

    @property
    def waiting(self) -> int:
        """How many calls are in line."""
        return self._calls.waiting

    @property
    def running(self) -> int:
        """How many calls the model is working on."""
        return self._calls.running


def _facts_of(model: "Moondream", config: MoondreamConfig) -> ModelFacts:
    release = model.language.release
    return ModelFacts(
        name=config.model,
        release=release.name,
        commit=config.commit(),
        device=str(model.device),
        dtype=str(model.dtype).removeprefix("torch."),
        resizer=model.resizer,
        max_context=model.dims.text.max_context,
        engine_version=installed_version(),
        caption_lengths=tuple(release.caption_lengths),
    )


def _call_facts(receipt: "RequestTicket", before_ms: float) -> CallFacts:
    """What a call took so far, `before_ms` of it in line before the model had it."""
    facts = receipt.facts
    return CallFacts(
        crops=facts.crops,
        image_tokens=facts.image_tokens,
        prompt_tokens=facts.prompt_tokens,
        completion_tokens=facts.completion_tokens,
        reasoning_tokens=facts.reasoning_tokens,
        queued_ms=before_ms + facts.queued_ms,
        prefill_ms=facts.prefill_ms,
        decode_ms=facts.decode_ms,
        picture_was_kept=facts.picture_was_kept,
    )


_FAULTS: Mapping[str, CallFault] = {
    "bad_request": "request",
    "too_long": "request",
    "mask": "request",
    "bad_picture": "picture",
    "cancelled": "cancelled",
    "overflow": "model",
    "engine": "model",
}


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
