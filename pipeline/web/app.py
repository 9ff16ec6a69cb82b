"""The application: its routes, within one frame, and its pages."""

from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute

from pipeline.core.machine import installed_version
from pipeline.web.access.guard import PermissionNeeded
from pipeline.web.access.permissions import Permission
from pipeline.web.api import backgrounds, editing, simulating, site
from pipeline.web.problems import WebError, add_error_handlers
from pipeline.web.state import WebState

API: Final = "/api/v1"
ROUTERS: Final[tuple[APIRouter, ...]] = (
    site.router,
    editing.router,
    simulating.router,
    backgrounds.router,
)
"""The routes of the API, below its prefix."""
OPEN: Final = frozenset({"/healthz", "/readyz", "/{path:path}"})
"""What is answered without anybody being known: probes, and the files that the pages consist of."""
_PAGES = Path(__file__).parent / "static"
_NAMED_BY_CONTENT: Final = "assets"
"""The folder of files whose names change with what is in them."""
_KEPT_FOREVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_ASKED_AGAIN: Final = {"Cache-Control": "no-cache"}
_NOT_BUILT = (
    "The pages of the application are not built here: `make web` builds them in a checkout; the "
    "package brings them along.\n"
)


def create_app(state: WebState) -> FastAPI:
    """The application over this state."""
    app = _with_routes()
    app.state.web = state
    return app


def interface_description() -> dict[str, Any]:
    """The description of all routes, in OpenAPI's form; nothing is opened for it."""
    return _with_routes().openapi()


def permission_of(route: BaseRoute) -> Permission | None:
    """What a route needs of who asks; None where anybody may."""
    dependant: Dependant | None = getattr(route, "dependant", None)
    found = [] if dependant is None else [one.call for one in dependant.dependencies]
    return next((one.permission for one in found if isinstance(one, PermissionNeeded)), None)


def _with_routes() -> FastAPI:
    app = FastAPI(title="moonwatch", version=installed_version(), docs_url=None, redoc_url=None)
    app.router.redirect_slashes = False
    for router in ROUTERS:
        app.include_router(router, prefix=API)
    add_error_handlers(app)
    _add_pages(app)
    return app


def _add_pages(app: FastAPI) -> None:
    @app.get("/healthz", include_in_schema=False)
    def _alive() -> PlainTextResponse:
        return PlainTextResponse("alive\n")

    @app.get("/{path:path}", include_in_schema=False)
    def _page(path: str) -> Response:
        """A file of the pages, or the page itself, which finds its view by the address."""
        if path.startswith("api/"):
            raise WebError(404, f"there is nothing at /{path}")
        pages = _PAGES.resolve()
        file = (pages / path).resolve()
        if path and file.is_relative_to(pages) and file.is_file():
            is_named_by_content = file.is_relative_to(pages / _NAMED_BY_CONTENT)
            kept = _KEPT_FOREVER if is_named_by_content else _ASKED_AGAIN
            return FileResponse(file, headers=kept)
        if path.startswith(f"{_NAMED_BY_CONTENT}/"):
            raise WebError(404, f"there is nothing at /{path}: it is of another version")
        index = pages / "index.html"
        if not index.is_file():
            return PlainTextResponse(_NOT_BUILT, 503, headers=_ASKED_AGAIN)
        return FileResponse(index, headers=_ASKED_AGAIN)
