"""What the hardware allows: rates measured now, and the least time a piece of work can take."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import torch

from pipeline.moondream.dims import Dims

MULTIPLY_ADD = 2  # operations of one
LARGE_CUDA, LARGE_HOST = 8192, 2048  # side of the matrices whose product is timed
COPY_CUDA, COPY_HOST = 2**30, 2**28  # bytes copied, far beyond any cache
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Rates:
    """Dense matrix products in operations a second, and memory traffic in bytes a second."""

    flops: float
    bandwidth: float


def measure(
    device: torch.device, dtype: torch.dtype, side: int | None = None, n_bytes: int | None = None
) -> Rates:
    """Time a large matrix product and a large copy, and keep the best of some rounds."""
    is_cuda = device.type == "cuda"
    side = side or (LARGE_CUDA if is_cuda else LARGE_HOST)
    n_bytes = n_bytes or (COPY_CUDA if is_cuda else COPY_HOST)
    a, b = torch.randn(2, side, side, device=device).to(dtype)
    source = torch.zeros(n_bytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    product = best_seconds(lambda: torch.matmul(a, b), device)
    copy = best_seconds(lambda: target.copy_(source), device)
    return Rates(MULTIPLY_ADD * side**3 / product, 2 * n_bytes / copy)


def best_seconds(work: Callable[[], object], device: torch.device, rounds: int = ROUNDS) -> float:
    """Return the least time of some rounds, each to the end of its work on the device."""
    times = []
    for _ in range(rounds):
        started = perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(perf_counter() - started)
    return min(times)


@dataclass(frozen=True, slots=True)
class Workload:
    """One batch: frames of so many crops, tasks on each, and the length of a task's prompt.

    Each task decodes `steps` tokens after its prompt, and chooses a word after `heads` of them.
    """

    frames: int
    crops: int
    tasks: int
    steps: int
    heads: int
    prompt_len: int


def least_seconds(dims: Dims, work: Workload, rates: Rates, itemsize: int) -> dict[str, float]:
    """Return the least time of each stage; decoding is bound by reading or by products."""
    text = dims.text
    block_weights = text.dim * text.qkv_dim + text.dim**2 + 2 * text.dim * text.ff_dim
    token_flops = MULTIPLY_ADD * block_weights
    attention = 2 * MULTIPLY_ADD * dims.prefix_len**2 * text.dim
    # Of the prefix the last block computes keys and values alone.
    prefix = (text.n_layers - 1) * (token_flops * dims.prefix_len + attention)
    prompts = text.n_layers * token_flops * work.prompt_len * work.tasks
    rows = work.frames * work.tasks
    head = text.dim * text.vocab_size
    head_share = work.heads / max(work.steps, 1)
    step_flops = rows * (text.n_layers * token_flops + MULTIPLY_ADD * head * head_share)
    kv = 2 * text.n_layers * text.n_kv_heads * text.head_dim * itemsize
    own = work.prompt_len + work.steps / 2
    kv_bytes = kv * (work.frames * dims.prefix_len + rows * own)
    step_bytes = itemsize * (text.n_layers * block_weights + head * head_share) + kv_bytes
    step = max(step_flops / rates.flops, step_bytes / rates.bandwidth)
    return {
        "vision": work.frames * _vision_flops(dims, work.crops) / rates.flops,
        "prefill": work.frames * (prefix + prompts) / rates.flops,
        "decode": work.steps * step,
    }


def _vision_flops(dims: Dims, crops: int) -> float:
    vision = dims.vision
    patches, width = vision.n_patches, vision.enc_dim
    linear = patches * (4 * width**2 + 2 * width * vision.enc_ff_dim)
    attention = 2 * patches**2 * width
    patch = patches * vision.patch_dim * width
    crop = vision.enc_n_layers * (linear + attention) + patch
    inner = vision.proj_inner_dim
    project = patches * (2 * width * inner + inner * vision.proj_out_dim)
    return MULTIPLY_ADD * (crops * crop + project)
