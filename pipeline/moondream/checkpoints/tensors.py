"""The tensors a checkpoint must hold, by name and shape, and the names other layouts give them."""

import re

from pipeline.moondream.dims import Dims, TextDims, VisionDims

Shape = tuple[int, ...]


def tensor_table(dims: Dims) -> dict[str, Shape]:
    """Return every parameter of a network with its shape; linear weights are (out, in)."""
    table = {f"vision.{name}": shape for name, shape in _vision(dims.vision).items()}
    table.update({f"text.{name}": shape for name, shape in _text(dims.text).items()})
    region = dims.region
    table["region.coord_features"] = (1, region.coord_feat_dim // 2)
    table["region.size_features"] = (2, region.size_feat_dim // 2)
    for name, features, bins in (
        ("coord", region.coord_feat_dim, region.coord_out_dim),
        ("size", region.size_feat_dim, region.size_out_dim),
    ):
        table.update(_linear(f"region.{name}_encoder", features, region.dim))
        table.update(_linear(f"region.{name}_decoder.fc1", region.dim, region.inner_dim))
        table.update(_linear(f"region.{name}_decoder.fc2", region.inner_dim, bins))
    return table


def _vision(vision: VisionDims) -> dict[str, Shape]:
    dim = vision.enc_dim
    table: dict[str, Shape] = {"pos_emb": (1, vision.n_patches, dim)}
    table.update(_linear("patch_emb", vision.patch_dim, dim))
    for index in range(vision.enc_n_layers):
        block = f"blocks.{index}"
        table.update(_norm(f"{block}.ln1", dim))
        table.update(_linear(f"{block}.attn.qkv", dim, 3 * dim))
        table.update(_linear(f"{block}.attn.proj", dim, dim))
        table.update(_norm(f"{block}.ln2", dim))
        table.update(_linear(f"{block}.mlp.fc1", dim, vision.enc_ff_dim))
        table.update(_linear(f"{block}.mlp.fc2", vision.enc_ff_dim, dim))
    table.update(_norm("post_ln", dim))
    table.update(_linear("proj_mlp.fc1", 2 * dim, vision.proj_inner_dim))
    table.update(_linear("proj_mlp.fc2", vision.proj_inner_dim, vision.proj_out_dim))
    return table


def _text(text: TextDims) -> dict[str, Shape]:
    table: dict[str, Shape] = {"wte": (text.vocab_size, text.dim)}
    for index in range(text.n_layers):
        table.update(_norm(f"blocks.{index}.ln", text.dim))
        for name, (n_in, n_out) in block_linears(text).items():
            table.update(_linear(f"blocks.{index}.{name}", n_in, n_out))
    table.update(_norm("post_ln", text.dim))
    table.update(_linear("lm_head", text.dim, text.vocab_size))
    return table


def block_linears(text: TextDims) -> dict[str, tuple[int, int]]:
    """Return the linear layers of one text block with their input and output widths."""
    return {
        "attn.qkv": (text.dim, text.qkv_dim),
        "attn.proj": (text.dim, text.dim),
        "mlp.fc1": (text.dim, text.ff_dim),
        "mlp.fc2": (text.ff_dim, text.dim),
    }


def _linear(name: str, n_in: int, n_out: int) -> dict[str, Shape]:
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}


def _norm(name: str, dim: int) -> dict[str, Shape]:
    return {f"{name}.weight": (dim,), f"{name}.bias": (dim,)}


# How names were written during training, in the order in which they are replaced.
_TRAINING_NAMES = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"^vision_encoder\.encoder\.model\.visual\.", "vision."),
        (r"^vision_encoder\.projection\.mlp\.", "vision.proj_mlp."),
        (r"^vision\.patch_embed\.linear\.", "vision.patch_emb."),
        (r"^vision\.pos_embed$", "vision.pos_emb"),
        (r"^vision\.norm\.", "vision.post_ln."),
        (r"^(vision\.blocks\.\d+)\.norm([12])\.", r"\1.ln\2."),
        (r"^text_model\.transformer\.embd\.wte\.weight$", "text.wte"),
        (r"^text_model\.transformer\.h\.", "text.blocks."),
        (r"^text_model\.lm_head\.ln\.", "text.post_ln."),
        (r"^text_model\.lm_head\.linear\.", "text.lm_head."),
        (r"^(text\.blocks\.\d+)\.mixer\.Wqkv\.", r"\1.attn.qkv."),
        (r"^(text\.blocks\.\d+)\.mixer\.out_proj\.", r"\1.attn.proj."),
        (r"^region_model\.coordinate_", "region.coord_"),
        (r"^region_model\.size_", "region.size_"),
    )
)
_TURNED = re.compile(r"^region\.(coord|size)_features\.weight$")


# What wrappers of a network put in front of its names or between them: compilation, data
# parallelism, and the class that is published.
_WRAPPERS = re.compile(r"^(?:(?:model|module|_orig_mod)\.)+|(?<=\.)_orig_mod\.")
# Memory that training scripts save with the weights: keys and values, masks, rotary tables.
_BUFFERS = re.compile(
    r"text\.blocks\.\d+\.(?:attn\.)?kv_cache\.[kv]_cache|(?:text\.)?(?:attn_mask|freqs_cis)"
)


def is_buffer(name: str) -> bool:
    """Whether a tensor, by its name in `tensor_table`, is memory of a run and no parameter."""
    return _BUFFERS.fullmatch(name) is not None


def canonical_name(name: str) -> tuple[str, bool]:
    """Return the name a tensor has in `tensor_table`, and whether the file has it transposed."""
    name = _WRAPPERS.sub("", name)
    for pattern, replacement in _TRAINING_NAMES:
        name = pattern.sub(replacement, name)
    if _TURNED.match(name):
        return name.removesuffix(".weight"), True
    return name, False
