"""Messages as chat, push and paging services want them, and forms of several parts.

Limits are those that the services document; what is longer is cut, as they refuse it otherwise.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.header import Header
from typing import Any, Final, Literal
from urllib.parse import quote

from connectors.sinks._pictures import MediaFile
from connectors.sinks._text import printable
from pipeline.core.events import REPORT, Event, JsonValue, timestamp

Preset = Literal["slack", "discord", "teams", "ntfy", "telegram", "pagerduty", "frigate"]
MediaMode = Literal["none", "link", "base64", "multipart"]
Severity = Literal["critical", "error", "warning", "info"]

_JSON: Final = "application/json"
_LONGEST_WAIT_S = 86400.0


@dataclass(frozen=True, slots=True)
class HookRequest:
    """A request as it is sent, and sent again."""

    id: str
    content_type: str
    # Keys may be in these two: no traceback shows them.
    body: bytes = field(repr=False)
    method: str = "POST"
    path: str = ""
    """What follows the sink's own address."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    heavy: bool = False
    """Whether there is a picture or a clip in it, without which it would be lighter."""


@dataclass(frozen=True, slots=True)
class Message:
    """What an event is told with."""

    event: Event
    values: Mapping[str, JsonValue]
    title: str
    text: str
    picture: MediaFile | None = None
    clip: MediaFile | None = None
    link: str | None = None
    clip_link: str | None = None

    def told(self, most: int, *, with_title: bool = True, escape: str = "") -> str:
        """Title and text with its links, at most so long."""
        words = [self.title, self.text] if with_title and self.title else [self.text]
        text = "\n".join(words)
        for letter in escape:
            text = text.replace(letter, f"\\{letter}")
        links = "".join(f"\n{name}: {url}" for name, url in self.links())
        return shortened(text, max(1, most - len(links))) + links

    def links(self) -> list[tuple[str, str]]:
        """What can be looked at, with its name."""
        first = "Report" if self.event.type == REPORT else "Picture"
        named = ((first, self.link), ("Clip", self.clip_link))
        return [(name, url) for name, url in named if url]

    @property
    def files(self) -> list[tuple[str, MediaFile]]:
        """What is sent along, with its name."""
        both = (("picture", self.picture), ("clip", self.clip))
        return [(name, file) for name, file in both if file is not None]


@dataclass(frozen=True, slots=True)
class PresetOptions:
    """What a service needs to know beside its address."""

    chat: str = ""
    key: str = field(default="", repr=False)
    severity: Severity = "warning"
    priority: int | None = None
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """How a service is spoken to."""

    make: Callable[[Message, PresetOptions], HookRequest]
    media: tuple[MediaMode, ...]
    """How it takes pictures; the first is how it is done unless the file says otherwise."""
    why: str
    """Why it takes them in no other way."""


def shortened(text: str, most: int) -> str:
    """A text of at most so many letters, as services count them that hold them in UTF-16."""
    raw = text.encode("utf-16-le", "surrogatepass")
    if len(raw) <= 2 * most:
        return text
    return raw[: 2 * (most - 1)].decode("utf-16-le", "ignore") + "…"


def as_header(text: str) -> str:
    """A text as the value of a header: what is not ASCII is encoded as RFC 2047 has it."""
    line = " ".join(printable(text).split())
    return line if line.isascii() else Header(line, "utf-8", maxlinelen=100_000).encode()


def form(
    name: str, fields: Sequence[tuple[str, str, str]], files: Sequence[tuple[str, MediaFile]]
) -> tuple[str, bytes]:
    """A form of several parts, and its content type: the same bytes for the same parts.

    `fields` are names, content types (empty for plain text) and texts; `name` tells the form from
    others.
    """
    parts: list[tuple[str, bytes]] = []
    for key, kind, text in fields:
        head = f'Content-Disposition: form-data; name="{key}"'
        head += f"\r\nContent-Type: {kind}" if kind else ""
        parts.append((head, text.encode("utf-8", "replace")))
    for key, file in files:
        head = (
            f'Content-Disposition: form-data; name="{key}"; filename="{_file_name(file.name)}"'
            f"\r\nContent-Type: {file.media_type}"
        )
        parts.append((head, file.content))
    boundary = "moonwatch-" + hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
    while any(boundary.encode() in content for _, content in parts):
        boundary += "x"
    body = b"".join(
        f"--{boundary}\r\n{head}\r\n\r\n".encode() + content + b"\r\n" for head, content in parts
    )
    return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[-120:]


def _json(message: Message, content: Any, path: str = "") -> HookRequest:
    body = json.dumps(content, separators=(",", ":")).encode()
    return HookRequest(message.event.record_id, _JSON, body, path=path)


def _form(
    message: Message, fields: Sequence[tuple[str, str, str]], files: Any, path: str = ""
) -> HookRequest:
    kind, body = form(message.event.record_id, fields, files)
    return HookRequest(message.event.record_id, kind, body, path=path, heavy=bool(files))


def _slack(message: Message, _: PresetOptions) -> HookRequest:
    """A section of text; Slack's own signs are escaped, and links have a name."""

    def plain(text: str) -> str:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    links = "  ".join(f"<{url}|{name}>" for name, url in message.links())
    text = shortened(plain(message.text), 2500 - len(links))
    title = shortened(plain(message.title), 200)
    section = "\n".join(part for part in (f"*{title}*" if title else "", text, links) if part)
    return _json(
        message,
        {
            "text": f"{title}: {text}" if title else text,
            "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": section}}],
        },
    )


def _discord(message: Message, _: PresetOptions) -> HookRequest:
    """A message with its files; nobody is called by what is in it."""
    content: dict[str, Any] = {
        "content": message.told(2000, escape="\\*_`~|>"),
        "allowed_mentions": {"parse": []},
    }
    if not message.files:
        return _json(message, content)
    content["attachments"] = [
        {"id": number, "filename": _file_name(file.name)}
        for number, (_, file) in enumerate(message.files)
    ]
    files = [(f"files[{number}]", file) for number, (_, file) in enumerate(message.files)]
    return _form(message, [("payload_json", _JSON, json.dumps(content))], files)


def _teams(message: Message, _: PresetOptions) -> HookRequest:
    """An Adaptive Card, as a workflow of the kind "when a webhook request is received" posts it."""
    body: list[dict[str, Any]] = [
        {
            "type": "TextBlock",
            "text": shortened(message.title, 300),
            "weight": "Bolder",
            "size": "Medium",
            "wrap": True,
        },
        {"type": "TextBlock", "text": shortened(message.text, 4000), "wrap": True},
    ]
    if message.link and message.event.type != REPORT:
        body.append({"type": "Image", "url": message.link, "altText": message.title or "picture"})
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body if message.title else body[1:],
    }
    if message.links():
        card["actions"] = [
            {"type": "Action.OpenUrl", "title": name, "url": url} for name, url in message.links()
        ]
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    return _json(message, {"type": "message", "attachments": [attachment]})


def _ntfy(message: Message, options: PresetOptions) -> HookRequest:
    """The picture as the body and the text in a header, or the text as the body."""
    # Longer texts would become a file.
    text = message.told(1500, with_title=False)
    headers = {"Title": as_header(shortened(message.title, 200))} if message.title else {}
    if options.priority is not None:
        headers["Priority"] = str(options.priority)
    if options.tags:
        headers["Tags"] = as_header(",".join(options.tags))
    if message.links():
        headers["Click"] = message.links()[-1][1]
    if not message.files:
        kind = "text/plain; charset=utf-8"
        body = text.encode("utf-8", "replace")
        return HookRequest(message.event.record_id, kind, body, "POST", headers=headers)
    # One file a message: a clip shows more.
    _, file = message.files[-1]
    headers |= {
        "Filename": _file_name(file.name),
        "Message": as_header("\\n".join(text.splitlines())),
    }
    return HookRequest(
        message.event.record_id, file.media_type, file.content, "PUT", "", headers, heavy=True
    )


def _telegram(message: Message, options: PresetOptions) -> HookRequest:
    """`sendPhoto` or `sendVideo` with the text below it, or `sendMessage`."""
    if not message.files:
        content: dict[str, Any] = {"chat_id": options.chat, "text": message.told(4096)}
        if message.links():
            content["link_preview_options"] = {"is_disabled": False}
        return _json(message, content, "/sendMessage")
    _, file = message.files[-1]
    method, key = {"video": ("/sendVideo", "video"), "image": ("/sendPhoto", "photo")}.get(
        file.media_type.partition("/")[0], ("/sendDocument", "document")
    )
    fields = [("chat_id", "", options.chat), ("caption", "", message.told(1024))]
    return _form(message, fields, [(key, file)], method)


def _pagerduty(message: Message, options: PresetOptions) -> HookRequest:
    """An alert for each happening, which its end resolves."""
    event = message.event
    content: dict[str, Any] = {
        "routing_key": options.key,
        "event_action": "resolve" if event.phase == "end" else "trigger",
        "dedup_key": event.id,
    }
    if event.phase != "end":
        told = f"{message.title}: {message.text}" if message.title else message.text
        content |= {
            "client": "moonwatch",
            "payload": {
                "summary": shortened(told, 1024),
                "source": f"{message.values['site']}/{event.camera}".rstrip("/"),
                "severity": options.severity,
                "timestamp": timestamp(event.at),
                **({"component": event.camera} if event.camera else {}),
                "group": message.values["site"],
                "class": event.type,
                "custom_details": {"rule": event.rule, "phase": event.phase, **event.data},
            },
            "links": [{"href": url, "text": name} for name, url in message.links()],
            # Others than https are refused.
            "images": [
                {"src": url, "alt": message.title}
                for url in [message.link]
                if url and url.startswith("https://") and event.type != REPORT
            ],
        }
    return _json(message, content)


def _frigate(message: Message, _: PresetOptions) -> HookRequest:
    """The shape of Frigate's events, for what was written for those."""
    event, subject = message.event, message.event.subject
    since = event.data.get("since")
    started = datetime.fromisoformat(since).timestamp() if isinstance(since, str) else event.at
    zone = event.data.get("zone")
    state: dict[str, Any] = {
        "id": event.id,
        "camera": event.camera,
        "label": subject.label if subject and subject.label else event.type,
        "sub_label": event.rule,
        "frame_time": event.at,
        "start_time": started,
        "end_time": event.at if event.phase in ("end", "single") else None,
        "false_positive": False,
        "stationary": False,
        "box": list(subject.box) if subject and subject.box else None,
        "current_zones": [zone] if zone and event.phase != "end" else [],
        "entered_zones": [zone] if zone else [],
        "has_snapshot": bool(event.media),
        "has_clip": "clip" in event.data,
        "snapshot_url": message.link,
        "clip_url": message.clip_link,
        "data": dict(event.data),
    }
    kind = {"start": "new", "single": "new"}.get(event.phase, event.phase)
    return _json(message, {"type": kind, "before": state, "after": state})


_NO_FILES = "takes no files, only links to them"
SERVICES: Final[Mapping[Preset, Service]] = {
    "slack": Service(_slack, ("link", "none"), _NO_FILES),
    "discord": Service(_discord, ("multipart", "link", "none"), "takes files as a form"),
    "teams": Service(_teams, ("link", "none"), _NO_FILES),
    "ntfy": Service(_ntfy, ("multipart", "link", "none"), "takes a file as the request's body"),
    "telegram": Service(_telegram, ("multipart", "link", "none"), "takes files as a form"),
    "pagerduty": Service(_pagerduty, ("link", "none"), _NO_FILES),
    "frigate": Service(_frigate, ("link", "none"), "has no place for files"),
}


def wait_asked_for(answer: bytes) -> float | None:
    """The seconds that the body of a 429 asks to wait, as Telegram and Discord say it there."""
    try:
        said = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    parameters = said.get("parameters")
    inner = parameters.get("retry_after") if isinstance(parameters, dict) else None
    wait = said.get("retry_after") if inner is None else inner
    if not isinstance(wait, int | float) or not 0 <= wait < _LONGEST_WAIT_S:
        return None
    return float(wait)


def joined(address: str, path: str) -> str:
    """An address with what follows it, before a query if there is one."""
    if not path:
        return address
    place, mark, query = address.partition("?")
    return place.rstrip("/") + quote(path) + mark + query
