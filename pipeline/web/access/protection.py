"""What holds for every request, before any route sees it.

A browser sends along what it knows of its user with requests that other pages make it send. So
whatever changes something has to come from our own pages: with a header that other pages cannot
set, and from no other origin. A program with a token sends nothing by itself, and needs neither.
"""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from fastapi.exceptions import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.web.access.peer import Peer, peer_of
from pipeline.web.config import WebConfig, is_this_machine_alone
from pipeline.web.problems import answer_of

OUR_HEADER = "x-moonwatch"
LONGEST_BODY = 2 * 1024 * 1024
"""Bytes of a request; no route takes more."""
LONGEST_ADDRESS = 8192
BODY_S = 30.0
"""How long a client may take to send a request."""
SHARED = "/shared/"
"""How the addresses begin that hold a secret, of pictures and clips that somebody shares."""
_OF_SHARED = {
    "Cache-Control": "private, no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
}
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SAME = frozenset({"same-origin", "none"})
_HSTS = "max-age=31536000"
_FEATURES = "camera=(), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=()"


class Protection:
    """Wraps the application; see the module."""

    def __init__(
        self,
        app: ASGIApp,
        config: Callable[[], WebConfig],
        wants_local_names: Callable[[], Awaitable[bool]],
        api: str,
    ) -> None:
        """With `wants_local_names` it answers only to names of this machine, so that a page
        elsewhere cannot have a name of its own lead here.
        """
        self._app, self._config, self._api = app, config, api
        self._wants_local_names = wants_local_names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request or a WebSocket on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        config = self._config()
        connection = HTTPConnection(scope)
        peer = peer_of(connection, config)
        is_api = scope["path"].startswith(self._api)
        headers = _headers_for(config, peer)
        if scope["path"].startswith(SHARED):
            headers |= _OF_SHARED
        guarded = _WithHeaders(send, headers, is_api=is_api)
        refused = await self._refusal(scope, connection.headers, peer)
        if refused is not None:
            status, why = refused
            await answer_of(status, why)(scope, receive, guarded)
            return
        await self._app(scope, _Limited(receive), guarded)

    async def _refusal(self, scope: Scope, headers: Headers, peer: Peer) -> tuple[int, str] | None:
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > LONGEST_ADDRESS:
            return 414, f"the address has more than {LONGEST_ADDRESS} characters"
        if "\0" in scope["path"]:
            return 404, "there is nothing by this name: it has a NUL"
        if b"%00" in scope["query_string"] or b"\0" in scope["query_string"]:
            return 422, "the address asks for a text with NUL, which nothing has"
        host = _host_of(peer.host)
        if host is None:
            return 400, "the header Host is missing or is no name"
        if not is_this_machine_alone(_name_of(host)) and await self._wants_local_names():
            return 421, (
                f"this answers to names of this machine alone, and not to {_name_of(host)!r}: "
                "open http://127.0.0.1 with the port, or make a user first"
            )
        length = headers.get("content-length", "0")
        if length.isdecimal() and len(length) < 16 and int(length) > LONGEST_BODY:
            return 413, _TOO_LONG
        is_socket = scope["type"] == "websocket"
        if not is_socket and scope["method"] in _SAFE:
            return None
        if headers.get("authorization", "").lower().startswith("bearer "):
            return None
        return _of_another_page(headers, peer, is_socket=is_socket)


_TOO_LONG = f"the request has more than {LONGEST_BODY // 1024} KiB"


def _of_another_page(headers: Headers, peer: Peer, *, is_socket: bool) -> tuple[int, str] | None:
    origin = headers.get("origin")
    if is_socket:
        if origin is None or not _is_same(origin, peer):
            return 403, "a WebSocket has to be opened by a page of this very server"
        return None
    if headers.get(OUR_HEADER) != "1":
        return 403, "this needs the header `X-Moonwatch: 1`, which only pages of this server send"
    if origin is not None and not _is_same(origin, peer):
        return 403, "this was sent by a page of another server"
    if headers.get("sec-fetch-site", "same-origin") not in _SAME:
        return 403, "this was sent by a page of another server"
    return None


def _is_same(origin: str, peer: Peer) -> bool:
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return False
    usual = 443 if parts.scheme == "https" else 80
    there = parts.hostname if ":" not in parts.hostname else f"[{parts.hostname}]"
    named = _host_of(peer.host)
    if named is None:
        return False
    # A proxy that ends https may say nothing of it: the port is compared as far as it is told.
    return named in (f"{there}:{port or usual}", there if port in (None, usual) else "")


def _host_of(text: str) -> str | None:
    """The host in small letters, with its port if there is one; None for what is no host."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or parts.path or parts.query or parts.fragment or "@" in text:
        return None
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


def _name_of(host: str) -> str:
    return urlsplit(f"//{host}").hostname or ""


def _headers_for(config: WebConfig, peer: Peer) -> dict[str, str]:
    frames = " ".join(config.frame_ancestors) or "'none'"
    policy = (
        "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; "
        f"frame-ancestors {frames}"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Permissions-Policy": _FEATURES,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if not config.frame_ancestors:
        headers["X-Frame-Options"] = "DENY"
    if peer.is_encrypted:
        headers["Strict-Transport-Security"] = _HSTS
    return headers


class _WithHeaders:
    """Adds headers to whatever is answered."""

    def __init__(self, send: Send, headers: dict[str, str], *, is_api: bool) -> None:
        self._send, self._headers, self._is_api = send, headers, is_api

    async def __call__(self, message: Message) -> None:
        """Pass a message on."""
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            message.setdefault("headers", [])
            headers = MutableHeaders(scope=message)
            for name, value in self._headers.items():
                headers[name] = value
            if self._is_api and not _is_private(headers.get("cache-control", "")):
                headers["Cache-Control"] = "private, no-store"
        await self._send(message)


def _is_private(said: str) -> bool:
    words = {word.strip().lower() for word in said.split(",")}
    return "private" in words or "no-store" in words


class _Limited:
    """Reads a request, up to the limit and within its time."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self._read, self._is_read = receive, 0, False
        self._until = asyncio.get_running_loop().time() + BODY_S

    async def __call__(self) -> Message:
        """The next message; raises HTTPException."""
        # After the body only the end of the connection is waited for.
        try:
            async with asyncio.timeout_at(None if self._is_read else self._until):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, f"the request did not come within {BODY_S:g} s") from None
        if not message.get("more_body", False):
            self._is_read = True
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            if self._read > LONGEST_BODY:
                raise HTTPException(413, _TOO_LONG)
        return message
