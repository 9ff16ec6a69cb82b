"""Lanczos resizing of uint8 pictures, bit for bit as Pillow up to 12 does it, on any torch device.

Pillow weighs pixels in fixed point: integer weights of 22 bits, one rounding after the horizontal
pass and one after the vertical. Each weight is split here into a high and a low part, so small that
their sums stay below 2^24, where float32 arithmetic on whole numbers is exact in any order. That
lets a fast float32 kernel (a weighted bag of rows) do an integer's work.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from pipeline.moondream.errors import PictureError

_LOBES = 3
WEIGHT_BITS = 22
_EXACT = 1 << 24
# Splitting below this bit would let the sums of the high parts leave the exact range.
_MIN_LOW_BITS = 7
_MAX_LOW_BITS = 10
# Floats of one chunk of columns, read and written: on a CPU they stay in its caches, on a GPU they
# only bound the memory.
_CHUNK_FLOATS_CPU = 1 << 20
_CHUNK_FLOATS_GPU = 1 << 26
_VECTOR = 16
# The faster way adds and counts in 32 bits; pictures beyond are left to plain operations.
_LONGEST_BY, _MOST_BY = 1 << 14, 1 << 28


class _Taps(NamedTuple):
    """What one pass reads: input rows and weights, both (2 * out, taps + 1).

    The upper half has the high parts of the weights, the lower half the low parts. The last tap
    is a row of ones.
    """

    rows: torch.Tensor
    weights: torch.Tensor
    low_scale: float


class ResizeAxis(Protocol):
    """Resizes one axis at a time, with the same bytes."""

    def __call__(self, picture: torch.Tensor, axis: int, n_out: int, /) -> torch.Tensor:
        """Return contiguous pixels (H, W, C) uint8 with axis 0 or 1 resized."""
        ...


def resize(
    picture: torch.Tensor, sizes_wh: Sequence[tuple[int, int]], by: ResizeAxis | None = None
) -> list[torch.Tensor]:
    """Return `picture` (H, W, C) uint8 in each of the sizes, as (height, width, C) on its device.

    The horizontal pass comes first; a pass that changes no size is left out. `by` does a pass where
    there is a faster way than plain operations. Raises PictureError where a side is too long for
    exact sums.
    """
    if by is not None and max(picture.shape[:2]) <= _LONGEST_BY and picture.numel() <= _MOST_BY:
        return [_resized_by(by, picture, size_wh) for size_wh in sizes_wh]
    turned: torch.Tensor | None = None
    resized = []
    for width, height in sizes_wh:
        now = picture
        if now.shape[1] != width:
            turned = _turned(picture) if turned is None else turned
            now = _turned(_resize_rows(turned, width))
        if now.shape[0] != height:
            now = _resize_rows(now, height)
        resized.append(now)
    return resized


def _resized_by(by: ResizeAxis, picture: torch.Tensor, size_wh: tuple[int, int]) -> torch.Tensor:
    width, height = size_wh
    if picture.shape[1] != width:
        picture = by(picture, 1, width)
    return picture if picture.shape[0] == height else by(picture, 0, height)


def _turned(picture: torch.Tensor) -> torch.Tensor:
    """Swap rows and columns in memory; on the CPU OpenCV does it several times faster."""
    if picture.device.type == "cpu":
        return torch.from_numpy(cv2.transpose(picture.numpy()))
    return picture.transpose(0, 1).contiguous()


def _resize_rows(picture: torch.Tensor, n_out: int) -> torch.Tensor:
    """Resize the first axis of (n_in, n_other, C) uint8."""
    n_in, n_other, channels = picture.shape
    taps = _taps(n_in, n_out, str(picture.device))
    flat = picture.reshape(n_in, n_other * channels)
    out = flat.new_empty((n_out, n_other * channels))
    limit = _CHUNK_FLOATS_CPU if picture.device.type == "cpu" else _CHUNK_FLOATS_GPU
    step = max(_VECTOR, limit // (n_in + 2 * n_out) // _VECTOR * _VECTOR)
    for start in range(0, flat.shape[1], step):
        part = flat[:, start : start + step]
        table = torch.empty((n_in + 1, part.shape[1]), dtype=torch.float32, device=part.device)
        table[:n_in] = part
        table[n_in] = 1.0
        sums = functional.embedding_bag(
            taps.rows, table, mode="sum", per_sample_weights=taps.weights
        )
        high, low = sums[:n_out], sums[n_out:]
        high.add_(low.floor_(), alpha=taps.low_scale).clamp_(0, 255)
        # By way of int32, which has a fast conversion on both sides.
        out[:, start : start + step] = high.to(torch.int32)
    return out.view(n_out, n_other, channels)


@lru_cache(maxsize=256)
def _taps(n_in: int, n_out: int, device: str) -> _Taps:
    """Return the taps of one pass as tensors.

    The result of a pass is floor((sum + half) / 2^22). With weight = high * 2^b + low it is
    floor((high sum + half / 2^b + floor(low sum / 2^b)) / 2^(22 - b)); the scales are folded
    into the weights, and the half into the weight of the row of ones.
    """
    rows, weights = pillow_weights(n_in, n_out)
    bits = _low_bits(weights.shape[1], n_in)
    low = ((weights + (1 << (bits - 1))) & ((1 << bits) - 1)) - (1 << (bits - 1))
    high = (weights - low) >> bits
    low_scale = 2.0 ** (bits - WEIGHT_BITS)
    ones = np.full((2 * n_out, 1), n_in, dtype=np.int64)
    half = np.repeat([[0.5], [0.0]], n_out, axis=0)
    scaled = np.hstack([np.vstack([high * low_scale, low * 2.0**-bits]), half])
    return _Taps(
        rows=torch.from_numpy(np.hstack([np.tile(rows, (2, 1)), ones])).to(device),
        weights=torch.from_numpy(scaled.astype(np.float32)).to(device),
        low_scale=low_scale,
    )


def _low_bits(n_taps: int, n_in: int) -> int:
    """Return how many bits the low parts may have so that their sums stay exact."""
    room = _EXACT // (255 * n_taps)
    bits = min(room.bit_length(), _MAX_LOW_BITS)
    if bits < _MIN_LOW_BITS:
        raise PictureError(
            f"a side of {n_in} pixels is too long for a picture; reduce it to 60000 or fewer"
        )
    return bits


def pillow_weights(n_in: int, n_out: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return Pillow's Lanczos taps as input rows and integer weights, both (n_out, taps).

    A weight is in units of 2^-22; taps beyond the picture have weight 0.
    """
    scale = n_in / n_out
    stretch = max(scale, 1.0)
    support = _LOBES * stretch
    centre = (np.arange(n_out) + 0.5) * scale
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + support + 0.5).astype(np.int64), n_in)
    rows = first[:, None] + np.arange(2 * math.ceil(support) + 1)
    inside = rows < last[:, None]
    weights = np.where(inside, _lanczos((rows - centre[:, None] + 0.5) / stretch), 0.0)
    # A running sum adds in the same order as Pillow does.
    weights /= np.cumsum(weights, axis=1)[:, -1:]
    fixed = weights * (1 << WEIGHT_BITS)
    rounded = np.trunc(fixed + np.copysign(0.5, fixed)).astype(np.int64)
    used = int(np.flatnonzero(rounded.any(axis=0))[-1]) + 1
    return np.minimum(rows, n_in - 1)[:, :used], rounded[:, :used]


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.abs(x) < _LOBES, np.sinc(x) * np.sinc(x / _LOBES), 0.0)


def resize_with_vips(
    picture: NDArray[np.uint8], sizes_wh: Sequence[tuple[int, int]]
) -> list[torch.Tensor]:
    """Return `picture` (H, W, 3) in each of the sizes as libvips resizes it, on the CPU.

    It shrinks with Lanczos as Pillow does, but enlarges with a cubic filter and half a pixel
    further. Needs the library pyvips.
    """
    import pyvips

    # Its cache of results would keep the last hundred frames alive.
    pyvips.cache_set_max(0)
    image = pyvips.Image.new_from_array(picture)
    resized = []
    for width, height in sizes_wh:
        try:
            now = image.resize(width / image.width, vscale=height / image.height).numpy()
        except pyvips.Error as error:
            raise PictureError(f"libvips cannot resize the picture: {error}") from error
        if now.shape[:2] != (height, width):
            raise PictureError(
                f"libvips made {now.shape[1]} x {now.shape[0]} of a picture of {image.width} x "
                f"{image.height} pixels instead of {width} x {height}; use the resizer pillow"
            )
        # Where no size changes it is the frame itself, which is shared.
        resized.append(torch.from_numpy(np.array(now, np.uint8, order="C")))
    return resized
