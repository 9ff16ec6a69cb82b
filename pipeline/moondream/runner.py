"""Everything that runs on the device: cropping, encoding, prefills and cycles, and what they read.

Knows which strand has which row, but makes no decisions.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.moondream.cache import KvCache, blocks_for
from pipeline.moondream.crops import make_crops
from pipeline.moondream.cycle import Cycle, Program
from pipeline.moondream.graphs import CapturedCycles, CudaCapture
from pipeline.moondream.network import Network
from pipeline.moondream.prefill import PrefixBatch, PromptRow, prefill
from pipeline.moondream.reads import N_FIELDS, Nucleus, Read, TokenReader, write_targets
from pipeline.moondream.rows import MAX_FORWARDS, Row, RowBuffers, Shape
from pipeline.moondream.stages import Stages
from pipeline.moondream.strands import LANES, PictureState, Strand
from pipeline.moondream.vision import Tiles


@dataclass(frozen=True, slots=True)
class RunnerLimits:
    """How much one call of the device takes at most."""

    max_batch: int
    crops_per_chunk: int
    graphs: bool


class Runner:
    """The network with its cache and buffers; rows in, reads out."""

    def __init__(
        self, network: Network, cache: KvCache, reader: TokenReader, limits: RunnerLimits
    ) -> None:
        self._network, self._cache, self._reader = network, cache, reader
        self._crops_per_chunk = limits.crops_per_chunk
        row_blocks = blocks_for(network.dims.text.max_context)
        hidden_BC = torch.zeros(
            limits.max_batch, network.dims.text.dim, device=network.device, dtype=network.dtype
        )
        n_blocks = cache.block_k.shape[1]
        self._buffers = RowBuffers(n_blocks, row_blocks, hidden_BC)
        self._cycle: Cycle | CapturedCycles = Cycle(network, cache, self._buffers, reader)
        if limits.graphs:
            most = Shape(limits.max_batch, cache.page_k.shape[1], LANES, n_blocks, row_blocks)
            self._cycle = CapturedCycles(self._cycle, most, CudaCapture(network.device))
        self.stages = Stages(network.device)

    def on_device(self) -> AbstractContextManager[object]:
        """Make the network's device the current one, which graphs are captured on."""
        device = self._network.device
        return torch.cuda.device(device) if device.type == "cuda" else nullcontext()

    def cut(self, picture: PictureState) -> None:
        """Make the crops of a picture; raises PictureError for anything else."""
        with self.stages.timed("resize"):
            picture.crops = make_crops(
                picture.source,
                self._network.dims.vision,
                picture.max_crops,
                self._network.device,
                self._network.resizer,
            )

    def prefill(self, strands: Sequence[Strand]) -> list[list[Read]]:
        """Encode new pictures and read all prompts; one list of reads for each strand."""
        pictures = {s.picture: None for s in strands if s.picture and not s.picture.is_filled}
        prefixes = self._encode(list(pictures)) if pictures else None
        with self.stages.timed("prefill"):
            rows = [_prompt_row(strand) for strand in strands]
            hidden_TC = prefill(self._network, self._cache, prefixes, rows)
            reads = self._read_prompts(strands, hidden_TC)
        for picture in pictures:
            picture.is_filled = True
        return reads

    def cycle(self, strands: Mapping[int, Strand]) -> dict[int, list[Read]]:
        """Run one cycle and return each row's reads, one for each step it took part in."""
        rows: dict[int, Row] = {}
        for index, strand in strands.items():
            assert strand.row is not None
            rows[index] = strand.row
        program = program_of(strands)
        shape = self._shape(rows)
        with self.stages.timed("decode"):
            self._buffers.upload(rows, shape)
            if program.random:
                self._buffers.upload_draws(rows)
            self._cycle(program, shape)
            values = self._buffers.read_back(program.steps, shape.rows)
        return {index: [Read(*step[index].tolist()) for step in values] for index in rows}

    def scrub(self, strand: Strand, row: Row) -> None:
        """Zero what a strand whose numbers overflowed has left behind."""
        self._cache.scrub(row.page, row.blocks)
        self._buffers.hidden_BC[strand.index] = 0
        self._buffers.out[:, strand.index] = 0

    def _encode(self, pictures: Sequence[PictureState]) -> PrefixBatch:
        """Return the tokens of cut pictures; crops of all go through the encoder in chunks."""
        with self.stages.timed("vision"):
            pixels: list[Tensor] = []
            tiles: list[Tiles] = []
            first = 0
            for picture in pictures:
                assert picture.crops is not None
                pixels.append(picture.crops.pixels)
                tiles.append(Tiles(first, picture.crops.rows, picture.crops.cols))
                first += len(picture.crops.pixels)
            vision = self._network.vision
            chunks = torch.split(torch.cat(pixels), self._crops_per_chunk)
            features_NSE = torch.cat([vision.encode(chunk) for chunk in chunks])
            tokens_PSC = vision.project(features_NSE, tiles)
            for picture in pictures:
                picture.crops = None
        return PrefixBatch(tokens_PSC, [picture.page_in_use for picture in pictures])

    def _read_prompts(self, strands: Sequence[Strand], hidden_TC: Tensor) -> list[list[Read]]:
        """Read the tokens after each prompt's last token, or after each token to be judged."""
        chosen: list[int] = []
        targets: list[int] = []
        owner: list[int] = []
        ends: list[int] = []
        end = 0
        for number, strand in enumerate(strands):
            prompt = strand.skill.prompt
            end += len(prompt.ids)
            judged = prompt.targets or (0,)
            chosen += range(end - len(judged), end)
            targets += judged
            owner += [number] * len(judged)
            ends.append(end - 1)
        device = hidden_TC.device
        index = torch.tensor([s.index for s in strands], device=device)
        self._buffers.hidden_BC[index] = hidden_TC[torch.tensor(ends, device=device)]
        logits = self._network.text.logits(hidden_TC[torch.tensor(chosen, device=device)])
        out = torch.zeros(len(chosen), N_FIELDS, device=device)
        if any(strand.skill.prompt.targets for strand in strands):
            write_targets(logits, torch.tensor(targets, device=device), out)
        self._reader.read(logits, out, None, _first_draws([strands[i] for i in owner], device))
        reads: list[list[Read]] = [[] for _ in strands]
        for number, values in zip(owner, out.cpu().tolist(), strict=True):
            reads[number].append(Read(*values))
        return reads

    def _shape(self, rows: Mapping[int, Row]) -> Shape:
        pages = [row.page for row in rows.values() if row.page is not None]
        shape = Shape(
            rows=max(rows) + 1,
            pages=max(pages, default=-1) + 1,
            lanes=max((row.lane for row in rows.values() if row.page is not None), default=-1) + 1,
            blocks=self._cache.blocks.top,
            row_blocks=max(len(row.blocks) for row in rows.values()),
        )
        return self._cycle.round_up(shape) if isinstance(self._cycle, CapturedCycles) else shape


def program_of(strands: Mapping[int, Strand]) -> Program:
    """Return the cycle that serves running strands."""
    kinds = [strand.row.kind for strand in strands.values() if strand.row is not None]
    return Program.of(kinds, any(strand.skill.temperature > 0 for strand in strands.values()))


def _prompt_row(strand: Strand) -> PromptRow:
    assert strand.row is not None
    return PromptRow(strand.skill.prompt, strand.row.page, strand.row.blocks)


def _first_draws(strands: Sequence[Strand], device: torch.device) -> Nucleus | None:
    skills = [strand.skill for strand in strands]
    if not any(skill.temperature > 0 for skill in skills):
        return None
    return Nucleus(
        torch.tensor([skill.temperature for skill in skills], device=device),
        torch.tensor([skill.top_p for skill in skills], device=device),
        torch.tensor([skill.draw(0) for skill in skills], device=device),
    )


def draws_of(strand: Strand) -> tuple[float, ...]:
    """Return the uniform numbers of a strand's next tokens, one for each step of a cycle."""
    return tuple(strand.skill.draw(ahead) for ahead in range(MAX_FORWARDS))
