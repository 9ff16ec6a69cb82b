"""`GET /v1/models`."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.responses import Response

from pipeline.inference.callers import ModelFacts
from pipeline.server.asking import Visiting
from pipeline.server.model_names import asked_model, exact_name, listed_models

router = APIRouter()
OWNER = "moonwatch"


@router.get("/v1/models", summary="List the models")
async def list_models(visit: Visiting) -> Response:
    """What is served, by every name it has."""
    facts = visit.facts
    data = [_described(name, facts) for name in listed_models(facts)]
    return JSONResponse({"object": "list", "data": data})


@router.get("/v1/models/{name:path}", summary="Describe a model")
async def get_model(name: str, visit: Visiting) -> Response:
    """A model by one of its names, its release as a tag included."""
    facts = visit.facts
    return JSONResponse(_described(asked_model(name, facts).id, facts))


def _described(name: str, facts: ModelFacts) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": _made_at(facts.release),
        "owned_by": OWNER,
        "root": exact_name(facts),
        "max_model_len": facts.max_context,
        "release": facts.release,
        "commit": facts.commit or None,
    }


def _made_at(release: str) -> int:
    """The second that a release's day began, which is all that its name says."""
    try:
        return int(datetime.strptime(release, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError:
        return 0
