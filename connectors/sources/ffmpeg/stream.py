"""Live streams that FFmpeg reads: what RTSP cameras and webcams have in common."""

import abc
import logging
import time
from collections.abc import Iterator

from connectors.sources.failures import failure
from connectors.sources.ffmpeg.damage import PACKET_LOSS, Trust
from connectors.sources.ffmpeg.decoder import Decoder
from connectors.sources.ffmpeg.errors import DECODE_ERROR, Silence
from connectors.sources.ffmpeg.input import Input, close_input, open_input, read_packets
from connectors.sources.ffmpeg.timeline import LiveTimeline
from connectors.sources.live.reader import LiveConfig, LiveSource, Watch
from pipeline.core.clock import Clock
from pipeline.core.errors import SourceError, SourceFailure
from pipeline.core.frames import Picture
from pipeline.core.sources import Need

logger = logging.getLogger(__name__)

# How long a stream may go without the key frame that its next picture needs before that is said.
_SAY_AFTER_S = 5.0
# Losses on the way are said again after this long at the earliest.
_SAY_AGAIN_S = 3600.0


class StreamSource(LiveSource):
    """Reads one live stream with FFmpeg; what to open is up to `_input`."""

    _key_wait_s = 60.0
    """How long a key frame is waited for while packets arrive."""
    _counts_losses = False
    """Whether single packets of it may be lost on the way."""

    def __init__(self, name: str, config: LiveConfig, clock: Clock) -> None:
        super().__init__(name, config, clock)
        self._stream_clock = clock
        self._said_no_key = False
        self._loss_said_at: float | None = None

    @abc.abstractmethod
    def _input(self) -> Input:
        """What FFmpeg is to open; raises SourceError where that is known to be of no use."""

    def _explain(self, error: SourceError, elapsed_s: float) -> SourceError:
        """A better error, if there is one, for an opening that failed after `elapsed_s`."""
        return error

    def _nothing_came(self) -> SourceError:
        """The error of a stream that was opened and has sent nothing at all."""
        return self._place.late(opened=True)

    def _read(self, need: Need, watch: Watch) -> Iterator[Picture]:
        with Silence(counts_losses=self._counts_losses) as silence:
            started = time.monotonic()
            what = self._input()
            try:
                container, stream = open_input(what)
            except SourceError as error:
                raise self._explain(error, time.monotonic() - started) from None
            watch.nothing_came = self._nothing_came()
            try:
                watch.beat()
                timeline = LiveTimeline(self._stream_clock)
                decoder = Decoder(stream, need, timeline.at, watch.lost)
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
                    now = time.monotonic()
                    was_sound = trust.is_sound
                    missed = silence.missed()
                    if trust.look(packet, missed, now):
                        if trust.took_as_it_is and not was_sound:
                            decoder.take_as_it_is()
                        damaged = watch.lost[DECODE_ERROR]
                        yield from decoder.pictures(packet)
                        if watch.lost[DECODE_ERROR] > damaged and not trust.took_as_it_is:
                            trust.doubt(now)
                            yield from decoder.interrupt(keep=False)
                    elif was_sound:
                        yield from decoder.interrupt(keep=True)
                    self._say(watch, trust, missed, now)
            except SourceError as error:
                late = error.reason is SourceFailure.TIMEOUT
                silence_means = watch.nothing_came or self._place.late(opened=True)
                raise (silence_means if late else error) from None
            finally:
                close_input(container, stream)

    def _say(self, watch: Watch, trust: Trust, missed: int, now: float) -> None:
        """Say once what is wrong with a stream that arrives."""
        if trust.waited_s(now) >= _SAY_AFTER_S and not trust.has_begun:
            words = (
                f"sends video, but no key frame within {_SAY_AFTER_S:g} s, and without one there "
                "is no picture; set its I-frame interval to 1 to 4 s"
            )
            watch.waiting_for = str(failure(SourceFailure.TIMEOUT, self._place.name, words))
            if not self._said_no_key:
                self._said_no_key = True
                logger.warning("%s", watch.waiting_for)
        elif trust.is_sound:
            watch.waiting_for = None
        said_at = self._loss_said_at
        if missed and (said_at is None or now - said_at >= _SAY_AGAIN_S):
            self._loss_said_at = now
            logger.warning(
                "%s loses packets on the way; pictures made from them are not judged, but counted "
                "as `%s`; set `transport: tcp`, or mend the network",
                self._place.name,
                PACKET_LOSS,
            )
