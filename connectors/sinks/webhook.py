"""Events to a web server: CloudEvents 1.0 in HTTP, structured or batched, signed if wanted.

Signed as in "Standard Webhooks" 1.0.0: `webhook-signature: v1,BASE64`, the HMAC-SHA256 under the
shared secret of `webhook-id`, `webhook-timestamp` (Unix seconds) and the body, joined by dots.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from connectors.sinks._base import BaseSinkConfig, Names, report_file
from connectors.sinks._pictures import MediaFile, clip_note, clip_of, picture_note, picture_of
from connectors.sinks._presets import (
    SERVICES,
    HookRequest,
    MediaMode,
    Message,
    Preset,
    PresetOptions,
    Severity,
    as_header,
    form,
    joined,
    wait_asked_for,
)
from connectors.sinks._templates import (
    MOST_BYTES,
    TemplateError,
    TemplateUse,
    TextTemplate,
    clip_reference,
    picture_reference,
    values_of,
)
from connectors.sinks._text import json_line
from connectors.sinks._tls import TlsConfig, tls_context
from pipeline.core.address import Address, HookAddress, Secret
from pipeline.core.config import (
    ByteCount,
    ByteSize,
    Duration,
    PositiveDuration,
    all_left_out,
    parse_duration,
)
from pipeline.core.errors import SinkError
from pipeline.core.events import REPORT, Event, JsonValue, to_cloudevent
from pipeline.core.machine import Lack, unreadable_file
from pipeline.core.sinks import SinkContext

if TYPE_CHECKING:
    import asyncio

    import httpx

# What these answers mean will pass: too slow, too early, too many. All 5xx are of that kind too.
_PASSING = frozenset((408, 425, 429))
_AT_ONCE = 100
# Pictures are held in memory, one request at a time.
_PICTURES_AT_ONCE = 10
_SIGNED_SECRET = "whsec_"
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(\s*;\s*[\w.+-]+=[\w.+\"-]+)*", re.ASCII)
_LONGEST_CLIP_WAIT = timedelta(minutes=1)
# How much of its files a request has: what a server refuses is sent with less, and then without.
_WHOLE, _LIGHT, _BARE = range(3)
_LIGHT_SIDE, _LIGHT_BYTES = 640, 200_000
# What a preset's message says is cut to what its service takes.
_PRESET_BYTES = 64 * 1024
# Of the server's answer only the status counts, and how long a 429 asks to wait; its words are read
# no further, and no longer, than this, so that the connection can be used again. Whatever is wrong
# with them, the event is there.
_ANSWER_BYTES = 65536
_ANSWER_S = 1.0


class WebhookConfig(BaseSinkConfig):
    """POST events to a URL: as CloudEvents, as the file words them, or as a service wants them."""

    type: Literal["webhook"] = "webhook"
    url: HookAddress
    """`https://...`; never shown in full, as many such addresses are themselves the password."""
    preset: Preset | None = None
    """A service that wants messages of its own kind: `slack`, `discord`, `teams`, `ntfy`,
    `telegram`, `pagerduty`, or the shape of `frigate`'s events."""
    title: TextTemplate = TextTemplate(
        "{% if camera %}{{ camera }}: {% endif %}{{ rule }}{% if phase == 'end' %} ended{% endif %}"
    )
    """The headline of a `preset`'s message, a template."""
    text: TextTemplate = TextTemplate("{{ summary }}")
    """What a `preset`'s message says, a template."""
    chat: str | None = None
    """For `preset: telegram`, the id of the chat, or `@name` of a channel."""
    key: Secret | None = None
    """For `preset: pagerduty`, the integration key. `key_file` names a file."""
    severity: Severity = "warning"
    """For `preset: pagerduty`, how bad it is."""
    priority: int | None = Field(None, ge=1, le=5)
    """For `preset: ntfy`, from 1 (lowest) to 5."""
    tags: Names = ()
    """For `preset: ntfy`, tags or names of emojis."""
    body: TextTemplate | None = None
    """A template of the whole body, instead of a CloudEvent."""
    content_type: str | None = None
    """What `body` is, `application/json` unless given: then it has to be JSON."""
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    """How requests are sent; a `preset` knows its own."""
    media: MediaMode | None = None
    """How pictures and clips are sent along: not at all (`none`), as a signed `link` (needs
    `web.public_url`), as `base64` inside the JSON, or as parts of a form (`multipart`). By default
    as the `preset` takes them, and without one not at all."""
    pictures: bool = True
    """Whether pictures are sent along, if anything is."""
    clips: bool = False
    """Whether clips are sent along. A clip is ready only seconds after its event: a link to it
    works once it is, and what is sent itself is left out unless `clip_wait` is long enough."""
    picture_wait: Duration = Field(default_factory=lambda: parse_duration("2s"))
    """How long an event waits for its picture, at most; then it is sent without and says so."""
    clip_wait: Duration = Field(default_factory=lambda: parse_duration("0s"))
    """How long an event waits for its clip, at most a minute; those after it wait as well."""
    max_side: int = Field(1280, ge=64, le=8192)
    """The longer side of a picture in pixels; a larger one is made smaller."""
    max_picture: ByteSize = Field(default_factory=lambda: ByteCount(1_000_000))
    """How large a picture may be; a larger one is made smaller."""
    max_clip: ByteSize = Field(default_factory=lambda: ByteCount(20_000_000))
    """How large a clip may be; a larger one is left out."""
    timeout: PositiveDuration = Field(default_factory=lambda: parse_duration("10s"))
    """How long one request may take as a whole, from looking up the name to the answer."""
    batch: bool = False
    """Whether up to 100 events are sent together, as `application/cloudevents-batch+json`."""
    secret: Secret | None = None
    """Signs each request; `whsec_` and base64, or any other text. `secret_file` names a file."""
    headers: dict[str, Secret] = Field(default_factory=dict)
    """More headers, such as `Authorization: Bearer ...`; templates may be in them."""
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
            text = value.reveal()
            if not all(part.isascii() and part.isprintable() for part in (name, text)):
                raise ValueError(
                    f"the header {name!r} has a character that HTTP cannot carry, such as an "
                    "umlaut or a line's end; only printable ASCII can be sent"
                )
            if TextTemplate.is_one(text):
                try:
                    TextTemplate.checked(text)
                except TemplateError:  # its words may quote the value
                    raise ValueError(
                        f"the header {name!r} has {{{{ or {{% in it, but is no template that can "
                        "be read; what is to be sent as it is stands between {% raw %} and "
                        "{% endraw %}"
                    ) from None
        return headers

    @field_validator("content_type")
    @classmethod
    def _is_media_type(cls, kind: str | None) -> str | None:
        if kind is not None and not _MEDIA_TYPE.fullmatch(kind):
            raise ValueError(f"{kind[:60]!r} is no media type; write it like text/plain")
        return kind

    @field_validator("clip_wait")
    @classmethod
    def _is_bounded(cls, wait: timedelta) -> timedelta:
        if wait > _LONGEST_CLIP_WAIT:
            raise ValueError("is at most 1m: events are sent in order, and those after it wait too")
        return wait

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for fault in (self._fault_of_preset(), self._fault_of_form(), self._fault_of_options()):
            if fault is not None:
                raise ValueError(fault)
        return self

    def _fault_of_preset(self) -> str | None:
        if self.preset is None:
            return None
        service = SERVICES[self.preset]
        if self.body is not None or self.content_type is not None:
            return "a `preset` has a body of its own; word it with `title` and `text`"
        if self.method != "POST":
            return "a `preset` knows its method; leave out `method`"
        if self.batch:
            return "a `preset` sends each event by itself; leave out `batch`"
        if self.media is not None and self.media not in service.media:
            return (
                f"`media: {self.media}` does not go with `preset: {self.preset}`, which "
                f"{service.why}; write {' or '.join(f'`media: {one}`' for one in service.media)}"
            )
        if self.preset == "telegram" and not self.chat:
            return "`preset: telegram` needs `chat`, the id of the chat that gets the messages"
        if self.preset == "pagerduty" and self.key is None:
            return "`preset: pagerduty` needs `key`, the integration key of the service"
        if self.preset == "ntfy" and not urlsplit(self.url.reveal()).path.strip("/"):
            return "`preset: ntfy` needs a topic in `url`; write it like https://ntfy.sh/TOPIC"
        return None

    def _fault_of_form(self) -> str | None:
        if self.batch and self.body is not None:
            return "`batch` sends CloudEvents; leave it out, or leave out `body`"
        if self.batch and self.media == "multipart":
            return "a `batch` is no form; write `media: link` or `media: base64`, or no `batch`"
        if self.batch and self.media == "base64" and self.clips:
            return "clips are too large for a `batch`; write `media: link`, or no `batch`"
        if self.content_type is not None and self.body is None:
            return "`content_type` says what `body` is, and there is no `body`"
        if self.media == "base64" and self.body is not None and not self.body_is_json:
            return "`media: base64` is for bodies in JSON; write `media: multipart`"
        return None

    def _fault_of_options(self) -> str | None:
        owners = {
            "title": self.preset is not None,
            "text": self.preset is not None,
            "chat": self.preset == "telegram",
            "key": self.preset == "pagerduty",
            "severity": self.preset == "pagerduty",
            "priority": self.preset == "ntfy",
            "tags": self.preset == "ntfy",
        }
        wrong = [
            name for name, fits in owners.items() if not fits and name in self.model_fields_set
        ]
        if not wrong:
            return None
        service = {"chat": "telegram", "priority": "ntfy", "tags": "ntfy", "key": "pagerduty"}
        wanted = service.get(wrong[0], "pagerduty" if wrong[0] == "severity" else "...")
        return f"`{wrong[0]}` is for `preset: {wanted}`" + (
            "; without a preset, write `body`" if wanted == "..." else ""
        )

    @property
    def at_once(self) -> int:
        """How many events one request carries, at most."""
        if not self.batch:
            return 1
        return _PICTURES_AT_ONCE if self.media == "base64" else _AT_ONCE

    @property
    def media_mode(self) -> MediaMode:
        """How media are sent along."""
        if self.media is not None:
            return self.media
        return SERVICES[self.preset].media[0] if self.preset is not None else "none"

    @property
    def needs_links(self) -> bool:
        """Whether the file asks for links, so that something has to serve them."""
        return self.media == "link" and (self.pictures or self.clips)

    @property
    def body_is_json(self) -> bool:
        """Whether what `body` gives has to be JSON."""
        kind = (self.content_type or "application/json").partition(";")[0].strip().lower()
        return kind.endswith(("/json", "+json"))

    @property
    def body_bytes(self) -> int:
        """What `body` may write, with the files that can be in it."""
        if self.media != "base64":
            return MOST_BYTES
        files = self.pictures * self.max_picture + self.clips * self.max_clip
        return MOST_BYTES + 2 * int(files)

    def template_uses(self) -> Iterator[TemplateUse]:
        """Its templates."""
        extra = dict.fromkeys(("picture_base64", "clip_base64"))
        if self.preset is not None:
            yield TemplateUse(("title",), self.title, most_bytes=_PRESET_BYTES)
            yield TemplateUse(("text",), self.text, most_bytes=_PRESET_BYTES)
        if self.body is not None:
            is_json, most = self.body_is_json, self.body_bytes
            yield TemplateUse(("body",), self.body, is_json, extra=extra, most_bytes=most)
        for name, value in self.headers.items():
            if TextTemplate.is_one(value.reveal()):
                yield TemplateUse(("headers", name), TextTemplate(value.reveal()), is_secret=True)

    def lacks(self) -> Iterator[Lack]:
        """Whether the files of `tls` can be read here."""
        for name in ("ca", "certificate", "key"):
            yield from unreadable_file(f"tls.{name}", getattr(self.tls, name))

    def build(self, context: SinkContext) -> "WebhookSink":
        """A sink that connects when the first event comes; raises SinkError for unusable files."""
        return WebhookSink(self, context)

    def probe(self, context: SinkContext) -> str:
        """Connect; nothing is asked for. Raises SinkError."""
        sink = self.build(context)
        try:
            return sink.probe()
        finally:
            sink.close()


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
class _Files:
    """What is sent along with an event."""

    picture: MediaFile | None = None
    clip: MediaFile | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    """Why something is not there, by what it is."""

    def note(self) -> str:
        """The same as a line of text."""
        return "; ".join(self.missing.values())


class WebhookSink:
    """One request at a time, on a connection that is kept. At least once, with the same id."""

    def __init__(self, config: WebhookConfig, context: SinkContext) -> None:
        self._config = config
        self._context, self._read = context, context.read
        self._clock = context.clock
        self._place = config.url.shown()
        self._tls = tls_context(config.tls, self._place)
        # A request that is repeated is the same to the last byte, whatever was learned meanwhile.
        self._made: HookRequest | None = None
        # asyncio is what can end a request as a whole at its deadline, whatever it is doing.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: httpx.AsyncClient | None = None

    def send(self, events: Sequence[Event]) -> None:
        """Send the events; SinkError when the server does not accept them in time."""
        if self._config.batch:
            ids = "\n".join(event.record_id for event in events)
            name = hashlib.blake2b(ids.encode(), digest_size=13).hexdigest()
            self._deliver(name, lambda weight: self._batch(name, events, weight))
            return
        for event in events:
            self._deliver(event.record_id, partial(self._request, event))

    def probe(self) -> str:
        """Connect to the server, or the proxy before it; what was found. Raises SinkError."""
        import asyncio

        return asyncio.run(self._connect())

    async def _connect(self) -> str:
        import asyncio

        proxy, timeout_s = self._config.proxy, self._config.timeout.total_seconds()
        parts = urlsplit(self._config.url.reveal() if proxy is None else proxy.reveal())
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        place = self._place if proxy is None else f"the proxy {proxy.shown()}"
        try:
            async with asyncio.timeout(timeout_s):
                _, writer = await asyncio.open_connection(
                    parts.hostname, port, ssl=self._tls if secure else None
                )
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
        except TimeoutError:
            raise SinkError(f"{place} does not answer within {timeout_s:g} s") from None
        except (OSError, UnicodeError) as error:
            raise SinkError(f"{place} {_cause(error)}") from None
        if proxy is not None:
            return "is not tried; the proxy before it answers"
        tls = " over TLS" if secure else ""
        return f"can be reached{tls}; only --send shows whether it takes events"

    def _deliver(self, name: str, make: Callable[[int], HookRequest]) -> None:
        """Send one request; one that is refused for its files is made lighter, and then without."""
        if self._made is None or self._made.id != name:
            self._made = make(_WHOLE)
        for lighter in (_LIGHT, _BARE, None):
            status, headers, answer = self._answer_to(self._made)
            if 200 <= status < 300:
                self._made = None
                return
            if lighter is None or not (self._made.heavy and self._is_too_heavy(status)):
                break
            self._made = make(lighter)
        asked_s = _retry_after_s(headers.get("retry-after"), self._clock.now())
        if status == 429:
            said_s = wait_asked_for(answer)
            asked_s = said_s if asked_s is None else max(asked_s, said_s or 0.0)
        retryable = status in _PASSING or status >= 500
        if not retryable:
            self._made = None
        raise SinkError(
            f"{self._place} answers {_meaning(status)}",
            retryable=retryable,
            retry_after_s=asked_s,
        )

    def _is_too_heavy(self, status: int) -> bool:
        """Whether a status may be about the files: services have several for that."""
        return status in (413, 415) or (status in (400, 422) and self._config.preset is not None)

    def _batch(self, name: str, events: Sequence[Event], weight: int) -> HookRequest:
        files = [self._files_of(event, weight) for event in events]
        records = [self._record(event, one) for event, one in zip(events, files, strict=True)]
        heavy = any(one.picture or one.clip for one in files)
        kind = "application/cloudevents-batch+json"
        return HookRequest(name, kind, json_line(records), heavy=heavy)

    def _request(self, event: Event, weight: int) -> HookRequest:
        config, files = self._config, self._files_of(event, weight)
        try:
            if config.preset is not None:
                made = self._message(event, files)
            else:
                made = self._structured(event, files)
            own = self._filled_in(event)
        except TemplateError as error:
            raise SinkError(
                f"the event cannot be worded for {self._place}: {error}", retryable=False
            ) from None
        names = {name.lower() for name in own}
        kept = {name: text for name, text in made.headers.items() if name.lower() not in names}
        return replace(made, headers={**kept, **own})

    def _structured(self, event: Event, files: _Files) -> HookRequest:
        """A CloudEvent, or what the file's own template makes; a form with the files if wanted."""
        config = self._config
        if config.body is not None:
            values = self._values(event, files)
            text = config.body.render(
                values, most_bytes=config.body_bytes, is_json=config.body_is_json
            )
            kind = config.content_type or "application/json"
            body = text.encode("utf-8", "replace")
        else:
            kind = "application/cloudevents+json"
            body = json_line(self._record(event, files))
        heavy = files.picture is not None or files.clip is not None
        if config.media_mode == "multipart":
            both = (("picture", files.picture), ("clip", files.clip))
            sent = [(name, file) for name, file in both if file is not None]
            fields = [("event", kind, body.decode("utf-8", "replace"))]
            kind, body = form(event.record_id, fields, sent)
        return HookRequest(event.record_id, kind, body, config.method, heavy=heavy)

    def _message(self, event: Event, files: _Files) -> HookRequest:
        """What a preset makes of an event."""
        config, values = self._config, self._values(event, files)
        assert config.preset is not None
        text = config.text.render(values, most_bytes=_PRESET_BYTES)
        note = files.note()
        report = None
        if event.type == REPORT and config.media_mode == "multipart":
            kind = str(event.data.get("file_type")).partition(";")[0]
            name = str(event.data.get("file"))
            report = MediaFile(name, report_file(event, self._read), kind)
        message = Message(
            event,
            values,
            config.title.render(values, most_bytes=_PRESET_BYTES),
            f"{text}\n({note})" if note else text,
            report or files.picture,
            files.clip,
            self._link(values, "link", wanted=config.pictures),
            self._link(values, "clip_link", wanted=config.clips),
        )
        options = PresetOptions(
            config.chat or "",
            config.key.reveal() if config.key else "",
            config.severity,
            config.priority,
            config.tags,
        )
        return SERVICES[config.preset].make(message, options)

    def _link(self, values: Mapping[str, JsonValue], name: str, *, wanted: bool) -> str | None:
        link = values.get(name) if wanted and self._config.media_mode == "link" else None
        return link if isinstance(link, str) else None

    def _values(self, event: Event, files: _Files) -> dict[str, JsonValue]:
        """What a template can name."""
        inline = self._config.media == "base64"
        return {
            **values_of(event, self._context),
            "picture_note": files.note(),
            "picture_base64": _base64(files.picture) if inline else None,
            "clip_base64": _base64(files.clip) if inline else None,
        }

    def _filled_in(self, event: Event) -> dict[str, str]:
        """The file's headers; those that are templates, for this event."""
        headers = {name: value.reveal() for name, value in self._config.headers.items()}
        templates = {name: text for name, text in headers.items() if TextTemplate.is_one(text)}
        if templates:
            values = values_of(event, self._context)
            for name, text in templates.items():
                try:
                    headers[name] = as_header(TextTemplate(text).render(values))
                except TemplateError:  # its words may quote the value
                    raise TemplateError(
                        f"the header {name!r} asks for what the event has not"
                    ) from None
        return headers

    def _files_of(self, event: Event, weight: int) -> _Files:
        """The files that are sent along, and why those that are not there are not."""
        config, context = self._config, self._context
        if config.media_mode not in ("base64", "multipart") or event.type == REPORT:
            return _Files()
        if weight == _BARE:
            refused = "the server refuses its files, so it is sent without"
            return _Files(missing={"files": refused})
        picture = clip = None
        missing: dict[str, str] = {}
        if config.pictures:
            side, size = config.max_side, int(config.max_picture)
            if weight == _LIGHT:
                side, size = min(side, _LIGHT_SIDE), min(size, _LIGHT_BYTES)
            wait_s = config.picture_wait.total_seconds()
            picture = picture_of(event, context, max_side=side, most_bytes=size, wait_s=wait_s)
            missing["picture"] = picture_note(event, picture)
        if config.clips:
            if weight == _WHOLE:
                most, wait_s = int(config.max_clip), config.clip_wait.total_seconds()
                clip = clip_of(event, context, most_bytes=most, wait_s=wait_s)
            missing["clip"] = clip_note(event, clip)
        return _Files(picture, clip, {name: why for name, why in missing.items() if why})

    def _record(self, event: Event, files: _Files) -> dict[str, JsonValue]:
        record = to_cloudevent(event, self._context.site_of(event))
        data, config = record["data"], self._config
        assert isinstance(data, dict)
        if event.type == REPORT:
            # Whoever answers a webhook cannot look into the media folder.
            content = report_file(event, self._read)
            data["content_base64"] = base64.b64encode(content).decode()
            return record
        told: list[JsonValue] = []
        for kind, file in (("picture", files.picture), ("clip", files.clip)):
            if file is not None:
                one = {"kind": kind, "name": file.name, "content_type": file.media_type}
                where = (
                    {"part": kind}
                    if config.media_mode == "multipart"
                    else {"content_base64": _base64(file)}
                )
                told.append({**one, **where})
        if config.media_mode == "link":
            for kind, wanted, reference in (
                ("picture", config.pictures, picture_reference(event)),
                ("clip", config.clips, clip_reference(event)),
            ):
                link = self._context.link(reference) if wanted and reference else None
                if link is not None and reference is not None:
                    name = reference.rpartition("/")[2]
                    told.append({"kind": kind, "name": name, "link": link})
        if told:
            data["files"] = told
        if files.missing:
            data["files_missing"] = dict(files.missing)
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

    def _answer_to(self, request: HookRequest) -> tuple[int, Mapping[str, str], bytes]:
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(self._in_time(request))

    async def _in_time(self, request: HookRequest) -> tuple[int, Mapping[str, str], bytes]:
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

    async def _exchange(self, request: HookRequest) -> tuple[int, Mapping[str, str], bytes]:
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
        url = joined(self._config.url.reveal(), request.path)
        headers = self._headers(request)
        async with self._client.stream(
            request.method, url, content=request.body, headers=headers
        ) as answer:
            received = b""
            with suppress(httpx.HTTPError, TimeoutError):
                async with asyncio.timeout(_ANSWER_S):
                    async for piece in answer.aiter_raw():
                        received += piece
                        if len(received) > _ANSWER_BYTES:
                            break
            return answer.status_code, answer.headers, received

    def _headers(self, request: HookRequest) -> dict[str, str]:
        # What it answers is read as it comes.
        headers = {"user-agent": "moonwatch", "accept-encoding": "identity", **request.headers}
        headers["content-type"] = request.content_type
        if self._config.preset is not None and self._config.secret is None:
            return headers
        moment = str(int(self._clock.now()))
        headers |= {"webhook-id": request.id, "webhook-timestamp": moment}
        if self._config.secret is not None:
            key = _signing_key(self._config.secret.reveal())
            headers["webhook-signature"] = sign(key, request.id, moment, request.body)
        return headers


def _base64(file: MediaFile | None) -> str | None:
    return None if file is None else base64.b64encode(file.content).decode()


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
    if re.fullmatch(r"\s*\d{1,9}(\.\d{1,9})?\s*", value, re.ASCII):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None
