"""Small video files, encoded by the tests that need them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.video.frame import PictureType

from pipeline.core.frames import Pixels

_MILLISECONDS = Fraction(1, 1000)
# Where an MP4 keeps the display matrix, counted from the four letters of the box's name.
_MATRIX_AFTER_TKHD = 44


@dataclass(frozen=True)
class Clip:
    """What to encode: a bright square that walks from left to right over a dark ground."""

    frames: int = 20
    rate: int = 10
    size_wh: tuple[int, int] = (64, 48)
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    key_every: int = 10
    options: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    keys: Sequence[int] = ()
    """Pictures that are key frames whatever `key_every` says."""
    times_ms: Sequence[int] | None = None
    """Presentation times, where they are not regular."""


def painted(clip: Clip, nth: int) -> Pixels:
    """The nth picture, (H, W, 3)."""
    width, height = clip.size_wh
    pixels = np.full((height, width, 3), 40, np.uint8)
    left = nth * 3 % max(1, width - 8)
    pixels[2:10, left : left + 8] = 220
    return pixels


def write_clip(path: Path, clip: Clip | None = None) -> Path:
    """Encode a clip to a file whose name says which container it is."""
    clip = clip or Clip()
    with av.open(str(path), "w") as container:
        container.metadata.update(clip.metadata)
        stream = cast(Any, container.add_stream(clip.codec, rate=clip.rate))
        stream.width, stream.height = clip.size_wh
        stream.pix_fmt = clip.pixel_format
        stream.codec_context.time_base = _MILLISECONDS
        x264 = {"sc_threshold": "0", "bf": "0", "preset": "ultrafast", "forced-idr": "1"}
        defaults = x264 if clip.codec == "libx264" else {}
        stream.options = {"g": str(clip.key_every), **defaults, **clip.options}
        for frame in _frames(clip):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _frames(clip: Clip) -> Iterator[av.VideoFrame]:
    step = 1000 // clip.rate
    times = clip.times_ms or [nth * step for nth in range(clip.frames)]
    for nth, at in enumerate(times):
        frame = av.VideoFrame.from_ndarray(painted(clip, nth), format="rgb24")
        frame = frame.reformat(format=clip.pixel_format)
        frame.pts, frame.time_base = at, _MILLISECONDS
        if nth in clip.keys:
            frame.pict_type = PictureType.I
        yield frame


def turn(path: Path, quarters_clockwise: int) -> None:
    """Write a rotation into an MP4 file, as a phone held upright does."""
    one = 0x10000
    cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarters_clockwise % 4]
    matrix = (cos * one, sin * one, 0, -sin * one, cos * one, 0, 0, 0, 0x40000000)
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + _MATRIX_AFTER_TKHD
    content[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(bytes(content))


def spoil(path: Path, share_from: float, share_to: float) -> None:
    """Overwrite a part of a file with noise."""
    content = bytearray(path.read_bytes())
    begin, end = (int(len(content) * share) for share in (share_from, share_to))
    content[begin:end] = np.random.default_rng(7).bytes(end - begin)
    path.write_bytes(bytes(content))


def access_units(path: Path) -> list[bytes]:
    """The packets of an H.264 file with start codes, as they go into RTP."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        filters = av.bitstream.BitStreamFilterContext("h264_mp4toannexb", stream)
        packets = [q for packet in container.demux(stream) for q in filters.filter(packet)]
        return [bytes(packet) for packet in packets if packet.size]


def jpeg(clip: Clip | None = None, nth: int = 0) -> bytes:
    """One picture as a JPEG file."""
    clip = clip or Clip()
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height = clip.size_wh
    encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(painted(clip, nth), format="rgb24")
    packets = encoder.encode(frame.reformat(format="yuvj420p")) + encoder.encode(None)
    return bytes(packets[0])
