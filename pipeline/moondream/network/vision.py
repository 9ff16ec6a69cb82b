"""Crops to the picture's tokens: encoder, stitching and pooling of tiles, projection.

Knows nothing of how pictures are cut into crops, nor of the language model. Letters: N crops,
P pictures, S patches of a crop (729), E encoder width, C text width, H heads, D head width,
R and W rows and columns of tiles, y and x patches along a crop (27).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.moondream.dims import VisionDims
from pipeline.moondream.network.layers import AddNorm, Linear, Mlp, Norm, State, plain_add_norm
from pipeline.moondream.pictures.crops import pixel_lut
from pipeline.moondream.templates import PixelPrecision

ROUND_INPUTS = 8  # half-precision matrix kernels are fast for multiples of it (588 becomes 592)


@dataclass(frozen=True, slots=True)
class Tiles:
    """Where a picture's crops lie in a run of encoded crops, and how they tile it."""

    first: int
    rows: int
    cols: int

    @property
    def is_single(self) -> bool:
        """Whether the only crop is global and local view in one."""
        return self.rows == 1 and self.cols == 1

    @property
    def n_crops(self) -> int:
        """Crops of the picture, the global one included where it is not the local one too."""
        return 1 if self.is_single else 1 + self.rows * self.cols


@dataclass(frozen=True, slots=True)
class VisionBlock:
    """One encoder block: attention, then the wide layer, each behind a norm and added."""

    ln1: Norm
    qkv: Linear
    proj: Linear
    ln2: Norm
    mlp: Mlp

    @classmethod
    def of(cls, state: State, name: str) -> Self:
        """Take block `name` out of a state dict."""
        return cls(
            Norm.of(state, f"{name}.ln1"),
            Linear.of(state, f"{name}.attn.qkv"),
            Linear.of(state, f"{name}.attn.proj"),
            Norm.of(state, f"{name}.ln2"),
            Mlp.of(state, f"{name}.mlp"),
        )

    def attended(self, normed_NSE: Tensor, n_heads: int) -> Tensor:
        """Return what attention adds to the block's input, from that input normed."""
        n_crops, n_patches, width = normed_NSE.shape
        qkv = self.qkv(normed_NSE).view(n_crops, n_patches, 3, n_heads, width // n_heads)
        q_NHSD, k_NHSD, v_NHSD = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed_NHSD = F.scaled_dot_product_attention(q_NHSD, k_NHSD, v_NHSD)
        return self.proj(mixed_NHSD.transpose(1, 2).reshape(n_crops, n_patches, width))


class VisionModel:
    """The picture encoder with its projection into the language model's space."""

    def __init__(self, state: State, dims: VisionDims, pixels: PixelPrecision = "bfloat16") -> None:
        self.dims = dims
        self._pos_emb = state["vision.pos_emb"]
        self._patch_emb = Linear.of(state, "vision.patch_emb")
        if self._pos_emb.dtype != torch.float32:
            self._patch_emb = self._patch_emb.with_padded_inputs(ROUND_INPUTS)
        self._blocks = [
            VisionBlock.of(state, f"vision.blocks.{i}") for i in range(dims.enc_n_layers)
        ]
        self._post_ln = Norm.of(state, "vision.post_ln")
        self._proj = Mlp.of(state, "vision.proj_mlp")
        self._pixel_lut = pixel_lut(pixels).to(self._pos_emb)

    def encode(self, crops_Nyxc: Tensor, add_norm: AddNorm = plain_add_norm) -> Tensor:
        """Return the features (N, 729, E) of uint8 crops (N, 378, 378, 3)."""
        patches = _patches(crops_Nyxc, self.dims)
        patches_NSF = self._pixel_lut[patches.to(torch.int32)]
        missing = self._patch_emb.weight.shape[1] - patches_NSF.shape[-1]
        if missing:
            patches_NSF = F.pad(patches_NSF, (0, missing))
        x_NSE = self._patch_emb(patches_NSF) + self._pos_emb
        return self.through_blocks(x_NSE, add_norm)

    def through_blocks(self, x_NSE: Tensor, add_norm: AddNorm) -> Tensor:
        """Return what all blocks make of embedded patches, normed."""
        shape, n_heads = x_NSE.shape, self.dims.enc_n_heads
        norms = [block.ln1 for block in self._blocks[1:]] + [self._post_ln]
        x_TE, normed_TE = x_NSE.flatten(0, 1), self._blocks[0].ln1(x_NSE).flatten(0, 1)
        for block, norm in zip(self._blocks, norms, strict=True):
            attended_TE = block.attended(normed_TE.view(shape), n_heads).flatten(0, 1)
            x_TE, normed_TE = add_norm(x_TE, attended_TE, None, block.ln2)
            x_TE, normed_TE = add_norm(x_TE, block.mlp(normed_TE), None, norm)
        return normed_TE.view(shape)

    def project(self, features_NSE: Tensor, pictures: Sequence[Tiles]) -> Tensor:
        """Return the tokens (P, 729, C) of the pictures whose crops were encoded."""
        if all(tiles.is_single for tiles in pictures) and len(pictures) == len(features_NSE):
            # Each picture's only crop is both of its views.
            return self._proj(torch.cat([features_NSE, features_NSE], dim=-1))
        both = [
            torch.cat([features_NSE[tiles.first], self.pool(features_NSE, tiles)], dim=-1)
            for tiles in pictures
        ]
        return self._proj(torch.stack(both))

    def pool(self, features_NSE: Tensor, tiles: Tiles) -> Tensor:
        """Return the local features (729, E): tiles stitched without their margins, then averaged.

        Stitching only drops margins and averaging only takes means, so both are one matrix for
        the rows and one for the columns, kept in float32 so that means are rounded once.
        """
        if tiles.is_single:
            return features_NSE[tiles.first]
        dims, first = self.dims, tiles.first + 1
        width = features_NSE.shape[-1]
        local = features_NSE[first : first + tiles.rows * tiles.cols].float()
        grid_RyWxE = local.view(tiles.rows, tiles.cols, dims.grid, dims.grid, width).transpose(1, 2)
        rows = _pool_matrix(tiles.rows, dims, local.device)
        cols = _pool_matrix(tiles.cols, dims, local.device)
        by_rows = rows @ grid_RyWxE.reshape(tiles.rows * dims.grid, -1)
        pooled = cols @ by_rows.view(dims.grid, tiles.cols * dims.grid, width)
        return pooled.view(dims.n_patches, width).to(features_NSE.dtype)


def _patches(crops_Nyxc: Tensor, dims: VisionDims) -> Tensor:
    """Cut crops into flattened patches, channel first: (N, 729, 588)."""
    size, grid = dims.enc_patch_size, dims.grid
    cut = crops_Nyxc.view(-1, grid, size, grid, size, dims.in_channels)
    return cut.permute(0, 1, 3, 5, 2, 4).reshape(-1, dims.n_patches, dims.patch_dim)


@cache  # for good, as captured graphs read them; there are few
def _pool_matrix(tiles: int, dims: VisionDims, device: torch.device) -> Tensor:
    """Return (27, tiles * 27): means over the stitched line, zero where a margin is dropped."""
    grid, margin = dims.grid, dims.overlap_margin
    kept: list[int] = []
    for tile in range(tiles):
        start = 0 if tile == 0 else margin
        stop = grid if tile == tiles - 1 else grid - margin
        kept += range(tile * grid + start, tile * grid + stop)
    matrix = torch.zeros(grid, tiles * grid)
    for out in range(grid):
        bin_start = out * len(kept) // grid
        bin_stop = math.ceil((out + 1) * len(kept) / grid)
        matrix[out, kept[bin_start:bin_stop]] = 1 / (bin_stop - bin_start)
    return matrix.to(device)
