"""The shelf holds what may still be wanted, and no more."""

from connectors.queues.memory.queue import MemoryShelf
from pipeline.testing import frame


def test_a_kept_frame_is_fetched_without_a_copy() -> None:
    """The very pixels that were kept, and None for what never was."""
    shelf = MemoryShelf()
    kept = frame("door", 3)
    shelf.keep(kept)
    assert shelf.fetch("door", "test", 3) is kept.pixels
    assert shelf.fetch("door", "test", 4) is None


def test_a_camera_keeps_its_newest_frames_only() -> None:
    """One camera's frames never push out another's."""
    shelf = MemoryShelf(frames_a_camera=2)
    shelf.keep(frame("yard", 0))
    for seq in range(5):
        shelf.keep(frame("door", seq))
    held = [seq for seq in range(5) if shelf.fetch("door", "test", seq) is not None]
    assert held == [3, 4]
    assert shelf.fetch("yard", "test", 0) is not None


def test_all_frames_together_are_bounded() -> None:
    """Beyond the room for all cameras the oldest frame of any goes."""
    one = frame("a").pixels.nbytes
    shelf = MemoryShelf(room_bytes=2 * one)
    for camera in "abc":
        shelf.keep(frame(camera))
    assert [shelf.fetch(camera, "test", 0) is not None for camera in "abc"] == [False, True, True]


def test_keeping_twice_counts_once() -> None:
    """A frame of two engines is one picture."""
    one = frame("a")
    shelf = MemoryShelf(room_bytes=2 * one.pixels.nbytes)
    shelf.keep(one)
    shelf.keep(one)
    shelf.keep(frame("b"))
    assert shelf.fetch("a", "test", 0) is not None
