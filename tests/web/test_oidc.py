"""Signing in at a provider of OpenID Connect, and everything that must not let anybody in."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt

from pipeline.core.errors import ConfigError
from pipeline.core.people import JournalQuestion, Role
from pipeline.deployment.loader import load
from pipeline.deployment.problems.machine import problems
from pipeline.testing import ManualClock, patience
from pipeline.web.access.oidc import local_place
from pipeline.web.access.oidc_claims import OidcError
from pipeline.web.access.oidc_provider import LONGEST_ANSWER, OidcProvider
from pipeline.web.config import WebOidcConfig
from tests.web.houses import House, house, shop_file, sign_in
from tests.web.identity_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    IdentityProvider,
    identity_provider,
    oidc_section,
    signing_key,
)


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    """A provider that knows Ada, an owner."""
    with identity_provider() as started:
        yield started


def _file(folder: Path, provider: IdentityProvider, more: str = "") -> Path:
    return shop_file(folder, oidc_section(provider, more))


@pytest.fixture
def clock(provider: IdentityProvider) -> ManualClock:
    """A clock that both go by."""
    made = ManualClock()
    provider.now = made.now
    return made


@pytest.fixture
def home(tmp_path: Path, provider: IdentityProvider, clock: ManualClock) -> Iterator[House]:
    """The application of the shop."""
    with house(_file(tmp_path, provider), clock=clock) as opened:
        yield opened


def _begun(browser: httpx.Client, next_place: str = "/events") -> str:
    """Go to the provider; where that sends the browser back to, as a path of the API."""
    begun = browser.get("/session/oidc", params={"next": next_place})
    assert begun.status_code == 303, begun.text
    asked = browser.get(begun.headers["location"])
    back = urlsplit(asked.headers["location"])
    # The application of a test has a port of its own, which nobody can know before.
    assert back.netloc == "127.0.0.1:8090"
    assert back.path == "/api/v1/session/oidc/back"
    return f"/session/oidc/back?{back.query}"


def _came(browser: httpx.Client, next_place: str = "/events") -> str:
    """Go to the provider and come back; where in the application that ends."""
    return str(browser.get(_begun(browser, next_place)).headers["location"])


def _forgive(home: House) -> None:
    """Forget what has failed so far: a test tries more than a person."""
    home.state.store.people.succeeded("provider 127.0.0.1")


def _refused(home: House, browser: httpx.Client) -> str:
    """The reason that somebody does not come in."""
    _forgive(home)
    place = urlsplit(_came(browser))
    assert place.path == "/sign-in", place
    assert browser.get("/session").json()["visitor"] is None
    return parse_qs(place.query)["problem"][0]


def test_whoever_signs_in_at_the_provider_has_the_role_of_his_groups(
    home: House, provider: IdentityProvider, clock: ManualClock
) -> None:
    """Found anew each time; he is another than the user of his name, and ends like any session."""
    local = home.signed_in("ada", Role.VIEWER)
    browser = home.stranger()
    offered = browser.get("/session").json()
    assert offered["provider"] == {
        "label": "the shop's key",
        "url": "http://127.0.0.1:8090/api/v1/session/oidc",
    }
    assert offered["takes_passwords"]
    back = _begun(browser, "/events?camera=tür#x")
    came = browser.get(back)
    assert came.headers["location"] == "/events?camera=t%C3%BCr#x"
    cookies = came.headers.get_list("set-cookie")
    assert any(one.startswith("moonwatch=") and "HttpOnly; SameSite=Lax" in one for one in cookies)
    assert any(one.startswith("moonwatch-begun=;") for one in cookies)
    told = browser.get("/session").json()
    who = told["visitor"]
    assert (who[:10], told["role"], told["has_password"]) == (
        "Ada (SSO a"[:9] + who[9],
        "admin",
        False,
    )
    assert browser.get("/site").status_code == 200
    assert home.state.store.people.person(who) is None
    assert local.get("/session").json()["role"] == "viewer"
    assert local.get("/session").json()["has_password"]
    changed = browser.put("/password", json={"old": "x", "new": "seven lamps over a bridge"})
    assert changed.status_code == 403

    provider.person["groups"] = ["till-staff", 7, None]
    other = home.stranger()
    assert _came(other) == "/events"
    told = other.get("/session").json()
    assert (told["visitor"], told["role"], told["cameras"]) == (who, "viewer", ["till"])
    assert browser.get("/site").status_code == 401, "the role of before holds on"
    provider.person |= {"sub": "4712"}
    assert _came(home.stranger()) == "/events"
    notes = home.state.store.people.journal(JournalQuestion(words="subject 471"))
    assert [note.who == who for note in notes] == [False, True, True]

    told = other.get("/session").json()
    assert other.delete("/session").status_code == 204
    out = other.get(told["sign_out_url"].removeprefix("/api/v1")).headers["location"]
    assert out.startswith(f"{provider.issuer}/end?client_id=")
    assert other.get("/site").status_code == 401
    assert _came(other) == "/events"
    clock.advance(11 * 3600)
    assert other.get("/site").status_code == 200
    clock.advance(11 * 3600)
    assert other.get("/site").status_code == 200
    clock.advance(2 * 3600 + 1)
    assert other.get("/site").status_code == 401, "used, but a day old"


def test_nobody_comes_in_by_what_another_has_begun(
    home: House, provider: IdentityProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither with a state of nobody, nor with the code of another browser, nor twice."""
    mine, thief = home.stranger(), home.stranger()
    back = _begun(mine)
    stale = "/sign-in?problem=stale"
    assert thief.get(back).headers["location"] == stale, "without a cookie"
    of_thief = parse_qs(urlsplit(_begun(thief)).query)
    assert thief.get(back).headers["location"] == stale + "&next=%2Fevents"
    assert provider.asked["/token"] == 0

    # The state of the thief, who has begun himself, with the code that was meant for another.
    _begun(thief)
    state = parse_qs(urlsplit(_begun(thief)).query)["state"][0]
    of_mine = parse_qs(urlsplit(back).query)
    mixed = {"state": state, "code": of_mine["code"][0], "iss": provider.issuer}
    refused = thief.get("/session/oidc/back", params=mixed)
    assert "problem=refused" in refused.headers["location"]
    assert "invalid_grant" in caplog.text

    _begun(thief)
    for said in (
        {"state": of_thief["state"][0], "code": "x", "iss": provider.issuer},
        {"state": "", "code": "x"},
        {},
    ):
        again = thief.get("/session/oidc/back", params=said)
        assert "problem=stale" in again.headers["location"]
    state = parse_qs(urlsplit(_begun(thief)).query)["state"][0]
    for issuer in ({}, {"iss": "https://other.example"}):
        again = thief.get("/session/oidc/back", params={"state": state, "code": "x", **issuer})
        assert "problem=unproven" in again.headers["location"]
        state = parse_qs(urlsplit(_begun(thief)).query)["state"][0]

    back = _begun(mine)
    cookie = {"Cookie": f"moonwatch-begun={mine.cookies['moonwatch-begun']}"}
    assert mine.get(back).headers["location"] == "/events"
    copied = home.stranger(cookie)
    assert "problem=refused" in copied.get(back).headers["location"]
    assert thief.get("/session").json()["visitor"] is None


def _unsigned(claims: dict[str, Any]) -> str:
    return _joined({"alg": "none", "kid": "first"}, claims) + "."


def _joined(*parts: dict[str, Any]) -> str:
    return ".".join(_base64url(json.dumps(part).encode()) for part in parts)


def _base64url(made: bytes) -> str:
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


def _by_public_key(claims: dict[str, Any]) -> str:
    """Signed by what everybody can read, as if it were a secret between two."""
    signed = _joined({"alg": "HS256", "kid": "first"}, claims)
    secret = signing_key("first").as_pem(private=False)
    made = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{_base64url(made)}"


def _by_another(claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "RS256", "kid": "first"}, claims, signing_key("another"))


def _changed(claims: dict[str, Any]) -> str:
    """Signed, and changed afterwards."""
    head, _, tail = jwt.encode(
        {"alg": "RS256", "kid": "first"}, claims, signing_key("first")
    ).split(".")
    return f"{head}.{_joined({**claims, 'sub': '1'})}.{tail}"


def test_what_the_provider_says_is_believed_only_if_it_is_proven_and_meant(
    home: House, provider: IdentityProvider, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Each of these is refused with the same sentence, and the log says why."""
    browser, now = home.stranger(), int(clock.now())
    makers: list[tuple[Callable[[dict[str, Any]], str], str]] = [
        (_unsigned, "'none'"),
        (_by_public_key, "'HS256'"),
        (_by_another, "signature"),
        (_changed, "signature"),
        (lambda claims: "no token", "no signed token"),
        (lambda claims: "e30.e30.e30", "signed by None"),
        (lambda claims: "x" * 100_001, "100000"),
    ]
    for make, why in makers:
        provider.make_token = make
        caplog.clear()
        assert _refused(home, browser) == "unproven", why
        assert why in caplog.text
    provider.make_token = None
    claims: list[tuple[dict[str, Any], str]] = [
        ({"aud": "another"}, "aud"),
        ({"aud": None}, "aud"),
        ({"aud": [CLIENT_ID, "another"]}, "azp"),
        ({"aud": [CLIENT_ID, "another"], "azp": "another"}, "azp"),
        ({"iss": "https://other.example"}, "and not of"),
        ({"exp": now - 61}, "ended"),
        ({"exp": None}, "exp"),
        ({"exp": True}, "exp"),
        ({"iat": None}, "iat"),
        ({"iat": now + 61}, "begins"),
        ({"nbf": now + 61}, "begins"),
        ({"iat": now - 700}, "made 700 s ago"),
        ({"nonce": "of another sign-in"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"sub": None}, "sub"),
        ({"sub": "s" * 256}, "sub"),
    ]
    for changed, why in claims:
        provider.changed = changed
        caplog.clear()
        assert _refused(home, browser) == "unproven", changed
        assert why in caplog.text
    assert "moonwatch-begun" not in browser.cookies
    provider.changed = {"exp": now - 50, "iat": now + 50, "aud": [CLIENT_ID], "azp": CLIENT_ID}
    assert _came(browser) == "/events", "clocks may differ a little"
    assert CLIENT_SECRET not in caplog.text


def test_a_new_key_of_the_provider_is_read_once(
    home: House, provider: IdentityProvider, clock: ManualClock
) -> None:
    """And one that nobody publishes does not have it asked each time."""
    browser = home.stranger()
    assert _came(browser) == "/events"
    assert provider.asked["/keys"] == 1
    provider.key, provider.published = "second", ["first", "second"]
    clock.advance(60)
    assert _came(browser) == "/events"
    assert provider.asked["/keys"] == 2
    provider.key = "third"
    browser.delete("/session")
    clock.advance(60)
    for _ in range(3):
        assert _refused(home, browser) == "unproven"
    assert provider.asked["/keys"] == 3
    assert provider.asked["/.well-known/openid-configuration"] == 1
    provider.key, provider.make_token = "first", _without_key_id
    assert _came(browser) == "/events", "without a name, each of them may be it"


def _without_key_id(claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "RS256"}, claims, signing_key("second"))


def test_whom_the_provider_or_the_file_refuses_is_told_so(
    home: House, provider: IdentityProvider, clock: ManualClock
) -> None:
    """And whoever has lost his groups loses his sessions; trying on and on has to wait."""
    browser = home.stranger()
    assert _came(browser) == "/events"
    provider.person |= {"preferred_username": "Ada L.", "groups": ["customers"]}
    late = home.stranger()
    assert _refused(home, late) == "no_role"
    assert browser.get("/site").status_code == 401
    provider.person["groups"] = None
    assert _refused(home, late) == "no_role"
    provider.error = "access_denied"
    assert _refused(home, late) == "refused"
    notes = home.state.store.people.journal(JournalQuestion(words="by the provider"))
    assert (notes[0].who, notes[0].detail) == ("somebody unknown", "by the provider: refused")
    assert notes[-1].who.startswith("Ada L. (SSO ")
    _forgive(home)
    found = [_came(late) for _ in range(21)]
    assert "problem=refused" in found[19]
    assert "problem=too_many" in found[20]


def test_a_provider_that_is_away_slow_or_no_provider_keeps_nobody_waiting(
    home: House, provider: IdentityProvider, tmp_path: Path
) -> None:
    """Each says what is wrong; and it is not asked again at once for each who tries."""
    section = oidc_section(provider)
    config = load(shop_file(tmp_path, section)).web.oidc
    assert config is not None

    def why(**changed: object) -> str:
        asked = WebOidcConfig.model_validate(
            {**config.model_dump(), "client_secret": CLIENT_SECRET, **changed}
        )
        with pytest.raises(OidcError) as found:
            OidcProvider(asked, ManualClock(), answer_s=patience(0.5)).endpoints()
        return str(found.value)

    assert "/no/.well-known/openid-configuration" in why(issuer=f"{provider.issuer}/no")
    assert "write that as `web.oidc.issuer`" in why(issuer=f"{provider.issuer}/")
    for name, value, said in (
        ("jwks_uri", None, "does not name its jwks_uri"),
        ("token_endpoint", "http://login.example/token", "is not https"),
        ("authorization_endpoint", "javascript:alert(1)", "is not an address"),
        ("issuer", "https://other.example", "is of https://other.example"),
    ):
        provider.discovery = {name: value}
        assert said in why()
    provider.discovery = {}
    provider.padding = LONGEST_ANSWER
    assert "more than 1000000 bytes" in why()
    provider.padding = 0
    provider.is_silent.set()
    assert "does not answer within" in why()
    provider.is_silent.clear()
    with identity_provider() as gone:
        pass
    assert "cannot be reached" in why(issuer=gone.issuer)

    provider.discovery = {"token_endpoint": None}
    before = provider.asked["/.well-known/openid-configuration"]
    for _ in range(3):
        begun = home.stranger().get("/session/oidc", params={"next": "/events"})
        assert begun.headers["location"] == "/sign-in?problem=away&next=%2Fevents"
    assert provider.asked["/.well-known/openid-configuration"] == before + 1
    assert home.stranger().get("/session/oidc/end").headers["location"] == "/sign-in"


def test_nobody_is_sent_elsewhere_after_signing_in(home: House) -> None:
    """The place is one of the application, whatever the address says."""
    for wanted in (
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "javascript:alert(1)",
        "/ /evil",
        "evil.example",
        "",
        "/api/v1/session/oidc",
        "/sign-in?next=/x",
        "/" + "x" * 500,
    ):
        assert local_place(wanted) == "/", wanted
    for wanted in ("/", "/events?camera=door", "/edit/door#x", "/signal"):
        assert local_place(wanted) == wanted
    assert _came(home.stranger(), "//evil.example") == "/"


def test_without_passwords_there_is_the_provider_alone(
    tmp_path: Path, provider: IdentityProvider
) -> None:
    """What was opened by a password before is closed, too."""
    file = _file(tmp_path, provider)
    with house(file) as home:
        cookie = home.signed_in("ada", Role.ADMIN).cookies["moonwatch"]
    with house(file, "web.passwords=false") as home:
        assert home.stranger({"Cookie": f"moonwatch={cookie}"}).get("/site").status_code == 401
        refused = sign_in(home.stranger(), "ada")
        assert refused.status_code == 403
        assert "passwords are not taken" in refused.json()["error"]["message"]
        wanted = {"link": "x" * 43, "name": "eve", "password": "seven lamps over a bridge"}
        assert home.stranger().post("/set-up", json=wanted).status_code == 403
        told = home.stranger().get("/session").json()
        assert (told["takes_passwords"], told["needs_set_up"]) == (False, False)
        browser = home.stranger()
        assert _came(browser) == "/events"
        session = browser.cookies["moonwatch"]
    with house(shop_file(tmp_path)) as home:
        known = home.stranger({"Cookie": f"moonwatch={session}"})
        assert known.get("/site").status_code == 401, "the provider is not asked any more"
        assert known.get("/session/oidc").status_code == 404
        assert known.get("/session/oidc/back").status_code == 404


def test_the_file_is_checked(
    tmp_path: Path, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be safe is a mistake; what will not work here is a warning."""
    file = _file(tmp_path, provider)
    for change, said in (
        ("issuer=http://login.example", "is not https"),
        ("issuer=https://login.example?x=1", "question mark"),
        ("issuer=https://me@login.example", "is not an address"),
        ("application_url=http://shop.example", "is not https"),
        ("application_url=https://shop.example/moon", "has a path"),
        ("scopes=[profile]", "openid"),
        ("scopes=[openid email]", "write each one by itself"),
        ("client_secret=", "is empty"),
    ):
        with pytest.raises(ConfigError, match=said):
            load(file, [f"web.oidc.{change}"])
    assert list(problems(load(file), only_fatal=False)) == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "joserfc" else 1)
    found = problems(load(file, ["web.oidc.map={}", "web.oidc.ca=gone.pem"]), only_fatal=False)
    told = {one.path: one.message for one in found}
    assert "[oidc]" in told["web.oidc.issuer"]
    assert "nobody who comes from the provider is let in" in told["web.oidc.map"]
    assert "there is no file gone.pem" in told["web.oidc.ca"]
    with pytest.raises(ConfigError, match="joserfc"), house(file):
        pass
    found = problems(load(shop_file(tmp_path), ["web.passwords=false"]), only_fatal=False)
    assert "nobody can sign in" in next(iter(found)).message
