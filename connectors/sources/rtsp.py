"""A network camera's stream over RTSP."""

import importlib
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator

from connectors.sources.ffmpeg.decode_config import DecodeConfig
from connectors.sources.live.config import LiveConfig
from connectors.sources.live.login import LoginConfig
from pipeline.core.address import Address, scheme_check
from pipeline.core.clock import Clock, SystemClock
from pipeline.core.config import PositiveDuration

if TYPE_CHECKING:
    from connectors.sources.live.rtsp_source import RtspSource


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
        # What reads it is imported here: `check` need not wait for it.
        module = importlib.import_module("connectors.sources.live.rtsp_source")
        source: RtspSource = module.RtspSource(self, clock or SystemClock())
        return source
