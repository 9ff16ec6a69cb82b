"""A camera at this machine's USB port, through Video4Linux2."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from connectors.sources.failures import failure
from connectors.sources.ffmpeg.decoder import DecodeConfig
from connectors.sources.ffmpeg.input import Input
from connectors.sources.ffmpeg.stream import StreamSource
from connectors.sources.live.reader import LiveConfig
from pipeline.core.clock import Clock, SystemClock
from pipeline.core.errors import SourceError, SourceFailure
from pipeline.core.machine import Lack, unreadable_file


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
        return WebcamSource(self, clock or SystemClock())


class WebcamSource(StreamSource):
    """Reads a V4L2 device; raises SourceError saying whether it is missing, busy or forbidden."""

    def __init__(self, config: WebcamConfig, clock: Clock) -> None:
        super().__init__(f"webcam {config.device}", config, clock)
        self._config = config

    def _input(self) -> Input:
        config, place = self._config, self._place
        if not Path(config.device).exists():
            devices = ", ".join(sorted(str(path) for path in Path("/dev").glob("video*")))
            present = f"present: {devices}" if devices else "no video device is present"
            raise failure(SourceFailure.NOT_FOUND, place.name, f"does not exist; {present}")
        wishes = {
            "video_size": config.resolution,
            "framerate": None if config.fps is None else f"{config.fps:g}",
            "input_format": config.pixel_format,
        }
        return Input(
            address=config.device,
            place=place.name,
            format="v4l2",
            options={name: value for name, value in wishes.items() if value is not None},
            deadlines_s=(place.open_s, place.read_s),
            hwaccel=config.hwaccel,
            threads=config.threads,
        )

    def _explain(self, error: SourceError, elapsed_s: float) -> SourceError:
        words = {
            SourceFailure.REFUSED: "is in use by another program; close that one",
            SourceFailure.UNAUTHORISED: "cannot be read by this user (permission denied); add "
            "the user to the group `video`",
            SourceFailure.ENDED: "was unplugged",
            SourceFailure.UNSUPPORTED: "is not a camera, or does not support this resolution, "
            "fps or pixel_format; leave these out to let the driver choose",
        }.get(error.reason)
        return failure(error.reason, self._place.name, words) if words else error
