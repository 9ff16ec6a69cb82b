"""Where our own kernels are used, and what is said where they are not."""

from dataclasses import replace

import pytest
import torch

from pipeline.moondream import EngineOptions, Moondream, MoondreamError
from pipeline.moondream.device.graphs import ladder, ladder_of_rows
from pipeline.moondream.device.kernels.loading import load_kernels, unfit
from pipeline.moondream.device.rows import Shape
from pipeline.moondream.dims import Dims, TextDims
from tests.moondream.tiny import TINY, tiny_language, tiny_network

CPU = torch.device("cpu")
MOST = Shape(64, 64, 8, 1345, 32)


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [("auto", "they need CUDA, and the device is cpu"), (False, "they are switched off")],
)
def test_a_cpu_keeps_to_plain_operations(wanted: bool, reason: str) -> None:
    """Nothing is tried there, and the engine says why."""
    options = EngineOptions(1, 2_000_000, kernels=wanted)
    model = Moondream(tiny_network(), tiny_language(), options)
    assert model.kernels.in_use == ()
    assert model.kernels.refused == {"all": reason}


def test_kernels_that_cannot_be_are_refused() -> None:
    """Who asks for them by name is told what is in the way."""
    with pytest.raises(MoondreamError, match=r"they need CUDA, .*; use kernels auto"):
        load_kernels(TINY, CPU, torch.float32, True)
    with pytest.raises(MoondreamError, match="kernels 'fast' is not known; use auto, true or"):
        load_kernels(TINY, CPU, torch.float32, "fast")  # type: ignore[arg-type]


def test_sizes_that_suit_no_kernel() -> None:
    """The published sizes suit them, and heads of another width are named."""
    assert unfit(Dims().text) is None
    assert unfit(TINY.text) is None
    odd = replace(TextDims(), dim=32 * 80)
    assert unfit(odd) == "heads are 80 wide, and they need a power of two from 16 on"


def test_graphs_of_kernels_differ_in_rows_alone() -> None:
    """There are few of them, none of which wants pages or blocks moved to the low end."""
    rungs = ladder_of_rows(MOST)
    assert [rung.rows for rung in rungs] == [1, 2, 4, 8, 16, 24, 32, 48, 64]
    assert all(rung[1:] == MOST[1:] for rung in rungs)
    assert len(rungs) < len(ladder(MOST)) / 2
