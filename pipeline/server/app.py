"""The application: all routes within their frame."""

from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from pipeline.core.machine import installed_version
from pipeline.server import health, usage
from pipeline.server.errors import add_error_handlers
from pipeline.server.frame import RequestFrame
from pipeline.server.moondream import routes as moondream_routes
from pipeline.server.openai import routes as openai_routes
from pipeline.server.state import ServerState

# What a page in a browser may read.
_READABLE = [
    "x-request-id",
    "retry-after",
    "openai-processing-ms",
    *(
        f"x-ratelimit-{part}-{what}"
        for part in ("limit", "remaining", "reset")
        for what in ("requests", "tokens", "pictures")
    ),
]


def create_app(state: ServerState) -> FastAPI:
    """The application over this state."""
    app = _with_routes()
    app.state.server = state
    add_error_handlers(app)
    app.add_middleware(RequestFrame, state=state)
    if state.settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(state.settings.cors),
            allow_methods=["GET", "POST"],
            # Clients for browsers send headers of their own, and none of ours opens anything.
            allow_headers=["*"],
            expose_headers=_READABLE,
        )
    return app


def interface_description() -> dict[str, Any]:
    """The description of all routes, in OpenAPI's form; nothing is loaded for it."""
    return _with_routes().openapi()


def _with_routes() -> FastAPI:
    app = FastAPI(title="moonwatch", version=installed_version(), docs_url=None, redoc_url=None)
    app.include_router(openai_routes.router)
    app.include_router(moondream_routes.router)
    app.include_router(usage.router)
    app.include_router(health.router)
    return app
