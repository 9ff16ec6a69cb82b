"""The one door to PyAV: opens, reads and decodes, and turns every error of it into a SourceError.

Nothing that PyAV or FFmpeg says leaves this module: their messages hold the address that was
opened, and with it the password. Imported only when a source is opened.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


from connectors.sources.ffmpeg.keys import KeyFrames
from connectors.sources.ffmpeg.pictures import (
    UPRIGHT,
    PixelConverter,
    PixelShape,
    VideoPicture,
    orientation_of,
)
from connectors.sources.ffmpeg.plan import KeyIntervals, Thinning, WantedPictures
from pipeline.core.sources import Need

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
from connectors.sources.ffmpeg.errors import DECODE_ERROR


def decode(
    context: "VideoCodecContext", packet: "Packet[VideoStream] | None", lost: Counter[str]
) -> "list[VideoFrame]":
    """The pictures that a packet completes; None for those still inside. Damage is counted."""
    import av

    try:
        frames = context.decode(packet)
    except av.error.EOFError:
        return []
    except av.FFmpegError:
        lost[DECODE_ERROR] += 1
        return []
    whole = [frame for frame in frames if not frame.is_corrupt]
    if len(whole) < len(frames):
        lost[DECODE_ERROR] += len(frames) - len(whole)
    return whole


def decode_alone(
    context: "VideoCodecContext", packet: "Packet[VideoStream]", lost: Counter[str]
) -> "list[VideoFrame]":
    """The picture of a key frame, without waiting for the packets after it."""
    frames = decode(context, packet, lost)
    frames += decode(context, None, lost)
    context.flush_buffers()
    return frames


# A stream joined in its middle begins with pictures that refer to others never seen. One that has
# sent no key frame in so many packets has none (it is refreshed bit by bit), and is taken as it is.
_PATIENCE = 300
# Packets kept, undecoded, in case the next key frame does not come in time: some 30 s of a good
# camera. Of a longer need, the rest of the interval is lost instead.
_HELD_BYTES = 32 * 1024 * 1024
# Key frames that give no picture alone (halves of interlaced ones, damage) before all is decoded.
_FRUITLESS = 3


class Decoder:
    """Decodes one stream.

    Three ways, switched by what the stream shows. Key frames alone, each decoded only if it is
    wanted, as long as they come as often as pictures are needed; what lies between them is held
    until the next one is there, and decoded after all if it is late. Else every reference frame,
    as long as four of them come to each picture needed. Else everything.
    """

    def __init__(
        self,
        stream: "VideoStream",
        need: Need,
        time_of: Callable[[float | None], float],
        lost: Counter[str],
        arrived: Callable[[float | None], float | None] = lambda stamp: stamp,
        *,
        is_from_beginning: bool = False,
    ) -> None:
        """`arrived` is told each packet's timestamp as it comes, and says what to plan by: the same
        unless the clock it is from may be wrong. `time_of` is asked for each picture's time.
        `is_from_beginning` is whether the first packet is what the encoder began with.
        """
        every_s = need.every_s
        # Not a Fraction, which takes longer than all the rest where packets are only looked at.
        base = stream.time_base or Fraction(0)
        self._ticks, self._per_second = base.numerator, base.denominator
        self._context = stream.codec_context
        self._keys = KeyFrames(stream.codec_context)
        self._every_s = every_s
        self._time_of = time_of
        self._arrived = arrived
        self._stamp: float | None = None
        self._lost = lost
        self._converter = PixelConverter()
        self._shape = PixelShape(stream)
        self._orientation = UPRIGHT
        self._intervals = KeyIntervals(every_s)
        self._wanted = WantedPictures(every_s, need.is_owed)
        self._keys_alone = every_s > 0
        self._held: list[Packet[VideoStream]] = []
        self._held_bytes = 0
        self._late_after = 0.0
        # The key frame that was decoded alone and then again, with what was held after it.
        self._seen_pts: int | None = None
        self._fruitless = 0
        self._waited = 0
        self._started = False
        self._is_from_beginning = is_from_beginning
        self._thinning = Thinning(every_s)
        self._thinned = False

    def pictures(self, packet: "Packet[VideoStream]") -> Iterator[VideoPicture]:
        """The pictures that this packet completes; a packet of size 0 ends the stream."""
        if packet.size == 0:
            yield from self._drained()
        else:
            self._stamp = self._arrived(self._stamp_of(packet))
            begins = not self._started
            if begins and not self._can_start(packet):
                return
            # Where every picture is needed it does not matter. The first one is decoded in any
            # case: containers that mark none of them have key frames all the same.
            is_key = self._every_s > 0 and (
                (begins and self._keys_alone) or self._keys.is_key(packet)
            )
            if is_key:
                yield from self._see_key()
            if not self._keys_alone:
                yield from self._dated(decode(self._context, packet, self._lost))
            elif is_key:
                yield from self._alone(packet)
            elif self._held:
                yield from self._hold(packet)

    def pass_over(self, packet: "Packet[VideoStream]") -> None:
        """A packet has come that is not to be decoded; when it came counts all the same."""
        self._arrived(self._stamp_of(packet))

    def interrupt(self, *, keep: bool) -> Iterator[VideoPicture]:
        """Something of the stream was lost: what comes next has nothing to do with what came.

        `keep` is whether the pictures inside the decoder were still whole.
        """
        self._held.clear()
        if not self._context.is_open:
            return
        waiting = [] if self._keys_alone else decode(self._context, None, self._lost)
        self._context.flush_buffers()
        if keep:
            yield from self._dated(waiting)
        else:
            self._lost[DECODE_ERROR] += len(waiting)

    def take_as_it_is(self) -> None:
        """Wait for no key frame any longer."""
        self._started = True
        self._keys_alone = False

    def _can_start(self, packet: "Packet[VideoStream]") -> bool:
        self._waited += 1
        self._started = self._keys.is_start(packet) or (
            self._is_from_beginning and not self._keys.looks_into
        )
        if not self._started and self._waited > _PATIENCE:
            self.take_as_it_is()
        return self._started

    def _see_key(self) -> Iterator[VideoPicture]:
        stamp = self._stamp
        self._intervals.see(stamp)
        enough = self._intervals.suffice() or (self._keys_alone and not self._intervals.too_long())
        alone = enough and stamp is not None and self._fruitless < _FRUITLESS
        if alone and not self._keys_alone:
            yield from self._drained()
        self._keys_alone = alone
        self._held.clear()

    def _hold(self, packet: "Packet[VideoStream]") -> Iterator[VideoPicture]:
        self._held.append(packet)
        self._held_bytes += packet.size
        now = self._stamp
        if now is not None and now > self._late_after:
            self._keys_alone = False
            held, self._held = self._held, []
            self._seen_pts = held[0].pts
            for late in held:
                yield from self._dated(decode(self._context, late, self._lost))
        elif self._held_bytes > _HELD_BYTES:
            self._held.clear()

    def _alone(self, packet: "Packet[VideoStream]") -> Iterator[VideoPicture]:
        self._held, self._held_bytes = [packet], packet.size
        self._late_after = (self._stamp or 0.0) + self._intervals.longest_s
        at = self._time_of(self._seconds(packet.pts))
        if not self._wanted.take(at):
            return
        frames = decode_alone(self._context, packet, self._lost)
        self._fruitless = 0 if frames else self._fruitless + 1
        if frames:
            yield self._picture(frames[-1], at)

    def _drained(self) -> Iterator[VideoPicture]:
        """What waits inside the decoder for its turn."""
        yield from self._dated(decode(self._context, None, self._lost))
        self._context.flush_buffers()

    def _dated(self, frames: "list[VideoFrame]") -> Iterator[VideoPicture]:
        for frame in frames:
            if frame.pts is not None and frame.pts == self._seen_pts:
                self._seen_pts = None
                continue
            at = self._time_of(self._seconds(frame.pts))
            if self._every_s:
                self._wanted.take(at)
                # Pictures without stamps are dated by their number: none may be left out.
                self._thin(frame.pts is not None and self._thinning.see(at))
            yield self._picture(frame, at)

    def _picture(self, frame: "VideoFrame", at: float) -> VideoPicture:
        # Cameras that say it in the coded data say it with key frames only.
        told = orientation_of(frame)
        self._orientation = told or (UPRIGHT if frame.key_frame else self._orientation)
        aspect = self._shape.pixel_aspect
        return VideoPicture(frame, at, self._converter, aspect, self._orientation)

    def _thin(self, thin: bool) -> None:
        if thin is not self._thinned:
            self._thinned = thin
            self._context.skip_frame = "NONREF" if thin else "DEFAULT"

    def _stamp_of(self, packet: "Packet[VideoStream]") -> float | None:
        return self._seconds(packet.pts if packet.pts is not None else packet.dts)

    def _seconds(self, stamp: int | None) -> float | None:
        return None if stamp is None else stamp * self._ticks / self._per_second
