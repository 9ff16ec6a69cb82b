"""Resizing and tiling of pictures side by side with Pillow, in one process and in turns.

Both make what the model needs of a picture: the global view and the enlarged picture its local
crops are cut from. Pillow starts from an array too and gives arrays back. Run it with
`OMP_NUM_THREADS=1` to compare one core with one core (Pillow resizes on one), and on an idle
machine: the best of many turns is less touched by other load than the median.

`--resizers` measures what the two resizers of the engine, Pillow's way and libvips, make of frames
of the bundled clip: how far apart the bytes are, and their processor time.
"""

import argparse
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from PIL import Image

from pipeline.moondream.dims import VisionDims
from pipeline.moondream.pictures.crops import make_crops, tiling
from pipeline.moondream.pictures.resize import resize, resize_with_vips

_CLIP = Path("configs/media/plaza.mp4")
_SIZES = ((640, 480), (1280, 720), (1920, 1080))


def main() -> None:
    """Print one line for each size: milliseconds of both, and the ratio."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--turns", type=int, default=30)
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--resizers", action="store_true")
    options = arguments.parse_args()
    if options.resizers:
        _resizers(options.turns)
        return
    print(
        f"Pillow {PIL.__version__}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} thread(s), {options.device}, random pictures (seed 0)"
    )
    rng = np.random.default_rng(0)
    for width, height in _SIZES:
        picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        _compare(picture, options.device, options.turns)


def _resizers(turns: int) -> None:
    """Print a table row for each size and kind of picture, over five frames of the clip."""
    import av
    import pyvips

    print(f"libvips {'.'.join(str(pyvips.version(part)) for part in range(3))}")
    with av.open(str(_CLIP)) as container:
        decoded = islice(container.decode(video=0), 0, 200, 40)
        frames = [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in decoded]
    for width, height in ((320, 240), *_SIZES):
        rows, cols = tiling(height, width, VisionDims())
        sizes = [(378, 378)] + ([(266 * cols + 112, 266 * rows + 112)] if rows * cols > 1 else [])
        for size in sizes:
            means, most, seconds = [], 0, ([0.0], [0.0])
            for frame in frames:
                small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
                given = np.asarray(small, np.uint8)
                tensor = torch.from_numpy(given)
                made = [_ours(tensor, size).int(), _theirs(given, size).int()]
                difference = (made[0] - made[1]).abs()
                means.append(difference.float().mean().item())
                most = max(most, int(difference.max()))
                for _ in range(max(1, turns // 5)):
                    start = time.process_time()
                    _ours(tensor, size)
                    between = time.process_time()
                    _theirs(given, size)
                    seconds[0].append(between - start)
                    seconds[1].append(time.process_time() - between)
            ours, theirs = (sorted(taken[1:])[len(taken) // 2] * 1000 for taken in seconds)
            print(
                f"| {width}×{height} → {size[0]}×{size[1]} | {np.mean(means):.2f} | {most} | "
                f"{ours:.1f} ms | {theirs:.1f} ms |"
            )


def _ours(picture: torch.Tensor, size_wh: tuple[int, int]) -> torch.Tensor:
    return resize(picture, [size_wh])[0]


def _theirs(picture: NDArray[np.uint8], size_wh: tuple[int, int]) -> torch.Tensor:
    return resize_with_vips(picture, [size_wh])[0]


def _compare(picture: NDArray[np.uint8], device: str, turns: int) -> None:
    height, width = picture.shape[:2]
    rows, cols = tiling(height, width, VisionDims())
    large = (266 * cols + 112, 266 * rows + 112)

    def ours() -> None:
        make_crops(picture, VisionDims(), device=device)
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    def pillow() -> None:
        image = Image.fromarray(picture)
        for size in ((378, 378), large):
            np.asarray(image.resize(size, Image.Resampling.LANCZOS))

    timings = _in_turns([pillow, ours], turns)
    (pillow_best, pillow_mid), (our_best, our_mid) = timings
    print(
        f"{width}x{height} -> 378x378 and {large[0]}x{large[1]}: "
        f"Pillow {pillow_best:.1f} ms (median {pillow_mid:.1f}), "
        f"ours {our_best:.1f} ms (median {our_mid:.1f}), "
        f"{pillow_best / our_best:.2f} x as fast"
    )


def _in_turns(calls: list[Callable[[], None]], turns: int) -> list[tuple[float, float]]:
    """Return best and median milliseconds of each call, taking turns against drifting load."""
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(turns + 2):
        for call, times in zip(calls, taken, strict=True):
            start = time.perf_counter()
            call()
            times.append((time.perf_counter() - start) * 1000)
    # The first two turns fill caches.
    return [(min(times[2:]), sorted(times[2:])[turns // 2]) for times in taken]


if __name__ == "__main__":
    main()
