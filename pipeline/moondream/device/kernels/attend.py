"""The attention of one decoding step, as one kernel, and a small one where its work is split.

Each program serves one query head of one row: it turns query and key by their position, keeps the
new key and value, and reads the row's picture page and own blocks where they lie. With few rows a
row's keys are split among several programs, whose partial results the second kernel merges. Only
the number of rows is fixed by the launch: which page and blocks a row has, and how long it is, are
data. Where queries, keys and values come with the inner values of the wide layer beside them, the
second kernel applies the GELU to those. Imports Triton. Letters: B rows, H query heads, S splits,
D head width.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from pipeline.moondream.device.cache import BLOCK_LEN, SPARE_BLOCK, KvCache
from pipeline.moondream.device.rows import RowBuffers, Shape
from pipeline.moondream.dims import TextDims

# With fewer programs than this a row's keys are split: one to two for each processor of an H100,
# which more of them, and merging what they found, make slower.
ENOUGH_PROGRAMS = 256
MOST_SPLITS = 8
CHUNK = 1024  # inner values that one program puts through the GELU


class Tiling(NamedTuple):
    """How the kernel is cut: keys of a tile (divides a block), warps and loads in flight."""

    tile: int
    warps: int
    stages: int


# Of the tilings that `benchmarks.gpu.step_kernels` tries this is the fastest on an H100 for most
# batches: 95 % of the rate of a large copy with 32 rows.
TILING = Tiling(tile=32, warps=2, stages=3)


@triton.jit
def _more(q, k, v, seen, peak, mass, mixed):
    """Add a tile of keys to the running softmax, which every lane of the tile has its own of."""
    score = tl.where(seen, tl.sum(q[None, :] * k.to(tl.float32), axis=1), -1e30)
    higher = tl.maximum(peak, score)
    fade = tl.exp(peak - higher)
    weight = tl.where(seen, tl.exp(score - higher), 0.0)
    return higher, mass * fade + weight, mixed * fade[:, None] + weight[:, None] * v.to(tl.float32)


# One compilation for all sizes of a batch and both its kinds of rows, so what was checked is run.
@triton.jit(do_not_specialize=["offset", "last_position", "row_blocks", "splits"])
def _attend(
    qkv_ptr, cos_ptr, sin_ptr, page_k_ptr, page_v_ptr, block_k_ptr, block_v_ptr,
    start_ptr, length_ptr, page_ptr, table_ptr, out_ptr, mixed_ptr, peak_ptr, mass_ptr,
    qkv_stride, out_stride, offset, last_position, row_blocks, scale, splits,
    HEADS: tl.constexpr, KEY_HEADS: tl.constexpr, WIDTH: tl.constexpr, HALF: tl.constexpr,
    PREFIX: tl.constexpr, BLOCK: tl.constexpr, SPARE: tl.constexpr,
    TILE: tl.constexpr, IS_WHOLE: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    head = tl.program_id(1)
    split = tl.program_id(2)
    key_head = head // (HEADS // KEY_HEADS)
    d = tl.arange(0, WIDTH)
    length = tl.load(length_ptr + row) + offset
    position = tl.minimum(tl.load(start_ptr + row) + length, last_position)

    # The first 2 * HALF dimensions are turned, each with its partner HALF further or nearer.
    turned = d < 2 * HALF
    partner = tl.where(turned, tl.where(d < HALF, d + HALF, d - HALF), d)
    cos = tl.load(cos_ptr + position * HALF + d % HALF, mask=turned, other=1.0)
    sin = tl.load(sin_ptr + position * HALF + d % HALF, mask=turned, other=0.0)
    sin = tl.where(d < HALF, -sin, sin)
    qkv = qkv_ptr + row.to(tl.int64) * qkv_stride
    q_at = qkv + head * WIDTH
    k_at = qkv + (HEADS + key_head) * WIDTH
    kept = qkv_ptr.dtype.element_ty
    q = tl.load(q_at + d).to(tl.float32) * cos + tl.load(q_at + partner).to(tl.float32) * sin
    q = q.to(kept).to(tl.float32) * scale
    k = tl.load(k_at + d).to(tl.float32) * cos + tl.load(k_at + partner).to(tl.float32) * sin
    new_k = k.to(kept)
    new_v = tl.load(qkv + (HEADS + KEY_HEADS + key_head) * WIDTH + d)

    table = table_ptr + row * row_blocks
    if (split == 0) & (head % (HEADS // KEY_HEADS) == 0):
        # A row that ran past its blocks waits for the host to stop it; the last entry takes it.
        number = tl.minimum(length // BLOCK, row_blocks - 1)
        block = tl.load(table + number)
        place = ((block * KEY_HEADS + key_head) * BLOCK + length % BLOCK) * WIDTH
        tl.store(block_k_ptr + place + d, new_k)
        tl.store(block_v_ptr + place + d, new_v)

    page = tl.load(page_ptr + row)
    page_tiles = tl.where(page >= 0, (PREFIX + TILE - 1) // TILE, 0)
    own_tiles = tl.minimum((length + TILE - 1) // TILE, row_blocks * (BLOCK // TILE))
    tiles = page_tiles + own_tiles.to(tl.int32)
    each = (tiles + splits - 1) // splits
    first = split * each
    end = tl.minimum(first + each, tiles)

    n = tl.arange(0, TILE)
    inner = n[:, None] * WIDTH + d[None, :]
    peak = tl.full([TILE], -1e30, tl.float32)
    mass = tl.zeros([TILE], tl.float32)
    mixed = tl.zeros([TILE, WIDTH], tl.float32)
    page_at = (page * KEY_HEADS + key_head) * (PREFIX * WIDTH)
    for tile in tl.range(first, tl.minimum(end, page_tiles), num_stages=STAGES):
        at = page_at + tile * (TILE * WIDTH)
        seen = tile * TILE + n < PREFIX
        k_tile = tl.load(page_k_ptr + at + inner, mask=seen[:, None], other=0.0)
        v_tile = tl.load(page_v_ptr + at + inner, mask=seen[:, None], other=0.0)
        peak, mass, mixed = _more(q, k_tile, v_tile, seen, peak, mass, mixed)
    # The row's own keys but for the new one, which is still being written.
    for tile in tl.range(tl.maximum(first, page_tiles), end):
        own = (tile - page_tiles) * TILE
        block = tl.load(table + own // BLOCK)
        at = ((block * KEY_HEADS + key_head) * BLOCK + own % BLOCK) * WIDTH
        seen = own + n < tl.where(block == SPARE, 0, length)
        k_tile = tl.load(block_k_ptr + at + inner, mask=seen[:, None], other=0.0)
        v_tile = tl.load(block_v_ptr + at + inner, mask=seen[:, None], other=0.0)
        peak, mass, mixed = _more(q, k_tile, v_tile, seen, peak, mass, mixed)

    # The first split has the new key too.
    new_score = tl.sum(q * new_k.to(tl.float32), axis=0)
    new_score = tl.where(split == 0, new_score, -1e30)
    highest = tl.maximum(tl.max(peak, axis=0), new_score)
    share = tl.exp(peak - highest)
    new_share = tl.where(split == 0, tl.exp(new_score - highest), 0.0)
    whole = tl.sum(mass * share, axis=0) + new_share
    result = tl.sum(mixed * share[:, None], axis=0) + new_share * new_v.to(tl.float32)
    cell = row * HEADS + head
    if IS_WHOLE:
        out_at = row.to(tl.int64) * out_stride + head * WIDTH
        tl.store(out_ptr + out_at + d, (result / whole).to(kept))
    else:
        part = cell * splits + split
        tl.store(mixed_ptr + part * WIDTH + d, result)
        tl.store(peak_ptr + part, highest)
        tl.store(mass_ptr + part, whole)


@triton.jit
def _finish(
    mixed_ptr, peak_ptr, mass_ptr, inner_ptr, out_ptr, inner_stride, out_stride,
    HEADS: tl.constexpr, WIDTH: tl.constexpr, SPLITS: tl.constexpr,
    MERGES: tl.constexpr, INNER: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    part = tl.program_id(1)
    kept = out_ptr.dtype.element_ty
    out = out_ptr + row * out_stride
    if part < MERGES:
        s = tl.arange(0, SPLITS)
        d = tl.arange(0, WIDTH)
        cell = row * HEADS + part
        peak = tl.load(peak_ptr + cell * SPLITS + s)
        share = tl.exp(peak - tl.max(peak, axis=0))
        whole = tl.sum(tl.load(mass_ptr + cell * SPLITS + s) * share, axis=0)
        at = (cell * SPLITS + s)[:, None] * WIDTH + d[None, :]
        result = tl.sum(tl.load(mixed_ptr + at) * share[:, None], axis=0)
        tl.store(out + part * WIDTH + d, (result / whole).to(kept))
    else:
        n = (part - MERGES) * CHUNK + tl.arange(0, CHUNK)
        x = tl.load(inner_ptr + row * inner_stride + n, mask=n < INNER, other=0.0).to(tl.float32)
        # x (1 + tanh u) / 2 = x sigmoid(2 u), with u = sqrt(2 / pi) (x + 0.044715 x^3)
        gelu = x * tl.sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))
        tl.store(out + HEADS * WIDTH + n, gelu.to(kept), mask=n < INNER)


class FusedAttend:
    """Attends for one step whose tokens stand `offset` positions after what was uploaded."""

    def __init__(
        self,
        cache: KvCache,
        buffers: RowBuffers,
        shape: Shape,
        offset: int,
        dims: TextDims,
        turns: tuple[Tensor, Tensor],
        tiling: Tiling = TILING,
        splits: int | None = None,
    ) -> None:
        """`turns` are the tables of cosines and sines; `splits` is a power of two."""
        self._cache, self._offset, self._dims, self._turns = cache, offset, dims, turns
        self._tiling = tiling
        self._rows = shape.rows
        self._splits = splits or splits_for(shape.rows * dims.n_heads)
        self._of_rows = tuple(
            buffers.ints(name, shape.rows) for name in ("start", "length", "page")
        )
        self._table, self._row_blocks = buffers.table()
        parts = shape.rows * dims.n_heads * (self._splits if self._splits > 1 else 0)
        device = buffers.hidden_BC.device
        self._mixed = torch.empty(parts, dims.head_dim, device=device, dtype=torch.float32)
        self._peak, self._mass = torch.empty(2, parts, device=device, dtype=torch.float32).unbind()

    def __call__(self, layer: int, qkv_BE: Tensor) -> Tensor:
        """Keep the new keys and values and return the mixed values (B, H * D).

        What there is in `qkv_BE` after queries, keys and values goes through a GELU, and follows
        the mixed values.
        """
        dims, cache, tiling, splits = self._dims, self._cache, self._tiling, self._splits
        heads, width, rows = dims.n_heads, dims.head_dim, self._rows
        inner = qkv_BE.shape[1] - dims.qkv_dim
        out = torch.empty(rows, heads * width + inner, device=qkv_BE.device, dtype=qkv_BE.dtype)
        qkv_BE = qkv_BE.contiguous()
        _attend[(rows, heads, splits)](
            qkv_BE, *self._turns,
            cache.page_k[layer], cache.page_v[layer], cache.block_k[layer], cache.block_v[layer],
            *self._of_rows, self._table, out, self._mixed, self._peak, self._mass,
            qkv_BE.stride(0), out.stride(0),
            self._offset, dims.max_context - 1, self._row_blocks, width**-0.5, splits,
            HEADS=heads, KEY_HEADS=dims.n_kv_heads, WIDTH=width, HALF=dims.rotary_dim // 2,
            PREFIX=cache.prefix_len, BLOCK=BLOCK_LEN, SPARE=SPARE_BLOCK,
            TILE=tiling.tile, IS_WHOLE=splits == 1, STAGES=tiling.stages, num_warps=tiling.warps,
        )  # fmt: skip
        merges = heads if splits > 1 else 0
        if merges or inner:
            _finish[(rows, merges + triton.cdiv(inner, CHUNK))](
                self._mixed, self._peak, self._mass, qkv_BE[:, dims.qkv_dim :], out,
                qkv_BE.stride(0), out.stride(0),
                HEADS=heads, WIDTH=width, SPLITS=splits,
                MERGES=merges, INNER=inner, CHUNK=CHUNK, num_warps=4 if inner else 1,
            )  # fmt: skip
        return out


def splits_for(programs: int) -> int:
    """Return among how many programs to split each row's keys, a power of two."""
    splits = 1
    while splits < MOST_SPLITS and splits * programs < ENOUGH_PROGRAMS:
        splits *= 2
    return splits
