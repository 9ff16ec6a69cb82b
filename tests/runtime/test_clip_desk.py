"""The desk between the store, which knows which clips are wanted, and the samplers."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.queues.memory.clips import MemoryClips
from connectors.stores import StoreConfig
from pipeline.core.clips import FAILED, READY, ClipAnswer, ClipState, ClipWish
from pipeline.core.store import Commit
from pipeline.runtime.stages.clip_desk import ClipDesk
from pipeline.testing import ManualClock

NOON = 1_780_315_200.0
WISH = ClipWish("door/2026-06-01/a.mp4", "door", "run", NOON, NOON + 15, NOON + 5)


def test_a_wish_that_is_given_up_is_withdrawn(tmp_path: Path) -> None:
    """A sampler that starts a day later finds no heap of them, and says nothing about them."""
    clock, exchange = ManualClock(NOON + 20), MemoryClips()
    store = StoreConfig(url=f"sqlite:///{tmp_path}/events.db").build(clock)
    store.commit(Commit(clips=[WISH]))
    desk = ClipDesk(store.clips, exchange, clock)
    desk.step()
    assert exchange.wishes(["door"]) == [WISH]
    clock.advance(3600.0)
    desk.step()
    clip = store.clips.clip(WISH.reference)
    assert clip is not None
    assert clip.state == "failed"
    assert exchange.wishes(["door"]) == []
    desk.step()
    assert exchange.answers() == []
    store.close()


def test_why_there_are_no_clips_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk may be full all night: the log names the reason, and again when it comes back."""
    clock, exchange = ManualClock(NOON + 20), MemoryClips()
    store = StoreConfig(url=f"sqlite:///{tmp_path}/events.db").build(clock)
    desk = ClipDesk(store.clips, exchange, clock)

    def answered(number: int, state: ClipState, reason: str = "") -> None:
        wish = replace(WISH, reference=f"door/2026-06-01/{number}.mp4")
        store.commit(Commit(clips=[wish]))
        desk.step()
        exchange.answer(ClipAnswer(wish.reference, "door", state, reason, until=wish.until))
        desk.step()

    with caplog.at_level(logging.WARNING):
        for number in range(5):
            answered(number, FAILED, "no room")
        assert len(caplog.messages) == 1
        assert "no room" in caplog.messages[0]
        answered(5, FAILED, "no stream")
        answered(6, READY)
        answered(7, FAILED, "no stream")
    assert len(caplog.messages) == 3
    store.close()
