"""The three parts of the network, built from a state dict with their sizes.

Knows nothing of files: names are those of the published weights without "model.".
"""

from dataclasses import dataclass
from typing import Self

import torch

from pipeline.moondream.dims import Dims
from pipeline.moondream.network.layers import State
from pipeline.moondream.network.region import RegionModel
from pipeline.moondream.network.text import TextModel
from pipeline.moondream.network.vision import VisionModel
from pipeline.moondream.templates import Release, Resizer


@dataclass(frozen=True, slots=True)
class Network:
    """Vision, text and region model; all tensors share one device and dtype.

    `resizer` is what its pictures are resized with before they are encoded.
    """

    dims: Dims
    bos: int
    vision: VisionModel
    text: TextModel
    region: RegionModel
    resizer: Resizer = "pillow"

    @classmethod
    def from_state(
        cls,
        state: State,
        dims: Dims,
        release: Release,
        variant: State | None = None,
        resizer: Resizer = "pillow",
    ) -> Self:
        """Build the parts around the tensors of `state`; nothing is copied but small tables."""
        return cls(
            dims=dims,
            bos=release.ids.bos,
            vision=VisionModel(state, dims.vision, release.pixels),
            text=TextModel(state, dims.text, variant),
            region=RegionModel(state, dims.region, release.size_decoding),
            resizer=resizer,
        )

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.text.wte.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the tensors."""
        return self.text.wte.dtype
