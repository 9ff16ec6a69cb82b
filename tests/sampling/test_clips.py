"""Clips while they are cut: what one camera sends, or when a process ends, costs no other clip."""

from dataclasses import replace
from pathlib import Path

import pytest

from connectors.queues.memory.clips import MemoryClips
from connectors.sources.ffmpeg.clip_files import begin_clip, recover
from connectors.sources.ffmpeg.ring import PacketRing, RingFeed
from connectors.stores import StoreConfig
from connectors.stores.clip_files import ClipFileStore
from pipeline.core.clips import ClipAnswer, ClipMake, ClipMaking, ClipNeed, ClipWish
from pipeline.core.errors import QueueError
from pipeline.core.frames import Pixels
from pipeline.sampling.clips import ClipCutter, ClippedCamera
from pipeline.testing import ManualClock
from tests.connectors.sources.test_clips import BEGAN, NEED, fill, stream

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
        return begin_clip(unfinished, RingFeed(self._ring, since), self._ring.codec, since, make)


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
