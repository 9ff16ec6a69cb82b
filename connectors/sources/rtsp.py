"""A network camera's stream over RTSP."""

from typing import Annotated, Literal

from pydantic import AfterValidator

from connectors.sources.failures import diagnose, failure
from connectors.sources.ffmpeg.decoder import DecodeConfig
from connectors.sources.ffmpeg.input import Input
from connectors.sources.ffmpeg.stream import StreamSource
from connectors.sources.live.login import LoginConfig
from connectors.sources.live.reader import LiveConfig
from pipeline.core.address import Address, scheme_check
from pipeline.core.clock import Clock, SystemClock
from pipeline.core.errors import SourceError, SourceFailure

_PORTS = {"rtsp": 554, "rtsps": 322}
# FFmpeg reads ahead to find out the frame rate, which nobody here asks for; what it reads in that
# time is delivered late.
_PROBING = {"fpsprobesize": "0"}
# What FFmpeg says of quite different troubles; connecting once more tells them apart.
_VAGUE = frozenset((SourceFailure.BROKEN, SourceFailure.TIMEOUT, SourceFailure.UNREACHABLE))
# An opening that failed after this part of its deadline failed because of it.
_NEARLY_ALL = 0.9


class RtspConfig(LoginConfig, LiveConfig, DecodeConfig):
    """An RTSP camera, over TCP by default."""

    type: Literal["rtsp"] = "rtsp"
    url: Annotated[Address, AfterValidator(scheme_check("rtsp", "rtsps"))]
    """`rtsp://user:password@host:port/path`; shown everywhere without user and password."""
    transport: Literal["tcp", "udp"] = "tcp"
    """`tcp` loses nothing; `udp` is for cameras that support nothing else."""

    def build(self, clock: Clock | None = None) -> "RtspSource":
        """The camera, not yet connected."""
        return RtspSource(self, clock or SystemClock())


class RtspSource(StreamSource):
    """Reads an RTSP stream; raises SourceError with a distinct reason for each kind of failure."""

    def __init__(self, config: RtspConfig, clock: Clock) -> None:
        super().__init__(str(config.url), config, clock)
        self._config = config

    def _input(self) -> Input:
        config, place = self._config, self._place
        longest_us = round(max(place.open_s, place.read_s) * 1e6)
        return Input(
            address=config.url.with_login(config.username, config.password),
            place=place.name,
            options={
                "rtsp_transport": config.transport,
                "allowed_media_types": "video",
                "timeout": str(longest_us),
                **_PROBING,
            },
            deadlines_s=(place.open_s, place.read_s),
            hwaccel=config.hwaccel,
            threads=config.threads,
        )

    def _explain(self, error: SourceError, elapsed_s: float) -> SourceError:
        if error.reason not in _VAGUE:
            return error
        url = self._config.url
        port = url.port or _PORTS[url.reveal().partition("://")[0].lower()]
        reason = diagnose(url.host, port, self._place.open_s)
        if reason is None and elapsed_s >= self._place.open_s * _NEARLY_ALL:
            reason = SourceFailure.TIMEOUT
        return error if reason is None else failure(reason, self._place.name)
