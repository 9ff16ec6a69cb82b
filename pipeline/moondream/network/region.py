"""Coordinates and sizes: numbers to embeddings and hidden states back to bins.

Knows nothing of which numbers belong to which object. Letters: B rows, C text width, K bins.
"""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from pipeline.moondream.dims import RegionDims
from pipeline.moondream.network.layers import Linear, Mlp, State, long_range

# A size bin is a step on a log scale that spans ten octaves, 1/1024 to 1.
SIZE_OCTAVES = 10
# How near a bin must lie to the chosen one for its probability to speak for it: one hundredth of
# the picture for a coordinate, about a tenth of its value for a size.
NEAR_COORD = 10
NEAR_SIZE = 14


class Choice(NamedTuple):
    """The likeliest bins and how much probability lies on and near them; any one shape."""

    bins: Tensor
    mass: Tensor


class RegionModel:
    """The region coders; decoding is greedy in every release."""

    def __init__(
        self, state: State, dims: RegionDims, size_decoding: Literal["log", "linear"] = "log"
    ) -> None:
        self.dims = dims
        self._coord_features = state["region.coord_features"]
        self._size_features = state["region.size_features"]
        self._coord_encoder = Linear.of(state, "region.coord_encoder")
        self._size_encoder = Linear.of(state, "region.size_encoder")
        self._coord_decoder = Mlp.of(state, "region.coord_decoder")
        self._size_decoder = Mlp.of(state, "region.size_decoder")
        device = self._coord_features.device
        self._size_values = size_values(dims.size_bins, size_decoding).to(device)
        coords = coord_values(dims.coord_bins).to(device)
        # There are as many coordinate embeddings as bins, so they are looked up.
        self._coord_table = self.encode_coord(coords[:, None])

    def encode_coord(self, coord_B1: Tensor) -> Tensor:
        """Return embeddings (B, C) of coordinates in 0..1, rounded to the model's precision."""
        features = _fourier(coord_B1.to(self._coord_features.dtype), self._coord_features)
        return self._coord_encoder(features)

    def encode_size(self, size_B2: Tensor) -> Tensor:
        """Return embeddings (B, C) of widths and heights."""
        features = _fourier(size_B2.to(self._size_features.dtype), self._size_features)
        return self._size_encoder(features)

    def embed_coord_bins(self, bins_B: Tensor) -> Tensor:
        """Return the embeddings of coordinate bins."""
        return self._coord_table[bins_B]

    def embed_size_bins(self, bins_B2: Tensor) -> Tensor:
        """Return the embeddings of width and height bins."""
        return self.encode_size(self._size_values[bins_B2])

    def coord_logits(self, hidden_BC: Tensor) -> Tensor:
        """Return logits (B, K) over coordinate bins."""
        return self._coord_decoder(hidden_BC)

    def size_logits(self, hidden_BC: Tensor) -> Tensor:
        """Return logits (B, 2, K) over width bins and height bins."""
        return self._size_decoder(hidden_BC).view(-1, 2, self.dims.size_bins)

    def choose_coord(self, hidden_BC: Tensor) -> Choice:
        """Return the likeliest coordinate bin of every row."""
        return _choose(self.coord_logits(hidden_BC), NEAR_COORD)

    def choose_size(self, hidden_BC: Tensor) -> Choice:
        """Return the likeliest width and height bin of every row."""
        return _choose(self.size_logits(hidden_BC), NEAR_SIZE)


def coord_values(n_bins: int) -> Tensor:
    """Return the coordinate of each bin, 0 to just under 1."""
    return torch.arange(n_bins, dtype=torch.float32) / n_bins


def size_values(n_bins: int, decoding: Literal["log", "linear"]) -> Tensor:
    """Return the width or height of each bin."""
    bins = torch.arange(n_bins, dtype=torch.float32)
    if decoding == "linear":
        return bins / n_bins
    return torch.pow(2.0, bins / (n_bins - 1) * SIZE_OCTAVES - SIZE_OCTAVES)


def _fourier(x: Tensor, features: Tensor) -> Tensor:
    # The order matters in low precision: the phase is rounded before the product.
    phase = (2 * math.pi * x) @ features
    return torch.cat([phase.cos(), phase.sin()], dim=-1)


def _choose(logits: Tensor, near: int) -> Choice:
    bins = logits.argmax(dim=-1)
    distance = (long_range(logits.shape[-1], logits.device) - bins[..., None]).abs()
    probs = logits.float().softmax(dim=-1)
    return Choice(bins, probs.masked_fill(distance > near, 0).sum(dim=-1))
