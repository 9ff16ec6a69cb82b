"""An HTTP camera of our own that can be told to misbehave while it is watched."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, Self

import cv2
import numpy as np

from tests.connectors.sources.servers import HOST, free_port

Mood = Literal["lively", "black", "frozen", "silent", "locked"]
_SIZE_WH = (320, 240)


def picture(number: int, mood: Mood = "lively") -> bytes:
    """A JPEG of one mood; a lively one is never twice the same."""
    width, height = _SIZE_WH
    if mood == "black":
        pixels = np.zeros((height, width, 3), np.uint8)
    else:
        ground = np.random.default_rng(1).integers(60, 190, (height, width, 3), np.uint8)
        pixels = np.asarray(cv2.blur(ground, (9, 9)), np.uint8)
        if mood == "lively":
            left = number * 7 % (width - 60)
            pixels[80:160, left : left + 60] = (40 + number % 200, 200, 90)
    ok, data = cv2.imencode(".jpg", pixels)
    assert ok
    return bytes(data)


class MjpegCamera:
    """Serves MJPEG at a port of this machine, `rate` pictures a second, in its present mood."""

    def __init__(self, rate: float = 5.0) -> None:
        self.mood: Mood = "lively"
        self.rate = rate
        self.port = free_port()
        self._server: ThreadingHTTPServer | None = None
        self._gone = threading.Event()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.port}/video"

    @property
    def is_locked(self) -> bool:
        """Whether it lets nobody in."""
        return self.mood == "locked"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Answer at its port."""
        camera, gone = self, threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if camera.is_locked:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
                self.end_headers()
                number = 0
                while not gone.wait(1.0 / camera.rate):
                    mood = camera.mood
                    if mood == "locked":
                        return
                    if mood == "silent":
                        continue
                    number += 1
                    data = picture(number, mood)
                    head = (
                        f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                    )
                    try:
                        self.wfile.write(head.encode() + data + b"\r\n")
                    except OSError:
                        return

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._gone = gone
        self._server = ThreadingHTTPServer((HOST, self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Hang up on everyone, and let nobody in."""
        self._gone.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
