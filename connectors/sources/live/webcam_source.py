"""Reads Video4Linux2 devices."""

from pathlib import Path
from typing import TYPE_CHECKING

from connectors.sources.failures import failure
from connectors.sources.ffmpeg.input import Input
from connectors.sources.ffmpeg.stream import StreamSource
from pipeline.core.clock import Clock
from pipeline.core.errors import SourceError, SourceFailure

if TYPE_CHECKING:
    from connectors.sources.webcam import WebcamConfig


class WebcamSource(StreamSource):
    """Reads a V4L2 device; raises SourceError saying whether it is missing, busy or forbidden."""

    def __init__(self, config: "WebcamConfig", clock: Clock) -> None:
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
