"""Clips of RTSP cameras that are not simple: H.265, masks, other sizes, clocks that begin anew."""

import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
import pytest

from pipeline.core.clips import Clip
from pipeline.core.frames import Pixels
from pipeline.testing import wait_until
from tests.runtime.test_clips import NO, YES, a_camera, a_deployment, running, settled
from tests.wild.rtsp_camera import RATE, RtspCamera, Unit, encoded, number_of

pytestmark = [pytest.mark.timeout(180)]
_LENGTH = 250
"""Pictures of a film, which begins again when it is over; a number in a picture is below 256."""


def film(codec: str, size: str = "320x192", rounds: int = 8) -> list[Unit]:
    """A minute and more of numbered pictures, with a key frame each second."""
    once = encoded(codec, _LENGTH, RATE, video_size=size)
    return once * rounds


def clips_of(
    folder: Path,
    units: list[Unit],
    codec: str = "h264",
    stamp: Callable[[int], int] | None = None,
    before: int = 20,
    **more: Any,
) -> list[Clip]:
    """What becomes of the clip of a door that opens after so many pictures were judged."""
    answers = [NO] * before + [YES] * 100_000
    with RtspCamera(units, codec, rate=RATE) as door:
        if stamp is not None:
            door.stamp = stamp
        source = {"type": "rtsp", "url": door.url()}
        content = a_deployment(folder, a_camera(source, **more), answers)
        with running(folder, content) as run:
            wait_until(lambda: bool(settled(run)), 120.0)
            return settled(run)


def shown(path: Path) -> list[tuple[float, Pixels]]:
    """Every picture of a file with its time in it; all of them can be decoded, in order."""
    with av.open(str(path)) as container:
        found = [
            (frame.time or 0.0, cast("Pixels", frame.to_ndarray(format="rgb24")))
            for frame in container.decode(video=0)
        ]
    assert all(a < b for (a, _), (b, _) in pairwise(found))
    return found


def numbers(path: Path) -> list[int | None]:
    """What is written in each picture of a file."""
    return [number_of(pixels) for _, pixels in shown(path)]


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_a_clip_over_rtsp_has_every_picture(tmp_path: Path, codec: str) -> None:
    """As the camera encoded it: from before the event to after it, and none is missing."""
    [clip] = clips_of(tmp_path, film(codec), codec)
    assert (clip.state, clip.reason) == ("ready", "")
    assert clip.file is not None
    assert clip.file.codec == {"h264": "h264", "h265": "hevc"}[codec]
    assert clip.preroll_s is not None
    assert clip.preroll_s >= 1.5
    found = numbers(tmp_path / "media" / clip.wish.reference)
    assert len(found) == clip.file.pictures >= 3.5 * RATE
    assert None not in found
    assert all(((b or 0) - (a or 0)) % _LENGTH == 1 for a, b in pairwise(found))


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_no_file_shows_what_a_mask_hides(tmp_path: Path, codec: str) -> None:
    """Neither the clip nor what it was written to, at any moment: all of it is looked at."""
    masked = {"every": "200ms", "masks": [[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]]}
    written: dict[str, bytes] = {}
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.2):
            for path in (tmp_path / "media").rglob("*"):
                if path.is_file():
                    try:
                        written[path.name] = path.read_bytes()
                    except FileNotFoundError:
                        continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        [clip] = clips_of(tmp_path, film(codec), codec, sample=masked)
    finally:
        is_over.set()
        watcher.join()
    assert clip.state == "ready", clip.reason
    path = tmp_path / "media" / clip.wish.reference
    assert any(name.endswith(".part") and content for name, content in written.items())
    for name, content in {**written, path.name: path.read_bytes()}.items():
        copy = tmp_path / name
        copy.write_bytes(content)
        try:
            pictures = shown(copy)
        except av.FFmpegError:
            # Nothing is shown of a file without its first fragment: there must be none of it.
            assert b"mdat" not in content or b"moov" not in content
            continue
        for _, pixels in pictures:
            assert pixels[:, :150].max() < 40
            assert pixels[:, 170:].max() > 100


def test_a_camera_that_changes_its_size_goes_on_in_another_file(tmp_path: Path) -> None:
    """Somebody turns its stream to another size while a clip is written."""
    small, large = film("h264", rounds=1), film("h264", "640x384")
    [clip] = clips_of(
        tmp_path, small[:150] + large, before=20, clips={"before": "2s", "after": "5s"}
    )
    assert (clip.state, clip.reason) == ("ready", "")
    sizes = [(file.width, file.height) for _, file in clip.files]
    assert sizes == [(320, 192), (640, 384)]
    for reference, file in clip.files:
        assert len(shown(tmp_path / "media" / reference)) == file.pictures > 0
    (_, first), (_, second) = clip.files
    assert abs(second.since - first.until) < 0.5


@pytest.mark.parametrize("jump_s", [-100.0, 30_000.0])
def test_a_camera_that_begins_its_timestamps_anew_has_its_clip(
    tmp_path: Path, jump_s: float
) -> None:
    """In mid-clip, back to the beginning or far ahead: what was captured is in it, in order."""

    def stamp(nth: int) -> int:
        ahead_s = 200.0 + (jump_s if nth >= 140 else 0.0)
        return round((ahead_s + nth / RATE) * 90_000)

    [clip] = clips_of(tmp_path, film("h264"), stamp=stamp, clips={"before": "2s", "after": "5s"})
    assert clip.state in ("ready", "partial")
    found: list[int] = []
    for reference, file in clip.files:
        seen = numbers(tmp_path / "media" / reference)
        assert len(seen) == file.pictures
        assert file.until - file.since < 30
        found += [number for number in seen if number is not None]
    seconds = clip.files[-1][1].until - clip.files[0][1].since
    assert 4.0 <= seconds <= 15.0
    assert any(number >= 150 for number in found)
    assert all((b - a) % _LENGTH < 60 for a, b in pairwise(found))
