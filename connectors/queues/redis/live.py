"""Live pictures and what was made of them, from samplers and processors to those who watch."""

import logging
import math
import threading
from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec

from connectors.queues.redis.client.link import Link
from pipeline.core.clock import Clock
from pipeline.core.errors import QueueError
from pipeline.core.jobs import Result
from pipeline.core.live import (
    JUDGED_KEPT,
    LOOK_S,
    NARROWEST,
    PREVIEWS_KEPT,
    REPLIES_S,
    WATCH_S,
    WIDEST,
    JudgedView,
    Preview,
    Shown,
)
from pipeline.core.ranges import MOST_FOUND, MOST_SIDE, PLACES, is_moment
from pipeline.core.wire import decode_result, encode_result

logger = logging.getLogger(__name__)

_PREVIEW_MS: Final = 5_000
_JUDGED_MS: Final = 10_000
_WATCH_MS: Final = round(WATCH_S * 1000)
_REPLY_MS: Final = round(REPLIES_S * 1000)
# No picture of the widest that can be asked for is larger.
_MOST_BYTES = 4_000_000
_START = "0-0"
_KINDS: Final[tuple[tuple[str, type[Preview | JudgedView]], ...]] = (
    ("preview", Preview),
    ("judged", JudgedView),
)


class RedisLive:
    """See `pipeline.core.live.LiveBoard`. While Redis is away nobody watches."""

    def __init__(self, link: Link, clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._looking = threading.Lock()
        self._looked_at = float("-inf")
        self._asked_of: set[str] = set()
        self._watched: Mapping[str, int] = {}

    def watched(self, camera: str) -> int | None:
        """The width in pixels that somebody wants to see of a camera; None if nobody watches.

        One thread looks for all cameras of the process, once a second; the others go on with what
        is known.
        """
        if camera not in self._asked_of:
            self._asked_of = {*self._asked_of, camera}
        if self._clock.monotonic() - self._looked_at >= LOOK_S and self._looking.acquire(
            blocking=False
        ):
            try:
                self._look()
            finally:
                self._looking.release()
        return self._watched.get(camera)

    def _look(self) -> None:
        cameras = sorted(self._asked_of)
        self._looked_at = self._clock.monotonic()
        try:
            found: list[bytes | None] = self._link.script("live_watched", *cameras)
        except QueueError:  # the link reports it
            self._watched = {}
            return
        widths = zip(cameras, found, strict=True)
        self._watched = {name: _width(width) for name, width in widths if width}

    def show(self, preview: Preview) -> None:
        """Show a picture."""
        self._put("preview", preview.camera, PREVIEWS_KEPT, _PREVIEW_MS, preview)

    def tell(self, judged: JudgedView) -> None:
        """Tell what was made of a frame."""
        self._put("judged", judged.camera, JUDGED_KEPT, _JUDGED_MS, judged)

    def _put(self, kind: str, camera: str, kept: int, life_ms: int, shown: Shown) -> None:
        try:
            data = msgspec.msgpack.encode(shown)
            self._link.script("live_show", kind, camera, kept, life_ms, data)
        except (QueueError, ValueError) as error:
            # Nobody sees it; a Redis that is away is reported by its link.
            logger.debug("a live picture of camera %s is lost: %s", camera, error)

    def watch(self, wanted: Mapping[str, int]) -> None:
        """Say which cameras are watched, and how wide; raises QueueError."""
        told = [part for camera, width in wanted.items() for part in (camera, width)]
        if told:
            self._link.script("live_watch", _WATCH_MS, *told)

    def reader(self) -> "RedisLiveReader":
        """A place to read from."""
        return RedisLiveReader(self._link)

    def reply(self, key: str, result: Result) -> None:
        """Answer a visitor's question."""
        try:
            self._link.script("live_reply", key, _REPLY_MS, encode_result(result))
        except QueueError as error:
            logger.debug("the answer to a visitor's question is lost: %s", error)

    def replied(self, key: str, wait_s: float) -> Result | None:
        """Take the answer to a visitor's question, waiting for it; raises QueueError."""
        deadline = self._clock.monotonic() + wait_s
        while True:
            left = deadline - self._clock.monotonic()
            found = self._link.pop(f"reply:{key}", max(0.0, left))
            if found is not None:
                return decode_result(found)
            if left <= 0:
                return None


class RedisLiveReader:
    """Reads what is new in Redis."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._since: dict[str, str | bytes] = {}

    def take(self, cameras: Collection[str], wait_s: float) -> list[Shown]:
        """What is new of these cameras, waiting up to `wait_s` for the first; raises QueueError."""
        names = {f"{kind}:{camera}": type_ for camera in cameras for kind, type_ in _KINDS}
        self._since = {name: self._since.get(name, _START) for name in names}
        if not names:
            return []
        shown: list[Shown] = []
        for name, entry, fields in self._link.read(self._since, JUDGED_KEPT, wait_s):
            self._since[name] = entry
            one = _read(names[name], fields.get(b"shown", b""), name.partition(":")[2])
            if one is not None:
                shown.append(one)
        return shown


def _width(text: bytes) -> int:
    return min(max(int(text), NARROWEST), WIDEST) if text.isdigit() else NARROWEST


def _read(type_: type[Preview | JudgedView], data: bytes, camera: str) -> Shown | None:
    """What can be read; what another program wrote there is nothing to show."""
    try:
        shown: Any = msgspec.msgpack.decode(data[:_MOST_BYTES], type=type_)
        _check(shown, camera)
    except (ValueError, RecursionError) as error:  # msgspec's own are ValueErrors
        logger.debug("something live of camera %s in Redis cannot be read: %s", camera, error)
        return None
    found: Shown = shown
    return found


def _check(shown: Shown, camera: str) -> None:
    """Raise ValueError unless everything is in its range."""
    if shown.camera != camera or not is_moment(shown.captured_at):
        raise ValueError("it is of another camera, or of no time")
    if isinstance(shown, Preview):
        if not all(1 <= side <= MOST_SIDE for side in shown.size_wh):
            raise ValueError("its picture has no size")
        return
    places = [point for thing in shown.things for point in (thing.box, thing.feet)]
    if len(shown.things) > MOST_FOUND or len(shown.points) > MOST_FOUND:
        raise ValueError("it has too many things")
    for value in (value for place in (*places, *shown.points) for value in place):
        if not (math.isfinite(value) and PLACES[0] <= value <= PLACES[1]):
            raise ValueError("something is outside the picture")
