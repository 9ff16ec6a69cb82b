"""A provider of OpenID Connect for tests: a real HTTP server, which can be made to misbehave."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwk, jwt

from pipeline.testing import patience

CLIENT_ID = "moonwatch at the shop"
CLIENT_SECRET = "the secret: of + this client"
ISSUED_S = 300
_SECTION = """
web:
  oidc:
    issuer: ISSUER
    client_id: CLIENT
    client_secret: "SECRET"
    application_url: http://127.0.0.1:8090
    label: the shop's key
    map: {admin: [owners], operator: [staff], viewer: [till-staff]}
    cameras: {till-staff: [till]}
"""


@cache
def signing_key(name: str) -> jwk.RSAKey:
    """A key of this name; made once, as that takes its time."""
    return jwk.RSAKey.generate_key(2048, {"kid": name, "use": "sig"}, private=True)


@dataclass
class IdentityProvider:
    """What it says, and what it was asked; tests change the first and look at the second."""

    issuer: str
    now: Callable[[], float] = time.time
    person: dict[str, Any] = field(
        default_factory=lambda: {"sub": "4711", "preferred_username": "Ada", "groups": ["owners"]}
    )
    """Who signs in next."""
    changed: dict[str, Any] = field(default_factory=dict)
    """What its ID tokens say otherwise; None leaves a claim out."""
    make_token: Callable[[dict[str, Any]], str] | None = None
    """Signs instead of it."""
    key: str = "first"
    """Which key it signs by."""
    published: list[str] = field(default_factory=lambda: ["first"])
    """Which keys it says it has."""
    discovery: dict[str, Any] = field(default_factory=dict)
    """What it says otherwise of itself; None leaves it out."""
    padding: int = 0
    """How many bytes that says more."""
    error: str | None = None
    """Why it sends the browser back without a code."""
    is_silent: threading.Event = field(default_factory=threading.Event)
    """While set, it takes requests and answers none."""
    asked: Counter[str] = field(default_factory=Counter)
    """How often each of its addresses was asked."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    """What each code was asked with, until it is used."""
    ended: threading.Event = field(default_factory=threading.Event)

    def described(self) -> dict[str, Any]:
        """What it says of itself."""
        known = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?of=shop",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "end_session_endpoint": f"{self.issuer}/end",
            "authorization_response_iss_parameter_supported": True,
            "padding": "x" * self.padding,
        }
        return _without_none(known | self.discovery)

    def authorised(self, asked: dict[str, str]) -> str:
        """Where the browser goes back to."""
        assert asked["client_id"] == CLIENT_ID
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        said = {"state": asked["state"], "iss": self.issuer}
        if self.error is not None:
            said["error"] = self.error
        else:
            said["code"] = secrets.token_urlsafe(16)
            self.codes[said["code"]] = asked
        return f"{asked['redirect_uri']}?{urlencode(said)}"

    def given_for(self, asked: dict[str, str], login: str) -> tuple[int, dict[str, Any]]:
        """What a code is worth."""
        expected = "moonwatch%20at%20the%20shop:the%20secret%3A%20of%20%2B%20this%20client"
        if login != "Basic " + base64.b64encode(expected.encode()).decode():
            return 401, {"error": "invalid_client"}
        begun = self.codes.pop(asked.get("code", ""), None)
        if begun is None or begun["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(asked["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != begun["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        now = int(self.now())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + ISSUED_S,
            "nonce": begun["nonce"],
            **self.person,
        }
        claims = _without_none(claims | self.changed)
        if self.make_token is not None:
            return 200, {"id_token": self.make_token(claims)}
        header = {"alg": "RS256", "kid": self.key}
        return 200, {"id_token": jwt.encode(header, claims, signing_key(self.key))}


def _without_none(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value is not None}


class _Answering(BaseHTTPRequestHandler):
    """Answers as a self.provider."""

    server: "_Quiet"

    @property
    def provider(self) -> IdentityProvider:
        """Whose answers they are."""
        return self.server.provider

    def do_GET(self) -> None:
        """Its description, its keys, and its pages."""
        path, query = self._path()
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        if path == "/.well-known/openid-configuration":
            self._answer(200, self.provider.described())
        elif path == "/keys":
            keys = [signing_key(name).as_dict(private=False) for name in self.provider.published]
            self._answer(200, {"keys": keys})
        elif path == "/authorize":
            self._send_to(self.provider.authorised(asked))
        elif path == "/end":
            self._send_to(asked["post_logout_redirect_uri"])
        else:
            self._answer(404, {})

    def do_POST(self) -> None:
        """A code is exchanged."""
        self._path()
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        self._answer(*self.provider.given_for(asked, self.headers.get("Authorization", "")))

    def _path(self) -> tuple[str, str]:
        parts = urlsplit(self.path)
        self.provider.asked[parts.path] += 1
        if self.provider.is_silent.is_set():
            self.provider.ended.wait(patience(30))
        return parts.path, parts.query

    def _answer(self, status: int, said: dict[str, Any]) -> None:
        text = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _send_to(self, address: str) -> None:
        self.send_response(302)
        self.send_header("Location", address)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Quiet(ThreadingHTTPServer):
    """Says nothing of a client that has hung up: some are meant to."""

    daemon_threads = True
    provider: IdentityProvider

    def handle_error(self, request: object, client_address: object) -> None:
        """Pass it over."""


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    """A provider on a free port of loopback."""
    server = _Quiet(("127.0.0.1", 0), _Answering)
    provider = IdentityProvider(f"http://127.0.0.1:{server.server_address[1]}")
    server.provider = provider
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield provider
    finally:
        provider.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def oidc_section(provider: IdentityProvider, more: str = "") -> str:
    """The section `web` of a file whose people sign in at the provider."""
    told = _SECTION.replace("ISSUER", provider.issuer).replace("CLIENT", CLIENT_ID)
    return told.replace("SECRET", CLIENT_SECRET) + more
