"""The application: the frame around all routes, and what they share."""

from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request

from pipeline.core.clock import Clock
from pipeline.inference.callers import Callers
from pipeline.server.config import ServeConfig
from pipeline.server.errors import add_error_handlers
from pipeline.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class ServerState:
    """What all routes share."""

    callers: Callers
    gate: Any
    fetcher: Any
    settings: ServeConfig
    metrics: Metrics
    clock: Clock


def state_of(request: Request) -> ServerState:
    """What the routes share, from any request."""
    state: ServerState = request.app.state.server
    return state


def create_app(state: ServerState) -> FastAPI:
    """The application over this state."""
    app = FastAPI(title="moonwatch", docs_url=None, redoc_url=None)
    app.state.server = state
    add_error_handlers(app)
    return app
