"""Recordings as recorders, phones, exports and broken disks leave them."""

import json
import os
import re
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from io import BytesIO
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, TypeAlias, cast
from zoneinfo import ZoneInfo

import av
import numpy as np
import pytest
from av.packet import Packet
from av.stream import Disposition
from PIL import Image, ImageOps
from typer.testing import CliRunner

from connectors.sources.ffmpeg.measure import without_strays
from connectors.sources.ffmpeg.pictures import PixelConverter, VideoPicture
from connectors.sources.ffmpeg.stills import StillDecoder
from connectors.sources.ffmpeg.timeline import FileTimeline
from connectors.sources.file import FileConfig
from connectors.sources.recordings.names import NamePattern, time_in_name
from connectors.sources.recordings.paths import find_files
from connectors.sources.recordings.source import CUT_SHORT, FileSource
from pipeline.cli.main import app_for
from pipeline.core.errors import SourceError
from pipeline.core.frames import Picture, Pixels
from pipeline.core.sources import Need
from tests.cli.commands import moonwatch
from tests.connectors.sources.clips import Clip, write_clip
from tests.redis_server import Redis, shared

START = datetime(2026, 3, 1, 8, tzinfo=UTC).timestamp()
STATED = "2026-03-01T08:00:00Z"
BERLIN = ZoneInfo("Europe/Berlin")
Alter: TypeAlias = "Callable[[int, Packet[Any]], None]"
X264 = {"preset": "ultrafast", "tune": "zerolatency", "g": "10", "sc_threshold": "0"}


@dataclass
class Film:
    """What to encode: each picture shows its number as 16 black or white blocks."""

    frames: int = 40
    rate: int = 10
    size_wh: tuple[int, int] = (128, 96)
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=lambda: dict(X264))
    aspect: Fraction | None = None
    container_options: dict[str, str] = field(default_factory=dict)
    begins_s: float = 0.0
    sound_s: tuple[float, float] | None = None
    """Sound from, to."""
    cover: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    alter: "Alter" = lambda _nth, _packet: None
    """Changes each packet before it is written."""


def numbered(number: int, size_wh: tuple[int, int]) -> Pixels:
    """A grey picture with the number in two rows of eight blocks."""
    width, height = size_wh
    pixels = np.full((height, width, 3), 128, np.uint8)
    for bit in range(16):
        x, y = bit % 8 * width // 8, bit // 8 * height // 4
        value = 235 if number >> bit & 1 else 16
        pixels[y : y + height // 4, x : x + width // 8] = value
    return pixels


def number_in(pixels: Pixels) -> int:
    """The number that a picture shows; raises AssertionError where a block is neither."""
    height, width = pixels.shape[:2]
    number = 0
    for bit in range(16):
        x, y = (bit % 8 * 2 + 1) * width // 16, (bit // 8 * 2 + 1) * height // 8
        value = float(pixels[y - 2 : y + 2, x - 2 : x + 2].mean())
        assert value < 70 or value > 180, f"block {bit} is grey"
        number |= (value > 128) << bit
    return number


def film(path: Path, made: Film | None = None) -> Path:
    """Encode a film to a file whose name says which container it is."""
    # Under root, SVT-AV1 gives the thread that opens it the highest realtime priority and leaves it
    # so: on the test's own thread, this process and all that it starts would halt the others.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_encode, path, made or Film()).result()


def _encode(path: Path, made: Film) -> Path:
    with av.open(str(path), "w", options=made.container_options) as container:
        container.metadata.update(made.metadata)
        cover = cast(Any, container.add_stream("mjpeg", rate=made.rate)) if made.cover else None
        if cover is not None:
            cover.width, cover.height, cover.pix_fmt = 640, 480, "yuvj420p"
            cover.disposition = Disposition.attached_pic
        stream = cast(Any, container.add_stream(made.codec, rate=made.rate))
        stream.width, stream.height = made.size_wh
        stream.pix_fmt = "yuv420p"
        stream.options = made.options
        if made.aspect is not None:
            stream.codec_context.sample_aspect_ratio = made.aspect
        sound = container.add_stream("aac", rate=48_000, layout="mono") if made.sound_s else None
        if cover is not None:
            frame = av.VideoFrame.from_ndarray(numbered(0, (640, 480)), format="rgb24")
            container.mux(cover.encode(frame.reformat(format="yuvj420p")))
            container.mux(cover.encode(None))
        if sound is not None and made.sound_s is not None:
            _write_sound(container, sound, made.sound_s)
        packets: list[Packet[Any]] = []
        for nth in range(made.frames):
            frame = av.VideoFrame.from_ndarray(numbered(nth, made.size_wh), format="rgb24")
            frame.pts = round(nth + made.begins_s * made.rate)
            packets += stream.encode(frame)
        for nth, packet in enumerate([*packets, *stream.encode(None)]):
            made.alter(nth, packet)
            container.mux(packet)
    return path


def _write_sound(container: Any, sound: Any, span_s: tuple[float, float]) -> None:
    at = round(span_s[0] * 48_000)
    while at < span_s[1] * 48_000:
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 48_000, at
        container.mux(sound.encode(frame))
        at += 1024
    container.mux(sound.encode(None))


def played(
    path: Path | str, every_s: float = 0.0, zone: str = "UTC", **keys: Any
) -> tuple[FileSource, list[Picture], SourceError | None]:
    """A recording, all its pictures, and the error it ends with."""
    source = FileConfig(path=str(path), **keys).build(zone=zone)
    pictures: list[Picture] = []
    try:
        source.open(Need(every_s))
        pictures.extend(source.pictures())
    except SourceError as error:
        return source, pictures, error
    return source, pictures, None


def offsets(pictures: Iterable[Picture], start: float = START) -> list[float]:
    """The times of pictures in seconds since the start."""
    return [round(picture.captured_at - start, 3) for picture in pictures]


def sampled(pictures: Sequence[Picture], every_s: float, length_s: float) -> list[Picture]:
    """One picture for each step of a grid of times, the first that is not before it."""
    first = pictures[0].captured_at
    due = [first + nth * every_s for nth in range(round(length_s / every_s))]
    found = (next((p for p in pictures if p.captured_at >= at - 0.001), None) for at in due)
    return [picture for picture in found if picture is not None]


def _all_keys(_nth: int, packet: "Packet[Any]") -> None:
    packet.is_keyframe = True


def _no_keys(_nth: int, packet: "Packet[Any]") -> None:
    packet.is_keyframe = False


def _some_keys(nth: int, packet: "Packet[Any]") -> None:
    packet.is_keyframe = nth % 4 == 0


REORDERED = {"preset": "medium", "g": "20", "bf": "3"}
KEYS: list[tuple[str, Film]] = [
    ("h264.mp4", Film(options=dict(X264))),
    ("h264_reordered.mp4", Film(options=REORDERED)),
    ("h264_fragmented.mp4", Film(container_options={"movflags": "frag_keyframe+empty_moov"})),
    ("h264.mkv", Film(options=REORDERED)),
    ("h264.flv", Film()),
    ("h265.mp4", Film(codec="libx265", options={"x265-params": "log-level=none:keyint=20"})),
    ("h265.mkv", Film(codec="libx265", options={"x265-params": "log-level=none:keyint=20"})),
    ("mpeg4.mp4", Film(codec="mpeg4", options={"g": "20", "qscale": "2"})),
    ("mpeg4.mkv", Film(codec="mpeg4", options={"g": "20", "bf": "2", "qscale": "2"})),
    ("mpeg2.mkv", Film(codec="mpeg2video", rate=25, frames=100, options={"g": "20"})),
    ("mpeg1.mkv", Film(codec="mpeg1video", rate=25, frames=100, options={"g": "20"})),
    ("av1.mkv", Film(codec="libsvtav1", options={"g": "20", "preset": "12", "crf": "20"})),
    ("av1.mp4", Film(codec="libsvtav1", options={"g": "20", "preset": "12", "crf": "20"})),
    ("vp8.webm", Film(codec="libvpx", options={"g": "20", "b": "1M"})),
    ("vp9.webm", Film(codec="libvpx-vp9", options={"g": "20", "b": "1M", "cpu-used": "8"})),
    ("h263.avi", Film(codec="h263", options={"g": "20", "qscale": "2"})),
    ("flv1.flv", Film(codec="flv", options={"g": "20", "qscale": "2"})),
    ("wmv2.wmv", Film(codec="wmv2", options={"g": "20", "qscale": "2"})),
]


@pytest.mark.parametrize("flags", [_all_keys, _some_keys, _no_keys])
@pytest.mark.parametrize(("name", "made"), KEYS, ids=[name for name, _ in KEYS])
def test_key_frames_are_marked_wrongly(tmp_path: Path, name: str, made: Film, flags: Alter) -> None:
    """A muxer makes all, some or no packets key frames, whatever they are (Bento4#121)."""
    if name.startswith("h263"):
        made.size_wh = (176, 144)
    made.alter = flags
    length_s = made.frames / made.rate
    path = film(tmp_path / name, made)
    source, pictures, error = played(path, 0.5, starts_at=STATED)
    assert error is None
    assert source.counters().get("decode error", 0) == 0
    # Matroska counts in milliseconds.
    shown = {round((p.captured_at - START) * made.rate): number_in(p.rgb()) for p in pictures}
    assert all(number == nth for nth, number in shown.items())
    taken = sampled(pictures, 0.5, length_s)
    assert len(taken) == round(length_s / 0.5)
    assert all(b - a < 0.626 for a, b in pairwise(p.captured_at for p in taken))


EIGHT = [
    # a, b, c, d of the display matrix: a point goes to (ax + cy, bx + dy)
    ((1, 0, 0, 1), lambda p: p),
    ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    ((1, 0, 0, -1), lambda p: p[::-1]),
    ((-1, 0, 0, -1), lambda p: p[::-1, ::-1]),
    ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
    ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
    ((0, -1, -1, 0), lambda p: np.rot90(p.swapaxes(0, 1), 2)),
]


@pytest.mark.parametrize(("matrix", "seen"), EIGHT, ids=[str(row[0]) for row in EIGHT])
def test_a_phone_or_a_mirrored_camera_writes_how_its_picture_lies(
    tmp_path: Path,
    matrix: tuple[int, int, int, int],
    seen: Callable[[Pixels], Pixels],
) -> None:
    """All eight orientations, so that `in` stays `in`."""
    path = film(tmp_path / "a.mp4", Film(frames=2))
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 44
    a, b, c, d = (value * 0x10000 for value in matrix)
    values = (a, b, 0, c, d, 0, 0, 0, 0x40000000)
    content[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in values)
    path.write_bytes(bytes(content))
    upright = seen(numbered(0, (128, 96)))
    (picture, _) = played(path)[1]
    assert picture.size_wh == (upright.shape[1], upright.shape[0])
    for pixels, wanted in (
        (picture.rgb(), upright),
        (picture.grey(picture.size_wh), upright[:, :, 0]),
    ):
        assert pixels.shape == wanted.shape
        assert np.abs(pixels.astype(int) - wanted).mean() < 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_says_how_it_lies(tmp_path: Path, orientation: int) -> None:
    """The eight numbers of Exif, in a snapshot that is a file."""
    image = Image.fromarray(numbered(5, (128, 96)))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    (picture,) = played(tmp_path / "a.jpg")[1]
    with Image.open(tmp_path / "a.jpg") as opened:
        upright = np.asarray(ImageOps.exif_transpose(opened))
    assert picture.size_wh == (upright.shape[1], upright.shape[0])
    assert np.abs(picture.rgb().astype(int) - upright).mean() < 3


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        (Fraction(1, 2), (128, 192)),
        (Fraction(2, 1), (256, 96)),
        (Fraction(16, 11), (186, 96)),
        (Fraction(4095, 4096), (128, 96)),  # square, but for rounding
        (Fraction(1, 50), (128, 96)),  # no camera has that
    ],
)
def test_pixels_that_are_not_square(
    tmp_path: Path, suffix: str, aspect: Fraction, size: tuple[int, int]
) -> None:
    """A recorder that keeps every second line: people have their true shape."""
    _, pictures, _ = played(film(tmp_path / f"a.{suffix}", Film(frames=3, aspect=aspect)))
    assert pictures[0].size_wh == size
    assert pictures[0].rgb().shape == (size[1], size[0], 3)
    assert number_in(pictures[2].rgb()) == 2
    assert pictures[0].rgb((64, 48)).shape == (48, 64, 3)


def test_the_shape_of_pixels_changes_within_a_recording(tmp_path: Path) -> None:
    """A recorder was switched from one format to another."""
    parts = [Film(), Film(aspect=Fraction(1, 2))]
    joined = tmp_path / "joined.ts"
    content = [film(tmp_path / f"{n}.ts", one).read_bytes() for n, one in enumerate(parts)]
    joined.write_bytes(b"".join(content))
    source, pictures, _ = played(joined, starts_at=STATED)
    assert [p.size_wh for p in pictures] == [(128, 96)] * 40 + [(128, 192)] * 40
    assert offsets(pictures) == pytest.approx([n / 10 for n in range(80)], abs=0.002)
    assert "clock was set back by 0:00:04" in source.troubles[0]


def test_a_cover_picture_comes_first(tmp_path: Path) -> None:
    """A recorder adds a preview as the first video stream, larger than the film (mutagen#661)."""
    path = film(tmp_path / "a.mp4", Film(cover=True))
    # The index is at the end, so that its parts can be put in another order.
    content = path.read_bytes()
    at = content.index(b"moov") - 4
    parts, inside = {}, at + 8
    while inside < len(content):
        length = int.from_bytes(content[inside : inside + 4], "big")
        parts[content[inside + 4 : inside + 8]] = content[inside : inside + length]
        inside += length
    order = (b"mvhd", b"udta", b"trak")
    path.write_bytes(content[: at + 8] + b"".join(parts[name] for name in order))
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "mjpeg"
    _, pictures, _ = played(path)
    assert [number_in(p.rgb()) for p in pictures] == list(range(40))


def _box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8) + name + body


def _full_box(name: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return _box(name, bytes([version]) + flags.to_bytes(3, "big"), *parts)


def write_tiles(path: Path) -> Path:
    """A HEIC as phones make it: one picture of two by two tiles, each an H.265 key frame."""
    made = Film(frames=3, size_wh=(128, 128), codec="libx265")
    made.options = {"x265-params": "log-level=none"}
    with av.open(str(film(path.with_suffix(".mkv"), made))) as container:
        stream = container.streams.video[0]
        coding, tile = (
            bytes(stream.codec_context.extradata or b""),
            bytes(next(container.demux(stream))),
        )
    items = [
        _full_box(b"infe", 2, nth < 5, struct.pack(">HH", nth, 0), kind, b"\0")
        for nth, kind in ((1, b"hvc1"), (2, b"hvc1"), (3, b"hvc1"), (4, b"hvc1"), (5, b"grid"))
    ]
    grid = bytes([0, 0, 1, 1]) + struct.pack(">HH", 256, 256)
    sizes = [_full_box(b"ispe", 0, 0, struct.pack(">II", side, side)) for side in (128, 256)]
    uses = [struct.pack(">HBBB", nth, 2, 0x81, 2) for nth in range(1, 5)]
    uses.append(struct.pack(">HBB", 5, 1, 3))

    def meta(offset: int) -> bytes:
        at = [struct.pack(">HHHHII", n, 0, 0, 1, offset, len(tile)) for n in range(1, 5)]
        at.append(struct.pack(">HHHHII", 5, 1, 0, 1, 0, len(grid)))
        return _full_box(
            b"meta",
            0,
            0,
            _full_box(b"hdlr", 0, 0, bytes(4), b"pict", bytes(13)),
            _full_box(b"pitm", 0, 0, struct.pack(">H", 5)),
            _full_box(b"iloc", 1, 0, b"\x44\0", struct.pack(">H", 5), *at),
            _full_box(b"iinf", 0, 0, struct.pack(">H", 5), *items),
            _full_box(b"iref", 0, 0, _box(b"dimg", struct.pack(">6H", 5, 4, 1, 2, 3, 4))),
            _box(
                b"iprp",
                _box(b"ipco", _box(b"hvcC", coding), *sizes),
                _full_box(b"ipma", 0, 0, struct.pack(">I", 5), *uses),
            ),
            _box(b"idat", grid),
        )

    kind = _box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    path.write_bytes(kind + meta(len(kind) + len(meta(0)) + 8) + _box(b"mdat", tile))
    return path


def test_a_picture_made_of_tiles(tmp_path: Path) -> None:
    """A phone's photo: one tile of it is not taken for the whole."""
    _, pictures, error = played(write_tiles(tmp_path / "a.heic"))
    assert not pictures
    assert "is a picture made of tiles (HEIC); convert it to JPEG" in str(error)


def test_the_stream_itself_says_how_it_lies(tmp_path: Path) -> None:
    """A camera mounted sideways and mirrored writes it into its H.264."""
    path = film(tmp_path / "a.h264", Film(frames=3))
    told = "h264_metadata=display_orientation=insert:rotate=90:flip=horizontal"
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        says = av.bitstream.BitStreamFilterContext(told, stream)
        packets = [bytes(q) for packet in container.demux(stream) for q in says.filter(packet)]
    path.write_bytes(b"".join(packets))
    _, pictures, _ = played(path)
    wanted = numbered(2, (128, 96)).swapaxes(0, 1)
    assert np.abs(pictures[2].rgb().astype(int) - wanted).mean() < 6


def test_of_several_video_streams_the_largest_is_played(tmp_path: Path) -> None:
    """A recorder keeps its small stream beside the large one; `stream` chooses the other."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        streams = []
        for size in ((64, 48), (128, 96)):
            stream = cast(Any, container.add_stream("libx264", rate=10, options=X264))
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            streams.append((stream, size))
        for nth in range(5):
            for stream, size in streams:
                frame = av.VideoFrame.from_ndarray(numbered(nth, size), format="rgb24")
                frame.pts = nth
                container.mux(stream.encode(frame))
        for stream, _ in streams:
            container.mux(stream.encode(None))
    assert {p.size_wh for p in played(path)[1]} == {(128, 96)}
    assert {p.size_wh for p in played(path, stream=0)[1]} == {(64, 48)}
    _, _, error = played(path, stream=7)
    assert "has 2 video streams, so that `stream` is at most 1" in str(error)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("a.h264", Film()),
        ("b.h264", Film(options=REORDERED)),
        ("c.hevc", Film(codec="libx265", options={"x265-params": "log-level=none"})),
    ],
)
@pytest.mark.parametrize("every_s", [0.0, 2.0])
def test_a_raw_stream_has_its_own_rate(
    tmp_path: Path, name: str, made: Film, every_s: float
) -> None:
    """No container and no timestamps, but the rate is in the coded data (SharpRTSP#39)."""
    source, pictures, _ = played(film(tmp_path / name, made), every_s, starts_at=STATED)
    assert offsets(pictures) == [n / 10 for n in range(40)]
    assert [number_in(p.rgb()) for p in pictures] == list(range(40))
    assert not source.troubles


def test_a_raw_stream_says_nothing_of_its_rate(tmp_path: Path) -> None:
    """It is said that 25 a second is assumed; `rate` states the true one."""
    clip = Clip(codec="mjpeg", pixel_format="yuvj420p")
    path = write_clip(tmp_path / "a.mjpeg", clip)
    source, pictures, _ = played(path, starts_at=STATED)
    assert offsets(pictures)[-1] == pytest.approx(19 / 25)
    assert "25 pictures a second are assumed (set `rate:`" in source.troubles[0]
    source, pictures, _ = played(path, starts_at=STATED, rate=2.5)
    assert offsets(pictures)[-1] == pytest.approx(19 / 2.5)
    assert not source.troubles


def test_a_rate_that_is_stated_goes_before_timestamps(tmp_path: Path) -> None:
    """A time lapse of one picture a minute that plays at ten a second."""
    path = film(tmp_path / "a.mp4", Film(options=REORDERED))
    _, pictures, _ = played(path, 120.0, starts_at=STATED, rate=1 / 60)
    assert offsets(pictures) == [n * 60.0 for n in range(40)]


def modified(path: Path, at: float) -> Path:
    """The file, last modified at this time."""
    os.utime(path, (at, at))
    return path


def test_recordings_without_a_creation_time(tmp_path: Path) -> None:
    """Every segment muxer leaves only the time of modification, which is the end."""
    begins = (0.0, 4.0, 5400.0)
    for nth, begin in enumerate(begins):
        modified(film(tmp_path / f"part{nth}.mp4"), START + begin + 4.0)
    _, pictures, _ = played(tmp_path)
    assert offsets(pictures)[::40] == pytest.approx(begins)
    shifted = datetime(2026, 3, 2, 8, tzinfo=UTC)
    _, pictures, _ = played(tmp_path, starts_at=shifted)
    assert offsets(pictures, shifted.timestamp())[::40] == pytest.approx(begins)


def test_the_first_recording_of_a_folder_is_broken(tmp_path: Path) -> None:
    """The gaps between the others stay as they are."""
    (tmp_path / "part0.mp4").write_bytes(b"nothing")
    for nth, begin in ((1, 0.0), (2, 600.0)):
        modified(film(tmp_path / f"part{nth}.mp4"), START + begin + 4.0)
    _, pictures, error = played(tmp_path)
    assert offsets(pictures)[::40] == pytest.approx([0.0, 600.0])
    assert "1 of 3 files could not be played" in str(error)


NOON = datetime(2026, 11, 25, 12, 5, 7)
NAMES = [
    ("frigate/2026-11-25/12/door/05.07.mp4", UTC),
    ("frigate/2026-11/25/12/door/05.07.mp4", None),
    ("mediamtx/door/2026-11-25_12-05-07-000000.mp4", None),
    ("unifi/G4 Doorbell - 11-25-2026, 12.05.07 GMT+1 - 11-25-2026, 12.10.00 GMT+1.mp4", "+01"),
    ("unifi/Front 11-25-2026, 12.05.07 PM GMT-5.mp4", "-05"),
    ("reolink/Mp4Record/2026-11-25/RecM01_20261125_120507_120530_6732828_2BD25.mp4", None),
    ("reolink/Door_00_20261125120507.mp4", None),
    ("hikvision/192.168.1.64_01_20261125120507000.mp4", None),
    ("hikvision/ch01_20261125120507.mp4", None),
    ("dahua/2026-11-25/001/dav/12/12.05.07-12.10.00[M][0@0][0].dav", None),
    ("dahua/NVR_ch1_main_20261125120507_20261125130000.dav", None),
    ("synology/20261125PM/Door-20261125-120507-1795604707.mp4", "epoch"),
    ("blueiris/Cam1.20261125_120507.mp4", None),
    ("zoneminder/events/1/26/11/25/12/05/07/event.mp4", None),
    ("motion/01-20261125120507.mkv", None),
    ("motioneye/Camera1/2026-11-25/12-05-07.mp4", None),
    ("wyze/20261125/12/05.mp4", "minute"),
    ("yi/2026Y11M25D12H/05M07S60.mp4", None),
    ("plain/20261125_120507.mp4", None),
    ("plain/20261125120507.mp4", None),
    ("plain/2026/11/25/120507.mp4", None),
    ("iso/2026-11-25T12:05:07Z.mp4", UTC),
    ("iso/2026-11-25T12:05:07+01:00.mp4", "+01"),
    ("iso/20261125T120507.mp4", None),
    ("obs/2026-11-25 12-05-07.mkv", None),
    ("dashcam/2026_1125_120507_001.MP4", None),
    ("phone/VID_20261125_120507.mp4", None),
    ("phone/PXL_20261125_120507000.mp4", UTC),
    ("mac/Screen Recording 2026-11-25 at 12.05.07 PM.mov", None),
    ("epoch/1795608307.mp4", UTC),
    ("epoch/1795608307000_1795608317000_1795608307000.mp4", UTC),
    ("german/Kamera 25.11.2026 12.05.07.mp4", None),
    ("day_first/cam_25-11-2026_12_05_07.avi", None),
    ("folders/2026/11/25/12/05/07.mp4", None),
    ("folders/2026-11-25/12/0507.mp4", None),
    ("hi3510/A261125_120507_120530.264", None),
    ("chinese/2026\u5e7411\u670825\u65e512\u65f605\u520607\u79d2.mp4", None),
    ("zone/2026-11-25_12-05-07_UTC.mp4", UTC),
    ("zone/2026-11-25T12-05-07+01-00.mp4", "+01"),
    ("no_zone/20261125-120507-0001.mp4", None),
    ("frigate_clip/door-1795608307.000000-abc.mp4", UTC),
]


@pytest.mark.parametrize(("name", "zone"), NAMES, ids=[name for name, _ in NAMES])
def test_a_name_holds_the_time(name: str, zone: object) -> None:
    """Recorders and cameras write it in their own ways, mostly in local time."""
    said = time_in_name(f"/recordings/{name}")
    assert said is not None
    local = NOON.replace(second=0) if zone == "minute" else NOON
    hours = {"+01": 1, "-05": -5, "epoch": 1}
    if zone is UTC:
        expected = local.replace(tzinfo=UTC).timestamp()
    elif zone in hours:
        expected = local.replace(tzinfo=UTC).timestamp() - hours[str(zone)] * 3600
    else:
        expected = local.replace(tzinfo=BERLIN).timestamp()
    assert said.moments(BERLIN) == (expected,)


@pytest.mark.parametrize(
    "name",
    [
        "IMG_1234.MOV",
        "video_1080p_20fps.mp4",
        "hiv00001.mp4",
        "VID-20261125-WA0001.mp4",
        "20261399_120507.mp4",
        "events/1/2026-11-25/12345/12345-video.mp4",
        "serial_9876543210123.mp4",
        "11-12-2026 12.05.07.mp4",
    ],
)
def test_a_name_holds_no_time(name: str) -> None:
    """Numbers that look like one, dates without a time, and days that may be months."""
    assert time_in_name(f"/recordings/{name}") is None


def test_names_are_in_the_sites_time(tmp_path: Path) -> None:
    """A name says noon, and it is noon where the camera hangs; `name_zone` says otherwise."""
    modified(film(tmp_path / "20261125_120000.mp4"), START)
    noon = datetime(2026, 11, 25, 12, tzinfo=BERLIN).timestamp()
    assert offsets(played(tmp_path, zone="Europe/Berlin")[1], noon)[0] == 0.0
    _, pictures, _ = played(tmp_path, zone="Europe/Berlin", name_zone="UTC")
    assert offsets(pictures, noon)[0] == 3600.0


def test_names_in_the_night_when_clocks_go_back(tmp_path: Path) -> None:
    """An hour comes twice; which one a name means the time of modification tells."""
    first = datetime(2026, 10, 25, 0, 40, tzinfo=UTC)  # 02:40 in Berlin, and again an hour later
    begins = [first.timestamp() + 1200.0 * nth for nth in range(5)]
    for nth, begin in enumerate(begins):
        local = datetime.fromtimestamp(begin, BERLIN)
        name = f"{local:%Y%m%d_%H%M%S}_{nth}.mp4"
        modified(film(tmp_path / name, Film(frames=10)), begin + 1.0)
    _, pictures, error = played(tmp_path, zone="Europe/Berlin")
    assert error is None
    assert [p.captured_at for p in pictures[::10]] == pytest.approx(begins)


def test_a_pattern_says_where_the_time_stands(tmp_path: Path) -> None:
    """A recorder with a habit of its own; files of another kind are said."""
    (tmp_path / "25.11.26").mkdir()
    created = {"creation_time": "2026-11-20T00:00:00Z"}
    film(tmp_path / "25.11.26" / "cam-12h05.mkv", Film(metadata=created))
    keys = {"name_time": "%d.%m.%y/*-%Hh%M", "zone": "Europe/Berlin"}
    source, pictures, _ = played(f"{tmp_path}/**/*.mkv", **cast(Any, keys))
    expected = datetime(2026, 11, 25, 12, 5, tzinfo=BERLIN).timestamp()
    assert pictures[0].captured_at == expected
    film(tmp_path / "25.11.26" / "other.mkv")
    source, _, _ = played(f"{tmp_path}/**/*.mkv", **cast(Any, keys))
    assert "other.mkv has a name that `name_time` does not fit" in " ".join(source.troubles)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("%Y-%m-%d", "gives no full time"),
        ("%H:%M", "gives no full time"),
        ("%Q", "%Q is not known"),
        ("%Y%m%d%H%H", "twice"),
        ("plain", "gives no full time"),
    ],
)
def test_a_pattern_that_is_none(pattern: str, words: str) -> None:
    """A mistake is said where it is made."""
    with pytest.raises(ValueError, match=words):
        NamePattern(pattern)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("2000-01-01T00:00:37Z", "clock that was never set"),
        ("1970-01-01T00:00:00Z", "clock that was never set"),
        ("1904-01-01T00:00:00Z", "clock that was never set"),
        ("2019-01-01T03:00:00Z", "clock that was never set"),
        ("2099-05-05T00:00:00Z", "in the future"),
    ],
)
def test_a_camera_without_the_time(tmp_path: Path, written: str, words: str) -> None:
    """What cannot be is not believed, and it is said."""
    path = film(tmp_path / "a.mkv", Film(metadata={"creation_time": written}))
    source, pictures, _ = played(modified(path, START + 4.0))
    assert offsets(pictures)[0] == 0.0
    assert words in source.troubles[0]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("20000101_000512.mp4", "clock that was never set"),
        ("2018-01-01_00-03-00.mp4", "clock that was never set"),
        ("946685112.mp4", None),
        ("20991124_120000.mp4", "in the future"),
    ],
)
def test_a_camera_without_the_time_names_its_files(
    tmp_path: Path, name: str, words: str | None
) -> None:
    """Their names are as wrong as its clock."""
    source, pictures, _ = played(modified(film(tmp_path / name), START + 4.0))
    assert offsets(pictures)[0] == 0.0
    assert (words is None) == (not source.troubles)
    assert words is None or words in source.troubles[0]


def test_nothing_says_when_a_recording_begins(tmp_path: Path) -> None:
    """A card from a camera without a clock: it is said, with the way out."""
    path = modified(film(tmp_path / "a.mp4"), 86_400.0)
    source, _, _ = played(path)
    assert "was last modified at 1970-01-02" in source.troubles[0]
    assert "set `starts_at`" in source.troubles[0]
    assert not played(path, starts_at=STATED)[0].troubles


def test_a_recording_of_new_years_day(tmp_path: Path) -> None:
    """It was copied in the same year, and is believed."""
    path = modified(film(tmp_path / "20260101_000500.mp4"), START)
    source, pictures, _ = played(path)
    assert pictures[0].captured_at == datetime(2026, 1, 1, 0, 5, tzinfo=UTC).timestamp()
    assert not source.troubles


def test_a_loop_over_a_broken_file(tmp_path: Path) -> None:
    """It is said once, however often the others are played."""
    film(tmp_path / "a.mp4", Film(frames=3))
    (tmp_path / "b.mp4").write_bytes(b"only words")
    source = FileConfig(path=str(tmp_path), loop=True).build()
    source.open(Need())
    pictures = list(islice(source.pictures(), 30))
    source.close()
    assert all(a.captured_at < b.captured_at for a, b in pairwise(pictures))
    assert len(source.troubles) == 1
    assert source.counters()["unreadable file"] == 1


def test_an_old_recording_is_believed_where_everything_agrees(tmp_path: Path) -> None:
    """The file itself is that old."""
    old = datetime(2004, 6, 1, 12, tzinfo=UTC)
    made = Film(metadata={"creation_time": old.isoformat()})
    path = modified(film(tmp_path / "a.mkv", made), old.timestamp() + 9.0)
    source, pictures, _ = played(path)
    assert pictures[0].captured_at == old.timestamp()
    assert not source.troubles


def test_name_and_container_contradict(tmp_path: Path) -> None:
    """The container is believed, and the difference is said."""
    made = Film(metadata={"creation_time": "2026-11-25T11:05:07Z"})
    source, pictures, _ = played(film(tmp_path / "20261125_120507.mkv", made))
    assert pictures[0].captured_at == datetime(2026, 11, 25, 11, 5, 7, tzinfo=UTC).timestamp()
    assert "in its name; the former is believed" in source.troubles[0]
    agreed = played(tmp_path / "20261125_120507.mkv", zone="Europe/Berlin")[0]
    assert not agreed.troubles


def test_a_phone_writes_the_end_into_its_file(tmp_path: Path) -> None:
    """Its creation time is when recording stopped; the name says when it began."""
    made = Film(rate=1, metadata={"creation_time": "2026-11-25T12:05:48Z"})
    source, pictures, _ = played(film(tmp_path / "VID_20261125_120507.mkv", made))
    assert pictures[0].captured_at == NOON.replace(tzinfo=UTC).timestamp()
    assert not source.troubles


def test_two_cameras_in_one_glob(tmp_path: Path) -> None:
    """Their files overlap, which no camera's do, and that is said."""
    for camera in ("door", "yard"):
        (tmp_path / camera).mkdir()
        made = Film(frames=10, rate=1, options=dict(X264))
        for minute in (0, 2):
            name = f"20261125_12{minute:02}00.mp4"
            made.frames = 130
            film(tmp_path / camera / name, made)
    source, _, _ = played(f"{tmp_path}/**/*.mp4")
    assert "Are they of several cameras?" in source.troubles[0]
    assert len(source.troubles) == 1


def test_what_a_glob_means(tmp_path: Path) -> None:
    """Any depth and either case; nothing hidden, nothing half copied, no link round for ever."""
    deep = tmp_path / "2026" / "11"
    deep.mkdir(parents=True)
    for name in ("a.mp4", "b.MP4", ".c.mp4", "d.mp4.part", "e.txt", "f.jpg"):
        (deep / name).write_bytes(b"x")
    (tmp_path / "top10.mp4").write_bytes(b"x")
    (tmp_path / "top9.mp4").write_bytes(b"x")
    (tmp_path / ".trash").mkdir()
    (tmp_path / ".trash" / "g.mp4").write_bytes(b"x")
    (deep / "up").symlink_to(tmp_path)
    (deep / "up2").symlink_to(tmp_path)
    found = find_files(f"{tmp_path}/**/*.mp4")
    names = [str(Path(name).relative_to(tmp_path)) for name in found.files]
    assert names == ["2026/11/a.mp4", "2026/11/b.MP4", "top9.mp4", "top10.mp4"]
    everything = find_files(f"{tmp_path}/**")
    assert everything.files == found.files
    assert [Path(name).name for name in everything.unfinished] == ["d.mp4.part"]
    assert [Path(name).name for name in find_files(str(deep)).files] == ["a.mp4", "b.MP4"]
    assert len(find_files(f"{tmp_path}/*/*/*.mp4").files) == 2
    (deep / "h.mkv").write_bytes(b"x")
    assert len(find_files(f"{tmp_path}/*/*/[a-z].{{mp4,mkv}}").files) == 3
    with pytest.raises(SourceError, match=r"matches folders only; write .*2026/\*/\*\.mp4"):
        find_files(f"{tmp_path}/2026/*")


def test_a_relative_glob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands in a deployment file."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x.mp4").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    for pattern in ("**/*.mp4", "a/**/*.mp4", "a/*/x.mp4", "./**/x.mp4"):
        assert [Path(name) for name in find_files(pattern).files] == [Path("a/b/x.mp4")]


def test_a_folder_of_folders(tmp_path: Path) -> None:
    """The sentence has the path that would work."""
    (tmp_path / "monday").mkdir()
    film(tmp_path / "monday" / "a.mp4", Film(frames=2))
    _, _, error = played(tmp_path)
    hint = f"{tmp_path}/**/*.mp4"
    assert f"write {hint}" in str(error)
    assert played(hint)[2] is None


def cut(path: Path, share: float) -> Path:
    """Keep only the beginning of a file, last changed long ago."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return modified(path, START)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {"movflags": "faststart"}),
        ("b.mkv", {}),
        ("c.avi", {}),
        ("d.flv", {}),
    ],
)
def test_a_recording_ends_before_it_says(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    """A copy was interrupted; what is there is played, and what is missing is said (iSpy#151)."""
    made = Film(frames=200, container_options=options)
    whole, _, _ = played(film(tmp_path / name, made))
    assert not whole.troubles
    source, pictures, error = played(cut(tmp_path / name, 0.55), starts_at=STATED)
    assert error is None
    assert 40 < len(pictures) < 180
    said = re.search(r"ends after ([\d.]+) s of the 20\.0 s it announces", source.troubles[0])
    assert said is not None
    assert float(said[1]) == pytest.approx(len(pictures) / 10, abs=0.11)
    assert source.counters()[CUT_SHORT] == 1


@pytest.mark.parametrize("name", ["a.mkv", "b.mp4"])
def test_sound_that_goes_on_after_the_pictures(tmp_path: Path, name: str) -> None:
    """Such a recording is whole, and nothing is said."""
    source, pictures, _ = played(film(tmp_path / name, Film(sound_s=(0.0, 9.0))))
    assert len(pictures) == 40
    assert not source.troubles


@pytest.mark.parametrize("share", [0.3, 0.42, 0.5, 0.62, 0.75, 0.9])
def test_a_fragmented_recording_breaks_off(tmp_path: Path, share: float) -> None:
    """A recorder lost its power, wherever in a fragment: what came before is played and said."""
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    path = film(tmp_path / "a.mp4", Film(frames=100, container_options=options))
    source, pictures, error = played(cut(path, share), starts_at=STATED)
    assert error is None
    assert len(pictures) >= 100 * share - 25
    assert [number_in(p.rgb()) for p in pictures] == list(range(len(pictures)))
    assert "breaks off after" in source.troubles[0]


def test_a_transport_stream_breaks_off(tmp_path: Path) -> None:
    """It announces nothing, but it ends within a packet."""
    path = film(tmp_path / "a.ts")
    assert not played(path)[0].troubles
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 376 * 188 + 100])
    source, pictures, error = played(modified(path, START))
    assert error is None
    assert 5 < len(pictures) < 40
    assert "a.ts breaks off after" in source.troubles[0]


@pytest.mark.parametrize(
    ("age_s", "words"), [(0.0, "still being written"), (86_400.0, "was interrupted")]
)
def test_a_recording_without_its_index(tmp_path: Path, age_s: float, words: str) -> None:
    """An MP4 gets it at its end, which has not come, or never will."""
    path = film(tmp_path / "a.mp4")
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"moov") - 4])
    modified(path, datetime.now(UTC).timestamp() - age_s)
    error = played(path)[2]
    assert "has no index (moov)" in str(error)
    assert words in str(error)


def test_a_recording_grows_while_it_is_played(tmp_path: Path) -> None:
    """It is named: what comes later is not played."""
    path = film(tmp_path / "a.ts", Film(frames=60))
    source = FileConfig(path=str(path)).build()
    source.open(Need())
    pictures = source.pictures()
    next(pictures)
    with path.open("ab") as file:
        file.write(bytes(188))
    assert len(list(pictures)) == 59
    assert "a.ts is still being written" in source.troubles[0]


def test_a_file_vanishes_before_its_turn(tmp_path: Path) -> None:
    """A recorder deletes its oldest files; the rest plays, and it is an error at the end."""
    for name in ("a", "b", "c"):
        film(tmp_path / f"{name}.mp4", Film(frames=5))
    source = FileConfig(path=str(tmp_path)).build()
    source.open(Need())
    pictures = source.pictures()
    next(pictures)
    (tmp_path / "b.mp4").unlink()
    came: list[Picture] = []
    with pytest.raises(SourceError, match=r"1 of 3 files .*b\.mp4 does not exist"):
        came.extend(pictures)
    assert len(came) == 9


def test_a_file_that_gives_no_picture(tmp_path: Path) -> None:
    """It opens, and nothing in it can be decoded: a failure, not an empty success."""
    path = film(tmp_path / "a.mp4")
    content = bytearray(path.read_bytes())
    begin, end = content.index(b"mdat") + 4, content.index(b"moov") - 4
    content[begin:end] = bytes(end - begin)
    path.write_bytes(bytes(content))
    _, pictures, error = played(path)
    assert not pictures
    assert "holds no picture that can be decoded" in str(error)


def shifted_ts(path: Path, by_ticks: Sequence[tuple[int, int]]) -> Path:
    """A TS whose packets, from these numbers on, have timestamps so much later (90 000 a s)."""

    def alter(nth: int, packet: "Packet[Any]") -> None:
        by = [ticks for begin, ticks in by_ticks if nth >= begin][-1:]
        if by:
            per_s = by[0] / 90_000 / float(packet.time_base or 1)
            packet.pts = packet.dts = round((packet.pts or 0) + per_s)

    return film(path, Film(alter=alter))


def test_a_gap_of_hours_within_one_recording(tmp_path: Path) -> None:
    """A recorder on motion went on in the same file."""
    path = shifted_ts(tmp_path / "a.ts", [(20, 3 * 3600 * 90_000)])
    source, pictures, _ = played(path, starts_at=STATED)
    times = offsets(pictures)
    assert times[:20] == pytest.approx([n / 10 for n in range(20)])
    assert times[20:] == pytest.approx([3 * 3600 + n / 10 for n in range(20, 40)])
    assert not source.troubles


def test_timestamps_begin_again_after_26_hours(tmp_path: Path) -> None:
    """The 33 bits of MPEG's clock are used up in mid-stream: time just goes on."""
    path = shifted_ts(tmp_path / "a.ts", [(0, 2**33 - int(3.4 * 90_000))])
    for every_s in (0.0, 0.5):
        source, pictures, _ = played(path, every_s, starts_at=STATED)
        assert offsets(pictures)[-1] == pytest.approx(3.9)
        assert len(pictures) == 40
        assert not source.troubles


def test_an_encoder_begins_anew_within_a_recording(tmp_path: Path) -> None:
    """Its clock goes back to zero; there is no gap, and it is said."""
    parts = [
        shifted_ts(tmp_path / "a.ts", [(0, 15 * 3600 * 90_000)]),
        film(tmp_path / "b.ts"),
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    source, pictures, _ = played(joined, starts_at=STATED)
    assert offsets(pictures) == pytest.approx([n / 10 for n in range(80)], abs=0.002)
    assert "its clock was set back by 15:00:0" in source.troubles[0]


def test_one_timestamp_is_damaged() -> None:
    """A single picture says that it is five hours later, or earlier: nothing after it moves."""
    for damaged_s, stays in ((18_000, False), (-18_000, False), (18_000, True)):
        packets = []
        for nth in range(30):
            packet = cast("Packet[Any]", Packet(b"x"))
            late = nth == 10 or (stays and nth > 10)
            packet.pts = packet.dts = nth * 100 + 20_000_000 + late * damaged_s * 1000
            packet.time_base = Fraction(1, 1000)
            packets.append(packet)
        timeline = FileTimeline(0.0, 0.1, 20_000.0)
        times = [
            timeline.at(None if p.pts is None else p.pts / 1000)
            for p in without_strays(packets, 0.001)
        ]
        gap = [damaged_s * (stays and nth >= 10) for nth in range(30)]
        assert times == pytest.approx([n / 10 + gap[n] for n in range(30)])


@pytest.mark.parametrize("name", ["a.mkv", "b.mp4", "c.ts"])
def test_pictures_that_begin_after_the_sound(tmp_path: Path, name: str) -> None:
    """The recording begins with its sound; the first picture is six seconds into it."""
    made = Film(begins_s=6.0, sound_s=(0.0, 10.0))
    path = modified(film(tmp_path / name, made), START + 10.0)
    source, pictures, _ = played(path, starts_at=STATED)
    assert offsets(pictures)[0] == pytest.approx(6.0, abs=0.05)
    assert not source.troubles
    assert offsets(played(path)[1])[0] == pytest.approx(6.0, abs=0.1)


def photo(path: Path, number: int, taken: str | None = None) -> Path:
    """A JPEG that shows its number."""
    image = Image.fromarray(numbered(number, (128, 96)))
    exif = image.getexif()
    if taken is not None:
        exif[0x8769] = {0x9003: taken}
    image.save(path, exif=exif, quality=95)
    return path


def test_a_folder_of_pictures_at_a_stated_rate(tmp_path: Path) -> None:
    """As programs write them that cut films into pictures."""
    for nth in range(12):
        photo(tmp_path / f"frame{nth}.jpg", nth)
    _, pictures, error = played(tmp_path, starts_at=STATED, rate=4)
    assert error is None
    assert [number_in(p.rgb()) for p in pictures] == list(range(12))
    assert offsets(pictures) == [n / 4 for n in range(12)]
    _, few, _ = played(tmp_path, 1.0, starts_at=STATED, rate=4)
    assert [number_in(p.rgb()) for p in few] == [0, 4, 8]


@pytest.mark.parametrize("witness", ["name", "exif", "modification"])
def test_a_folder_of_pictures_with_their_own_times(tmp_path: Path, witness: str) -> None:
    """A camera that uploads a picture now and then."""
    seconds = (0, 7, 3600)
    for nth, after in enumerate(seconds):
        local = datetime.fromtimestamp(START + after, BERLIN)
        name = f"{local:%Y%m%d_%H%M%S}.jpg" if witness == "name" else f"p{nth}.JPG"
        taken = f"{local:%Y:%m:%d %H:%M:%S}" if witness == "exif" else None
        at = START + after if witness == "modification" else START + 9000
        modified(photo(tmp_path / name, nth, taken), at)
    source, pictures, _ = played(tmp_path, zone="Europe/Berlin")
    assert offsets(pictures) == list(seconds)
    assert source.run == f"{tmp_path}@2026-03-01T08:00:00+00:00"


def test_pictures_whose_times_are_lost(tmp_path: Path) -> None:
    """Copies all have one time: it is said that a rate is needed."""
    for nth in range(6):
        modified(photo(tmp_path / f"p{nth}.jpg", nth), START)
    source, pictures, _ = played(tmp_path)
    assert len(pictures) == 6
    assert "set `rate:`" in source.troubles[0]


def test_a_damaged_picture_among_others(tmp_path: Path) -> None:
    """The others play, and it is an error at the end."""
    for nth in range(3):
        photo(tmp_path / f"p{nth}.jpg", nth)
    content = (tmp_path / "p1.jpg").read_bytes()
    (tmp_path / "p1.jpg").write_bytes(content[: len(content) // 2])
    _, pictures, error = played(tmp_path, rate=1, starts_at=STATED)
    assert offsets(pictures) == [0.0, 2.0]
    assert "1 of 3 files" in str(error)
    assert "p1.jpg is damaged" in str(error)


def test_pictures_beside_videos_are_previews(tmp_path: Path) -> None:
    """Recorders put one beside each video."""
    film(tmp_path / "a.mp4", Film(frames=3))
    photo(tmp_path / "a.jpg", 9)
    assert len(played(tmp_path)[1]) == 3
    assert len(played(f"{tmp_path}/*")[1]) == 3


def test_reading_again_gives_the_same(tmp_path: Path) -> None:
    """Times, and with them the ids of events, do not depend on when a file is read."""
    for nth, name in enumerate(("20261125_120000.mp4", "20261125_130000.mp4")):
        modified(film(tmp_path / name), START + nth)
    first, second = played(tmp_path), played(tmp_path)
    assert first[0].run == second[0].run
    assert offsets(first[1]) == offsets(second[1])


def test_stills_of_live_cameras_keep_their_orientation() -> None:
    """A display matrix that PyAV cannot name is still the angle it gives."""
    image = Image.fromarray(numbered(3, (128, 96)))
    exif = image.getexif()
    exif[0x0112] = 6
    buffer = BytesIO()
    image.save(buffer, "jpeg", exif=exif)
    frame = StillDecoder().decode(buffer.getvalue(), Counter())
    assert frame is not None
    assert VideoPicture(frame, 0.0, PixelConverter()).size_wh == (96, 128)


DEPLOYMENT = {
    "version": 1,
    "site": {"timezone": "Europe/Berlin"},
    "engines": {"fake": {"type": "scripted", "answers": {"people": [[]]}}},
}


def deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **sources: str | dict[str, Any]
) -> None:
    """A deployment file in a folder that the command is started in."""
    monkeypatch.chdir(tmp_path)
    cameras = {}
    for name, source in sources.items():
        plain = {"type": "file", "path": source} if isinstance(source, str) else source
        cameras[name] = {
            "source": plain,
            "sample": {"every": "500ms", "motion": False},
            "tasks": {"people": {"detect": "person"}},
            "rules": {"here": {"type": "occupancy", "of": "people"}},
        }
    text = json.dumps({**DEPLOYMENT, "cameras": cameras})
    (tmp_path / "site.yaml").write_text(text)


def test_check_tells_what_the_recordings_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Start, end, gaps, codec and rate of each, before hours of them are played."""
    (tmp_path / "clips").mkdir()
    film(tmp_path / "clips" / "20260301_090000.mp4")
    film(tmp_path / "clips" / "20260301_100000.mkv", Film(codec="mpeg4", options={}))
    deployed(tmp_path, monkeypatch, door="clips", yard={"type": "rtsp", "url": "rtsp://10.0.0.9/1"})
    result = CliRunner().invoke(app_for(["check"]), ["check", "site.yaml", "--probe", "--json"])
    assert result.exit_code == 0
    door, yard = json.loads(result.stdout)["recordings"]
    assert yard["live"]
    first, second = door["files"]
    assert (first["start"], first["start_from"]) == ("2026-03-01T08:00:00.000+00:00", "name")
    assert (first["end"], first["codec"]) == ("2026-03-01T08:00:04.000+00:00", "h264")
    assert (second["start"], second["codec"]) == ("2026-03-01T09:00:00.000+00:00", "mpeg4")
    assert first["rate"] == second["rate"] == 10
    assert first["size"] == [128, 96]
    shown = CliRunner().invoke(app_for(["check"]), ["check", "site.yaml", "--probe"])
    assert "yard: rtsp, a live camera, is not opened by --probe" in shown.stdout


def test_check_tells_which_recordings_cannot_be_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pauses and faults as sentences, and an exit code of 1."""
    (tmp_path / "clips").mkdir()
    shifted_ts(tmp_path / "clips" / "a.ts", [(20, 3 * 3600 * 90_000)])
    (tmp_path / "clips" / "b.mp4").write_bytes(b"only words")
    deployed(tmp_path, monkeypatch, door="clips")
    result = CliRunner().invoke(app_for(["check"]), ["check", "site.yaml", "--probe", "--json"])
    assert result.exit_code == 1
    (door,) = json.loads(result.stdout)["recordings"]
    (gap,) = door["files"][0]["gaps"]
    span = datetime.fromisoformat(gap["to"]) - datetime.fromisoformat(gap["from"])
    assert span.total_seconds() == pytest.approx(3 * 3600 + 0.1, abs=0.01)
    assert "clips/b.mp4 is not a video" in door["remarks"][0]
    assert "1 of 2 files" in door["failure"]


def test_a_run_says_what_is_wrong_with_its_recordings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken file among others: the others are judged, and the run ends with 1 and its name."""
    (tmp_path / "clips").mkdir()
    film(tmp_path / "clips" / "a.mp4")
    (tmp_path / "clips" / "b.mp4").write_bytes(b"only words")
    made = Film(frames=200, container_options={"movflags": "faststart"})
    cut(film(tmp_path / "short.mp4", made), 0.55)
    deployed(tmp_path, monkeypatch, door="clips", yard="short.mp4")
    arguments = ["run", "site.yaml", "--json", "--set", "store.url=sqlite:///store.db"]
    result = CliRunner().invoke(app_for(["run"]), arguments)
    assert result.exit_code == 1
    assert "clips/b.mp4 is not a video" in str(result.exception)
    answer = json.loads(result.stdout)
    assert answer["frames"][0]["sampled"] == 8
    assert answer["frames"][1]["sampled"] > 15
    door, yard = sorted(answer["remarks"])
    assert door.startswith("camera door: clips/b.mp4 is not a video")
    assert re.search(r"camera yard: short.mp4 ends after .* of the 20\.0 s it announces", yard)


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    """One Redis for the tests of this module."""
    yield from shared()


@pytest.mark.slow
@pytest.mark.redis
def test_a_broken_file_does_not_make_the_sampler_begin_again(
    tmp_path: Path, server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over Redis, too, the others are judged once to their end, and the run ends with 1."""
    (tmp_path / "clips").mkdir()
    film(tmp_path / "clips" / "a.mp4")
    (tmp_path / "clips" / "b.mp4").write_bytes(b"only words")
    deployed(tmp_path, monkeypatch, door=str(tmp_path / "clips"))
    file = tmp_path / "site.yaml"
    settings = ["--set", f"store.url=sqlite:///{tmp_path}/store.db"]
    settings += ["--set", f"queue={{type: redis, url: '{server.url}', prefix: {tmp_path.name}}}"]
    code, out, errors = moonwatch("run", file, "--json", *settings)
    assert code == 1
    assert "1 of 2 files could not be played to their end: " in errors
    assert "restarting" not in errors
    answer = json.loads(out)
    assert answer["frames"][0]["sampled"] == 8
    assert "clips/b.mp4 is not a video" in answer["remarks"][0]


def test_check_and_run_mean_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A glob of any depth, and a folder of folders: one way to expand them."""
    (tmp_path / "clips" / "monday").mkdir(parents=True)
    film(tmp_path / "clips" / "monday" / "a.MP4", Film(frames=5))
    deployed(tmp_path, monkeypatch, door="clips/**/*.mp4")
    good = CliRunner().invoke(app_for(["check"]), ["check", "site.yaml"])
    assert "warning: cameras.door.source" not in good.stdout
    deployed(tmp_path, monkeypatch, door="clips")
    hint = CliRunner().invoke(app_for(["check"]), ["check", "site.yaml"])
    assert "write clips/**/*.mp4" in hint.stdout
