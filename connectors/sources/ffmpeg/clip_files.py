"""Writes clips: as MP4 in fragments, so that what is written can be played whatever comes after."""

import hashlib
import math
import os
from bisect import insort
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from connectors.sources.ffmpeg.pictures import (
    UPRIGHT,
    PixelConverter,
    VideoPicture,
    orientation_of,
)
from connectors.sources.ffmpeg.ring import COPIED, STILL, KeptPacket, StreamShape
from connectors.sources.ffmpeg.stills import StillDecoder
from pipeline.core.clips import ClipError, ClipFile, ClipMake
from pipeline.core.private_files import create_file

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_TICKS = 90_000
# The tag of a file that says when it begins, in UTC seconds.
_BEGAN = "comment"
# A kill costs no more than this of what was written.
_FRAGMENT_S = 2.0
_FRAGMENTS = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof",
    "frag_duration": str(round(_FRAGMENT_S * 1e6)),
    "flush_packets": "1",
}
# So many packets are looked at before one is written: pictures that refer to later ones are sent
# after these, and what a file needs is both orders.
_LOOKAHEAD = 8
_USUAL_S = 0.04
# A key frame so often in what is encoded anew, for those who seek in it.
_KEY_EVERY_S = 2.0
_QUALITY = {"preset": "veryfast", "crf": "23"}


class PacketFeed(Protocol):
    """Where a clip's packets come from."""

    gaps: int

    @property
    def codec(self) -> str:
        """The codec of what comes first."""
        ...

    def take(self, until: float) -> Iterator[KeptPacket]:
        """Those that have come since the last time, up to `until`."""
        ...

    def has_all(self, until: float) -> bool:
        """Whether nothing up to `until` is still to come."""
        ...

    def stream_for(self, packet: KeptPacket) -> "VideoStream":
        """A stream with the parameters of the packet's; lives until `close`."""
        ...

    def decoder_for(self, packet: KeptPacket) -> "VideoCodecContext":
        """What decodes the packet and those after it."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


class _Stamps:
    """Gives packets the two times that a file needs, from the time at which each was captured.

    Nothing the stream says of its order of decoding is used: it is often missing or wrong, and the
    order of arrival is that order.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[KeptPacket, int]] = deque()
        self._shown: list[int] = []
        self._delay: int | None = None
        self._base: float | None = None
        self._last = -(1 << 62)

    def push(self, packet: KeptPacket) -> Iterator[tuple[KeptPacket, int, int]]:
        """Those that can be written now: packet, when it is shown, when it is decoded."""
        if self._base is None:
            self._base = packet.at
        shown = round((packet.at - self._base) * _TICKS)
        self._waiting.append((packet, shown))
        insort(self._shown, shown)
        if len(self._waiting) > _LOOKAHEAD:
            yield self._pop()

    def rest(self) -> Iterator[tuple[KeptPacket, int, int]]:
        """Those that still wait."""
        while self._waiting:
            yield self._pop()

    def _pop(self) -> tuple[KeptPacket, int, int]:
        if self._delay is None:
            late = (by - own for by, (_, own) in zip(self._shown, self._waiting, strict=True))
            self._delay = max(0, *late)
        packet, shown = self._waiting.popleft()
        decoded = max(self._last + 1, self._shown.pop(0) - self._delay)
        self._last = decoded
        return packet, max(shown, decoded), decoded


class CopiedClip:
    """A clip of a stream's own packets: no picture is decoded, and none is encoded."""

    def __init__(
        self, path: Path, feed: PacketFeed, make: ClipMake, first: Sequence[KeptPacket] = ()
    ) -> None:
        """`first` was taken from the feed already."""
        self._path = path
        self._feed = feed
        self._make = make
        self._ahead = first
        self._stamps = _Stamps()
        self._output: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._shape: StreamShape | None = None
        self._first = self._last = float("-inf")
        self._step_s = _USUAL_S
        self._pictures = 0
        self._codec, self._size_wh = "", (0, 0)
        self._changed: KeptPacket | None = None
        self._is_followed = False

    def advance(self, until: float) -> bool:
        """Write what has come up to `until`; whether all of that is written."""
        if self._changed is not None:
            return True
        ahead, self._ahead = self._ahead, ()
        for packet in chain(ahead, self._feed.take(until)):
            if self._output is None:
                self._open(packet)
            if packet.shape != self._shape:
                self._changed = packet
                return True
            if packet.at < self._first:
                continue  # shown before the first key frame, it refers to what is not here
            self._note(packet.at)
            for one in self._stamps.push(packet):
                self._mux(*one)
        return self._feed.has_all(until)

    @property
    def has_changed(self) -> bool:
        """Whether the camera has changed the format of its pictures: one file holds one."""
        return self._changed is not None

    def follow(self, unfinished: Path) -> "CopiedClip | EncodedClip":
        """What goes on in another file."""
        assert self._changed is not None
        first, self._is_followed = self._changed, True
        if first.shape.codec in COPIED:
            return CopiedClip(unfinished, self._feed, self._make, [first])
        return EncodedClip(unfinished, self._feed, first.at, self._make, [first])

    @property
    def remark(self) -> str:
        """What is not as it was wanted."""
        if self._feed.gaps:
            return "a part is missing, as `clips.memory` is too small for this stream"
        return ""

    def _note(self, at: float) -> None:
        if self._pictures and at > self._last:
            self._step_s = min(1.0, at - self._last)
        if not self._pictures:
            self._first = at
        self._last = max(self._last, at)
        self._pictures += 1

    def _open(self, packet: KeptPacket) -> None:
        import av

        shape = self._shape = packet.shape
        try:
            source = self._feed.stream_for(packet)
            if not source.codec_context.width:
                raise ClipError("its stream says nowhere how large its pictures are")
            self._codec = shape.codec
            self._size_wh = source.codec_context.width, source.codec_context.height
            output = self._output = av.open(
                str(self._path), "w", format="mp4", container_options=_FRAGMENTS
            )
            output.metadata.update(_begins(packet.at))
            stream = self._stream = output.add_stream_from_template(source)
        except av.FFmpegError as error:
            raise _translated(error) from None
        stream.time_base = Fraction(1, _TICKS)
        if shape.codec == "hevc":
            stream.codec_context.codec_tag = "hvc1"

    def _mux(self, kept: KeptPacket, shown: int, decoded: int) -> None:
        import av

        output, stream = self._output, self._stream
        if output is None or stream is None:
            return
        packet = av.Packet(kept.content)
        packet.stream = stream
        packet.time_base = Fraction(1, _TICKS)
        packet.pts, packet.dts = shown, decoded
        packet.duration = round(self._step_s * _TICKS)
        packet.is_keyframe = kept.is_key
        try:
            output.mux(packet)
        except av.FFmpegError as error:
            raise _translated(error) from None

    def finish(self, target: Path) -> ClipFile:
        """Close the file, and put it in its place; raises ClipError if there is nothing in it."""
        for one in self._stamps.rest():
            self._mux(*one)
        self.abandon()
        if not self._pictures:
            raise ClipError("no picture of that time has come")
        finish_file(self._path, target)
        return ClipFile(
            self._first,
            self._last + self._step_s,
            *_size_and_digest(target),
            self._codec,
            *self._size_wh,
            self._pictures,
        )

    def abandon(self) -> None:
        """Close it as it is."""
        import av

        output, self._output = self._output, None
        try:
            if output is not None:
                output.close()
        except av.FFmpegError as error:
            raise _translated(error) from None
        finally:
            if not self._is_followed:
                self._feed.close()


class EncodedClip:
    """A clip that is encoded anew, from pictures in which everything hidden is black already."""

    has_changed = False
    """Pictures of another size are brought to that of the first ones."""

    def __init__(
        self,
        path: Path,
        feed: PacketFeed,
        since: float,
        make: ClipMake,
        first: Sequence[KeptPacket] = (),
    ) -> None:
        """`first` was taken from the feed already."""
        self._path = path
        self._feed = feed
        self._since = since
        self._ahead = first
        self._make = make
        self._decoding = _Decoding(feed)
        self._converter = PixelConverter()
        self._turn = UPRIGHT
        self._output: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._size_wh = (0, 0)
        self._first = self._last = float("-inf")
        self._pictures = 0

    @property
    def remark(self) -> str:
        """What is not as it was wanted."""
        if self._feed.gaps:
            return "a part is missing, as `clips.memory` is too small for this stream"
        return ""

    def advance(self, until: float) -> bool:
        """Write what has come up to `until`; whether all of that is written."""
        ahead, self._ahead = self._ahead, ()
        for packet in chain(ahead, self._feed.take(until)):
            for frame, at in self._decoding.frames(packet):
                self._show(frame, at)
        return self._feed.has_all(until)

    def follow(self, unfinished: Path) -> "EncodedClip":
        """Never asked for, as it takes all that comes."""
        raise ClipError(f"nothing goes on in {unfinished.name}")

    def _show(self, frame: "VideoFrame", at: float) -> None:
        # Cameras that say in the coded data how a picture lies say it with key frames only.
        told = orientation_of(frame)
        self._turn = told or (UPRIGHT if frame.key_frame else self._turn)
        due = self._last + 1 / self._make.fps - 0.002
        if at < self._since - 0.002 or at < due:
            return
        picture = VideoPicture(frame, at, self._converter, 1.0, self._turn)
        if self._output is None:
            self._open(picture.size_wh, at)
        pixels = picture.rgb(self._size_wh)
        if self._make.hide is not None:
            pixels = self._make.hide(pixels)
        import av

        if not self._pictures:
            self._first = at
        self._last = at
        self._pictures += 1
        shown = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        shown.pts = round((at - self._first) * _TICKS)
        shown.time_base = Fraction(1, _TICKS)
        self._encode(shown)

    def _open(self, size_wh: tuple[int, int], at: float) -> None:
        import av

        scale = min(1.0, self._make.side / max(size_wh))
        width, height = (max(2, round(side * scale) // 2 * 2) for side in size_wh)
        self._size_wh = width, height
        try:
            output = self._output = av.open(
                str(self._path), "w", format="mp4", container_options=_FRAGMENTS
            )
            output.metadata.update(_begins(at))
            stream = output.add_stream("libx264", rate=round(self._make.fps), options=_QUALITY)
        except av.FFmpegError as error:
            raise _translated(error) from None
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS)
        stream.codec_context.gop_size = round(_KEY_EVERY_S * self._make.fps)
        stream.codec_context.max_b_frames = 0
        stream.codec_context.thread_count = 1
        self._stream = stream

    def _encode(self, frame: "VideoFrame | None") -> None:
        import av

        if self._output is None or self._stream is None:
            return
        try:
            for packet in self._stream.encode(frame):
                self._output.mux(packet)
        except av.FFmpegError as error:
            raise _translated(error) from None

    def finish(self, target: Path) -> ClipFile:
        """Close the file, and put it in its place; raises ClipError if there is nothing in it."""
        for frame, at in self._decoding.rest():
            self._show(frame, at)
        self._encode(None)
        self.abandon()
        if not self._pictures:
            raise ClipError("no picture of that time could be decoded")
        finish_file(self._path, target)
        end = self._last + 1 / self._make.fps
        written = _size_and_digest(target)
        return ClipFile(self._first, end, *written, "h264", *self._size_wh, self._pictures)

    def abandon(self) -> None:
        """Close it as it is."""
        import av

        output, self._output = self._output, None
        try:
            if output is not None:
                output.close()
        except av.FFmpegError as error:
            raise _translated(error) from None
        finally:
            self._feed.close()


class _Decoding:
    """Decodes kept packets from a key frame on; a stream that changes is decoded from there."""

    def __init__(self, feed: PacketFeed) -> None:
        self._feed = feed
        self._shape: StreamShape | None = None
        self._context: VideoCodecContext | None = None
        self._stills = StillDecoder()
        self._lost: Counter[str] = Counter()
        self._base = 0.0

    def frames(self, packet: KeptPacket) -> Iterator[tuple["VideoFrame", float]]:
        """The pictures that a packet completes, with their times."""
        if packet.shape.codec == STILL:
            still = self._stills.decode(packet.content, self._lost)
            if still is not None:
                yield still, packet.at
            return
        if packet.shape != self._shape:
            yield from self.rest()
            self._shape, self._base = packet.shape, packet.at
            self._context = self._feed.decoder_for(packet)
        import av

        one = cast("Packet[VideoStream]", av.Packet(packet.content))
        one.is_keyframe = packet.is_key
        one.pts = round((packet.at - self._base) * 1e6)
        one.time_base = Fraction(1, 1_000_000)
        yield from self._decoded(one)

    def rest(self) -> Iterator[tuple["VideoFrame", float]]:
        """The pictures that wait inside the decoder."""
        if self._context is not None and self._context.is_open:
            yield from self._decoded(None)

    def _decoded(
        self, packet: "Packet[VideoStream] | None"
    ) -> Iterator[tuple["VideoFrame", float]]:
        import av

        if self._context is None:
            return
        try:
            frames = self._context.decode(packet)
        except av.FFmpegError:
            return  # a damaged picture; the next ones are shown
        for frame in frames:
            if frame.pts is not None and not frame.is_corrupt:
                yield frame, self._base + frame.pts / 1e6


def _named(metadata: dict[str, str]) -> dict[str, str]:
    return {name: metadata[name] for name in (_BEGAN, "creation_time") if name in metadata}


def _begins(at: float) -> dict[str, str]:
    """What a file says of its beginning: for players in whole seconds, for us exactly."""
    moment = datetime.fromtimestamp(at, UTC)
    return {_BEGAN: f"{at:.6f}", "creation_time": moment.isoformat(timespec="seconds")}


def begin_clip(
    path: Path, feed: PacketFeed, since: float, make: ClipMake
) -> "CopiedClip | EncodedClip":
    """A clip of these packets: copied where that is allowed and possible, else encoded anew."""
    if make.hide is None and feed.codec in COPIED:
        return CopiedClip(path, feed, make)
    return EncodedClip(path, feed, since, make)


def recover(unfinished: Path, target: Path) -> ClipFile:
    """Finish a file that a process which has ended has left, unless it had finished it.

    Raises OSError or ClipError.
    """
    import av

    if unfinished.exists() or not target.exists():
        finish_file(unfinished, target)
    try:
        with av.open(str(target), "r") as source:
            video = source.streams.video[0]
            began = float(source.metadata.get(_BEGAN, "nan"))
            length_s = float((video.duration or 0) * (video.time_base or 0))
            context = video.codec_context
            codec, width, height = context.name, context.width, context.height
            pictures = video.frames
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise _translated(error) from None
    if not math.isfinite(began) or not pictures:
        raise ClipError("what was left of it holds no pictures")
    written = _size_and_digest(target)
    return ClipFile(began, began + length_s, *written, codec, width, height, pictures)


def _size_and_digest(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def finish_file(unfinished: Path, target: Path) -> None:
    """Turn what was written in fragments into a file that plays everywhere, and put it in place.

    What is cut off, as after a kill, is read as far as it goes. Raises OSError or ClipError.
    """
    import av

    whole = target.with_name(target.name + ".whole.part")
    try:
        create_file(whole)
        with av.open(str(unfinished), "r") as source:
            video = source.streams.video[0]
            options = {"movflags": "faststart"}
            with av.open(str(whole), "w", format="mp4", container_options=options) as output:
                output.metadata.update(_named(source.metadata))
                stream = output.add_stream_from_template(video)
                if video.codec_context.name == "hevc":
                    stream.codec_context.codec_tag = "hvc1"
                begins: int | None = None
                with suppress(av.error.InvalidDataError, av.error.EOFError):
                    for packet in source.demux(video):
                        if packet.dts is None or packet.pts is None:
                            continue
                        # The first picture is shown at 0, even where it is decoded before that.
                        begins = packet.pts if begins is None else begins
                        packet.pts, packet.dts = packet.pts - begins, packet.dts - begins
                        packet.stream = stream
                        output.mux(packet)
        _sync(whole)
        whole.replace(target)
    except (av.FFmpegError, IndexError) as error:
        with suppress(OSError):
            whole.unlink(missing_ok=True)
        raise _translated(error) from None
    except OSError:
        with suppress(OSError):
            whole.unlink(missing_ok=True)
        raise
    unfinished.unlink(missing_ok=True)
    _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _translated(error: Exception) -> Exception:
    """What FFmpeg says, without the address it may hold."""
    number = getattr(error, "errno", None)
    if isinstance(error, OSError) and number and 0 < number < 200:
        return OSError(number, os.strerror(number))
    return ClipError(f"its stream cannot be written as MP4 ({type(error).__name__})")
