"""Servers that engines elsewhere are tried on: real ones, that answer as a test says."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: JSON unless it is bytes."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Elsewhere:
    """A server with an interface of a model; `reply` says what it answers, and may change."""

    def __init__(self, reply: Callable[[Seen], Reply], tls: ssl.SSLContext | None = None) -> None:
        self.reply = reply
        self.seen: list[Seen] = []
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                owner.answer(self)

            def do_GET(self) -> None:
                owner.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_: Any) -> None:
                pass  # a client that goes away is what some tests are about

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        self.place = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{scheme}://{self.place}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Read a request, and answer it as `reply` says."""
        length = int(handler.headers.get("content-length", 0))
        content = handler.rfile.read(length)
        seen = Seen(handler.path, dict(handler.headers), json.loads(content) if content else {})
        with self._lock:
            self.seen.append(seen)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            reply = self.reply(seen)
        finally:
            with self._lock:
                self.at_once -= 1
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def elsewhere(
    reply: Callable[[Seen], Reply], tls: ssl.SSLContext | None = None
) -> Iterator[Elsewhere]:
    """A server that answers so."""
    server = Elsewhere(reply, tls)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def wire(talk: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """A server that says what it likes on each connection; gives its address.

    `talk` gets the connection once a request was read, and an event that is set at the end.
    """
    over = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(65536)
                talk(connection, over)
            except OSError:
                pass  # the client has had enough

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(connection,)))
            threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    finally:
        over.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        accepting.join()
        for thread in threads:
            thread.join()


def said(text: str, **more: Any) -> Reply:
    """An answer of chat completions."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop", **more}
    return Reply({"object": "chat.completion", "choices": [choice]})


def refused(status: int, message: str, **more: Any) -> Reply:
    """An error as OpenAI-compatible servers answer it."""
    return Reply({"error": {"message": message, "type": "invalid_request_error", **more}}, status)
