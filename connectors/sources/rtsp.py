"""A network camera's stream over RTSP."""

import ssl
import time
from datetime import timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator

from connectors.sources.failures import failure
from connectors.sources.ffmpeg.decoder import DecodeConfig
from connectors.sources.ffmpeg.input import Input
from connectors.sources.ffmpeg.stream import StreamSource
from connectors.sources.live.login import LoginConfig
from connectors.sources.live.reader import LiveConfig
from connectors.sources.live.rtsp_inquiry import Inquiry, Look
from pipeline.core.address import Address, scheme_check
from pipeline.core.clock import Clock, SystemClock
from pipeline.core.config import PositiveDuration
from pipeline.core.errors import SourceError, SourceFailure

# FFmpeg reads ahead to find out the frame rate, which nobody here asks for; what it reads in that
# time is delivered late.
_PROBING = {"fpsprobesize": "0"}
# The camera is asked within this part of the deadline, so that what came of it is told in time.
_NEARLY_ALL = 0.9
_LEAST_S = 0.2
_OK = 200
_BUSY = frozenset((SourceFailure.REFUSED, SourceFailure.BROKEN, SourceFailure.ENDED))


class RtspConfig(LoginConfig, LiveConfig, DecodeConfig):
    """An RTSP camera, over TCP by default."""

    type: Literal["rtsp"] = "rtsp"
    url: Annotated[Address, AfterValidator(scheme_check("rtsp", "rtsps"))]
    """`rtsp://user:password@host:port/path`; shown everywhere without user and password."""
    transport: Literal["tcp", "udp"] = "tcp"
    """`tcp` loses nothing; `udp` is for cameras that support nothing else."""

    key_frame_timeout: PositiveDuration = timedelta(minutes=1)
    """How long a key frame is waited for while the stream arrives; then it is decoded without."""
    verify: bool = True
    """Whether an rtsps camera needs a valid certificate; many cameras have none."""

    def build(self, clock: Clock | None = None) -> "RtspSource":
        """The camera, not yet connected."""
        return RtspSource(self, clock or SystemClock())


class RtspSource(StreamSource):
    """Reads an RTSP stream; raises SourceError with a distinct reason for each kind of failure."""

    def __init__(self, config: RtspConfig, clock: Clock) -> None:
        super().__init__(str(config.url), config, clock)
        self._config = config
        self._key_wait_s = config.key_frame_timeout.total_seconds()
        self._counts_losses = config.transport == "udp"
        login = config.url.login()
        if config.username is not None:
            login = (config.username, config.password.reveal() if config.password else "")
        self._inquiry = Inquiry(config.url.bare(), login, self._place.name, config.verify)
        self._look: Look | None = None

    def _input(self) -> Input:
        config, place = self._config, self._place
        started = time.monotonic()
        self._look = None
        look = self._look = self._inquiry.look(place.open_s * _NEARLY_ALL)
        address = config.url.with_login(config.username, config.password)
        if look.url != config.url.bare():
            address = _moved(address, look.url)
        longest_us = round(max(place.open_s, place.read_s) * 1e6)
        # PyAV's deadline is one for connecting, and once more for the first packets.
        left_s = place.open_s - (time.monotonic() - started)
        options = {
            "rtsp_transport": config.transport,
            "allowed_media_types": "video",
            "timeout": str(longest_us),
            **_PROBING,
        }
        if config.url.scheme == "rtsps" and config.verify:
            options |= {"tls_verify": "1"}
            authorities = ssl.get_default_verify_paths().cafile
            options |= {"ca_file": authorities} if authorities else {}
        return Input(
            address=address,
            place=place.name,
            options=options,
            deadlines_s=(max(_LEAST_S, left_s / 2), place.read_s),
            hwaccel=config.hwaccel,
            threads=config.threads,
        )

    def _is_busy_with_us(self, error: SourceError) -> bool:
        # Some cameras serve one connection, and need a moment to see that it was closed.
        look = self._look
        is_described = look is not None and look.reply is not None and look.reply.status == _OK
        return is_described and error.reason in _BUSY

    def _explain(self, error: SourceError, elapsed_s: float) -> SourceError:
        if self._look is None:
            return error
        within_s = max(_LEAST_S, self._place.open_s - elapsed_s)
        return self._inquiry.explain(self._look, error, self._config.transport, within_s)

    def _nothing_came(self) -> SourceError:
        if self._config.transport == "tcp":
            return super()._nothing_came()
        return failure(
            SourceFailure.TIMEOUT,
            self._place.name,
            f"accepts, but none of its UDP packets arrived within {self._place.read_s:g} s; set "
            "`transport: tcp`, or let them through the firewall",
        )


def _moved(address: str, to: str) -> str:
    """Another address of the same camera, with the login of the first."""
    login = urlsplit(address).netloc.rpartition("@")
    parts = urlsplit(to)
    return urlunsplit(parts._replace(netloc=f"{login[0]}{login[1]}{parts.netloc}"))
