"""The frame around every request: its id, its key, its body within bounds, its end in the metrics.

Whoever has no key is refused before a byte of what they send is kept; and a body is read here as a
whole, with a limit and a deadline, before anything looks into it.
"""

import asyncio
import logging
import re
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.core.accounts import KeyScope
from pipeline.inference.callers import OverloadedError
from pipeline.server.errors import ApiError, overloaded
from pipeline.server.state import ServerState

logger = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/health", "/healthz", "/readyz"})
"""What is answered without a key."""
SCOPES = {"/metrics": KeyScope.METRICS}
"""Paths that want another scope than to ask the model."""
# Bodies of all requests together, as many times the limit of one. Each is in memory four times
# while it is understood: as it came, as text, as the bytes of a picture, as pixels.
BODIES_AT_ONCE = 4
BODIES_OF_A_KEY = 3
"""Of these, one key's: whoever sends slowly leaves room for the others."""
# What a refused client goes on sending is read so long, so that it gets to read why.
_DISCARD_S = 5.0
_RETRY_S = 2.0
_SMALL_BYTES = 1_000_000
_BEFORE_BODY = frozenset({401, 403, 429, 503})
"""Refusals that were made before any of the body was read."""
_OWN_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class RequestFrame:
    """Middleware around all routes."""

    def __init__(self, app: ASGIApp, state: ServerState) -> None:
        self._app = app
        self._state = state
        self._limit = state.settings.body_limit
        self._held_by: Counter[str] = Counter()
        """Bytes of bodies, by the name of the key."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        request = Request(scope)
        asked = request.headers.get("x-request-id", "")
        own_id = asked if _OWN_ID.fullmatch(asked) else f"req_{uuid.uuid4().hex}"
        scope.setdefault("state", {})["request_id"] = own_id
        status = 0

        async def framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                names = {name.lower() for name, _ in message["headers"]}
                took_ms = int((time.monotonic() - began) * 1000)
                headers = [(b"x-request-id", own_id.encode())]
                if b"openai-processing-ms" not in names:
                    headers.append((b"openai-processing-ms", b"%d" % took_ms))
                if self._state.work.is_ending and b"connection" not in names:
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": [*message["headers"], *headers]}
            await send(message)

        name, held = "", 0
        try:
            with self._state.work:
                try:
                    name = self._let_in(request) or ""
                    held = self._reserve(request, name)
                    body = await self._body(request, receive)
                    self._give_back(name, held - len(body))
                    held = len(body)
                except ApiError as error:
                    await self._refuse(error, scope, receive, framed)
                    return
                await self._app(scope, _Replay(body, receive), framed)
        finally:
            self._give_back(name, held)
            route = getattr(scope.get("route"), "path", "other")
            self._state.metrics.server_responses.labels(route, str(status or 499)).inc()

    def _let_in(self, request: Request) -> str | None:
        """Return whose key it is, None where none is needed; raises ApiError for whoever may not
        ask, or cannot be answered now.

        While the line is full nothing is read of what they send: it costs the others time.
        """
        path = request.url.path
        # Of strangers no body is read, whatever the path: a few large ones would fill the room.
        if path in OPEN_PATHS and request.method not in _BODY_METHODS:
            return None
        if request.method == "OPTIONS":
            return None
        if self._state.work.is_ending:
            raise ApiError(
                503,
                "the server is being stopped",
                "server_error",
                code="stopping",
                retry_after_s=_RETRY_S,
                should_retry=True,
            )
        key = self._state.gate.identify(
            request.headers.get("authorization"),
            request.headers.get("x-moondream-auth"),
            client_host=request.client.host if request.client else "",
            scope=SCOPES.get(path, KeyScope.SERVE),
        )
        if request.method == "POST" and self._state.callers.ready is None:
            try:
                with self._state.callers.reserve(key.name):
                    pass
            except OverloadedError as error:
                self._state.metrics.server_overloads.inc()
                raise overloaded(error.retry_after_s) from None
        return key.name

    def _reserve(self, request: Request, name: str) -> int:
        """Make sure that a body fits, before it is read; return its bytes. Raises ApiError."""
        if request.method not in _BODY_METHODS:
            return 0
        # A length that is said beside chunks is not theirs.
        said = _body_size(request.scope["headers"])
        if said is not None and said > self._limit:
            raise self._too_large()
        size = self._limit if said is None else said
        own = self._held_by[name] + size
        if (
            self._held_by.total() + size > self._limit * BODIES_AT_ONCE
            or own > self._limit * BODIES_OF_A_KEY
        ):
            raise ApiError(
                503,
                "too many large requests are being sent now; try again later",
                "server_error",
                code="overloaded",
                retry_after_s=_RETRY_S,
                should_retry=True,
            )
        self._held_by[name] = own
        return size

    def _give_back(self, name: str, size: int) -> None:
        self._held_by[name] -= size
        if not self._held_by[name]:
            del self._held_by[name]

    async def _body(self, request: Request, receive: Receive) -> bytes:
        """The whole body; raises ApiError where it is too large or too slow."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._state.settings.body_timeout.total_seconds()):
                while request.method in _BODY_METHODS:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ApiError(400, "the request was not sent to its end")
                    body += message.get("body", b"")
                    if len(body) > self._limit:
                        raise self._too_large()
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            allowed_s = self._state.settings.body_timeout.total_seconds()
            raise ApiError(
                408, f"the request did not arrive within {allowed_s:g} s", code="request_timeout"
            ) from None
        return bytes(body)

    def _too_large(self) -> ApiError:
        return ApiError(
            413,
            f"the request is larger than this server takes, {self._limit:,} bytes; send a smaller "
            "picture",
            code="request_too_large",
            should_retry=False,
        )

    async def _refuse(self, error: ApiError, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer before the body was read, and let it run out.

        After a small one the connection can go on; in all other cases it is closed.
        """
        response = error.response()
        size = _body_size(scope["headers"]) if scope["method"] in _BODY_METHODS else 0
        is_whole = size == 0
        if size is not None and 0 < size <= _SMALL_BYTES and error.status in _BEFORE_BODY:
            is_whole = await self._discard(receive, size)
        if is_whole and not self._state.work.is_ending:
            await response(scope, receive, send)
            return
        response.headers["connection"] = "close"
        await send(
            {
                "type": "http.response.start",
                "status": response.status_code,
                "headers": response.raw_headers,
            }
        )
        await send({"type": "http.response.body", "body": response.body, "more_body": True})
        if not is_whole:
            await self._discard(receive, 2 * self._limit)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    @staticmethod
    async def _discard(receive: Receive, most: int) -> bool:
        """Read what a client goes on sending; whether it came to its end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_DISCARD_S):
                while most >= 0:
                    message = await receive()
                    most -= len(message.get("body", b""))
                    if message["type"] == "http.disconnect":
                        return False
                    if not message.get("more_body"):
                        return True
        return False


class _Replay:
    """Gives the routes a body that was read before, and then what the client does."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        """The body as one message; later the end of the connection."""
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        return await self._receive()


def _body_size(headers: Sequence[tuple[bytes, bytes]]) -> int | None:
    """How many bytes follow; None where that is not said."""
    given = dict(headers)
    if b"transfer-encoding" in given:
        return None
    said = given.get(b"content-length", b"0")
    return int(said) if said.isdigit() else None
