"""Plays recordings, one file after the other, each at its time."""

import importlib
import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from connectors.sources.ffmpeg.decoder import Decoder
from connectors.sources.ffmpeg.errors import DECODE_ERROR
from connectors.sources.ffmpeg.pictures import VideoPicture
from connectors.sources.ffmpeg.recording import ReadingKeys, Recording
from connectors.sources.ffmpeg.timeline import FileTimeline
from connectors.sources.recordings.begin import Basis, Begin, Dating
from connectors.sources.recordings.cuts import FileFeed, IndexKeeper, KeyIndex
from connectors.sources.recordings.names import NamePattern
from connectors.sources.recordings.paths import find_files, is_picture
from connectors.sources.recordings.series import PictureSeries
from pipeline.core.clips import ClipMake, ClipMaking, ClipNeed
from pipeline.core.clock import Clock
from pipeline.core.errors import SourceError, SourceFailure
from pipeline.core.frames import Picture
from pipeline.core.sources import Need

if TYPE_CHECKING:
    from connectors.sources.file import FileConfig

log = logging.getLogger(__name__)

UNREADABLE = "unreadable file"
"""The counter of files of a folder or glob that could not be opened."""
CUT_SHORT = "file cut short"
"""The counter of files that end before they should."""
# Files of one camera that overlap by more than a segment's rounding are of several cameras.
_OVERLAP_S = 60.0
# Times taken from two kinds of witnesses that are further apart do not belong together.
_STRANGE_GAP_S = 86_400.0
# So many zeros at the beginning of a picture are a hole in the file, not a picture.
_HOLE_BYTES = 64
# A file's last picture may last a little longer than its length says.
_BEYOND_S = 1.0
# Where more than one picture, and more than this share of them, is damaged, it is said.
_DAMAGED_SHARE = 0.01
# More sentences than these are in the log alone.
_MOST_TROUBLES = 20


def files_in_order(path: str, dating: Dating) -> tuple[Sequence[str], Sequence[str]]:
    """The files of a path in the order in which they play, and those that are being copied.

    That of the times in their names, where each has one, else that of their names. Raises
    SourceError if there are none.
    """
    found = find_files(path)
    files = list(found.files)
    if len(files) > 1:
        named = [dating.by_name(name) for name in files]
        times = [at for at in named if at is not None]
        if len(times) == len(files):
            files = [name for _, name in sorted(zip(times, files, strict=True), key=lambda t: t[0])]
    return files, found.unfinished


class FileSource:
    """Plays recordings; the same ones give the same pictures and times on every reading."""

    def __init__(self, config: "FileConfig", clock: Clock, zone: str = "UTC") -> None:
        self._config = config
        self._clock = clock
        self._zone = zone
        self._run = config.path
        self._lost: Counter[str] = Counter()
        self._played = 0.0
        self._stop = threading.Event()
        self._unplayed: Recording | None = None
        self._playing: Generator[Picture] | None = None
        self._troubles: list[str] = []
        self._failed: list[SourceError] = []
        self._said: set[str] = set()
        self._logs = True
        self._index = KeyIndex()

    def keep_for_clips(self, need: ClipNeed) -> None:
        """Note where key frames are: clips are cut from the files themselves."""
        self._index.is_wanted = True

    def cut(self, unfinished: Path, since: float, make: ClipMake) -> ClipMaking:
        """Begin a clip; raises ClipError where there is nothing to cut from (yet)."""
        files = importlib.import_module("connectors.sources.ffmpeg.clip_files")
        feed = FileFeed(self._index.before(since), self._index, self._reading())
        making: ClipMaking = files.begin_clip(unfinished, feed, since, make)
        return making

    @property
    def kept_bytes(self) -> int:
        """Nothing: the files are there."""
        return 0

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

    @property
    def troubles(self) -> Sequence[str]:
        """What is wrong with the files, as sentences: unreadable, cut short, of doubtful time."""
        return tuple(self._troubles[:_MOST_TROUBLES])

    def _dating(self) -> Dating:
        """How the beginnings of its files are found."""
        config = self._config
        pattern = NamePattern(config.name_time) if config.name_time is not None else None
        return Dating(ZoneInfo(config.name_zone or self._zone), time.time(), pattern)

    def _reading(self) -> ReadingKeys:
        """How its files are read."""
        config = self._config
        return ReadingKeys(config.threads, config.hwaccel, config.stream, config.rate)

    def open(self, need: Need) -> None:
        """Open the first file that can be read; raises SourceError when there is none."""
        self.close()
        self._stop = threading.Event()
        self._lost = Counter()
        self._troubles, self._failed, self._said = [], [], set()
        dating = self._dating()
        self._index.clear()
        paths, unfinished = files_in_order(self._config.path, dating)
        for name in unfinished:
            log.info("%s is still being copied, by its name; it is left out", name)
        if all(is_picture(path) for path in paths):
            series = PictureSeries(paths, dating, self._config.rate)
            begin = series.begin()
            start = self._started(begin)
            self._playing = self._play_series(series, len(paths), start, need)
            return
        first, nth = None, 0
        for nth, path in enumerate(paths):  # noqa: B007  used behind the loop
            first = self._opened(path, dating, is_alone=len(paths) == 1)
            if first is not None:
                break
        if first is None:
            raise self._summed_up(len(paths))
        start = self._started(first.begin)
        self._unplayed = first
        self._playing = self._play(_PlayOrder(paths, nth, first.begin), dating, start, need)

    def pictures(self) -> Iterator[Picture]:
        """Pictures in time order, to the end of the last file.

        Raises SourceError there if a file could not be played or gave no picture.
        """
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
            self._unplayed.close()
            self._unplayed = None

    def named(self) -> str:
        """The name of its run, without playing it or saying anything; raises SourceError."""
        self._logs = False  # who plays it says what is wrong
        try:
            self.open(Need())
        finally:
            self.close()
            self._logs = True
        return self._run

    def probe(self) -> Iterator["ProbedFile"]:
        """Look at every file as it would be played; reads all of them once, and decodes little.

        Afterwards `troubles` has what is wrong with them. Raises SourceError where none can be
        read, and at the end where some cannot.
        """
        self._troubles, self._failed, self._said = [], [], set()
        self._lost = Counter()
        self._stop = threading.Event()
        self._logs = False  # who probes reads `troubles`
        dating = self._dating()
        paths, unfinished = files_in_order(self._config.path, dating)
        for name in unfinished:
            self._trouble(f"{name} is still being copied, by its name; it is left out")
        if all(is_picture(path) for path in paths):
            yield self._probe_series(PictureSeries(paths, dating, self._config.rate), len(paths))
        else:
            yield from self._probe_videos(paths, dating)
        if self._failed:
            raise self._summed_up(len(paths))

    def excerpt(
        self, files: Sequence["ProbedFile"], since: float, until: float
    ) -> Iterator[Picture]:
        """The pictures from `since` to before `until`, at the times at which they are played.

        `files` are what `probe` has found; what is before the excerpt is skipped where the file
        allows it, else decoded and left out. Raises SourceError where a file cannot be read.
        """
        self._stop = threading.Event()
        for file in files:
            if file.start >= until or file.start + file.length_s + _BEYOND_S <= since:
                continue
            if file.is_series:
                self.open(Need())
                yield from _between(self.pictures(), since, until)
                self.close()
                return
            recording = Recording.open(file.path, self._reading(), self._dating())
            with closing(recording):
                recording.seek(since - file.start)
                timeline = recording.timeline(file.start)
                decoder = recording.decoder(Need(), timeline, self._lost)
                packets = recording.packets(self._lost)
                yield from _between((p for q in packets for p in decoder.pictures(q)), since, until)

    def _probe_series(self, series: PictureSeries, of: int) -> "ProbedFile":
        begin = series.begin()
        start, end, size_wh = self._started(begin), 0.0, (0, 0)
        for _, path, picture in series.pictures(start, Need(), self._lost):
            if isinstance(picture, SourceError):
                self._fail(path, picture)
            elif picture is not None:
                end, size_wh = picture.captured_at, picture.size_wh
        self._remark_pushed(series, of)
        span_s = max(0.0, end - start)
        rate = self._config.rate or ((of - 1) / span_s if span_s else 0.0)
        return ProbedFile(
            self._config.path,
            start,
            self._basis(begin),
            span_s,
            f"{of} pictures",
            size_wh,
            rate,
            is_series=True,
        )

    def _probe_videos(self, paths: Sequence[str], dating: Dating) -> Iterator["ProbedFile"]:
        order: _PlayOrder | None = None
        start = end = 0.0
        for nth, path in enumerate(paths):
            recording = self._opened(path, dating, is_alone=len(paths) == 1)
            if recording is None:
                continue
            with closing(recording):
                if order is None:
                    order = _PlayOrder(paths, nth, recording.begin)
                    start = end = self._started(recording.begin)
                declared = start + recording.begin.at - order.begin.at
                at = self._start_of(order, nth, recording, declared, end)
                try:
                    figures = recording.measured()
                except SourceError as error:
                    self._fail(path, error)
                    continue
                timeline = recording.timeline(at)
                decoder = recording.decoder(Need(), timeline, Counter())
                first = next(
                    (
                        p
                        for packet in recording.packets(Counter())
                        for p in decoder.pictures(packet)
                    ),
                    None,
                )
                if first is None:
                    words = f"{path} holds no picture that can be decoded"
                    self._fail(path, SourceError(SourceFailure.BROKEN, words))
                for when, by in figures.jumps:
                    self._trouble_jump(path, when, by)
                why = recording.shortfall(figures.length_s, figures.packets)
                if why is not None:
                    self._trouble(f"{path} {why}")
                probed = ProbedFile(
                    path,
                    at,
                    self._basis(recording.begin, first=order.first == nth),
                    figures.length_s,
                    recording.stream.codec_context.name,
                    first.size_wh if first is not None else (0, 0),
                    recording.rate_by(figures),
                    tuple((at + begin, at + stop) for begin, stop in figures.gaps),
                )
                end = max(at + figures.length_s, at + recording.length_s)
            yield probed

    def _basis(self, begin: Begin, *, first: bool = True) -> Basis:
        return Basis.STATED if first and self._config.starts_at is not None else begin.basis

    def _started(self, begin: Begin) -> float:
        given = self._config.starts_at
        start = given.timestamp() if given else begin.at
        self._run = f"{self._config.path}@{datetime.fromtimestamp(start, UTC).isoformat()}"
        return start

    def _play(
        self, order: "_PlayOrder", dating: Dating, start: float, need: Need
    ) -> Generator[Picture]:
        pace = self._pace(start, need.is_repeat) if self._config.speed == "realtime" else None
        end, paths = start, order.paths
        for nth, path in enumerate(itertools.cycle(paths) if self._config.loop else paths):
            if nth < order.first:
                continue  # could not be opened, as was said then
            recording, self._unplayed = self._unplayed or self._opened(path, dating), None
            if recording is None:
                continue
            with closing(recording):
                declared = start + recording.begin.at - order.begin.at
                timeline = recording.timeline(self._start_of(order, nth, recording, declared, end))
                decoder = recording.decoder(need, timeline, self._lost)
                count = 0
                for picture in self._pictures_of(recording, decoder, timeline):
                    count += 1
                    if pace is not None:
                        pace(picture.captured_at)
                    if self._stop.is_set():
                        return
                    if recording.length_s:
                        share = (picture.captured_at - timeline.start) / recording.length_s
                        self._played = min(1.0, (nth + min(1.0, share)) / len(paths))
                    yield picture
            if self._stop.is_set():
                return
            if not count:
                words = f"{path} holds no picture that can be decoded"
                self._fail(path, SourceError(SourceFailure.BROKEN, words))
            if self._config.loop and timeline.end() == timeline.start:
                return  # nothing in it: looping would spin
            end = max(timeline.end(), timeline.start + recording.length_s)
        self._played = 1.0
        self._index.played_to(float("inf"))
        if self._failed:
            raise self._summed_up(len(paths))

    def _play_series(
        self, series: PictureSeries, of: int, start: float, need: Need
    ) -> Generator[Picture]:
        pace = self._pace(start, need.is_repeat) if self._config.speed == "realtime" else None
        rate = self._config.rate
        while True:
            last = start
            for nth, path, picture in series.pictures(start, need, self._lost):
                self._played = (nth + 1) / of
                if isinstance(picture, SourceError):
                    self._fail(path, picture)
                    continue
                if picture is None:
                    continue
                if pace is not None:
                    pace(picture.captured_at)
                if self._stop.is_set():
                    return
                last = picture.captured_at
                yield picture
            if not self._config.loop or last == start:
                break
            start = last + (1 / rate if rate else (last - start) / max(1, of - 1))
        self._remark_pushed(series, of)
        if self._failed:
            raise self._summed_up(of)

    def _remark_pushed(self, series: PictureSeries, of: int) -> None:
        if series.pushed * 2 > of:
            self._trouble(
                f"{self._config.path}: the times of most pictures do not rise with their names, as "
                "those of copies; set `rate:` to how many were taken in a second"
            )

    def _start_of(
        self, order: "_PlayOrder", nth: int, recording: Recording, declared: float, end: float
    ) -> float:
        """Recordings made one after the other keep their gaps, all others follow each other."""
        if nth <= order.first or nth >= len(order.paths):
            return end
        begin, place = recording.begin, recording.place
        if declared - end > _STRANGE_GAP_S and begin.basis is not order.begin.basis:
            self._trouble_once(
                "strange gap",
                f"{place} would begin {timedelta(seconds=round(declared - end))} after the file "
                f"before it, by its {begin.basis.value}, where the first one's beginning is by its "
                f"{order.begin.basis.value}; it follows without a gap",
            )
            return end
        if end - declared > _OVERLAP_S and begin.basis is not Basis.MODIFIED:
            self._trouble_once(
                "overlap",
                f"{place} begins {timedelta(seconds=round(end - declared))} before the file before "
                "it ends; they are played one after the other. Are they of several cameras? Each "
                "camera needs a path of its own",
            )
        return max(end, declared)

    def _pictures_of(
        self, recording: Recording, decoder: Decoder, timeline: FileTimeline
    ) -> Iterator[VideoPicture]:
        place, ticks_s = recording.place, float(recording.stream.time_base or 0)
        packets, last_s = 0, recording.zero_s
        damaged = -self._lost[DECODE_ERROR]
        keeper = IndexKeeper(self._index, recording, timeline)
        try:
            for packet in recording.packets(self._lost):
                if self._stop.is_set():
                    return
                if packet.size and not packet.is_corrupt:
                    packets += 1
                    if packet.pts is not None:
                        lasts_s = max((packet.duration or 0) * ticks_s, timeline.usual_s)
                        last_s = max(last_s, packet.pts * ticks_s + lasts_s)
                    if not any(bytes(memoryview(packet)[:_HOLE_BYTES])):
                        self._lost[DECODE_ERROR] += 1  # FFmpeg says nothing of a hole
                        continue
                keeper.note(packet)
                yield from decoder.pictures(packet)
        except SourceError as error:
            if error.reason is not SourceFailure.ENDED:
                broken = f"{error}, the rest of it is left out"
                self._fail(place, SourceError(error.reason, broken))
        damaged += self._lost[DECODE_ERROR]
        if damaged > max(1, packets * _DAMAGED_SHARE):
            words = f"{place} is damaged: {damaged} of its pictures could not be decoded"
            self._trouble_once(f"damaged {place}", words)
        for at, by in timeline.closed:
            self._trouble_jump(place, at - timeline.start, by)
        played_s = last_s - recording.zero_s if recording.is_dated else packets / recording.rate
        why = recording.shortfall(played_s, packets)
        if recording.is_growing:
            words = f"{place} is still being written; what it held until now was played"
            self._trouble_once(f"growing {place}", words)
        elif why is not None and f"short {place}" not in self._said:
            self._lost[CUT_SHORT] += 1
            self._trouble_once(f"short {place}", f"{place} {why}")

    def _trouble_jump(self, place: str, after_s: float, by: float) -> None:
        when = timedelta(seconds=round(after_s))
        step = f"{'forward' if by > 0 else 'back'} by {timedelta(seconds=abs(round(by)))}"
        words = f"{place}: its clock was set {step} after {when}; time goes on without a gap"
        self._trouble_once(f"clock of {place} at {when}", words)

    def _opened(self, path: str, dating: Dating, *, is_alone: bool = False) -> Recording | None:
        try:
            recording = Recording.open(path, self._reading(), dating)
        except SourceError as error:
            self._fail(path, error)
            return None
        for remark in recording.remarks:
            self._trouble_once(remark, f"{path} {remark}")
        # Of one file whose start is stated, nothing else is believed.
        doubts = () if is_alone and self._config.starts_at is not None else recording.begin.doubts
        for doubt in doubts:
            # One of a kind is enough: a thousand files of one camera share their faults.
            self._trouble_once(doubt.kind, f"{path} {doubt.words}")
        return recording

    def _fail(self, path: str, error: SourceError) -> None:
        if f"failed {path}" not in self._said:
            self._lost[UNREADABLE] += 1
            self._failed.append(error)
        self._trouble_once(f"failed {path}", str(error))

    def _trouble_once(self, kind: str, sentence: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            self._trouble(sentence)

    def _trouble(self, sentence: str) -> None:
        self._troubles.append(sentence)
        if self._logs:
            log.warning("%s", sentence)

    def _summed_up(self, of: int) -> SourceError:
        """All that failed as one error."""
        first, failed = self._failed[0], len(self._failed)
        if of == 1:
            return first
        others = f", and {failed - 1} more" if failed > 1 else ""
        words = f"{failed} of {of} files could not be played to their end: {first}{others}"
        return SourceError(first.reason, words)

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


@dataclass(frozen=True, slots=True)
class ProbedFile:
    """What a file is, and when: as it would be played."""

    path: str
    start: float
    """UTC seconds."""
    basis: Basis
    """What the start was taken from."""
    length_s: float
    codec: str
    size_wh: tuple[int, int]
    """As a person sees it; zeros where no picture could be decoded."""
    rate: float
    """Pictures a second."""
    gaps: tuple[tuple[float, float], ...] = ()
    """Pauses in it, from and to, in UTC seconds."""
    is_series: bool = False
    """Whether it is many files, a picture each."""


def _between(pictures: Iterator[Picture], since: float, until: float) -> Iterator[Picture]:
    for picture in pictures:
        if picture.captured_at >= until:
            return
        if picture.captured_at >= since:
            yield picture


@dataclass(frozen=True, slots=True)
class _PlayOrder:
    """The files that are played, and which of them begins."""

    paths: Sequence[str]
    first: int
    begin: Begin
