"""What pages elsewhere, strangers and wrong requests cannot do."""

import json
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, WebSocket
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from pipeline.core.people import Role, TokenScope
from pipeline.testing import patience
from pipeline.web import app
from pipeline.web.access.guard import needs
from pipeline.web.access.permissions import Permission
from pipeline.web.access.protection import LONGEST_BODY
from pipeline.web.access.visitor import Visitor
from tests.web.houses import PASSWORD, House, house, shop_file, sign_in

SECRET = "0123456789abcdef-of-the-proxy"
PROXY = f"""
web:
  proxy:
    trust: [127.0.0.1]
    secret: {SECRET}
    user_header: Remote-User
    map: {{admin: [owners], operator: [staff], viewer: [till-staff]}}
    cameras: {{till-staff: [till]}}
    sign_out_url: https://login.example/out
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    """The application of the shop."""
    with house(shop_file(tmp_path)) as opened:
        yield opened


@pytest.mark.parametrize(
    ("changed", "is_let_in"),
    [
        ({}, True),
        ({"Origin": "OWN"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"X-Moonwatch": ""}, False),
        ({"X-Moonwatch": "true"}, False),
        ({"Origin": "http://shop.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "OWN0"}, False),
        ({"Origin": "OWN.evil.example"}, False),
        ({"Origin": "file://"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
    ],
)
def test_only_own_pages_make_a_browser_change_something(
    home: House, changed: dict[str, str], is_let_in: bool
) -> None:
    """Although the browser sends its cookie along with whatever another page makes it send."""
    boss = home.signed_in("boss", Role.ADMIN)
    headers = {name: value.replace("OWN", home.url) for name, value in changed.items()}
    wanted = {"name": "eve", "password": PASSWORD, "role": "viewer"}
    answer = boss.post("/people", json=wanted, headers=headers)
    assert answer.status_code == (201 if is_let_in else 403)
    assert len(boss.get("/people").json()) == (2 if is_let_in else 1)


def test_a_page_elsewhere_can_send_no_form(home: House) -> None:
    """Not even to sign somebody in as somebody else."""
    home.person("ada", Role.VIEWER)
    form = {"Content-Type": "text/plain", "Origin": "http://shop.example", "X-Moonwatch": ""}
    body = json.dumps({"name": "ada", "password": PASSWORD})
    assert home.stranger(form).post("/session", content=body).status_code == 403
    asked = home.stranger().options(
        "/people",
        headers={"Origin": "http://shop.example", "Access-Control-Request-Method": "POST"},
    )
    assert "access-control-allow-origin" not in asked.headers


def test_a_program_with_a_token_needs_no_more(home: House) -> None:
    """It is no browser, which would send the token by itself."""
    program = home.program("tool", TokenScope.ADMIN)
    wanted = {"name": "eve", "password": PASSWORD, "role": "viewer"}
    assert program.post("/people", json=wanted).status_code == 201


def test_a_session_is_not_made_to_count_by_a_token_that_is_none(home: House) -> None:
    """A page elsewhere cannot send that header; if it could, the cookie would not be looked at."""
    boss = home.signed_in("boss", Role.ADMIN)
    wanted = {"name": "eve", "password": PASSWORD, "role": "viewer"}
    sent = {"Authorization": "Bearer x", "X-Moonwatch": ""}
    assert boss.post("/people", json=wanted, headers=sent).status_code == 401


def test_every_answer_says_what_a_browser_must_not_do(home: House) -> None:
    """Pages, routes, refusals and what is not there."""
    boss = home.signed_in("boss", Role.ADMIN)
    for address in ("", "/api/v1/site", "/api/v1/nothing", "/assets/none.js", "/live"):
        answer = boss.get(f"{home.url}{address}")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "data:" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "camera=()" in answer.headers["permissions-policy"]
        assert "strict-transport-security" not in answer.headers, "this is plain http"
        assert "server" not in answer.headers
    refused = boss.post("/people", headers={"X-Moonwatch": ""})
    assert refused.headers["cache-control"] == "private, no-store"
    assert refused.headers["x-frame-options"] == "DENY"


def test_a_page_that_is_named_may_show_the_application_in_a_frame(tmp_path: Path) -> None:
    """And no other one."""
    more = "\nweb: {frame_ancestors: ['https://home.example:8123']}\n"
    with house(shop_file(tmp_path, more)) as home:
        answer = httpx.get(home.url, timeout=patience(20))
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors https://home.example:8123" in policy
        assert "x-frame-options" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "/..%2f..%2fshop.yaml",
        "/..\\..\\shop.yaml",
        "/%2e%2e/%2e%2e/shop.yaml",
        "/assets/..%5c..%5cshop.yaml",
        "//etc/passwd",
        "/%00",
        "/" + "%C3%A4" * 1000,
        "/" + "a" * 5000,
    ],
)
def test_no_address_leads_to_a_file_that_is_no_page(home: House, path: str) -> None:
    """Whatever signs and lengths it has; what is answered is the page or a refusal."""
    status, text = _raw(home, "GET", path)
    assert status in (200, 400, 404, 503)
    assert "root:" not in text
    assert "cameras:" not in text
    assert "Traceback" not in text


def test_a_body_is_read_up_to_a_limit(home: House) -> None:
    """Whether its length is said before or not."""
    browser = home.stranger()
    said = browser.post("/session", content=b"x" * (LONGEST_BODY + 1))
    assert said.status_code == 413
    pieces = (b"x" * 65536 for _ in range(LONGEST_BODY // 65536 + 1))
    unsaid = browser.post("/session", content=pieces)
    assert unsaid.status_code == 413
    assert "KiB" in unsaid.json()["error"]["message"]


def test_a_name_of_elsewhere_leads_nowhere_while_there_are_no_users(home: House) -> None:
    """A page could else have its own name lead to this machine, and read what it answers."""
    for host, status in (
        ("127.0.0.1:80", 200),
        ("localhost:8090", 200),
        ("[::1]:8090", 200),
        ("shop.example", 421),
        ("127.0.0.1.shop.example", 421),
        ("", 400),
        ("127.0.0.1/x", 400),
    ):
        assert _raw(home, "GET", "/api/v1/session", {"Host": host})[0] == status, host
    home.person("ada", Role.ADMIN)
    assert _raw(home, "GET", "/api/v1/session", {"Host": "shop.example"})[0] == 200


def test_a_script_in_a_name_is_text(home: House) -> None:
    """The application answers JSON, which no browser takes for a page."""
    boss = home.signed_in("boss", Role.ADMIN)
    script = "<script>alert(1)</script>"
    wanted = {"name": script, "scopes": ["read:events"]}
    made = boss.post("/tokens", json=wanted)
    assert made.json()["token"]["name"] == script
    answers = [
        boss.get("/tokens"),
        boss.get(f"/nothing/{script}"),
        boss.delete(f"/tokens/{script}"),
    ]
    for answer in answers:
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_headers_of_a_proxy_count_from_the_proxy_alone(tmp_path: Path) -> None:
    """It is told by its address and by its secret, and each alone is not enough."""
    with house(shop_file(tmp_path, PROXY)) as home:
        known = {"Remote-User": "Grace", "Remote-Groups": "guests, owners"}
        secret = {"X-Moonwatch-Proxy": SECRET}
        strangers = (known, {**known, "X-Moonwatch-Proxy": SECRET + "x"})
        for headers in strangers:
            assert home.stranger(headers).get("/site").status_code == 401
        told = home.stranger({**known, **secret}).get("/session").json()
        assert (told["visitor"], told["role"]) == ("grace", "admin")
        assert told["sign_out_url"] == "https://login.example/out"
        staff = home.stranger({**known, **secret, "Remote-Groups": "till-staff"})
        assert [camera["name"] for camera in staff.get("/site").json()["cameras"]] == ["till"]
        assert staff.get("/people").status_code == 403
        none = home.stranger({**known, **secret, "Remote-Groups": "guests"})
        assert none.get("/site").status_code == 403
        twice = [
            *{**secret, "X-Moonwatch": "1"}.items(),
            ("Remote-User", "a"),
            ("Remote-User", "b"),
        ]
        asked = httpx.get(f"{home.url}/api/v1/site", headers=twice, timeout=patience(20))
        assert asked.status_code == 401


def test_headers_of_a_proxy_do_not_count_from_elsewhere(tmp_path: Path) -> None:
    """Also with the right secret, should it ever get out."""
    file = shop_file(tmp_path, PROXY.replace("127.0.0.1", "10.1.2.3"))
    with house(file) as home:
        known = {"Remote-User": "grace", "Remote-Groups": "owners", "X-Moonwatch-Proxy": SECRET}
        assert home.stranger(known).get("/site").status_code == 401


def test_behind_a_proxy_with_https_the_cookie_is_for_https_alone(tmp_path: Path) -> None:
    """And the browser's own address counts, and its own name for the server."""
    with house(shop_file(tmp_path, PROXY)) as home:
        home.person("ada", Role.VIEWER)
        forwarded = {
            "X-Moonwatch-Proxy": SECRET,
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "shop.example",
            "X-Forwarded-For": "6.6.6.6, 192.0.2.7, 127.0.0.1",
            "Origin": "https://shop.example",
        }
        browser = home.stranger(forwarded)
        answer = sign_in(browser, "ada")
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-moonwatch=")
        assert "; Secure" in cookie
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        assert answer.json()["connection"]["is_encrypted"]
        [session] = home.state.store.people.sessions()
        assert session.address == "192.0.2.7"
        stranger = home.stranger({**forwarded, "X-Moonwatch-Proxy": "guess"})
        assert sign_in(stranger, "ada").status_code == 403, "the origin is not this host"


def test_a_websocket_says_why_it_is_refused(
    home: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the same status and sentence as a route, before it is opened."""
    router = APIRouter()

    @router.websocket("/echo")
    async def echo(socket: WebSocket, visitor: Annotated[Visitor, needs(Permission.MEDIA)]) -> None:
        await socket.accept()
        await socket.send_text(visitor.name)
        await socket.close()

    monkeypatch.setattr(app, "ROUTERS", (*app.ROUTERS, router))
    folder = tmp_path / "other"
    folder.mkdir()
    with house(shop_file(folder)) as other:
        address = f"{other.url}/api/v1/echo".replace("http", "ws")
        cookie = {"Cookie": f"moonwatch={other.signed_in('ada').cookies['moonwatch']}"}
        own = {"Origin": other.url}
        with connect(address, additional_headers={**cookie, **own}, proxy=None) as socket:
            assert socket.recv(patience(10)) == "ada"
        for headers, status in (
            (own, 401),
            (cookie, 403),
            ({**cookie, "Origin": "http://shop.example"}, 403),
        ):
            with (
                pytest.raises(InvalidStatus) as refused,
                connect(address, additional_headers=headers, proxy=None),
            ):
                pass
            assert refused.value.response.status_code == status
            assert b"message" in refused.value.response.body


def test_a_route_that_does_not_say_what_it_needs_is_not_served(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forgetting it ends at once, and not with something that anybody can reach."""
    router = APIRouter()

    @router.get("/forgotten")
    def forgotten() -> str:
        return "everything"

    monkeypatch.setattr(app, "ROUTERS", (*app.ROUTERS, router))
    with pytest.raises(RuntimeError, match="GET /api/v1/forgotten does not say"):
        app.create_app(home.state)


def _raw(
    home: House, method: str, path: str, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    """What is answered to an address that no client would send as it is."""
    sent = headers or {}
    place = home.url.removeprefix("http://")
    with closing(HTTPConnection(place, timeout=patience(20))) as connection:
        connection.putrequest(method, path, skip_host="Host" in sent)
        for name, value in sent.items():
            connection.putheader(name, value)
        connection.endheaders()
        with connection.getresponse() as answer:
            return answer.status, answer.read().decode()
