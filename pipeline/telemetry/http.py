"""Answers whoever looks after a process: is it alive, is it ready, how is it doing."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pipeline.core.errors import ConfigError, Problem

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
# A client that connects and says nothing is let go after this.
_PATIENCE_S = 5.0
_TEXT = "text/plain; charset=utf-8"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen."""

    host: str
    port: int


def address_of(text: str) -> ListenAddress:
    """The address `HOST:PORT` or `:PORT`, which is this machine's own; raises ConfigError."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        way_out = f"{text!r} is no address; write :9100 (this machine only) or 0.0.0.0:9100 (all)"
        raise ConfigError([Problem("--http", way_out)])
    return ListenAddress(host.strip("[]") or LOOPBACK, int(port))


@dataclass(frozen=True, slots=True)
class HealthAnswers:
    """What is told of a process."""

    not_ready: Callable[[], str | None]
    """Why it is not ready; None when it is."""
    metrics: Callable[[], bytes]
    remark: Callable[[], str | None] = lambda: None
    """What else there is to say of a process that is ready."""


@contextmanager
def answering(address: ListenAddress | None, telling: HealthAnswers) -> Iterator[int | None]:
    """Answer on `/healthz`, `/readyz` and `/metrics` for as long as the block lasts.

    Gives the port, which is a free one for port 0. Raises ConfigError when it is taken.
    """
    if address is None:
        yield None
        return

    class Handler(_HealthHandler):
        told = telling

    host = address.host

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    try:
        server = Server((address.host, address.port), Handler)
    except OSError as error:
        why = f"cannot listen on {address.host}:{address.port}: {error.strerror or error}"
        raise ConfigError([Problem("--http", why)]) from None
    with server:
        server.daemon_threads = True
        port = int(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, name="http", daemon=True)
        thread.start()
        logger.info("answering on http://%s:%d/metrics", address.host, port)
        try:
            yield port
        finally:
            server.shutdown()
            thread.join()


class _HealthHandler(BaseHTTPRequestHandler):
    told: HealthAnswers
    timeout = _PATIENCE_S
    server_version = "moonwatch"
    sys_version = ""

    def do_GET(self) -> None:
        """One of three pages."""
        path = self.path.partition("?")[0]
        if path == "/healthz":
            self._answer(200, _TEXT, b"alive\n")
        elif path == "/readyz":
            reason = self.told.not_ready()
            remark = None if reason else self.told.remark()
            said = reason or (f"ready: {remark}" if remark else "ready")
            self._answer(503 if reason else 200, _TEXT, f"{said}\n".encode())
        elif path == "/metrics":
            self._answer(200, _METRICS, self.told.metrics())
        else:
            self._answer(404, _TEXT, b"there are /healthz, /readyz and /metrics\n")

    do_HEAD = do_GET  # noqa: N815 - the name http.server looks for

    def _answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Probes come every few seconds: nothing is logged."""
