"""A provider of OpenID Connect, asked over the network: within deadlines, and never for much."""

import asyncio
import base64
import json
import logging
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import certifi
import httpx

from pipeline.core.clock import Clock
from pipeline.web.access.oidc_claims import OidcError, OidcFailure, keys_for
from pipeline.web.config import WebOidcConfig, guarded_address

logger = logging.getLogger(__name__)

ANSWER_S: Final = 8.0
"""How long the provider has for an answer as a whole."""
LONGEST_ANSWER: Final = 1_000_000
"""Bytes of an answer."""
_AT_ONCE = 4
_WAITING = 8
# Whoever waits holds one of the threads that answer everybody.
_WAIT_S = 2.0
_KNOWN_S = 3600.0
# After a failure, and after keys were asked for because of an unknown one: strangers must not be
# able to have the provider asked each time.
_PAUSE_S = 15.0
_MOST_KEYS = 100
_LONGEST_REASON = 200


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OidcEndpoints:
    """Where a provider answers what."""

    authorization: str
    token: str
    keys: str
    end_session: str | None
    takes_basic: bool
    """Whether the application proves itself in a header; else in the request."""
    names_itself: bool
    """Whether each answer by way of the browser says which provider it is from."""


class OidcProvider:
    """What is known of a provider, and the questions to it; usable from any thread."""

    def __init__(self, config: WebOidcConfig, clock: Clock, answer_s: float = ANSWER_S) -> None:
        self.config = config
        self._clock, self._answer_s = clock, answer_s
        self._lock = threading.Lock()
        self._waiting = threading.BoundedSemaphore(_WAITING)
        self._asking = threading.BoundedSemaphore(_AT_ONCE)
        self._context: ssl.SSLContext | None = None
        self._endpoints: _LastAnswer[OidcEndpoints] = _LastAnswer()
        self._keys: _LastAnswer[list[dict[str, Any]]] = _LastAnswer()

    def endpoints(self) -> OidcEndpoints:
        """Where it answers what; raises OidcError."""
        with self._one_at_a_time():
            return self._endpoints.get(self._clock.monotonic, self._read_endpoints)

    def keys(self, algorithm: str, key_id: str | None) -> list[Mapping[str, Any]]:
        """Those of its keys that may have signed a token; asked for anew if there is none.

        Raises OidcError.
        """
        endpoints = self.endpoints()
        with self._one_at_a_time():
            now = self._clock.monotonic

            def read() -> list[dict[str, Any]]:
                return self._read_keys(endpoints.keys)

            found = keys_for(self._keys.get(now, read), algorithm, key_id)
            if not found and self._keys.is_older_than(_PAUSE_S, now):
                logger.info("the provider's keys are read again: one is unknown")
                self._keys.forget()
                found = keys_for(self._keys.get(now, read), algorithm, key_id)
            return found

    def id_token(self, code: str, verifier: str) -> str:
        """What the provider gives for a code; raises OidcError."""
        endpoints = self.endpoints()
        config = self.config
        secret = config.client_secret.reveal()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": config.back,
            "code_verifier": verifier,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if endpoints.takes_basic:
            login = f"{quote(config.client_id, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        else:
            form |= {"client_id": config.client_id, "client_secret": secret}
        status, said = self._ask("POST", endpoints.token, headers, urlencode(form).encode())
        if status in (400, 401, 403):
            reason = _reason(said.get("error"))
            failure = OidcFailure.REFUSED if reason == "invalid_grant" else OidcFailure.UNPROVEN
            raise OidcError(failure, f"the provider gives nothing for the code: {reason}")
        token = said.get("id_token")
        if status != 200 or not isinstance(token, str):
            raise _away(endpoints.token, f"gives no ID token (status {status})")
        return token

    def _read_endpoints(self) -> OidcEndpoints:
        url = f"{self.config.issuer.rstrip('/')}/.well-known/openid-configuration"
        status, said = self._ask("GET", url)
        if status != 200:
            raise _away(url, f"answers with status {status}")
        if said.get("issuer") != self.config.issuer:
            issuer = _reason(said.get("issuer"))
            raise _away(url, f"is of {issuer}; write that as `web.oidc.issuer` if it is right")
        methods = said.get("token_endpoint_auth_methods_supported")
        basic = not isinstance(methods, list) or "client_secret_basic" in methods
        end = said.get("end_session_endpoint")
        return OidcEndpoints(
            authorization=self._address(url, said, "authorization_endpoint"),
            token=self._address(url, said, "token_endpoint"),
            keys=self._address(url, said, "jwks_uri"),
            end_session=None if end is None else self._address(url, said, "end_session_endpoint"),
            takes_basic=basic,
            names_itself=said.get("authorization_response_iss_parameter_supported") is True,
        )

    def _address(self, url: str, said: Mapping[str, Any], name: str) -> str:
        found = said.get(name)
        if not isinstance(found, str):
            raise _away(url, f"does not name its {name}")
        try:
            guarded_address(found.partition("?")[0])
            is_http = urlsplit(found).scheme == "http"
        except ValueError as error:
            raise _away(url, f"names a {name} that is not used: {error}") from None
        if is_http and urlsplit(self.config.issuer).scheme != "http":
            raise _away(url, f"names a {name} without https")
        return found

    def _read_keys(self, url: str) -> list[dict[str, Any]]:
        status, said = self._ask("GET", url)
        keys = said.get("keys")
        if status != 200 or not isinstance(keys, list):
            raise _away(url, f"gives no keys (status {status})")
        return [key for key in keys[:_MOST_KEYS] if isinstance(key, dict)]

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """What is known is read by one, and the others wait for it, but not for ever."""
        if not self._waiting.acquire(timeout=_WAIT_S):
            raise OidcError(OidcFailure.BUSY, "too many wait for what the provider says of itself")
        try:
            if not self._lock.acquire(timeout=2 * self._answer_s):
                raise OidcError(OidcFailure.BUSY, "the provider takes its time")
            try:
                yield
            finally:
                self._lock.release()
        finally:
            self._waiting.release()

    def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """The status and the JSON of an answer; raises OidcError."""
        if not self._asking.acquire(timeout=_WAIT_S):
            raise OidcError(OidcFailure.BUSY, f"more than {_AT_ONCE} ask the provider at once")
        try:
            status, text = asyncio.run(self._in_time(method, url, headers or {}, body))
        except TimeoutError:
            raise _away(url, f"does not answer within {self._answer_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise _away(url, f"cannot be reached: {str(error) or type(error).__name__}") from None
        finally:
            self._asking.release()
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise _away(url, f"answers with what is no JSON (status {status})")
        return status, said

    async def _in_time(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        # The deadline is one of the whole: each of many pieces could come just in time.
        async with (
            asyncio.timeout(self._answer_s),
            httpx.AsyncClient(
                timeout=None, verify=self._tls(), trust_env=False, follow_redirects=False
            ) as client,
        ):
            told = {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
            async with client.stream(method, url, headers=told, content=body) as answer:
                received = b""
                async for piece in answer.aiter_raw():
                    received += piece
                    if len(received) > LONGEST_ANSWER:
                        raise _away(url, f"answers with more than {LONGEST_ANSWER} bytes")
                return answer.status_code, received

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = _context_for(self.config)
        return self._context


def _context_for(config: WebOidcConfig) -> ssl.SSLContext:
    if urlsplit(config.issuer).scheme == "http":  # on this machine, where all else is http too
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.create_default_context(cafile=config.ca)
    if config.ca is None:
        # Lean containers come without authorities of their own.
        context.load_verify_locations(certifi.where())
    return context


class _LastAnswer(Generic[T]):
    """Something that is read now and then; a failure is kept too, for a moment."""

    def __init__(self) -> None:
        self._value: T | None = None
        self._error: OidcError | None = None
        self._at = float("-inf")

    def get(self, now: Callable[[], float], read: Callable[[], T]) -> T:
        """What was read, within its time; else what is read now. Raises OidcError."""
        if self._error is not None and not self.is_older_than(_PAUSE_S, now):
            # Another one each time: an error that is raised again and again grows.
            raise OidcError(self._error.failure, str(self._error))
        if self._value is None or self.is_older_than(_KNOWN_S, now):
            try:
                self._value, self._error = read(), None
            except OidcError as error:
                self._value, self._error = None, error
                raise
            finally:
                self._at = now()
        return self._value

    def is_older_than(self, seconds: float, now: Callable[[], float]) -> bool:
        """Whether it was read longer ago."""
        return now() - self._at >= seconds

    def forget(self) -> None:
        """Have it read again."""
        self._value, self._error = None, None


def _away(url: str, what: str) -> OidcError:
    return OidcError(OidcFailure.AWAY, f"{url.partition('?')[0]} {what}")


def _reason(said: object) -> str:
    """What a provider says, as it may stand in the log."""
    return said[:_LONGEST_REASON] if isinstance(said, str) and said.isprintable() else "no reason"
