"""How fast each kernel of a decoding step is, and in which sizes it is cut best.

Times what a layer's kernel takes in a captured graph, over layers whose keys do not fit the cache
of the GPU, beside what the memory allows and what the matrix products of a layer take. Prints
everything that fails with its traceback and goes on.

Examples:
    python -m benchmarks.gpu.step_kernels
    python -m benchmarks.gpu.step_kernels --seconds 60 --device cuda:1
"""

import argparse
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pipeline.moondream.device.cache import CachePlan, KvCache
from pipeline.moondream.device.graphs import CudaCapture
from pipeline.moondream.device.pages import PicturePage
from pipeline.moondream.device.reads import RowKind
from pipeline.moondream.device.rows import Row, RowBuffers, Shape
from pipeline.moondream.dims import Dims
from pipeline.moondream.network.layers import Norm, plain_add_norm
from pipeline.moondream.network.text import Mix, rotary_table

if TYPE_CHECKING:
    from pipeline.moondream.device.kernels.checks import Check

LAYERS, PAGES, BLOCKS, MOST_ROWS, LENGTH = 6, 64, 70, 64, 20
REPLAYS = 12
# More programs than that of a head are not tried.
MOST_PARTS = 128
# Rows, and rows of a picture.
BATCHES = ((32, 1), (1, 1), (8, 1), (64, 1), (32, 4), (16, 1))
DTYPE = torch.bfloat16


def main() -> int:
    """Time everything and print it; 1 where something failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.step_kernels")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--seconds", type=float, default=90.0)
    args = parser.parse_args()
    device = torch.device(args.device)
    until = perf_counter() + args.seconds
    failed: list[str] = []
    with torch.inference_mode(), torch.cuda.device(device):
        timer = Timer(device)
        checks(device, failed)
        with told(failed, "norms and products"):
            norms_and_products(timer)
        attention(timer, failed, until)
    print(f"failed: {', '.join(failed) or 'nothing'}")
    return 1 if failed else 0


@contextmanager
def told(failed: list[str], name: str) -> Iterator[None]:
    """Print a failure whole and go on."""
    try:
        yield
    # Whatever fails, the rest is to be known too: such a machine is often had for minutes only.
    except Exception:  # noqa: BLE001
        print(f"FAILED: {name}", file=sys.stderr)
        traceback.print_exc(file=sys.stderr)
        failed.append(name)


class Timer:
    """Times what is captured once and replayed."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._capture = CudaCapture(device)

    def microseconds(self, work: Callable[[int], object]) -> float:
        """Return what one layer's work takes, the least of some replays of all layers."""

        def run() -> None:
            for layer in range(LAYERS):
                work(layer)

        run()
        torch.cuda.synchronize(self.device)
        replay = self._capture(run)
        replay()
        least = float("inf")
        for _ in range(REPLAYS):
            started, ended = _event(), _event()
            started.record()
            replay()
            ended.record()
            ended.synchronize()
            least = min(least, started.elapsed_time(ended))
        return least * 1e3 / LAYERS


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def checks(device: torch.device, failed: list[str]) -> None:
    """Print how far each kernel is from plain operations."""
    from pipeline.moondream.device.kernels.checks import CHECKS  # needs Triton

    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        for name, cases in CHECKS.items():
            for case, check in cases.items():
                with told(failed, f"{name}, {case}, {dtype}"):
                    _check(device, f"{name}, {case}, {dtype}", dtype, check)


def _check(device: torch.device, name: str, dtype: torch.dtype, check: "Check") -> None:
    started = perf_counter()
    found = check(Dims(), device, dtype)
    said = "right" if found.is_right else "WRONG"
    passed = perf_counter() - started
    print(f"{said}: {name}: {found.largest:.2g} of {found.allowed:.2g}, {passed:.1f} s")
    if not found.is_right:
        raise ValueError(f"{name} gives wrong results")


def norms_and_products(timer: Timer) -> None:
    """Print what the other parts of a layer take; norms read the same rows in each layer."""
    text = Dims().text
    device = timer.device

    def weights(outputs: int, inputs: int) -> list[tuple[Tensor, Tensor]]:
        return [
            (
                torch.randn(outputs, inputs, device=device, dtype=DTYPE) / inputs**0.5,
                torch.zeros(outputs, device=device, dtype=DTYPE),
            )
            for _ in range(LAYERS)
        ]

    products = {
        "qkv": weights(text.qkv_dim, text.dim),
        "proj": weights(text.dim, text.dim),
        "fc1": weights(text.ff_dim, text.dim),
        "fc2": weights(text.dim, text.ff_dim),
        "qkv and fc1 as one": weights(text.qkv_dim + text.ff_dim, text.dim),
        "proj and fc2 as one": weights(text.dim, text.dim + text.ff_dim),
    }
    for rows in (1, 8, 16, 32, 64):
        for name, layers in products.items():
            x = torch.randn(rows, layers[0][0].shape[1], device=device, dtype=DTYPE)
            us = timer.microseconds(partial(_product, x, layers))
            rate = layers[0][0].nbytes / us / 1e6
            print(f"{rows:3} rows, {name}: {us:.1f} us, {rate:.2f} TB/s")
    norm = Norm(torch.ones(text.dim, device=device, dtype=DTYPE), products["proj"][0][1])
    for rows in (1, 32, 64):
        _norms(timer, rows, norm)


def _norms(timer: Timer, rows: int, norm: Norm) -> None:
    from pipeline.moondream.device.kernels import add_norm  # needs Triton

    text, device = Dims().text, timer.device
    x, attended, wide = torch.randn(3, rows, text.dim, device=device, dtype=DTYPE).unbind()
    wider = torch.randn(rows, text.ff_dim, device=device, dtype=DTYPE)
    us = timer.microseconds(lambda _: plain_add_norm(x, attended, wide, norm))
    print(f"{rows:3} rows, sum and norm by plain operations: {us:.1f} us")
    us = timer.microseconds(lambda _: F.gelu(wider, approximate="tanh"))
    print(f"{rows:3} rows, gelu: {us:.1f} us")
    for warps in (1, 2, 4, 8, 16):
        add_norm.WARPS = warps
        us = timer.microseconds(lambda _: add_norm.add_norm(x, attended, wide, norm))
        print(f"{rows:3} rows, sum and norm, {warps} warps: {us:.1f} us")


def _product(x: Tensor, layers: Sequence[tuple[Tensor, Tensor]], layer: int) -> Tensor:
    return F.linear(x, *layers[layer])


def attention(timer: Timer, failed: list[str], until: float) -> None:
    """Print what a layer's attention takes in every way it may be cut, the likeliest first."""
    from pipeline.moondream.device.kernels.attend import FusedAttend, Tiling  # needs Triton

    tilings = (
        Tiling(32, 2, 3), Tiling(32, 2, 4), Tiling(32, 2, 2), Tiling(32, 4, 3), Tiling(32, 4, 4),
        Tiling(16, 1, 4), Tiling(16, 2, 4), Tiling(64, 4, 3), Tiling(64, 4, 2), Tiling(32, 1, 3),
        Tiling(32, 2, 5), Tiling(64, 8, 3), Tiling(32, 2, 1), Tiling(64, 8, 1), Tiling(64, 4, 1),
    )  # fmt: skip
    device = timer.device
    dims = replace(Dims(), text=replace(Dims().text, n_layers=LAYERS))
    text = dims.text
    cache = KvCache(dims, CachePlan(PAGES, BLOCKS, 0), device, DTYPE)
    for tensor in (cache.page_k, cache.page_v, cache.block_k, cache.block_v):
        tensor.normal_()
    turns = rotary_table(text, device)
    qkv = torch.randn(MOST_ROWS, text.qkv_dim, device=device, dtype=DTYPE)
    hidden = torch.zeros(MOST_ROWS + 1, text.dim, device=device, dtype=DTYPE)
    buffers = RowBuffers(BLOCKS, 32, hidden, text.vocab_size)
    pages = [PicturePage(place, None) for place in range(PAGES)]
    for tiling in tilings:
        for rows, of_picture in BATCHES:
            if perf_counter() > until:
                print("the time is up")
                return
            shape = Shape(rows, PAGES, 8, BLOCKS, 32)
            buffers.upload(
                [
                    Row(i, RowKind.DETECT, 0, 730, LENGTH, pages[i // of_picture], [1 + i])
                    for i in range(rows)
                ],
                shape,
            )
            read = 2 * 2 * text.dim * rows * (730 / of_picture + LENGTH)
            took: list[str] = []
            name = f"{rows} rows, {of_picture} a picture, {tiling}"
            with told(failed, name):
                for splits in (1, 2, 4, 8, 16):
                    if splits * rows > MOST_PARTS:
                        break
                    attend = FusedAttend(cache, buffers, shape, 0, text, turns, tiling, splits)
                    us = timer.microseconds(partial(_attended, attend, qkv[:rows]))
                    took.append(f"{splits}: {us:.1f} us ({read / us / 1e6:.2f} TB/s)")
            print(f"{name}: {', '.join(took)}", flush=True)


def _attended(attend: Mix, qkv: Tensor, layer: int) -> Tensor:
    return attend(layer, qkv)


if __name__ == "__main__":
    sys.exit(main())
