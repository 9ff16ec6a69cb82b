"""A folder becomes a checkpoint whose parts belong together, or a sentence."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from pipeline.moondream.checkpoints.checkpoint import open_checkpoint
from pipeline.moondream.checkpoints.revisions import unclear_folder
from pipeline.moondream.dims import DIMS_2B
from pipeline.moondream.errors import CheckpointError
from pipeline.testing import patience
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


def early_config(**captions: list[int]) -> dict[str, Any]:
    """A config with the special ids of the early releases, and these captions besides."""
    group = {k: v for k, v in TINY["tokenizer"].items() if k != "answer_id"}
    known = group["templates"]
    templates = {**known, "caption": {**known["caption"], **captions}}
    return {**TINY, "tokenizer": {**group, "eos_id": 0, "templates": templates}}


def test_a_config_without_an_answer_token_is_read_as_an_early_release(tmp_path: Path) -> None:
    """Its prompts have no closing id that comes twice; long captions came in March."""
    config = early_config(long=[1, 22, 2, 3])
    checkpoint = open_checkpoint(write_folder(tmp_path, random_weights(), config=config))
    assert checkpoint.release.name == "2025-04-14"
    assert not checkpoint.release.extras


def test_an_early_config_that_could_be_either_is_asked_for_its_release(tmp_path: Path) -> None:
    """January reads sizes on another scale than March and April, with the same ids."""
    folder = write_folder(tmp_path, random_weights(), config=early_config())
    with pytest.raises(CheckpointError, match=r"read sizes differently; give the release"):
        open_checkpoint(folder)
    assert open_checkpoint(folder, release="2025-03-27").release.size_decoding == "log"


def unmarked(**also: Any) -> dict[str, Any]:
    """A config of tiny sizes that says nothing of prompts or a release, as published ones do."""
    return {**{name: TINY[name] for name in ("text", "vision", "region")}, **also}


@pytest.mark.parametrize(
    ("dtype", "special", "said"),
    [
        (torch.float16, 21, "its weights are stored in float16, and those of 2025-06-21 are in"),
        (torch.float16, 0, "its weights are stored in float16"),
        (torch.bfloat16, 0, "its tokenizer is not that of 2025-06-21"),  # the published folder
        (torch.float32, 0, "its tokenizer is not that of 2025-06-21"),
    ],
)
def test_a_folder_that_may_be_any_release_is_asked_for_it(
    tmp_path: Path, dtype: torch.dtype, special: int, said: str
) -> None:
    """An old copy has the tensors of the newest release, and is never read as that."""
    tokenizer = byte_tokenizer(special=special)
    folder = write_folder(tmp_path, random_weights(dtype=dtype), unmarked(), tokenizer)
    with pytest.raises(CheckpointError, match=said) as refused:
        open_checkpoint(folder)
    assert unclear_folder(folder, None, None) == str(refused.value)  # as a check of the file says
    assert unclear_folder(folder, None, "2025-04-14") is None
    assert "give the release, with `revision:`, `release:`" in str(refused.value)


def test_the_newest_tokenizer_beside_unmarked_weights_says_the_release(tmp_path: Path) -> None:
    """Only the newest release has such special tokens; the sizes then lack its prompts' ids."""
    folder = write_folder(tmp_path, random_weights(dtype=torch.bfloat16), unmarked())
    with pytest.raises(CheckpointError, match="the prompts of release 2025-06-21 use id 32708"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("config", "release", "said"),
    [
        (
            {**TINY, "release": "2025-04-14"},
            "2025-06-21",
            "says release 2025-04-14, but release 2025-",
        ),
        (early_config(), "2025-06-21", "has the special ids of the releases up to April 2025"),
    ],
)
def test_a_release_that_the_config_rules_out_is_refused(
    tmp_path: Path, config: dict[str, Any], release: str, said: str
) -> None:
    """Of two statements one is wrong, and neither is taken."""
    folder = write_folder(tmp_path, random_weights(), config)
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(folder, release)


def test_a_look_at_a_folder_needs_no_torch(tmp_path: Path) -> None:
    """A check of a file tells the same without it; what it cannot read it leaves to loading."""
    folder = write_folder(tmp_path / "m", random_weights(dtype=torch.float16), unmarked())
    script = (
        "import sys; from pathlib import Path;"
        "from pipeline.moondream.checkpoints import revisions;"
        "print(revisions.unclear_folder(Path(sys.argv[1]), None, None));"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        capture_output=True, text=True, timeout=patience(30), check=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert "its weights are stored in float16" in done.stdout
    assert done.stdout.endswith("False\n")
    (folder / "model.safetensors").write_bytes(b"x")
    assert unclear_folder(folder, None, None) is None


def test_a_folder_can_name_its_release_itself(tmp_path: Path) -> None:
    """A key in config.json marks a folder for good; a name that is none is refused."""
    tokenizer = {**TINY["tokenizer"], "eos_id": 0}
    marked = {**TINY, "tokenizer": tokenizer, "release": "2025-01-09"}
    folder = write_folder(tmp_path, random_weights(dtype=torch.float16), marked)
    assert open_checkpoint(folder).release.name == "2025-01-09"
    (folder / "config.json").write_text(json.dumps({**marked, "release": "2025-02-30"}))
    with pytest.raises(CheckpointError, match="release '2025-02-30' is not known"):
        open_checkpoint(folder)


JANUARY_COMMIT = "adcbcd1a6d27fc19974b18dc128eb51ef6837879"


def early_folder(place: Path) -> Path:
    """Weights of an early release under tiny sizes, with ids that a tiny tokenizer has."""
    tokenizer = {**TINY["tokenizer"], "eos_id": 0}
    return write_folder(
        place, random_weights(dtype=torch.float16), {**TINY, "tokenizer": tokenizer}
    )


def test_a_snapshot_in_the_cache_is_known_by_its_commit(tmp_path: Path) -> None:
    """The folder's own path says what it is, whatever is said beside it."""
    repository = tmp_path / "models--vikhyatk--moondream2"
    folder = early_folder(repository / "snapshots" / JANUARY_COMMIT)
    assert open_checkpoint(folder).release.name == "2025-01-09"
    with pytest.raises(CheckpointError, match=r"which is release 2025-01-09, not 2025-06-21"):
        open_checkpoint(folder, "2025-06-21")
    unknown = folder.rename(folder.with_name("a" * 40))
    with pytest.raises(CheckpointError, match=r"cannot be told.*2025-06-21@aaaa"):
        open_checkpoint(unknown)
    assert open_checkpoint(unknown, "2025-03-27").release.name == "2025-03-27"


def test_a_downloaded_folder_is_known_by_the_note_beside_it(tmp_path: Path) -> None:
    """`hf download --local-dir` notes the commit; a file changed since is another one."""
    folder = early_folder(tmp_path / "model")
    note = folder / ".cache" / "huggingface" / "download" / "model.safetensors.metadata"
    note.parent.mkdir(parents=True)
    written = (folder / "model.safetensors").stat().st_mtime
    note.write_text(f"{JANUARY_COMMIT}\n{'0' * 64}\n{written}\n")
    assert open_checkpoint(folder).release.name == "2025-01-09"
    note.write_text(f"{JANUARY_COMMIT}\n{'0' * 64}\n{written - 60}\n")
    assert open_checkpoint(folder, "2025-03-27").release.name == "2025-03-27"


def test_a_precision_that_does_not_fit_what_is_said_is_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever says the release is believed, and told what speaks against it."""
    folder = write_folder(tmp_path, random_weights(dtype=torch.float16))
    assert open_checkpoint(folder, "2025-06-21").release.name == "2025-06-21"
    assert "stored in float16, but release 2025-06-21 was published in bfloat16" in caplog.text


def test_old_weights_that_are_called_the_newest_are_refused(tmp_path: Path) -> None:
    """A word alone does not make them so; weights that were converted are marked as such."""
    weights = random_weights(dtype=torch.float16)
    folder = write_folder(tmp_path, weights, unmarked())
    said = "stored in float16, but release 2025-06-21 was published in bfloat16, and earlier ones"
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(folder, "2025-06-21")
    assert said in (unclear_folder(folder, "2025-06-21", None) or "")
    write_folder(tmp_path, weights, unmarked(release="2025-06-21"))
    with pytest.raises(CheckpointError, match="use id 32708"):  # accepted, but for the tiny table
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("moondream_finetune",), "rename moondream_finetune.safetensors to that"),
        (("model-00001-of-00002", "model-00002-of-00002"), "join the 2 safetensors files"),
    ],
)
def test_weights_under_another_name_are_noticed(
    tmp_path: Path, names: tuple[str, ...], said: str
) -> None:
    """As training scripts save them, and in parts."""
    for name in names:
        save_file(random_weights(), tmp_path / f"{name}.safetensors")
    with pytest.raises(CheckpointError, match=f"model.safetensors does not exist; {said}"):
        open_checkpoint(write_tokenizer(tmp_path))


def test_the_small_model_is_said_to_be_nowhere(tmp_path: Path) -> None:
    """By name, and as the file it was published as."""
    said = "the 0.5B model was published only as .mf files"
    for model in ("moondream/moondream-0.5b", "vikhyatk/moondream-0_5b-int8"):
        with pytest.raises(CheckpointError, match=said):
            open_checkpoint(model)
    (tmp_path / "moondream-0_5b-int8.mf.gz").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(write_tokenizer(tmp_path))


def write_tokenizer(folder: Path) -> Path:
    """Write a tokenizer without weights."""
    byte_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


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
