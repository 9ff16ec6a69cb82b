"""Section 10: what might be faster, tried by itself: milliseconds, and how far the numbers go off.

Nothing here is part of the engine. A line that is clearly faster is worth trying in it.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.gpu.bench import NEEDS_CUDA, NO_TIME, Bench, Json
from benchmarks.gpu.running import Allowance, sentence
from benchmarks.roofline import best_seconds
from pipeline.moondream.checkpoints.tensors import block_linears, tensor_table
from pipeline.moondream.network.layers import Mlp, Norm
from pipeline.moondream.network.vision import VisionBlock

CROPS = 16
TOKENS = 16 * 730
ROUNDS = 10
# What compiling one block takes at most, as far as is known.
COMPILE_SECONDS = 15.0
BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}


def options_tried(bench: Bench, allowance: Allowance, found: Json) -> None:
    """Try each by itself: one that is not there says so, and the others go on."""
    if not bench.is_cuda:
        found.update(NEEDS_CUDA)
        return
    tries: list[tuple[str, float, Callable[[], Json]]] = [
        ("vision_attention", 0, partial(_attention, bench)),
        ("fused_gelu", 0, partial(_gelu, bench)),
        ("fp8_text_products", 0, partial(_fp8, bench)),
        ("compiled_vision_block", COMPILE_SECONDS, partial(_compiled_vision, bench)),
        ("compiled_text_mlp", COMPILE_SECONDS, partial(_compiled_text, bench)),
    ]
    for name, seconds, attempt in tries:
        if allowance.left() <= seconds:
            found[name] = dict(NO_TIME)
            continue
        try:
            with torch.inference_mode():
                found[name] = attempt()
        # Whether a card, a version or a compiler can do this at all is what is asked here.
        except Exception as error:  # noqa: BLE001
            found[name] = {"error": sentence(error)}
        bench.tidy()
        allowance.save()


def _error(got: Tensor, wanted: Tensor) -> float:
    """Return the relative error over all numbers."""
    return float((got.float() - wanted.float()).norm() / wanted.float().norm())


def _attention(bench: Bench) -> Json:
    """Compare the kernels for the encoder's heads, 72 wide, with float32."""
    vision = bench.dims.vision
    shape = (CROPS, vision.enc_n_heads, vision.n_patches, vision.head_dim)
    q, k, v = torch.randn(3, *shape, device=bench.device, dtype=bench.dtype)
    wanted = functional.scaled_dot_product_attention(q.float(), k.float(), v.float())
    default = partial(functional.scaled_dot_product_attention, q, k, v)
    row: Json = {
        "crops": CROPS,
        "as_chosen_ms": _milliseconds(bench, default),
        "as_chosen_error": _error(default(), wanted),
    }
    for name, backend in BACKENDS.items():
        try:
            with sdpa_kernel(backend):
                row[f"{name}_ms"] = _milliseconds(bench, default)
                row[f"{name}_error"] = _error(default(), wanted)
        # This card has no such kernel for this width.
        except RuntimeError as error:
            row[name] = {"error": sentence(error)}
    return row


def _gelu(bench: Bench) -> Json:
    """Compare the wide layers' first product with the GELU inside it and behind it."""
    rows: Json = {}
    text, vision = bench.dims.text, bench.dims.vision
    shapes = {
        "text": (TOKENS, text.dim, text.ff_dim),
        "text of one picture": (TOKENS // 16, text.dim, text.ff_dim),
        "vision": (CROPS * vision.n_patches, vision.enc_dim, vision.enc_ff_dim),
        "vision of one crop": (vision.n_patches, vision.enc_dim, vision.enc_ff_dim),
    }
    for name, (n_rows, n_in, n_out) in shapes.items():
        x = torch.randn(n_rows, n_in, device=bench.device, dtype=bench.dtype)
        weight = torch.randn(n_out, n_in, device=bench.device, dtype=bench.dtype) * n_in**-0.5
        bias = torch.randn(n_out, device=bench.device, dtype=bench.dtype)

        def apart(x: Tensor = x, weight: Tensor = weight, bias: Tensor = bias) -> Tensor:
            return functional.gelu(functional.linear(x, weight, bias), approximate="tanh")

        fused = partial(torch._addmm_activation, bias, x, weight.t(), use_gelu=True)
        product = partial(functional.linear, x, weight, bias)
        rows[name] = {
            "product_ms": _milliseconds(bench, product),
            "behind_ms": _milliseconds(bench, apart),
            "inside_ms": _milliseconds(bench, fused),
            "error": _error(fused(), apart()),
        }
    return rows


def _fp8(bench: Bench) -> Json:
    """Compare the four products of a text block with eight-bit floats, scaled by row."""
    rows: Json = {}
    eight = torch.float8_e4m3fn
    most = torch.finfo(eight).max
    for name, (n_in, n_out) in block_linears(bench.dims.text).items():
        x = torch.randn(TOKENS, n_in, device=bench.device, dtype=torch.bfloat16)
        weight = torch.randn(n_out, n_in, device=bench.device, dtype=torch.bfloat16) * n_in**-0.5
        scale_x = x.abs().amax(dim=1, keepdim=True).float() / most
        scale_w = weight.abs().amax(dim=1, keepdim=True).float() / most
        x8, w8 = (
            (a / s).clamp(-most, most).to(eight) for a, s in ((x, scale_x), (weight, scale_w))
        )
        product = partial(
            torch._scaled_mm,
            x8, w8.t(), scale_a=scale_x, scale_b=scale_w.t(), out_dtype=torch.bfloat16,
        )  # fmt: skip
        exact = partial(functional.linear, x, weight)
        rows[name] = {
            "bf16_ms": _milliseconds(bench, exact),
            "fp8_ms": _milliseconds(bench, product),
            "error": _error(product(), exact()),
        }
    return rows


def _state(bench: Bench, block: str) -> dict[str, Tensor]:
    """Return random tensors of one block, by the names of the published weights."""
    return {
        name: torch.randn(shape, device=bench.device, dtype=bench.dtype) * shape[-1] ** -0.5
        for name, shape in tensor_table(bench.dims).items()
        if name.startswith(f"{block}.")
    }


def _compiled_vision(bench: Bench) -> Json:
    vision = bench.dims.vision
    block = VisionBlock.of(_state(bench, "vision.blocks.0"), "vision.blocks.0")
    x = torch.randn(CROPS, vision.n_patches, vision.enc_dim, device=bench.device, dtype=bench.dtype)

    def whole(given: Tensor) -> Tensor:
        given = given + block.attended(block.ln1(given), vision.enc_n_heads)
        return given + block.mlp(block.ln2(given))

    return _compiled(bench, whole, x)


def _compiled_text(bench: Bench) -> Json:
    """The norm and the wide layer of a text block; its attention depends on the cache."""
    state = _state(bench, "text.blocks.0")
    norm, mlp = Norm.of(state, "text.blocks.0.ln"), Mlp.of(state, "text.blocks.0.mlp")
    x = torch.randn(TOKENS, bench.dims.text.dim, device=bench.device, dtype=bench.dtype)
    return _compiled(bench, lambda given: given + mlp(norm(given)), x)


def _compiled(bench: Bench, block: Callable[[Tensor], Tensor], x: Tensor) -> Json:
    faster = torch.compile(block)
    first = best_seconds(lambda: faster(x), bench.device, rounds=1)
    return {
        "eager_ms": _milliseconds(bench, partial(block, x)),
        "compiled_ms": _milliseconds(bench, partial(faster, x)),
        "compiling_s": first,
        "error": _error(faster(x), block(x)),
    }


def _milliseconds(bench: Bench, work: Callable[[], object]) -> float:
    work()
    return best_seconds(work, bench.device, ROUNDS) * 1e3
