"""Passes through the language model: however they are laid out and filled up, numbers are the same.

Each prompt alone, behind its picture alone, is what every other way is compared with.
"""

import random
from collections.abc import Iterator

import pytest
import torch

from pipeline.moondream.device.cache import BLOCK_LEN, CachePlan, KvCache
from pipeline.moondream.device.graphs import Work
from pipeline.moondream.device.prefill import Prefills, PrefixBatch, PromptRow, prefill
from pipeline.moondream.network.network import Network
from pipeline.moondream.prompts import Prompt
from tests.moondream.tiny import TINY, tiny_network

CPU = torch.device("cpu")
PAGES, BLOCKS = 4, 40
CLOSE = 2e-5
Case = tuple[int | None, int]  # page and length of a prompt


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keep the tiny network off the other cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def network() -> Network:
    """The tiny network in float32."""
    return tiny_network()


def run_it_again(work: Work) -> Work:
    """Capture nothing: what would be replayed is run."""
    return work


def cache_of(network: Network) -> KvCache:
    """Return an empty cache."""
    return KvCache(network.dims, CachePlan(PAGES, BLOCKS, 0), CPU, torch.float32)


def tokens_of(pages: list[int]) -> torch.Tensor:
    """Return what stands for the encoded pictures of some pages."""
    made = torch.Generator().manual_seed(5)
    shape = PAGES, TINY.vision.n_patches, TINY.text.dim
    return torch.randn(shape, generator=made)[pages]


def rows_of(cases: list[Case], seed: int) -> list[PromptRow]:
    """Return prompts of random ids, some of which stand for places, with blocks of their own."""
    rng = random.Random(seed)
    rows, block = [], 1
    for page, length in cases:
        ids = tuple(rng.randrange(10, TINY.text.vocab_size) for _ in range(length))
        coords = ((1, 0.25),) if page is not None and length > 4 else ()
        sizes = ((2, (0.1, 0.2)),) if coords else ()
        count = -(-length // BLOCK_LEN)
        rows.append(PromptRow(Prompt(ids, coords, sizes), page, range(block, block + count)))
        block += count
    return rows


def alone(network: Network, new: list[int], rows: list[PromptRow]) -> tuple[torch.Tensor, KvCache]:
    """Return the states of all prompts, read one by one, and what is kept of them."""
    cache, states = cache_of(network), []
    for page in range(PAGES):
        prefixes = PrefixBatch(tokens_of([page]), [page])
        if page in new or any(row.page == page for row in rows):
            prefill(network, cache, prefixes, [PromptRow(Prompt((1,)), page, [])])
    for row in rows:
        states.append(prefill(network, cache, None, [row]))
    return torch.cat(states), cache


def assert_same(found: KvCache, wanted: KvCache, rows: list[PromptRow]) -> None:
    """All pages, and of the blocks what prompts have filled."""
    for name in ("page_k", "page_v"):
        torch.testing.assert_close(getattr(found, name), getattr(wanted, name), rtol=0, atol=CLOSE)
    for name in ("block_k", "block_v"):
        ours, theirs = getattr(found, name), getattr(wanted, name)
        for row in rows:
            for at in range(len(row.prompt.ids)):
                where = slice(None), row.blocks[at // BLOCK_LEN], slice(None), at % BLOCK_LEN
                torch.testing.assert_close(ours[where], theirs[where], rtol=0, atol=CLOSE)


@pytest.mark.parametrize(
    ("new", "cases"),
    [
        ([0, 1, 2], [(0, 7), (1, 7), (2, 7)]),
        ([0, 1, 2], [(0, 7), (1, 3), (2, 11)]),
        ([3, 0], [(3, 5), (0, 9)]),
        ([1, 2], [(1, 6), (1, 6), (2, 6), (2, 6)]),
        ([1, 2], [(1, 6), (1, 9), (2, 2), (2, 17)]),
        ([1, 2], [(1, 6), (2, 6), (1, 6), (2, 6)]),
        ([0, 1], [(0, 5), (3, 5), (1, 8), (3, 1)]),
        ([0], [(0, 5), (None, 30), (0, 1)]),
        ([], [(2, 5), (2, 5), (None, 80)]),
        ([], [(None, 70)]),
        ([], [(None, 4), (None, 4)]),
        ([2], [(2, 120)]),
    ],
)
def test_prompts_together_are_read_as_alone(
    network: Network, new: list[int], cases: list[Case]
) -> None:
    """As they come, and captured: the first run, the one that would be captured, and a replay."""
    rows = rows_of(cases, len(cases))
    with torch.inference_mode():
        wanted, kept = alone(network, new, rows)
        old = [page for page in range(PAGES) if page not in new]
        prefixes = PrefixBatch(tokens_of(new), new) if new else None

        def with_old_pages() -> KvCache:
            cache = cache_of(network)
            for name in ("page_k", "page_v"):
                getattr(cache, name)[:, old] = getattr(kept, name)[:, old]
            return cache

        cache = with_old_pages()
        found = prefill(network, cache, prefixes, rows)
        torch.testing.assert_close(found, wanted, rtol=0, atol=CLOSE)
        assert_same(cache, kept, rows)
        cache = with_old_pages()
        prefills = Prefills(network, cache, run_it_again, PAGES)
        for _ in range(3):
            cache.block_k.zero_()
            cache.block_v.zero_()
            if new:
                cache.page_k[:, new] = 0
                cache.page_v[:, new] = 0
            found = prefills(prefixes, rows)
            torch.testing.assert_close(found, wanted, rtol=0, atol=CLOSE)
            assert_same(cache, kept, rows)
    counts = prefills.counts()
    assert (counts.eager, counts.captures, counts.replays) == (2, 1, 1)


def test_what_fills_a_pass_up_is_kept_nowhere(network: Network) -> None:
    """Tokens that make prompts longer write to the spare block, and to no prompt's own."""
    rows = rows_of([(0, 3), (1, 5)], 3)
    with torch.inference_mode():
        cache = cache_of(network)
        prefills = Prefills(network, cache, run_it_again, PAGES)
        prefills(PrefixBatch(tokens_of([0, 1]), [0, 1]), rows)
    for row in rows:
        (block,) = row.blocks
        assert not cache.block_k[:, block, :, len(row.prompt.ids) :].any()
        assert cache.block_k[:, block, :, : len(row.prompt.ids)].any()


def test_longer_prompts_than_any_captured_pass_are_read_as_they_are(network: Network) -> None:
    """What cannot be captured is not counted as if it could."""
    rows = rows_of([(None, 140)], 3)
    with torch.inference_mode():
        wanted, _ = alone(network, [], rows)
        prefills = Prefills(network, cache_of(network), run_it_again, PAGES)
        for _ in range(3):
            found = prefills(None, rows)
            torch.testing.assert_close(found, wanted, rtol=0, atol=CLOSE)
    assert prefills.counts().eager == 0
