"""A real HTTP server that misbehaves on request."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pipeline.testing import patience

HANG = -1
"""Reads the request and answers nothing."""
CLOSE = -2
"""Closes the connection without an answer."""
BREAK = -3
"""Closes it in the middle of the answer's head."""
DRIP = -4
"""Sends a byte of the answer's head every now and then, for ever."""
FLOOD = -5
"""Accepts, with a body that need not be read to its end."""


@dataclass
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def events(self) -> list[dict[str, Any]]:
        """The CloudEvents in it."""
        content = json.loads(self.body)
        return content if isinstance(content, list) else [content]


@dataclass
class Receiver:
    """What came, and how to answer: `answers` first, one each, and 200 after them."""

    url: str = ""
    requests: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    always: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    released: threading.Event = field(default_factory=threading.Event)
    slow_s: float = 0.0
    """How long each request is thought about."""
    connections: int = 0
    id_key: str = "id"
    """Where in what it gets an event's id is."""
    accepted: list[str] = field(default_factory=list)
    """The ids of events in accepted requests, in order."""

    def answer(self) -> int:
        """How the next request is answered."""
        return self.answers.pop(0) if self.answers else self.always


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A server on a free port of this machine."""
    receiver = Receiver()

    class Handler(_Handler):
        state = receiver

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = False
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        receiver.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}/hook/s3cret"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.released.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: Receiver
    protocol_version = "HTTP/1.1"
    timeout = 10
    # Head and body of an answer are two packets; the second one would wait 40 ms.
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.state.connections += 1
        self.number = self.state.connections

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:  # the client was killed in the middle of it
            self.close_connection = True
            return
        self.state.released.wait(self.state.slow_s)
        received = Received(self.path, dict(self.headers.items()), body, self.number)
        status = self.state.answer()
        if status < 0 and status != FLOOD:
            self.state.requests.append(received)
            self._misbehave(status)
            return
        if status == FLOOD or status < 300:
            self.state.accepted.extend(str(event[self.state.id_key]) for event in received.events)
        self.state.requests.append(received)
        content = b"x" * 500_000 if status == FLOOD else b"never mind"
        self.send_response(202 if status == FLOOD else status)
        for name, value in self.state.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _misbehave(self, how: int) -> None:
        self.close_connection = True
        if how == HANG:
            self.state.released.wait(patience(10))
        elif how == BREAK:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-")
        elif how == DRIP:
            while not self.state.released.wait(0.02):
                self.wfile.write(b"H")
                self.wfile.flush()

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # the client went away, as it should
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except OSError:  # the same, noticed later
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
