"""The application: its routes, within one frame, and its pages."""

from pathlib import Path
from typing import Any, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.responses import FileResponse, PlainTextResponse, Response
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import BaseRoute

from pipeline.core.machine import installed_version
from pipeline.web.access.guard import PermissionNeeded
from pipeline.web.access.permissions import Permission
from pipeline.web.access.protection import SHARED, Protection
from pipeline.web.api import (
    arming,
    asking,
    audits,
    backgrounds,
    deliveries,
    editing,
    events,
    health,
    live,
    media,
    numbers,
    oidc,
    people,
    push,
    reports,
    reviews,
    session,
    sharing,
    simulating,
    site,
)
from pipeline.web.problems import WebError, add_error_handlers
from pipeline.web.state import WebState

API: Final = "/api/v1"
ROUTERS: Final[tuple[APIRouter, ...]] = (
    arming.router,
    asking.router,
    audits.router,
    live.router,
    people.router,
    push.router,
    session.router,
    oidc.router,
    sharing.router,
    site.router,
    backgrounds.router,
    editing.router,
    health.router,
    numbers.router,
    reports.router,
    simulating.router,
    events.router,
    media.router,
    reviews.router,
    deliveries.router,
)
"""The routes of the API, below its prefix."""
OPEN: Final = frozenset(
    {
        ("GET", "/healthz"),
        ("GET", "/{path:path}"),
        ("GET", f"{SHARED}{{text}}"),
        ("HEAD", f"{SHARED}{{text}}"),
        ("GET", f"{SHARED}{{text}}/media"),
        ("HEAD", f"{SHARED}{{text}}/media"),
        ("GET", f"{API}/session"),
        ("POST", f"{API}/session"),
        ("DELETE", f"{API}/session"),
        ("GET", f"{API}/session/oidc"),
        ("GET", f"{API}/session/oidc/back"),
        ("GET", f"{API}/session/oidc/end"),
        ("POST", f"{API}/set-up"),
    }
)
"""What is answered without anybody being known: the probe, the files that the pages consist of,
what one signs in by, and what a secret in the address opens."""
_PAGES = Path(__file__).parent / "static"
_NAMED_BY_CONTENT: Final = "assets"
"""The folder of files whose names change with what is in them."""
_KEPT_FOREVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_ASKED_AGAIN: Final = {"Cache-Control": "no-cache"}
_NOT_BUILT = (
    "The pages of the application are not built here: `make web` builds them in a checkout; the "
    "package brings them along.\n"
)


_MADE: Final[dict[tuple[int, ...], tuple[tuple[APIRouter, ...], tuple[BaseRoute, ...]]]] = {}


def create_app(state: WebState) -> FastAPI:
    """The application over this state."""
    app = _with_routes()
    app.state.web = state

    async def wants_local_names() -> bool:
        return not await run_sync(state.entrance.has_people)

    app.add_middleware(
        Protection,
        config=lambda: state.deployment.web,
        wants_local_names=wants_local_names,
        api=API,
    )
    return app


def interface_description() -> dict[str, Any]:
    """The description of all routes, in OpenAPI's form; nothing is opened for it."""
    return _with_routes().openapi()


def routes_of(app: FastAPI) -> list[RouteContext]:
    """Every route and WebSocket of the application, those of its parts included."""
    return list(iter_route_contexts(app.routes))


def permission_of(route: BaseRoute | RouteContext) -> Permission | None:
    """What a route needs of who asks; None where anybody may."""
    dependant: Dependant | None = getattr(route, "dependant", None)
    found = [] if dependant is None else [one.call for one in dependant.dependencies]
    return next((one.permission for one in found if isinstance(one, PermissionNeeded)), None)


def _with_routes() -> FastAPI:
    app = _bare()
    app.router.routes.extend(_routes(ROUTERS))
    add_error_handlers(app)
    return app


def _bare() -> FastAPI:
    app = FastAPI(title="moonwatch", version=installed_version(), openapi_url=None)
    app.router.redirect_slashes = False
    return app


def _routes(routers: tuple[APIRouter, ...]) -> tuple[BaseRoute, ...]:
    """All routes, which know nothing of the state: made once, as it takes longer than the rest."""
    # By identity, which the routers keep as long as they are held here: they have no hash.
    key = tuple(map(id, routers))
    if key not in _MADE:
        _MADE[key] = (routers, _new_routes(routers))
    return _MADE[key][1]


def _new_routes(routers: tuple[APIRouter, ...]) -> tuple[BaseRoute, ...]:
    app = _bare()
    for router in routers:
        app.include_router(router, prefix=API)
    app.include_router(sharing.shared)
    _add_pages(app)
    for route in routes_of(app):
        for method in route.methods or {"WEBSOCKET"}:
            if permission_of(route) is None and (method, route.path) not in OPEN:
                raise RuntimeError(f"{method} {route.path} does not say what it needs of who asks")
    return tuple(app.router.routes)


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
        try:
            file = (pages / path).resolve()
            is_page = bool(path) and file.is_relative_to(pages) and file.is_file()
        except (OSError, ValueError):  # a name that no file can have
            raise WebError(404, "there is nothing of this name") from None
        if is_page:
            is_named_by_content = file.is_relative_to(pages / _NAMED_BY_CONTENT)
            kept = _KEPT_FOREVER if is_named_by_content else _ASKED_AGAIN
            return FileResponse(file, headers=kept)
        if path.startswith(f"{_NAMED_BY_CONTENT}/"):
            raise WebError(404, f"there is nothing at /{path}: it is of another version")
        index = pages / "index.html"
        if not index.is_file():
            return PlainTextResponse(_NOT_BUILT, 503, headers=_ASKED_AGAIN)
        return FileResponse(index, headers=_ASKED_AGAIN)
