"""HTTP answers for monitoring: is a process alive, is it ready, what are its metrics.

One thread serves all connections, and two make the answers. Whoever can reach the port can open
connections and send nothing, or one byte a second: each connection has a deadline as a whole, and
when there are too many, the oldest is closed for the newest, so that a probe always gets in.
"""

import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, TypeAlias

from pipeline.core.errors import ConfigError, Problem

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
FILES: Final = "/media/"
"""Below this are files, where a process serves any."""
# A request, from connecting to the last byte of its answer, may take this long.
_PATIENCE_S = 5.0
# Far more than all the monitors of a site open at a time.
_MOST_CONNECTIONS = 64
_MOST_REQUEST_BYTES = 16 * 1024
# What a client goes on sending is read this far, so that it gets to read why it is refused.
_MOST_DISCARDED_BYTES = 1024 * 1024
_MAKERS = 2
# Files may be large, and lie in a bucket: they have makers of their own, and more time. Each is in
# memory while it is sent.
_FILE_MAKERS = 2
_MOST_FILES = 8
_FILE_PATIENCE_S = 30.0
_SLOWEST_BYTES_S = 32 * 1024
_PIECE = 256 * 1024
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
class HttpPage:
    """An answer: a status, and what is sent with it."""

    status: HTTPStatus
    body: bytes
    kind: str = _TEXT
    headers: Mapping[str, str] = field(default_factory=dict)

    def head(self) -> bytes:
        """Everything before the body; the connection is closed after it."""
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            "Server: moonwatch",
            f"Content-Type: {self.kind}",
            f"Content-Length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
            "Connection: close",
        ]
        return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1", "replace")


MakesPage: TypeAlias = Callable[[str, Mapping[str, str]], HttpPage]
"""Answers a request for a path with these headers, whose names are in small letters."""


@dataclass(frozen=True, slots=True)
class HealthAnswers:
    """The answers for one process."""

    not_ready: Callable[[], str | None]
    """Why it is not ready; None when it is."""
    metrics: Callable[[], bytes]
    remark: Callable[[], str | None] = lambda: None
    """A remark about a process that is ready."""
    files: MakesPage | None = None
    """Answers what is below `/media/`, where the process serves files."""


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
        self._asked: SimpleQueue[_Asked | None] = SimpleQueue()
        self._files_asked: SimpleQueue[_Asked | None] = SimpleQueue()
        self._files_at_once = 0
        self._makers = [
            threading.Thread(target=self._make, args=(queue,), name="http-answer", daemon=True)
            for queue, number in (
                (self._asked, _MAKERS),
                (self._files_asked, 0 if answers.files is None else _FILE_MAKERS),
            )
            for _ in range(number)
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
            self._files_asked.put(None)
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
            async with asyncio.timeout(self._patience_s) as patience:
                await self._answer(reader, writer, patience)
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

    async def _answer(
        self,
        reader: "asyncio.StreamReader",
        writer: "asyncio.StreamWriter",
        patience: "asyncio.Timeout",
    ) -> None:
        """Read a request, and write the answer."""
        request = await _request_from(reader)
        if isinstance(request, HttpPage):
            writer.write(request.head() + request.body)
            await writer.drain()
            return
        method, path, headers = request
        if path.startswith(FILES) and self._answers.files is not None:
            if self._files_at_once >= _MOST_FILES:
                page = _page(HTTPStatus.SERVICE_UNAVAILABLE, "too many files are asked for\n")
                writer.write(page.head() + page.body)
                await writer.drain()
                return
            self._files_at_once += 1
            try:
                await self._answer_file(writer, patience, method, path, headers)
            finally:
                self._files_at_once -= 1
            return
        if path == "/healthz":
            page = _page(HTTPStatus.OK, "alive\n")
        else:
            page = await self._made_by(self._asked, path, headers)
        writer.write(page.head() + (page.body if method == "GET" else b""))
        await writer.drain()

    async def _answer_file(
        self,
        writer: "asyncio.StreamWriter",
        patience: "asyncio.Timeout",
        method: str,
        path: str,
        headers: Mapping[str, str],
    ) -> None:
        """Write a file in pieces: who takes them slowly has more time for a larger one."""
        began = self._loop.time()
        patience.reschedule(began + max(self._patience_s, _FILE_PATIENCE_S))
        page = await self._made_by(self._files_asked, path, headers)
        body = page.body if method == "GET" else b""
        takes_s = self._patience_s + len(body) / _SLOWEST_BYTES_S
        patience.reschedule(self._loop.time() + takes_s)
        writer.write(page.head())
        for start in range(0, len(body), _PIECE):
            writer.write(body[start : start + _PIECE])
            await writer.drain()

    async def _made_by(
        self, makers: "SimpleQueue[_Asked | None]", path: str, headers: Mapping[str, str]
    ) -> HttpPage:
        import asyncio

        made: Future[HttpPage] = Future()
        makers.put((path, headers, made))
        return await asyncio.wrap_future(made)

    def _make(self, queue: "SimpleQueue[_Asked | None]") -> None:
        while (asked := queue.get()) is not None:
            path, headers, made = asked
            if made.set_running_or_notify_cancel():  # not for a client that has left
                made.set_result(self._made(path, headers))

    def _made(self, path: str, headers: Mapping[str, str]) -> HttpPage:
        """The answer to a request that may have to wait for something."""
        try:
            if path == "/readyz":
                reason = self._answers.not_ready()
                remark = None if reason else self._answers.remark()
                said = reason or (f"ready: {remark}" if remark else "ready")
                status = HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK
                return _page(status, f"{said}\n")
            if path == "/metrics":
                return HttpPage(HTTPStatus.OK, self._answers.metrics(), _METRICS)
            if path.startswith(FILES) and self._answers.files is not None:
                return self._answers.files(path, headers)
        except Exception:
            # A link's path is as good as a password.
            shown = FILES if path.startswith(FILES) else path
            logger.exception("%s could not be answered", shown)
            return _page(HTTPStatus.INTERNAL_SERVER_ERROR, "could not be answered; see the log\n")
        return _page(HTTPStatus.NOT_FOUND, "not found; try /healthz, /readyz or /metrics\n")


_Asked: TypeAlias = tuple[str, Mapping[str, str], "Future[HttpPage]"]


async def _request_from(
    reader: "asyncio.StreamReader",
) -> tuple[str, str, Mapping[str, str]] | HttpPage:
    """The method, path and headers of a request, or what is answered to one that is none."""
    import asyncio

    try:
        request = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return _page(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too large\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            raise ConnectionResetError from error
        return _page(HTTPStatus.BAD_REQUEST, "the request is not complete\n")
    first, *lines = request.decode("latin-1").split("\r\n")
    line = first.split(" ")
    if len(line) != 3 or not line[2].startswith("HTTP/"):
        return _page(HTTPStatus.BAD_REQUEST, "the request is not HTTP\n")
    method, target, _ = line
    if method not in ("GET", "HEAD"):
        return _page(HTTPStatus.NOT_IMPLEMENTED, "only GET and HEAD are answered\n")
    pairs = (one.partition(":") for one in lines if one)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return method, target.partition("?")[0], headers


def _page(status: HTTPStatus, sentence: str) -> HttpPage:
    return HttpPage(status, sentence.encode("utf-8", "replace"))
