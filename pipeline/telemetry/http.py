"""HTTP answers for monitoring: is a process alive, is it ready, what are its metrics."""

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
# A client that connects and sends nothing is disconnected after this.
_PATIENCE_S = 5.0
_TEXT = "text/plain; charset=utf-8"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen."""

    host: str
    port: int


def address_of(text: str) -> ListenAddress:
    """The address `HOST:PORT`, or `:PORT` for this machine only; raises ConfigError."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        way_out = (
            f"{text!r} is not a valid address; use :9100 (this machine only) or 0.0.0.0:9100 (all)"
        )
        raise ConfigError([Problem("--http", way_out)])
    return ListenAddress(host.strip("[]") or LOOPBACK, int(port))


@dataclass(frozen=True, slots=True)
class HealthAnswers:
    """The answers for one process."""

    not_ready: Callable[[], str | None]
    """Why it is not ready; None when it is."""
    metrics: Callable[[], bytes]
    remark: Callable[[], str | None] = lambda: None
    """A remark about a process that is ready."""


@contextmanager
def answering(address: ListenAddress | None, answers: HealthAnswers) -> Iterator[int | None]:
    """Answer on `/healthz`, `/readyz` and `/metrics` while the block runs.

    Yields the port; port 0 picks a free one. Raises ConfigError if the port is taken.
    """
    if address is None:
        yield None
        return

    class Handler(_HealthHandler):
        health = answers

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
    health: HealthAnswers
    timeout = _PATIENCE_S
    server_version = "moonwatch"
    sys_version = ""

    def do_GET(self) -> None:
        """One of three pages."""
        path = self.path.partition("?")[0]
        if path == "/healthz":
            self._answer(200, _TEXT, b"alive\n")
        elif path == "/readyz":
            reason = self.health.not_ready()
            remark = None if reason else self.health.remark()
            said = reason or (f"ready: {remark}" if remark else "ready")
            self._answer(503 if reason else 200, _TEXT, f"{said}\n".encode())
        elif path == "/metrics":
            self._answer(200, _METRICS, self.health.metrics())
        else:
            self._answer(404, _TEXT, b"not found; try /healthz, /readyz or /metrics\n")

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
