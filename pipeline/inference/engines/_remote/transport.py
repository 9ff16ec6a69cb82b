"""Requests to one server: bounded in time and size, and every failure as a sentence.

Knows HTTP and nothing of questions. No sentence holds the key, or a path of the address.
"""

import asyncio
import json
import os
import socket
import ssl
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

import certifi
import httpx

from pipeline.core.address import without_secrets
from pipeline.core.clock import Clock
from pipeline.core.errors import EngineError
from pipeline.core.ranges import one_line
from pipeline.inference.engines.remote import RemoteConfig

CONNECT_S = 3.0
# Servers close connections that are idle for 5 seconds; a request on one of them would be lost.
_IDLE_S = 4.0
# What a request had less time for than this says nothing of the server.
_SHORT_S = 1.0
# Ten thousand boxes as JSON are about one megabyte.
MOST_BYTES = 4_000_000
# A server's own words, where they may tell why.
_LONGEST_QUOTE = 200
# What these answers mean will pass. All 5xx are of that kind too.
_PASSING = frozenset((408, 409, 425, 429))
# The server will refuse everything: it wants another key, another address, another model, or money.
_SHUT = frozenset((401, 402, 403, 404, 405))
# A 429 with one of these will not pass by waiting.
_SPENT = ("insufficient_quota", "billing")


class Blame(Enum):
    """What a failure says about the next request."""

    NOBODY = "nothing: it was not sent, or had no time"
    REQUEST = "this request alone"
    """The server answers, and may answer another request."""
    SERVER = "the server, for now"
    """It fails, and so may the next request."""
    SHUT = "the server, until somebody changes something"


class RefusedError(Exception):
    """A request without an answer that can be used, and why, in a sentence."""

    def __init__(
        self,
        sentence: str,
        blame: Blame,
        *,
        can_repeat: bool = False,
        after_s: float | None = None,
        status: int | None = None,
        said: str = "",
    ) -> None:
        """`said` are the server's own words in small letters, to find out what it refuses."""
        self.blame = blame
        self.can_repeat = can_repeat
        """Whether the same request may be answered a moment later."""
        self.after_s = after_s
        """How long the server asks to wait."""
        self.status = status
        self.said = said
        super().__init__(sentence)


class Transport:
    """One server; used within one event loop."""

    def __init__(self, config: RemoteConfig, clock: Clock) -> None:
        """Reads the authorities to trust; raises EngineError. Nothing is connected."""
        self._place, self._base = config.place, config.base
        self._clock = clock
        self._timeout_s = config.timeout.total_seconds()
        self._headers = {
            "user-agent": "moonwatch",
            # What is packed could unpack to anything.
            "accept-encoding": "identity",
            "accept": "application/json",
        }
        if config.key is not None:
            self._headers["authorization"] = f"Bearer {config.key.reveal()}"
            if config.api == "moondream":
                self._headers["x-moondream-auth"] = config.key.reveal()
        self._tls = tls_of(config)
        self._proxy = config.proxy.reveal() if config.proxy else None
        self._most = config.concurrency
        self._client: httpx.AsyncClient | None = None

    async def post(
        self, path: str, body: dict[str, Any], within_s: float | None = None
    ) -> dict[str, Any]:
        """The JSON object that the server answers; raises RefusedError.

        It has the time that is set for a request, and no more than `within_s`.
        """
        content = json.dumps(body, separators=(",", ":")).encode()
        return await self._ask("POST", path, content, within_s)

    async def get(self, path: str) -> dict[str, Any]:
        """The JSON object at a path; raises RefusedError."""
        return await self._ask("GET", path, None)

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _ask(
        self, method: str, path: str, content: bytes | None, within_s: float | None = None
    ) -> dict[str, Any]:
        limit_s = self._timeout_s
        if within_s is not None and within_s > 0:  # else whoever asks is about to give it up
            limit_s = min(within_s, limit_s)
        try:
            async with asyncio.timeout(limit_s):
                answer, body = await self._exchange(method, path, content)
        except TimeoutError:
            # It may still be at work on it: asking again would only give it more to do.
            sentence = f"{self._place} did not answer within {limit_s:.3g} s"
            had_time = limit_s >= min(_SHORT_S, self._timeout_s)
            raise RefusedError(sentence, Blame.SERVER if had_time else Blame.NOBODY) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise self._broken(error) from None
        return self._understood(answer, body)

    async def _exchange(
        self, method: str, path: str, content: bytes | None
    ) -> tuple[httpx.Response, bytes]:
        if self._client is None:
            self._client = httpx.AsyncClient(
                # The deadline of the whole request covers every other part of it.
                timeout=httpx.Timeout(None, connect=CONNECT_S),
                limits=httpx.Limits(max_connections=self._most + 1, keepalive_expiry=_IDLE_S),
                verify=self._tls,
                proxy=self._proxy,
                trust_env=False,
                follow_redirects=False,
            )
        headers = self._headers
        if content is not None:
            headers = {**headers, "content-type": "application/json"}
        async with self._client.stream(
            method, f"{self._base}{path}", content=content, headers=headers
        ) as answer:
            coding = answer.headers.get("content-encoding", "identity").strip().lower()
            if coding not in ("", "identity"):
                sentence = f"{self._place} packs its answers ({one_line(coding)[:20]}), unasked"
                raise RefusedError(sentence, Blame.SERVER)
            received = bytearray()
            async for piece in answer.aiter_raw():
                received += piece
                if len(received) > MOST_BYTES:
                    most = f"{MOST_BYTES // 1_000_000} MB"
                    sentence = f"{self._place} answered with more than {most}"
                    raise RefusedError(sentence, Blame.SERVER)
            return answer, bytes(received)

    def _understood(self, answer: httpx.Response, body: bytes) -> dict[str, Any]:
        status = answer.status_code
        try:
            read: Any = json.loads(body)
        except (ValueError, RecursionError):
            read = None
        error = _error_in(read)
        if 200 <= status < 300:
            if not isinstance(read, dict):
                kind = "is no JSON" if read is None else "is no JSON object"
                sentence = f"the answer of {self._place} {kind}; is its address right?"
                raise RefusedError(sentence, Blame.SERVER)
            # Moondream Station says so what went wrong with one request.
            if error:
                sentence = f"{self._place} answers: {self._quoted(error)}"
                raise RefusedError(sentence, Blame.REQUEST, said=error.lower())
            return read
        raise self._refused(status, answer.headers, error)

    def _refused(self, status: int, headers: httpx.Headers, error: str) -> RefusedError:
        why = f": {self._quoted(error)}" if error else ""
        said, place = error.lower(), self._place
        if 300 <= status < 400:
            sentence = f"{place} answers {status}, a redirect, which is not followed; "
            return RefusedError(f"{sentence}write the final address into `url`", Blame.SHUT)
        if status == 429 and any(word in said for word in _SPENT):
            return RefusedError(f"{place} wants to be paid (429{why})", Blame.SHUT, status=status)
        if status in _PASSING or status >= 500:
            after_s = _asked_s(headers, self._clock.now())
            repeat = headers.get("x-should-retry", "").lower() != "false"
            what = "is asked too often" if status == 429 else "cannot answer now"
            sentence = f"{place} {what} ({status}{why})"
            return RefusedError(
                sentence,
                # Who is asked too often is there.
                Blame.REQUEST if status == 429 else Blame.SERVER,
                can_repeat=repeat,
                after_s=after_s,
                status=status,
                said=said,
            )
        if status not in _SHUT:
            sentence = f"{place} refuses the request ({status}{why})"
            return RefusedError(sentence, Blame.REQUEST, status=status, said=said)
        advice = {
            401: "refuses the key; see `key` or `key_file`",
            402: "wants to be paid",
            403: "does not allow it; see what its key may do",
            404: "has no such model or address; see `url` and `model`, or `check --probe`",
            405: "has another interface at this address; see `url` and `api`",
        }[status]
        # What is forbidden may be one picture; with another key, model or address nothing is.
        blame = Blame.SERVER if status == 403 else Blame.SHUT
        return RefusedError(f"{place} {advice} ({status}{why})", blame, status=status, said=said)

    def _broken(self, error: Exception) -> RefusedError:
        """Why there was no answer, without the words of the library: they may quote the address."""
        seen: BaseException | None = error
        while seen is not None:
            match seen:
                case ssl.SSLCertVerificationError():
                    why = f"has a certificate that is not trusted: {seen.verify_message}"
                    return RefusedError(f"{self._place} {why}", Blame.SHUT)
                case ssl.SSLError():
                    why = "does not speak TLS as it should; is it http:// that is meant?"
                    return RefusedError(f"{self._place} {why}", Blame.SERVER)
                case ConnectionResetError() | ConnectionAbortedError() | BrokenPipeError():
                    why = f"broke the connection off ({type(seen).__name__})"
                    return RefusedError(f"{self._place} {why}", Blame.SERVER, can_repeat=True)
                case OSError() if seen.strerror:
                    # Python's own words for a connection quote the address.
                    is_name = isinstance(seen, socket.gaierror)
                    words = seen.strerror if is_name else os.strerror(seen.errno or 0)
                    why = f"cannot be reached: {words}"
                    return RefusedError(f"{self._place} {why}", Blame.SERVER, can_repeat=True)
            seen = seen.__cause__ or seen.__context__
        if isinstance(error, httpx.ConnectTimeout):
            why = f"cannot be reached within {CONNECT_S:g} s"
        elif isinstance(error, httpx.ConnectError):
            why = "cannot be reached"
        else:
            why = f"broke the connection off ({type(error).__name__})"
        return RefusedError(f"{self._place} {why}", Blame.SERVER, can_repeat=True)

    def _quoted(self, text: str) -> str:
        return one_line(without_secrets(text))[:_LONGEST_QUOTE]


def tls_of(config: RemoteConfig) -> ssl.SSLContext:
    """Whom to trust; raises EngineError."""
    try:
        context = ssl.create_default_context(cafile=config.ca)
        if config.ca is None:
            # Lean containers come without authorities of their own.
            context.load_verify_locations(certifi.where())
    except OSError as error:  # what is no PEM file, too
        why = error.strerror or "it holds no certificate"
        raise EngineError(f"the file of `ca`, {config.ca}, cannot be used: {why}") from error
    return context


def _error_in(read: Any) -> str:
    """What an answer says went wrong, with the parameter and code it names; "" for nothing."""
    error = read.get("error") or read.get("detail") if isinstance(read, dict) else None
    if isinstance(error, dict):
        named = [error.get(name) for name in ("message", "param", "code")]
        return "; ".join(str(part) for part in named if part) or "an error"
    return str(error) if error else ""


def _asked_s(headers: httpx.Headers, now: float) -> float | None:
    """How long the server asks to wait."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if value.replace(".", "", 1).isdecimal():
            return float(value[:12]) / unit
    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - now)
    except (KeyError, ValueError, OverflowError):
        return None
