"""Is the server well, which version is it, and what are its metrics."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from pipeline.core.machine import installed_version
from pipeline.server.metrics import count_accounts
from pipeline.server.state import state_of

router = APIRouter(tags=["operation"])


@router.get("/health")
def health(request: Request) -> JSONResponse:
    """200 once the model has answered a request and as long as it does; 503 with why not."""
    state = state_of(request)
    reason = "the server is being stopped" if state.work.is_ending else state.callers.ready
    if reason is not None:
        return JSONResponse({"status": "unavailable", "reason": reason}, 503)
    found: dict[str, Any] = {"status": "ok", "server": "moonwatch"}
    if remarks := state.gate.remarks:
        # Callers are answered all the same; the log says why.
        found["remarks"] = list(remarks)
    return JSONResponse(found)


@router.get("/version")
def version(request: Request) -> dict[str, Any]:
    """Of moonwatch and of the model."""
    facts = state_of(request).callers.model_facts
    found: dict[str, Any] = {"version": installed_version(), "model": None}
    if facts is not None:
        found["model"] = {
            "name": facts.name,
            "release": facts.release,
            "commit": facts.commit,
            "dtype": facts.dtype,
            "device": facts.device,
            "resizer": facts.resizer,
            "max_context": facts.max_context,
        }
    return found


@router.get("/metrics")
def metrics(request: Request) -> Response:
    """Everything in the text format of Prometheus."""
    state = state_of(request)
    state.metrics.server_waiting.set(state.callers.waiting)
    count_accounts(state.metrics, state.gate)
    state.metrics.server_running.set(state.callers.running)
    return Response(
        state.metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8"
    )
