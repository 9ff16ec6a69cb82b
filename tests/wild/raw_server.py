"""A camera's web server that answers with any bytes whatever."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from pipeline.testing import patience

HOST = "127.0.0.1"
Answers = Callable[[int, bytes], Iterable[bytes]]
"""From the number of the connection and the request to what is sent, piece by piece."""


@contextmanager
def raw_camera(
    answers: Answers, *, stays: bool = False, tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Answers one request on each connection, and hangs up unless it `stays`; gives its address."""
    listener = socket.create_server((HOST, 0))
    held: list[socket.socket] = []
    done = threading.Event()

    def serve(connection: socket.socket, nth: int) -> None:
        try:
            if tls is not None:
                connection.settimeout(patience(10))
                connection = tls.wrap_socket(connection, server_side=True)
                held.append(connection)
            for piece in answers(nth, _request(connection)):
                connection.sendall(piece)
                if done.is_set():
                    return
            if stays:
                done.wait(patience(30))
        except OSError:
            return
        finally:
            connection.close()

    def accept() -> None:
        nth = 0
        while not done.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            held.append(connection)
            threading.Thread(target=serve, args=(connection, nth), daemon=True).start()
            nth += 1

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield f"{'http' if tls is None else 'https'}://{HOST}:{listener.getsockname()[1]}/cam"
    finally:
        done.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join(patience(5))
        for connection in held:
            connection.close()


def _request(connection: socket.socket) -> bytes:
    """All of a request; raises OSError if whoever asks hangs up before its end."""
    request = b""
    while b"\r\n\r\n" not in request:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionResetError
        request += piece
    return request


def head(*lines: str | None, status: str = "200 OK") -> bytes:
    """The head of an answer."""
    return "\r\n".join([f"HTTP/1.1 {status}", *filter(None, lines), "", ""]).encode("latin-1")
