"""Attention of one step over the cache: one token of every row, rows of any skill and length.

Rows of one picture are laid side by side over its page, so the page is read once for all of
them; each block is read for its one owner. Nothing is copied and nothing waits for the host.
Letters: B rows, P pages, Q lanes of a page, N blocks, M blocks of a row, K key heads, G query
heads of a key head, D head width, L positions of a block.
"""

from torch import Tensor

from pipeline.moondream.device.attention import (
    HIDDEN_SCORE,
    Partial,
    merge,
    merge_over,
    partial_attention,
)
from pipeline.moondream.device.cache import BLOCK_LEN, KvCache
from pipeline.moondream.device.rows import RowBuffers, Shape
from pipeline.moondream.network.layers import long_range


class DecodeAttend:
    """Attends for one step whose tokens stand `offset` positions after what was uploaded."""

    def __init__(self, cache: KvCache, buffers: RowBuffers, shape: Shape, offset: int) -> None:
        self._cache, self._shape = cache, shape
        device = buffers.hidden_BC.device
        length_B = buffers.ints("length", shape.rows) + offset
        self._table_BM = buffers.table_BM(shape)
        # A row that ran past its blocks waits for the host to stop it; the spare block takes it.
        number_B = (length_B // BLOCK_LEN).clamp(max=shape.row_blocks - 1)
        self._block_B = self._table_BM.gather(1, number_B[:, None]).squeeze(1)
        self._slot_B = length_B % BLOCK_LEN
        self._owner_N = buffers.ints("owner", shape.blocks)
        base_N = buffers.ints("base", shape.blocks)
        last_N = length_B[self._owner_N]
        position_NL = base_N[:, None] + long_range(BLOCK_LEN, device)
        self._visible_N11L = (position_NL <= last_N[:, None])[:, None, None]
        cells = shape.pages * shape.lanes
        self._cell_B = buffers.ints("cell", shape.rows)
        self._safe_cell_B = self._cell_B.clamp(max=max(cells - 1, 0))
        self._no_page_B = (self._cell_B >= cells)[:, None, None, None]

    def __call__(self, layer: int, q_BKGD: Tensor, k_BKD: Tensor, v_BKD: Tensor) -> Tensor:
        """Keep the new keys and values and return the mixed values (B, K * G * D)."""
        cache, shape = self._cache, self._shape
        block_k, block_v = cache.block_k[layer], cache.block_v[layer]
        block_k[self._block_B, :, self._slot_B] = k_BKD
        block_v[self._block_B, :, self._slot_B] = v_BKD
        own = partial_attention(
            q_BKGD[self._owner_N],
            block_k[: shape.blocks],
            block_v[: shape.blocks],
            self._visible_N11L,
        )
        own_BM = Partial(*(part[self._table_BM] for part in own))
        segments = [merge_over(own_BM, dim=1)]
        if shape.pages:
            segments.append(self._over_pages(layer, q_BKGD))
        return merge(segments).to(q_BKGD.dtype).flatten(1)

    def _over_pages(self, layer: int, q_BKGD: Tensor) -> Partial:
        pages, lanes = self._shape.pages, self._shape.lanes
        heads = q_BKGD.shape[1:]
        cells = q_BKGD.new_zeros(pages * lanes + 1, *heads)
        cells[self._cell_B] = q_BKGD
        partial = partial_attention(
            lanes_as_queries(cells[:-1], pages, lanes),
            self._cache.page_k[layer, :pages],
            self._cache.page_v[layer, :pages],
        )
        out, peak, mass = (
            queries_as_cells(part, pages, lanes)[self._safe_cell_B] for part in partial
        )
        return Partial(out, peak.masked_fill(self._no_page_B, HIDDEN_SCORE), mass)


def lanes_as_queries(cells: Tensor, pages: int, lanes: int) -> Tensor:
    """Turn (P * Q, K, G, D) into (P, K, Q * G, D): all lanes of a page ask its keys at once."""
    _, n_heads, groups, width = cells.shape
    grid = cells.view(pages, lanes, n_heads, groups, width).transpose(1, 2)
    return grid.reshape(pages, n_heads, lanes * groups, width)


def queries_as_cells(part: Tensor, pages: int, lanes: int) -> Tensor:
    """Turn (P, K, Q * G, any) back into (P * Q, K, G, any)."""
    n_heads, width = part.shape[1], part.shape[-1]
    grid = part.view(pages, n_heads, lanes, -1, width).transpose(1, 2)
    return grid.reshape(pages * lanes, n_heads, -1, width)
