"""Prefixes of new pictures and prompts of any pictures, in one pass through the language model.

Every picture's prefix sees itself both ways and nothing else; every prompt sees its picture's
prefix and itself up to each token. Knows nothing of skills. Letters: P pages, S positions of a
prefix (730), T tokens, R prompts, J longest prompt, Q prompt tokens of a page, K key heads,
G query heads of a key head, D head width, C width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.moondream.device.attention import HIDDEN_SCORE, Partial, merge, partial_attention
from pipeline.moondream.device.cache import BLOCK_LEN, SPARE_BLOCK, KvCache
from pipeline.moondream.device.decode import lanes_as_queries, queries_as_cells
from pipeline.moondream.network.layers import long_range, to_device
from pipeline.moondream.network.network import Network
from pipeline.moondream.prompts import Prompt


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


def prefill(
    network: Network, cache: KvCache, prefixes: PrefixBatch | None, rows: Sequence[PromptRow]
) -> Tensor:
    """Fill pages and blocks and return the hidden states (T, C) of all prompt tokens in a row."""
    device, dims = network.device, network.dims
    n_pages = 0 if prefixes is None else len(prefixes.pages)
    place = _places(rows, dims.prefix_len, device)
    x_TC = _embed_prompts(network, rows)
    position_T = place.position_T
    if prefixes is not None:
        bos_PSC = network.text.embed(to_device([network.bos], device))
        prefix_PSC = torch.cat(
            [bos_PSC.expand(n_pages, 1, -1), prefixes.tokens_PSC.to(x_TC.dtype)], dim=1
        )
        x_TC = torch.cat([prefix_PSC.flatten(0, 1), x_TC])
        position_T = torch.cat([long_range(dims.prefix_len, device).repeat(n_pages), position_T])
    attend = _PrefillAttend(cache, place, [] if prefixes is None else prefixes.pages)
    return network.text.forward(x_TC, position_T, attend, n_pages * dims.prefix_len)


def last_tokens(rows: Sequence[PromptRow]) -> list[int]:
    """Return where, in the row of all prompt tokens, each prompt's last token stands."""
    ends, end = [], 0
    for row in rows:
        end += len(row.prompt.ids)
        ends.append(end - 1)
    return ends


@dataclass(frozen=True, slots=True)
class _Places:
    """Where every prompt token stands: in its picture, its page's lanes, its prompt, its blocks."""

    position_T: Tensor
    pages: list[int]
    lanes: int
    cell_T: Tensor
    no_page_T: Tensor
    padded_T: Tensor
    n_prompts: int
    longest: int
    block_T: Tensor
    slot_T: Tensor


def _places(rows: Sequence[PromptRow], prefix_len: int, device: torch.device) -> _Places:
    pages = sorted({row.page for row in rows if row.page is not None})
    used = dict.fromkeys(pages, 0)
    for row in rows:
        if row.page is not None:
            used[row.page] += len(row.prompt.ids)
    lanes = max(used.values(), default=0)
    number = {page: index for index, page in enumerate(pages)}
    longest = max(len(row.prompt.ids) for row in rows)
    table: list[tuple[int, ...]] = []
    used = dict.fromkeys(pages, 0)
    for index, row in enumerate(rows):
        for at in range(len(row.prompt.ids)):
            block = row.blocks[at // BLOCK_LEN] if row.blocks else SPARE_BLOCK
            if row.page is None:
                start, cell = 0, len(pages) * lanes
            else:
                start, cell = prefix_len, number[row.page] * lanes + used[row.page]
                used[row.page] += 1
            table.append((start + at, cell, index * longest + at, block, at % BLOCK_LEN))
    columns = to_device(table, device).unbind(1)
    position_T, cell_T, padded_T, block_T, slot_T = columns
    no_page_T = (cell_T >= len(pages) * lanes)[:, None, None, None]
    return _Places(
        position_T, pages, lanes, cell_T, no_page_T, padded_T, len(rows), longest, block_T, slot_T
    )


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


class _PrefillAttend:
    """Attends for one prefill: new prefixes among themselves, prompts to prefix and self."""

    def __init__(self, cache: KvCache, place: _Places, new_pages: Sequence[int]) -> None:
        device = place.position_T.device
        self._cache, self._place = cache, place
        self._n_new = len(new_pages)
        self._new_pages = _index(new_pages, device)
        self._pages = _index(place.pages, device)
        ahead = long_range(place.longest, device)
        self._causal_JJ = ahead[None, :] <= ahead[:, None]

    def __call__(self, layer: int, q_TKGD: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> Tensor:
        """Keep the new keys and values and return the mixed values (T, K * G * D)."""
        cache, place = self._cache, self._place
        n_prompt = len(place.position_T)
        n_prefix = len(k_TKD) - n_prompt
        mixed: list[Tensor] = []
        if n_prefix:
            k_PKSD, v_PKSD = (self._by_page(part[:n_prefix]) for part in (k_TKD, v_TKD))
            cache.page_k[layer][self._new_pages] = k_PKSD
            cache.page_v[layer][self._new_pages] = v_PKSD
            if len(q_TKGD) > n_prompt:
                mixed.append(self._prefix(q_TKGD[:n_prefix], k_PKSD, v_PKSD))
        q_TKGD, k_TKD, v_TKD = q_TKGD[-n_prompt:], k_TKD[n_prefix:], v_TKD[n_prefix:]
        cache.block_k[layer][place.block_T, :, place.slot_T] = k_TKD
        cache.block_v[layer][place.block_T, :, place.slot_T] = v_TKD
        segments = [self._own(q_TKGD, k_TKD, v_TKD)]
        if place.pages:
            segments.append(self._over_pages(layer, q_TKGD))
        mixed.append(merge(segments).to(q_TKGD.dtype).flatten(1))
        return torch.cat(mixed) if len(mixed) > 1 else mixed[0]

    def _by_page(self, part_TKD: Tensor) -> Tensor:
        n_heads, width = part_TKD.shape[1:]
        return part_TKD.reshape(self._n_new, -1, n_heads, width).transpose(1, 2)

    def _prefix(self, q_TKGD: Tensor, k_PKSD: Tensor, v_PKSD: Tensor) -> Tensor:
        groups, width = q_TKGD.shape[2:]
        if groups > 1:
            k_PKSD, v_PKSD = (x.repeat_interleave(groups, dim=1) for x in (k_PKSD, v_PKSD))
        q_PHSD = self._by_page(q_TKGD.flatten(1, 2))
        mixed = F.scaled_dot_product_attention(q_PHSD, k_PKSD, v_PKSD, scale=1.0)
        return mixed.transpose(1, 2).reshape(-1, k_PKSD.shape[1] * width)

    def _own(self, q_TKGD: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> Partial:
        """Attend to the prompt's own tokens up to each; prompts are padded to the longest."""
        place = self._place
        n_cells = place.n_prompts * place.longest

        def pad(part: Tensor) -> Tensor:
            padded = part.new_zeros(n_cells, *part.shape[1:])
            padded[place.padded_T] = part
            return padded.view(place.n_prompts, place.longest, *part.shape[1:])

        groups = q_TKGD.shape[2]
        partial = partial_attention(
            pad(q_TKGD).permute(0, 2, 3, 1, 4).flatten(2, 3),
            pad(k_TKD).transpose(1, 2),
            pad(v_TKD).transpose(1, 2),
            self._causal_JJ.repeat(groups, 1),
        )

        def unpad(part: Tensor) -> Tensor:
            rows = part.view(*part.shape[:2], groups, place.longest, -1).permute(0, 3, 1, 2, 4)
            return rows.reshape(n_cells, *rows.shape[2:])[place.padded_T]

        return Partial(*(unpad(part) for part in partial))

    def _over_pages(self, layer: int, q_TKGD: Tensor) -> Partial:
        place, cache = self._place, self._cache
        n_pages, lanes = len(place.pages), place.lanes
        cells = q_TKGD.new_zeros(n_pages * lanes + 1, *q_TKGD.shape[1:])
        cells[place.cell_T] = q_TKGD
        partial = partial_attention(
            lanes_as_queries(cells[:-1], n_pages, lanes),
            cache.page_k[layer][self._pages],
            cache.page_v[layer][self._pages],
        )
        safe_T = place.cell_T.clamp(max=n_pages * lanes - 1)
        out, peak, mass = (queries_as_cells(part, n_pages, lanes)[safe_T] for part in partial)
        return Partial(out, peak.masked_fill(place.no_page_T, HIDDEN_SCORE), mass)


def _index(pages: Sequence[int], device: torch.device) -> slice | Tensor:
    """Return what picks these pages: neighbours in order where they lie, others one by one."""
    if pages and list(pages) == list(range(pages[0], pages[0] + len(pages))):
        return slice(pages[0], pages[0] + len(pages))
    return to_device(list(pages), device)
