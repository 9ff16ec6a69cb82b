"""Clips cut from streams: what is in them, exactly when it was, and what is never in them."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from connectors.sources.ffmpeg.clip_files import begin_clip, recover
from connectors.sources.ffmpeg.ring import PacketRing, RingFeed
from connectors.sources.file import FileConfig
from pipeline.core.clips import ClipError, ClipFile, ClipMake, ClipNeed
from pipeline.core.frames import Pixels
from pipeline.core.geometry import Polygon
from pipeline.core.sources import Need
from pipeline.sampling.masks import Masks
from pipeline.testing import patience
from tests.connectors.sources.clips import jpeg

BEGAN = 1_780_000_000.0
RATE = 25
STEP_S = 1 / RATE
NEED = ClipNeed(before_s=5.0, lag_s=10.0, most_bytes=64_000_000)
SECRET_RGB = (0, 200, 0)
"""The colour of what is behind a mask."""


def grey_of(nth: int) -> int:
    """The grey of a stream's nth picture, from which its number can be told."""
    return 20 + nth * 7 % 210


def pictures(number: int, size_wh: tuple[int, int]) -> Iterator[Pixels]:
    """Grey pictures with a green field in their left third."""
    width, height = size_wh
    for nth in range(number):
        pixels = np.full((height, width, 3), grey_of(nth), np.uint8)
        pixels[:, : width // 3] = SECRET_RGB
        yield pixels


def stream(
    path: Path,
    codec: str = "libx264",
    *,
    number: int = 250,
    key_every: int = 25,
    b_frames: int = 0,
    size_wh: tuple[int, int] = (192, 96),
) -> Path:
    """A stream as cameras send it, with its parameter sets in front of each key frame."""
    with av.open(str(path), "w", format="mpegts") as container:
        made = cast(Any, container.add_stream(codec, rate=RATE))
        made.width, made.height = size_wh
        made.pix_fmt = "yuv420p"
        quiet = {"x265-params": f"log-level=none:scenecut=0:keyint={key_every}"}
        made.options = quiet if codec == "libx265" else {"sc_threshold": "0", "crf": "18"}
        made.codec_context.gop_size = key_every
        made.codec_context.max_b_frames = b_frames
        for nth, pixels in enumerate(pictures(number, size_wh)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = nth, Fraction(1, RATE)
            container.mux(made.encode(frame))
        container.mux(made.encode(None))
    return path


def fill(ring: PacketRing, path: Path, began: float = BEGAN) -> None:
    """Send a stream, whose first picture was captured at `began`."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        ring.begin(video.codec_context)
        first: float | None = None
        for packet in container.demux(video):
            if packet.size and packet.pts is not None:
                seconds = float(packet.pts * packet.time_base)
                first = seconds if first is None else first
                ring.keep(packet, began + seconds - first)


def cut(
    folder: Path, ring: PacketRing, since: float, until: float, make: ClipMake | None = None
) -> tuple[Path, ClipFile, str]:
    """A clip of what the ring has."""
    target = folder / "clip.mp4"
    making = begin_clip(folder / "clip.mp4.part", RingFeed(ring, since), since, make or ClipMake())
    making.advance(until)
    remark = making.remark
    return target, making.finish(target), remark


def shown(path: Path) -> list[tuple[float, Pixels]]:
    """Every picture of a file with its time in it; fails where one cannot be decoded."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        found = [
            (frame.time or 0.0, cast("Pixels", frame.to_ndarray(format="rgb24")))
            for frame in container.decode(video)
        ]
        assert all(a < b for (a, _), (b, _) in pairwise(found))
        return found


@pytest.mark.parametrize(
    ("codec", "b_frames", "inside"),
    [
        ("libx264", 0, "h264"),
        ("libx264", 3, "h264"),
        ("libx265", 0, "hevc"),
        ("libx265", 4, "hevc"),
    ],
)
def test_a_clip_shows_each_moment_when_it_was(
    tmp_path: Path, codec: str, b_frames: int, inside: str
) -> None:
    """Nothing is encoded anew: from the key frame before to the end, each picture at its time."""
    ring = PacketRing(NEED)
    fill(ring, stream(tmp_path / "stream.ts", codec, b_frames=b_frames))
    since, until = BEGAN + 4.5, BEGAN + 8.0
    path, file, remark = cut(tmp_path, ring, since, until)
    assert remark == ""
    assert file.codec == inside
    assert (file.width, file.height) == (192, 96)
    found = shown(path)
    assert len(found) == file.pictures
    assert since - 1.0 - STEP_S <= file.since <= since
    assert until <= file.until <= until + 0.4
    for at, pixels in found:
        nth = round((file.since + at - BEGAN) * RATE)
        assert abs(int(pixels[:, 100:].mean()) - grey_of(nth)) <= 3, (at, nth)
    assert found[0][0] == pytest.approx(0.0, abs=0.001)


def test_a_long_way_between_key_frames_is_said(tmp_path: Path) -> None:
    """A camera with a key frame each 5 s: the clip begins with one, so it begins earlier."""
    ring = PacketRing(NEED)
    fill(ring, stream(tmp_path / "stream.ts", key_every=125, number=400))
    _, file, _ = cut(tmp_path, ring, BEGAN + 9.0, BEGAN + 12.0)
    assert file.since == pytest.approx(BEGAN + 5.0, abs=0.1)


def test_what_is_kept_is_bounded(tmp_path: Path) -> None:
    """By time, and where there is no room for that by bytes; the newest stays."""
    path = stream(tmp_path / "stream.ts", number=1000)
    ring = PacketRing(ClipNeed(2.0, 1.0, 64_000_000))
    fill(ring, path)
    oldest = ring.beyond(0)[0].at
    assert BEGAN + 35.0 <= oldest <= BEGAN + 37.0
    whole = ring.kept_bytes
    small = PacketRing(ClipNeed(2.0, 1.0, whole // 2))
    fill(small, path)
    assert 0 < small.kept_bytes <= whole // 2
    assert small.overflows > 0
    assert small.beyond(0)[-1].at == ring.beyond(0)[-1].at


def test_nothing_kept_is_said(tmp_path: Path) -> None:
    """A camera that has just been opened has no clip yet."""
    with pytest.raises(ClipError, match="just been opened"):
        RingFeed(PacketRing(NEED), BEGAN)


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mjpeg"])
def test_pictures_of_another_format_go_on_in_another_file(tmp_path: Path, codec: str) -> None:
    """As one file holds one size and one codec; no picture is missing between them."""
    ring = PacketRing(NEED)
    fill(ring, stream(tmp_path / "one.ts", number=100, b_frames=2))
    if codec == "mjpeg":
        ring.begin(None)
        for nth in range(100):
            ring.keep_still(jpeg(nth=nth), BEGAN + 4.0 + nth / RATE)
        second_shape = (48, 64, 3)
    else:
        fill(ring, stream(tmp_path / "two.ts", codec, number=100, size_wh=(96, 64)), BEGAN + 4.0)
        second_shape = (64, 96, 3)
    first = begin_clip(
        tmp_path / "clip.mp4.part", RingFeed(ring, BEGAN + 2.0), BEGAN + 2.0, ClipMake()
    )
    assert first.advance(BEGAN + 7.0)
    assert first.has_changed
    second = first.follow(tmp_path / "clip.2.mp4.part")
    files = [first.finish(tmp_path / "clip.mp4")]
    assert second.advance(BEGAN + 7.0)
    files.append(second.finish(tmp_path / "clip.2.mp4"))
    assert first.remark == second.remark == ""
    assert not second.has_changed
    assert files[0].until == pytest.approx(BEGAN + 4.0, abs=0.2)
    assert files[1].since == pytest.approx(BEGAN + 4.0, abs=0.05)
    assert files[1].until >= BEGAN + 7.0
    assert {pixels.shape for _, pixels in shown(tmp_path / "clip.mp4")} == {(96, 192, 3)}
    found = shown(tmp_path / "clip.2.mp4")
    assert {pixels.shape for _, pixels in found} == {second_shape}
    assert len(found) == files[1].pictures >= 20


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_camera_with_masks_never_shows_what_they_hide(tmp_path: Path, codec: str) -> None:
    """Its clips are encoded anew, in good time, and nothing of the stream is in the file."""
    ring = PacketRing(NEED)
    fill(ring, stream(tmp_path / "stream.ts", codec, b_frames=2))
    hide = Masks([Polygon(((0.0, 0.0), (0.36, 0.0), (0.36, 1.0), (0.0, 1.0)))]).fill
    since, until = BEGAN + 4.5, BEGAN + 8.0
    path, file, _ = cut(tmp_path, ring, since, until, ClipMake(hide))
    found = shown(path)
    assert len(found) == file.pictures > 20
    assert min(b - a for (a, _), (b, _) in pairwise(found)) >= 0.099
    assert since - STEP_S <= file.since <= since + STEP_S
    for at, pixels in found:
        green = pixels[:, :, 1].astype(int) - np.maximum(pixels[:, :, 0], pixels[:, :, 2])
        assert green.max() < 20
        nth = round((file.since + at - BEGAN) * RATE)
        assert abs(int(pixels[:, 100:].mean()) - grey_of(nth)) <= 4
    # The same stream without a mask shows it, so the test would.
    path, _, _ = cut(tmp_path, ring, since, until)
    pixels = shown(path)[0][1]
    assert (pixels[:, :, 1].astype(int) - pixels[:, :, 0]).max() > 150


def test_pictures_one_by_one_become_a_film(tmp_path: Path) -> None:
    """A camera that sends JPEGs has H.264 clips, at no more than ten pictures a second."""
    ring = PacketRing(NEED)
    ring.begin(None)
    for nth in range(100):
        ring.keep_still(jpeg(nth=nth), BEGAN + nth / 20)
    path, file, _ = cut(tmp_path, ring, BEGAN + 1.0, BEGAN + 4.0)
    assert file.codec == "h264"
    assert file.since == BEGAN + 1.0
    assert len(shown(path)) == file.pictures == 31 + 2


_KILLED = """
import sys, time
from pathlib import Path
from tests.connectors.sources import test_clips as own
from connectors.sources.ffmpeg.ring import PacketRing, RingFeed
from connectors.sources.ffmpeg.clip_files import begin_clip
from pipeline.core.clips import ClipMake
ring = PacketRing(own.NEED)
own.fill(ring, Path(sys.argv[1]))
making = begin_clip(Path(sys.argv[2]), RingFeed(ring, own.BEGAN + 1), 0.0, ClipMake())
making.advance(own.BEGAN + 9)
print("written", flush=True)
time.sleep(600)
"""


def test_what_was_written_before_a_kill_can_be_played(tmp_path: Path) -> None:
    """Up to the last fragment, as it lies there, and as the next process finishes it."""
    source = stream(tmp_path / "stream.ts")
    left = tmp_path / "clip.mp4.part"
    words = [sys.executable, "-c", _KILLED, str(source), str(left)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
        process.wait(patience(10))
    assert len(shown(left)) >= 6 * RATE
    # The kill may as well hit in the middle of a fragment.
    left.write_bytes(left.read_bytes()[:-300])
    file = recover(left, tmp_path / "clip.mp4")
    found = shown(tmp_path / "clip.mp4")
    assert len(found) == file.pictures >= 5 * RATE
    assert not left.exists()
    nth = round((file.since - BEGAN) * RATE)
    assert abs(int(found[0][1][:, 100:].mean()) - grey_of(nth)) <= 3


@pytest.mark.parametrize("b_frames", [0, 3])
def test_a_recording_is_cut_from_its_file(tmp_path: Path, b_frames: int) -> None:
    """Also after it was played to its end, and whatever is asked for first."""
    path = stream(tmp_path / "stream.ts", b_frames=b_frames)
    source = FileConfig.model_validate(
        {"path": str(path), "starts_at": "2026-05-28T20:26:40+00:00"}
    ).build()
    source.keep_for_clips(NEED)
    source.open(Need())
    at = [picture.captured_at for picture in source.pictures()]
    source.close()
    assert at[0] == BEGAN
    for since in (6.5, 2.5):
        making = source.cut(tmp_path / "clip.mp4.part", BEGAN + since, ClipMake())
        assert making.advance(BEGAN + since + 2.0)
        file = making.finish(tmp_path / "clip.mp4")
        assert BEGAN + since - 1.0 - STEP_S <= file.since <= BEGAN + since
        for when, pixels in shown(tmp_path / "clip.mp4"):
            nth = round((file.since + when - BEGAN) * RATE)
            assert abs(int(pixels[:, 100:].mean()) - grey_of(nth)) <= 3, when
