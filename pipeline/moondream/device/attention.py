"""Attention in segments: each segment of keys gives a partial result, and partials are merged.

So a picture's keys can be read once for all its requests, next to every request's own keys.
Knows nothing of layers or caches. Letters: N segments, K key heads, M queries of a key head,
L keys of a segment, D head width.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

HIDDEN_SCORE = -1e30  # finite, so that a segment without visible keys merges as nothing, not NaN


class Partial(NamedTuple):
    """Attention over one segment, with its weight: largest score, sum of weights."""

    out: Tensor
    peak: Tensor
    mass: Tensor


def partial_attention(
    q_NKMD: Tensor, k_NKLD: Tensor, v_NKLD: Tensor, visible: Tensor | None = None
) -> Partial:
    """Attend to one segment of keys; `visible` broadcasts to the scores (N, K, M, L).

    Queries come already scaled. Returns out (N, K, M, D), peak and mass (N, K, M, 1).
    """
    score_NKML = torch.matmul(q_NKMD, k_NKLD.transpose(-1, -2)).float()
    if visible is not None:
        score_NKML = score_NKML.masked_fill(~visible, HIDDEN_SCORE)
    peak = score_NKML.amax(dim=-1, keepdim=True)
    weight_NKML = (score_NKML - peak).exp_()
    mass = weight_NKML.sum(dim=-1, keepdim=True)
    # Divided before the product: a sum over hundreds of values could leave the range of float16.
    weight_NKML.div_(mass)
    return Partial(torch.matmul(weight_NKML.to(v_NKLD.dtype), v_NKLD), peak, mass)


def merge(partials: Sequence[Partial]) -> Tensor:
    """Return the attention over all segments together; shapes of the partials broadcast."""
    peak = partials[0].peak
    for partial in partials[1:]:
        peak = torch.maximum(peak, partial.peak)
    out: Tensor | None = None
    mass: Tensor | None = None
    for partial in partials:
        share = (partial.peak - peak).exp_().mul_(partial.mass)
        scaled = partial.out.float() * share
        out = scaled if out is None else out + scaled
        mass = share if mass is None else mass + share
    assert out is not None
    assert mass is not None
    return (out / mass).to(partials[0].out.dtype)


def merge_over(partial: Partial, dim: int) -> Partial:
    """Merge the segments that lie along one dimension into one partial."""
    peak = partial.peak.amax(dim=dim, keepdim=True)
    share = (partial.peak - peak).exp_().mul_(partial.mass)
    mass = share.sum(dim=dim)
    out = (partial.out.float() * share).sum(dim=dim).div_(mass)
    return Partial(out, peak.squeeze(dim), mass)
