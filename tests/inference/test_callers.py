"""Callers beside cameras on one engine: shares, turns, bounds, deadlines, and equal answers."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.answers import Failed
from pipeline.core.clock import SystemClock
from pipeline.core.engines import EngineRequest
from pipeline.core.frames import Pixels
from pipeline.core.tasks import Ask, Caption, Detect, Task
from pipeline.inference.call_line import CallLimits, CallLine
from pipeline.inference.callers import Call, CallTicket, OverloadedError
from pipeline.inference.engines._moondream import MoondreamCallers, MoondreamEngine
from pipeline.inference.engines.moondream import MoondreamConfig
from pipeline.moondream import (
    CaptionRequest,
    DetectRequest,
    DetectResult,
    FailedResult,
    Moondream,
    PointRequest,
    PointResult,
    QueryRequest,
    Request,
    Result,
    TextResult,
)
from pipeline.testing import ManualClock, wait_until

GOLDEN = Path(__file__).parents[1] / "golden"
SOON_S = 60.0
REQUESTS: tuple[Request, ...] = (
    DetectRequest("person", max_objects=3),
    PointRequest("head", max_objects=3),
    QueryRequest("What is this?", max_tokens=8),
    CaptionRequest("short", max_tokens=8),
)
TASKS: tuple[Task, ...] = (
    Detect("people", "vlm", "person", max_objects=3),
    Ask("weather", "vlm", "What is the weather?", max_tokens=6),
)


def picture(seed: int) -> Pixels:
    """A picture of noise."""
    return np.random.default_rng(seed).integers(0, 255, (90, 120, 3), np.uint8)


def done(ticket: CallTicket) -> Result:
    """The result, waited for."""
    over = threading.Event()
    ticket.listen(lambda: over.set() if ticket.is_done else None)
    assert over.wait(SOON_S), "there was no answer"
    assert ticket.result is not None
    return ticket.result


def words_of(result: Result) -> object:
    """What must be equal in any company, without the last digits of probabilities."""
    match result:
        case DetectResult() | PointResult():
            return result.bins.tolist(), result.saturated
        case TextResult():
            return result.text, result.finish, result.pieces
        case _:
            return result


@pytest.fixture
def engine() -> Iterator[MoondreamEngine]:
    """The golden model with room for eight rows."""
    made = MoondreamConfig(model=str(GOLDEN), device="cpu", max_crops=1, max_batch=2).build()
    yield made
    made.close()


def opened(engine: MoondreamEngine, limits: CallLimits | None = None) -> MoondreamCallers:
    """The callers of an engine whose model has answered."""
    callers = engine.open_callers(limits or CallLimits())
    wait_until(lambda: callers.ready is None)
    return callers


def test_callers_and_cameras_are_answered_together_as_alone(engine: MoondreamEngine) -> None:
    """Forty calls and ten frames at once give what each of them gives by itself."""
    callers = opened(engine)
    pictures = [picture(seed) for seed in range(5)]
    calls = [Call(r, p, caller=f"key {n % 3}") for n, p in enumerate(pictures) for r in REQUESTS]
    alone = [words_of(done(callers.submit(call))) for call in calls]
    frames = [EngineRequest(p, TASKS) for p in pictures]
    frames_alone = [engine.submit(frame).result(SOON_S) for frame in frames]
    tickets = [engine.submit(frame) for frame in frames * 2]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda call: words_of(done(callers.submit(call))), calls * 2))
    assert together == alone * 2
    assert not any(isinstance(found, FailedResult) for found in alone)
    for ticket, before in zip(tickets, frames_alone * 2, strict=True):
        for answer, same in zip(ticket.result(SOON_S), before, strict=True):
            assert not isinstance(answer, Failed)
            assert type(answer) is type(same)
    wait_until(lambda: callers.running == 0 and callers.waiting == 0)


def test_facts_tell_what_a_call_took(engine: MoondreamEngine) -> None:
    """The second question about a picture finds it encoded; a camera's frame is not kept for it."""
    callers = opened(engine)
    frame = picture(7)
    engine.submit(EngineRequest(frame, TASKS)).result(SOON_S)
    first, second = (
        callers.submit(Call(QueryRequest("What?", max_tokens=4), frame)) for _ in range(2)
    )
    done(first)
    done(second)
    third = callers.submit(Call(QueryRequest("What?", max_tokens=4), frame))
    done(third)
    assert not first.facts.picture_was_kept
    assert third.facts.picture_was_kept
    assert first.facts.crops == 1
    assert first.facts.image_tokens > 0
    assert first.facts.prompt_tokens > first.facts.image_tokens
    assert first.facts.prefill_ms > 0
    assert first.facts.completion_tokens <= 4


def test_text_grows_while_it_is_written(engine: MoondreamEngine) -> None:
    """Listeners hear of pieces before the end, and the pieces are the whole text."""
    callers = opened(engine)
    seen: list[tuple[int, bool]] = []
    ticket = callers.submit(Call(CaptionRequest("long", max_tokens=40), picture(1)))
    ticket.listen(lambda: seen.append((len(ticket.pieces), ticket.is_done)))
    result = done(ticket)
    assert isinstance(result, TextResult)
    assert "".join(ticket.pieces) == result.text
    assert any(count and not is_done for count, is_done in seen)
    assert seen[-1] == (len(ticket.pieces), True)


def test_a_cancelled_call_gives_its_row_back(engine: MoondreamEngine) -> None:
    """It is done at once, and the model drops it before its next step."""
    callers = opened(engine)
    assert engine._model is not None
    batcher = engine._model.engine
    ticket = callers.submit(Call(CaptionRequest("long", max_tokens=700), picture(1)))
    wait_until(lambda: len(ticket.pieces) > 2)
    ticket.cancel()
    assert ticket.fault == "cancelled"
    wait_until(lambda: batcher.in_use().rows == 0)
    facts = ticket.facts
    assert 0 < facts.completion_tokens < 700
    assert callers.running == 0


def test_a_request_that_cannot_be_understood_fails_as_the_callers_mistake(
    engine: MoondreamEngine,
) -> None:
    """It has a sentence and whose doing it is; a bad picture is one too."""
    callers = opened(engine)
    nothing = callers.submit(Call(DetectRequest(""), picture(1)))
    assert isinstance(done(nothing), FailedResult)
    assert nothing.fault == "request"
    grey = callers.submit(Call(DetectRequest("x"), np.zeros((40, 40), np.uint8)))
    assert isinstance(done(grey), FailedResult)
    assert grey.fault == "picture"


def held(engine: MoondreamEngine, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Hold the model before its next step; returns what lets it go on."""
    assert engine._model is not None
    batcher = engine._model.engine
    step, may_go, is_held = batcher.step, threading.Event(), threading.Event()

    def patient() -> None:
        is_held.set()
        assert may_go.wait(SOON_S)
        step()

    monkeypatch.setattr(batcher, "step", patient)
    engine.submit(EngineRequest(picture(99), TASKS[:1]))
    assert is_held.wait(SOON_S)
    return may_go.set


def test_a_full_line_refuses_at_once(
    engine: MoondreamEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal takes no time and says when to try again; who is in line is answered."""
    callers = opened(engine, CallLimits(queue=4, wait_s=SOON_S))
    go_on = held(engine, monkeypatch)
    call = Call(QueryRequest("What?", max_tokens=2), picture(1), caller="one")
    accepted = [callers.submit(call) for _ in range(4)]
    began = time.perf_counter()
    with pytest.raises(OverloadedError, match="4 requests are waiting") as refused:
        callers.submit(call)
    assert time.perf_counter() - began < 0.05
    assert refused.value.retry_after_s > 0
    # Another caller, who has nothing in line yet, gets in for the newest of the one with most.
    other = callers.submit(Call(QueryRequest("What?", max_tokens=2), picture(1), caller="two"))
    assert accepted[-1].fault == "overloaded"
    go_on()
    assert not any(isinstance(done(t), FailedResult) for t in (*accepted[:-1], other))


def test_callers_take_turns() -> None:
    """One who floods the line is taken no more often than one with a single call."""
    line = CallLine(CallLimits(), SystemClock(), lambda: None)
    call = QueryRequest("What?")
    for _ in range(5):
        line.submit(Call(call, None, caller="flood"))
    for name in ("a", "b"):
        line.submit(Call(call, None, caller=name))
    order = [ticket.call.caller for ticket in iter(line.take, None)]
    assert order[:3] == ["flood", "a", "b"]
    assert order[3:] == ["flood"] * 4
    line.close()


def test_waiting_and_answering_have_deadlines() -> None:
    """Who waits too long in line is refused, and an answer that is too late is not waited for."""
    clock = ManualClock()
    line = CallLine(CallLimits(wait_s=10), clock, lambda: None)
    waits = line.submit(Call(QueryRequest("What?"), None))
    urgent = line.submit(Call(QueryRequest("What?"), None, within_s=3))
    clock.advance(4)
    assert isinstance(done(urgent), FailedResult)
    assert urgent.fault == "late"
    assert not waits.is_done
    clock.advance(7)
    assert isinstance(done(waits), FailedResult)
    assert waits.fault == "overloaded"
    assert line.waiting == 0
    line.close()
    stopped = line.submit(Call(QueryRequest("What?"), None))
    assert stopped.fault == "stopped"


def test_places_are_kept_while_calls_are_prepared() -> None:
    """Who would be refused is spared the work; a place that is given up is free again."""
    line = CallLine(CallLimits(queue=2, wait_s=60), SystemClock(), lambda: None)
    line.submit(Call(QueryRequest("What?"), None, caller="one"))
    with line.reserve("one"):
        with pytest.raises(OverloadedError):
            line.reserve("one")
        with line.reserve("two"):  # who has none yet is not kept out
            pass
    with line.reserve("one"):
        pass
    line.close()


def test_retry_after_follows_the_pace() -> None:
    """With two answers a second, eight in line are answered in four seconds."""
    clock = ManualClock()
    line = CallLine(CallLimits(queue=8, wait_s=60), clock, lambda: None)
    call = Call(QueryRequest("What?"), None)
    for _ in range(20):
        line.submit(call)
        ticket = line.take()
        assert ticket is not None
        ticket.settle(TextResult("this"))
        clock.advance(0.5)
    for _ in range(8):
        line.submit(call)
    with pytest.raises(OverloadedError) as refused:
        line.submit(call)
    assert refused.value.retry_after_s == pytest.approx(4.0)
    line.close()


@pytest.mark.parametrize(
    "share", [0.25, *(pytest.param(share, marks=pytest.mark.slow) for share in (0.5, 0.75))]
)
def test_each_side_has_its_share_under_flood(share: float) -> None:
    """While both want more than there is, rows are held by both in the agreed proportion."""
    engine = MoondreamConfig(model=str(GOLDEN), device="cpu", max_crops=1, max_batch=2).build()
    callers = opened(engine, CallLimits(share=share, queue=1000, wait_s=600))
    assert engine._model is not None
    batcher = engine._model.engine
    room = batcher.max_batch + batcher.pictures_ahead
    step, seen, contended = batcher.step, list[tuple[int, int]](), list[int]()

    def counted() -> None:
        frames = sum(
            sum(not r.is_done for r in asked.receipts)
            for asked in engine._in_hand
            if isinstance(asked.ticket, type(frame_tickets[0]))
        )
        seen.append((frames, callers.running))
        if engine._line.waiting and callers.waiting:
            contended.append(callers.running)
        step()

    task = Caption("scene", "vlm", "short", max_tokens=6)
    frame = EngineRequest(picture(1), [task])
    call = Call(CaptionRequest("short", max_tokens=6), picture(2))
    frame_tickets = [engine.submit(frame) for _ in range(80)]
    batcher.step = counted  # type: ignore[method-assign]
    calls = [callers.submit(call) for _ in range(80)]
    for ticket in calls:
        assert not isinstance(done(ticket), FailedResult)
    for frame_ticket in frame_tickets:
        assert not isinstance(frame_ticket.result(SOON_S)[0], Failed)
    engine.close()
    settled = contended[len(contended) // 2 :]
    assert settled, "the two sides never wanted the batch together"
    for running in settled:
        assert abs(running - share * room) <= 1
    # What one side does not want any more is the other's.
    assert max(max(pair) for pair in seen[len(seen) // 2 :]) > max(share, 1 - share) * room + 1


def test_a_step_that_breaks_loses_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call is asked again alone; only the one that breaks the model fails, without details."""
    model = Moondream.load(GOLDEN, device="cpu", max_batch=8)
    engine = MoondreamEngine(model, MoondreamConfig(max_crops=1, max_batch=2))
    callers = opened(engine)
    step, bad = model.engine.step, picture(13)

    def step_that_may_break() -> None:
        for strand in model.engine._scheduler.live():
            source = None if strand.picture is None else strand.picture.source
            if source is bad and not strand.job.ticket.is_cancelled:
                raise MemoryError("secret details")
        step()

    monkeypatch.setattr(model.engine, "step", step_that_may_break)
    long = callers.submit(Call(CaptionRequest("long", max_tokens=60), picture(2)))
    wait_until(lambda: len(long.pieces) > 3)
    broken = callers.submit(Call(QueryRequest("What?"), bad))
    others = [callers.submit(Call(r, picture(n))) for n, r in enumerate(REQUESTS)]
    frame = engine.submit(EngineRequest(picture(5), TASKS))
    result = done(broken)
    assert isinstance(result, FailedResult)
    assert broken.fault == "model"
    assert "secret" not in result.reason
    assert not any(isinstance(done(ticket), FailedResult) for ticket in others)
    assert not any(isinstance(answer, Failed) for answer in frame.result(SOON_S))
    whole = done(long)
    assert isinstance(whole, TextResult)
    assert "".join(long.pieces) == whole.text
    assert callers.ready is None
    engine.close()


def test_a_request_that_nobody_foresaw_fails_alone(
    engine: MoondreamEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is raised as the model takes it, of a call or of a frame, the engine goes on."""
    callers = opened(engine)
    assert engine._model is not None
    batcher = engine._model.engine

    def broken(*_: object, **__: object) -> None:
        raise KeyError("a key")

    monkeypatch.setattr(batcher, "submit", broken)
    call = callers.submit(Call(REQUESTS[2], picture(1)))
    assert done(call) == FailedResult("the model failed at this request")
    assert call.fault == "model"
    (answer,) = engine.submit(EngineRequest(picture(1), TASKS[:1])).result(SOON_S)
    assert answer == Failed("vlm", "KeyError: 'a key'")
    monkeypatch.undo()
    assert isinstance(done(callers.submit(Call(REQUESTS[2], picture(1)))), TextResult)
    assert engine.failure is None


def test_a_model_that_hangs_or_keeps_failing_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """The health of the server is that of the model: stuck, broken and closed are all said."""
    clock = ManualClock()
    model = Moondream.load(GOLDEN, device="cpu", max_batch=8)
    engine = MoondreamEngine(model, MoondreamConfig(max_crops=1, max_batch=2), clock)
    callers = opened(engine, CallLimits(stalled_after_s=60))

    def trouble() -> str | None:
        return callers.ready

    go_on = held(engine, monkeypatch)
    clock.advance(59)
    assert trouble() is None
    clock.advance(2)
    assert trouble() == "the model has been busy with one step for 61 s"
    go_on()
    wait_until(lambda: callers.ready is None)
    monkeypatch.undo()

    step = model.engine.step

    def broken() -> None:
        if any(not s.job.ticket.is_cancelled for s in model.engine._scheduler.live()):
            raise RuntimeError("the device is gone")
        step()

    monkeypatch.setattr(model.engine, "step", broken)
    failed = [callers.submit(Call(QueryRequest("What?"), picture(1))) for _ in range(3)]
    assert all(isinstance(done(ticket), FailedResult) for ticket in failed)
    monkeypatch.undo()
    assert not isinstance(done(callers.submit(Call(REQUESTS[2], picture(1)))), FailedResult)
    assert trouble() is None
    engine.close()
    assert trouble() == "the engine has stopped"
    assert callers.submit(Call(REQUESTS[2], picture(1))).fault == "stopped"
