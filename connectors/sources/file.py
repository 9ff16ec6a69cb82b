"""Recordings: a video file, a folder of them, or a glob, played in order as one stream."""

import itertools
import logging
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import ClassVar, Literal

from pydantic import AwareDatetime, Field, field_validator

from connectors.sources.ffmpeg.decoder import DecodeConfig, Decoder
from connectors.sources.ffmpeg.input import read_packets
from connectors.sources.ffmpeg.pictures import VideoPicture
from connectors.sources.ffmpeg.recording import Recording, find_files
from pipeline.core.clock import Clock, SystemClock
from pipeline.core.errors import SourceError
from pipeline.core.frames import Picture
from pipeline.core.sources import Need

log = logging.getLogger(__name__)

UNREADABLE = "unreadable file"
"""The counter of files of a folder or glob that could not be opened."""


class FileConfig(DecodeConfig):
    """A recording, processed completely; its times are those of the recording."""

    type: Literal["file"] = "file"
    is_recording: ClassVar[Literal[True]] = True
    """Its pictures were taken before; none is lost however long they wait."""
    path: str = Field(min_length=1)
    """A video file, a folder (its videos in order of their names), or a glob like `cam*/*.mp4`."""
    loop: bool = False
    """Play it again at its end, without limit; time continues."""
    speed: Literal["realtime", "max"] = "max"
    """`max` is as fast as the machine can, `realtime` as fast as it was recorded."""
    starts_at: AwareDatetime | None = None
    """When the recording begins, with its zone, such as `2026-11-23T08:00:00+01:00`; without it the
    container's creation time counts, else the file's time of modification."""

    @field_validator("starts_at", mode="before")
    @classmethod
    def _no_number(cls, value: object) -> object:
        if isinstance(value, int | float):
            raise ValueError(  # noqa: TRY004  pydantic collects ValueErrors
                "is a date and time with its zone, such as 2026-11-23T08:00:00+01:00"
            )
        return value

    @property
    def is_finite(self) -> bool:
        """Whether it comes to an end."""
        return not self.loop

    def build(self, clock: Clock | None = None) -> "FileSource":
        """The recording, not yet opened."""
        return FileSource(self, clock or SystemClock())


class FileSource:
    """Plays recordings; the same ones give the same pictures and times on every reading."""

    def __init__(self, config: FileConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._run = config.path
        self._lost: Counter[str] = Counter()
        self._played = 0.0
        self._stop = threading.Event()
        self._unplayed: Recording | None = None
        self._playing: Generator[Picture] | None = None

    @property
    def live(self) -> bool:
        """Never, not even at `speed: realtime`."""
        return False

    @property
    def run(self) -> str:
        """The path and, once opened, the time at which the recording starts."""
        return self._run

    @property
    def progress(self) -> float | None:
        """How much of it was played, 0..1 by files and their lengths; None where it loops."""
        return None if self._config.loop else self._played

    def open(self, need: Need) -> None:
        """Open the first file that can be read; raises SourceError when there is none."""
        self.close()
        self._stop = threading.Event()
        self._lost = Counter()
        paths = find_files(self._config.path)
        while (first := self._opened(paths[0], is_last=len(paths) == 1)) is None:
            paths = paths[1:]
        given = self._config.starts_at
        start = given.timestamp() if given else first.declared_start
        self._run = f"{self._config.path}@{datetime.fromtimestamp(start, UTC).isoformat()}"
        self._unplayed = first
        self._playing = self._play(paths, start, need)

    def pictures(self) -> Iterator[Picture]:
        """Pictures in time order, to the end of the last file."""
        return self._playing or iter(())

    def counters(self) -> Mapping[str, int]:
        """What was lost since `open`, by reason."""
        return dict(self._lost)

    def close(self) -> None:
        """Let go of the file; where another thread is reading, it does so at its next picture."""
        self._stop.set()
        playing, self._playing = self._playing, None
        if playing is not None:
            with suppress(ValueError):  # it runs in another thread just now, and sees the stop
                playing.close()
        if self._unplayed is not None:
            self._unplayed.container.close()
            self._unplayed = None

    def _play(self, paths: Sequence[str], start: float, need: Need) -> Generator[Picture]:
        pace = self._pace(start, need.is_repeat) if self._config.speed == "realtime" else None
        end = start
        for nth, path in enumerate(itertools.cycle(paths) if self._config.loop else paths):
            recording, self._unplayed = self._unplayed or self._opened(path), None
            if recording is None:
                continue
            with closing(recording.container):
                timeline = recording.timeline(self._start_of(nth, len(paths), recording, end))
                decoder = Decoder(recording.stream, need, timeline.at, self._lost)
                for picture in self._pictures_of(recording, decoder):
                    if pace is not None:
                        pace(picture.captured_at)
                    if self._stop.is_set():
                        return
                    if recording.length_s:
                        share = (picture.captured_at - timeline.start) / recording.length_s
                        self._played = min(1.0, (nth + min(1.0, share)) / len(paths))
                    yield picture
            if self._config.loop and timeline.end() == timeline.start:
                return  # nothing in it: looping would spin
            end = max(timeline.end(), timeline.start + recording.length_s)

    def _start_of(self, nth: int, of: int, recording: Recording, end: float) -> float:
        """Recordings made one after the other keep their gaps, all others follow each other."""
        as_declared = 0 < nth < of and self._config.starts_at is None
        return max(end, recording.declared_start) if as_declared else end

    def _pictures_of(self, recording: Recording, decoder: Decoder) -> Iterator[VideoPicture]:
        container, stream, place = recording.container, recording.stream, recording.place
        try:
            for packet in read_packets(container, stream, place, self._lost):
                if self._stop.is_set():
                    return
                yield from decoder.pictures(packet)
        except SourceError as error:
            log.warning("%s, the rest of it is left out", error)

    def _opened(self, path: str, *, is_last: bool = False) -> Recording | None:
        config = self._config
        try:
            return Recording.open(path, config.threads, config.hwaccel)
        except SourceError as error:
            if is_last:
                raise
            self._lost[UNREADABLE] += 1
            log.warning("%s, it is left out", error)
            return None

    def _pace(self, start: float, is_repeat: Callable[[], bool]) -> Callable[[float], None]:
        began = self._clock.monotonic()

        def wait(captured_at: float) -> None:
            nonlocal start, began
            if is_repeat():
                start, began = captured_at, self._clock.monotonic()
                return
            left = began + (captured_at - start) - self._clock.monotonic()
            if left > 0:
                self._clock.wait(left, self._stop)

        return wait
