"""Keys and values: a page for each picture's prefix, small blocks for what follows it.

All requests of a picture read its page; each has its own blocks, taken as it grows. Memory is
allocated once, and the most that a request may need is reserved before it starts, so a running
request never lacks a block. What lies where may change between steps: it is moved so that what is
in use lies close together. Knows nothing of requests. Letters: K key heads, D head width.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.moondream.device.pages import Pages
from pipeline.moondream.device.slots import Slots
from pipeline.moondream.dims import Dims
from pipeline.moondream.errors import MoondreamError

BLOCK_LEN = 64  # positions of a block: a detection of a few objects fits one
# Where memory is short: blocks given to each page, about what a request asks for by default.
BLOCKS_PER_PAGE = 4
# Share of the device's free memory that keys and values may claim; the rest is for activations.
FREE_SHARE_CUDA = 0.6
FREE_SHARE_HOST = 0.3
# What a container may use and uses, in bytes; absent elsewhere.
CGROUP_LIMIT, CGROUP_USED = (
    Path("/sys/fs/cgroup", name) for name in ("memory.max", "memory.current")
)
# Idle rows write their key here; nothing ever reads it.
SPARE_BLOCK = 0


@dataclass(frozen=True, slots=True)
class CachePlan:
    """How many pages and blocks (the spare one included) to claim, and their bytes."""

    pages: int
    blocks: int
    bytes_total: int


def blocks_for(positions: int) -> int:
    """Return how many blocks are needed for a number of positions."""
    return math.ceil(positions / BLOCK_LEN)


def plan_cache(dims: Dims, itemsize: int, max_batch: int, budget_bytes: int) -> CachePlan:
    """Return what to allocate for `max_batch` requests about as many pictures, within a budget.

    Raises MoondreamError where not even one request of full length fits.
    """
    text = dims.text
    per_position = 2 * text.n_layers * text.n_kv_heads * text.head_dim * itemsize
    page_bytes, block_bytes = per_position * dims.prefix_len, per_position * BLOCK_LEN
    longest = blocks_for(text.max_context)
    least = page_bytes + (longest + 1) * block_bytes
    if budget_bytes < least:
        raise MoondreamError(
            f"keys and values of one request need {least / 1e9:.2f} GB but only "
            f"{budget_bytes / 1e9:.2f} GB are free; free some memory or use a half precision "
            "dtype"
        )
    # A question without a picture may need more than others, but not all are of this kind.
    behind_page = blocks_for(text.max_context - dims.prefix_len)
    blocks = max(longest, max_batch * behind_page) + 1
    full = max_batch * page_bytes + blocks * block_bytes
    if full <= budget_bytes:
        return CachePlan(max_batch, blocks, full)
    pages = min(max_batch, max(1, budget_bytes // (page_bytes + BLOCKS_PER_PAGE * block_bytes)))
    while pages > 1 and pages * page_bytes + (longest + 1) * block_bytes > budget_bytes:
        pages -= 1
    blocks = (budget_bytes - pages * page_bytes) // block_bytes
    return CachePlan(pages, blocks, pages * page_bytes + blocks * block_bytes)


def free_bytes(device: torch.device) -> int:
    """Return how much memory keys and values may use on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] * FREE_SHARE_CUDA)
    # Physical memory, not what is free now: the host's own cache counts as used.
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(min(available, _container_bytes()) * FREE_SHARE_HOST)


def _container_bytes() -> float:
    """Return what is left of a container's limit; infinite without a limit."""
    try:
        return int(CGROUP_LIMIT.read_text()) - int(CGROUP_USED.read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return math.inf


class KvCache:
    """The tensors of all layers, and which pages and blocks are in use or reserved."""

    def __init__(
        self,
        dims: Dims,
        plan: CachePlan,
        device: torch.device,
        dtype: torch.dtype,
        *,
        keep_pages: bool = False,
    ) -> None:
        """With `keep_pages` a page that is not in use any more is kept until it is needed."""
        text = dims.text
        head = (text.n_kv_heads, dims.prefix_len, text.head_dim)
        block = (text.n_kv_heads, BLOCK_LEN, text.head_dim)

        def claim(count: int, shape: tuple[int, int, int]) -> torch.Tensor:
            # Zeros, not what lies there: a hidden value is weighted by zero, and 0 · NaN is NaN.
            return torch.zeros(text.n_layers, count, *shape, device=device, dtype=dtype)

        self.page_k, self.page_v = claim(plan.pages, head), claim(plan.pages, head)
        self.block_k, self.block_v = claim(plan.blocks, block), claim(plan.blocks, block)
        self.pages = Pages(plan.pages, self, keep=keep_pages)
        self.blocks = Slots(plan.blocks - 1, first=SPARE_BLOCK + 1)
        self.prefix_len = dims.prefix_len
        self.most_blocks = plan.blocks - 1
        self.bytes_total = plan.bytes_total
        self._reserved = 0

    @property
    def reserved(self) -> int:
        """How many blocks are promised, taken or not."""
        return self._reserved

    def can_reserve(self, blocks: int) -> bool:
        """Return whether this many blocks are neither in use nor promised."""
        return self._reserved + blocks <= self.most_blocks

    def reserve(self, blocks: int) -> None:
        """Promise blocks to a request, which then takes them one by one."""
        assert self.can_reserve(blocks)
        self._reserved += blocks

    def release(self, reserved: int, taken: list[int]) -> None:
        """End a promise and give back the blocks taken under it."""
        self._reserved -= reserved
        for block in taken:
            self.blocks.give(block)

    def lower_block(self, block: int) -> int:
        """Move a block to the lowest free place, and return this."""
        to = self.blocks.take()
        for tensor in (self.block_k, self.block_v):
            tensor[:, to] = tensor[:, block]
        self.blocks.give(block)
        return to

    def move_page(self, place: int, to: int) -> None:
        """Copy a page to a place whose content is not wanted any more."""
        for tensor in (self.page_k, self.page_v):
            tensor[:, to] = tensor[:, place]

    def swap_pages(self, one: int, other: int) -> None:
        """Exchange two pages."""
        tensors = self.page_k, self.page_v
        # Both first: without the memory for them nothing is exchanged, rather than a half.
        firsts = [tensor[:, one].clone() for tensor in tensors]
        for tensor, first in zip(tensors, firsts, strict=True):
            tensor[:, one] = tensor[:, other]
            tensor[:, other] = first

    def scrub(self, page: int | None, blocks: list[int]) -> None:
        """Zero memory that a failed request may have left not-a-number in, the spare block too."""
        places = torch.tensor([SPARE_BLOCK, *blocks], dtype=torch.long, device=self.block_k.device)
        for tensor in (self.block_k, self.block_v):
            tensor[:, places] = 0
        if page is not None:
            self.page_k[:, page] = 0
            self.page_v[:, page] = 0
