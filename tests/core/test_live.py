"""The board of live pictures within one process."""

import pytest

from pipeline.core.live import WATCH_S, MemoryLive
from tests.contracts.live import PREVIEW, LiveContract


class TestMemoryLive(LiveContract):
    """In memory."""

    @pytest.fixture
    def board(self) -> MemoryLive:
        """One whose clock stands still."""
        return MemoryLive(lambda: 0.0)


def test_a_camera_is_forgotten_once_nobody_watches() -> None:
    """And so are its pictures, with the next word about any camera."""
    now = [0.0]
    board = MemoryLive(lambda: now[0])
    board.watch({"door": 480})
    board.show(PREVIEW)
    now[0] = WATCH_S - 0.1
    assert board.watched("door") == 480
    now[0] = WATCH_S
    assert board.watched("door") is None
    board.watch({"till": 480})
    assert board.reader().take(["door"], 0.0) == []
