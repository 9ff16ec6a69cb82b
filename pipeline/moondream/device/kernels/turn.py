"""Turns queries and keys by their positions where they lie, and keeps keys and values, in one pass.

One program serves one token: what it reads and writes of a head's turned dimensions stays in the
same thread, so it can be done in place. Where a key goes is data. Imports Triton. Letters: T
tokens, H heads of queries, K of keys, D head width, S positions of a page, L of a block.
"""

import triton
import triton.language as tl
from torch import Tensor

from pipeline.moondream.device.cache import BLOCK_LEN, KvCache

WARPS = 4


@triton.jit
def _turn(
    heads_ptr, cos_ptr, sin_ptr, position_ptr, place_ptr,
    page_k_ptr, page_v_ptr, block_k_ptr, block_v_ptr,
    QUERIES: tl.constexpr, KEYS: tl.constexpr, VALUES: tl.constexpr,
    QUERIES_POW2: tl.constexpr, KEYS_POW2: tl.constexpr,
    WIDTH: tl.constexpr, WIDTH_POW2: tl.constexpr, HALF: tl.constexpr, HALF_POW2: tl.constexpr,
    PREFIX: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    heads = heads_ptr + token * ((QUERIES + KEYS + VALUES) * WIDTH)
    kept = heads_ptr.dtype.element_ty
    i = tl.arange(0, HALF_POW2)
    position = tl.load(position_ptr + token)
    cos = tl.load(cos_ptr + position * HALF + i, mask=i < HALF, other=1.0)[None, :]
    sin = tl.load(sin_ptr + position * HALF + i, mask=i < HALF, other=0.0)[None, :]
    if QUERIES > 0:
        h = tl.arange(0, QUERIES_POW2)
        at = heads + h[:, None] * WIDTH + i[None, :]
        inside = (h < QUERIES)[:, None] & (i < HALF)[None, :]
        first = tl.load(at, mask=inside, other=0.0).to(tl.float32)
        second = tl.load(at + HALF, mask=inside, other=0.0).to(tl.float32)
        tl.store(at, (first * cos - second * sin).to(kept), mask=inside)
        tl.store(at + HALF, (first * sin + second * cos).to(kept), mask=inside)
    if KEYS > 0:
        h = tl.arange(0, KEYS_POW2)
        d = tl.arange(0, WIDTH_POW2)
        of_keys = heads + QUERIES * WIDTH
        at = of_keys + h[:, None] * WIDTH + i[None, :]
        inside = (h < KEYS)[:, None] & (i < HALF)[None, :]
        first = tl.load(at, mask=inside, other=0.0).to(tl.float32)
        second = tl.load(at + HALF, mask=inside, other=0.0).to(tl.float32)
        turned_first = (first * cos - second * sin).to(kept)
        turned_second = (first * sin + second * cos).to(kept)
        tl.store(at, turned_first, mask=inside)
        tl.store(at + HALF, turned_second, mask=inside)
        # What is not turned goes to its place as it is, and so do values.
        whole = (h < KEYS)[:, None] & (d < WIDTH)[None, :]
        rest = whole & (d >= 2 * HALF)[None, :]
        k = tl.load(of_keys + h[:, None] * WIDTH + d[None, :], mask=rest, other=0.0)
        v = tl.load(of_keys + (KEYS + h)[:, None] * WIDTH + d[None, :], mask=whole, other=0.0)
        # Places in pages are counted from 0 on, those in blocks from -1 down.
        place = tl.load(place_ptr + token)
        if place >= 0:
            to = place + h[:, None] * (PREFIX * WIDTH)
            tl.store(page_k_ptr + to + i[None, :], turned_first, mask=inside)
            tl.store(page_k_ptr + to + i[None, :] + HALF, turned_second, mask=inside)
            tl.store(page_k_ptr + to + d[None, :], k, mask=rest)
            tl.store(page_v_ptr + to + d[None, :], v, mask=whole)
        else:
            to = -1 - place + h[:, None] * (BLOCK * WIDTH)
            tl.store(block_k_ptr + to + i[None, :], turned_first, mask=inside)
            tl.store(block_k_ptr + to + i[None, :] + HALF, turned_second, mask=inside)
            tl.store(block_k_ptr + to + d[None, :], k, mask=rest)
            tl.store(block_v_ptr + to + d[None, :], v, mask=whole)


class FusedTurn:
    """Turns and keeps what one pass computes."""

    def __init__(
        self,
        cache: KvCache,
        turns: tuple[Tensor, Tensor],
        position_T: Tensor,
        place_T: Tensor,
    ) -> None:
        """`place_T` says where each token's first key head goes, as `place_of` counts it."""
        self._cache, self._turns = cache, turns
        self._position_T, self._place_T = position_T.contiguous(), place_T.contiguous()

    def queries(self, heads_THD: Tensor, position_T: Tensor) -> None:
        """Turn queries of some tokens and keep nothing."""
        self._run(0, heads_THD, heads_THD.shape[1], 0, position_T.contiguous())

    def __call__(self, layer: int, heads_TED: Tensor, n_queries: int) -> None:
        """Turn queries and keys of all tokens, and keep keys and values."""
        n_keys = (heads_TED.shape[1] - n_queries) // 2
        self._run(layer, heads_TED, n_queries, n_keys, self._position_T)

    def _run(
        self, layer: int, heads_TED: Tensor, n_queries: int, n_keys: int, position_T: Tensor
    ) -> None:
        assert heads_TED.is_contiguous()
        cache = self._cache
        cos, sin = self._turns
        width, half = heads_TED.shape[-1], cos.shape[-1]
        power = triton.next_power_of_2
        _turn[(len(heads_TED),)](
            heads_TED, cos, sin, position_T, self._place_T,
            cache.page_k[layer], cache.page_v[layer], cache.block_k[layer], cache.block_v[layer],
            QUERIES=n_queries, KEYS=n_keys, VALUES=n_keys,
            QUERIES_POW2=power(max(n_queries, 1)), KEYS_POW2=power(max(n_keys, 1)),
            WIDTH=width, WIDTH_POW2=power(width), HALF=half, HALF_POW2=power(half),
            PREFIX=cache.prefix_len, BLOCK=BLOCK_LEN, num_warps=WARPS,
        )  # fmt: skip
