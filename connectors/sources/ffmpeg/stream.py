"""Live streams that FFmpeg reads: what RTSP cameras and webcams have in common."""

import abc
import time
from collections.abc import Iterator

from connectors.sources.ffmpeg.decoder import Decoder
from connectors.sources.ffmpeg.errors import Silence
from connectors.sources.ffmpeg.input import Input, open_input, read_packets
from connectors.sources.ffmpeg.timeline import LiveTimeline
from connectors.sources.live.reader import LiveConfig, LiveSource, Watch
from pipeline.core.clock import Clock
from pipeline.core.errors import SourceError, SourceFailure
from pipeline.core.frames import Picture
from pipeline.core.sources import Need


class StreamSource(LiveSource):
    """Reads one live stream with FFmpeg; what to open is up to `_input`."""

    def __init__(self, name: str, config: LiveConfig, clock: Clock) -> None:
        super().__init__(name, config, clock)
        self._stream_clock = clock

    @abc.abstractmethod
    def _input(self) -> Input:
        """What FFmpeg is to open."""

    def _explain(self, error: SourceError, elapsed_s: float) -> SourceError:
        """A better error, if there is one, for an opening that failed after `elapsed_s`."""
        return error

    def _read(self, need: Need, watch: Watch) -> Iterator[Picture]:
        what = self._input()
        with Silence() as silence:
            started = time.monotonic()
            try:
                container, stream = open_input(what)
            except SourceError as error:
                raise self._explain(error, time.monotonic() - started) from None
            try:
                watch.beat()
                timeline = LiveTimeline(self._stream_clock)
                decoder = Decoder(stream, need, timeline.at, watch.lost)
                for packet in read_packets(container, stream, what.place, watch.lost):
                    if watch.stopped:
                        return
                    watch.beat()
                    silence.forget()
                    yield from decoder.pictures(packet)
            except SourceError as error:
                late = error.reason is SourceFailure.TIMEOUT
                raise (self._place.late(opened=True) if late else error) from None
            finally:
                container.close()
