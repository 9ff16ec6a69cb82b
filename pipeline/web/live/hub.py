"""Reads what samplers and processors show, once for all who watch, and hands it out."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import cv2
import numpy as np

from pipeline.core.clock import Clock
from pipeline.core.errors import QueueError
from pipeline.core.live import LiveBoard, LiveReader, Preview
from pipeline.core.unforeseen import UnforeseenErrors
from pipeline.web.access.visitor import Visitor
from pipeline.web.live.clients import LiveClient, ShowWish
from pipeline.web.live.joining import JoinedFrame, Joiner, Ready
from pipeline.web.live.messages import LivePicture, LiveText, head_of, late_text, step_of

logger = logging.getLogger(__name__)

ANSWER_WAIT_S: Final = 1.0
"""How long a picture is held for what engines say of it."""
MOST_CLIENTS: Final = 256
MOST_OF_ONE: Final = 32
"""Connections of one visitor."""
# How often samplers and processors are told that somebody watches; they forget it in 10 s.
_SAY_S = 2.0
_TAKE_S = 0.25
# What is made before a page has said what it shows: for tiles of a first page of the wall.
_FIRST_WIDTH = 320
_FIRST_CAMERAS = 16
_AWAY_S = 0.5
_QUALITY = 70
# Pictures of each camera that is watched, so that what is looked at can be asked about.
_KEPT = 8
# A picture is made smaller for those who need less than this share of its width.
_SMALLER = 0.7

HandedOut = LivePicture | LiveText


class LiveHub:
    """One thread reads, joins and compresses; the event loop only hands out what is ready."""

    def __init__(
        self, board: LiveBoard | None, clock: Clock, answer_wait_s: float = ANSWER_WAIT_S
    ) -> None:
        """Without a board nobody is shown anything, but news."""
        self._board = board
        self._clock = clock
        self._answer_wait_s = answer_wait_s
        self._joiner = Joiner(answer_wait_s, clock.monotonic)
        self._unforeseen = UnforeseenErrors("showing live pictures", clock, logger)
        self._clients: set[LiveClient] = set()
        self._newest: dict[str, deque[LivePicture]] = {}
        self._lock = threading.Lock()
        self._widths: Mapping[str, frozenset[int]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._is_wanted = threading.Event()

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._clients)

    @property
    def trouble(self) -> str | None:
        """Why there are no pictures now; None if there are, or should be."""
        return self._trouble or self.unforeseen

    @property
    def unforeseen(self) -> str | None:
        """What went wrong that nobody foresaw, while it is so."""
        return self._unforeseen.trouble

    _trouble: str | None = None

    def join(self, client: LiveClient) -> bool:
        """Add one who watches; False if there are too many. Called by the event loop."""
        own = sum(one.visitor.name == client.visitor.name for one in self._clients)
        if len(self._clients) >= MOST_CLIENTS or own >= MOST_OF_ONE:
            return False
        self._loop = asyncio.get_running_loop()
        self._clients.add(client)
        if self._thread is None and self._board is not None:
            self._thread = threading.Thread(target=self._run, name="live", daemon=True)
            self._thread.start()
        return True

    def leave(self, client: LiveClient) -> None:
        """Let one go. Called by the event loop."""
        self._clients.discard(client)
        self._count()

    def show(self, client: LiveClient, show: Mapping[str, ShowWish]) -> None:
        """Show one these cameras, beginning with the newest picture that is known."""
        before = client.show
        client.wants(show)
        self._count()
        for camera in client.show.keys() - before.keys():
            if camera in self._newest:
                client.offer(self._newest[camera][-1])

    def expect(self, visitor: Visitor, cameras: Sequence[str]) -> None:
        """Have first pictures of cameras made for a visitor who is about to watch.

        Nothing is done for one who watches already. Called by any thread.
        """
        own = (one for one in self.everyone() if one.visitor.name == visitor.name)
        if self._board is None or any(one.show for one in own):
            return
        with self._lock:
            unwatched = [one for one in cameras if one not in self._widths][:_FIRST_CAMERAS]
        try:
            self._board.watch(dict.fromkeys(unwatched, _FIRST_WIDTH))
        except QueueError as error:
            logger.debug("first pictures are not asked for: %s", error)

    def frame(self, camera: str, run: str | None, seq: int | None) -> LivePicture | None:
        """A frame that was just shown, or else the newest one; called by any thread."""
        kept = self._newest.get(camera)
        if not kept:
            return None
        looked_at = (one for one in kept if (one.run, one.seq) == (run, seq))
        return next(looked_at, kept[-1])

    def everyone(self) -> Collection[LiveClient]:
        """All who watch. Called by any thread."""
        return [*self._clients]

    def call(self, hand_out: Any) -> None:
        """Run something in the event loop, soon; called by any thread."""

        def guarded() -> None:
            try:
                hand_out()
            except Exception as error:  # noqa: BLE001 - who watches is told of it
                self._unforeseen.happened(error)

        loop = self._loop
        if loop is not None and not self._stop.is_set():
            try:
                loop.call_soon_threadsafe(guarded)
            except RuntimeError:
                logger.debug("the event loop has ended")

    def stop(self) -> None:
        """End the thread; safe to repeat."""
        self._stop.set()
        self._is_wanted.set()
        if self._thread is not None:
            self._thread.join(2.0)

    def _count(self) -> None:
        """Note which cameras are watched, and in which widths."""
        widths: dict[str, set[int]] = {}
        for client in self._clients:
            for camera, wish in client.show.items():
                widths.setdefault(camera, set()).add(wish.width)
        self._newest = {name: kept for name, kept in self._newest.items() if name in widths}
        with self._lock:
            self._widths = {camera: frozenset(some) for camera, some in widths.items()}
        if widths:
            self._is_wanted.set()

    def _run(self) -> None:
        board = self._board
        if board is None:
            return
        reader: LiveReader | None = None
        said: Mapping[str, int] = {}
        said_at = float("-inf")
        while not self._stop.is_set():
            with self._lock:
                widths = self._widths
            if not widths:
                self._is_wanted.clear()
                with self._lock:
                    is_idle = not self._widths
                if is_idle:
                    self._is_wanted.wait(1.0)
                continue
            try:
                if reader is None:
                    reader = board.reader()
                wanted = {camera: max(some) for camera, some in widths.items()}
                now = self._clock.monotonic()
                if now - said_at >= _SAY_S or wanted != said:
                    board.watch(wanted)
                    said, said_at = wanted, now
                due_s = self._joiner.next_due_s()
                shown = reader.take(widths, _TAKE_S if due_s is None else min(_TAKE_S, due_s))
                self._trouble = None
            except QueueError as error:
                self._trouble = str(error)
                shown = []
                self._clock.wait(_AWAY_S, self._stop)
            except Exception as error:  # noqa: BLE001 - the thread is started only once
                self._unforeseen.happened(error)
                reader = None
                self._clock.wait(_AWAY_S, self._stop)
                continue
            try:
                self._pass_on(self._joiner.take(shown), widths)
            except Exception as error:  # noqa: BLE001
                self._unforeseen.happened(error)
                # What it holds may be what went wrong.
                self._joiner = Joiner(self._answer_wait_s, self._clock.monotonic)
                self._clock.wait(_AWAY_S, self._stop)

    def _pass_on(self, ready: Sequence[Ready], widths: Mapping[str, frozenset[int]]) -> None:
        made: list[HandedOut] = []
        newest = {one.preview.camera: one for one in ready if isinstance(one, JoinedFrame)}
        for one in ready:
            if isinstance(one, JoinedFrame):
                # Of pictures that come together only the newest would be sent.
                if newest[one.preview.camera] is not one:
                    continue
                picture = _picture_of(one, widths.get(one.preview.camera, frozenset()))
                if picture is not None:
                    made.append(picture)
            else:
                made.append(LiveText(one.place[0], late_text(one)))
        if made:
            self.call(lambda: self._hand_out(made))

    def _hand_out(self, made: Sequence[HandedOut]) -> None:
        """Called by the event loop."""
        for one in made:
            for client in self._clients:
                if isinstance(one, LivePicture):
                    client.offer(one)
                else:
                    client.tell(one.camera, one.text)
            if isinstance(one, LivePicture):
                kept = self._newest.get(one.camera, deque(maxlen=_KEPT))
                self._newest = {**self._newest, one.camera: deque([*kept, one], _KEPT)}


def _picture_of(joined: JoinedFrame, widths: Collection[int]) -> LivePicture | None:
    """The picture in steps of the widths that are wanted; None where it is none."""
    preview = joined.preview
    width, height = preview.size_wh
    jpegs: dict[int, tuple[bytes, int, int]] = {width: (preview.jpeg, width, height)}
    smaller = {step for step in map(step_of, widths) if step < width * _SMALLER}
    if smaller:
        pixels = _pixels(preview)
        if pixels is None:
            return None
        for step in smaller:
            made = _resized(pixels, step)
            if made is not None:
                jpegs[step] = made
    return LivePicture(
        preview.camera, preview.run, preview.seq, preview.captured_at, head_of(joined), jpegs
    )


def _pixels(preview: Preview) -> Any:
    try:
        return cv2.imdecode(np.frombuffer(preview.jpeg, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None


def _resized(pixels: Any, width: int) -> tuple[bytes, int, int] | None:
    size_wh = (width, max(1, round(pixels.shape[0] * width / pixels.shape[1])))
    small = cv2.resize(pixels, size_wh, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return (data.tobytes(), *size_wh) if done else None
