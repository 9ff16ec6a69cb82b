"""Live streams that FFmpeg reads: what RTSP cameras and webcams have in common."""

import abc
import logging
import struct
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from connectors.sources.ffmpeg.damage import PACKET_LOSS, Trust
from connectors.sources.ffmpeg.decoder import Decoder
from connectors.sources.ffmpeg.errors import DECODE_ERROR, Silence
from connectors.sources.ffmpeg.input import Input, close_input, open_input, read_packets
from connectors.sources.ffmpeg.ring import PacketRing
from connectors.sources.ffmpeg.timeline import LiveTimeline
from connectors.sources.live.config import LiveConfig
from connectors.sources.live.reader import LiveSource, Watch
from pipeline.core.clock import Clock
from pipeline.core.errors import SourceError, SourceFailure
from pipeline.core.frames import Picture
from pipeline.core.sources import CameraClockState, Need, StreamLog

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

# FFmpeg's AVProducerReferenceTime begins with microseconds since 1970, of either byte order.
_WALLCLOCK = struct.Struct("=q")

logger = logging.getLogger(__name__)

# How long a device that was asked before it is opened gets to close that connection.
_BREATH_S = 0.5
# How long a stream may go without the key frame that its next picture needs before that is said.
_SAY_AFTER_S = 5.0
_NO_KEY = (
    f"sends video, but no key frame within {_SAY_AFTER_S:g} s, and without one there is no "
    "picture; set its I-frame interval to 1 to 4 s"
)
_NO_WHOLE_KEY = "loses so many packets on the way that no key frame arrives whole; "
_NOT_DECODED = (
    "sends video of which nothing can be decoded; restart the camera, or choose plain H.264 or "
    "H.265 in its settings"
)
# Losses on the way are said again after this long at the earliest.
_SAY_AGAIN_S = 3600.0


class StreamSource(LiveSource):
    """Reads one live stream with FFmpeg; what to open is up to `_input`."""

    _key_wait_s = 60.0
    """How long a key frame is waited for while packets arrive."""
    _counts_losses = False
    """Whether single packets of it may be lost on the way."""
    _helps_losses = "set `transport: tcp`, or mend the network"

    def __init__(self, name: str, config: LiveConfig, clock: Clock) -> None:
        super().__init__(name, config, clock)
        self._stream_clock = clock
        self._said: set[str] = set()
        self._shown_at = 0.0
        self._loss_said_at: float | None = None
        self._timeline: LiveTimeline | None = None
        self._log = StreamLog()

    def observe(self, log: StreamLog) -> None:
        """Write down what the stream is and how its packets come, from the next `open` on."""
        self._log = log

    @property
    def camera_clock(self) -> CameraClockState | None:
        """Whether the camera's clock is right, once that is known since `open`."""
        return None if self._timeline is None else self._timeline.state

    @abc.abstractmethod
    def _input(self) -> Input:
        """What FFmpeg is to open; raises SourceError where that is known to be of no use."""

    def _is_busy_with_us(self, error: SourceError) -> bool:
        """Whether the device may only not have noticed yet that we closed it."""
        return False

    def _opened(self, what: Input, watch: Watch) -> "tuple[InputContainer, VideoStream]":
        try:
            return open_input(what)
        except SourceError as error:
            if not self._is_busy_with_us(error) or watch.wait(_BREATH_S):
                raise
        return open_input(what)

    def _explain(self, error: SourceError, elapsed_s: float) -> SourceError:
        """A better error, if there is one, for an opening that failed after `elapsed_s`."""
        return error

    def _late(self) -> SourceError | None:
        """A better error, if there is one, where opening takes too long after all was asked."""
        return None

    def _check_redirects(self, followed: Sequence[str]) -> None:
        """Where FFmpeg was sent to, and went; raises SourceError where it must not."""
        return

    def _said_at(self) -> float | None:
        """The time of day that the device has answered with, in UTC seconds, if it did."""
        return None

    def _nothing_came(self) -> SourceError:
        """The error of a stream that was opened and has sent nothing at all."""
        return self._place.late(opened=True)

    def _read(self, need: Need, watch: Watch) -> Iterator[Picture]:
        self._timeline = None
        with Silence(counts_losses=self._counts_losses) as silence:
            started = time.monotonic()
            what = self._input()
            watch.nothing_came = self._late()
            try:
                container, stream = self._opened(what, watch)
            except SourceError as error:
                raise self._explain(error, time.monotonic() - started) from None
            watch.nothing_came = self._nothing_came()
            try:
                self._begin_to_keep(stream.codec_context)
                self._check_redirects(silence.redirects())
                log = self._log
                context = stream.codec_context
                log.begin(context.name, (context.width, context.height), self._said_at())
                watch.beat()
                timeline = self._timeline = LiveTimeline(self._stream_clock)
                decoder = Decoder(stream, need, timeline.at, watch.lost, timeline.arrive)
                self._shown_at, damaged = time.monotonic(), 0
                missed = silence.missed()
                trust = Trust(watch.lost, self._key_wait_s, time.monotonic(), missed)
                for packet in read_packets(container, stream, what.place, watch.lost):
                    if watch.stopped:
                        return
                    watch.beat()
                    watch.nothing_came = None
                    if packet.size == 0:
                        yield from decoder.pictures(packet)
                        continue
                    log.hear(_seconds_of(packet), is_key=packet.is_keyframe)
                    heed_report(packet, timeline)
                    now = time.monotonic()
                    was_sound = trust.is_sound
                    missed = silence.missed()
                    if trust.look(packet, missed, now):
                        if trust.took_as_it_is and not was_sound:
                            decoder.take_as_it_is()
                        before = watch.lost[DECODE_ERROR]
                        for picture in decoder.pictures(packet):
                            self._shown_at, damaged = now, watch.lost[DECODE_ERROR]
                            yield picture
                        if watch.lost[DECODE_ERROR] > before and not trust.took_as_it_is:
                            trust.doubt(now)
                            yield from decoder.interrupt(keep=False)
                    else:
                        decoder.pass_over(packet)
                        if was_sound:
                            yield from decoder.interrupt(keep=True)
                    keep_packet(self._ring, packet, timeline)
                    if missed:
                        self._say_lost(now)
                    self._say(watch, trust, watch.lost[DECODE_ERROR] - damaged, now)
            except SourceError as error:
                late = error.reason is SourceFailure.TIMEOUT
                silence_means = watch.nothing_came or self._place.late(opened=True)
                raise (silence_means if late else error) from None
            finally:
                close_input(container, stream)

    def _say(self, watch: Watch, trust: Trust, damaged: int, now: float) -> None:
        """What keeps pictures from coming although data arrive; each kind is logged once.

        `damaged` is how many pictures were found damaged since the last good one.
        """
        words = None
        if trust.waited_s(now) >= _SAY_AFTER_S:
            words = _NO_WHOLE_KEY + self._helps_losses if trust.is_lossy else _NO_KEY
        elif damaged and now - self._shown_at >= _SAY_AFTER_S:
            words = _NOT_DECODED
        watch.waiting_for = words and f"{self._place.name} {words}"
        if words is not None and words not in self._said:
            self._said.add(words)
            logger.warning("%s", watch.waiting_for)

    def _say_lost(self, now: float) -> None:
        if self._loss_said_at is None or now - self._loss_said_at >= _SAY_AGAIN_S:
            self._loss_said_at = now
            logger.warning(
                "%s loses packets on the way; pictures made from them are not judged, but counted "
                "as `%s`; %s",
                self._place.name,
                PACKET_LOSS,
                self._helps_losses,
            )


def _seconds_of(packet: "Packet[VideoStream]") -> float | None:
    stamp = packet.dts if packet.dts is not None else packet.pts
    base = packet.time_base
    return None if stamp is None else stamp * base.numerator / base.denominator


def keep_packet(
    ring: PacketRing | None, packet: "Packet[VideoStream]", timeline: LiveTimeline
) -> None:
    """Keep a packet for clips, at the time at which its picture is judged."""
    if ring is None:
        return
    stamp = packet.pts if packet.pts is not None else packet.dts
    base = packet.time_base
    seconds = None if stamp is None else stamp * base.numerator / base.denominator
    ring.keep(packet, timeline.dated(seconds))


def heed_report(packet: "Packet[VideoStream]", timeline: LiveTimeline) -> None:
    """The time of day at which the camera says that it captured this, if it does.

    Only RTSP cameras do, in the sender reports of RTCP.
    """
    if packet.pts is None or not packet.has_sidedata("prft"):
        return
    said = bytes(packet.get_sidedata("prft"))
    if len(said) >= _WALLCLOCK.size:
        (micros,) = _WALLCLOCK.unpack_from(said)
        base = packet.time_base
        timeline.report(micros / 1e6, packet.pts * base.numerator / base.denominator)
