"""Real servers on this machine's loopback: RTSP over TCP and UDP, ones that misbehave, and HTTP."""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import rtsp

from pipeline.testing import patience, wait_until
from tests.pausing import pause

HOST = "127.0.0.1"


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class FileServer:
    """Serves the videos of a folder over RTSP/TCP, at the speed they were recorded.

    A process of its own, so that it can be stopped and frozen like a camera that loses its power
    or its mind.
    """

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.port = port or free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, name: str, login: str = "") -> str:
        """Address of a video."""
        return f"rtsp://{login}{HOST}:{self.port}/{name}"

    def __enter__(self) -> Self:
        words = (str(self._folder), HOST, str(self.port))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, *words], stdout=subprocess.DEVNULL
        )
        wait_until(self._listens, 20)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def freeze(self) -> None:
        """Keep every connection open and send nothing any more."""
        assert self._process is not None
        pause(self._process.pid)

    def stop(self) -> None:
        """Hang up on everyone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(patience(10))

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0


_SERVE = """
import asyncio, sys
from aio_rtsp_toolkit.server import serve
asyncio.run(serve(sys.argv[1], host=sys.argv[2], port=int(sys.argv[3])))
"""


@contextmanager
def udp_server(
    units: Sequence[bytes], step: int | Callable[[], int] = 9000
) -> Iterator[tuple[str, threading.Event]]:
    """Sends H.264 access units over RTSP/UDP again and again, until the event is set.

    `step` is how far the timestamp goes on from one to the next, in 90 000ths of a second.
    """
    port = free_port()
    server = rtsp.Server(f"{HOST}:{port}")
    server.start()
    stop = threading.Event()

    def feed() -> None:
        while not stop.is_set():
            for unit in units:
                server.send_frame(unit, step if isinstance(step, int) else step())
                if stop.wait(0.01):
                    return

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    try:
        yield f"rtsp://{HOST}:{port}/stream", stop
    finally:
        stop.set()
        thread.join(patience(10))
        server.stop()


@contextmanager
def answering(answer: Callable[[bytes], bytes] | None) -> Iterator[int]:
    """A TCP port that gives the same kind of answer to every request, or never says a word."""
    listener = socket.socket()
    listener.bind((HOST, 0))
    listener.listen()
    held: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        try:
            while request := connection.recv(4096):
                if answer is not None:
                    connection.sendall(answer(request))
        except OSError:
            return

    def accept() -> None:
        try:
            while True:
                connection, _ = listener.accept()
                held.append(connection)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()
        except OSError:
            return

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        # A connection that was just being accepted is among the held ones after this.
        accepting.join(patience(5))
        for connection in held:
            connection.close()


def rtsp_answer(status: str, *headers: str) -> Callable[[bytes], bytes]:
    """An RTSP server's answer with the request's own number."""

    def answer(request: bytes) -> bytes:
        lines = request.decode().split("\r\n")
        number = next((line for line in lines if line.lower().startswith("cseq")), "CSeq: 0")
        return "\r\n".join([f"RTSP/1.0 {status}", number, *headers, "", ""]).encode()

    return answer


Page = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def http_camera(page: Page) -> Iterator[str]:
    """A web server that answers every GET with `page`; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                page(self)
            except OSError:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(patience(10))
