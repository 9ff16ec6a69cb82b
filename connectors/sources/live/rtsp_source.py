"""Reads RTSP cameras, after asking them what they offer."""

import ssl
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from connectors.sources.failures import failure
from connectors.sources.ffmpeg.input import Input
from connectors.sources.ffmpeg.stream import StreamSource
from connectors.sources.live.rtsp_inquiry import Inquiry, Look, RtspReply
from pipeline.core.clock import Clock
from pipeline.core.errors import SourceError, SourceFailure

if TYPE_CHECKING:
    from connectors.sources.rtsp import RtspConfig

# FFmpeg reads ahead to find out the frame rate, which nobody here asks for; what it reads in that
# time is delivered late.
_PROBING = {"fpsprobesize": "0"}
# Over TCP nothing is lost but what a camera itself leaves out when its line is too slow. FFmpeg
# notices that only where it may hold a packet back until the next one; two are the fewest.
_NOTICING = {"reorder_queue_size": "2"}
# The camera is asked within this part of the deadline, so that what came of it is told in time.
_NEARLY_ALL = 0.9
_LEAST_S = 0.2
# FFmpeg looks at a stream for 5 s by itself where its description says too little, and what it has
# looked at is delivered late. The first key frame brings what is missing.
_MOST_LOOK_S = 2.0
_OK, _MOVED = 200, 302
_BUSY = frozenset((SourceFailure.REFUSED, SourceFailure.BROKEN, SourceFailure.ENDED))


class RtspSource(StreamSource):
    """Reads an RTSP stream; raises SourceError with a distinct reason for each kind of failure."""

    _counts_losses = True

    def __init__(self, config: "RtspConfig", clock: Clock) -> None:
        super().__init__(str(config.url), config, clock)
        self._config = config
        self._key_wait_s = config.key_frame_timeout.total_seconds()
        if config.transport == "tcp":
            self._helps_losses = "lower its bit rate, or mend the network"
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
        left_s = max(_LEAST_S, place.open_s - (time.monotonic() - started))
        options = {
            "rtsp_transport": config.transport,
            "allowed_media_types": "video",
            "timeout": str(longest_us),
            "analyzeduration": str(round(min(_MOST_LOOK_S, left_s / 2) * 1e6)),
            **_PROBING,
        }
        if config.url.scheme == "rtsps" and config.verify:
            options |= {"tls_verify": "1"}
            authorities = ssl.get_default_verify_paths().cafile
            options |= {"ca_file": authorities} if authorities else {}
        if config.transport == "tcp":
            options |= _NOTICING
        return Input(
            address=address,
            place=place.name,
            options=options,
            # PyAV's deadline is one for connecting, and once more for the first packets.
            deadlines_s=(left_s, place.read_s),
            hwaccel=config.hwaccel,
            threads=config.threads,
        )

    @property
    def _is_described(self) -> bool:
        """Whether the camera let us in and described its stream."""
        reply = None if self._look is None else self._look.reply
        return reply is not None and reply.status == _OK

    def _is_busy_with_us(self, error: SourceError) -> bool:
        # Some cameras serve one connection, and need a moment to see that it was closed.
        return self._is_described and error.reason in _BUSY

    def _explain(self, error: SourceError, elapsed_s: float) -> SourceError:
        look = self._look
        if look is None:
            return error
        within_s = max(_LEAST_S, self._place.open_s - elapsed_s)
        if self._is_described and error.reason is SourceFailure.UNAUTHORISED:
            # Refused logins are told by the camera itself. FFmpeg has the same number for one that
            # hangs up, or has not answered in time, when it is asked to play.
            is_late = elapsed_s >= _NEARLY_ALL * self._place.open_s
            error = failure(
                SourceFailure.TIMEOUT if is_late else SourceFailure.ENDED,
                self._place.name,
                "hung up while it was opened; restart it if that goes on",
            )
        error = self._inquiry.explain(look, error, self._config.transport, within_s)
        return (self._late() or error) if error.reason is SourceFailure.TIMEOUT else error

    def _late(self) -> SourceError | None:
        if not self._is_described:
            return None
        return failure(
            SourceFailure.TIMEOUT,
            self._place.name,
            f"answers, but sent no video within {self._place.open_s:g} s; restart it, or give it "
            "more time with `open_timeout`",
        )

    def _check_redirects(self, followed: Sequence[str]) -> None:
        # A camera may answer FFmpeg otherwise than it has just answered us.
        for there in followed:
            reply = RtspReply(_MOVED, headers=[("location", there)])
            self._inquiry.redirected(self._config.url.bare(), reply)

    def _said_at(self) -> float | None:
        reply = None if self._look is None else self._look.reply
        try:
            return parsedate_to_datetime(reply.header("date")).timestamp() if reply else None
        except (ValueError, TypeError, OverflowError, IndexError):
            return None

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
