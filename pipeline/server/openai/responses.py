"""`POST /v1/responses`, as far as one question about one picture goes."""

import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.responses import Response

from pipeline.inference.callers import CallFacts
from pipeline.moondream import Result, TextResult
from pipeline.server.asking import CallerVisit, Visiting, finish_reason
from pipeline.server.described import STREAMED
from pipeline.server.errors import ApiError
from pipeline.server.model_names import asked_model, exact_name
from pipeline.server.openai.answers import content_of
from pipeline.server.openai.schemas import (
    RESPONSES_HINTS,
    InputMessage,
    ResponsesRequest,
    TextFormat,
)
from pipeline.server.openai.wishes import Manner, chat_of, wish_of
from pipeline.server.streaming import KEEP_ALIVE, EventStream, event
from pipeline.server.strict import StrictRoute


class ResponsesRoute(StrictRoute):
    """The route of responses, with what is said of their fields."""

    hints = RESPONSES_HINTS


router = APIRouter(route_class=ResponsesRoute)


@router.post("/v1/responses", summary="Answer a question about a picture", responses=STREAMED)
async def create_response(asked: ResponsesRequest, visit: Visiting) -> Response:
    """One question about one picture, or about none; nothing is stored."""
    model = asked_model(asked.model, visit.facts)
    if isinstance(asked.input, str):
        messages = [InputMessage(role="user", content=asked.input)]
    else:
        messages = asked.input
    chat = chat_of(messages, "input", asked.instructions)
    wish = await wish_of(visit, chat, model, asked.moondream, _manner(asked))
    await visit.ask(wish)
    answer = _ResponseAnswer(visit, asked)
    if not asked.stream:
        (result,) = await visit.finished()
        return JSONResponse(answer.whole(result), headers=visit.headers())
    await visit.started()
    return EventStream(_events(visit, answer), visit.headers())


class _ResponseAnswer:
    """The answer to one request, whole or in its stages."""

    def __init__(self, visit: CallerVisit, asked: ResponsesRequest) -> None:
        self._visit, self._asked = visit, asked
        self.id = f"resp_{secrets.token_hex(16)}"
        self.message_id = f"msg_{secrets.token_hex(16)}"
        self._made, self._model = int(time.time()), exact_name(visit.facts)

    def whole(self, result: Result | None, error: ApiError | None = None) -> dict[str, Any]:
        """All of it; without a result as it is at its beginning."""
        asked = self._asked
        status, cut = "in_progress", None
        if error is not None:
            status = "failed"
        elif result is not None:
            cut = {"reason": "max_output_tokens"} if finish_reason([result]) == "length" else None
            status = "incomplete" if cut else "completed"
        form = asked.text.format if asked.text and asked.text.format else TextFormat()
        thinks = asked.reasoning.effort if asked.reasoning else None
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._made,
            "status": status,
            "model": self._model,
            "output": [] if result is None else self.output(result),
            "usage": None if result is None else _usage(self._visit.spent()),
            "error": error and {"code": "server_error", "message": error.message},
            "incomplete_details": cut,
            "instructions": asked.instructions,
            "max_output_tokens": asked.max_output_tokens,
            "metadata": asked.metadata or {},
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "reasoning": {"effort": thinks, "summary": None},
            "store": False,
            "temperature": asked.temperature or 0.0,
            "text": {"format": form.model_dump(by_alias=True, exclude_none=True)},
            "tool_choice": "none",
            "tools": [],
            "top_p": 1.0 if asked.top_p is None else asked.top_p,
            "truncation": "disabled",
        }

    def output(self, result: Result) -> list[dict[str, Any]]:
        """The thoughts, where there are some, and the message."""
        thoughts = []
        if isinstance(result, TextResult) and result.reasoning is not None:
            summary = {"type": "summary_text", "text": result.reasoning.text}
            thoughts = [
                {"type": "reasoning", "id": f"rs_{self.message_id[4:]}", "summary": [summary]}
            ]
        return [*thoughts, self.message(content_of(result), "completed")]

    def message(self, text: str | None, status: str) -> dict[str, Any]:
        """The message; without a text it has no content yet."""
        return {
            "type": "message",
            "id": self.message_id,
            "status": status,
            "role": "assistant",
            "content": [] if text is None else [_part(text)],
        }


async def _events(visit: CallerVisit, answer: _ResponseAnswer) -> AsyncIterator[str]:
    number = -1

    def said(kind: str, **fields: Any) -> str:
        nonlocal number
        number += 1
        return event({"type": kind, "sequence_number": number, **fields}, kind)

    item = {"item_id": answer.message_id, "output_index": 0, "content_index": 0}
    given = ""
    try:
        yield said("response.created", response=answer.whole(None))
        yield said("response.in_progress", response=answer.whole(None))
        opened = answer.message(None, "in_progress")
        yield said("response.output_item.added", output_index=0, item=opened)
        yield said("response.content_part.added", **item, part=_part(""))
        async for news in visit.pieces():
            text = "" if news is None else news[1]
            if news is None:
                yield KEEP_ALIVE
            if not given:
                text = text.lstrip()
            if text:
                given += text
                yield said("response.output_text.delta", **item, delta=text, logprobs=[])
        (result,) = visit.results()
        whole = content_of(result)
        if not given and whole:
            yield said("response.output_text.delta", **item, delta=whole, logprobs=[])
        yield said("response.output_text.done", **item, text=whole, logprobs=[])
        yield said("response.content_part.done", **item, part=_part(whole))
        closed = answer.message(whole, "completed")
        yield said("response.output_item.done", output_index=0, item=closed)
        final = answer.whole(result)
        yield said(f"response.{final['status']}", response=final)
    except ApiError as error:
        visit.error = error
        yield said("response.failed", response=answer.whole(None, error))


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(spent: CallFacts) -> dict[str, Any]:
    return {
        "input_tokens": spent.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": spent.image_tokens if spent.picture_was_kept else 0,
            "cache_write_tokens": 0,
        },
        "output_tokens": spent.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": spent.reasoning_tokens},
        "total_tokens": spent.prompt_tokens + spent.completion_tokens,
    }


def _manner(asked: ResponsesRequest) -> Manner:
    form = asked.text.format if asked.text and asked.text.format else TextFormat()
    if form.type == "json_schema" and form.schema_ is None:
        raise ApiError(
            400,
            "text.format of type json_schema needs a schema",
            param="text.format.schema",
            code="missing_required_parameter",
        )
    if form.type != "json_schema" and form.schema_ is not None:
        raise ApiError(
            400,
            f"text.format has a schema, but its type is {form.type}; say json_schema",
            param="text.format.type",
            code="invalid_value",
        )
    effort = asked.reasoning.effort if asked.reasoning else None
    return Manner(
        temperature=asked.temperature,
        top_p=asked.top_p,
        max_tokens=asked.max_output_tokens,
        thinks=effort not in (None, "none"),
        wants_json=form.type != "text",
        schema=form.schema_,
        thinks_param="reasoning.effort",
        format_param="text.format",
    )
