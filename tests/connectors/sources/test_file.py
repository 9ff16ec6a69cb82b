"""Recordings: any kind of file, in order, with the times they were made at."""

import os
import struct
import zlib
from datetime import UTC, datetime
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from connectors.sources.file import FileConfig
from connectors.sources.recordings.source import FileSource
from pipeline.core.errors import SourceError, SourceFailure
from pipeline.core.frames import Picture
from pipeline.core.sources import Need, Source
from pipeline.testing import ManualClock
from tests.connectors.sources.clips import Clip, painted, spoil, turn, write_clip
from tests.contracts.sources import SourceContract

START = "2026-03-01T08:00:00Z"
START_S = datetime(2026, 3, 1, 8, tzinfo=UTC).timestamp()


def played(path: Path | str, every_s: float = 0.0, **keys: Any) -> tuple[FileSource, list[Picture]]:
    """A recording and all its pictures."""
    source = FileConfig(path=str(path), **keys).build()
    source.open(Need(every_s))
    return source, list(source.pictures())


def offsets(pictures: list[Picture], start: float = START_S) -> list[float]:
    """The times of pictures in seconds since the start."""
    return [round(picture.captured_at - start, 3) for picture in pictures]


class TestFileContract(SourceContract):
    """A recording keeps what all sources promise."""

    is_live = False

    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        """A clip of two seconds."""
        return FileConfig(path=str(write_clip(tmp_path / "a.mp4"))).build()


KINDS = [
    ("a.mp4", Clip()),
    ("b.mkv", Clip()),
    ("c.avi", Clip(codec="mpeg4")),
    ("d.ts", Clip()),  # begins at 1.4 s of its own clock
    ("e.mov", Clip(codec="mjpeg", pixel_format="yuvj420p")),
    ("f.mkv", Clip(codec="ffv1", pixel_format="gray")),  # no colour at all
    ("g.mkv", Clip(codec="ffv1", pixel_format="gray10le")),
    ("h.mkv", Clip(codec="libx264", pixel_format="yuv420p10le", options={"bf": "0"})),
    ("i.mkv", Clip(codec="ffv1", pixel_format="yuv444p16le")),
    ("j.mp4", Clip(options={"bf": "3", "preset": "medium"})),  # pictures out of coding order
    ("k.mkv", Clip(codec="ffv1", size_wh=(61, 47))),  # odd in both directions
    ("l.mp4", Clip(codec="libx264", pixel_format="yuv444p", size_wh=(33, 17))),
    ("m.avi", Clip(codec="rawvideo", pixel_format="rgb24")),
    ("n.webm", Clip(codec="libvpx")),
    ("o.gif", Clip(codec="gif", pixel_format="rgb8")),
]


@pytest.mark.parametrize(("name", "clip"), KINDS, ids=[name for name, _ in KINDS])
def test_every_kind_of_file_is_read(tmp_path: Path, name: str, clip: Clip) -> None:
    """Containers, codecs, pixel formats and sizes: all pictures, right times, right colours."""
    source, pictures = played(write_clip(tmp_path / name, clip), starts_at=START)
    assert offsets(pictures) == pytest.approx([n / 10 for n in range(20)], abs=0.011)
    assert source.counters() == {}
    assert pictures[7].size_wh == clip.size_wh
    difference = np.abs(pictures[7].rgb().astype(int) - painted(clip, 7))
    assert np.median(difference) <= 16
    assert pictures[7].grey((8, 6)).shape == (6, 8)


def test_times_of_a_variable_rate_are_kept(tmp_path: Path) -> None:
    """A picture's time is that of its timestamp, however irregular they are."""
    times = (0, 40, 500, 510, 2000, 62_000)
    path = write_clip(tmp_path / "vfr.mkv", Clip(times_ms=times))
    _, pictures = played(path, starts_at=START)
    assert offsets(pictures) == [n / 1000 for n in times]


@pytest.mark.parametrize(
    ("quarters", "size", "corner"),
    [
        (0, (64, 48), (0, 0)),
        (1, (48, 64), (0, 47)),  # clockwise: what was top left is top right
        (2, (64, 48), (47, 63)),
        (3, (48, 64), (63, 0)),
    ],
)
def test_rotation_is_applied(
    tmp_path: Path, quarters: int, size: tuple[int, int], corner: tuple[int, int]
) -> None:
    """Pictures come as a person sees them, in pixels, sizes and grey."""
    path = write_clip(tmp_path / "phone.mp4")
    turn(path, quarters)
    _, pictures = played(path)
    assert pictures[0].size_wh == size
    row, column = corner
    height, width = size[1], size[0]
    near = pictures[0].rgb()[
        min(row, height - 12) : min(row, height - 12) + 12,
        min(column, width - 12) : min(column, width - 12) + 12,
    ]
    assert near.max() > 180
    assert pictures[0].rgb((24, 32)).shape == (32, 24, 3)
    bright = np.unravel_index(pictures[0].grey(size).argmax(), (height, width))
    assert abs(bright[0] - row) < 13
    assert abs(bright[1] - column) < 13


def test_damage_in_mid_stream_is_counted_and_read_over(tmp_path: Path) -> None:
    """A recording with noise in its middle gives what is whole, counts the rest, and ends."""
    path = write_clip(tmp_path / "bad.ts", Clip(frames=80, size_wh=(160, 120)))
    spoil(path, 0.4, 0.5)
    source, pictures = played(path, starts_at=START)
    assert source.counters()["decode error"] > 0
    assert 40 <= len(pictures) < 80
    assert offsets(pictures)[-1] == pytest.approx(7.9, abs=0.01)
    assert all(a.captured_at < b.captured_at for a, b in pairwise(pictures))


def test_a_cut_recording_gives_what_is_there(tmp_path: Path) -> None:
    """A missing end is not an error."""
    path = write_clip(tmp_path / "cut.mkv", Clip(frames=60))
    path.write_bytes(path.read_bytes()[:-1500])
    _, pictures = played(path)
    assert 10 < len(pictures) < 60


def test_reading_twice_gives_the_same(tmp_path: Path) -> None:
    """The same file gives the same run, times and pixels."""
    path = write_clip(tmp_path / "a.mp4")
    first, second = played(path), played(path)
    assert first[0].run == second[0].run
    assert [p.captured_at for p in first[1]] == [p.captured_at for p in second[1]]
    assert all((a.rgb() == b.rgb()).all() for a, b in zip(first[1], second[1], strict=True))


def test_start_is_the_creation_time_of_the_container(tmp_path: Path) -> None:
    """What the camera wrote into the file counts before what the file system says."""
    clip = Clip(metadata={"creation_time": "2026-03-01T08:00:00.000000Z"})
    path = write_clip(tmp_path / "a.mkv", clip)
    source, pictures = played(path)
    assert offsets(pictures)[:2] == [0.0, 0.1]
    assert source.run == f"{path}@2026-03-01T08:00:00+00:00"


@pytest.mark.parametrize("written", ["1970-01-01T00:00:00Z", "soon", ""])
def test_start_is_the_modification_where_there_is_no_creation_time(
    tmp_path: Path, written: str
) -> None:
    """A camera that lost its clock, or wrote none, leaves the file's own time."""
    path = write_clip(tmp_path / "a.mkv", Clip(metadata={"creation_time": written}))
    os.utime(path, (START_S + 5, START_S + 5))
    _, pictures = played(path)
    assert offsets(pictures)[0] == 3.0  # two seconds long, and modified at its end


def test_looping_goes_on_in_time_and_run(tmp_path: Path) -> None:
    """The second pass follows the first one without a seam, under the same name."""
    path = write_clip(tmp_path / "a.mp4")
    source = FileConfig(path=str(path), loop=True, starts_at=START).build()
    source.open(Need())
    run = source.run
    pictures = list(islice(source.pictures(), 50))
    source.close()
    assert offsets(pictures) == pytest.approx([n / 10 for n in range(50)], abs=0.001)
    assert source.run == run


def test_a_folder_plays_in_the_order_of_names(tmp_path: Path) -> None:
    """Numbers in names count as numbers; files that are not videos are ignored; gaps stay."""
    for name, start in (("part10.mkv", "08:01:00"), ("part2.mkv", "08:00:00")):
        clip = Clip(frames=3, metadata={"creation_time": f"2026-03-01T{start}Z"})
        write_clip(tmp_path / name, clip)
    (tmp_path / "notes.txt").write_text("nothing to see")
    _, pictures = played(tmp_path)
    assert offsets(pictures) == [0.0, 0.1, 0.2, 60.0, 60.1, 60.2]


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "bmp", "tiff"])
def test_no_picture_is_mixed_with_the_one_before(tmp_path: Path, kind: str) -> None:
    """Pictures that differ by a constant keep their values."""
    values = (0, 40, 80, 120, 60, 5)
    for nth, value in enumerate(values):
        pixels = np.full((48, 64, 3), value, np.uint8)
        assert cv2.imwrite(str(tmp_path / f"{nth}.{kind}"), pixels)
    _, pictures = played(tmp_path / f"*.{kind}", starts_at=START, rate=1.0)
    spread = [(int(p.rgb().min()), int(p.rgb().max())) for p in pictures]
    assert [low for low, _ in spread] == pytest.approx(values, abs=2)
    assert [high for _, high in spread] == pytest.approx(values, abs=2)


def png_of(value: int, kind: int) -> bytes:
    """A grey PNG of one value, all rows of which are filtered by 0 none, 1 sub or 2 up."""
    flat = bytes([value]) * 64
    first = {0: flat, 1: bytes([value]) + bytes(63), 2: flat}[kind]
    further = {0: flat, 1: first, 2: bytes(64)}[kind]
    rows = [bytes([kind]) + (further if nth else first) for nth in range(48)]
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", 64, 48, 8, 0, 0, 0, 0),
        b"IDAT": zlib.compress(b"".join(rows)),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks.items()
    )


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_nothing_of_the_picture_before_is_in_a_png(tmp_path: Path, kind: int) -> None:
    """It is no difference to be added to it, however its rows are filtered."""
    values = [10, 40, 80, 120, 60, 5]
    for nth, value in enumerate(values):
        (tmp_path / f"{nth}.png").write_bytes(png_of(value, kind))
    _, pictures = played(tmp_path, starts_at=START, rate=1.0)
    assert [{*p.rgb().flat} for p in pictures] == [{value} for value in values]


def test_files_of_a_glob_follow_each_other(tmp_path: Path) -> None:
    """With a given start, and where their times overlap, they play without a gap."""
    for name in ("a.mkv", "b.mkv"):
        write_clip(tmp_path / name, Clip(frames=3))
    _, pictures = played(tmp_path / "*.mkv", starts_at=START)
    assert offsets(pictures) == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5], abs=0.002)


def test_an_unreadable_file_among_others_is_counted(tmp_path: Path) -> None:
    """Broken ones do not keep a folder from playing; that they are is an error at its end."""
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    write_clip(tmp_path / "b.mp4", Clip(frames=3))
    (tmp_path / "c.mp4").write_bytes(b"")
    source = FileConfig(path=str(tmp_path)).build()
    pictures: list[Picture] = []
    source.open(Need())
    with pytest.raises(SourceError, match=r"2 of 3 files could not be played.*a\.mp4 is not a"):
        pictures.extend(source.pictures())
    assert len(pictures) == 3
    assert source.counters()["unreadable file"] == 2


@pytest.mark.parametrize(
    ("name", "content", "reason", "words"),
    [
        ("gone.mp4", None, SourceFailure.NOT_FOUND, "does not exist"),
        ("*.nothing", None, SourceFailure.NOT_FOUND, "matches no file"),
        (".", None, SourceFailure.NOT_FOUND, "holds no video files"),
        ("text.mp4", b"only words", SourceFailure.BROKEN, "is not a video"),
        ("empty.mp4", b"", SourceFailure.BROKEN, "is empty"),
    ],
)
def test_what_cannot_be_played_is_said(
    tmp_path: Path, name: str, content: bytes | None, reason: SourceFailure, words: str
) -> None:
    """One sentence with the path and the way out."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    source = FileConfig(path=str(tmp_path / name)).build()
    with pytest.raises(SourceError, match=words) as caught:
        source.open(Need())
    assert caught.value.reason is reason
    assert str(tmp_path) in str(caught.value)


def test_a_file_without_pictures_is_refused(tmp_path: Path) -> None:
    """A file with sound only is not a source."""
    path = tmp_path / "tone.wav"
    path.write_bytes(
        b"RIFF\x2c\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00"
        b"\x80\x3e\x00\x00\x02\x00\x10\x00data\x08\x00\x00\x00" + bytes(8)
    )
    with pytest.raises(SourceError) as caught:
        FileConfig(path=str(path)).build().open(Need())
    assert caught.value.reason is SourceFailure.UNSUPPORTED


def test_a_colon_in_a_name_is_no_protocol(tmp_path: Path) -> None:
    """Recorders name their files by the time of day."""
    path = write_clip(tmp_path / "12:30.mkv", Clip(frames=3))
    assert len(played(path)[1]) == 3


def test_realtime_takes_the_time_of_the_recording(tmp_path: Path) -> None:
    """Each picture comes when it is due, counted from the first."""
    clock = ManualClock()
    path = write_clip(tmp_path / "a.mp4")
    source = FileConfig(path=str(path), speed="realtime", starts_at=START).build(clock)
    source.open(Need())
    for picture in source.pictures():
        assert clock.monotonic() == pytest.approx(picture.captured_at - START_S, abs=0.001)


def test_realtime_begins_where_nothing_is_repeated(tmp_path: Path) -> None:
    """What was judged before takes no time, and the rest the recording's from there on."""
    clock = ManualClock()
    path = write_clip(tmp_path / "a.mp4")
    source = FileConfig(path=str(path), speed="realtime", starts_at=START).build(clock)
    read: list[float] = []
    source.open(Need(is_repeat=lambda: len(read) < 6))
    for picture in source.pictures():
        read.append(picture.captured_at)
        paced_s = max(0.0, picture.captured_at - read[min(5, len(read) - 1)])
        assert clock.monotonic() == pytest.approx(paced_s, abs=0.001)
    assert clock.monotonic() > 0
    assert read == [p.captured_at for p in played(path, starts_at=START)[1]]


def test_realtime_changes_no_time(tmp_path: Path) -> None:
    """Speed is how fast a file is read, and no part of what it says."""
    path = str(write_clip(tmp_path / "a.mp4"))
    slow = FileConfig(path=path, speed="realtime").build(ManualClock())
    slow.open(Need())
    assert [p.captured_at for p in slow.pictures()] == [p.captured_at for p in played(path)[1]]


@pytest.mark.parametrize("value", [12345, "2026-03-01 08:00", "tomorrow"])
def test_a_start_needs_a_date_and_a_zone(value: object) -> None:
    """A bare number or a local time is refused."""
    with pytest.raises(ValidationError):
        FileConfig.model_validate({"path": "a.mp4", "starts_at": value})


def test_hardware_that_is_not_there_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Software takes over, with one line in the log however often the file is opened."""
    path = write_clip(tmp_path / "a.mp4")
    for _ in range(2):
        assert len(played(path, hwaccel="vaapi")[1]) == 20
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "vaapi" in caplog.text
