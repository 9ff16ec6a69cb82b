"""The few layers the network is made of, as values that hold tensors and can be called.

Knows nothing of pictures, prompts or caches; shapes are whatever the last dimension says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

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

    def outputs_from(self, start: int) -> Self:
        """Return the layer that computes only the outputs from `start` on (no copy)."""
        adapter = self.adapter
        if adapter is not None:
            adapter = replace(adapter, up=adapter.up[start:])
        return replace(self, weight=self.weight[start:], bias=self.bias[start:], adapter=adapter)

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
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


def to_device(values: Sequence[Any], device: torch.device) -> Tensor:
    """Return numbers of the host as a tensor; the host does not wait until a GPU has read them."""
    if device.type != "cuda":
        return torch.tensor(values, device=device)
    return torch.tensor(values, pin_memory=True).to(device, non_blocking=True)


def long_range(count: int, device: torch.device) -> Tensor:
    """Return 0 … count-1 as indices."""
    return torch.arange(count, device=device)
