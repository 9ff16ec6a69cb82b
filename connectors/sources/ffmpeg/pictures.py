"""A decoded picture that is converted when somebody asks for its pixels."""

import struct
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from pipeline.core.frames import Grey, Pixels

if TYPE_CHECKING:
    import numpy as np
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter
    from av.video.stream import VideoStream

# Rounding makes 4095:4096 and the like of square pixels.
_SQUARE = 0.01
# Cinema lenses squeeze to a half, recorders keep every second line or a third of the columns.
_OBLONG = 6.0


class PixelConverter:
    """Scales and converts in one step; keeps FFmpeg's tables from one picture to the next."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._lock = threading.Lock()
        # Each keeps the tables of its last sizes; one for both would make them anew each time.
        self._rgb = VideoReformatter()
        self._grey = VideoReformatter()

    def rgb(self, frame: "VideoFrame", size_wh: tuple[int, int]) -> Pixels:
        """The pixels (H, W, 3) RGB of exactly `size_wh`."""
        with self._lock:
            converted = _reformat(self._rgb, frame, size_wh, "rgb24")
        return _own(converted.to_ndarray(), shared=converted is frame)

    def grey(self, frame: "VideoFrame", size_wh: tuple[int, int]) -> Grey:
        """The luminance (H, W) of exactly `size_wh`; of YUV pictures, no colour is touched."""
        with self._lock:
            converted = _reformat(self._grey, frame, size_wh, "gray")
        return _own(converted.to_ndarray(), shared=converted is frame)


class PixelShape:
    """How a stream's pictures are to be seen: the shape of their pixels.

    The container's word counts, until the coded data says another one than it began with.
    """

    def __init__(self, stream: "VideoStream") -> None:
        self._context = stream.codec_context
        self._first = self._context.sample_aspect_ratio
        self._stated = stream.sample_aspect_ratio or self._first

    @property
    def pixel_aspect(self) -> float:
        """A pixel's width to its height; 1 where nobody says, or what is said cannot be."""
        coded = self._context.sample_aspect_ratio
        stated = self._stated if coded == self._first else coded
        aspect = float(stated) if stated else 1.0
        # What rounding makes of square pixels is square, and what no camera has is a mistake.
        square = abs(aspect - 1) < _SQUARE or not 1 / _OBLONG <= aspect <= _OBLONG
        return 1.0 if square else aspect


class VideoPicture:
    """A picture of FFmpeg's, with its time."""

    __slots__ = ("_converter", "_frame", "_shape_wh", "_turn", "captured_at")

    def __init__(
        self,
        frame: "VideoFrame",
        captured_at: float,
        converter: PixelConverter,
        pixel_aspect: float = 1.0,
        orientation: "Orientation | None" = None,
    ) -> None:
        """Without an `orientation`, the frame's own counts."""
        self.captured_at = captured_at
        self._frame = frame
        self._converter = converter
        self._turn = orientation or orientation_of(frame) or UPRIGHT
        # Oblong pixels are made square by more of them: nothing that was seen is lost.
        width, height = frame.width, frame.height
        if pixel_aspect > 1:
            width = round(width * pixel_aspect)
        elif pixel_aspect < 1:
            height = round(height / pixel_aspect)
        self._shape_wh = width, height

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels as a person sees it."""
        return self._turned(*self._shape_wh)

    def rgb(self, size_wh: tuple[int, int] | None = None) -> Pixels:
        """The pixels (H, W, 3) RGB, writable, scaled to `size_wh` when given."""
        size = self._turned(*(size_wh or self.size_wh))
        return self._upright(self._converter.rgb(self._frame, size))

    def grey(self, size_wh: tuple[int, int]) -> Grey:
        """The luminance (H, W) of exactly `size_wh`."""
        return self._upright(self._converter.grey(self._frame, self._turned(*size_wh)))

    def _upright(self, pixels: Pixels) -> Pixels:
        if self._turn == UPRIGHT:
            return pixels
        import numpy as np

        turn = self._turn
        if turn.swaps:
            pixels = pixels.swapaxes(0, 1)
        return np.ascontiguousarray(
            pixels[:: -1 if turn.upside_down else 1, :: -1 if turn.mirrored else 1]
        )

    def _turned(self, width: int, height: int) -> tuple[int, int]:
        return (height, width) if self._turn.swaps else (width, height)


class Orientation(NamedTuple):
    """One of the eight ways a picture can lie: rows for columns first, then the mirrors."""

    swaps: bool
    mirrored: bool
    upside_down: bool


UPRIGHT = Orientation(swaps=False, mirrored=False, upside_down=False)
# What the numbers mean that a photo's Exif data has.
EXIF_ORIENTATIONS: dict[int | None, Orientation] = {
    1: UPRIGHT,
    2: Orientation(swaps=False, mirrored=True, upside_down=False),
    3: Orientation(swaps=False, mirrored=True, upside_down=True),
    4: Orientation(swaps=False, mirrored=False, upside_down=True),
    5: Orientation(swaps=True, mirrored=False, upside_down=False),
    6: Orientation(swaps=True, mirrored=True, upside_down=False),
    7: Orientation(swaps=True, mirrored=True, upside_down=True),
    8: Orientation(swaps=True, mirrored=False, upside_down=True),
}


def orientation_of(frame: "VideoFrame") -> Orientation | None:
    """What a display matrix asks for; None without one. Only quarters of a turn occur."""
    from av.sidedata.sidedata import Type

    try:
        data = cast(Any, frame.side_data)[Type.DISPLAYMATRIX]
    except KeyError:
        return None
    except ValueError:
        # PyAV does not know all kinds of side data, and then names none; the angle it gives alone.
        quarters = round(frame.rotation / 90) % 4
        return Orientation(
            swaps=quarters % 2 > 0, mirrored=quarters in (2, 3), upside_down=quarters in (1, 2)
        )
    # A point goes to (a x + c y, b x + d y), y downwards.
    a, b, _, c, d = struct.unpack_from("=5i", bytes(data))
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(swaps=True, mirrored=c < 0, upside_down=b < 0)
    return Orientation(swaps=False, mirrored=a < 0, upside_down=d < 0)


def _reformat(
    reformatter: "VideoReformatter",
    frame: "VideoFrame",
    size_wh: tuple[int, int],
    pixel_format: str,
) -> "VideoFrame":
    width, height = size_wh
    smaller = width * height < frame.width * frame.height
    return reformatter.reformat(
        frame,
        width,
        height,
        pixel_format,
        interpolation="AREA" if smaller else "BILINEAR",
        threads=1,
    )


def _own(pixels: "np.ndarray", shared: bool) -> Pixels:
    """Pixels that may be written to: a copy where they are the decoder's own."""
    if shared or not pixels.flags.writeable or not pixels.flags.c_contiguous:
        pixels = pixels.copy()
    return pixels
