"""Cuts clips from the files of a recording themselves, which are all there already."""

import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from connectors.sources.ffmpeg.keys import KeyFrames
from connectors.sources.ffmpeg.recording import ReadingKeys, Recording
from connectors.sources.ffmpeg.ring import KeptPacket, StreamShape
from connectors.sources.ffmpeg.timeline import FileTimeline
from pipeline.core.clips import ClipError
from pipeline.core.errors import SourceError

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

# Packets of one turn, so that a long clip does not keep others waiting.
_AT_ONCE = 250
# How much before a key frame one looks for it.
_SEEK_EARLIER_S = 3.0
# A key frame each second for two days; beyond it the oldest are forgotten.
_MOST_KEYS = 200_000


@dataclass(frozen=True, slots=True)
class FileKey:
    """A key frame of a recording: when it was captured, and where it is."""

    at: float
    path: str
    pts: int | None
    nth: int
    """Its number among the packets of its file, from 0."""


class KeyIndex:
    """The key frames that were played; filled by the source's thread, read by any other."""

    def __init__(self) -> None:
        self.is_wanted = False
        """Whether clips are cut; nothing is noted otherwise."""
        self._lock = threading.Lock()
        self._keys: list[FileKey] = []
        self._read_to = float("-inf")

    def clear(self) -> None:
        """The recording is played from its beginning."""
        with self._lock:
            self._keys = []
            self._read_to = float("-inf")

    def add(self, key: FileKey) -> None:
        """A key frame was played."""
        with self._lock:
            self._keys.append(key)
            if len(self._keys) > _MOST_KEYS:
                del self._keys[: _MOST_KEYS // 10]

    def played_to(self, at: float) -> None:
        """The recording was played up to there; infinity at its end."""
        self._read_to = max(self._read_to, at)

    def before(self, since: float) -> FileKey:
        """The last key frame at or before `since`; raises ClipError where it is not known yet."""
        with self._lock:
            if not self._keys:
                raise ClipError("no part of the recording has a key frame from which to cut")
            if self._read_to < since:
                raise ClipError("the recording has not been played up to there")
            nth = bisect_right(self._keys, since, key=lambda key: key.at) - 1
            return self._keys[max(0, nth)]

    def of(self, path: str, since: float) -> dict[tuple[int | None, int], float]:
        """The times of a file's key frames from `since` on."""
        with self._lock:
            first = bisect_right(self._keys, since - 1.0, key=lambda key: key.at)
            found: dict[tuple[int | None, int], float] = {}
            for key in self._keys[first:]:
                if key.path != path:
                    break
                found[key.pts, 0 if key.pts is not None else key.nth] = key.at
            return found


class IndexKeeper:
    """Notes the key frames of one file as they are played."""

    def __init__(self, index: KeyIndex, recording: Recording, timeline: FileTimeline) -> None:
        self._index = index
        self._path = recording.place
        self._keys = KeyFrames(recording.stream.codec_context)
        self._ticks_s = float(recording.stream.time_base or 0)
        self._timeline = timeline
        self._nth = 0

    def note(self, packet: "Packet[VideoStream]") -> None:
        """A packet was given to the decoder just now."""
        if not packet.size or not self._index.is_wanted:
            return
        nth, self._nth = self._nth, self._nth + 1
        at = (
            self._timeline.dated(packet.pts * self._ticks_s)
            if packet.pts is not None
            else self._timeline.start + nth * self._timeline.usual_s
        )
        if nth == 0 or self._keys.is_start(packet):
            self._index.add(FileKey(at, self._path, packet.pts, nth))
        self._index.played_to(at)


class FileFeed:
    """The packets of one file for one clip, from a key frame on."""

    gaps = 0

    def __init__(self, key: FileKey, index: KeyIndex, reading: ReadingKeys) -> None:
        """Raises ClipError where the file cannot be read any more."""
        try:
            self._recording = Recording.again(key.path, replace(reading, hwaccel=None))
        except SourceError as error:
            raise ClipError(f"the recording cannot be read again: {error}") from None
        self._key = key
        self._known = index.of(key.path, key.at)
        self._usual_s = 1 / self._recording.rate
        context = self._recording.stream.codec_context
        self._keys = KeyFrames(context)
        extradata = bytes(context.extradata or b"")
        annex_b = extradata[:3] == b"\0\0\1" or extradata[:4] == b"\0\0\0\1" or not extradata
        self._shape = StreamShape(context.name, extradata, annex_b)
        self._at, self._at_pts = key.at, key.pts
        self._packets = self._from_key()
        self._held: KeptPacket | None = None
        self._is_over = False

    @property
    def codec(self) -> str:
        """The codec of the file."""
        return self._shape.codec

    def stream_for(self, packet: KeptPacket) -> "VideoStream":
        """A stream as the file has it."""
        return self._recording.stream

    def decoder_for(self, packet: KeptPacket) -> "VideoCodecContext":
        """What decodes it: the file's own, which knows how its pictures are to be turned."""
        return self._recording.stream.codec_context

    def take(self, until: float) -> Iterator[KeptPacket]:
        """The next ones up to `until`."""
        for _ in range(_AT_ONCE):
            packet = self._held or next(self._packets, None)
            self._held = None
            if packet is None:
                self._is_over = True
                return
            if packet.at > until + self._usual_s * 4:
                self._held, self._is_over = packet, True
                return
            yield packet

    def has_all(self, until: float) -> bool:
        """Whether nothing up to `until` is still to come."""
        return self._is_over

    def close(self) -> None:
        """Let go of the file."""
        self._recording.close()

    def _from_key(self) -> Iterator[KeptPacket]:
        for nth, (packet, of_file) in enumerate(self._found()):
            at = self._time_of(packet, of_file)
            is_key = self._keys.is_start(packet)
            yield KeptPacket(nth, at, is_key, bytes(packet), self._shape)

    def _found(self) -> "Iterator[tuple[Packet[VideoStream], int]]":
        """The file's packets from the key frame on, each with its number in what is read.

        FFmpeg may land behind what it is asked for, as it looks for times of decoding.
        """
        key, stream = self._key, self._recording.stream
        if key.pts is None or not self._recording.is_dated:
            yield from ((packet, nth) for nth, packet in self._numbered() if nth >= key.nth)
            return
        earlier = round(_SEEK_EARLIER_S / float(stream.time_base or 1))
        for to in (key.pts - earlier, (stream.start_time or 0) - earlier):
            self._recording.container.seek(to, stream=stream)
            has_begun = False
            for nth, packet in self._numbered():
                has_begun = has_begun or packet.pts == key.pts
                if has_begun:
                    yield packet, nth
            if has_begun:
                return

    def _numbered(self) -> "Iterator[tuple[int, Packet[VideoStream]]]":
        lost: Counter[str] = Counter()
        packets = (packet for packet in self._recording.packets(lost) if packet.size)
        return enumerate(packets)

    def _time_of(self, packet: "Packet[VideoStream]", nth: int) -> float:
        known = self._known.get((packet.pts, 0 if packet.pts is not None else nth))
        if known is not None:
            self._at, self._at_pts = known, packet.pts
            return known
        if packet.pts is None or self._at_pts is None:
            return self._key.at + (nth - self._key.nth) * self._usual_s
        ticks_s = float(self._recording.stream.time_base or 0)
        return self._at + (packet.pts - self._at_pts) * ticks_s
