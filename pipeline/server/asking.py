"""One request to the model, from the door to the ledger, whichever interface it came by."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import Depends, Request

from pipeline import moondream
from pipeline.core.frames import Pixels
from pipeline.inference.callers import Call, CallFacts, CallTicket, ModelFacts, OverloadedError
from pipeline.moondream.batch.plan import plan
from pipeline.moondream.errors import MaskError, RequestError, TooLongError
from pipeline.moondream.structured import json_mask
from pipeline.server.errors import ApiError, overloaded
from pipeline.server.fetching import PictureRefused
from pipeline.server.limits import GatePass
from pipeline.server.metrics import count_request
from pipeline.server.model_names import ServedSkill, exact_name
from pipeline.server.state import ServerState, state_of
from pipeline.server.streaming import KEEP_ALIVE_S, gone

logger = logging.getLogger(__name__)

# The engine holds a request to its time; this is for an engine that does not get to it.
OVERTIME_S = 5.0
NOT_READY_S = 5.0
# More than fit the model as a rule.
MANY_LETTERS = 10_000
GONE = 499
"""The status of a request whose caller went away, as nginx has it; nobody is told."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller wants of the model.

    `times` asks for so many answers. `picture` is as the caller wrote it, in the field `param`;
    what is asked in words is in `words_param`, the form of the answer in `format_param`.
    """

    skill: ServedSkill
    request: moondream.Request
    picture: str | None = None
    max_crops: int | None = None
    param: str = "image_url"
    times: int = 1
    words_param: str = "question"
    format_param: str = "response_format"


class CallerVisit:
    """A caller's request: let in, asked, answered, accounted for.

    Whatever becomes of it, its place is free afterwards and the ledger knows how it ended.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.state: ServerState = state_of(request)
        self.id: str = getattr(request.state, "request_id", "") or f"req_{time.time_ns():x}"
        self.skill: ServedSkill = "query"
        self.pictures = 0
        self.bytes_in = 0
        self.tickets: list[CallTicket] = []
        self.began = time.monotonic()
        self.error: ApiError | None = None
        """Why there is no whole answer; None where there is one, or the caller went away."""
        self._pass: GatePass | None = None
        self._wish: Wish | None = None
        self._facts: ModelFacts | None = None
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @property
    def facts(self) -> ModelFacts:
        """What answers, the same from beginning to end; raises ApiError while there is nothing."""
        if self._facts is not None:
            return self._facts
        sentence, facts = self.state.callers.ready, self.state.callers.model_facts
        if sentence is not None or facts is None:
            raise ApiError(
                503,
                "the model is not ready; try again in a moment",
                "server_error",
                code="not_ready",
                retry_after_s=NOT_READY_S,
                should_retry=True,
            )
        self._facts = facts
        return facts

    def enter(self, skill: ServedSkill, *, has_picture: bool) -> None:
        """Let the caller in, by key and limits; raises ApiError. Whoever is in already stays so.

        Before anything is done for them that takes more than a look at what they sent.
        """
        if self._pass is not None:
            return
        self.skill, self.pictures = skill, int(has_picture)
        headers, client = self.request.headers, self.request.client
        self._pass = self.state.gate.enter(
            headers.get("authorization"),
            headers.get("x-moondream-auth"),
            pictures=self.pictures,
            client_host=client.host if client else "",
        )

    async def ask(self, wish: Wish) -> None:
        """Let the caller in, read the picture and put the request in line; raises ApiError."""
        self.enter(wish.skill, has_picture=wish.picture is not None)
        assert self._pass is not None
        self._wish = wish
        await self._check_length(wish)
        caller, within_s = self._pass.key_name, self.state.settings.timeout.total_seconds()
        pixels = None
        try:
            # Its picture is only read where there is a place for it in line.
            with self.state.callers.reserve(caller):
                if wish.picture is not None:
                    pixels = await self._pixels(wish.picture, wish.param, caller)
            for number in range(wish.times):
                call = Call(
                    _numbered(wish.request, number), pixels, wish.max_crops, caller, within_s
                )
                ticket = self.state.callers.submit(call)
                self.tickets.append(ticket)
                ticket.listen(self._tell)
        except OverloadedError as error:
            raise overloaded(error.retry_after_s) from None

    async def _check_length(self, wish: Wish) -> None:
        """Refuse words that do not fit the model, if they are many; raises ApiError.

        The engine does too, but all others would wait while it takes them apart.
        """
        language = self.state.callers.language
        words = getattr(wish.request, "question", "") or getattr(wish.request, "label", "")
        if language is None or len(words) <= MANY_LETTERS:
            return
        try:
            await asyncio.to_thread(plan, wish.request, language, wish.picture is not None)
        except TooLongError as error:
            raise too_long(str(error), wish) from None
        except RequestError:
            return  # the engine will say it

    async def _pixels(self, picture: str, param: str, caller: str) -> Pixels:
        try:
            found = await self.state.pictures.read(picture, caller)
        except PictureRefused as error:
            transient = error.is_transient
            raise ApiError(
                502 if transient else 400,
                error.message,
                "server_error" if transient else "invalid_request_error",
                param=param,
                code=error.code,
                retry_after_s=NOT_READY_S if transient else None,
                should_retry=transient,
            ) from None
        self.bytes_in = found.bytes_in
        return found.pixels

    def _tell(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:  # the loop ended with the server
            logger.debug("nobody is there to be told of an answer")

    async def finished(self) -> list[moondream.Result]:
        """Wait for all answers; raises ApiError for one that failed, or when the caller goes."""
        while not all(ticket.is_done for ticket in self.tickets):
            if not await self._wait(self._time_left()):
                raise _late()
        return self.results()

    async def started(self) -> None:
        """Wait until something can be sent, or for as long as nothing need be.

        Raises ApiError where it fails before that, as an answer with a status of its own, and when
        the caller goes.
        """
        until = time.monotonic() + min(KEEP_ALIVE_S, self._time_left())
        while not any(ticket.is_done or ticket.pieces for ticket in self.tickets):
            if not await self._wait(until - time.monotonic()):
                return
        for ticket in self.tickets:
            if ticket.is_done:
                self._result(ticket)

    async def _wait(self, seconds: float) -> bool:
        """Wait for news since the last time; False where there were none. Raises ApiError when the
        caller goes.
        """
        news = asyncio.create_task(self._news.wait())
        leaving = asyncio.create_task(gone(self.request.receive))
        try:
            await asyncio.wait(
                {news, leaving}, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED
            )
            if leaving.done():
                raise ApiError(GONE, "the caller has gone", code="cancelled")
            self._news.clear()
            return news.done()
        finally:
            news.cancel()
            leaving.cancel()

    async def pieces(self) -> AsyncIterator[tuple[int, str] | None]:
        """Yield the number of an answer and more of its text; None when nothing came for a while.

        Ends when all are done; raises ApiError where one failed.
        """
        given = [0] * len(self.tickets)
        while True:
            self._news.clear()
            are_done = [ticket.is_done for ticket in self.tickets]
            for number, ticket in enumerate(self.tickets):
                # The list grows while these are sent.
                more = ticket.pieces[given[number] :]
                given[number] += len(more)
                for piece in more:
                    yield number, piece
            if all(are_done):
                break
            try:
                async with asyncio.timeout(min(KEEP_ALIVE_S, max(0.0, self._time_left()))):
                    await self._news.wait()
            except TimeoutError:
                if self._time_left() <= 0:
                    raise _late() from None
                yield None
        for ticket in self.tickets:
            self._result(ticket)

    def _time_left(self) -> float:
        allowed = self.state.settings.timeout.total_seconds() + OVERTIME_S
        return self.began + allowed - time.monotonic()

    def _result(self, ticket: CallTicket) -> moondream.Result:
        result = ticket.result
        assert result is not None
        if isinstance(result, moondream.FailedResult):
            assert self._wish is not None
            raise _failure(ticket, result, self._wish)
        return result

    def results(self) -> list[moondream.Result]:
        """What was answered, once all is done; raises ApiError for one that failed."""
        return [self._result(ticket) for ticket in self.tickets]

    def spent(self) -> CallFacts:
        """What was spent so far: the prompt once, as it was read once, and every answer."""
        facts = [ticket.facts for ticket in self.tickets] or [CallFacts()]
        return CallFacts(
            crops=max(one.crops for one in facts),
            image_tokens=max(one.image_tokens for one in facts),
            prompt_tokens=max(one.prompt_tokens for one in facts),
            completion_tokens=sum(one.completion_tokens for one in facts),
            reasoning_tokens=sum(one.reasoning_tokens for one in facts),
            queued_ms=max(one.queued_ms for one in facts),
            prefill_ms=max(one.prefill_ms for one in facts),
            decode_ms=max(one.decode_ms for one in facts),
            picture_was_kept=all(one.picture_was_kept for one in facts),
        )

    def headers(self) -> dict[str, str]:
        """What is said beside an answer: what it used, and what is left of the key's limits."""
        spent = self.spent()
        return {
            **(self._pass.headers() if self._pass is not None else {}),
            "x-moonwatch-images": str(self.pictures),
            "x-moonwatch-crops": str(spent.crops),
            "openai-processing-ms": str(int((time.monotonic() - self.began) * 1000)),
        }

    def close(self) -> None:
        """Free everything it holds, and note in the ledger how it ended."""
        # What a caller who went away left behind: their rows are freed.
        is_whole = bool(self.tickets) and all(ticket.is_done for ticket in self.tickets)
        for ticket in self.tickets:
            ticket.cancel()
        if self._pass is None:
            return
        facts, error = self.state.callers.model_facts, self.error
        entry = self._pass.finish(
            request_id=self.id,
            skill=self.skill,
            model="" if facts is None else exact_name(facts),
            status=200 if error is None else error.status,
            error="" if error is None else error.code or error.type,
            is_cancelled=(error and error.status) == GONE or (error is None and not is_whole),
            bytes_in=self.bytes_in,
            costs=self.spent(),
        )
        count_request(self.state.metrics, entry)
        self._pass.release()


async def _visit(request: Request) -> AsyncIterator[CallerVisit]:
    visit = CallerVisit(request)
    try:
        yield visit
    except ApiError as error:
        visit.error = error
        raise
    except Exception:
        visit.error = ApiError(500, "the server failed", "server_error", code="internal")
        raise
    finally:
        visit.close()


# Closed after the answer is sent, however long it takes and however it ends.
Visiting = Annotated[CallerVisit, Depends(_visit, scope="request")]


async def mask_of(
    visit: CallerVisit, schema: dict[str, Any] | None, param: str
) -> moondream.TokenMask:
    """Return what an answer in JSON must look like; raises ApiError for a schema that cannot be."""
    language = visit.state.callers.language
    if language is None:
        raise ApiError(400, f"{param}: this server gives no answers in JSON", param=param)
    try:
        async with asyncio.timeout(OVERTIME_S):
            return await asyncio.to_thread(json_mask, schema, language)
    except MaskError as error:
        raise ApiError(400, f"{param}: {error}", param=param, code="unsupported_value") from None
    except TimeoutError:
        raise ApiError(
            400,
            f"{param}: the schema takes too long to read",
            param=param,
            code="unsupported_value",
        ) from None


def finish_reason(results: Sequence[moondream.Result]) -> str:
    """Why the first of these ended, as clients call it."""
    first = results[0]
    ended = isinstance(first, moondream.TextResult) and first.finish in ("length", "context")
    return "length" if ended else "stop"


def answered_by(visit: CallerVisit) -> str:
    """The exact model that answers."""
    return exact_name(visit.facts)


def _numbered(request: moondream.Request, number: int) -> moondream.Request:
    """The same request with a seed of its own, where it has one."""
    seed = getattr(request, "seed", None)
    if not number or seed is None:
        return request
    assert isinstance(request, moondream.QueryRequest | moondream.CaptionRequest)
    # After the highest comes the lowest.
    return replace(request, seed=(seed + number + 2**63) % 2**64 - 2**63)


def _late() -> ApiError:
    return ApiError(
        504,
        "the answer took longer than this server allows; ask for fewer tokens",
        "server_error",
        code="timeout",
        should_retry=False,
    )


def too_long(reason: str, wish: Wish) -> ApiError:
    """The words do not fit the model's positions."""
    return ApiError(400, reason, param=wish.words_param, code="context_length_exceeded")


def _failure(ticket: CallTicket, result: moondream.FailedResult, wish: Wish) -> ApiError:
    """What a caller is told of a failure: all about what they did, nothing about our insides."""
    match result.code:
        case "too_long":
            return too_long(result.reason, wish)
        case "bad_request":
            return ApiError(400, result.reason, code="invalid_value")
        case "bad_picture":
            return ApiError(400, result.reason, param=wish.param, code="invalid_image_url")
        case "mask":
            return ApiError(400, result.reason, param=wish.format_param, code="unsupported_value")
        case _:
            pass
    match ticket.fault:
        case "request":
            return ApiError(400, result.reason, code="invalid_value")
        case "picture":
            return ApiError(400, result.reason, param=wish.param, code="invalid_image_url")
        case "overloaded":
            return overloaded(NOT_READY_S)
        case "late":
            return _late()
        case "cancelled":
            return ApiError(GONE, "the request was cancelled", code="cancelled")
        case "stopped":
            return ApiError(
                503,
                "the server is stopping; try again in a moment",
                "server_error",
                code="not_ready",
                retry_after_s=NOT_READY_S,
                should_retry=True,
            )
        case _:
            return ApiError(
                500, "the model failed at this request", "server_error", code="model_failed"
            )
