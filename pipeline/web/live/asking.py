"""Puts a visitor's question about a picture to an engine of the deployment that is at work."""

import base64
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np

from pipeline.core.answers import Answer, Failed
from pipeline.core.clock import Clock
from pipeline.core.frames import Pixels
from pipeline.core.jobs import VISITOR, Result
from pipeline.core.live import LiveBoard
from pipeline.core.queues import AHEAD_ROOM, Queues
from pipeline.core.tasks import Ask, Count, Detect, Point, Task
from pipeline.deployment.model import Deployment
from pipeline.processing.questions import question_job
from pipeline.runtime.assembly import used_engines
from pipeline.web.access.visitor import Visitor
from pipeline.web.live.wall import LiveWall
from pipeline.web.problems import WebError

AskKind = Literal["detect", "point", "count", "ask"]
WITHIN_S: Final = 30.0
"""How long an answer is waited for."""
_LOOK_S: Final = 0.25
_AT_ONCE: Final = 4
_TASK: Final = "visitor"
_NOT_HERE = (
    "No engine can be asked from here: that takes `run` and the application in one process, or a "
    "queue in Redis."
)
_ANOTHER_ENGINE = (
    "Only engines that a task of the file uses are asked: to ask another, add it under `engines:` "
    "and a task with it"
)


@dataclass(frozen=True, slots=True)
class AskedPicture:
    """A picture that is asked about."""

    jpeg: bytes
    captured_at: float
    """UTC seconds."""
    run: str = ""
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class VisitorAnswer:
    """What an engine said."""

    engine: str
    answer: Answer
    took_s: float


class QuestionLine:
    """So many questions at once, and one of each visitor: engines are there for their cameras."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking: set[str] = set()

    @contextmanager
    def turn(self, visitor: str) -> Iterator[None]:
        """The visitor's turn; raises WebError where he, or too many others, ask already."""
        with self._lock:
            if visitor in self._asking:
                raise WebError(429, "your last question is not answered yet", retry_after_s=2)
            if len(self._asking) >= _AT_ONCE:
                raise WebError(429, "others ask at the moment; try again", retry_after_s=2)
            self._asking.add(visitor)
        try:
            yield
        finally:
            with self._lock:
                self._asking.discard(visitor)


LINE: Final = QuestionLine()


def engine_for(deployment: Deployment, camera: str, kind: AskKind, words: str) -> Task:
    """The question for the first engine at work that can answer it, the camera's own first.

    Raises WebError with what each of them says.
    """
    own = {task.engine for task in deployment.cameras[camera].tasks.values() if task.engine}
    names = sorted(used_engines(deployment), key=lambda name: name not in own)
    reasons: dict[str, str] = {}
    for name in names:
        task = _task(kind, name, words)
        reason = deployment.engines[name].problem_with(task)
        if reason is None:
            return task
        reasons[name] = reason
    if not reasons:
        raise WebError(422, "no engine is at work", place="kind")
    said = "; ".join(f"engine {name}: {reason}" for name, reason in reasons.items())
    raise WebError(422, f"{said}. {_ANOTHER_ENGINE}", place="kind")


def asked_of(wall: LiveWall, visitor: Visitor) -> tuple[Queues, LiveBoard]:
    """What questions are put to, and where answers come; raises WebError where there is none."""
    if wall.queues is None or wall.queues.live is None:
        raise WebError(503, f"{_NOT_HERE} {wall.way_out(visitor)}")
    return wall.queues, wall.queues.live


def asked(
    wall: LiveWall, visitor: Visitor, clock: Clock, camera: str, task: Task, picture: AskedPicture
) -> VisitorAnswer:
    """The answer to a question about a picture; raises WebError, and QueueError."""
    queues, board = asked_of(wall, visitor)
    pixels = _pixels(picture.jpeg)
    key = secrets.token_hex(12)
    job = question_job(VISITOR + key, camera, picture.captured_at, task, pixels)
    began = clock.monotonic()
    if not queues.jobs.put(job, 1.0).accepted:
        said = (
            f"engine {task.engine} has {AHEAD_ROOM} questions about this camera to answer already"
        )
        raise WebError(503, f"{said}; try again, or is no worker running?", retry_after_s=5)
    result = _reply(wall, board, key, clock)
    if result is None:
        raise WebError(504, _late(queues, task.engine), retry_after_s=5)
    failed = Failed(task.engine, "the engine gave no answer")
    answer = next(iter(result.answers.values()), failed)
    return VisitorAnswer(task.engine, answer, clock.monotonic() - began)


def _reply(wall: LiveWall, board: LiveBoard, key: str, clock: Clock) -> Result | None:
    """The answer, waited for in small pieces: a process must not last for as long as it takes.

    By the clock: the pieces together last longer on a busy machine, and the page that waits would
    give up first, without the reason.
    """
    until = clock.monotonic() + WITHIN_S
    while (left := until - clock.monotonic()) > 0:
        found = board.replied(key, min(_LOOK_S, left))
        if found is not None:
            return found
        if wall.is_ending:
            raise WebError(503, "the application ends, and waits for no answer", retry_after_s=5)
    return None


def as_base64(picture: AskedPicture) -> str:
    """The picture for JSON."""
    return base64.b64encode(picture.jpeg).decode()


def _late(queues: Queues, engine: str) -> str:
    waiting = queues.jobs.backlog().get(engine)
    busy = f", where {waiting.length} frames wait" if waiting and waiting.length else ""
    return f"engine {engine} has not answered within {WITHIN_S:g} s{busy}; is a worker running?"


def _task(kind: AskKind, engine: str, words: str) -> Task:
    kinds: Mapping[str, type[Detect | Point | Count]] = {
        "detect": Detect,
        "point": Point,
        "count": Count,
    }
    if kind == "ask":
        return Ask(_TASK, engine, words)
    return kinds[kind](_TASK, engine, words)


def _pixels(jpeg: bytes) -> Pixels:
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise WebError(422, "the picture cannot be read")
    return np.asarray(pixels, np.uint8)
