"""What the hardware allows: rates measured now, and the least time a piece of work can take."""

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


def measure(device: torch.device, dtype: torch.dtype) -> Rates:
    """Time a large matrix product and a large copy, and keep the best of some rounds."""
    is_cuda = device.type == "cuda"
    side = LARGE_CUDA if is_cuda else LARGE_HOST
    a, b = torch.randn(2, side, side, device=device).to(dtype)
    source = torch.zeros(COPY_CUDA if is_cuda else COPY_HOST, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def best(work: object) -> float:
        times = []
        for _ in range(ROUNDS):
            started = perf_counter()
            work()  # type: ignore[operator]
            if is_cuda:
                torch.cuda.synchronize(device)
            times.append(perf_counter() - started)
        return min(times)

    product = best(lambda: torch.matmul(a, b))
    copy = best(lambda: target.copy_(source))
    return Rates(MULTIPLY_ADD * side**3 / product, 2 * len(source) / copy)


@dataclass(frozen=True, slots=True)
class Workload:
    """One batch: frames of so many crops, tasks on each, objects in each, prompt lengths."""

    frames: int
    crops: int
    tasks: int
    objects: int
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
    step_flops = rows * (text.n_layers * token_flops + MULTIPLY_ADD * head / 3)
    kv = 2 * text.n_layers * text.n_kv_heads * text.head_dim * itemsize
    own = work.prompt_len + 3 * work.objects / 2
    kv_bytes = kv * (work.frames * dims.prefix_len + rows * own)
    step_bytes = itemsize * (text.n_layers * block_weights + head / 3) + kv_bytes
    step = max(step_flops / rates.flops, step_bytes / rates.bandwidth)
    return {
        "vision": work.frames * _vision_flops(dims, work.crops) / rates.flops,
        "prefill": work.frames * (prefix + prompts) / rates.flops,
        "decode": 3 * work.objects * step,
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
