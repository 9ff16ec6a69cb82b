"""What live sources share: a thread that reads, so that no device can hold the program up.

FFmpeg keeps most deadlines, but not in name resolution or inside a driver, and a read in progress
cannot be ended from outside. So it happens in a thread of its own; who waits here waits no longer
than the deadline, and a thread that hangs is left behind until its own wait ends.
"""

import abc
import importlib
import secrets
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from connectors.sources.failures import failure
from connectors.sources.ffmpeg.ring import PacketRing, RingFeed
from connectors.sources.live.config import LiveConfig
from pipeline.core.clips import ClipError, ClipMake, ClipMaking, ClipNeed
from pipeline.core.clock import Clock
from pipeline.core.errors import SourceError, SourceFailure
from pipeline.core.frames import Picture
from pipeline.core.sources import Need

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

# Pictures that may wait for a busy sampler; beyond it the oldest goes, as live pictures may.
_WAITING = 4
# The reading thread knows better why it failed at the deadline; so much later it is given up.
_GRACE_S = 0.5
# This machine's clock, set back by more than this, ends a stream.
_SET_BACK_S = 2.0
# Attempts that may hang at the same time, in a driver or a name server; each keeps a thread.
_MOST_HANGING = 3
STALE = "stale"
"""The counter of pictures that were decoded and then overtaken by newer ones."""


@dataclass(frozen=True, slots=True)
class CameraPlace:
    """How texts call a live source, and how long one waits for it."""

    name: str
    """Holds no credentials."""
    open_s: float
    read_s: float

    def late(self, *, opened: bool) -> SourceError:
        """The error of a deadline that passed."""
        if not opened:
            return failure(SourceFailure.TIMEOUT, self.name)
        return failure(
            SourceFailure.TIMEOUT,
            self.name,
            f"has sent no picture data for {self.read_s:g} s; is the camera frozen or unplugged?",
        )


class Watch:
    """What passes between the reading thread and the one that waits for it."""

    def __init__(self, clock: Clock) -> None:
        self.lost: Counter[str] = Counter()
        self.waiting_for: str | None = None
        """What the reading thread waits for, as a sentence, while data arrive and no picture."""
        self.nothing_came: SourceError | None = None
        """What a silence means for as long as nothing at all has arrived."""
        self._clock = clock
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._pictures: deque[Picture] = deque()
        self._beat: float | None = None
        self._failed: Exception | None = None
        self._done = False

    @property
    def stopped(self) -> bool:
        """Whether the reader has stopped waiting."""
        return self._stop.is_set()

    def beat(self, silent_s: float = 0.0) -> None:
        """The reading thread: the stream is open, and something of it has just arrived.

        `silent_s` is how long nothing is expected from now on.
        """
        is_first = self._beat is None
        self._beat = self._clock.monotonic() + silent_s
        if is_first:
            with self._changed:
                self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """The reading thread: wait, at most `seconds`; True as soon as nobody wants more."""
        return self._stop.wait(seconds)

    def show(self, picture: Picture) -> None:
        """The reading thread: a picture is there."""
        with self._changed:
            if len(self._pictures) >= _WAITING:
                self._pictures.popleft()
                self.lost[STALE] += 1
            self._pictures.append(picture)
            self._changed.notify_all()

    def finish(self, failed: Exception | None) -> None:
        """The reading thread: no more pictures, for this reason or because the stream ended."""
        with self._changed:
            self._failed = failed
            self._done = True
            self._changed.notify_all()

    def stop(self) -> None:
        """The waiting thread, or any other: no more is wanted."""
        with self._changed:
            self._stop.set()
            self._pictures.clear()
            self._changed.notify_all()

    def opened(self, place: CameraPlace) -> None:
        """Wait until the stream is open; raises what kept it from opening."""
        with self._changed:
            known = self._changed.wait_for(
                lambda: self._beat is not None or self._done or self.stopped,
                place.open_s + _GRACE_S,
            )
            if self._failed is not None and self._beat is None:
                raise self._failed
            if not known:
                raise self.nothing_came or place.late(opened=False)

    def next(self, place: CameraPlace) -> Picture | None:
        """The next picture, or None after `stop`; raises SourceError when the stream breaks."""
        with self._changed:
            while not (self._pictures or self._done or self.stopped):
                beat = self._beat if self._beat is not None else self._clock.monotonic()
                left = beat + place.read_s - self._clock.monotonic()
                if left <= 0:
                    raise self.nothing_came or place.late(opened=True)
                self._changed.wait(left)
            if self.stopped:
                return None
            if self._pictures:
                return self._pictures.popleft()
        raise self._failed or failure(SourceFailure.ENDED, place.name)


class LiveSource(abc.ABC):
    """A source whose time passes whether it is read or not. `_read` does the reading."""

    def __init__(self, name: str, config: LiveConfig, clock: Clock) -> None:
        self.reconnect = config.reconnect
        self._place = CameraPlace(
            name, config.open_timeout.total_seconds(), config.read_timeout.total_seconds()
        )
        self._clock = clock
        self._run = ""
        self._watch = Watch(clock)
        self._readers: list[threading.Thread] = []
        self._ring: PacketRing | None = None

    def keep_for_clips(self, need: ClipNeed) -> None:
        """Keep the packets of the last seconds, from the next `open` on."""
        if self._ring is None:
            self._ring = PacketRing(need)
        self._ring.need = need

    def cut(self, path: Path, since: float, make: ClipMake) -> ClipMaking:
        """Begin a clip; raises ClipError where nothing is kept."""
        if self._ring is None:
            raise ClipError("nothing of its stream is kept")
        # Encoding and files of video are for those who cut clips alone.
        files = importlib.import_module("connectors.sources.ffmpeg.clip_files")
        feed = RingFeed(self._ring, since)
        making: ClipMaking = files.begin_clip(path, feed, since, make)
        return making

    def _begin_to_keep(self, context: "VideoCodecContext | None") -> None:
        """A stream was opened; None for one of single pictures."""
        if self._ring is not None:
            self._ring.begin(context)

    @property
    def kept_bytes(self) -> int:
        """How much is kept for clips."""
        return 0 if self._ring is None else self._ring.kept_bytes

    @property
    def live(self) -> bool:
        """Always."""
        return True

    @property
    def run(self) -> str:
        """New at each `open`; empty before the first."""
        return self._run

    def open(self, need: Need) -> None:
        """Connect, within `open_timeout`; raises SourceError."""
        self.close()
        self._readers = [reader for reader in self._readers if reader.is_alive()]
        if len(self._readers) >= _MOST_HANGING:
            words = (
                f"still holds up {_MOST_HANGING} earlier attempts to read it, so it is not opened "
                "again until one of them ends; check the device, its driver and the network"
            )
            raise failure(SourceFailure.TIMEOUT, self._place.name, words)
        started = datetime.fromtimestamp(self._clock.now(), UTC)
        self._run = f"{started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        watch = self._watch = Watch(self._clock)
        thread = threading.Thread(
            target=_run, args=(watch, lambda: self._read(need, watch)), daemon=True
        )
        thread.name = f"read {self._place.name}"
        self._readers.append(thread)
        thread.start()
        try:
            watch.opened(self._place)
        except SourceError:
            watch.stop()
            raise

    def pictures(self) -> Iterator[Picture]:
        """Pictures as they come, until `close`; raises SourceError when the stream breaks."""
        watch = self._watch
        ahead_s = self._clock.now() - self._clock.monotonic()
        while (picture := watch.next(self._place)) is not None:
            # Times never go back within a run, so after a step back of this machine's clock they
            # would be in the future for as long as the stream goes on.
            back_s = ahead_s - (self._clock.now() - self._clock.monotonic())
            if back_s > _SET_BACK_S:
                words = f"is opened again, as this machine's clock was set back by {back_s:.0f} s"
                raise failure(SourceFailure.ENDED, self._place.name, words)
            ahead_s = max(ahead_s, ahead_s - back_s)
            yield picture

    def counters(self) -> Mapping[str, int]:
        """Pictures lost since `open`, by reason."""
        return dict(self._watch.lost)

    @property
    def waiting_for(self) -> str | None:
        """Why there is no picture although data arrive, as a sentence; None if that is unknown."""
        return self._watch.waiting_for

    def close(self) -> None:
        """End reading; the reading thread releases the device when its wait ends."""
        self._watch.stop()

    @abc.abstractmethod
    def _read(self, need: Need, watch: Watch) -> Iterator[Picture]:
        """In the reading thread: connect, then yield pictures; `watch.beat` at each arrival."""


def _run(watch: Watch, read: Callable[[], Iterator[Picture]]) -> None:
    failed: Exception | None = None
    pictures = read()
    try:
        for picture in pictures:
            watch.show(picture)
            if watch.stopped:
                break
    except Exception as error:  # noqa: BLE001  whatever it is, the thread that waits raises it
        failed = error
    finally:
        close = getattr(pictures, "close", None)
        if close is not None:
            close()
        watch.finish(failed)
