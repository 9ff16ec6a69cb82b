"""Choosing the next token from logits: the likeliest, or drawn from the nucleus.

Knows nothing of what tokens mean. Letters: B rows, V vocabulary.
"""

import random

import torch
from torch import Tensor

COLDEST = 1e-4  # temperatures below it divide to infinity; rows at 0 are greedy anyway


class Draws:
    """Uniform numbers 0..1 of one request, each tied to a token's number in the answer.

    So a seed gives the same text however requests are batched.
    """

    def __init__(self, seed: int | None) -> None:
        self._random = random.Random(seed)
        self._drawn: list[float] = []

    def at(self, index: int) -> float:
        """Return the number for token `index`."""
        while len(self._drawn) <= index:
            self._drawn.append(self._random.random())
        return self._drawn[index]


def greedy(logits_BV: Tensor) -> Tensor:
    """Return the likeliest token of every row."""
    return logits_BV.argmax(dim=-1)


def nucleus(logits_BV: Tensor, temperature_B: Tensor, top_p_B: Tensor, draw_B: Tensor) -> Tensor:
    """Return a token of every row, drawn from its nucleus; rows of temperature 0 are greedy.

    The nucleus holds the likeliest tokens, each as long as the mass before it is within top_p.
    """
    heat_B1 = temperature_B.clamp(min=COLDEST)[:, None]
    probs_BV, order_BV = (logits_BV.float() / heat_B1).softmax(dim=-1).sort(dim=-1, descending=True)
    before_BV = probs_BV.cumsum(dim=-1) - probs_BV
    kept_BV = probs_BV.masked_fill(before_BV > top_p_B[:, None], 0)
    reached_BV = kept_BV.cumsum(dim=-1)
    goal_B1 = draw_B[:, None] * reached_BV[:, -1:]
    # Rounding must not carry a draw near 1 past the last token kept.
    last_B1 = (kept_BV > 0).sum(dim=-1, keepdim=True) - 1
    rank_B1 = torch.minimum((reached_BV <= goal_B1).sum(dim=-1, keepdim=True), last_B1)
    drawn_B = order_BV.gather(1, rank_B1).squeeze(1)
    return torch.where(temperature_B > 0, drawn_B, greedy(logits_BV))
