"""`POST /v1/query`, `/v1/caption`, `/v1/detect` and `/v1/point`."""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.responses import Response

from pipeline.moondream import (
    CaptionRequest,
    DetectRequest,
    DetectResult,
    PointRequest,
    PointResult,
    QueryRequest,
    Result,
    TextResult,
)
from pipeline.moondream.types import MAX_TOKENS, TOP_P
from pipeline.server.asking import CallerVisit, Visiting, Wish, finish_reason
from pipeline.server.described import ERRORS, STREAMED
from pipeline.server.errors import ApiError
from pipeline.server.model_names import ServedSkill, asked_model, exact_name
from pipeline.server.moondream.schemas import (
    SKILL_HINTS,
    CaptionSkillRequest,
    ObjectSettings,
    ObjectSkillRequest,
    QuerySkillRequest,
    TextSettings,
)
from pipeline.server.results import found_objects, grounding_of, text_of
from pipeline.server.spatial import spatial_refs
from pipeline.server.streaming import KEEP_ALIVE, EventStream, event
from pipeline.server.strict import StrictRoute


class SkillRoute(StrictRoute):
    """The routes of skills, with what is said of their fields."""

    hints = SKILL_HINTS


UNREADABLE = "data: [ERROR]\n\n"

router = APIRouter(route_class=SkillRoute, tags=["moondream"], responses=ERRORS)


@router.post("/v1/query", summary="Answer a question", responses=STREAMED)
async def query(asked: QuerySkillRequest, visit: Visiting) -> Response:
    """A question about a picture, or about none."""
    _check_model(asked.model, "query", visit)
    settings = asked.settings or TextSettings()
    if not asked.question.strip():
        raise ApiError(400, "question is empty", param="question", code="invalid_value")
    refs = spatial_refs(asked.spatial_refs, "spatial_refs")
    if refs and asked.image_url is None:
        raise ApiError(
            400, "spatial_refs need a picture", param="spatial_refs", code="invalid_value"
        )
    request = QueryRequest(
        asked.question,
        reasoning=bool(asked.reasoning),
        spatial_refs=refs,
        max_tokens=min(settings.max_tokens or MAX_TOKENS, visit.facts.max_context),
        temperature=settings.temperature or 0.0,
        top_p=TOP_P if settings.top_p is None else settings.top_p,
    )
    wish = Wish("query", request, asked.image_url)
    return await _words(visit, wish, "answer", in_pieces=bool(asked.stream))


@router.post("/v1/caption", summary="Describe a picture", responses=STREAMED)
async def caption(asked: CaptionSkillRequest, visit: Visiting) -> Response:
    """A short, normal or long description."""
    _check_model(asked.model, "caption", visit)
    settings = asked.settings or TextSettings()
    request = CaptionRequest(
        asked.length or "normal",
        min(settings.max_tokens or MAX_TOKENS, visit.facts.max_context),
        settings.temperature or 0.0,
        TOP_P if settings.top_p is None else settings.top_p,
    )
    wish = Wish("caption", request, asked.image_url)
    return await _words(visit, wish, "caption", in_pieces=bool(asked.stream))


@router.post("/v1/detect", summary="Find boxes")
async def detect(asked: ObjectSkillRequest, visit: Visiting) -> Response:
    """A box around everything that a word names."""
    most = (asked.settings or ObjectSettings()).max_objects
    return await _objects(visit, asked, "detect", DetectRequest(_object(asked), most))


@router.post("/v1/point", summary="Find points")
async def point(asked: ObjectSkillRequest, visit: Visiting) -> Response:
    """A point on everything that a word names."""
    if asked.spatial_refs:
        raise ApiError(
            400,
            "this model points without spatial_refs; leave them out",
            param="spatial_refs",
            code="unsupported_parameter",
        )
    most = (asked.settings or ObjectSettings()).max_objects
    return await _objects(visit, asked, "point", PointRequest(_object(asked), most))


@router.post("/v1/segment", summary="Not possible with this model", include_in_schema=False)
async def segment() -> Response:
    """Say that there are no masks."""
    raise ApiError(
        400,
        "Moondream 2 cannot segment; /v1/detect gives boxes and /v1/point points",
        code="unsupported_skill",
        should_retry=False,
    )


async def _words(visit: CallerVisit, wish: Wish, field: str, *, in_pieces: bool) -> Response:
    await visit.ask(wish)
    if in_pieces:
        await visit.started()
        return EventStream(_events(visit), visit.headers())
    (result,) = await visit.finished()
    body = {field: text_of(result), **_reasoning(result), **_besides(visit, result)}
    if isinstance(result, TextResult) and result.yes_probability is not None:
        body["yes_probability"] = result.yes_probability
    return JSONResponse(body, headers=visit.headers())


async def _objects(
    visit: CallerVisit,
    asked: ObjectSkillRequest,
    skill: ServedSkill,
    request: DetectRequest | PointRequest,
) -> Response:
    _check_model(asked.model, skill, visit)
    if asked.stream:
        raise ApiError(
            400, f"{skill} answers as a whole; leave out stream", param="stream",
            code="unsupported_value",
        )  # fmt: skip
    wish = Wish(skill, request, asked.image_url, words_param="object")
    await visit.ask(wish)
    (result,) = await visit.finished()
    assert isinstance(result, DetectResult | PointResult)
    return JSONResponse(
        {**found_objects(result), **_besides(visit, result)}, headers=visit.headers()
    )


async def _events(visit: CallerVisit) -> AsyncIterator[str]:
    has_begun = False
    try:
        async for news in visit.pieces():
            if news is None:
                yield KEEP_ALIVE
                continue
            text = news[1] if has_begun else news[1].lstrip()
            if text:
                has_begun = True
                yield event({"chunk": text, "completed": False, "request_id": visit.id})
        (result,) = visit.results()
    except ApiError as error:
        visit.error = error
        yield event(error.body())
        # Moondream's client looks for no error, and takes an early end for the end: but it raises
        # one for what it cannot read.
        yield UNREADABLE
        return
    yield event({"chunk": "", "completed": True, **_reasoning(result), **_besides(visit, result)})


def _check_model(name: str | None, skill: ServedSkill, visit: CallerVisit) -> None:
    if name is None:
        return
    model = asked_model(name, visit.facts)
    if model.skill not in (None, skill):
        raise ApiError(
            400,
            f"the model {name} is for {model.skill}, and this is {skill}; leave the skill out",
            param="model",
            code="invalid_value",
        )


def _object(asked: ObjectSkillRequest) -> str:
    if not asked.object.strip():
        raise ApiError(400, "object is empty", param="object", code="invalid_value")
    return asked.object.strip()


def _reasoning(result: Result) -> dict[str, Any]:
    if not isinstance(result, TextResult) or result.reasoning is None:
        return {}
    grounding = grounding_of(result.reasoning)
    return {"reasoning": {"text": result.reasoning.text, "grounding": grounding}}


def _besides(visit: CallerVisit, result: Result) -> dict[str, Any]:
    spent = visit.spent()
    return {
        "request_id": visit.id,
        "model": exact_name(visit.facts),
        "finish_reason": finish_reason([result]),
        "metrics": {
            "input_tokens": spent.prompt_tokens,
            "output_tokens": spent.completion_tokens,
            "queued_time_ms": round(spent.queued_ms, 3),
            "prefill_time_ms": round(spent.prefill_ms, 3),
            "decode_time_ms": round(spent.decode_ms, 3),
            "ttft_ms": round(spent.queued_ms + spent.prefill_ms, 3),
        },
    }
