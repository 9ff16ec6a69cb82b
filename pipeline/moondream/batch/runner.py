"""Everything that runs on the device: cropping, encoding, prefills and cycles, and what they read.

Knows which strand has which row, but makes no decisions.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.moondream.batch.strands import LANES, PictureState, Strand
from pipeline.moondream.device.cache import KvCache, blocks_for
from pipeline.moondream.device.cycle import PREPARED, Cycle, Program
from pipeline.moondream.device.encoding import CropEncoder
from pipeline.moondream.device.graphs import (
    Capture,
    GraphCounts,
    GraphedCycles,
    ladder,
    ladder_of_rows,
)
from pipeline.moondream.device.kernels.loading import PLAIN, StepKernels
from pipeline.moondream.device.pages import PictureKey, PicturePage, hashing_threads
from pipeline.moondream.device.prefill import Prefills, PrefixBatch, PromptRow
from pipeline.moondream.device.reads import (
    N_FIELDS,
    N_LIKELY,
    Nucleus,
    Read,
    TokenReader,
    write_targets,
)
from pipeline.moondream.device.rows import MAX_FORWARDS, Row, RowBuffers, Shape, mask_words
from pipeline.moondream.device.stages import Stages
from pipeline.moondream.network.layers import plain_add_norm, to_device
from pipeline.moondream.network.network import Network
from pipeline.moondream.pictures.crops import crop_count, make_crops, tiling, to_rgb
from pipeline.moondream.pictures.uploads import PictureUploads


def _nothing() -> None:
    """Do nothing meanwhile."""


@dataclass(frozen=True, slots=True)
class RunnerLimits:
    """How much one call of the device takes at most."""

    max_batch: int
    crops_per_chunk: int
    pictures_per_prefill: int


class Runner:
    """The network with its cache and buffers; rows in, reads out."""

    def __init__(
        self,
        network: Network,
        cache: KvCache,
        reader: TokenReader,
        limits: RunnerLimits,
        capture: Capture | None,
        uploads: PictureUploads | None,
        kernels: StepKernels = PLAIN,
    ) -> None:
        """Without `uploads` pictures are cut where they are met, and the device's work waits."""
        self._network, self._cache, self._reader = network, cache, reader
        row_blocks = blocks_for(network.dims.text.max_context)
        hidden_BC = torch.zeros(
            limits.max_batch + 1, network.dims.text.dim, device=network.device, dtype=network.dtype
        )
        n_pages, n_blocks = cache.page_k.shape[1], cache.block_k.shape[1]
        self._buffers = RowBuffers(n_blocks, row_blocks, hidden_BC, network.dims.text.vocab_size)
        self._cycles = GraphedCycles(
            Cycle(network, cache, self._buffers, reader, kernels),
            Shape(limits.max_batch, n_pages, LANES, n_blocks, row_blocks),
            capture,
            ladder if kernels.attend is None else ladder_of_rows,
        )
        pictures = min(limits.pictures_per_prefill, n_pages)
        add_norm = kernels.add_norm or plain_add_norm
        self._encoder = CropEncoder(network, limits.crops_per_chunk, capture, pictures, add_norm)
        self._prefills = Prefills(network, cache, capture, pictures, add_norm, kernels.turn)
        self._uploads, self._resize_axis = uploads, kernels.resize
        self._hashing = hashing_threads()
        self.stages = Stages(network.device)

    def close(self) -> None:
        """End its threads; pictures cannot be looked at any more. Safe to repeat."""
        self._hashing.shutdown()

    def graph_counts(self) -> GraphCounts:
        """Return how much ran as captured graphs, and what became of the rest."""
        counts = self._cycles.counts().with_prepared(self._prefills.counts())
        return counts.with_prepared(self._encoder.counts())

    def capture_graphs(self) -> None:
        """Run what is usual without pictures and rows, in all its sizes, so that it is captured.

        The largest come first: what they need of memory serves all others.
        """
        self._encoder.warm_up()
        self._prefills.warm_up()
        for shape in reversed(self._cycles.rungs):
            self._buffers.upload([], shape)
            for program in PREPARED:
                self._cycles.warm_up(program, shape)
            # The next upload must find this one done, as it does after every cycle with rows.
            self._buffers.read_back(1, 1)

    def on_device(self) -> AbstractContextManager[object]:
        """Make the network's device the current one, which graphs are captured on."""
        device = self._network.device
        return torch.cuda.device(device) if device.type == "cuda" else nullcontext()

    def look_at(self, picture: PictureState) -> None:
        """Set a picture's key, under which its page is kept; raises PictureError for others."""
        rgb = picture.source = to_rgb(picture.source)
        height, width = rgb.shape[:2]
        rows, cols = tiling(height, width, self._network.dims.vision, picture.max_crops)
        picture.key = PictureKey.of(rgb, rows, cols, self._hashing)
        picture.n_crops = crop_count(rows, cols)

    def cut(self, picture: PictureState) -> None:
        """Make the crops of a picture; raises PictureError for anything else."""
        network, uploads = self._network, self._uploads
        vision, device, resizer = network.dims.vision, network.device, network.resizer
        resize_axis = self._resize_axis
        with self.stages.timed("resize"):
            if uploads is None:
                picture.crops = make_crops(
                    picture.source, vision, picture.max_crops, device, resizer, None, resize_axis
                )
            else:
                picture.crops, picture.cut = uploads.cut(
                    lambda: make_crops(
                        picture.source, vision, picture.max_crops, device, resizer,
                        uploads.send, resize_axis,
                    )
                )  # fmt: skip
        assert picture.crops is not None
        picture.n_crops = len(picture.crops.pixels)

    def prefill(
        self, strands: Sequence[Strand], meanwhile: Callable[[], None] = _nothing
    ) -> list[list[Read]]:
        """Encode new pictures and read all prompts; one list of reads for each strand.

        The host does what it can do `meanwhile` while the device works.
        """
        new: dict[PicturePage, PictureState] = {}
        for strand in strands:
            picture = strand.picture
            if picture is not None and picture.page is not None and not picture.page.is_filled:
                new.setdefault(picture.page, picture)
        prefixes = self._encode(new) if new else None
        with self.stages.timed("prefill"):
            rows = [_prompt_row(strand) for strand in strands]
            hidden_TC = self._prefills(prefixes, rows)
            reads = self._read_prompts(strands, hidden_TC, meanwhile)
        for page in new:
            page.is_filled = True
        return reads

    def program(self, strands: Sequence[Strand]) -> Program:
        """Return the program that serves running strands."""
        kinds = [strand.row.kind for strand in strands if strand.row is not None]
        skills = [strand.skill for strand in strands]
        is_random = any(skill.temperature > 0 for skill in skills)
        is_likely = any(skill.wants_likely for skill in skills)
        is_masked = any(skill.allowed is not None for skill in skills)
        return self._cycles.program(Program.of(kinds, is_random, is_likely, is_masked))

    def graph_shape(self, program: Program, least: Shape) -> Shape | None:
        """Return the shape of the graph that serves what is in use; None where there is none."""
        return self._cycles.rung(program, least)

    def cycle(
        self,
        strands: Sequence[Strand],
        program: Program,
        shape: Shape,
        meanwhile: Callable[[], None] = _nothing,
    ) -> list[list[Read]]:
        """Run one cycle and return each strand's reads, one for each step it took part in."""
        rows: list[Row] = []
        for strand in strands:
            assert strand.row is not None
            rows.append(strand.row)
        with self.stages.timed("decode"):
            self._buffers.upload(rows, shape)
            if program.random:
                self._buffers.upload_draws(rows)
            if program.masked:
                self._buffers.upload_allowed([strand.skill.allowed for strand in strands])
            self._cycles(program, shape)
            meanwhile()
            values = self._buffers.read_back(program.steps, len(rows))
        reads = [[Read(*step[number].tolist()) for step in values] for number in range(len(rows))]
        if program.likely:
            for step, rows_ in enumerate(self._buffers.read_likely(program.steps, len(rows))):
                for number, strand in enumerate(strands):
                    if strand.skill.wants_likely:
                        likely = tuple(rows_[number])
                        reads[number][step] = reads[number][step]._replace(likely=likely)
        return reads

    def scrub(self, strand: Strand, row: Row) -> None:
        """Zero what a strand whose numbers overflowed has left behind."""
        self._cache.scrub(None if row.page is None else row.page.place, row.blocks)
        self._buffers.hidden_BC[strand.index] = 0
        self._buffers.out.zero_()
        self._buffers.likely.zero_()

    def _encode(self, new: Mapping[PicturePage, PictureState]) -> PrefixBatch:
        """Return the tokens of cut pictures; crops of all go through the encoder in chunks."""
        with self.stages.timed("vision"):
            pixels: list[Tensor] = []
            tilings: list[tuple[int, int]] = []
            for picture in new.values():
                assert picture.crops is not None
                if picture.cut is not None:
                    picture.cut.precede([picture.crops.pixels])
                pixels.append(picture.crops.pixels)
                tilings.append((picture.crops.rows, picture.crops.cols))
            tokens_PSC = self._encoder(pixels, tilings)
            for picture in new.values():
                picture.crops = picture.cut = None
        return PrefixBatch(tokens_PSC, [page.place for page in new])

    def _read_prompts(
        self, strands: Sequence[Strand], hidden_TC: Tensor, meanwhile: Callable[[], None]
    ) -> list[list[Read]]:
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
        index = to_device([strand.index for strand in strands], device)
        self._buffers.hidden_BC[index] = hidden_TC[to_device(ends, device)]
        logits = self._network.text.logits(hidden_TC[to_device(chosen, device)])
        out = torch.zeros(len(chosen), N_FIELDS, device=device)
        if any(strand.skill.prompt.targets for strand in strands):
            write_targets(logits, to_device(targets, device), out)
        owners = [strands[number] for number in owner]
        likely = None
        if any(strand.skill.wants_likely for strand in strands):
            likely = torch.zeros(len(chosen), N_LIKELY, device=device)
        allowed = self._first_allowed(owners, device)
        self._reader.read(logits, out, None, _first_draws(owners, device), allowed, likely)
        meanwhile()
        reads: list[list[Read]] = [[] for _ in strands]
        found = out.cpu().tolist()
        others = None if likely is None else likely.tolist()
        for place, number in enumerate(owner):
            read = Read(*found[place])
            if others is not None and strands[number].skill.wants_likely:
                read = read._replace(likely=tuple(others[place]))
            reads[number].append(read)
        return reads

    def _first_allowed(self, strands: Sequence[Strand], device: torch.device) -> Tensor | None:
        masks = [strand.skill.allowed for strand in strands]
        if all(mask is None for mask in masks):
            return None
        free = np.full(mask_words(self._network.dims.text.vocab_size), -1, dtype=np.int32)
        rows = np.stack([free if mask is None else mask for mask in masks])
        return torch.from_numpy(rows).to(device)


def _prompt_row(strand: Strand) -> PromptRow:
    assert strand.row is not None
    page = strand.row.page
    return PromptRow(strand.skill.prompt, None if page is None else page.place, strand.row.blocks)


def _first_draws(strands: Sequence[Strand], device: torch.device) -> Nucleus | None:
    skills = [strand.skill for strand in strands]
    if not any(skill.temperature > 0 for skill in skills):
        return None
    return Nucleus(
        to_device([skill.temperature for skill in skills], device),
        to_device([skill.top_p for skill in skills], device),
        to_device([skill.draw(0) for skill in skills], device),
    )


def draws_of(strand: Strand) -> tuple[float, ...]:
    """Return the uniform numbers of a strand's next tokens, one for each step of a cycle."""
    return tuple(strand.skill.draw(ahead) for ahead in range(MAX_FORWARDS))
