"""A folder of pictures, played like a film."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from connectors.sources.failures import failure
from connectors.sources.ffmpeg.exif import read_exif
from connectors.sources.ffmpeg.pictures import EXIF_ORIENTATIONS, PixelConverter, VideoPicture
from connectors.sources.ffmpeg.plan import WantedPictures
from connectors.sources.ffmpeg.stills import StillDecoder
from connectors.sources.recordings.begin import Begin, Dating
from pipeline.core.errors import SourceError, SourceFailure
from pipeline.core.sources import Need

# Two pictures never share a time.
_APART_S = 0.001
# A photo is no larger; what is may be anything.
_LARGEST = 256 * 1024 * 1024


class PictureSeries:
    """Pictures that are files of their own, in order, each at its time."""

    def __init__(self, paths: Sequence[str], dating: Dating, rate: float | None) -> None:
        self._paths = paths
        self._dating = dating
        self._rate = rate
        self.pushed = 0
        """Pictures whose own time was not after that of the one before."""

    def begin(self) -> Begin:
        """When the first one that can be read was taken; raises SourceError if none can."""
        error: SourceError | None = None
        for path in self._paths:
            try:
                return self._dated(path, _read(path))
            except SourceError as why:
                error = error or why
        assert error is not None  # there is at least one path
        raise error

    def pictures(
        self, start: float, need: Need, lost: Counter[str]
    ) -> Iterator[tuple[int, str, VideoPicture | SourceError | None]]:
        """For each file its number and path, and the picture that may be needed, or the error."""
        decoder, converter = StillDecoder(), PixelConverter()
        wanted = WantedPictures(need.every_s, need.is_owed)
        shift: float | None = None
        last: float | None = None
        for nth, path in enumerate(self._paths):
            try:
                content = _read(path)
            except SourceError as error:
                yield nth, path, error
                continue
            if self._rate is not None:
                at = start + nth / self._rate
            else:
                own = self._dated(path, content).at
                shift = start - own if shift is None else shift
                at = own + shift
                if last is not None and at <= last:
                    self.pushed += 1
                    at = last + _APART_S
            last = at
            if not wanted.take(at):
                yield nth, path, None
                continue
            frame = decoder.decode(content, lost)
            if frame is None:
                words = "is damaged, or no picture of a known kind"
                yield nth, path, failure(SourceFailure.BROKEN, path, words)
                continue
            orientation = EXIF_ORIENTATIONS.get(read_exif(content).orientation)
            yield (
                nth,
                path,
                VideoPicture(frame, at, converter, orientation=orientation),
            )

    def _dated(self, path: str, content: bytes) -> Begin:
        try:
            modified_at = Path(path).stat().st_mtime
        except OSError:
            raise failure(SourceFailure.NOT_FOUND, path) from None
        return self._dating.of_picture(path, read_exif(content).taken_at, modified_at)


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise failure(SourceFailure.NOT_FOUND, path) from None
    except OSError as error:
        words = f"cannot be read: {error.strerror}"
        raise failure(SourceFailure.UNAUTHORISED, path, words) from None
    if not content:
        raise failure(SourceFailure.BROKEN, path, "is empty; record or copy it again")
    if len(content) > _LARGEST:
        raise failure(SourceFailure.UNSUPPORTED, path, "is too large for a picture")
    return content
