"""Clips while they are cut: what one camera sends, or when a process ends, costs no other clip."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.queues.memory.clips import MemoryClips
from connectors.sources.ffmpeg.clip_files import begin_clip, recover
from connectors.sources.ffmpeg.ring import PacketRing, RingFeed
from connectors.stores import StoreConfig
from connectors.stores.clip_files import ClipFileStore
from pipeline.core.clips import (
    MOST_FILES,
    Clip,
    ClipAnswer,
    ClipMake,
    ClipMaking,
    ClipNeed,
    ClipWish,
)
from pipeline.core.errors import QueueError
from pipeline.core.frames import Pixels
from pipeline.sampling.clips import ClipCutter, ClippedCamera
from pipeline.testing import ManualClock, patience
from tests.connectors.sources.test_clips import BEGAN, NEED, fill, shown, stream

WISH = ClipWish("door/2026-05-28/a.mp4", "door", "run", BEGAN + 1, BEGAN + 6, BEGAN + 3)


class FromRing:
    """A live camera that has sent what is in its ring."""

    live = True

    def __init__(self, ring: PacketRing) -> None:
        self._ring = ring

    @property
    def kept_bytes(self) -> int:
        """What the ring holds."""
        return self._ring.kept_bytes

    def keep_for_clips(self, need: ClipNeed) -> None:
        """Keep as much as is needed."""
        self._ring.need = need

    def cut(self, unfinished: Path, since: float, make: ClipMake) -> ClipMaking:
        """A clip of the ring's packets."""
        return begin_clip(unfinished, RingFeed(self._ring, since), since, make)


class OutOfReach(MemoryClips):
    """Takes no answer."""

    def answer(self, answer: ClipAnswer) -> None:
        """Never arrives."""
        raise QueueError("it is not there")


def camera(
    exchange: MemoryClips, ring: PacketRing, name: str = "door", make: ClipMake | None = None
) -> ClippedCamera:
    """A camera whose clips are cut."""
    return ClippedCamera(name, FromRing(ring), exchange, NEED, make or ClipMake())


def cutter(folder: Path, clock: ManualClock, *cameras: ClippedCamera) -> ClipCutter:
    """What cuts them, into a media folder."""
    media = StoreConfig(url="sqlite:///unused.db", media=folder / "media").build_media()
    made = ClipCutter(ClipFileStore(media), clock, recover)
    made.use(cameras)
    return made


@pytest.fixture(name="ring")
def _ring(tmp_path: Path) -> PacketRing:
    """Ten seconds of a camera's stream."""
    ring = PacketRing(NEED)
    fill(ring, stream(tmp_path / "stream.ts"))
    return ring


def test_a_clip_whose_answer_was_lost_is_not_cut_again(tmp_path: Path, ring: PacketRing) -> None:
    """The process ended after the file was in place: the next one says what is in it."""
    clock = ManualClock(BEGAN + 200)
    away = OutOfReach()
    away.ask([WISH])
    before = cutter(tmp_path, clock, camera(away, ring))
    before.step()
    path = tmp_path / "media" / WISH.reference
    content = path.read_bytes()

    exchange = MemoryClips()
    exchange.ask([WISH])
    after = cutter(tmp_path, clock, camera(exchange, PacketRing(NEED)))
    after.step()
    [answer] = exchange.answers()
    assert (answer.state, answer.reason) == ("ready", "")
    assert answer.file is not None
    assert answer.file.size == len(content)
    assert path.read_bytes() == content


def test_a_clip_that_grows_after_a_restart_keeps_what_it_has(
    tmp_path: Path, ring: PacketRing
) -> None:
    """The packets went with the process; what was written of them stays."""
    clock, exchange = ManualClock(BEGAN + 200), MemoryClips()
    exchange.ask([WISH])
    cutter(tmp_path, clock, camera(exchange, ring)).step()
    content = (tmp_path / "media" / WISH.reference).read_bytes()
    exchange.ask([replace(WISH, until=BEGAN + 16)])
    later = PacketRing(NEED)
    fill(later, tmp_path / "stream.ts", BEGAN + 20)
    cutter(tmp_path, clock, camera(exchange, later)).step()
    [answer] = exchange.answers()
    assert answer.state == "partial"
    assert "are missing" in answer.reason
    assert (tmp_path / "media" / WISH.reference).read_bytes() == content


@pytest.mark.parametrize("masked", [False, True])
def test_a_camera_that_changes_its_pictures_has_a_clip_of_several_files(
    tmp_path: Path, masked: bool
) -> None:
    """Each can be played, none is partial; of one with masks there is one, as it is encoded."""
    ring = PacketRing(NEED)
    for nth, size in enumerate([(192, 96), (96, 64), (192, 96)]):
        name = tmp_path / f"{nth}.ts"
        fill(ring, stream(name, number=50, size_wh=size), BEGAN + 2 * nth)
    exchange = MemoryClips()
    exchange.ask([replace(WISH, until=BEGAN + 5.5)])
    make = ClipMake(hide=lambda pixels: pixels) if masked else ClipMake()
    made = cutter(tmp_path, ManualClock(BEGAN + 200), camera(exchange, ring, make=make))
    while not made.is_idle or not exchange.answers():
        made.step()
    [answer] = exchange.answers()
    assert (answer.state, answer.reason) == ("ready", "")
    assert answer.file is not None
    clip = Clip(WISH, answer.state, file=answer.file, more=answer.more)
    assert [reference for reference, _ in clip.files] == [
        "door/2026-05-28/a.mp4",
        *([] if masked else ["door/2026-05-28/a.2.mp4", "door/2026-05-28/a.3.mp4"]),
    ]
    for reference, file in clip.files:
        assert len(shown(tmp_path / "media" / reference)) == file.pictures
    assert all(one.suffix == ".mp4" for one in (tmp_path / "media").rglob("*.*"))


def test_a_camera_that_changes_its_pictures_all_the_time_has_an_end(tmp_path: Path) -> None:
    """There are no more than so many files of one clip, and what is missing is said."""
    ring = PacketRing(NEED)
    for nth in range(25):
        size = (192, 96) if nth % 2 else (96, 64)
        fill(
            ring, stream(tmp_path / "x.ts", number=5, key_every=5, size_wh=size), BEGAN + 0.2 * nth
        )
    exchange = MemoryClips()
    exchange.ask([replace(WISH, since=BEGAN, until=BEGAN + 5.0)])
    made = cutter(tmp_path, ManualClock(BEGAN + 200), camera(exchange, ring))
    while not made.is_idle or not exchange.answers():
        made.step()
    [answer] = exchange.answers()
    assert answer.state == "partial"
    assert "all the time" in answer.reason
    assert len(answer.more) == MOST_FILES - 1


def test_an_event_that_comes_after_its_file_was_closed_has_what_is_kept(
    tmp_path: Path, ring: PacketRing
) -> None:
    """The file that is there stays as it is, and another one goes on after it."""
    exchange = MemoryClips()
    exchange.ask([replace(WISH, until=BEGAN + 4)])
    made = cutter(tmp_path, ManualClock(BEGAN + 200), camera(exchange, ring))
    made.step()
    [early] = exchange.answers()
    content = (tmp_path / "media" / WISH.reference).read_bytes()
    exchange.settle([WISH.reference])
    exchange.ask([replace(WISH, until=BEGAN + 8)])
    made.step()
    [late] = exchange.answers()
    assert (late.state, late.reason) == ("ready", "")
    assert late.file == early.file
    assert (tmp_path / "media" / WISH.reference).read_bytes() == content
    [further] = late.more
    assert early.file is not None
    assert further.since <= early.file.until
    assert further.until >= BEGAN + 8
    path = tmp_path / "media" / "door/2026-05-28/a.2.mp4"
    assert len(shown(path)) == further.pictures


def test_an_event_that_comes_too_late_has_what_was_written(
    tmp_path: Path, ring: PacketRing
) -> None:
    """Nothing of the stream is left: it keeps the file it has, which says what is missing."""
    exchange = MemoryClips()
    exchange.ask([replace(WISH, until=BEGAN + 4)])
    made = cutter(tmp_path, ManualClock(BEGAN + 200), camera(exchange, ring))
    made.step()
    fill(ring, tmp_path / "stream.ts", BEGAN + 100)
    exchange.ask([replace(WISH, until=BEGAN + 8)])
    made.step()
    [late] = exchange.answers()
    assert late.state == "partial"
    assert "a further event was decided only after the clip had ended" in late.reason
    assert "s are missing" in late.reason
    assert late.file is not None
    assert not late.more
    assert len(list((tmp_path / "media").rglob("*.*"))) == 1


def test_an_event_of_which_nothing_is_kept_shares_the_file_of_another(
    tmp_path: Path, ring: PacketRing
) -> None:
    """It was decided long after a later one: what that one's clip shows of it is its own too."""
    exchange = MemoryClips()
    exchange.ask([WISH])
    made = cutter(tmp_path, ManualClock(BEGAN + 200), camera(exchange, ring))
    made.step()
    [shown_by] = exchange.answers()
    exchange.settle([WISH.reference])
    fill(ring, tmp_path / "stream.ts", BEGAN + 100)
    reference = "door/2026-05-28/b.mp4"
    late = replace(WISH, reference=reference, since=BEGAN - 2, until=BEGAN + 3, event_at=BEGAN + 2)
    other = replace(late, reference="door/2026-05-28/c.mp4", since=BEGAN - 9, until=BEGAN - 5)
    exchange.ask([late, other])
    made.step()
    answers = {answer.reference: answer for answer in exchange.answers()}
    assert answers[reference].file == shown_by.file
    assert answers[reference].state == "partial"
    assert "before the event are there" in answers[reference].reason
    content = (tmp_path / "media" / WISH.reference).read_bytes()
    assert (tmp_path / "media" / reference).read_bytes() == content
    assert answers[other.reference].state == "failed"
    assert len(list((tmp_path / "media").rglob("*.*"))) == 2


_WRITES = """
import sys, time
from pathlib import Path
from pipeline.sampling import clips
held = clips._hold(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


def test_a_file_that_another_process_writes_is_left_to_it(tmp_path: Path, ring: PacketRing) -> None:
    """The sampler before it may not have noticed yet; its end is waited for, but not for ever."""
    left = tmp_path / "media" / "door/2026-05-28/a.mp4.part"
    left.parent.mkdir(parents=True)
    words = [sys.executable, "-c", _WRITES, str(left)]
    exchange, clock = MemoryClips(), ManualClock(BEGAN + 7)
    exchange.ask([WISH])
    made = cutter(tmp_path, clock, camera(exchange, ring))
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        made.step()
        assert not exchange.answers()
        clock.advance(3600)
        other = replace(WISH, reference="door/2026-05-28/b.mp4")
        exchange.ask([other])
        made.step()
        first = {one.reference: one for one in exchange.answers()}
        assert first[WISH.reference].state == "failed"
        assert "another process" in first[WISH.reference].reason
        assert first[other.reference].state == "ready"
        process.kill()
        process.wait(patience(10))
    assert left.exists()
    exchange.settle([WISH.reference])
    exchange.ask([WISH])
    cutter(tmp_path, clock, camera(exchange, ring)).step()
    [answer] = [one for one in exchange.answers() if one.reference == WISH.reference]
    assert answer.state == "ready"


def test_what_cannot_be_made_into_a_clip_costs_no_other(tmp_path: Path, ring: PacketRing) -> None:
    """Whatever one camera's stream leads to, the next one has its clip."""

    def broken(pixels: Pixels) -> Pixels:
        raise ValueError(f"a picture of {pixels.shape}")

    exchange = MemoryClips()
    other = replace(WISH, reference="gate/2026-05-28/b.mp4", camera="gate")
    exchange.ask([WISH, other])
    cameras = (
        camera(exchange, ring, make=ClipMake(hide=broken)),
        camera(exchange, ring, name="gate"),
    )
    made = cutter(tmp_path, ManualClock(BEGAN + 200), *cameras)
    made.step()
    states = {answer.camera: answer.state for answer in exchange.answers()}
    assert states == {"door": "failed", "gate": "ready"}
    assert made.is_idle
    assert [one.suffix for one in (tmp_path / "media").rglob("*.*")] == [".mp4"]
