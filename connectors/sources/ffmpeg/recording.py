"""One video file: which ones a path means, when each begins, how long it is."""

import glob
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from connectors.sources.failures import failure
from connectors.sources.ffmpeg.input import Input, open_input
from connectors.sources.ffmpeg.timeline import FileTimeline
from pipeline.core.errors import SourceError, SourceFailure

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_SUFFIXES = frozenset(
    [
        ".3gp",
        ".asf",
        ".avi",
        ".dav",
        ".flv",
        ".gif",
        ".h264",
        ".h265",
        ".hevc",
        ".ivf",
        ".m2ts",
        ".m4v",
        ".mjpeg",
        ".mjpg",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".nut",
        ".ogv",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
    ]
)
# A creation time before this is a camera that lost its clock, not a recording.
_PLAUSIBLE = datetime(1995, 1, 1, tzinfo=UTC)
# Where a container does not say how far its pictures are apart.
_USUAL_S = 0.04
_MICROSECONDS = 1_000_000


def find_files(path: str) -> list[str]:
    """The videos that a path means, in the order of their names; raises SourceError for none.

    Numbers in names count as numbers: `part2.mp4` comes before `part10.mp4`.
    """
    if Path(path).is_dir():
        found = [
            str(entry)
            for entry in Path(path).iterdir()
            if entry.suffix.lower() in _SUFFIXES and entry.is_file() and entry.name[0] != "."
        ]
        missing = "holds no video files"
    elif Path(path).exists() or not glob.has_magic(path):
        return [path]
    else:
        names = glob.glob(path, recursive=True)  # noqa: PTH207  Path.glob takes no absolute ones
        found = [name for name in names if Path(name).is_file()]
        missing = "matches no file"
    if not found:
        raise failure(SourceFailure.NOT_FOUND, path, missing)
    return sorted(found, key=_natural)


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


@dataclass(frozen=True, slots=True)
class Recording:
    """An opened video file."""

    place: str
    container: "InputContainer"
    stream: "VideoStream"
    declared_start: float
    """UTC seconds: the container's creation time, else the file's time of modification."""
    length_s: float
    """As the container says it; 0 where it does not."""

    @classmethod
    def open(cls, path: str, threads: int, hwaccel: str | None) -> "Recording":
        """Open a file; raises SourceError."""
        try:
            found = Path(path).stat()
        except FileNotFoundError:
            raise failure(SourceFailure.NOT_FOUND, path) from None
        except OSError as error:
            reason = SourceFailure.UNAUTHORISED
            raise failure(reason, path, f"cannot be read: {error.strerror}") from None
        if not found.st_size:
            raise failure(SourceFailure.BROKEN, path, "is empty; record or copy it again")
        # With the protocol spelt out, a colon in a name is a colon.
        file = Input(f"file:{path}", path, threads=threads, hwaccel=hwaccel)
        try:
            container, stream = open_input(file)
        except SourceError as error:
            if error.reason is not SourceFailure.BROKEN:
                raise
            raise failure(
                error.reason, path, "is not a video, or is damaged at its beginning"
            ) from None
        start = _creation_time(container.metadata.get("creation_time", ""))
        return cls(path, container, stream, start or found.st_mtime, _length_s(container, stream))

    def timeline(self, start: float) -> FileTimeline:
        """The times of its pictures when it begins at `start`."""
        stream, base = self.stream, self.stream.time_base
        rate = stream.average_rate or stream.base_rate
        first = None
        if stream.start_time is not None and base is not None:
            first = float(stream.start_time * base)
        return FileTimeline(start, float(1 / rate) if rate else _USUAL_S, first)


def _length_s(container: "InputContainer", stream: "VideoStream") -> float:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return container.duration / _MICROSECONDS if container.duration is not None else 0.0


def _creation_time(text: str) -> float | None:
    try:
        created = datetime.fromisoformat(text)
    except ValueError:
        return None
    created = created if created.tzinfo else created.replace(tzinfo=UTC)
    return created.timestamp() if created >= _PLAUSIBLE else None
