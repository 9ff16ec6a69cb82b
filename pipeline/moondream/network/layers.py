"""The few layers the network is made of, as values that hold tensors and can be called.

Knows nothing of pictures, prompts or caches; shapes are whatever the last dimension says.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

_log = logging.getLogger(__name__)

# With fewer inputs at once a pass over the outputs costs next to nothing.
GELU_ROWS = 256
NORM_EPS = 1e-5  # both towers were trained with it

State = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Adapter:
    """A low-rank addition to a linear layer: `up(down(x))`, not scaled."""

    down: Tensor
    up: Tensor

    @classmethod
    def find(cls, variant: State, name: str) -> Self | None:
        """Return the adapter of layer `name`, or None where the variant leaves it alone."""
        if f"{name}.A" not in variant:
            return None
        return cls(variant[f"{name}.A"], variant[f"{name}.B"])

    def __call__(self, x: Tensor) -> Tensor:
        """Return what is to be added to the layer's output for input `x`."""
        return F.linear(F.linear(x, self.down), self.up)


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear layer with bias and, in a variant, its adapter."""

    weight: Tensor
    bias: Tensor
    adapter: Adapter | None = None

    @classmethod
    def of(cls, state: State, name: str, variant: State | None = None) -> Self:
        """Take layer `name` out of a state dict."""
        adapter = Adapter.find(variant or {}, name)
        return cls(state[f"{name}.weight"], state[f"{name}.bias"], adapter)

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the layer to the last dimension."""
        y = F.linear(x, self.weight, self.bias)
        return y if self.adapter is None else y + self.adapter(x)

    def outputs(self, start: int, stop: int | None) -> Self:
        """Return the layer that computes only the outputs from `start` to `stop` (no copy)."""
        some = slice(start, stop)
        adapter = self.adapter
        if adapter is not None:
            adapter = replace(adapter, up=adapter.up[some])
        return replace(self, weight=self.weight[some], bias=self.bias[some], adapter=adapter)

    def with_padded_inputs(self, multiple: int) -> Self:
        """Return the layer with zero columns added, for kernels that want round sizes."""
        missing = -self.weight.shape[1] % multiple
        return replace(self, weight=F.pad(self.weight, (0, missing))) if missing else self


@dataclass(frozen=True, slots=True)
class Norm:
    """Layer normalisation with weight and bias."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, state: State, name: str) -> Self:
        """Take norm `name` out of a state dict."""
        return cls(state[f"{name}.weight"], state[f"{name}.bias"])

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise the last dimension."""
        return F.layer_norm(x, self.bias.shape, self.weight, self.bias, NORM_EPS)


class AddNorm(Protocol):
    """Ends one block and begins the next."""

    def __call__(
        self, x_TC: Tensor, attended_TC: Tensor, wide_TC: Tensor | None, norm: Norm, /
    ) -> tuple[Tensor, Tensor]:
        """Return the sum of the three, or of the first two, and the same normed."""
        ...


def plain_add_norm(
    x_TC: Tensor, attended_TC: Tensor, wide_TC: Tensor | None, norm: Norm
) -> tuple[Tensor, Tensor]:
    """End a block and begin the next by plain operations."""
    added_TC = x_TC + attended_TC
    if wide_TC is not None:
        added_TC = added_TC + wide_TC
    return added_TC, norm(added_TC)


@dataclass(frozen=True, slots=True)
class Mlp:
    """Two linear layers with a tanh-approximated GELU between them."""

    fc1: Linear
    fc2: Linear

    @classmethod
    def of(cls, state: State, name: str, variant: State | None = None) -> Self:
        """Take `name`.fc1 and `name`.fc2 out of a state dict."""
        return cls(
            Linear.of(state, f"{name}.fc1", variant), Linear.of(state, f"{name}.fc2", variant)
        )

    def __call__(self, x: Tensor) -> Tensor:
        """Apply both layers to the last dimension."""
        return self.fc2(_gelu_of(self.fc1, x))


def _gelu_of(layer: Linear, x: Tensor) -> Tensor:
    """Return the tanh-approximated GELU of a linear layer's outputs.

    On CUDA, in half precision and for many inputs at once, it is computed where the product is,
    from numbers that are not rounded yet: a pass over the widest of all tensors less.
    """
    if x.device.type == "cuda" and layer.adapter is None and x.dtype is not torch.float32:
        rows = x.numel() // x.shape[-1]
        if rows >= GELU_ROWS and _can_fuse_gelu(x.device, x.dtype):
            y = torch._addmm_activation(
                layer.bias, x.reshape(rows, -1), layer.weight.t(), use_gelu=True
            )
            return y.view(*x.shape[:-1], -1)
    return F.gelu(layer(x), approximate="tanh")


@cache
def _can_fuse_gelu(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether torch's fused product gives the same approximation here; tried once.

    It is a private function of torch, and some versions take another approximation.
    """
    try:
        drawn = torch.Generator(device).manual_seed(0)
        x, weight, bias = (
            torch.randn(*shape, generator=drawn, device=device).to(dtype)
            for shape in ((GELU_ROWS, 64), (128, 64), (128,))
        )
        fused = torch._addmm_activation(bias, x, weight.t() / 8, use_gelu=True)
        plain = F.gelu(F.linear(x.float(), weight.float() / 8, bias.float()), approximate="tanh")
        off = (fused.float() - plain).abs().max().item()
    except (AttributeError, RuntimeError) as error:
        _log.warning(
            "the fused GELU is not used on %s, which is slower. The reason: %s: %s",
            device, type(error).__name__, error,
        )  # fmt: skip
        return False
    allowed = 2 * torch.finfo(dtype).eps * plain.abs().max().item()
    if off > allowed:
        _log.warning(
            "the fused GELU is not used on %s, which is slower: it differs by %.2g, and %.2g is "
            "allowed", device, off, allowed,
        )  # fmt: skip
    return off <= allowed


def to_device(values: Sequence[Any], device: torch.device) -> Tensor:
    """Return numbers of the host as a tensor; the host does not wait until a GPU has read them."""
    if device.type != "cuda":
        return torch.tensor(values, device=device)
    return torch.tensor(values, pin_memory=True).to(device, non_blocking=True)


def long_range(count: int, device: torch.device) -> Tensor:
    """Return 0 … count-1 as indices."""
    return torch.arange(count, device=device)
