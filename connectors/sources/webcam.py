"""A camera at this machine's USB port, through Video4Linux2."""

import importlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from connectors.sources.ffmpeg.decode_config import DecodeConfig
from connectors.sources.live.config import LiveConfig
from pipeline.core.clock import Clock, SystemClock
from pipeline.core.machine import Lack, unreadable_file

if TYPE_CHECKING:
    from connectors.sources.live.webcam_source import WebcamSource


class WebcamConfig(LiveConfig, DecodeConfig):
    """A V4L2 device. The driver chooses what is left out."""

    type: Literal["webcam"] = "webcam"
    device: str = "/dev/video0"
    """Device file, or its number."""
    resolution: str | None = None
    """Width x height in pixels, such as `1280x720`; one the camera offers."""
    fps: float | None = Field(default=None, gt=0, le=1000)
    """Pictures a second; one the camera offers at this resolution."""
    pixel_format: str | None = Field(default=None, pattern=r"^[a-z0-9_]+$")
    """FFmpeg's name of a pixel format or codec, such as `mjpeg` (most pictures), `yuyv422`."""

    @field_validator("device", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return f"/dev/video{value}" if is_number or re.fullmatch(r"\d+", str(value)) else value

    @field_validator("resolution")
    @classmethod
    def _two_sizes(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[1-9]\d*x[1-9]\d*", value):
            raise ValueError("is width x height in pixels, such as 1280x720")
        return value

    def lacks(self) -> Iterator[Lack]:
        """Whether the device is here; it may be plugged in later."""
        for lack in unreadable_file("device", Path(self.device)):
            yield replace(lack, is_fatal=False)

    def build(self, clock: Clock | None = None) -> "WebcamSource":
        """The camera, not yet opened."""
        # What reads it is imported here: `check` need not wait for it.
        module = importlib.import_module("connectors.sources.live.webcam_source")
        source: WebcamSource = module.WebcamSource(self, clock or SystemClock())
        return source
