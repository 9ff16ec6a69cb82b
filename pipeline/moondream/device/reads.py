"""What one forward step says about each row, packed into numbers that travel to the host at once.

Knows nothing of requests. Letters: B rows, V vocabulary, F fields.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.moondream.device.next_token import greedy, nucleus
from pipeline.moondream.network.region import Choice
from pipeline.moondream.templates import SpecialIds


class RowKind(IntEnum):
    """What a row of the running batch is doing."""

    IDLE = 0
    DETECT = 1  # one object is three steps: x, y, size
    POINT = 2  # one object is two steps: x, y
    START = 3  # text whose first token comes out of the coming step: nothing is banned
    TEXT = 4  # text after its first token: the answer token is banned
    REASON = 5  # thinking before the answer: may name coordinates; end and size are banned


class Read(NamedTuple):
    """One row after one step; the region fields say what was fed, the others what came out."""

    token: float
    more: float  # probability that the next token is not the end
    yes: float  # probability of the spellings of yes as the next token
    no: float
    target: float  # log-probability of the token that was to be judged, while prefilling
    coord_bin: float
    coord_mass: float
    width_bin: float
    height_bin: float
    width_mass: float
    height_mass: float
    likely: tuple[float, ...] = ()  # as `N_LIKELY` says, where it was asked for

    @property
    def is_broken(self) -> bool:
        """Whether a number overflowed on its way here."""
        return any(math.isnan(number) for number in self[:-1])

    @property
    def next_token(self) -> int:
        """The chosen next token."""
        return int(self.token)


N_FIELDS = len(Read._fields) - 1  # those that every row has
LIKELY = 20  # alternatives to a token at most
N_LIKELY = 1 + 2 * LIKELY  # the chosen token's log-probability, then ids, then theirs
_TARGET = Read._fields.index("target")
_COORD = slice(Read._fields.index("coord_bin"), Read._fields.index("coord_mass") + 1)
_SIZE = slice(Read._fields.index("width_bin"), Read._fields.index("height_mass") + 1)


@dataclass(frozen=True, slots=True)
class Nucleus:
    """How each row draws its next token: temperature, top_p and a uniform number, each (B,)."""

    temperature: Tensor
    top_p: Tensor
    draw: Tensor


class TokenReader:
    """Chooses next tokens and measures what results need of their probabilities."""

    def __init__(
        self, ids: SpecialIds, yes: Sequence[int], no: Sequence[int], device: torch.device
    ) -> None:
        self._ids = ids
        # What no token equals, where a release cannot name coordinates in its text.
        self.coord_id = -1 if ids.coord is None else ids.coord
        self._yes = torch.tensor(list(yes), dtype=torch.long, device=device)
        self._no = torch.tensor(list(no), dtype=torch.long, device=device)

    def read(
        self,
        logits_BV: Tensor,
        out_BF: Tensor,
        kind_B: Tensor | None = None,
        nucleus_B: Nucleus | None = None,
        allowed_BW: Tensor | None = None,
        likely_BF: Tensor | None = None,
    ) -> Tensor:
        """Return the next tokens and write the first four fields; bans follow `kind_B`.

        `allowed_BW` has a bit for each token that may come next. How likely the token chosen and
        others were is written to `likely_BF`: to the model itself, before masks and temperature.
        """
        log_sum_B1 = logits_BV.float().logsumexp(dim=-1, keepdim=True)
        end = logits_BV[:, self._ids.eos, None].float()
        out_BF[:, 1:2] = 1 - (end - log_sum_B1).exp()
        for field, ids in ((2, self._yes), (3, self._no)):
            out_BF[:, field] = (logits_BV[:, ids].float() - log_sum_B1).exp().sum(dim=-1)
        if kind_B is not None:
            self._ban(logits_BV, kind_B)
        choice_BV = logits_BV
        if allowed_BW is not None:
            choice_BV = logits_BV.masked_fill(~_bits(allowed_BW, logits_BV.shape[-1]), -torch.inf)
        token_B = greedy(choice_BV) if nucleus_B is None else _draw(choice_BV, nucleus_B)
        out_BF[:, 0] = token_B
        if likely_BF is not None:
            _write_likely(logits_BV, token_B, likely_BF)
        return token_B

    def _ban(self, logits_BV: Tensor, kind_B: Tensor) -> None:
        bans = (
            (RowKind.TEXT, self._ids.answer),
            (RowKind.REASON, self._ids.eos),
            (RowKind.REASON, self._ids.size),
        )
        for kind, token in bans:
            if token is not None:
                logits_BV[:, token].masked_fill_(kind_B == kind, -torch.inf)


def _write_likely(logits_BV: Tensor, token_B: Tensor, likely_BF: Tensor) -> None:
    log_probs_BV = logits_BV.float().log_softmax(dim=-1)
    best = log_probs_BV.topk(LIKELY, dim=-1)
    likely_BF[:, :1] = log_probs_BV.gather(1, token_B[:, None])
    likely_BF[:, 1 : 1 + LIKELY] = best.indices
    likely_BF[:, 1 + LIKELY :] = best.values


def _bits(words_BW: Tensor, count: int) -> Tensor:
    """Return the first `count` bits of 32-bit words, the lowest of each word first."""
    place_32 = torch.arange(32, dtype=torch.int32, device=words_BW.device)
    bits = words_BW[:, :, None].bitwise_right_shift(place_32).bitwise_and(1)
    return bits.flatten(1)[:, :count].bool()


def write_targets(logits_BV: Tensor, target_B: Tensor, out_BF: Tensor) -> None:
    """Write the log-probability of each row's given token."""
    log_probs_BV = logits_BV.float().log_softmax(dim=-1)
    out_BF[:, _TARGET] = log_probs_BV.gather(1, target_B[:, None]).squeeze(1)


def write_coord(choice: Choice, out_BF: Tensor) -> None:
    """Write the coordinate that is fed."""
    out_BF[:, _COORD] = torch.stack([choice.bins.float(), choice.mass], dim=-1)


def write_size(choice: Choice, out_BF: Tensor) -> None:
    """Write the size that is fed."""
    out_BF[:, _SIZE] = torch.cat([choice.bins.float(), choice.mass], dim=-1)


def _draw(logits_BV: Tensor, given: Nucleus) -> Tensor:
    return nucleus(logits_BV, given.temperature, given.top_p, given.draw)
