"""One cycle of the running batch: the steps of one object, or of one token where all rows write.

Rows of all skills go side by side. Nothing in here waits for the host, so the same function runs
as it stands and captured in a CUDA graph. Knows nothing of requests. Letters: B rows, C width.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.moondream.device.cache import KvCache
from pipeline.moondream.device.decode import DecodeAttend
from pipeline.moondream.device.kernels.loading import PLAIN, StepKernels
from pipeline.moondream.device.reads import (
    Nucleus,
    RowKind,
    TokenReader,
    write_coord,
    write_size,
)
from pipeline.moondream.device.rows import RowBuffers, Shape
from pipeline.moondream.network.layers import plain_add_norm
from pipeline.moondream.network.network import Network
from pipeline.moondream.network.text import Mix

COORD_STEPS = 2  # an object starts with x and y
SIZE_STEP = 2  # and a box goes on with its size


class Program(NamedTuple):
    """Which skills a cycle serves, and what any row needs of its tokens.

    That is: to be drawn at random, to know how likely others were, and to keep to a mask.
    """

    detect: bool
    point: bool
    text: bool
    reason: bool
    random: bool
    likely: bool = False
    masked: bool = False

    @classmethod
    def of(
        cls, kinds: Iterable[RowKind], random: bool, likely: bool = False, masked: bool = False
    ) -> "Program":
        """Return the cycle for rows of these kinds."""
        present = frozenset(kinds)
        return cls(
            detect=RowKind.DETECT in present,
            point=RowKind.POINT in present,
            text=bool(present & {RowKind.START, RowKind.TEXT, RowKind.REASON}),
            reason=RowKind.REASON in present,
            random=random,
            likely=likely,
            masked=masked,
        )

    def serves(self, other: "Program") -> bool:
        """Whether rows of the other program can run in this one; what it has more is masked out."""
        return all(mine or not theirs for mine, theirs in zip(self, other, strict=True))

    @property
    def steps(self) -> int:
        """Steps of the cycle: as many as its longest skill needs for one object or token."""
        if self.detect:
            return SIZE_STEP + 1
        return COORD_STEPS if self.point else 1

    def feeds_coord(self, step: int) -> bool:
        """Whether some row is fed a coordinate at a step."""
        return self.reason or ((self.detect or self.point) and step < COORD_STEPS)

    def feeds_size(self, step: int) -> bool:
        """Whether some row is fed a size at a step."""
        return self.detect and step == SIZE_STEP

    def gives_token(self, step: int) -> bool:
        """Whether some row chooses a token after a step."""
        object_ends = (self.detect and step == SIZE_STEP) or (
            self.point and step == COORD_STEPS - 1
        )
        return self.text or object_ends

    def rests_points(self, step: int) -> bool:
        """Whether rows that point sit a step out, because boxes need one step more."""
        return self.point and step >= COORD_STEPS


# The programs that graphs are made of: every other one is served by one of these. The three that
# are met at once are captured at start, the others when they are first needed. What tokens need
# comes in steps, and not in all combinations, as every graph takes time and memory.
OBJECTS = Program(detect=True, point=True, text=False, reason=False, random=False)
TEXT = Program(detect=False, point=False, text=True, reason=True, random=False)
MIXED = Program(detect=True, point=True, text=True, reason=True, random=False)
PREPARED = (OBJECTS, TEXT, MIXED)
CAPTURED = (
    Program(detect=False, point=True, text=False, reason=False, random=False),
    OBJECTS,
    *(
        skills._replace(random=random, likely=likely, masked=masked)
        for skills in (TEXT, MIXED)
        for random, likely, masked in (
            (False, False, False),
            (True, False, False),
            (True, False, True),
            (True, True, True),
        )
    ),
)


class Cycle:
    """Runs cycles over the buffers; the output is in `buffers.out` and `.hidden_BC`."""

    def __init__(
        self,
        network: Network,
        cache: KvCache,
        buffers: RowBuffers,
        reader: TokenReader,
        kernels: StepKernels = PLAIN,
    ) -> None:
        self._kernels = kernels
        self._network, self._cache = network, cache
        self._buffers, self._reader = buffers, reader
        self._coord_id = reader.coord_id

    def __call__(self, program: Program, shape: Shape) -> None:
        """Run all steps of a cycle for the rows that were uploaded."""
        buffers = self._buffers
        kind_B = buffers.ints("kind", shape.rows)
        token_B = buffers.ints("token", shape.rows)
        position_B = buffers.ints("start", shape.rows) + buffers.ints("length", shape.rows)
        slot_B = buffers.ints("slot", shape.rows)
        hidden_BC = buffers.hidden_BC[slot_B]
        is_point_B1 = (kind_B == RowKind.POINT)[:, None]
        for step in range(program.steps):
            feed_BC = self._feed(program, step, kind_B, token_B, hidden_BC)
            new_BC = self._forward(feed_BC, position_B, shape, step)
            if program.rests_points(step):
                new_BC = torch.where(is_point_B1, hidden_BC, new_BC)
            hidden_BC = new_BC
            if program.gives_token(step):
                token_B = self._token(program, step, kind_B, hidden_BC)
                kind_B = kind_B.masked_fill(kind_B == RowKind.START, RowKind.TEXT)
        buffers.hidden_BC[slot_B] = hidden_BC

    def _forward(self, feed_BC: Tensor, position_B: Tensor, shape: Shape, step: int) -> Tensor:
        text, kernels = self._network.text, self._kernels
        mix: Mix
        if kernels.attend is not None:
            mix = kernels.attend(self._cache, self._buffers, shape, step, text.dims, text.turns)
        else:
            attend = DecodeAttend(self._cache, self._buffers, shape, step)
            place_B = (position_B + step).clamp(max=text.dims.max_context - 1)
            if kernels.add_norm is None:
                return text.forward(feed_BC, place_B, attend)
            mix = text.mixing(attend, place_B)
        forward = text.joined_step if kernels.joined else text.step
        return forward(feed_BC, mix, kernels.add_norm or plain_add_norm)

    def _token(self, program: Program, step: int, kind_B: Tensor, hidden_BC: Tensor) -> Tensor:
        count = len(kind_B)
        drawn = Nucleus(*self._buffers.draws(step, count)) if program.random else None
        logits_BV = self._network.text.logits(hidden_BC)
        out_BF = self._buffers.out[step, :count]
        return self._reader.read(
            logits_BV,
            out_BF,
            kind_B if program.text else None,
            drawn,
            # A mask is for the first step: of what comes after it the host does not know the start.
            self._buffers.allowed(count) if program.masked and step == 0 else None,
            self._buffers.likely[step, :count] if program.likely else None,
        )

    def _feed(
        self, program: Program, step: int, kind_B: Tensor, token_B: Tensor, hidden_BC: Tensor
    ) -> Tensor:
        region, out_BF = self._network.region, self._buffers.out[step, : len(kind_B)]
        feed_BC = self._network.text.embed(token_B) if program.text else None
        if program.feeds_coord(step):
            coord = region.choose_coord(hidden_BC)
            write_coord(coord, out_BF)
            embedded_BC = region.embed_coord_bins(coord.bins)
            if feed_BC is None:
                feed_BC = embedded_BC
            else:
                wanted_B = self._wants_coord(step, kind_B, token_B)
                feed_BC = torch.where(wanted_B[:, None], embedded_BC, feed_BC)
        if program.feeds_size(step):
            size = region.choose_size(hidden_BC)
            write_size(size, out_BF)
            embedded_BC = region.embed_size_bins(size.bins)
            is_detect_B1 = (kind_B == RowKind.DETECT)[:, None]
            feed_BC = (
                embedded_BC if feed_BC is None else torch.where(is_detect_B1, embedded_BC, feed_BC)
            )
        assert feed_BC is not None
        return feed_BC

    def _wants_coord(self, step: int, kind_B: Tensor, token_B: Tensor) -> Tensor:
        named_B = (kind_B == RowKind.REASON) & (token_B == self._coord_id)
        if step >= COORD_STEPS:
            return named_B
        return named_B | (kind_B == RowKind.DETECT) | (kind_B == RowKind.POINT)
