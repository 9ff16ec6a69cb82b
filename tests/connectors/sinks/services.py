"""A real HTTP server that holds what it gets against the documented rules of a service."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import policy
from email.header import decode_header, make_header
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Part:
    """A part of a form."""

    content: bytes
    filename: str | None
    content_type: str

    @property
    def text(self) -> str:
        """What it says."""
        return self.content.decode()


@dataclass(frozen=True)
class Posted:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        """The media type without parameters."""
        return self.headers["content-type"].partition(";")[0]

    def json(self) -> Any:
        """Its body as JSON."""
        return json.loads(self.body)

    def parts(self) -> dict[str, Part]:
        """The parts of its form, read by the library that reads mails."""
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        message = BytesParser(policy=policy.HTTP).parsebytes(head + self.body)
        assert message.get_content_type() == "multipart/form-data"
        found: dict[str, Part] = {}
        for part in message.iter_parts():
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            name = part.get_param("name", header="content-disposition")
            assert isinstance(name, str)
            assert name not in found
            found[name] = Part(content, part.get_filename(), part.get_content_type())
        return found

    def header(self, name: str) -> str | None:
        """A header as text, as those decode it that know RFC 2047."""
        value = self.headers.get(name.lower())
        return None if value is None else str(make_header(decode_header(value)))


class RefusedError(Exception):
    """The service does not take a request: its status, and what it says."""

    def __init__(self, status: int, words: str = "", **headers: str) -> None:
        super().__init__(words)
        self.status, self.words, self.headers = status, words, headers


Rules = Callable[[Posted], int]
"""Returns the status of acceptance; raises RefusedError, AssertionError or LookupError."""


@dataclass
class Stub:
    """A service, and what came."""

    url: str
    rules: Rules
    posted: list[Posted] = field(default_factory=list)
    """All of it."""
    accepted: list[Posted] = field(default_factory=list)
    why_not: list[str] = field(default_factory=list)
    refusals: list[RefusedError] = field(default_factory=list)
    """How the next requests are refused, whatever they are."""


@contextmanager
def service(rules: Rules) -> Iterator[Stub]:
    """A service at a free port of this machine."""
    stub = Stub("", rules)

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20
        wbufsize = -1  # head and body together: no packet waits for an acknowledgement

        def _take(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            posted = Posted(self.command, self.path, headers, body)
            stub.posted.append(posted)
            try:
                if stub.refusals:
                    raise stub.refusals.pop(0)
                status, words, more = stub.rules(posted), "ok", {}
                stub.accepted.append(posted)
            except RefusedError as error:
                status, words, more = error.status, error.words, error.headers
                stub.why_not.append(words)
            except (AssertionError, LookupError, ValueError, TypeError) as error:
                status, words, more = 400, f"{type(error).__name__}: {error}", {}
                stub.why_not.append(words)
            content = b"" if status == 204 else words.encode()
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name.replace("_", "-"), value)
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = do_PATCH = _take  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        stub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield stub
        finally:
            server.shutdown()
            thread.join()


def anything(_: Posted) -> int:
    """Whatever comes."""
    return 204


def slack(posted: Posted) -> int:
    """An incoming webhook: JSON alone, `text` as a fallback, blocks of at most 3000 letters."""
    assert (posted.method, posted.kind) == ("POST", "application/json")
    content = posted.json()
    assert set(content) <= {"text", "blocks", "attachments", "thread_ts"}
    assert 0 < len(content["text"]) <= 40_000
    assert len(content["blocks"]) <= 50
    for block in content["blocks"]:
        assert block["type"] == "section"
        assert block["text"]["type"] in ("mrkdwn", "plain_text")
        assert 0 < len(block["text"]["text"]) <= 3000
    return 200


def discord(posted: Posted) -> int:
    """Execute Webhook: JSON, or a form with `payload_json` and `files[n]`; 10 MiB a file."""
    assert posted.method == "POST"
    files: dict[str, Part] = {}
    if posted.kind == "multipart/form-data":
        files = posted.parts()
        payload = files.pop("payload_json")
        assert payload.content_type == "application/json"
        content = json.loads(payload.text)
    else:
        assert posted.kind == "application/json"
        content = posted.json()
    assert set(content) <= {"content", "allowed_mentions", "attachments", "embeds", "username"}
    assert 0 < len(content["content"]) <= 2000
    assert content["allowed_mentions"] == {"parse": []}
    assert len(files) <= 10
    for listed in content.get("attachments", []):
        assert files[f"files[{listed['id']}]"].filename == listed["filename"]
    assert len(content.get("attachments", [])) == len(files)
    if sum(len(one.content) for one in files.values()) > 10 * 1024 * 1024:
        raise RefusedError(413, '{"message": "Request entity too large", "code": 40005}')
    return 204


def teams(posted: Posted) -> int:
    """A workflow's webhook: a message with one Adaptive Card, at most 28 KB; answers 202."""
    assert (posted.method, posted.kind) == ("POST", "application/json")
    if len(posted.body) > 28 * 1024:
        raise RefusedError(413, "too large")
    content = posted.json()
    assert content["type"] == "message"
    (attachment,) = content["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert card["type"] == "AdaptiveCard"
    assert tuple(map(int, card["version"].split("."))) <= (1, 5)
    for item in card["body"]:
        assert item["type"] in ("TextBlock", "Image")
        assert item["text"] if item["type"] == "TextBlock" else item["url"].startswith("https://")
    for action in card.get("actions", []):
        assert action["type"] == "Action.OpenUrl"
        assert action["title"]
        assert action["url"].startswith("http")
    return 202


def ntfy(posted: Posted) -> int:
    """Publishing: a text of at most 4096 bytes, or with `Filename` a file; a topic as the path."""
    assert posted.method in ("POST", "PUT")
    topic = posted.path.strip("/")
    assert topic
    assert all(letter.isalnum() or letter in "-_" for letter in topic)
    priority = posted.headers.get("priority")
    assert priority is None or priority in "12345"
    if "filename" in posted.headers:
        message = posted.header("message") or ""
        assert len(posted.body) <= 15 * 1024 * 1024
        assert not posted.body.startswith(b"{")
    else:
        message = posted.body.decode()
    assert 0 < len(message.encode()) <= 4096
    click = posted.headers.get("click")
    assert click is None or click.startswith("http")
    return 200


def telegram(posted: Posted) -> int:
    """The Bot API: a method below the bot's token, a chat, captions of at most 1024 letters."""
    assert posted.method == "POST"
    _, token, method = posted.path.split("/")
    assert token.startswith("bot")
    if method == "sendMessage":
        content = posted.json()
        assert content["chat_id"]
        assert 0 < _units(content["text"]) <= 4096
        return 200
    key = {"sendPhoto": "photo", "sendVideo": "video", "sendDocument": "document"}[method]
    parts = posted.parts()
    assert set(parts) == {"chat_id", "caption", key}
    assert parts["chat_id"].text
    assert _units(parts["caption"].text) <= 1024
    most = 10_000_000 if key == "photo" else 50_000_000
    assert 0 < len(parts[key].content) <= most
    assert parts[key].filename
    return 200


def _units(text: str) -> int:
    """How long Telegram says a text is."""
    return len(text.encode("utf-16-le")) // 2


def pagerduty(posted: Posted) -> int:
    """Events API v2: a routing key of 32 letters, what to do, and a payload unless it resolves."""
    assert (posted.method, posted.kind) == ("POST", "application/json")
    assert posted.path == "/v2/enqueue"
    content = posted.json()
    assert len(content["routing_key"]) == 32, "Length of 'routing_key' is incorrect"
    assert content["event_action"] in ("trigger", "acknowledge", "resolve")
    assert 0 < len(content["dedup_key"]) <= 255
    if content["event_action"] == "trigger":
        payload = content["payload"]
        assert 0 < len(payload["summary"]) <= 1024
        assert payload["source"]
        assert "component" not in payload or payload["component"]
        assert payload["severity"] in ("critical", "error", "warning", "info")
        assert all(image["src"].startswith("https://") for image in content.get("images", []))
        assert all(link["href"] for link in content.get("links", []))
    assert len(posted.body) <= 512 * 1024
    return 202


def frigate(posted: Posted) -> int:
    """What listens to Frigate's events: a type, and what it was and is."""
    content = posted.json()
    assert content["type"] in ("new", "update", "end")
    for name in ("before", "after"):
        state = content[name]
        assert state["id"]
        assert state["camera"]
        assert state["label"]
        assert state["start_time"] <= state["frame_time"]
        assert (state["end_time"] is not None) or content["type"] != "end"
        assert isinstance(state["has_snapshot"], bool)
        assert isinstance(state["has_clip"], bool)
    return 200
