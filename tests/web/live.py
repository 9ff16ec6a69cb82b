"""A product that runs while tests watch it: the bundled recording as a live camera, and one who
watches over the WebSocket.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from pipeline.deployment.loader import read
from pipeline.runtime.ownership import RunOwnership
from pipeline.runtime.reload import DeploymentFile
from pipeline.runtime.single_process import Run
from pipeline.testing import patience
from tests.connectors.sources.servers import http_camera
from tests.connectors.sources.test_http import still
from tests.runtime.clips import CLIP, written

EVERY_S = 0.2
"""How often the recording is sampled; a short piece of it plays round and round in real time."""
_PIECE = 40
MASK = [[0.0, 0.0], [0.3, 0.0], [0.3, 0.3], [0.0, 0.3]]
# Somebody walks from left to right, over the line, and a second one stands there.
WALK = [
    [[0.05 + 0.04 * step, 0.4, 0.13 + 0.04 * step, 0.8], [0.8, 0.3, 0.9, 0.7]] for step in range(20)
]

ASKED = [0.4, 0.4, 0.5, 0.6]
ANSWERS = {"people": WALK, "visitor": [[ASKED]], "red-bag": [[ASKED]]}
"""What the engine says, frame after frame, about what a visitor looks for, and about the task that
is made of it.
"""


@cache
def pictures() -> tuple[bytes, ...]:
    """The first seconds of the bundled recording as JPEGs, five a second."""
    found: list[bytes] = []
    with av.open(str(CLIP)) as clip:
        for number, frame in enumerate(clip.decode(video=0)):
            if number % 5 == 0:
                bgr = frame.to_ndarray(format="bgr24")
                found.append(cv2.imencode(".jpg", bgr)[1].tobytes())
            if len(found) == _PIECE:
                break
    return tuple(found)


class PlayingCamera:
    """An HTTP camera that shows the recording in real time, while it is switched on."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.shown = pictures()

    def page(self, request: BaseHTTPRequestHandler) -> None:
        """The picture of now."""
        passed = int((time.monotonic() - self.began) / EVERY_S)
        still(self.shown[passed % len(self.shown)])(request)


def deployment(folder: Path, url: str, *cameras: str, **more: Any) -> Path:
    """A deployment file of cameras that show the recording; `more` are sections of it."""
    one = {
        "source": {"type": "http", "url": url, "poll": f"{round(EVERY_S * 1000)}ms"},
        "sample": {"every": f"{round(EVERY_S * 1000)}ms", "masks": [MASK]},
        "tasks": {"people": {"detect": "person", "engine": "pretend"}},
        "lines": {"middle": {"from": [0.5, 0.1], "to": [0.5, 1.0]}},
        "zones": {"right": {"polygon": [[0.7, 0.2], [1, 0.2], [1, 1], [0.7, 1]]}},
        "rules": {
            "in": {"type": "line_crossing", "of": "people", "line": "middle"},
            "stay": {"type": "dwell", "of": "people", "zone": "right", "longer_than": "1s"},
        },
    }
    return written(
        folder,
        {
            "version": 1,
            "site": {"name": "Plaza", "timezone": "Europe/Berlin"},
            "store": {"url": f"sqlite:///{folder}/moonwatch.db"},
            "engines": {"pretend": {"type": "scripted", "answers": ANSWERS}},
            "cameras": dict.fromkeys(cameras or ("plaza",), one),
            **more,
        },
    )


@contextmanager
def camera() -> Iterator[str]:
    """The address of a camera that plays the recording."""
    playing = PlayingCamera()
    with http_camera(playing.page) as url:
        yield url


@contextmanager
def running(file: Path) -> Iterator[Run]:
    """All stages of a deployment in this process, at work."""
    loaded = read(file, ())
    with RunOwnership(loaded.deployment) as ownership:
        assert ownership.take(stop=threading.Event(), wait=False)
        run = Run(loaded.deployment, ownership, file=DeploymentFile(file, (), loaded))
        stop = threading.Event()

        def poll() -> None:
            while not stop.wait(0.05):
                run.poll()

        polling = threading.Thread(target=poll, daemon=True)
        run.start()
        polling.start()
        try:
            yield run
        finally:
            stop.set()
            polling.join(patience(5))
            run.stop()
            run.close()


@dataclass
class SeenPicture:
    """A picture as it came over the wire."""

    header: Mapping[str, Any]
    jpeg: bytes

    @property
    def place(self) -> tuple[str, int]:
        """Run and number of the frame."""
        return self.header["run"], self.header["seq"]

    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) BGR."""
        decoded = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        return np.asarray(decoded, np.uint8)


@dataclass
class Watching:
    """One who watches: everything that came, read by a thread of its own."""

    socket: ClientConnection
    pictures: list[SeenPicture] = field(default_factory=list)
    texts: list[dict[str, Any]] = field(default_factory=list)
    closed: int | None = None
    """The code with which the other side has closed."""

    def show(self, *cameras: str, width: int = 320, fps: float = 15.0) -> None:
        """Ask for these cameras, and for no others."""
        shown = [{"camera": name, "width": width, "fps": fps} for name in cameras]
        self.socket.send(json.dumps({"show": shown}))

    def until(self, fact: Callable[[], bool], within_s: float = 15.0) -> None:
        """Wait for a fact."""
        deadline = time.monotonic() + patience(within_s)
        while not fact():
            assert time.monotonic() < deadline, f"{len(self.pictures)} pictures, {self.texts[-3:]}"
            time.sleep(0.02)

    def listen(self) -> None:
        """Read until the other side closes."""
        try:
            for message in self.socket:
                if isinstance(message, bytes):
                    length = int.from_bytes(message[:4], "big")
                    head = json.loads(message[4 : 4 + length])
                    self.pictures.append(SeenPicture(head, message[4 + length :]))
                else:
                    self.texts.append(json.loads(message))
        except ConnectionClosed:
            pass
        self.closed = self.socket.close_code


def connected(url: str, origin: str | None = None, **headers: str) -> ClientConnection:
    """A connection to the application at this address, as a page of its own has it."""
    return connect(
        url.replace("http://", "ws://") + "/api/v1/live",
        compression=None,
        open_timeout=patience(10),
        origin=Origin(origin or url),
        additional_headers=headers,
    )


@contextmanager
def watching(url: str, **headers: str) -> Iterator[Watching]:
    """Somebody who watches the application at this address."""
    with connected(url, **headers) as socket:
        seen = Watching(socket)
        reading = threading.Thread(target=seen.listen, daemon=True)
        reading.start()
        yield seen
    reading.join(patience(10))
