"""No more is decoded than the need asks for, and what is left is right."""

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest
from av.packet import Packet
from av.video.stream import VideoStream

from connectors.sources.ffmpeg.decoder import Decoder
from connectors.sources.ffmpeg.input import Input, open_input, read_packets
from connectors.sources.ffmpeg.pictures import VideoPicture
from connectors.sources.ffmpeg.timeline import FileTimeline
from pipeline.core.sources import Need
from tests.connectors.sources.clips import Clip, painted, write_clip

REORDERED = {"bf": "3", "preset": "medium", "x264-params": "b-adapt=0:open-gop=0"}


def decoded(
    path: Path, every_s: float, *, skip: int = 0
) -> tuple[list[VideoPicture], Counter[str]]:
    """The pictures that come of a file's packets but for the first few, and what was lost."""
    lost: Counter[str] = Counter()
    container, stream = open_input(Input(str(path), "clip"))
    decoder = Decoder(stream, Need(every_s), FileTimeline(0.0, 0.1, 0.0).at, lost)
    pictures: list[VideoPicture] = []
    packets = list(read_packets(container, stream, "clip", lost))
    for packet in packets[skip:]:
        pictures.extend(decoder.pictures(packet))
    container.close()
    return pictures, lost


def times(pictures: list[VideoPicture]) -> list[float]:
    """When they were captured."""
    return [round(picture.captured_at, 3) for picture in pictures]


@pytest.mark.parametrize("options", [{}, REORDERED], ids=["in order", "reordered"])
def test_key_frames_alone_where_they_are_enough(tmp_path: Path, options: dict[str, str]) -> None:
    """From the first picture on nothing but wanted key frames is decoded, each as it arrives."""
    clip = Clip(frames=205, options=options)
    pictures, lost = decoded(write_clip(tmp_path / "a.mp4", clip), 5.0)
    assert times(pictures) == [0.0, 5.0, 10.0, 15.0, 20.0]
    assert not lost
    difference = abs(pictures[-1].rgb().astype(int) - painted(clip, 200))
    assert difference.max() < 60


@pytest.mark.parametrize("options", [{}, REORDERED], ids=["in order", "reordered"])
def test_all_pictures_where_key_frames_are_too_rare(
    tmp_path: Path, options: dict[str, str]
) -> None:
    """Nothing is missing and nothing is twice."""
    pictures, _ = decoded(write_clip(tmp_path / "a.mp4", Clip(frames=40, options=options)), 0.1)
    assert times(pictures) == pytest.approx([n / 10 for n in range(40)])


def test_switches_back_when_key_frames_become_rare(tmp_path: Path) -> None:
    """A camera that lengthens its intervals is decoded in full, and no picture is late for it."""
    clip = Clip(frames=180, key_every=250, keys=(0, 10, 20, 30, 90, 150))
    pictures, lost = decoded(write_clip(tmp_path / "a.mp4", clip), 2.0)
    seen = times(pictures)
    assert not lost
    assert [at for at in seen if at < 3.05] == [0.0, 2.0]
    assert len(seen) == len(set(seen))
    assert max(b - a for a, b in pairwise(seen)) <= 2.0


def test_frames_nobody_refers_to_are_left_out(tmp_path: Path) -> None:
    """Where the need is much rarer than pictures, and no sample becomes late for it."""
    path = write_clip(tmp_path / "a.mp4", Clip(frames=120, key_every=100, options=REORDERED))
    pictures, lost = decoded(path, 2.0)
    seen = times(pictures)
    assert len(seen) < 100
    assert max(b - a for a, b in pairwise(seen)) <= 0.5
    assert not lost


def test_a_stream_joined_in_its_middle_waits_for_a_key_frame(tmp_path: Path) -> None:
    """What refers to pictures never seen is neither shown nor called damaged."""
    pictures, lost = decoded(write_clip(tmp_path / "a.mp4", Clip(frames=30)), 0.0, skip=4)
    assert times(pictures)[0] == 1.0
    assert len(pictures) == 20
    assert not lost


def test_a_stream_without_key_frames_is_taken_as_it_is(tmp_path: Path) -> None:
    """After 300 packets without one, the decoder is asked what it can make of them."""
    clip = Clip(frames=340, key_every=1000, codec="mpeg4")
    path = write_clip(tmp_path / "a.avi", clip)
    lost: Counter[str] = Counter()
    container, stream = open_input(Input(str(path), "clip"))
    decoder = Decoder(stream, Need(0.0), FileTimeline(0.0, 0.1, 0.0).at, lost)
    packets = list(read_packets(container, stream, "clip", lost))[1:]
    came = [len(list(decoder.pictures(p))) for p in packets]
    container.close()
    assert sum(came[:300]) == 0
    assert sum(came[300:]) == 39


def test_a_stream_that_is_refreshed_bit_by_bit_is_decoded_in_full(tmp_path: Path) -> None:
    """Its so-called key frames show nothing alone; it is found out, and pictures go on."""
    clip = Clip(frames=300, options={"x264-params": "intra-refresh=1:keyint=20"})
    pictures, _ = decoded(write_clip(tmp_path / "a.ts", clip), 5.0)
    late = [at for at in times(pictures) if at > 20.0]
    assert max(b - a for a, b in pairwise(late)) <= 5.0
    assert len(late) > 80


def test_key_frames_that_give_nothing_alone_end_the_saving(tmp_path: Path) -> None:
    """Three damaged ones in a row, and everything is decoded again."""
    path = write_clip(tmp_path / "a.mp4", Clip(frames=150))
    lost: Counter[str] = Counter()
    container, stream = open_input(Input(str(path), "clip"))
    decoder = Decoder(stream, Need(1.0), FileTimeline(0.0, 0.1, 0.0).at, lost)
    came: list[float] = []
    for nth, packet in enumerate(read_packets(container, stream, "clip", lost)):
        if packet.is_keyframe and 30 <= nth < 60:
            broken: Packet[VideoStream] = cast("Packet[VideoStream]", Packet(b"\0" * 64))
            broken.pts, broken.dts = packet.pts, packet.dts
            broken.time_base, broken.is_keyframe = packet.time_base, True
            came.extend(p.captured_at for p in decoder.pictures(broken))
        else:
            came.extend(p.captured_at for p in decoder.pictures(packet))
    container.close()
    assert lost["decode error"] >= 3
    assert not [at for at in came if 3.0 <= at < 6.0]
    assert len([at for at in came if at >= 7.0]) == 80
