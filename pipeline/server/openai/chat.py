"""`POST /v1/chat/completions`."""

from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.responses import Response

from pipeline.server.asking import CallerVisit, Visiting
from pipeline.server.described import STREAMED
from pipeline.server.errors import ApiError
from pipeline.server.model_names import asked_model
from pipeline.server.openai.answers import ChatAnswer, content_of
from pipeline.server.openai.schemas import CHAT_HINTS, AnswerFormat, ChatRequest
from pipeline.server.openai.wishes import Manner, chat_of, wish_of
from pipeline.server.streaming import DONE, KEEP_ALIVE, EventStream, event
from pipeline.server.strict import StrictRoute


class ChatRoute(StrictRoute):
    """The route of chats, with what is said of their fields."""

    hints = CHAT_HINTS


router = APIRouter(route_class=ChatRoute)


@router.post(
    "/v1/chat/completions", summary="Answer a question about a picture", responses=STREAMED
)
async def create_chat_completion(asked: ChatRequest, visit: Visiting) -> Response:
    """One question about one picture, or about none, with what was said before."""
    model = asked_model(asked.model, visit.facts)
    manner = _manner(asked)
    chat = chat_of(asked.messages, "messages", None)
    wish = await wish_of(visit, chat, model, asked.moondream, manner)
    await visit.ask(wish)
    answer = ChatAnswer(visit)
    if not asked.stream:
        body = answer.whole(await visit.finished())
        return JSONResponse(body, headers=visit.headers())
    await visit.started()
    usage = bool(asked.stream_options and asked.stream_options.include_usage)
    is_text = wish.skill in ("query", "caption")
    return EventStream(_events(visit, answer, with_usage=usage, is_text=is_text), visit.headers())


async def _events(
    visit: CallerVisit, answer: ChatAnswer, *, with_usage: bool, is_text: bool
) -> AsyncIterator[str]:
    usage = {"usage": None} if with_usage else {}
    have_begun = set()
    try:
        for number in range(len(visit.tickets)):
            opening = answer.chunk(number, {"role": "assistant", "content": ""})
            yield event({**opening, **usage})
        async for news in visit.pieces():
            if news is None:
                yield KEEP_ALIVE
                continue
            number, text = news
            if number not in have_begun:
                text = text.lstrip()
            if text:
                have_begun.add(number)
                yield event({**answer.chunk(number, {"content": text}), **usage})
        for number, result in enumerate(visit.results()):
            if not is_text:
                yield event({**answer.chunk(number, {"content": content_of(result)}), **usage})
            for chunk in answer.last_chunks(number, result):
                yield event({**chunk, **usage})
    except ApiError as error:
        visit.error = error
        yield event(error.body())
        return
    if with_usage:
        yield event(answer.usage_chunk())
    yield DONE


def _manner(asked: ChatRequest) -> Manner:
    if asked.top_logprobs is not None and not asked.logprobs:
        raise ApiError(
            400, "top_logprobs needs logprobs: true", param="top_logprobs", code="invalid_value"
        )
    if asked.stream_options is not None and not asked.stream:
        raise ApiError(
            400, "stream_options needs stream: true", param="stream_options", code="invalid_value"
        )
    thinks = asked.reasoning_effort not in (None, "none")
    if asked.reasoning is not None:
        if asked.reasoning_effort is not None and thinks != asked.reasoning:
            raise ApiError(
                400,
                f"reasoning and reasoning_effort {asked.reasoning_effort!r} differ; give one",
                param="reasoning",
                code="invalid_value",
            )
        thinks = asked.reasoning
    form = asked.response_format or AnswerFormat(type="text")
    if form.type == "json_schema" and (
        form.json_schema is None or form.json_schema.schema_ is None
    ):
        raise ApiError(
            400,
            "response_format of type json_schema needs json_schema.schema",
            param="response_format.json_schema",
            code="missing_required_parameter",
        )
    if form.type != "json_schema" and form.json_schema is not None:
        raise ApiError(
            400,
            f"response_format has a schema, but its type is {form.type}; say json_schema",
            param="response_format.type",
            code="invalid_value",
        )
    stop = asked.stop or ()
    return Manner(
        temperature=asked.temperature,
        top_p=asked.top_p,
        max_tokens=asked.max_completion_tokens or asked.max_tokens,
        seed=asked.seed,
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        logprobs=(asked.top_logprobs or 0) if asked.logprobs else None,
        thinks=thinks,
        times=asked.n or 1,
        wants_json=form.type != "text",
        schema=None if form.json_schema is None else form.json_schema.schema_,
        thinks_param="reasoning" if asked.reasoning_effort is None else "reasoning_effort",
    )
