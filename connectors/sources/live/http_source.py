"""Reads cameras over HTTP: MJPEG streams and still pictures."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from connectors.sources.failures import failure
from connectors.sources.ffmpeg.errors import DECODE_ERROR, Silence
from connectors.sources.ffmpeg.pictures import PixelConverter, VideoPicture
from connectors.sources.ffmpeg.plan import WantedPictures
from connectors.sources.ffmpeg.ring import PacketRing
from connectors.sources.ffmpeg.stills import StillDecoder
from connectors.sources.ffmpeg.timeline import LiveTimeline
from connectors.sources.live.http_client import Connection
from connectors.sources.live.multipart import PictureFinder, boundary_of
from connectors.sources.live.reader import CameraPlace, LiveSource, Watch
from pipeline.core.clock import Clock
from pipeline.core.errors import SourceError, SourceFailure
from pipeline.core.frames import Picture
from pipeline.core.sources import CameraClockState, Need

if TYPE_CHECKING:
    from connectors.sources.http import HttpConfig

# Polls in a row that must fail for a reason that a retry seldom mends, before they are believed:
# a camera that restarts answers with anything for a moment.
_BELIEVED = 3
_SELDOM_MENDED = {
    SourceFailure.UNAUTHORISED,
    SourceFailure.NOT_FOUND,
    SourceFailure.UNSUPPORTED,
}
# Of a camera that was never seen, these may be a passing fault; the others are said at once.
_PASSING = {SourceFailure.BROKEN, SourceFailure.ENDED}
# Of the time to open, what is left for saying why it did not.
_IN_TIME = 0.9
# A slow line may bring a large picture in so many times `read_timeout`, if it brings one at all.
_SLOW = 6


class HttpSource(LiveSource):
    """Reads pictures over HTTP; a picture's time is that of its arrival."""

    def __init__(self, config: "HttpConfig", clock: Clock) -> None:
        super().__init__(str(config.url), config, clock)
        self._config = config

    @property
    def pause_s(self) -> float:
        """How long it sends nothing between two pictures, because nothing is asked for."""
        return self._config.poll.total_seconds() if self._config.poll else 0.0

    @property
    def camera_clock(self) -> CameraClockState:
        """Always right: it is not asked."""
        return CameraClockState(True, "its pictures are dated by their arrival")

    def _read(self, need: Need, watch: Watch) -> Iterator[Picture]:
        config, place = self._config, self._place
        login = config.url.login()
        if config.username is not None:
            password = config.password.reveal() if config.password else ""
            login = (config.username, password)
        with Silence(), closing(Connection(config.url.bare(), login, place, config.verify)) as line:
            if config.poll is None:
                yield from self._streamed(line, need, watch)
            else:
                yield from self._polled(line, config.poll.total_seconds(), need, watch)

    def _streamed(self, line: Connection, need: Need, watch: Watch) -> Iterator[Picture]:
        answer = line.get()
        place, kind = self._place, answer.content_type
        finder = PictureFinder(boundary_of(kind) or b"")
        stills = _Stills(self._clock, watch.lost, self._ring)
        wanted = WantedPictures(need.every_s, need.is_owed)
        found, last_at = 0, time.monotonic()
        beginning = b""
        for chunk in answer.chunks():
            if watch.stopped:
                return
            beginning = beginning or chunk[:200]
            # A web page is not waited for to its end, which may not come.
            if not found and "html" in kind.lower() and beginning.lstrip()[:1] == b"<":
                raise _without_pictures(place, kind, beginning, 0.0)
            for content in finder.feed(chunk):
                found, last_at = found + 1, time.monotonic()
                if found == 1 and answer.is_complete and boundary_of(kind) is None:
                    raise _single(place, kind)
                watch.beat()
                yield from stills.pictures(content, wanted)
            stills.count_cut(finder.cut)
            watch.waiting_for = f"{place.name} {_UNDECODABLE}" if stills.fails else None
            waited_s = time.monotonic() - last_at
            if finder.overflowed or waited_s > place.read_s * (_SLOW if finder.is_inside else 1):
                raise _without_pictures(place, kind, beginning, waited_s)
            watch.beat()
        contents = list(finder.end())
        stills.count_cut(finder.cut)
        for content in contents:
            found += 1
            yield from stills.pictures(content, wanted)
        if found == 0:
            raise _without_pictures(place, kind, beginning, 0.0)
        if found == 1 and boundary_of(kind) is None:
            raise _single(place, kind)

    def _polled(
        self, line: Connection, poll_s: float, need: Need, watch: Watch
    ) -> Iterator[Picture]:
        clock, place = self._clock, self._place
        stills = _Stills(clock, watch.lost, self._ring)
        every_s = max(poll_s, need.every_s)
        begun = due = clock.monotonic()
        seen_at: float | None = None
        # After one that failed, the next poll is not waited for as long as the next frame is.
        failed, left_alone_until, again_at = 0, due, math.inf
        # In steps of the poll: the picture may have been of no use, and the next one be wanted.
        while not watch.wait(min(max(0.0, min(due, again_at) - clock.monotonic()), poll_s)):
            now = clock.monotonic()
            is_early = now < min(due, again_at) and not need.is_owed()
            if now < left_alone_until or is_early:
                continue
            due = max(min(due, now), now - every_s) + every_s
            again_at = math.inf
            try:
                pictures = list(stills.pictures(_still(line, place, watch.lost)))
                if not pictures:
                    raise failure(SourceFailure.BROKEN, place.name, _UNDECODABLE)
            except SourceError as error:
                failed += 1
                watch.lost[error.reason.value] += 1
                watch.waiting_for = str(error)
                again_at = now + poll_s
                due = max(due, now + line.retry_after_s)
                left_alone_until = now + line.retry_after_s
                now = clock.monotonic()
                if seen_at is None:
                    late = due > begun + place.open_s * _IN_TIME
                    is_over = late or error.reason not in _PASSING
                elif error.reason in _SELDOM_MENDED:
                    is_over = failed >= _BELIEVED
                else:
                    is_over = failed > 1 and now - seen_at >= need.quiet_s
                if is_over:
                    raise
                continue
            failed, seen_at, watch.waiting_for = 0, clock.monotonic(), None
            # From here on it is we who say that no picture comes, and why.
            watch.beat(silent_s=every_s + max(need.quiet_s, every_s) + _SLOW * place.read_s)
            yield from pictures


_UNDECODABLE = (
    "sends pictures that are cut off, damaged, or not JPEG, PNG, WebP or BMP; restart it, or take "
    "another of its addresses"
)


def _still(line: Connection, place: CameraPlace, lost: Counter[str]) -> bytes:
    """One still picture; raises SourceError."""
    answer = line.get()
    kind = answer.content_type
    if kind.lower().startswith("multipart/x-mixed-replace"):
        words = "sends a stream, not a still picture; leave `poll` out"
        raise failure(SourceFailure.UNSUPPORTED, place.name, words)
    finder, beginning = PictureFinder(boundary_of(kind) or b"", is_still=True), b""
    size = 0
    # Once more than `read_timeout` is allowed for the picture after its head.
    for chunk in answer.chunks(place.read_s):
        beginning = beginning or chunk[:200]
        size += len(chunk)
        for content in finder.feed(chunk):
            answer.release()
            return content
        if finder.overflowed or (size > _LONGEST_PAGE and not finder.is_inside):
            raise _without_pictures(place, kind, beginning, 0.0)
    for content in finder.end():
        answer.release()
        return content
    lost[DECODE_ERROR] += size > 0
    if finder.cut:
        raise failure(SourceFailure.BROKEN, place.name, "sent a picture that is cut off")
    if not size:
        raise failure(SourceFailure.BROKEN, place.name, "answers without a picture, with nothing")
    raise _without_pictures(place, kind, beginning, 0.0)


# What has no picture in it by then is something else.
_LONGEST_PAGE = 1024 * 1024


def _single(place: CameraPlace, kind: str) -> SourceError:
    return failure(
        SourceFailure.UNSUPPORTED,
        place.name,
        f"sends a single picture ({kind or 'of no stated type'}), not a stream; "
        "for still pictures, set how often with `poll: 1s`",
    )


def _without_pictures(
    place: CameraPlace, kind: str, beginning: bytes, waited_s: float
) -> SourceError:
    """Something came, but not what a camera sends."""
    kind = kind or "content of no stated type"
    if video := next((name for magic, name in _VIDEO if magic in beginning[:64]), None):
        words = f"sends {video}, not pictures; take its RTSP address, or its MJPEG or snapshot one"
    elif "html" in kind.lower() or beginning.lstrip()[:1] == b"<":
        words = f"answers with a web page ({kind}), not with pictures; is the path right, "
        words += "and must one log in otherwise?"
    elif waited_s:
        words = f"sends data ({kind}), but no whole picture for {waited_s:.0f} s; {_ANOTHER}"
    else:
        words = f"sends {kind} in which there is no whole JPEG, PNG or WebP picture; {_ANOTHER}"
    return failure(SourceFailure.UNSUPPORTED, place.name, words)


_ANOTHER = "check the path, or restart the camera"
# How what other cameras and recorders have at such addresses begins.
_VIDEO = (
    (b"#EXTM3U", "an HLS playlist"),
    (b"<MPD", "a DASH playlist"),
    (b"FLV\x01", "an FLV video"),
    (b"ftyp", "an MP4 video"),
    (b"\x1a\x45\xdf\xa3", "a WebM video"),
    (b"\0\0\0\1\x67", "H.264 video"),
    (b"\0\0\0\1\x40", "H.265 video"),
)


class _Stills:
    """Turns files of single pictures into pictures with times."""

    def __init__(self, clock: Clock, lost: Counter[str], ring: PacketRing | None) -> None:
        self._lost = lost
        self._ring = ring
        if ring is not None:
            ring.begin(None)
        self._decoder = StillDecoder()
        self._converter = PixelConverter()
        self._timeline = LiveTimeline(clock)
        self._cut = 0
        self.fails = False
        """Whether the last picture was of no use."""

    def count_cut(self, cut: int) -> None:
        """So many pictures were cut off until now."""
        if cut > self._cut:
            self._lost[DECODE_ERROR] += cut - self._cut
            self._cut = cut
            self.fails = True

    def pictures(self, content: bytes, wanted: WantedPictures | None = None) -> Iterator[Picture]:
        """The picture, if it is wanted now and whole."""
        at = self._timeline.at(None)
        if self._ring is not None:
            self._ring.keep_still(content, at)
        if wanted is not None and not wanted.take(at):
            return
        frame = self._decoder.decode(content, self._lost)
        self.fails = frame is None
        if frame is not None:
            yield VideoPicture(frame, at, self._converter)
