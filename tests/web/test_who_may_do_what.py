"""Every route and WebSocket of the application, tried by everybody whom there can be.

The routes are taken from the application itself. What a new one needs of who asks is what it says;
here it is tried whether that is so. A route with `{camera}` and a body that has to be valid before
the camera is looked at needs a line in `BODIES`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from fastapi.routing import RouteContext
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from pipeline.core.people import Role, TokenScope
from pipeline.core.store import Commit
from pipeline.testing import patience
from pipeline.web.access.permissions import PERMISSIONS, SCOPES, Permission
from pipeline.web.app import API, OPEN, create_app, permission_of, routes_of
from tests.contracts.event_tools import an_event
from tests.web.houses import House, house, shop_file

HIDDEN: Final = "door"
"""The camera that somebody may not see."""
BODIES: Final[dict[str, Any]] = {}
"""Valid bodies, by method and path below the API."""
SHOWS_NAMES: Final = frozenset({"GET /people", "GET /journal", "GET /tokens"})
"""What admins alone may see, who see all cameras."""

VISITORS: Final = {
    "nobody": frozenset[Permission](),
    "viewer": PERMISSIONS[Role.VIEWER],
    "viewer of another camera": PERMISSIONS[Role.VIEWER],
    "operator": PERMISSIONS[Role.OPERATOR],
    "operator of another camera": PERMISSIONS[Role.OPERATOR],
    "admin": PERMISSIONS[Role.ADMIN],
    **{f"token {scope}": SCOPES[scope] for scope in TokenScope},
}
_OTHERS: Final = {
    "viewer of another camera": Role.VIEWER,
    "operator of another camera": Role.OPERATOR,
}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    """The application of a shop with an event at each camera."""
    with house(shop_file(tmp_path)) as opened:
        events = tuple(an_event(camera=camera) for camera in (HIDDEN, "till"))
        opened.state.store.commit(Commit(events=events))
        yield opened


@pytest.fixture
def clients(home: House) -> dict[str, httpx.Client]:
    """Everybody whom there can be, by what they are called above."""
    return {
        "nobody": home.stranger(),
        "viewer": home.signed_in("viewer", Role.VIEWER),
        "operator": home.signed_in("operator", Role.OPERATOR),
        "admin": home.signed_in("admin", Role.ADMIN),
        **{
            name: home.signed_in(f"other{number}", role, ("till",))
            for number, (name, role) in enumerate(_OTHERS.items())
        },
        **{f"token {scope}": home.program(scope.replace(":", "-"), scope) for scope in TokenScope},
    }


def _routes(home: House) -> list[tuple[str, RouteContext]]:
    found = []
    for route in routes_of(create_app(home.state)):
        if route.path is not None and route.path.startswith(API):
            methods = sorted(route.methods or {"WEBSOCKET"})
            found += [(method, route) for method in methods if method != "HEAD"]
    return found


def _named(method: str, route: RouteContext) -> str:
    return f"{method} {(route.path or '').removeprefix(API)}"


def _tried(client: httpx.Client, method: str, route: RouteContext, camera: str) -> tuple[int, str]:
    """What is answered: the status, and the text where it is not a stream or a picture."""
    path = (route.path or "").removeprefix(API).replace("{camera}", camera)
    while "{" in path:
        before, _, rest = path.partition("{")
        path = f"{before}1{rest.partition('}')[2]}"
    body = BODIES.get(_named(method, route))
    with client.stream(method, path, json=body, timeout=patience(20)) as answer:
        kind = answer.headers.get("content-type", "")
        text = answer.read().decode() if kind == "application/json" else ""
        return answer.status_code, text


def test_every_route_is_for_those_who_may_and_for_nobody_else(
    home: House, clients: dict[str, httpx.Client]
) -> None:
    """401 for who is not known, 403 for who may not, and neither for who may."""
    wrong = []
    for method, route in _routes(home):
        if method == "WEBSOCKET" or (method, route.path) in OPEN:
            continue
        needed = permission_of(route)
        assert needed is not None
        for who, may in VISITORS.items():
            status, _ = _tried(clients[who], method, route, "till")
            if who == "nobody":
                is_right = status == 401
            elif needed not in may:
                is_right = status == 403
            else:
                is_right = status not in (401, 403)
            if not is_right:
                wrong.append(f"{_named(method, route)} for {who}: {status}, needs {needed}")
    assert wrong == []


def test_nobody_reaches_a_camera_that_he_may_not_see(
    home: House, clients: dict[str, httpx.Client]
) -> None:
    """He does not even learn that it exists; what is refused before the camera needs a body."""
    wrong = []
    for method, route in _routes(home):
        if method == "WEBSOCKET" or "{camera}" not in (route.path or ""):
            continue
        for who in _OTHERS:
            if permission_of(route) in VISITORS[who]:
                status, text = _tried(clients[who], method, route, HIDDEN)
                unknown, other = _tried(clients[who], method, route, "cellar")
                if status != 404 or unknown != 404:
                    wrong.append(f"{_named(method, route)} for {who}: {status}, {unknown}")
                elif other.replace("cellar", HIDDEN) != text:
                    wrong.append(f"{_named(method, route)} tells {text} from {other}")
    assert wrong == []


def test_no_list_tells_of_a_camera_that_somebody_may_not_see(
    home: House, clients: dict[str, httpx.Client]
) -> None:
    """Whatever is asked without naming a camera, and by naming it in the question."""
    wrong = []
    for method, route in _routes(home):
        if method != "GET" or "{" in (route.path or ""):
            continue
        for who in _OTHERS:
            for asked in ({}, {"camera": HIDDEN}, {"cameras": HIDDEN}):
                answer = clients[who].get((route.path or "").removeprefix(API), params=asked)
                if answer.status_code == 200 and HIDDEN in json.dumps(answer.json()):
                    wrong.append(f"{_named(method, route)}{asked} for {who}")
    assert wrong == []


def test_every_answer_of_the_api_is_kept_by_nobody_on_its_way(
    home: House, clients: dict[str, httpx.Client]
) -> None:
    """A proxy that kept the answer to an admin would give it to others."""
    for method, route in _routes(home):
        if method == "GET" and "{" not in (route.path or ""):
            for client in (clients["admin"], clients["nobody"]):
                answer = client.get((route.path or "").removeprefix(API))
                assert "private" in answer.headers["cache-control"], route.path
                assert "public" not in answer.headers["cache-control"], route.path


def test_every_websocket_is_opened_by_own_pages_alone(
    home: House, clients: dict[str, httpx.Client]
) -> None:
    """And by those who may, whatever else a page elsewhere makes a browser send along."""
    for method, route in _routes(home):
        if method != "WEBSOCKET":
            continue
        needed = permission_of(route)
        address = f"{home.url}{route.path}".replace("http://", "ws://").replace("{camera}", "till")
        for who, may in VISITORS.items():
            sent = {
                name: value
                for name, value in clients[who].headers.items()
                if name.lower() == "authorization"
            }
            if clients[who].cookies:
                sent["Cookie"] = f"moonwatch={clients[who].cookies['moonwatch']}"
            opens = needed in may
            assert _opens(address, {**sent, "Origin": home.url}) == (
                101 if opens else 401 if who == "nobody" else 403
            )
            if "authorization" not in sent:
                for origin in ("http://shop.example", "null", f"{home.url}0"):
                    assert _opens(address, {**sent, "Origin": origin}) == 403
                assert _opens(address, sent) == 403


def _opens(address: str, headers: dict[str, str]) -> int:
    try:
        with connect(address, additional_headers=headers, proxy=None, open_timeout=patience(20)):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code
    except ConnectionClosed:
        return 101
