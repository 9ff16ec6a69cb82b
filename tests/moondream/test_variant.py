"""Variants from a local file: what fits the model, and what is refused."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.moondream.checkpoints.tensors import block_linears
from pipeline.moondream.checkpoints.variant import read_variant
from pipeline.moondream.dims import Dims
from pipeline.moondream.errors import CheckpointError
from tests.moondream.checkpoints import TINY_DIMS

TEXT = TINY_DIMS.text
GOLDEN = Path(__file__).parents[1] / "golden"


def matrices(rank: int = 4) -> dict[str, torch.Tensor]:
    """Return a whole random variant."""
    made: dict[str, torch.Tensor] = {}
    for index in range(TEXT.n_layers):
        for name, (n_in, n_out) in block_linears(TEXT).items():
            made[f"text.blocks.{index}.{name}.A"] = torch.randn(rank, n_in)
            made[f"text.blocks.{index}.{name}.B"] = torch.randn(n_out, rank)
    return made


def in_training_names(variant: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the layers to what a training run saves."""
    renames = (
        ("text.blocks", "text_model.transformer.h"),
        ("attn.qkv", "mixer.Wqkv"),
        ("attn.proj", "mixer.out_proj"),
        (".A", ".parametrizations.weight.0.A"),
        (".B", ".parametrizations.weight.0.B"),
    )
    renamed = {}
    for name, tensor in variant.items():
        for ours, theirs in renames:
            name = name.replace(ours, theirs)
        renamed[name] = tensor
    return renamed


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("training", [False, True])
def test_both_formats_and_names_are_read(tmp_path: Path, suffix: str, training: bool) -> None:
    """The matrices are the same, in the dtype asked for."""
    variant = matrices()
    stored = in_training_names(variant) if training else variant
    path = tmp_path / f"variant{suffix}"
    if suffix == ".pt":
        torch.save(stored, path)
    else:
        save_file(stored, path)
    read = read_variant(path, TEXT, "cpu", torch.bfloat16)
    assert read.keys() == variant.keys()
    assert all(torch.equal(read[name], variant[name].bfloat16()) for name in variant)


def test_the_recorded_variant_is_read() -> None:
    """The one the golden outputs were made with."""
    path = GOLDEN / "lora.safetensors"
    text = Dims.from_config(
        {
            "text": {"dim": 128, "ff_dim": 384, "n_layers": 3, "n_heads": 2},
            "vision": {"proj_out_dim": 128},
            "region": {"dim": 128},
        }
    ).text
    read = read_variant(path, text, "cpu", torch.float32)
    assert read.keys() == load_file(path).keys()


def test_layers_may_be_left_out(tmp_path: Path) -> None:
    """A variant of some layers only is a variant."""
    part = {name: tensor for name, tensor in matrices().items() if ".0.mlp." in name}
    save_file(part, tmp_path / "v.safetensors")
    assert (
        read_variant(tmp_path / "v.safetensors", TEXT, "cpu", torch.float32).keys() == part.keys()
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text.blocks.2.mlp.fc1.A": (4, 32)}, "has text.blocks.2.mlp.fc1.A.*in 2 blocks"),
        ({"text.wte": (4, 32)}, "is not a variant of this model"),
        ({"text.blocks.0.mlp.fc1.A": (4, 31)}, r"should be \[rank, 32\] and \[64, rank\]"),
        ({"text.blocks.0.mlp.fc1.B": (64, 5)}, r"should be \[rank, 32\] and \[64, rank\]"),
        ({"text.blocks.0.mlp.fc1.A": None}, r"lacks text\.blocks\.0\.mlp\.fc1\.A"),
    ],
)
def test_a_variant_of_another_model_is_refused(
    tmp_path: Path, change: dict[str, tuple[int, int] | None], said: str
) -> None:
    """The first layer that does not fit is named."""
    variant = matrices()
    for name, shape in change.items():
        if shape is None:
            del variant[name]
        else:
            variant[name] = torch.ones(shape)
    path = tmp_path / "v.safetensors"
    save_file(variant, path)
    with pytest.raises(CheckpointError, match=said):
        read_variant(path, TEXT, "cpu", torch.float32)


def test_a_pickle_with_code_is_refused(tmp_path: Path) -> None:
    """Only tensors are unpickled; anything else is refused before it runs."""
    path = tmp_path / "v.pt"
    torch.save({"text": Path("/tmp")}, path)
    with pytest.raises(CheckpointError, match="cannot be read as a variant"):
        read_variant(path, TEXT, "cpu", torch.float32)


@pytest.mark.parametrize("content", [None, b"", b"abc"])
def test_what_is_no_variant_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """Missing, empty and foreign files are sentences."""
    for name in ("v.safetensors", "v.pt"):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=r"does not exist|cannot be read as a variant"):
            read_variant(tmp_path / name, TEXT, "cpu", torch.float32)


def test_a_file_of_other_things_is_refused(tmp_path: Path) -> None:
    """A list, a number or nothing at all is no set of matrices."""
    for stored in ([torch.ones(1)], {"step": 3}, {}):
        torch.save(stored, tmp_path / "v.pt")
        with pytest.raises(CheckpointError, match=r"more than named tensors|has no tensors"):
            read_variant(tmp_path / "v.pt", TEXT, "cpu", torch.float32)
