"""Prefixes of new pictures and prompts of any pictures, in one pass through the language model.

Every picture's prefix sees itself both ways and nothing else; every prompt sees its picture's
prefix and itself up to each token. Where all new pictures have one prompt, or equally many, as is
usual, prompts lie right behind their prefix, and keys are read where they were computed; otherwise
all prefixes lie before all prompts, and each prompt's keys are put together from its picture's page
and its own.
Everything but sizes is data on the device, so a pass can be captured. Knows nothing of skills.
Letters: P new pictures, S positions of a prefix (730), R prompts, J tokens of the longest prompt,
N prompt tokens, T all tokens, K key heads, H query heads, D head width, C width, E of all heads.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.moondream.device.cache import BLOCK_LEN, SPARE_BLOCK, KvCache
from pipeline.moondream.device.graphs import Capture, GraphCounts, KeyedGraphs
from pipeline.moondream.device.kernels.loading import HeadTurn, TurnKernel
from pipeline.moondream.network.layers import AddNorm, long_range, plain_add_norm, to_device
from pipeline.moondream.network.network import Network
from pipeline.moondream.network.text import turn_in_place
from pipeline.moondream.prompts import Prompt

_log = logging.getLogger(__name__)

# Rows of a mask start at multiples of so many numbers, as its kernels want.
MASK_STEP = 8
# Where a pass is captured, how many tokens prompts are filled up to, and how many prompts there
# are, unless they are one for each new picture. Longer prompts, and more tokens in all, are read as
# they are.
TOKENS_OF_PROMPTS = (16, 32, 64, 128)
NUMBERS_OF_PROMPTS = (1, 2, 4, 8, 16, 24, 32, 48, 64)
MOST_TOKENS = 4096
# Captured when the engine is made, where there is room for so many: new pictures with one prompt.
PREPARED_PICTURES = (16, 12, 8, 4, 3, 2, 1)
PREPARED_TOKENS = (16, 32)


@dataclass(frozen=True, slots=True)
class PromptRow:
    """A prompt with the page it follows (None: it follows nothing) and the blocks it fills."""

    prompt: Prompt
    page: int | None
    blocks: Sequence[int]


@dataclass(frozen=True, slots=True)
class PrefixBatch:
    """Tokens (P, 729, C) of pictures whose prefix is not computed yet, and their pages."""

    tokens_PSC: Tensor
    pages: Sequence[int]


class PassShape(NamedTuple):
    """The sizes of a pass: new pictures, prompts, tokens of each prompt.

    `is_paired`: each new picture has as many prompts, in the same order, and there are no others.
    `following`: whether all prompts follow a page, or none, or some (None).
    """

    pages: int
    prompts: int
    longest: int
    is_paired: bool
    following: bool | None


@dataclass(frozen=True, slots=True)
class _Given:
    """What a pass reads: tensors on the device, of sizes that its shape says.

    `padded_N` says where each token stands among prompts that are filled up to the longest; None
    where they are as long as that.
    """

    tokens_PSC: Tensor | None
    prompt_NC: Tensor
    page_P: Tensor
    page_R: Tensor
    alone_R: Tensor
    position_N: Tensor
    block_N: Tensor
    slot_N: Tensor
    padded_N: Tensor | None = None


def prefill(
    network: Network,
    cache: KvCache,
    prefixes: PrefixBatch | None,
    rows: Sequence[PromptRow],
    add_norm: AddNorm = plain_add_norm,
    turn: TurnKernel | None = None,
) -> Tensor:
    """Fill pages and blocks and return the hidden states (N, C) of all prompt tokens in a row."""
    device = network.device
    lengths = [len(row.prompt.ids) for row in rows]
    longest = max(lengths)
    is_even = min(lengths) == longest
    pages = [] if prefixes is None else list(prefixes.pages)
    shape = PassShape(
        len(pages), len(rows), longest, is_even and _are_paired(pages, rows), _following(rows)
    )
    table = [
        (position, block, slot)
        for row in rows
        for position, block, slot in _places(row, network.dims.prefix_len)
    ]
    position_N, block_N, slot_N = to_device(table, device).unbind(1)
    padded_N = None
    if not is_even:
        at = [
            number * longest + token for number, length in enumerate(lengths)
            for token in range(length)
        ]  # fmt: skip
        padded_N = to_device(at, device)
    given = _Given(
        None if prefixes is None else prefixes.tokens_PSC,
        _embed_prompts(network, rows),
        to_device(pages or [0], device),
        to_device([_page_to_read(row) for row in rows], device),
        to_device([int(row.page is None) for row in rows], device),
        position_N,
        block_N,
        slot_N,
        padded_N,
    )
    return _pass(network, cache, shape, given, add_norm, turn)


class Prefills:
    """Runs passes, from the second of a shape on as captured.

    Prompts are filled up to sizes of a ladder for it: by repeating the last token, whose states
    nobody reads and whose keys go to the spare block; and whole prompts by repeating the first.
    """

    def __init__(
        self,
        network: Network,
        cache: KvCache,
        capture: Capture | None,
        most_pages: int,
        add_norm: AddNorm = plain_add_norm,
        turn: TurnKernel | None = None,
    ) -> None:
        """`most_pages` limits the new pictures of a captured pass; without `capture` none is."""
        self._network, self._cache = network, cache
        self._add_norm, self._turn = add_norm, turn
        self._graphs: KeyedGraphs[PassShape] | None = None
        if capture is None:
            return
        device, dims = network.device, network.dims

        def room(*sizes: int) -> Tensor:
            return torch.zeros(*sizes, device=device, dtype=network.dtype)

        self._most_pages = min(most_pages, cache.page_k.shape[1])
        self.tokens_PSC = room(self._most_pages, dims.prefix_len - 1, dims.text.dim)
        self._prompt_NC = room(MOST_TOKENS, dims.text.dim)
        self._hidden_NC = room(MOST_TOKENS, dims.text.dim)
        n_ints = self._most_pages + 2 * MOST_TOKENS + 3 * MOST_TOKENS
        self._ints = torch.zeros(n_ints, dtype=torch.long, device=device)
        self._graphs = KeyedGraphs(self.run, capture, "a prefill")

    def counts(self) -> GraphCounts:
        """Return what became of all passes."""
        return GraphCounts() if self._graphs is None else self._graphs.counts()

    def warm_up(self) -> None:
        """Capture passes of usual sizes; they read what is not there, and nothing reads theirs."""
        if self._graphs is None:
            return
        for longest in PREPARED_TOKENS:
            for pages in PREPARED_PICTURES:
                if pages <= self._most_pages and (longest == PREPARED_TOKENS[0] or pages == 1):
                    self._graphs.warm_up(PassShape(pages, pages, longest, True, True))

    def __call__(self, prefixes: PrefixBatch | None, rows: Sequence[PromptRow]) -> Tensor:
        """Fill pages and blocks and return the hidden states (N, C) of all prompt tokens."""
        pages = [] if prefixes is None else list(prefixes.pages)
        shape = self._captured_shape(pages, rows)
        if shape is None or self._graphs is None:
            return prefill(self._network, self._cache, prefixes, rows, self._add_norm, self._turn)
        self._fill(prefixes, rows, shape)
        self._graphs(shape)
        lengths = [len(row.prompt.ids) for row in rows]
        kept = [
            number * shape.longest + at for number, length in enumerate(lengths)
            for at in range(length)
        ]  # fmt: skip
        return self._hidden_NC[to_device(kept, self._network.device)]

    def _captured_shape(self, pages: Sequence[int], rows: Sequence[PromptRow]) -> PassShape | None:
        if self._graphs is None or len(pages) > self._most_pages:
            return None
        longest = max(len(row.prompt.ids) for row in rows)
        filled = next((size for size in TOKENS_OF_PROMPTS if size >= longest), None)
        is_paired = _are_paired(pages, rows)
        numbers = (len(rows),) if is_paired else NUMBERS_OF_PROMPTS
        prompts = next((number for number in numbers if number >= len(rows)), None)
        if filled is None or prompts is None or prompts * filled > MOST_TOKENS:
            return None
        return PassShape(len(pages), prompts, filled, is_paired, _following(rows))

    def _fill(
        self, prefixes: PrefixBatch | None, rows: Sequence[PromptRow], shape: PassShape
    ) -> None:
        """Put what a captured pass reads where it reads it."""
        device, longest = self._network.device, shape.longest
        if prefixes is not None and prefixes.tokens_PSC.data_ptr() != self.tokens_PSC.data_ptr():
            self.tokens_PSC[: shape.pages].copy_(prefixes.tokens_PSC)
        filled = [*rows, *[rows[0]] * (shape.prompts - len(rows))]
        places: list[tuple[int, int, int]] = []
        chosen: list[int] = []
        first = 0
        for number, row in enumerate(filled):
            own = list(_places(row, self._cache.prefix_len))
            if number >= len(rows):
                own = [(position, SPARE_BLOCK, 0) for position, _, _ in own]
                first = 0
            last, missing = len(own) - 1, longest - len(own)
            places += own + [(own[-1][0], SPARE_BLOCK, 0)] * missing
            chosen += [*range(first, first + len(own)), *[first + last] * missing]
            first += len(own)
        pages = [] if prefixes is None else list(prefixes.pages)
        ints = [
            *pages,
            *(_page_to_read(row) for row in filled),
            *(int(row.page is None) for row in filled),
            *(number for column in zip(*places, strict=True) for number in column),
        ]
        self._ints[: len(ints)].copy_(to_device(ints, device))
        embedded = _embed_prompts(self._network, rows)
        torch.index_select(
            embedded, 0, to_device(chosen, device), out=self._prompt_NC[: len(chosen)]
        )

    def run(self, shape: PassShape) -> None:
        """Run a pass over what lies where it is read."""
        count = shape.prompts * shape.longest
        sizes = [shape.pages, shape.prompts, shape.prompts, count, count, count]
        parts = torch.split(self._ints[: sum(sizes)], sizes)
        given = _Given(
            self.tokens_PSC[: shape.pages] if shape.pages else None,
            self._prompt_NC[:count],
            *parts,
        )
        hidden_NC = _pass(self._network, self._cache, shape, given, self._add_norm, self._turn)
        self._hidden_NC[:count].copy_(hidden_NC)


def last_tokens(rows: Sequence[PromptRow]) -> list[int]:
    """Return where, in the row of all prompt tokens, each prompt's last token stands."""
    ends, end = [], 0
    for row in rows:
        end += len(row.prompt.ids)
        ends.append(end - 1)
    return ends


def _are_paired(pages: Sequence[int], rows: Sequence[PromptRow]) -> bool:
    if not pages or len(rows) % len(pages):
        return False
    each = len(rows) // len(pages)
    return [row.page for row in rows] == [page for page in pages for _ in range(each)]


def _following(rows: Sequence[PromptRow]) -> bool | None:
    follow = {row.page is not None for row in rows}
    return follow.pop() if len(follow) == 1 else None


def _page_to_read(row: PromptRow) -> int:
    return 0 if row.page is None else row.page


def _places(row: PromptRow, prefix_len: int) -> Iterator[tuple[int, int, int]]:
    """Return position, block and place in it of each token of a prompt."""
    start = 0 if row.page is None else prefix_len
    for at in range(len(row.prompt.ids)):
        block = row.blocks[at // BLOCK_LEN] if row.blocks else SPARE_BLOCK
        yield start + at, block, at % BLOCK_LEN


def _embed_prompts(network: Network, rows: Sequence[PromptRow]) -> Tensor:
    device, region = network.device, network.region
    ids: list[int] = []
    coord_at, coords, size_at, sizes = [], [], [], []
    for row in rows:
        coord_at += [len(ids) + at for at, _ in row.prompt.coords]
        coords += [value for _, value in row.prompt.coords]
        size_at += [len(ids) + at for at, _ in row.prompt.sizes]
        sizes += [value for _, value in row.prompt.sizes]
        ids += row.prompt.ids
    x_TC = network.text.embed(to_device(ids, device))
    if coords:
        encoded = region.encode_coord(to_device(coords, device)[:, None])
        x_TC[to_device(coord_at, device)] = encoded
    if sizes:
        x_TC[to_device(size_at, device)] = region.encode_size(to_device(sizes, device))
    return x_TC


def _pass(
    network: Network,
    cache: KvCache,
    shape: PassShape,
    given: _Given,
    add_norm: AddNorm,
    turn_kernel: TurnKernel | None,
) -> Tensor:
    """Run one pass and return the hidden states (N, C) of the prompt tokens.

    Of prefixes only keys and values are wanted in the end, so the last block computes nothing else
    for them.
    """
    text, dims = network.text, network.dims.text
    layout = _PassLayout(shape, network.dims.prefix_len)
    x_TC, position_T = given.prompt_NC, given.position_N
    if given.tokens_PSC is not None:
        bos_11C = text.wte[network.bos].expand(1, 1, -1)
        prefix_PSC = torch.cat(
            [bos_11C.expand(shape.pages, 1, -1), given.tokens_PSC.to(x_TC.dtype)], dim=1
        )
        position_PS = long_range(network.dims.prefix_len, x_TC.device).expand(shape.pages, -1)
        x_TC = layout.joined(prefix_PSC, x_TC)
        position_T = layout.joined(position_PS, position_T)
    turn: HeadTurn
    if turn_kernel is None:
        turn = _PlainTurn(cache, text.turns, position_T, layout, given)
    else:
        place_T = _kept_at(layout, given, cache)
        turn = turn_kernel(cache, text.turns, position_T, place_T)
    attend = _PassAttend(cache, layout, given, dims.head_dim)
    n_queries, n_keys = dims.n_heads, dims.n_kv_heads
    *body, last = text.blocks
    normed_TC = text.blocks[0].ln(x_TC)
    for layer, block in enumerate(body):
        heads_TED = block.qkv(normed_TC).view(len(x_TC), -1, dims.head_dim)
        turn(layer, heads_TED, n_queries)
        mixed_TE = attend(layer, *torch.split(heads_TED, [n_queries, n_keys, n_keys], dim=1))
        attended_TC = block.attended(normed_TC, mixed_TE)
        norm = text.blocks[layer + 1].ln
        x_TC, normed_TC = add_norm(x_TC, attended_TC, block.mlp(normed_TC), norm)
    width = n_queries * dims.head_dim
    keys_TED = last.qkv.outputs(width, None)(normed_TC).view(len(x_TC), -1, dims.head_dim)
    turn(len(body), keys_TED, 0)
    x_NC, normed_NC = layout.prompts(x_TC), layout.prompts(normed_TC)
    q_NHD = last.qkv.outputs(0, width)(normed_NC).view(len(x_NC), -1, dims.head_dim)
    turn.queries(q_NHD, given.position_N)
    mixed_NE = attend(len(body), q_NHD, *torch.split(keys_TED, n_keys, dim=1))
    return last.add_to(x_NC, normed_NC, mixed_NE)


class _PlainTurn:
    """Turns and keeps by plain operations."""

    def __init__(
        self,
        cache: KvCache,
        turns: tuple[Tensor, Tensor],
        position_T: Tensor,
        layout: "_PassLayout",
        given: _Given,
    ) -> None:
        self._cache, self._layout, self._given, self._turns = cache, layout, given, turns
        self._turn_T = turns[0][position_T, None], turns[1][position_T, None]

    def queries(self, heads_THD: Tensor, position_T: Tensor) -> None:
        """Turn queries of some tokens and keep nothing."""
        turn_in_place(heads_THD, *(table[position_T, None] for table in self._turns))

    def __call__(self, layer: int, heads_TED: Tensor, n_queries: int) -> None:
        """Turn queries and keys of all tokens, and keep keys and values."""
        n_keys = (heads_TED.shape[1] - n_queries) // 2
        turn_in_place(heads_TED[:, : n_queries + n_keys], *self._turn_T)
        cache, layout, given = self._cache, self._layout, self._given
        pages = cache.page_k[layer], cache.page_v[layer]
        blocks = cache.block_k[layer], cache.block_v[layer]
        kept = torch.split(heads_TED[:, n_queries:], n_keys, dim=1)
        for page, block, part_TKD in zip(pages, blocks, kept, strict=True):
            if layout.shape.pages:
                page.index_copy_(0, given.page_P, layout.prefixes(part_TKD).transpose(1, 2))
            block[given.block_N, :, given.slot_N] = layout.prompts(part_TKD)


def _kept_at(layout: "_PassLayout", given: _Given, cache: KvCache) -> Tensor:
    """Return where in a layer each token's first key head is kept (T).

    Places in pages are counted from 0 on, those in blocks from -1 down.
    """
    _, n_keys, prefix_len, width = cache.page_k.shape[1:]
    block = given.block_N * (n_keys * BLOCK_LEN * width) + given.slot_N * width
    if not layout.shape.pages:
        return -1 - block
    page_P = given.page_P * (n_keys * prefix_len * width)
    at_S = long_range(prefix_len, block.device) * width
    return layout.joined(page_P[:, None] + at_S, -1 - block)


class _PassLayout:
    """How tokens of prefixes and prompts lie in one row: paired, or first all and then all."""

    def __init__(self, shape: PassShape, prefix_len: int) -> None:
        self.shape, self.prefix_len = shape, prefix_len
        self.n_prefix = shape.pages * prefix_len

    def joined(self, prefix_PS: Tensor, prompt_N: Tensor) -> Tensor:
        """Return all tokens (T, any) of prefixes (P, S, any) and prompts (N, any)."""
        if self.shape.is_paired:
            prompt_PJ = prompt_N.view(self.shape.pages, -1, *prompt_N.shape[1:])
            return torch.cat([prefix_PS, prompt_PJ], dim=1).flatten(0, 1)
        return torch.cat([prefix_PS.flatten(0, 1), prompt_N])

    def prefixes(self, part_T: Tensor) -> Tensor:
        """Return what belongs to prefixes (P, S, any), as a view."""
        if self.shape.is_paired:
            return self.by_picture(part_T)[:, : self.prefix_len]
        return part_T[: self.n_prefix].view(self.shape.pages, self.prefix_len, *part_T.shape[1:])

    def prompts(self, part_T: Tensor) -> Tensor:
        """Return what belongs to prompts (N, any)."""
        if self.shape.is_paired:
            return self.by_picture(part_T)[:, self.prefix_len :].flatten(0, 1)
        return part_T[self.n_prefix :]

    def by_picture(self, part_T: Tensor) -> Tensor:
        """Return all tokens of each picture, as a view; only where they are paired."""
        return part_T.view(self.shape.pages, -1, *part_T.shape[1:])


class _PassAttend:
    """Attends for one pass: new prefixes among themselves, prompts to prefix and self."""

    def __init__(self, cache: KvCache, layout: _PassLayout, given: _Given, width: int) -> None:
        self._cache, self._layout, self._given = cache, layout, given
        self._scale = width**-0.5
        self._mask = self._hidden_keys()

    def __call__(self, layer: int, q: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> Tensor:
        """Return the mixed values, of as many tokens as there are queries.

        Queries are those of all tokens, or of the prompts alone. New keys and values are kept
        already.
        """
        layout = self._layout
        shape = layout.shape
        mixed_PSHD = None
        is_last = len(q) < len(k_TKD) or not shape.pages
        if not is_last:
            q_PSHD, k_PSKD, v_PSKD = (layout.prefixes(part) for part in (q, k_TKD, v_TKD))
            mixed_PSHD = self._mixed(q_PSHD, k_PSKD, v_PSKD)
        q_NHD = q if is_last else layout.prompts(q)
        q_RJHD = self._padded(q_NHD)
        if shape.is_paired:
            keys = layout.by_picture(k_TKD), layout.by_picture(v_TKD)
            q_RJHD = q_RJHD.view(shape.pages, -1, *q_RJHD.shape[2:])
        else:
            keys = self._keys(layer, layout.prompts(k_TKD), layout.prompts(v_TKD))
        mixed_RJHD = self._mixed(q_RJHD, *keys, self._mask)
        mixed_NE = self._unpadded(mixed_RJHD)
        if mixed_PSHD is None:
            return mixed_NE
        return layout.joined(mixed_PSHD.flatten(2), mixed_NE)

    def _mixed(
        self, q_BQHD: Tensor, k_BLKD: Tensor, v_BLKD: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Return what queries (B, Q, H, D) mix of values (B, L, K, D), as (B, Q, H, D)."""
        q, k, v = (part.transpose(1, 2) for part in (q_BQHD, k_BLKD, v_BLKD))
        groups = q.shape[1] // k.shape[1]
        if groups > 1:
            k, v = (part.repeat_interleave(groups, dim=1) for part in (k, v))
        if mask is None:
            mixed = F.scaled_dot_product_attention(q, k, v, scale=self._scale)
        else:
            mask = mask.expand(*q.shape[:2], -1, -1)
            if _has_masked_kernel(q.device, q.dtype, q.shape[-1]):
                mixed = _by_masked_kernel(q, k, v, mask, self._scale)
            else:
                mixed = F.scaled_dot_product_attention(q, k, v, mask, scale=self._scale)
        return mixed.transpose(1, 2)

    def _keys(self, layer: int, k_NKD: Tensor, v_NKD: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values (R, L, K, D) of each prompt: those of its page and its own."""
        k_RJKD, v_RJKD = self._padded(k_NKD), self._padded(v_NKD)
        following, given = self._layout.shape.following, self._given
        if following is False:
            return k_RJKD, v_RJKD

        def behind_page(page: Tensor, own_RJKD: Tensor) -> Tensor:
            pages_RKSD = page.index_select(0, given.page_R)
            if following is None:
                # What is hidden is weighted by zero, and may be not-a-number: then it is not zero.
                pages_RKSD.masked_fill_((given.alone_R > 0)[:, None, None, None], 0)
            return torch.cat([pages_RKSD, own_RJKD.transpose(1, 2)], dim=2).transpose(1, 2)

        cache = self._cache
        return behind_page(cache.page_k[layer], k_RJKD), behind_page(cache.page_v[layer], v_RJKD)

    def _padded(self, part_N: Tensor) -> Tensor:
        """Return (R, J, any) of (N, any)."""
        shape, at = self._layout.shape, self._given.padded_N
        if at is not None:
            padded = part_N.new_zeros(shape.prompts * shape.longest, *part_N.shape[1:])
            padded[at] = part_N
            part_N = padded
        return part_N.view(shape.prompts, shape.longest, *part_N.shape[1:])

    def _unpadded(self, mixed_RJHD: Tensor) -> Tensor:
        """Return (N, E) of (R, J, H, D)."""
        flat = mixed_RJHD.flatten(2).flatten(0, 1)
        return flat if self._given.padded_N is None else flat[self._given.padded_N]

    def _hidden_keys(self) -> Tensor:
        """Return what is added to the scores of each prompt (R or 1, 1, J, L).

        A token sees its page, and its own prompt up to itself. Where prompts are paired with
        pictures, all of a picture stand for one here.
        """
        shape, given = self._layout.shape, self._given
        device = given.position_N.device
        n_page = 0 if shape.following is False else self._layout.prefix_len
        longest = shape.longest
        together = longest * (shape.prompts // shape.pages if shape.is_paired else 1)
        n_keys = n_page + together
        key_L = long_range(n_keys + -n_keys % MASK_STEP, device)[None, :]
        token_J = long_range(together, device)[:, None]
        hidden = key_L > n_page + token_J
        if together > longest:
            of_earlier = (key_L >= n_page) & (key_L < n_page + token_J // longest * longest)
            hidden = hidden | of_earlier
        if shape.following is None:
            hidden = hidden | ((given.alone_R > 0)[:, None, None, None] & (key_L < n_page))
        mask = torch.zeros(hidden.shape, device=device, dtype=given.prompt_NC.dtype)
        mask = mask.masked_fill(hidden, -torch.inf)[..., :n_keys]
        return mask if mask.dim() == 4 else mask[None, None]


@cache
def _has_masked_kernel(device: torch.device, dtype: torch.dtype, width: int) -> bool:
    """Whether torch's memory-efficient kernel takes heads of a width and masks here; tried once.

    It is asked for by its name, since torch chooses among kernels by switches of the whole process.
    """
    if device.type != "cuda":
        return False
    drawn = torch.Generator(device).manual_seed(0)
    q = torch.randn(1, 2, MASK_STEP, width, generator=drawn, device=device).to(dtype)
    mask = torch.zeros(1, 1, MASK_STEP, MASK_STEP, device=device, dtype=dtype)
    mask = mask.masked_fill(mask.new_ones(mask.shape).triu(1) > 0, -torch.inf)
    mask = mask[..., :-1].expand(1, 2, -1, -1)
    k, exact = q[:, :, :-1], q.float()
    plain = F.scaled_dot_product_attention(exact, k.float(), k.float(), mask.float(), scale=0.25)
    try:
        off = (_by_masked_kernel(q, k, k, mask, 0.25).float() - plain).abs().max().item()
    except (AttributeError, RuntimeError) as error:
        _log.warning(
            "prompts attend by whatever kernel torch chooses on %s, which may be slower. The "
            "reason: %s: %s", device, type(error).__name__, error,
        )  # fmt: skip
        return False
    allowed = max(4 * torch.finfo(dtype).eps, 1e-4) * plain.abs().max().item()
    if off > allowed:
        _log.warning(
            "prompts attend by whatever kernel torch chooses on %s, which may be slower: the "
            "memory-efficient one differs by %.2g, and %.2g is allowed", device, off, allowed,
        )  # fmt: skip
    return off <= allowed


def _by_masked_kernel(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float) -> Tensor:
    mixed: Tensor = torch.ops.aten._scaled_dot_product_efficient_attention(
        q, k, v, mask, False, 0.0, False, scale=scale
    )[0]
    return mixed
