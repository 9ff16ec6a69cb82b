"""The port of live pictures: what samplers and processors show while somebody watches a camera.

A sampler shows each frame that it has sent, and a processor what it made of it; both carry the run
and the number of the frame, so that whoever watches can put a picture and its boxes together. It is
a bystander's view: nothing is kept, nothing waits for it, and what is lost is lost.
"""

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final, Literal, Protocol, TypeVar

from pipeline.core.geometry import Box, Point
from pipeline.core.jobs import Result

T = TypeVar("T")

WATCH_S: Final = 10.0
"""How long a camera counts as watched after somebody said so last, in seconds."""
PREVIEWS_KEPT: Final = 4
"""How many pictures of a camera wait for those who watch; the oldest go first."""
JUDGED_KEPT: Final = 32
"""How many judged frames of a camera wait for those who watch."""
NARROWEST: Final = 64
WIDEST: Final = 1920
"""Widths in pixels that can be asked for."""
LOOK_S: Final = 1.0
"""How often a process looks whether somebody watches."""
REPLIES_S: Final = 60.0
"""How long an answer to a visitor's question waits for him."""

BoxState = Literal["idle", "counted", "alarm"]
"""What rules make of a thing: nothing yet, a number, or a happening that goes on."""
Answered = Literal["true", "false", "failed"]
"""Whether an engine looked at a frame, and whether it could say something."""


@dataclass(frozen=True, slots=True)
class Preview:
    """A sampled frame as a small JPEG; masks are filled."""

    camera: str
    run: str
    seq: int
    captured_at: float
    """UTC seconds."""
    size_wh: tuple[int, int]
    """Of the JPEG, in pixels."""
    jpeg: bytes
    engines: tuple[str, ...] = ()
    """The engines that were asked about this frame where things are."""


@dataclass(frozen=True, slots=True)
class SeenThing:
    """A box of a judged frame, in 0..1 of it."""

    label: str
    track: int | None
    """None where it is not followed (yet), and so does not count."""
    score: float
    box: Box
    feet: Point
    """The point that rules judge, in 0..1."""
    state: BoxState = "idle"


@dataclass(frozen=True, slots=True)
class JudgedView:
    """What a processor made of one engine's answers about a frame."""

    camera: str
    run: str
    seq: int
    captured_at: float
    engine: str
    answered: Answered
    things: tuple[SeenThing, ...] = ()
    points: tuple[Point, ...] = ()
    said: Mapping[str, str] = field(default_factory=dict)
    """Answers in words and numbers, by task."""
    alarms: tuple[str, ...] = ()
    """The rules whose happening goes on."""


Shown = Preview | JudgedView


class LiveReader(Protocol):
    """What is new since it was asked last. Used by one thread."""

    def take(self, cameras: Collection[str], wait_s: float) -> list[Shown]:
        """What is new of these cameras, waiting up to `wait_s` for the first; raises QueueError.

        Of a camera that was not asked for the time before, also what is there already.
        """
        ...


class LiveBoard(Protocol):
    """Where live pictures and their boxes meet. Every method may be called from any thread."""

    def watched(self, camera: str) -> int | None:
        """The width in pixels that somebody wants to see of a camera; None if nobody watches.

        Looks at most once a second, so that it costs nothing. Never raises.
        """
        ...

    def show(self, preview: Preview) -> None:
        """Show a picture. Never raises and never waits for who watches."""
        ...

    def tell(self, judged: JudgedView) -> None:
        """Tell what was made of a frame. Never raises and never waits for who watches."""
        ...

    def watch(self, wanted: Mapping[str, int]) -> None:
        """Say, every few seconds, which cameras are watched, and how wide; raises QueueError."""
        ...

    def reader(self) -> LiveReader:
        """A place to read from."""
        ...

    def reply(self, key: str, result: Result) -> None:
        """Answer a visitor's question. Never raises."""
        ...

    def replied(self, key: str, wait_s: float) -> Result | None:
        """Take the answer to a visitor's question, waiting for it; None if none came.

        Raises QueueError.
        """
        ...


class MemoryLive:
    """The board of a process that has all stages and the application."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._watched: dict[str, tuple[int, float]] = {}
        self._previews: dict[str, deque[tuple[int, Preview]]] = {}
        self._judged: dict[str, deque[tuple[int, JudgedView]]] = {}
        self._replies: dict[str, tuple[float, Result]] = {}
        self._count = 0

    def watched(self, camera: str) -> int | None:
        """The width in pixels that somebody wants to see of a camera; None if nobody watches."""
        width, until = self._watched.get(camera, (0, 0.0))
        return width if until > self._monotonic() else None

    def show(self, preview: Preview) -> None:
        """Show a picture."""
        with self._changed:
            self._count += 1
            kept = self._previews.setdefault(preview.camera, deque(maxlen=PREVIEWS_KEPT))
            kept.append((self._count, preview))
            self._changed.notify_all()

    def tell(self, judged: JudgedView) -> None:
        """Tell what was made of a frame."""
        with self._changed:
            self._count += 1
            kept = self._judged.setdefault(judged.camera, deque(maxlen=JUDGED_KEPT))
            kept.append((self._count, judged))
            self._changed.notify_all()

    def watch(self, wanted: Mapping[str, int]) -> None:
        """Say which cameras are watched, and how wide."""
        now = self._monotonic()
        with self._changed:
            for camera in [name for name, (_, end) in self._watched.items() if end <= now]:
                del self._watched[camera]
                self._previews.pop(camera, None)
                self._judged.pop(camera, None)
            self._watched |= {name: (width, now + WATCH_S) for name, width in wanted.items()}

    def reader(self) -> "MemoryLiveReader":
        """A place to read from."""
        return MemoryLiveReader(self)

    def reply(self, key: str, result: Result) -> None:
        """Answer a visitor's question."""
        now = self._monotonic()
        with self._changed:
            for old in [name for name, (at, _) in self._replies.items() if now - at > REPLIES_S]:
                del self._replies[old]
            self._replies[key] = (now, result)
            self._changed.notify_all()

    def replied(self, key: str, wait_s: float) -> Result | None:
        """Take the answer to a visitor's question, waiting for it; None if none came."""
        with self._changed:
            self._changed.wait_for(lambda: key in self._replies, wait_s)
            found = self._replies.pop(key, None)
        return None if found is None else found[1]

    def after(self, since: Mapping[str, int], wait_s: float) -> tuple[list[Shown], int]:
        """What came of cameras after the counts in `since`, and the count now."""
        found: list[tuple[int, Shown]] = []

        def is_new() -> bool:
            for camera, count in since.items():
                found.extend(_newer(self._previews.get(camera, ()), count))
                found.extend(_newer(self._judged.get(camera, ()), count))
            return bool(found)

        with self._changed:
            self._changed.wait_for(is_new, wait_s)
            return [shown for _, shown in sorted(found, key=lambda one: one[0])], self._count


def _newer(kept: Sequence[tuple[int, T]], count: int) -> Iterator[tuple[int, T]]:
    """Those after a count, newest first: they stand last."""
    return takewhile(lambda one: one[0] > count, reversed(kept))


class MemoryLiveReader:
    """Reads what is new on a board of this process."""

    def __init__(self, board: MemoryLive) -> None:
        self._board = board
        self._since: dict[str, int] = {}

    def take(self, cameras: Collection[str], wait_s: float) -> list[Shown]:
        """What is new of these cameras, waiting up to `wait_s` for the first."""
        since = {camera: self._since.get(camera, 0) for camera in cameras}
        found, count = self._board.after(since, wait_s)
        self._since = dict.fromkeys(cameras, count)
        return found
