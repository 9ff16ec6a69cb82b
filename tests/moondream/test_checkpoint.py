"""A folder becomes a checkpoint whose parts belong together, or a sentence."""

import json
from pathlib import Path

import pytest
import torch

from pipeline.moondream.checkpoint import open_checkpoint
from pipeline.moondream.dims import DIMS_2B
from pipeline.moondream.errors import CheckpointError
from tests.moondream.checkpoints import (
    TINY,
    TINY_DIMS,
    byte_tokenizer,
    random_weights,
    write_folder,
)


def test_a_folder_is_opened_and_read(tmp_path: Path) -> None:
    """Sizes and prompts come from config.json, behaviour from the latest release."""
    weights = random_weights(dtype=torch.bfloat16)
    checkpoint = open_checkpoint(write_folder(tmp_path / "model", weights))
    assert checkpoint.dims == TINY_DIMS
    assert checkpoint.release.name == "2025-06-21"
    assert checkpoint.stored_dtype == torch.bfloat16
    assert checkpoint.release.caption_prompt("short") == [1, 20, 2, 3]
    read = checkpoint.read("cpu", torch.float32)
    assert torch.equal(read["text.wte"], weights["text.wte"].float())


def test_a_folder_can_be_read_as_another_release(tmp_path: Path) -> None:
    """Releases share their tensors: which one a folder holds is said by its revision."""
    early = {**TINY, "tokenizer": {**TINY["tokenizer"], "bos_id": 0, "eos_id": 0}}
    folder = write_folder(tmp_path, random_weights(), config=early)
    assert open_checkpoint(folder, "2025-01-09").release.size_decoding == "linear"


def test_a_config_without_an_answer_token_is_read_as_an_early_release(tmp_path: Path) -> None:
    """Its prompts have no closing id that comes twice."""
    tokenizer = {k: v for k, v in TINY["tokenizer"].items() if k != "answer_id"}
    config = {**TINY, "tokenizer": {**tokenizer, "eos_id": 0}}
    checkpoint = open_checkpoint(write_folder(tmp_path, random_weights(), config=config))
    assert checkpoint.release.name == "2025-04-14"
    assert not checkpoint.release.extras


def test_a_folder_without_config_is_the_2b_model(tmp_path: Path) -> None:
    """What is missing is named against the published sizes."""
    folder = write_folder(tmp_path, random_weights(), tokenizer=byte_tokenizer())
    (folder / "config.json").unlink()
    assert DIMS_2B.text.n_layers == 24
    with pytest.raises(CheckpointError, match=r"it lacks vision\.blocks\.2\..*and \d+ more"):
        open_checkpoint(folder)


def test_the_tokenizer_must_fit_the_release(tmp_path: Path) -> None:
    """The older tokenizer that lies beside the published weights is noticed."""
    folder = write_folder(tmp_path, random_weights(), tokenizer=byte_tokenizer(special=0))
    with pytest.raises(CheckpointError, match="is not the tokenizer of release 2025-06-21"):
        open_checkpoint(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    """The sentence says which of the files is not there."""
    folder = write_folder(tmp_path, random_weights())
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} does not exist"):
        open_checkpoint(folder)


@pytest.mark.parametrize("text", ["{", "[1, 2]", "\x00"])
def test_a_broken_config_is_refused(tmp_path: Path, text: str) -> None:
    """It must be JSON, and a mapping."""
    folder = write_folder(tmp_path, random_weights())
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json (is not a JSON file|must hold)"):
        open_checkpoint(folder)


def test_sizes_that_do_not_fit_the_file_are_named(tmp_path: Path) -> None:
    """Another width in the config shows as tensors of another shape."""
    config = {**TINY, "text": {**TINY["text"], "ff_dim": 65}}
    folder = write_folder(tmp_path, random_weights(), config=config)
    with pytest.raises(CheckpointError, match=r"mlp\.fc1\.weight is \[64, 32\] and should be"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("/nowhere/at/all", "neither a folder nor a repository name"),
        ("no-such-folder", "neither a folder nor a repository name"),
        ("someone/finetune", "needs a revision: give a commit"),  # an unknown repository
    ],
)
def test_what_is_no_model_is_refused(model: str, said: str) -> None:
    """Nothing is fetched to find that out."""
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(model)


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    """A path to the weights themselves says what to give instead."""
    folder = write_folder(tmp_path, random_weights())
    with pytest.raises(CheckpointError, match="give the folder that contains it"):
        open_checkpoint(folder / "model.safetensors")


def test_an_unknown_release_of_a_folder_is_refused(tmp_path: Path) -> None:
    """The known releases are listed."""
    folder = write_folder(tmp_path, random_weights())
    with pytest.raises(CheckpointError, match="known releases"):
        open_checkpoint(folder, "2025-06-22")


def test_nothing_in_a_folder_is_run(tmp_path: Path) -> None:
    """Code beside the weights, and a config that points to it, are left alone."""
    config = {**TINY, "auto_map": {"AutoModel": "evil.Evil"}, "model_type": "moondream1"}
    folder = write_folder(tmp_path, random_weights(), config=config)
    (folder / "evil.py").write_text("raise SystemExit('run')")
    assert json.loads((folder / "config.json").read_text())["auto_map"]
    assert open_checkpoint(folder).dims == TINY_DIMS
