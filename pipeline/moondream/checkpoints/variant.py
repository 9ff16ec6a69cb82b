"""Variants: small additions to the linear layers of the text model (LoRA), from a local file."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file

from pipeline.moondream.checkpoints.tensors import block_linears, canonical_name
from pipeline.moondream.dims import TextDims
from pipeline.moondream.errors import CheckpointError

# What training puts between a layer's name and A or B.
_TRAINING_INFIX = ".parametrizations.weight.0"


def read_variant(
    path: Path, text: TextDims, device: torch.device | str, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """Return the matrices `text.blocks.N.LAYER.A` (rank, in) and `.B` (out, rank).

    A safetensors file, or a `.pt` file of tensors alone. Layers the file leaves out have no
    addition. Raises CheckpointError for a file that does not fit the model.
    """
    stored = _load(path)
    known = {
        f"text.blocks.{index}.{name}": sizes
        for index in range(text.n_layers)
        for name, sizes in block_linears(text).items()
    }
    variant: dict[str, torch.Tensor] = {}
    for stored_as, tensor in stored.items():
        name, _ = canonical_name(stored_as.replace(_TRAINING_INFIX, ""))
        layer, _, side = name.rpartition(".")
        if layer not in known or side not in ("A", "B"):
            raise CheckpointError(
                f"{path} is not a variant of this model: it has {stored_as}, but variants have "
                f"text.blocks.0.attn.qkv.A and the like, in {text.n_layers} blocks"
            )
        variant[name] = tensor.to(device=device, dtype=dtype)
    if not variant:
        raise CheckpointError(f"{path} has no tensors; it is not a variant")
    for name in variant:
        layer = name.rpartition(".")[0]
        _check_pair(path, layer, variant, known[layer])
    return variant


def _check_pair(
    path: Path, layer: str, variant: Mapping[str, torch.Tensor], sizes: tuple[int, int]
) -> None:
    for side in ("A", "B"):
        if f"{layer}.{side}" not in variant:
            raise CheckpointError(f"{path} lacks {layer}.{side}; a variant has A and B")
    first, second = variant[f"{layer}.A"], variant[f"{layer}.B"]
    rank = first.shape[0] if first.ndim else 0
    n_in, n_out = sizes
    if tuple(first.shape) != (rank, n_in) or tuple(second.shape) != (n_out, rank):
        raise CheckpointError(
            f"{path} does not fit this model: {layer}.A is {list(first.shape)} and .B is "
            f"{list(second.shape)}, but they should be [rank, {n_in}] and [{n_out}, rank]"
        )


def _load(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise CheckpointError(f"the variant {path} does not exist; give a local file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        stored = torch.load(path, map_location="cpu", weights_only=True)
    # Bytes that are not a pickle can make the unpickler raise any exception.
    except Exception as error:
        raise CheckpointError(f"{path} cannot be read as a variant: {error}") from error
    tensors = isinstance(stored, dict) and all(
        isinstance(tensor, torch.Tensor) for tensor in stored.values()
    )
    if not tensors:
        raise CheckpointError(f"{path} holds more than named tensors; it is not a variant")
    return {str(name): tensor for name, tensor in stored.items()}
