"""Where our own kernels are used, and what is said where they are not."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from pipeline.moondream import EngineOptions, Moondream, MoondreamError
from pipeline.moondream.device.graphs import ladder, ladder_of_rows
from pipeline.moondream.device.kernels.loading import StepKernels, lay_out, load_kernels, unfit
from pipeline.moondream.device.rows import Shape
from pipeline.moondream.dims import Dims, TextDims
from pipeline.moondream.network.layers import plain_add_norm
from pipeline.moondream.network.network import Network
from pipeline.moondream.network.text import TextModel
from tests.moondream.tiny import TINY, random_state, tiny_language, tiny_network, tiny_release

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


def test_joined_weights_are_the_same_weights() -> None:
    """A network gives what it gave, by four products or by two, and keeps one copy of them."""
    network = network_of(TINY)
    text = network.text
    x, position = torch.randn(3, TINY.text.dim), torch.tensor([4, 5, 6])
    before = text.forward(x, position, attend_alone)
    kernels = lay_out(StepKernels(joined=True), text)
    assert kernels.in_use == ("joined",)
    mix = text.mixing(attend_alone, position)

    def mix_both(layer: int, both: torch.Tensor) -> torch.Tensor:
        qkv, inner = both[:, : TINY.text.qkv_dim], both[:, TINY.text.qkv_dim :]
        return torch.cat([mix(layer, qkv), F.gelu(inner, approximate="tanh")], dim=1)

    torch.testing.assert_close(text.forward(x, position, attend_alone), before)
    torch.testing.assert_close(text.joined_step(x, mix_both, plain_add_norm), before)
    lay_out(StepKernels(joined=True), text)
    storages = {one.untyped_storage().data_ptr() for one in weights_of(text)}
    assert len(storages) == 2 * TINY.text.n_layers


def test_weights_stay_where_an_engine_has_captured() -> None:
    """A graph finds them by their addresses, so a later engine does without joined products."""
    text = network_of(TINY).text
    lay_out(StepKernels(), text)
    kernels = lay_out(StepKernels(joined=True), text)
    assert kernels.in_use == ()
    assert kernels.refused == {"joined": "the network already serves an engine without it"}


def network_of(dims: Dims) -> Network:
    """Return a network nobody else uses."""
    release = tiny_release()
    return Network.from_state(random_state(dims, release.ids), dims, release)


def attend_alone(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Let every token see itself."""
    del layer, k
    groups = q.shape[2]
    return v[:, :, None].expand(-1, -1, groups, -1).flatten(1)


def weights_of(text: TextModel) -> list[torch.Tensor]:
    """Return the weights of all products in the blocks."""
    layers = [(b.qkv, b.proj, b.mlp.fc1, b.mlp.fc2) for b in text.blocks]
    return [one.weight for of_block in layers for one in of_block]
