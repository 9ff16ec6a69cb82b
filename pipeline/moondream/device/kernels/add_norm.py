"""The end of one block and the norm of the next, in one kernel: x + a + b, then its layer norm.

Imports Triton. Letters: B rows, C width.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from pipeline.moondream.network.layers import NORM_EPS, Norm

WARPS = 4


@triton.jit
def _add_norm(
    x_ptr, a_ptr, b_ptr, weight_ptr, bias_ptr, sum_ptr, normed_ptr,
    eps, HAS_B: tl.constexpr, WIDTH: tl.constexpr, WIDTH_POW2: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * WIDTH
    at = tl.arange(0, WIDTH_POW2)
    inside = at < WIDTH
    x = tl.load(x_ptr + row + at, mask=inside, other=0.0)
    a = tl.load(a_ptr + row + at, mask=inside, other=0.0)
    added = x.to(tl.float32) + a.to(tl.float32)
    if HAS_B:
        added += tl.load(b_ptr + row + at, mask=inside, other=0.0).to(tl.float32)
    added = added.to(x.dtype)
    tl.store(sum_ptr + row + at, added, mask=inside)
    exact = added.to(tl.float32)
    mean = tl.sum(exact, axis=0) / WIDTH
    centred = tl.where(inside, exact - mean, 0.0)
    spread = tl.rsqrt(tl.sum(centred * centred, axis=0) / WIDTH + eps)
    weight = tl.load(weight_ptr + at, mask=inside, other=0.0).to(tl.float32)
    bias = tl.load(bias_ptr + at, mask=inside, other=0.0).to(tl.float32)
    normed = centred * spread * weight + bias
    tl.store(normed_ptr + row + at, normed.to(x.dtype), mask=inside)


def add_norm(x_BC: Tensor, a_BC: Tensor, b_BC: Tensor | None, norm: Norm) -> tuple[Tensor, Tensor]:
    """Return x + a + b, and the same normed; without b, x + a."""
    rows, width = x_BC.shape
    x_BC, a_BC = x_BC.contiguous(), a_BC.contiguous()
    added_BC, normed_BC = torch.empty_like(x_BC), torch.empty_like(x_BC)
    _add_norm[(rows,)](
        x_BC, a_BC, a_BC if b_BC is None else b_BC.contiguous(),
        norm.weight, norm.bias, added_BC, normed_BC, NORM_EPS,
        HAS_B=b_BC is not None, WIDTH=width, WIDTH_POW2=triton.next_power_of_2(width),
        num_warps=WARPS,
    )  # fmt: skip
    return added_BC, normed_BC
