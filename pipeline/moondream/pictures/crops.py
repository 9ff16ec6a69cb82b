"""Pictures to the crops the vision encoder sees: one global view and overlapping local windows."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.moondream.dims import VisionDims
from pipeline.moondream.errors import PictureError
from pipeline.moondream.pictures.resize import ResizeAxis, resize, resize_with_vips
from pipeline.moondream.templates import PixelPrecision, Resizer

if TYPE_CHECKING:
    from PIL.Image import Image

RESIZES_ON = ("cpu", "cuda")

Picture: TypeAlias = "NDArray[np.uint8] | Image"
# Gets pixels from the host to a device.
Send: TypeAlias = Callable[[NDArray[np.uint8]], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Crops:
    """The crops of one picture, `pixels` (n, side, side, 3) uint8 RGB; crop 0 is the global view.

    Local crops follow row by row, `rows * cols` of them. A 1 x 1 tiling has the global view as its
    only local crop too, and it is kept once: n is 1 there. `size_wh` is the picture's, in pixels.
    """

    pixels: torch.Tensor
    rows: int
    cols: int
    size_wh: tuple[int, int]

    @property
    def is_single(self) -> bool:
        """Whether the only crop is both the global and the local view."""
        return self.rows * self.cols == 1


def make_crops(
    picture: Picture,
    vision: VisionDims,
    max_crops: int | None = None,
    device: torch.device | str = "cpu",
    resizer: Resizer = "pillow",
    send: Send | None = None,
    resize_axis: ResizeAxis | None = None,
) -> Crops:
    """Return the crops of a uint8 RGB array (H, W, 3) or a PIL image, made on `device`.

    `max_crops` limits the local crops below what the model was trained with; 1 leaves only the
    global view. The resizer `vips` works on the CPU. `send` gets pixels to the device, where there
    is a better way than a plain copy, and `resize_axis` resizes there, where plain operations are
    not the fastest. Raises PictureError for anything that is not a picture.
    """
    rgb = to_rgb(picture)
    height, width = rgb.shape[:2]
    rows, cols = tiling(height, width, vision, max_crops)
    side, step = vision.crop_size, vision.window_patches * vision.enc_patch_size
    device, border = torch.device(device), side - step
    sizes = [(side, side), (cols * step + border, rows * step + border)]
    send = send or (lambda pixels: torch.from_numpy(as_writeable(pixels)).to(device))
    sizes = sizes if rows * cols > 1 else sizes[:1]
    if resizer == "pillow" and device.type in RESIZES_ON:
        overview, *rest = resize(send(rgb), sizes, resize_axis)
    else:  # what resizes on the host alone; nor has torch what it takes on Apple's mps
        overview, *rest = _resized_on_host(rgb, sizes, resizer)
    if not rest:
        if (height, width) == (side, side):
            overview = overview.clone()  # not resized: these are the caller's own pixels
        return Crops(_there(overview[None], device, send), 1, 1, (width, height))
    (large,) = rest
    local = [
        large[row * step : row * step + side, col * step : col * step + side]
        for row in range(rows)
        for col in range(cols)
    ]
    pixels = _there(torch.stack([overview, *local]), device, send)
    return Crops(pixels, rows, cols, (width, height))


def crop_count(rows: int, cols: int) -> int:
    """Return how many crops a tiling has: the global view, and the local ones beside it."""
    return 1 if rows * cols == 1 else rows * cols + 1


def _resized_on_host(
    rgb: NDArray[np.uint8], sizes_wh: Sequence[tuple[int, int]], by: Resizer
) -> list[torch.Tensor]:
    if by == "vips":
        return resize_with_vips(rgb, sizes_wh)
    return resize(torch.from_numpy(as_writeable(rgb)), sizes_wh)


def _there(pixels: torch.Tensor, device: torch.device, send: Send) -> torch.Tensor:
    return pixels if pixels.device.type == device.type else send(pixels.numpy())


class _Lent:
    """Lends the memory of an array as if it might be written to."""

    def __init__(self, array: NDArray[np.uint8]) -> None:
        self._array = array
        lent = array.__array_interface__
        self.__array_interface__ = {**lent, "data": (lent["data"][0], False)}


def as_writeable(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the same memory to torch, which warns about read-only frames; it is only read."""
    return rgb if rgb.flags.writeable else np.asarray(_Lent(rgb))


def tiling(
    height: int, width: int, vision: VisionDims, max_crops: int | None = None
) -> tuple[int, int]:
    """Return rows and columns of local crops for a picture of this size in pixels.

    The model's own limit is not strict: a very long picture may get a few more crops. A smaller
    `max_crops` is strict.
    """
    cap = vision.max_crops
    step = vision.window_patches * vision.enc_patch_size
    border = vision.crop_size - step
    if max_crops is not None and max_crops < cap:
        if max_crops < 1:
            raise PictureError(f"max_crops is {max_crops}; it must be at least 1, the global view")
        rows, cols = _tiles(height - border, width - border, step, max_crops)
        rows = min(rows, max_crops)
        return rows, min(cols, max(1, max_crops // rows))
    return _tiles(height - border, width - border, step, cap)


def _tiles(height: int, width: int, step: int, cap: int) -> tuple[int, int]:
    if height <= step or width <= step:
        return 1, 1
    least_rows, least_cols = math.ceil(height / step), math.ceil(width / step)
    if least_rows * least_cols > cap:
        ratio = math.sqrt(cap / (least_rows * least_cols))
        return max(1, math.floor(least_rows * ratio)), max(1, math.floor(least_cols * ratio))
    rows = max(math.floor(math.sqrt(cap * height / width)), least_rows)
    cols = max(math.floor(math.sqrt(cap * width / height)), least_cols)
    if rows * cols > cap:
        if cols > rows:
            cols = math.floor(cap / rows)
        else:
            rows = math.floor(cap / cols)
    return max(1, rows), max(1, cols)


def to_rgb(picture: Any) -> NDArray[np.uint8]:
    """Return a picture as a uint8 array (H, W, 3); PIL images by PIL's own rules for `RGB`.

    An alpha channel is dropped and not blended; EXIF rotation is not applied.
    """
    if not isinstance(picture, np.ndarray):
        picture = _from_pil(picture)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise PictureError(
            f"a picture array must be uint8 of shape (H, W, 3), not {picture.dtype} of shape "
            f"{picture.shape}; convert it to RGB first"
        )
    if 0 in picture.shape:
        raise PictureError(f"a picture of {picture.shape[1]} x {picture.shape[0]} pixels is empty")
    return np.ascontiguousarray(picture)


def _from_pil(picture: Any) -> NDArray[np.uint8]:
    convert = getattr(picture, "convert", None)
    if convert is None:
        raise PictureError(
            f"a picture must be a uint8 RGB array or a PIL image, not {type(picture).__name__}"
        )
    try:
        return np.array(convert("RGB"))
    # PIL reads the file only now, and raises any of these for a broken one.
    except (OSError, ValueError, SyntaxError) as error:
        raise PictureError(f"the picture cannot be read: {error}") from error


@lru_cache(maxsize=2)
def pixel_lut(precision: PixelPrecision = "bfloat16") -> torch.Tensor:
    """Return the normalised value of each byte, float32 (256,), as a release's code computes it.

    Every step is rounded to `precision`, whatever the dtype of the model: up to 0.0039 from the
    exact value in bfloat16, and 0.0005 in float16. Do not write to it.
    """
    dtype = torch.float16 if precision == "float16" else torch.bfloat16
    values = torch.arange(256, dtype=torch.uint8).to(dtype)
    return values.div(255).sub(0.5).div(0.5).to(torch.float32)
