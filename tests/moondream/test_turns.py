"""Prefills and cycles take turns: neither newcomers nor running rows wait for long."""

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.moondream import CaptionRequest, DetectRequest, QueryRequest, Request
from pipeline.moondream.batch.engine import CROPS_BETWEEN_CYCLES, MoondreamBatcher
from pipeline.moondream.batch.scheduler import PREFILL_AS_CROPS, PREFIX_AS_CROPS
from pipeline.moondream.batch.strands import LANES
from tests.moondream.mixes import assert_clean, build

ENDLESS = QueryRequest("go on", max_tokens=140, temperature=50.0, top_p=1.0, seed=0)
ONE_BOX = DetectRequest("person", 1, raw=True)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keep the tiny network off the other cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Diary:
    """What an engine did, step by step: "cycle", or the cost of a prefill in crops."""

    def __init__(self, engine: MoondreamBatcher, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[str | int] = []
        self.n_running: list[int] = []
        runner, scheduler = engine._runner, engine._scheduler
        prefill, cycle = runner.prefill, runner.cycle

        def prefill_noted(strands, *rest):  # type: ignore[no-untyped-def]
            new = {
                s.picture.page: s.picture.crops
                for s in strands
                if s.picture and not s.picture.page.is_filled and s.picture.crops
            }
            crops = sum(len(cut.pixels) + PREFIX_AS_CROPS for cut in new.values())
            self.steps.append(PREFILL_AS_CROPS + crops)
            self.n_running.append(len(scheduler.running) - len(strands))
            return prefill(strands, *rest)

        def cycle_noted(strands, *rest):  # type: ignore[no-untyped-def]
            self.steps.append("cycle")
            self.n_running.append(len(strands))
            return cycle(strands, *rest)

        monkeypatch.setattr(runner, "prefill", prefill_noted)
        monkeypatch.setattr(runner, "cycle", cycle_noted)

    def longest_waits(self) -> list[int]:
        """Return, for each time that rows waited for a cycle, the crops prefilled meanwhile."""
        waits, waited = [], 0
        for step, running in zip(self.steps, self.n_running, strict=True):
            if isinstance(step, int) and running:
                waited += step
            elif isinstance(step, str):
                waits.append(waited)
                waited = 0
        return waits


def noise(height: int, width: int, count: int) -> list[NDArray[np.uint8]]:
    """Return different pictures."""
    drawn = np.random.default_rng(7)
    return [drawn.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def test_a_burst_of_large_pictures_stalls_no_running_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen pictures of many crops at once: a text goes on after every few of them."""
    engine = build(max_batch=24, per_prefill=16)
    (text,) = engine.submit(None, [ENDLESS])
    engine.step()
    diary = Diary(engine, monkeypatch)
    burst = [engine.submit(picture, [ONE_BOX])[0] for picture in noise(60, 80, 16)]
    engine.run(burst)
    prefills = [step for step in diary.steps if isinstance(step, int)]
    assert sum(prefills) > 3 * CROPS_BETWEEN_CYCLES
    assert max(diary.longest_waits()) <= CROPS_BETWEEN_CYCLES
    assert not text.is_done
    # The burst is through as soon as it can be: every cycle is followed by newcomers.
    assert diary.steps[: 2 * len(prefills)] == [x for p in prefills for x in (p, "cycle")]
    text.cancel()
    engine.run([text])


def test_where_nothing_runs_a_prefill_is_as_large_as_it_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody waits for it but its own pictures."""
    engine = build(max_batch=24, per_prefill=16)
    diary = Diary(engine, monkeypatch)
    engine.run([engine.submit(picture, [ONE_BOX])[0] for picture in noise(60, 80, 16)])
    assert isinstance(diary.steps[0], int)
    assert diary.steps[0] > 2 * CROPS_BETWEEN_CYCLES
    assert set(diary.steps[1:]) == {"cycle"}


def test_newcomers_are_never_kept_waiting_by_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows run and go on, whoever comes is prefilled after one cycle at most."""
    engine = build(max_batch=24)
    engine.submit(None, [ENDLESS] * 8)
    engine.step()
    for picture in noise(42, 42, 10):
        diary = Diary(engine, monkeypatch)
        (ticket,) = engine.submit(picture, [CaptionRequest("short", max_tokens=1)])
        engine.run([ticket])
        monkeypatch.undo()
        assert diary.steps.index(PREFILL_AS_CROPS + PREFIX_AS_CROPS + 1) <= 1


@pytest.mark.parametrize("seed", range(6))
def test_neither_starves(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of any size that keep coming: running rows wait for so many crops at most.

    And the other way round: with room for newcomers there is never a cycle after a cycle.
    """
    rng = random.Random(seed)
    budget = rng.choice([1, 12, 20, CROPS_BETWEEN_CYCLES])
    engine = build(rng.choice([2, 8, 24]), crops_between_cycles=budget)
    diary = Diary(engine, monkeypatch)
    pictures = [*noise(42, 42, 3), *noise(60, 80, 3), *noise(44, 200, 2)]
    tickets = []
    for _ in range(40):
        for _ in range(rng.choice([0, 0, 1, 1, 5])):
            caption = CaptionRequest("short", max_tokens=rng.randint(1, 9))
            request: Request = ONE_BOX if rng.random() < 0.5 else caption
            tickets += engine.submit(rng.choice(pictures), [request])
        waiting, before = engine.in_use().waiting, len(diary.steps)
        has_room = engine.in_use().rows < engine.max_batch
        engine.step()
        if waiting and has_room and before and diary.steps[before:] == ["cycle"]:
            assert diary.steps[before - 1] != "cycle"
    engine.run(tickets)
    largest = max(step for step in diary.steps if isinstance(step, int))
    alone = PREFILL_AS_CROPS + PREFIX_AS_CROPS + 13
    assert largest > budget or budget == CROPS_BETWEEN_CYCLES
    assert all(wait <= max(budget, alone) for wait in diary.longest_waits())
    assert_clean(engine)


def test_a_crowd_about_one_picture_blocks_no_other() -> None:
    """Many that ask about equal pictures wait for a lane; whoever has another picture does not."""
    engine = build(max_batch=24, per_prefill=3)
    crowded, other = noise(42, 42, 2)
    crowd = [engine.submit(crowded.copy(), [ENDLESS])[0] for _ in range(LANES + 6)]
    while engine.in_use().rows < LANES:
        engine.step()
    (ticket,) = engine.submit(other, [ONE_BOX])
    for _ in range(8):
        engine.step()
    assert ticket.is_done
    assert not any(one.is_done for one in crowd)
    for one in crowd:
        one.cancel()
    engine.run(crowd)
    assert_clean(engine)
