"""Signing in at a provider of OpenID Connect: by a code, which only who began can use (PKCE).

A browser that begins gets a cookie with a secret. State, nonce and verifier are made of it, so that
nothing is kept here of whoever may never come back, and that nobody comes in by what another
browser began.
"""

import base64
import hashlib
import hmac
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from pipeline.core.clock import Clock
from pipeline.core.people import Role
from pipeline.web.access import secret_texts
from pipeline.web.access.oidc_claims import (
    OidcError,
    OidcFailure,
    OidcPerson,
    person_of,
    proven_claims,
    signing_key_id,
)
from pipeline.web.access.oidc_provider import OidcProvider
from pipeline.web.access.peer import Peer
from pipeline.web.config import WebOidcConfig

BEGUN_S: Final = 600.0
"""How long somebody may take at the provider."""
_LONGEST_CODE = 4096
_LONGEST_NEXT = 500
_MOST_USED = 10_000
# A slash alone at the beginning: with two, or with the other one, it is the address of a server.
_LOCAL = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f-\x9f]*")
_OURS = re.compile(r"/(api|sign-in|set-up)([/?#]|$)")


@dataclass(frozen=True, slots=True)
class BegunSignIn:
    """What a browser has to do to sign in at the provider."""

    address: str
    """Where it goes."""
    cookie: str
    """What it brings along when it comes back."""


@dataclass(frozen=True, slots=True)
class OidcArrival:
    """Somebody who comes from the provider, and what he may."""

    person: OidcPerson
    role: Role
    cameras: tuple[str, ...] | None
    next: str
    """Where in the application he wanted to go."""


class OidcEntrance:
    """Lets people in whom a provider knows; usable from any thread."""

    def __init__(self, clock: Clock, config: Callable[[], WebOidcConfig | None]) -> None:
        self._clock, self._config = clock, config
        self._lock = threading.Lock()
        self._provider: OidcProvider | None = None
        self._used: dict[str, float] = {}

    def begin(self, next_place: str) -> BegunSignIn:
        """Send somebody to the provider; raises OidcError."""
        provider = self._the_provider()
        config, secret = provider.config, secret_texts.new_text()
        asked = {
            "response_type": "code",
            "client_id": config.client_id,
            "redirect_uri": config.back,
            "scope": " ".join(config.scopes),
            "state": _made_of(secret, "state"),
            "nonce": _made_of(secret, "nonce"),
            "code_challenge": _challenge(_made_of(secret, "verifier")),
            "code_challenge_method": "S256",
        }
        place = base64.urlsafe_b64encode(local_place(next_place).encode()).decode()
        address = _with_query(provider.endpoints().authorization, asked)
        return BegunSignIn(address, f"{secret}.{place.rstrip('=')}")

    def finish(self, cookie: str | None, said: Mapping[str, str]) -> OidcArrival:
        """Who it is that comes back, with what the provider had the browser say.

        Raises OidcError.
        """
        secret = (cookie or "").partition(".")[0]
        if not secret_texts.can_be_text(secret):
            raise OidcError(OidcFailure.STALE, "the browser has no cookie of having begun")
        state = _made_of(secret, "state")
        if not hmac.compare_digest(said.get("state", "").encode(), state.encode()):
            raise OidcError(OidcFailure.STALE, "the state is not of this browser")
        provider = self._the_provider()
        config = provider.config
        issuer = said.get("iss")
        if issuer != config.issuer and (issuer is not None or provider.endpoints().names_itself):
            raise OidcError(OidcFailure.UNPROVEN, "the answer is of another provider (iss)")
        if "error" in said:
            raise OidcError(OidcFailure.REFUSED, f"the provider says {said['error'][:100]!r}")
        code = said.get("code", "")
        if not 0 < len(code) <= _LONGEST_CODE:
            raise OidcError(OidcFailure.UNPROVEN, "the provider has sent no code")
        token = provider.id_token(code, _made_of(secret, "verifier"))
        algorithm, key_id = signing_key_id(token)
        nonce = _made_of(secret, "nonce")
        person = person_of(
            proven_claims(token, algorithm, provider.keys(algorithm, key_id)),
            issuer=config.issuer,
            client_id=config.client_id,
            nonce=nonce,
            now=self._clock.now(),
            name_claim=config.name_claim,
            groups_claim=config.groups_claim,
        )
        self._use(nonce)
        role = config.role_of(person.groups)
        if role is None:
            count = len(person.groups)
            why = f"none of the {count} groups of {person.who} has a role ({config.groups_claim})"
            raise OidcError(OidcFailure.NO_ROLE, why, person)
        cameras = None if role is Role.ADMIN else config.cameras_of(person.groups)
        return OidcArrival(person, role, cameras, place_of(cookie))

    def way_out(self) -> str | None:
        """Where somebody signs out at the provider, if it has such a place; raises OidcError."""
        provider = self._the_provider()
        end = provider.endpoints().end_session
        if end is None:
            return None
        config = provider.config
        back = f"{config.application_url}/sign-in"
        return _with_query(end, {"client_id": config.client_id, "post_logout_redirect_uri": back})

    def _the_provider(self) -> OidcProvider:
        config = self._config()
        if config is None:
            raise OidcError(OidcFailure.STALE, "`web.oidc` is not configured any more")
        with self._lock:
            if self._provider is None or self._provider.config != config:
                self._provider = OidcProvider(config, self._clock)
            return self._provider

    def _use(self, nonce: str) -> None:
        """What was proven once opens nothing a second time, whatever the provider thinks of it."""
        now = self._clock.monotonic()
        with self._lock:
            if now - self._used.get(nonce, float("-inf")) < 2 * BEGUN_S:
                raise OidcError(OidcFailure.STALE, "this sign-in was used before")
            if len(self._used) >= _MOST_USED:
                self._used.clear()
            self._used[nonce] = now


def local_place(wanted: str) -> str:
    """A place in the application, from what an address says; `/` for all else."""
    if len(wanted) > _LONGEST_NEXT or not _LOCAL.fullmatch(wanted) or _OURS.match(wanted):
        return "/"
    return wanted


def begun_cookie(peer: Peer, value: str) -> str:
    """The header that a browser keeps what it began by; with an empty value, that ends it."""
    lasts = round(BEGUN_S) if value else 0
    secure = "; Secure" if peer.is_encrypted else ""
    name = begun_cookie_name(peer)
    return f"{name}={value}; Path=/; Max-Age={lasts}; HttpOnly; SameSite=Lax{secure}"


def begun_cookie_name(peer: Peer) -> str:
    """The name of that cookie on a connection."""
    return "__Host-moonwatch-begun" if peer.is_encrypted else "moonwatch-begun"


def place_of(cookie: str | None) -> str:
    """Where somebody wanted to go who began with this cookie; `/` where that cannot be read."""
    place = (cookie or "").partition(".")[2]
    try:
        padded = place + "=" * (-len(place) % 4)
        return local_place(base64.b64decode(padded, altchars=b"-_", validate=True).decode())
    except ValueError:
        return "/"


def _made_of(secret: str, purpose: str) -> str:
    """A text of 256 bits that does not tell the secret, nor what is made for another purpose."""
    made = hmac.new(secret.encode(), purpose.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _with_query(address: str, more: Mapping[str, str]) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode(more)}"
