"""Small real checkpoints for tests: safetensors files and tokenizers of tiny sizes."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from pipeline.moondream.checkpoints.tensors import tensor_table
from pipeline.moondream.dims import Dims

TINY: dict[str, Any] = {
    "text": {
        "dim": 32,
        "ff_dim": 64,
        "n_layers": 2,
        "vocab_size": 512,
        "n_heads": 4,
        "n_kv_heads": 2,
    },
    "vision": {
        "enc_dim": 24,
        "enc_n_layers": 2,
        "enc_ff_dim": 40,
        "enc_n_heads": 2,
        "proj_out_dim": 32,
        "proj_inner_dim": 48,
    },
    "region": {
        "dim": 32,
        "coord_feat_dim": 16,
        "size_feat_dim": 32,
        "inner_dim": 40,
        "coord_out_dim": 64,
        "size_out_dim": 128,
    },
    "tokenizer": {
        "bos_id": 0,
        "answer_id": 3,
        "templates": {
            "caption": {"short": [1, 20, 2, 3], "normal": [1, 21, 2, 3]},
            "query": {"prefix": [1, 22, 2], "suffix": [3]},
            "detect": {"prefix": [1, 23, 2], "suffix": [3]},
            "point": {"prefix": [1, 24, 2], "suffix": [3]},
        },
    },
}
TINY_DIMS = Dims.from_config(TINY)


def random_weights(
    dims: Dims = TINY_DIMS, dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Return one random tensor for each name of the network."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator).to(dtype)
        for name, shape in tensor_table(dims).items()
    }


def byte_tokenizer(special: int = 21, size: int = 300) -> Tokenizer:
    """Return a byte-level tokenizer whose first ids are special, as those of 2025-06-21 are."""
    names = ["<|endoftext|>", *(f"<|md_reserved_{i}|>" for i in range(special - 1))][:special]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    filler = [f"~{index}" for index in range(size - special - len(alphabet))]
    vocabulary = {token: index for index, token in enumerate([*names, *alphabet, *filler])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names])
    return tokenizer


def write_folder(
    folder: Path,
    weights: Mapping[str, torch.Tensor],
    config: Mapping[str, Any] = TINY,
    tokenizer: Tokenizer | None = None,
) -> Path:
    """Write the three files of a checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(weights), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    (tokenizer or byte_tokenizer()).save(str(folder / "tokenizer.json"))
    return folder


def packed(weights: Mapping[str, torch.Tensor], group: int) -> dict[str, torch.Tensor]:
    """Return the weights with the linear layers of text and region as random 4-bit ones."""
    generator = torch.Generator().manual_seed(1)
    out: dict[str, torch.Tensor] = {}
    for name, tensor in weights.items():
        linear = name.endswith(".weight") and tensor.ndim == 2 and "lm_head" not in name
        if not linear or name.startswith("vision."):
            out[name] = tensor
            continue
        groups = math.prod(tensor.shape) // group
        low_high = torch.randint(0, 256, (groups // 2, group), generator=generator)
        out[f"{name}.packed"] = low_high.to(torch.uint8)
        out[f"{name}.scale"] = torch.rand((groups, 1), generator=generator)
        out[f"{name}.zero_point"] = torch.rand((groups, 1), generator=generator) * 15
    return out
