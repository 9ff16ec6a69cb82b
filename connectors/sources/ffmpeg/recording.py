"""One opened video file: when it begins, how long it is, and whether all of it is there."""

import os
import stat
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from connectors.sources.failures import failure
from connectors.sources.ffmpeg.decoder import Decoder
from connectors.sources.ffmpeg.input import Input, close_input, open_input, read_packets
from connectors.sources.ffmpeg.measure import StreamFigures, measure, without_strays
from connectors.sources.ffmpeg.timeline import FileTimeline
from connectors.sources.recordings.begin import Basis, Begin, Dating
from pipeline.core.errors import SourceError, SourceFailure
from pipeline.core.sources import Need

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

# Where a container does not say how far its pictures are apart.
_USUAL_S = 0.04
_MICROSECONDS = 1_000_000
# Streams without a container and so without timestamps; FFmpeg takes 25 pictures a second.
_RAW = frozenset(
    [
        "avs2",
        "avs3",
        "cavsvideo",
        "dirac",
        "evc",
        "h261",
        "h263",
        "h264",
        "hevc",
        "m4v",
        "mjpeg",
        "mpegvideo",
        "obu",
        "vc1",
        "vvc",
    ]
)
_FASTEST = 240.0
# Containers that say how long they are without looking at their end.
_ANNOUNCING = frozenset(["mov", "mp4", "matroska", "webm", "avi", "asf", "flv", "mxf"])
# A transport stream is packets of one of these sizes and nothing else.
_TS_PACKETS = (188, 192, 204)
# What ends earlier than announced by less than this has only rounded.
_SHORT_S = 1.0
_SHORT_SHARE = 0.02
# Sound that begins this much before the pictures is one beginning with them.
_TOGETHER_S = 0.1
_SOUND_BEFORE_S = 3600.0
# An index behind all pictures and sound is not larger than this.
_INDEX_SHARE = 0.05
_INDEX_BYTES = 1024
_SEEK_EARLIER_S = 1.0
# A file changed this short a time ago may still be in the making.
_JUST_NOW_S = 60.0


@dataclass(frozen=True, slots=True)
class ReadingKeys:
    """How files are to be read."""

    threads: int = 1
    hwaccel: str | None = None
    stream: int | None = None
    rate: float | None = None
    """Pictures a second, stated by the operator."""


@dataclass(frozen=True, slots=True)
class Recording:
    """An opened video file."""

    place: str
    container: "InputContainer"
    stream: "VideoStream"
    reading: ReadingKeys
    begin: Begin
    length_s: float
    """From its beginning, with the sound before the pictures if there is any."""
    is_dated: bool
    """Whether its packets have timestamps that count."""
    remarks: tuple[str, ...]
    """What an operator should know, as sentences that go on after the file's name."""
    _found: tuple[int, float]
    """Size and time of modification when it was opened."""

    @classmethod
    def open(cls, path: str, reading: ReadingKeys, dating: Dating) -> "Recording":
        """Open a file; raises SourceError."""
        try:
            found = Path(path).stat()
        except FileNotFoundError:
            raise failure(SourceFailure.NOT_FOUND, path) from None
        except OSError as error:
            reason = SourceFailure.UNAUTHORISED
            raise failure(reason, path, f"cannot be read: {error.strerror}") from None
        if not stat.S_ISREG(found.st_mode):
            words = "is neither a file nor a folder, but a pipe or a device; name a recording"
            raise failure(SourceFailure.UNSUPPORTED, path, words)
        if not found.st_size:
            raise failure(SourceFailure.BROKEN, path, _why_empty(found.st_mtime))
        container, stream = _opened(path, reading, found.st_mtime)
        raw = container.format.name in _RAW
        recording = cls(
            place=path,
            container=container,
            stream=stream,
            reading=reading,
            begin=dating.begin(path, found.st_mtime, 0.0, ""),
            length_s=0.0 if raw or reading.rate else _length_s(container, stream),
            is_dated=not raw and reading.rate is None,
            remarks=_remarks_on_rate(container, stream, reading),
            _found=(found.st_size, found.st_mtime),
        )
        created = container.metadata.get("creation_time", "")
        created = created or stream.metadata.get("creation_time", "")
        length_s = recording.length_s
        begin = dating.begin(path, found.st_mtime, length_s, created)
        # Where nothing is announced, FFmpeg has only looked at the last timestamp, which is no
        # length where the clock was set.
        if not length_s or (begin.basis is Basis.MODIFIED and recording.announced_s is None):
            try:
                length_s = recording.measured().length_s
            except SourceError:
                recording.close()
                raise
            begin = dating.begin(path, found.st_mtime, length_s, created)
        return replace(recording, begin=begin, length_s=length_s)

    @classmethod
    def again(cls, path: str, reading: ReadingKeys) -> "Recording":
        """Open a file whose beginning and length are known already; raises SourceError."""
        container, stream = _opened(path, reading, 0.0)
        raw = container.format.name in _RAW
        begin, is_dated = Begin(0.0, Basis.MODIFIED), not raw and reading.rate is None
        return cls(path, container, stream, reading, begin, 0.0, is_dated, (), (0, 0.0))

    @property
    def rate(self) -> float:
        """Its usual pictures a second: stated, its own, or else assumed."""
        return self.reading.rate or _own_rate(self.container, self.stream) or 1 / _USUAL_S

    def rate_by(self, figures: StreamFigures) -> float:
        """The pictures a second that it has; what some containers say is a unit of time."""
        if self.rate <= _FASTEST or figures.length_s <= 0:
            return self.rate
        return figures.packets / figures.length_s

    def timeline(self, start: float) -> FileTimeline:
        """The times of its pictures when it begins at `start`."""
        known = self.is_dated and self.stream.start_time is not None
        return FileTimeline(start, 1 / self.rate, self.zero_s if known else None)

    def decoder(self, need: Need, timeline: FileTimeline, lost: Counter[str]) -> Decoder:
        """What decodes it, at the times of `timeline`."""
        return Decoder(self.stream, need, timeline.at, lost, is_from_beginning=True)

    def seek(self, offset_s: float) -> None:
        """Go on from the last key frame before `offset_s` seconds of it, where the file allows it.

        Where it does not, and where its packets have no timestamps that count, it goes on from its
        beginning.
        """
        ticks = self.stream.time_base
        if not self.is_dated or not ticks or offset_s <= _SEEK_EARLIER_S:
            return
        import av

        # Earlier by more than pictures are reordered by.
        target = round((self.zero_s + offset_s - _SEEK_EARLIER_S) / float(ticks))
        with suppress(av.FFmpegError):
            self.container.seek(target, stream=self.stream, backward=True)

    def close(self) -> None:
        """Let go of the file."""
        close_input(self.container, self.stream)

    @property
    def zero_s(self) -> float:
        """Its beginning on its own clock: that of its pictures, or of the sound before them."""
        stream, ticks = self.stream, self.stream.time_base
        if not self.is_dated or stream.start_time is None or ticks is None:
            return 0.0
        return float(stream.start_time * ticks) - _sound_before_s(self.container, stream)

    def packets(self, lost: Counter[str]) -> "Iterator[Packet[VideoStream]]":
        """Its packets, with timestamps only where they count; raises SourceError."""
        packets = read_packets(self.container, self.stream, self.place, lost)
        if self.is_dated:
            yield from without_strays(packets, float(self.stream.time_base or 0))
            return
        for packet in packets:
            packet.pts = packet.dts = None
            yield packet

    def measured(self) -> StreamFigures:
        """The figures of the whole file, which is read once for it; raises SourceError."""
        _, modified_at = self._found
        container, stream = _opened(self.place, self.reading, modified_at)
        with closing(replace(self, container=container, stream=stream)) as twin:
            tick_s = float(stream.time_base or 0)
            return measure(twin.packets(Counter()), tick_s, twin.timeline(0.0))

    def shortfall(self, played_s: float, packets: int) -> str | None:
        """What to say where pictures for `played_s` came of more that the file announces."""
        announced_s = self.announced_s
        kind = self.container.format.name
        breaks_off = kind == "mpegts" and all(self._found[0] % size for size in _TS_PACKETS)
        if kind.startswith("mov") and not self.stream.frames:
            breaks_off = _boxes(self.place).is_cut
        if breaks_off:
            return f"breaks off after {_span(played_s)}; its end is missing"
        if announced_s is None or played_s >= announced_s - _SHORT_S:
            return None
        if played_s >= announced_s * (1 - _SHORT_SHARE):
            return None
        if 0 < self.stream.frames <= packets:
            return None  # every picture of its table was there
        if "matroska" in kind and not _is_segment_cut(self.place):
            if self._is_read_to_its_end():
                return None  # it is all there, and its last picture stands for long
            return f"is damaged after {_span(played_s)}; the rest of it cannot be read"
        others = len(self.container.streams) > 1
        if others and self.stream.duration is None and self._sound_lasts(announced_s):
            return None
        return f"ends after {_span(played_s)} of the {_span(announced_s)} it announces"

    @property
    def announced_s(self) -> float | None:
        """How long it says that it is, without having looked; None where it does not."""
        if not self.is_dated or not _ANNOUNCING & set(self.container.format.name.split(",")):
            return None
        own = _own_rate(self.container, self.stream)
        if self.container.format.name == "avi" and own:
            return max(self.length_s, self.stream.frames / own) or None
        return self.length_s or None

    @property
    def is_growing(self) -> bool:
        """Whether it has changed since it was opened."""
        try:
            now = Path(self.place).stat()
        except OSError:
            return False
        return (now.st_size, now.st_mtime) != self._found

    def _is_read_to_its_end(self) -> bool:
        """Whether what is read of it goes to the end of the file; its index may lie there."""
        container, _ = _opened(self.place, self.reading, 0.0)
        size, read = self._found[0], 0
        with closing(container):
            import av

            with suppress(av.FFmpegError):
                for packet in container.demux():
                    if packet.pos is not None:
                        read = max(read, packet.pos + packet.size)
        return size - read <= size * _INDEX_SHARE + _INDEX_BYTES

    def _sound_lasts(self, announced_s: float) -> bool:
        """Whether another stream goes on to the end that is announced."""
        container, _ = _opened(self.place, self.reading, 0.0)
        last_s = 0.0
        with closing(container):
            import av

            try:
                for packet in container.demux():
                    if packet.pts is not None:
                        end = (packet.pts + (packet.duration or 0)) * float(packet.time_base or 0)
                        last_s = max(last_s, end)
            except av.FFmpegError:
                pass
        return last_s >= announced_s - _SHORT_S


def _opened(
    path: str, reading: ReadingKeys, modified_at: float
) -> "tuple[InputContainer, VideoStream]":
    # With the protocol spelt out, a colon in a name is a colon. The timestamps are taken as they
    # are written: FFmpeg would take an encoder that began anew for one that went on for a day.
    file = Input(
        f"file:{path}",
        path,
        options={"correct_ts_overflow": "0"},
        threads=reading.threads,
        hwaccel=reading.hwaccel,
        stream=reading.stream,
    )
    try:
        return open_input(file)
    except SourceError as error:
        if error.reason is SourceFailure.UNAUTHORISED and not os.access(path, os.R_OK):
            words = "cannot be read by this user (permission denied)"
            raise failure(error.reason, path, words) from None
        if error.reason not in (
            SourceFailure.BROKEN,
            SourceFailure.ENDED,
            SourceFailure.UNAUTHORISED,  # of what it refers to
        ):
            raise
    boxes = _boxes(path)
    if boxes.is_cut and {"moov", "moof"} <= boxes.names:
        # FFmpeg refuses all of it for a last fragment of which only a part was written.
        whole = replace(file, address=f"subfile,,start,0,end,{boxes.whole_bytes},,:file:{path}")
        with suppress(SourceError):
            return open_input(whole)
    raise failure(SourceFailure.BROKEN, path, _why_unreadable(boxes, modified_at))


def _is_recent(modified_at: float) -> bool:
    return abs(time.time() - modified_at) < _JUST_NOW_S


def _why_empty(modified_at: float) -> str:
    if _is_recent(modified_at):
        return "is empty; it is still being written, or record or copy it again"
    return "is empty; record or copy it again"


def _why_unreadable(boxes: "_OuterBoxes", modified_at: float) -> str:
    """The best guess at what is wrong with a file that FFmpeg cannot make anything of."""
    if "ftyp" in boxes.names and "moov" not in boxes.names:
        if _is_recent(modified_at):
            return "has no index (moov) yet: it is still being written; play it when it is complete"
        return (
            "has no index (moov): its recorder was interrupted, or the copy was; copy it again, or "
            "repair it"
        )
    return "is not a video, or is damaged at its beginning"


@dataclass(frozen=True, slots=True)
class _OuterBoxes:
    """The outer boxes of an MP4; none for other files."""

    names: frozenset[str] = frozenset()
    whole_bytes: int = 0
    """Where the last one ends that is there in full, with what belongs to it."""
    is_cut: bool = False
    """Whether the last one goes on behind the end of the file."""


def _boxes(path: str) -> _OuterBoxes:
    names: set[str] = set()
    whole = at = 0
    try:
        with Path(path).open("rb") as file:
            end = Path(path).stat().st_size
            while at + 8 <= end:
                file.seek(at)
                head = file.read(16)
                length, name = int.from_bytes(head[:4], "big"), head[4:8]
                if length == 1:
                    length = int.from_bytes(head[8:16], "big")
                if not name.isalnum() or (length < 8 and length != 0):
                    break
                names.add(name.decode("ascii"))
                if length == 0:
                    return _OuterBoxes(frozenset(names), end)
                at += length
                if at <= end and name != b"moof":  # which is nothing without its data
                    whole = at
    except OSError:
        return _OuterBoxes()
    return _OuterBoxes(frozenset(names), whole, is_cut=bool(names) and at != end)


_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"


def _is_segment_cut(path: str) -> bool:
    """Whether a Matroska file's one large element goes on behind the end of the file."""
    try:
        with Path(path).open("rb") as file:
            head, size = file.read(4096), Path(path).stat().st_size
    except OSError:
        return False
    if not head.startswith(_EBML):
        return False
    length, at = _ebml_length(head, 4)
    at += length
    if head[at : at + 4] != _SEGMENT:
        return False
    length, at = _ebml_length(head, at + 4)
    return at + length > size


def _ebml_length(head: bytes, at: int) -> tuple[int, int]:
    """A length of Matroska's, and where it ends; one that is not known is 0."""
    first = head[at] if at < len(head) else 0
    if not first:
        return 0, at
    width = 9 - first.bit_length()
    value = int.from_bytes(head[at : at + width], "big") & (1 << 7 * width) - 1
    return (0 if value == (1 << 7 * width) - 1 else value), at + width


def _own_rate(container: "InputContainer", stream: "VideoStream") -> float | None:
    if container.format.name in _RAW:
        # Only what the coded data itself says: all else is FFmpeg's assumption.
        own = stream.codec_context.framerate
        return float(own) if own and 0 < own <= _FASTEST else None
    rate = stream.average_rate or stream.base_rate
    return float(rate) if rate else None


def _remarks_on_rate(
    container: "InputContainer", stream: "VideoStream", reading: ReadingKeys
) -> tuple[str, ...]:
    if reading.rate or container.format.name not in _RAW or _own_rate(container, stream):
        return ()
    return (
        f"has no timestamps and no rate; {1 / _USUAL_S:.0f} pictures a second are assumed "
        "(set `rate:` to the true one)",
    )


def _sound_before_s(container: "InputContainer", stream: "VideoStream") -> float:
    """How much before the first picture the recording begins: its sound may come first."""
    begin_us: int | None = container.start_time
    if begin_us is None or stream.start_time is None or stream.time_base is None:
        return 0.0
    before = float(stream.start_time * stream.time_base) - begin_us / _MICROSECONDS
    return before if _TOGETHER_S <= before <= _SOUND_BEFORE_S else 0.0


def _length_s(container: "InputContainer", stream: "VideoStream") -> float:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base) + _sound_before_s(container, stream)
    tag = _tagged_s(stream.metadata.get("DURATION", ""))
    if tag:
        return tag
    return container.duration / _MICROSECONDS if container.duration is not None else 0.0


def _tagged_s(written: str) -> float:
    """Matroska's word for one stream: `00:00:20.000000000`."""
    try:
        hours, minutes, seconds = written.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return 0.0


def _span(seconds: float) -> str:
    """A length as people say it."""
    return f"{seconds:.1f} s" if seconds < 120 else str(timedelta(seconds=round(seconds)))
