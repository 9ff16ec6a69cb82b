"""What a camera sent lately, undecoded: the packets from which clips are cut."""

import io
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from connectors.sources.ffmpeg.keys import KeyFrames
from pipeline.core.clips import ClipError, ClipNeed

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

COPIED = frozenset(["h264", "hevc"])
"""The codecs that are put into a clip as they are; all others are encoded anew."""
STILL = "still"
"""The codec of packets that are files of single pictures."""
# NAL units that hold the parameter sets of a stream.
_H264_SETS, _HEVC_SETS = frozenset((7, 8)), frozenset((32, 33, 34))
_H264_SIZE, _HEVC_SIZE = 7, 33
_START = b"\0\0\0\1"


@dataclass(frozen=True, slots=True)
class StreamShape:
    """What packets need to be decoded, or to be put into a file: packets with another one cannot
    follow in the same file.
    """

    codec: str
    extradata: bytes = b""
    is_annex_b: bool = True
    """Whether start codes lie between its NAL units, and its `extradata` are such units."""


@dataclass(frozen=True, slots=True)
class KeptPacket:
    """One packet with the time at which its picture was captured."""

    number: int
    """Counts all packets of a source in the order in which they came."""
    at: float
    is_key: bool
    content: bytes
    shape: StreamShape


@dataclass(slots=True)
class _KeyGroup:
    """A key frame with what follows it up to the next one."""

    packets: list[KeptPacket] = field(default_factory=list)
    bytes: int = 0


class PacketRing:
    """Keeps the packets of the last seconds, group by group; the source's thread fills it, and any
    other reads it.
    """

    def __init__(self, need: ClipNeed) -> None:
        self.need = need
        self.overflows = 0
        """How often older packets had to go before their time, for lack of room."""
        self._lock = threading.Lock()
        self._groups: deque[_KeyGroup] = deque()
        self._bytes = 0
        self._number = 0
        self._newest_at = float("-inf")
        self._keys: KeyFrames | None = None
        self._shape = StreamShape("")
        self._waits_for_key = True

    @property
    def kept_bytes(self) -> int:
        """How much is kept now."""
        return self._bytes

    def begin(self, context: "VideoCodecContext | None") -> None:
        """A stream was opened; nothing of it refers to what came before. None for stills."""
        with self._lock:
            self._waits_for_key = True
            if context is None:
                self._keys, self._shape = None, StreamShape(STILL)
            else:
                self._keys = KeyFrames(context)
                self._shape = StreamShape(context.name, bytes(context.extradata or b""))

    def keep(self, packet: "Packet[VideoStream]", at: float) -> None:
        """A packet has come whose picture was captured at `at`."""
        keys = self._keys
        if keys is None:
            return
        is_key = keys.is_start(packet)
        if is_key or not self._waits_for_key:
            self._add(bytes(packet), at, is_key)

    def keep_still(self, content: bytes, at: float) -> None:
        """A file of a single picture has come."""
        self._add(content, at, is_key=True)

    def _add(self, content: bytes, at: float, is_key: bool) -> None:
        with self._lock:
            if is_key:
                self._waits_for_key = False
                self._shape = _shape_by(self._shape, content)
                self._groups.append(_KeyGroup())
            group = self._groups[-1]
            group.packets.append(KeptPacket(self._number, at, is_key, content, self._shape))
            self._number += 1
            group.bytes += len(content)
            self._bytes += len(content)
            self._newest_at = max(self._newest_at, at)
            self._forget()

    def _forget(self) -> None:
        """Let go of groups that no clip can begin with any more, and of what there is no room for.

        The lock is held.
        """
        groups, oldest = self._groups, self._newest_at - self.need.before_s - self.need.lag_s
        while len(groups) > 1 and groups[1].packets[0].at <= oldest:
            self._bytes -= groups.popleft().bytes
        while self._bytes > self.need.most_bytes:
            self.overflows += 1
            self._bytes -= groups.popleft().bytes
            if not groups:
                self._waits_for_key = True

    def start(self, since: float) -> KeptPacket:
        """The last key frame at or before `since`, or the oldest one there is.

        Raises ClipError where nothing is kept.
        """
        with self._lock:
            if not self._groups:
                raise ClipError("nothing of its stream is kept: it has just been opened")
            begins = [group.packets[0].at for group in self._groups]
            nth = max(0, bisect_right(begins, since) - 1)
            return self._groups[nth].packets[0]

    def beyond(self, number: int) -> list[KeptPacket]:
        """The packets from this number on, in the order in which they came."""
        with self._lock:
            found: list[KeptPacket] = []
            for group in self._groups:
                if group.packets[-1].number >= number:
                    ahead = number - group.packets[0].number
                    found += group.packets[max(0, ahead) :]
            return found


class RingFeed:
    """The packets of a ring for one clip."""

    # How much later in the order of arrival a picture may come than one that is shown after it.
    _DISORDER_S = 0.25

    def __init__(self, ring: PacketRing, since: float) -> None:
        """Raises ClipError where nothing is kept."""
        self._ring = ring
        first = ring.start(since)
        self.codec = first.shape.codec
        """The codec of what comes first."""
        self._next = first.number
        self._reached = float("-inf")
        self.gaps = 0
        """Packets that were let go before they were taken."""
        self._templates: list[InputContainer] = []

    def take(self, until: float) -> Iterator[KeptPacket]:
        """Those that have come since the last time, up to `until`."""
        for packet in self._ring.beyond(self._next):
            if packet.at > until + self._DISORDER_S:
                self._reached = packet.at
                return
            if packet.number > self._next:
                self.gaps += packet.number - self._next
                if not packet.is_key:
                    continue
            self._next = packet.number + 1
            yield packet

    def has_all(self, until: float) -> bool:
        """Whether nothing up to `until` is still to come."""
        return self._reached > until

    def stream_for(self, packet: KeptPacket) -> "VideoStream":
        """A stream like the one the packet came in, made from its parameter sets and itself."""
        import av

        shape = packet.shape
        template = av.open(io.BytesIO(shape.extradata + packet.content), "r", format=shape.codec)
        self._templates.append(template)
        return template.streams.video[0]

    def decoder_for(self, packet: KeptPacket) -> "VideoCodecContext":
        """What decodes it."""
        import av
        from av.video.codeccontext import VideoCodecContext

        context = av.CodecContext.create(packet.shape.codec, "r")
        if packet.shape.extradata:
            context.extradata = packet.shape.extradata
        assert isinstance(context, VideoCodecContext)
        return context

    def close(self) -> None:
        """Let go of what was opened."""
        while self._templates:
            self._templates.pop().close()


def _shape_by(shape: StreamShape, content: bytes) -> StreamShape:
    """The shape of a stream from this key frame on, which may bring its own parameter sets."""
    wanted = {"h264": _H264_SETS, "hevc": _HEVC_SETS}.get(shape.codec)
    size = {"h264": _H264_SIZE, "hevc": _HEVC_SIZE}.get(shape.codec)
    if wanted is None:
        return shape
    sets = [nal for nal in _nals(content) if _kind(shape.codec, nal) in wanted]
    if not any(_kind(shape.codec, nal) == size for nal in sets):
        return shape
    extradata = b"".join(_START + nal for nal in dict.fromkeys(sets))
    known = b"".join(_START + nal for nal in dict.fromkeys(_nals(shape.extradata)))
    return shape if extradata == known else StreamShape(shape.codec, extradata)


def _kind(codec: str, nal: bytes) -> int:
    return nal[0] & 31 if codec == "h264" else nal[0] >> 1 & 63


def _nals(content: bytes) -> list[bytes]:
    """The units between start codes, without the zeros behind them; pictures at most by their
    beginning, as parameter sets come first.
    """
    found, at = [], content.find(b"\0\0\1")
    while at >= 0:
        following = content.find(b"\0\0\1", at + 3)
        nal = content[at + 3 : following if following >= 0 else len(content)].rstrip(b"\0")
        if nal:
            found.append(nal)
        at = following
    return found
