"""Events to NATS JetStream, each once: the server knows what comes again by its message id."""

import asyncio
import re
import ssl
import threading
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as OutOfTime
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from connectors.sinks._base import BaseSinkConfig, Listed
from connectors.sinks._text import json_line
from pipeline.core.address import Address, Secret
from pipeline.core.config import PositiveDuration, parse_duration
from pipeline.core.errors import SinkError
from pipeline.core.events import Event, to_cloudevent
from pipeline.core.machine import Lack, missing_libraries, unreadable_file
from pipeline.core.sinks import SinkContext

if TYPE_CHECKING:
    from nats.aio.client import Client

T = TypeVar("T")
_AT_ONCE = 100
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SUBJECT = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
# Longer than the longest pause between two attempts: what comes again is still known then.
_KNOWN_FOR_S = 3600.0
_LATE_S = 2.0


class NatsConfig(BaseSinkConfig):
    """Publish events to a stream of NATS JetStream."""

    type: Literal["nats"] = "nats"
    url: Annotated[tuple[Address, ...], Listed] = Field(min_length=1)
    """`nats://HOST:4222`, or `tls://HOST:4222`; a list where several servers are a cluster."""
    subject: str = "moonwatch"
    """What subjects begin with: `SUBJECT.CAMERA.RULE`."""
    stream: str | None = None
    """The stream, which is made for `SUBJECT.>` where it is missing; unless given, one that takes
    these subjects must be there."""
    username: str | None = None
    """Name to log in with."""
    password: Secret | None = None
    """Its password; `password_file` names a file."""
    token: Secret | None = None
    """A token to log in with, in place of a name."""
    credentials: Path | None = None
    """A `.creds` file to log in with."""
    ca: Path | None = None
    """PEM file of the authorities to trust instead of the usual ones."""
    timeout: PositiveDuration = Field(default_factory=lambda: parse_duration("10s"))
    """How long connecting, and taking a load of events, may take."""

    @field_validator("url")
    @classmethod
    def _are_addresses(cls, urls: tuple[Address, ...]) -> tuple[Address, ...]:
        for url in urls:
            parts = urlsplit(url.reveal())
            if parts.scheme not in ("nats", "tls") or not parts.hostname:
                raise ValueError("an address of NATS is nats://HOST:4222 or tls://HOST:4222")
        return urls

    @field_validator("subject")
    @classmethod
    def _is_subject(cls, subject: str) -> str:
        if not _SUBJECT.fullmatch(subject):
            raise ValueError(f"{subject[:60]!r} is not a subject; write it like shop12.events")
        return subject

    @field_validator("stream")
    @classmethod
    def _is_name(cls, stream: str | None) -> str | None:
        if stream is not None and not _NAME.fullmatch(stream):
            raise ValueError(f"{stream[:60]!r} is not a stream; write letters, digits, _ and -")
        return stream

    @model_validator(mode="after")
    def _one_login(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("`username` and `password` (or `password_file`) belong together")
        if sum(one is not None for one in (self.username, self.token, self.credentials)) > 1:
            raise ValueError("log in with `username`, `token` or `credentials`, not with several")
        return self

    @property
    def at_once(self) -> int:
        """How many events are published together, at most."""
        return _AT_ONCE

    def lacks(self) -> Iterator[Lack]:
        """Whether the library is installed, and the files can be read here."""
        yield from missing_libraries("sinks of type nats", ["nats"], "nats")
        for name in ("ca", "credentials"):
            yield from unreadable_file(name, getattr(self, name))

    def build(self, context: SinkContext) -> "NatsSink":
        """A sink that connects when the first event comes."""
        return NatsSink(self, context)

    def probe(self, context: SinkContext) -> str:
        """Connect, log in, and look for the stream. Raises SinkError."""
        sink = self.build(context)
        try:
            return sink.probe()
        finally:
            sink.close()


class NatsSink:
    """One connection, which a thread of its own keeps. Exactly once within the stream's window."""

    def __init__(self, config: NatsConfig, context: SinkContext) -> None:
        self._config, self._context = config, context
        self._place = "nats at " + ",".join(url.shown() for url in config.url)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread
        self._client: Client | None = None
        self._said: Exception | None = None

    def send(self, events: Sequence[Event]) -> None:
        """Publish them and wait until the stream has each; SinkError where it has not, in time."""
        if events:
            self._run(self._publish(events), 2 * self._config.timeout.total_seconds())

    def probe(self) -> str:
        """Connect, and look for a stream; nothing is made. What was found. Raises SinkError."""
        return self._run(self._look(), 2 * self._config.timeout.total_seconds())

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        loop, self._loop = self._loop, None
        if loop is not None:
            with suppress(SinkError):
                self._wait(asyncio.run_coroutine_threadsafe(self._leave(), loop), _LATE_S)
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join(_LATE_S)

    def _run(self, work: Coroutine[Any, Any, T], within_s: float) -> T:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            # It answers the server's pings also while no event comes.
            self._thread = threading.Thread(
                target=_serve, args=(self._loop,), name=f"nats-{self._context.name}", daemon=True
            )
            self._thread.start()
        return self._wait(asyncio.run_coroutine_threadsafe(work, self._loop), within_s + _LATE_S)

    def _wait(self, future: "Future[T]", within_s: float) -> T:
        try:
            return future.result(within_s)
        except OutOfTime:
            future.cancel()
            raise SinkError(f"{self._place} does not answer in time") from None

    async def _publish(self, events: Sequence[Event]) -> None:
        timeout_s = self._config.timeout.total_seconds()
        try:
            async with asyncio.timeout(2 * timeout_s):
                client = await self._connected()
                stream = client.jetstream(timeout=timeout_s)
                await asyncio.gather(*(self._put(stream, event) for event in events))
        except Exception as error:  # noqa: BLE001 - of many kinds; each is the attempt's
            await self._leave()
            raise self._error(error) from None

    async def _put(self, stream: Any, event: Event) -> None:
        record = to_cloudevent(event, self._context.site_of(event))
        headers = {
            "Nats-Msg-Id": event.record_id,
            "content-type": "application/cloudevents+json",
        }
        subject = ".".join(map(_token, (event.camera, event.rule)))
        body = json_line(record)[:-1]
        await stream.publish(f"{self._config.subject}.{subject}", body, headers=headers)

    async def _look(self) -> str:
        from nats.js.errors import NotFoundError

        config, timeout_s = self._config, self._config.timeout.total_seconds()
        try:
            async with asyncio.timeout(2 * timeout_s):
                client = await self._connected(makes_stream=False)
                streams: Any = client.jetstream(timeout=timeout_s)
                try:
                    name = await streams.find_stream_name_by_subject(f"{config.subject}.>")
                except NotFoundError:
                    name = None
        except Exception as error:  # noqa: BLE001 - of many kinds; each is the attempt's
            await self._leave()
            raise self._error(error) from None
        if name is not None:
            return f"answers, and its stream {name} takes {config.subject}.>"
        if config.stream is not None:
            return f"answers; the stream {config.stream} is made with the first event"
        raise SinkError(
            f"{self._place} has no stream that takes {config.subject}.>; give `stream`, or "
            "create one"
        )

    async def _connected(self, *, makes_stream: bool = True) -> "Client":
        from nats.aio.client import Client

        if self._client is not None and self._client.is_connected:
            return self._client
        await self._leave()
        config, self._said = self._config, None
        options: dict[str, Any] = {
            "servers": [url.reveal() for url in config.url],
            "name": f"moonwatch {self._context.name}",
            "connect_timeout": config.timeout.total_seconds(),
            # Trying again is the lane's business.
            "allow_reconnect": False,
            "max_reconnect_attempts": 0,
            "reconnect_time_wait": 0.1,
            "error_cb": self._hear_error,
        }
        if config.username is not None and config.password is not None:
            options |= {"user": config.username, "password": config.password.reveal()}
        if config.token is not None:
            options["token"] = config.token.reveal()
        if config.credentials is not None:
            options["user_credentials"] = str(config.credentials)
        if config.ca is not None or any(url.reveal().startswith("tls:") for url in config.url):
            options["tls"] = ssl.create_default_context(cafile=config.ca)
        self._client = client = Client()
        await client.connect(**options)
        if makes_stream and config.stream is not None:
            await self._make_stream(client, config.stream)
        return client

    async def _make_stream(self, client: "Client", name: str) -> None:
        from nats.js.errors import NotFoundError

        streams: Any = client.jetstream(timeout=self._config.timeout.total_seconds())
        try:
            await streams.stream_info(name)
        except NotFoundError:
            subjects = [f"{self._config.subject}.>"]
            await streams.add_stream(name=name, subjects=subjects, duplicate_window=_KNOWN_FOR_S)

    async def _leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                async with asyncio.timeout(_LATE_S):
                    await client.close()

    async def _hear_error(self, error: Exception) -> None:
        self._said = error

    def _error(self, error: Exception) -> SinkError:
        from nats import errors
        from nats.js import errors as refusals

        heard = f"{self._said} {error}".lower()
        config = self._config
        match error:
            case refusals.NoStreamResponseError() | refusals.ServiceUnavailableError():
                return SinkError(
                    f"{self._place} has no stream that takes {config.subject}.>; give `stream`, or "
                    "create one"
                )
            case errors.MaxPayloadError():
                return SinkError(f"{self._place}: an event is too large for it", retryable=False)
            case refusals.APIError():
                return SinkError(f"{self._place} refused it (error {error.err_code})")
            case _ if "authorization" in heard or "permissions" in heard:
                return SinkError(
                    f"{self._place} does not accept the login, or does not allow it; check "
                    "`username` and `password` (or `token`, or `credentials`), and its rights"
                )
            case ssl.SSLCertVerificationError():
                return SinkError(
                    f"{self._place} has a certificate that is not trusted: {error.verify_message}"
                )
            case errors.NoServersError() | OSError() if not isinstance(error, TimeoutError):
                return SinkError(f"{self._place} cannot be reached")
            case _ if isinstance(self._said, OSError) and not isinstance(self._said, TimeoutError):
                return SinkError(f"{self._place} cannot be reached")
            case errors.TimeoutError() | TimeoutError():
                waited = f"{config.timeout.total_seconds():g} s"
                return SinkError(f"{self._place} does not answer within {waited}")
            case _:
                return SinkError(f"{self._place} did not take it ({type(error).__name__})")


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Run until stopped, and leave nothing behind."""
    try:
        loop.run_forever()
        loop.run_until_complete(_end_all())
    finally:
        loop.close()


async def _end_all() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def _token(name: str) -> str:
    """A part of a subject: no dot, no space, nothing that stands for others."""
    return re.sub(r"[\s.*>]|[^\x21-\x7e]", "_", name) or "_"
