"""Events to a web server: CloudEvents 1.0 in HTTP, structured or batched, signed if wanted.

Signed as in "Standard Webhooks" 1.0.0: `webhook-signature: v1,BASE64`, the HMAC-SHA256 under the
shared secret of `webhook-id`, `webhook-timestamp` (Unix seconds) and the body, joined by dots.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from connectors.sinks._base import BaseSinkConfig, report_file
from connectors.sinks._text import json_line
from pipeline.core.address import Address, HookAddress, Secret
from pipeline.core.config import Config, PositiveDuration, all_left_out, parse_duration
from pipeline.core.errors import SinkError
from pipeline.core.events import REPORT, Event, JsonValue, to_cloudevent
from pipeline.core.machine import Lack, unreadable_file
from pipeline.core.sinks import SinkContext

if TYPE_CHECKING:
    import asyncio
    import ssl

    import httpx

# What these answers mean will pass: too slow, too early, too many. All 5xx are of that kind too.
_PASSING = frozenset((408, 425, 429))
_AT_ONCE = 100
_SIGNED_SECRET = "whsec_"
# Of the server's answer only the status counts; its words are read no further, and no longer, than
# this, so that the connection can be used again. Whatever is wrong with them, the event is there.
_ANSWER_BYTES = 65536
_ANSWER_S = 1.0


class TlsConfig(Config):
    """How the server proves who it is, and we to it."""

    verify: bool = True
    """`false` trusts any server, which makes https no safer than http."""
    ca: Path | None = None
    """PEM file of the authorities to trust instead of the usual ones."""
    certificate: Path | None = None
    """PEM file of our own certificate."""
    key: Path | None = None
    """PEM file of its key, if that is a separate file."""


class WebhookConfig(BaseSinkConfig):
    """POST events to a URL."""

    type: Literal["webhook"] = "webhook"
    url: HookAddress
    """`https://...`; never shown in full, as many such addresses are themselves the password."""
    timeout: PositiveDuration = Field(default_factory=lambda: parse_duration("10s"))
    """How long one request may take as a whole, from looking up the name to the answer."""
    batch: bool = False
    """Whether up to 100 events are sent together, as `application/cloudevents-batch+json`."""
    secret: Secret | None = None
    """Signs each request; `whsec_` and base64, or any other text. `secret_file` names a file."""
    headers: dict[str, Secret] = Field(default_factory=dict)
    """More headers, such as `Authorization: Bearer ...`."""
    proxy: Address | None = None
    """URL of a proxy; the environment's are not used."""
    tls: TlsConfig = Field(default_factory=all_left_out, validate_default=True)

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: HookAddress) -> HookAddress:
        try:
            parts = urlsplit(url.reveal())
            valid = parts.scheme in ("http", "https") and bool(parts.hostname)
            valid = valid and (parts.port or 1) > 0 and _is_host(parts.hostname or "")
        except ValueError:
            valid = False
        if not valid:
            raise ValueError(
                "a webhook's url begins with https or http, and has a host and no spaces"
            )
        if re.search(r"\s", url.reveal()):
            raise ValueError("has a space, which no address can have; write it as %20")
        return url

    @field_validator("secret")
    @classmethod
    def _is_key(cls, secret: Secret | None) -> Secret | None:
        if secret is not None:
            _signing_key(secret.reveal())
        return secret

    @field_validator("headers")
    @classmethod
    def _can_be_sent(cls, headers: dict[str, Secret]) -> dict[str, Secret]:
        for name, value in headers.items():
            if not all(text.isascii() and text.isprintable() for text in (name, value.reveal())):
                raise ValueError(
                    f"the header {name!r} has a character that HTTP cannot carry, such as an "
                    "umlaut or a line's end; only printable ASCII can be sent"
                )
        return headers

    @property
    def at_once(self) -> int:
        """How many events one request carries, at most."""
        return _AT_ONCE if self.batch else 1

    def lacks(self) -> Iterator[Lack]:
        """Whether the files of `tls` can be read here."""
        for name in ("ca", "certificate", "key"):
            yield from unreadable_file(f"tls.{name}", getattr(self.tls, name))

    def build(self, context: SinkContext) -> "WebhookSink":
        """A sink that connects when the first event comes; raises SinkError for unusable files."""
        return WebhookSink(self, context)


def _is_host(name: str) -> bool:
    """Whether a name can be looked up, or is an address of the internet protocol."""
    labels = name.rstrip(".").split(".")
    if ":" in name:  # IPv6, which urlsplit has checked
        return True
    return len(name) <= 253 and all(
        0 < len(label) <= 63 and not re.search(r"[\s<>\"'{}|\\^`%,;()*&$!~+=]", label)
        for label in labels
    )


@dataclass(frozen=True, slots=True)
class _Request:
    id: str
    content_type: str
    body: bytes


class WebhookSink:
    """One request at a time, on a connection that is kept. At least once, with the same id."""

    def __init__(self, config: WebhookConfig, context: SinkContext) -> None:
        self._config = config
        self._context, self._read = context, context.read
        self._clock = context.clock
        self._place = config.url.shown()
        self._tls = self._read_tls()
        # asyncio is what can end a request as a whole at its deadline, whatever it is doing.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: httpx.AsyncClient | None = None

    def send(self, events: Sequence[Event]) -> None:
        """POST the events; SinkError when the server does not accept them in time."""
        records = [self._record(event) for event in events]
        if self._config.batch:
            ids = "\n".join(event.record_id for event in events)
            name = hashlib.blake2b(ids.encode(), digest_size=13).hexdigest()
            body = json_line(records)
            self._post(_Request(name, "application/cloudevents-batch+json", body))
            return
        for event, record in zip(events, records, strict=True):
            body = json_line(record)
            self._post(_Request(event.record_id, "application/cloudevents+json", body))

    def _record(self, event: Event) -> dict[str, JsonValue]:
        record = to_cloudevent(event, self._context.site_of(event))
        if event.type == REPORT and isinstance(record["data"], dict):
            # Whoever answers a webhook cannot look into the media folder.
            content = report_file(event, self._read)
            record["data"]["content_base64"] = base64.b64encode(content).decode()
        return record

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        loop, self._loop = self._loop, None
        client, self._client = self._client, None
        if loop is not None:
            if client is not None:
                loop.run_until_complete(client.aclose())
            loop.run_until_complete(loop.shutdown_asyncgens())  # of answers not read to their end
            loop.close()

    def _post(self, request: _Request) -> None:
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        status, headers = self._loop.run_until_complete(self._answer_to(request))
        if 200 <= status < 300:
            return
        asked_s = _retry_after_s(headers.get("retry-after"), self._clock.now())
        raise SinkError(
            f"{self._place} answers {_meaning(status)}",
            retryable=status in _PASSING or status >= 500,
            retry_after_s=asked_s,
        )

    async def _answer_to(self, request: _Request) -> tuple[int, Mapping[str, str]]:
        import asyncio

        import httpx

        timeout_s = self._config.timeout.total_seconds()
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(request)
        except TimeoutError:
            reason = f"does not answer within {timeout_s:g} s"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason = _cause(error)
        raise SinkError(f"{self._place} {reason}")

    async def _exchange(self, request: _Request) -> tuple[int, Mapping[str, str]]:
        import asyncio

        import httpx

        if self._client is None:
            proxy = self._config.proxy
            self._client = httpx.AsyncClient(
                timeout=None,  # the deadline of the whole request covers every part of it
                verify=self._tls,
                proxy=proxy.reveal() if proxy else None,
                trust_env=False,
                follow_redirects=False,
            )
        url = self._config.url.reveal()
        headers = self._headers(request)
        async with self._client.stream(
            "POST", url, content=request.body, headers=headers
        ) as answer:
            received = 0
            with suppress(httpx.HTTPError, TimeoutError):
                async with asyncio.timeout(_ANSWER_S):
                    async for piece in answer.aiter_raw():
                        received += len(piece)
                        if received > _ANSWER_BYTES:
                            break
            return answer.status_code, answer.headers

    def _headers(self, request: _Request) -> dict[str, str]:
        headers = {"user-agent": "moonwatch"}
        headers |= {name: value.reveal() for name, value in self._config.headers.items()}
        moment = str(int(self._clock.now()))
        headers |= {
            "content-type": request.content_type,
            "webhook-id": request.id,
            "webhook-timestamp": moment,
        }
        if self._config.secret is not None:
            key = _signing_key(self._config.secret.reveal())
            headers["webhook-signature"] = sign(key, request.id, moment, request.body)
        return headers

    def _read_tls(self) -> "ssl.SSLContext":
        import ssl

        import certifi

        tls = self._config.tls
        try:
            context = ssl.create_default_context(cafile=tls.ca)
            if tls.ca is None:
                # Lean containers come without authorities of their own.
                context.load_verify_locations(certifi.where())
            if tls.certificate is not None:
                context.load_cert_chain(tls.certificate, tls.key)
        except OSError as error:
            files = ", ".join(str(file) for file in (tls.ca, tls.certificate, tls.key) if file)
            raise SinkError(
                f"{self._place}: the files of tls ({files}) cannot be used: {error.strerror}",
                retryable=False,
            ) from error
        if not tls.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def sign(key: bytes, request_id: str, moment: str, body: bytes) -> str:
    """The `webhook-signature` header of a request."""
    signed = b".".join((request_id.encode(), moment.encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def _signing_key(secret: str) -> bytes:
    if not secret:
        raise ValueError("the secret is empty")
    if not secret.startswith(_SIGNED_SECRET):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_SIGNED_SECRET), validate=True)
    except binascii.Error:
        raise ValueError("what follows whsec_ in the secret is not valid base64") from None


def _meaning(status: int) -> str:
    if 300 <= status < 400:
        return f"{status}, a redirect, which is not followed; write the final address into url"
    if status in (401, 403):
        return f"{status}; check its url, headers and secret"
    return f"{status}; its own log may tell why"


def _cause(error: Exception) -> str:
    """Why there was no answer, without the words of the library: they may quote the address."""
    import ssl

    seen: BaseException | None = error
    while seen is not None:
        match seen:
            case ssl.SSLCertVerificationError():
                return f"has a certificate that is not trusted: {seen.verify_message}"
            case ConnectionResetError() | ConnectionAbortedError() | BrokenPipeError():
                return f"broke the connection off ({type(seen).__name__})"
            case OSError() if seen.strerror:
                return f"cannot be reached: {seen.strerror}"
        seen = seen.__cause__ or seen.__context__
    return f"broke the connection off ({type(error).__name__})"


def _retry_after_s(value: str | None, now: float) -> float | None:
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None
