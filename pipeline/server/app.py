"""The application: the frame around all routes."""

from fastapi import FastAPI

from pipeline.server.errors import add_error_handlers
from pipeline.server.moondream import routes as moondream_routes
from pipeline.server.openai import routes as openai_routes
from pipeline.server.state import ServerState


def create_app(state: ServerState) -> FastAPI:
    """The application over this state."""
    app = FastAPI(title="moonwatch", docs_url=None, redoc_url=None)
    app.state.server = state
    add_error_handlers(app)
    app.include_router(openai_routes.router)
    app.include_router(moondream_routes.router)
    return app
