"""A camera's pictures over HTTP: an MJPEG stream, or a still picture asked for again and again."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Annotated, Literal

from pydantic import AfterValidator

from connectors.sources.failures import failure
from connectors.sources.ffmpeg.errors import Silence
from connectors.sources.ffmpeg.pictures import PixelConverter, VideoPicture
from connectors.sources.ffmpeg.plan import WantedPictures
from connectors.sources.ffmpeg.stills import StillDecoder
from connectors.sources.ffmpeg.timeline import LiveTimeline
from connectors.sources.live.http_client import Connection
from connectors.sources.live.login import LoginConfig
from connectors.sources.live.multipart import MultipartReader, boundary_of
from connectors.sources.live.reader import LiveConfig, LiveSource, Watch
from pipeline.core.address import Address, scheme_check
from pipeline.core.clock import Clock, SystemClock
from pipeline.core.config import PositiveDuration
from pipeline.core.errors import SourceFailure
from pipeline.core.frames import Picture
from pipeline.core.sources import Need

# A still picture that cannot be decoded may be a passing fault of the camera; so many in a row are
# not.
_BAD_STILLS = 5


class HttpConfig(LoginConfig, LiveConfig):
    """A camera with an HTTP address: an MJPEG stream or still pictures."""

    type: Literal["http"] = "http"
    url: Annotated[Address, AfterValidator(scheme_check("http", "https"))]
    """`http://user:password@host:port/path`; shown everywhere without user and password."""
    poll: PositiveDuration | None = None
    """Ask for a still picture this often; left out, the URL is an MJPEG stream."""
    verify: bool = True
    """Whether an https server needs a valid certificate; many cameras have none."""

    def build(self, clock: Clock | None = None) -> "HttpSource":
        """The camera, not yet connected."""
        return HttpSource(self, clock or SystemClock())


class HttpSource(LiveSource):
    """Reads JPEG pictures over HTTP; a picture's time is that of its arrival."""

    def __init__(self, config: HttpConfig, clock: Clock) -> None:
        super().__init__(str(config.url), config, clock)
        self._config = config

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
        boundary = boundary_of(answer.content_type)
        if boundary is None:
            raise failure(
                SourceFailure.UNSUPPORTED,
                self._place.name,
                f"sends {answer.content_type or 'content of no stated type'}, not an MJPEG stream; "
                "for still pictures, set how often with `poll: 1s`",
            )
        watch.beat()
        stills, wanted = (
            _Stills(self._clock, watch.lost),
            WantedPictures(need.every_s, need.is_owed),
        )
        parts = MultipartReader(boundary)
        for chunk in answer.chunks():
            if watch.stopped:
                return
            for content in parts.feed(chunk):
                watch.beat()
                yield from stills.pictures(content, wanted)
            if parts.overflowed:
                raise failure(SourceFailure.BROKEN, self._place.name)

    def _polled(
        self, line: Connection, poll_s: float, need: Need, watch: Watch
    ) -> Iterator[Picture]:
        stills = _Stills(self._clock, watch.lost)
        every_s = max(poll_s, need.every_s)
        bad, due = 0, self._clock.monotonic()
        # In steps of the poll: the picture may have been of no use, and the next one be wanted.
        while not watch.wait(min(max(0.0, due - self._clock.monotonic()), poll_s)):
            if self._clock.monotonic() < due and not need.is_owed():
                continue
            now = self._clock.monotonic()
            due = max(min(due, now), now - every_s) + every_s
            answer = line.get()
            if boundary_of(answer.content_type) is not None:
                raise failure(
                    SourceFailure.UNSUPPORTED,
                    self._place.name,
                    "sends a stream, not a still picture; leave `poll` out",
                )
            pictures = list(stills.pictures(answer.whole()))
            bad = 0 if pictures else bad + 1
            if bad >= _BAD_STILLS or (bad and stills.shown == 0):
                raise failure(
                    SourceFailure.UNSUPPORTED,
                    self._place.name,
                    f"sends {answer.content_type or 'something'} that is not JPEG, PNG or WebP",
                )
            watch.beat(silent_s=every_s)
            yield from pictures


class _Stills:
    """Turns files of single pictures into pictures with times."""

    def __init__(self, clock: Clock, lost: Counter[str]) -> None:
        self.shown = 0
        self._lost = lost
        self._decoder = StillDecoder()
        self._converter = PixelConverter()
        self._timeline = LiveTimeline(clock)

    def pictures(self, content: bytes, wanted: WantedPictures | None = None) -> Iterator[Picture]:
        """The picture, if it is wanted now and whole."""
        at = self._timeline.at(None)
        if wanted is not None and not wanted.take(at):
            return
        frame = self._decoder.decode(content, self._lost)
        if frame is not None:
            self.shown += 1
            yield VideoPicture(frame, at, self._converter)
