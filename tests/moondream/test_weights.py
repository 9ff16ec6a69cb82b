"""Weights of every layout are read as the same network, and a wrong file says what is wrong."""

import json
import math
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipeline.moondream.checkpoints.tensors import tensor_table
from pipeline.moondream.checkpoints.weights import open_weights
from pipeline.moondream.dims import DIMS_05B, DIMS_2B
from pipeline.moondream.errors import CheckpointError
from pipeline.testing import patience
from tests.moondream.checkpoints import TINY_DIMS, packed, random_weights

TABLE = tensor_table(TINY_DIMS)
Weights = dict[str, torch.Tensor]


def write(folder: Path, weights: Weights) -> Path:
    """Write a weights file."""
    path = folder / "model.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
    return path


def in_training_names(weights: Weights) -> Weights:
    """Rename everything to what a training run saves, compiled modules included."""
    renames = (
        (r"^vision\.patch_emb\.", "vision.patch_embed.linear."),
        (r"^vision\.pos_emb$", "vision.pos_embed"),
        (r"^vision\.post_ln", "vision.norm"),
        (r"^(vision\.blocks\.\d+)\.ln([12])", r"\1.norm\2"),
        (r"^vision\.proj_mlp", "vision_encoder.projection.mlp"),
        (r"^vision\.", "vision_encoder.encoder.model.visual."),
        (r"^text\.wte$", "text_model.transformer.embd.wte.weight"),
        (r"^text\.post_ln", "text_model.lm_head.ln"),
        (r"^text\.lm_head", "text_model.lm_head.linear"),
        (r"^(text\.blocks\.\d+)\.attn\.qkv", r"\1.mixer.Wqkv"),
        (r"^(text\.blocks\.\d+)\.attn\.proj", r"\1.mixer.out_proj"),
        (r"^text\.blocks", "text_model._orig_mod.transformer.h"),
        (r"^region\.(coord|size)_features$", r"region.\1_features.weight"),
        (r"^region\.coord_", "region_model.coordinate_"),
        (r"^region\.size_", "region_model.size_"),
    )
    renamed = {}
    for name, tensor in weights.items():
        stored = tensor.t() if name.endswith("_features") else tensor
        for pattern, replacement in renames:
            name = re.sub(pattern, replacement, name)
        renamed[name] = stored
    return renamed


@pytest.mark.parametrize(
    "layout",
    [
        lambda weights: weights,  # plain names
        lambda weights: {f"model.{name}": tensor for name, tensor in weights.items()},
        in_training_names,
        lambda weights: {f"_orig_mod.{name}": tensor for name, tensor in weights.items()},
        lambda weights: {f"module._orig_mod.model.{n}": tensor for n, tensor in weights.items()},
        lambda weights: {
            re.sub(r"(blocks\.\d+)", r"\1._orig_mod", n): t for n, t in weights.items()
        },
    ],
    ids=["plain", "prefixed", "training", "compiled", "wrapped", "compiled blocks"],
)
def test_every_layout_is_the_same_network(
    tmp_path: Path, layout: Callable[[Weights], Weights]
) -> None:
    """Names and transposes differ, the tensors do not."""
    weights = random_weights()
    read = open_weights(write(tmp_path, layout(weights)), TABLE).read("cpu")
    assert read.keys() == weights.keys()
    assert all(torch.equal(read[name], weights[name]) for name in weights)


@pytest.mark.parametrize("prefix", ["", "model.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("block", ["text.blocks.{}", "text.blocks.{}._orig_mod"])
def test_caches_that_training_saved_with_the_weights_are_left_alone(
    tmp_path: Path, prefix: str, block: str
) -> None:
    """Upstream's scripts save keys and values of a run; neither names nor precision count."""
    weights = random_weights(dtype=torch.bfloat16)
    saved = {f"{prefix}{name}": tensor for name, tensor in weights.items()}
    for index in range(3):  # one block more than the network has
        for kind in ("k", "v"):
            name = f"{prefix}{block.format(index)}.kv_cache.{kind}_cache"
            saved[name] = torch.zeros(1, 4, 2048, 64, dtype=torch.float16)
    saved[f"{prefix}text.freqs_cis"] = torch.zeros(8, 2)
    saved[f"{prefix}attn_mask"] = torch.zeros(4, 4, dtype=torch.bool)
    opened = open_weights(write(tmp_path, saved), TABLE)
    assert opened.stored_dtype is torch.bfloat16
    read = opened.read("cpu")
    assert read.keys() == weights.keys()
    assert all(torch.equal(read[name], weights[name]) for name in weights)


@pytest.mark.parametrize(
    "name", ["text.blocks.0.kv_cache.bias", "vision.blocks.0.kv_cache.k_cache"]
)
def test_what_only_looks_like_a_cache_is_unexpected(tmp_path: Path, name: str) -> None:
    """A tensor the network would need is not passed over."""
    with pytest.raises(CheckpointError, match=f"it has unexpected {re.escape(name)}"):
        open_weights(write(tmp_path, {**random_weights(), name: torch.zeros(2)}), TABLE)


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("asked", [None, torch.bfloat16, torch.float32])
def test_dtypes_are_kept_or_converted(
    tmp_path: Path, stored: torch.dtype, asked: torch.dtype | None
) -> None:
    """Without a dtype the file's is kept."""
    weights = random_weights(dtype=stored)
    file = open_weights(write(tmp_path, weights), TABLE)
    assert file.stored_dtype == stored
    read = file.read("cpu", asked)
    assert all(
        torch.equal(read[name], tensor.to(asked or stored)) for name, tensor in weights.items()
    )


def test_packed_layers_are_unpacked(tmp_path: Path) -> None:
    """High halves of the bytes are the first groups; arithmetic is in bfloat16."""
    stored = packed(random_weights(dtype=torch.bfloat16), group=16)
    file = open_weights(write(tmp_path, stored), TABLE)
    assert file.is_packed
    assert file.stored_dtype == torch.bfloat16
    name = "text.blocks.1.attn.qkv.weight"
    read = file.read("cpu")[name]
    data = stored[f"{name}.packed"]
    half = data.shape[0]
    for group, column in ((0, 3), (half - 1, 0), (half, 5), (2 * half - 1, 15)):
        byte = int(data[group % half, column])
        quarter = torch.tensor(byte >> 4 if group < half else byte & 15, dtype=torch.bfloat16)
        shifted = (quarter - stored[f"{name}.zero_point"][group, 0]).to(torch.bfloat16)
        expected = (shifted * stored[f"{name}.scale"][group, 0]).to(torch.bfloat16)
        assert read.flatten()[group * 16 + column] == expected
    assert file.read("cpu", torch.float32)[name].dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.pop("text.wte"), "lacks text.wte;"),
        (lambda w: [w.pop(k) for k in list(w) if k.startswith("text.blocks.1.")], "and 7 more"),
        (lambda w: w.update({"text.extra": torch.ones(1)}), "unexpected text.extra;"),
        (
            lambda w: w.update({"text.wte": torch.ones(7, 32)}),
            r"text.wte is \[7, 32\] and should be \[512, 32\]",
        ),
        (
            lambda w: w.update({"text.wte": torch.ones(512, 32, dtype=torch.int32)}),
            "text.wte is I32 and should be BF16, F16 or F32",
        ),
        (
            lambda w: w.update({"model.text.wte": torch.ones(512, 32)}),
            "in part or twice text.wte",
        ),
        (
            lambda w: w.update(
                {
                    "text.blocks.0.mlp.fc1.weight.packed": torch.ones(64, 16, dtype=torch.uint8),
                    "text.blocks.0.mlp.fc1.weight.scale": w.pop("text.blocks.0.mlp.fc1.weight"),
                }
            ),
            "in part or twice text.blocks.0.mlp.fc1.weight",
        ),
    ],
)
def test_a_wrong_file_names_its_first_wrong_tensors(
    tmp_path: Path, change: Callable[[Weights], object], said: str
) -> None:
    """What is missing, unexpected or misshapen is said before anything is read."""
    weights = random_weights()
    change(weights)
    with pytest.raises(CheckpointError, match=said):
        open_weights(write(tmp_path, weights), TABLE)


def test_a_packed_layer_of_another_size_is_refused(tmp_path: Path) -> None:
    """The three pieces of a 4-bit layer must fit each other and the layer."""
    weights = packed(random_weights(), group=16)
    weights["region.coord_encoder.weight.scale"] = torch.ones(3, 1)
    with pytest.raises(CheckpointError, match=r"weight.scale is \[3, 1\] and should be \[32, 1\]"):
        open_weights(write(tmp_path, weights), TABLE)


@pytest.mark.parametrize("content", [None, b"", b"not a model at all", b"\xff" * 64])
def test_a_broken_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """A missing, an empty and a foreign file are told apart from a model."""
    path = tmp_path / "model.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"does not exist|not a whole safetensors"):
        open_weights(path, TABLE)


def test_a_truncated_download_is_refused(tmp_path: Path) -> None:
    """A file that lost its end is noticed by its header alone."""
    path = write(tmp_path, random_weights())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a whole safetensors"):
        open_weights(path, TABLE)


def test_the_2b_table_makes_a_file_of_the_published_size(tmp_path: Path) -> None:
    """Names, shapes and dtype give the 3,854,538,968 bytes the published file has.

    The file is real and opens; only its weights are a hole that takes no room on the disk.
    """
    table = tensor_table(DIMS_2B)
    parameters = sum(math.prod(shape) for shape in table.values())
    assert (len(table), parameters) == (592, 1_927_237_104)
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in sorted(table):
        end = offset + 2 * math.prod(table[name])
        header[f"model.{name}"] = {
            "dtype": "BF16",
            "shape": list(table[name]),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":"))
    text = text.ljust(math.ceil(len(text) / 8) * 8)
    path = tmp_path / "model.safetensors"
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text.encode())
        stream.truncate(stream.tell() + offset)
    assert path.stat().st_size == 3_854_538_968
    assert open_weights(path, table).stored_dtype == torch.bfloat16


def test_the_05b_table_has_the_published_number_of_parameters() -> None:
    """With one key head per query head, as its loader must assume."""
    shapes = tensor_table(DIMS_05B).values()
    assert sum(math.prod(shape) for shape in shapes) == 631_889_382


_PEAK = """
import json, pathlib, re, sys
import torch
from pipeline.moondream.dims import Dims
from pipeline.moondream.checkpoints.tensors import tensor_table
from pipeline.moondream.checkpoints.weights import open_weights

def resident(field):
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(field + r":\\s+(\\d+) kB", status)[1]) * 1024

path = pathlib.Path(sys.argv[1])
table = tensor_table(Dims.from_config(json.loads(sys.argv[2])))
dtype = getattr(torch, sys.argv[3])
pathlib.Path("/proc/self/clear_refs").write_text("5")
before = resident("VmRSS")
weights = open_weights(path, table).read("cpu", dtype)
# Every 512th value touches every page of memory.
total = sum(float(tensor.flatten()[::512].sum(dtype=torch.float32)) for tensor in weights.values())
print(json.dumps({"peak": resident("VmHWM") - before, "total": total}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("dtype", "limit"),
    [
        ("bfloat16", 1.2),  # the file's own: the mapped file and nothing else
        ("float32", 2.9),  # twice the size by itself, plus one window of the file
    ],
)
def test_reading_needs_no_second_copy(tmp_path: Path, dtype: str, limit: float) -> None:
    """The peak of resident memory while a file of 200 MB is read and used stays in bounds."""
    config = {
        "text": {"dim": 1024, "ff_dim": 4096, "n_layers": 5, "n_heads": 16, "vocab_size": 16000},
        "vision": {"enc_dim": 64, "enc_n_layers": 1, "enc_n_heads": 2, "proj_out_dim": 1024},
        "region": {"dim": 1024, "inner_dim": 64},
    }
    dims = type(TINY_DIMS).from_config(config)
    weights = {
        name: torch.full(shape, 0.001, dtype=torch.bfloat16)
        for name, shape in tensor_table(dims).items()
    }
    path = write(tmp_path, weights)
    size = path.stat().st_size
    expected = sum(math.ceil(tensor.numel() / 512) * 0.001 for tensor in weights.values())
    del weights
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, str(path), json.dumps(config), dtype],
        capture_output=True,
        text=True,
        check=True,
        timeout=patience(50),
        cwd=Path(__file__).parents[2],
    )
    measured = json.loads(done.stdout)
    assert size > 190e6
    assert measured["total"] == pytest.approx(expected, rel=1e-2)
    assert measured["peak"] < limit * size
