"""The desk between the store, which knows which clips are wanted, and the samplers."""

from pathlib import Path

from connectors.queues.memory.clips import MemoryClips
from connectors.stores import StoreConfig
from pipeline.core.clips import ClipWish
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
