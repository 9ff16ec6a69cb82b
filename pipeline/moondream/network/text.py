"""The language model: embeddings, parallel blocks with rotary positions, output head.

Knows nothing of caches: where keys are kept and who sees whom is the caller's `Attend`.
Letters: T tokens in a row (of any requests), C width, K key heads, G query heads of a key head,
D head width, V vocabulary.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.moondream.dims import TextDims
from pipeline.moondream.network.layers import Adapter, AddNorm, Linear, Mlp, Norm, State

ROTARY_BASE = 10000.0


class Attend(Protocol):
    """Keeps new keys and values, and mixes values for the queries."""

    def __call__(self, layer: int, q_TKGD: Tensor, k_TKD: Tensor, v_TKD: Tensor, /) -> Tensor:
        """Return the mixed values (T, K * G * D) of the queries, which come scaled."""
        ...


class Mix(Protocol):
    """Attends too, from what the first product of a block gave: queries, keys and values as one.

    In `TextModel.joined_step` the inner values of the wide layer follow them.
    """

    def __call__(self, layer: int, qkv_TE: Tensor, /) -> Tensor:
        """Return the mixed values (T, K * G * D), then what the GELU makes of the inner values."""
        ...


@dataclass(frozen=True, slots=True)
class TextBlock:
    """One block: attention and the wide layer read the same normed input, both are added."""

    ln: Norm
    qkv: Linear
    proj: Linear
    # Of the attention's output layer, but reads the normed input: variants were trained so.
    proj_adapter: Adapter | None
    mlp: Mlp

    @classmethod
    def of(cls, state: State, name: str, variant: State) -> Self:
        """Take block `name` and its adapters out of state dicts."""
        return cls(
            Norm.of(state, f"{name}.ln"),
            Linear.of(state, f"{name}.attn.qkv", variant),
            Linear.of(state, f"{name}.attn.proj"),
            Adapter.find(variant, f"{name}.attn.proj"),
            Mlp.of(state, f"{name}.mlp", variant),
        )

    @property
    def has_adapter(self) -> bool:
        """Whether a variant added to any product."""
        layers = self.qkv, self.proj, self.mlp.fc1, self.mlp.fc2
        return self.proj_adapter is not None or any(one.adapter is not None for one in layers)

    def join(self) -> "tuple[TextBlock, JoinedProducts]":
        """Return the block with its weights as views of joined ones, and these."""
        qkv, proj, fc1, fc2 = self.qkv, self.proj, self.mlp.fc1, self.mlp.fc2
        first = Linear(torch.cat([qkv.weight, fc1.weight]), torch.cat([qkv.bias, fc1.bias]))
        second = Linear(torch.cat([proj.weight, fc2.weight], dim=1), proj.bias + fc2.bias)
        width, mixed = len(qkv.bias), proj.weight.shape[1]
        block = replace(
            self,
            qkv=Linear(first.weight[:width], first.bias[:width]),
            proj=replace(proj, weight=second.weight[:, :mixed]),
            mlp=Mlp(
                Linear(first.weight[width:], first.bias[width:]),
                replace(fc2, weight=second.weight[:, mixed:]),
            ),
        )
        return block, JoinedProducts(first, second)

    def add_to(self, x_TC: Tensor, normed_TC: Tensor, mixed: Tensor) -> Tensor:
        """Return the block's output from its input, that input normed, and the mixed values."""
        return x_TC + self.attended(normed_TC, mixed) + self.mlp(normed_TC)

    def attended(self, normed_TC: Tensor, mixed: Tensor) -> Tensor:
        """Return what attention adds to the block's input."""
        attended_TC = self.proj(mixed)
        if self.proj_adapter is None:
            return attended_TC
        return attended_TC + self.proj_adapter(normed_TC)


class JoinedProducts(NamedTuple):
    """The products of a block as two: with the same input, and whose results are added."""

    first: Linear  # queries, keys and values, then the inner values of the wide layer
    second: Linear  # of the mixed values and what the GELU made of the inner ones


class TextModel:
    """The decoder of the model; hidden states it returns are those before the last norm."""

    def __init__(self, state: State, dims: TextDims, variant: State | None = None) -> None:
        self.dims = dims
        self.wte = state["text.wte"]
        self.blocks = [
            TextBlock.of(state, f"text.blocks.{i}", variant or {}) for i in range(dims.n_layers)
        ]
        self._joined: list[JoinedProducts] = []
        self._is_fixed = False
        self._post_ln = Norm.of(state, "text.post_ln")
        self._lm_head = Linear.of(state, "text.lm_head")
        self.turns = rotary_table(dims, self.wte.device)

    def embed(self, ids_T: Tensor) -> Tensor:
        """Return the embeddings of token ids."""
        return F.embedding(ids_T, self.wte)

    def logits(self, hidden_TC: Tensor) -> Tensor:
        """Return logits (T, V) of the token that follows each hidden state."""
        return self._lm_head(self._post_ln(hidden_TC))

    def forward(self, x_TC: Tensor, position_T: Tensor, attend: Attend) -> Tensor:
        """Run all blocks over `x_TC` and return the hidden states."""
        turn = self._turn(position_T)
        for layer, block in enumerate(self.blocks):
            normed_TC = block.ln(x_TC)
            q_TKGD, k_TKD, v_TKD = split_heads(self.dims, block.qkv(normed_TC), *turn)
            x_TC = block.add_to(x_TC, normed_TC, attend(layer, q_TKGD, k_TKD, v_TKD))
        return x_TC

    def step(self, x_BC: Tensor, mix: Mix, add_norm: AddNorm) -> Tensor:
        """Run all blocks as `forward` does, with parts that may be kernels of their own."""
        normed_BC = self.blocks[0].ln(x_BC)
        norms = [block.ln for block in self.blocks[1:]] + [self._post_ln]
        for layer, (block, norm) in enumerate(zip(self.blocks, norms, strict=True)):
            mixed = mix(layer, block.qkv(normed_BC))
            attended_BC = block.attended(normed_BC, mixed)
            x_BC, normed_BC = add_norm(x_BC, attended_BC, block.mlp(normed_BC), norm)
        return x_BC

    def join(self) -> str | None:
        """Lay the weights of each block side by side as `joined_step` wants them, once.

        The layers then look into the same memory. Returns None, or why they stay apart.
        """
        if self._joined:
            return None
        if any(block.has_adapter for block in self.blocks):
            return "an adapter adds to products one by one"
        if self._is_fixed:
            return "the network already serves an engine without it"
        joined = []
        try:
            for number, block in enumerate(self.blocks):
                self.blocks[number], products = block.join()
                joined.append(products)
        except torch.OutOfMemoryError as error:
            return f"{type(error).__name__}: {error}"
        self._joined = joined
        return None

    def fix(self) -> None:
        """Leave the weights where they are from now on: what is captured finds them there."""
        self._is_fixed = True

    def joined_step(self, x_BC: Tensor, mix: Mix, add_norm: AddNorm) -> Tensor:
        """Run all blocks as `step` does, each with two products instead of four."""
        normed_BC = self.blocks[0].ln(x_BC)
        norms = [block.ln for block in self.blocks[1:]] + [self._post_ln]
        for layer, (joined, norm) in enumerate(zip(self._joined, norms, strict=True)):
            both = mix(layer, joined.first(normed_BC))
            x_BC, normed_BC = add_norm(x_BC, joined.second(both), None, norm)
        return x_BC

    def mixing(self, attend: Attend, position_T: Tensor) -> Mix:
        """Return what splits and turns the heads by plain operations before it attends."""
        turn = self._turn(position_T)

        def mix(layer: int, qkv_TE: Tensor) -> Tensor:
            return attend(layer, *split_heads(self.dims, qkv_TE, *turn))

        return mix

    def _turn(self, position_T: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = self.turns
        return cos[position_T, None], sin[position_T, None]


def split_heads(
    dims: TextDims, qkv: Tensor, cos: Tensor, sin: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, turned and scaled, turned keys, and values."""
    heads = qkv.view(-1, dims.n_heads + 2 * dims.n_kv_heads, dims.head_dim)
    turned = _rotate(heads[:, : dims.n_heads + dims.n_kv_heads], cos, sin)
    groups = dims.n_heads // dims.n_kv_heads
    q = turned[:, : dims.n_heads] * dims.head_dim**-0.5
    return (
        q.view(-1, dims.n_kv_heads, groups, dims.head_dim),
        turned[:, dims.n_heads :],
        heads[:, dims.n_heads + dims.n_kv_heads :],
    )


def turn_in_place(heads: Tensor, cos: Tensor, sin: Tensor) -> None:
    """Rotate the leading dimensions of every head (T, any, D) by its position, in float32."""
    half = cos.shape[-1]
    first, second = heads[..., :half], heads[..., half : 2 * half]
    # Products with float32 are float32, and sums are rounded once where they are written.
    first_cos, first_sin, second_cos, second_sin = (
        first * cos, first * sin, second * cos, second * sin
    )  # fmt: skip
    torch.sub(first_cos, second_sin, out=first)
    torch.add(first_sin, second_cos, out=second)


def rotary_table(dims: TextDims, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosines and sines (max_context, rotary_dim / 2) in float32."""
    steps = torch.arange(0, dims.rotary_dim, 2, dtype=torch.float32) / dims.rotary_dim
    frequency = 1.0 / (ROTARY_BASE**steps)
    angle = torch.arange(dims.max_context, dtype=torch.float32)[:, None] * frequency
    return angle.cos().to(device), angle.sin().to(device)


def _rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the leading dimensions of every head by its position, in float32."""
    half = cos.shape[-1]
    first, second = heads[..., :half].float(), heads[..., half : 2 * half].float()
    turned = torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)
    return torch.cat([turned.to(heads.dtype), heads[..., 2 * half :]], dim=-1)
