"""Recordings: a video file, a folder of them, or a glob, played in order as one stream."""

import importlib
from typing import TYPE_CHECKING, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, Field, field_validator

from connectors.sources.ffmpeg.decode_config import DecodeConfig
from pipeline.core.clock import Clock, SystemClock

if TYPE_CHECKING:
    from connectors.sources.recordings.source import FileSource


class FileConfig(DecodeConfig):
    """A recording, processed completely; its times are those of the recording."""

    type: Literal["file"] = "file"
    is_recording: ClassVar[Literal[True]] = True
    """Its pictures were taken before; none is lost however long they wait."""
    path: str = Field(min_length=1)
    """A video file, a folder (its videos in order), or a glob such as `cam1/**/*.mp4`. Pictures
    without a video beside them are played like a film."""
    loop: bool = False
    """Play it again at its end, without limit; time continues."""
    speed: Literal["realtime", "max"] = "max"
    """`max` is as fast as the machine can, `realtime` as fast as it was recorded."""
    starts_at: AwareDatetime | None = None
    """When the recording begins, with its zone, such as `2026-11-23T08:00:00+01:00`; without it the
    container's creation time counts, else a time in the file's name, else its time of modification
    minus its length. Gaps between files are kept either way."""
    name_time: str | None = None
    """Where the time stands in the files' names, such as `%Y-%m-%d/%H/*/%M.%S` (codes of
    `strptime`, `%s` for seconds since 1970, `*` for anything); it is then believed first."""
    name_zone: str | None = None
    """Time zone of times in names that state none, such as `UTC`; by default the site's."""
    rate: float | None = Field(default=None, gt=0, le=1000)
    """Pictures a second, for files without timestamps (such as raw H.264) and folders of pictures;
    where files have timestamps, these are then ignored."""
    stream: int | None = Field(default=None, ge=0)
    """Which of a file's video streams, from 0; by default the largest with a moving picture."""

    @field_validator("starts_at", mode="before")
    @classmethod
    def _no_number(cls, value: object) -> object:
        if isinstance(value, int | float):
            raise ValueError(  # noqa: TRY004  pydantic collects ValueErrors
                "is a date and time with its zone, such as 2026-11-23T08:00:00+01:00"
            )
        return value

    @field_validator("name_time")
    @classmethod
    def _a_pattern(cls, value: str | None) -> str | None:
        if value is not None:
            importlib.import_module("connectors.sources.recordings.names").NamePattern(value)
        return value

    @field_validator("name_zone")
    @classmethod
    def _a_zone(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ZoneInfo(value)
            except (KeyError, OSError, ValueError):
                raise ValueError(
                    f"{value!r} is not a known time zone; write it like Europe/Berlin or UTC"
                ) from None
        return value

    @property
    def is_finite(self) -> bool:
        """Whether it comes to an end."""
        return not self.loop

    def build(self, clock: Clock | None = None, zone: str = "UTC") -> "FileSource":
        """The recording, not yet opened; `zone` is the site's."""
        # What plays it is imported here: `check` need not wait for it.
        module = importlib.import_module("connectors.sources.recordings.source")
        source: FileSource = module.FileSource(self, clock or SystemClock(), zone)
        return source
