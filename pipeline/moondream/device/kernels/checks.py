"""Compares each kernel with the plain operations it stands for, on random numbers.

The plain side computes in float32 on the same numbers, so what differs is the kernel's rounding.
Imports Triton.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.moondream.device.cache import BLOCK_LEN, SPARE_BLOCK, CachePlan, KvCache
from pipeline.moondream.device.decode import DecodeAttend
from pipeline.moondream.device.kernels.add_norm import add_norm
from pipeline.moondream.device.kernels.attend import TILING, FusedAttend, Tiling
from pipeline.moondream.device.kernels.resize import resize_axis
from pipeline.moondream.device.kernels.turn import FusedTurn
from pipeline.moondream.device.pages import PicturePage
from pipeline.moondream.device.reads import RowKind
from pipeline.moondream.device.rows import Row, RowBuffers, Shape
from pipeline.moondream.dims import Dims
from pipeline.moondream.network.layers import Norm, plain_add_norm
from pipeline.moondream.network.text import rotary_table, split_heads, turn_in_place
from pipeline.moondream.pictures.resize import resize

# Roundings that results may be off by, as shares of the largest one.
ROUNDINGS = 4
# A float32 sum of hundreds of products in another order.
FLOAT32_ALLOWED = 2e-5
ROWS, PAGES, LANES, BLOCKS, ROW_BLOCKS = 6, 2, 2, 10, 4


class Difference(NamedTuple):
    """The largest difference, as a share of the largest result, and what is allowed."""

    largest: float
    allowed: float

    @property
    def is_right(self) -> bool:
        """Whether the difference is rounding (not-a-number is not)."""
        return self.largest <= self.allowed


Check = Callable[[Dims, torch.device, torch.dtype], Difference]


def check_add_norm(
    dims: Dims, device: torch.device, dtype: torch.dtype, parts: int = 3
) -> Difference:
    """Compare sum and norm."""
    width = dims.text.dim
    numbers = _random((3 * ROWS + 2, width), device, dtype)
    x, attended, wide = numbers[: 3 * ROWS].view(3, ROWS, width).unbind()
    norm = Norm(1 + numbers[-2] / 8, numbers[-1] / 8)
    last = wide if parts == 3 else None
    ours = add_norm(x, attended, last, norm)
    exact = Norm(norm.weight.float(), norm.bias.float())
    plain = plain_add_norm(
        x.float(), attended.float(), None if last is None else last.float(), exact
    )
    return _difference(ours, plain, dtype)


def check_attend(
    dims: Dims,
    device: torch.device,
    dtype: torch.dtype,
    splits: int = 1,
    tiling: Tiling = TILING,
    *,
    joined: bool = False,
) -> Difference:
    """Compare what is mixed, and what is kept, over two steps of rows of every kind.

    With `joined` there are the inner values of the wide layer too.
    """
    text = replace(dims.text, n_layers=1)
    small = replace(dims, text=text)
    plan = CachePlan(PAGES, BLOCKS, 0)
    cache, exact = (KvCache(small, plan, device, kind) for kind in (dtype, torch.float32))
    for name in ("page_k", "page_v", "block_k", "block_v"):
        ours = getattr(cache, name)
        ours.copy_(_random(tuple(ours.shape), device, dtype))
        getattr(exact, name).copy_(ours)
    hidden = torch.zeros(ROWS + 1, text.dim, device=device, dtype=dtype)
    buffers = RowBuffers(BLOCKS, ROW_BLOCKS, hidden, text.vocab_size)
    shape = Shape(ROWS, PAGES, LANES, BLOCKS, ROW_BLOCKS)
    rows = _rows(dims.prefix_len)
    buffers.upload(rows, shape)
    turns = rotary_table(text, device)
    place = buffers.ints("start", ROWS) + buffers.ints("length", ROWS)
    found: list[Tensor] = []
    wanted: list[Tensor] = []
    for step in range(2):
        width = text.qkv_dim + (text.ff_dim if joined else 0)
        numbers = _random((ROWS, width), device, dtype, seed=step)
        mixed = FusedAttend(cache, buffers, shape, step, text, turns, tiling, splits)(0, numbers)
        found += (mixed[: len(rows), : text.dim], mixed[: len(rows), text.dim :])
        exactly = numbers[: len(rows)].float()
        qkv, inner = exactly[:, : text.qkv_dim], exactly[:, text.qkv_dim :]
        qkv = F.pad(qkv, (0, 0, 0, ROWS - len(rows)))
        cos, sin = (table[place + step, None] for table in turns)
        plain = DecodeAttend(exact, buffers, shape, step)
        wanted.append(plain(0, *split_heads(text, qkv, cos, sin))[: len(rows)])
        wanted.append(F.gelu(inner, approximate="tanh"))
    for name in ("block_k", "block_v"):
        for kept, one in ((found, cache), (wanted, exact)):
            kept.append(getattr(one, name)[:, SPARE_BLOCK + 1 :])
    return _difference(found, wanted, dtype)


def check_turn(dims: Dims, device: torch.device, dtype: torch.dtype) -> Difference:
    """Compare what is turned, and what is kept, of two pictures and a prompt of each."""
    text = replace(dims.text, n_layers=1)
    small, prefix_len = replace(dims, text=text), dims.prefix_len
    cache = KvCache(small, CachePlan(PAGES, BLOCKS, 0), device, dtype)
    queries, keys, width = text.n_heads, text.n_kv_heads, text.head_dim
    slots = (0, 1, BLOCK_LEN - 1)
    at = [(3 + number, slot) for number in range(PAGES) for slot in slots]
    places = [
        (page * keys * prefix_len + n) * width for page in range(PAGES) for n in range(prefix_len)
    ]
    places += [-1 - (block * keys * BLOCK_LEN + slot) * width for block, slot in at]
    position_T = torch.arange(len(places), device=device) % text.max_context
    heads = _random((len(places), queries + 2 * keys, width), device, dtype)
    exact, asked = heads.to(torch.float32, copy=True), heads[:, :queries].clone()
    turns = rotary_table(text, device)
    kernel = FusedTurn(cache, turns, position_T, torch.tensor(places, device=device))
    kernel(0, heads, queries)
    kernel.queries(asked, position_T)
    turn_in_place(exact[:, : queries + keys], *(table[position_T, None] for table in turns))
    found, wanted = [heads, asked], [exact, exact[:, :queries]]
    n_prefix = PAGES * prefix_len
    block_T, slot_T = torch.tensor(at, device=device).unbind(1)
    for kept, part in (("k", exact[:, queries : queries + keys]), ("v", exact[:, -keys:])):
        page, block = (getattr(cache, f"{kind}_{kept}")[0] for kind in ("page", "block"))
        found += [page.transpose(1, 2).flatten(0, 1), block]
        whole = torch.zeros_like(block, dtype=torch.float32)
        whole[block_T, :, slot_T] = part[n_prefix:]
        wanted += [part[:n_prefix], whole]
    return _difference(found, wanted, dtype)


def check_resize(dims: Dims, device: torch.device, dtype: torch.dtype) -> Difference:
    """Compare the bytes of a picture of noise and of hard edges, made smaller and larger."""
    del dims, dtype  # one kernel for all
    drawn = torch.Generator(device).manual_seed(0)
    picture = torch.randint(256, (50, 64, 3), generator=drawn, device=device, dtype=torch.uint8)
    picture[:20] = picture[:20] // 128 * 255  # sums leave the range of a byte
    sizes = [(28, 28), (70, 50), (64, 60), (5, 80)]
    found, wanted = resize(picture, sizes, resize_axis), resize(picture, sizes)
    off = max(float((a.int() - b.int()).abs().max()) for a, b in zip(found, wanted, strict=True))
    return Difference(off, 0.0)


CHECKS: Mapping[str, Mapping[str, Check]] = {
    "attend": {f"{splits} to a row": partial(check_attend, splits=splits) for splits in (1, 2, 8)},
    "add_norm": {"three parts": check_add_norm, "two": partial(check_add_norm, parts=2)},
    "joined": {
        f"{splits} to a row": partial(check_attend, splits=splits, joined=True) for splits in (1, 8)
    },
    "turn": {"two pictures": check_turn},
    "resize": {"noise and edges": check_resize},
}


def _rows(prefix_len: int) -> list[Row]:
    """Return rows that share a page, have one, have none, and are of all lengths; one is idle."""
    pages = [PicturePage(place, None) for place in range(PAGES)]

    def row(page: PicturePage | None, length: int, blocks: list[int]) -> Row:
        start = 0 if page is None else prefix_len
        return Row(0, RowKind.TEXT, 0, start, length, page, blocks)

    return [
        row(pages[1], 0, [1]),
        row(pages[0], 63, [2, 5]),  # ends one block with the first step, and begins another
        row(pages[1], 70, [4, 3]),
        row(None, 129, [6, 8, 7]),
        row(None, 0, [9]),
    ]


def _random(
    shape: tuple[int, ...], device: torch.device, dtype: torch.dtype, seed: int = 0
) -> Tensor:
    generator = torch.Generator(device).manual_seed(seed)
    return torch.randn(shape, generator=generator, device=device).to(dtype)


def _difference(
    ours: tuple[Tensor, ...] | list[Tensor],
    plain: tuple[Tensor, ...] | list[Tensor],
    dtype: torch.dtype,
) -> Difference:
    """Compare pairs, each by its own largest number; one value is read from the device."""
    shares = [
        (one.float() - other).abs().max() / other.abs().max()
        for one, other in zip(ours, plain, strict=True)
        if other.numel()
    ]
    largest = torch.stack(shares).max().item()
    allowed = ROUNDINGS * torch.finfo(dtype).eps
    return Difference(largest, FLOAT32_ALLOWED if dtype is torch.float32 else allowed)
