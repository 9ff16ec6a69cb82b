"""Clips on their way into a bucket: an outage, a kill or a full disk loses none in silence."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.queues.memory.clips import MemoryClips
from connectors.sources.ffmpeg.clip_files import recover
from connectors.sources.ffmpeg.ring import PacketRing
from connectors.stores import StoreConfig
from connectors.stores.buckets import BucketMediaStore
from connectors.stores.clip_files import ClipFileStore, prune_clips
from connectors.stores.sql import SqlStore
from pipeline.core.clips import Clip, ClipAnswer
from pipeline.core.store import Commit
from pipeline.runtime.stages.clip_desk import ClipDesk
from pipeline.sampling.clip_sender import ClipSender
from pipeline.sampling.clips import ClipCutter
from pipeline.testing import ManualClock
from tests.connectors.sources.test_clips import BEGAN, NEED, fill, stream
from tests.connectors.stores.test_buckets import Cloud, config, empty_bucket
from tests.sampling.test_clips import WISH, OutOfReach, camera, cutter

DAY_S = 86400.0
OBJECT = f"eye/{WISH.reference}"


@pytest.fixture(name="cloud")
def _cloud() -> Iterator[Cloud]:
    """An empty bucket."""
    yield from empty_bucket()


@pytest.fixture(name="clock")
def _clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """A clock that stands; a bucket that was out of reach is asked again at once."""
    monkeypatch.setattr("connectors.stores.buckets._AGAIN_AFTER_S", 0.0)
    return ManualClock(BEGAN)


@pytest.fixture(name="ring")
def _ring(tmp_path: Path) -> PacketRing:
    """Ten seconds of a camera's stream."""
    ring = PacketRing(NEED)
    fill(ring, stream(tmp_path / "stream.ts"))
    return ring


@pytest.fixture(name="store")
def _store(tmp_path: Path, clock: ManualClock) -> Iterator[SqlStore]:
    """A store in which the clip is wanted."""
    made = StoreConfig.model_validate({"url": f"sqlite:///{tmp_path}/m.db"}).build(clock)
    made.commit(Commit(clips=[WISH]))
    yield made
    made.close()


class Sampler:
    """What a process that samples does about clips, step by step."""

    def __init__(
        self,
        folder: Path,
        cloud: Cloud,
        clock: ManualClock,
        exchange: MemoryClips,
        ring: PacketRing,
        *,
        keep_s: float | None = 14 * DAY_S,
        at_most: int | None = None,
    ) -> None:
        self.files = ClipFileStore(BucketMediaStore(config(cloud), folder / "here"))
        self.sender = ClipSender(self.files, clock, keep_s, at_most)
        self.cutter = ClipCutter(self.files, clock, recover, self.sender)
        self.cutter.use([camera(exchange, ring)])
        clock.advance(200.0)  # the ring's ten seconds are over

    def step(self) -> None:
        """Cut, and send."""
        self.cutter.step()
        self.sender.step()


def held(folder: Path) -> list[str]:
    """What lies on this machine."""
    return [path.name for path in (folder / "here").rglob("*") if path.is_file()]


def desk_of(
    store: SqlStore, exchange: MemoryClips, files: ClipFileStore, clock: ManualClock
) -> ClipDesk:
    """What asks for clips and writes down what became of them."""
    return ClipDesk(store.clips, exchange, clock, files.checked, files.is_kept)


def known(store: SqlStore) -> Clip:
    """The clip as the store knows it."""
    clip = store.clips.clip(WISH.reference)
    assert clip is not None
    return clip


def test_a_clip_waits_for_its_bucket_and_goes_up_when_it_answers(
    tmp_path: Path, cloud: Cloud, clock: ManualClock, ring: PacketRing, store: SqlStore
) -> None:
    """Nothing is lost: it says that it waits, `status` why, and later that it is there."""
    exchange = MemoryClips()
    sampler = Sampler(tmp_path, cloud, clock, exchange, ring)
    desk = desk_of(store, exchange, sampler.files, clock)
    cloud.stop()
    desk.step()
    sampler.step()
    sampler.step()
    assert sampler.cutter.is_idle
    desk.step()
    assert known(store).state == "held"
    assert "waits on its sampler's machine" in known(store).reason
    why = sampler.sender.trouble or ""
    assert "1 clip file waits on this machine for the bucket" in why
    assert "cannot be reached" in why
    assert held(tmp_path) == ["a.mp4.held"]
    cloud.start()
    sampler.step()
    assert cloud.objects() == []  # it is not asked all the time
    clock.advance(5.0)
    sampler.step()
    assert cloud.objects() == [OBJECT]
    assert sampler.sender.trouble is None
    assert held(tmp_path) == []
    desk.step()
    clip = known(store)
    assert (clip.state, clip.reason) == ("ready", "")
    assert clip.file is not None
    assert sampler.files.is_kept(clip)


def test_what_fails_again_is_tried_less_and_less_often(
    tmp_path: Path, cloud: Cloud, clock: ManualClock, ring: PacketRing
) -> None:
    """After 5 s, 10 s, 20 s, but never less often than every five minutes."""
    exchange = MemoryClips()
    exchange.ask([WISH])
    sampler = Sampler(tmp_path, cloud, clock, exchange, ring)
    cloud.stop()
    sampler.step()
    tried = []
    send = sampler.files.send

    def noted(reference: str) -> None:
        tried.append(clock.now())
        send(reference)

    sampler.files.send = noted  # type: ignore[method-assign]
    began = clock.now()
    while clock.now() < began + 1500:
        sampler.sender.step()
        clock.advance(1.0)
    waits = [round(b - a) for a, b in zip([began, *tried], tried, strict=False)]
    assert waits[:6] == [5, 10, 20, 40, 80, 160]
    assert set(waits[6:]) == {300}
    cloud.start()
    sampler.sender.step(at_once=True)
    assert cloud.objects() == [OBJECT]


def test_what_an_ended_process_held_is_sent_by_the_next_one(
    tmp_path: Path, cloud: Cloud, clock: ManualClock, ring: PacketRing, store: SqlStore
) -> None:
    """It knows of no wish any more: those who wait for the clip find out that it is there."""
    exchange = MemoryClips()
    before = Sampler(tmp_path, cloud, clock, exchange, ring)
    desk = desk_of(store, exchange, before.files, clock)
    cloud.stop()
    desk.step()
    before.step()
    desk.step()
    assert known(store).state == "held"
    cloud.start()
    after = Sampler(tmp_path, cloud, clock, exchange, PacketRing(NEED))
    after.step()
    assert cloud.objects() == [OBJECT]
    assert held(tmp_path) == []
    desk.step()
    clock.advance(61.0)
    desk.step()
    assert (known(store).state, known(store).reason) == ("ready", "")


@pytest.mark.parametrize("moment", ["before it was sent", "after it was sent"])
def test_a_kill_between_a_file_and_its_answer_leaves_one_object(
    tmp_path: Path, cloud: Cloud, clock: ManualClock, ring: PacketRing, store: SqlStore, moment: str
) -> None:
    """The next process finds it, wherever it is by then, and says what the first could not."""
    away = OutOfReach()
    away.ask([WISH])
    before = Sampler(tmp_path, cloud, clock, away, ring)
    before.cutter.step()
    if moment == "after it was sent":
        before.sender.step()
        assert cloud.objects() == [OBJECT]
        assert held(tmp_path) == []
    else:
        assert held(tmp_path) == ["a.mp4.held"]
    exchange = MemoryClips()
    after = Sampler(tmp_path, cloud, clock, exchange, PacketRing(NEED))
    desk = desk_of(store, exchange, after.files, clock)
    desk.step()
    after.step()
    desk.step()
    clip = known(store)
    assert (clip.state, clip.reason) == ("ready", "")
    assert clip.preroll_s is not None
    assert clip.preroll_s >= 2.0
    assert after.files.is_kept(clip)
    assert cloud.objects() == [OBJECT]
    assert held(tmp_path) == []


def test_an_object_that_was_never_recorded_goes_with_its_clip(
    tmp_path: Path, cloud: Cloud, clock: ManualClock, ring: PacketRing, store: SqlStore
) -> None:
    """Nobody came back to say what it is: it goes when the clip would, and nothing else does."""
    away = OutOfReach()
    away.ask([WISH])
    Sampler(tmp_path, cloud, clock, away, ring).step()
    cloud.s3.put_object(Bucket="shop", Key=f"{OBJECT[:-4]}.2.mp4", Body=b"somebody else's")
    assert store.clips.settle_clip(
        ClipAnswer(WISH.reference, "door", "failed", "no sampler has answered", until=WISH.until)
    )
    media = BucketMediaStore(config(cloud), tmp_path / "here", store)
    assert prune_clips(store.clips, media, BEGAN - 1, None).pictures == 0
    clock.advance(15 * DAY_S)
    done = prune_clips(store.clips, media, clock.now() - 14 * DAY_S, None)
    assert (done.pictures, done.left_alone, done.failed) == (1, 1, 0)
    assert cloud.objects() == [f"{OBJECT[:-4]}.2.mp4"]


@pytest.mark.parametrize("limit", ["time", "room"])
def test_what_waits_has_its_bounds(
    tmp_path: Path, cloud: Cloud, clock: ManualClock, ring: PacketRing, store: SqlStore, limit: str
) -> None:
    """Beyond those of `store.clips` it is given up, and said to be."""
    exchange = MemoryClips()
    at_most = 10 if limit == "room" else None
    sampler = Sampler(tmp_path, cloud, clock, exchange, ring)
    desk = desk_of(store, exchange, sampler.files, clock)
    cloud.stop()
    desk.step()
    sampler.step()
    desk.step()
    assert known(store).state == "held"
    sampler.sender.at_most = at_most
    if limit == "time":
        sampler.sender.keep_s = -10 * 365 * DAY_S  # files are dated by the machine's own clock
    sampler.step()
    assert held(tmp_path) == []
    desk.step()
    clip = known(store)
    assert clip.state == "failed"
    assert "its bucket could not be reached" in clip.reason
    assert clip.file is None
    assert store.clips.clip_bytes() == 0


def test_a_further_file_is_sent_too(
    tmp_path: Path, cloud: Cloud, clock: ManualClock, ring: PacketRing, store: SqlStore
) -> None:
    """A late event's file has the name of the first one and a number, in the bucket as well."""
    exchange = MemoryClips()
    sampler = Sampler(tmp_path, cloud, clock, exchange, ring)
    exchange.ask([replace(WISH, until=BEGAN + 4)])
    sampler.step()
    exchange.ask([WISH])
    sampler.step()
    desk_of(store, exchange, sampler.files, clock).step()
    clip = known(store)
    assert clip.state == "ready"
    assert sampler.files.is_kept(clip)
    assert sorted(cloud.objects()) == [f"{OBJECT[:-4]}.2.mp4", OBJECT]
    clock.advance(15 * DAY_S)
    media = BucketMediaStore(config(cloud), tmp_path / "here", store)
    assert prune_clips(store.clips, media, clock.now() - 14 * DAY_S, None).pictures == 2
    assert cloud.objects() == []


def test_a_file_of_a_folder_that_was_never_recorded_goes_too(
    tmp_path: Path, clock: ManualClock, ring: PacketRing, store: SqlStore
) -> None:
    """If it is a clip of moonwatch's own; what somebody put there stays."""
    away = OutOfReach()
    away.ask([WISH])
    clock.advance(200)
    cutter(tmp_path, clock, camera(away, ring)).step()
    ours = tmp_path / "media" / WISH.reference
    theirs = ours.with_name("a.2.mp4")
    theirs.write_bytes(b"somebody's film")
    assert ours.exists()
    store.clips.settle_clip(
        ClipAnswer(WISH.reference, "door", "failed", "no sampler has answered", until=WISH.until)
    )
    media = StoreConfig(url="sqlite:///unused.db", media=tmp_path / "media").build_media(store)
    clock.advance(15 * DAY_S)
    done = prune_clips(store.clips, media, clock.now() - 14 * DAY_S, None)
    assert (done.pictures, done.left_alone) == (1, 1)
    assert (ours.exists(), theirs.exists()) == (False, True)
