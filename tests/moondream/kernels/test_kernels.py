"""Our own kernels give what the plain operations give; without a GPU Triton interprets them."""

import os
from dataclasses import replace

import pytest
import torch

from pipeline.moondream import DetectRequest, PointRequest, QueryRequest
from pipeline.moondream.dims import Dims
from tests.moondream.mixes import Case, assert_clean, assert_same, build, expected, submit
from tests.moondream.test_engine import run_it_again
from tests.moondream.tiny import TINY

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when a kernel is defined
pytest.importorskip("triton", reason="our own kernels are tested only where triton is installed")

from pipeline.moondream.device.kernels.add_norm import add_norm
from pipeline.moondream.device.kernels.attend import FusedAttend
from pipeline.moondream.device.kernels.checks import CHECKS
from pipeline.moondream.device.kernels.loading import StepKernels
from pipeline.moondream.device.kernels.resize import resize_axis
from pipeline.moondream.device.kernels.turn import FusedTurn

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# One key head for each query head, as the published networks have; prefixes longer than a tile.
LIKE_PUBLISHED = replace(
    TINY,
    text=replace(TINY.text, n_kv_heads=TINY.text.n_heads),
    vision=replace(TINY.vision, crop_size=14 * 9, overlap_margin=2),
)
CASES = [(name, case) for name, cases in CHECKS.items() for case in cases]
NETWORKS = {
    "grouped, float32": (TINY, torch.float32),
    "like published, bfloat16": (LIKE_PUBLISHED, torch.bfloat16),
    "like published, float16": (LIKE_PUBLISHED, torch.float16),
}
LARGE = {"8 to a row", "2 to a row"}


def _takes_long(name: str, case: str, dtype: torch.dtype) -> bool:
    """The interpreter takes up to a minute for one of these."""
    whole_pictures = name in ("turn", "resize") and dtype != torch.float32
    return dtype == torch.float16 or case in LARGE or whole_pictures


VARIANTS = [
    pytest.param(
        name,
        case,
        dims,
        dtype,
        id=f"{name}-{case}-{network}",
        marks=[pytest.mark.slow] if _takes_long(name, case, dtype) else [],
    )
    for name, case in CASES
    for network, (dims, dtype) in NETWORKS.items()
]
SOME: tuple[Case, ...] = (
    (0, DetectRequest("person", 2)),
    (0, QueryRequest("what is it", max_tokens=3)),
    (1, PointRequest("person", 1)),
    (None, QueryRequest("hello", max_tokens=3)),
)


@pytest.mark.parametrize(("name", "case", "dims", "dtype"), VARIANTS)
def test_a_kernel_agrees_with_plain_operations(
    name: str, case: str, dims: Dims, dtype: torch.dtype
) -> None:
    """What differs is rounding."""
    with torch.inference_mode():
        found = CHECKS[name][case](dims, DEVICE, dtype)
    assert found.is_right, found


@pytest.mark.timeout(300)  # the interpreter is slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="the tiny network is on the CPU")
@pytest.mark.parametrize(
    "kernels",
    [
        StepKernels(add_norm=add_norm),
        *(
            pytest.param(kernels, marks=pytest.mark.slow)
            for kernels in (
                StepKernels(attend=FusedAttend, add_norm=add_norm, joined=True),
                StepKernels(turn=FusedTurn, resize=resize_axis),
                StepKernels(attend=FusedAttend, add_norm=add_norm, joined=True, turn=FusedTurn),
            )
        ),
    ],
    ids=lambda kernels: "+".join(kernels.in_use),
)
def test_an_engine_answers_as_without_kernels(kernels: StepKernels) -> None:
    """Each kernel may be left out by itself, and in float32 no answer changes."""
    engine = build(4, capture=run_it_again, kernels=kernels, warm_up=False)
    cases = list(SOME)
    tickets = submit(engine, cases)
    engine.run(tickets)
    for case, ticket in zip(cases, tickets, strict=True):
        assert_same(ticket.result, expected(case))
    assert_clean(engine)
    assert engine.graph_counts().captures > 0
