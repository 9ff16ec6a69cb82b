"""Crops of pictures to their tokens, captured for the kinds of pictures that come again and again.

Crops of several pictures go through the encoder together, as many as fill the device. Knows
nothing of how pictures are cut. Letters: P pictures, S patches of a crop (729), C text width.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pipeline.moondream.device.graphs import Capture, GraphCounts, KeyedGraphs
from pipeline.moondream.network.layers import AddNorm, plain_add_norm
from pipeline.moondream.network.network import Network
from pipeline.moondream.network.vision import Tiles

Tiling = tuple[int, int]

# Captured when the engine is made: so many pictures of a single crop, and of the tilings of the
# usual shapes, 16:9 (nine crops) and 4:3 (thirteen), where they fit a run of the encoder.
PREPARED_SINGLES = (16, 12, 8, 4, 3, 2, 1)
PREPARED_TILINGS = (((2, 4), (7, 4, 2, 1)), ((3, 4), (4, 3, 1)))


class CropEncoder:
    """Encodes pictures; runs of the same tilings are captured."""

    def __init__(
        self,
        network: Network,
        crops_per_run: int,
        capture: Capture | None,
        most_pictures: int,
        add_norm: AddNorm = plain_add_norm,
    ) -> None:
        """`most_pictures` limits a captured run; without `capture` there is none."""
        self._network, self._crops_per_run = network, crops_per_run
        self._most_pictures, self._add_norm = most_pictures, add_norm
        self._graphs: KeyedGraphs[tuple[Tiling, ...]] | None = None
        if capture is None:
            return
        device, vision = network.device, network.dims.vision
        side = vision.crop_size
        self._pixels = torch.zeros(
            crops_per_run, side, side, vision.in_channels, dtype=torch.uint8, device=device
        )
        self._tokens_PSC = torch.zeros(
            most_pictures, vision.n_patches, network.dims.text.dim,
            device=device, dtype=network.dtype,
        )  # fmt: skip
        self._graphs = KeyedGraphs(self.run, capture, "the encoding of pictures tiled")

    def counts(self) -> GraphCounts:
        """Return what became of all runs that could be captured."""
        return GraphCounts() if self._graphs is None else self._graphs.counts()

    def warm_up(self) -> None:
        """Capture runs of the usual kinds."""
        if self._graphs is None:
            return
        kinds = ((1, 1), PREPARED_SINGLES), *PREPARED_TILINGS
        for tiling, counts in kinds:
            for count in counts:
                if count * n_crops(tiling) <= self._crops_per_run and count <= self._most_pictures:
                    self._graphs.warm_up((tiling,) * count)

    def __call__(self, pixels: Sequence[Tensor], tilings: Sequence[Tiling]) -> Tensor:
        """Return the tokens (P, 729, C) of pictures from the crops of each."""
        if self._graphs is None or max(map(n_crops, tilings)) > self._crops_per_run:
            return self._encoded(torch.cat(list(pixels)), tilings)
        runs = []
        for some in self._runs(tilings):
            crops = list(pixels[some])
            torch.cat(crops, out=self._pixels[: sum(map(len, crops))])
            key = tuple(tilings[some])
            self._graphs(key)
            runs.append(self._tokens_PSC[: len(key)].clone())
        return runs[0] if len(runs) == 1 else torch.cat(runs)

    def _runs(self, tilings: Sequence[Tiling]) -> Iterator[slice]:
        """Divide pictures among runs, as many as fit into each."""
        first = crops = 0
        for at, tiling in enumerate(tilings):
            own = n_crops(tiling)
            if crops + own > self._crops_per_run or at - first == self._most_pictures:
                yield slice(first, at)
                first, crops = at, 0
            crops += own
        yield slice(first, len(tilings))

    def run(self, tilings: tuple[Tiling, ...]) -> None:
        """Encode what lies where crops are read."""
        crops = self._pixels[: sum(map(n_crops, tilings))]
        self._tokens_PSC[: len(tilings)].copy_(self._encoded(crops, tilings))

    def _encoded(self, crops: Tensor, tilings: Sequence[Tiling]) -> Tensor:
        vision = self._network.vision
        chunks = torch.split(crops, self._crops_per_run)
        features_NSE = torch.cat([vision.encode(chunk, self._add_norm) for chunk in chunks])
        tiles, first = [], 0
        for tiling in tilings:
            tiles.append(Tiles(first, *tiling))
            first += tiles[-1].n_crops
        return vision.project(features_NSE, tiles)


def n_crops(tiling: Tiling) -> int:
    """Return how many crops a picture of a tiling has."""
    return Tiles(0, *tiling).n_crops
