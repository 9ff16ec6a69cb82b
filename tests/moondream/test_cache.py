"""Memory for keys and values: planned within a budget, handed out lowest first."""

import pytest
import torch

from pipeline.moondream.device.cache import BLOCK_LEN, KvCache, blocks_for, plan_cache
from pipeline.moondream.device.slots import Slots
from pipeline.moondream.dims import DIMS_2B
from pipeline.moondream.errors import MoondreamError
from tests.moondream.tiny import TINY

BYTES_BF16 = 2
BYTES_PER_POSITION = 196_608  # of the 2B model in half precision


def test_plan_claims_what_a_full_batch_needs() -> None:
    """With room enough every row can have its own picture and all positions behind it."""
    plan = plan_cache(DIMS_2B, BYTES_BF16, 4, 100 * 10**9)
    assert plan.pages == 4
    assert plan.blocks == 4 * blocks_for(DIMS_2B.text.max_context - DIMS_2B.prefix_len) + 1
    positions = 4 * DIMS_2B.prefix_len + plan.blocks * BLOCK_LEN
    assert plan.bytes_total == positions * BYTES_PER_POSITION


@pytest.mark.parametrize("gigabytes", [0.6, 1, 3, 10])
def test_plan_keeps_its_budget(gigabytes: float) -> None:
    """With less, pages and blocks shrink together, and one request of full length still fits."""
    plan = plan_cache(DIMS_2B, BYTES_BF16, 64, int(gigabytes * 1e9))
    assert plan.bytes_total <= gigabytes * 1e9
    assert plan.pages >= 1
    assert plan.blocks - 1 >= blocks_for(DIMS_2B.text.max_context)


def test_plan_refuses_too_little() -> None:
    """Where not even one request fits, the error says how much is needed."""
    with pytest.raises(MoondreamError, match=r"need 0\.56 GB but only 0\.10 GB"):
        plan_cache(DIMS_2B, BYTES_BF16, 64, 10**8)


def test_slots_are_taken_lowest_first() -> None:
    """Places in use stay together at the low end."""
    slots = Slots(3, first=1)
    assert [slots.take() for _ in range(3)] == [1, 2, 3]
    slots.give(2)
    slots.give(3)
    assert (slots.top, slots.free, slots.used) == (2, 2, 1)
    assert slots.take() == 2


def test_what_is_moved_keeps_its_numbers() -> None:
    """A block goes to the lowest free place, a page where it is told; two pages change places."""
    plan = plan_cache(TINY, 4, 4, 10**7)
    cache = KvCache(TINY, plan, torch.device("cpu"), torch.float32)
    blocks = [cache.blocks.take() for _ in range(3)]
    for place in (0, 1, 2):
        cache.page_k[:, place] = cache.page_v[:, place] = 10 + place
    for place in blocks:
        cache.block_k[:, place] = cache.block_v[:, place] = 10 + place
    cache.blocks.give(1)
    assert cache.lower_block(3) == 1
    assert (cache.blocks.used, cache.blocks.top) == (2, 3)
    assert bool((cache.block_k[:, 1] == 13).all())
    assert bool((cache.block_v[:, 1] == 13).all())
    cache.move_page(2, 0)
    cache.swap_pages(0, 1)
    for tensor in (cache.page_k, cache.page_v):
        assert bool((tensor[:, 0] == 11).all())
        assert bool((tensor[:, 1] == 12).all())


def test_pages_are_exchanged_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the memory lacks on the way no page has another's values."""
    cache = KvCache(TINY, plan_cache(TINY, 4, 4, 10**7), torch.device("cpu"), torch.float32)
    for place in (0, 1):
        cache.page_k[:, place] = cache.page_v[:, place] = 10 + place
    clone, clones = torch.Tensor.clone, 0

    def second_refused(self: torch.Tensor) -> torch.Tensor:
        nonlocal clones
        clones += 1
        if clones == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return clone(self)

    monkeypatch.setattr(torch.Tensor, "clone", second_refused)
    with pytest.raises(torch.OutOfMemoryError):
        cache.swap_pages(0, 1)
    for tensor in (cache.page_k, cache.page_v):
        assert bool((tensor[:, 0] == 10).all())
        assert bool((tensor[:, 1] == 11).all())
