"""One pass of a Lanczos resize, bit for bit as Pillow does it: in its own 32-bit whole numbers.

The plain operations need nine steps and a copy in float32 for what is one here, and are launched
one by one: a picture's host time is mostly theirs. Imports Triton.
"""

from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from pipeline.moondream.pictures.resize import WEIGHT_BITS, pillow_weights

BLOCK, WARPS = 512, 4


@triton.jit(do_not_specialize=["inner", "n_in", "n_out", "taps", "count"])
def _resize(
    picture_ptr, out_ptr, rows_ptr, weights_ptr, inner, n_in, n_out, taps, count,
    BITS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    along = at % inner
    out_row = (at // inner) % n_out
    outer = at // (inner * n_out)
    picture = picture_ptr + outer * (n_in * inner) + along
    total = tl.full([BLOCK], 1 << (BITS - 1), tl.int32)
    for tap in range(taps):
        row = tl.load(rows_ptr + out_row * taps + tap, mask=inside, other=0)
        weight = tl.load(weights_ptr + out_row * taps + tap, mask=inside, other=0)
        pixel = tl.load(picture + row * inner, mask=inside, other=0).to(tl.int32)
        total += weight * pixel
    whole = tl.minimum(tl.maximum(total >> BITS, 0), 255)
    tl.store(out_ptr + at, whole.to(tl.uint8), mask=inside)


def resize_axis(picture: Tensor, axis: int, n_out: int) -> Tensor:
    """Return contiguous pixels (H, W, C) uint8 with axis 0 or 1 resized."""
    height, width, channels = picture.shape
    n_in = picture.shape[axis]
    inner = channels if axis == 1 else width * channels
    size = (height, n_out, channels) if axis == 1 else (n_out, width, channels)
    out = picture.new_empty(size)
    rows, weights = _taps(n_in, n_out, picture.device)
    grid = (triton.cdiv(out.numel(), BLOCK),)
    _resize[grid](
        picture, out, rows, weights, inner, n_in, n_out, rows.shape[1], out.numel(),
        BITS=WEIGHT_BITS, BLOCK=BLOCK, num_warps=WARPS,
    )  # fmt: skip
    return out


@lru_cache(maxsize=256)
def _taps(n_in: int, n_out: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return input rows and weights of each output, as int32."""
    rows, weights = pillow_weights(n_in, n_out)
    return (
        torch.from_numpy(rows).to(device, torch.int32).contiguous(),
        torch.from_numpy(weights).to(device, torch.int32).contiguous(),
    )
