"""Clips go when they are old or take too much room, the oldest first, and nothing else goes."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.stores import StoreConfig
from connectors.stores.clip_files import ClipFileStore, prune_clips
from connectors.stores.files import FileMediaStore
from connectors.stores.sql import SqlStore
from pipeline.core.clips import ClipAnswer, ClipFile, ClipWish
from pipeline.core.store import Commit
from pipeline.testing import ManualClock

DAY_S = 86400.0


@pytest.fixture(name="clock")
def _clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(name="store")
def _store(tmp_path: Path, clock: ManualClock) -> Iterator[SqlStore]:
    store = StoreConfig(url=f"sqlite:///{tmp_path}/events.db").build(clock)
    yield store
    store.close()


@pytest.fixture(name="media")
def _media(tmp_path: Path, store: SqlStore) -> FileMediaStore:
    return FileMediaStore(tmp_path / "media", store)


def keep(store: SqlStore, media: FileMediaStore, name: str, at: float, size: int = 100) -> Path:
    """A clip of that many bytes."""
    reference = f"door/2026-11-27/{name}.mp4"
    content = name.encode() * size
    content = content[:size]
    path = ClipFileStore(media).place(reference)
    path.write_bytes(content)
    store.commit(
        Commit(clips=[ClipWish(reference, "door", "run", at, at + 15.0, at + 5.0)], fences={0: 1})
    )
    file = ClipFile(at, at + 15.0, size, hashlib.sha256(content).hexdigest(), "h264", 8, 8, 9)
    answer = ClipAnswer(reference, "door", "ready", "", file, str(media.folder), at + 15.0)
    assert store.clips.settle_clip(answer)
    return path


def test_the_oldest_go_where_all_take_too_much(
    store: SqlStore, media: FileMediaStore, clock: ManualClock
) -> None:
    """Whole files, until the rest has room."""
    paths = [keep(store, media, name, clock.now() + nth) for nth, name in enumerate("abcd")]
    done = prune_clips(store.clips, media, None, 250)
    assert done.pictures == 2
    assert [path.exists() for path in paths] == [False, False, True, True]
    assert len(store.clips.clips()) == 2
    assert prune_clips(store.clips, media, None, 250).pictures == 0


def test_the_old_go(store: SqlStore, media: FileMediaStore, clock: ManualClock) -> None:
    """And with them what was left of attempts to write them."""
    old = keep(store, media, "old", clock.now())
    left = old.with_name(old.name + ".part")
    left.write_bytes(b"unfinished")
    clock.advance(2 * DAY_S)
    young = keep(store, media, "young", clock.now())
    done = prune_clips(store.clips, media, clock.now() - DAY_S, None)
    assert (done.pictures, done.bytes) == (1, 100)
    assert (old.exists(), left.exists(), young.exists()) == (False, False, True)


def test_what_is_not_ours_stays(store: SqlStore, media: FileMediaStore, clock: ManualClock) -> None:
    """A file that somebody put in a clip's place, and one that was never recorded."""
    other = keep(store, media, "other", clock.now())
    other.write_bytes(b"somebody's film")
    stranger = other.with_name("stranger.mp4")
    stranger.write_bytes(b"another film")
    clock.advance(2 * DAY_S)
    done = prune_clips(store.clips, media, clock.now() - DAY_S, 1)
    assert (done.pictures, done.left_alone) == (0, 1)
    assert other.read_bytes() == b"somebody's film"
    assert stranger.exists()
    assert list(store.clips.clips()) == []


def test_a_file_that_is_elsewhere_is_said(
    store: SqlStore, media: FileMediaStore, clock: ManualClock
) -> None:
    """A sampler on another host wrote it to a folder of its own."""
    path = keep(store, media, "here", clock.now())
    [clip] = store.clips.clips()
    answer = ClipAnswer(clip.wish.reference, "door", "ready", "", clip.file, "/far/media", 1e9)
    files = ClipFileStore(media)
    assert files.checked(answer) == answer
    path.unlink()
    checked = files.checked(answer)
    assert (checked.state, checked.file) == ("failed", None)
    assert "/far/media" in checked.reason
    assert "store.media" in checked.reason
    failed = replace(answer, state="failed", file=None)
    assert files.checked(failed) == failed
