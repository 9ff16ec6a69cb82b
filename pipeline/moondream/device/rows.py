"""The rows of the running batch: what the host knows of them, laid out for the device.

Everything a step needs but hidden states, keys and values is uploaded before it in one copy, so
the host can change any row between steps and captured graphs find it at the same place. Rows lie
one after the other in a cycle, whichever are left: a row's hidden state stays where it is and is
found by its slot. Knows nothing of skills. Letters: B rows, P pages, Q lanes of a page, N blocks,
M blocks of a row.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.moondream.device.cache import BLOCK_LEN, SPARE_BLOCK, blocks_for
from pipeline.moondream.device.pages import PicturePage
from pipeline.moondream.device.reads import N_FIELDS, N_LIKELY, RowKind

MAX_FORWARDS = 3  # steps of the longest cycle: x, y, size of one object
NO_PAGE = -1  # of a row that follows no picture
UNSEEN = 1 << 30  # start of a block that belongs to no row: nothing in it is ever visible


@dataclass(slots=True)
class Row:
    """One row. `length` counts its positions after `start`; `blocks` hold their keys."""

    slot: int
    kind: RowKind
    token: int
    start: int
    length: int
    page: PicturePage | None
    blocks: list[int] = field(default_factory=list)
    temperature: float = 0.0
    top_p: float = 1.0
    draws: tuple[float, ...] = (0.0,) * MAX_FORWARDS


class Shape(NamedTuple):
    """How much of the rows, pages, lanes and blocks a cycle touches: so many, the lowest ones."""

    rows: int
    pages: int
    lanes: int
    blocks: int
    row_blocks: int

    def covers(self, other: "Shape") -> bool:
        """Whether a cycle of this shape touches all that one of the other does."""
        return all(mine >= theirs for mine, theirs in zip(self, other, strict=True))


class RowBuffers:
    """The tensors a cycle reads and writes, at fixed addresses."""

    def __init__(
        self, max_blocks: int, row_blocks: int, hidden_BC: Tensor, vocab_size: int = 0
    ) -> None:
        """`hidden_BC` has a place for every slot, and one more at the end, for idle rows.

        Without a `vocab_size` no row can keep to a mask.
        """
        max_rows, device = hidden_BC.shape[0] - 1, hidden_BC.device
        pinned = device.type == "cuda"
        counts = {
            "kind": max_rows,
            "token": max_rows,
            "length": max_rows,
            "start": max_rows,
            "slot": max_rows,
            "cell": max_rows,
            "page": max_rows,
            "table": max_rows * row_blocks,
            "owner": max_blocks,
            "base": max_blocks,
        }
        total = sum(counts.values())
        self._host = torch.zeros(total, dtype=torch.long, pin_memory=pinned)
        self._ints = torch.zeros(total, dtype=torch.long, device=device)
        self._host_views, self._views = {}, {}
        at = 0
        for name, count in counts.items():
            self._host_views[name] = self._host[at : at + count].numpy()
            self._views[name] = self._ints[at : at + count]
            at += count
        self._row_blocks = row_blocks
        n_floats = (2 + MAX_FORWARDS) * max_rows
        self._host_floats = torch.zeros(n_floats, pin_memory=pinned)
        self._floats = torch.zeros(n_floats, device=device)
        self._max_rows = max_rows
        self.hidden_BC = hidden_BC
        self.out = torch.zeros(MAX_FORWARDS, max_rows, N_FIELDS, device=device)
        self.likely = torch.zeros(MAX_FORWARDS, max_rows, N_LIKELY, device=device)
        words = mask_words(vocab_size)
        self._host_allowed = torch.full((max_rows, words), -1, dtype=torch.int32, pin_memory=pinned)
        self._allowed = torch.full((max_rows, words), -1, dtype=torch.int32, device=device)

    def upload(self, rows: Sequence[Row], shape: Shape) -> None:
        """Lay the rows out for one cycle."""
        host = self._host_views
        host["kind"][:] = RowKind.IDLE
        host["length"][:] = 0
        host["start"][:] = 0
        host["slot"][:] = self._max_rows
        host["cell"][:] = shape.pages * shape.lanes
        host["page"][:] = NO_PAGE
        host["owner"][:] = 0
        host["base"][:] = UNSEEN
        table = host["table"].reshape(-1, self._row_blocks)
        table[:] = SPARE_BLOCK
        lanes: Counter[int] = Counter()
        for index, row in enumerate(rows):
            host["kind"][index] = row.kind
            host["token"][index] = row.token
            host["length"][index] = row.length
            host["start"][index] = row.start
            host["slot"][index] = row.slot
            if row.page is not None:
                place = host["page"][index] = row.page.place
                host["cell"][index] = place * shape.lanes + lanes[place]
                lanes[place] += 1
            for number, block in enumerate(row.blocks):
                table[index, number] = block
                host["owner"][block] = index
                host["base"][block] = number * BLOCK_LEN
        self._ints.copy_(self._host, non_blocking=True)

    def upload_draws(self, rows: Sequence[Row]) -> None:
        """Lay out how rows draw their tokens; only needed where some row is not greedy."""
        floats = self._host_floats.numpy().reshape(2 + MAX_FORWARDS, self._max_rows)
        floats[:] = 0
        for index, row in enumerate(rows):
            floats[0, index], floats[1, index] = row.temperature, row.top_p
            floats[2:, index] = row.draws
        self._floats.copy_(self._host_floats, non_blocking=True)

    def upload_allowed(self, allowed: Sequence[NDArray[np.int32] | None]) -> None:
        """Lay out which tokens may come next; only needed where some row keeps to a mask.

        Rows without a mask (None), and those after the last one, may take any token.
        """
        host = self._host_allowed.numpy()
        host[:] = -1
        for index, words in enumerate(allowed):
            if words is not None:
                host[index] = words
        self._allowed.copy_(self._host_allowed, non_blocking=True)

    def allowed(self, count: int) -> Tensor:
        """Return the bits of the tokens that may come next, for `count` rows."""
        return self._allowed[:count]

    def ints(self, name: str, count: int) -> Tensor:
        """Return the first `count` entries of a per-row or per-block list, on the device."""
        return self._views[name][:count]

    def table(self) -> tuple[Tensor, int]:
        """Return the blocks of all rows, row after row, and how many entries a row has."""
        return self._views["table"], self._row_blocks

    def table_BM(self, shape: Shape) -> Tensor:
        """Return the blocks of each row, the spare one where there are no more."""
        table = self._views["table"].view(-1, self._row_blocks)
        return table[: shape.rows, : shape.row_blocks]

    def draws(self, step: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return temperature, top_p and the uniform number of one step for `count` rows."""
        floats = self._floats.view(-1, self._max_rows)[:, :count]
        return floats[0], floats[1], floats[2 + step]

    def read_back(
        self, steps: int, count: int
    ) -> np.ndarray[tuple[int, int, int], np.dtype[np.float32]]:
        """Wait for the device and return the output fields (steps, rows, fields)."""
        values: np.ndarray[tuple[int, int, int], np.dtype[np.float32]] = (
            self.out[:steps, :count].cpu().numpy()
        )
        return values

    def read_likely(self, steps: int, count: int) -> list[list[list[float]]]:
        """Return how likely tokens were (steps, rows, numbers); the device must be done."""
        values: list[list[list[float]]] = self.likely[:steps, :count].tolist()
        return values


def mask_words(vocab_size: int) -> int:
    """Return how many words of 32 bits have a bit for every token."""
    return -(-vocab_size // 32)


def blocks_wanted(row: Row, forwards: int, most: int) -> int:
    """Return how many blocks a row needs for the coming steps, at most what it reserved."""
    return min(blocks_for(row.length + forwards), most)
