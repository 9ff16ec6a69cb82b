"""A server that takes messages as ntfy does, and as apprise's own `json://` sends them."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from pipeline.testing import patience

HANG = -1
"""Reads the request and answers nothing."""
CLOSE = -2
"""Closes the connection without an answer."""


@dataclass(frozen=True)
class PhoneMessage:
    """What a phone would show."""

    title: str
    text: str
    kind: str = ""
    name: str | None = None
    content: bytes | None = None
    """What is attached, and its name."""
    path: str = ""


@dataclass
class Phone:
    """What came, and how to answer: `answers` first, one each, and 200 after them."""

    port: int = 0
    messages: list[PhoneMessage] = field(default_factory=list)
    """Those that were accepted, in order."""
    asked: list[PhoneMessage] = field(default_factory=list)
    """All that came."""
    answers: list[int] = field(default_factory=list)
    always: int = 200
    most_bytes: int | None = None
    """What is larger is refused with 413."""
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def json_url(self) -> str:
        """Its address for `json://`, with what nobody may see."""
        return f"json://127.0.0.1:{self.port}/hook-s3cret"

    @property
    def ntfy_url(self) -> str:
        """Its address for `ntfy://`."""
        return f"ntfy://127.0.0.1:{self.port}/topic-s3cret"

    @property
    def texts(self) -> list[str]:
        """What was accepted."""
        return [one.text for one in self.messages]

    @property
    def titles(self) -> list[str]:
        """The headlines of what was accepted."""
        return [one.title for one in self.messages]

    def answer(self, size: int) -> int:
        """How the next request is answered."""
        if self.answers:
            return self.answers.pop(0)
        if self.most_bytes is not None and size > self.most_bytes:
            return 413
        return self.always


@contextmanager
def phone_on(port: int = 0) -> Iterator[Phone]:
    """A server on this machine, on a free port unless one is given."""
    phone = Phone()

    class Handler(_Handler):
        state = phone

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        phone.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield phone
        finally:
            phone.released.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: Phone
    timeout = 30

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        message = self._message(body)
        self.state.asked.append(message)
        status = self.state.answer(len(body))
        if status == HANG:
            self.state.released.wait(patience(30))
        if status < 0:
            return
        if status < 300:
            self.state.messages.append(message)
        content = b"{}"
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _message(self, body: bytes) -> PhoneMessage:
        parts = urlsplit(self.path)
        if "json" not in self.headers.get("Content-Type", ""):  # ntfy, a file with its text
            given = {name: value[0] for name, value in parse_qs(parts.query).items()}
            title, text = given.get("title", ""), given.get("message", "")
            return PhoneMessage(title, text, "", given["filename"], body, parts.path)
        said = json.loads(body)
        text = str(said.get("message", ""))
        title = str(said.get("title", ""))
        files = said.get("attachments") or [{}]
        content = files[0].get("base64")
        return PhoneMessage(
            title,
            text,
            str(said.get("type", "")),
            files[0].get("filename"),
            None if content is None else base64.b64decode(content),
            parts.path,
        )

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
