"""A decoded picture that is converted when somebody asks for its pixels."""

import threading
from typing import TYPE_CHECKING

from pipeline.core.frames import Grey, Pixels

if TYPE_CHECKING:
    import numpy as np
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter


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


class VideoPicture:
    """A picture of FFmpeg's, with its time."""

    __slots__ = ("_converter", "_frame", "_quarters", "captured_at")

    def __init__(self, frame: "VideoFrame", captured_at: float, converter: PixelConverter) -> None:
        self.captured_at = captured_at
        self._frame = frame
        self._converter = converter
        # The display matrix turns counter-clockwise; only whole quarters occur in practice.
        self._quarters = round(frame.rotation / 90) % 4

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels as a person sees it."""
        return self._turned(self._frame.width, self._frame.height)

    def rgb(self, size_wh: tuple[int, int] | None = None) -> Pixels:
        """The pixels (H, W, 3) RGB, writable, scaled to `size_wh` when given."""
        size = self._turned(*(size_wh or self.size_wh))
        return self._upright(self._converter.rgb(self._frame, size))

    def grey(self, size_wh: tuple[int, int]) -> Grey:
        """The luminance (H, W) of exactly `size_wh`."""
        return self._upright(self._converter.grey(self._frame, self._turned(*size_wh)))

    def _upright(self, pixels: Pixels) -> Pixels:
        import numpy as np

        return np.ascontiguousarray(np.rot90(pixels, self._quarters)) if self._quarters else pixels

    def _turned(self, width: int, height: int) -> tuple[int, int]:
        return (height, width) if self._quarters % 2 else (width, height)


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
