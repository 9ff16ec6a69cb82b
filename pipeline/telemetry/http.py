"""HTTP answers for monitoring: is a process alive, is it ready, what are its metrics.

One thread serves all connections, and two make the answers. Whoever can reach the port can open
connections and send nothing, or one byte a second: each connection has a deadline as a whole, and
when there are too many, the oldest is closed for the newest, so that a probe always gets in.
"""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from queue import SimpleQueue
from typing import TYPE_CHECKING

from pipeline.core.errors import ConfigError, Problem

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
# A request, from connecting to the last byte of its answer, may take this long.
_PATIENCE_S = 5.0
# Far more than all the monitors of a site open at a time.
_MOST_CONNECTIONS = 64
_MOST_REQUEST_BYTES = 16 * 1024
# What a client goes on sending is read this far, so that it gets to read why it is refused.
_MOST_DISCARDED_BYTES = 1024 * 1024
_MAKERS = 2
_JOIN_S = 0.5
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
def answering(
    address: ListenAddress | None, answers: HealthAnswers, patience_s: float = _PATIENCE_S
) -> Iterator[int | None]:
    """Answer on `/healthz`, `/readyz` and `/metrics` while the block runs.

    Yields the port; port 0 picks a free one. Raises ConfigError if the port is taken.
    """
    if address is None:
        yield None
        return
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        listener = socket.create_server((address.host, address.port), family=family, backlog=128)
    except (OSError, UnicodeError, OverflowError) as error:
        said = getattr(error, "strerror", None) or error
        why = f"cannot listen on {address.host}:{address.port}: {said}"
        raise ConfigError([Problem("--http", why)]) from None
    port = int(listener.getsockname()[1])
    server = _HealthServer(listener, answers, patience_s)
    server.start()
    logger.info("answering on http://%s:%d/metrics", address.host, port)
    try:
        yield port
    finally:
        server.stop()


class _HealthServer:
    """An event loop in a thread of its own; one request a connection."""

    def __init__(self, listener: socket.socket, answers: HealthAnswers, patience_s: float) -> None:
        import asyncio

        self._listener = listener
        self._answers = answers
        self._patience_s = patience_s
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        # Answers may wait for a store: not in the loop, where others would wait with them.
        self._asked: SimpleQueue[tuple[str, Future[bytes]] | None] = SimpleQueue()
        self._makers = [
            threading.Thread(target=self._make, name="http-answer", daemon=True)
            for _ in range(_MAKERS)
        ]
        self._open: dict[asyncio.Task[None], None] = {}

    def start(self) -> None:
        """Begin to accept connections."""
        for thread in (self._thread, *self._makers):
            thread.start()

    def stop(self) -> None:
        """Close all connections; returns when the loop has ended."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        for _ in self._makers:
            self._asked.put(None)
        for thread in self._makers:  # one that is waiting for a store is not waited for
            thread.join(_JOIN_S)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        import asyncio

        server = await asyncio.start_server(
            self._accepted, sock=self._listener, limit=_MOST_REQUEST_BYTES
        )
        async with server:
            await self._ended.wait()
            server.close()
            for task in self._open:
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    async def _accepted(
        self, reader: "asyncio.StreamReader", writer: "asyncio.StreamWriter"
    ) -> None:
        import asyncio

        task = asyncio.current_task()
        assert task is not None
        if len(self._open) >= _MOST_CONNECTIONS:
            next(iter(self._open)).cancel()
        self._open[task] = None
        try:
            async with asyncio.timeout(self._patience_s):
                writer.write(await self._answer_to(reader))
                await writer.drain()
                writer.write_eof()
                discarded = 0
                while discarded < _MOST_DISCARDED_BYTES and (block := await reader.read(65536)):
                    discarded += len(block)
        except (TimeoutError, OSError, asyncio.CancelledError):
            # It was too slow, is gone, or had to make room. Nobody waits for this task's result.
            pass
        finally:
            self._open.pop(task, None)
            # At once, whatever the client has not read yet.
            writer.transport.abort()

    async def _answer_to(self, reader: "asyncio.StreamReader") -> bytes:
        import asyncio

        try:
            request = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return _page(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too large\n")
        except asyncio.IncompleteReadError as error:
            if not error.partial:
                raise ConnectionResetError from error
            return _page(HTTPStatus.BAD_REQUEST, "the request is not complete\n")
        line = request.partition(b"\r\n")[0].decode("latin-1").split(" ")
        if len(line) != 3 or not line[2].startswith("HTTP/"):
            return _page(HTTPStatus.BAD_REQUEST, "the request is not HTTP\n")
        method, target, _ = line
        if method not in ("GET", "HEAD"):
            return _page(HTTPStatus.NOT_IMPLEMENTED, "only GET and HEAD are answered\n")
        path = target.partition("?")[0]
        if path == "/healthz":
            answer = _page(HTTPStatus.OK, "alive\n")
        else:
            made: Future[bytes] = Future()
            self._asked.put((path, made))
            answer = await asyncio.wrap_future(made)
        return answer if method == "GET" else answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"

    def _make(self) -> None:
        while (asked := self._asked.get()) is not None:
            path, made = asked
            if made.set_running_or_notify_cancel():  # not for a client that has left
                made.set_result(self._made(path))

    def _made(self, path: str) -> bytes:
        """The answer to a request that may have to wait for something."""
        try:
            if path == "/readyz":
                reason = self._answers.not_ready()
                remark = None if reason else self._answers.remark()
                said = reason or (f"ready: {remark}" if remark else "ready")
                status = HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK
                return _page(status, f"{said}\n")
            if path == "/metrics":
                return _page(HTTPStatus.OK, self._answers.metrics(), _METRICS)
        except Exception:
            logger.exception("%s could not be answered", path)
            return _page(HTTPStatus.INTERNAL_SERVER_ERROR, "could not be answered; see the log\n")
        return _page(HTTPStatus.NOT_FOUND, "not found; try /healthz, /readyz or /metrics\n")


def _page(status: HTTPStatus, content: str | bytes, kind: str = _TEXT) -> bytes:
    """A whole answer, after which the connection is closed."""
    body = content.encode("utf-8", "replace") if isinstance(content, str) else content
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Server: moonwatch\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
